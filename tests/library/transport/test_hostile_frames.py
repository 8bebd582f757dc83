"""Frames no correct peer sends: they end that one stream or are ignored; they never crash, and never fill the memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from collegium.transport.endpoint import Limits, ProtocolViolation, TunnelError
from collegium.transport.outbox import CHUNK
from collegium.v1.tunnel_pb2 import Call, Cancel, End, Frame, Goodbye, Ping, Pong

HUGE = b"h" * (CHUNK + 1)


async def echo(payload: bytes, _deadline: float | None) -> bytes:
    return payload


def whole(call: int, payload: bytes = b"", method: str = "/e") -> Frame:
    return Frame(id=call, call=Call(method=method, first=payload, whole=True))


VIOLATIONS = {
    "a call with an id of our own parity": [whole(2)],
    "a call with id 0": [whole(0)],
    "an id used twice": [whole(1), whole(1)],
    "an id that goes back": [whole(5), whole(3)],
    "a first part over 64 KiB": [Frame(id=1, call=Call(method="/e", first=HUGE))],
    "a whole message over 64 KiB in one frame": [whole(1, HUGE)],
    "a chunk over 64 KiB": [Frame(id=1, call=Call(method="/e")), Frame(id=1, chunk=HUGE)],
    "a last part over 64 KiB": [Frame(id=1, call=Call(method="/e")), Frame(id=1, end=End(last=HUGE))],
}

IGNORED = {
    "a chunk of no call": [Frame(id=1, chunk=b"x")],
    "a chunk of a call we never opened": [Frame(id=2, chunk=b"x")],
    "an end of no call": [Frame(id=1, end=End())],
    "an answer to nothing": [Frame(id=8, end=End(last=b"x"))],
    "a huge answer to nothing": [Frame(id=8, end=End(last=HUGE)), Frame(id=8, chunk=HUGE)],
    "a refusal of nothing": [Frame(id=8, end=End(status=999, details="x" * 100_000))],
    "a cancellation of nothing": [Frame(id=1, cancel=Cancel()), Frame(id=2, cancel=Cancel()), Frame(cancel=Cancel())],
    "a pong without a ping": [Frame(pong=Pong(nonce=7))],
    "an empty frame": [Frame()],
    "a body this version does not know": [Frame.FromString(bytes([0x08, 0x05, 0xFA, 0x01, 0x03]) + b"new")],
    "a goodbye, and then again": [Frame(goodbye=Goodbye()), Frame(goodbye=Goodbye())],
    "chunks before their call": [Frame(id=1, chunk=b"x"), Frame(id=1, end=End(last=b"y"))],
}


@pytest.mark.parametrize("frames", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_violation_ends_the_stream(hand: Any, frames: list[Frame]) -> None:
    async def main() -> None:
        async with hand({"/e": echo}) as made:
            await made.give(*frames)
            with pytest.raises(ProtocolViolation):
                await asyncio.wait_for(asyncio.shield(made.run), 5)
            assert made.endpoint.bytes_held == 0
            assert not made.endpoint.alive

    asyncio.run(main())


@pytest.mark.parametrize("frames", IGNORED.values(), ids=IGNORED.keys())
def test_the_rest_is_ignored_and_the_next_call_works(hand: Any, frames: list[Frame]) -> None:
    async def main() -> None:
        async with hand({"/e": echo}) as made:
            await made.give(*frames, whole(99, b"after"))
            answer = await made.take()
            assert (answer.id, answer.end.status, answer.end.last) == (99, 0, b"after")
            assert made.endpoint.bytes_held == 0

    asyncio.run(main())


def test_fields_of_a_newer_version_are_ignored(hand: Any) -> None:
    """P25, the transport's half: in what is signed unknown fields are refused, here they are not seen."""

    async def main() -> None:
        unknown = bytes([0xFA, 0x01, 0x03]) + b"new"  # field 31, length-delimited
        call = Call(method="/e", first=b"old", whole=True).SerializeToString() + unknown
        frame = bytes([0x08, 0x01, 0x12, len(call)]) + call + unknown
        async with hand({"/e": echo}) as made:
            await made.give(Frame.FromString(frame))
            assert (await made.take()).end.last == b"old"

    asyncio.run(main())


def test_frames_after_a_complete_message_change_nothing(hand: Any) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def gated(payload: bytes, _deadline: float | None) -> bytes:
            await gate.wait()
            return payload

        async with hand({"/g": gated}) as made:
            await made.give(whole(1, b"said", "/g"), Frame(id=1, chunk=b"more"), Frame(id=1, end=End(last=b"and more")))
            await made.give(Frame(ping=Ping(nonce=3)))
            assert (await made.take()).pong.nonce == 3
            gate.set()
            assert (await made.take()).end.last == b"said"
            assert made.endpoint.bytes_held == 0

    asyncio.run(main())


def test_an_endless_message_is_cut_off(hand: Any) -> None:
    async def main() -> None:
        async with hand({"/e": echo}, Limits(max_message=1 << 20)) as made:
            await made.give(Frame(id=1, call=Call(method="/e")))
            most = 0
            for _ in range(64):
                await made.give(Frame(id=1, chunk=b"c" * CHUNK))
                await asyncio.sleep(0)
                most = max(most, made.endpoint.bytes_held)
            answer = await made.take()
            assert (answer.id, answer.end.status) == (1, 8)
            await made.give(whole(3, b"after"))
            assert (await made.take()).end.last == b"after"
            assert most <= 1 << 20
            assert made.endpoint.bytes_held == 0

    asyncio.run(main())


