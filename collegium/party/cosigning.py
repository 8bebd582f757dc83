"""Keeps this log's newest checkpoint confirmed by a quorum of its witnesses, and finds out when it is an old copy of itself.

A round takes the newest checkpoint and asks every witness at once; it ends when enough have cosigned it. Entries that were added
meanwhile wait for the next round, so however fast the log grows, there is one checkpoint at a time and each covers all before it.
Witnesses that are slow go on by themselves and are asked again when they have answered.

What a witness may say, and what follows:

    a cosignature          verified under the registry's key for the witness, and counted
    it knows less          asked again from there, with the proof that our log has only grown
    it knows our log       the tree that it shows is signed by our own key, and this database does not hold it: the party stops
      otherwise
    anything else          a missing cosignature, whoever claims it and whatever the claim is

Trusted with nothing: the coordinator, through whom most witnesses are reached, can delay all of this and forge none of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from collegium.errors import NotVerified
from collegium.log.cosign import CosignerVerifier, add_cosignatures, open_cosignatures
from collegium.log.witness import contradiction
from collegium.party.home import Party
from collegium.party.journal import Head
from collegium.party.lines import Lines
from collegium.v1.witness_pb2 import CosignReply, CosignRequest

__all__ = ["ROUND", "Cosigning", "Relay"]

ROUND = 5.0  # seconds that one round waits for witnesses; a slower one counts as silent
POLL = 1.0  # seconds between looks at what other processes of this party have added
REFRESH = 300.0  # seconds after which a quiet log is confirmed again, so that everybody sees how fresh it is
PATIENCE = (0.2, 5.0)  # seconds between rounds that fail: the first, and the longest


class Relay(Protocol):
    """Reaches a witness by name. Raises CollegiumError when it cannot."""

    async def cosign(self, witness: str, request: CosignRequest, *, timeout: float) -> CosignReply: ...  # noqa: ASYNC109


class Cosigning:
    """The one loop of a serving process.

    Args:
        on_stopped: called once when a witness has shown that this log is an old copy of itself.
        poll: seconds between looks at what other processes of this party have added.
    """

    def __init__(
        self,
        party: Party,
        relay: Relay,
        lines: Lines,
        *,
        on_stopped: Callable[[], None] = lambda: None,
        poll: float = POLL,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._journal, self._quorum, self._permit = party.journal, party.quorum, party.permit
        self._program = party.home.program
        self._relay = relay
        self._lines = lines
        self._on_stopped = on_stopped
        self._poll = poll
        self._monotonic = monotonic
        self._sleep = sleep
        self._known: dict[str, int] = {}  # what each witness knows of us, as far as we know
        self._busy: dict[str, asyncio.Task[bytes | None]] = {}
        self._wake = asyncio.Event()
        self._confirmed_at: float | None = None

    async def run(self) -> None:
        """Until cancelled, or until the log is found to be an old copy of itself."""
        loop = asyncio.get_running_loop()

        def grown() -> None:
            loop.call_soon_threadsafe(self._wake.set)

        self._journal.on_grown = grown
        patience = PATIENCE[0]
        try:
            while await asyncio.to_thread(lambda: self._permit.stopped) is None:
                self._wake.clear()
                if not await asyncio.to_thread(self._due):
                    await asyncio.to_thread(self._quorum.save)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll):
                            await self._wake.wait()
                elif await self._round():
                    patience = PATIENCE[0]
                else:
                    await self._sleep(patience)
                    patience = min(2 * patience, PATIENCE[1])
            self._lines.event("restored", remedy=f"{self._program} recover")
            self._on_stopped()
        finally:
            self._journal.on_grown = lambda: None
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    def _due(self) -> bool:
        """Whether there is something that the quorum has not confirmed, or not for a while."""
        if not self._quorum.witnesses().need:
            return False
        if not self._permit.confirmed or self._confirmed_at is None or self._monotonic() - self._confirmed_at > REFRESH:
            return True
        return self._quorum.confirmed_size() < self._journal.head().size

    async def _round(self) -> bool:
        """Ask all witnesses about the newest checkpoint; whether the quorum came."""
        head, witnesses = await asyncio.to_thread(lambda: (self._journal.head(), self._quorum.witnesses()))
        asked = {}
        for name, key in witnesses.keys.items():
            if name not in self._busy:
                asked[name] = self._busy[name] = asyncio.create_task(self._ask(name, key, head))
                asked[name].add_done_callback(functools.partial(self._answered, name))
        waiting, lines, until = set(asked.values()), dict[str, bytes](), self._monotonic() + ROUND
        while waiting and len(lines) < witnesses.need:
            done, waiting = await asyncio.wait(
                waiting, timeout=max(0.0, until - self._monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for name, task in asked.items():
                if task in done and not task.cancelled() and (line := task.result()) is not None:
                    lines[name] = line
        if len(lines) < witnesses.need or await asyncio.to_thread(lambda: self._permit.stopped) is not None:
            return False
        note = add_cosignatures(head.note, lines.values())
        first = not self._permit.confirmed
        if first:  # a quorum knows nothing larger: from here on this process may sign
            await asyncio.to_thread(self._permit.confirm)
            self._lines.event("confirmed", size=head.size, witnesses=len(lines))
        self._confirmed_at = self._monotonic()
        await asyncio.to_thread(self._take, note)
        return True

    def _answered(self, name: str, _: asyncio.Task[bytes | None]) -> None:
        del self._busy[name]

    def _take(self, note: bytes) -> None:
        self._quorum.took(note)
        self._quorum.save()

    async def _ask(self, name: str, key: CosignerVerifier, head: Head) -> bytes | None:
        """One witness's cosignature line for this checkpoint; None without a word that counts."""
        try:
            for _ in range(2):
                known = self._known.get(name, 0)
                if known > head.size:  # it has seen a newer one of ours; the next round asks about that
                    return None
                path = await asyncio.to_thread(self._journal.tree.consistency, known, head.size)
                request = CosignRequest(checkpoint=head.note, old_size=known, proof=path)
                reply = await self._relay.cosign(name, request, timeout=ROUND)
                self._quorum.heard(name, answered=True)
                if reply.cosignature:
                    if key not in open_cosignatures(add_cosignatures(head.note, [reply.cosignature]), [key]):
                        raise NotVerified("the cosignature is another's", place=name)
                    self._known[name] = head.size
                    return reply.cosignature
                if await asyncio.to_thread(self._stops, reply.known_checkpoint):
                    return None
                self._known[name] = reply.known_size
        except Exception as error:  # whatever it is, it is the same as silence
            self._quorum.heard(name, answered=False)
            self._lines.failure("witness-silent", error, witness=name)
        return None

    def _stops(self, shown: bytes) -> bool:
        """Whether a witness shows a tree that our own key has signed and our database does not hold: the end of signing."""
        if not shown:
            return False
        # Asked after the answer came: what has been added meanwhile is no contradiction.
        head, tree = self._journal.head(), self._journal.tree
        if contradiction(shown, self._journal.verifier, head.size, tree.root) is None:
            return False
        self._permit.stop(shown)
        return True
