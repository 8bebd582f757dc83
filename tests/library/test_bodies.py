"""Bodies of statements: each has one spelling, and nothing unknown, missing or of another type is read."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.body import Body
from collegium.errors import Invalid, NotVerified
from collegium.log.note import Signer
from collegium.log.statement import canonical_json, sign_statement
from collegium.statements import (
    Accounts,
    Decision,
    Details,
    Federation,
    Indicator,
    Invitation,
    Party,
    Policy,
    Release,
    Renewal,
    Request,
    Revocation,
    SchemaEntry,
    Withdrawal,
    read_registration,
)

SIGNER = Signer.from_seed("example/alpha/statements", b"\x01" * 32)
H = "0123456789abcdef" * 4
ROOT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
VKEY = SIGNER.vkey
FRAME: dict[str, Any] = {
    "log": {"origin": "example/alpha", "index": 7},
    "registry": {"size": 6, "root": ROOT},
    "time": 1_800_000_000,
}
ANSWER = FRAME | {"request": H, "number": 0}
CHARGE = ANSWER | {
    "verdict": "charge",
    "question": H,
    "snapshot": "0123456789abcdef",
    "unit": "student",
    "period": "2026",
    "dataset": "graduate",
    "rho": 125_000_000,
}
QUESTION: dict[str, Any] = {
    "dataset": "graduate",
    "group": [{"column": "discipline"}],
    "components": [{"kind": "people", "rho": 1000}],
    "bounds": {"max_groups": 1, "max_rows": 1},
    "mode": "per_node",
    "schema": "higher-education/1",
}
VIEW: dict[str, Any] = {
    "measures": [{"label": "graduates", "kind": "value", "parts": [0]}],
    "columns": [{"group": "discipline"}, {"measure": 0}],
    "facts": [],
}

BODIES: dict[str, tuple[type[Body], dict[str, Any]]] = {
    "request": (
        Request,
        {
            "researcher": "rita",
            "audience": ["alpha", "beta"],
            "time": 10,
            "expiry": 20,
            "nonce": "0123456789abcdef" * 2,
            "details": H,
            "questions": [QUESTION],
            "views": [VIEW],
            "registry": FRAME["registry"],
        },
    ),
    "selected": (
        Request,
        {
            "researcher": "rita",
            "facts": {"province": ["11", "31"]},
            "time": 10,
            "expiry": 20,
            "nonce": "0123456789abcdef" * 2,
            "details": H,
            "questions": [QUESTION],
            "views": [VIEW],
            "registry": FRAME["registry"],
        },
    ),
    "charge": (Decision, CHARGE),
    "reuse": (
        Decision,
        ANSWER | {"verdict": "reuse", "question": H, "snapshot": "0123456789abcdef", "original": {"index": 3, "sha256": H}},
    ),
    "refuse": (Decision, ANSWER | {"verdict": "refuse", "reason": "budget-period"}),
    "hold": (Decision, ANSWER | {"verdict": "hold"}),
    "release": (
        Release,
        ANSWER
        | {
            "question": H,
            "snapshot": "0123456789abcdef",
            "schema": "higher-education/1",
            "decision": 6,
            "parts": [{"cells": 3, "scale": "12.5"}, {"cells": 1, "scale": "1e-05"}],
            "payload": {"sha256": H, "size": 32},
        },
    ),
    "indicator": (
        Indicator,
        ANSWER
        | {
            "question": H,
            "revision": 0,
            "accounts": {"sha256": H, "size": 200},
            "coverage": {"asked": 3, "answered": 2, "enrolment": 10, "enrolment_asked": 15},
            "table": {"sha256": H, "size": 100},
        },
    ),
    "withdrawal": (Withdrawal, ANSWER | {"release": {"index": 3, "sha256": H}, "reason": "wrong upload"}),
    "policy": (
        Policy,
        FRAME
        | {
            "policy": {"budget": {"student": {"rho": 5}}},
            "snapshots": [{"id": "0123456789abcdef", "name": "autumn", "time": 1, "datasets": ["graduate"], "current": True}],
        },
    ),
    "renewal": (Renewal, {"party": "alpha", "time": 1, "csr": H}),
    "federation": (
        Federation,
        {
            "what": "federation",
            "federation": "example",
            "registry": VKEY,
            "registry_log": VKEY,
            "coordinator": VKEY,
            "coordinator_log": VKEY,
            "ca": "x",
            "delta": "1e-6",
            "time": 1,
        },
    ),
    "schema": (SchemaEntry, {"what": "schema", "name": "higher-education", "version": 1, "toml": "", "time": 1}),
    "invitation": (
        Invitation,
        {
            "what": "invitation",
            "role": "node",
            "name": "alpha",
            "facts": {"province": "11"},
            "enrolment": 5,
            "expiry": 9,
            "key": VKEY,
            "time": 1,
            "replaces": True,
        },
    ),
    "party": (
        Party,
        {"what": "party", "invitation": H, "role": "node", "name": "alpha", "statements": VKEY, "log": VKEY, "time": 1},
    ),
    "revocation": (Revocation, {"what": "revocation", "name": "alpha", "time": 1, "reason": ""}),
}
OPTIONAL = {("invitation", "replaces"), ("party", "log")}  # a party without a log is a researcher

each_body = pytest.mark.parametrize(("model", "body"), BODIES.values(), ids=BODIES.keys())


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a tree, but not inside a question, view or policy: they have readers and tests of their own."""
    found = [path] if path else []
    if path and path[0] in ("questions", "views", "policy"):
        return found
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in children:
        found += places(value, (*path, key))
    return found


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the tree with another value at the path."""
    if not path:
        return value
    if isinstance(tree, dict):
        return {key: changed(child, path[1:], value) if key == path[0] else child for key, child in tree.items()}
    return [changed(child, path[1:], value) if index == path[0] else child for index, child in enumerate(tree)]


@each_body
def test_a_body_is_signed_and_opened_as_it_was(model: type[Body], body: dict[str, Any]) -> None:
    typed = model.from_body(body)
    assert typed.to_body() == body
    note = typed.sign(SIGNER)
    assert note == sign_statement(model.kind, body, SIGNER)
    assert model.open(note, [SIGNER.verifier]) == model.read(note) == typed
    with pytest.raises(NotVerified):
        model.open(note, [Signer.generate("example/alpha/statements").verifier])


@each_body
def test_unknown_fields_are_refused_at_every_depth(model: type[Body], body: dict[str, Any]) -> None:
    for path in [(), *places(body)]:
        here: Any = body
        for key in path:
            here = here[key]
        if isinstance(here, dict) and path != ("policy",) and path != ("facts",):
            with pytest.raises(Invalid):
                model.from_body(changed(body, path, here | {"later": 1}))


@pytest.mark.parametrize("kind", BODIES)
def test_missing_fields_are_refused(kind: str) -> None:
    model, body = BODIES[kind]
    for name in body:
        rest = {key: value for key, value in body.items() if key != name}
        if (kind, name) in OPTIONAL:
            assert model.from_body(rest).to_body() == rest
        else:
            with pytest.raises(Invalid):
                model.from_body(rest)


@each_body
def test_values_of_another_type_are_refused_at_every_place(model: type[Body], body: dict[str, Any]) -> None:
    for path in places(body):
        here: Any = body
        for key in path:
            here = here[key]
        others: tuple[Any, ...] = (None, True, 1, "1", [], {})
        for wrong in others:
            if type(wrong) is not type(here):
                with pytest.raises(Invalid):
                    model.from_body(changed(body, path, wrong))


@each_body
def test_negative_and_huge_numbers_are_refused_at_every_place(model: type[Body], body: dict[str, Any]) -> None:
    for path in places(body):
        here: Any = body
        for key in path:
            here = here[key]
        if type(here) is int:
            for wrong in (-1, 2**63 - 1):
                with pytest.raises(Invalid):
                    model.from_body(changed(body, path, wrong))


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "audience unsorted": ("request", {"audience": ["beta", "alpha"]}),
    "audience doubled": ("request", {"audience": ["alpha", "alpha"]}),
    "audience of a reserved name": ("request", {"audience": ["coordinator"]}),
    "audience of a path": ("request", {"audience": ["../alpha"]}),
    "nobody asked": ("request", {"audience": []}),
    "asked by the registry": ("request", {"researcher": "registry"}),
    "expires before it is signed": ("request", {"expiry": 9}),
    "short nonce": ("request", {"nonce": "00"}),
    "capital digest": ("request", {"details": H.upper()}),
    "digest and newline": ("request", {"details": H + "\n"}),
    "no question": ("request", {"questions": [], "views": []}),
    "no view": ("request", {"views": []}),
    "view of no component": ("request", {"views": [VIEW | {"measures": [VIEW["measures"][0] | {"parts": [1]}]}]}),
    "view with an unknown part": ("request", {"views": [VIEW | {"later": 1}]}),
    "question with an unknown part": ("request", {"questions": [QUESTION | {"later": 1}]}),
    "question with an unknown measure": ("request", {"questions": [QUESTION | {"components": [{"kind": "median", "rho": 1}]}]}),
    "question in another spelling": ("request", {"questions": [{k: v for k, v in QUESTION.items() if k != "mode"}]}),
    "unknown verdict": ("charge", {"verdict": "refund"}),
    "negative charge": ("charge", {"rho": -1}),
    "charge of a reuse": ("reuse", {"rho": 5}),
    "original of a charge": ("charge", {"original": {"index": 3, "sha256": H}}),
    "refusal with a sentence": ("refuse", {"reason": "There were only 3 students"}),
    "payload of another size": ("release", {"payload": {"sha256": H, "size": 24}}),
    "release before its charge": ("release", {"decision": 7}),
    "scale that is no number": ("release", {"parts": [{"cells": 3, "scale": "nan"}, {"cells": 1, "scale": "1"}]}),
    "negative scale": ("release", {"parts": [{"cells": 3, "scale": "-1.0"}, {"cells": 1, "scale": "1"}]}),
    "no cells": ("release", {"parts": [{"cells": 0, "scale": "1.0"}, {"cells": 4, "scale": "1"}]}),
    "audience and facts": ("request", {"facts": {}}),
    "facts out of order": ("selected", {"facts": {"province": ["31", "11"]}}),
    "a fact without codes": ("selected", {"facts": {"province": []}}),
    "root in another spelling": ("policy", {"registry": {"size": 6, "root": ROOT[:-1]}}),
    "not replacing": ("invitation", {"replaces": False}),
    "role of an authority": ("invitation", {"role": "coordinator"}),
    "name with a slash": ("party", {"name": "alpha/statements"}),
    "name and newline": ("party", {"name": "alpha\n"}),
}


@pytest.mark.parametrize(("kind", "changes"), WRONG.values(), ids=WRONG.keys())
def test_contradictions_are_refused(kind: str, changes: dict[str, Any]) -> None:
    model, body = BODIES[kind]
    with pytest.raises(Invalid):
        model.from_body(body | changes)


@given(st.sampled_from(sorted(BODIES)), st.data())
@settings(deadline=None, max_examples=200)
def test_hostile_bodies_raise_only_our_errors(kind: str, data: st.DataObject) -> None:
    model, body = BODIES[kind]
    path = data.draw(st.sampled_from(places(body)))
    leaf = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8)
    value = data.draw(
        st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3))
    )
    hostile = changed(body, path, value)
    try:
        typed = model.from_body(hostile)
    except Invalid:
        return
    assert typed.to_body() == hostile


def test_one_kind_is_never_read_as_another() -> None:
    note = Decision.from_body(CHARGE).sign(SIGNER)
    for model in {model for model, _ in BODIES.values()} - {Decision}:
        with pytest.raises(Invalid):
            model.read(note)
        with pytest.raises(NotVerified):
            model.open(note, [SIGNER.verifier])
    with pytest.raises(Invalid):
        read_registration(note)


def test_one_registration_is_never_read_as_another() -> None:
    note = Revocation(name="alpha", time=1, reason="").sign(SIGNER)
    assert isinstance(read_registration(note), Revocation)
    for model in (Federation, SchemaEntry, Invitation, Party):
        with pytest.raises(Invalid):
            model.open(note, [SIGNER.verifier])


def test_errors_name_the_place_and_not_the_value() -> None:
    with pytest.raises(Invalid) as caught:
        Release.from_body(changed(BODIES["release"][1], ("parts", 1, "cells"), "canary-4711"))
    assert caught.value.place == "release: parts.1.cells"
    assert "canary" not in str(caught.value)


def test_details_are_bound_to_the_request_by_their_digest() -> None:
    details = Details.of("thesis on placement", "SELECT 1")
    blob = details.to_blob()
    assert details.digest == hashlib.sha256(blob).hexdigest()
    assert Details.from_blob(blob, details.digest) == details
    assert Details.of("thesis on placement").digest != Details.of("thesis on placement").digest  # the salt
    assert b'"sql"' not in Details.of("thesis").to_blob()
    for wrong in (blob[:-1], blob + b" ", b"", blob.replace(b"thesis", b"report")):
        with pytest.raises(Invalid):
            Details.from_blob(wrong, details.digest)


@pytest.mark.parametrize(
    "blob", [b"{}", b"[]", b"\xff", b'{"purpose": "a"}', b'{"purpose":"a","salt":"x"}', b'{"purpose":null}', b"[" * 90_000]
)
def test_details_that_are_none_are_invalid(blob: bytes) -> None:
    with pytest.raises(Invalid):
        Details.from_blob(blob, hashlib.sha256(blob).hexdigest())


ACCOUNTS: dict[str, Any] = {
    "releases": [{"node": "alpha", "sha256": H}, {"node": "gamma", "sha256": H}],
    "missing": [{"node": "beta", "reason": "offline"}],
}


def indicator_of(blob: bytes, **coverage: int) -> Indicator:
    body = BODIES["indicator"][1] | {"accounts": {"sha256": hashlib.sha256(blob).hexdigest(), "size": len(blob)}}
    return Indicator.from_body(body | {"coverage": {"asked": 3, "answered": 2} | coverage})


def test_accounts_are_those_that_the_indicator_names() -> None:
    blob = canonical_json(ACCOUNTS)
    assert [each.node for each in Accounts.from_blob(blob, indicator_of(blob)).releases] == ["alpha", "gamma"]
    with pytest.raises(Invalid):
        Accounts.from_blob(blob.replace(b"gamma", b"delta"), indicator_of(blob))


@pytest.mark.parametrize(
    ("changes", "coverage"),
    [
        ({"releases": [{"node": "alpha", "sha256": H}] * 2}, {}),
        ({"releases": ACCOUNTS["releases"][::-1]}, {}),
        ({"missing": [{"node": "alpha", "reason": "offline"}]}, {}),
        ({"missing": []}, {}),
        ({}, {"answered": 3}),
        ({"more": 1}, {}),
    ],
    ids=["used twice", "unsorted", "used and missing", "dropped silently", "coverage overstated", "unknown part"],
)
def test_accounts_that_contradict_themselves_are_refused(changes: dict[str, Any], coverage: dict[str, int]) -> None:
    blob = canonical_json(ACCOUNTS | changes)
    with pytest.raises(Invalid):
        Accounts.from_blob(blob, indicator_of(blob, **coverage))
