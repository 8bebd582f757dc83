"""A14: a node that goes on from an old copy of its database would spend its budget twice and sign a second history.

And A13: a node that charges and does not answer, or that would like its charge back.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onenode import OneNode, Researcher, federation, question, statements
from witnessed import NAMES, Watchers, assign, until, watched

from collegium.errors import CollegiumError, Failed
from collegium.log.checkpoint import read_checkpoint, sign_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.note import Signer
from collegium.log.witness import contradiction
from collegium.party import publish
from collegium.party.lines import Lines
from collegium.party.mirrored import check_copy, fetch_from
from collegium.transport.status import TunnelError
from collegium.v1.log_pb2 import BlobReply, BlobRequest, CheckpointReply, EntriesReply, EntriesRequest
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node.recover import replay
from collegium_node.steward import sign_draft

World = tuple[OneNode, Researcher, Watchers]
RHO = 1_000


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A witnessed node whose budget is enough for six questions, three of which it has answered."""
    one, researcher = federation(tmp_path / "home")
    one.allow(researcher, rho=6 * RHO, lifetime=6 * RHO)
    watchers = assign(one)
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        for value in range(3):
            assert one.answer(researcher.ask(question(RHO, value=value))).answers[0].verdict == QuestionAnswer.RELEASED
    return one, researcher, watchers


def copy(one: OneNode, target: Path) -> Path:
    """What `backup` writes."""
    one.node.store.backup(target)
    return target


def restore(one: OneNode, backup: Path) -> OneNode:
    """Stop, put the old file back, start."""
    one.node.close()
    for path in one.home.root.glob("node.db*"):
        path.unlink()
    shutil.copy(backup, one.home.database)
    return OneNode(one.home.root, one.ministry, join=False)


def spend(one: OneNode, researcher: Researcher, watchers: Watchers, values: range) -> None:
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        for value in values:
            assert one.answer(researcher.ask(question(RHO, value=value))).answers[0].verdict == QuestionAnswer.RELEASED


def test_a14_the_witnesses_are_ahead_and_the_node_refuses_to_sign(world: World, tmp_path: Path) -> None:
    one, researcher, watchers = world
    backup = copy(one, tmp_path / "backup.db")
    one = restore(one, backup)
    spend(one, researcher, watchers, range(3, 6))  # the backup is the newest there is: it goes on
    seen = {name: known.size for name, known in watchers.known.items()}
    one = restore(one, backup)  # now it has forgotten three charges
    assert one.charged() == 3 * RHO
    before, asked = one.entries(), researcher.ask(question(RHO, value=9))
    with watched(one, watchers):
        until(lambda: one.node.permit.stopped)
        answer = one.answer(asked).answers[0]
    assert (answer.verdict, answer.reason, answer.decision) == (QuestionAnswer.FAILED, "restored", b"")
    assert (one.entries(), one.charged(), one.engine.drawn) == (before, 3 * RHO, [])
    assert {name: known.size for name, known in watchers.known.items()} == seen  # no second history at the witnesses
    # The proof is on the disk, is our own signature, and holds after every restart and for every command.
    again = OneNode(one.home.root, one.ministry, join=False)
    stopped = again.node.permit.stopped
    assert stopped is not None
    assert contradiction(stopped, again.node.journal.verifier, len(before), again.node.journal.tree.root) is not None
    with pytest.raises(Failed) as raised:
        again.policy()
    assert raised.value.reason == "restored"
    with pytest.raises(Failed, match="restored"):
        sign_draft(again.node)
    watchers.down = set(NAMES)
    assert again.answer(asked).answers[0].reason == "restored"


def test_a14_with_all_witnesses_cut_off_it_stays_silent(world: World, tmp_path: Path) -> None:
    """Whoever restores the backup may also cut the line: then nobody confirms, and nothing is charged."""
    one, researcher, watchers = world
    backup = copy(one, tmp_path / "backup.db")
    spend(one, researcher, watchers, range(3, 6))
    one = restore(one, backup)
    watchers.down = set(NAMES)
    with watched(one, watchers):
        until(lambda: watchers.asked > 30)
        assert one.answer(researcher.ask(question(RHO, value=9))).answers[0].reason == "not-confirmed"
    assert one.charged() == 3 * RHO


def test_a14_one_honest_witness_is_enough(world: World, tmp_path: Path) -> None:
    """The others were restored with it, or lie: the quorum needs every second history's witness to be in both."""
    one, researcher, watchers = world
    backup, known = copy(one, tmp_path / "backup.db"), dict(watchers.known)
    spend(one, researcher, watchers, range(3, 6))
    one = restore(one, backup)
    for name in NAMES[:2]:
        watchers.known[name] = known[name]
    with watched(one, watchers):
        until(lambda: one.node.permit.stopped)
    assert not one.node.permit.confirmed


