"""`collegium indicators`: a ministry's whole system of indicators, measured together.

Every command of this kind is added here; nothing heavy is imported before one runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.errors import Exit, Invalid
from collegium.indicators.measuring_cli import add_commands

if TYPE_CHECKING:
    from collegium.indicators.catalogue import Catalogue
    from collegium.indicators.leaf import Expanded
    from collegium.registry import Registry
    from collegium.schema import Schema

__all__ = ["app"]

app = typer.Typer(
    help="Indicators: a catalogue, measured together for one charge.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
add_commands(app)

FileOption = Annotated[Path | None, typer.Argument(help="A catalogue, a TOML file. Default: your federation's newest.")]
SchemaOption = Annotated[Path | None, typer.Option("--schema", help="A schema file. Default: your federation's schema.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", envvar="COLLEGIUM_HOME", help="Your folder. Default: the user's configuration folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LanguageOption = Annotated[str, typer.Option("--lang", help="Labels in en or zh.")]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A catalogue, a TOML file.")],
    after: Annotated[
        Path | None, typer.Option("--after", help="The version that it is to follow. Default: your federation's newest.")
    ] = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Say all that is wrong with a catalogue, each with its place. Exit code 2 when there is something."""
    from collegium.indicators.catalogue import MAX_CATALOGUE, read_catalogue, validate
    from collegium.indicators.check import check as look
    from collegium.indicators.check import last_year
    from collegium.indicators.expand import expand

    text = _read(file)
    catalogue, _ = validate(text)
    # A file of one's own is looked at without a federation when its schema is named.
    registry = None if schema is not None else _registry(home)
    against = _schema(schema, registry)
    before = read_catalogue(after) if after is not None else _newest(registry, catalogue.name if catalogue is not None else "")
    mistakes = look(text, against, after=before)
    if as_json:
        found = [{"place": each.place, "text": each.text, "remedy": each.remedy} for each in mistakes]
        _say(json.dumps({"mistakes": found}, ensure_ascii=False, indent=1))
    elif mistakes:
        for each in mistakes:
            _say(str(each.error(file.name)))
    if mistakes:
        raise typer.Exit(int(Exit.INVALID))
    assert catalogue is not None
    if not as_json:
        made = expand(catalogue, against, last_year(catalogue, against))
        _say(f"{catalogue.id} fits {against.id}: {_counts(made)}; {len(text.encode()):,} of {MAX_CATALOGUE:,} bytes.")


@app.command(name="list")
def list_(
    file: FileOption = None,
    under: Annotated[str, typer.Option("--under", help="Only those of this primary or secondary indicator, such as S06.")] = "",
    level: Annotated[str, typer.Option("--level", help="Only those of a university or of a discipline.")] = "",
    schema: SchemaOption = None,
    as_json: JsonOption = False,
    lang: LanguageOption = "en",
    home: HomeOption = None,
) -> None:
    """The indicators of a catalogue: id, name, unit, period; with --json also their definitions."""
    from collegium.indicators.catalogue import parse_catalogue
    from collegium.indicators.check import last_year
    from collegium.indicators.expand import expand

    if lang not in ("en", "zh"):
        raise Invalid(f"there are no labels in {lang!r}", place="--lang", remedy="Choose en or zh.")
    if level not in ("", "university", "discipline"):
        raise Invalid(f"there is no level {level!r}", place="--level", remedy="Choose university or discipline.")
    registry = None if file is not None and schema is not None else _registry(home)
    against = _schema(schema, registry)
    catalogue = parse_catalogue(_read(file), place=str(file)) if file is not None else _newest(registry, "")
    if catalogue is None:
        raise Invalid(
            "the federation has no catalogue yet", place="FILE", remedy="Name a file, or ask the coordinator to publish one."
        )
    made = expand(catalogue, against, last_year(catalogue, against))
    _list(made, under, level, lang, as_json=as_json)


def _list(made: Expanded, under: str, level: str, lang: str, *, as_json: bool) -> None:
    if under and under not in {*(each.id for each in made.primaries), *(each.id for each in made.secondaries)}:
        raise Invalid(f"there is no indicator {under!r} above others", place="--under", remedy="Write such as P1 or S06.")
    chosen = [
        leaf
        for leaf in made.leaves
        if (not under or under in (leaf.primary, leaf.secondary)) and (not level or leaf.level == level)
    ]
    if as_json:
        tree: list[dict[str, Any]] = [
            {
                "id": leaf.id,
                "level": leaf.level,
                "primary": leaf.primary,
                "secondary": leaf.secondary,
                "title": leaf.title.model_dump(),
                "kind": leaf.kind,
                "dataset": leaf.dataset,
                "unit": leaf.unit.model_dump(),
                "period": made.periods[leaf.period].model_dump(),
                "numerator": leaf.definition.numerator.model_dump(),
                "denominator": leaf.definition.denominator.model_dump() if leaf.definition.denominator is not None else None,
                "population": leaf.definition.population.model_dump(),
                "columns": sorted(f"{dataset}.{column}" for dataset, column in leaf.columns),
            }
            for leaf in chosen
        ]
        _say(json.dumps(tree, ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    heads = ("id", "indicator", "unit", "period") if lang == "en" else ("编号", "指标", "单位", "时点")
    table = Table(*heads, title=f"{made.title.get(lang)} ({made.catalogue})", title_justify="left")
    secondaries = {each.id: each.title for each in made.secondaries}
    last = ""
    for leaf in chosen:
        if leaf.level == "university" and leaf.secondary != last:
            table.add_row(leaf.secondary, f"[bold]{secondaries[leaf.secondary].get(lang)}[/bold]", "", "")
            last = leaf.secondary
        table.add_row(leaf.id, leaf.title.get(lang), leaf.unit.get(lang), made.periods[leaf.period].get(lang))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{_counts(made)}. {made.note.get(lang)}")


def _counts(made: Expanded) -> str:
    above = f"{len(made.primaries)} primary, {len(made.secondaries)} secondary"
    return f"{above}, {len(made.level('university')):,} for universities, {len(made.level('discipline')):,} for disciplines"


def _registry(home: Path | None) -> Registry:
    """The registry as it was last verified here; needs no network."""
    from collegium.home import Home, default_home

    found = Home(home if home is not None else default_home()).registry()
    if not found.size:
        raise Invalid(
            "the federation's schema is not here yet", place="--schema", remedy="Type `collegium schema` once, or name a file."
        )
    return found


def _schema(file: Path | None, registry: Registry | None) -> Schema:
    if file is not None:
        from collegium.schema import read_schema

        return read_schema(file)
    assert registry is not None
    return registry.schema


def _newest(registry: Registry | None, name: str) -> Catalogue | None:
    """The newest catalogue in the registry, of this name if one is given; None when there is none that this version can read."""
    if registry is None:
        return None
    from collegium.indicators.catalogue import validate

    texts = [each.toml for each in registry.catalogues.values() if not name or each.name == name]
    return validate(texts[-1])[0] if texts else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(file)) from None


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
