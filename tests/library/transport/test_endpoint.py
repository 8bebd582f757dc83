"""Calls over one stream: every call ends exactly once, with its own answer or with the reason why there is none."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from collegium.errors import Failed, Invalid, Offline, Refused
from collegium.transport.endpoint import Endpoint, Limits, StreamLost, TunnelError
from collegium.transport.outbox import CHUNK
from collegium.transport.status import from_rpc


async def echo(payload: bytes, _deadline: float | None) -> bytes:
    return payload


class Sleeper:
    """A handler that never answers, and knows whether it was told to stop."""

    def __init__(self) -> None:
        self.started = 0
        self.stopped = 0

    async def __call__(self, _payload: bytes, _deadline: float | None) -> bytes:
        self.started += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return b""


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_a_message_of_any_size_arrives_whole(line: Any, size: int) -> None:
    async def main() -> None:
        message = bytes(range(256)) * (size // 256 + 1)
        async with line(far={"/e": echo}) as made:
            assert await made.near.call("/e", message[:size], timeout=5) == message[:size]
            frames = made.out.seen + made.back.seen
            assert all(len(f.chunk) <= CHUNK and len(f.call.first) <= CHUNK and len(f.end.last) <= CHUNK for f in frames)
            if size <= CHUNK:
                assert len(frames) == 2  # a small call is one frame each way: fan-out is paid by the frame
            assert made.near.bytes_held == made.far.bytes_held == 0

    asyncio.run(main())


def test_200_calls_both_ways_at_once_get_their_own_answers(line: Any) -> None:
    async def late(payload: bytes, _deadline: float | None) -> bytes:
        for _ in range(payload[0] % 7):
            await asyncio.sleep(0)
        return payload[::-1]

    async def main() -> None:
        async with line(near={"/l": late}, far={"/l": late}) as made:
            messages = [
                bytes([number % 251]) + number.to_bytes(4, "big") + b"x" * (number * 977 % 200_000) for number in range(200)
            ]
            calls = [end.call("/l", message, timeout=30) for message in messages for end in (made.near, made.far)]
            answers = await asyncio.gather(*calls)
            assert answers == [message[::-1] for message in messages for _ in range(2)]
            assert made.near.calls_in_flight == made.far.calls_in_flight == 0
            assert made.near.bytes_held == made.far.bytes_held == 0

    asyncio.run(main())


def test_a_large_message_delays_a_small_one_by_one_frame(line: Any) -> None:
    async def main() -> None:
        async with line(far={"/e": echo}) as made:
            large = asyncio.ensure_future(made.near.call("/e", b"L" * (100 * CHUNK), timeout=30))
            while len(made.out.seen) < 5:
                await asyncio.sleep(0)
            put_at = len(made.out.seen)
            assert await made.near.call("/e", b"small", timeout=30) == b"small"
            taken_at = next(at for at, frame in enumerate(made.out.seen) if frame.call.first == b"small")
            assert taken_at - put_at <= 2  # the frame being written, and one turn of the large message
            assert not large.done()
            assert len(await large) == 100 * CHUNK

    asyncio.run(main())


def test_answers_take_turns_too(line: Any) -> None:
    async def main() -> None:
        async def sized(payload: bytes, _deadline: float | None) -> bytes:
            return b"A" * int(payload)

        async with line(far={"/s": sized}) as made:
            sizes = [40 * CHUNK, 40 * CHUNK, 40 * CHUNK]
            await asyncio.gather(*(made.near.call("/s", str(size).encode(), timeout=30) for size in sizes))
            ids = [frame.id for frame in made.back.seen]
            middle = ids[10:-10]
            assert all(len(set(middle[at : at + 3])) == 3 for at in range(len(middle) - 3))

    asyncio.run(main())


def test_a_deadline_ends_the_call_here_and_the_work_there(line: Any, until: Any) -> None:
    async def main() -> None:
        sleeper = Sleeper()
        async with line(far={"/s": sleeper}) as made:
            with pytest.raises(TunnelError) as caught:
                await made.near.call("/s", b"", timeout=0.05)
            assert isinstance(from_rpc(caught.value), Offline)
            await until(lambda: sleeper.stopped == 1 and made.far.calls_in_flight == 0)
            assert made.near.calls_in_flight == 0

    asyncio.run(main())


def test_the_answering_side_keeps_the_deadline_by_itself(line: Any, until: Any) -> None:
    async def main() -> None:
        sleeper = Sleeper()
        async with line(far={"/s": sleeper}) as made:
            made.out.loses = lambda frame: frame.HasField("cancel")
            with pytest.raises(TunnelError):
                await made.near.call("/s", b"", timeout=0.05)
            await until(lambda: sleeper.stopped == 1 and made.far.calls_in_flight == 0)

    asyncio.run(main())


def test_the_asking_side_keeps_the_deadline_by_itself(line: Any) -> None:
    async def main() -> None:
        async with line(far={"/e": echo}) as made:
            made.out.loses = lambda _frame: True
            with pytest.raises(TunnelError) as caught:
                await made.near.call("/e", b"", timeout=0.05)
            assert caught.value.status == 4

    asyncio.run(main())


def test_a_handler_learns_the_deadline(line: Any) -> None:
    async def main() -> None:
        heard: list[float | None] = []

        async def note(_payload: bytes, deadline: float | None) -> bytes:
            heard.append(None if deadline is None else deadline - asyncio.get_running_loop().time())
            return b""

        async with line(far={"/n": note}) as made:
            await made.near.call("/n", b"", timeout=50)
            await made.near.call("/n", b"", timeout=None)
        assert heard[0] is not None
        assert 0 < heard[0] <= 50.001
        assert heard[1] is None

    asyncio.run(main())


def test_cancelling_a_call_cancels_the_work(line: Any, until: Any) -> None:
    async def main() -> None:
        sleeper = Sleeper()
        async with line(far={"/s": sleeper, "/e": echo}) as made:
            call = asyncio.ensure_future(made.near.call("/s", b"", timeout=None))
            await until(lambda: sleeper.started == 1)
            call.cancel()
            await until(lambda: sleeper.stopped == 1 and made.far.calls_in_flight == 0)
            assert call.cancelled()
            assert await made.near.call("/e", b"next", timeout=5) == b"next"

    asyncio.run(main())


def test_a_call_cancelled_before_it_left_is_never_sent(line: Any) -> None:
    async def main() -> None:
        async with line(far={"/s": Sleeper(), "/e": echo}) as made:
            made.out.open.clear()
            first = asyncio.ensure_future(made.near.call("/e", b"first", timeout=None))
            second = asyncio.ensure_future(made.near.call("/s", b"", timeout=None))
            await asyncio.sleep(0.01)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            made.out.open.set()
            assert await first == b"first"
            assert [frame.call.method for frame in made.out.seen] == ["/e"]  # neither the call nor its cancellation

    asyncio.run(main())


def test_a_cut_stream_fails_all_calls_and_stops_all_work(line: Any, until: Any) -> None:
    async def main() -> None:
        sleeper = Sleeper()
        async with line(near={"/s": sleeper}, far={"/s": sleeper}) as made:
            calls = [asyncio.ensure_future(end.call("/s", b"", timeout=None)) for end in (made.near, made.far) for _ in range(20)]
            await until(lambda: sleeper.started == 40)
            await made.cut()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(from_rpc(result)) for result in results] == [Offline] * 40
            assert sleeper.stopped == 40
            with pytest.raises(TunnelError) as caught:
                await made.near.call("/s", b"", timeout=1)
            assert caught.value.status == 14
            assert not made.near.alive
            assert made.near.calls_in_flight == made.far.calls_in_flight == 0

    asyncio.run(main())


def test_a_goodbye_lets_calls_finish_and_takes_no_new_ones(line: Any, until: Any) -> None:
    async def main() -> None:
        gate, entered = asyncio.Event(), asyncio.Event()

        async def gated(payload: bytes, _deadline: float | None) -> bytes:
            entered.set()
            await gate.wait()
            return payload * (3 * CHUNK)

        async with line(far={"/g": gated}) as made:
            call = asyncio.ensure_future(made.near.call("/g", b"x", timeout=None))
            await entered.wait()
            closing = asyncio.ensure_future(made.far.close(grace=5))
            await until(lambda: not made.near.alive)
            with pytest.raises(TunnelError, match="going away"):
                await made.near.call("/g", b"x", timeout=5)
            assert not closing.done()
            gate.set()
            assert await call == b"x" * (3 * CHUNK)
            await closing
            await made.runs[1]

    asyncio.run(main())


def test_silence_is_pinged_and_then_given_up(line: Any) -> None:
    async def main() -> None:
        limits = Limits(keepalive=0.2)
        async with line(limits=limits) as made:
            await asyncio.sleep(1.0)
            assert made.near.alive  # pongs count as life
            assert made.far.alive
            made.back.loses = lambda _frame: True
            with pytest.raises(StreamLost, match="silent"):
                await asyncio.wait_for(asyncio.shield(made.runs[0]), 5)

    asyncio.run(main())


def test_calls_over_the_limit_wait_for_their_turn(line: Any, until: Any) -> None:
    async def main() -> None:
        running, most, gate = 0, 0, asyncio.Event()

        async def gated(_payload: bytes, _deadline: float | None) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            return b""

        async with line(far={"/g": gated}, limits=Limits(max_calls=4)) as made:
            calls = [asyncio.ensure_future(made.near.call("/g", b"", timeout=None)) for _ in range(20)]
            await until(lambda: running == 4)
            with pytest.raises(TunnelError) as caught:
                await made.near.call("/g", b"", timeout=0.02)  # a deadline holds while waiting for a turn too
            assert caught.value.status == 4
            gate.set()
            await asyncio.gather(*calls)
            assert most == 4

    asyncio.run(main())


def test_cancelling_and_calling_again_at_the_limit_is_not_refused(line: Any, until: Any) -> None:
    async def main() -> None:
        sleeper = Sleeper()
        async with line(far={"/s": sleeper, "/e": echo}, limits=Limits(max_calls=3)) as made:
            for round_ in range(10):
                calls = [asyncio.ensure_future(made.near.call("/s", b"", timeout=None)) for _ in range(3)]
                await until(lambda round_=round_: sleeper.started == 3 * (round_ + 1))
                for call in calls:
                    call.cancel()
                answers = await asyncio.gather(*(made.near.call("/e", b"x", timeout=5) for _ in range(3)))
                assert answers == [b"x"] * 3
            await until(lambda: made.far.calls_in_flight == 0)

    asyncio.run(main())


def test_a_call_over_the_peers_limit_is_refused_as_busy(line: Any, until: Any) -> None:
    async def main() -> None:
        sleeper = Sleeper()
        async with line(far={"/s": sleeper}, limits=Limits(max_calls=9), far_limits=Limits(max_calls=2)) as made:
            calls = [asyncio.ensure_future(made.near.call("/s", b"", timeout=None)) for _ in range(2)]
            await until(lambda: sleeper.started == 2)
            with pytest.raises(TunnelError) as caught:
                await made.near.call("/s", b"", timeout=5)
            error = from_rpc(caught.value)
            assert isinstance(error, Failed)
            assert error.reason == "busy"
            assert not any(call.done() for call in calls)

    asyncio.run(main())


@pytest.mark.parametrize("direction", ["question", "answer"])
def test_a_message_over_the_limit_fails_its_call_only(line: Any, direction: str) -> None:
    async def main() -> None:
        async def grow(payload: bytes, _deadline: float | None) -> bytes:
            return payload * (300_000 if direction == "answer" else 1)

        small, large = Limits(max_message=200_000), Limits()
        near, far = (large, small) if direction == "question" else (small, large)
        async with line(far={"/g": grow, "/e": echo}, limits=near, far_limits=far) as made:
            sibling = asyncio.ensure_future(made.near.call("/e", b"s" * 190_000, timeout=5))
            with pytest.raises(TunnelError) as caught:
                await made.near.call("/g", b"g" * (300_000 if direction == "question" else 1), timeout=5)
            error = from_rpc(caught.value)
            assert isinstance(error, Invalid)
            assert error.reason == "too-large"
            assert await sibling == b"s" * 190_000
            assert await made.near.call("/e", b"after", timeout=5) == b"after"
            assert made.near.bytes_held == made.far.bytes_held == 0

    asyncio.run(main())


def test_errors_of_a_handler_arrive_and_surprises_do_not_tell(line: Any) -> None:
    async def main() -> None:
        async def refuse(_payload: bytes, _deadline: float | None) -> bytes:
            raise Refused("no", by="budget", place="question 2", remedy="Ask less.", reason="budget-period")

        async def surprise(_payload: bytes, _deadline: float | None) -> bytes:
            raise ValueError("CANARY-7741")

        async with line(far={"/r": refuse, "/s": surprise}) as made:
            with pytest.raises(TunnelError) as refused:
                await made.near.call("/r", b"", timeout=5)
            with pytest.raises(TunnelError) as failed:
                await made.near.call("/s", b"", timeout=5)
            with pytest.raises(TunnelError) as unknown:
                await made.near.call("/nobody", b"", timeout=5)
        error = from_rpc(refused.value)
        assert isinstance(error, Refused)
        assert (error.text, error.by, error.place, error.remedy, error.reason) == (
            "no",
            "budget",
            "question 2",
            "Ask less.",
            "budget-period",
        )
        assert "CANARY" not in str(failed.value)
        assert "CANARY" not in repr([frame.SerializeToString() for frame in made.back.seen])
        assert isinstance(from_rpc(failed.value), Failed)
        assert unknown.value.status == 12

    asyncio.run(main())


def test_a_handler_that_ignores_cancellation_does_not_hold_the_stream(line: Any, until: Any) -> None:
    async def main() -> None:
        gate, entered = asyncio.Event(), asyncio.Event()

        async def stubborn(_payload: bytes, _deadline: float | None) -> bytes:
            entered.set()
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    continue
            return b""

        async with line(far={"/s": stubborn}) as made:
            call = asyncio.ensure_future(made.near.call("/s", b"", timeout=None))
            await entered.wait()
            await asyncio.wait_for(made.cut(), 10)
            with pytest.raises(TunnelError):
                await call
            gate.set()
            await until(lambda: made.far.calls_in_flight == 0)

    asyncio.run(main())


def test_closing_waits_until_the_last_answer_is_written(line: Any, until: Any) -> None:
    async def main() -> None:
        async with line(far={"/e": echo}) as made:
            made.back.open.clear()
            call = asyncio.ensure_future(made.near.call("/e", b"last", timeout=5))
            await until(lambda: made.far.calls_in_flight == 0 and len(made.out.seen) == 1)
            closing = asyncio.ensure_future(made.far.close(grace=5))
            await asyncio.sleep(0.1)
            assert not closing.done()  # the answer has left the outbox and not yet this machine
            made.back.open.set()
            assert await call == b"last"
            await closing

    asyncio.run(main())


def test_a_closed_end_says_so_and_reads_on_until_the_peer_ends(line: Any, until: Any) -> None:
    async def main() -> None:
        finished = asyncio.Event()

        async def finish() -> None:
            finished.set()

        async with line(far={"/e": echo}) as made:
            made.runs[0].cancel()
            await asyncio.gather(made.runs[0], return_exceptions=True)
            near = Endpoint(made.out.send, dialled=True, handlers={})
            run = asyncio.ensure_future(near.run(made.back.receive, finish))
            await asyncio.sleep(0)
            await near.close(grace=1)
            await asyncio.wait_for(finished.wait(), 5)
            await asyncio.sleep(0.05)
            assert not run.done()  # cancelling a read would reset the stream, and with it what is still on its way
            await made.back.queue.put(None)
            await asyncio.wait_for(run, 5)

    asyncio.run(main())


def test_a_process_that_was_asleep_asks_before_it_gives_up(line: Any) -> None:
    async def main() -> None:
        async with line(far={"/e": echo}, limits=Limits(keepalive=0.2)) as made:
            await asyncio.sleep(0.05)
            time.sleep(1.0)
            assert await made.near.call("/e", b"awake", timeout=5) == b"awake"
            await asyncio.sleep(0.6)
            assert made.near.alive
            assert made.far.alive

    asyncio.run(main())
