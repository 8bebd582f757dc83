"""The calls this end opened: their turns, their deadlines, and the answers as they arrive."""

from __future__ import annotations

import asyncio
import math
from functools import partial

from collegium.transport.limits import LEAVING, LOST, TOO_LARGE, TOO_LATE, Limits, Parts, ProtocolViolation, Weight
from collegium.transport.outbox import CHUNK, Message, Outbox
from collegium.transport.status import Status, TunnelError
from collegium.v1.tunnel_pb2 import Call, Cancel, End, Frame

__all__ = ["Asking"]

_OK = 0
_FOREVER_MS = 2**32 - 1


class _Question:
    """A call without its answer yet."""

    __slots__ = ("answer", "parts")

    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self.answer = answer
        self.parts: Parts | None = None  # only for answers that come in more than one frame


class Asking:
    """Opens calls and takes their answers."""

    def __init__(self, outbox: Outbox, weight: Weight, limits: Limits, *, first_id: int) -> None:
        self._outbox = outbox
        self._weight = weight
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._next_id = first_id
        self._open: dict[int, _Question] = {}
        self._turns = asyncio.Semaphore(limits.max_calls)
        self._closed: Status | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def welcome(self) -> bool:
        """Whether a call may be tried."""
        return self._closed is None

    async def call(self, method: str, payload: bytes, deadline: float | None) -> bytes:
        """The answer, or TunnelError. `deadline` is a moment on the loop's clock."""
        if len(payload) > self._limits.max_message:
            raise _failure(TOO_LARGE)
        await self._turn(deadline)
        call = self._next_id
        self._next_id += 2
        answer: asyncio.Future[bytes] = self._loop.create_future()
        question = self._open[call] = _Question(answer)
        timer = None if deadline is None else self._loop.call_at(deadline, self._expire, call, answer)
        self._outbox.put(call, Message(payload, partial(self._frame, call, method, deadline)))
        try:
            return await answer
        except asyncio.CancelledError:
            self._withdraw(call)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if question.parts is not None:
                question.parts.drop()
            del self._open[call]
            self._turns.release()

    async def _turn(self, deadline: float | None) -> None:
        """One of `max_calls` places, within the deadline; none when the stream is gone or the peer leaves."""
        try:
            async with asyncio.timeout_at(deadline if self._turns.locked() else None):
                await self._turns.acquire()
        except TimeoutError:
            raise _failure(TOO_LATE) from None
        if self._closed is not None:
            self._turns.release()
            raise _failure(self._closed)

    def _frame(self, call: int, method: str, deadline: float | None, part: bytes, first: bool, last: bool) -> Frame:
        """A frame of the message. What remains of the deadline is taken when the frame leaves, not when it queued."""
        if first:
            remains = 0 if deadline is None else min(max(1, math.ceil((deadline - self._loop.time()) * 1000)), _FOREVER_MS)
            return Frame(id=call, call=Call(method=method, deadline_ms=remains, first=part, whole=last))
        return Frame(id=call, end=End(last=part)) if last else Frame(id=call, chunk=part)

    def _expire(self, call: int, answer: asyncio.Future[bytes]) -> None:
        if not answer.done():
            answer.set_exception(_failure(TOO_LATE))
            self._withdraw(call)

    def _withdraw(self, call: int) -> None:
        """Tells the peer that nobody waits any more, unless it has never heard of the call."""
        if not self._outbox.drop(call):
            self._outbox.put_urgent(Frame(id=call, cancel=Cancel()))

    def on_chunk(self, call: int, part: bytes) -> None:
        """A part of an answer. Frames of calls that are not open are ignored: they may have crossed our Cancel."""
        question = self._open.get(call)
        if question is not None and not question.answer.done():
            self._add(call, question, part)

    def on_end(self, call: int, end: End) -> None:
        """The last part of an answer, or the peer's refusal."""
        question = self._open.get(call)
        if question is None or question.answer.done():
            return
        if end.status != _OK:
            question.answer.set_exception(TunnelError(end.status, end.details))
            self._outbox.drop(call)  # the peer has answered without waiting for the rest
        elif question.parts is None and len(end.last) <= self._limits.max_message:
            if len(end.last) > CHUNK:
                raise ProtocolViolation("a part of more than 64 KiB")
            question.answer.set_result(end.last)
        else:
            parts = self._add(call, question, end.last)
            if parts is not None:
                question.answer.set_result(parts.whole())

    def _add(self, call: int, question: _Question, part: bytes) -> Parts | None:
        """Keeps a part, or fails the call because it would be too much."""
        if question.parts is None:
            question.parts = Parts(self._weight)
        refusal = question.parts.add(part)
        if refusal is None:
            return question.parts
        question.answer.set_exception(_failure(refusal))
        self._withdraw(call)
        return None

    def peer_leaves(self) -> None:
        """No new calls; those in flight finish."""
        self._closed = self._closed or LEAVING

    def fail_all(self) -> None:
        """The stream is gone: nothing will be answered."""
        self._closed = LOST
        for question in self._open.values():
            if not question.answer.done():
                question.answer.set_exception(_failure(LOST))


def _failure(status: Status) -> TunnelError:
    return TunnelError(status.code, status.details)
