"""A whole round verifies, and every dishonest move that its statements show is refused with its place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from nationalround import COORDINATOR, COSIGNERS, NODES, SEALING, TRUSTEES, WANTED, Country, node_signer

from collegium.errors import CollegiumError, Invalid, NotVerified, Refused
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.national.closing import check_close, check_left_out, may_unmask, only_one
from collegium.national.commitment import commitment
from collegium.national.lists import Participant, Participants, Prepared, Rejected, Roster, RosterNode, Submitted
from collegium.national.plan import check_plan, check_smallest
from collegium.national.statements import Check, Close, Submit, Unmask, lot, plan_digest
from collegium.national.submission import open_submission
from collegium.national.verify import Round, verify_round

ALL = range(NODES)
PRESENT = (0, 1, 2, 4, 5)  # member 3 is silent


def country(nonce: str = "0" * 32, **plan_changes: Any) -> Country:
    rng = np.random.default_rng(7)
    values = [rng.integers(-(2**40), 2**40, 7).astype(np.int64).view(np.uint64) for _ in ALL]
    return Country(values, nonce=nonce, plan_changes=plan_changes)


def test_an_honest_round_verifies_and_gives_the_sum() -> None:
    one = country()
    found = verify_round(one.evidence(PRESENT), one.known())
    assert found.total.tolist() == sum(one.values[m].view(np.int64) for m in PRESENT).tolist()
    assert [each.member for each in found.participants.members] == list(PRESENT)
    assert found.variance_factor == Fraction(5, 4)  # of 6 nodes at least 5 are present, and 4 of these honest


def refused(one: Country, evidence: Round, error: type[CollegiumError], text: str) -> None:
    with pytest.raises(error, match=text):
        verify_round(evidence, one.known())


# Plan and roster


@pytest.mark.parametrize(
    ("name", "value"), [("scale", "4.0"), ("sigma", "1.0"), ("fine", 9), ("rho", 1), ("reach", 5), ("cells", 5)]
)
def test_a_wrong_number_in_the_plan(name: str, value: object) -> None:
    parts = country().plan.parts
    one = country(parts=(parts[0].model_copy(update={name: value}), parts[1]))
    with pytest.raises(NotVerified, match=f"the {name} is not what"):
        check_plan(one.plan, WANTED, 2)
    if name == "scale":
        refused(one, one.evidence(PRESENT), NotVerified, "the scale is not what")


@pytest.mark.parametrize("changes", [{"least": 4}, {"honest": 3}, {"dropout": 0}, {"homes": 1}, {"colluding": 900_000}])
def test_a_plan_whose_tolerance_does_not_follow(changes: dict[str, int]) -> None:
    with pytest.raises(NotVerified):
        check_plan(country(**changes).plan, WANTED, 2)


def test_a_component_left_out_of_the_plan() -> None:
    with pytest.raises(NotVerified, match="1 components were planned"):
        check_plan(country(parts=country().plan.parts[:1]).plan, WANTED, 2)


def test_a_smallest_participation_below_the_policy() -> None:
    check_smallest(country().plan, 5)
    with pytest.raises(Refused, match="smaller than the policy"):
        check_smallest(country().plan, 6)


def test_an_invented_node() -> None:
    real = country().roster.nodes
    invented = RosterNode(node="node-006", key=Signer.from_seed("example/node-006/statements", b"x" * 32).vkey)
    roster = Roster(nodes=(*real[:5], invented))
    one = country(roster=roster.blob)
    evidence = one.evidence(PRESENT)
    refused(one, replace(evidence, roster=roster.to_blob()), NotVerified, "node-006 is not registered")


def test_a_registry_that_one_trustee_has_not_cosigned() -> None:
    one = country()
    evidence = one.evidence(PRESENT)
    refused(one, replace(evidence, registry_checkpoint=one.checkpoint(COSIGNERS[:2])), NotVerified, "2 of 3")


def test_another_roster_than_the_plans() -> None:
    one = country()
    shorter = Roster(nodes=one.roster.nodes[:5]).to_blob()
    refused(one, replace(one.evidence(PRESENT), roster=shorter), NotVerified, "not the list that was signed")


def test_a_trustee_that_is_not_registered() -> None:
    one = country()
    stranger = Signer.from_seed(TRUSTEES[0].name, b"s" * 32).verifier
    known = replace(one.known(), trustees={**one.known().trustees, "trustee-a": stranger})
    with pytest.raises(NotVerified, match="trustee-a is not a registered trustee"):
        verify_round(one.evidence(PRESENT), known)


# Submissions


def prepared(one: Country) -> list[tuple[bytes, bytes]]:
    return [one.prepare(at) for at in range(3)]


def test_a_submission_signed_by_another_node_or_for_another_plan() -> None:
    one, other = country(), country(nonce="1" * 32)
    one.submit(0, signer=node_signer(1))
    sealed = one.hidden[0].sealed[0]
    with pytest.raises(NotVerified, match="not signed by"):
        open_submission(one.submits[0], sealed, one.plan_note, one.roster, 0, SEALING[0])
    late = other.submit(0)
    with pytest.raises(NotVerified, match="another plan"):
        open_submission(late, other.hidden[0].sealed[0], one.plan_note, one.roster, 0, SEALING[0])


def test_an_altered_ciphertext_and_one_moved_to_another_trustee() -> None:
    one = country()
    one.submit(0)
    sealed = one.hidden[0].sealed
    with pytest.raises(NotVerified, match="not the sealed seed"):
        open_submission(one.submits[0], sealed[0][:-1] + b"\0", one.plan_note, one.roster, 0, SEALING[0])
    with pytest.raises(NotVerified, match="not the sealed seed"):
        open_submission(one.submits[0], sealed[1], one.plan_note, one.roster, 0, SEALING[0])


def test_a_seed_that_is_signed_and_does_not_open_is_found_before_the_close() -> None:
    one = country()
    junk = bytes(1168)
    one.submit(0, seeds=(hashlib.sha256(junk).hexdigest(), "b" * 64, "c" * 64))
    with pytest.raises(NotVerified, match="not sealed for this plan"):
        open_submission(one.submits[0], junk, one.plan_note, one.roster, 0, SEALING[0])


def test_no_sum_of_masks_without_every_seed() -> None:
    one = country()
    for member in PRESENT:
        one.submit(member)
    closed = one.close(PRESENT, prepared(one))
    del one.seeds[1][4]
    with pytest.raises(NotVerified, match="no seed of member 4"):
        one.unmask(1, closed)


def test_an_altered_vector() -> None:
    one = country()
    evidence = one.evidence(PRESENT)
    sha256 = Submit.read(one.submits[2]).vector.sha256
    one.kept[sha256] = bytes([one.kept[sha256][0] ^ 1]) + one.kept[sha256][1:]
    refused(one, evidence, NotVerified, "masked vector of member 2: this is not the vector")
    one.kept[sha256] = one.kept[sha256][:-8]
    refused(one, evidence, NotVerified, "member 2: the vector is shorter")


def test_an_altered_commitment_breaks_the_signature_and_does_not_open() -> None:
    one = country()
    evidence = one.evidence(PRESENT)
    note, hidden = one.submits[0], one.hidden[0]
    digest = plan_digest(one.plan_note)
    assert commitment(digest, 0, hidden.salt, one.values[0]) == Submit.read(note).commitment
    assert commitment(digest, 0, hidden.salt, one.values[0] + np.uint64(1)) != Submit.read(note).commitment
    assert commitment(digest, 1, hidden.salt, one.values[0]) != Submit.read(note).commitment
    forged = note.replace(hidden.commitment.encode(), b"0" * 64)
    submits = {**{statement_id(each): each for each in one.submits.values()}, statement_id(note): forged}
    refused(one, replace(evidence, submits=submits.__getitem__), NotVerified, "does not fit the text")


def test_one_share_under_two_totals() -> None:
    """Differencing: the same charge in two plans, or two different submissions in one, convict the node's key."""
    one, again, twice = country(), country(nonce="1" * 32), country()
    first = one.submit(0)
    only_one(Submit, [first, first], node_signer(0).verifier)
    only_one(Submit, [first, again.submit(0, decision=4)], node_signer(0).verifier)
    with pytest.raises(NotVerified, match="for one charge"):
        only_one(Submit, [first, again.submit(0)], node_signer(0).verifier)
    with pytest.raises(NotVerified, match="for one plan"):
        only_one(Submit, [first, twice.submit(0, decision=4)], node_signer(0).verifier)


