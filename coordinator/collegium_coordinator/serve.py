"""The serving coordinator: two ports, one database, and never the registry key.

`serve` opens the coordinator's own keys and nothing of the registrar; it works with the registry directory absent. Whoever takes
it over can delay, drop and add wrongly, all of which shows; he can invent neither a researcher nor a node.

Stopping (Ctrl-C or SIGTERM): no new calls, calls in flight get a moment, tunnels are told to go. Questions under way are gone on
with at the next start. A failed commit ends the process at once: what is on the disk is then unknown and is read anew at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from collegium.errors import CollegiumError, Failed
from collegium.keys import load_signer
from collegium.log.checkpoint import read_checkpoint
from collegium.log.witness import contradiction
from collegium.transport.accept import TunnelServicer, add_tunnel
from collegium.transport.channels import TlsFiles, listen, new_server, server_credentials
from collegium.transport.dispatch import add_service, handlers_of
from collegium.transport.endpoint import Endpoint, Handler
from collegium.transport.node_client import NodeClient
from collegium.transport.peer import Peer
from collegium.transport.status import to_status
from collegium.v1 import enrolment_pb2, federation_pb2, log_pb2, tunnel_pb2, witness_pb2
from collegium_coordinator.ca import Authority
from collegium_coordinator.config import Config, Home, Listen, read_config
from collegium_coordinator.cosigning import Cosigned, Cosigning
from collegium_coordinator.dial import Dialler
from collegium_coordinator.door import Door
from collegium_coordinator.enrol import Enrolment
from collegium_coordinator.fanout import Fanout
from collegium_coordinator.indicator import Combine, Indicators, national_table
from collegium_coordinator.journal import Journal
from collegium_coordinator.logs import LogService, Source
from collegium_coordinator.metrics import Metrics
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.mirroring import Mirroring
from collegium_coordinator.nodes import Connection, Nodes
from collegium_coordinator.permit import CONFIRMED, missing, not_confirmed, restored
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.relay import RelayService
from collegium_coordinator.service import FederationService
from collegium_coordinator.standing import Standing
from collegium_coordinator.store import Fault, Store, no_fault
from collegium_coordinator.upgrade import upgrade

__all__ = ["Coordinator", "serve", "serving"]

log = logging.getLogger("collegium.coordinator")

POLL = 0.5  # seconds between looks at what the registrar's commands wrote
LOOK = 60.0  # seconds between looks at what nodes say of themselves
GRACE = 5.0  # seconds for calls in flight when stopping
RENEWAL_CHECK = 3600.0  # seconds
LOG = log_pb2.DESCRIPTOR.services_by_name["Log"]
RELAY = witness_pb2.DESCRIPTOR.services_by_name["Relay"]
ENROLMENT_LIMITS = [("grpc.max_receive_message_length", 256 * 1024), ("grpc.so_reuseport", 0)]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a running coordinator listens."""

    main: int
    enrolment: int


