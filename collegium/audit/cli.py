"""`collegium audit`: verify exported logs offline.

    collegium audit FOLDER --policy trust.txt        the verdicts
    collegium audit show FOLDER --policy trust.txt   questions, costs and budgets
    collegium audit report FOLDER --policy trust.txt --out page.html

Exit codes: 0 clean, 1 proven violation, 2 evidence incomplete, 3 bad input. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from collegium.errors import CollegiumError, Failed, Invalid

if TYPE_CHECKING:
    from collegium.audit.run import Audit

__all__ = ["app"]

_UsageError: Any = typer.BadParameter.__mro__[1]  # typer brings its own copy of click, or uses the installed one
BAD_INPUT = 3  # Code.BAD_INPUT, which is not imported here: this file is read by every `collegium`


class _VerifyByDefault(TyperGroup):
    """`collegium audit FOLDER` is `collegium audit verify FOLDER`; wrong flags end with 3, for 2 says something about evidence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["verify", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            error.exit_code = BAD_INPUT
            raise
        except CollegiumError as error:
            print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
            raise typer.Exit(BAD_INPUT) from None  # no verdict, whatever the reason: never one of the codes that are one


app = typer.Typer(
    cls=_VerifyByDefault,
    help="Verify exported logs, offline and without believing either side.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

FolderArgument = Annotated[Path, typer.Argument(help="A folder with one subfolder for each log.")]
PolicyOption = Annotated[Path, typer.Option("--policy", help="The trust file: whose logs and witnesses you believe.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, help="Processes. Default: all cores.")]


@app.command()
def verify(
    folder: FolderArgument,
    policy: PolicyOption,
    since: Annotated[Path | None, typer.Option("--since", help="Compare with the state that an earlier audit kept.")] = None,
    keep: Annotated[Path | None, typer.Option("--keep", help="Keep this audit's state there, for the next --since.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Trees, checkpoints and sizes only; no entry's signature.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    evidence: Annotated[
        Path, typer.Option("--evidence", help="Folder made for the evidence, one subfolder a FAIL; nothing is made without a FAIL.")
    ] = Path("evidence"),
    jobs: JobsOption = None,
) -> None:
    """The verdicts A1 to A15. Exit code 0 clean, 1 proven violation, 2 evidence incomplete, 3 bad input."""
    from collegium.audit.exhibits import write_evidence
    from collegium.audit.state import write_state
    from collegium.audit.words import as_json as tree
    from collegium.audit.words import as_lines

    found = _audit(folder, policy, since=since, fast=fast, jobs=jobs)
    written = write_evidence(found.case, found.findings.list, evidence)
    if keep is not None:
        write_state(found.case, keep, found.earlier)
    _say(json.dumps(tree(found, written), ensure_ascii=False, indent=1) if as_json else "\n".join(as_lines(found, written)))
    raise typer.Exit(int(found.findings.code))


@app.command()
def show(
    folder: FolderArgument,
    policy: PolicyOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, in nano-rho.")] = False,
    lang: Annotated[str, typer.Option("--lang", help="Labels in en or zh.")] = "en",
    jobs: JobsOption = None,
) -> None:
    """Questions, what they cost at each university, what is left of each budget, and the rounds of national sums."""
    from collegium.audit.story import tell
    from collegium.audit.tables import budget_table, question_table, sum_table

    found = _audit(folder, policy, jobs=jobs)
    story = tell(found, _language(lang))
    if as_json:
        _say(json.dumps(story.to_json(), ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        console.print(question_table(story))
        console.print(budget_table(story))
        if story.sums:
            console.print(sum_table(story))
    raise typer.Exit(int(found.findings.code))


@app.command()
def report(
    folder: FolderArgument,
    policy: PolicyOption,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")],
    lang: Annotated[str, typer.Option("--lang", help="Labels in en or zh.")] = "en",
    jobs: JobsOption = None,
) -> None:
    """One page for reading and printing: verdicts, questions, figures, budgets over time. It loads nothing from any network."""
    from collegium.audit.page import page
    from collegium.audit.story import tell

    found = _audit(folder, policy, jobs=jobs)
    content = page(found, tell(found, _language(lang)))
    try:
        out.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Failed(f"the page cannot be written: {error.strerror}", place=str(out)) from None
    _say(f"Written: {out}")
    raise typer.Exit(int(found.findings.code))


def _audit(folder: Path, policy: Path, *, since: Path | None = None, fast: bool = False, jobs: int | None = None) -> Audit:
    from collegium.audit.run import audit
    from collegium.log.trust import Trust

    try:
        with policy.open("rb") as file:
            content = file.read(1_000_001)
    except OSError as error:
        raise Invalid(f"the trust file cannot be read: {error.strerror}", place=str(policy)) from None
    return audit(folder, Trust.parse(content, place=str(policy)), since=since, fast=fast, workers=jobs)


def _language(lang: str) -> str:
    if lang not in ("en", "zh"):
        raise Invalid(f"there are no labels in {lang!r}", place="--lang", remedy="Choose en or zh.")
    return lang


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
