"""Attacks A1 to A15 of the hazard list, committed with real keys in a made federation: what the audit says, and whom it names.

What counts as failure: an attack that is not found, one that is put on anybody else, and any FAIL where nobody cheated. The table
names for each attack the check that must fail, the culprit, and the exit code; nobody but the culprit may be named by any check.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from madefed import FED, SNAPSHOT, T0, LogWriter, World, cosigner, key, question

from collegium.audit.run import Audit, audit
from collegium.audit.story import tell
from collegium.audit.verdict import Code, Word
from collegium.log.checkpoint import open_checkpoint, sign_checkpoint
from collegium.log.cosign import add_cosignatures
from collegium.log.merkle import verify_consistency
from collegium.log.note import Signer, decode_base64, open_note
from collegium.log.receipt import Receipt, verify_receipt
from collegium.log.statement import statement_id
from collegium.statements import Coverage, Decision, Original, PartNoise, Policy, Release, Revocation, Withdrawal

DAY = 86_400
Attack = Callable[[World], None]


def world(*, witnesses: bool = False) -> World:
    made = World(["alpha", "beta", "gamma", "delta"], ["rita", "ruben"], witnesses=witnesses)
    for number in range(3):
        made.ask("rita", question(salt=number))
    return made


def run(made: World, folder: Path, **more: object) -> Audit:
    return audit(made.export(folder), made.trust(), **more)  # type: ignore[arg-type]


def fails(found: Audit) -> set[tuple[str, str]]:
    return {(each.check, each.party) for each in found.findings.list if each.word is Word.FAIL}


def warns(found: Audit) -> set[tuple[str, str]]:
    return {(each.check, each.rule) for each in found.findings.list if each.word is Word.WARN}


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


def rewritten_release(made: World) -> None:
    """A1: beta replaces a release it has published by another."""
    beta = made.nodes["beta"]
    at = next(i for i, note in enumerate(beta.entries) if b"/release" in note[:40])
    body = Release.read(beta.entries[at])
    other = body.model_copy(update={"payload": beta.blob(bytes(body.payload.size))})
    beta.rewrite([*beta.entries[:at], other.sign(beta.statements), *beta.entries[at + 1 :]])


def rewritten_coordinator(made: World) -> None:
    """A1: the coordinator takes an indicator out of its log's past."""
    log = made.coordinator
    at = next(i for i, note in enumerate(log.entries) if b"/indicator" in note[:40])
    other = made.request("rita", question(salt=77))
    log.rewrite([*log.entries[:at], other, *log.entries[at + 1 :]])


def dropped_without_signing_again(made: World) -> None:
    """A2: beta takes an entry out; those after it still state their old places."""
    beta = made.nodes["beta"]
    at = next(i for i, note in enumerate(beta.entries) if b"/release" in note[:40])
    beta.rewrite([*beta.entries[:at], *beta.entries[at + 1 :]])


def dropped_with_receipt(made: World) -> None:
    """A2: beta ends its log before its last release, for which it gave a receipt, and writes another policy in its place."""
    beta = made.nodes["beta"]
    beta.rewrite(beta.entries[:-1])
    made.policy(beta)


def split_view(made: World) -> None:
    """A3: the coordinator shows alpha another tree of the size it shows to all."""
    alpha, log = made.nodes["alpha"], made.coordinator
    alpha.embed(log, sign_checkpoint(log.origin, log.size, bytes(32), log.log))


def split_view_earlier(made: World) -> None:
    """A3, found as A1: the other tree is smaller."""
    alpha, log = made.nodes["alpha"], made.coordinator
    made.ask("rita", question(salt=60), nodes=["beta"])
    size = log.size - 1
    alpha.embed(log, sign_checkpoint(log.origin, size, bytes(32), log.log))


def replayed_release(made: World) -> None:
    """A4: the coordinator answers a new request with alpha's old release of the same question; alpha has not said so."""
    alpha = made.nodes["alpha"]
    old = next(note for note in alpha.entries if b"/release" in note[:40])
    put = made.take(made.request("ruben", question(salt=0), nodes=["alpha"]))
    made.indicate(put, {"alpha": old})


