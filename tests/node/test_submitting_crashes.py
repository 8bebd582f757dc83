"""Power cuts, full disks, restored backups and time, at each write of a node's part in a national sum.

Failure: two different SUBMIT for one plan, whatever happened in between; a plan charged twice; a vector that was seen by anybody
and is hidden anew; an error that is not one of ours.
"""

from __future__ import annotations

import pickle
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aftermath import check_node
from nationalnode import FAILED, PROVINCES, REFUSED, RELEASED, RHO, Country, country, restore
from onenode import SCHEMA, T0, Asked
from witnessed import NAMES, ORIGIN, Watchers, until, watched

from collegium.errors import CollegiumError
from collegium.log.receipt import verify_receipt
from collegium.log.statement import statement_id
from collegium.national.statements import Submit
from collegium.party.publish import export
from collegium.party.store import StorageBroken
from collegium.statements import Decision
from collegium_node import submissions
from collegium_node.planned import Sent
from collegium_node.recover import replay

IO, CUT = "input/output", "power cut"
POINTS = [(at, purpose, how) for purpose in ("plan", "submit") for at in ("begin", "commit", "committed") for how in (IO, CUT)]


class Cut(BaseException):
    """Power goes out: nothing of ours runs any more."""


def submits(land: Country) -> list[bytes]:
    return land.one.entries("national-submit")


def faulty(at: str, how: str) -> Any:
    def fault(step: str) -> None:
        if step == at:
            raise Cut if how == CUT else sqlite3.OperationalError("disk I/O error")

    return fault


@pytest.mark.parametrize(("at", "purpose", "how"), POINTS)
def test_a_fault_at_each_write(tmp_path: Path, at: str, purpose: str, how: str) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    land.again(faulty(f"{at} {purpose}", how))
    with suppress(StorageBroken, Cut, CollegiumError, sqlite3.OperationalError):
        reply = land.submit(asked, sent)
        assert (reply.verdict, reply.vector) == (FAILED, b""), "what is not known to be on the disk does not leave"
    hidden_before = list(land.engine.hidden)
    land.again()
    charged = purpose == "submit" or at == "committed"
    signed = (at, purpose) == ("committed", "submit")
    assert (land.one.charged(), len(submits(land))) == (RHO * charged, int(signed))
    check_node(land.one.home.database)
    reply = land.submit(asked, sent)
    assert (reply.verdict, land.one.charged(), len(submits(land))) == (RELEASED, RHO, 1)
    if signed:
        assert reply.vector == hidden_before[0].vector.tobytes(), "what was stored leaves, and nothing else"
        assert len(land.engine.hidden) == 1
    else:
        assert reply.vector == land.engine.hidden[-1].vector.tobytes()
    assert land.submit(asked, sent) == reply
    check_node(land.one.home.database)


KILLS = [
    "committed plan",
    "committed submit",
    *(pytest.param(f"{at} {purpose}", marks=pytest.mark.long) for at in ("begin", "commit") for purpose in ("plan", "submit")),
]


@pytest.mark.parametrize("point", KILLS)
def test_a_process_that_is_killed(tmp_path: Path, point: str) -> None:
    """A real SIGKILL; what is there afterwards is what the operating system has of the files."""
    land, asked = country(tmp_path / "home")
    sent = land.send(asked)
    land.one.node.store._db.close()
    (tmp_path / "file").write_bytes(pickle.dumps((asked.note, asked.details, asked.receipt, sent)))
    child = [sys.executable, str(Path(__file__).with_name("submitting_child.py"))]
    run = subprocess.run(
        [*child, str(tmp_path / "home"), str(tmp_path / "file"), point], capture_output=True, check=False, timeout=60
    )
    assert (run.returncode, run.stdout) == (-signal.SIGKILL, b""), run.stderr.decode()
    land.again()
    there = [statement_id(each) for each in submits(land)]
    assert land.one.charged() == (0 if point in ("begin plan", "commit plan") else RHO)
    assert len(there) == (point == "committed submit")
    reply = land.submit(asked, sent)
    assert (reply.verdict, land.one.charged()) == (RELEASED, RHO)
    assert [statement_id(each) for each in submits(land)] == [statement_id(reply.submit)]
    assert there in ([], [statement_id(reply.submit)])
    assert len(land.engine.hidden) == (0 if there else 1)
    check_node(land.one.home.database)


