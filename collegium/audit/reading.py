"""The text of a statement to its facts, strictly, and fast where a statement is spelt as nearly all are.

Each common kind has one regular expression of its canonical spelling. (A peer's is too long for that to be fast: it is taken apart
at its quotation marks and put together again from what was understood, and only a line that comes out the same is taken.) Whatever
does not fit (Chinese text, long numbers, anything wrong) goes the long way through the typed body of `collegium.statements`, which
decides. So the fast way can only accept what the long way accepts: a test holds them together.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any

from collegium.errors import CollegiumError
from collegium.log.merkle import EMPTY_ROOT
from collegium.log.note import split_note

__all__ = ["KINDS", "Questions", "cosignatures", "read_body"]

Fact = tuple[Any, ...]
Questions = Callable[[Any], tuple[tuple[Any, ...], ...]]
"""From a request's questions to tuples of `AskedQuestion`: needs the schemas."""

KINDS = frozenset({"request", "decision", "release", "indicator", "withdrawal", "policy", "peer", "registration"}) | {
    f"national-{step}" for step in ("key", "plan", "submit", "prepare", "close", "unmask", "check", "result")
}

_INT = r"(0|[1-9][0-9]{0,14})"
_HEX64, _HEX16 = '"([0-9a-f]{64})"', '"([0-9a-f]{16})"'
_FIELD = '"([a-z][a-z0-9_]{0,62})"'
_COLUMN = '"[a-z][a-z0-9_]{0,62}"'
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
    rf'(?:"period":{_LINE},)?(?:"plan":{_HEX64},)?(?:"question":{_HEX64},)?(?:"reason":"([a-z][a-z0-9-]{{0,62}})",)?{_REGISTRY},"request":{_HEX64},'
    rf'(?:"rho":{_INT},)?(?:"snapshot":{_HEX16},)?"time":{_INT}(?:,"unit":{_FIELD})?,"verdict":"(charge|reuse|refuse|hold|allow)"\}}'
)
_RELEASE = _pattern(
    rf'\{{(?:"absent":\[({_COLUMN}(?:,{_COLUMN}){{0,255}})\],)?"decision":{_INT},{_LOG},"number":{_INT},"parts":\[({_PART}(?:,{_PART}){{0,63}})\],"payload":{_BLOB},"question":{_HEX64},'
    rf'{_REGISTRY},"request":{_HEX64},"schema":"([a-z][a-z0-9-]{{0,62}}/[1-9][0-9]{{0,8}})","snapshot":{_HEX16},"time":{_INT}\}}'
)
_EACH_PART = _pattern(rf'"cells":([0-9]+),"scale":"({_SCALE})"')
_INDICATOR = _pattern(
    rf'\{{"accounts":{_BLOB},"coverage":\{{"answered":{_INT},"asked":{_INT}(?:,"enrolment":{_INT})?(?:,"enrolment_asked":{_INT})?\}},'
    rf'{_LOG},"number":{_INT},"question":{_HEX64},{_REGISTRY},"request":{_HEX64},(?:"results":\[("[0-9a-f]{{64}}"(?:,"[0-9a-f]{{64}}"){{0,499}})\],)?'
    rf'"revision":{_INT},"table":{_BLOB},"time":{_INT}\}}'
)
_SUBMIT = _pattern(
    rf'\{{"commitment":{_HEX64},"decision":{_INT},{_LOG},"member":{_INT},"plan":{_HEX64},{_REGISTRY},'
    rf'"seeds":\[{_HEX64},{_HEX64},{_HEX64}\],"time":{_INT},"vector":{_BLOB}\}}'
)
_TEXT, _ROOT = _pattern(_LINE[2:-2]), _pattern("[A-Za-z0-9+/]{43}=")
_KEY_NAME = _pattern(r"[!#-*,-\[\]-~]+")
# Base64 has one spelling for each length: the last character before the padding carries no bits that are not used.
_ENDS_1 = frozenset("AEIMQUYcgkosw048")  # before one '='
_ENDS_2 = frozenset("AQgw")  # before two
_MOST = 10**15  # of a number that is read here; larger ones go the long way
_LONG = 8_192  # characters of a line, the same: what is remembered of lines stays small
MAX_PEER = 20_000  # characters, as in `statements.Peer`; escaped ones here, which are more


def read_body(kind: str, text: bytes, line: str, questions: Questions) -> Fact | None:
    """The facts of a statement whose type line names `kind`, from field `id` on; None when the body is not one.

    Checks no signature. `text` is the whole note text and `line` its JSON. `questions` compiles a request's questions.
    """
    quick = _QUICK.get(kind)
    found = quick(line) if quick is not None and len(line) <= _LONG else None
    if found is None:
        try:
            found = _long_way(kind, text, questions)
        except (CollegiumError, ValueError, ArithmeticError, RecursionError):
            return None
    return (sha256(text).hexdigest(), *found)


@lru_cache(2048)
def _is_line(text: str) -> bool:
    return _TEXT.fullmatch(text) is not None


@lru_cache(2048)
def _is_root(text: str) -> bool:
    return _ROOT.fullmatch(text) is not None


@lru_cache(2048)
def _is_key_name(text: str) -> bool:
    return _KEY_NAME.fullmatch(text) is not None