def test_a14_a_published_folder_that_shows_more_is_proof_enough(world: World, tmp_path: Path) -> None:
    one, researcher, watchers = world
    backup = copy(one, tmp_path / "backup.db")
    spend(one, researcher, watchers, range(3, 6))
    one.node.quorum.save(now=True)
    publish.export(one.node, tmp_path / "audit")
    one = restore(one, backup)
    publish.check(one.node)
    assert one.node.permit.stopped is not None
    with pytest.raises(CollegiumError):
        publish.export(one.node, tmp_path / "audit")


def test_recover_replays_an_exported_copy_and_nothing_was_lost(world: World, tmp_path: Path) -> None:
    one, researcher, watchers = world
    backup = copy(one, tmp_path / "backup.db")
    asked = [researcher.ask(question(RHO, value=value)) for value in range(3, 6)]
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        answers = [one.answer(each).answers[0] for each in asked]
        until(lambda: one.node.quorum.confirmed_size() == len(one.entries()))
    one.node.quorum.save(now=True)
    publish.export(one.node, tmp_path / "audit")
    everything = one.entries()
    one = restore(one, backup)
    with watched(one, watchers):
        until(lambda: one.node.permit.stopped)
    taken = replay(one.node, tmp_path / "audit")
    assert taken == len(everything) - len(entries_of(backup))
    assert (one.entries(), one.charged(), one.node.permit.stopped) == (everything, 6 * RHO, None)
    one = OneNode(one.home.root, one.ministry, join=False)  # verifies log and checkpoint
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        again = [one.answer(each).answers[0] for each in asked]
        assert [statements(a) for a in again] == [statements(a) for a in answers]  # the same noise, no second charge
        refused = one.answer(researcher.ask(question(RHO, value=9))).answers[0]
        assert refused.reason.startswith("budget-")
    assert one.engine.drawn == []


def entries_of(database: Path) -> list[bytes]:
    with sqlite3.connect(database) as db:
        notes = [note for (note,) in db.execute("SELECT note FROM entries")]
    db.close()
    return notes


@pytest.mark.parametrize("what", ["older", "changed entry", "no payload", "another node's"])
def test_recover_believes_no_copy_that_does_not_prove_itself(world: World, tmp_path: Path, what: str) -> None:
    one, researcher, watchers = world
    backup, folder = copy(one, tmp_path / "backup.db"), tmp_path / "audit"
    if what == "older":
        one.node.quorum.save(now=True)
        publish.export(one.node, folder)
    spend(one, researcher, watchers, range(3, 6))
    one.node.quorum.save(now=True)
    if what != "older":
        publish.export(one.node, folder)
    log = folder / "univ-a"
    if what == "changed entry":
        bundle = next(path for path in (log / "tile" / "entries").rglob("*") if path.is_file())
        first, _, last = bundle.read_bytes().rpartition(b'"unit":"student"')  # of the newest charge, after the backup
        bundle.write_bytes(first + b'"unit":"teacher"' + last)
    elif what == "no payload":
        for path in (log / "blobs").iterdir():
            path.unlink()
    elif what == "another node's":
        note = (log / "checkpoint").read_bytes()
        (log / "checkpoint").write_bytes(note.replace(b"unis/univ-a", b"unis/univ-b"))
    one = restore(one, backup)
    with watched(one, watchers):
        until(lambda: one.node.permit.stopped)
    before = one.entries()
    with pytest.raises(CollegiumError):
        replay(one.node, folder)
    assert (one.entries(), one.charged()) == (before, 3 * RHO)
    assert one.node.permit.stopped is not None


class Coordinator:
    """Serves its copy of the log as it was when it was made; `lie` changes a reply."""

    def __init__(self, one: OneNode) -> None:
        self.note = one.node.quorum.published() or b""
        self.entries = one.entries()[: read_checkpoint(self.note).size]
        self.blobs = dict(one.node.store._db.execute("SELECT sha256, data FROM blobs").fetchall())
        self.lie: Callable[[str, Any], Any] = lambda _, reply: reply

    async def call(self, method: str, payload: bytes, *, timeout: float | None) -> bytes:
        name = method.rpartition("/")[2]
        if name == "Checkpoint":
            reply: Any = CheckpointReply(checkpoint=self.note)
        elif name == "Entries":
            asked = EntriesRequest.FromString(payload)
            reply = EntriesReply(first=asked.first, entries=self.entries[asked.first : asked.first + 2])
        else:
            reply = BlobReply(data=self.blobs[BlobRequest.FromString(payload).sha256])
        reply = self.lie(name, reply)
        if reply is None:
            raise TunnelError(12, "")
        return bytes(reply.SerializeToString())


