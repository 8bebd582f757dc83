"""One table between errors and statuses, the same for a tunnel and for plain gRPC.

An error travels as a gRPC status code and one line of JSON in the status details: `{"by", "kind", "place", "reason", "remedy",
"text"}`, empty ones left out, ASCII only. Details are the one thing that both transports carry. An exception that is not of
`collegium.errors` becomes a constant: whatever it says may have been taken from data.

What arrives is the other party's word: unknown kinds read as `Failed`, control characters are removed, lengths are capped.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import grpc

from collegium.errors import (
    PUBLIC_TEXTS,
    CollegiumError,
    Failed,
    Invalid,
    NotReleased,
    NotVerified,
    Offline,
    Refused,
    public_text,
    rule_of,
)

__all__ = ["UNEXPECTED", "Status", "TunnelError", "from_rpc", "from_status", "status_of", "to_public_status", "to_status"]

_CAPS = {"kind": 20, "by": 20, "reason": 60, "place": 300, "text": 800, "remedy": 600}  # characters of each field
_MAX_DETAILS = 16_384  # characters; longer details of a peer are not parsed
_FIELDS = ("reason", "place", "remedy")
_RULES_SAYING_NO = ("policy", "budget", "schema", "identity")
_KINDS: dict[str, type[CollegiumError]] = {
    error.kind: error for error in (Invalid, NotVerified, Refused, NotReleased, Offline, Failed)
}
_CODES: dict[str, int] = {code.name: code.value[0] for code in grpc.StatusCode}
_NAMES: dict[int, str] = {number: name for name, number in _CODES.items()}
_TRANSPORT_SAYS = (
    "RST_STREAM",
    "GOAWAY",
    "ENHANCE_YOUR_CALM",
    "too_many_pings",
    "Stream removed",
    "Socket closed",
    "Connection reset",
    "Broken pipe",
    "Too many open files",
    "Cancelling all calls",
    "Exception calling application",
    "Exception iterating",
    "Error in service handler",
    "serializing",
    "handshake",
)
"""Words that gRPC itself uses for what broke. Only these are shown of a failure without a line of ours, and no other text."""


class Status(NamedTuple):
    """What leaves the process for an error: the number of a gRPC status code, and the details."""

    code: int
    details: str

    @property
    def grpc(self) -> Any:
        """The member of `grpc.StatusCode`; UNKNOWN for a number that gRPC does not have."""
        return grpc.StatusCode[_NAMES.get(self.code, "UNKNOWN")]


class TunnelError(Exception):
    """A call ended with a status other than OK. `from_status` makes it an error a person can read."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{_NAMES.get(status, 'UNKNOWN')}: {message}")
        self.status = status
        self.message = message


def status_of(code: str, error: CollegiumError) -> Status:
    """The status of `error` under another code than the table's: the transport's own refusals have fitting ones."""
    return Status(_CODES[code], _details_of(error))


def to_status(error: BaseException) -> Status:
    """The status of any exception, with all fields of one of ours and nothing at all of any other."""
    if not isinstance(error, CollegiumError):
        return UNEXPECTED
    return status_of(rule_of(error).grpc_status, error)


def to_public_status(error: BaseException) -> Status:
    """The status that may leave a node: kind, rule and reason, with the public text of the reason; nothing written at run time."""
    if not isinstance(error, CollegiumError) or error.reason not in PUBLIC_TEXTS:
        return UNEXPECTED
    text = public_text(error.reason)
    if isinstance(error, Refused):
        return to_status(Refused(text, by=error.by, reason=error.reason))
    return to_status(_KINDS[error.kind](text, reason=error.reason))


def from_status(code: int, details: str | None, *, place: str = "") -> CollegiumError:
    """The error behind a status. `place` is used where the sender named none, for example the address that was called."""
    fields = _parse(details or "")
    if fields is None:
        return _from_code(code, details or "", place)
    kind = _KINDS.get(fields.get("kind", ""), Failed)
    rest = {name: fields.get(name, "") for name in _FIELDS}
    rest["place"] = rest["place"] or place
    text = fields.get("text", "") or public_text(rest["reason"])
    if kind is Refused:
        by = fields.get("by", "")
        return Refused(text, by=by if by in _RULES_SAYING_NO else "policy", **rest)
    return kind(text, **rest)


def from_rpc(error: Any, *, place: str = "") -> CollegiumError:
    """The error behind a `grpc.RpcError` (blocking or asyncio) or a `TunnelError`."""
    if isinstance(error, TunnelError):
        return from_status(error.status, error.message, place=place)
    return from_status(error.code().value[0], error.details(), place=place)


def _details_of(error: CollegiumError) -> str:
    """The details line of one of our errors."""
    fields = {"kind": error.kind, "text": error.text, "by": getattr(error, "by", "")}
    fields |= {name: getattr(error, name) for name in _FIELDS}
    kept = {name: _clean(value, _CAPS[name]) for name, value in fields.items() if value}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def _parse(details: str) -> dict[str, str] | None:
    """The fields of a details line of ours, or None for any other text."""
    if not details.startswith("{") or len(details) > _MAX_DETAILS:
        return None
    try:
        fields = json.loads(details)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return {name: _clean(value, _CAPS[name]) for name, value in fields.items() if name in _CAPS and isinstance(value, str)}


def _clean(text: str, cap: int) -> str:
    """At most `cap` characters, none of them a control character: it will be printed on a terminal."""
    return "".join(character if character.isprintable() else " " for character in text[:cap])


def _from_code(code: int, details: str, place: str) -> CollegiumError:
    """The error for a status that carries no line of ours: gRPC itself, a proxy, or another implementation."""
    name = _NAMES.get(code, "UNKNOWN")
    said = f" ({_clean(details, 300)})" if details else ""
    if name == "UNAVAILABLE":
        return Offline(f"Cannot be reached{said}.", place=place, remedy="Try again; `doctor` names the failing hop.")
    if name == "DEADLINE_EXCEEDED":
        return Offline("There was no answer in time.", place=place, remedy="Try again or allow more time.")
    if name == "CANCELLED":
        return Offline("The call was cancelled.", place=place)
    if name == "UNIMPLEMENTED":
        return Failed("The other side does not know this call.", place=place, remedy="One of the two needs a newer version.")
    if name == "RESOURCE_EXHAUSTED":
        return Invalid(public_text("too-large"), place=place, reason="too-large")
    if name == "INVALID_ARGUMENT":
        return Invalid(public_text("malformed"), place=place, reason="malformed")
    if name == "FAILED_PRECONDITION":
        return NotReleased(f"The answer is not there yet{said}.", place=place)
    if name == "PERMISSION_DENIED":
        return Refused(f"The other side refused the call{said}.", by="identity", place=place)
    if name == "UNAUTHENTICATED":
        return NotVerified(f"The other side did not accept this identity{said}.", place=place)
    # The details are somebody's free text. Which of the transport's own failures they speak of is what a diagnosis needs.
    heard = [phrase for phrase in _TRANSPORT_SAYS if phrase.lower() in details[:_MAX_DETAILS].lower()]
    said = f"gRPC {name}" + (f": {', '.join(heard)}" if heard else "")
    return Failed(f"{public_text('failed')} ({said})", place=place, reason="failed")


UNEXPECTED = to_status(Failed(public_text("failed"), reason="failed"))
