"""Cosignatures for the coordinator's two logs: its own and the registry's.

Whenever a log has grown, its newest checkpoint goes to the witnesses that the registry assigns, all at once, until the quorum has
cosigned it. What has gathered meanwhile is covered by the next round, so many questions at once cost no more rounds than one.

A witness stores before it answers, so the quorum proves that no other tree of this log is known to most of them. A witness that
shows a larger tree signed by our own key proves that this database is an old copy: the log then stops. An unproven claim counts as
a missing cosignature.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from collegium.errors import CollegiumError, NotVerified
from collegium.log.checkpoint import Checkpoint, read_checkpoint
from collegium.log.cosign import CosignerVerifier, add_cosignatures, open_cosignatures, own_lines
from collegium.log.witness import contradiction
from collegium.v1.witness_pb2 import CosignRequest
from collegium_coordinator.cosigned import Cosigned, OwnLog
from collegium_coordinator.reach import Reach
from collegium_coordinator.relay import call_witness
from collegium_coordinator.store import Store

__all__ = ["Cosigned", "Cosigning", "OwnLog"]

log = logging.getLogger("collegium.coordinator.cosigning")

LOOK = 1.0  # seconds between looks when nobody has told of growth: a witness may have come back
ROUND = 5.0  # seconds a round may take
REFRESH = 300.0  # seconds after which a quiet log is confirmed again, so that everybody sees how fresh it is
TRIES = 3  # with one witness in one round: the first may begin at a size it no longer knows


class Cosigning:
    """Collects cosignatures for the given logs while `run` runs.

    Args:
        on_restored: (origin, witness, checkpoint), called when the checkpoint proves that a log is an old copy.
        on_confirmed: called with a log's origin when its quorum has confirmed it for the first time in this process's life.
        before: called, in a thread, before witnesses are asked about a new head; when it raises they are not asked.
    """

    def __init__(
        self,
        store: Store,
        nodes: Reach,
        logs: list[Cosigned],
        *,
        clock: Callable[[], float],
        on_restored: Callable[[str, str, bytes], None],
        on_confirmed: Callable[[str], None] = lambda _: None,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._logs = {each.own.origin: each for each in logs}
        self._clock = clock
        self._on_restored = on_restored
        self._on_confirmed = on_confirmed
        self._before = before
        self._copied: dict[str, bytes] = {}  # by origin: the head that `before` has been called for
        self._grown = {origin: asyncio.Event() for origin in self._logs}
        # Logs that may be signed on: their witnesses have confirmed them since this process started, or they had none then.
        self._confirmed = {origin for origin, each in self._logs.items() if not each.rule()[1]}
        self._confirmed_at: dict[str, float] = {}
        self._known: dict[tuple[str, str], int] = {}  # (origin, witness): the size the witness is believed to know
        self._arrived = asyncio.Condition()

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._keep(each) for each in self._logs.values()))

    def grown(self, origin: str) -> None:
        """A log has a new head. Call it in the event loop."""
        self._grown[origin].set()

    def is_ready(self, origin: str) -> bool:
        """Whether a log may be signed on: its quorum has confirmed, since the start, that it knows no larger tree of it."""
        each = self._logs[origin]
        return origin in self._confirmed or not each.rule()[1] or not each.own.head()  # an empty log has no second history

    async def ready(self, origin: str, patience: float) -> bool:
        """The same, after waiting for it for at most `patience` seconds."""
        if self.is_ready(origin):
            return True
        self.grown(origin)
        try:
            async with asyncio.timeout(max(0.0, patience)), self._arrived:
                await self._arrived.wait_for(lambda: self.is_ready(origin))
        except TimeoutError:
            return False
        return True

    async def confirmed(self, origin: str, size: int, patience: float) -> bool:
        """Whether a checkpoint of at least `size` entries may be rested on; waits for it for at most `patience` seconds."""
        cosigned = self._logs[origin]
        if cosigned.size() >= size:
            return True
        self.grown(origin)
        try:
            async with asyncio.timeout(max(0.0, patience)), self._arrived:
                await self._arrived.wait_for(lambda: cosigned.size() >= size)
        except TimeoutError:
            return False
        return True

    async def by(self, origin: str, size: int, parties: Mapping[str, CosignerVerifier]) -> bytes | None:
        """A log's checkpoint of `size` entries, cosigned by all of these; None when one does not cosign it or the log has grown."""
        each = self._logs[origin]
        note = each.own.head()
        head = read_checkpoint(note)
        if head.size != size:
            return None
        lines = await asyncio.gather(*(self._cosign(each, note, head, name, key) for name, key in sorted(parties.items())))
        given = [line for line in lines if line is not None]
        return add_cosignatures(note, given) if len(given) == len(lines) else None

    # -- inside ----------------------------------------------------------------------------------------------------------------

    async def _keep(self, each: Cosigned) -> None:
        event, said = self._grown[each.own.origin], ""
        while True:
            try:
                async with asyncio.timeout(LOOK):
                    await event.wait()
            except TimeoutError:
                pass
            event.clear()
            try:
                await self._round(each)
                said = ""
            except CollegiumError as error:
                if said != str(error):  # once, and not every second until it is mended
                    log.error("cosignatures of %s could not be collected: %s", each.own.origin, error)
                said = str(error)
            except Exception:
                log.exception("collecting cosignatures of %s broke", each.own.origin)

    async def _round(self, each: Cosigned) -> None:
        """One head to all witnesses at once, until enough have cosigned it."""
        witnesses, quorum = each.rule()
        note = each.own.head()
        if note and self._copied.get(each.own.origin) != note:
            await asyncio.to_thread(self._before)
            self._copied[each.own.origin] = note
        if not quorum or not note:
            return
        head = read_checkpoint(note)
        quiet = self._clock() - self._confirmed_at.get(each.own.origin, float("-inf"))
        if each.size() >= head.size and each.own.origin in self._confirmed and 0 <= quiet < REFRESH:
            return
        tasks = {
            asyncio.ensure_future(self._cosign(each, note, head, name, key)): name
            for name, key in witnesses.items()
            if self._nodes.connected(name)
        }
        lines: dict[str, bytes] = {}
        waiting = set(tasks)
        try:
            async with asyncio.timeout(ROUND):
                while waiting and len(lines) < quorum:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        line = task.result()
                        if line is not None:
                            lines[tasks[task]] = line
        except TimeoutError:
            pass
        finally:
            for task in waiting:
                task.cancel()
        if len(lines) < quorum:
            log.warning(
                "%s: %d of %d witnesses have cosigned size %d; %d entries wait",
                each.own.origin, len(lines), quorum, head.size, head.size - each.size(),
            )  # fmt: skip
            return
        await asyncio.to_thread(self._keep_note, each, add_cosignatures(note, lines.values()), head.size)
        self._confirmed_at[each.own.origin] = self._clock()
        if each.own.origin not in self._confirmed:
            self._confirmed.add(each.own.origin)
            self._on_confirmed(each.own.origin)
        async with self._arrived:
            self._arrived.notify_all()

    async def _cosign(self, each: Cosigned, note: bytes, head: Checkpoint, witness: str, key: CosignerVerifier) -> bytes | None:
        """One witness's verified cosignature line over this checkpoint, or None.

        A witness that knows another size than we believe says which, and is asked again from there.
        """
        place = (each.own.origin, witness)
        try:
            for _ in range(TRIES):
                old = min(self._known.get(place, 0), head.size)
                proof = await asyncio.to_thread(each.own.tree.consistency, old, head.size)
                reply = await call_witness(self._nodes, witness, CosignRequest(checkpoint=note, old_size=old, proof=proof))
                if reply.cosignature:
                    if key not in open_cosignatures(add_cosignatures(note, [reply.cosignature]), [key]):
                        raise NotVerified("its cosignature is another's", place=witness)
                    self._known[place] = head.size
                    return bytes(reply.cosignature)
                self._judge(each, bytes(reply.known_checkpoint), witness)
                if reply.known_size > head.size:
                    return None  # the log has grown meanwhile, or it is a claim that nothing proves
                self._known[place] = reply.known_size
        except CollegiumError as error:
            log.info("witness %s did not cosign %s: %s", witness, each.own.origin, error)
        return None

    def _judge(self, each: Cosigned, shown: bytes, witness: str) -> None:
        """What a witness knows is a part of this log, or our own signature proves that this file is not the newest copy of it."""
        size = read_checkpoint(each.own.head()).size
        if shown and contradiction(shown, each.own.verifier, size, each.own.tree.root) is not None:
            log.critical("witness %s shows a checkpoint of %s that this database does not hold", witness, each.own.origin)
            self._on_restored(each.own.origin, witness, own_lines(shown, each.own.verifier))

    def _keep_note(self, each: Cosigned, note: bytes, size: int) -> None:
        with self._store.transaction() as db:
            held = db.execute("SELECT size FROM cosigned WHERE origin = ?", (each.own.origin,)).fetchone()
            if held is None or held[0] <= size or not each.size():
                db.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?)", (each.own.origin, size, self._clock(), note))
        # Crash before the commit: the witnesses cosign the same checkpoint again.
