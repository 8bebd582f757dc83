"""The case: the logs under audit, the verified registry, what is known across logs. Filled by `opening`, read by every check."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from collegium.audit.facts import RequestFact
from collegium.audit.keys import Key
from collegium.audit.tree import Levels
from collegium.audit.verdict import Findings
from collegium.errors import CollegiumError
from collegium.log.checkpoint import Checkpoint, open_checkpoint
from collegium.log.cosign import CosignerVerifier
from collegium.log.folder import LogFolder
from collegium.log.note import Verifier
from collegium.log.trust import Trust
from collegium.statements import Peer

if TYPE_CHECKING:
    from collegium.audit.typed import Compiler
    from collegium.registry import Registry

__all__ = ["GRACE", "SKEW", "Case", "Log"]

SKEW = 900
"""Seconds by which honest clocks may differ. Below it, no time contradicts another."""

GRACE = 300
"""Seconds after a party embedded a revocation in which an entry may still arrive that was judged before it."""


@dataclass(slots=True)
class Log:
    """One log: its key, its signed head, and the tree of the entries in the folder, which is the head's (`opening` saw to that)."""

    name: str  # registry, coordinator, or the name of a node or trustee
    folder: LogFolder
    key: Verifier
    note: bytes
    head: Checkpoint
    levels: Levels
    read: int = 0  # bytes of entries
    ids: bytearray = field(default_factory=bytearray)  # statement ids by index, 32 bytes each; zeros where there is none
    unread: dict[str, str] = field(default_factory=dict)  # by id, where the signer is not in the registry here: the author

    @property
    def origin(self) -> str:
        return self.head.origin

    @property
    def size(self) -> int:
        return self.head.size

    def entry(self, index: int) -> bytes:
        return self.folder.entry(index, self.size)

    def id_at(self, index: int) -> str:
        return self.ids[32 * index : 32 * index + 32].hex()

    def find(self, identity: str) -> int | None:
        """The index of a statement id. Slow: for the rare finding."""
        wanted, at = bytes.fromhex(identity), -1
        while (at := self.ids.find(wanted, at + 1)) >= 0:
            if at % 32 == 0:
                return at // 32
        return None


