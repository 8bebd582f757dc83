"""Frames of a tunnel: whatever the other end sends ends that one stream or is ignored, and nothing stays held."""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError
from target import Target

from collegium.errors import Invalid
from collegium.transport.endpoint import Endpoint, StreamLost
from collegium.v1.tunnel_pb2 import Call, Cancel, End, Frame, Goodbye, Ping, Pong

__all__ = ["TARGETS"]


def frames(raw: bytes) -> None:
    """Frames one after the other, each after two bytes of its length; what is no frame ends the stream, as gRPC does."""
    asyncio.run(_stream(raw))


async def _stream(raw: bytes) -> None:
    at, broken = 0, ""

    async def receive() -> Frame | None:
        nonlocal at
        await asyncio.sleep(0)
        if at + 2 > len(raw):
            return None
        start = at + 2
        at = start + int.from_bytes(raw[at:start], "big")
        try:
            return Frame.FromString(raw[start:at])
        except DecodeError:
            raise StreamLost("no frame") from None

    async def send(frame: Frame) -> None:
        assert len(frame.SerializeToString()) < 1 << 17

    async def echo(payload: bytes, _deadline: float | None) -> bytes:
        return payload

    for dialled in (False, True):
        at = 0
        endpoint = Endpoint(send, dialled=dialled, handlers={"/e": echo})
        try:
            async with asyncio.timeout(10):
                await endpoint.run(receive)
        except StreamLost as error:
            broken = broken if dialled else str(error) or "lost"
        assert endpoint.bytes_held == 0, "bytes of a stream that is over"
        assert not endpoint.alive
    if broken:
        raise Invalid(broken)


def pack(*sent: Frame) -> bytes:
    return b"".join(len(data).to_bytes(2, "big") + data for data in (each.SerializeToString() for each in sent))


TARGETS = {
    "frames": Target(
        (
            pack(Frame(id=1, call=Call(method="/e", first=b"x", whole=True)), Frame(id=3, call=Call(method="/none", whole=True))),
            pack(Frame(id=1, call=Call(method="/e", first=b"x")), Frame(id=1, chunk=b"y"), Frame(id=1, end=End(last=b"z"))),
            pack(Frame(ping=Ping(nonce=1)), Frame(pong=Pong(nonce=2)), Frame(goodbye=Goodbye()), Frame(id=1, cancel=Cancel())),
        ),
        frames,
    )
}
