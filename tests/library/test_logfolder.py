"""Reading a log's folder: what it holds, and hostile files, which end in one kind of error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loginmemory import LOG, MemoryLog

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.checkpoint import open_checkpoint
from collegium.log.disk import Disk
from collegium.log.export import export
from collegium.log.folder import MISSING, LogFolder
from collegium.log.merkle import leaf_hash, verify_consistency, verify_inclusion
from collegium.log.receipt import make_receipt
from collegium.log.tiles import ENTRIES, Tile, tiles_of

SIZE = 600


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "node"
    log = MemoryLog(cosigned=True)
    log.grow(SIZE)
    log.keep(b"payload")
    foreign = MemoryLog([b"request"])
    log.received["ab" * 32] = make_receipt(foreign.tree, 0, foreign.checkpoint_at(1))
    export(log, LOG.verifier, folder, disk=Disk(flush=lambda _: None))
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "node")
    return tmp_path / "node"


def read_everything(folder: Path) -> None:
    """All that a reader can ask, and that what it gets is that log."""
    log = LogFolder(folder)
    head = open_checkpoint(log.checkpoint(), LOG.verifier)
    assert list(log.entries()) == [b"entry-%d" % index for index in range(head.size)]
    assert log.tree().root(head.size) == head.root
    known = MemoryLog(log.entries())
    for tile in tiles_of(head.size):
        if tile.level != ENTRIES:
            log.check_tile(tile, known.tree.hashes(tile.level, tile.first, tile.width))
    for statement in log.receipts():
        log.receipt(statement)
    for sha256 in log.blobs():
        log.blob(sha256)


def test_reading(template: Path) -> None:
    read_everything(template)
    log = LogFolder(template)
    assert log.size() == SIZE
    for index in (0, 255, 256, 511, 512, 599):
        assert log.entry(index) == b"entry-%d" % index
    for first in (0, 1, 255, 256, 599, 600):
        assert next(iter(log.entries(first)), None) == (b"entry-%d" % first if first < SIZE else None)
    for index in (-1, 600):
        with pytest.raises(Invalid):
            log.entry(index)


def test_an_earlier_size_reads_from_the_same_files(template: Path) -> None:
    log = LogFolder(template)
    assert len(list(log.entries(0, 300))) == 300
    assert log.entry(299, 300) == b"entry-299"
    assert [leaf_hash(entry) for entry in log.entries(0, 3)] == list(log.leaves(3))


def test_proofs_from_the_files_verify(template: Path) -> None:
    log = LogFolder(template)
    tree = log.tree()
    head = open_checkpoint(log.checkpoint(), LOG.verifier)
    for index in (0, 256, 599):
        verify_inclusion(leaf_hash(log.entry(index)), index, SIZE, tree.inclusion(index, SIZE), head.root)
    for old in (1, 256, 300, 599):
        verify_consistency(old, SIZE, tree.root(old), head.root, tree.consistency(old, SIZE))


def test_a_full_tile_serves_an_older_checkpoint(tmp_path: Path) -> None:
    """The export removes a partial tile once the full one is there; a reader with the older checkpoint still gets its part."""
    log = MemoryLog()
    for size in (500, 600):
        log.grow(size)
        export(log, LOG.verifier, tmp_path, disk=Disk(flush=lambda _: None))
    assert not (tmp_path / "tile/0/001.p").exists()
    (tmp_path / "checkpoint").write_bytes(log.checkpoint_at(500))
    read_everything(tmp_path)


def test_a_missing_file_says_so(folder: Path) -> None:
    log = LogFolder(folder)
    for path, ask in (
        ("tile/entries/001", lambda: list(log.entries())),
        ("tile/0/000", lambda: log.tree().root(10)),
        ("checkpoint", log.checkpoint),
    ):
        (folder / path).unlink()
        with pytest.raises(Invalid) as caught:
            ask()
        assert caught.value.reason == MISSING
        assert path in caught.value.place
    assert not log.exists()
    with pytest.raises(Invalid) as caught:
        log.blob("0" * 64)
    assert caught.value.reason == MISSING
    empty = LogFolder(folder / "nowhere")
    assert (empty.exists(), empty.blobs(), empty.receipts()) == (False, [], [])


def test_a_changed_tile_or_payload_is_not_verified(folder: Path) -> None:
    log = LogFolder(folder)
    with pytest.raises(NotVerified):
        log.check_tile(Tile(0, 0), [b"\0" * 32] * 256)
    (sha256,) = log.blobs()
    (folder / "blobs" / sha256).write_bytes(b"other")
    with pytest.raises(NotVerified):
        log.blob(sha256)


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 33)  # sparse: nothing of it is on the disk


HOSTILE: dict[str, Callable[[Path], None]] = {
    "link": _link,
    "pipe": _pipe,
    "folder": _folder,
    "huge": _huge,
    "empty": lambda path: path.write_bytes(b"") and None,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]) and None,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0") and None,
    "noise": lambda path: path.write_bytes(os.urandom(8192)) and None,
    "gone": lambda path: path.unlink(),
}
FILES = ["checkpoint", "tile/entries/000", "tile/entries/002.p/88", "tile/0/000", "tile/1/000.p/2", f"receipts/{'ab' * 32}.proof"]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused_with_one_kind_of_error(folder: Path, path: str, damage: Callable[[Path], None]) -> None:
    damage(folder / path)
    if path.startswith("receipts") and damage is HOSTILE["gone"]:
        read_everything(folder)
        return
    with pytest.raises((Invalid, AssertionError)) as caught:
        read_everything(folder)
    # An entry may change into another whole entry; then it is the hashes that do not agree, which the reader compares.
    assert isinstance(caught.value, Invalid) or "noise" in str(damage)


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_any_mutation_of_any_file_is_refused_or_changes_nothing(template: Path, data: st.DataObject) -> None:
    """Whoever verifies as an auditor does never sees another log, and never a traceback."""
    path = template / data.draw(st.sampled_from(FILES))
    original = path.read_bytes()
    at = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(at, min(len(original), at + 40)))
    changed = original[:at] + data.draw(st.binary(max_size=40)) + original[end:]
    path.write_bytes(changed)
    try:
        log = LogFolder(template)
        head = open_checkpoint(log.checkpoint(), LOG.verifier)
        assert log.tree().root(head.size) == head.root
        assert [leaf_hash(entry) for entry in log.entries()] == [
            leaf for number in range(-(-SIZE // 256)) for leaf in log.hashes(0, number * 256, min(256, SIZE - number * 256))
        ]
        log.receipt("ab" * 32)
    except (CollegiumError, AssertionError):
        return
    finally:
        path.write_bytes(original)
    # Accepted: then nothing that is verified has changed (a signature line of an unknown key may have).
    assert changed == original or path.name in ("checkpoint", f"{'ab' * 32}.proof")
