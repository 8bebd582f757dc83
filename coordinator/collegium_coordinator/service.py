"""What the coordinator serves to researchers and nodes: the Federation service.

Every call is judged by the registry as it is now (see door.py). A researcher sees only his own requests. Errors are those of
`collegium.errors`; the transport turns them into statuses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from collegium.errors import CollegiumError, Invalid, Offline
from collegium.registry import Registered
from collegium.v1.federation_pb2 import (
    AskRequest,
    NodeLine,
    NodesReply,
    NodesRequest,
    NodeStatusLine,
    Progress,
    RegistryReply,
    RegistryRequest,
    RequestLine,
    RequestsReply,
    RequestsRequest,
    ResultPart,
    ResultRequest,
)
from collegium_coordinator.asked import check_request
from collegium_coordinator.config import Asking
from collegium_coordinator.door import Door
from collegium_coordinator.fanout import Fanout
from collegium_coordinator.indicator import Indicators
from collegium_coordinator.jobs import Job
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store
from collegium_coordinator.trusteelines import trustee_lines
from collegium_coordinator.trustees import Trustees

__all__ = ["FederationService"]

MAX_LISTED = 200
MAX_WAIT = 600.0  # seconds a caller of Result may wait
STATUS_AGE = 10.0  # seconds; an older status is asked for again when somebody looks
PULSE = 5.0  # seconds between looks at a caller who waits: has he been revoked?
COALESCE = 0.05  # seconds; changes within it are reported as one


class FederationService:
    """The servicer."""

    def __init__(
        self,
        store: Store,
        registry: RegistryLog,
        nodes: Nodes,
        fanout: Fanout,
        indicators: Indicators,
        door: Door,
        *,
        asking: Asking,
        clock: Callable[[], float],
        trustees: Trustees | None = None,
    ) -> None:
        self._trustees = trustees
        self._store = store
        self._registry = registry
        self._nodes = nodes
        self._fanout = fanout
        self._indicators = indicators
        self._door = door
        self._asking = asking
        self._clock = clock

    async def Registry(self, request: RegistryRequest, context: Any) -> RegistryReply:
        """Entries from an index on. The checkpoint is over the tree that ends with the last entry sent."""
        self._door.enter(context, "node", "researcher", "trustee")
        entries, checkpoint, more = await asyncio.to_thread(self._registry.page, request.first)
        return RegistryReply(first=request.first, entries=entries, checkpoint=checkpoint, more=more)

    async def Nodes(self, request: NodesRequest, context: Any) -> NodesReply:
        """All registered nodes. What a node says of itself is its own word, except the policy, which it has signed."""
        self._door.enter(context, "node", "researcher")
        await self._nodes.freshen(STATUS_AGE, patience=2.0)
        nodes = await asyncio.to_thread(self._node_lines, brief=request.brief)
        there = self._trustees
        trustees = await asyncio.to_thread(trustee_lines, self._store, self._registry, there) if there is not None else []
        return NodesReply(nodes=nodes, trustees=trustees)

    async def Ask(self, request: AskRequest, context: Any) -> AsyncIterator[Progress]:
        """Take a request, or join it if it is known, and report progress until its first round is over."""
        peer = self._door.enter(context, "researcher")
        # Shielded: a caller who hangs up while the request is being logged must not leave it logged and never asked.
        job = await asyncio.shield(asyncio.ensure_future(self._accept(request, peer)))
        sent: Progress | None = None
        while True:
            news = job.next_news()
            progress = job.progress()
            if progress != sent:
                sent = progress
                yield progress
            if progress.done:
                return
            await _wait(news, PULSE)
            await _wait(job.over, COALESCE)
            self._door.enter(context, "researcher")  # revoked meanwhile: the stream ends here
            if self._fanout.closing and not job.done:
                raise Offline(
                    "the coordinator is stopping; it goes on with the question when it is back",
                    remedy=f"Fetch it later with `collegium result {job.id[:12]}`.",
                )

    async def Result(self, request: ResultRequest, context: Any) -> AsyncIterator[ResultPart]:
        """The bundle of a request: what was signed, by whom, and the payloads, so that the reader can verify all of it."""
        peer = self._door.enter(context, "researcher")
        job = self._own_job(request.request_id, peer)
        wait = min(max(request.wait_seconds, 0.0), MAX_WAIT) if request.wait_seconds == request.wait_seconds else 0.0
        if request.refresh:
            self._fanout.refresh(job)
        await self._wait_for(job, wait)
        await self._indicators.issue(job)
        for part in await asyncio.to_thread(self._indicators.bundle, job):
            yield part
        yield ResultPart(progress=job.progress())

    async def Requests(self, request: RequestsRequest, context: Any) -> RequestsReply:
        """The caller's requests, newest first."""
        peer = self._door.enter(context, "researcher")
        limit = min(request.limit or 20, MAX_LISTED)
        rows = self._store.rows(
            "SELECT id, time, purpose FROM requests WHERE researcher = ? ORDER BY received DESC LIMIT ?", (peer.name, limit)
        )
        lines = []
        for identity, time, purpose in rows:
            try:
                progress = self._fanout.job(identity).progress()
            except CollegiumError:
                progress = Progress(request_id=identity)  # of a version that this one cannot read any more
            lines.append(RequestLine(request_id=identity, time=time, purpose=purpose, progress=progress))
        return RequestsReply(requests=lines)

    async def _accept(self, request: AskRequest, peer: Registered) -> Job:
        await asyncio.to_thread(self._registry.refresh)
        asked, purpose = check_request(
            request.request,
            request.details,
            peer=peer,
            registry=self._registry,
            clock=self._clock,
            max_validity=self._asking.max_validity_days * 86_400,
            max_questions=self._asking.max_questions,
            known=lambda identity: self._store.row("SELECT 1 FROM requests WHERE id = ?", (identity,)) is not None,
        )
        return await self._fanout.accept(asked, purpose)

    def _own_job(self, request: str, peer: Registered) -> Job:
        """The job of a request of this researcher; another's looks as if it did not exist."""
        owner = self._store.row("SELECT researcher FROM requests WHERE id = ?", (request,))
        if owner is None or owner[0] != peer.name:
            raise Invalid("there is no such request of yours", place="request id", remedy="See yours with `collegium requests`.")
        return self._fanout.job(request)

    async def _wait_for(self, job: Job, seconds: float) -> None:
        """Until nobody is being asked any more, for at most `seconds`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._fanout.busy(job) and not self._fanout.closing and loop.time() < end:
            await _wait(job.next_news(), end - loop.time())

    def _known(self, node: str) -> int:
        try:
            return self._nodes.get(node).known
        except Offline:
            return 0

    def _node_lines(self, *, brief: bool = False) -> list[NodeLine]:
        seen = {row[0]: row[1:] for row in self._store.rows("SELECT * FROM seen")}
        lines = []
        for party in self._registry.registry.nodes():
            line = NodeLine(
                name=party.name, facts=party.facts, enrolment=party.enrolment, connected=self._nodes.connected(party.name)
            )
            if party.name in seen:
                _, last, version, snapshot, datasets, size, policy = seen[party.name]
                line.last_seen = last
                if line.connected:  # what it has been taught since it last said how much it knows
                    size = max(size, self._known(party.name))
                line.status.CopyFrom(
                    NodeStatusLine(
                        version=version,
                        snapshot=snapshot,
                        datasets=json.loads(datasets),
                        registry_size=size,
                        policy=b"" if brief else policy or b"",
                    )
                )
            lines.append(line)
        return lines


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        pass