@pytest.fixture
def copied(world: World, tmp_path: Path) -> tuple[OneNode, Researcher, Coordinator, list[bytes]]:
    """A node restored from before three charges, and the coordinator's copy with them."""
    one, researcher, watchers = world
    backup = copy(one, tmp_path / "backup.db")
    spend(one, researcher, watchers, range(3, 6))
    until(lambda: one.node.quorum.confirmed_size() == len(one.entries()))
    everything, there = one.entries(), Coordinator(one)
    return restore(one, backup), researcher, there, everything


def test_a14_the_coordinators_copy_stops_and_recovers_a_node(copied: tuple[OneNode, Researcher, Coordinator, list[bytes]]) -> None:
    one, researcher, there, everything = copied
    asyncio.run(check_copy(there, one.node, Lines(one.stream)))
    assert one.node.permit.stopped is not None
    assert one.answer(researcher.ask(question(RHO, value=9))).answers[0].reason == "restored"
    taken = replay(one.node, asyncio.run(fetch_from(there, one.node)))
    assert (one.entries(), one.charged(), one.node.permit.stopped) == (everything, 6 * RHO, None)
    assert taken == 6 + sum(b"/peer" in entry[:30] for entry in everything[-taken:]) + 3  # decisions and releases, requests, peers
    asyncio.run(check_copy(there, one.node, Lines(one.stream)))
    assert one.node.permit.stopped is None


def test_a14_a_claim_that_our_key_has_not_signed_stops_nothing(
    copied: tuple[OneNode, Researcher, Coordinator, list[bytes]],
) -> None:
    one, _, there, _ = copied
    stranger = Signer.generate(one.node.journal.origin)
    forged = sign_checkpoint(one.node.journal.origin, 10**6, b"\0" * 32, stranger)
    for reply in (None, CheckpointReply(), CheckpointReply(checkpoint=b"nonsense"), CheckpointReply(checkpoint=forged)):
        there.lie = lambda _, __, reply=reply: reply
        asyncio.run(check_copy(there, one.node, Lines(one.stream)))
        assert one.node.permit.stopped is None


@pytest.mark.parametrize("what", ["short", "changed", "swapped", "no payload", "another payload"])
def test_recover_believes_nothing_of_the_coordinators_copy(
    copied: tuple[OneNode, Researcher, Coordinator, list[bytes]], what: str
) -> None:
    one, _, there, everything = copied
    before = one.entries()
    if what == "short":
        there.entries = there.entries[:-1]
    elif what == "changed":
        there.entries = [entry.replace(b'"unit":"student"', b'"unit":"teacher"') for entry in there.entries]
    elif what == "swapped":
        there.entries = [*there.entries[:-2], *there.entries[:-3:-1]]
    elif what == "no payload":
        there.lie = lambda name, reply: BlobReply() if name == "Blob" else reply
    else:
        there.lie = lambda name, reply: BlobReply(data=b"\1" * 8) if name == "Blob" else reply
    with pytest.raises(CollegiumError):
        replay(one.node, asyncio.run(fetch_from(there, one.node)))
    assert (one.entries(), one.charged()) == (before, 3 * RHO)
    assert everything != before


def test_a13_a_charge_without_an_answer_stays_and_its_answer_is_made_later(world: World) -> None:
    one, researcher, watchers = world
    asked = researcher.ask(question(RHO, value=7))
    one.engine.on_tally = lambda: (_ for _ in ()).throw(RuntimeError("selective"))
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        failed = one.answer(asked).answers[0]
        assert (failed.verdict, failed.reason) == (QuestionAnswer.FAILED, "failed")
        assert failed.decision  # the charge that it took is shown with its receipt: it can be counted
        assert failed.decision_receipt
        assert one.charged() == 4 * RHO
        one.engine.on_tally = lambda: None
        assert one.answer(asked).answers[0].verdict == QuestionAnswer.RELEASED
    assert one.charged() == 4 * RHO


def test_a13_no_statement_gives_a_charge_back(world: World, tmp_path: Path) -> None:
    """Taking a charge out of the ledger by hand leaves the signed decision; the export, and with it every audit, still has it."""
    one, _, _ = world
    with one.node.store.write("theft") as db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute("DELETE FROM charges")
    one.node.quorum.save(now=True)
    publish.export(one.node, tmp_path / "audit")
    folder = LogFolder(tmp_path / "audit" / "univ-a")
    assert sum(b'"verdict":"charge"' in entry for entry in folder.entries()) == 3
    assert read_checkpoint(folder.checkpoint()).size == len(list(folder.entries()))