def two_releases(made: World) -> None:
    """A4: beta draws noise twice for one charge."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=20), nodes=["beta"]))
    made.hear(beta, put)
    charge = made.charge(beta, put)
    made.release(beta, put, charge, seed=1)
    made.release(beta, put, charge, seed=2)


def two_charges_for_one_question(made: World) -> None:
    """A4: beta charges the same question on the same snapshot again instead of reusing its release."""
    beta = made.nodes["beta"]
    put = made.take(made.request("ruben", question(salt=0), nodes=["beta"]))
    made.hear(beta, put)
    made.release(beta, put, made.charge(beta, put))


def false_reuse(made: World) -> None:
    """A4: beta names as reused a release of another question."""
    beta = made.nodes["beta"]
    put = made.take(made.request("ruben", question(salt=21), nodes=["beta"]))
    made.hear(beta, put)
    made.reuse(beta, put, next(i for i, note in enumerate(beta.entries) if b"/release" in note[:40]))


def unpaid_release(made: World) -> None:
    """A4: beta releases without a charge."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=22), nodes=["beta"]))
    made.hear(beta, put)
    made.release(beta, put, beta.size - 1)


def revoked_node_accepted(made: World) -> None:
    """A5: the coordinator takes a release of gamma long after it has embedded gamma's revocation; gamma knows of none."""
    made.revoke("gamma")
    put = made.take(made.request("rita", question(salt=23), nodes=["gamma"]))
    made.now += DAY
    made.coordinator.embed(made.nodes["beta"])  # the coordinator's own clock goes on
    gamma = made.nodes["gamma"]
    gamma.embed(made.coordinator)
    gamma.keep(put.note)
    charge = made.charge(gamma, put)
    made.release(gamma, put, charge)
    made.policy(made.nodes["beta"])
    made.coordinator.embed(made.nodes["beta"])
    made.collect(gamma, charge)


def revoked_researcher_accepted(made: World) -> None:
    """A5: beta answers a researcher whose revocation its own log holds."""
    request = made.request("ruben", question(salt=24), nodes=["beta"])
    put = made.take(request)
    made.revoke("ruben")
    beta = made.nodes["beta"]
    made.policy(beta)
    made.now += DAY
    made.policy(beta)
    beta.embed(made.coordinator)
    beta.keep(put.note)


def registry_falls(made: World) -> None:
    """A5: beta goes back to an older registry than it had verified."""
    beta = made.nodes["beta"]
    beta.embedded["registry"] = 5
    made.policy(World_like(beta))


def overdrawn(made: World) -> None:
    """A6: beta charges beyond the budget that its own log holds."""
    beta = made.nodes["beta"]
    made.policy(beta, 35_000_000)
    made.ask("rita", question(salt=25), nodes=["beta"])


def overdrawn_limit_of_a_researcher(made: World) -> None:
    """A6: beta charges beyond its limit for one researcher."""
    beta = made.nodes["beta"]
    made.policy(beta, limits={"dataset": {}, "researcher": {"rita": 35_000_000}})
    made.ask("rita", question(salt=25), nodes=["beta"])


def charged_too_little(made: World) -> None:
    """A6: beta charges less than the signed request costs."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=26), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put, rho=1)


def charged_to_another_period(made: World) -> None:
    """A6: beta books a charge to next year."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=27), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put, period="2026")


