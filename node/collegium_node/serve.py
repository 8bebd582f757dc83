"""`serve`: one process that answers until it is told to stop.

Dial (default): it opens a tunnel to the coordinator and answers what comes down it. Listen: the same servicer behind a port, with
gRPC's health and reflection. SIGTERM and SIGINT stop taking questions, finish those in flight, and end with 0. SIGHUP signs
policy.toml anew. A disk that refuses a write ends the process with 1 at once: its successor finds everything that was promised.

Beside the answers run: the loop that keeps the log confirmed by its witnesses (nothing is signed before it has once succeeded), the
renewal of the certificate, the compilation of the kernel before the first question needs it, and the figures for monitoring. A log
that proves to be restored stops signing at once; the process stays, so that whoever asks is told why.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from collegium.enrolment import renew
from collegium.errors import CollegiumError, Exit, rule_of
from collegium.tls import renew_at
from collegium.transport.channels import listen, new_server, server_credentials
from collegium.transport.dial import dial_forever, dial_once
from collegium.transport.dispatch import add_service, handlers_of
from collegium.transport.endpoint import Endpoint
from collegium.transport.node_client import ChannelCaller
from collegium.transport.peer import COORDINATOR, Peer, only_role
from collegium.transport.status import to_public_status
from collegium.v1 import log_pb2, node_pb2, witness_pb2
from collegium_node import metrics, publish
from collegium_node.alone import alone
from collegium_node.answer import Answering
from collegium_node.config import NodeConfig
from collegium_node.cosigning import Cosigning
from collegium_node.digest import load_secret
from collegium_node.embedded import Embedded
from collegium_node.engine import warm_up
from collegium_node.fetch import coordinator_channel, tls_of
from collegium_node.home import Home, Node
from collegium_node.lines import Lines, of_loop, take_over
from collegium_node.logservice import LogService, WitnessService
from collegium_node.mirrored import check_copy
from collegium_node.receipts import Receipts
from collegium_node.relay import ChannelRelay, TunnelRelay
from collegium_node.service import NodeService
from collegium_node.steward import InForce, sign_draft
from collegium_node.witness import Witnessing

__all__ = ["serve"]

Services = Sequence[tuple[Any, Any]]
"""Servicers and the descriptors of their services."""

NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
LOG = log_pb2.DESCRIPTOR.services_by_name["Log"]
WITNESS = witness_pb2.DESCRIPTOR.services_by_name["Witness"]
METRICS_EVERY = 5.0  # seconds
RENEW_CHECK = 600.0  # seconds between looks at the certificate
GRACE = 30.0  # seconds that questions in flight get when the process is told to stop


@dataclass(slots=True)
class _Stop:
    """Why and when to end: set once, read by `serve`."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    code: Exit = Exit.OK

    def __call__(self, code: Exit = Exit.OK) -> None:
        if not self.event.is_set():
            self.code = code
            self.event.set()


def serve(home: Home, *, clock: Callable[[], float] = time.time, stream: TextIO = sys.stderr) -> Exit:
    """Run until a signal or a broken disk. The process's exit code."""
    config = home.config()
    home.membership()
    home.keys.tls()  # without them every attempt to connect would fail alike: said now, not again and again
    with alone(home):
        node = home.open(clock, verify=True)
        lines = Lines(stream, clock)
        take_over(lines)
        try:
            publish.check(node)
            return asyncio.run(_serve(node, config, lines, clock))
        finally:
            node.close()


async def _serve(node: Node, config: NodeConfig, lines: Lines, clock: Callable[[], float]) -> Exit:
    loop = asyncio.get_running_loop()
    of_loop(lines, loop)
    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, _sign_policy, node, lines)
    if not node.quorum.witnesses().need:
        _sign_policy(node, lines)
    node.permit.on_confirmed = lambda: _sign_policy(node, lines)
    engine = Embedded(node.home.root, load_secret(node.home.snapshot_key))
    answering = Answering(
        name=node.membership.name, journal=node.journal, members=node.members, policy=InForce(node.journal), engine=engine,
        receipts=Receipts(node.journal, node.quorum), clock=clock, lines=lines,
    )  # fmt: skip
    service = NodeService(
        node, answering, lines, max_parallel=config.limits.max_parallel, grid_ms=config.limits.answer_grid_ms,
        on_broken=lambda: stop(Exit.FAILED),
    )  # fmt: skip
    services = (
        (service, NODE),
        (LogService(node, service.small), LOG),
        (WitnessService(Witnessing(node, clock), service.small), WITNESS),
    )
    line = (
        _Listening(node, config, services, lines)
        if config.coordinator.mode == "listen"
        else _Dialling(node, config, services, lines)
    )
    cosigning = Cosigning(node, line.relay, lines)
    beside = [
        asyncio.create_task(work)
        for work in (
            _warm_up(lines),
            _renew_forever(node, lines, clock, line.renewed),
            _needed(cosigning.run(), stop, lines),
            metrics.keep(node, every=METRICS_EVERY),
        )
    ]
    try:
        await line.run(stop)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    await service.drain()
    if node.store.broken is None:
        node.quorum.save(now=True)
    lines.event("stopped", code=int(stop.code))
    return stop.code


async def _needed(work: Coroutine[Any, Any, None], stop: _Stop, lines: Lines) -> None:
    """Work without which the process is of no use: when it breaks, the process ends and its successor begins anew."""
    try:
        await work
    except Exception as error:
        lines.failure("broken", error)
        stop(Exit.FAILED)


