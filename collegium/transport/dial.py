"""The dialling end of a tunnel, and the patience to dial again for ever."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from collegium.errors import CollegiumError, Offline
from collegium.transport.accept import ADMITTED, OPEN
from collegium.transport.endpoint import Endpoint, Handler, Limits, StreamLost
from collegium.transport.status import from_rpc, from_status
from collegium.v1.tunnel_pb2 import Frame

__all__ = ["dial_forever", "dial_once", "spread_of"]

_FIRST_WAIT = 0.5  # seconds
_LONGEST_WAIT = 60.0  # seconds
_AFTER_ADMISSION = 4  # failures in a row that count at most when the other side had let us in: 4 s
_LONG_LIFE = 10.0  # seconds; a stream that lived as long is followed by a quick new attempt
_DIALS = 200.0  # a second: what a coordinator with one processor admits, greets and notes without anybody waiting
_WIDEST = 30.0  # seconds
_OPENING = 30.0  # seconds until the other side must have admitted us
_chance = secrets.SystemRandom().random
_log = logging.getLogger(__name__)


async def dial_once(
    open_channel: Callable[[], Any],
    handlers: Mapping[str, Handler],
    opened: Callable[[Endpoint], None],
    *,
    limits: Limits | None = None,
    place: str = "",
) -> None:
    """One tunnel, from dialling to its end. Raises CollegiumError when it could not be opened or broke; returns when it was closed.

    Args:
        open_channel: makes a channel; called for every attempt, so that renewed certificates are taken up.
        opened: called when the other side has admitted us. The endpoint works until `dial_once` ends.
        place: how errors name the other side.
    """
    channel = open_channel()
    call = channel.stream_stream(OPEN, request_serializer=Frame.SerializeToString, response_deserializer=Frame.FromString)()

    async def receive() -> Frame | None:
        frame = await call.read()
        return None if frame is grpc.aio.EOF else frame

    try:
        async with asyncio.timeout(_OPENING):
            if ADMITTED not in tuple(await call.initial_metadata() or ()):
                code, details = await call.code(), await call.details()
                raise from_status(code.value[0], details, place=place)
        endpoint = Endpoint(call.write, dialled=True, handlers=handlers, limits=limits)
        opened(endpoint)
        await endpoint.run(receive, call.done_writing)
    except TimeoutError:
        raise Offline("There was no answer in time.", place=place, remedy="A firewall may drop the connection.") from None
    except StreamLost as lost:
        raise Offline(f"The connection was lost: {lost}.", place=place) from None
    except asyncio.InvalidStateError:  # a write after the other side had ended the call
        raise Offline("The connection was lost.", place=place) from None
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, place=place) from None
    finally:
        call.cancel()
        await channel.close()


def spread_of(parties: int) -> float:
    """Seconds over which so many parties dial when they all lost their coordinator at once. A handful need not wait at all."""
    return min(_WIDEST, parties / _DIALS)


async def dial_forever(
    attempt: Callable[[], Awaitable[None]],
    *,
    failed: Callable[[Exception | None, float], None],
    admitted: Callable[[], bool] = lambda: False,
    spread: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    chance: Callable[[], float] = _chance,
) -> None:
    """Repeats `attempt` until cancelled. After the n-th failure in a row it waits half to all of w = min(60 s, 0.5 s · 2ⁿ⁻¹), and a
    random part of what `spread` is longer than w; before the very first attempt a random part of `spread`.

    A coordinator that restarts loses three thousand nodes in one moment, and doubling waits alone would bring them back within a
    quarter of a second. Spread out, they come one after another, however often it restarts. One that was let in and lost it again
    within seconds waits 4 s at most: a coordinator that is restarted twice is not without it for a minute; and two that are let in
    with one key do not drive each other out all the time.

    Args:
        attempt: lives as long as its connection does.
        admitted: whether the attempt that has just ended had been let in.
        failed: told the error (None when the connection was ended in order) and the seconds until the next attempt.
        spread: asked anew each time; see `spread_of`.
        clock, sleep, chance: seconds, waiting, and a number in [0, 1).
    """
    failures = 0
    if (first := spread() * chance()) > 0:  # the machines of a country may be started by one clock
        await sleep(first)
    while True:
        began = clock()
        error: Exception | None = None
        try:
            await attempt()
        except CollegiumError as ours:
            error = ours
        except Exception as other:  # whatever it is, a node that gives up would have to be visited
            _log.error("dialling failed: %s", type(other).__name__)
            error = other
        if clock() - began >= _LONG_LIFE:
            failures = 0
        elif admitted():
            failures = min(failures + 1, _AFTER_ADMISSION)
        else:
            failures += 1
        full = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(max(failures - 1, 0), 20))
        wait = full * (0.5 + 0.5 * chance()) + max(0.0, spread() - full) * chance()
        failed(error, wait)
        await sleep(wait)
