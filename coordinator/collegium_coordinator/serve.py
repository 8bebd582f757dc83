"""The serving coordinator: two ports, one database, and never the registry key.

`serve` opens the coordinator's own keys and nothing of the registrar; it works with the registry directory absent. Whoever takes
it over can delay, drop and add wrongly, all of which shows; he can invent neither a researcher nor a node.

Stopping (Ctrl-C or SIGTERM): no new calls, calls in flight get a moment, tunnels are told to go. Questions under way are gone on
with at the next start. A failed commit ends the process at once: what is on the disk is then unknown and is read anew at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from collegium.errors import CollegiumError
from collegium.keys import load_signer
from collegium.observing.otlp import Otlp, from_environment
from collegium.observing.spans import Tracing
from collegium.tls import expires_at
from collegium.transport.accept import add_tunnel
from collegium.transport.channels import TlsFiles, listen, new_server, server_credentials
from collegium.transport.dispatch import add_service
from collegium.transport.files import raise_file_limit
from collegium.v1 import enrolment_pb2, federation_pb2, tunnel_pb2
from collegium_coordinator.background import look_at_nodes, renew, watch_registry
from collegium_coordinator.ca import Authority
from collegium_coordinator.config import Config, Home, Listen, read_config
from collegium_coordinator.cosigning import Cosigned, Cosigning
from collegium_coordinator.dial import Dialler
from collegium_coordinator.door import Door
from collegium_coordinator.enrol import Enrolment
from collegium_coordinator.fanout import Fanout
from collegium_coordinator.indicator import Combine, Indicators, national_table
from collegium_coordinator.journal import Journal
from collegium_coordinator.lock import serving
from collegium_coordinator.logs import LogService, Source
from collegium_coordinator.metrics import EVERY, LogFigures, Metrics, RoundFigures, WorkFigures
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.mirroring import Mirroring
from collegium_coordinator.national import NationalRounds
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.observed import Observed
from collegium_coordinator.oldcopy import OldCopy
from collegium_coordinator.permit import CONFIRMED, not_confirmed
from collegium_coordinator.reach import Everybody
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.relay import RelayService
from collegium_coordinator.service import FederationService
from collegium_coordinator.store import Fault, Store, no_fault
from collegium_coordinator.trustees import Trustees
from collegium_coordinator.tunnels import LOG, RELAY, Tunnels
from collegium_coordinator.upgrade import upgrade
from collegium_coordinator.vectors import Vectors

__all__ = ["Coordinator", "serve", "serving"]

log = logging.getLogger("collegium.coordinator")

FILES_BESIDE = 256  # open files that are no tunnel: databases, ports, researchers' lines
GRACE = 5.0  # seconds for calls in flight when stopping
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
        observed: counts and traces what happens.
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
        observed: Observed | None = None,
    ) -> None:
        self.config = config
        self.observed = observed or Observed(clock=clock)
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
        self.trustees = Trustees(self.store, self.registry, clock=clock, on_ready=self._trustee_ready)
        everybody = Everybody(self.nodes, self.trustees)
        own, register = (Cosigned(self.store, self.registry, each) for each in (self.journal, self.registry))
        self.old_copy = OldCopy(self.journal, self.registry, self.mirror, config.mirror.own, home.database)
        self.cosigning = Cosigning(
            self.store,
            everybody,
            [own, register],
            clock=clock,
            on_restored=self.old_copy.restored,
            on_confirmed=lambda _: self._say_confirmed(),
            before=self.old_copy.copy,
        )
        self._lock_file = home.lock
        self.journal.ready = lambda: self.cosigning.is_ready(self.journal.origin)
        self.registry.guard = lambda: None if self.cosigning.is_ready(self.registry.origin) else not_confirmed(self.registry.origin)
        self.old_copy.stop_known()
        with contextlib.suppress(CollegiumError):  # said again, and logged, when the witnesses are to be asked
            self.old_copy.copy()
        self._say_confirmed()
        self.vectors = Vectors(home.vectors, self.store)
        self.rounds = NationalRounds(
            self.store, self.journal, self.registry, self.nodes, self.trustees, own, self.cosigning, self.vectors,
            asking=config.asking, national=config.national, clock=clock, observed=self.observed,
        )  # fmt: skip
        self.fanout = Fanout(
            self.store, self.journal, self.registry, self.nodes, own, self.cosigning, asking=config.asking, clock=clock,
            observed=self.observed, rounds=self.rounds,
        )  # fmt: skip
        self.indicators = Indicators(self.store, self.registry, self.journal, own, self.cosigning, combine, self.observed)
        self.logs = LogService(
            {
                own.own.origin: Source(self.store, own, "entries", self.vectors),
                register.own.origin: Source(self.store, register, "registry"),
            },
            self.door,
            self.store,
            self.mirror,
            self.vectors,
        )
        self.mirroring = Mirroring(
            self.mirror,
            self.store,
            self.registry,
            everybody,
            {each.origin: each.verifier for each in (self.journal, self.registry)},
            largest=config.mirror.largest_mib << 20,
            clock=clock,
            on_shown=self.old_copy.shown,
            holds=self.vectors.holds,
        )
        self.metrics = Metrics(
            home.metrics,
            self.observed,
            LogFigures(
                self.store, self.registry, self.mirror, self.cosigning, [own, register],
                self.old_copy.is_stopped, clock=clock,
            ),
            WorkFigures(
                self.registry, self.nodes, self.fanout,
                days_left=lambda: (expires_at(self._tls.chain) - clock()) / 86_400,
                calls=lambda: self._tunnels.calls_in_flight(),
            ),
            RoundFigures(self.store, self.registry, clock=clock),
        )  # fmt: skip
        self.relay = RelayService(everybody, self.door)
        self.service = FederationService(
            self.store,
            self.registry,
            self.nodes,
            self.fanout,
            self.indicators,
            self.door,
            asking=config.asking,
            clock=clock,
            trustees=self.trustees,
        )
        self.enrolment = Enrolment(self.store, self.registry, self._authority, clock=clock, on_grown=self._grown)
        self._tunnels = Tunnels(self.door, self.nodes, self.trustees, self.service, self.logs, self.relay)
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
        if self.config.metrics.listen:
            self.metrics.listen(self.config.metrics.listen)
        loop = asyncio.get_running_loop()
        self.journal.on_grown = lambda: loop.call_soon_threadsafe(self._journal_grown)
        self._spawn(self.cosigning.run())
        if self.config.mirror.largest_mib:
            self._spawn(self.mirroring.run())
        self.rounds.start()
        self.fanout.start()
        for server in (main, enrolment):
            await server.start()
            self._servers.append(server)
        for work in (
            watch_registry(self.registry, self._grown), renew(self._renew), look_at_nodes(self.nodes), self._dialler.run(),
            self.metrics.keep(EVERY),
        ):  # fmt: skip
            self._spawn(work)
        for name in ("", names[0]):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return ports

    async def stop(self, grace: float = GRACE) -> None:
        """Stop in order: no new calls, calls in flight, tunnels, background work, database."""
        await self._health.enter_graceful_shutdown()
        await self.fanout.close()
        await self.rounds.close()
        await self.nodes.close()
        await self.trustees.close()
        await self._tunnels.stop(grace=grace)
        await asyncio.gather(*(server.stop(grace) for server in self._servers))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.metrics.close()
        self.mirror.close()
        self.store.close()

    # -- background ------------------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        self._tls = self._own_tls()

    def _own_tls(self) -> TlsFiles:
        key, chain = self._authority.own_certificate(self.config.public.hosts)
        return TlsFiles(ca=self._authority.certificate, chain=chain, key=key)

    def _grown(self) -> None:
        if self.registry.size != self._taught:
            self._taught = self.registry.size
            self._spawn(self.nodes.registry_grew())
            self._spawn(self.trustees.registry_grew())
            self.cosigning.grown(self.registry.origin)
            self.cosigning.grown(self.journal.origin)  # it may have got its first witnesses

    def _say_confirmed(self) -> None:
        """Let the registrar's commands know that they may sign; see `permit`."""
        if self.cosigning.is_ready(self.registry.origin):
            self._lock_file.write_text(CONFIRMED, encoding="ascii")

    def _journal_grown(self) -> None:
        self.cosigning.grown(self.journal.origin)
        self.mirroring.grown()

    def _node_ready(self, name: str) -> None:
        self.fanout.node_ready(name)
        if self.config.mirror.largest_mib:
            self.mirroring.connected(name)

    def _trustee_ready(self, name: str) -> None:
        if self.config.mirror.largest_mib:
            self.mirroring.connected(name)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def serve(home: Home, addresses: Listen | None, *, started: Callable[[Ports], None], fault: Fault = no_fault) -> None:
    """Serve until SIGINT or SIGTERM. `started` is called with the ports once both listen."""
    config = read_config(home)
    sink = _traces()
    with serving(home):
        coordinator = Coordinator(home, config, on_broken=_end_now, fault=fault, observed=Observed(Tracing(sink)))
        _files_for(coordinator)
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
            if sink is not None:
                await asyncio.to_thread(sink.close)


def _traces() -> Otlp | None:
    """The exporter that OTEL_* asks for. A mistake there costs the traces, never the service."""
    try:
        return from_environment("collegium-coordinator", os.environ)
    except CollegiumError as error:
        log.warning("no traces are exported: %s", error)
        return None


def _files_for(coordinator: Coordinator) -> None:
    """As many open files as the registry has parties, or a warning while there is time: a tunnel that finds none is dropped."""
    allowed = raise_file_limit()
    needed = sum(not party.revoked for party in coordinator.registry.registry.parties()) + FILES_BESIDE
    if allowed < needed:
        log.warning("%d open files are allowed and the registered parties may need %d: raise LimitNOFILE", allowed, needed)


def _end_now() -> None:
    """No clean-up: it would write to the disk that has just failed. The next start reads what is really there."""
    log.critical("a commit failed; the process ends")
    os._exit(1)
