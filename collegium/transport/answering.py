"""The calls the peer opened: their messages as they arrive, the tasks that answer them, and how they end early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from collegium.transport.limits import BUSY, TOO_LATE, UNKNOWN_METHOD, Limits, Parts, ProtocolViolation, Weight
from collegium.transport.outbox import CHUNK, Message, Outbox
from collegium.transport.status import UNEXPECTED, Status, TunnelError, to_status
from collegium.v1.tunnel_pb2 import Call, End, Frame

__all__ = ["Answering", "Handler"]

# Takes the message and the moment, on the loop's clock, from which nobody waits for the answer any more. Raises errors of
# `collegium.errors`, or TunnelError with a status of its own; of anything else the caller learns nothing.
Handler = Callable[[bytes, float | None], Awaitable[bytes]]


class _Incoming:
    """A call of the peer: `parts` until its message is complete, `task` from then on."""

    __slots__ = ("deadline", "handler", "parts", "stopped", "task", "timer")

    def __init__(self, handler: Handler, deadline: float | None) -> None:
        self.handler = handler
        self.deadline = deadline
        self.parts: Parts | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.stopped: Status | bool = False  # True: the caller hung up; a status: what to tell a caller who may still wait


class Answering:
    """Takes calls and sends their answers. A call keeps its place until the last frame of its answer has left."""

    def __init__(self, outbox: Outbox, weight: Weight, limits: Limits, handlers: Mapping[str, Handler], *, parity: int) -> None:
        self._outbox = outbox
        self._weight = weight
        self._limits = limits
        self._handlers = handlers
        self._parity = parity
        self._loop = asyncio.get_running_loop()
        self._newest = 0
        self._open: dict[int, _Incoming] = {}
        self._stopped = 0  # of those, how many only wait for a cancelled handler to end

    def __len__(self) -> int:
        return len(self._open)

    def on_call(self, call: int, opening: Call) -> None:
        """(1) Only a new id of the peer's parity. (2) Within the limits. (3) A known method. (4) Start, or wait for the rest."""
        if call % 2 != self._parity or call <= self._newest or len(opening.first) > CHUNK:  # (1)
            raise ProtocolViolation("a call that no correct peer opens")
        self._newest = call
        # (2) Stopped ones are counted apart, so that a caller at the limit who cancels and calls again is not refused, and
        # one who does so all the time cannot pile up handlers that are slow to end.
        if len(self._open) - self._stopped >= self._limits.max_calls or len(self._open) >= 2 * self._limits.max_calls:
            self._refuse(call, BUSY)
            return
        handler = self._handlers.get(opening.method)  # (3)
        if handler is None:
            self._refuse(call, UNKNOWN_METHOD)
            return
        deadline = self._loop.time() + opening.deadline_ms / 1000 if opening.deadline_ms else None  # (4)
        incoming = self._open[call] = _Incoming(handler, deadline)
        if deadline is not None:
            incoming.timer = self._loop.call_at(deadline, self._stop, call, incoming, TOO_LATE)
        if opening.whole and len(opening.first) <= self._limits.max_message:
            self._start(call, incoming, opening.first)
        else:
            incoming.parts = Parts(self._weight)
            self._add(call, incoming.parts, opening.first)

    def on_chunk(self, call: int, part: bytes) -> None:
        """A part of a message. Ignored when the call is not open or its message is already complete."""
        incoming = self._open.get(call)
        if incoming is not None and incoming.parts is not None:
            self._add(call, incoming.parts, part)

    def on_end(self, call: int, end: End) -> None:
        """The last part of a message."""
        incoming = self._open.get(call)
        if incoming is not None and incoming.parts is not None and self._add(call, incoming.parts, end.last):
            message, incoming.parts = incoming.parts.whole(), None
            self._start(call, incoming, message)

    def on_cancel(self, call: int) -> None:
        """The caller hung up."""
        incoming = self._open.get(call)
        if incoming is not None:
            self._stop(call, incoming, True)

    def stop_all(self) -> list[asyncio.Task[None]]:
        """The stream is gone: nobody waits. The tasks returned have been cancelled."""
        tasks = [incoming.task for incoming in self._open.values() if incoming.task is not None]
        for call, incoming in list(self._open.items()):
            self._stop(call, incoming, True)
        return tasks

    def _add(self, call: int, parts: Parts, part: bytes) -> bool:
        refusal = parts.add(part)
        if refusal is None:
            return True
        self._forget(call)
        self._refuse(call, refusal)
        return False

    def _start(self, call: int, incoming: _Incoming, message: bytes) -> None:
        incoming.task = self._loop.create_task(self._answer(call, incoming, message))

    async def _answer(self, call: int, incoming: _Incoming, message: bytes) -> None:
        status: Status
        try:
            answer = await incoming.handler(message, incoming.deadline)
        except asyncio.CancelledError:
            status = UNEXPECTED  # unless it was stopped: something below was cancelled that should not have been
        except TunnelError as error:
            status = Status(error.status, error.message)
        except Exception as error:
            status = to_status(error)
        else:
            if not incoming.stopped:
                self._outbox.put(call, Message(answer, partial(_frame, call), partial(self._forget, call)))
            return
        if not incoming.stopped:
            self._forget(call)
            self._refuse(call, status)

    def _stop(self, call: int, incoming: _Incoming, why: Status | bool) -> None:
        """Ends a call early, in whichever state it is. Its place is free once its handler has really ended."""
        if incoming.task is None:
            self._forget(call)
            self._say(call, why)
        elif incoming.task.done():
            if why is True:  # the answer waits in the outbox and nobody wants it; after a deadline it may still leave
                self._outbox.drop(call)
                self._forget(call)
        elif not incoming.stopped:
            incoming.stopped = why
            self._stopped += 1
            # a callback and not a line in `_answer`: a task that is cancelled before its first step never runs
            incoming.task.add_done_callback(lambda _task: self._stopped_ends(call, why))
            incoming.task.cancel()

    def _stopped_ends(self, call: int, why: Status | bool) -> None:
        self._stopped -= 1
        self._forget(call)
        self._say(call, why)

    def _say(self, call: int, why: Status | bool) -> None:
        if isinstance(why, Status):
            self._refuse(call, why)

    def _refuse(self, call: int, status: Status) -> None:
        self._outbox.put_urgent(Frame(id=call, end=End(status=status.code, details=status.details)))

    def _forget(self, call: int) -> None:
        incoming = self._open.pop(call, None)
        if incoming is None:
            return
        if incoming.parts is not None:
            incoming.parts.drop()
        if incoming.timer is not None:
            incoming.timer.cancel()


def _frame(call: int, part: bytes, _first: bool, last: bool) -> Frame:
    return Frame(id=call, end=End(last=part)) if last else Frame(id=call, chunk=part)
