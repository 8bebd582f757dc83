"""Static export: incremental, never ahead of its files, never shorter, and whole after a fault at every single step."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from loginmemory import LOG, WITNESS, MemoryLog, T

from collegium.errors import Failed, Invalid, NotVerified
from collegium.log.checkpoint import open_checkpoint
from collegium.log.cosign import add_cosignatures, check_quorum
from collegium.log.disk import TEMPORARY, Disk, Fault, no_fault
from collegium.log.export import export
from collegium.log.folder import LogFolder
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer
from collegium.log.receipt import make_receipt, verify_receipt
from collegium.log.tiles import ENTRIES, tiles_of


def quick(fault: Fault = no_fault) -> Disk:
    """A disk that does not wait: what a flush promises is simulated where it matters."""
    return Disk(fault, flush=lambda _descriptor: None)


def verified(folder: Path, log: MemoryLog) -> int:
    """Verifies a folder as an auditor would, and that it is a prefix of `log`. Its size."""
    shown = LogFolder(folder)
    head = open_checkpoint(shown.checkpoint(), LOG.verifier)
    entries = list(shown.entries())
    assert entries == log.held[: head.size]
    assert root([leaf_hash(entry) for entry in entries]) == head.root == shown.tree().root(head.size)
    for tile in tiles_of(head.size):
        if tile.level != ENTRIES:
            shown.check_tile(tile, log.tree.hashes(tile.level, tile.first, tile.width))
    return head.size


def files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_an_export_has_exactly_the_files_of_the_format(tmp_path: Path) -> None:
    log = MemoryLog(cosigned=True)
    log.grow(300)
    blob = log.keep(b"payload")
    assert export(log, LOG.verifier, tmp_path / "node") == 300
    assert verified(tmp_path / "node", log) == 300
    names = {tile.path for tile in tiles_of(300)} | {"checkpoint", f"blobs/{blob}"}
    assert set(files(tmp_path / "node")) == names
    assert (tmp_path / "node/tile/entries/001.p/44").exists()


@pytest.mark.parametrize("sizes", [(0, 1, 2, 3), (5, 255, 256, 257, 300), (256, 512, 513), (1, 70_000)])
def test_growing_step_by_step_gives_the_files_of_one_export(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    log = MemoryLog()
    for size in sizes:
        log.grow(size)
        assert export(log, LOG.verifier, tmp_path / "steps", disk=quick()) == size
        assert verified(tmp_path / "steps", log) == size
    export(log, LOG.verifier, tmp_path / "once", disk=quick())
    once = files(tmp_path / "once")
    steps = files(tmp_path / "steps")
    assert {name: steps[name] for name in once} == once
    # What is more are partial tiles of tiles that are not full yet.
    assert all(".p/" in name for name in set(steps) - set(once))


def test_a_log_without_a_checkpoint_exports_nothing(tmp_path: Path) -> None:
    class Unsigned(MemoryLog):
        def checkpoint(self) -> bytes | None:
            return None

    assert export(Unsigned(), LOG.verifier, tmp_path / "x") == 0
    assert files(tmp_path / "x") == {}


def test_only_new_files_are_written(tmp_path: Path) -> None:
    written: list[str] = []

    def note(step: str, path: Path) -> None:
        if step == "rename":
            written.append(str(path.relative_to(tmp_path)))

    log = MemoryLog()
    log.grow(700)
    log.keep(b"one")
    export(log, LOG.verifier, tmp_path)
    log.grow(701)
    two = log.keep(b"two")
    export(log, LOG.verifier, tmp_path, disk=quick(note))
    assert written == [f"blobs/{two}", "tile/entries/002.p/189", "tile/0/002.p/189", "checkpoint"]


def test_the_checkpoint_is_written_last_and_after_all_folders_are_flushed(tmp_path: Path) -> None:
    steps: list[tuple[str, Path]] = []
    log = MemoryLog()
    log.grow(300)
    log.keep(b"payload")
    export(log, LOG.verifier, tmp_path, disk=quick(lambda step, path: steps.append((step, path))))
    at = steps.index(("rename", tmp_path / "checkpoint"))
    renamed = {path.parent for step, path in steps[:at] if step == "rename"}
    flushed = {path for step, path in steps[:at] if step == "sync"}
    assert renamed <= flushed
    assert tmp_path in flushed  # the names of the new folders
    assert [step for step, _ in steps[at + 1 :]] == ["sync"]


def test_a_shorter_log_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    log = MemoryLog()
    log.grow(300)
    export(log, LOG.verifier, tmp_path)
    before = files(tmp_path)
    restored = MemoryLog()
    restored.grow(299)
    with pytest.raises(NotVerified, match="shows 300 entries, the database has 299"):
        export(restored, LOG.verifier, tmp_path)
    assert files(tmp_path) == before


def test_another_history_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    log = MemoryLog()
    log.grow(300)
    export(log, LOG.verifier, tmp_path)
    before = files(tmp_path)
    fork = MemoryLog([b"other"])
    for size in (300, 400):
        fork.grow(size)
        fork.keep(b"payload")
        with pytest.raises(NotVerified, match="other 300 entries"):
            export(fork, LOG.verifier, tmp_path)
        assert files(tmp_path) == before


def test_another_logs_folder_is_refused(tmp_path: Path) -> None:
    log = MemoryLog()
    log.grow(2)
    export(log, LOG.verifier, tmp_path)
    other = MemoryLog(signer=Signer.from_seed("qlog.example.edu/node-b", b"\6" * 32))
    other.grow(5)
    with pytest.raises(NotVerified):
        export(other, other.signer.verifier, tmp_path)


class Wrong(MemoryLog):
    """A database whose entries are not those of its leaves."""

    def entries(self, first: int, count: int) -> list[bytes]:
        return [b"forged" for _ in self.held[first : first + count]]


class Behind(MemoryLog):
    """A signed checkpoint that is not of these entries."""

    def checkpoint(self) -> bytes | None:
        other = MemoryLog([b"x"])
        other.grow(len(self.held))
        return other.checkpoint()


@pytest.mark.parametrize("kind", [Wrong, Behind])
def test_a_database_that_does_not_hold_together_publishes_no_checkpoint(tmp_path: Path, kind: type[MemoryLog]) -> None:
    log = kind()
    log.grow(3)
    with pytest.raises(NotVerified):
        export(log, LOG.verifier, tmp_path)
    assert not LogFolder(tmp_path).exists()


def test_cosignatures_come_later_and_are_never_lost(tmp_path: Path) -> None:
    log = MemoryLog()
    log.grow(3)
    export(log, LOG.verifier, tmp_path)
    log.cosigned = True
    export(log, LOG.verifier, tmp_path)
    witnesses = {"b": WITNESS.verifier}
    assert check_quorum(LogFolder(tmp_path).checkpoint(), witnesses, 1) == {"b": T}
    log.cosigned = False
    export(log, LOG.verifier, tmp_path)
    assert check_quorum(LogFolder(tmp_path).checkpoint(), witnesses, 1) == {"b": T}
    log.grow(4)
    export(log, LOG.verifier, tmp_path)
    assert check_quorum(LogFolder(tmp_path).checkpoint(), witnesses, 0) == {}


def test_receipts_and_payloads_are_kept_and_erased_payloads_go(tmp_path: Path) -> None:
    foreign = MemoryLog([b"request"], signer=Signer.from_seed("demo/coordinator", b"\7" * 32))
    log = MemoryLog()
    log.grow(2)
    statement = "ab" * 32
    log.received[statement] = make_receipt(foreign.tree, 0, foreign.checkpoint_at(1))
    kept, erased = log.keep(b"release"), log.keep(b"who asked, and why")
    export(log, LOG.verifier, tmp_path)
    shown = LogFolder(tmp_path)
    assert shown.receipts() == [statement]
    assert verify_receipt(shown.receipt(statement).to_bytes(), b"request", foreign.signer.verifier).index == 0
    assert shown.blobs() == sorted([kept, erased])
    assert shown.blob(erased) == b"who asked, and why"

    del log.kept[erased]
    export(log, LOG.verifier, tmp_path)
    assert shown.blobs() == [kept]
    with pytest.raises(Invalid) as caught:
        shown.blob(erased)
    assert caught.value.reason == "missing"


def test_two_exports_at_once_do_not_mix(tmp_path: Path) -> None:
    log = MemoryLog()
    log.grow(3)

    def second(step: str, path: Path) -> None:
        if step == "rename" and path.name == "checkpoint":
            with pytest.raises(Failed, match="another process"):
                export(log, LOG.verifier, tmp_path)

    export(log, LOG.verifier, tmp_path, disk=quick(second))
    assert verified(tmp_path, log) == 3


Begin = Callable[[Path], MemoryLog]


class Cut(BaseException):
    """Power goes out: nothing of ours runs any more."""


def steps_of(log: MemoryLog, folder: Path) -> int:
    """How many steps the next export of `log` takes."""
    count = 0

    def counting(_step: str, _path: Path) -> None:
        nonlocal count
        count += 1

    copy = folder.with_name("counted")
    if folder.exists():
        shutil.copytree(folder, copy)
    export(log, LOG.verifier, copy, disk=quick(counting))
    shutil.rmtree(copy)
    return count


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], MemoryLog]:
    """Gives a log and a folder with 255 of its 258 entries, so that the next export fills tiles and sweeps partial ones."""
    log = MemoryLog(cosigned=True)
    log.grow(255)
    log.keep(b"first")
    gone = log.keep(b"erased later")
    template = tmp_path_factory.mktemp("begun") / "log"
    export(log, LOG.verifier, template)
    del log.kept[gone]
    log.keep(b"second")
    log.grow(258)

    def copy(folder: Path) -> MemoryLog:
        shutil.copytree(template, folder)
        return log

    return copy


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_refusal_of_the_disk_at_every_step_leaves_a_log_that_verifies(tmp_path: Path, begin: Begin, error: int) -> None:
    total = steps_of(begin(tmp_path / "log"), tmp_path / "log")
    assert total > 15
    for number in range(total):
        folder = tmp_path / str(number)
        log = begin(folder)
        at = 0

        def refuse(_step: str, _path: Path, number: int = number) -> None:
            nonlocal at
            at += 1
            if at == number + 1:
                raise OSError(error, os.strerror(error))

        with pytest.raises(Failed, match="cannot be written"):
            export(log, LOG.verifier, folder, disk=quick(refuse))
        assert verified(folder, log) in (255, 258)
        assert export(log, LOG.verifier, folder, disk=quick()) == 258
        assert verified(folder, log) == 258
        assert clean(folder)


def clean(folder: Path) -> bool:
    """Nothing is left of interrupted writes, full tiles' parts, and erased payloads."""
    names = files(folder)
    return not any(".writing-" in name or name.startswith("tile/0/000.p") for name in names) and len(LogFolder(folder).blobs()) == 2


