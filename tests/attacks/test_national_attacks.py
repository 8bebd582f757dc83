"""Every dishonest move in a national sum, committed with real keys in a made federation: what the audit says, and whom it names.

What counts as failure: a move that is not found, one that is put on anybody else, and any FAIL where nobody cheated. The table
gives for each move exactly the checks that fail and the parties they name. Every folder of evidence is verified by itself.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from evidence import reverify
from madenational import NationalWorld
from nationallists import (
    FIRST,
    Attack,
    another_university_submits,
    closed_twice,
    closed_twice_and_answered,
    dropped_and_asked_again,
    invented_node,
    late_node,
    left_out,
    other_vector_listed,
    planned_twice,
    prepared_twice,
    replaced_key,
    second_list_not_logged,
    tiny_list,
    tiny_smallest,
    twice_in_the_list,
    unmasked_twice,
    verdict_of_another_plan,
)
from nationalplans import (
    by_name,
    ended_key,
    half_a_group,
    others_in_a_group,
    per_node_planned,
    stranger_as_trustee,
    wrong,
    wrong_group,
    wrong_homes,
)
from nationalresults import (
    check_of_another_list,
    check_of_another_trustee,
    figure_without_a_result,
    group_told_twice,
    inflated_table,
    masks_in_another_order,
    other_participants,
    result_and_check_false,
    result_before_anything,
    result_miscounts,
    result_nowhere,
    result_of_a_sum_for_a_question_by_name,
    result_of_another_question,
    result_that_differs,
    result_without_a_list,
    result_without_check,
    two_results,
)
from nationalshares import (
    charged_for_another_plan,
    charged_too_little,
    not_allowed,
    overdrawn,
    own_figure_of_a_national_question,
    plan_charged_twice,
    plan_for_its_own_figure,
    share_without_a_charge,
    submitted_and_not_logged,
    too_few,
    two_shares_for_a_plan,
)

from collegium.audit.exhibits import write_evidence
from collegium.audit.run import Audit, audit
from collegium.audit.verdict import Code, Word
from collegium.log.statement import statement_id
from collegium.national.addition import vector_digest
from collegium.national.lists import Participants
from collegium.national.statements import Close, Plan, Result, Submit, Unmask
from collegium.national.verify import recompute


def run(made: NationalWorld, folder: Path) -> Audit:
    return audit(made.export(folder), made.trust())


def fails(found: Audit) -> set[tuple[str, str]]:
    return {(each.check, each.party) for each in found.findings.list if each.word is Word.FAIL}


@dataclasses.dataclass(frozen=True)
class Row:
    attack: Attack
    found: set[tuple[str, str]]
    rule: str


def ministry(attack: Attack, check: str, rule: str) -> Row:
    return Row(attack, {(check, "coordinator")}, rule)


def university(attack: Attack, check: str, rule: str) -> Row:
    return Row(attack, {(check, FIRST)}, rule)


TABLE = [
    Row(closed_twice, {("A4", "coordinator"), ("A7", "coordinator")}, "two-national-close"),
    Row(closed_twice_and_answered, {("A4", "coordinator"), ("A7", "coordinator"), ("A4", "trustee-b")}, "two-national-unmask"),
    Row(second_list_not_logged, {("A4", "coordinator"), ("A8", "coordinator")}, "not-logged"),
    Row(unmasked_twice, {("A4", "trustee-c")}, "two-national-unmask"),
    Row(prepared_twice, {("A4", "trustee-a")}, "two-national-prepare"),
    Row(dropped_and_asked_again, {("A4", "coordinator"), ("A4", FIRST)}, "two-shares-charge"),
    ministry(planned_twice, "A4", "two-national-plans"),
    ministry(tiny_list, "A7", "list"),
    ministry(tiny_smallest, "A6", "plan"),
    ministry(twice_in_the_list, "A7", "list"),
    ministry(invented_node, "A5", "roster"),
    ministry(replaced_key, "A5", "roster"),
    ministry(late_node, "A7", "list"),
    ministry(left_out, "A7", "left-out-share"),
    ministry(other_vector_listed, "A7", "list"),
    ministry(verdict_of_another_plan, "A7", "prepares"),
    Row(another_university_submits, {("A4", "node-01"), ("A7", "coordinator")}, "list"),
    *(
        ministry(wrong(name, value), "A6", "plan")
        for name, value in [("scale", "4.0"), ("sigma", "1.0"), ("fine", 9), ("rho", 1), ("reach", 5), ("cells", 5)]
    ),
    ministry(wrong_homes, "A6", "plan"),
    ministry(wrong_group, "A7", "group"),
    ministry(half_a_group, "A7", "group"),
    ministry(others_in_a_group, "A7", "roster"),
    ministry(by_name, "A7", "group"),
    ministry(per_node_planned, "A12", "mode"),
    ministry(stranger_as_trustee, "A5", "trustee"),
    ministry(ended_key, "A5", "sealing-key-ended"),
    university(two_shares_for_a_plan, "A4", "two-shares-plan"),
    university(plan_charged_twice, "A4", "plan-twice"),
    university(share_without_a_charge, "A4", "unpaid-share"),
    university(charged_too_little, "A6", "charge"),
    university(charged_for_another_plan, "A4", "another-plan"),
    Row(own_figure_of_a_national_question, {("A4", FIRST), ("A12", FIRST)}, "mode"),
    university(plan_for_its_own_figure, "A12", "mode"),
    university(overdrawn, "A6", "overdrawn"),
    university(not_allowed, "A6", "not-allowed"),
    university(too_few, "A6", "too-few"),
    university(submitted_and_not_logged, "A8", "not-logged"),
    ministry(result_that_differs, "A7", "check-total"),
    ministry(result_without_check, "A7", "no-check"),
    ministry(check_of_another_trustee, "A7", "no-check"),
    ministry(check_of_another_list, "A7", "no-check"),
    ministry(result_miscounts, "A7", "result-count"),
    ministry(result_without_a_list, "A7", "result-close"),
    ministry(masks_in_another_order, "A7", "result-masks"),
    Row(two_results, {("A4", "coordinator"), ("A7", "coordinator")}, "two-national-result"),
    ministry(result_before_anything, "A7", "no-plan"),
    ministry(other_participants, "A7", "participants"),
    ministry(result_of_another_question, "A7", "result"),
    ministry(group_told_twice, "A7", "groups"),
    ministry(result_of_a_sum_for_a_question_by_name, "A7", "groups"),
    ministry(result_nowhere, "A7", "result"),
    ministry(figure_without_a_result, "A12", "mode"),
    ministry(inflated_table, "A7", "sum"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.attack.__name__)
def test_a_dishonest_move_is_found_and_names_whoever_made_it(tmp_path: Path, row: Row) -> None:
    made = NationalWorld(6)
    row.attack(made)
    found = run(made, tmp_path / "logs")
    assert found.findings.code is Code.VIOLATION
    assert fails(found) == row.found, found.findings.list
    assert row.rule in {each.rule for each in found.findings.list if each.word is Word.FAIL}
    told = [each for each in found.findings.list if each.word is Word.FAIL]
    for finding, folder in zip(told, write_evidence(found.case, told, tmp_path / "evidence"), strict=True):
        reverify(folder, finding.party)


def test_a_false_total_names_the_trustee_too_and_its_evidence_adds_up_to_another(tmp_path: Path) -> None:
    """From the folder of evidence alone, with the library's addition: masked vectors less masks are not what was signed."""
    made = NationalWorld(6)
    result_and_check_false(made)
    found = run(made, tmp_path / "logs")
    checker = next(each.party for each in found.findings.list if each.rule == "false-check")
    assert fails(found) == {("A7", "coordinator"), ("A7", checker)}
    told = [each for each in found.findings.list if each.word is Word.FAIL]
    for finding, folder in zip(told, write_evidence(found.case, told, tmp_path / "evidence"), strict=True):
        reverify(folder, finding.party)
        notes = [file.read_bytes() for file in folder.glob("*.entry")]
        statements = {statement_id(note): note for note in notes}

        def of(kind: str, notes: list[bytes] = notes) -> list[bytes]:
            return [note for note in notes if note.startswith(f"collegium/v1/national-{kind}\n".encode())]

        [result] = map(Result.read, of("result"))
        close = Close.read(statements[result.close])
        listed = Participants.from_blob((folder / f"{close.participants.sha256}.blob").read_bytes(), close.participants)
        for each in listed.members:
            assert Submit.read(statements[each.submit]).vector.sha256 == each.vector
        total = recompute(
            Plan.read(statements[result.plan]).length, listed, [Unmask.read(statements[each]) for each in result.unmasks],
            lambda sha256, folder=folder: (folder / f"{sha256}.blob").open("rb"),
        )  # fmt: skip
        assert vector_digest(total) != result.total.sha256
        assert vector_digest(total + 1) == result.total.sha256
