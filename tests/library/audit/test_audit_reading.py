"""The fast way to read a statement against the long way: whatever the one accepts, the other accepts and understands alike."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from madefed import World, question
from madenational import NationalWorld

from collegium.audit import reading
from collegium.audit.facts import FACTS
from collegium.audit.keys import Key, KeyRing, text_of
from collegium.audit.reading import read_body
from collegium.audit.typed import Compiler, facts_of
from collegium.audit.worker import _facts
from collegium.errors import CollegiumError
from collegium.log.note import Signer, open_note
from collegium.log.statement import canonical_json, read_statement

WORLD = World(["alpha", "beta", "gamma"], witnesses=False)
WORLD.ask("rita")
WORLD.ask("rita", question(salt=1), offline=["beta"])
ALPHA = WORLD.nodes["alpha"]
PUT = WORLD.take(WORLD.request("rita", question(salt=2), nodes=["alpha"]))
WORLD.hear(ALPHA, PUT)
WORLD.refuse(ALPHA, PUT)
FIRST = next(i for i, note in enumerate(ALPHA.entries) if b"/release" in note[:40])
WORLD.reuse(ALPHA, PUT, FIRST)
WORLD.withdraw(ALPHA, PUT, FIRST)
COMPILER = Compiler({"higher-education/1": WORLD.registry_log.world.schema.name})
SUMS = NationalWorld(6)
SUMS.sum_up()
ENTRIES = [
    *ALPHA.entries, *WORLD.coordinator.entries, *SUMS.coordinator.entries, *SUMS.nodes["node-00"].entries,
    *SUMS.trustees["trustee-a"].entries,
]  # fmt: skip
TEXTS = {
    kind: [note[: note.rfind(b"\n\n") + 1] for note in ENTRIES if note.startswith(f"collegium/v1/{kind}\n".encode())]
    for kind in FACTS
}


def lacking(absent: list[Any]) -> bytes:
    """A release of a university that does not serve these columns."""
    head, line, _ = TEXTS["release"][0].decode().split("\n")
    return f"{head}\n{canonical_json({**json.loads(line), 'absent': absent}, place='').decode()}\n".encode()


TEXTS["release"].append(lacking(["a", "a_2", "b9"]))


def no_questions(asked: Any) -> tuple[tuple[Any, ...], ...]:
    return tuple(("digest", each.rho) for each in asked)


def long_way(kind: str, text: bytes) -> tuple[Any, ...] | None:
    try:
        return facts_of(kind, text, no_questions)
    except (CollegiumError, ValueError, ArithmeticError, RecursionError):
        return None


def fast_way(kind: str, text: bytes) -> tuple[Any, ...] | None:
    return reading._QUICK[kind](text.decode().split("\n")[1])


@pytest.mark.parametrize("kind", sorted(reading._QUICK))
def test_what_real_parties_write_is_read_fast_and_alike(kind: str) -> None:
    assert TEXTS[kind]
    for text in TEXTS[kind]:
        found = fast_way(kind, text)
        assert found is not None
        assert found == long_way(kind, text)


@pytest.mark.parametrize(
    "absent", [[], ["b", "a"], ["a", "a"], ["A"], ["a b"], [""], [1], [None], ["a" * 64], ["学"], ['a","b'], None, "a"]
)
def test_columns_that_a_release_lacks_are_sorted_names_or_nothing_is_read(absent: Any) -> None:
    text = lacking(absent)
    assert fast_way("release", text) is None
    assert long_way("release", text) is None


def test_every_fact_has_the_fields_of_its_kind() -> None:
    for kind, texts in TEXTS.items():
        for text in texts:
            body = read_body(kind, text, text.decode().split("\n")[1], no_questions)
            assert body is not None
            assert len(FACTS[kind]._make((kind, 0, "", *body))) == len(FACTS[kind]._fields)


values = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.integers(2**52, 2**64),
    st.sampled_from(["", "x", "0" * 64, "a b", "学", "\n", '"', "charge", "1e5", "0.0"]), st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["index", "size", "origin"]), st.integers(0, 9), max_size=2),
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_the_fast_way_accepts_nothing_that_the_long_way_refuses(data: st.DataObject) -> None:
    """Fields changed, added, removed, moved; bytes changed: never another verdict, never another meaning."""
    kind = data.draw(st.sampled_from(sorted(reading._QUICK)))
    text = data.draw(st.sampled_from(TEXTS[kind]))
    head, line, _ = text.decode().split("\n")
    tree = json.loads(line)
    for _ in range(data.draw(st.integers(0, 2))):
        place = tree
        name = data.draw(st.sampled_from([*sorted(place), "extra"]))
        if isinstance(place.get(name), dict) and data.draw(st.booleans()):
            place = place[name]
            name = data.draw(st.sampled_from([*sorted(place), "extra"]))
        if data.draw(st.booleans()):
            place.pop(name, None)
        else:
            place[name] = data.draw(values)
    line = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(line)))
        line = (
            line[:at]
            + data.draw(st.sampled_from(["", " ", "0", "\\u0041", ",", "é", "\x01", '"']))
            + line[at + data.draw(st.integers(0, 2)) :]
        )
    try:
        changed = f"{head}\n{line}\n".encode()
    except UnicodeEncodeError:
        return
    if line.count("\n"):
        return
    fast = fast_way(kind, changed)
    if fast is not None:
        assert fast == long_way(kind, changed)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ENTRIES), st.integers(0, 10**6), st.binary(max_size=3), st.integers(0, 3))
def test_a_changed_entry_is_a_problem_and_never_a_traceback(entry: bytes, at: int, put: bytes, cut: int) -> None:
    """Any change to a signed entry is found: as a broken note, a bad signature, an unknown signer."""
    place = at % (len(entry) + 1)
    changed = entry[:place] + put + entry[place + cut :]
    keys = [
        Key(signer.name, signer.verifier.raw, "x", "node", 0, None)
        for signer in (*WORLD.keys.values(), *SUMS.keys.values(), WORLD.coordinator.statements)
    ]
    fact = _facts(changed, KeyRing(keys), no_questions)
    if changed == entry:
        assert fact[2] == ""
    elif fact[2] == "":  # only signature lines of nobody we know may differ
        assert changed[: changed.rfind(b"\n\n") + 1] == entry[: entry.rfind(b"\n\n") + 1]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_an_entry_with_a_problem(junk: bytes) -> None:
    assert _facts(junk, KeyRing([]), no_questions)[2] != ""


def test_signers_are_those_that_open_note_finds() -> None:
    good = ALPHA.statements
    bad = Signer.from_seed(good.name, b"y" * 32)
    text = "collegium/v1/policy\n{}\n"
    ring = KeyRing([Key(good.name, good.verifier.raw, "alpha", "node", 0, None)])
    encoded = text.encode()
    cases = {
        "one": encoded + b"\n" + good.line(encoded).encode(),
        "unknown": encoded + b"\n" + bad.line(encoded).encode(),
        "both": encoded + b"\n" + (bad.line(encoded) + good.line(encoded)).encode(),
        "other text": encoded + b"\n" + good.line(b"x\n").encode(),
        "one good one bad": encoded + b"\n" + (good.line(encoded) + good.line(b"x\n")).encode(),
        "spelling": encoded + b"\n" + good.line(encoded).replace("=", "").encode(),
    }
    for name, note in cases.items():
        numbers, problem = ring.signers(note, len(encoded))
        try:
            open_note(note, [good.verifier])
            opened = True
        except CollegiumError:
            opened = False
        assert (problem == "" and numbers == [0]) == opened, name


def test_text_of_is_where_a_statement_is_split() -> None:
    for entry in ENTRIES:
        split = text_of(entry)
        assert split is not None
        assert (split[1], canonical_json(read_statement(entry)[1]).decode()) == split[1:]


def test_patterns_have_no_multiline_end() -> None:
    """`fullmatch` leaves no room for a trailing newline; `$` would."""
    for pattern in (reading._DECISION, reading._RELEASE, reading._INDICATOR, reading._TEXT, reading._ROOT, reading._KEY_NAME):
        assert not pattern.pattern.endswith("$")
        assert pattern.flags & re.ASCII
