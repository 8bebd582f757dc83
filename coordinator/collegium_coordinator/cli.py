"""The command `collegium-coordinator`: found a federation, invite, serve, look, back up.

Exit codes are those of `collegium.errors.Exit`. Every command but `serve` may run while the coordinator serves.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from collegium import __version__
from collegium.errors import CollegiumError, Exit, Invalid, rule_of
from collegium.keys import load_signer
from collegium.observing.loglines import log_to
from collegium.registry import Registry
from collegium_coordinator import registrar
from collegium_coordinator.backup import backup as write_backup
from collegium_coordinator.config import Home, Listen, Public, read_config
from collegium_coordinator.log_cli import UNCONFIRMED, log_app, witness_app
from collegium_coordinator.partition_cli import partition
from collegium_coordinator.permit import is_serving
from collegium_coordinator.recover import recover as bring_back
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.report import budget_table, budget_tree, day_of, nodes_table, nodes_tree
from collegium_coordinator.serve import Ports, serving
from collegium_coordinator.serve import serve as run_server
from collegium_coordinator.store import Store

__all__ = ["app", "main"]

app = typer.Typer(
    name="collegium-coordinator",
    help="What the ministry runs: founds a federation, invites its members, and serves their questions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
invite_app = typer.Typer(help="Make a token that lets one party join once. Needs the registry key.", no_args_is_help=True)
app.add_typer(invite_app, name="invite", rich_help_panel=None)
app.add_typer(witness_app, name="witness", rich_help_panel=None)
app.add_typer(log_app, name="log", rich_help_panel=None)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="COLLEGIUM_COORDINATOR_HOME", help="The coordinator's directory.", show_default=True)
]
RegistryOption = Annotated[
    Path | None,
    typer.Option("--registry", envvar="COLLEGIUM_REGISTRY", help="Where the registry key lies. Default: HOME-registry beside it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path()
SHIPPED = Path(__file__).parent / "catalogue" / "higher-education.toml"
EXPIRES = "7d"


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
def init(
    federation: Annotated[str, typer.Option("--federation", help="The federation's name: small letters, digits, '-'.")],
    schema: Annotated[Path, typer.Option("--schema", help="The schema, a TOML file.")],
    host: Annotated[
        list[str], typer.Option("--host", help="A name or address under which nodes reach this machine. May be repeated.")
    ],
    home: HomeOption = HERE,
    registry: RegistryOption = None,
    delta: Annotated[str, typer.Option("--delta", help="The federation's delta.")] = "1e-6",
    listen: Annotated[str, typer.Option("--listen", help="Where nodes and researchers connect.")] = "0.0.0.0:7443",
    enrol: Annotated[str, typer.Option("--enrol", help="Where newcomers join.")] = "0.0.0.0:7442",
    public: Annotated[
        str, typer.Option("--public", help="What tokens tell newcomers to dial instead of HOST and --listen's port.")
    ] = "",
    public_enrol: Annotated[str, typer.Option("--public-enrol", help="The same for --enrol.")] = "",
) -> None:
    """Found a federation: its keys, its certificate authority, its registry with the schema as first version."""
    where = Home(home)
    try:
        text = schema.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(schema)) from None
    founded = registrar.init(
        where,
        registry if registry is not None else where.default_registry,
        federation=federation,
        schema=text,
        delta=delta,
        listen=Listen(main=listen, enrolment=enrol),
        public=Public(
            main=public or f"{host[0]}:{_port(listen, '--listen')}",
            enrolment=public_enrol or f"{host[0]}:{_port(enrol, '--enrol')}",
            hosts=tuple(host),
        ),
        clock=time.time,
    )
    _say(f"Founded the federation {federation} in {founded.home}.")
    _say(f"Its registry key is in {founded.registry}: whoever holds it decides who takes part.")
    _say("Move it to a medium of its own and back it up; `serve` does not need it.")
    _say(f"Registry: {founded.registry_vkey}")


@invite_app.command("node")
def invite_node(
    name: Annotated[str, typer.Argument(help="The node's name.")],
    fact: Annotated[list[str] | None, typer.Option("--fact", help="A public fact as NAME=CODE. May be repeated.")] = None,
    enrolment: Annotated[
        int, typer.Option("--enrolment", min=0, help="Known number of persons, a public figure; 0 if unknown.")
    ] = 0,
    expires: Annotated[str, typer.Option("--expires", help="How long the token is good for: 30m, 12h, 7d.")] = EXPIRES,
    dial: Annotated[str, typer.Option("--dial", help="HOST:PORT of a node that listens instead of dialling out.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="The name is registered and changes its keys.")] = False,
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """Invite a university's node. Prints its token, once."""
    with _registrar(home, registry) as opened:
        token = opened.invite(
            "node",
            name,
            facts=dict(_fact(text) for text in fact or ()),
            enrolment=enrolment,
            expires=registrar.seconds_of(expires),
            replaces=replace,
            address=dial,
        )
    _show_token(token, expires)


