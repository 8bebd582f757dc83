"""The command `collegium`: what a researcher types.

Exit codes are those of `collegium.errors.Exit`. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.audit.cli import app as audit_app
from collegium.commands import (
    FileOption,
    NationalOption,
    RatioOption,
    SchemaOption,
    SetOption,
    add_commands,
    explains,
    gather,
    show_plan,
    titled,
    try_locally,
)
from collegium.errors import CollegiumError, Exit, Invalid, rule_of
from collegium.indicators.cli import app as indicators_app

if TYPE_CHECKING:
    from collegium.answer import Answer
    from collegium.client import Federation

__all__ = ["app", "main"]

app = typer.Typer(
    name="collegium",
    help="Ask many universities one question, and verify the answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(audit_app, name="audit")
app.add_typer(indicators_app, name="indicators")

HomeOption = Annotated[
    Path | None, typer.Option("--home", envvar="COLLEGIUM_HOME", help="Your folder. Default: the user's configuration folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print comma-separated values, with a byte order mark.")]
LanguageOption = Annotated[str, typer.Option("--lang", help="Labels in en or zh.")]


def main() -> None:
    """Run the command; errors leave as one line and their exit code."""
    try:
        app()
    except CollegiumError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        raise SystemExit(int(rule_of(error).exit_code)) from None
    except KeyboardInterrupt:
        raise SystemExit(int(Exit.INTERRUPTED)) from None


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="The token from the ministry, or '-' to read it from standard input.")],
    home: HomeOption = None,
) -> None:
    """Join a federation: makes your keys here and redeems the token. May be repeated after a lost connection.

    A token that replaces your keys is used the same way, where the old ones are. Universities must then allow the new one.
    """
    from collegium.joining import join as redeem

    membership = redeem(_home(home), sys.stdin.read() if token == "-" else token, clock=time.time)  # noqa: S105 - no secret
    _say(f"Joined {membership.federation} as {membership.name}. A university answers you when its data steward has allowed it.")
    _say('Next: collegium schema; then: collegium ask "SELECT COUNT(*) FROM ..." --epsilon 0.5')


@app.command()
def ask(
    sql: Annotated[
        list[str] | None, typer.Argument(help="One or more SELECT statements; several share the cost. EXPLAIN SELECT only plans.")
    ] = None,
    epsilon: Annotated[str, typer.Option("--epsilon", help="What the request may cost one person, at the registry's delta.")] = "",
    rho: Annotated[str, typer.Option("--rho", help="The same as zCDP rho.")] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="What for; data stewards read it.")] = "",
    node: Annotated[list[str] | None, typer.Option("--node", help="Ask only this university. May be repeated.")] = None,
    min_nodes: Annotated[int, typer.Option("--min-nodes", help="Show nothing unless so many have answered.")] = 0,
    deadline: Annotated[float, typer.Option("--deadline", help="Seconds to wait; late universities join `result`.")] = 120.0,
    max_rows: Annotated[int | None, typer.Option("--max-rows", help="Rows of one person in a cell. Default: the schema's.")] = None,
    max_groups: Annotated[int | None, typer.Option("--max-groups", help="Cells one person is in. Default: the schema's.")] = None,
    clip: Annotated[list[str] | None, typer.Option("--clip", help="COLUMN=LOW:HIGH, ends of a person's sum.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answer, or hand in and leave.")] = True,
    national: NationalOption = False,
    file: FileOption = None,
    values: SetOption = None,
    ratio: RatioOption = None,
    local: Annotated[Path | None, typer.Option("--local", help="Try it on invented rows in this folder; sends nothing.")] = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    lang: LanguageOption = "en",
    home: HomeOption = None,
) -> None:
    """Ask. Ctrl-C leaves the question running; `collegium result ID` fetches it."""
    typed = {
        "epsilon": epsilon or None,
        "rho": rho or None,
        "purpose": purpose,
        "nodes": node or None,
        "max_rows": max_rows,
        "max_groups": max_groups,
        "clips": dict(read_clip(text) for text in clip or ()),
        **({"mode": "national"} if national else {}),
    }
    settings = gather(sql, file, values, typed)
    title, ratios = titled(file, lang, ratio)
    if local is not None:
        try_locally(local, schema, home, settings, as_json=as_json, as_csv=as_csv, lang=lang, title=title, ratios=ratios)
        return
    if schema is not None:
        raise Invalid("--schema is for --local", place="--schema", remedy="A federation has its own schema: `collegium schema`.")
    from collegium.across import check_ratios

    with _federation(home, lang) as federation:
        if explains(settings):
            show_plan(federation, settings, as_json=as_json)
            return
        prepared = federation.prepare(*settings.pop("statements"), **settings)
        check_ratios(ratios, prepared.questions, prepared.views)
        quiet = as_json or as_csv or not sys.stderr.isatty()
        try:
            _hand_in(federation, prepared, deadline if wait else 5.0, quiet=quiet, wait=wait)
            if not wait:
                _say(json.dumps({"request": prepared.id}) if as_json else prepared.id)
                return
            answer = federation.result(prepared.id, refresh=False, wait=0.0, min_nodes=min_nodes)
        except KeyboardInterrupt:
            print(f"\nThe question goes on. Fetch it: collegium result {prepared.id[:12]}", file=sys.stderr)  # noqa: T201
            raise
    _print(replace(answer, ratios=ratios), as_json=as_json, as_csv=as_csv, title=title)


@app.command()
def result(
    request: Annotated[str, typer.Argument(help="The request's id, or its beginning.")],
    wait: Annotated[float, typer.Option("--wait", help="Seconds for universities that are asked again.")] = 10.0,
    refresh: Annotated[bool, typer.Option("--refresh/--no-refresh", help="Ask those that have not answered again.")] = True,
    min_nodes: Annotated[int, typer.Option("--min-nodes", help="Show nothing unless so many have answered.")] = 0,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Write everything that proves the figures into this file.")
    ] = None,
    ratio: RatioOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    lang: LanguageOption = "en",
    home: HomeOption = None,
) -> None:
    """The figures of a request as they are now. Late universities join; nobody is charged twice."""
    with _federation(home, lang) as federation:
        answer = federation.result(request, refresh=refresh, wait=wait, min_nodes=min_nodes)
        if bundle is not None:
            size = federation.save(answer, bundle)
            print(f"Wrote {bundle} ({size:,} bytes). Verify it anywhere: collegium verify {bundle}", file=sys.stderr)  # noqa: T201
    _print(replace(answer, ratios=tuple(ratio or ())), as_json=as_json, as_csv=as_csv)


@app.command()
def requests(limit: Annotated[int, typer.Option("--limit")] = 20, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Your requests, newest first."""
    from collegium.listing import requests_table, requests_tree

    with _federation(home) as federation:
        lines = federation.requests(limit)
    _tree_or_table(as_json, requests_tree(lines), lambda: requests_table(lines))


