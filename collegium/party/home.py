"""The folder of one party, and the party that is opened from it. A node's and a trustee's home add their own files.

membership.json  federation, addresses, pinned keys                     `join`
keys/            statements, log, witness, tls.key, tls.csr, tls.pem    collegium.enrolment
<role>.db        log, registry, and what the party is for               collegium.party.store
serve.lock       held by the serving process; says whether it may sign  collegium.party.permit
published        where the log was exported to                          collegium.party.publish
metrics.prom     how log and witnesses stand, for monitoring            collegium.party.metrics
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from collegium.enrolment import Keys
from collegium.errors import Invalid
from collegium.keys import load_signer, save_secret
from collegium.party.journal import Journal
from collegium.party.members import Members
from collegium.party.permit import Permit
from collegium.party.quorum import Quorum
from collegium.party.store import Fault, Step, Store, no_fault

__all__ = ["Home", "Membership", "Opened", "Party"]


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


@dataclass(frozen=True)
class Home:
    """Where everything of one party lies. `role` is the party's in the registry; `steps` make its database."""

    root: Path

    role: ClassVar[str]
    steps: ClassVar[Sequence[Step]]

    @property
    def program(self) -> str:
        """The command by which it is run."""
        return f"collegium-{self.role}"

    @property
    def membership_file(self) -> Path:
        return self.root / "membership.json"

    @property
    def keys(self) -> Keys:
        return Keys(self.root / "keys")

    @property
    def database(self) -> Path:
        return self.root / f"{self.role}.db"

    @property
    def serve_lock(self) -> Path:
        return self.root / "serve.lock"

    @property
    def published_file(self) -> Path:
        return self.root / "published"

    @property
    def metrics_file(self) -> Path:
        return self.root / "metrics.prom"

    def membership(self) -> Membership:
        """Raises Invalid when this party has not joined."""
        try:
            tree: dict[str, Any] = json.loads(self.membership_file.read_text(encoding="utf-8"))
            return Membership(**tree)
        except FileNotFoundError:
            raise Invalid(
                f"this {self.role} has not joined a federation", place=str(self.root), remedy=f"Run `{self.program} join TOKEN`."
            ) from None
        except (OSError, ValueError, TypeError):
            remedy = "Run `join` again with the same token."
            raise Invalid("cannot be read", place=str(self.membership_file), remedy=remedy) from None

    def remember(self, membership: Membership) -> None:
        """Write the membership, whole or not at all; it is what makes a folder a joined party."""
        save_secret(self.membership_file, json.dumps(asdict(membership), indent=1).encode() + b"\n", replace=True)

    def open(self, clock: Callable[[], float], *, fault: Fault = no_fault, verify: bool = False) -> Opened[Self]:
        """Open the database with the party's keys. With `verify`, prove first that log and checkpoint agree (at every start)."""
        opened = self.open_at(self.database, self.keys, clock, fault=fault)
        try:
            opened.journal.guard = opened.permit
            if verify:
                opened.journal.verify()
        except BaseException:
            opened.close()
            raise
        return opened

    def open_at(self, database: Path, keys: Keys, clock: Callable[[], float], *, fault: Fault = no_fault) -> Opened[Self]:
        """Another database than the one in use, with its own keys and without a guard: only for one that is being made."""
        membership = self.membership()
        statements, log = load_signer(keys.statements), load_signer(keys.log)
        store = Store(database, self.steps, program=self.program, fault=fault)
        try:
            journal = Journal(store, statements, log, clock)
            members = Members(store, membership.registry, membership.name, self.role, statements.vkey)
            permit = Permit(store, members, journal.origin, self.serve_lock, self.program)
            return Opened(self, membership, store, journal, members, permit, Quorum(journal, members, clock))
        except BaseException:
            store.close()
            raise


H = TypeVar("H", bound=Home, covariant=True)


@dataclass(frozen=True, slots=True)
class Opened(Generic[H]):
    """An opened party: who it is, its log, its copy of the registry, and whether it may sign."""

    home: H
    membership: Membership
    store: Store
    journal: Journal
    members: Members
    permit: Permit
    quorum: Quorum

    def close(self) -> None:
        self.store.close()


Party = Opened[Home]
"""Any party: what the code of this package asks for."""
