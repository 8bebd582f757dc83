"""`serve`: one process that takes part in rounds, and is a witness, until it is told to stop.

It opens a tunnel to the coordinator and answers what comes down it; it needs no inbound port. SIGTERM and SIGINT stop taking calls,
finish those in flight, and end with 0. A disk that refuses a write ends the process with 1 at once: its successor finds everything
that was promised.

Beside the calls run: the loop that keeps the log confirmed by its witnesses (nothing is signed before it has once succeeded), the
calendar of sealing keys and of what has had its time, and the renewal of the certificate. A log that proves to be restored stops
signing and cosigning at once; the process stays, so that whoever asks is told why.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import TextIO

from collegium.errors import Exit
from collegium.party import publish
from collegium.party.alone import alone
from collegium.party.backup import UNSTRIPPED
from collegium.party.cosigning import Cosigning
from collegium.party.dialling import Dialling
from collegium.party.lines import Lines, of_loop, take_over
from collegium.party.logservice import LogService, WitnessService
from collegium.party.receipts import Receipts
from collegium.party.serving import Stop, needed, renew_forever
from collegium.party.witness import Witnessing
from collegium.party.working import Working
from collegium.v1 import log_pb2, trustee_pb2, witness_pb2
from collegium_trustee.config import TrusteeConfig
from collegium_trustee.home import Home, Trustee
from collegium_trustee.metrics import EVERY, Metrics
from collegium_trustee.service import TrusteeService

__all__ = ["LOG", "TRUSTEE", "WITNESS", "serve", "serve_until"]

TRUSTEE = trustee_pb2.DESCRIPTOR.services_by_name["Trustee"]
LOG = log_pb2.DESCRIPTOR.services_by_name["Log"]
WITNESS = witness_pb2.DESCRIPTOR.services_by_name["Witness"]


def serve(home: Home, *, clock: Callable[[], float] = time.time, stream: TextIO = sys.stderr) -> Exit:
    """Run until a signal or a broken disk. The process's exit code."""
    config = home.config()
    home.membership()
    home.keys.tls()  # without them every attempt to connect would fail alike: said now, not again and again
    with alone(home):
        (home.root / UNSTRIPPED).unlink(missing_ok=True)  # a backup that was cut off holds seeds
        trustee = home.open(clock, verify=True)
        lines = Lines(stream, clock)
        take_over(lines)
        try:
            return asyncio.run(_until_told(trustee, config, lines, clock))
        finally:
            trustee.close()


async def _until_told(trustee: Trustee, config: TrusteeConfig, lines: Lines, clock: Callable[[], float]) -> Exit:
    loop = asyncio.get_running_loop()
    of_loop(lines, loop)
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return await serve_until(stop, trustee, config, lines, clock)


async def serve_until(stop: Stop, trustee: Trustee, config: TrusteeConfig, lines: Lines, clock: Callable[[], float]) -> Exit:
    """Serve an opened trustee until `stop` is called, by somebody else or by a broken disk. The exit code."""
    await asyncio.to_thread(publish.check, trustee)
    working = Working(lines, threads=config.limits.max_parallel, on_broken=lambda: stop(Exit.FAILED))
    receipts = Receipts(trustee.journal, trustee.quorum)
    service = TrusteeService(trustee, receipts, lines, working, keeping=config.keeping.keeping)
    services = (
        (service, TRUSTEE),
        (LogService(trustee, working.small), LOG),
        (WitnessService(Witnessing(trustee, clock), working.small), WITNESS),
    )
    line = Dialling(trustee, services, lines, proxy=config.coordinator.proxy)
    metrics = Metrics(trustee, clock, lines=lines, waiting=lambda: working.in_flight).opened(config.metrics.listen)
    beside = [
        asyncio.create_task(work)
        for work in (
            renew_forever(trustee, lines, clock, line.renewed),
            needed(Cosigning(trustee, line.relay, lines).run(), stop, lines),
            needed(service.keep(), stop, lines),
            metrics.keep(EVERY),
        )
    ]
    try:
        await line.run(stop)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    await working.drain()
    metrics.close()
    if trustee.store.broken is None:
        trustee.quorum.save(now=True)
    lines.event("stopped", code=int(stop.code))
    return stop.code
