"""Copies of the nodes' logs: whoever sends them, only what the log's own key has signed is kept and shown.

Failure: an entry that the checkpoint does not hold is shown to somebody, a copy shrinks or forks, a hostile node fills the disk, a
restored ministry does not find out from what stands in the nodes' logs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from collegium.errors import CollegiumError, Failed, Invalid, NotVerified
from collegium.keys import load_signer, log_name, statements_name
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer, encode_base64
from collegium.log.statement import sign_statement
from collegium.statements import LogPlace, Peer, RegistryView
from collegium.transport.status import TunnelError
from collegium.v1.log_pb2 import BlobReply, BlobRequest, CheckpointReply, EntriesReply, EntriesRequest
from collegium_coordinator.backup import copy_database
from collegium_coordinator.config import Home
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.mirroring import Mirroring
from collegium_coordinator.permit import missing
from collegium_coordinator.recover import recover
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.standing import Standing
from collegium_coordinator.store import Store

NODE, OURS = "demo/u1", "demo/coordinator"
VIEW = RegistryView(size=0, root=encode_base64(root([])))


class Log:
    """A node's log and the calls it answers. Tests make it lie."""

    def __init__(self) -> None:
        self.statements, self.log = Signer.generate(statements_name("demo", "u1")), Signer.generate(log_name("demo", "u1"))
        self.entries: list[bytes] = []
        self.blobs: dict[str, bytes] = {}
        self.shown: list[bytes] | None = None  # other entries than those under the checkpoint
        self.size: int | None = None  # another size than that of the entries
        self.asked: list[str] = []

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            self.entries.append(sign_statement("note", {"n": len(self.entries)}, self.statements))

    def add_peer(self, checkpoint: bytes, origin: str, size: int, tree: bytes) -> None:
        peer = Peer(
            log=LogPlace(origin=NODE, index=len(self.entries)), registry=VIEW, time=1, origin=origin, size=size,
            root=encode_base64(tree), checkpoint=checkpoint.decode(),
        )  # fmt: skip
        self.entries.append(peer.sign(self.statements))

    def head(self) -> bytes:
        size = len(self.entries) if self.size is None else self.size
        return sign_checkpoint(NODE, size, root([leaf_hash(each) for each in self.entries[:size]]), self.log)

    async def call(self, method: str, payload: bytes, *, timeout: float | None) -> bytes:
        name = method.rpartition("/")[2]
        self.asked.append(name)
        if name == "Checkpoint":
            return CheckpointReply(checkpoint=self.head()).SerializeToString()
        if name == "Entries":
            request = EntriesRequest.FromString(payload)
            entries = (self.entries if self.shown is None else self.shown)[request.first : request.first + request.count][:3]
            return EntriesReply(first=request.first, entries=entries, size=len(self.entries)).SerializeToString()
        data = self.blobs.get(BlobRequest.FromString(payload).sha256)
        if data is None:
            raise TunnelError(5, "no such payload")
        return BlobReply(data=data).SerializeToString()


class World:
    def __init__(self, folder: Path) -> None:
        self.node = Log()
        self.ours = Signer.generate(OURS)
        self.seen: list[tuple[str, str]] = []
        self.mirror = Mirror(folder / "mirror.db")
        registry = SimpleNamespace(
            registry=SimpleNamespace(party=lambda _: SimpleNamespace(log=self.node.log.verifier)),
            size=0,
            verifier=Signer.generate("demo/registry").verifier,
        )
        connection = SimpleNamespace(client=SimpleNamespace(caller=self.node), known=0)
        nodes = SimpleNamespace(get=lambda _: connection, names=lambda: ["u1"])
        store = SimpleNamespace(row=lambda *_: None)
        self.mirroring = Mirroring(
            self.mirror, store, registry, nodes, {OURS: self.ours.verifier}, largest=20_000, clock=lambda: 7.0,
            on_shown=lambda origin, holder, _: self.seen.append((origin, holder)),
        )  # type: ignore[arg-type]  # fmt: skip

    def read(self) -> None:
        asyncio.run(self.mirroring.read("u1"))

    def copy(self) -> list[bytes]:
        return self.mirror.entries(self.node.log.verifier, 0, 10_000)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.mirror.close()


