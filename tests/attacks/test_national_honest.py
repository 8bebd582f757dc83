"""National sums in which nobody cheats: crashes, late and rejected submissions, vectors no longer kept, logs and files gone.

What counts as failure: a FAIL against anybody, or a report that says more than was verified.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from madefed import question
from madenational import NAMES, Making, NationalWorld, national, rejecting
from nationallists import FIRST, LAST, begin
from nationalshares import two_shares_for_a_plan

from collegium.audit.run import Audit, audit
from collegium.audit.sumlines import sum_lines
from collegium.audit.verdict import Code, Word
from collegium.audit.words import as_lines
from collegium.log.cosign import add_cosignatures
from collegium.log.note import encode_base64
from collegium.log.statement import statement_id
from collegium.national.seal import SealingKey
from collegium.national.statements import Close, Prepare, Submit, Unmask, lot


def world() -> NationalWorld:
    """Six universities and three trustees, and one honest national sum behind them."""
    made = NationalWorld(6)
    made.sum_up(silent=["node-03"])
    return made


def run(made: NationalWorld, folder: Path) -> Audit:
    return audit(made.export(folder), made.trust())


def fails(found: Audit) -> set[tuple[str, str]]:
    return {(each.check, each.party) for each in found.findings.list if each.word is Word.FAIL}


def missing(found: Audit) -> set[tuple[str, str]]:
    return {(each.check, each.rule) for each in found.findings.list if each.missing}


def test_what_happens_to_honest_parties_names_nobody(tmp_path: Path) -> None:
    """A crash after the charge, a late submission, a rejected one, a round that fails, the same question again, a repeat."""
    made = world()
    put = made.put(national(salt=1))
    failed = Making(made, put, None, sorted(made.nodes))  # too few came: never closed
    failed.charge(FIRST)
    failed.submit("node-01")
    put = made.put(national(salt=1))
    again = Making(made, put, None, sorted(made.nodes)).gather(silent=[LAST])  # a new request, a new round, a new charge
    again.uncover()
    again.submit(LAST)  # after the close
    again.check()
    again.result()
    made.publish(put, [again])
    repeated = made.put(national(salt=1))
    made.publish(repeated, [again])  # the signed result once more
    one = begin(made, salt=2).gather()
    one.prepares.clear()
    for at in range(2):
        made.now += 1
        one.world.trustees[NAMES[at]].embed(made.registry_log)
    found = run(made, tmp_path)
    assert not fails(found), found.findings.list
    assert found.findings.code is Code.CLEAN, found.findings.list
    lines = sum_lines(found)
    assert [line.state for line in lines] == ["result", "planned", "result", "planned"]
    assert [line.again for line in lines] == ["added", "", "added", ""]
    assert [line.charged for line in lines] == [5, 1, 6, 6]  # a charge that led to nothing is the university's own knowledge


def test_a_submission_that_a_trustee_has_rejected_is_rightly_left_out(tmp_path: Path) -> None:
    made = world()
    one = begin(made)
    for name in sorted(made.nodes):
        one.submit(name)
    for at in range(2):
        one.prepare(at)
    one.prepare(2, rejecting(one, FIRST))
    one.close([m for m in one.submits if m != 0])
    for at in range(3):
        one.unmask(at)
    one.check()
    one.result()
    found = run(made, tmp_path)
    assert not fails(found), found.findings.list
    assert [line.participants for line in sum_lines(found)] == [5, 5]


def test_vectors_that_are_no_longer_kept_are_said_and_are_no_failure(tmp_path: Path) -> None:
    made = world()
    one = Making(made, made.put(national(salt=1)), None, sorted(made.nodes)).finish()
    for note in one.submits.values():
        del made.coordinator.blobs[Submit.read(note).vector.sha256]
    made.publish(one.put, [one])
    found = run(made, tmp_path)
    assert not fails(found)
    assert found.findings.code is Code.CLEAN, found.findings.list
    assert [line.again for line in sum_lines(found)] == ["added", "kept"]
    said = "\n".join(as_lines(found))
    assert "1 added again from the masked vectors" in said
    assert "1 not added again: their masked vectors are not in this copy any more" in said
    checker = NAMES[lot(tuple(statement_id(note) for note in one.unmasks))]
    assert f"The check that a trustee signed when they were there was verified instead ({checker})" in said


def test_a_false_total_whose_vectors_are_gone_is_what_trustee_and_ministry_say(tmp_path: Path) -> None:
    """The limit of the claim: both must lie, and the report says that the sum was not added again."""
    made = world()
    one = begin(made).gather().uncover()
    one.check(one.total + 1)
    one.result(one.total + 1)
    for note in one.submits.values():
        del made.coordinator.blobs[Submit.read(note).vector.sha256]
    found = run(made, tmp_path)
    assert not fails(found)
    assert [line.again for line in sum_lines(found)] == ["added", "kept"]


@pytest.mark.parametrize("what", ["vector", "masks", "roster", "participants", "prepared"])
def test_a_file_changed_in_the_copy_is_missing_evidence(tmp_path: Path, what: str) -> None:
    made = world()
    one = begin(made).finish()
    digest = {
        "vector": Submit.read(one.submits[0]).vector.sha256, "masks": Unmask.read(one.unmasks[0]).masks.sha256,
        "roster": one.plan.roster.sha256, "participants": Close.read(one.close_note).participants.sha256,
        "prepared": Prepare.read(one.prepares[0]).prepared.sha256,
    }[what]  # fmt: skip
    old = made.coordinator.blobs[digest]
    made.coordinator.blobs[digest] = bytes([old[0] ^ 1]) + old[1:]
    found = run(made, tmp_path)
    assert not fails(found)
    assert found.findings.code is Code.INCOMPLETE


def test_a_registry_that_one_trustee_has_not_cosigned_is_missing_evidence(tmp_path: Path) -> None:
    class Two(NationalWorld):
        def trustee_head(self, note: bytes) -> bytes:
            return add_cosignatures(note, [self.trustee_cosigner(name).cosign(note, self.now) for name in NAMES[:2]])

    made = Two(6)
    made.sum_up()
    found = run(made, tmp_path)
    assert not fails(found)
    assert ("A5", "not-cosigned") in missing(found)
    assert any("trustee-c" in each.text for each in found.findings.list if each.rule == "not-cosigned")


def test_a_registry_cosigned_in_a_file_beside_the_log_is_cosigned(tmp_path: Path) -> None:
    """As the coordinator keeps it: plans do not name it by its digest."""

    class Beside(NationalWorld):
        def trustee_head(self, note: bytes) -> bytes:
            self.coordinator.blob(super().trustee_head(note))
            return note

    made = Beside(6)
    made.sum_up()
    found = run(made, tmp_path)
    assert found.findings.code is Code.CLEAN, found.findings.list


def test_a_sealing_key_that_no_trustee_has_stated_is_missing_evidence(tmp_path: Path) -> None:
    made = world()
    trustees = begin(made, salt=1).plan.trustees
    other = SealingKey(bytes([9]) * 96)
    begin(made, salt=2, trustees=(trustees[0].model_copy(update={"sealing": encode_base64(other.public)}), *trustees[1:]))
    found = run(made, tmp_path)
    assert not fails(found)
    assert ("A5", "sealing-key") in missing(found)


@pytest.mark.parametrize("gone", [FIRST, NAMES[0], "coordinator"])
def test_a_log_that_is_not_there_accuses_nobody(tmp_path: Path, gone: str) -> None:
    made = world()
    folder = made.export(tmp_path)
    shutil.rmtree(folder / gone)
    found = audit(folder, made.trust())
    assert not fails(found), found.findings.list
    assert found.findings.code is Code.INCOMPLETE
    if gone != "coordinator":
        assert [line.again for line in sum_lines(found)] == ["added"]


def test_two_shares_are_found_in_the_ministrys_copy_when_the_universitys_log_is_gone(tmp_path: Path) -> None:
    made = world()
    two_shares_for_a_plan(made)
    folder = made.export(tmp_path)
    shutil.rmtree(folder / FIRST)
    assert fails(audit(folder, made.trust())) == {("A4", FIRST)}


def test_national_sums_by_province_and_with_witnesses_are_clean(tmp_path: Path) -> None:
    made = NationalWorld(10, witnesses=True)
    made.sum_up(made.put(national(), by_province=True))
    made.sum_up(made.put(national(salt=1), question(salt=2)))
    found = run(made, tmp_path)
    assert not fails(found), found.findings.list
    assert [(line.group, line.participants, line.least, line.factor) for line in sum_lines(found)] == [
        (("11",), 5, 4, 5 / 3), (("34",), 5, 4, 5 / 3), ((), 10, 8, 10 / 7),
    ]  # fmt: skip
