"""A2, A5, A9, A15: what every entry of a log must be, whatever it says.

A `Frame` goes through one log in order. It knows, at each entry, the newest registry that the log's owner had embedded or named in
a statement of its own: an admission that counts against its maker. By that registry the keys of whoever signed the entry are
judged, never by a size or a time that the signer states.
"""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any

from collegium.audit.case import GRACE, Case, Log
from collegium.audit.exhibits import entry_files
from collegium.audit.facts import PROBLEMS, typed
from collegium.audit.heads import Heads, Seen
from collegium.audit.keys import text_of
from collegium.audit.reading import read_body
from collegium.audit.times import Times
from collegium.audit.verdict import Exhibit
from collegium.log.note import split_note
from collegium.log.statement import MAX_STATEMENT
from collegium.statements import Peer

__all__ = ["ALLOWED", "Frame"]

_ROUND = frozenset({"national-plan", "national-close"})  # the coordinator's; whoever rests on them may keep them
ALLOWED = {
    "node": frozenset({"request", "decision", "release", "withdrawal", "policy", "peer", "national-submit"}) | _ROUND,
    "coordinator": frozenset(
        {"request", "decision", "release", "withdrawal", "indicator", "peer", "national-key", "national-submit",
         "national-prepare", "national-unmask", "national-check", "national-result"}
    ) | _ROUND,
    "trustee": frozenset({"peer", "national-key", "national-prepare", "national-unmask", "national-check"}) | _ROUND,
}  # fmt: skip
"""Kinds of entries by the role of the log's owner."""

AUTHORS = {
    "request": "researcher", "decision": "node", "release": "node", "withdrawal": "node", "policy": "node",
    "indicator": "coordinator", "peer": None, "national-key": "trustee", "national-plan": "coordinator", "national-submit": "node",
    "national-prepare": "trustee", "national-close": "coordinator", "national-unmask": "trustee", "national-check": "trustee",
    "national-result": "coordinator",
}  # fmt: skip
"""The role of a kind's author; None: the owner of the log that the statement names."""

_RECEIVED = {
    "node": frozenset({"request"}) | _ROUND,
    "coordinator": ALLOWED["coordinator"] - {"indicator", "peer", "national-result"} - _ROUND,
    "trustee": _ROUND,
}
"""Kinds that a log of this role holds of others; all else is made for it by its owner."""


