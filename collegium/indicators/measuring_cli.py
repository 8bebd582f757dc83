"""`collegium indicators plan | measure | show | report | export`: from a signed catalogue to published figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.errors import Invalid

if TYPE_CHECKING:
    from collegium.client import Federation
    from collegium.indicators.edition import Edition
    from collegium.registry import Registry
    from collegium.sql.release import Mode

__all__ = ["add_commands"]

PeriodOption = Annotated[int, typer.Option("--period", help="The year that is measured.")]
LatestOption = Annotated[int | None, typer.Option("--period", help="The year. Default: the newest that was measured.")]
CatalogueOption = Annotated[str, typer.Option("--catalogue", help="NAME/VERSION. Default: the registry's newest.")]
RhoOption = Annotated[
    list[str] | None,
    typer.Option("--rho", help="zCDP rho that the year may cost a person: 0.5 for each kind of person, or student=0.5 for one."),
]
NationalOption = Annotated[
    bool, typer.Option("--national", help="National sums, by province as the registry groups them; no university's figure exists.")
]
FolderOption = Annotated[Path, typer.Option("--folder", help="Where measurements are kept.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", envvar="COLLEGIUM_HOME", help="Your folder. Default: the user's configuration folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LanguageOption = Annotated[str, typer.Option("--lang", help="Labels in en or zh.")]
DEFAULT_FOLDER = Path("indicators")
NAMED = 12  # universities told one by one


def add_commands(app: typer.Typer) -> None:
    """Add the commands to `collegium indicators`."""
    for command in (plan, measure, show, report, export):
        app.command()(command)


def plan(
    period: PeriodOption,
    catalogue: CatalogueOption = "",
    rho: RhoOption = None,
    under: Annotated[str, typer.Option("--under", help="Only indicators of this primary or secondary one, such as S06.")] = "",
    national: NationalOption = False,
    as_json: JsonOption = False,
    lang: LanguageOption = "en",
    home: HomeOption = None,
) -> None:
    """What a measurement would cost, and how good every figure would be. Sends no question, costs nothing."""
    from collegium.indicators.measure import plan as make
    from collegium.indicators.plan_show import plan_tree, show_plan

    with _federation(home, lang) as federation:
        registry = federation.registry
        planned = make(registry, _catalogue(registry, catalogue), period, _amounts(rho or ["0.5"], registry), _mode(national))
        request = federation.plan_questions(list(zip(planned.batch.questions, planned.batch.views, strict=True)))
    if as_json:
        _say(json.dumps(plan_tree(planned, request, under), ensure_ascii=False, indent=1))
    else:
        show_plan(planned, request, under, lang)


def measure(
    period: PeriodOption,
    rho: RhoOption = None,
    catalogue: CatalogueOption = "",
    purpose: Annotated[str, typer.Option("--purpose", help="What for; data stewards read it.")] = "",
    deadline: Annotated[float, typer.Option("--deadline", help="Seconds to wait; late universities join at the next run.")] = 600.0,
    national: NationalOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before anything is spent.")] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
    lang: LanguageOption = "en",
    home: HomeOption = None,
) -> None:
    """Measure a catalogue: one request, one charge a person. Run it again, free, after a crash or for late universities."""
    from collegium.indicators.measure import measure as run
    from collegium.indicators.measure import plan as make
    from collegium.wording import reason_text

    if not rho:
        raise Invalid("say what the measurement may cost", place="--rho", remedy="Such as --rho 0.5; see `indicators plan` first.")
    with _federation(home, lang) as federation:
        chosen = _catalogue(federation.registry, catalogue)
        planned = make(federation.registry, chosen, period, _amounts(rho, federation.registry), _mode(national))
        here = _place(folder, chosen, period)
        if not yes and not (here / "request.note").exists():
            _confirm(planned.batch.charges)
        quiet = as_json or not sys.stderr.isatty()
        from collegium.progress import Bar

        try:
            with Bar(len(federation.registry.nodes()), quiet=quiet) as bar:
                edition = run(federation, planned, here, purpose=purpose, deadline=deadline, on_progress=bar)
        except KeyboardInterrupt:
            print("\nThe measurement goes on. Run the same command to fetch it.", file=sys.stderr)  # noqa: T201
            raise
    if as_json:
        summary = {"request": edition.requests[0], "folder": str(here), "coverage": edition.coverage.model_dump()}
        _say(json.dumps(summary | {"indicators": len(edition.leaves)}, ensure_ascii=False, indent=1))
        return
    released = sum(leaf.national.value is not None for leaf in edition.leaves)
    blurred = sum(leaf.national.mark == "…" for leaf in edition.leaves)
    _say(f"{released:,} of {len(edition.leaves):,} indicators have a figure, {blurred:,} of them marked …; all is in {here}.")
    late = (
        "Its sums are closed: who is not in them joins the next measurement."
        if national
        else "Late ones join when you run this again."
    )
    _say(f"{edition.coverage.answered} of {edition.coverage.asked} universities are in it. {late}")
    for each in edition.coverage.missing[:NAMED]:
        _say(f"  not in it: {each.node}: {reason_text(each.reason, lang)}")
    _say("Next: collegium indicators report; collegium indicators show U-S06-001 --by province")


def show(
    indicator: Annotated[str, typer.Argument(help="Its id, such as U-S06-001.")],
    by: Annotated[str, typer.Option("--by", help="province, discipline or year. Default: the national figure alone.")] = "",
    period: LatestOption = None,
    catalogue: CatalogueOption = "",
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
    lang: LanguageOption = "en",
) -> None:
    """One indicator: its figure, its interval, its definition. Reads what was measured; needs no network."""
    from collegium.indicators.show import indicator_tree, show_indicator

    if by not in ("", "province", "discipline", "year"):
        raise Invalid(f"figures are not given by {by!r}", place="--by", remedy="Choose province, discipline or year.")
    editions = _editions(folder, catalogue, period)
    leaf = editions[-1].leaf(indicator)
    if as_json:
        _say(json.dumps(indicator_tree(editions, leaf, by), ensure_ascii=False, indent=1))
    else:
        show_indicator(editions, leaf, by, lang)


def report(
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")] = Path("report"),
    period: LatestOption = None,
    catalogue: CatalogueOption = "",
    folder: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Write a site of all figures, in both languages: tree, maps, bars, trends, definitions, and the bundle that proves them."""
    from collegium.indicators.measure import BUNDLE
    from collegium.indicators.site.write import write_site

    editions = _editions(folder, catalogue, period)
    bundle = _place(folder, editions[-1].catalogue, editions[-1].year) / BUNDLE
    first = write_site(editions, out, [bundle] if bundle.exists() else [])
    _say(f"Wrote {first}. Open it in a browser, or put the folder on any web server.")


