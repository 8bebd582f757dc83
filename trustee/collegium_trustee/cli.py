"""The command `collegium-trustee`: what the operator of a trustee types.

Exit codes are those of `collegium.errors.Exit`. Every command but `serve` and `recover` may run while the trustee serves. Nothing
heavy is imported before a command needs it.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.errors import CollegiumError, Exit, rule_of

if TYPE_CHECKING:
    from collegium_trustee.home import Trustee

__all__ = ["app", "main"]

HomeOption = Annotated[Path, typer.Option("--home", envvar="COLLEGIUM_TRUSTEE_HOME", help="The trustee's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path()

app = typer.Typer(
    name="collegium-trustee",
    help="What a trustee of national sums runs: it holds a third of every mask, and sees no data and no single figure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_log = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.add_typer(_log, name="log", help="This trustee's signed log.")


def main() -> None:
    """Run the command; errors leave as one line and their exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # before gRPC is loaded; what matters of a connection is in our own lines
    try:
        app()
    except CollegiumError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        raise SystemExit(int(rule_of(error).exit_code)) from None
    except KeyboardInterrupt:
        raise SystemExit(int(Exit.INTERRUPTED)) from None


@app.command()
def init(
    folder: Annotated[Path | None, typer.Argument(help="The folder to make. Default: --home.")] = None, home: HomeOption = HERE
) -> None:
    """Make the trustee's folder and trustee.toml. What exists is left alone."""
    from collegium_trustee.init import init as make

    made = make(folder or home)
    if made is not None:
        say(f"Made {made}.")
    say("Next: collegium-trustee join TOKEN, with the token from the ministry.")


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="The token, or '-' to read it from standard input.")], home: HomeOption = HERE
) -> None:
    """Join the federation: makes this trustee's keys here and redeems the token. May be repeated after a crash.

    A token of `invite trustee NAME --replace` gives this trustee new keys, and leaves its log as it is. Stop `serve` first.
    """
    from collegium.party.join import join as redeem
    from collegium_trustee.home import Home

    where = Home(home)
    text = sys.stdin.read() if token == "-" else token  # noqa: S105 - a dash is no secret
    invited, size = redeem(where, text, proxy=where.config().coordinator.proxy, clock=time.time)
    done = f"{invited.name} has new keys; the old ones are in former/." if invited.replaces else f"Joined as {invited.name}."
    say(f"{done} {size} registry entries verified.")
    say("Next: collegium-trustee serve.")


@app.command()
def serve(home: HomeOption = HERE) -> None:
    """Take part in rounds, and be a witness, until SIGTERM or Ctrl-C. Log lines go to standard error, one JSON object each."""
    from collegium_trustee.home import Home

    where = Home(home)
    where.membership()
    from collegium_trustee.serve import serve as run

    raise typer.Exit(int(run(where)))


@app.command()
def status(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Who this trustee is, how its log stands with its witnesses, its sealing key and its rounds."""
    from collegium_trustee.status import look, status_table

    with _opened(home) as trustee:
        found = look(trustee)
    _print(found.to_json() if as_json else status_table(found), as_json)


@app.command()
def keys(
    home: HomeOption = HERE,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new one now, before the month is over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the sealing keys. `serve` makes a new one each month, and deletes the private half when no round needs it any more."""
    from collegium_trustee.status import keys_table, sealing_of

    with _opened(home) as trustee:
        sealing = sealing_of(trustee)
        if rotate:
            sealing.rotate()
        found = sealing.listing()
    _print([each._asdict() for each in found] if as_json else keys_table(found), as_json)


@_log.command("export")
def export_log(
    folder: Annotated[Path, typer.Argument(help="Where to; this trustee's log becomes a subfolder of it.")], home: HomeOption = HERE
) -> None:
    """Write the log as static files for auditors. Repeat it any time: only what is new is written."""
    from collegium.party.publish import export

    with _opened(home) as trustee:
        done = export(trustee, folder)
    say(f"{done.folder} shows {done.shown} entries.")
    if done.waiting:
        say(f"{done.waiting} newer entries are not confirmed by the log's witnesses yet and are left out.")


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="Where to; must not exist.")], home: HomeOption = HERE) -> None:
    """Copy the database while the trustee runs, without sealing keys and seeds: a copy must not keep what is to be forgotten."""
    from collegium_trustee.backup import backup as copy

    with _opened(home) as trustee:
        entries = copy(trustee, file)
    say(f"Wrote {file}: {entries} log entries.")
    say("Keep with it, apart and secret: keys/ (who this trustee is).")
    say("A trustee restored from it cannot finish the rounds that were open, and makes a new sealing key.")


@app.command()
def recover(
    folder: Annotated[
        Path | None,
        typer.Argument(help="An exported copy of this trustee's log, such as an auditor's. Default: the coordinator's copy."),
    ] = None,
    home: HomeOption = HERE,
) -> None:
    """After restoring an old backup: replay what the trustee had signed since. Stop `serve` first."""
    from collegium.party.alone import alone
    from collegium.party.fetch import fetch_registry
    from collegium.party.mirrored import fetch_copy
    from collegium_trustee.home import Home
    from collegium_trustee.recover import replay

    with alone(Home(home)), _opened(home) as trustee:
        if folder is not None:
            taken = replay(trustee, folder)
        else:
            proxy = trustee.home.config().coordinator.proxy
            fetch_registry(trustee, proxy)  # a database that was lost altogether knows nobody yet
            taken = replay(trustee, fetch_copy(trustee, proxy))
    if taken:
        say(f"Took over {taken} entries. Start `collegium-trustee serve`: the witnesses confirm them.")
    else:
        say("The copy holds nothing that this database lacks. Start `collegium-trustee serve`.")


@app.command()
def version() -> None:
    """Print the version."""
    from collegium import __version__

    say(__version__)


def _opened(home: Path) -> AbstractContextManager[Trustee]:
    from collegium.party.terminal import opened
    from collegium_trustee.home import Home

    return opened(Home(home))


def _print(what: object, as_json: bool) -> None:
    from collegium.party.terminal import show, show_json

    (show_json if as_json else show)(what)


def say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