@app.command()
def schema(
    dataset: Annotated[str, typer.Argument(help="Show this dataset's columns.")] = "",
    as_json: JsonOption = False,
    lang: LanguageOption = "en",
    home: HomeOption = None,
) -> None:
    """What can be asked: datasets, columns, codes and bounds."""
    from collegium.listing import schema_table

    with _federation(home, lang) as federation:
        found = federation.schema
    if dataset:
        found.dataset(dataset)
    tree = found.model_dump(mode="json", exclude_none=True)
    _tree_or_table(as_json, tree["datasets"][dataset] if dataset else tree, lambda: schema_table(found, dataset, lang))


@app.command()
def nodes(
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again until Ctrl-C; trustees too, trouble first.")] = False,
    every: Annotated[float, typer.Option("--every", min=1.0, help="With --watch: seconds between two looks.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch one object a change, a line each.")] = False,
    lang: LanguageOption = "en",
    home: HomeOption = None,
) -> None:
    """The universities: public facts, connection, datasets served, and what their policy allows."""
    from collegium.listing import nodes_table, nodes_tree

    with _federation(home, lang) as federation:
        if watch:
            _watch(federation, every, as_json=as_json)
            return
        lines = federation.nodes()
        facts = sorted(federation.schema.facts)
    _tree_or_table(as_json, nodes_tree(lines), lambda: nodes_table(lines, facts, time.time()))


