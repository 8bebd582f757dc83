"""The folder of one node, and the parts that open it. Every file has one reader and one writer, named here.

node.toml        the operator's mapping and settings                    collegium_node.config
policy.toml      the steward's draft; in force once signed              collegium_node.steward
membership.json  federation, addresses, pinned keys                     `join`
keys/            statements, log, witness, tls.key, tls.csr, tls.pem    collegium.enrolment
snapshot.key     the secret of row digests                              collegium_node.digest
node.db          log, ledger, registry                                  collegium_node.store
snapshots/       prepared rows                                          collegium_node.snapshot
serve.lock       held by the serving process; says whether it may sign  collegium_node.permit
published        where the log was exported to                          collegium_node.publish
metrics.prom     how log and witnesses stand, for monitoring            collegium_node.metrics
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from collegium.enrolment import Keys
from collegium.errors import Invalid
from collegium.keys import load_signer, save_secret
from collegium_node.config import NodeConfig, read_config
from collegium_node.journal import Journal
from collegium_node.members import Members
from collegium_node.permit import Permit
from collegium_node.quorum import Quorum
from collegium_node.store import Fault, Store, no_fault

__all__ = ["Home", "Membership", "Node"]


@dataclass(frozen=True, slots=True)
class Membership:
    """What `join` learnt from the token. `registry` is pinned: nothing signed by another registry key is ever believed."""

    federation: str
    name: str
    service: str  # host:port of the coordinator's main port
    enrolment: str  # host:port of its enrolment port
    registry: str  # verifier key
    ca: str  # PEM
    invitation: str  # statement id


@dataclass(frozen=True, slots=True)
class Node:
    """An opened node: who it is, its log and ledger, its copy of the registry."""

    home: Home
    membership: Membership
    store: Store
    journal: Journal
    members: Members
    permit: Permit
    quorum: Quorum

    def close(self) -> None:
        self.store.close()


@dataclass(frozen=True, slots=True)
class Home:
    """Where everything of one node lies."""

    root: Path

    @property
    def config_file(self) -> Path:
        return self.root / "node.toml"

    @property
    def policy_file(self) -> Path:
        return self.root / "policy.toml"

    @property
    def membership_file(self) -> Path:
        return self.root / "membership.json"

    @property
    def keys(self) -> Keys:
        return Keys(self.root / "keys")

    @property
    def snapshot_key(self) -> Path:
        return self.root / "snapshot.key"

    @property
    def database(self) -> Path:
        return self.root / "node.db"

    @property
    def serve_lock(self) -> Path:
        return self.root / "serve.lock"

    @property
    def published_file(self) -> Path:
        return self.root / "published"

    @property
    def metrics_file(self) -> Path:
        return self.root / "metrics.prom"

    def config(self) -> NodeConfig:
        return read_config(self.config_file)

    def membership(self) -> Membership:
        """Raises Invalid when this node has not joined."""
        try:
            tree: dict[str, Any] = json.loads(self.membership_file.read_text(encoding="utf-8"))
            return Membership(**tree)
        except FileNotFoundError:
            raise Invalid(
                "this node has not joined a federation", place=str(self.root), remedy="Run `collegium-node join TOKEN`."
            ) from None
        except (OSError, ValueError, TypeError):
            remedy = "Run `join` again with the same token."
            raise Invalid("cannot be read", place=str(self.membership_file), remedy=remedy) from None

    def remember(self, membership: Membership) -> None:
        """Write the membership, whole or not at all; it is what makes a folder a joined node."""
        save_secret(self.membership_file, json.dumps(asdict(membership), indent=1).encode() + b"\n", replace=True)

    def open(self, clock: Callable[[], float], *, fault: Fault = no_fault, verify: bool = False) -> Node:
        """Open the database with the node's keys. With `verify`, prove first that log and checkpoint agree (at every start)."""
        node = self.open_at(self.database, self.keys, clock, fault=fault)
        try:
            node.journal.guard = node.permit
            if verify:
                node.journal.verify()
        except BaseException:
            node.close()
            raise
        return node

    def open_at(self, database: Path, keys: Keys, clock: Callable[[], float], *, fault: Fault = no_fault) -> Node:
        """Another database than the one in use, with its own keys and without a guard: only for one that is being made."""
        membership = self.membership()
        statements, log = load_signer(keys.statements), load_signer(keys.log)
        store = Store(database, fault=fault)
        try:
            journal = Journal(store, statements, log, clock)
            members = Members(store, membership.registry, membership.name, statements.vkey)
            permit = Permit(store, members, journal.origin, self.serve_lock)
            return Node(self, membership, store, journal, members, permit, Quorum(journal, members, clock))
        except BaseException:
            store.close()
            raise