class PowerCut:
    """A disk that loses what was not flushed. As `fault`, it cuts the power at one step; `after` then gives what is left:

    a rename or removal whose folder has not been flushed since may be undone, and a file that was not flushed is torn.
    """

    def __init__(self, at: int, chance: random.Random) -> None:
        self.at = at
        self.chance = chance
        self.undo: list[tuple[Path, Callable[[], None]]] = []
        self.torn: set[Path] = set()
        self.flushed = False

    def flush(self, _descriptor: int) -> None:
        self.flushed = True

    def __call__(self, step: str, path: Path) -> None:
        if step == "sync":
            if self.at:  # else the power goes before this very flush
                self.undo = [(folder, back) for folder, back in self.undo if folder != path]
        elif self.at:
            if step in ("rename", "remove") and not path.is_dir():
                before = path.read_bytes() if path.is_file() else None
                self.undo.append((path.parent, lambda: path.write_bytes(before) if before is not None else path.unlink()))
            elif step == "remove":
                parts = {file: file.read_bytes() for file in path.iterdir()}
                self.undo.append((path.parent, lambda: [path.mkdir(exist_ok=True), *(f.write_bytes(b) for f, b in parts.items())]))
            if step == "write":
                self.flushed = False
                self.torn.add(path)
            elif step == "rename":
                self.torn.remove(path.with_name(f"{TEMPORARY}{path.name}"))
                if not self.flushed:
                    self.torn.add(path)
        if not self.at:
            raise Cut
        self.at -= 1

    def lose(self) -> None:
        for path in self.torn:
            if path.exists():
                path.write_bytes(path.read_bytes()[: self.chance.randrange(4)])
        for _, back in reversed(self.undo):
            if self.chance.random() < 0.5:
                try:
                    back()
                except FileNotFoundError:
                    continue  # a later rename was undone first, or the step itself did not happen