class Frame:
    """One log's entries in order. `see` gives the typed fact of an entry that other checks may read, else None."""

    def __init__(self, case: Case, log: Log, heads: Heads) -> None:
        self.case = case
        self.log = log
        self.role = case.role(log.name)
        self.known = 0  # size of the newest registry embedded or named so far
        self.times = Times(case, log)
        self._heads = heads
        self._registry = case.origin("registry")
        self._origin = log.origin
        self._raised: list[tuple[int, int, int]] = []  # (size, own time, entry) whenever `known` grew
        self._proper: set[tuple[str, int]] = set()  # kinds and keys that (1) and (2) have found right under `known`
        self._view = -1, ""  # size and root of the registry that the owner named last, found right
        self._peers: dict[str, tuple[int, int]] = {}  # by origin: largest size embedded, and where
        self._a2, self._a5, self._a15 = (case.findings.meter(check, log.name) for check in ("A2", "A5", "A15"))
        self.own = array("q")  # stated times by index; -1 for others' entries

    def fail(
        self, check: str, rule: str, text: str, *indices: int, party: str = "",
        more: Callable[[], Sequence[Exhibit]] = lambda: (),
    ) -> None:  # fmt: skip
        """A violation that entries of this log show; they and their proofs are the exhibits, with `more`."""
        self.case.findings.fail(
            check, self.log.name, rule, text, party=party or self.log.name,
            exhibits=lambda: [*entry_files(self.log, *indices), *more()],
        )  # fmt: skip

    def warn(self, check: str, rule: str, text: str, *, missing: bool = False) -> None:
        self.case.findings.warn(check, self.log.name, rule, text, missing=missing)

    def see(self, index: int, raw: tuple[Any, ...]) -> Any:
        """One entry.

        1. It is a statement of a kind that belongs here, signed by its author. 2. The author's key was valid. 3. A statement of the
        log's owner stands where it says, after no larger registry, and its time is possible. 4. A peer's checkpoint is compared.
        """
        self._a15[0] += 1
        kind, key, problem = raw[:3]
        mine = not problem and raw[4] == self._origin
        if not problem and (kind, key) in self._proper and (mine or not self._own_only(kind)):
            # (1) and (2), as they were for an entry like it
            self._a5[0] += 1
            fact = typed(raw)
            self.log.ids += bytes.fromhex(fact.id)
        else:
            # (1)
            fact, identity = self._formed(index, raw)
            self.log.ids += bytes.fromhex(identity) if identity else bytes(32)
            if fact is None:
                self.own.append(-1)
                return None
            # (2)
            if fact.key >= 0 and self._valid(index, fact):
                self._proper.add((kind, key))
        # (3)
        if mine:
            self._own(index, fact)
        self.own.append(fact.time if mine else -1)
        # (4)
        if kind == "peer":
            self._peer(index, fact)
        return fact

    def _own_only(self, kind: str) -> bool:
        return kind not in _RECEIVED[self.role]

    def embedded(self, origin: str) -> int:
        """The largest size of that log that stands in this one so far; 0 when none."""
        return self._peers.get(origin, (0, -1))[0]

    def _formed(self, index: int, raw: tuple[Any, ...]) -> tuple[Any, str]:
        """The fact, None where no check may read it; and the statement's id, empty where there is none."""
        kind, key, problem = raw[:3]
        unread = self._problem(index, kind, problem) if problem else None
        if unread is not None:
            self.log.unread[unread.id] = self._author(unread)
            # A request is its text, whoever signed it: what is answered to it can be judged all the same.
            return (unread if kind == "request" and kind in ALLOWED[self.role] else None), unread.id
        if problem:
            return None, ""
        if kind not in ALLOWED[self.role]:
            self.fail("A15", "place", f"{self._at(index)} is a {kind}, which has no place in the log of a {self.role}", index)
            return None, ""
        fact, role = typed(raw), self.case.keys[key].role
        if self._own_only(kind) and fact.origin != self.log.origin:
            self.fail("A15", "origin", f"{self._at(index)} is a {kind} made for the log {fact.origin}", index)
            return None, ""
        if role != (AUTHORS[kind] or self.role):
            self.fail("A15", "author", f"{self._at(index)} is a {kind} signed by a {role}", index)
            return None, ""
        return fact, fact.id

    def _at(self, index: int) -> str:
        return f"entry {index} of {self.log.name}"

    def _problem(self, index: int, kind: str, problem: str) -> Any:
        """What no worker could read: a newer version's, or a violation of the log's owner, whose checkpoint holds it.

        Where the signer may stand in the part of the registry that is not here, that is missing evidence: then the fact as it
        reads, with no key (-1).
        """
        where, check = self._at(index), "A11" if kind == "request" else "A15"
        unread = self._unread(index, kind) if problem == "unsigned" and self.case.short else None
        if problem in ("kind", "body"):
            self.warn("A15", problem, f"{where} {PROBLEMS[problem]}: look with a newer one", missing=True)
        elif unread is not None or (problem == "unsigned" and not self.case.registry_whole):
            self.warn(check, problem, f"{where} is signed by nobody in the part of the registry that could be read", missing=True)
        else:
            self.fail(check, problem, f"{where} {PROBLEMS[problem]}", index)
        return unread

    def _unread(self, index: int, kind: str) -> Any:
        """An entry that a key of its author may have signed which the copy of the registry does not hold; else None.

        1. It can be read. 2. Its author's keys can change: those of coordinator and registry are the founding entry's for ever.
        3. A signature line bears the author's name: without one it is unsigned in any registry.
        """
        # (1)
        entry = self.log.entry(index)
        split = text_of(entry)
        body = read_body(kind, entry[: split[0]], split[2], self.case.compiler) if split is not None else None
        if body is None:
            return None
        fact = typed((kind, -1, "", *body))
        # (2)
        author = self._author(fact)
        if self.case.name(author) in ("coordinator", "registry"):
            return None
        # (3)
        lines = split_note(entry, limit=MAX_STATEMENT)[1]
        return fact if any(name == f"{author}/statements" for name, _, _ in lines) else None

    def _author(self, fact: Any) -> str:
        """<federation>/<party> of whoever must have signed a statement."""
        return self.case.origin(fact.researcher) if fact.kind == "request" else str(fact.origin)

    def _valid(self, index: int, fact: Any) -> bool:
        """A5. An ended key is judged by the registry that stood in this log before the entry. Whether there is nothing to say."""
        key = self.case.keys[fact.key]
        self._a5[0] += 1
        if not self.known:
            if index > 1 and not (fact.kind == "peer" and fact.log == self._registry):
                self.warn(
                    "A5",
                    "order",
                    "entries stand before any registry checkpoint: nothing says which keys were valid then",
                    missing=True,
                )
        elif key.index >= self.known and fact.kind == "peer" and fact.log == self._registry and key.index < fact.log_size:
            return True  # its owner replaced his key, and this very entry embeds the registry that says so
        elif key.index >= self.known:
            text = f"entry {index} is signed by {key.party}, whom the newest registry embedded before it did not hold yet"
            self.warn("A5", "early", text, missing=True)
        elif not key.valid(self.known):
            ended = next(row for row in self._raised if row[0] > (key.ended or 0))
            text = (
                f"{self.log.name} logged entry {index}, signed by {key.party} with a key that registry entry {key.ended} had "
                f"ended; its own entry {ended[2]} had embedded that registry"
            )
            if self.times.now - ended[1] <= GRACE:
                self.warn("A5", "grace", f"{text} (within {GRACE} seconds: it may have been judged before)")
            else:
                registry = self.case.logs["registry"]
                more = lambda: entry_files(registry, key.index, key.ended or 0)  # noqa: E731
                self.fail("A5", "ended", text, ended[2], index, more=more)
        else:
            return True
        return False

    def late(self, request: int, index: int, number: int, time: int) -> None:
        """A5 for a request that this log bound itself to with entry `index`, at `time`: nothing may tell the time before."""
        key = self.case.keys[number]
        if key.ended is None or key.ended >= self.known:
            return
        ended = next(row for row in self._raised if row[0] > (key.ended or 0))
        if request > ended[2] and time - ended[1] > GRACE:
            text = (
                f"{self.log.name} charged (entry {index}) for {key.party}, whose key registry entry {key.ended} had ended; its own "
                f"entry {ended[2]} had embedded that registry {time - ended[1]} seconds before"
            )
            registry = self.case.logs["registry"]
            more = lambda: entry_files(registry, key.index, key.ended or 0)  # noqa: E731
            self.fail("A5", "ended", text, ended[2], request, index, more=more)

    def _own(self, index: int, fact: Any) -> None:
        name = self.log.name
        self._a2[0] += 1
        if fact.at != index:
            self.fail("A2", "index", f"{name} signed a statement for index {fact.at} and shows it at {index}", index)
        self.times.own(index, fact)
        if fact.size == self.known and (fact.size, fact.root) == self._view:
            return
        if fact.size < self.known:
            last = self._raised[-1]
            text = f"{name} names a registry of {fact.size} entries after it had verified {self.known}: sizes never fall"
            self.fail("A5", "falls", text, last[2], index)
            return
        if fact.size >= len(self.case.roots):
            text = f"{name} has verified {fact.size} registry entries; the copy holds {len(self.case.roots) - 1}"
            self.case.findings.warn("A10", "registry", "stale", text, missing=True)
        elif self.case.roots[fact.size] != fact.root:
            self.warn(
                "A5", "root", f"entry {index} names a registry root at {fact.size} that this registry never had", missing=True
            )
        else:
            self._view = fact.size, fact.root
        self._know(fact.size, index)

    def _know(self, size: int, index: int) -> None:
        if size > self.known:
            self.known = size
            self._proper.clear()
            self._raised.append((size, self.times.now, index))

    def _peer(self, index: int, fact: Any) -> None:
        name, log = self.log.name, self.log
        seen = Seen(fact.log, fact.log_size, fact.log_root, lambda: Peer.read(log.entry(index)).note, name, index)
        before = self._peers.get(fact.log, (0, -1))
        if fact.log_size < before[0] and self._second_tree(seen):
            self._heads.see(seen, fact.cosigned)
            return
        if fact.log_size < before[0] and self._unknown_log(before[1], seen):
            text = f"{name} embeds {fact.log} smaller than before, under a key that is not in the part of the registry that is here"
            self.warn("A5", "peer-falls", text, missing=True)
        elif fact.log_size < before[0] and not self._new_log(before[1], seen):
            text = f"{name} embeds {fact.log} at {fact.log_size} after it had embedded it at {before[0]}: sizes never fall"
            self.fail("A5", "peer-falls", text, before[1], index)
            return
        self._peers[fact.log] = fact.log_size, index
        self._heads.embed(name, index, seen)
        self._heads.see(seen, fact.cosigned, fact.note)
        if fact.cosigned:
            self.times.embedded(seen, self._heads.quorum_time(seen, fact.cosigned, fact.note))
        if fact.log == self._registry and (self._of_this_registry(fact) or self._heads.signed(seen)):
            self._know(fact.log_size, index)

    def _second_tree(self, seen: Seen) -> bool:
        """Whether this log has embedded another tree of that size: then an honest party keeps both, as evidence, however late."""
        other = self._heads.embedded_at(self.log.name, seen.origin, seen.size)
        return other is not None and other.root != seen.root

    def _new_log(self, before: int, seen: Seen) -> bool:
        """Whether what stood before is of a log that the same node had earlier, and this is of its newer one, which begins at 0."""
        return self._heads.former(self._embedded(before)) and self._heads.signed(seen)

    def _unknown_log(self, before: int, seen: Seen) -> bool:
        """Whether the same node may have begun a newer log in the part of the registry that is not here."""
        if not self.case.short or self.case.name(seen.origin) in ("coordinator", "registry"):
            return False
        return not (self._heads.signed(self._embedded(before)) and self._heads.signed(seen)) and not self._new_log(before, seen)

    def _embedded(self, index: int) -> Seen:
        """The checkpoint that entry `index` embeds."""
        peer = Peer.read(self.log.entry(index))
        return Seen(peer.origin, peer.size, b64decode(peer.root), lambda: peer.note, self.log.name, index)

    def _of_this_registry(self, fact: Any) -> bool:
        roots, size = self.case.roots, int(fact.log_size)
        return size < len(roots) and roots[size] == b64encode(fact.log_root).decode()
