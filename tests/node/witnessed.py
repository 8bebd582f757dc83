"""Witnesses for tests: three other nodes that remember and cosign, reached by a relay that a test can cut or make lie."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from onenode import FED, NODE, Ministry, OneNode

from collegium.errors import Offline
from collegium.keys import log_name
from collegium.log.note import Verifier
from collegium.log.witness import Cosign, Known, consider
from collegium.party import cosigning
from collegium.party.cosigning import Cosigning
from collegium.party.lines import Lines
from collegium.v1.witness_pb2 import CosignReply, CosignRequest

ORIGIN = log_name(FED, NODE)
NAMES = ("univ-b", "univ-c", "univ-d")


class Watchers:
    """What the witnesses know of one log, and the relay to them. `down` are silent; `lies` answer what a test wants."""

    def __init__(self, ministry: Ministry) -> None:
        self.ministry = ministry
        self.known: dict[str, Known] = {}
        self.down: set[str] = set()
        self.lies: dict[str, Callable[[CosignRequest], CosignReply]] = {}
        self.asked = 0

    async def cosign(self, witness: str, request: CosignRequest, *, timeout: float) -> CosignReply:
        self.asked += 1
        await asyncio.sleep(0)
        if witness in self.down:
            raise Offline("gone", place=witness)
        if witness in self.lies:
            return self.lies[witness](request)
        log: Verifier = self.ministry.logs[NODE].verifier
        verdict = consider(self.known.get(witness), request.checkpoint, request.old_size, list(request.proof), log)
        if isinstance(verdict, Cosign):
            self.known[witness] = verdict.known
            line = self.ministry.cosigners[witness].cosign(verdict.known.checkpoint, int(time.time()))
            return CosignReply(cosignature=line, known_size=verdict.known.size)
        shown = verdict.known
        return CosignReply(known_size=shown.size if shown else 0, known_checkpoint=shown.checkpoint if shown else b"")


def assign(one: OneNode, *, quorum: int = 3) -> Watchers:
    """Register the witnesses, assign them to the node's log, and let the node learn of it."""
    for name in NAMES:
        one.ministry.register("node", name)
    one.ministry.assign(ORIGIN, *NAMES, quorum=quorum)
    one.learn()
    return Watchers(one.ministry)


@contextmanager
def watched(one: OneNode, watchers: Watchers) -> Iterator[Cosigning]:
    """The cosigning loop of a serving process, in a thread, as long as the block."""
    loop = asyncio.new_event_loop()
    made = Cosigning(one.node, watchers, Lines(one.stream))
    task = loop.create_task(made.run())

    def run() -> None:
        try:
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        finally:
            # A witness's late word is still being written in a thread: it must not come after what the test does next.
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        assert not thread.is_alive()


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that happens in another thread."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


cosigning.PATIENCE = (0.02, 0.1)  # rounds that fail are repeated quickly