class Case:
    """All that is under audit. `registry` is None where its log could not be verified; then nothing signed can be judged."""

    def __init__(self, federation: str, trust: Trust, findings: Findings) -> None:
        self.federation = federation
        self.trust = trust
        self.findings = findings
        self.logs: dict[str, Log] = {}  # by name
        self.registry: Registry | None = None
        self.registry_whole = False  # every entry of the registry's log was accepted
        self.keys: list[Key] = []
        self.roots: list[str] = []  # base64, by registry size
        self.requests: dict[str, RequestFact] = {}
        self.signatures = 0
        self._audiences: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._witnesses: dict[str, tuple[dict[str, CosignerVerifier], int]] = {}
        self._cosigners: dict[str, tuple[frozenset[tuple[str, bytes]], int]] = {}
        self._names: dict[str, str] = {}

    @cached_property
    def short(self) -> bool:
        """Whether there is more of the registry than could be read here: then who or what is not in it may be registered."""
        return not self.registry_whole or self._outgrown()

    def _outgrown(self) -> bool:
        """Whether an entry here embeds a larger registry than the copy, signed by the registry's log key.

        A size that somebody merely states would let the guilty excuse themselves. Reads every entry: for the rare finding.
        """
        registry = self.logs["registry"]
        named = f'"origin":"{registry.origin}"'.encode()
        for log in self.logs.values():
            for entry in log.folder.entries(0, log.size):
                if entry.startswith(b"collegium/v1/peer\n") and named in entry and _size(entry, registry.key) > registry.size:
                    return True
        return False

    @cached_property
    def compiler(self) -> Compiler:
        """Compiles a request's questions as the workers do."""
        # Imported here: an audit with a whole and current registry needs it in the workers alone.
        from collegium.audit.typed import Compiler
        from collegium.registration import SchemaEntry, read_registration

        entries = self.registry.entries if self.registry is not None else ()
        read = (read_registration(entry) for entry in entries if b'"what":"schema"' in entry)
        return Compiler({f"{each.name}/{each.version}": each.toml for each in read if isinstance(each, SchemaEntry)})

    def origin(self, name: str) -> str:
        return f"{self.federation}/{name}"

    def name(self, origin: str) -> str:
        """The party of an origin; the origin itself when it is of no party of this federation."""
        known = self._names.get(origin)
        if known is None:
            federation, _, name = origin.partition("/")
            known = self._names[origin] = name if federation == self.federation and "/" not in name else origin
        return known

    def by_origin(self, origin: str) -> Log | None:
        return self.logs.get(self.name(origin))

    @property
    def nodes(self) -> list[Log]:
        return [log for name, log in sorted(self.logs.items()) if self.role(name) == "node"]

    @property
    def trustees(self) -> list[Log]:
        return [log for name, log in sorted(self.logs.items()) if self.role(name) == "trustee"]

    def role(self, name: str) -> str:
        """registry, coordinator, node, or trustee. A log that only the trust file knows is taken for a node's."""
        return name if name in ("registry", "coordinator") else self._roles.get(name, "node")

    @cached_property
    def _roles(self) -> dict[str, str]:
        return {party.name: party.role for party in self.registry.parties()} if self.registry is not None else {}

    @property
    def entries(self) -> int:
        return sum(log.size for log in self.logs.values())

    def log_key(self, name: str) -> Verifier | None:
        """The key of a party's log, from the trust file or else from the registry."""
        trusted = self.trust.logs.get(self.origin(name))
        return trusted.key if trusted is not None else self.registered_log_key(name)

    def registered_log_key(self, name: str) -> Verifier | None:
        if self.registry is None:
            return None
        if name == "registry":
            return self.registry.registry_log
        if name == "coordinator":
            return self.registry.coordinator_log
        return self.node_logs.get(name)

    @cached_property
    def former_logs(self) -> dict[str, list[Verifier]]:
        """Log keys that a node had before its newest one (`recover --new-log`), by name."""
        found: dict[str, list[Verifier]] = {}
        for key in self.keys:
            newest = self.node_logs.get(key.party)
            if newest is not None and key.log != newest.raw:
                found.setdefault(key.party, []).append(Verifier(newest.name, key.log))
        return found

    @cached_property
    def vkeys(self) -> list[str]:
        """Every statement key as text, by number."""
        return [Verifier(key.name, key.raw).vkey for key in self.keys]

    @cached_property
    def node_logs(self) -> dict[str, Verifier]:
        """The newest log key of every node and trustee ever registered, by name."""
        if self.registry is None:
            return {}
        return {party.name: party.log for party in self.registry.parties() if party.log is not None}

    def witnesses_of(self, origin: str) -> tuple[dict[str, CosignerVerifier], int]:
        """Witnesses of a log and its quorum, as the registry assigns them; ({}, 0) where it assigns none."""
        found = self._witnesses.get(origin)
        if found is None:
            found = self.registry.witnesses_of(origin) if self.registry is not None else ({}, 0)
            self._witnesses[origin] = found
        return found

    def cosigners(self, origin: str) -> tuple[frozenset[tuple[str, bytes]], int]:
        """The same as names and ids of keys."""
        found = self._cosigners.get(origin)
        if found is None:
            verifiers, quorum = self.witnesses_of(origin)
            found = self._cosigners[origin] = frozenset((key.name, key.key_id) for key in verifiers.values()), quorum
        return found

    def knows_audience(self, request: RequestFact) -> bool:
        """Whether the copy of the registry can say whom a request asks: it names them, or has seen no more than is here."""
        return request.audience is not None or request.size < len(self.roots) or not self.short

    def audience(self, request: RequestFact) -> tuple[str, ...]:
        """The nodes that a request asks, sorted."""
        if request.audience is not None:
            return request.audience
        facts = request.facts or {}
        key = (request.size, *sorted(facts.items()))
        found = self._audiences.get(key)
        if found is None:
            assert self.registry is not None
            nodes = self.registry.nodes_at(request.size)
            chosen = [node.name for node in nodes if all(node.facts.get(fact) in codes for fact, codes in facts.items())]
            found = self._audiences[key] = tuple(chosen)
        return found


def _size(entry: bytes, key: Verifier) -> int:
    """Entries of the checkpoint that a peer statement embeds; 0 where this key has not signed it."""
    try:
        return open_checkpoint(Peer.read(entry).note, key).size
    except CollegiumError:
        return 0
