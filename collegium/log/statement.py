"""Statements: signed notes of a type line and one line of canonical JSON. Every log entry is one.

    collegium/v1/<kind>
    {"sorted":"keys","no":"white space"}

    — <federation>/<party>/statements <base64>

A statement is verified as the bytes that came and never re-serialised first: the reader parses the JSON, encodes what it
understood again, and refuses the statement unless that gives the same bytes. So there is one spelling of everything signed, and
nothing in it that the reader skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from collegium.errors import Invalid, NotVerified
from collegium.log.note import Signer, Verifier, open_note, read_text, sign_note

__all__ = [
    "MAX_STATEMENT",
    "canonical_json",
    "open_statement",
    "parse_canonical",
    "read_statement",
    "sign_statement",
    "statement_id",
]

MAX_STATEMENT = 65_535  # bytes of the whole note, signatures included: the length of an entry is a uint16 in its bundle

_PREFIX = "collegium/v1/"
_KIND = re.compile(r"[a-z][a-z-]{0,31}")
_LEAST, _MOST = -(2**63), 2**63 - 1


def sign_statement(kind: str, body: dict[str, Any], *signers: Signer) -> bytes:
    """The signed statement. Raises Invalid when the body holds a float, a too large integer, or the note exceeds MAX_STATEMENT."""
    if not _KIND.fullmatch(kind):
        raise Invalid(f"{kind!r} is no kind of statement")
    if not isinstance(body, dict):
        raise Invalid("the body of a statement is a JSON object", place=kind)
    line = canonical_json(body, place=kind).decode()
    note = sign_note(f"{_PREFIX}{kind}\n{line}\n", *signers)
    if len(note) > MAX_STATEMENT:
        raise Invalid(f"the statement has {len(note)} bytes; at most {MAX_STATEMENT} fit", place=kind, remedy="Make it smaller.")
    return note


def read_statement(note: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and body of a statement, strictly parsed. No signature is checked. Raises Invalid."""
    return _parse(read_text(note, limit=MAX_STATEMENT))


def open_statement(note: bytes, kind: str, verifiers: Iterable[Verifier], need: int = 1) -> dict[str, Any]:
    """The body of a statement of this kind that at least `need` of the verifiers have signed.

    1. The signatures over the bytes that came (NotVerified). 2. Type line and canonical JSON (Invalid). 3. The kind asked for
    (NotVerified): one signed thing is never read as another.
    """
    # (1)
    text = open_note(note, verifiers, need=need, limit=MAX_STATEMENT).text
    # (2)
    found, body = _parse(text)
    # (3)
    if found != kind:
        raise NotVerified(f"this is a {found}, not a {kind}")
    return body


def statement_id(note: bytes) -> str:
    """SHA-256 of the note's text, hex. More signature lines do not change it. Raises Invalid when it is no note."""
    return hashlib.sha256(read_text(note, limit=MAX_STATEMENT).encode()).hexdigest()


def canonical_json(tree: Any, *, place: str = "") -> bytes:
    """The one spelling of a tree: keys sorted by code point, no white space, UTF-8 unescaped, no floats, integers of 64 bits."""
    try:
        _check(tree, place)
        return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid("a text is not encodable as UTF-8", place=place) from None
    except RecursionError:
        raise Invalid("nested too deeply", place=place) from None


def parse_canonical(line: str | bytes, *, place: str = "statement") -> Any:
    """The tree of canonical JSON. Raises Invalid when it is not JSON, or is JSON in any but its one spelling."""
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        tree = json.loads(text, parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):  # ValueError covers bad UTF-8, bad JSON and integers of thousands of digits
        raise Invalid("this is not JSON of unique keys without floats", place=place) from None
    if canonical_json(tree, place=place) != text.encode("utf-8"):
        raise Invalid("this JSON is not in canonical form: sorted keys, no white space", place=place)
    return tree


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    lines = text.split("\n")  # text ends in a newline, so a statement splits into type line, JSON and an empty rest
    if len(lines) != 3 or not lines[0].startswith(_PREFIX):
        raise Invalid("a statement is a type line and one line of JSON", place="statement")
    kind = lines[0].removeprefix(_PREFIX)
    if not _KIND.fullmatch(kind):
        raise Invalid("the type line names no kind of statement", place="statement")
    body = parse_canonical(lines[1], place=kind)
    if not isinstance(body, dict):
        raise Invalid("the body of a statement is a JSON object", place=kind)
    return kind, body


def _check(tree: Any, place: str) -> None:
    """Refuse what has no canonical form. `bool` is an `int` in Python and passes as such."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if not isinstance(key, str):
                raise Invalid(f"the key {key!r} is no text", place=place)
            _check(value, place)
    elif isinstance(tree, list | tuple):
        for value in tree:
            _check(value, place)
    elif isinstance(tree, int):
        if not _LEAST <= tree <= _MOST:
            raise Invalid("an integer does not fit 64 bits", place=place)
    elif tree is not None and not isinstance(tree, str):
        raise Invalid(f"a {type(tree).__name__} cannot be signed", place=place, remedy="Use integers or decimal text.")


def _no_float(_: str) -> Any:
    raise ValueError("float")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("duplicate key")
    return tree