def test_many_half_messages_together_stay_within_the_bound(hand: Any) -> None:
    async def main() -> None:
        limits = Limits(max_message=1 << 20, max_held=2 << 20)
        async with hand({"/e": echo}, limits) as made:
            refused = 0
            for call in range(1, 161, 2):
                await made.give(Frame(id=call, call=Call(method="/e", first=b"p" * CHUNK)))
            await made.give(Frame(ping=Ping(nonce=1)))
            while not (frame := await made.take()).HasField("pong"):
                assert frame.end.status == 8
                refused += 1
            assert made.endpoint.bytes_held <= limits.max_held
            assert refused == 80 - limits.max_held // CHUNK
            for call in range(1, 161, 2):
                await made.give(Frame(id=call, cancel=Cancel()))
            await made.give(Frame(ping=Ping(nonce=2)))
            assert (await made.take()).pong.nonce == 2
            assert made.endpoint.bytes_held == 0
            assert made.endpoint.calls_in_flight == 0

    asyncio.run(main())


def test_half_a_message_ends_with_its_deadline(hand: Any, until: Any) -> None:
    async def main() -> None:
        async with hand({"/e": echo}) as made:
            await made.give(Frame(id=1, call=Call(method="/e", deadline_ms=20, first=b"half")))
            answer = await made.take()
            assert (answer.id, answer.end.status) == (1, 4)
            assert made.endpoint.calls_in_flight == 0
            assert made.endpoint.bytes_held == 0

    asyncio.run(main())


def test_a_flood_of_calls_is_refused_beyond_the_limit(hand: Any, until: Any) -> None:
    async def main() -> None:
        started = 0

        async def slow(_payload: bytes, _deadline: float | None) -> bytes:
            nonlocal started
            started += 1
            await asyncio.Event().wait()
            return b""

        async with hand({"/s": slow}, Limits(max_calls=5)) as made:
            await made.give(*(whole(call, b"", "/s") for call in range(1, 41, 2)))
            busy = [await made.take() for _ in range(15)]
            assert all(frame.end.status == 8 for frame in busy)
            await until(lambda: started == 5)
            assert made.endpoint.calls_in_flight == 5

    asyncio.run(main())


def test_calling_and_cancelling_for_ever_does_not_pile_up_work(hand: Any) -> None:
    async def main() -> None:
        running, most, gate = 0, 0, asyncio.Event()

        async def slow_to_end(_payload: bytes, _deadline: float | None) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await gate.wait()
            except asyncio.CancelledError:
                await gate.wait()
            running -= 1
            return b""

        async with hand({"/s": slow_to_end}, Limits(max_calls=5)) as made:
            for call in range(1, 201, 2):
                await made.give(whole(call, b"", "/s"))
                await asyncio.sleep(0.001)
                await made.give(Frame(id=call, cancel=Cancel()))
            assert most == 10
            gate.set()

    asyncio.run(main())


def test_a_peer_that_sends_pings_and_does_not_read_is_not_read_either(hand: Any) -> None:
    async def main() -> None:
        async with hand() as made:
            made.fro.open.clear()  # nothing we write gets through
            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    await made.give(Frame(ping=Ping(nonce=sent)))
                    sent += 1

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(flood(), 0.3)
            assert sent < 2_000  # the pongs that wait, the pings in the pipe, and no more
            made.fro.open.set()
            for nonce in range(sent):
                assert (await made.take()).pong.nonce == nonce

    asyncio.run(main())


def test_an_oversized_answer_fails_its_call_and_cancels_it(hand: Any) -> None:
    async def main() -> None:
        async with hand(limits=Limits(max_message=1 << 20)) as made:
            call = asyncio.ensure_future(made.endpoint.call("/q", b"", timeout=None))
            opened = await made.take()
            for _ in range(20):
                await made.give(Frame(id=opened.id, chunk=b"c" * CHUNK))
            with pytest.raises(TunnelError) as caught:
                await asyncio.wait_for(call, 5)
            assert caught.value.status == 8
            assert (await made.take()).HasField("cancel")
            assert made.endpoint.bytes_held == 0
            assert made.endpoint.alive

    asyncio.run(main())


def test_an_answer_before_the_question_is_complete_ends_the_call_once(hand: Any) -> None:
    async def main() -> None:
        async with hand() as made:
            made.fro.open.clear()
            call = asyncio.ensure_future(made.endpoint.call("/q", b"q" * (50 * CHUNK), timeout=None))
            await asyncio.sleep(0.01)
            await made.give(Frame(id=2, end=End(status=7, details="no")), Frame(id=2, end=End(last=b"yes")))
            with pytest.raises(TunnelError, match="no"):
                await call
            made.fro.open.set()
            await made.give(Frame(ping=Ping(nonce=1)))
            frames = [await made.take()]
            while not frames[-1].HasField("pong"):
                frames.append(await made.take())
            assert len(frames) <= 3  # the rest of the question is not sent
            assert made.endpoint.calls_in_flight == 0

    asyncio.run(main())


def test_an_answer_nobody_waits_for_any_more_does_not_leave(hand: Any, until: Any) -> None:
    async def main() -> None:
        async with hand({"/e": echo}) as made:
            made.fro.open.clear()
            await made.give(Frame(ping=Ping(nonce=1)), whole(1, b"unwanted"))  # the writer stands with the pong
            await until(lambda: made.to.queue.empty() and made.endpoint.calls_in_flight == 1)
            await asyncio.sleep(0.01)
            await made.give(Frame(id=1, cancel=Cancel()))
            await until(lambda: made.endpoint.calls_in_flight == 0)
            made.fro.open.set()
            await made.give(whole(3, b"wanted"))
            assert (await made.take()).pong.nonce == 1
            assert (await made.take()).id == 3

    asyncio.run(main())