@invite_app.command("researcher")
def invite_researcher(
    name: Annotated[str, typer.Argument(help="The researcher's name.")],
    expires: Annotated[str, typer.Option("--expires", help="How long the token is good for: 30m, 12h, 7d.")] = EXPIRES,
    replace: Annotated[bool, typer.Option("--replace", help="The name is registered and changes its keys.")] = False,
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """Invite a researcher. Prints the token, once."""
    with _registrar(home, registry) as opened:
        token = opened.invite("researcher", name, facts={}, expires=registrar.seconds_of(expires), replaces=replace)
    _show_token(token, expires)


@invite_app.command("trustee")
def invite_trustee(
    name: Annotated[str, typer.Argument(help="The trustee's name.")],
    expires: Annotated[str, typer.Option("--expires", help="How long the token is good for: 30m, 12h, 7d.")] = EXPIRES,
    replace: Annotated[bool, typer.Option("--replace", help="The name is registered and changes its keys.")] = False,
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """Invite a trustee of national sums; three of them are needed. Prints its token, once."""
    with _registrar(home, registry) as opened:
        token = opened.invite("trustee", name, facts={}, expires=registrar.seconds_of(expires), replaces=replace)
    _show_token(token, expires)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="A node, a researcher, a trustee, or an open invitation.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; public.")] = "",
    unconfirmed: Annotated[bool, typer.Option("--unconfirmed", help=UNCONFIRMED)] = False,
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """End a party. Needs the registry key. Connections are closed at once; what the party signed before stays valid."""
    with _registrar(home, registry, unconfirmed=unconfirmed) as opened:
        opened.revoke(name, reason)
    _say(f"{name} is revoked.")


@app.command()
def schema(
    file: Annotated[Path, typer.Argument(help="The new version, a TOML file.")],
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """Publish a new version of the schema. Needs the registry key."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(file)) from None
    with _registrar(home, registry) as opened:
        _say(f"The schema is now {opened.schema(text)}.")


@app.command()
def catalogue(
    file: Annotated[
        Path | None, typer.Argument(help="The new version, a TOML file. Default: the one that comes with this package.")
    ] = None,
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """Publish a new version of a catalogue of indicators. Needs the registry key."""
    path = file if file is not None else SHIPPED
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(path)) from None
    with _registrar(home, registry) as opened:
        _say(f"The catalogue is now {opened.catalogue(text, place=str(path))}.")


app.command()(partition)


@app.command()
def dial(
    name: Annotated[str, typer.Argument(help="A node that listens.")],
    address: Annotated[str, typer.Argument(help="HOST:PORT, or '' to stop dialling it.")],
    home: HomeOption = HERE,
) -> None:
    """Say where a listening node is to be dialled. Takes effect at once."""
    if address:
        _port(address, "ADDRESS")
    store = Store(Home(home).database)
    try:
        with store.transaction() as db:
            if address:
                db.execute("INSERT OR REPLACE INTO dial VALUES (?, ?)", (name, address))
            else:
                db.execute("DELETE FROM dial WHERE node = ?", (name,))
    finally:
        store.close()
    _say(f"{name} is dialled at {address}." if address else f"{name} is not dialled any more.")


@app.command()
def serve(
    home: HomeOption = HERE,
    listen: Annotated[str, typer.Option("--listen", help="Instead of the setting: where nodes and researchers connect.")] = "",
    enrol: Annotated[str, typer.Option("--enrol", help="Instead of the setting: where newcomers join.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
    log_format: Annotated[
        Literal["text", "json"], typer.Option("--log-format", help="Lines for people, or one JSON object a line.")
    ] = "text",
) -> None:
    """Serve until Ctrl-C. Never opens the registry key."""
    log_to(form=log_format, verbose=verbose)
    where = Home(home)
    settings = read_config(where).listen
    addresses = Listen(main=listen or settings.main, enrolment=enrol or settings.enrolment)

    def started(ports: Ports) -> None:
        _say(f"Serving on port {ports.main}; newcomers join on port {ports.enrolment}. Ctrl-C stops.")
        sys.stdout.flush()

    asyncio.run(run_server(where, addresses, started=started))


@app.command()
def nodes(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """All nodes: facts, enrolment, whether they are connected."""
    where = Home(home)
    with _registry_of(where) as (store, known):
        serving = is_serving(where.lock)
        lines = nodes_tree(store, known, serving=serving, now=time.time())
    if as_json:
        _json(lines)
    else:
        Console().print(nodes_table(lines, time.time()))
        if not serving:
            _say("Nobody is serving this coordinator: who is connected is not known.")


@app.command()
def budget(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """What each node's published policy allows, and what this log has recorded as charged. `--json` is in nano-rho."""
    with _registry_of(Home(home)) as (store, known):
        lines = budget_tree(store, known)
    if as_json:
        _json(lines)
    else:
        Console().print(budget_table(lines))


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="Where to; must not exist.")], home: HomeOption = HERE) -> None:
    """Copy the database while it is in use. Keys are not in it: back up the keys directory and the registry key once, by hand."""
    size = write_backup(Home(home), file)
    _say(f"Wrote {file} ({size} bytes). It holds no key: keep a copy of {Home(home).keys} and of the registry key elsewhere.")


