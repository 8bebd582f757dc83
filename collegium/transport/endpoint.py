"""One end of a stream of frames, on which both sides call each other.

Both ends are the same class; they differ only in the parity of the ids they open. Everything a peer can make this end hold is
bounded (`Limits`). A frame that no correct peer sends ends the stream; frames of calls that are not open, and bodies this
version does not know, are ignored.

Trusted with delivery only; an attacker who holds the other end can delay, drop or make up calls, as the server it stands for could.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from collegium.transport.answering import Answering, Handler
from collegium.transport.asking import Asking
from collegium.transport.limits import Limits, ProtocolViolation, StreamLost, Weight
from collegium.transport.outbox import Outbox
from collegium.transport.status import TunnelError
from collegium.v1.tunnel_pb2 import Frame, Goodbye, Ping, Pong

__all__ = ["Endpoint", "Handler", "Limits", "ProtocolViolation", "StreamLost", "TunnelError"]

_LAST_WORDS = 2.0  # seconds that the peer has to end its side of a stream we have closed
_QUIET_CHECK = 0.02  # seconds between two looks at the calls in flight while closing


class Endpoint:
    """Calls to the peer with `call`, answers the peer's calls with `handlers`, lives while `run` runs.

    Args:
        send: writes one frame and returns when the transport has taken it. Called by one task only.
        dialled: True on the side that opened the stream.
        handlers: by full method name, what the peer may call.
    """

    def __init__(
        self,
        send: Callable[[Frame], Awaitable[None]],
        *,
        dialled: bool,
        handlers: Mapping[str, Handler],
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        weight = Weight(limits)
        self._send = send
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._asking = Asking(self._outbox, weight, limits, first_id=1 if dialled else 2)
        self._answering = Answering(self._outbox, weight, limits, handlers, parity=0 if dialled else 1)
        self._peer_parity = 0 if dialled else 1
        self._weight = weight
        self._heard = self._loop.time()
        self._closing = self._loop.create_future()
        self._ended = asyncio.Event()

    async def call(self, method: str, payload: bytes, *, timeout: float | None) -> bytes:  # noqa: ASYNC109 - it travels with the call
        """The peer's answer to a call of `method`, for example "/collegium.v1.Node/Answer".

        `timeout` is in seconds, enforced on both sides; None waits as long as the stream lives. Cancelling this cancels the
        peer's work. Raises TunnelError, which `from_rpc` makes an error a person can read.
        """
        deadline = None if timeout is None else self._loop.time() + timeout
        return await self._asking.call(method, payload, deadline)

    @property
    def alive(self) -> bool:
        """Whether a call may be tried: the stream is open and the peer has not said goodbye."""
        return self._asking.welcome

    @property
    def calls_in_flight(self) -> int:
        """Calls of both directions that have not ended."""
        return len(self._asking) + len(self._answering)

    @property
    def bytes_held(self) -> int:
        """Bytes of messages of which parts are still missing."""
        return self._weight.held

    async def run(
        self, receive: Callable[[], Awaitable[Frame | None]], finish: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Reads and writes until the peer ends the stream, `close` is called, or something breaks.

        Returns in the first two cases; raises StreamLost, or what `receive` or `send` raised, in the third. In every case all
        calls of ours have then failed with UNAVAILABLE and all handlers have been cancelled.

        Args:
            receive: the next frame, None at the end of the stream.
            finish: says to the transport that no more frames will be sent; after it the peer has two seconds to end too.
        """
        reader = asyncio.ensure_future(self._read(receive))
        writer = asyncio.ensure_future(self._write())
        watcher = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait([reader, writer, watcher, self._closing], return_when=asyncio.FIRST_COMPLETED)
            if self._closing.done() and finish is not None and not (reader.done() or writer.done()):
                await finish()
                await asyncio.wait([reader], timeout=_LAST_WORDS)
        finally:
            self._asking.fail_all()
            in_order = self._closing.done() or (reader.done() and not reader.cancelled() and reader.exception() is None)
            for task in (workers := [reader, writer, watcher]):
                task.cancel()
            handlers = self._answering.stop_all()
            results = await asyncio.gather(*workers, return_exceptions=True)
            if handlers:  # not for ever: one that ignores its cancellation must not keep this side from dialling again
                await asyncio.wait(handlers, timeout=_LAST_WORDS)
            self._ended.set()
        for result in results:
            if isinstance(result, Exception) and not in_order:
                raise result

    async def close(self, *, grace: float = 0.0) -> None:
        """Says goodbye, lets calls in flight finish for at most `grace` seconds, and ends `run`. May be repeated."""
        if grace > 0 and not self._ended.is_set():
            self._outbox.put_urgent(Frame(goodbye=Goodbye()))
            give_up = self._loop.time() + grace
            while not self._ended.is_set() and self._loop.time() < give_up:
                if self.calls_in_flight == 0 and self._outbox.idle.is_set():
                    break
                await asyncio.sleep(_QUIET_CHECK)
        if not self._closing.done():
            self._closing.set_result(None)

    async def _read(self, receive: Callable[[], Awaitable[Frame | None]]) -> None:
        while (frame := await receive()) is not None:
            self._heard = self._loop.time()
            await self._outbox.room()
            self._take(frame)

    async def _write(self) -> None:
        while True:
            await self._send(await self._outbox.take())

    async def _watch(self) -> None:
        """Pings after silence. A process that was itself asleep pings first and gives up only after that has gone unanswered."""
        patience, nonce, pinged = self._limits.keepalive, 0, 0.0
        while True:
            await asyncio.sleep(patience / 2)
            now = self._loop.time()
            if now - self._heard < patience:
                pinged = 0.0
            elif not pinged:
                nonce, pinged = nonce + 1, now
                self._outbox.put_urgent(Frame(ping=Ping(nonce=nonce)))
            elif now - pinged >= patience:
                raise StreamLost("the peer is silent")

    def _take(self, frame: Frame) -> None:
        call = frame.id
        of_peer = call % 2 == self._peer_parity
        match frame.WhichOneof("body"):
            case "end" if of_peer:
                self._answering.on_end(call, frame.end)
            case "end":
                self._asking.on_end(call, frame.end)
            case "call":
                self._answering.on_call(call, frame.call)
            case "chunk" if of_peer:
                self._answering.on_chunk(call, frame.chunk)
            case "chunk":
                self._asking.on_chunk(call, frame.chunk)
            case "cancel":
                self._answering.on_cancel(call)
            case "ping":
                self._outbox.put_urgent(Frame(pong=Pong(nonce=frame.ping.nonce)))
            case "goodbye":
                self._asking.peer_leaves()
            case _:
                pass  # a pong needs no answer, and a newer version may send what we do not know
