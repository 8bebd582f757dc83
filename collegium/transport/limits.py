"""What one end of a stream may hold, and how it says that something does not fit."""

from __future__ import annotations

from dataclasses import dataclass

from collegium.errors import Failed, Invalid, Offline, public_text
from collegium.transport.outbox import CHUNK
from collegium.transport.status import Status, status_of

__all__ = [
    "BUSY",
    "LEAVING",
    "LOST",
    "TOO_LARGE",
    "TOO_LATE",
    "UNKNOWN_METHOD",
    "Limits",
    "Parts",
    "ProtocolViolation",
    "StreamLost",
    "Weight",
]

UNKNOWN_METHOD = status_of(
    "UNIMPLEMENTED", Failed("The other side does not know this call.", remedy="One of the two needs a newer version.")
)
TOO_LATE = status_of("DEADLINE_EXCEEDED", Offline("There was no answer in time.", remedy="Try again or allow more time."))
TOO_LARGE = status_of("RESOURCE_EXHAUSTED", Invalid(public_text("too-large"), reason="too-large"))
BUSY = status_of("RESOURCE_EXHAUSTED", Failed(public_text("busy"), reason="busy"))
LOST = status_of("UNAVAILABLE", Offline("The connection was lost.", remedy="Try again; requests may be repeated."))
LEAVING = status_of("UNAVAILABLE", Offline("The other side is going away.", remedy="Try again in a moment."))


class StreamLost(Exception):
    """The stream broke, or the peer has been silent for too long."""


class ProtocolViolation(StreamLost):
    """The peer sent what no correct peer sends."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one end. Nothing a peer sends makes this end hold more.

    max_calls: calls in flight in each direction; more of ours wait, more of the peer's are refused as busy.
    max_message: bytes of one message. max_held: bytes of all messages of which parts are still missing.
    keepalive: seconds of silence after which the peer is pinged; after as many again it is given up.
    """

    max_calls: int = 256
    max_message: int = 64 << 20
    max_held: int = 256 << 20
    keepalive: float = 20.0


class Weight:
    """Bytes held in unfinished messages of one stream, of both directions."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0


class Parts:
    """A message while its parts arrive. `bytearray`, because a list of one-byte parts would weigh fifty times what it holds."""

    __slots__ = ("_bytes", "_weight")

    def __init__(self, weight: Weight) -> None:
        self._weight = weight
        self._bytes = bytearray()

    def add(self, part: bytes) -> Status | None:
        """Keeps a part, or says why it may not be kept."""
        if len(part) > CHUNK:
            raise ProtocolViolation("a part of more than 64 KiB")
        if len(self._bytes) + len(part) > self._weight.limits.max_message:
            return TOO_LARGE
        if self._weight.held + len(part) > self._weight.limits.max_held:
            return BUSY
        self._bytes += part
        self._weight.held += len(part)
        return None

    def whole(self) -> bytes:
        """The message; nothing is held afterwards."""
        message = bytes(self._bytes)
        self.drop()
        return message

    def drop(self) -> None:
        """Forgets what has arrived."""
        self._weight.held -= len(self._bytes)
        self._bytes = bytearray()
