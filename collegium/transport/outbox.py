"""What waits to be written on one stream, handed out so that no call can starve another.

Control frames go first. Messages take turns, one frame of at most 64 KiB each: a message of 64 MiB delays a small one by one
frame, not by a thousand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from collegium.v1.tunnel_pb2 import Frame

__all__ = ["CHUNK", "Message", "Outbox"]

CHUNK = 65_536  # bytes of a message in one frame
_MAX_URGENT = 1_024  # control frames; a peer that provokes more of them and does not read is made to wait


class Message:
    """One message on its way out: `frame(part, first, last)` wraps each part, `left()` is called as the last one is taken."""

    __slots__ = ("_frame", "_left", "_payload", "at")

    def __init__(self, payload: bytes, frame: Callable[[bytes, bool, bool], Frame], left: Callable[[], None] | None = None) -> None:
        self._payload = payload
        self._frame = frame
        self._left = left
        self.at = 0

    def next(self) -> tuple[Frame, bool]:
        """The next frame, and whether it was the last."""
        start, self.at = self.at, self.at + CHUNK
        last = self.at >= len(self._payload)
        part = self._payload if start == 0 and last else self._payload[start : self.at]
        frame = self._frame(part, start == 0, last)
        if last and self._left is not None:
            self._left()
        return frame, last


class Outbox:
    """Frames to write, in a fair order. One writer takes; all on one event loop."""

    def __init__(self) -> None:
        self._urgent: deque[Frame] = deque()
        self._messages: dict[int, Message] = {}  # by call id, in the order in which they take turns
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.idle = asyncio.Event()  # set while the writer waits: all that was put has been written

    def put_urgent(self, frame: Frame) -> None:
        """A control frame, before all messages."""
        self._urgent.append(frame)
        if len(self._urgent) >= _MAX_URGENT:
            self._room.clear()
        self._wake()

    def put(self, call: int, message: Message) -> None:
        """The message of a call; a call sends one."""
        self._messages[call] = message
        self._wake()

    def drop(self, call: int) -> bool:
        """Forgets what is left of a call's message. True if nothing of it has been taken."""
        message = self._messages.pop(call, None)
        return message is not None and message.at == 0

    async def room(self) -> None:
        """Waits until there is room for control frames; the reader calls it, so a flood is answered by not reading on."""
        if not self._room.is_set():
            await self._room.wait()

    async def take(self) -> Frame:
        """The next frame to write, waiting for one."""
        while True:
            if self._urgent:
                frame = self._urgent.popleft()
                if len(self._urgent) <= _MAX_URGENT // 2:
                    self._room.set()
                return frame
            if self._messages:
                call = next(iter(self._messages))
                message = self._messages.pop(call)
                frame, last = message.next()
                if not last:
                    self._messages[call] = message  # to the end of the line
                return frame
            self._something.clear()
            self.idle.set()
            await self._something.wait()

    def _wake(self) -> None:
        self.idle.clear()
        self._something.set()
