"""The quick way to read a body accepts exactly what the thorough way accepts: the same body, or nothing.

Counts as failure: a spelling that one of the two takes and the other does not, or that they read as different bodies.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bodies import BODIES, SIGNER

from collegium.body import Body
from collegium.errors import CollegiumError, Invalid
from collegium.log.note import sign_note
from collegium.log.statement import canonical_json, open_statement

STATEMENTS = {name: pair for name, pair in BODIES.items() if pair[0].kind != "registration"}


def thorough(model: type[Body], note: bytes) -> Any:
    try:
        return model.from_body(open_statement(note, model.kind, [SIGNER.verifier]))
    except CollegiumError as error:
        return type(error)


def quick(model: type[Body], note: bytes) -> Any:
    try:
        return model.open(note, [SIGNER.verifier])
    except CollegiumError as error:
        return type(error)


def agree(model: type[Body], text: str) -> Any:
    """Both ways on a note with this text, properly signed: what they agree on."""
    try:
        note = sign_note(text, SIGNER)
    except Invalid:
        return None  # no note has such a text
    found = quick(model, note)
    assert found == thorough(model, note)
    return found


def line_of(name: str) -> tuple[type[Body], str, str]:
    model, body = STATEMENTS[name]
    return model, f"collegium/v1/{model.kind}\n", canonical_json(model.from_body(body).to_body()).decode()


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_one_spelling_takes_the_quick_way_and_all_others_are_refused(name: str) -> None:
    model, head, line = line_of(name)
    assert model._spelt_alike(f"{head}{line}\n") == agree(model, f"{head}{line}\n") == model.from_body(STATEMENTS[name][1])
    others = {
        "a space": line.replace(":", ": ", 1),
        "a space at the end": line + " ",
        "a second object": line + "{}",
        "a second line": line + "\n{}",
        "an empty line": line + "\n",
        "a duplicate key": line[:-1] + "," + line[1 : line.index(",")] + "}",
        "an unknown key": line[:-1] + ',"zzz":1}',
        "a null": line[:-1] + ',"zzz":null}',
        "a list": f"[{line}]",
        "an escaped letter": line.replace('"', '"\\u0061', 1),
        "a float": line.replace(":1", ":1.0", 1) if ":1" in line else line + "1.0",
        "an exponent": line.replace(":1", ":1e0", 1) if ":1" in line else line + "1e0",
        "not a number": line[:-1] + ',"zzz":NaN}',
        "minus nought": line.replace(":0", ":-0", 1) if ":0" in line else line + "-0",
        "a leading nought": line.replace(":1", ":01", 1) if ":1" in line else "01",
        "a long number": line[:-1] + ',"zzz":' + "9" * 5000 + "}",
        "nested deeply": line[:-1] + ',"zzz":' + "[" * 20_000 + "]" * 20_000 + "}",
        "no JSON": "hello",
        "nothing": "",
    }
    for what, other in others.items():
        assert agree(model, f"{head}{other}\n") in (Invalid, None), what
    for kind in ("request", "release", "zzz"):
        if kind != model.kind:
            refused = agree(model, f"collegium/v1/{kind}\n{line}\n")
            assert isinstance(refused, type)
            assert issubclass(refused, Invalid)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_change_is_judged_alike(data: st.DataObject) -> None:
    model, head, line = line_of(data.draw(st.sampled_from(sorted(STATEMENTS))))
    at = data.draw(st.integers(0, len(line) - 1))
    cut = data.draw(st.integers(0, 3))
    new = data.draw(st.text(st.sampled_from('0123456789-.eE"\\u{}[]:, abtrfnl\ud7ff中'), max_size=4))
    agree(model, f"{head}{line[:at]}{new}{line[at + cut :]}\n")


@settings(max_examples=100, deadline=None)
@given(number=st.integers(-(2**70), 2**70))
def test_numbers_around_64_bits_are_judged_alike(number: int) -> None:
    model, head, line = line_of("release")
    for place in ('"time":', '"number":', '"decision":'):
        start = line.index(place) + len(place)
        end = min(line.index(mark, start) for mark in ",}" if mark in line[start:])
        agree(model, f"{head}{line[:start]}{number}{line[end:]}\n")