class Coordinator:
    """All parts of a serving coordinator. `start`, then `stop`.

    Args:
        combine: makes the table of a sum; see `indicator.Combine`.
        clock: Unix time.
        on_broken: called when the database can no longer be trusted; ends the process in production.
        fault: see `Store`.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        *,
        combine: Combine = national_table,
        clock: Callable[[], float] = time.time,
        on_broken: Callable[[], None] | None = None,
        fault: Fault = no_fault,
    ) -> None:
        self.config = config
        self._clock = clock
        own_log = load_signer(home.log_key)
        upgrade(home.database, own_log)
        self.store = Store(home.database, on_broken=on_broken, fault=fault)
        try:
            self.registry = RegistryLog(self.store, config.registry, load_signer(home.registry_log_key))
            self._authority = Authority(home, config.federation, lifetime=config.certificates.days * 86_400.0, clock=clock)
            self.journal = Journal(self.store, self.registry, load_signer(home.statements_key), own_log, clock=clock)
        except CollegiumError:
            self.store.close()
            raise
        self.mirror = Mirror(home.mirror)
        self.door = Door(self.store, self.registry, config.federation)
        self.nodes = Nodes(self.store, self.registry, clock=clock, on_ready=self._node_ready)
        own, register = (Cosigned(self.store, self.registry, each) for each in (self.journal, self.registry))
        self._standing = Standing(Path(config.mirror.own), home.database) if config.mirror.own else None
        self.cosigning = Cosigning(
            self.store,
            self.nodes,
            [own, register],
            clock=clock,
            on_restored=self._restored,
            on_confirmed=lambda _: self._say_confirmed(),
            before=self._copy,
        )
        self._lock_file = home.lock
        self.journal.ready = lambda: self.cosigning.is_ready(self.journal.origin)
        self.registry.guard = lambda: None if self.cosigning.is_ready(self.registry.origin) else not_confirmed(self.registry.origin)
        for each in (self.journal, self.registry):
            lost = missing(self.mirror, each)
            if lost is not None:
                each.stop(restored(each.origin, lost[0], lost[1].size))
        with contextlib.suppress(CollegiumError):  # said again, and logged, when the witnesses are to be asked
            self._copy()
        self._say_confirmed()
        self.fanout = Fanout(
            self.store, self.journal, self.registry, self.nodes, own, self.cosigning, asking=config.asking, clock=clock
        )
        self.indicators = Indicators(self.store, self.registry, self.journal, own, self.cosigning, combine)
        self.logs = LogService(
            {own.own.origin: Source(self.store, own, "entries"), register.own.origin: Source(self.store, register, "registry")},
            self.door,
            self.store,
            self.mirror,
        )
        self.mirroring = Mirroring(
            self.mirror,
            self.store,
            self.registry,
            self.nodes,
            {each.origin: each.verifier for each in (self.journal, self.registry)},
            largest=config.mirror.largest_mib << 20,
            clock=clock,
            on_shown=self._shown,
        )
        self.metrics = Metrics(
            home.metrics,
            self.store,
            self.registry,
            self.mirror,
            self.cosigning,
            [own, register],
            lambda origin: missing(self.mirror, self._log_of(origin)) is not None,
            clock=clock,
        )
        self.relay = RelayService(self.nodes, self.door)
        self.service = FederationService(
            self.store,
            self.registry,
            self.nodes,
            self.fanout,
            self.indicators,
            self.door,
            asking=config.asking,
            clock=clock,
        )
        self.enrolment = Enrolment(self.store, self.registry, self._authority, clock=clock, on_grown=self._grown)
        self._tunnels = _Tunnels(self.door, self._admit, self._opened, self._closed)
        self._connections: dict[Endpoint, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[Any] = []
        self._taught = self.registry.size
        self._tls = self._own_tls()
        self._dialler = Dialler(self.store, self.nodes, lambda: self._tls, clock=clock)
        self._health = health.HealthServicer()

    async def start(self, addresses: Listen) -> Ports:
        """Listen on both ports and take up unfinished work. Raises Failed when a port is taken."""
        # Anybody may call the enrolment port: small messages, few calls at once.
        main, enrolment = new_server(), grpc.aio.server(options=ENROLMENT_LIMITS, maximum_concurrent_rpcs=64)
        add_service(main, self.service, federation_pb2.DESCRIPTOR.services_by_name["Federation"])
        add_service(main, self.logs, LOG)
        add_service(main, self.relay, RELAY)
        add_tunnel(main, self._tunnels)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, main)
        names = [
            federation_pb2.DESCRIPTOR.services_by_name["Federation"].full_name,
            tunnel_pb2.DESCRIPTOR.services_by_name["Tunnel"].full_name,
            LOG.full_name,
            RELAY.full_name,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        ]
        reflection.enable_server_reflection(names, main)
        add_service(enrolment, self.enrolment, enrolment_pb2.DESCRIPTOR.services_by_name["Enrolment"])
        ports = Ports(
            main=listen(main, addresses.main, server_credentials(lambda: self._tls)),
            enrolment=listen(enrolment, addresses.enrolment, server_credentials(lambda: self._tls, clients_prove_themselves=False)),
        )
        loop = asyncio.get_running_loop()
        self.journal.on_grown = lambda: loop.call_soon_threadsafe(self._journal_grown)
        self._spawn(self.cosigning.run())
        if self.config.mirror.largest_mib:
            self._spawn(self.mirroring.run())
        self.fanout.start()
        for server in (main, enrolment):
            await server.start()
            self._servers.append(server)
        for work in (self._watch_registry(), self._renew(), self._look_at_nodes(), self._dialler.run(), self.metrics.run()):
            self._spawn(work)
        for name in ("", names[0]):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return ports

    async def stop(self, grace: float = GRACE) -> None:
        """Stop in order: no new calls, calls in flight, tunnels, background work, database."""
        await self._health.enter_graceful_shutdown()
        await self.fanout.close()
        await self.nodes.close()
        await self._tunnels.close(grace=grace)
        await asyncio.gather(*(server.stop(grace) for server in self._servers))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.mirror.close()
        self.store.close()

    # -- tunnels ---------------------------------------------------------------------------------------------------------------

    def _admit(self, peer: Peer) -> Mapping[str, Handler]:
        """Nodes of the registry may open a tunnel, and up it read the registry and the logs, and reach their witnesses."""
        self.door.judge(peer, "node")
        handlers = handlers_of(self.service, federation_pb2.DESCRIPTOR.services_by_name["Federation"], peer=peer)
        registry = {method: handler for method, handler in handlers.items() if method.endswith("/Registry")}
        return registry | handlers_of(self.logs, LOG, peer=peer) | handlers_of(self.relay, RELAY, peer=peer)

    def _opened(self, peer: Peer, endpoint: Endpoint) -> None:
        connection = Connection(peer.name, NodeClient(endpoint, name=peer.name), endpoint.close)
        self._connections[endpoint] = connection
        self._spawn(self._attach(connection))

    def _closed(self, _peer: Peer, endpoint: Endpoint) -> None:
        connection = self._connections.pop(endpoint, None)
        if connection is not None:
            self._spawn(self.nodes.detach(connection))

    async def _attach(self, connection: Connection) -> None:
        try:
            await self.nodes.attach(connection)
        except CollegiumError as error:
            log.warning("node %s connected and could not be greeted: %s", connection.name, error)
            await connection.close()

    # -- background ------------------------------------------------------------------------------------------------------------

    async def _watch_registry(self) -> None:
        """Take over what `invite`, `revoke` and `schema` wrote in their own processes; teach the nodes."""
        while True:
            await asyncio.sleep(POLL)
            try:
                await asyncio.to_thread(self.registry.refresh)
                if self.registry.size != self._taught:
                    self._grown()
            except CollegiumError:
                log.exception("the registry in the database does not verify; it is not used beyond entry %d", self.registry.size)

    async def _look_at_nodes(self) -> None:
        """Snapshots and policies change while a node stays connected; `nodes` and `budget` show them from the database."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.nodes.freshen(LOOK, patience=10.0)
            except CollegiumError:
                log.exception("what the nodes say of themselves could not be stored")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_CHECK)
            try:
                self._tls = self._own_tls()
            except CollegiumError:
                log.exception("the coordinator's own certificate could not be renewed")

    def _own_tls(self) -> TlsFiles:
        key, chain = self._authority.own_certificate(self.config.public.hosts)
        return TlsFiles(ca=self._authority.certificate, chain=chain, key=key)

    def _grown(self) -> None:
        if self.registry.size != self._taught:
            self._taught = self.registry.size
            self._spawn(self.nodes.registry_grew())
            self.cosigning.grown(self.registry.origin)
            self.cosigning.grown(self.journal.origin)  # it may have got its first witnesses

    def _restored(self, origin: str, holder: str, checkpoint: bytes) -> None:
        """A log is an old copy of itself: it is signed on no more, in no process, until the database holds what was shown."""
        why = restored(origin, holder, read_checkpoint(checkpoint).size)
        self._log_of(origin).stop(why)
        log.critical("%s", why)
        try:
            self.mirror.prove(holder, checkpoint)
        except CollegiumError:
            log.exception("the proof could not be kept; the next start finds it again")

    def _copy(self) -> None:
        """Bring the second copy up to date, if there is one. A copy that is ahead proves that the database is old."""
        if self._standing is not None:
            try:
                self._standing.bring_up()
            except CollegiumError as error:
                if isinstance(error, Failed) and error.reason == "restored":
                    for each in (self.journal, self.registry):
                        each.stop(error)
                raise

    def _log_of(self, origin: str) -> Journal | RegistryLog:
        return self.journal if origin == self.journal.origin else self.registry

    def _say_confirmed(self) -> None:
        """Let the registrar's commands know that they may sign; see `permit`."""
        if self.cosigning.is_ready(self.registry.origin):
            self._lock_file.write_text(CONFIRMED, encoding="ascii")

    def _journal_grown(self) -> None:
        self.cosigning.grown(self.journal.origin)
        self.mirroring.grown()

    def _shown(self, origin: str, holder: str, checkpoint: bytes) -> None:
        """A checkpoint of one of our logs stands in a node's log, signed by our own key: this database must hold that tree."""
        own = self._log_of(origin)
        head = own.head()
        size = read_checkpoint(head).size if head else 0
        if contradiction(checkpoint, own.verifier, size, own.tree.root) is not None:
            self._restored(origin, holder, checkpoint)

    def _node_ready(self, name: str) -> None:
        self.fanout.node_ready(name)
        if self.config.mirror.largest_mib:
            self.mirroring.connected(name)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Tunnels(TunnelServicer):
    """Also refuses certificates of replaced registrations, which only the call's own context shows."""

    def __init__(self, door: Door, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._door = door

    async def Open(self, frames: object, context: Any) -> None:
        try:
            self._door.enter(context, "node")
        except CollegiumError as error:
            status = to_status(error)
            await context.abort(status.grpc, status.details)
        await super().Open(frames, context)


@contextmanager
def serving(home: Home) -> Iterator[None]:
    """Hold the home's lock while serving. Raises Failed when another process serves it: two would sign two histories."""
    with home.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed(
                "this coordinator is being served already", place=str(home.path), remedy="Stop the other one first."
            ) from None
        file.truncate(0)  # what a former process was told by its witnesses says nothing about this database
        try:
            yield
        finally:
            file.truncate(0)


async def serve(home: Home, addresses: Listen | None, *, started: Callable[[Ports], None], fault: Fault = no_fault) -> None:
    """Serve until SIGINT or SIGTERM. `started` is called with the ports once both listen."""
    config = read_config(home)
    with serving(home):
        coordinator = Coordinator(home, config, on_broken=_end_now, fault=fault)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        try:
            ports = await coordinator.start(addresses or config.listen)
            started(ports)
            await stopping.wait()
            log.info("stopping")
        finally:
            await coordinator.stop()


def _end_now() -> None:
    """No clean-up: it would write to the disk that has just failed. The next start reads what is really there."""
    log.critical("a commit failed; the process ends")
    os._exit(1)