def test_a_charged_plan_that_was_not_submitted_in_time_is_over(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    failing(land, asked, sent)
    land.one.now[0] = T0 + 3601
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason, reply.vector) == (REFUSED, "round-over", b"")
    assert (Decision.read(reply.decision).plan, land.one.charged()) == (statement_id(sent.note), RHO)
    assert (submits(land), land.engine.hidden) == ([], [])


def test_a_deadline_that_passes_while_rows_are_counted(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    land.engine.on_tally = lambda: land.one.now.__setitem__(0, T0 + 3601)
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason, submits(land)) == (REFUSED, "round-over", [])
    assert land.one.charged() == RHO


def test_a_retry_finishes_on_its_own_snapshot_with_fresh_seeds(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    failing(land, asked, sent)
    land.ministry.new_schema((SCHEMA + PROVINCES).replace("version = 1", "version = 2"))
    land.one.learn()
    land.one.snapshot("00000000000000b2", schema="small/2")
    asked_of: list[str] = []
    tally = land.engine.tally
    land.engine.tally = lambda layout, schema, snapshot: (asked_of.append(snapshot), tally(layout, schema, snapshot))[1]  # type: ignore[method-assign]
    reply = land.submit(asked, sent)
    assert (reply.verdict, asked_of, land.one.charged()) == (RELEASED, ["00000000000000a1"], RHO)
    assert Decision.read(reply.decision).snapshot == "00000000000000a1"


def failing(land: Country, asked: Asked, sent: Sent) -> None:
    """Charge the plan and break before anything is hidden."""

    def fail() -> None:
        raise RuntimeError("power")

    land.engine.on_tally = fail
    assert land.submit(asked, sent).verdict == FAILED
    land.engine.on_tally = lambda: None
    assert land.one.charged() == RHO


@pytest.mark.parametrize("from_nothing", [True, False])
def test_a_database_made_again_from_its_log_hides_nothing_anew(tmp_path: Path, from_nothing: bool) -> None:
    """The log says that the plan was submitted; the bytes are lost, and the round is over for this node."""
    land, asked = country(tmp_path / "home")
    again = land.ask()
    sent, other = land.send(asked), land.send(again)
    backup = tmp_path / "backup.db"
    if from_nothing:
        land.one.node.store.backup(backup)
    failing(land, again, other)
    if not from_nothing:  # the backup knows the charge, and not the submission
        land.one.node.store.backup(backup)
    first = land.submit(asked, sent)
    ledger = rows(land, "charges"), land.rounds()
    export(land.one.node, tmp_path / "audit")
    restore(land, backup)
    assert replay(land.one.node, tmp_path / "audit") > 0
    assert (rows(land, "charges"), land.rounds()) == ledger
    hidden, entries = len(land.engine.hidden), submits(land)
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason, reply.vector, reply.submit) == (REFUSED, "round-over", b"", b"")
    assert (len(land.engine.hidden), submits(land)) == (hidden, entries)
    assert [statement_id(each) for each in submits(land)] == [statement_id(first.submit)]
    assert land.one.charged() == 2 * RHO
    assert land.submit(again, other).verdict == RELEASED, "charged, and never seen by anybody: it goes on"
    assert land.submit(asked, land.send(asked)).reason == "round-over", "a question of a request has one plan, here too"
    assert land.one.charged() == 2 * RHO
    check_node(land.one.home.database)


