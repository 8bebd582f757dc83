"""Blocking work of a service, off the event loop: counted, finished whether or not the caller waits, its errors in public words.

Whatever goes wrong leaves as an error of the public table (`collegium.party.replies`); what it was stays in a local line, by type
and place.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

from collegium.errors import Failed, public_text
from collegium.party import replies
from collegium.party.lines import Lines
from collegium.party.store import StorageBroken

__all__ = ["MAX_WAITING", "Work", "Working"]

MAX_WAITING = 256
T = TypeVar("T")


class Work(Protocol):
    """Runs blocking code off the event loop; its error leaves in public words."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class Working:
    """Two pools: `threads` for what a party is asked to do, and one thread for what neither counts nor waits.

    `on_broken` is called when the disk refused a write: the process must then end. More than MAX_WAITING calls are refused as busy.
    """

    def __init__(self, lines: Lines, *, threads: int, on_broken: Callable[[], None]) -> None:
        self._lines = lines
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._small = ThreadPoolExecutor(1, thread_name_prefix="small")
        self._on_broken = on_broken
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Calls that are being worked on or wait for their turn."""
        return self._in_flight

    async def run(self, work: Callable[..., T], *args: object) -> T:
        return await self._run(self._pool, work, *args)

    async def small(self, work: Callable[..., T], /, *args: object) -> T:
        """Reading the log, cosigning, status: one at a time, beside the rest."""
        return await self._run(self._small, work, *args)

    async def drain(self) -> None:
        """Wait until no call is in flight. The caller has stopped taking new ones."""
        await self._idle.wait()
        self._pool.shutdown(wait=True)
        self._small.shutdown(wait=True)

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        if self._in_flight >= MAX_WAITING:
            raise Failed(public_text("busy"), reason="busy")
        future = asyncio.get_running_loop().run_in_executor(pool, functools.partial(copy_context().run, work, *args))
        self._in_flight += 1
        self._idle.clear()
        future.add_done_callback(self._done)
        try:
            # Shielded: a caller who hangs up does not stop an answer between two of its transactions.
            return await asyncio.shield(future)
        except Exception as error:
            raise replies.public_error(error) from None

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
