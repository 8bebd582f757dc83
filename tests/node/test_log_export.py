"""Reading a node's log: static files and calls show the confirmed part, whole, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from onenode import OneNode, Researcher, federation, question
from witnessed import NAMES, ORIGIN, assign, until, watched

from collegium.log.checkpoint import open_checkpoint, read_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.merkle import leaf_hash, root, verify_consistency, verify_inclusion
from collegium.log.receipt import verify_receipt
from collegium.log.statement import statement_id
from collegium.party.logservice import LogService, WitnessService
from collegium.party.publish import export
from collegium.party.witness import Witnessing
from collegium.statements import Peer, Release
from collegium.transport.dispatch import handlers_of
from collegium.transport.status import TunnelError, to_public_status
from collegium.v1 import log_pb2, witness_pb2

World = tuple[OneNode, Researcher]


@pytest.fixture
def world(tmp_path: Path) -> World:
    one, researcher = federation(tmp_path / "home")
    one.allow(researcher)
    for value in range(3):
        one.answer(researcher.ask(question(value=value)))
    return one, researcher


def check(one: OneNode, folder: Path) -> LogFolder:
    """Everything an auditor would: entries, tiles, payloads, receipts, by the keys of the registry alone."""
    log = LogFolder(folder / "univ-a")
    head = open_checkpoint(log.checkpoint(), one.node.journal.verifier)
    entries = list(log.entries())
    assert entries == one.entries()[: head.size]
    assert root([leaf_hash(entry) for entry in entries]) == head.root == log.tree().root(head.size)
    payloads = {Release.read(e).payload.sha256 for e in entries if e.startswith(b"collegium/v1/release\n")}
    assert set(log.blobs()) == payloads
    assert all(log.blob(sha256) for sha256 in payloads)
    requests = {statement_id(e): e for e in entries if e.startswith(b"collegium/v1/request\n")}
    assert set(log.receipts()) == set(requests)
    for identity, note in requests.items():
        verify_receipt(log.receipt(identity).to_bytes(), note, one.ministry.coordinator_log.verifier)
    return log


def test_an_export_verifies_and_grows(world: World, tmp_path: Path) -> None:
    one, researcher = world
    done = export(one.node, tmp_path / "audit")
    assert (done.shown, done.waiting) == (len(one.entries()), 0)
    log = check(one, tmp_path / "audit")
    assert len(log.blobs()) == 3
    times = {path: path.stat().st_mtime_ns for path in (log.path / "blobs").iterdir()}
    export(one.node, tmp_path / "audit")
    one.answer(researcher.ask(question(value=3)))
    export(one.node, tmp_path / "audit")
    assert len(check(one, tmp_path / "audit").blobs()) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_requests_stand_after_the_checkpoint_that_the_coordinator_showed_with_them(world: World) -> None:
    one, _ = world
    shown: dict[str, int] = {}
    for note in one.entries():
        if note.startswith(b"collegium/v1/peer\n"):
            body = Peer.read(note)
            assert read_checkpoint(body.note).size > shown.get(body.origin, 0)
            shown[body.origin] = body.size
        elif note.startswith(b"collegium/v1/request\n"):
            assert shown[one.ministry.registry_log.name] == len(one.ministry.entries)
            assert one.ministry.logged.index(note) < shown[one.ministry.coordinator_log.name]


def test_a_registry_that_is_new_stands_before_what_is_judged_by_it(world: World) -> None:
    one, _ = world
    newcomer = Researcher(one.ministry, "wang-fang")
    one.learn()
    size = len(one.entries())
    one.answer(newcomer.ask(question()))
    kinds = [note.split(b"\n")[0] for note in one.entries()[size:]]
    assert kinds[0] == b"collegium/v1/peer"
    body = Peer.read(one.entries()[size])
    assert (body.origin, body.size) == (one.ministry.registry_log.name, len(one.ministry.entries))


def test_what_the_witnesses_have_not_confirmed_is_not_exported(world: World, tmp_path: Path) -> None:
    one, researcher = world
    watchers = assign(one)
    node = [str(Path(sys.executable).with_name("collegium-node")), "log", "export", str(tmp_path / "audit"), "--home"]
    early = subprocess.run([*node, str(one.home.root)], capture_output=True, text=True, check=False)
    assert early.returncode == 1
    assert "confirmed by its witnesses" in early.stderr
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        one.answer(researcher.ask(question(value=4)))
        watchers.down = set(NAMES)
        one.answer(researcher.ask(question(value=5)))
    one.node.quorum.save(now=True)
    said = subprocess.run([*node, str(one.home.root)], capture_output=True, text=True, check=True).stdout
    assert "not confirmed" in said
    log = check(one, tmp_path / "audit")
    assert log.size() < len(one.entries())
    assert len(log.blobs()) == 4


def call(one: OneNode, method: str, message: Any, reply: Any) -> Any:
    """A call as it comes down the tunnel."""

    async def work(do: Any) -> Any:
        return await asyncio.to_thread(do)

    name = method.split("/")[0]
    servicer: Any = LogService(one.node, work) if name == "Log" else WitnessService(Witnessing(one.node, lambda: 0.0), work)
    module: Any = log_pb2 if name == "Log" else witness_pb2
    handlers = handlers_of(servicer, module.DESCRIPTOR.services_by_name[name], status=to_public_status)
    return reply.FromString(asyncio.run(handlers[f"/collegium.v1.{method}"](message.SerializeToString(), None)))


def test_the_log_is_read_by_calls(world: World) -> None:
    one, _ = world
    note = call(one, "Log/Checkpoint", log_pb2.CheckpointRequest(origin=ORIGIN), log_pb2.CheckpointReply).checkpoint
    head = open_checkpoint(note, one.node.journal.verifier)
    entries: list[bytes] = []
    while len(entries) < head.size:
        page = call(one, "Log/Entries", log_pb2.EntriesRequest(origin=ORIGIN, first=len(entries), count=4), log_pb2.EntriesReply)
        assert (page.first, page.size) == (len(entries), head.size)
        entries += page.entries
    leaves = [leaf_hash(entry) for entry in entries]
    assert root(leaves) == head.root
    for index in range(head.size):
        message = log_pb2.InclusionRequest(origin=ORIGIN, index=index, size=head.size)
        proof = call(one, "Log/Inclusion", message, log_pb2.ProofReply).hashes
        verify_inclusion(leaves[index], index, head.size, list(proof), head.root)
        asked = log_pb2.ConsistencyRequest(origin=ORIGIN, old_size=index, size=head.size)
        path = call(one, "Log/Consistency", asked, log_pb2.ProofReply).hashes
        verify_consistency(index, head.size, root(leaves[:index]), head.root, list(path))
    for entry in entries:
        if entry.startswith(b"collegium/v1/release\n"):
            sha256 = Release.read(entry).payload.sha256
            data = call(one, "Log/Blob", log_pb2.BlobRequest(origin=ORIGIN, sha256=sha256), log_pb2.BlobReply).data
            assert data in one.engine.drawn


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("Log/Checkpoint", log_pb2.CheckpointRequest(origin="elsewhere")),
        ("Log/Entries", log_pb2.EntriesRequest(origin="unis/univ-b")),
        ("Log/Inclusion", log_pb2.InclusionRequest(origin=ORIGIN, index=0, size=10_000)),
        ("Log/Inclusion", log_pb2.InclusionRequest(origin=ORIGIN, index=5, size=5)),
        ("Log/Consistency", log_pb2.ConsistencyRequest(origin=ORIGIN, old_size=7, size=3)),
        ("Log/Blob", log_pb2.BlobRequest(origin=ORIGIN, sha256="0" * 64)),
        ("Log/Blob", log_pb2.BlobRequest(origin=ORIGIN, sha256="../../keys/log")),
        ("Witness/Cosign", witness_pb2.CosignRequest(checkpoint=b"x")),
    ],
)
def test_what_there_is_not_is_refused(world: World, method: str, message: Any) -> None:
    one, _ = world
    with pytest.raises(TunnelError):
        call(one, method, message, log_pb2.ProofReply)


def test_the_details_of_a_request_are_not_published(world: World, tmp_path: Path) -> None:
    """Who asked what for, in free text, may have to be erased: it goes to nobody who reads the log."""
    one, researcher = world
    asked = researcher.ask(question(value=9), purpose="SECRET PURPOSE")
    one.answer(asked)
    export(one.node, tmp_path / "audit")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "audit").rglob("*") if path.is_file())
    assert b"SECRET PURPOSE" not in everything
