"""Dialling again: for ever, later and later, never all at one moment."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from collegium.errors import Invalid, Offline
from collegium.transport.channels import client_channel
from collegium.transport.dial import dial_forever, spread_of


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


def dial(
    time: Time, attempt: Callable[[], Awaitable[None]], chance: float = 0.999999, admitted: Callable[[], bool] = lambda: False
) -> list[Exception | None]:
    told: list[Exception | None] = []
    with pytest.raises(Enough):
        asyncio.run(
            dial_forever(
                attempt,
                admitted=admitted,
                failed=lambda error, _wait: told.append(error),
                clock=time.clock,
                sleep=time.sleep,
                chance=lambda: chance,
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


def test_ten_seconds_of_life_start_the_waits_anew_and_less_does_not() -> None:
    time = Time(9)
    lives = iter([0, 0, 0, 0, 9, 11, 0, 3600, 0])

    async def live() -> None:
        time.now += next(lives)

    told = dial(time, live)
    assert [round(wait, 2) for wait in time.waits] == [0.5, 1, 2, 4, 8, 0.5, 0.5, 0.5, 0.5]
    assert told == [None] * 9


def test_who_was_let_in_and_lost_it_again_waits_four_seconds_at_most() -> None:
    """A coordinator that is down for long, and then dies again and again while it starts: nobody is away for a minute each time."""
    time = Time(12)
    lets_in = iter([False] * 6 + [True] * 4 + [False] * 2)
    dial(time, refused, admitted=lambda: next(lets_in))
    assert [round(wait, 2) for wait in time.waits] == [0.5, 1, 2, 4, 8, 16, 4, 4, 4, 4, 8, 16]


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


class Country:
    """Nodes whose coordinator is up outside `away`; when each of them dials, seconds. One loop, a clock of each node's own."""

    def __init__(self, nodes: int, away: list[tuple[float, float]], spread: float) -> None:
        self.away, self.spread = away, spread
        self.dials: list[list[float]] = [[] for _ in range(nodes)]
        chances = random.Random(7)
        for number in range(nodes):
            self._node(number, chances.random)

    def _node(self, number: int, chance: Callable[[], float]) -> None:
        time = Time(50)
        time.now = 0.0

        async def attempt() -> None:
            self.dials[number].append(time.now)
            for gone, back in self.away:
                if gone <= time.now < back:
                    raise Offline("refused")
                if time.now < gone:  # connected until it goes
                    time.now = gone
                    raise Offline("lost")
            raise Enough

        with pytest.raises(Enough):
            asyncio.run(
                dial_forever(
                    attempt, failed=lambda _error, _wait: None, spread=lambda: self.spread, clock=time.clock, sleep=time.sleep,
                    chance=chance,
                )
            )  # fmt: skip

    def rush(self, first: float, last: float) -> int:
        """The most dials in one second between two moments."""
        seconds = Counter(int(each) for dials in self.dials for each in dials if first <= each < last)
        return max(seconds.values())


def test_a_country_does_not_come_back_in_one_second() -> None:
    nodes = 600
    spread = 10.0
    for gone in ([(3600.0, 3600.1)], [(3600.0, 3603.0)], [(3600.0, 3660.0)], [(3600.0, 3601.0), (3620.0, 3621.0)]):
        country = Country(nodes, gone, spread)
        assert country.rush(0.0, 100.0) < 2 * nodes / spread  # when all machines are started by one clock
        for began, ended in gone:
            assert country.rush(began, began + 20.0) < 3 * nodes / spread  # refused ones are cheap
            assert country.rush(ended, ended + 200.0) < 3 * nodes / spread
        assert all(dials[-1] < gone[-1][1] + 120.0 for dials in country.dials)  # and everybody does come back


def test_the_same_country_without_a_spread_comes_back_at_once() -> None:
    assert Country(100, [(3600.0, 3600.1)], 0.0).rush(3600.0, 3620.0) == 100


def test_a_handful_need_not_wait_and_nobody_waits_long() -> None:
    assert spread_of(5) < 0.1
    assert 10 < spread_of(3074) < 30
    assert spread_of(10**6) == 30
