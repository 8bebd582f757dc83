"""The registry: who may take part, verified entry by entry. This is the chain on which every other signature rests.

Nobody is believed: every party feeds the entries it is sent through its own `Registry`, which starts from one pinned public key and
accepts an entry only with all that went before. A Registry that accepted n entries under a pinned key proves that each of its
parties was invited by that key and signed for its own keys.

    registry = Registry(pinned_registry_vkey)
    registry.extend(entries, checkpoint)
    registry.party("ustc").statements

Trusted with: who is who. The registry key alone can add a false party; the log key, which the serving coordinator holds, can only
order and delay entries. Both leave signed traces here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from collegium.body import RegistryView
from collegium.errors import Invalid, NotVerified, Refused
from collegium.keys import log_name
from collegium.log.checkpoint import open_checkpoint
from collegium.log.cosign import CosignerVerifier
from collegium.log.merkle import leaf_hash
from collegium.log.note import Verifier, encode_base64
from collegium.registrar import Founding, Invited, Registered, State
from collegium.registration import CatalogueEntry, Federation, Partition, Role
from collegium.schema import Schema
from collegium.statements import Request

__all__ = ["Invited", "Registered", "Registry"]


class Registry:
    """The verified registry up to some size. It only ever grows, and in whole steps.

    `pinned` is the registry's verifier key from the token or the own configuration; None trusts the first entry's own key, which
    is right only for entries from one's own disk.
    """

    def __init__(self, pinned: str | None) -> None:
        self._pinned = Verifier.parse(pinned, place="pinned registry key") if pinned is not None else None
        self._entries: list[bytes] = []
        self._state = State(self._pinned)
        self._checkpoint: bytes | None = None

    def extend(self, entries: Sequence[bytes], checkpoint: bytes | None = None, *, first: int | None = None) -> None:
        """Verify more entries and take them over: all of them or, at the first mistake, none.

        `entries` follow those already held, or begin at index `first`; then the overlap must be the same bytes.

        1. Where both sides hold an entry, it is the same entry: a registry that changes its past is refused.
        2. Every new entry is valid after all entries before it (`State.add`, whose steps are numbered there).
        3. The checkpoint, if given, is signed by the registry's log key and is the head of exactly these entries: its size and
           its root. A size below what we hold is refused: sizes never fall.
        4. Only now does anything change, in one step that cannot fail.

        Raises NotVerified or Invalid; the place names the entry's index.
        """
        # (1)
        fresh = self._beyond_overlap(entries, self.size if first is None else first)
        # (2)
        state = self._state.copy()
        for entry in fresh:
            state.add(entry)
        # (3)
        if checkpoint is not None:
            _check_head(checkpoint, state)
        # (4)
        self._entries.extend(fresh)
        self._state = state
        if checkpoint is not None:
            self._checkpoint = bytes(checkpoint)
        elif fresh:
            self._checkpoint = None

    @property
    def size(self) -> int:
        return self._state.size

    @property
    def root(self) -> str:
        """Base64 of the Merkle root over all entries."""
        return encode_base64(self._state.root)

    @property
    def entries(self) -> tuple[bytes, ...]:
        return tuple(self._entries)

    @property
    def checkpoint(self) -> bytes | None:
        """The verified checkpoint of exactly this size; None while entries without a checkpoint lie above the last one."""
        return self._checkpoint

    def view(self) -> RegistryView:
        """Size and root, as every signed statement names them."""
        return RegistryView(size=self.size, root=self.root)

    def view_at(self, size: int) -> RegistryView:
        """The view when the registry had `size` entries. A statement's view is honest if it equals this. Raises Invalid."""
        if not 0 <= size <= self.size:
            raise Invalid(f"the registry has {self.size} entries, not {size}", place="registry", remedy="Fetch the registry again.")
        return RegistryView(size=size, root=encode_base64(self._state.roots[size]))

    @property
    def founding(self) -> Federation:
        """The first entry."""
        return self._founding.body

    @property
    def federation(self) -> str:
        """The federation's name."""
        return self._founding.body.federation

    @property
    def delta(self) -> float:
        return float(self._founding.body.delta)

    @property
    def ca(self) -> bytes:
        """The federation's certificate authority, PEM."""
        return self._founding.body.ca.encode()

    @property
    def registry_key(self) -> Verifier:
        return self._founding.registry

    @property
    def registry_log(self) -> Verifier:
        return self._founding.registry_log

    @property
    def coordinator(self) -> Verifier:
        """The key of the coordinator's statements."""
        return self._founding.coordinator

    @property
    def coordinator_log(self) -> Verifier:
        return self._founding.coordinator_log

    @property
    def schemas(self) -> dict[str, Schema]:
        """All versions by id, oldest first."""
        return dict(self._state.schemas)

    @property
    def schema(self) -> Schema:
        """The newest version. Raises Refused while there is none."""
        newest = self._state.schema
        if newest is None:
            raise Refused("the federation has no schema yet", by="schema", reason="schema", remedy="Ask its coordinator.")
        return newest

    @property
    def catalogues(self) -> dict[str, CatalogueEntry]:
        """All versions of all catalogues of indicators by NAME/VERSION, oldest first."""
        return dict(self._state.catalogues)

    def party(self, name: str, *, at: int | None = None) -> Registered:
        """The registered party of this name, now or when the registry had `at` entries. Raises Refused when unknown or revoked."""
        size = self.size if at is None else at
        known = [each for each in self._state.parties.get(name, ()) if each.index < size]
        if not known:
            raise Refused(f"{name!r} is not registered", by="identity", reason="identity", remedy="Check the name.")
        newest = known[-1]
        if newest.ended is not None and newest.ended < size:
            raise Refused(f"{name!r} is revoked", by="identity", reason="identity", remedy="Ask the federation for an invitation.")
        return newest

    def as_of(self, name: str, size: int) -> Registered:
        """The newest registration of this name among the first `size` entries, revoked or not: for what was signed back then.

        Raises Refused when the name was unknown.
        """
        known = [each for each in self._state.parties.get(name, ()) if each.index < size]
        if not known:
            raise Refused(f"{name!r} was not registered", by="identity", reason="identity", remedy="Fetch the registry again.")
        return known[-1]

    def nodes_at(self, size: int, names: Iterable[str] | None = None, *, roles: Sequence[Role] = ("node",)) -> list[Registered]:
        """Nodes (of these names, or all) registered and not revoked when the registry had `size` entries, sorted by name.

        `roles`: parties of other roles instead.
        """
        histories = self._state.parties
        found = [
            [each for each in histories.get(name, ()) if each.index < size]
            for name in sorted(histories if names is None else set(names))
        ]
        newest = [history[-1] for history in found if history]
        return [each for each in newest if each.role in roles and (each.ended is None or each.ended >= size)]

    def audience(self, request: Request) -> tuple[str, ...]:
        """The nodes that a request asks, sorted by name."""
        if request.facts is None:
            return request.audience or ()
        return tuple(node.name for node in self.nodes_at(request.registry.size) if _selected(node, request.facts))

    def asks(self, request: Request, name: str) -> bool:
        """Whether a request asks this node; needs only the node's own registration, not all that the request's view holds."""
        if request.facts is None:
            return name in (request.audience or ())
        return _selected(self.as_of(name, request.registry.size), request.facts)

    def parties(self) -> list[Registered]:
        """The newest registration of every name, revoked ones too, sorted by name."""
        return [history[-1] for _, history in sorted(self._state.parties.items())]

    def nodes(self) -> list[Registered]:
        """Nodes that are not revoked, sorted by name."""
        return [party for party in self.parties() if party.role == "node" and not party.revoked]

    def researchers(self) -> list[Registered]:
        """Researchers that are not revoked, sorted by name."""
        return [party for party in self.parties() if party.role == "researcher" and not party.revoked]

    def trustees(self, *, at: int | None = None) -> list[Registered]:
        """Trustees that are not revoked, sorted by name, now or when the registry had `at` entries."""
        return self.nodes_at(self.size if at is None else at, roles=("trustee",))

    def partition(self, *, at: int | None = None) -> Partition | None:
        """The groups of which national sums are told apart, now or when the registry had `at` entries."""
        size = self.size if at is None else at
        known = [body for index, body in self._state.partitions if index < size]
        return known[-1] if known else None

    def witnesses_of(self, origin: str, *, at: int | None = None) -> tuple[dict[str, CosignerVerifier], int]:
        """Cosigner keys by name of a log's witnesses, and the quorum, now or when the registry had `at` entries.

        A log without an assignment has none: ({}, 0). A witness revoked since is left out, and the quorum stays what it was.
        """
        size = self.size if at is None else at
        assigned = [log for index, log in self._state.witnesses.get(origin, ()) if index < size]
        if not assigned:
            return {}, 0
        live = {node.name: node.cosigner for node in self.nodes_at(size, names=assigned[-1].witnesses, roles=("node", "trustee"))}
        return {name: key for name, key in sorted(live.items()) if key is not None}, assigned[-1].quorum

    def invitation(self, statement: str) -> Invited:
        """The invitation of this statement id. Raises Refused when there is none."""
        found = self._state.invitations.get(statement)
        if found is None:
            raise Refused("the registry holds no such invitation", by="identity", reason="identity", remedy="Ask for a new token.")
        return found

    def invitations(self) -> list[Invited]:
        """All invitations in order."""
        return list(self._state.invitations.values())

    @property
    def _founding(self) -> Founding:
        founding = self._state.founding
        if founding is None:
            raise Refused("the registry is empty", by="identity", reason="identity", remedy="Fetch its entries first.")
        return founding

    def _beyond_overlap(self, entries: Iterable[bytes], first: int) -> list[bytes]:
        sent = [bytes(entry) for entry in entries]
        if not 0 <= first <= self.size:
            raise Invalid(f"entries from {first} on do not follow the {self.size} held", place="registry")
        overlap = self.size - first
        for index, (ours, theirs) in enumerate(zip(self._entries[first:], sent, strict=False), first):
            if leaf_hash(ours) != leaf_hash(theirs):
                raise NotVerified("the registry shows another entry than before", place=f"registry entry {index}")
        return sent[overlap:]


def _selected(node: Registered, facts: Mapping[str, Sequence[str]]) -> bool:
    return all(node.facts.get(fact) in codes for fact, codes in facts.items())


def _check_head(checkpoint: bytes, state: State) -> None:
    if state.founding is None:
        raise NotVerified("a registry without its founding entry has no checkpoint", place="registry checkpoint")
    log = state.founding.registry_log
    head = open_checkpoint(checkpoint, log)
    place = f"checkpoint of {log_name(state.founding.body.federation, 'registry')}"
    if head.size < state.size:
        raise NotVerified(f"size {head.size} is below the {state.size} entries known: sizes never fall", place=place)
    if head.size > state.size:
        raise NotVerified(f"size {head.size} is above the {state.size} entries shown", place=place, remedy="Fetch the rest.")
    if head.root != state.root:
        raise NotVerified(f"its root is not that of these {state.size} entries: the log shows two histories", place=place)