@app.command()
def recover(
    file: Annotated[Path | None, typer.Argument(help="A newer copy of the database. Default: that of [mirror] own.")] = None,
    home: HomeOption = HERE,
) -> None:
    """After restoring an old backup: take over what this coordinator had signed since. Stop `serve` first.

    The registry comes from the nodes: let `serve` run stopped for a moment, until it has read theirs.
    """
    where = Home(home)
    with serving(where):
        done = bring_back(where, file, clock=time.time)
    for origin, taken in done.taken.items():
        _say(f"{origin}: took over {taken} entries{f' from {done.source}' if done.source and taken else ''}.")
    for lost in done.lost:
        _say(f"{lost.origin}: holds {lost.held} entries; {lost.holder} has shown {lost.shown} that this log has signed.")
    if done.lost:
        raise Invalid(
            "this database is still an old copy, and nothing is signed on it",
            place=str(where.database),
            remedy="Give a newer copy: `recover FILE`. For the registry let `serve` run until nodes are connected; try again.",
        )
    _say("Nothing that anybody has shown is missing. Start `collegium-coordinator serve`: the witnesses confirm it.")


@app.command()
def version() -> None:
    """Print the version."""
    _say(__version__)


@contextmanager
def _registrar(home: Path, registry: Path | None, *, unconfirmed: bool = False) -> Iterator[registrar.Registrar]:
    where = Home(home)
    key = registry if registry is not None else where.default_registry
    opened = registrar.Registrar(where, key, clock=time.time, unconfirmed=unconfirmed)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def _registry_of(home: Home) -> Iterator[tuple[Store, Registry]]:
    """The database and its registry, verified from the pinned key."""
    config = read_config(home)
    store = Store(home.database)
    try:
        yield store, RegistryLog(store, config.registry, load_signer(home.registry_log_key)).registry
    finally:
        store.close()


def _fact(text: str) -> tuple[str, str]:
    name, equals, code = text.partition("=")
    if not equals or not name or not code:
        raise Invalid(f"{text!r} is no fact", place="--fact", remedy="Write NAME=CODE, such as province=11.")
    return name, code


def _port(address: str, place: str) -> int:
    port = address.rpartition(":")[2]
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65_535 or ":" not in address:
        raise Invalid(f"{address!r} is no HOST:PORT", place=place)
    return int(port)


def _show_token(token: str, expires: str) -> None:
    ends = day_of(time.time() + registrar.seconds_of(expires))
    print(f"Good for one use until {ends}. Send it on a channel you trust: who has it first takes the name.", file=sys.stderr)  # noqa: T201
    _say(token)


def _json(tree: object) -> None:
    _say(json.dumps(tree, ensure_ascii=False, indent=1))


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