@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_at_every_step_leaves_a_log_that_verifies(tmp_path: Path, begin: Begin, seed: int) -> None:
    total = steps_of(begin(tmp_path / "log"), tmp_path / "log")
    for number in range(total):
        folder = tmp_path / str(number)
        log = begin(folder)
        disk = PowerCut(number, random.Random(seed * 1000 + number))
        with pytest.raises(Cut):
            export(log, LOG.verifier, folder, disk=Disk(disk, flush=disk.flush))
        disk.lose()
        assert verified(folder, log) in (255, 258), number
        assert export(log, LOG.verifier, folder, disk=quick()) == 258
        assert verified(folder, log) == 258
        assert clean(folder)


def test_a_power_cut_in_the_first_export_leaves_no_log_or_a_whole_one(tmp_path: Path) -> None:
    log = MemoryLog()
    log.grow(258)
    for number in range(steps_of(log, tmp_path / "none")):
        folder = tmp_path / str(number)
        disk = PowerCut(number, random.Random(number))
        with pytest.raises(Cut):
            export(log, LOG.verifier, folder, disk=Disk(disk, flush=disk.flush))
        disk.lose()
        if LogFolder(folder).exists():
            assert verified(folder, log) == 258
        assert export(log, LOG.verifier, folder, disk=quick()) == 258
        assert verified(folder, log) == 258


def test_a_longer_folder_that_a_witness_cosigned_is_not_overwritten_by_its_prefix(tmp_path: Path) -> None:
    """The restored backup of A14, seen from the folder: even with fresh cosignatures, fewer entries are refused."""
    log = MemoryLog(cosigned=True)
    log.grow(10)
    export(log, LOG.verifier, tmp_path)
    restored = MemoryLog(cosigned=True)
    restored.grow(9)
    note = restored.checkpoint_at(9)
    assert add_cosignatures(note, [WITNESS.cosign(note, T + 1)]) != note
    with pytest.raises(NotVerified):
        export(restored, LOG.verifier, tmp_path)
    assert verified(tmp_path, log) == 10
