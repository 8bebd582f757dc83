"""The text of a statement to its facts, strictly, and fast where a statement is spelt as nearly all are.

Each common kind has one regular expression of its canonical spelling. What it matches is exactly what the typed body of
`collegium.statements` accepts and spells the same way; whatever it does not match (Chinese text, long numbers, anything wrong)
goes the long way through that body, which decides. So the fast way can only accept what the long way accepts: a test holds them
together.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from collegium.errors import CollegiumError
from collegium.log.merkle import EMPTY_ROOT
from collegium.log.note import split_note

__all__ = ["KINDS", "Questions", "cosignatures", "read_body"]

Fact = tuple[Any, ...]
Questions = Callable[[Any], tuple[tuple[Any, ...], ...]]
"""From a request's questions to tuples of `AskedQuestion`: needs the schemas."""

KINDS = frozenset({"request", "decision", "release", "indicator", "withdrawal", "policy", "peer", "registration"})

_INT = r"(0|[1-9][0-9]{0,14})"
_HEX64, _HEX16 = '"([0-9a-f]{64})"', '"([0-9a-f]{16})"'
_FIELD = '"([a-z][a-z0-9_]{0,62})"'
_LINE = r'"([ !#-\[\]-~]{1,500})"'  # printable ASCII that JSON never escapes
_LOG = rf'"log":\{{"index":{_INT},"origin":{_LINE}\}}'
_REGISTRY = rf'"registry":\{{"root":"([A-Za-z0-9+/]{{43}}=)","size":{_INT}\}}'
_BLOB = rf'\{{"sha256":{_HEX64},"size":{_INT}\}}'
_SCALE = r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,3})?"
_PART = rf'\{{"cells":[1-9][0-9]{{0,11}},"scale":"{_SCALE}"\}}'


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


_DECISION = _pattern(
    rf'\{{(?:"dataset":{_FIELD},)?{_LOG},"number":{_INT},(?:"original":\{{"index":{_INT},"sha256":{_HEX64}\}},)?'
    rf'(?:"period":{_LINE},)?(?:"question":{_HEX64},)?(?:"reason":"([a-z][a-z0-9-]{{0,62}})",)?{_REGISTRY},"request":{_HEX64},'
    rf'(?:"rho":{_INT},)?(?:"snapshot":{_HEX16},)?"time":{_INT}(?:,"unit":{_FIELD})?,"verdict":"(charge|reuse|refuse|hold|allow)"\}}'
)
_RELEASE = _pattern(
    rf'\{{"decision":{_INT},{_LOG},"number":{_INT},"parts":\[({_PART}(?:,{_PART}){{0,63}})\],"payload":{_BLOB},"question":{_HEX64},'
    rf'{_REGISTRY},"request":{_HEX64},"schema":"([a-z][a-z0-9-]{{0,62}}/[1-9][0-9]{{0,8}})","snapshot":{_HEX16},"time":{_INT}\}}'
)
_EACH_PART = _pattern(rf'"cells":([0-9]+),"scale":"({_SCALE})"')
_INDICATOR = _pattern(
    rf'\{{"accounts":{_BLOB},"coverage":\{{"answered":{_INT},"asked":{_INT}(?:,"enrolment":{_INT})?(?:,"enrolment_asked":{_INT})?\}},'
    rf'{_LOG},"number":{_INT},"question":{_HEX64},{_REGISTRY},"request":{_HEX64},"revision":{_INT},"table":{_BLOB},"time":{_INT}\}}'
)
# The embedded note: three lines, then signature lines of 68 bytes (the log's own) or 76 (cosignatures). Base64 has one spelling for
# each length: the last character before the padding carries no bits that are not used.
_HASH = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
_SIGNED = "[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]="
_COSIGNED = "[A-Za-z0-9+/]{101}[AQgw]=="
_KEY_NAME = r"[!#-*,-\[\]-~]+"
_PEER = _pattern(
    rf'\{{"checkpoint":"({_LINE[2:-2]}\\n{_INT}\\n{_HASH}\\n\\n(?:— {_KEY_NAME} (?:{_SIGNED}|{_COSIGNED})\\n){{1,64}})",'
    rf'{_LOG},"origin":{_LINE},{_REGISTRY},"root":"({_HASH})","size":{_INT},"time":{_INT}\}}'
)
_EACH_COSIGNED = _pattern(rf"— ({_KEY_NAME}) ([A-Za-z0-9+/]{{16}})[A-Za-z0-9+/]{{85}}[AQgw]==\\n")
MAX_PEER = 20_000  # characters, as in `statements.Peer`; escaped ones here, which are more


