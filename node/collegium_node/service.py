"""What a node serves: the same object behind a tunnel and behind a port. It decides nothing; it hands over to the answer path.

Answers run in a bounded pool of threads; more than that wait, and more than may wait are refused as busy. Whatever goes wrong
leaves as an error of the public table, by the gate; what it was stays in a local line, by type and place.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import collegium
from collegium.errors import CollegiumError, Failed, public_text
from collegium.v1 import node_pb2, node_pb2_grpc
from collegium_node import gate
from collegium_node.answer import Answering
from collegium_node.home import Node
from collegium_node.lines import Lines
from collegium_node.shelf import Shelf
from collegium_node.steward import rekeyed
from collegium_node.store import StorageBroken

__all__ = ["NodeService", "Work"]

MAX_WAITING = 256
T = TypeVar("T")


class Work(Protocol):
    """Runs blocking code off the event loop; its error leaves through the gate."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class NodeService(node_pb2_grpc.NodeServicer):
    """The Node service. `on_broken` is called once when the disk refused a write: the process must then end.

    Args:
        grid_ms: answers leave on a grid of this many milliseconds since they were asked, so that the time of an answer tells
            nothing finer about the data; 0 sends them at once.
    """

    def __init__(
        self,
        node: Node,
        answering: Answering,
        lines: Lines,
        *,
        max_parallel: int,
        grid_ms: int = 0,
        on_broken: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._node = node
        self._answering = answering
        self._lines = lines
        self._pool = ThreadPoolExecutor(max_parallel, thread_name_prefix="answer")
        self._small = ThreadPoolExecutor(1, thread_name_prefix="small")
        self._grid = grid_ms / 1000
        self._on_broken = on_broken
        self._monotonic = monotonic
        self._sleep = sleep
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def Status(self, request: node_pb2.NodeStatusRequest, context: Any) -> node_pb2.NodeStatus:
        return await self._run(self._small, self.status)

    async def Learn(self, request: node_pb2.LearnRequest, context: Any) -> node_pb2.LearnReply:
        return await self._run(self._small, self._learn, request)

    async def Answer(self, request: node_pb2.AnswerRequest, context: Any) -> node_pb2.AnswerReply:
        began = self._monotonic()
        try:
            return await self._run(self._pool, self._answering.answer, request.request, request.details, request.receipt)
        finally:
            if self._grid:  # refusals and failures too: they must not be told apart by their time either
                await self._sleep(self._grid - (self._monotonic() - began) % self._grid)

    async def small(self, work: Callable[[], T], /) -> T:
        """Work that neither counts nor waits: reading the log, cosigning. One at a time, beside the answers."""
        return await self._run(self._small, work)

    def status(self) -> node_pb2.NodeStatus:
        """Who this is, from the database: nothing is kept between calls."""
        registry = self._node.members.registry
        policy = self._node.journal.newest("policy")
        try:
            snapshot, datasets = (current := Shelf(self._node.journal).current()).id, current.datasets
        except CollegiumError:
            snapshot, datasets = "", ()
        return gate.status(
            name=self._node.membership.name,
            version=collegium.__version__,
            registry_size=registry.size,
            schema=next(reversed(registry.schemas), ""),
            datasets=datasets,
            snapshot=snapshot,
            policy=policy.note if policy else b"",
        )

    async def drain(self) -> None:
        """Wait until no call is in flight. The caller has stopped taking new ones."""
        await self._idle.wait()
        self._pool.shutdown(wait=True)
        self._small.shutdown(wait=True)

    def _learn(self, request: node_pb2.LearnRequest) -> node_pb2.LearnReply:
        size = self._node.members.learn(request.first, list(request.entries), request.checkpoint)
        self._lines.event("registry", size=size)
        try:
            self._node.members.check_own()
        except CollegiumError as error:
            self._lines.failure("own-registration", error)
        for name in rekeyed(self._node):
            self._lines.event("researcher-rekeyed", researcher=name, remedy=f"collegium-node allow --researcher {name}")
        return gate.learnt(size)

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        """Run `work` in a pool; its error leaves through the gate."""
        if self._in_flight >= MAX_WAITING:
            raise Failed(public_text("busy"), reason="busy")
        future = asyncio.get_running_loop().run_in_executor(pool, functools.partial(work, *args))
        self._in_flight += 1
        self._idle.clear()
        future.add_done_callback(self._done)
        try:
            # Shielded: a caller who hangs up does not stop an answer between its charge and its release.
            return await asyncio.shield(future)
        except Exception as error:
            raise gate.public_error(error) from None

    def _done(self, future: asyncio.Future[Any]) -> None:
        """The work has ended, whether or not anybody still waits for it."""
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._lines.failure("call-failed", error)
            if isinstance(error, StorageBroken):
                self._on_broken()