def too_little_noise(made: World) -> None:
    """A6: beta states a third of the noise that the charge buys."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=28), nodes=["beta"]))
    made.hear(beta, put)
    made.release(beta, put, made.charge(beta, put), parts=(PartNoise(cells=3, scale="2.0"),))


def wrong_sum(made: World) -> None:
    """A7: the coordinator publishes another figure than the releases add up to."""
    alpha = made.nodes["alpha"]
    put = made.take(made.request("rita", question(salt=29), nodes=["alpha"]))
    made.hear(alpha, put)
    charge = made.charge(alpha, put)
    release = made.release(alpha, put, charge)
    made.collect(alpha, charge, release)
    note = alpha.entries[release]

    def inflate(table: bytes) -> bytes:
        head, _, tail = table.partition(b'"raw":[')
        return head + b'"raw":[1' + tail

    made.indicate(put, {"alpha": note}, change=inflate)


def node_left_out_unsaid(made: World) -> None:
    """A7: the coordinator accounts for fewer nodes than were asked."""
    put = made.take(made.request("rita", question(salt=30), nodes=["alpha", "beta"]))
    made.indicate(put, {}, {"alpha": "deadline"})


def release_out_of_nowhere(made: World) -> None:
    """A7: the coordinator adds a release that its log does not hold."""
    alpha = made.nodes["alpha"]
    put = made.take(made.request("rita", question(salt=31), nodes=["alpha"]))
    made.hear(alpha, put)
    release = made.release(alpha, put, made.charge(alpha, put))
    made.indicate(put, {"alpha": alpha.entries[release]})


def answered_and_not_logged(made: World) -> None:
    """A8: beta signs a release, gives it out, and writes something else at that place of its log."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=32), nodes=["beta"]))
    made.hear(beta, put)
    charge = made.charge(beta, put)
    shown = made.release(beta, put, charge, seed=5)
    note = beta.entries[shown]
    beta.rewrite(beta.entries[:-1])
    made.policy(beta)
    made.collect(beta, charge)
    made.coordinator.keep(note)


def back_dated(made: World) -> None:
    """A9: beta states for a charge a time before a quorum cosigned what stands in its log before it."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=33), nodes=["beta"]))
    made.now += 40 * DAY
    made.coordinator.embed(made.nodes["alpha"])
    made.hear(beta, put)
    made.now -= 2 * DAY
    made.charge(beta, put)
    made.now += 2 * DAY


def post_dated(made: World) -> None:
    """A9: beta states for a charge a time after a quorum had cosigned the log that holds it."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=34), nodes=["beta"]))
    made.hear(beta, put)
    made.now += 20 * DAY
    made.charge(beta, put, period="2026")
    made.now -= 20 * DAY
    made.coordinator.embed(beta)


def forged_request(made: World) -> None:
    """A11: the coordinator writes a request in rita's name and charges it at nobody."""
    stranger = Signer.from_seed(f"{FED}/rita/statements", b"s" * 32)
    made.take(made.request("rita", question(salt=35), signer=stranger))


def not_addressed(made: World) -> None:
    """A11: beta answers what alpha was asked."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=36), nodes=["alpha"]))
    made.hear(beta, put)


def expired(made: World) -> None:
    """A11: beta charges a request that expired two days before."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=37), nodes=["beta"], expiry=60))
    made.now += 2 * DAY
    made.hear(beta, put)
    made.charge(beta, put)


def charge_without_request(made: World) -> None:
    """A11: beta charges for a request that its log does not hold."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=38), nodes=["beta"]))
    beta.embed(made.coordinator)
    made.charge(beta, put)


def another_question(made: World) -> None:
    """A12: beta decides on another question under the request's id."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=39), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put, question=question(salt=1).digest)


def indicator_of_another_question(made: World) -> None:
    """A12: the coordinator signs a figure of another question under the request's id."""
    put = made.take(made.request("rita", question(salt=40), nodes=["alpha"]))
    made.indicate(put, {}, {"alpha": "deadline"}, question=question(salt=1).digest)


def set_back(made: World) -> None:
    """A14: beta is restored from a backup and goes on without recovery, after what it had signed since was embedded elsewhere."""
    beta = made.nodes["beta"]
    backup = list(beta.entries)
    for number in range(3):
        made.ask("rita", question(salt=41 + number), nodes=["beta"])
    made.nodes["alpha"].embed(made.coordinator)
    beta.rewrite(backup)
    beta.embedded = {"registry": beta.embedded["registry"]}
    beta.embed(made.coordinator)


def witness_goes_back(made: World) -> None:
    """A14: the witness delta cosigns a smaller tree of beta after a larger one."""
    beta, alpha = made.nodes["beta"], made.nodes["alpha"]
    size = beta.size - 1
    made.coordinator.embed(beta, beta.head())
    made.now += DAY
    small = beta.head(size, cosign=False)
    alpha.embed(beta, add_cosignatures(small, [cosigner("delta").cosign(small, made.now)]))


def coordinator_decides(made: World) -> None:
    """A15: the coordinator signs a decision with its own key."""
    put = made.take(made.request("rita", question(salt=44), nodes=["alpha"]))
    made.refuse(made.coordinator, put)


