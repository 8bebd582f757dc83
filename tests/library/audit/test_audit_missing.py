"""What an audit says of copies that are cut off, damaged or absent, and of what looks like guilt and is none: it names nobody.

Counts as failure: a FAIL where evidence is only missing; a finding of a split or a late charge that is overlooked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from auditjudged import evidence_stands_alone, fails, run, warns, world
from auditmoves import (
    DAY,
    split_view,
)
from madefed import SNAPSHOT, T0, World, question

from collegium.audit.run import audit
from collegium.audit.story import tell
from collegium.audit.verdict import Code, Word
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.note import Signer, open_note
from collegium.log.statement import statement_id
from collegium.statements import Original, Policy, Withdrawal


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
    evidence_stands_alone(made, found)


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
