"""The command `collegium-node`: what a university's operator and data steward type.

Exit codes are those of `collegium.errors.Exit`. Every command but `serve` may run while the node serves. Nothing heavy is imported
before a command needs it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from collegium.errors import CollegiumError, Exit, rule_of
from collegium_node.log_cli import log_app
from collegium_node.steward_cli import steward_app
from collegium_node.terminal import HERE, HomeOption, JsonOption, opened, say, show, show_json

__all__ = ["app", "main"]

app = typer.Typer(
    name="collegium-node",
    help="What a university runs: answers questions from its own data, within its own policy and budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
def init(home: HomeOption = HERE) -> None:
    """Make node.toml and policy.toml to fill in. Files that exist are left alone."""
    from collegium_node.init import init as make

    for path in make(home):
        say(f"Made {path}.")
    say("Next: collegium-node join TOKEN, with the token from the ministry.")


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="The token, or '-' to read it from standard input.")], home: HomeOption = HERE
) -> None:
    """Join the federation: makes this node's keys here and redeems the token. May be repeated after a crash.

    A token of `invite node NAME --replace` gives this node new keys, and leaves its log and ledger as they are. Stop `serve` first.
    """
    from collegium_node.home import Home
    from collegium_node.join import join as redeem

    text = sys.stdin.read() if token == "-" else token  # noqa: S105 - a dash is no secret
    invited, size = redeem(Home(home), text, clock=time.time)
    if invited.replaces:
        say(f"{invited.name} has new keys; the old ones are in former/. {size} registry entries verified.")
        say("Next: collegium-node serve.")
        return
    facts = ", ".join(f"{name} {code}" for name, code in sorted(invited.facts.items())) or "no facts"
    say(f"Joined as {invited.name} ({facts}); {size} registry entries verified.")
    say("Next: map your data in node.toml, then: collegium-node check; collegium-node snapshot NAME; collegium-node serve.")


@app.command()
def doctor(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Check every hop from the disk to the coordinator, and name the one that fails."""
    from dataclasses import asdict

    from collegium_node.doctor import examine
    from collegium_node.home import Home
    from collegium_node.tables import doctor_table

    findings = list(examine(Home(home), clock=time.time))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        show(doctor_table(findings))
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(int(Exit.FAILED))


@app.command()
def check(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Check sources and mapping against the schema: exact figures with row numbers, for this machine only."""
    with opened(home) as node:
        from collegium_node.check import check as look  # not before it is known that there is a node to check

        registry = node.members.registry
        report = look(node.home.config(), registry.schema, registry.catalogues)
    if as_json:
        show_json(report.to_json())
    else:
        show(report.render())
    if report.broken:
        raise typer.Exit(int(Exit.INVALID))


@app.command()
def snapshot(
    name: Annotated[str, typer.Argument(help="Your name for it, such as 2026-autumn; public.")], home: HomeOption = HERE
) -> None:
    """Fix what the datasets are from now on. Earlier snapshots stay for questions charged on them."""
    with opened(home) as node:
        from collegium_node.digest import load_secret
        from collegium_node.shelf import Shelved, add
        from collegium_node.snapshot import build_snapshot
        from collegium_node.steward import InForce, sign_if_changed

        schema = node.members.registry.schema
        built = build_snapshot(name, node.home.config(), schema, load_secret(node.home.snapshot_key), node.home.root, time.time)
        # Crash here: the folder is complete and no question is ever asked of it; the same command makes another.
        with node.journal.write("snapshot") as log:
            add(log.db, Shelved(built.id, built.name, built.time, built.schema, tuple(sorted(built.datasets)), True, built.absent))
            sign_if_changed(log, InForce(node.journal)())
    for dataset, (rows, persons) in sorted(built.datasets.items()):
        say(f"{dataset}: {rows:,} rows of {persons:,} persons (exact; do not send on)")
    say(f"Snapshot {built.name} ({built.id}) is current.")


@app.command()
def serve(home: HomeOption = HERE) -> None:
    """Answer questions until SIGTERM or Ctrl-C. Log lines go to standard error, one JSON object each."""
    from collegium_node.home import Home

    where = Home(home)
    where.membership()
    from collegium_node.serve import serve as run

    raise typer.Exit(int(run(where)))


app.add_typer(steward_app)
app.add_typer(log_app)


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="Where to; must not exist.")], home: HomeOption = HERE) -> None:
    """Copy the database while the node runs. Keys are not in it; the output says what else to keep."""
    from collegium.party.backup import backup as copy

    with opened(home) as node:
        entries = copy(node, file)
    say(f"Wrote {file}: {entries} log entries.")
    say("Keep with it, apart and secret: keys/ (who this node is) and snapshot.key (which rows of a person count).")
    say("snapshots/ can be made again from the sources, but questions charged on them and not yet answered then stay unanswered.")


@app.command()
def version() -> None:
    """Print the version."""
    from collegium import __version__

    say(__version__)
