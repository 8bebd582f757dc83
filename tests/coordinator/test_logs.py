"""Reading the two logs: static files and gRPC show the same entries, and nothing that may have to be erased."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from collegium.errors import NotVerified
from collegium.log.checkpoint import open_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.merkle import leaf_hash, verify_consistency, verify_inclusion
from collegium.log.receipt import verify_receipt
from collegium.log.statement import statement_id
from collegium.registry import Registry
from collegium.statements import Decision, Release, Request
from collegium.transport.channels import TlsFiles, client_channel
from collegium.v1.log_pb2 import BlobRequest, CheckpointRequest, ConsistencyRequest, EntriesRequest, InclusionRequest
from collegium.v1.log_pb2_grpc import LogStub
from collegium_coordinator.backup import backup
from collegium_coordinator.cli import app

RUNNER = CliRunner()


def scene(federation: Any, play: Callable[[Any, list[Any], Any], Any]) -> None:
    async def run() -> None:
        async with federation.serving(), AsyncExitStack() as stack:
            nodes = [await federation.node(f"u{n}", value=n) for n in (1, 2)]
            alice = await federation.researcher()
            for node in nodes:
                await stack.enter_async_context(federation.link(node))
            await federation.all_connected(*nodes)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))

            async def ask(number: int) -> str:
                request = alice.request(await alice.registry(stub), ["u1", "u2"], nonce=f"{number:032x}", purpose="canary 4711")
                done = await federation.ask(stub, request)
                await federation.result(stub, done.request_id)
                return str(done.request_id)

            await play(ask, nodes, alice)

    asyncio.run(run())


def export(federation: Any, folder: Path) -> Any:
    return RUNNER.invoke(app, ["log", "export", str(folder), "--home", str(federation.home.path)], catch_exceptions=False)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_holds_both_logs_whole_and_grows_with_them(federation: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    async def play(ask: Any, nodes: list[Any], _alice: Any) -> None:
        store = federation.coordinator.store
        for number in range(3):
            await ask(number)
            done = await asyncio.to_thread(export, federation, folder)
            assert done.exit_code == 0, done.output
            registry = Registry(federation.founded.registry_vkey)
            shown = LogFolder(folder / "registry")
            registry.extend(list(shown.entries()), shown.checkpoint())
            own = LogFolder(folder / "coordinator")
            head = open_checkpoint(own.checkpoint(), registry.coordinator_log)
            entries = list(own.entries())
            assert entries == [bytes(row[0]) for row in store.rows("SELECT entry FROM entries ORDER BY idx")]
            assert own.tree().root(head.size) == head.root
            # Every decision and release here is in its node's log, by the receipt beside it.
            proven = 0
            for entry in entries:
                for kind in (Decision, Release):
                    if entry.startswith(f"collegium/v1/{kind.kind}\n".encode()):
                        origin = kind.read(entry).log.origin
                        key = registry.party(origin.split("/")[1]).log
                        verify_receipt((folder / f"coordinator/receipts/{statement_id(entry)}.proof").read_bytes(), entry, key)
                        proven += 1
            # The same question again is a reuse: one release of each node, and a decision for each time it was asked.
            assert proven == 2 + 2 * (number + 1)

    scene(federation, play)


def test_the_same_export_twice_writes_the_same(federation: Any, tmp_path: Path) -> None:
    async def play(ask: Any, _nodes: list[Any], _alice: Any) -> None:
        await ask(1)

    scene(federation, play)
    export(federation, tmp_path / "out")
    before = files(tmp_path / "out")
    assert "coordinator/checkpoint" in before
    export(federation, tmp_path / "out")
    assert files(tmp_path / "out") == before


def test_no_purpose_and_no_statement_text_is_published(federation: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    async def play(ask: Any, _nodes: list[Any], alice: Any) -> None:
        identity = await ask(1)
        await asyncio.to_thread(export, federation, folder)
        assert all(b"canary" not in content for content in files(folder).values())
        note = federation.coordinator.store.row("SELECT entry FROM entries WHERE kind = 'request'")[0]
        details = Request.read(note).details
        assert federation.coordinator.store.blob(details) is not None
        assert not (folder / "coordinator" / "blobs" / details).exists()
        async with reader(federation, alice) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Blob(BlobRequest(origin="demo/coordinator", sha256=details))
            assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        assert identity

    scene(federation, play)


@asynccontextmanager
async def reader(federation: Any, party: Any) -> AsyncIterator[Any]:
    chain, key = party.keys.tls()
    me = TlsFiles(federation.ca, chain, key)
    channel = client_channel(f"127.0.0.1:{federation.ports.main}", ca=federation.ca, server="coordinator", me=me)
    try:
        yield LogStub(channel)
    finally:
        await channel.close()


def test_members_read_both_logs_over_grpc_and_verify_them(federation: Any) -> None:
    async def play(ask: Any, nodes: list[Any], alice: Any) -> None:
        await ask(1)
        registry = federation.coordinator.registry.registry
        keys = {"demo/coordinator": registry.coordinator_log, "demo/registry": registry.registry_log}
        for party in (alice, nodes[0]):
            async with reader(federation, party) as stub:
                for origin, key in keys.items():
                    head = open_checkpoint((await stub.Checkpoint(CheckpointRequest(origin=origin))).checkpoint, key)
                    entries: list[bytes] = []
                    while len(entries) < head.size:
                        page = await stub.Entries(EntriesRequest(origin=origin, first=len(entries), count=2))
                        assert (page.first, page.size) == (len(entries), head.size)
                        assert 0 < len(page.entries) <= 2
                        entries.extend(page.entries)
                    for index, entry in enumerate(entries):
                        proof = (await stub.Inclusion(InclusionRequest(origin=origin, index=index, size=head.size))).hashes
                        verify_inclusion(leaf_hash(entry), index, head.size, list(proof), head.root)
                    proof = (await stub.Consistency(ConsistencyRequest(origin=origin, old_size=1, size=head.size))).hashes
                    verify_consistency(1, head.size, leaf_hash(entries[0]), head.root, list(proof))
                    for wrong in (
                        stub.Inclusion(InclusionRequest(origin=origin, index=0, size=head.size + 1)),
                        stub.Inclusion(InclusionRequest(origin=origin, index=2**63, size=1)),
                        stub.Consistency(ConsistencyRequest(origin=origin, old_size=2, size=1)),
                    ):
                        with pytest.raises(grpc.aio.AioRpcError) as refused:
                            await wrong
                        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
                    far = await stub.Entries(EntriesRequest(origin=origin, first=2**63, count=1))
                    assert list(far.entries) == []
                with pytest.raises(grpc.aio.AioRpcError) as refused:  # the copy of a node's log is for that node alone
                    await stub.Checkpoint(CheckpointRequest(origin="demo/u2"))
                assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        # And up the tunnel, as nodes behind a firewall do.
        payload = CheckpointRequest(origin="demo/registry").SerializeToString()
        assert await nodes[0].endpoint.call("/collegium.v1.Log/Checkpoint", payload, timeout=5.0)

    scene(federation, play)


def test_an_export_of_an_older_database_into_a_newer_folder_is_refused(federation: Any, tmp_path: Path) -> None:
    folder, database = tmp_path / "out", federation.home.database
    copies: list[Path] = []

    async def play(ask: Any, _nodes: list[Any], _alice: Any) -> None:
        await ask(1)
        copies.append(tmp_path / "old.db")
        await asyncio.to_thread(backup, federation.home, copies[0])
        await ask(2)
        await asyncio.to_thread(export, federation, folder)

    scene(federation, play)
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    database.write_bytes(copies[0].read_bytes())
    shown = files(folder)
    with pytest.raises(NotVerified, match="shows"):
        export(federation, folder)
    assert {path: content for path, content in files(folder).items() if not path.startswith("registry")} == {
        path: content for path, content in shown.items() if not path.startswith("registry")
    }
