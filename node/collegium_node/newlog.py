"""`recover --new-log TOKEN`: a new log under new keys, when what this node has signed cannot be brought back.

The old log stays what it is: signed, witnessed, and no longer added to. The registry says that the node's keys were replaced, so
everybody sees that a new log begins. What the lost part of the old one has charged nobody here knows; so for every privacy unit the
whole lifetime budget, the largest that any known policy has set, counts as spent, in the present period too. That stands as `lost`
in the new log's first policy and in every later one, and an auditor adds it to the charges. The unit answers again only when the
steward signs a larger lifetime budget, a decision that all can see in the log, and then from the next period on.

The order of steps is made for crashes: the same command with the same token goes on from wherever it stopped.

    (1) keys     new ones in keys.new/, and the registration, signed by the invitation, the new key and the old one
    (2) join     the coordinator takes the registration and gives a certificate for the new keys
    (3) log      node.new.db: the registry, the snapshots, and the first entries of the new log
    (4) replace  the old database and keys move to former/<time>/, the new ones take their place
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from collegium.enrolment import Keys
from collegium.errors import CollegiumError, Invalid
from collegium.party.fetch import fetch_registry
from collegium.replacing import Enrol, certified, former_folder, send
from collegium.statements import Policy as PolicyStatement
from collegium.token import parse_token
from collegium_node import shelf
from collegium_node.home import Home, Node
from collegium_node.policy import NOTHING, Lost, Policy
from collegium_node.steward import InForce, read_draft, sign_if_changed

__all__ = ["lost_budgets", "new_log"]

Fetch = Callable[[Node, Keys], object]
"""Brings a node's copy of the registry up to date, speaking with these keys."""


def new_log(
    home: Home, text: str, *, clock: Callable[[], float], enrol: Enrol | None = None, fetch: Fetch | None = None
) -> dict[str, int]:
    """Open a new log. What counts as lost, nano-rho by privacy unit.

    Raises Invalid when the token does not invite this node to replace its keys; NotVerified, Refused, Offline from the coordinator.
    """
    token, membership = parse_token(text), home.membership()
    invited = token.invited
    if (invited.role, invited.name, token.federation) != ("node", membership.name, membership.federation) or not invited.replaces:
        remedy = f"The ministry makes one with `collegium-coordinator invite node {membership.name} --replace ...`."
        raise Invalid("this token does not invite this node to replace its keys", place="token", remedy=remedy)
    fresh = Keys(home.root / "keys.new")
    former = former_folder(home.root, token)
    if (former / "keys").is_dir() and not fresh.folder.exists():
        raise Invalid("this token has been used here", place="token", remedy="The new log is open: `collegium-node serve`.")
    # (1) (2)
    certified(token, home.keys, fresh, clock=clock, enrol=enrol or send, keep_log=False)
    # (3)
    database = home.root / "node.new.db"
    if home.database.exists() and not (former / "node.db").exists():
        lost = _begin(home, fresh, database, clock, fetch or _fetch)
    else:
        lost = {}
    # (4)
    # Crash anywhere below: every rename is tried again; what has moved already is passed over.
    former.mkdir(parents=True, exist_ok=True, mode=0o700)
    _move(home.database, former / "node.db", when=database.exists())
    for suffix in ("-wal", "-shm"):
        _move(home.root / f"node.db{suffix}", former / f"node.db{suffix}", when=database.exists())
    _move(database, home.database, when=database.exists())
    _move(home.keys.folder, former / "keys", when=fresh.folder.exists() and not (former / "keys").exists())
    _move(fresh.folder, home.keys.folder, when=fresh.folder.exists())
    home.published_file.unlink(missing_ok=True)
    return lost


def lost_budgets(node: Node, time: int) -> dict[str, Lost]:
    """For every unit that any policy known here gives a budget: the largest lifetime, or period, that one has given it."""
    with node.store.read() as db:
        notes = [note for (note,) in db.execute("SELECT note FROM entries WHERE kind = 'policy' ORDER BY idx")]
    policies = [Policy.from_json(PolicyStatement.read(note).policy) for note in notes]
    with suppress(CollegiumError):  # what the steward has written since the backup is in this file, not in the database
        policies.append(read_draft(node.home.policy_file, node.members.registry.founding.delta, lambda name: name))
    largest: dict[str, int] = {}
    for policy in policies:
        for unit, line in policy.budget.items():
            largest[unit] = max(largest.get(unit, 0), line.lifetime, line.rho)
        for unit, before in (policy.lost or {}).items():
            largest[unit] = max(largest.get(unit, 0), before.rho)
    return {unit: Lost(rho=rho, time=time) for unit, rho in sorted(largest.items()) if rho}


def _fetch(node: Node, keys: Keys) -> object:
    return fetch_registry(node, node.home.config().coordinator.proxy, keys)


def _begin(home: Home, fresh: Keys, database: Path, clock: Callable[[], float], fetch: Fetch) -> dict[str, int]:
    """Write the new database: all of it, or it is made again from nothing."""
    for path in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        path.unlink(missing_ok=True)
    old = home.open(clock)
    try:
        lost = lost_budgets(old, int(clock()))
        policy = InForce(old.journal)() if old.journal.newest("policy") else NOTHING
        with old.store.read() as db:
            registry = db.execute("SELECT idx, note FROM registry ORDER BY idx").fetchall()
            registry_head = db.execute("SELECT id, size, root, note FROM registry_head").fetchall()
        snapshots = _snapshots(old)
        new = home.open_at(database, fresh, clock)
        try:
            with new.store.write("registry") as db:
                db.executemany("INSERT INTO registry VALUES (?, ?)", registry)
                db.executemany("INSERT INTO registry_head VALUES (?, ?, ?, ?)", registry_head)
            fetch(new, fresh)  # it must hold the new keys: everything in the new log is judged by it
            new.members.check_own()
            with new.journal.write("new-log") as log:
                for each in snapshots:
                    log.db.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", each)
                sign_if_changed(log, policy.model_copy(update={"lost": lost or None}))
        finally:
            new.close()
    finally:
        old.close()
    return {unit: each.rho for unit, each in lost.items()}


def _snapshots(old: Node) -> list[tuple[Any, ...]]:
    with old.store.read() as db:
        found = shelf.listing(db)
    return [(s.id, s.name, s.time, s.schema, int(s.current), json.dumps(sorted(s.datasets))) for s in reversed(found)]


def _move(source: Path, target: Path, *, when: bool) -> None:
    if when and source.exists():
        source.rename(target)
