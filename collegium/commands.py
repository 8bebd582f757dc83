"""The commands around asking: `plan`, `dummy`, `questions`, `series`, and the ways in which `ask` asks nobody.

They are a part of `collegium.cli`, which adds them to its own.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.errors import Invalid

if TYPE_CHECKING:
    from collegium.client import Federation
    from collegium.schema import Schema

__all__ = [
    "FileOption",
    "NationalOption",
    "RatioOption",
    "SchemaOption",
    "SetOption",
    "add_commands",
    "explains",
    "gather",
    "show_plan",
    "titled",
    "try_locally",
]

Connect = Callable[[Path | None, str], AbstractContextManager["Federation"]]

HomeOption = Annotated[
    Path | None, typer.Option("--home", envvar="COLLEGIUM_HOME", help="Your folder. Default: the user's configuration folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print comma-separated values, with a byte order mark.")]
LanguageOption = Annotated[str, typer.Option("--lang", help="Labels in en or zh.")]
RatioOption = Annotated[
    list[str] | None, typer.Option("--ratio", help='"A / B": a figure of one statement by one of another. May be repeated.')
]
FileOption = Annotated[Path | None, typer.Option("--file", help="A saved question file instead of statements.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE for a place in the file. May be repeated.")]
NationalOption = Annotated[
    bool,
    typer.Option("--national", help="Only the sum over all universities, with the noise of one of them; no university's figure."),
]
SchemaOption = Annotated[Path | None, typer.Option("--schema", help="A schema file. Default: your federation's schema.")]


def gather(sql: Sequence[str] | None, file: Path | None, values: Sequence[str] | None, typed: dict[str, Any]) -> dict[str, Any]:
    """The settings of a request, `statements` among them: from what was typed, or from a file with what was typed on top.

    Raises Invalid when there are both statements and a file, or neither.
    """
    if (not sql) == (file is None):
        raise Invalid(
            "write statements, or name a file with --file", place="sql", remedy='Such as "SELECT COUNT(*) FROM graduate".'
        )
    if file is None:
        if values:
            raise Invalid("--set is for a file", place="--set", remedy="Write the value into the statement, or use --file.")
        return {"statements": tuple(sql or ()), **typed}
    from collegium.saved import read_saved, read_values

    settings = read_saved(file).settings(read_values(list(values or ())))
    given = {name: value for name, value in typed.items() if value not in (None, "", {}, [])}
    if "epsilon" in given or "rho" in given:  # a typed cost replaces the file's, of whichever kind
        settings["epsilon"] = settings["rho"] = None
    return settings | given


def titled(file: Path | None, language: str, ratios: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """What is shown above and below the tables: a file's title, and ratios of the file and those typed."""
    if file is None:
        return "", tuple(ratios or ())
    from collegium.saved import read_saved

    saved = read_saved(file)
    return saved.title_in(language), tuple(dict.fromkeys((*saved.ratios, *(ratios or ()))))


def explains(settings: dict[str, Any]) -> bool:
    """Whether the statements begin with EXPLAIN: they are planned and not asked."""
    from collegium.planning import without_explain

    return without_explain(settings["statements"])[1]