def read_body(kind: str, text: bytes, line: str, questions: Questions) -> Fact | None:
    """The facts of a statement whose type line names `kind`, from field `id` on; None when the body is not one.

    Checks no signature. `text` is the whole note text and `line` its JSON. `questions` compiles a request's questions.
    """
    quick = _QUICK.get(kind)
    found = quick(line) if quick is not None else None
    if found is None:
        try:
            found = _long_way(kind, text, questions)
        except (CollegiumError, ValueError, ArithmeticError, RecursionError):
            return None
    return (sha256(text).hexdigest(), *found)


def _decision(line: str) -> Fact | None:
    match = _DECISION.fullmatch(line)
    if match is None:
        return None
    (
        dataset, index, origin, number, original, original_id, period, question, reason, root, size, request, rho, snapshot, time,
        unit, verdict,
    ) = match.groups()  # fmt: skip
    if verdict == "charge":
        right = None not in (question, snapshot, unit, period, dataset, rho) and original is None
    elif verdict == "reuse":
        right = None not in (question, snapshot, original) and rho in (None, "0")
    else:
        right = original is None and rho in (None, "0") and (verdict != "refuse" or reason is not None)
    if not right:
        return None
    return (
        origin, int(index), int(size), root, int(time), request, int(number), verdict, question, reason, snapshot, unit, period,
        dataset, None if rho is None else int(rho), None if original is None else int(original), original_id,
    )  # fmt: skip


def _release(line: str) -> Fact | None:
    match = _RELEASE.fullmatch(line)
    if match is None:
        return None
    decision, index, origin, number, listed, payload, length, question, root, size, request, schema, snapshot, time = match.groups()
    parts = tuple((int(cells), scale) for cells, scale in _EACH_PART.findall(listed))
    if int(length) != 8 * sum(cells for cells, _ in parts) or int(decision) >= int(index):
        return None
    return (
        origin, int(index), int(size), root, int(time), request, int(number), question, snapshot, schema, int(decision), parts,
        payload, int(length),
    )  # fmt: skip


def _indicator(line: str) -> Fact | None:
    match = _INDICATOR.fullmatch(line)
    if match is None:
        return None
    (
        accounts, accounts_size, answered, asked, enrolment, enrolment_asked, index, origin, number, question, root, size, request,
        revision, table, table_size, time,
    ) = match.groups()  # fmt: skip
    return (
        origin, int(index), int(size), root, int(time), request, int(number), question, int(revision), accounts, int(accounts_size),
        int(asked), int(answered), None if enrolment is None else int(enrolment),
        None if enrolment_asked is None else int(enrolment_asked), table, int(table_size),
    )  # fmt: skip


def _peer(line: str) -> Fact | None:
    match = _PEER.fullmatch(line)
    if match is None:
        return None
    escaped, shown_size, index, origin, log, registry, size, root, log_size, time = match.groups()
    if (
        log == origin
        or len(escaped) > MAX_PEER
        or shown_size != log_size
        or not escaped.startswith(f"{log}\\n{log_size}\\n{root}\\n\\n")
    ):
        return None
    hashed = a2b_base64(root)
    if log_size == "0" and hashed != EMPTY_ROOT:
        return None
    begun = [(name, a2b_base64(first)) for name, first in _EACH_COSIGNED.findall(escaped)]
    cosigned = tuple((name, raw[:4], int.from_bytes(raw[4:], "big")) for name, raw in begun if raw[4] < 0x80)
    return (origin, int(index), int(size), registry, int(time), log, int(log_size), hashed, cosigned)


_QUICK: dict[str, Callable[[str], Fact | None]] = {
    "decision": _decision, "release": _release, "indicator": _indicator, "peer": _peer,
}  # fmt: skip


def cosignatures(note: bytes) -> tuple[tuple[str, bytes, int], ...]:
    """Name, key id and stated time of each cosignature line of a checkpoint note, NOT verified."""
    _, lines = split_note(note)
    return tuple((name, key, int.from_bytes(body[:8], "big")) for name, key, body in lines if len(body) == 72 and body[0] < 0x80)


def _long_way(kind: str, text: bytes, questions: Questions) -> Fact:
    """Through the typed body. Raises Invalid (or what a hostile number makes Python raise) when it is not one."""
    # Imported here: workers that meet only common statements need no pydantic.
    from collegium.audit.typed import facts_of

    return facts_of(kind, text, questions)