# Close


def closing(change: Callable[[Country], Any], *, members: tuple[int, ...] = PRESENT) -> Country:
    one = country()
    for member in members:
        one.submit(member)
    closed = change(one)
    submits = {statement_id(note): note for note in one.submits.values()}
    check_close(one.plan_note, one.plan, one.roster, closed, submits.__getitem__, one.logs())
    return one


def test_a_list_below_the_smallest_participation() -> None:
    closing(lambda one: one.close(PRESENT, prepared(one)))
    with pytest.raises(Refused, match="4 participants are fewer than the plan's 5"):
        closing(lambda one: one.close(PRESENT[:4], prepared(one)))


def test_a_node_twice_in_the_list() -> None:
    one = country()
    for member in PRESENT:
        one.submit(member)
    each = one.participant(0)
    with pytest.raises(ValueError, match="strictly increase"):
        Participants(members=(each, each))
    twice = Participants.model_construct(members=(each, each, *(one.participant(m) for m in PRESENT[1:])))
    closed = one.close((), prepared(one), listed=twice)
    with pytest.raises(Invalid, match="strictly increase"):
        check_close(one.plan_note, one.plan, one.roster, closed, lambda sha256: one.submits[0], one.logs())


def test_a_list_that_is_not_logged() -> None:
    def unlogged(one: Country) -> Any:
        closed = one.close(PRESENT, prepared(one))
        other = Close.read(closed.note).model_copy(update={"time": 1}).sign(COORDINATOR)
        return replace(closed, note=other)

    with pytest.raises(NotVerified, match=r"receipt|close"):
        closing(unlogged)
    with pytest.raises(NotVerified, match="another place"):
        closing(lambda one: one.close(PRESENT, prepared(one), log=Close.read(one.close(PRESENT, prepared(one)).note).log))


