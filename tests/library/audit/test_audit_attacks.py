"""Attacks A1 to A15 of the hazard list, committed with real keys in a made federation: what the audit says, and whom it names.

What counts as failure: an attack that is not found, one that is put on anybody else, and any FAIL where nobody cheated. The table
names for each attack the check that must fail, the culprit, and the exit code; nobody but the culprit may be named by any check.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from auditjudged import evidence_stands_alone, fails, run, warns, world
from auditmoves import (
    Attack,
    another_layout,
    another_question,
    answered_and_not_logged,
    back_dated,
    beyond_a_lifetime,
    charge_into_last_month,
    charge_without_request,
    charged_to_another_period,
    charged_too_little,
    coordinator_decides,
    dropped_with_receipt,
    dropped_without_signing_again,
    embeds_an_older_head,
    expired,
    false_coverage,
    false_registration,
    false_reuse,
    false_withdrawal,
    forged_request,
    forgets_what_was_lost,
    indicator_of_another_question,
    log_key_signs_a_statement,
    no_budget,
    no_such_question,
    node_left_out_unsaid,
    not_addressed,
    not_allowed,
    overdrawn,
    overdrawn_limit_of_a_researcher,
    policy_in_the_wrong_log,
    post_dated,
    registry_falls,
    release_of_another_question_added,
    release_out_of_nowhere,
    replayed_release,
    revision_twice,
    revoked_node_accepted,
    revoked_researcher_accepted,
    rewritten_coordinator,
    rewritten_release,
    set_back,
    signed_by_another_node,
    signed_by_another_researcher,
    spends_what_was_lost,
    split_view,
    split_view_earlier,
    statement_of_another_log,
    too_little_noise,
    two_charges_for_one_question,
    two_releases,
    unpaid_release,
    witness_goes_back,
    wrong_sum,
)
from madefed import World, question

from collegium.audit.run import audit
from collegium.audit.verdict import Code

# ---- honest federations


@pytest.mark.parametrize("witnesses", [False, True])
def test_an_honest_federation_is_clean(tmp_path: Path, witnesses: bool) -> None:
    made = world(witnesses=witnesses)
    made.ask("ruben", question(salt=9), question(by_sex=False), everyone=True, offline=["beta"])
    reused = made.ask("rita", question(salt=7))
    put = made.take(made.request("ruben", question(salt=7), nodes=["alpha"]))
    alpha = made.nodes["alpha"]
    made.hear(alpha, put)
    release = next(i for i, note in enumerate(alpha.entries) if b"/release" in note[:40] and reused.id.encode() in note)
    made.collect(alpha, made.reuse(alpha, put, release))
    made.indicate(put, {"alpha": alpha.entries[release]})
    made.withdraw(alpha, reused, release)
    made.indicate(put, {}, {"alpha": "withdrawn"}, revision=1)
    held = made.take(made.request("rita", question(salt=8), nodes=["beta"]))
    made.hear(made.nodes["beta"], held)
    made.collect(made.nodes["beta"], made.refuse(made.nodes["beta"], held))
    made.indicate(held, {}, {"beta": "not-allowed"})
    found = run(made, tmp_path)
    assert not fails(found)
    assert found.findings.code is Code.CLEAN, found.findings.list
    assert warns(found) == (set() if witnesses else {("A10", "unwitnessed")})
    assert all(found.findings.word(f"A{n}") is not None for n in range(1, 16) if witnesses or n != 14)


def test_a_revoked_researcher_who_was_not_known_to_be_revoked_names_nobody(tmp_path: Path) -> None:
    made = world()
    request = made.request("ruben")
    made.revoke("ruben")
    put = made.take(made.request("rita", question(salt=50)))  # the coordinator embeds the revocation; beta has not heard of it
    beta = made.nodes["beta"]
    beta.keep(request)
    assert put
    assert not fails(run(made, tmp_path))


def test_what_arrives_within_minutes_of_a_revocation_is_a_warning(tmp_path: Path) -> None:
    made = world()
    request = made.request("ruben")
    made.revoke("ruben")
    beta = made.nodes["beta"]
    beta.embed(made.registry_log)
    beta.keep(request)
    found = run(made, tmp_path)
    assert not fails(found)
    assert ("A5", "grace") in warns(found)


# ---- attacks


@dataclasses.dataclass(frozen=True)
class Row:
    attack: Attack
    check: str
    culprit: str
    witnesses: bool = False


TABLE = [
    Row(rewritten_release, "A1", "beta"),
    Row(rewritten_coordinator, "A1", "coordinator"),
    Row(dropped_without_signing_again, "A2", "beta"),
    Row(dropped_with_receipt, "A2", "beta"),
    Row(split_view, "A3", "coordinator"),
    Row(split_view_earlier, "A1", "coordinator"),
    Row(replayed_release, "A4", "coordinator"),
    Row(two_releases, "A4", "beta"),
    Row(two_charges_for_one_question, "A4", "beta"),
    Row(false_reuse, "A4", "beta"),
    Row(unpaid_release, "A4", "beta"),
    Row(false_withdrawal, "A4", "beta"),
    Row(revoked_node_accepted, "A5", "coordinator"),
    Row(revoked_researcher_accepted, "A5", "beta"),
    Row(registry_falls, "A5", "beta"),
    Row(false_registration, "A5", "registry"),
    Row(embeds_an_older_head, "A5", "alpha"),
    Row(no_such_question, "A12", "beta"),
    Row(another_layout, "A4", "beta"),
    Row(no_budget, "A6", "beta"),
    Row(beyond_a_lifetime, "A6", "beta"),
    Row(spends_what_was_lost, "A6", "beta"),
    Row(forgets_what_was_lost, "A6", "beta"),
    Row(charge_into_last_month, "A9", "beta"),
    Row(revision_twice, "A7", "coordinator"),
    Row(false_coverage, "A7", "coordinator"),
    Row(release_of_another_question_added, "A7", "coordinator"),
    Row(overdrawn, "A6", "beta"),
    Row(overdrawn_limit_of_a_researcher, "A6", "beta"),
    Row(charged_too_little, "A6", "beta"),
    Row(charged_to_another_period, "A6", "beta"),
    Row(too_little_noise, "A6", "beta"),
    Row(not_allowed, "A6", "beta"),
    Row(wrong_sum, "A7", "coordinator"),
    Row(node_left_out_unsaid, "A7", "coordinator"),
    Row(release_out_of_nowhere, "A7", "coordinator"),
    Row(answered_and_not_logged, "A8", "beta"),
    Row(back_dated, "A9", "beta", witnesses=True),
    Row(post_dated, "A9", "beta", witnesses=True),
    Row(forged_request, "A11", "coordinator"),
    Row(not_addressed, "A11", "beta"),
    Row(expired, "A11", "beta"),
    Row(charge_without_request, "A11", "beta"),
    Row(another_question, "A12", "beta"),
    Row(indicator_of_another_question, "A12", "coordinator"),
    Row(set_back, "A14", "beta"),
    Row(witness_goes_back, "A14", "delta", witnesses=True),
    Row(coordinator_decides, "A15", "coordinator"),
    Row(policy_in_the_wrong_log, "A15", "coordinator"),
    Row(log_key_signs_a_statement, "A15", "beta"),
    Row(statement_of_another_log, "A15", "beta"),
    Row(signed_by_another_node, "A15", "beta"),
    Row(signed_by_another_researcher, "A11", "coordinator"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.check}-{row.attack.__name__}")
def test_an_attack_is_found_and_names_the_culprit_alone(tmp_path: Path, row: Row) -> None:
    made = world(witnesses=row.witnesses)
    row.attack(made)
    found = run(made, tmp_path)
    assert found.findings.code is Code.VIOLATION
    assert (row.check, row.culprit) in fails(found), found.findings.list
    assert {party for _, party in fails(found)} == {row.culprit}
    evidence_stands_alone(made, found)


def test_a_question_dearer_than_any_policy_allowed_is_found(tmp_path: Path) -> None:
    made = World(["beta"], witnesses=False)
    made.nodes["beta"].rewrite([])
    made.nodes["beta"].start()
    beta = made.nodes["beta"]
    made.policy(beta, largest_question=100)
    put = made.take(made.request("rita", question(), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put)
    assert ("A6", "beta") in fails(run(made, tmp_path))


def test_a_node_left_out_is_found_where_no_enrolment_is_known(tmp_path: Path) -> None:
    """A7 by the list of nodes alone: with known enrolments the coverage would give it away, too."""
    made = World(["alpha", "beta"], witnesses=False, enrolment=0)
    node_left_out_unsaid(made)
    assert fails(run(made, tmp_path)) == {("A7", "coordinator")}


def test_two_releases_are_found_in_the_coordinators_log_alone(tmp_path: Path) -> None:
    """A4: beta hands out two noises of one figure, and its own log is withheld."""
    made = world()
    two_releases(made)
    beta = made.nodes["beta"]
    made.collect(beta, beta.size - 3, beta.size - 2, beta.size - 1)
    made.export(tmp_path)
    (tmp_path / "beta/checkpoint").unlink()
    assert fails(audit(tmp_path, made.trust())) == {("A4", "beta")}


def test_a_new_log_after_a_loss_names_nobody(tmp_path: Path) -> None:
    """`recover --new-log`: the old log is gone, what others hold of it is missing evidence and no contradiction."""
    made = world()
    made.new_log("beta")
    made.now += 3600
    made.policy(made.nodes["beta"], 10**12, lifetime=10**13, lost={"student": {"rho": 10**9, "time": made.now}})
    made.ask("rita", question(salt=90))
    found = run(made, tmp_path)
    assert not fails(found), found.findings.list
    assert found.findings.code is Code.INCOMPLETE
    assert {("A8", "former"), ("A10", "former")} <= warns(found)
    assert ("A6", "lost-less") not in warns(found)


def test_a_node_that_replaced_its_key_is_clean(tmp_path: Path) -> None:
    """The entry that embeds the registry with the new key is the first that the new key signs."""
    made = world()
    made.ask("rita", question(salt=91))
    made.new_key("beta")
    made.now += 60
    made.ask("rita", question(salt=92))
    found = run(made, tmp_path)
    assert not fails(found), found.findings.list
    assert found.findings.code is Code.CLEAN, found.findings.list
