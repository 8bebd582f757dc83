"""`collegium-coordinator log` and `witness`: the two logs as files, and who cosigns them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from collegium.keys import load_signer
from collegium_coordinator import registrar
from collegium_coordinator.config import Home, read_config
from collegium_coordinator.cosigning import Cosigned
from collegium_coordinator.journal import Journal
from collegium_coordinator.logs import Source, export_logs
from collegium_coordinator.permit import is_serving
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store
from collegium_coordinator.vectors import Vectors
from collegium_coordinator.witnesses import log_lines, witness_table

__all__ = ["UNCONFIRMED", "log_app", "witness_app"]

log_app = typer.Typer(help="The coordinator's log and the registry's, for everybody to verify.", no_args_is_help=True)
witness_app = typer.Typer(help="Who cosigns which log.", no_args_is_help=True)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="COLLEGIUM_COORDINATOR_HOME", help="The coordinator's directory.", show_default=True)
]
RegistryOption = Annotated[
    Path | None,
    typer.Option("--registry", envvar="COLLEGIUM_REGISTRY", help="Where the registry key lies. Default: HOME-registry beside it."),
]
HERE = Path()
UNCONFIRMED = "Though the registry's witnesses have not confirmed this database: only if you know that it is the newest copy."


@log_app.command("export")
def log_export(
    folder: Annotated[Path, typer.Argument(help="Where to; may hold an earlier export.")], home: HomeOption = HERE
) -> None:
    """Write FOLDER/registry and FOLDER/coordinator: static files for auditors, any web server, or a USB stick. May be repeated.

    Requests, decisions, releases and figures are in them; purposes and the words of statements are not.
    """
    where = Home(home)
    config = read_config(where)
    store = Store(where.database)
    try:
        registry = RegistryLog(store, config.registry, load_signer(where.registry_log_key))
        journal = Journal(store, registry, load_signer(where.statements_key), load_signer(where.log_key), clock=time.time)
        shown = export_logs(
            {
                "registry": Source(store, Cosigned(store, registry, registry), "registry"),
                "coordinator": Source(store, Cosigned(store, registry, journal), "entries", Vectors(where.vectors, store)),
            },
            folder,
        )
    finally:
        store.close()
    for name, size in shown.items():
        _say(f"{folder / name}: {size:,} entries")


@witness_app.command("assign")
def assign(
    each: Annotated[int, typer.Option("--each", min=3, max=5, help="Witnesses of each log.")] = 3,
    unconfirmed: Annotated[bool, typer.Option("--unconfirmed", help=UNCONFIRMED)] = False,
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """Assign witnesses to all logs. Needs the registry key. It takes effect at once.

    Repeat it when nodes or trustees have joined or left.
    """
    where = Home(home)
    key = registry if registry is not None else where.default_registry
    opened = registrar.Registrar(where, key, clock=time.time, unconfirmed=unconfirmed)
    try:
        changed = opened.assign_witnesses(each)
    finally:
        opened.close()
    for log in changed:
        names = ", ".join(log.witnesses)
        _say(f"{log.origin}: {log.quorum} of {names}" if log.witnesses else f"{log.origin}: no witnesses, there are too few")
    if not changed:
        _say("Every log has its witnesses already, or there are fewer than three nodes and trustees that could be some.")


@witness_app.command("list")
def show(home: HomeOption = HERE, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """All logs: witnesses, quorum, how many are connected, entries that wait for the quorum, and the age of the newest."""
    where = Home(home)
    config = read_config(where)
    store = Store(where.database)
    try:
        known = RegistryLog(store, config.registry, load_signer(where.registry_log_key)).registry
        lines = log_lines(store, known, time.time(), serving=is_serving(where.lock))
    finally:
        store.close()
    if as_json:
        _say(json.dumps(lines, ensure_ascii=False, indent=1))
    else:
        Console().print(witness_table(lines))


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
