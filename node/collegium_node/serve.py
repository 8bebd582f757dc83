"""`serve`: one process that answers until it is told to stop.

Dial (default): it opens a tunnel to the coordinator and answers what comes down it. Listen: the same servicer behind a port, with
gRPC's health and reflection. SIGTERM and SIGINT stop taking questions, finish those in flight, and end with 0. SIGHUP signs
policy.toml anew. A disk that refuses a write ends the process with 1 at once: its successor finds everything that was promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from collegium.enrolment import renew
from collegium.errors import CollegiumError, Exit, Failed, rule_of
from collegium.tls import renew_at
from collegium.transport.channels import listen, new_server, server_credentials
from collegium.transport.dial import dial_forever, dial_once
from collegium.transport.dispatch import add_service, handlers_of
from collegium.transport.endpoint import Endpoint
from collegium.transport.peer import COORDINATOR, Peer, only_role
from collegium.transport.status import to_public_status
from collegium.v1 import node_pb2
from collegium_node.answer import Answering
from collegium_node.config import NodeConfig
from collegium_node.digest import load_secret
from collegium_node.embedded import Embedded
from collegium_node.fetch import coordinator_channel, tls_of
from collegium_node.home import Home, Node
from collegium_node.lines import Lines, of_loop, take_over
from collegium_node.service import NodeService
from collegium_node.steward import InForce, sign_draft

__all__ = ["serve"]

NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
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
    with _alone(home):
        node = home.open(clock, verify=True)
        lines = Lines(stream, clock)
        take_over(lines)
        try:
            return asyncio.run(_serve(node, config, lines, clock))
        finally:
            node.close()


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One server for a folder: two would be safe for the budget, but the coordinator would see two nodes of one name."""
    home.membership()
    with (home.root / "serve.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed("this node is being served already", place=str(home.root), remedy="Stop the other one first.") from None
        yield


async def _serve(node: Node, config: NodeConfig, lines: Lines, clock: Callable[[], float]) -> Exit:
    loop = asyncio.get_running_loop()
    of_loop(lines, loop)
    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, _sign_policy, node, lines)
    _sign_policy(node, lines)
    engine = Embedded(node.home.root, load_secret(node.home.snapshot_key))
    answering = Answering(
        name=node.membership.name, journal=node.journal, members=node.members, policy=InForce(node.journal), engine=engine,
        clock=clock, lines=lines,
    )  # fmt: skip
    service = NodeService(
        node, answering, lines, max_parallel=config.limits.max_parallel, grid_ms=config.limits.answer_grid_ms,
        on_broken=lambda: stop(Exit.FAILED),
    )  # fmt: skip
    renewing = asyncio.create_task(_renew_forever(node, lines, clock))
    try:
        if config.coordinator.mode == "listen":
            await _listen(node, config, service, lines, stop)
        else:
            await _dial(node, config, service, lines, stop)
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing
    await service.drain()
    lines.event("stopped", code=int(stop.code))
    return stop.code


async def _dial(node: Node, config: NodeConfig, service: NodeService, lines: Lines, stop: _Stop) -> None:
    membership = node.membership
    peer = Peer(membership.federation, COORDINATOR, COORDINATOR)
    handlers = handlers_of(service, NODE, peer=peer, status=to_public_status)
    live: list[Endpoint] = []

    def opened(endpoint: Endpoint) -> None:
        live[:] = [endpoint]
        lines.event("connected", coordinator=membership.service)

    def failed(error: Exception | None, wait: float) -> None:
        live.clear()
        kind = rule_of(error).error.kind if error is not None else "ended"
        lines.event("disconnected", kind=kind, retry_ms=round(wait * 1000))

    async def attempt() -> None:
        await dial_once(
            lambda: coordinator_channel(node.home, membership, config.coordinator.proxy), handlers, opened, place=membership.service
        )

    lines.event("serving", mode="dial", name=membership.name, coordinator=membership.service)
    dialling = asyncio.create_task(dial_forever(attempt, failed=failed))
    await stop.event.wait()
    for endpoint in live:
        await endpoint.close(grace=GRACE if stop.code is Exit.OK else 0.0)
    dialling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dialling


async def _listen(node: Node, config: NodeConfig, service: NodeService, lines: Lines, stop: _Stop) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_health.v1.health import aio as healths
    from grpc_reflection.v1alpha import reflection

    server: Any = new_server()
    admit = only_role(node.membership.federation, COORDINATOR)
    add_service(server, service, NODE, status=to_public_status, admit=admit)
    health = healths.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection([NODE.full_name, "grpc.health.v1.Health", reflection.SERVICE_NAME], server)
    port = listen(server, config.coordinator.listen, server_credentials(lambda: tls_of(node.home, node.membership)))
    await server.start()
    for name in ("", NODE.full_name):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    lines.event("serving", mode="listen", name=node.membership.name, port=port)
    await stop.event.wait()
    await health.enter_graceful_shutdown()
    await server.stop(GRACE if stop.code is Exit.OK else 0.0)


async def _renew_forever(node: Node, lines: Lines, clock: Callable[[], float]) -> None:
    """A new certificate at two thirds of the old one's life; tried again until it works."""
    while True:
        try:
            if clock() >= renew_at(node.home.keys.certificate.read_bytes()):
                await asyncio.to_thread(renew_now, node, clock)
                lines.event("certificate-renewed")
        except Exception as error:
            lines.failure("renewal-failed", error)
        await asyncio.sleep(RENEW_CHECK)


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
