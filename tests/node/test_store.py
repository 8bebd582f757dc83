"""Durable or not at all: faults in the disk, two processes, a log that was touched."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from onenode import OneNode, federation, question, statements

from collegium.errors import Failed, Invalid, NotVerified
from collegium.log.checkpoint import open_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.merkle import leaf_hash, root
from collegium.party.publish import export
from collegium.party.store import StorageBroken
from collegium.statements import Peer
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node import store
from collegium_node.steward import InForce
from collegium_node.store import open_store

RELEASED = QuestionAnswer.RELEASED


POINTS = [f"{point} {purpose}" for purpose in ("charge", "release") for point in ("begin", "commit", "committed")]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), OSError(28, "No space left on device")])
def test_a_disk_that_refuses_breaks_the_store_and_the_next_process_goes_on(tmp_path: Path, point: str, error: Exception) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.node.close()

    def fault(step: str) -> None:
        if step == point:
            raise error

    broken = OneNode(tmp_path, one.ministry, join=False, fault=fault)
    asked = researcher.ask(question())
    if point.startswith("committed"):  # the write is there, and then the process fails: no refusal by the disk
        assert broken.answer(asked).answers[0].verdict == QuestionAnswer.FAILED
        assert broken.charged() == 1_000
    else:
        with pytest.raises(StorageBroken):
            broken.answer(asked)
        with pytest.raises(StorageBroken):  # and it stays broken: this process must end
            broken.answer(researcher.ask(question(value=1)))
    assert len(broken.engine.drawn) == (0 if "charge" in point else 1)
    broken.node.store._db.close()
    after = OneNode(tmp_path, one.ministry, join=False)
    assert after.answer(asked).answers[0].verdict == RELEASED
    assert after.charged() == 1_000
    assert len(after.entries("release")) == 1


def test_a_full_disk_is_a_clear_failure_and_loses_nothing(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    with one.node.store.read() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
    asked = []

    def fill() -> None:
        for value in range(200):
            asked.append(researcher.ask(question(value=value)))
            one.answer(asked[-1])

    with pytest.raises(StorageBroken, match="SQLITE_FULL") as raised:
        fill()
    assert "Free disk space" in raised.value.remedy
    charged = one.charged_by_file()
    one.node.close()
    after = OneNode(tmp_path, one.ministry, join=False)  # the disk has room again
    assert after.charged() == charged
    for each in asked:
        assert after.answer(each).answers[0].verdict == RELEASED
    assert after.charged() == 1_000 * len(asked)
    after.node.journal.verify()


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    size = len(one.entries())

    def half() -> None:
        with one.node.journal.write("test") as log:
            log.keep("request", b"x", request="r")
            log.db.execute("INSERT INTO meta VALUES ('a', 'b')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert len(one.entries()) == size
    assert one.node.journal.verify() == size


def test_the_checkpoint_is_signed_over_all_entries(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    for value in range(5):
        one.answer(researcher.ask(question(value=value)))
        with one.node.store.read() as db:
            (note,) = db.execute("SELECT note FROM head").fetchone()
        checkpoint = open_checkpoint(note, one.node.journal._log.verifier)
        notes = one.entries()
        assert (checkpoint.size, checkpoint.root) == (len(notes), root([leaf_hash(n) for n in notes]))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET note = CAST(note || 'x' AS BLOB) WHERE idx = 2",
        "UPDATE entries SET (note, leaf) = (SELECT note, leaf FROM entries WHERE idx = 1) WHERE idx = 2",
        "DELETE FROM entries WHERE idx = (SELECT MAX(idx) FROM entries)",
        "UPDATE entries SET idx = 1000 WHERE idx = (SELECT MAX(idx) FROM entries)",
        "DELETE FROM head",
    ],
)
def test_a_log_that_was_touched_stops_the_node(tmp_path: Path, change: str) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.answer(researcher.ask(question()))
    with one.node.store.read() as db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute(change)
    one.node.close()
    with pytest.raises(NotVerified):
        OneNode(tmp_path, one.ministry, join=False)


def test_two_processes_take_turns_in_one_log(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    two = OneNode(tmp_path, one.ministry, join=False)
    for value in range(6):
        (one, two)[value % 2].answer(researcher.ask(question(value=value)))
    assert one.node.journal.verify() == two.node.journal.verify() == len(one.entries())


def test_a_writer_that_never_comes_free_is_no_broken_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path / "node.db")
    other = sqlite3.connect(tmp_path / "node.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._db.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(Failed) as raised, store.write("test"):
        pass
    assert (raised.value.reason, store.broken) == ("busy", None)
    other.execute("ROLLBACK")
    with store.write("test") as db:
        db.execute("INSERT INTO meta VALUES ('a', 'b')")
    other.close()
    store.close()


def downgrade(path: Path) -> None:
    """The file as the first version wrote it: later formats have only added tables."""
    before_national(path)
    with sqlite3.connect(path) as db:
        for table in ("quorum", "peers", "receipts", "named", "witnessed", "splits"):
            db.execute(f"DROP TABLE {table}")
        db.execute("PRAGMA user_version = 1")
    db.close()


def before_national(path: Path) -> None:
    """The file as the version before national sums wrote it, format 2."""
    with sqlite3.connect(path) as db:
        for table in ("submissions", "rounds", "planned", "closes"):
            db.execute(f"DROP TABLE {table}")
        db.execute("PRAGMA user_version = 2")
    db.close()


def test_a_database_of_the_version_before_goes_on(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path / "home")
    one.allow(researcher)
    asked = [researcher.ask(question(value=value)) for value in range(3)]
    answers = [statements(one.answer(each).answers[0]) for each in asked]
    entries = one.entries()
    one.node.close()
    downgrade(one.home.database)
    after = OneNode(tmp_path / "home", one.ministry, join=False)
    assert after.entries() == entries
    assert [statements(after.answer(each).answers[0]) for each in asked] == answers
    assert after.answer(researcher.ask(question(value=9))).answers[0].verdict == RELEASED
    assert [Peer.read(note).origin for note in after.entries("peer")[-2:]] == ["unis/registry", "unis/coordinator"]
    done = export(after.node, tmp_path / "audit")
    assert done.shown == len(after.entries())
    assert len(LogFolder(done.folder).blobs()) == 4  # tallies of before are published too, and details are not


def test_a_database_of_format_2_goes_on_and_says_nothing_new(tmp_path: Path) -> None:
    """Also what it has signed stays as it is: its policy says nothing of release modes, and means the node's own figures."""
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    asked = researcher.ask(question())
    answer, entries = statements(one.answer(asked).answers[0]), one.entries()
    one.node.close()
    before_national(one.home.database)
    after = OneNode(tmp_path, one.ministry, join=False)
    after.allow(researcher)
    assert (after.entries(), statements(after.answer(asked).answers[0])) == (entries, answer)
    assert b"release" not in after.entries("policy")[-1]
    assert InForce(after.node.journal)().allow[0].release == ("per_node",)


def test_a_crash_while_it_is_brought_to_this_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.answer(researcher.ask(question()))
    one.node.close()
    downgrade(one.home.database)

    def crash(_: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "read_statement", crash)
        with pytest.raises(KeyboardInterrupt):
            OneNode(tmp_path, one.ministry, join=False)
    with sqlite3.connect(one.home.database) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()
    OneNode(tmp_path, one.ministry, join=False)


def test_a_database_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    open_store(tmp_path / "node.db").close()
    with sqlite3.connect(tmp_path / "node.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Invalid, match="format 99"):
        open_store(tmp_path / "node.db")


def test_the_database_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    open_store(tmp_path / "node.db").close()
    assert (tmp_path / "node.db").stat().st_mode & 0o077 == 0
