"""The bundle of a national question verifies offline; every statement, number and receipt that could be false is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nationalbundle import AWAY, BY_PROVINCE, GROUPS, IN_ALL, TRUSTEES, Made
from planned import NOW

from collegium.answer import Answer
from collegium.body import Blob
from collegium.bundle import Bundle, verify
from collegium.bundlefile import verify_file, write_bundle
from collegium.chart import map_spec
from collegium.errors import CollegiumError, NotVerified
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.note import Signer
from collegium.log.statement import read_statement, statement_id
from collegium.national.statements import Plan, Result


@pytest.fixture(scope="module")
def whole() -> Made:
    return Made()


@pytest.fixture(scope="module")
def grouped() -> Made:
    return Made(BY_PROVINCE)


def test_a_bundle_verifies_and_says_whom_the_sum_is_of(whole: Made) -> None:
    verified = verify(whole.bundle, whole.registry)
    (figures,) = verified.figures
    (one,) = figures.rounds
    assert figures.table.fact_groups[0].coverage.answered == 13
    assert {each.node for each in figures.accounts.missing} == {AWAY, "u14"}
    assert set(figures.decisions) == set(one.submits) == set(one.total.nodes)
    assert one.plan.honest == one.total.honest == 10
    assert figures.table.rows[0].figures[0].raw is not None
    assert verified.signatures == 1 + 1 + 3 + 3 + 1 + 1 + 1 + 1 + 13 + 1  # with one checkpoint of the coordinator's log


def test_groups_add_up_to_the_national_figure_exactly(grouped: Made) -> None:
    (figures,) = verify(grouped.bundle, grouped.registry).figures
    assert [group.facts for group in figures.table.fact_groups] == [{}, {"province": "11+12"}, {"province": "31"}]
    raws = [row.figures[0].raw[0] for row in figures.table.rows if row.figures[0].raw is not None]
    assert raws[0] == raws[1] + raws[2]
    assert len(figures.rounds) == 2


def test_an_answer_names_the_provinces_of_a_group_and_draws_no_map_with_holes(grouped: Made) -> None:
    answer = Answer(verify(grouped.bundle, grouped.registry), grouped.bundle, grouped.registry)
    assert "11 Beijing+12 Tianjin" in str(answer)
    assert any("2 national sums" in note and "trustee-b" in note for note in answer.notes)
    assert any("collegium audit" in note for note in answer.notes)
    assert [each["group"] for each in answer.to_json()["national_sums"]] == [["11", "12"], ["31"]]
    assert map_spec(answer.table) is None
    assert "4 times" in answer.guarantee or "2² = 4" in answer.guarantee


def test_a_group_without_a_result_is_a_row_without_a_figure() -> None:
    made = Made(BY_PROVINCE, failed=GROUPS[1])
    (figures,) = verify(made.bundle, made.registry).figures
    rows = figures.table.rows
    assert rows[2].figures[0].reason == "no-answer"
    assert rows[0].figures[0].raw == rows[1].figures[0].raw
    nothing = Made(failed=None, sql=IN_ALL)
    assert verify(nothing.bundle, nothing.registry).figures


def test_a_result_of_an_earlier_request_is_free_again() -> None:
    made = Made(earlier=True)
    verified = verify(made.bundle, made.registry)
    assert verified.figures[0].rounds[0].plan.request != verified.id
    answer = Answer(verified, made.bundle, made.registry)
    assert answer.free
    made.bundle.decisions.clear()  # the charges are of the earlier request: they need not be here
    assert verify(made.bundle, made.registry).figures


def test_the_file_verifies_and_holds_nothing_that_no_statement_names(grouped: Made, tmp_path: Path) -> None:
    log = Signer.from_seed("example/registry", b"example/registry".ljust(32, b"."))
    registry = grouped.registry
    registry.extend([], sign_checkpoint(log.name, registry.size, _root(registry), log))
    write_bundle(tmp_path / "it", grouped.bundle, registry)
    verified, _, _ = verify_file(tmp_path / "it")
    assert verified.figures[0].rounds
    more = _copy(grouped.bundle)
    more.add("blob", b"something else")
    write_bundle(tmp_path / "more", more, registry)
    with pytest.raises(NotVerified, match="no statement in it names"):
        verify_file(tmp_path / "more")


def _root(registry: Any) -> bytes:
    from collegium.log.note import decode_base64

    return decode_base64(registry.root, place="root")


def _copy(bundle: Bundle) -> Bundle:
    return Bundle(
        bundle.request, list(bundle.indicators), list(bundle.decisions), list(bundle.releases), list(bundle.withdrawals),
        list(bundle.statements), dict(bundle.blobs), dict(bundle.receipts),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["plan", "key", "close", "unmask", "check", "result"])
def test_a_missing_step_is_missed(kind: str) -> None:
    made = Made(drop=(f"national-{kind}",))
    with pytest.raises(NotVerified):
        verify(made.bundle, made.registry)


@pytest.mark.parametrize("kind", ["plan", "close", "result"])
def test_a_step_that_the_coordinators_log_does_not_prove_is_refused(whole: Made, kind: str) -> None:
    bundle = _copy(whole.bundle)
    for note in bundle.statements:
        if read_statement(note)[0] == f"national-{kind}":
            del bundle.receipts[statement_id(note)]
    with pytest.raises(NotVerified, match="receipt"):
        verify(bundle, whole.registry)


def test_a_registry_that_one_trustee_has_not_cosigned_is_refused() -> None:
    made = Made(cosigning=("trustee-a", "trustee-c"))
    with pytest.raises(NotVerified):
        verify(made.bundle, made.registry)
    none = Made()
    del none.bundle.blobs[next(sha for sha, blob in none.bundle.blobs.items() if blob.startswith(b"example/registry"))]
    with pytest.raises(NotVerified, match="checkpoint is missing"):
        verify(none.bundle, none.registry)


def test_rounds_that_were_planned_minutes_apart_rest_on_checkpoints_of_one_registry(grouped: Made, tmp_path: Path) -> None:
    """The trustees cosign the same registry again for the second plan: both checkpoints are in the file, and both are named."""
    registry, bundle = grouped.registry, _copy(grouped.bundle)
    bundle.add("blob", grouped.cosigned(NOW + 300))
    log = Signer.from_seed("example/registry", b"example/registry".ljust(32, b"."))
    registry.extend([], sign_checkpoint(log.name, registry.size, _root(registry), log))
    write_bundle(tmp_path / "it", bundle, registry)
    verified, _, _ = verify_file(tmp_path / "it")
    assert len(verified.figures[0].rounds) == 2


def test_one_of_several_checkpoints_has_all_three_cosignatures_and_none_is_of_another_registry(whole: Made) -> None:
    made = Made(cosigning=("trustee-a", "trustee-c"))
    made.bundle.add("blob", made.cosigned(NOW + 300))
    with pytest.raises(NotVerified, match="sign"):
        verify(made.bundle, made.registry)
    made.bundle.add("blob", made.cosigned(NOW + 600, TRUSTEES))
    assert verify(made.bundle, made.registry).figures
    one = _copy(whole.bundle)
    log = Signer.from_seed("example/registry", b"example/registry".ljust(32, b"."))
    one.add("blob", sign_checkpoint(log.name, whole.registry.size, bytes(32), log))
    with pytest.raises(NotVerified, match="not of the registry that the plan names"):
        verify(one, whole.registry)


LATER = {"time": 1_800_000_001}
FALSE: dict[str, tuple[str, dict[str, Any], str]] = {
    "plan of another question": ("national-plan", {"question": "a" * 64}, "plan is of another question"),
    "plan of another request's number": ("national-plan", {"number": 3}, "another question of the request"),
    "plan with a smaller participation": ("national-plan", {"least": 10}, "smallest participation"),
    "plan with more honest nodes": ("national-plan", {"honest": 11}, "smallest participation"),
    "plan with another tolerance": ("national-plan", {"dropout": 10}, "smallest participation"),
    "plan with other homes": ("national-plan", {"homes": 1}, "another number of nodes"),
    "plan of another number of nodes": ("national-plan", {"nodes": 13}, "smallest participation"),
    "plan of a group": ("national-plan", {"group": ("11", "12")}, "no group of the question"),
    "plan with a deadline beyond the keys": ("national-plan", {"deadline": 1_900_000_000}, "ends before the round"),
    "close with another count": ("national-close", {"count": 12}, "not one of the plan"),
    "close of another plan": ("national-close", {"plan": "a" * 64}, "close belongs to another plan"),
    "unmask of another close": ("national-unmask", {"close": "a" * 64}, "unmasked another list"),
    "unmask of another length": ("national-unmask", {"masks": Blob(sha256="b" * 64, size=16)}, "another length"),
    "check of another close": ("national-check", {"close": "a" * 64}, "check is about other statements"),
    "check of another total": ("national-check", {"total": Blob(sha256="c" * 64, size=8)}, "came to another total"),
    "result with another count": ("national-result", {"count": 12}, "result is of another list"),
    "result with more honest nodes": ("national-result", {"honest": 9}, "result is of another list"),
    "charge for no plan": ("decision", {"plan": None}, "charge of u00 is missing"),
    "charge for another plan": ("decision", {"plan": "a" * 64}, "charge of u00 is missing"),
    "charge of less": ("decision", {"rho": 1}, "not the question's rho"),
    "key that ends before the deadline": ("national-key", {"until": 1_800_000_001}, "ends before the round"),
    "indicator of no result": ("indicator", {"results": None}, "not the participants"),
    "indicator of another result": ("indicator", {"results": ("a" * 64,)}, "result is missing"),
}


@pytest.mark.parametrize("name", FALSE)
def test_false_statements_are_found(name: str) -> None:
    kind, changes, match = FALSE[name]
    made = Made(changes={kind: changes})
    with pytest.raises(NotVerified, match=match):
        verify(made.bundle, made.registry)


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda: Made(dropouts=3), "not one of the plan"),  # 11 of 14; the plan needs 12
        (lambda: Made(stranger=True), "not registered with this key"),
        (lambda: Made(BY_PROVINCE, moved=True), "not of the group"),
        (lambda: Made(impostor=True), "trustee-c is not a registered trustee with this key"),
    ],
    ids=["fewer participants than the plan allows", "a key that is not registered", "a node of another group", "a false trustee"],
)
def test_rounds_of_the_wrong_parties_are_refused(made: Callable[[], Made], match: str) -> None:
    found = made()
    with pytest.raises(NotVerified, match=match):
        verify(found.bundle, found.registry)


def _other_total(bundle: Bundle) -> None:
    """The blob that the result names, changed."""
    result = next(Result.read(note) for note in bundle.statements if read_statement(note)[0] == Result.kind)
    bundle.blobs[result.total.sha256] = bytes(8)


def _other_roster(bundle: Bundle) -> None:
    plan = next(Plan.read(note) for note in bundle.statements if read_statement(note)[0] == Plan.kind)
    bundle.blobs[plan.roster.sha256] = bundle.blobs[plan.roster.sha256].replace(b"u00", b"u0x")


def _no_charge(bundle: Bundle) -> None:
    del bundle.decisions[0]


def _stranger(bundle: Bundle) -> None:
    bundle.statements.append(Made(changes={"national-unmask": LATER}).bundle.statements[5].replace(b"1800000001", b"1800000002"))


@pytest.mark.parametrize("damage", [_other_total, _other_roster, _no_charge, _stranger])
def test_damage_is_found(whole: Made, damage: Callable[[Bundle], None]) -> None:
    bundle = _copy(whole.bundle)
    damage(bundle)
    with pytest.raises(CollegiumError):
        verify(bundle, whole.registry)
