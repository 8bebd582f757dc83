"""Commands about the log: show it, recover it, and say what left the campus. Part of `collegium-node`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.errors import Invalid
from collegium_node.terminal import HERE, HomeOption, JsonOption, opened, say, show_json

if TYPE_CHECKING:
    from collegium_node.home import Node

__all__ = ["log_app"]

log_app = typer.Typer(rich_markup_mode=None)
_log = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
log_app.add_typer(_log, name="log", help="This node's signed log.")


@_log.command("export")
def export_log(
    folder: Annotated[Path, typer.Argument(help="Where to; this node's log becomes a subfolder of it.")], home: HomeOption = HERE
) -> None:
    """Write the log as static files for auditors. Repeat it any time: only what is new is written."""
    from collegium.party.publish import export

    with opened(home) as node:
        done = export(node, folder)
    say(f"{done.folder} shows {done.shown} entries.")
    if done.waiting:
        say(f"{done.waiting} newer entries are not confirmed by the log's witnesses yet and are left out.")


@_log.command("status")
def status(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """How the log stands with its witnesses."""
    from dataclasses import asdict

    with opened(home) as node:
        figures, stopped = node.quorum.figures(), node.permit.stopped
    if as_json:
        show_json({**asdict(figures), "backlog": figures.backlog, "restored": stopped is not None})
        return
    say(f"{figures.size} entries, {figures.confirmed} of them confirmed.")
    if figures.needed:
        age = "never yet" if figures.age is None else f"{figures.age} seconds ago"
        say(f"{figures.needed} of {figures.witnesses} witnesses must confirm; last time {age}.")
    else:
        say("The registry has assigned no witnesses to this log: nobody else vouches for its being complete.")
    if stopped is not None:
        say("STOPPED: this database is an old copy of what this node has signed. Run `collegium-node recover`.")


@log_app.command()
def recover(
    folder: Annotated[
        Path | None,
        typer.Argument(help="An exported copy of this node's log, such as an auditor's. Default: the coordinator's copy."),
    ] = None,
    new_log: Annotated[str, typer.Option("--new-log", help="Instead: open a new log with this token from the ministry.")] = "",
    home: HomeOption = HERE,
) -> None:
    """After restoring an old backup: replay what the node had signed since, or open a new log.

    A new log counts all budgets as spent: what the lost part has charged is not known. Stop `serve` first.
    """
    from collegium.party.alone import alone
    from collegium_node.home import Home

    if folder is not None and new_log:
        raise Invalid("a copy of the log or a new log, not both", place="arguments", remedy="Leave out the folder or --new-log.")
    where = Home(home)
    with alone(where):
        if not new_log:
            with opened(home) as node:
                taken = _replay(node, folder)
            if taken:
                say(f"Took over {taken} entries. Start `collegium-node serve`: the witnesses confirm them.")
            else:
                say("The copy holds nothing that this database lacks. Start `collegium-node serve`.")
            return
        from collegium_node.newlog import new_log as begin

        lost = begin(where, new_log, clock=time.time)
    for unit, rho in sorted(lost.items()):
        say(f"{unit}: rho {rho / 10**9:g} counts as spent, because the lost log may have charged it.")
    say("The new log is open; the old database and keys are in former/. Start `collegium-node serve`.")


def _replay(node: Node, folder: Path | None) -> int:
    from collegium_node.recover import replay

    if folder is not None:
        return replay(node, folder)
    from collegium.party.fetch import fetch_registry
    from collegium.party.mirrored import fetch_copy

    proxy = node.home.config().coordinator.proxy
    fetch_registry(node, proxy)  # a database that was lost altogether knows nobody yet
    return replay(node, fetch_copy(node, proxy))


@log_app.command()
def report(
    month: Annotated[str, typer.Option("--month", help="Such as 2026-10; UTC.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write a page to this file instead of the terminal.")] = None,
    language: Annotated[str, typer.Option("--language", help="en or zh: the labels of the schema.")] = "en",
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What left this campus in a month: each released figure's question, who asked, why, and what it cost."""
    from collegium_node.departures import departures, to_json
    from collegium_node.departures_page import page, text

    if language not in ("en", "zh"):
        raise Invalid(f"{language!r} is neither en nor zh", place="--language")
    with opened(home) as node:
        found = departures(node, month, language=language, now=int(time.time()))
    if html is not None:
        html.write_text(page(found), encoding="utf-8")
        say(f"Wrote {html}: {len(found.lines)} releases.")
    elif as_json:
        show_json(to_json(found))
    else:
        say(text(found))
