"""What every serving process of a party does beside its services: stop in order, keep its log confirmed, renew its certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from collegium.enrolment import renew
from collegium.errors import Exit
from collegium.party.home import Party
from collegium.party.lines import Lines
from collegium.tls import renew_at

__all__ = ["GRACE", "Stop", "needed", "renew_forever", "renew_now"]

RENEW_CHECK = 600.0  # seconds between looks at the certificate
GRACE = 30.0  # seconds that questions in flight get when the process is told to stop


@dataclass(slots=True)
class Stop:
    """Why and when to end: set once, read by whoever serves."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    code: Exit = Exit.OK

    def __call__(self, code: Exit = Exit.OK) -> None:
        if not self.event.is_set():
            self.code = code
            self.event.set()

    @property
    def grace(self) -> float:
        """Seconds that calls in flight get. None when the disk has refused: what they hold in memory is worth nothing."""
        return GRACE if self.code is Exit.OK else 0.0


async def needed(work: Coroutine[Any, Any, None], stop: Stop, lines: Lines) -> None:
    """Work without which the process is of no use: when it breaks, the process ends and its successor begins anew."""
    try:
        await work
    except Exception as error:
        lines.failure("broken", error)
        stop(Exit.FAILED)


async def renew_forever(
    party: Party, lines: Lines, clock: Callable[[], float], renewed: Callable[[], Awaitable[None]], *, every: float = RENEW_CHECK
) -> None:
    """Looks every so many seconds. A new certificate at two thirds of the old one's life, tried again until it works;
    connections take it up at once.
    """
    while True:
        try:
            if clock() >= renew_at(party.home.keys.certificate.read_bytes()):
                await asyncio.to_thread(renew_now, party, clock)
                lines.event("certificate-renewed")
                await renewed()
        except Exception as error:
            lines.failure("renewal-failed", error)
        await asyncio.sleep(every)


def renew_now(party: Party, clock: Callable[[], float]) -> None:
    """Fetch a new certificate, also when the old one has expired: the statement key proves who asks."""
    membership = party.membership
    renew(membership.enrolment, membership.ca.encode(), party.journal.statements, party.home.keys, clock=clock)