def test_a_list_signed_by_another_or_exchanged() -> None:
    def exchanged(one: Country) -> Any:
        ready = prepared(one)
        closed = one.close(PRESENT, ready)
        return replace(closed, participants=Participants(members=tuple(one.participant(m) for m in PRESENT[1:])).to_blob())

    with pytest.raises(NotVerified, match="not the list that was signed"):
        closing(exchanged)


def test_a_close_of_another_plan() -> None:
    with pytest.raises(NotVerified, match="another plan"):
        closing(lambda one: one.close(PRESENT, prepared(one), plan="c" * 64))


def test_a_late_node_that_no_trustee_or_only_two_have_prepared() -> None:
    def late(one: Country) -> Any:
        ready = prepared(one)
        one.submit(3)
        ready[0] = one.prepare(0)
        return one.close(sorted((*PRESENT, 3)), ready)

    with pytest.raises(NotVerified, match="member 3: not every trustee"):
        closing(late)


def test_a_submission_exchanged_after_it_was_prepared() -> None:
    def exchanged(one: Country) -> Any:
        ready = prepared(one)
        one.submit(0)  # new seeds, another vector
        return one.close(PRESENT, ready)

    with pytest.raises(NotVerified, match="member 0: not every trustee"):
        closing(exchanged)


def test_a_list_that_names_another_vector_than_the_node_signed() -> None:
    def other(one: Country) -> Any:
        first = one.participant(0)
        listed = (Participant(member=0, submit=first.submit, vector="d" * 64), *(one.participant(m) for m in PRESENT[1:]))
        return one.close((), prepared(one), listed=Participants(members=listed))

    with pytest.raises(NotVerified, match="member 0: the vector is not"):
        closing(other)


def test_a_prepare_of_another_trustee_in_its_place() -> None:
    def swapped(one: Country) -> Any:
        ready = prepared(one)
        return one.close(PRESENT, [ready[1], ready[1], ready[2]])

    with pytest.raises(NotVerified, match="prepare of trustee-a"):
        closing(swapped)


def test_a_submission_left_out_is_shown_by_its_receipt() -> None:
    one = country()
    for member in ALL:
        one.submit(member)
    ready = prepared(one)
    closed = one.close(PRESENT, ready)
    index = one.log.held.index(one.submits[3])
    with pytest.raises(NotVerified, match="left out a submission"):
        check_left_out(one.submits[3], one.receipt(index), node_signer(3).verifier, closed, one.logs())
    here = one.log.held.index(one.submits[0])
    check_left_out(one.submits[0], one.receipt(here), node_signer(0).verifier, closed, one.logs())