def policy_in_the_wrong_log(made: World) -> None:
    """A15: the coordinator logs what only a node's log holds."""
    made.coordinator.keep(made.nodes["alpha"].entries[1])


def log_key_signs_a_statement(made: World) -> None:
    """A15: beta signs a decision with the key of its checkpoints."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=45), nodes=["beta"]))
    made.hear(beta, put)
    digest = put.layouts[0].question.digest
    beta.say(Decision, beta.log, request=put.id, number=0, verdict="refuse", reason="held", question=digest)


def signed_by_another_node(made: World) -> None:
    """A15: beta's log holds a refusal of its own that alpha has signed."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=91), nodes=["beta"]))
    made.hear(beta, put)
    digest = put.layouts[0].question.digest
    beta.say(Decision, made.nodes["alpha"].statements, request=put.id, number=0, verdict="refuse", reason="held", question=digest)


def signed_by_another_researcher(made: World) -> None:
    """A11: ruben signs a request in rita's name, and the coordinator takes it."""
    made.take(made.request("rita", question(salt=92), signer=made.keys["ruben"]))


def statement_of_another_log(made: World) -> None:
    """A15: beta's log holds a statement that alpha made for its own."""
    made.nodes["beta"].keep(made.nodes["alpha"].entries[1])


def false_registration(made: World) -> None:
    """A5: the registry's log orders an entry that the registry key has not signed."""
    note = Revocation(name="alpha", time=made.now, reason="x").sign(key(f"{FED}/coordinator/statements"))
    made.registry_log.keep(note)


def false_withdrawal(made: World) -> None:
    """A4: beta withdraws what it never released."""
    beta = made.nodes["beta"]
    beta.say(Withdrawal, release=Original(index=0, sha256="0" * 64), request="0" * 64, number=0, reason="x")


def not_allowed(made: World) -> None:
    """A6: beta charges for a researcher whom no policy of its log ever allowed."""
    made.invite("mallory", "researcher", {}, 0)
    beta = made.nodes["beta"]
    put = made.take(made.request("mallory", question(salt=46), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put)


def embeds_an_older_head(made: World) -> None:
    """A5: alpha embeds the coordinator's log smaller than before."""
    alpha, log = made.nodes["alpha"], made.coordinator
    alpha.embed(log)
    alpha.embedded["coordinator"] = -1
    alpha.embed(log, log.head(5))


def no_such_question(made: World) -> None:
    """A12: beta decides on question 7 of a request that has one."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=80), nodes=["beta"]))
    made.hear(beta, put)
    digest = put.layouts[0].question.digest
    beta.say(Decision, request=put.id, number=7, verdict="refuse", reason="held", question=digest)


def another_layout(made: World) -> None:
    """A4: beta releases fewer cells than the question has."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=81), nodes=["beta"]))
    made.hear(beta, put)
    charge = made.charge(beta, put)
    scale = Release.read(next(note for note in beta.entries if b"/release" in note[:40])).parts[0].scale
    made.release(beta, put, charge, parts=(PartNoise(cells=1, scale=scale),), payload=beta.blob(bytes(8)))


def no_budget(made: World) -> None:
    """A6: beta charges a unit to which its policy gives no budget any more."""
    beta = made.nodes["beta"]
    made.policy(beta, budget={})
    put = made.take(made.request("rita", question(salt=82), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put)


def beyond_a_lifetime(made: World) -> None:
    """A6: beta's lifetime budget ends within a period that would allow more."""
    made.policy(made.nodes["beta"], 10**12, lifetime=35_000_000)
    made.ask("rita", question(salt=83), nodes=["beta"])


def spends_what_was_lost(made: World) -> None:
    """A6: beta opens a new log that counts its budget as lost, and charges all the same."""
    made.new_log("beta")
    beta = made.nodes["beta"]
    made.policy(beta, 10**9, lifetime=10**9, lost={"student": {"rho": 10**9, "time": made.now}})
    put = made.take(made.request("rita", question(salt=85), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put)


def forgets_what_was_lost(made: World) -> None:
    """A6: beta drops the loss from its next policy."""
    made.new_log("beta")
    beta = made.nodes["beta"]
    made.policy(beta, lost={"student": {"rho": 10**9, "time": made.now}})
    made.policy(beta, 10**11)


def charge_into_last_month(made: World) -> None:
    """A9: beta states for a charge a time in the month before something that it had signed already."""
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=86), nodes=["beta"]))
    made.hear(beta, put)
    made.now += 20 * DAY
    made.policy(beta)
    made.now -= 20 * DAY
    made.charge(beta, put)