def show_plan(
    federation: Federation,
    settings: dict[str, Any],
    *,
    as_json: bool,
    target_error: str = "",
    expect: int | None = None,
) -> None:
    """Print the plan of a request that is not sent."""
    plan = federation.plan(*settings["statements"], target_error=target_error, expect=expect, **_without_statements(settings))
    if as_json:
        _say(json.dumps(plan.to_json(), ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        from collegium.plan_show import plan_renderable

        Console(highlight=False).print(plan_renderable(plan))


def try_locally(
    folder: Path,
    schema: Path | None,
    home: Path | None,
    settings: dict[str, Any],
    *,
    as_json: bool,
    as_csv: bool,
    lang: str,
    title: str = "",
    ratios: tuple[str, ...] = (),
) -> None:
    """Print what the statements say of invented rows. Sends nothing."""
    from collegium.trial import Trial

    if lang not in ("en", "zh"):
        raise Invalid(f"there are no labels in {lang!r}", place="--lang", remedy="Choose en or zh.")
    trial = Trial(folder, _schema(schema, home), language=lang)
    if explains(settings):
        plan = trial.plan(*settings["statements"], **_without_statements(settings))
        _say(json.dumps(plan.to_json(), ensure_ascii=False, indent=1) if as_json else str(plan))
        return
    answer = replace(trial.ask(*settings["statements"], **_without_statements(settings)), ratios=ratios)
    if as_json:
        _say(json.dumps(answer.to_json(), ensure_ascii=False, indent=1))
    elif as_csv:
        sys.stdout.write(answer.to_csv())
    else:
        from rich.console import Console

        from collegium.show import tables

        console = Console(highlight=False)
        if title:
            console.print(title, style="bold", markup=False)
        console.print(tables([*answer.views, *answer.quotients], answer.notes, lang))


def add_commands(app: typer.Typer, connect: Connect) -> None:
    """`plan`, `dummy`, `questions` and `series`. `connect` opens the federation of a home, with labels in a language."""

    @app.command()
    def plan(
        sql: Annotated[list[str] | None, typer.Argument(help="One or more SELECT statements; several share the cost.")] = None,
        epsilon: Annotated[str, typer.Option("--epsilon", help="What the request may cost one person.")] = "",
        rho: Annotated[str, typer.Option("--rho", help="The same as zCDP rho.")] = "",
        target_error: Annotated[
            str, typer.Option("--target-error", help="Find the cost that reaches this: 1%, or a half width in natural units.")
        ] = "",
        expect: Annotated[int | None, typer.Option("--expect", help="Rows you expect nationally, instead of enrolment.")] = None,
        purpose: Annotated[str, typer.Option("--purpose", help="A policy may depend on it.")] = "",
        node: Annotated[list[str] | None, typer.Option("--node", help="Plan only this university. May be repeated.")] = None,
        max_rows: Annotated[int | None, typer.Option("--max-rows", help="Rows of one person in a cell.")] = None,
        max_groups: Annotated[int | None, typer.Option("--max-groups", help="Cells one person is in.")] = None,
        clip: Annotated[list[str] | None, typer.Option("--clip", help="COLUMN=LOW:HIGH, ends of a person's sum.")] = None,
        national: NationalOption = False,
        file: FileOption = None,
        values: SetOption = None,
        as_json: JsonOption = False,
        lang: LanguageOption = "en",
        home: HomeOption = None,
    ) -> None:
        """Cost, expected error and expected coverage of a question. Touches no data and costs nothing."""
        from collegium.cli import read_clip

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
        if target_error:  # a file's own cost is not what is asked for
            settings["epsilon"], settings["rho"] = typed["epsilon"], typed["rho"]
        with connect(home, lang) as federation:
            show_plan(federation, settings, as_json=as_json, target_error=target_error, expect=expect)

    @app.command()
    def dummy(
        table: Annotated[list[str], typer.Argument(help="Datasets of the schema.")],
        rows: Annotated[int, typer.Option("--rows", help="Rows of each dataset at each university.")] = 1000,
        out: Annotated[Path, typer.Option("--out", help="The folder to write to.")] = Path("dummy"),
        nodes: Annotated[int, typer.Option("--nodes", help="Invented universities, a folder each if more than one.")] = 1,
        seed: Annotated[int | None, typer.Option("--seed", help="The same rows each time.")] = None,
        schema: SchemaOption = None,
        home: HomeOption = None,
    ) -> None:
        """Invented rows from the public schema alone, to try a question: collegium ask --local DIR "SELECT ..." --epsilon 1."""
        from collegium.dummy import write_dummy

        rng = random.Random(seed)  # noqa: S311 - invented rows; noise never comes from here
        made = write_dummy(_schema(schema, home), table, out, rows=rows, universities=nodes, rng=rng)
        _say("\n".join(str(file) for file in made))
        statement = f"SELECT COUNT(*) AS n FROM {table[0]}"  # noqa: S608 - shown, not run
        _say(f'Try: collegium ask --local {out} "{statement}" --epsilon 1')

    @app.command()
    def questions(
        text: Annotated[str, typer.Argument(help="Only those with this in statement or purpose.")] = "",
        limit: Annotated[int, typer.Option("--limit", help="At most so many, the newest first.")] = 10,
        as_json: JsonOption = False,
        lang: LanguageOption = "en",
        home: HomeOption = None,
    ) -> None:
        """Your earlier questions with their figures as they are now. Costs nothing; no university is asked again."""
        from itertools import islice

        from collegium.questions import earlier, questions_tree, questions_view

        with connect(home, lang) as federation:
            found = list(islice(earlier(federation, limit, containing=text), limit))
        if as_json:
            _say(json.dumps(questions_tree(found), ensure_ascii=False, indent=1))
        else:
            from rich.console import Console

            Console(highlight=False).print(questions_view(found))

    @app.command()
    def series(
        file: Annotated[Path, typer.Argument(help="A saved question file.")],
        over: Annotated[str, typer.Option("--over", help="NAME=FIRST:LAST or NAME=VALUE,VALUE, such as year=2021:2025.")],
        values: SetOption = None,
        ask: Annotated[bool, typer.Option("--ask", help="Ask for what was never asked, each at its own cost.")] = False,
        as_json: JsonOption = False,
        as_csv: CsvOption = False,
        lang: LanguageOption = "en",
        home: HomeOption = None,
    ) -> None:
        """A saved question over the years. What was asked before is fetched and costs nothing."""
        from collegium.saved import read_range, read_saved, read_values
        from collegium.series import series as make

        name, range_of = read_range(over)
        saved = read_saved(file)
        with connect(home, lang) as federation:
            made = make(federation, saved, name, range_of, ask=ask, others=read_values(list(values or ())))
        if as_json:
            _say(json.dumps(made.to_json(), ensure_ascii=False, indent=1))
        elif as_csv:
            sys.stdout.write(made.to_csv())
        else:
            from rich.console import Console

            Console(highlight=False).print(made.renderable())


def _without_statements(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "statements"}


def _schema(file: Path | None, home: Path | None) -> Schema:
    """From the file, or of the federation as it was last verified here; needs no network."""
    if file is not None:
        from collegium.schema import read_schema

        return read_schema(file)
    from collegium.home import Home, default_home

    registry = Home(home if home is not None else default_home()).registry()
    if not registry.size:
        raise Invalid(
            "the federation's schema is not here yet", place="--schema", remedy="Type `collegium schema` once, or name a file."
        )
    return registry.schema


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
