"""Dishonest moves in a made federation of per-node answers, each with the keys of whoever makes it."""

from __future__ import annotations

from collections.abc import Callable

from madefed import FED, LogWriter, World, cosigner, key, question

from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import add_cosignatures
from collegium.log.note import Signer
from collegium.statements import Coverage, Decision, Original, PartNoise, Release, Revocation, Withdrawal

DAY = 86_400
Attack = Callable[[World], None]


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