def export(
    out: Annotated[Path, typer.Argument(help="A file that ends in .csv or .xlsx.")],
    period: LatestOption = None,
    catalogue: CatalogueOption = "",
    folder: FolderOption = DEFAULT_FOLDER,
    lang: LanguageOption = "en",
) -> None:
    """Write all figures, national and by province, as CSV (with a byte order mark) or as an Excel workbook."""
    from collegium.indicators.export import write_table

    edition = _editions(folder, catalogue, period)[-1]
    rows = write_table(edition, out, lang)
    _say(f"Wrote {out}: {rows:,} figures.")


def _federation(home: Path | None, lang: str) -> Federation:
    from collegium.client import connect

    return connect(home, language=lang)


def _catalogue(registry: Registry, name: str) -> str:
    """NAME/VERSION of the catalogue meant: as named, the newest version of a NAME, or the newest of all."""
    if "/" in name:
        return name
    found = [each for each in registry.catalogues if not name or each.partition("/")[0] == name]
    if not found:
        remedy = "The coordinator signs one: collegium-coordinator catalogue FILE"
        raise Invalid("the registry has no such catalogue", place="--catalogue", remedy=remedy)
    return found[-1]


def _mode(national: bool) -> Mode:
    return "national" if national else "per_node"


def _amounts(texts: Sequence[str], registry: Registry) -> dict[str, int]:
    """Nano-rho by privacy unit; "" is every unit that is not named."""
    from collegium.asking import Ask, nano_rho

    amounts: dict[str, int] = {}
    delta = registry.founding.delta
    for text in texts:
        unit, equals, amount = text.rpartition("=")
        if unit and unit not in registry.schema.units:
            raise Invalid(f"there is no privacy unit {unit!r}", place="--rho", remedy=f"Units: {', '.join(registry.schema.units)}.")
        if equals and not unit:
            raise Invalid(f"{text!r} names no unit", place="--rho", remedy="Such as --rho 0.5, or --rho student=0.5.")
        amounts[unit] = nano_rho(Ask(statements=(), rho=amount), delta)
    return amounts


def _confirm(charges: Mapping[str, int]) -> None:
    spent = ", ".join(f"{nano / 1e9:g} of every {unit}" for unit, nano in charges.items())
    if not sys.stdin.isatty():
        raise Invalid(f"this spends rho {spent} at each university that answers", place="--yes", remedy="Add --yes to agree.")
    if not typer.confirm(f"This spends rho {spent} at each university that answers. Go on?"):
        raise typer.Exit(1)


def _place(folder: Path, catalogue: str, year: int) -> Path:
    return folder / catalogue.replace("/", "-") / str(year)


def _editions(folder: Path, catalogue: str, period: int | None) -> list[Edition]:
    """The measurements kept here, oldest first, up to `period`: of the named catalogue, or of the only one."""
    from collegium.indicators.edition import Edition
    from collegium.indicators.measure import FIGURES

    remedy = "Measure first: collegium indicators measure --period YEAR --rho 0.5"
    wanted = catalogue.replace("/", "-")
    kept = {each.name for each in folder.glob("*") if any(each.glob(f"*/{FIGURES}"))} if folder.is_dir() else set()
    found = sorted(each for each in kept if not wanted or each == wanted or each.rpartition("-")[0] == wanted)
    if not found:
        raise Invalid("nothing was measured here", place=str(folder), remedy=remedy)
    if len({each.rpartition("-")[0] for each in found}) > 1:
        raise Invalid("several catalogues were measured here", place="--catalogue", remedy=f"Name one: {', '.join(found)}.")
    by_year: dict[int, Path] = {}
    for name in sorted(found, key=lambda each: int(each.rpartition("-")[2])):  # a newer version's figures replace an older one's
        by_year |= {int(path.parent.name): path for path in (folder / name).glob(f"*/{FIGURES}") if path.parent.name.isdecimal()}
    years = sorted(year for year in by_year if period is None or year <= period)
    if not years or (period is not None and years[-1] != period):
        known = ", ".join(map(str, sorted(by_year)))
        raise Invalid(f"{period} was not measured here", place="--period", remedy=f"There are: {known}.")
    return [Edition.read(by_year[year]) for year in years]


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