def revision_twice(made: World) -> None:
    """A7: the coordinator signs two first revisions of one figure."""
    put = made.take(made.request("rita", question(salt=87), nodes=["alpha"]))
    made.indicate(put, {}, {"alpha": "deadline"})
    made.indicate(put, {}, {"alpha": "offline"})


def false_coverage(made: World) -> None:
    """A7: the coordinator claims a larger share of enrolment than answered."""
    put = made.take(made.request("rita", question(salt=88), nodes=["alpha"]))
    coverage = Coverage(asked=1, answered=0, enrolment=1000, enrolment_asked=1000)
    made.indicate(put, {}, {"alpha": "deadline"}, coverage=coverage)


def release_of_another_question_added(made: World) -> None:
    """A7: the coordinator adds alpha's release of another question of the same shape."""
    alpha = made.nodes["alpha"]
    note = next(note for note in alpha.entries if b"/release" in note[:40])
    put = made.take(made.request("rita", question(men=True), nodes=["alpha"]))
    made.indicate(put, {"alpha": note})


class World_like:
    """Beta, without embedding the registry first."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log

    def embed(self, _: LogWriter) -> None: ...

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


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
    _evidence_stands_alone(made, found)


def _evidence_stands_alone(made: World, found: Audit) -> None:
    """Every exhibit verifies by the library's own primitives, with nothing of the auditor."""
    logs = {log.name: log.log.verifier for log in made.logs}
    by_origin = {log.log.verifier.name: log.log.verifier for log in made.logs}
    for finding in found.findings.list:
        if finding.word is not Word.FAIL:
            continue
        files = {each.name: each.content for each in finding.exhibits}
        assert files, finding
        for name, content in files.items():
            stem, _, kind = name.rpartition(".")
            if kind == "proof" and f"{stem}.entry" in files:
                origin = open_note_name(Receipt.parse(content).checkpoint)
                verify_receipt(content, files[f"{stem}.entry"], by_origin[origin])
            elif kind == "note":
                open_checkpoint(content, by_origin[open_note_name(content)])
            elif kind == "consistency":
                old, new, *path = content.decode().splitlines()
                _, small, old_root = old.split(" ")
                _, large, new_root = new.split(" ")
                proof = [decode_base64(each) for each in path]
                verify_consistency(int(small), int(large), decode_base64(old_root), decode_base64(new_root), proof)
                seen = [open_checkpoint(note, logs[finding.party]) for other, note in files.items() if other.endswith("-seen.note")]
                assert any(each.size == int(small) and each.root != decode_base64(old_root) for each in seen)


def open_note_name(note: bytes) -> str:
    return note.decode().split("\n", 1)[0]


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


# ---- missing evidence names nobody


def truncated(made: World, folder: Path) -> None:
    """A10: beta's folder ends earlier than what others hold of it."""
    beta = made.nodes["beta"]
    beta.rewrite(beta.entries[:-3])
    beta.write(folder / "beta")


def absent(made: World, folder: Path) -> None:
    (folder / "beta" / "checkpoint").unlink()


def damaged(made: World, folder: Path) -> None:
    path = next((folder / "beta/tile/entries").rglob("*/*"))
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)


def without_bundle(made: World, folder: Path) -> None:
    next((folder / "beta/tile/entries").rglob("*/*")).unlink()


def without_payloads(made: World, folder: Path) -> None:
    for name in ("coordinator", *made.nodes):
        for path in (folder / name / "blobs").iterdir():
            if path.stat().st_size == 24:
                path.unlink()


def without_accounts(made: World, folder: Path) -> None:
    for path in (folder / "coordinator" / "blobs").iterdir():
        if b'"releases"' in path.read_bytes():
            path.unlink()


