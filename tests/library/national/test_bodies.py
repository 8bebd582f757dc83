"""The six steps as statements: one spelling, nothing unknown, no mistake that a reader would have to know of."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from nationalround import COORDINATOR, Country, node_signer

from collegium.body import Blob
from collegium.errors import Invalid, NotVerified
from collegium.log.statement import sign_statement
from collegium.national.lists import Participants, Prepared, Roster
from collegium.national.statements import Plan, Submit, lot, plan_digest

VALUES = [np.zeros(7, dtype=np.uint64) for _ in range(6)]
ONE = Country(VALUES)


def changed(**changes: object) -> bytes:
    return sign_statement("national-plan", {**ONE.plan.to_body(), **changes}, COORDINATOR)


def test_a_plan_reads_back_and_its_digest_ignores_more_signatures() -> None:
    verifier = [COORDINATOR.verifier]
    assert Plan.open(ONE.plan_note, verifier) == ONE.plan
    assert plan_digest(ONE.plan.sign(COORDINATOR, node_signer(0))) == plan_digest(ONE.plan_note)
    assert plan_digest(Country(VALUES, nonce="1" * 32).plan_note) != plan_digest(ONE.plan_note)


@pytest.mark.parametrize(
    "changes",
    [
        {"surplus": 1},
        {"homes": 1.5},
        {"trustees": ONE.plan.to_body()["trustees"][:2]},
        {"trustees": ONE.plan.to_body()["trustees"][::-1]},
        {"trustees": [ONE.plan.to_body()["trustees"][0]] * 3},
        {"trustees": [{**each, "sealing": "AAAA" * (2 + i)} for i, each in enumerate(ONE.plan.to_body()["trustees"])]},
        {"trustees": [{**each, "sealing": "?" * (2 + i)} for i, each in enumerate(ONE.plan.to_body()["trustees"])]},
        {"trustees": [{**each, "sealing": ONE.plan.trustees[0].sealing} for each in ONE.plan.to_body()["trustees"]]},
        {"deadline": 0},
        {"least": 7},
        {"honest": 6},
        {"parts": []},
        {"parts": [{**ONE.plan.to_body()["parts"][0], "scale": "-1"}]},
    ],
)
def test_a_plan_that_is_none(changes: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        Plan.open(changed(**changes), [COORDINATOR.verifier])


def test_one_step_is_never_read_as_another() -> None:
    with pytest.raises(NotVerified):
        Submit.open(ONE.plan_note, [COORDINATOR.verifier])


def test_a_submission_follows_its_charge_and_has_three_seeds() -> None:
    with pytest.raises(ValueError, match="charge comes before"):
        ONE.submit(0, decision=6)
    with pytest.raises(ValueError, match="its own seed"):
        ONE.submit(0, seeds=("a" * 64,) * 3)


def test_a_plan_fits_an_entry_and_a_roster_lies_beside_it() -> None:
    assert len(ONE.plan_note) < 10_000
    assert Roster.from_blob(ONE.roster.to_blob(), ONE.roster.blob) == ONE.roster


@pytest.mark.parametrize("kind", [Roster, Participants, Prepared])
@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"nodes":[]}', b'{"members":[]}', b"\xff", b'{"accepted":[],"rejected":[] }'])
def test_a_list_that_is_none(kind: type[Roster], raw: bytes) -> None:
    with pytest.raises(Invalid):
        kind.from_blob(raw, Blob(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw)))
    with pytest.raises(NotVerified):
        kind.from_blob(raw, Blob(sha256="0" * 64, size=len(raw)))


def test_a_roster_has_every_node_and_key_once() -> None:
    nodes = ONE.roster.nodes
    for wrong in ((nodes[1], nodes[0]), (nodes[0], nodes[0]), (nodes[0], nodes[1].model_copy(update={"key": nodes[0].key}))):
        with pytest.raises(ValueError, match="once"):
            Roster(nodes=wrong)


def test_the_lot_depends_on_all_three_answers() -> None:
    drawn = {lot(("a" * 64, "b" * 64, f"{i:064x}")) for i in range(50)}
    assert drawn == {0, 1, 2}


def test_what_is_signed_is_canonical_json() -> None:
    line = ONE.plan_note.decode().split("\n")[1]
    assert json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")) == line