async def _warm_up(lines: Lines) -> None:
    """Compile the kernel beside everything else. If it does not compute what it should, every question fails with that."""
    try:
        await asyncio.to_thread(warm_up)
    except CollegiumError as error:
        lines.failure("kernel", error)


class _Dialling:
    """A tunnel to the coordinator, opened again whenever it ends. Witnesses are reached through it."""

    def __init__(self, node: Node, config: NodeConfig, services: Services, lines: Lines) -> None:
        self._node, self._config, self._lines = node, config, lines
        peer = Peer(node.membership.federation, COORDINATOR, COORDINATOR)
        self._handlers = {
            method: handler
            for servicer, service in services
            for method, handler in handlers_of(servicer, service, peer=peer, status=to_public_status).items()
        }
        self._live: list[Endpoint] = []
        self._asking: asyncio.Task[None] | None = None
        self.relay = TunnelRelay(self._live)

    async def run(self, stop: _Stop) -> None:
        membership = self._node.membership
        self._lines.event("serving", mode="dial", name=membership.name, coordinator=membership.service)
        dialling = asyncio.create_task(dial_forever(self._attempt, failed=self._failed))
        await stop.event.wait()
        for endpoint in self._live:
            await endpoint.close(grace=GRACE if stop.code is Exit.OK else 0.0)
        dialling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dialling

    async def renewed(self) -> None:
        """Calls in flight end on the old tunnel; the next one is opened with the new certificate."""
        for endpoint in list(self._live):
            await endpoint.close(grace=GRACE)

    async def _attempt(self) -> None:
        home, membership, proxy = self._node.home, self._node.membership, self._config.coordinator.proxy
        await dial_once(
            lambda: coordinator_channel(home, membership, proxy), self._handlers, self._opened, place=membership.service
        )

    def _opened(self, endpoint: Endpoint) -> None:
        self._live[:] = [endpoint]
        self._asking = asyncio.create_task(check_copy(endpoint, self._node, self._lines))
        self._lines.event("connected", coordinator=self._node.membership.service)

    def _failed(self, error: Exception | None, wait: float) -> None:
        self._live.clear()
        kind = rule_of(error).error.kind if error is not None else "ended"
        self._lines.event("disconnected", kind=kind, retry_ms=round(wait * 1000))


class _Listening:
    """The same services behind a port. Witnesses are reached by calling the coordinator's."""

    def __init__(self, node: Node, config: NodeConfig, services: Services, lines: Lines) -> None:
        self._node, self._config, self._services, self._lines = node, config, services, lines
        self.relay = ChannelRelay(lambda: coordinator_channel(node.home, node.membership, config.coordinator.proxy))

    async def run(self, stop: _Stop) -> None:
        from grpc_health.v1 import health_pb2, health_pb2_grpc
        from grpc_health.v1.health import aio as healths
        from grpc_reflection.v1alpha import reflection

        node, server = self._node, new_server()
        admit = only_role(node.membership.federation, COORDINATOR)
        for servicer, service in self._services:
            add_service(server, servicer, service, status=to_public_status, admit=admit)
        names = [service.full_name for _, service in self._services]
        health = healths.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        reflection.enable_server_reflection([*names, "grpc.health.v1.Health", reflection.SERVICE_NAME], server)
        port = listen(server, self._config.coordinator.listen, server_credentials(lambda: tls_of(node.home, node.membership)))
        await server.start()
        for name in ("", *names):
            await health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._lines.event("serving", mode="listen", name=node.membership.name, port=port)
        asking = asyncio.create_task(self._ask())
        await stop.event.wait()
        await health.enter_graceful_shutdown()
        await server.stop(GRACE if stop.code is Exit.OK else 0.0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await self.relay.close()

    async def _ask(self) -> None:
        """The same question that a dialling node puts whenever it is connected: whether the coordinator's copy shows more."""
        channel = coordinator_channel(self._node.home, self._node.membership, self._config.coordinator.proxy)
        try:
            await check_copy(ChannelCaller(channel), self._node, self._lines)
        finally:
            await channel.close()

    async def renewed(self) -> None:
        """The port follows the files by itself; the channel to the coordinator is opened anew."""
        await self.relay.close()


async def _renew_forever(
    node: Node, lines: Lines, clock: Callable[[], float], renewed: Callable[[], Awaitable[None]], *, every: float = RENEW_CHECK
) -> None:
    """Looks every so many seconds. A new certificate at two thirds of the old one's life, tried again until it works;
    connections take it up at once.
    """
    while True:
        try:
            if clock() >= renew_at(node.home.keys.certificate.read_bytes()):
                await asyncio.to_thread(renew_now, node, clock)
                lines.event("certificate-renewed")
                await renewed()
        except Exception as error:
            lines.failure("renewal-failed", error)
        await asyncio.sleep(every)


def renew_now(node: Node, clock: Callable[[], float]) -> None:
    """Fetch a new certificate, also when the old one has expired: the statement key proves who asks."""
    membership = node.membership
    renew(membership.enrolment, membership.ca.encode(), node.journal.statements, node.home.keys, clock=clock)


def _sign_policy(node: Node, lines: Lines) -> None:
    """Put policy.toml into force. A mistake in it leaves the policy that is in force as it is."""
    try:
        _, changed = sign_draft(node)
        lines.event("policy", changed=changed)
    except CollegiumError as error:
        lines.failure("policy-not-signed", error)
