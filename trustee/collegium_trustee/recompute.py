"""RECOMPUTE: the trustee drawn by lot adds up again, so that a coordinator alone cannot publish a wrong sum.

The masked vectors come page by page in the list's order. What is held in memory is one running sum of L cells for each round and
the page that is being added, however many universities there are. Nothing is written before the sum is whole: after a restart it
begins anew.

Trusted with nothing: a masked vector tells nothing, and the sum is what will be published.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from collegium.body import Blob
from collegium.errors import NotVerified, Refused
from collegium.log.statement import statement_id
from collegium.national.addition import Total, vector_digest
from collegium.national.lists import Participants
from collegium.national.mask import TRUSTEES
from collegium.national.statements import Check, Close, lot
from collegium.national.verify import check_unmasks
from collegium_trustee.rounds import Round, Rounds, Signed, judged, over, unknown

__all__ = ["MOST_AT_ONCE", "Recomputed", "Recomputing", "Rest"]

MOST_AT_ONCE = 4  # running sums in memory; the one that was touched longest ago makes way and begins anew


class Rest(NamedTuple):
    """What comes with the last page: UNMASK of the three trustees in the plan's order, and their sums of masks."""

    unmasks: Sequence[bytes]
    masks: Sequence[bytes]


class Recomputed(NamedTuple):
    """How many vectors are added, and CHECK once all are."""

    next: int
    check: Signed | None


@dataclass(slots=True)
class _Running:
    """The sum so far of one round, whose close this trustee has answered with this UNMASK (ids of both)."""

    close: str
    unmask: str
    participants: Participants
    total: Total
    next: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Recomputing:
    """Adds up again, for a few rounds at a time. Safe from any thread: the calls of one round wait for each other."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._running: OrderedDict[str, _Running] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, plan: str, first: int, vectors: Sequence[bytes], rest: Rest | None) -> Recomputed:
        """Add a page; with `rest`, and all vectors added, the CHECK.

        1. This trustee has unmasked the round: so it knows the close and its list. Checked before: the same bytes again.
        2. A page that begins at 0 begins anew. What has been added already is skipped; a page beyond it is not added, and `next`
           says from where on to send again.
        3. Each vector has the plan's length and the digest that the list names for its place. Only then is it added.
        4. With `rest`: three UNMASK for exactly this close, the lot that is drawn from them falls on this trustee, and its own is
           the one it has signed; each sum of masks is the one that was signed. They are subtracted.
        5. One transaction: the sum, and CHECK signed and logged.
        6. The answer leaves when witnesses have confirmed it.

        Raises:
            NotVerified, Invalid, Refused, NotReleased: with a `reason` of the public table.
        """
        # (1)
        round_ = self._rounds.find(plan)
        if round_ is None:
            raise unknown(plan)
        if round_.checked is not None:
            return self._same(round_, round_.checked)
        running = self._of(round_, anew=first == 0 and bool(vectors))
        with running.lock:
            # (2)
            if first > running.next:
                return Recomputed(running.next, None)
            # (3)
            for vector in vectors[running.next - first :]:
                self._add(round_, running, vector)
            if rest is None or running.next < len(running.participants.members):
                return Recomputed(running.next, None)
            # (4)
            with judged("bad-round"):
                self._subtract(round_, running, rest)
            # (5)
            index = self._sign(round_, rest, running)
        # (6)
        with self._lock:
            self._running.pop(plan, None)
        return self._same(round_, index)

    def _of(self, round_: Round, *, anew: bool) -> _Running:
        with self._lock:
            running = None if anew else self._running.get(round_.id)
            if running is None:
                running = self._running[round_.id] = self._begin(round_)
            self._running.move_to_end(round_.id)
            while len(self._running) > MOST_AT_ONCE:
                self._running.popitem(last=False)
            return running

    def _begin(self, round_: Round) -> _Running:
        """Nothing added yet. Raises Refused when this trustee has not answered a close of the round, or has forgotten it."""
        if round_.over or round_.close is None or round_.unmask is None or round_.participants is None:
            raise over()
        listed = Participants.from_blob(round_.participants, self._close(round_).participants)
        unmask = statement_id(self._rounds.journal.entry(round_.unmask).note)
        return _Running(round_.close, unmask, listed, Total(round_.plan.length))

    @staticmethod
    def _add(round_: Round, running: _Running, vector: bytes) -> None:
        members, length = running.participants.members, running.total.length
        with judged("bad-round"):
            if running.next >= len(members):
                raise NotVerified("there are more vectors than participants", place="vectors")
            each = members[running.next]
            if len(vector) != 8 * length or hashlib.sha256(vector).hexdigest() != each.vector:
                raise NotVerified("this is not the vector that the node signed", place=f"vector of member {each.member}")
        running.total.add([np.frombuffer(vector, dtype="<u8")])
        running.next += 1

    def _subtract(self, round_: Round, running: _Running, rest: Rest) -> None:
        unmasks = check_unmasks(round_.plan, round_.id, running.close, rest.unmasks)
        ids = tuple(statement_id(note) for note in rest.unmasks)
        if lot(ids) != round_.place:
            raise Refused("the lot has fallen on another trustee", by="policy", place="unmasks")
        if ids[round_.place] != running.unmask:
            raise NotVerified("this is not the UNMASK that this trustee has signed", place="unmasks")
        if len(rest.masks) != TRUSTEES:
            raise NotVerified("a sum needs the masks of three trustees", place="masks")
        # All of them are checked before any is taken away: a sum that is wrong in part would have to begin anew.
        for unmask, masks in zip(unmasks, rest.masks, strict=True):
            if len(masks) != unmask.masks.size or hashlib.sha256(masks).hexdigest() != unmask.masks.sha256:
                raise NotVerified("these are not the masks that were signed", place=f"masks of trustee {unmask.trustee}")
        for masks in rest.masks:
            running.total.subtract([np.frombuffer(masks, dtype="<u8")])

    def _sign(self, round_: Round, rest: Rest, running: _Running) -> int:
        rounds, total = self._rounds, running.total.signed()
        running.next, running.total = 0, Total(running.total.length)  # void from here on, whatever happens
        with rounds.journal.write("check") as log:
            now = rounds.found(log.db, round_.id)
            if now is None or now.over:
                raise over()
            if now.checked is not None:
                return now.checked
            rounds.signs_as(round_)
            raw = total.astype("<i8", copy=False).tobytes()
            log.blob(raw, published=False)
            body = Check(
                log=log.place, registry=log.registry, time=log.now, plan=round_.id, close=running.close,
                unmasks=tuple(statement_id(note) for note in rest.unmasks), trustee=round_.place,
                total=Blob(sha256=vector_digest(total), size=len(raw)),
            )  # fmt: skip
            entry = log.sign(body, request=round_.id)
            log.db.execute("UPDATE rounds SET checked = ? WHERE plan = ?", (entry.index, round_.id))
            # Crash here: nothing is there; the coordinator sends the vectors again from the first.
        # Crash here: CHECK is there and is found.
        return entry.index

    def _same(self, round_: Round, index: int) -> Recomputed:
        body = Check.read(self._rounds.journal.entry(index).note)
        return Recomputed(self._close(round_).count, self._rounds.signed(index, body.total.sha256))

    def _close(self, round_: Round) -> Close:
        """The close that was answered, from this trustee's own log."""
        with self._rounds.party.store.read() as db:
            rows = db.execute("SELECT note FROM entries WHERE kind = ? AND request = ?", (Close.kind, round_.id)).fetchall()
        return next(Close.read(note) for (note,) in rows if statement_id(note) == round_.close)
