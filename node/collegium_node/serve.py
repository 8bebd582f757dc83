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
import signal
import sys
import time
from collections.abc import Callable
from typing import TextIO

from collegium.errors import CollegiumError, Exit
from collegium.party import publish
from collegium.party.alone import alone
from collegium.party.cosigning import Cosigning
from collegium.party.dialling import Dialling, Services
from collegium.party.fetch import coordinator_channel, tls_of
from collegium.party.lines import Lines, of_loop, take_over
from collegium.party.logservice import LogService, WitnessService
from collegium.party.mirrored import check_copy
from collegium.party.receipts import Receipts
from collegium.party.relay import ChannelRelay
from collegium.party.serving import Stop, needed, renew_forever
from collegium.party.witness import Witnessing
from collegium.transport.channels import listen, new_server, server_credentials
from collegium.transport.dispatch import add_service
from collegium.transport.node_client import ChannelCaller
from collegium.transport.peer import COORDINATOR, only_role
from collegium.transport.status import to_public_status
from collegium.v1 import log_pb2, node_pb2, witness_pb2
from collegium_node import submissions
from collegium_node.answer import Answering
from collegium_node.config import NodeConfig
from collegium_node.digest import load_secret
from collegium_node.embedded import Embedded
from collegium_node.engine import warm_up
from collegium_node.home import Home, Node
from collegium_node.metrics import EVERY, Metrics
from collegium_node.observed import exported
from collegium_node.service import NodeService
from collegium_node.steward import InForce, sign_draft

__all__ = ["serve"]

NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
LOG = log_pb2.DESCRIPTOR.services_by_name["Log"]
WITNESS = witness_pb2.DESCRIPTOR.services_by_name["Witness"]
FORGET_EVERY = 3600.0  # seconds between looks for masked vectors whose time is over


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
    stop = Stop()
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
    traces = exported(node, config, lines)
    service = NodeService(
        node, answering, lines, max_parallel=config.limits.max_parallel, grid_ms=config.limits.answer_grid_ms,
        on_broken=lambda: stop(Exit.FAILED), steps=traces.steps,
    )  # fmt: skip
    dials = config.coordinator.mode == "dial"
    metrics = Metrics(node, clock, lines=lines, dials=dials, waiting=lambda: service.in_flight).opened(config.metrics.listen)
    services = (
        (service, NODE),
        (LogService(node, service.small), LOG),
        (WitnessService(Witnessing(node, clock), service.small), WITNESS),
    )
    line = (
        _Listening(node, config, services, lines)
        if config.coordinator.mode == "listen"
        else Dialling(node, services, lines, proxy=config.coordinator.proxy)
    )
    cosigning = Cosigning(node, line.relay, lines)
    beside = [
        asyncio.create_task(work)
        for work in (
            _warm_up(lines),
            renew_forever(node, lines, clock, line.renewed),
            needed(cosigning.run(), stop, lines),
            _forget_forever(node, config, lines, clock),
            metrics.keep(max(EVERY, config.limits.answer_grid_ms / 1000)),
        )
    ]
    try:
        await line.run(stop)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    await service.drain()
    metrics.close()
    traces.close()
    if node.store.broken is None:
        node.quorum.save(now=True)
    lines.event("stopped", code=int(stop.code))
    return stop.code


async def _forget_forever(
    node: Node, config: NodeConfig, lines: Lines, clock: Callable[[], float], *, every: float = FORGET_EVERY
) -> None:
    """Masked vectors whose time is over are deleted, at the start and every hour."""
    while True:
        try:
            count = await asyncio.to_thread(submissions.forget, node.store, clock(), config.national.retention_days)
            if count:
                lines.event("vectors-deleted", count=count)
        except CollegiumError as error:  # a database in use by another process: an hour later it is not
            lines.failure("not-deleted", error)
        await asyncio.sleep(every)


async def _warm_up(lines: Lines) -> None:
    """Compile the kernel beside everything else. If it does not compute what it should, every question fails with that."""
    try:
        await asyncio.to_thread(warm_up)
    except CollegiumError as error:
        lines.failure("kernel", error)


class _Listening:
    """The same services behind a port. Witnesses are reached by calling the coordinator's."""

    def __init__(self, node: Node, config: NodeConfig, services: Services, lines: Lines) -> None:
        self._node, self._config, self._services, self._lines = node, config, services, lines
        self.relay = ChannelRelay(lambda: coordinator_channel(node.home, node.membership, config.coordinator.proxy))

    async def run(self, stop: Stop) -> None:
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
        await server.stop(stop.grace)
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


def _sign_policy(node: Node, lines: Lines) -> None:
    """Put policy.toml into force. A mistake in it leaves the policy that is in force as it is."""
    try:
        _, changed = sign_draft(node)
        lines.event("policy", changed=changed)
    except CollegiumError as error:
        lines.failure("policy-not-signed", error)
