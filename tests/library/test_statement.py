"""Statements: one spelling of everything signed, strictly read back."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.note import Signer, sign_note
from collegium.log.statement import (
    MAX_STATEMENT,
    canonical_json,
    open_statement,
    parse_canonical,
    read_statement,
    sign_statement,
    statement_id,
)

NODE = Signer.from_seed("example/node/statements", b"\x01" * 32)
OTHER = Signer.from_seed("example/other/statements", b"\x02" * 32)
BODY = {"b": [1, {"z": "学生", "a": None}], "a": True, "c": -(2**63), "d": 2**63 - 1}

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
trees: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def test_the_bytes_of_a_statement() -> None:
    note = sign_statement("request", BODY, NODE)
    expected = 'collegium/v1/request\n{"a":true,"b":[1,{"a":null,"z":"学生"}],"c":-9223372036854775808,"d":9223372036854775807}\n'
    assert note.decode().startswith(expected + "\n— example/node/statements ")
    assert read_statement(note) == ("request", BODY)
    assert open_statement(note, "request", [NODE.verifier]) == BODY
    assert statement_id(note) == hashlib.sha256(expected.encode()).hexdigest()


def test_more_signatures_do_not_change_the_id() -> None:
    one, two = sign_statement("request", BODY, NODE), sign_statement("request", BODY, NODE, OTHER)
    assert one != two
    assert statement_id(one) == statement_id(two)


@given(st.dictionaries(texts, trees, max_size=4))
@settings(deadline=None)
def test_every_body_reads_back_as_it_was(body: dict[str, Any]) -> None:
    assert read_statement(sign_statement("release", body, NODE)) == ("release", body)


@given(trees)
def test_canonical_json_has_one_spelling(tree: Any) -> None:
    line = canonical_json(tree)
    assert b"\n" not in line
    assert parse_canonical(line) == tree
    loose = json.dumps(tree, sort_keys=True, indent=1).encode()
    if loose != line:
        with pytest.raises(Invalid):
            parse_canonical(loose)


def test_a_statement_is_read_as_its_own_kind_only() -> None:
    note = sign_statement("decision", BODY, NODE)
    with pytest.raises(NotVerified, match="this is a decision, not a release"):
        open_statement(note, "release", [NODE.verifier])
    with pytest.raises(NotVerified):
        open_statement(note, "decision", [OTHER.verifier])


LOOSE = {
    "spaces": '{"a": 1}',
    "trailing space": '{"a":1} ',
    "unsorted": '{"b":1,"a":2}',
    "duplicate keys": '{"a":1,"a":1}',
    "float": '{"a":1.0}',
    "exponent": '{"a":1e3}',
    "negative zero": '{"a":-0}',
    "NaN": '{"a":NaN}',
    "infinity": '{"a":-Infinity}',
    "too large": '{"a":9223372036854775808}',
    "too small": '{"a":-9223372036854775809}',
    "thousands of digits": '{"a":' + "9" * 5000 + "}",
    "escaped where it need not": '{"a":"\\u0041"}',
    "escaped slash": '{"a":"\\/"}',
    "lone surrogate": '{"a":"\\ud800"}',
    "upper-case escape": '{"a":"\\u001F"}',
    "not an object": "[1]",
    "nothing": "",
    "two values": "{}{}",
    "deep": '{"a":' + "[" * 30_000 + "]" * 30_000 + "}",
    "byte order mark": "\ufeff{}",
}


@pytest.mark.parametrize("line", LOOSE.values(), ids=LOOSE.keys())
def test_any_other_spelling_is_refused_though_it_is_signed(line: str) -> None:
    note = sign_note(f"collegium/v1/request\n{line}\n", NODE)
    with pytest.raises(Invalid):
        open_statement(note, "request", [NODE.verifier])


WRONG_FRAME = {
    "no type line": "{}\n",
    "other product": "colleges/v1/request\n{}\n",
    "other version": "collegium/v2/request\n{}\n",
    "empty kind": "collegium/v1/\n{}\n",
    "kind with a path": "collegium/v1/a/b\n{}\n",
    "kind in capitals": "collegium/v1/Request\n{}\n",
    "two lines of JSON": "collegium/v1/request\n{}\n{}\n",
    "an empty line more": "collegium/v1/request\n{}\n\n",
    "other line separators": "collegium/v1/request\u2028{}\n",
}


@pytest.mark.parametrize("text", WRONG_FRAME.values(), ids=WRONG_FRAME.keys())
def test_a_wrong_frame_is_refused_though_it_is_signed(text: str) -> None:
    with pytest.raises(Invalid):
        open_statement(sign_note(text, NODE), "request", [NODE.verifier])


UNSIGNABLE: dict[str, Any] = {
    "float": {"a": 0.5},
    "infinity": {"a": float("inf")},
    "large": {"a": 2**63},
    "number as key": {1: "a"},
    "bytes": {"a": b"x"},
    "surrogate": {"a": "\ud800"},
    "list": [1],
}


@pytest.mark.parametrize("body", UNSIGNABLE.values(), ids=UNSIGNABLE.keys())
def test_what_has_no_canonical_form_is_not_signed(body: Any) -> None:
    with pytest.raises(Invalid):
        sign_statement("request", body, NODE)


def test_a_body_that_contains_itself_is_not_signed() -> None:
    body: dict[str, Any] = {}
    body["self"] = body
    with pytest.raises(Invalid):
        sign_statement("request", body, NODE)


def test_the_size_limit_holds_for_the_whole_note() -> None:
    rest = len(sign_statement("request", {"a": ""}, NODE))
    largest = sign_statement("request", {"a": "x" * (MAX_STATEMENT - rest)}, NODE)
    assert len(largest) == MAX_STATEMENT
    assert read_statement(largest)[0] == "request"
    with pytest.raises(Invalid, match="at most 65535"):
        sign_statement("request", {"a": "x" * (MAX_STATEMENT - rest + 1)}, NODE)
    one_more = largest + largest[largest.rindex("— ".encode()) :]
    for reader in (read_statement, statement_id):
        with pytest.raises(Invalid):
            reader(one_more)
    with pytest.raises(Invalid):
        open_statement(one_more, "request", [NODE.verifier])


@pytest.mark.parametrize("kind", ["", "Request", "a/b", "a b", "a\n", "1a", "a" * 33])
def test_kinds_are_plain_words(kind: str) -> None:
    with pytest.raises(Invalid):
        sign_statement(kind, {}, NODE)


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_mutated_statements_never_verify_and_raise_only_our_errors(data: st.DataObject) -> None:
    note = sign_statement("decision", BODY, NODE)
    start = data.draw(st.integers(0, len(note)))
    end = data.draw(st.integers(start, min(len(note), start + 8)))
    changed = note[:start] + data.draw(st.binary(max_size=8)) + note[end:]
    with contextlib.suppress(CollegiumError):
        read_statement(changed)
    with contextlib.suppress(CollegiumError):
        assert open_statement(changed, "decision", [NODE.verifier]) == BODY  # an unknown signature line more is no change
        assert changed.startswith(note[: note.rindex("— ".encode())])