def test_a_log_with_a_submission_without_its_charge_is_not_taken(tmp_path: Path) -> None:
    land, _ = country(tmp_path / "home")
    backup = tmp_path / "backup.db"
    land.one.node.store.backup(backup)
    with land.one.node.journal.write("test") as log:
        body = Submit(
            log=log.place, registry=log.registry, time=log.now, plan="a" * 64, member=0, decision=0,
            seeds=("1" * 64, "2" * 64, "3" * 64), vector={"sha256": "4" * 64, "size": 48}, commitment="5" * 64,  # type: ignore[arg-type]
        )  # fmt: skip
        log.sign(body)
    export(land.one.node, tmp_path / "audit")
    restore(land, backup)
    with pytest.raises(CollegiumError, match="without its charge"):
        replay(land.one.node, tmp_path / "audit")
    assert land.rounds() == []


def test_vectors_are_deleted_after_their_time_and_the_entry_stays(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    first = land.submit(asked, sent)
    deadline = T0 + 3600
    assert submissions.forget(land.one.node.store, deadline + 90 * 86_400, 90) == 0
    assert land.submit(asked, sent) == first
    assert submissions.forget(land.one.node.store, deadline + 90 * 86_400 + 1, 90) == 1
    assert submissions.forget(land.one.node.store, deadline + 90 * 86_400 + 1, 90) == 0
    assert rows(land, "submissions") == []
    hidden = len(land.engine.hidden)
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason, len(land.engine.hidden)) == (REFUSED, "round-over", hidden)
    assert [statement_id(each) for each in submits(land)] == [statement_id(first.submit)]
    assert land.one.charged() == RHO


def test_no_seed_and_no_open_vector_is_kept(tmp_path: Path) -> None:
    """Whoever reads the node's files, or a backup of them, finds nothing that opens what it has sent."""
    land, asked = country(tmp_path)
    sent = land.send(asked)
    reply = land.submit(asked, sent)
    opened = land.under_the_masks(sent, reply)
    land.one.node.store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert reply.vector in files, "else nothing was looked at"
    assert opened.tobytes() not in files
    assert land.engine.figures.tobytes() not in files
    for seed in land.seeds(sent, reply):
        assert seed not in files


def rows(land: Country, table: str) -> list[Any]:
    with land.one.node.store.read() as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


def test_a_node_that_may_not_sign_yet_charges_nothing(tmp_path: Path) -> None:
    """Witnesses have not confirmed that this is its newest log."""
    land, asked = country(tmp_path)
    land.ministry.assign(land.one.node.journal.origin, "univ-b", "univ-c", "univ-d", quorum=3)
    land.one.learn()
    reply = land.submit(asked, land.send(asked))
    assert (reply.verdict, reply.reason, land.one.charged()) == (FAILED, "not-confirmed", 0)


def test_nothing_leaves_before_the_witnesses_have_confirmed_it(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    land.ministry.assign(ORIGIN, *NAMES, quorum=3)
    land.one.learn()
    watchers = Watchers(land.ministry)
    with watched(land.one, watchers):
        until(lambda: land.one.node.permit.confirmed)
        sent = land.send(asked)
        watchers.down = set(NAMES)
        reply = land.submit(asked, sent)
        assert (reply.verdict, reply.reason, reply.vector, list(reply.sealed)) == (FAILED, "pending", b"", [])
        assert len(submits(land)) == 1, "it is signed and stored, and waits"
        watchers.down = set()
        until(lambda: land.submit(asked, sent).verdict == RELEASED)
        done = land.submit(asked, sent)
    (hidden,) = land.engine.hidden
    assert (done.vector, land.one.charged()) == (hidden.vector.tobytes(), RHO)
    keys, need = land.registry().witnesses_of(ORIGIN)
    for receipt, note in ((done.decision_receipt, done.decision), (done.submit_receipt, done.submit)):
        verify_receipt(receipt, note, land.one.node.journal.verifier, witnesses=keys, quorum=need)