@app.command()
def verify(
    what: Annotated[str, typer.Argument(metavar="FILE|ID", help="A bundle file, or a request's id or its beginning.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All your requests.")] = False,
    policy: Annotated[Path | None, typer.Option("--policy", help="For a file: your trust file (see `collegium trust`).")] = None,
    figures: Annotated[bool, typer.Option("--figures", help="For a file: show the figures, too.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Verify every signature, receipt and sum behind a result again, from the bytes. A FILE needs no network and no account."""
    from collegium.verifying import checked_text, verify_bundle_file

    if bool(what) == every:
        raise Invalid("name a file or a request, or say --all", place="verify", remedy="See yours with `collegium requests`.")
    if what and Path(what).is_file():
        verify_bundle_file(Path(what), policy, figures=figures, as_json=as_json)
        return
    if policy is not None or figures:
        raise Invalid("there is no such file", place=what or "verify", remedy="--policy and --figures are for bundle files.")
    with _federation(home) as federation:
        wanted = [line.request_id for line in federation.requests(200)] if every else [what]
        checked = [federation.result(each, refresh=False, wait=0.0).verify() for each in wanted]
    if as_json:
        _say(json.dumps([{"request": each.id, "signatures": each.signatures, "verified": True} for each in checked]))
        return
    for each in checked:
        _say(checked_text(each))


@app.command()
def trust(
    out: Annotated[Path | None, typer.Option("--out", help="Write it to this file instead.")] = None,
    home: HomeOption = None,
) -> None:
    """A trust file for auditors: keys of all logs and witnesses, from the registry as you have verified it."""
    from collegium.trustfile import trust_of

    with _federation(home) as federation:
        text = trust_of(federation.registry).to_text()
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Invalid(f"cannot be written: {error.strerror}", place=str(out)) from None
    _say(f"Wrote {out}. Hand it over on a channel that the auditor trusts: an audit believes what it names.")


add_commands(app, lambda home, language: _federation(home, language))


@app.command()
def version() -> None:
    """Print the version."""
    from collegium import __version__

    _say(__version__)


def _hand_in(federation: Federation, prepared: Any, deadline: float, *, quiet: bool, wait: bool) -> None:
    from collegium.progress import Bar, Taken

    if not wait:
        with Taken() as taken:
            federation.hand_in(prepared, deadline=deadline, on_progress=taken)
        return
    with Bar(len(prepared.audience), quiet=quiet) as bar:
        federation.hand_in(prepared, deadline=deadline, on_progress=bar)


def _print(answer: Answer, *, as_json: bool, as_csv: bool, title: str = "") -> None:
    if as_json:
        _say(json.dumps(answer.to_json(), ensure_ascii=False, indent=1))
    elif as_csv:
        sys.stdout.write(answer.to_csv())
    else:
        from rich.console import Console

        from collegium.show import renderable

        console = Console(highlight=False)
        if title:
            console.print(title, style="bold", markup=False)
        console.print(renderable(answer))
    if not answer.verified.figures or not answer.coverage.answered:
        from collegium.nofigure import no_figure

        raise no_figure(answer)


def _watch(federation: Federation, every: float, *, as_json: bool) -> None:
    from collegium.watching import watch_json, watch_live

    if as_json:
        watch_json(federation.watch(), every=every, out=sys.stdout)
    else:
        from rich.console import Console

        watch_live(federation.watch(), every=every, console=Console(highlight=False))


def _tree_or_table(as_json: bool, tree: Any, table: Any) -> None:
    if as_json:
        _say(json.dumps(tree, ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        Console(highlight=False).print(table())


def _federation(home: Path | None, language: str = "en") -> Federation:
    from collegium.client import connect

    if language not in ("en", "zh"):
        raise Invalid(f"there are no labels in {language!r}", place="--lang", remedy="Choose en or zh.")
    return connect(home, language=language)


def _home(home: Path | None) -> Any:
    from collegium.home import Home, default_home

    return Home(home if home is not None else default_home())


def read_clip(text: str) -> tuple[str, tuple[str, str]]:
    column, equals, ends = text.partition("=")
    low, colon, high = ends.partition(":")
    if not (column and equals and colon and low and high):
        raise Invalid(f"{text!r} is no clip", place="--clip", remedy="Write COLUMN=LOW:HIGH, such as salary=0:20000.")
    return column, (low, high)


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