def test_a_submission_after_the_close_or_rejected_is_rightly_left_out() -> None:
    one = country()
    for member in PRESENT:
        one.submit(member)
    ready = prepared(one)
    closed = one.close(PRESENT, ready)
    late = one.submit(3)
    index = len(one.log.held) - 1
    check_left_out(late, one.receipt(index), node_signer(3).verifier, closed, one.logs())
    one = country()
    for member in ALL:
        one.submit(member)
    ready = prepared(one)
    rest = tuple(Submitted(member=m, submit=statement_id(one.submits[m])) for m in PRESENT)
    bad = Rejected(member=3, submit=statement_id(one.submits[3]), reason="seed")
    verdict = Prepared(accepted=rest, rejected=(bad,))
    ready[2] = one.sign_prepare(2, verdict), verdict.to_blob()
    closed = one.close(PRESENT, ready)
    index = one.log.held.index(one.submits[3])
    check_left_out(one.submits[3], one.receipt(index), node_signer(3).verifier, closed, one.logs())


# Unmask and result


def test_a_second_answer_of_a_trustee() -> None:
    """Refused by the trustee while its table or its log remembers; shown by its two signatures if neither did."""
    one = country()
    for member in ALL:
        one.submit(member)
    ready = prepared(one)
    first = one.close(ALL, ready)
    second = one.close(PRESENT, ready)  # the difference of the two is node 3
    answer = one.unmask(0, first)
    own = TRUSTEES[0].verifier
    assert may_unmask(one.plan_id, statement_id(first.note), [], own) is None
    assert may_unmask(one.plan_id, statement_id(first.note), [answer], own) == answer
    assert may_unmask("f" * 64, statement_id(first.note), [answer], own) is None
    with pytest.raises(Refused, match="another list"):
        may_unmask(one.plan_id, statement_id(second.note), [answer], own)
    with pytest.raises(NotVerified, match="two different national-unmask for one plan"):
        only_one(Unmask, [answer, one.unmask(0, second)], own)
    with pytest.raises(NotVerified, match="two different national-close for one plan"):
        only_one(Close, [first.note, second.note], COORDINATOR.verifier)


def parts_of(one: Country) -> tuple[Any, list[bytes], Any]:
    for member in PRESENT:
        one.submit(member)
    closed = one.close(PRESENT, prepared(one))
    total = sum(one.values[m].view(np.int64) for m in PRESENT)
    return closed, [one.unmask(at, closed) for at in range(3)], total


def finished(one: Country, closed: Any, unmasks: list[bytes], total: Any, *, told: Any = None, **changes: Any) -> Any:
    """The round with an honest check of `total`, and a result that tells `told` or is changed otherwise."""
    check = one.check(closed, unmasks, total)
    return one.round(closed, unmasks, check, one.result(closed, unmasks, check, total if told is None else told, **changes))


def test_a_wrong_result() -> None:
    one = country()
    closed, unmasks, total = parts_of(one)
    refused(one, finished(one, closed, unmasks, total + 1), NotVerified, "is not the sum")
    refused(one, finished(one, closed, unmasks, total, told=total + 1), NotVerified, "came to another total")
    refused(one, finished(one, closed, unmasks, total, count=6), NotVerified, "other participants")
    refused(one, finished(one, closed, unmasks, total, close="e" * 64), NotVerified, "result is about other statements")
    refused(one, finished(one, closed, unmasks, total, check="e" * 64), NotVerified, "result is about other statements")


def test_a_result_that_the_trustee_drawn_by_lot_has_not_checked() -> None:
    one = country()
    closed, unmasks, total = parts_of(one)
    drawn = lot(tuple(statement_id(note) for note in unmasks))
    whole = one.check(closed, unmasks, total)
    for signer in (COORDINATOR, TRUSTEES[(drawn + 1) % 3]):
        check = Check.read(whole).sign(signer)
        round_ = one.round(closed, unmasks, check, one.result(closed, unmasks, check, total))
        refused(one, round_, NotVerified, "not signed by example/trustee")
    elsewhere = one.check(closed, unmasks, total, close="e" * 64)
    round_ = one.round(closed, unmasks, elsewhere, one.result(closed, unmasks, elsewhere, total))
    refused(one, round_, NotVerified, "check is about other statements")


def test_masks_of_another_list_or_in_another_order() -> None:
    one = country()
    closed, unmasks, total = parts_of(one)
    elsewhere = [one.unmask(0, closed, close="e" * 64), *unmasks[1:]]
    refused(one, finished(one, closed, elsewhere, total), NotVerified, "unmask of trustee-a")
    swapped = [unmasks[1], unmasks[0], unmasks[2]]
    refused(one, finished(one, closed, swapped, total), NotVerified, "not signed by")
    check = one.check(closed, unmasks, total)
    whole = one.result(closed, unmasks, check, total)
    refused(one, one.round(closed, unmasks[:2], check, whole), NotVerified, "three trustees")
