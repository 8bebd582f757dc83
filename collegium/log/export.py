"""Writes a log as static files, incrementally and so that a crash at any point leaves a folder that verifies.

    export(source, log_key, folder)

Order of writes, each step durable before the next begins:

1. Payloads and receipts. 2. Entry bundles and tiles, only those beyond the folder's own checkpoint. 3. The checkpoint, by one
rename. 4. Only then what nobody needs any more is removed: partial tiles of full ones, payloads that were erased, temporary files.

A file is written under a temporary name, flushed to the disk, renamed, and its folder flushed. So the checkpoint never speaks of a
file that is not whole and on the disk: the folder is at every moment the log of its own checkpoint.

Trusted with what the world sees. An attacker who can write the folder can show less or other, and anybody with a receipt, a witness
or an older copy proves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from collegium.errors import Failed, NotVerified
from collegium.log.checkpoint import open_checkpoint
from collegium.log.cosign import add_cosignatures
from collegium.log.disk import TEMPORARY, Disk
from collegium.log.folder import CHECKPOINT, LogFolder, blob_path, receipt_path
from collegium.log.merkle import leaf_hash
from collegium.log.note import Verifier, encode_base64, split_note
from collegium.log.receipt import Receipt
from collegium.log.tiles import ENTRIES, Tile, encode_bundle, encode_hashes, new_tiles
from collegium.log.tree import LeafHashes, Tree

__all__ = ["LogSource", "export"]


class LogSource(Protocol):
    """What an export reads: one party's log. Entries only grow; whatever an entry needs is there before the entry is."""

    def checkpoint(self) -> bytes | None:
        """The newest signed checkpoint with the cosignatures it has; None while the log is empty."""
        ...

    def entries(self, first: int, count: int) -> Sequence[bytes]:
        """Exactly `count` entries from index `first` on, as they were signed."""
        ...

    def leaves(self, first: int, count: int) -> Sequence[bytes]:
        """Their leaf hashes."""
        ...

    def blobs(self) -> Iterable[str]:
        """SHA-256 (hex) of every payload that is kept now."""
        ...

    def blob(self, sha256: str) -> bytes | None:
        """A payload; None when it has been erased meanwhile."""
        ...

    def receipts(self) -> Iterable[tuple[str, bytes]]:
        """(statement id, receipt of another party's log) for statements that this party received."""
        ...


def export(source: LogSource, log: Verifier, folder: Path, *, disk: Disk | None = None, tree: Tree | None = None) -> int:
    """Bring `folder` up to the source's newest checkpoint. The number of entries that it now shows.

    1. Read the newest checkpoint: signed by the log's own key, and its root is that of the source's entries.
    2. What the folder shows already is a prefix of it, or nothing is written: an export never shrinks and never rewrites.
    3. Payloads and receipts, then bundles and tiles, each whole and durable.
    4. The checkpoint. 5. What is needed no more is removed.

    `tree` may be passed by a long-lived process that keeps one over the same source; it saves reading all leaves again.

    Raises:
        NotVerified: the folder shows more than the source, or another history (a restored backup).
        Failed: the disk refused; the folder is as it was, or further on the way, and the same call may be repeated.
    """
    disk = Disk() if disk is None else disk
    try:
        with disk.locked(folder):
            return _export(source, log, folder, disk, tree)
    except OSError as error:
        raise Failed(
            f"the log cannot be written: {error.strerror}", place=str(folder), remedy="Check the disk and the folder; then repeat."
        ) from None


def _export(source: LogSource, log: Verifier, folder: Path, disk: Disk, tree: Tree | None) -> int:
    # (1)
    note = source.checkpoint()
    if note is None:
        return 0
    head = open_checkpoint(note, log)
    tree = Tree(LeafHashes(source.leaves)) if tree is None else tree
    if tree.root(head.size) != head.root:
        raise NotVerified("the log's entries are not those of its signed checkpoint", place=log.name, remedy="Restore a backup.")
    # (2)
    shown = LogFolder(folder)
    old = 0
    if shown.exists():
        published = shown.checkpoint()
        old = _check_grows(published, log, head.size, tree, folder)
        if old == head.size:
            note = _merged(note, published)
    # (3)
    _payloads(source, shown, disk)
    for tile in new_tiles(old, head.size):
        disk.write(folder / tile.path, _content(tile, source, tree))
    disk.sync_folders()
    # Crash here: more files than the old checkpoint speaks of, and it still verifies.
    # (4)
    disk.write(folder / CHECKPOINT, note)
    disk.sync_folders()
    # Crash here: the new checkpoint, and everything it speaks of was durable before it.
    # (5)
    _sweep(source, shown, disk)
    disk.sync_folders()
    return head.size


def _check_grows(published: bytes, log: Verifier, size: int, tree: Tree, folder: Path) -> int:
    """The folder's size. Raises NotVerified unless the folder shows a prefix of what the source holds."""
    remedy = "If this database was restored from a backup, recover the log first. Never delete the folder: it is evidence."
    before = open_checkpoint(published, log)
    if before.size > size:
        raise NotVerified(f"the folder shows {before.size} entries, the database has {size}", place=str(folder), remedy=remedy)
    if tree.root(before.size) != before.root:
        raise NotVerified(f"the folder shows other {before.size} entries than the database", place=str(folder), remedy=remedy)
    return before.size


def _merged(note: bytes, published: bytes) -> bytes:
    """The note of an unchanged log, without losing cosignatures that the folder shows already."""
    text, signed = split_note(published)
    if text != split_note(note)[0]:
        return note
    lines = [f"— {name} {encode_base64(key_id + body)}\n".encode() for name, key_id, body in signed]
    return add_cosignatures(note, lines)


def _content(tile: Tile, source: LogSource, tree: Tree) -> bytes:
    if tile.level != ENTRIES:
        return encode_hashes(tree.hashes(tile.level, tile.first, tile.width))
    entries = source.entries(tile.first, tile.width)
    if [leaf_hash(entry) for entry in entries] != list(source.leaves(tile.first, tile.width)):
        raise NotVerified("an entry is not the one of its leaf hash", place=f"entries {tile.first} and following")
    return encode_bundle(entries)


def _payloads(source: LogSource, shown: LogFolder, disk: Disk) -> None:
    """Blobs and receipts that the folder lacks. One that lies there stays as it is: evidence is never replaced."""
    there = set(shown.blobs())
    for sha256 in source.blobs():
        if sha256 in there or (data := source.blob(sha256)) is None:
            continue
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NotVerified("a payload is not the one of its digest", place=f"blob {sha256}")
        disk.write(shown.path / blob_path(sha256), data)
    there = set(shown.receipts())
    for statement, receipt in source.receipts():
        if statement not in there:
            Receipt.parse(receipt, place=f"receipt of {statement}")
            disk.write(shown.path / receipt_path(statement), receipt)


def _sweep(source: LogSource, shown: LogFolder, disk: Disk) -> None:
    """Remove partial tiles of tiles that are full now, payloads that the source no longer keeps, and temporary files.

    A payload that has to be erased (who asked, for what purpose) must go from the published copy too. A crash on the way leaves a
    few files too many, and the next export removes them.
    """
    for partial in [each for each in (shown.path / "tile").rglob("*.p") if each.with_suffix("").is_file()]:
        disk.remove(partial)
    kept = set(source.blobs())
    for sha256 in shown.blobs():
        if sha256 not in kept:
            disk.remove(shown.path / blob_path(sha256))
    for stray in list(shown.path.rglob(f"{TEMPORARY}*")):
        disk.remove(stray)
