"""Reading a log's files: entries, leaf hashes, subtree hashes. The part of an audit that `--fast` does to all logs.

`structure` runs in a worker process on one chunk of a log and needs nothing but the path.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from collegium.errors import CollegiumError, Invalid
from collegium.log.folder import MISSING, LogFolder
from collegium.log.tiles import WIDTH, Tile

__all__ = ["CHUNK", "Chunk", "structure"]

CHUNK = 1 << 14  # entries; a power of two and whole tiles, so that chunks' subtrees fit together


@dataclass(frozen=True, slots=True)
class Chunk:
    """What `structure` found. `heights` as `Levels.extend` wants them; `tiles` counts hash tiles that were missing or wrong."""

    heights: tuple[bytes, ...] = ()
    read: int = 0  # bytes of entries
    tiles: int = 0
    problem: str = ""
    missing: bool = False


def structure(path: str, first: int, size: int) -> Chunk:
    """Hash entries [first, first + CHUNK) of a log of `size` entries. `first` is a multiple of CHUNK."""
    folder = LogFolder(Path(path))
    count = min(CHUNK, size - first)
    try:
        entries = list(islice(folder.entries(first, size), count))
    except CollegiumError as error:
        return Chunk(problem=str(error), missing=error.reason == MISSING)
    leaves = [sha256(b"\x00" + entry).digest() for entry in entries]
    return Chunk(_heights(leaves), sum(map(len, entries)), _wrong_tiles(folder, leaves, first))


def _heights(leaves: list[bytes]) -> tuple[bytes, ...]:
    heights = []
    row = leaves
    while row:
        heights.append(b"".join(row))
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=False)]
    return tuple(heights)


def _wrong_tiles(folder: LogFolder, leaves: list[bytes], first: int) -> int:
    """Tiles of level 0 that are not those of the entries. Nothing here rests on them; other readers of the copy do."""
    wrong = 0
    for at in range(0, len(leaves), WIDTH):
        hashes = leaves[at : at + WIDTH]
        try:
            folder.check_tile(Tile(0, (first + at) // WIDTH, len(hashes)), hashes)
        except Invalid:
            wrong += 1
    return wrong
