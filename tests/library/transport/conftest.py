"""A stream in memory: two endpoints, or one endpoint and a hand that writes its frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from collegium.transport.endpoint import Endpoint, Handler, Limits
from collegium.v1.tunnel_pb2 import Frame


class Wire:
    """One direction: bounded like a real one, carries bytes, remembers every frame, loses those that `loses` picks."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=64)
        self.seen: list[Frame] = []
        self.loses: Callable[[Frame], bool] = lambda _frame: False
        self.open = asyncio.Event()  # cleared: whoever writes waits, as when the other side does not read
        self.open.set()

    async def send(self, frame: Frame) -> None:
        await self.open.wait()
        self.seen.append(frame)
        if not self.loses(frame):
            await self.queue.put(frame.SerializeToString())

    async def receive(self) -> Frame | None:
        data = await self.queue.get()
        return None if data is None else Frame.FromString(data)


class Line:
    """`near` has dialled `far`."""

    def __init__(
        self, near: Mapping[str, Handler], far: Mapping[str, Handler], limits: Limits | None, far_limits: Limits | None
    ) -> None:
        self.out, self.back = Wire(), Wire()
        self.near = Endpoint(self.out.send, dialled=True, handlers=near, limits=limits)
        self.far = Endpoint(self.back.send, dialled=False, handlers=far, limits=far_limits or limits)
        self.runs = [
            asyncio.ensure_future(self.near.run(self.back.receive)),
            asyncio.ensure_future(self.far.run(self.out.receive)),
        ]

    async def cut(self) -> None:
        """Both ends see the end of the stream."""
        for wire in (self.out, self.back):
            while not wire.queue.empty():
                wire.queue.get_nowait()
            await wire.queue.put(None)
        await asyncio.wait(self.runs)


class Hand:
    """Plays the dialling peer of `endpoint` by hand."""

    def __init__(self, handlers: Mapping[str, Handler], limits: Limits | None) -> None:
        self.to, self.fro = Wire(), Wire()
        self.endpoint = Endpoint(self.fro.send, dialled=False, handlers=handlers, limits=limits)
        self.run = asyncio.ensure_future(self.endpoint.run(self.to.receive))

    async def give(self, *frames: Frame) -> None:
        for frame in frames:
            await self.to.send(frame)

    async def take(self) -> Frame:
        frame = await asyncio.wait_for(self.fro.receive(), 5)
        assert frame is not None
        return frame


async def _end(runs: list[asyncio.Future[None]]) -> None:
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


@pytest.fixture
def line() -> Callable[..., AbstractAsyncContextManager[Line]]:
    @asynccontextmanager
    async def connected(
        near: Mapping[str, Handler] | None = None,
        far: Mapping[str, Handler] | None = None,
        limits: Limits | None = None,
        far_limits: Limits | None = None,
    ) -> AsyncIterator[Line]:
        made = Line(near or {}, far or {}, limits, far_limits)
        try:
            yield made
        finally:
            await _end(made.runs)

    return connected


@pytest.fixture
def hand() -> Callable[..., AbstractAsyncContextManager[Hand]]:
    @asynccontextmanager
    async def played(handlers: Mapping[str, Handler] | None = None, limits: Limits | None = None) -> AsyncIterator[Hand]:
        made = Hand(handlers or {}, limits)
        try:
            yield made
        finally:
            await _end([made.run])

    return played


@pytest.fixture
def until() -> Any:
    """Lets the loop work until something holds; fails after five seconds."""

    async def wait(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0)

    return wait
