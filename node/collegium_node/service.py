"""What a node serves: the same object behind a tunnel and behind a port. It decides nothing; it hands over to the answer path.

Answers run in a bounded pool of threads; more than that wait, and more than may wait are refused as busy. Whatever goes wrong
leaves as an error of the public table, by the gate; what it was stays in a local line, by type and place.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import collegium
from collegium.errors import CollegiumError
from collegium.party import replies
from collegium.party.lines import Lines
from collegium.party.working import Working
from collegium.v1 import node_pb2, node_pb2_grpc
from collegium_node import gate
from collegium_node.answer import Answering
from collegium_node.closed import Ended, take_close
from collegium_node.home import Node
from collegium_node.planned import Sent
from collegium_node.shelf import Shelf
from collegium_node.steps import OFF, Steps
from collegium_node.steward import rekeyed

__all__ = ["NodeService"]

T = TypeVar("T")


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
        steps: Steps = OFF,
    ) -> None:
        self._node = node
        self._answering = answering
        self._lines = lines
        self._working = Working(lines, threads=max_parallel, on_broken=on_broken)
        self._grid = grid_ms / 1000
        self._monotonic = monotonic
        self._sleep = sleep
        self._steps = steps

    @property
    def in_flight(self) -> int:
        """Calls that are being worked on or wait for their turn."""
        return self._working.in_flight

    async def Status(self, request: node_pb2.NodeStatusRequest, context: Any) -> node_pb2.NodeStatus:
        return await self._working.small(self.status)

    async def Learn(self, request: node_pb2.LearnRequest, context: Any) -> node_pb2.LearnReply:
        return await self._working.small(self._learn, request)

    async def Answer(self, request: node_pb2.AnswerRequest, context: Any) -> node_pb2.AnswerReply:
        work = functools.partial(self._answering.answer, request.request, request.details, request.receipt)
        return await self._on_the_grid("answer", work)

    async def Submit(self, request: node_pb2.SubmitRequest, context: Any) -> node_pb2.SubmitReply:
        sent = Sent(request.plan, request.plan_receipt, request.chosen, request.registry_checkpoint, tuple(request.keys))
        submit = self._answering.submitting.submit
        return await self._on_the_grid("submit", functools.partial(submit, request.request, request.details, request.receipt, sent))

    async def Closed(self, request: node_pb2.ClosedRequest, context: Any) -> node_pb2.ClosedReply:
        ended = Ended(request.plan, request.submit_receipt, request.close, request.close_receipt, request.participants)
        await self._working.small(take_close, ended, self._node.journal, self._node.members, self._lines)
        return gate.closed()

    async def _on_the_grid(self, name: str, work: Callable[[], T]) -> T:
        """Work on rows: refusals and failures too leave on the grid, they must not be told apart by their time either."""
        with self._steps.call(name):
            began = self._monotonic()
            try:
                return await self._working.run(work)
            finally:
                if self._grid:
                    await self._sleep(self._grid - (self._monotonic() - began) % self._grid)

    async def small(self, work: Callable[[], T], /) -> T:
        """Work that neither counts nor waits: reading the log, cosigning. One at a time, beside the answers."""
        return await self._working.small(work)

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
        await self._working.drain()

    def _learn(self, request: node_pb2.LearnRequest) -> node_pb2.LearnReply:
        size = self._node.members.learn(request.first, list(request.entries), request.checkpoint)
        self._lines.event("registry", size=size)
        try:
            self._node.members.check_own()
        except CollegiumError as error:
            self._lines.failure("own-registration", error)
        for name in rekeyed(self._node):
            self._lines.event("researcher-rekeyed", researcher=name, remedy=f"collegium-node allow --researcher {name}")
        return replies.learnt(size)
