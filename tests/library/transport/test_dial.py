"""Dialling again: for ever, later and later, never all at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from collegium.errors import Invalid, Offline
from collegium.transport.channels import client_channel
from collegium.transport.dial import dial_forever


class Enough(BaseException):
    """Ends the loop from outside, as a cancellation would."""


class Time:
    """A clock that only moves when somebody waits or lives."""

    def __init__(self, most_waits: int) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.most = most_waits

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        if len(self.waits) >= self.most:
            raise Enough


def dial(time: Time, attempt: Callable[[], Awaitable[None]], chance: float = 0.999999) -> list[Exception | None]:
    told: list[Exception | None] = []
    with pytest.raises(Enough):
        asyncio.run(
            dial_forever(
                attempt, failed=lambda error, _wait: told.append(error), clock=time.clock, sleep=time.sleep, chance=lambda: chance
            )
        )
    return told


async def refused() -> None:
    raise Offline("refused")


def test_waits_double_up_to_a_minute() -> None:
    time = Time(12)
    told = dial(time, refused)
    assert [round(wait, 2) for wait in time.waits] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert all(isinstance(error, Offline) for error in told)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999999])
def test_every_wait_is_between_half_and_all_of_its_length(chance: float) -> None:
    time = Time(12)
    dial(time, refused, chance)
    for wait, full in zip(time.waits, [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60], strict=True):
        assert wait == pytest.approx(full * (0.5 + chance / 2))


def test_a_minute_of_life_starts_the_waits_anew_and_less_does_not() -> None:
    time = Time(9)
    lives = iter([0, 0, 0, 0, 59, 61, 0, 3600, 0])

    async def live() -> None:
        time.now += next(lives)

    told = dial(time, live)
    assert [round(wait, 2) for wait in time.waits] == [0.5, 1, 2, 4, 8, 0.5, 0.5, 0.5, 0.5]
    assert told == [None] * 9


def test_the_thousandth_attempt_is_made_whatever_happens() -> None:
    time = Time(1000)

    async def strange() -> None:
        raise ZeroDivisionError("nobody thought of this")

    assert len(dial(time, strange)) == 1000
    assert max(time.waits) <= 60


def test_cancelling_ends_it() -> None:
    async def main() -> None:
        async def live() -> None:
            await asyncio.Event().wait()

        dialling = asyncio.ensure_future(dial_forever(live, failed=lambda _error, _wait: None))
        await asyncio.sleep(0.01)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling

    asyncio.run(main())


@pytest.mark.parametrize(
    "proxy",
    [
        "me:secret@proxy:1",
        "https://me:secret@p:1",
        "http://me:secret@",
        "http://me:secret@proxy",
        "http://secret:x",
        "http://secret:99999",
        "http://me:secret@p:1/path",
        "socks5://me:secret@p:1",
    ],
)
def test_what_is_no_proxy_is_refused_without_repeating_its_password(proxy: str) -> None:
    with pytest.raises(Invalid) as caught:
        client_channel("127.0.0.1:1", ca=b"", server="coordinator", proxy=proxy)
    assert caught.value.place == "coordinator.proxy"
    assert "secret" not in str(caught.value)