def without_registry(made: World, folder: Path) -> None:
    (folder / "registry" / "checkpoint").unlink()


def unsigned_head(made: World, folder: Path) -> None:
    note = (folder / "beta/checkpoint").read_bytes()
    (folder / "beta/checkpoint").write_bytes(note.replace(b"beta\n", b"alpha\n", 1))


@pytest.mark.parametrize(
    "harm", [truncated, absent, damaged, without_bundle, without_payloads, without_accounts, without_registry, unsigned_head],
    ids=lambda harm: harm.__name__,
)  # fmt: skip
def test_a_harmed_copy_is_incomplete_and_names_nobody(tmp_path: Path, harm: Callable[[World, Path], None]) -> None:
    made = world()
    harm(made, made.export(tmp_path))
    found = audit(tmp_path, made.trust())
    assert not fails(found)
    assert found.findings.code is Code.INCOMPLETE


def test_charges_without_release_are_a_rate_and_requests_without_decision_name_nobody(tmp_path: Path) -> None:
    made = world()
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", question(salt=70), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put)
    made.take(made.request("rita", question(salt=71)))
    found = run(made, tmp_path)
    assert not fails(found)
    assert ("A13", "rate") in warns(found)
    assert found.findings.code is Code.CLEAN


def test_two_heads_of_a_log_that_is_not_here_are_found(tmp_path: Path) -> None:
    """A3 with the culprit's log withheld: two nodes hold what the coordinator signed for them."""
    made = world()
    log = made.coordinator
    made.nodes["alpha"].embed(log)
    made.nodes["beta"].embed(log, sign_checkpoint(log.origin, log.size, bytes(32), log.log))
    made.export(tmp_path)
    (tmp_path / "coordinator/checkpoint").unlink()
    found = audit(tmp_path, made.trust())
    assert ("A3", "coordinator") in fails(found)
    assert {party for _, party in fails(found)} == {"coordinator"}


def test_a_checkpoint_that_nobody_signed_convicts_nobody(tmp_path: Path) -> None:
    """Alpha invents a checkpoint of beta: beta is not named for it."""
    made = world()
    beta, alpha = made.nodes["beta"], made.nodes["alpha"]
    alpha.embed(beta, sign_checkpoint(beta.origin, beta.size, bytes(32), Signer.from_seed(beta.origin, b"x" * 32)))
    found = run(made, tmp_path)
    assert not fails(found)
    assert ("A1", "forged-checkpoint") in warns(found)


def test_evidence_can_be_opened_with_the_note_format_alone(tmp_path: Path) -> None:
    made = world()
    split_view(made)
    found = run(made, tmp_path)
    (finding,) = [each for each in found.findings.list if each.word is Word.FAIL]
    notes = [each.content for each in finding.exhibits if each.name.endswith(".note")]
    texts = {open_note(note, [made.coordinator.log.verifier]).text for note in notes}
    sizes = {text.split("\n")[1] for text in texts}
    assert len(texts) == 2
    assert len(sizes) == 1


def test_policy_is_signed_with_a_snapshot() -> None:
    """The builder's own policies are what the typed body accepts."""
    made = world()
    policy = Policy.read(made.nodes["alpha"].entries[1])
    assert policy.snapshots[0].id == SNAPSHOT
    assert policy.time == T0


def test_who_keeps_a_second_tree_as_evidence_is_not_named_for_it(tmp_path: Path) -> None:
    """A3: beta shows the coordinator another tree of a size that it has long outgrown; the coordinator embeds it all the same."""
    made = world()
    beta, coordinator = made.nodes["beta"], made.coordinator
    size = beta.size
    made.ask("rita", question(salt=60), nodes=["beta"])
    coordinator.embedded["beta"] = -1
    coordinator.embed(beta, sign_checkpoint(beta.origin, size, bytes(32), beta.log))
    found = run(made, tmp_path)
    assert fails(found) == {("A1", "beta"), ("A3", "beta")}
    _evidence_stands_alone(made, found)