def test_a_log_is_copied_as_it_grows_and_only_what_is_new_is_fetched(world: World) -> None:
    for grown in (0, 1, 5, 0, 9):
        world.node.add(grown)
        world.node.asked.clear()
        world.read()
        assert world.copy() == world.node.entries
        assert world.node.asked.count("Entries") == -(-grown // 3)
    copied = world.mirror.copied(world.node.log.verifier)
    assert (copied.size, copied.weight, copied.time) == (15, sum(map(len, world.node.entries)), 7.0)
    assert copied.checkpoint == world.node.head()


def lie_another_entry(node: Log) -> None:
    node.shown = [*node.entries[:-1], sign_statement("note", {"n": 99}, node.statements)]


def lie_missing_entries(node: Log) -> None:
    node.shown = node.entries[:-1]


def lie_nonsense(node: Log) -> None:
    node.shown = [*node.entries[:-1], b"nonsense"]


def lie_rewritten_past(node: Log) -> None:
    node.entries[0] = sign_statement("note", {"n": 98}, node.statements)


def lie_huge_entry(node: Log) -> None:
    node.shown = [*node.entries[:-1], b"x" * 70_000]


@pytest.mark.parametrize(
    "lie", [lie_another_entry, lie_missing_entries, lie_nonsense, lie_rewritten_past, lie_huge_entry], ids=lambda f: f.__name__
)
def test_what_does_not_verify_is_dropped_and_never_shown(world: World, lie: Any) -> None:
    world.node.add(4)
    world.read()
    before = world.copy()
    world.node.add(3)
    honest = list(world.node.entries)
    lie(world.node)
    for _ in range(2):
        with pytest.raises(CollegiumError):
            world.read()
        assert world.copy() == before
    world.node.entries, world.node.shown = honest, None
    world.read()
    assert world.copy() == honest


def test_another_key_or_a_smaller_log_changes_nothing(world: World) -> None:
    world.node.add(5)
    world.read()
    before = world.copy()
    world.node.size = 3
    with pytest.raises(NotVerified, match="restored from a backup"):
        world.read()
    world.node.size = None
    world.node.entries[1] = sign_statement("note", {"n": 97}, world.node.statements)
    with pytest.raises(NotVerified, match="two trees"):
        world.read()
    assert world.copy() == before


def test_a_hostile_log_does_not_fill_the_disk(world: World) -> None:
    world.node.entries = [sign_statement("note", {"x": "y" * 5_000}, world.node.statements) for _ in range(5)]
    with pytest.raises(Invalid, match="largest_mib"):
        world.read()
    assert world.copy() == []


def test_our_own_signature_in_a_nodes_log_is_shown_and_kept_and_a_claim_is_not(world: World) -> None:
    def checkpoint(size: int, signer: Signer) -> tuple[bytes, bytes]:
        tree = root([hashlib.sha256(b"%d" % n).digest() for n in range(size)])
        return sign_checkpoint(OURS, size, tree, signer), tree

    for size, signer in ((3, world.ours), (7, world.ours), (9, Signer.generate(OURS)), (5, world.ours)):
        note, tree = checkpoint(size, signer)
        world.node.add_peer(note, OURS, size, tree)
    world.read()
    assert world.seen == [(OURS, "u1")]
    assert world.mirror.shown(OURS) == ("u1", checkpoint(7, world.ours)[0])
    held = SimpleNamespace(origin=OURS, verifier=world.ours.verifier)
    held.head = lambda: checkpoint(8, world.ours)[0]
    held.tree = SimpleNamespace(root=lambda size: checkpoint(size, world.ours)[1])
    assert missing(world.mirror, held) is None
    held.head = lambda: checkpoint(6, world.ours)[0]
    assert missing(world.mirror, held)[1].size == 7  # type: ignore[index]
    held.head, held.tree = (lambda: checkpoint(8, world.ours)[0]), SimpleNamespace(root=lambda _: b"\0" * 32)
    assert missing(world.mirror, held) is not None  # as large, and another history


# -- the ministry's own database -----------------------------------------------------------------------------------------------


def opened(federation: Any, database: Path | None = None) -> tuple[Store, RegistryLog]:
    store = Store(database or federation.home.database)
    return store, RegistryLog(store, federation.founded.registry_vkey, load_signer(federation.home.registry_log_key))


def test_the_second_copy_is_the_database_and_refuses_what_does_not_follow(federation: Any, tmp_path: Path) -> None:
    standing = Standing(tmp_path / "second.db", federation.home.database)
    standing.bring_up()
    backup = tmp_path / "old.db"
    copy_database(federation.home.database, backup)
    for name in ("u1", "u2"):
        federation.invite("node", name)
        standing.bring_up()
    rows = "SELECT idx, entry, leaf, checkpoint FROM registry ORDER BY idx"
    (here, _), (there, _) = opened(federation), opened(federation, tmp_path / "second.db")
    assert here.rows(rows) == there.rows(rows)
    here.close()
    there.close()
    # Restored: the copy is ahead, and stays as it is.
    federation.home.database.unlink()
    copy_database(backup, federation.home.database)
    with pytest.raises(Failed, match="restored from a backup"):
        standing.bring_up()
    federation.invite("node", "u3")
    with pytest.raises(Failed, match="restored from a backup"):
        Standing(tmp_path / "second.db", federation.home.database).bring_up()


def test_a_ministry_whose_second_copy_is_ahead_signs_nothing(federation: Any, tmp_path: Path) -> None:
    """Also where no witness could say so: there are none."""
    home: Home = federation.home
    second = tmp_path / "second.db"
    home.config.write_text(home.config.read_text().replace('own = ""', f'own = "{second}"'))
    copy_database(home.database, tmp_path / "old.db")

    async def serve(play: Any) -> None:
        async with federation.serving() as coordinator:
            await play(coordinator)

    async def join(coordinator: Any) -> None:
        await federation.node("u1")
        await federation.until(lambda: _entries(second) == coordinator.registry.size)

    async def refuse(coordinator: Any) -> None:
        size = coordinator.registry.size
        for sign in (lambda: coordinator.registry.append(b""), lambda: coordinator.journal.write().__enter__()):
            with pytest.raises(Failed) as refused:
                sign()
            assert refused.value.reason == "restored"
        with pytest.raises(Failed, match="collegium-coordinator recover"):
            federation.invite("node", "u2")
        assert coordinator.registry.size == size

    asyncio.run(serve(join))
    for path in home.path.glob("coordinator.db*"):
        path.unlink()
    copy_database(tmp_path / "old.db", home.database)
    asyncio.run(serve(refuse))
    assert recover(home, None, clock=federation.clock).taken["demo/registry"] == 2  # the invitation and the node
    asyncio.run(serve(lambda coordinator: asyncio.sleep(0)))
    federation.invite("node", "u2")


def _entries(database: Path) -> int:
    store = Store(database)
    try:
        return len(store.rows("SELECT idx FROM registry"))
    finally:
        store.close()


def test_recover_takes_a_newer_copy_and_no_other(federation: Any, tmp_path: Path) -> None:
    home: Home = federation.home
    old, new, other = tmp_path / "old.db", tmp_path / "new.db", tmp_path / "other.db"
    federation.invite("node", "u1")
    copy_database(home.database, old)
    federation.invite("node", "u2")
    copy_database(home.database, new)

    def restore(file: Path) -> None:
        for path in home.path.glob("coordinator.db*"):
            path.unlink()
        copy_database(file, home.database)

    restore(old)
    federation.invite("node", "u3")  # a second history: what recover must not take, and must not lose
    copy_database(home.database, other)
    restore(new)
    for wrong in (old, other):
        with pytest.raises(Invalid):
            recover(home, wrong, clock=federation.clock)
        store, registry = opened(federation)
        assert [each.body.name for each in registry.registry.invitations()] == ["u1", "u2"]
        store.close()
    restore(old)
    done = recover(home, new, clock=federation.clock)
    assert done.taken["demo/registry"] == 1
    assert done.lost == []
    assert [path.name for path in (home.path / "former").rglob("*.db")] == ["coordinator.db"]
    store, registry = opened(federation)
    assert [each.body.name for each in registry.registry.invitations()] == ["u1", "u2"]
    store.close()


def test_recover_replays_the_registry_that_nodes_have_verified(federation: Any, tmp_path: Path) -> None:
    home: Home = federation.home
    copy_database(home.database, tmp_path / "old.db")
    for name in ("u1", "u2"):
        federation.invite("node", name)
    store, registry = opened(federation)
    entries, head = list(registry.registry.entries), registry.head()
    checkpoints = store.rows("SELECT checkpoint FROM registry ORDER BY idx")
    store.close()
    mirror = Mirror(home.mirror)
    mirror.begin(registry.verifier)
    mirror.hold(registry.verifier, 0, entries)
    mirror.confirm(registry.verifier, head, 1.0, [("u1", head)])
    mirror.close()
    for path in home.path.glob("coordinator.db*"):
        path.unlink()
    copy_database(tmp_path / "old.db", home.database)
    with pytest.raises(Failed, match="collegium-coordinator recover"):
        federation.invite("node", "u3")  # no second history, in no process
    done = recover(home, None, clock=federation.clock)
    assert (done.taken["demo/registry"], done.lost) == (2, [])
    store, again = opened(federation)
    assert list(again.registry.entries) == entries
    assert store.rows("SELECT checkpoint FROM registry ORDER BY idx") == checkpoints  # signed again, and the same
    store.close()
    federation.invite("node", "u3")
