"""A log as files: the folder that `export` writes and an auditor reads. Everything in it is somebody's claim until verified.

    log = LogFolder(path)
    note = log.checkpoint()                 # bytes; open_checkpoint(note, key) verifies
    for entry in log.entries(): ...
    log.tree().root(size)

Files may be hostile: sizes are bounded before reading, nothing but regular files is opened, and whatever is wrong ends in Invalid.
A file that is not there is an Invalid with reason `missing`: absence is missing evidence, not a contradiction.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from collegium.errors import Invalid, NotVerified
from collegium.log.checkpoint import read_checkpoint
from collegium.log.merkle import leaf_hash
from collegium.log.note import MAX_NOTE
from collegium.log.receipt import MAX_RECEIPT, Receipt
from collegium.log.tiles import ENTRIES, MAX_BUNDLE, WIDTH, Tile, decode_bundle, decode_hashes
from collegium.log.tree import Tree

__all__ = ["CHECKPOINT", "MAX_BLOB", "MISSING", "LogFolder", "blob_path", "receipt_path"]

CHECKPOINT = "checkpoint"
MISSING = "missing"  # `reason` of an Invalid about a file that is not there
MAX_BLOB = 1 << 30  # bytes

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RECEIPT = re.compile(r"([0-9a-f]{64})\.proof", re.ASCII)


def blob_path(sha256: str) -> str:
    return f"blobs/{sha256}"


def receipt_path(statement: str) -> str:
    return f"receipts/{statement}.proof"


class LogFolder:
    """Reads one log's folder. It holds no state but the last tile read; files may be added while it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: tuple[Tile, list[bytes]] | None = None

    def exists(self) -> bool:
        """Whether a checkpoint is there: without it, a folder is no log (yet)."""
        return (self.path / CHECKPOINT).exists()

    def checkpoint(self) -> bytes:
        """The checkpoint note, which reads as one; NOT verified. Raises Invalid."""
        note = self._read(CHECKPOINT, MAX_NOTE)
        read_checkpoint(note)
        return note

    def size(self) -> int:
        """Entries that the (not verified) checkpoint states."""
        return read_checkpoint(self.checkpoint()).size

    def entry(self, index: int, size: int | None = None) -> bytes:
        """Entry `index` of a log of `size` entries (the checkpoint's unless given). Raises Invalid."""
        size = self.size() if size is None else size
        if not 0 <= index < size:
            raise Invalid(f"there is no entry {index} in a log of {size}", place=str(self.path))
        return self._hashes_or_entries(_tile(ENTRIES, index // WIDTH, size))[index % WIDTH]

    def entries(self, first: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Entries from `first` on of a log of `size` entries (the checkpoint's unless given). Raises Invalid on the way."""
        size = self.size() if size is None else size
        for number in range(first // WIDTH, -(-size // WIDTH)):
            tile = _tile(ENTRIES, number, size)
            yield from self._hashes_or_entries(tile)[max(first - tile.first, 0) :]

    def hashes(self, level: int, first: int, count: int) -> Sequence[bytes]:
        """Hashes of a tile level as the files say, within one tile (`HashSource`). Proofs built from them prove themselves."""
        number, start = divmod(first, WIDTH)
        found = self._hashes_or_entries(_tile(level, number, self.size() >> 8 * level))
        if start + count > len(found):
            raise Invalid(f"the log's level {level} has no {count} hashes from {first} on", place=str(self.path))
        return found[start : start + count]

    def tree(self) -> Tree:
        """Roots and proofs from the tiles, as the files say."""
        return Tree(self)

    def check_tile(self, tile: Tile, hashes: Sequence[bytes]) -> None:
        """Raises NotVerified unless the tile's file holds exactly these hashes, Invalid when it cannot be read."""
        if self._hashes_or_entries(tile) != list(hashes):
            raise NotVerified("the tile is not that of the entries", place=str(self.path / tile.path))

    def leaves(self, size: int | None = None) -> Iterator[bytes]:
        """Leaf hashes of the entries, computed from the bundles."""
        return map(leaf_hash, self.entries(0, size))

    def blob(self, sha256: str) -> bytes:
        """The payload of this digest. Raises Invalid (reason `missing` when it is not there), NotVerified when it is another."""
        if not _DIGEST.fullmatch(sha256):
            raise Invalid("this is no SHA-256", place="blob")
        data = self._read(blob_path(sha256), MAX_BLOB)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NotVerified("the payload is not the one of its name", place=str(self.path / blob_path(sha256)))
        return data

    def blobs(self) -> list[str]:
        """Digests of the payloads that lie here, sorted."""
        return [name for name in self._names("blobs") if _DIGEST.fullmatch(name)]

    def receipt(self, statement: str) -> Receipt:
        """The receipt for a statement id, parsed and NOT verified. Raises Invalid."""
        if not _DIGEST.fullmatch(statement):
            raise Invalid("this is no statement id", place="receipt")
        path = receipt_path(statement)
        return Receipt.parse(self._read(path, MAX_RECEIPT), place=str(self.path / path))

    def receipts(self) -> list[str]:
        """Statement ids for which a receipt lies here, sorted."""
        return [match[1] for name in self._names("receipts") if (match := _RECEIPT.fullmatch(name))]

    def _hashes_or_entries(self, tile: Tile) -> list[bytes]:
        """What a tile's file holds; a partial tile may have been replaced by its full one."""
        last = self._last
        if last is None or last[0] != tile:
            try:
                found = self._decode(tile)
            except Invalid as error:
                if tile.width == WIDTH or error.reason != MISSING:
                    raise
                try:
                    found = self._decode(tile.full)[: tile.width]
                except Invalid as other:
                    raise error if other.reason == MISSING else other from None
            self._last = last = (tile, found)
        return last[1]

    def _decode(self, tile: Tile) -> list[bytes]:
        place = str(self.path / tile.path)
        if tile.level == ENTRIES:
            return decode_bundle(self._read(tile.path, MAX_BUNDLE), tile.width, place=place)
        return decode_hashes(self._read(tile.path, 32 * WIDTH), tile.width, place=place)

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(each.name for each in (self.path / folder).iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Invalid(f"the folder cannot be read: {error.strerror}", place=str(self.path / folder)) from None

    def _read(self, relative: str, limit: int) -> bytes:
        """A regular file of at most `limit` bytes. No link is followed and no pipe waited for."""
        path = self.path / relative
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise Invalid("this is no plain file", place=str(path))
                content = file.read(limit + 1)
        except FileNotFoundError:
            raise Invalid("the file is missing", place=str(path), reason=MISSING) from None
        except OSError as error:
            raise Invalid(f"the file cannot be read: {error.strerror}", place=str(path)) from None
        if len(content) > limit:
            raise Invalid(f"the file has more than {limit} bytes", place=str(path))
        return content


def _tile(level: int, number: int, count: int) -> Tile:
    """Tile `number` of a level that has `count` hashes."""
    width = min(WIDTH, count - number * WIDTH)
    if width <= 0:
        raise Invalid(f"level {level} of the log has {count} hashes", place="tile")
    return Tile(level, number, width)