def test_a_split_view_is_told_from_a_rewritten_past(tmp_path: Path) -> None:
    """A3: two nodes hold two trees of one size, and the coordinator's log has grown since: both checks fail, of the coordinator."""
    made = world()
    log = made.coordinator
    made.nodes["alpha"].embed(log)
    made.nodes["beta"].embed(log, sign_checkpoint(log.origin, log.size, bytes(32), log.log))
    made.ask("rita", question(salt=61), nodes=["gamma"])
    assert fails(run(made, tmp_path)) == {("A1", "coordinator"), ("A3", "coordinator")}


@pytest.mark.parametrize("minutes", [1, 60])
def test_a_charge_long_after_a_revocation_is_found_though_nothing_told_the_time_between(tmp_path: Path, minutes: int) -> None:
    """A5: beta logs ruben's request right after his revocation; only the charge states when."""
    made = world()
    put = made.take(made.request("ruben", question(salt=62), nodes=["beta"]))
    beta = made.nodes["beta"]
    beta.embed(made.coordinator)
    made.revoke("ruben")
    beta.embed(made.registry_log)
    made.now += 60 * minutes
    beta.keep(put.note)
    made.charge(beta, put)
    found = run(made, tmp_path)
    assert fails(found) == ({("A5", "beta")} if minutes == 60 else set())
    assert ("A5", "grace") in warns(found)


@pytest.mark.parametrize("heard", [True, False])
def test_a_withdrawal_marks_the_figures_that_rest_on_it(tmp_path: Path, heard: bool) -> None:
    """Also where the coordinator was never told: the university's own log says so, and names nobody."""
    made = world(witnesses=True)
    put = made.ask("rita", question(salt=63))
    alpha = made.nodes["alpha"]
    release = next(i for i, note in enumerate(alpha.entries) if b"/release" in note[:40] and put.id.encode() in note)
    if heard:
        made.withdraw(alpha, put, release)
    else:
        original = Original(index=release, sha256=statement_id(alpha.entries[release]))
        alpha.say(Withdrawal, release=original, request=put.id, number=0, reason="wrong file")
    found = run(made, tmp_path)
    assert not fails(found)
    assert found.findings.code is Code.CLEAN
    assert warns(found) == (set() if heard else {("A7", "unheard")})
    (line,) = [each for each in tell(found).questions if each.request == put.id]
    assert line.withdrawn == ("alpha",)


@pytest.mark.parametrize("days", [6, 8])
def test_a_log_that_its_witnesses_have_not_seen_for_a_week_is_old(tmp_path: Path, days: int) -> None:
    """A10: beta's newest checkpoint has its quorum, and everybody else goes on without it; a log may also have nothing to say."""
    made = world(witnesses=True)
    beta, head = made.nodes["beta"], made.nodes["beta"].head()
    made.now += days * DAY
    made.ask("rita", question(salt=64), nodes=["alpha", "gamma", "delta"])
    made.export(tmp_path)
    beta.write(tmp_path / "beta", head)
    found = audit(tmp_path, made.trust())
    assert not fails(found)
    assert found.findings.code is Code.CLEAN
    assert warns(found) == ({("A10", "old")} if days == 8 else set())


def test_a_new_log_that_counts_less_as_lost_than_others_have_seen_it_charge_is_a_warning(tmp_path: Path) -> None:
    """A6: beta charged three questions in its lost log, as the coordinator's log proves, and counts two of them."""
    made = world()
    made.new_log("beta")
    made.now += 3600
    made.policy(made.nodes["beta"], lost={"student": {"rho": 20_000_003, "time": made.now}})
    found = run(made, tmp_path)
    assert not fails(found)
    assert ("A6", "lost-less") in warns(found)


def test_a_receipt_for_an_entry_beyond_its_own_checkpoint_is_told_and_names_nobody(tmp_path: Path) -> None:
    """Found by fuzzing: such a receipt proves nothing, and was passed over without a word."""
    made = world()
    held = made.nodes["alpha"].receipts
    identity, receipt = next(iter(held.items()))
    line = next(each for each in receipt.split(b"\n") if each.startswith(b"index "))
    held[identity] = receipt.replace(line, b"index 4000", 1)
    found = run(made, tmp_path)
    assert not fails(found)
    assert ("A2", "alpha") in {(each.check, each.log) for each in found.findings.list if each.rule == "false-receipt"}