def _decision(line: str) -> Fact | None:
    match = _DECISION.fullmatch(line)
    if match is None:
        return None
    (
        dataset, index, origin, number, original, original_id, period, plan, question, reason, root, size, request, rho, snapshot,
        time, unit, verdict,
    ) = match.groups()  # fmt: skip
    if verdict == "charge":
        right = None not in (question, snapshot, unit, period, dataset, rho) and original is None
    elif verdict == "reuse":
        right = None not in (question, snapshot, original) and rho in (None, "0")
    else:
        right = original is None and rho in (None, "0") and (verdict != "refuse" or reason is not None)
    if not right or (plan is not None and verdict not in ("charge", "refuse")):
        return None
    return (
        origin, int(index), int(size), root, int(time), request, int(number), verdict, question, reason, snapshot, unit, period,
        dataset, None if rho is None else int(rho), None if original is None else int(original), original_id, plan,
    )  # fmt: skip


def _release(line: str) -> Fact | None:
    match = _RELEASE.fullmatch(line)
    if match is None:
        return None
    (
        absent, decision, index, origin, number, listed, payload, length, question, root, size, request, schema, snapshot, time,
    ) = match.groups()  # fmt: skip
    parts, cells = _parts(listed)
    if int(length) != 8 * cells or int(decision) >= int(index):
        return None
    if absent is not None and not _in_order(absent):
        return None
    return (
        origin, int(index), int(size), root, int(time), request, int(number), question, snapshot, schema, int(decision), parts,
        payload, int(length),
    )  # fmt: skip


@lru_cache(2048)
def _in_order(listed: str) -> bool:
    """Whether columns, as JSON spells them, are sorted and stand once. Those that a university lacks seldom change."""
    names = [each.strip('"') for each in listed.split(",")]
    return all(one < other for one, other in pairwise(names))


@lru_cache(2048)
def _parts(listed: str) -> tuple[tuple[tuple[int, str], ...], int]:
    """Cells and scale of every part of a release, and all its cells; those of one question are alike at every node."""
    found = tuple((int(cells), scale) for cells, scale in _EACH_PART.findall(listed))
    return found, sum(cells for cells, _ in found)


def _indicator(line: str) -> Fact | None:
    match = _INDICATOR.fullmatch(line)
    if match is None:
        return None
    (
        accounts, accounts_size, answered, asked, enrolment, enrolment_asked, index, origin, number, question, root, size, request,
        results, revision, table, table_size, time,
    ) = match.groups()  # fmt: skip
    return (
        origin, int(index), int(size), root, int(time), request, int(number), question, int(revision), accounts, int(accounts_size),
        int(asked), int(answered), None if enrolment is None else int(enrolment),
        None if enrolment_asked is None else int(enrolment_asked), table, int(table_size),
        None if results is None else tuple(results[1:-1].split('","')),
    )  # fmt: skip


def _submit(line: str) -> Fact | None:
    match = _SUBMIT.fullmatch(line)
    if match is None:
        return None
    _, decision, index, origin, member, plan, root, size, one, two, three, time, vector, length = match.groups()
    if int(member) >= 100_000 or int(decision) >= int(index) or len({one, two, three}) != 3:
        return None
    return origin, int(index), int(size), root, int(time), plan, int(member), int(decision), vector, int(length)


def _peer(line: str) -> Fact | None:
    parts = line.split('"')
    if len(parts) != 33:
        return None
    escaped, origin, log, registry, root = parts[3], parts[11], parts[15], parts[21], parts[27]
    try:
        index, size = int(parts[8][1:-1]), int(parts[24][1:-2])
        log_size, time = int(parts[30][1:-1]), int(parts[32][1:-1])
    except ValueError:
        return None
    again = (
        f'{{"checkpoint":"{escaped}","log":{{"index":{index},"origin":"{origin}"}},"origin":"{log}",'
        f'"registry":{{"root":"{registry}","size":{size}}},"root":"{root}","size":{log_size},"time":{time}}}'
    )
    if not (
        line == again
        and min(index, size, log_size, time) >= 0
        and max(index, size, log_size, time) < _MOST
        and _is_line(origin) and _is_line(log) and _is_root(registry)
        and log != origin
        and len(escaped) <= MAX_PEER
        and escaped.startswith(f"{log}\\n{log_size}\\n{root}\\n\\n")
    ):  # fmt: skip
        return None
    noted = _noted(escaped)
    if noted is None or (not log_size and noted[0] != EMPTY_ROOT):
        return None
    return origin, index, size, registry, time, log, log_size, *noted


@lru_cache(2048)
def _noted(escaped: str) -> tuple[bytes, tuple[tuple[str, bytes, int], ...], bytes] | None:
    """Root, cosignatures and digest of an embedded note, as JSON spells it. Many logs embed the same one.

    Three lines, then signature lines of 68 bytes (the log's own) or 76 (cosignatures).
    """
    lines = escaped.split("\\n")
    if not 6 <= len(lines) <= 69 or lines[3] or lines[-1]:
        return None
    cosigned = []
    try:
        if len(lines[2]) != 44 or lines[2][42] not in _ENDS_1:
            return None
        root = a2b_base64(lines[2], strict_mode=True)
        for each in lines[4:-1]:
            dash, name, encoded = each.split(" ")
            raw = a2b_base64(encoded, strict_mode=True)
            if dash != "—" or not _is_key_name(name):
                return None
            if len(raw) == 76 and encoded[101] in _ENDS_2:
                if raw[4] < 0x80:
                    cosigned.append((name, raw[:4], int.from_bytes(raw[4:12], "big")))
            elif len(raw) != 68 or encoded[90] not in _ENDS_1:
                return None
    except ValueError:  # of base64 that is none, or a line of other than three words
        return None
    return (root, tuple(cosigned), sha256("\n".join(lines).encode()).digest()) if len(root) == 32 else None


_QUICK: dict[str, Callable[[str], Fact | None]] = {
    "decision": _decision, "release": _release, "indicator": _indicator, "peer": _peer, "national-submit": _submit,
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
