"""Tiles and entry bundles: the static files of a log. C2SP tlog-tiles 0.1.

    tile/<L>/<N>[.p/<W>]         256 hashes of level L (8,192 bytes), or W of them at the right edge
    tile/entries/<N>[.p/<W>]     the entries themselves: a length of two bytes, big endian, and the entry, one after the other

A hash of level L+1 is the root over a full tile of level L, so it stands for 256^(L+1) entries. Only paths and bytes here: what
reads and writes the files is in `folder` and `export`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collegium.errors import Invalid
from collegium.log.merkle import MAX_SIZE

__all__ = [
    "ENTRIES",
    "MAX_BUNDLE",
    "WIDTH",
    "Tile",
    "decode_bundle",
    "decode_hashes",
    "encode_bundle",
    "encode_hashes",
    "new_tiles",
    "parse_path",
    "tiles_of",
]

WIDTH = 256  # hashes of a full tile
ENTRIES = -1  # the level of entry bundles
MAX_ENTRY = 65_535
MAX_BUNDLE = WIDTH * (2 + MAX_ENTRY)  # bytes

_LEVELS = 8  # 256^8 is above any size: levels 0 to 7
_PATH = re.compile(r"tile/(entries|[0-7])/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One file. `level` is ENTRIES for a bundle; `width` counts its hashes or entries, 1 to 256."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Relative to the log's folder, with '/'."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        groups = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            groups.append(f"x{rest % 1000:03d}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"

    @property
    def first(self) -> int:
        """Index of its first hash on its level (of its first entry, for a bundle)."""
        return self.number * WIDTH

    @property
    def full(self) -> Tile:
        return Tile(self.level, self.number)


def parse_path(path: str) -> Tile:
    """The tile of a relative path. Raises Invalid unless it is the one spelling of one."""
    match = _PATH.fullmatch(path)
    if match is None or len(path) > 64:
        raise Invalid("this is not the path of a tile", place="tile path")
    level, groups, last, width = match.groups()
    number = int("".join(re.findall(r"[0-9]{3}", groups)) + last)
    tile = Tile(ENTRIES if level == "entries" else int(level), number, int(width) if width else WIDTH)
    if tile.path != path:  # a leading group of zeros, a width of 256 or more
        raise Invalid("this is not the path of a tile", place="tile path")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """All files of a log of `size` entries: bundles first, then levels from the leaves up. Empty tiles do not exist."""
    return new_tiles(0, size)


def new_tiles(old: int, size: int) -> Iterator[Tile]:
    """The files of a log of `size` entries that a log of `old` entries did not have, bundles first, then levels from 0 up."""
    if not 0 <= old <= size <= MAX_SIZE:
        raise Invalid(f"a log of {size} entries does not follow one of {old}")
    for level in (ENTRIES, *range(_LEVELS)):
        shift = 8 * max(level, 0)
        hashes, before = size >> shift, old >> shift
        if hashes == before:
            continue
        for number in range(before // WIDTH, hashes // WIDTH):
            yield Tile(level, number)
        if hashes % WIDTH:
            yield Tile(level, hashes // WIDTH, hashes % WIDTH)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle of 1 to 256 entries of at most 65,535 bytes each."""
    if not 0 < len(entries) <= WIDTH or max(map(len, entries)) > MAX_ENTRY:
        raise Invalid(f"a bundle has 1 to {WIDTH} entries of at most {MAX_ENTRY} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(raw: bytes, width: int, *, place: str = "bundle") -> list[bytes]:
    """The entries of a bundle, exactly `width`. Raises Invalid."""
    entries: list[bytes] = []
    at, end = 0, len(raw)
    while at < end and len(entries) < width:
        start = at + 2
        if start > end:
            raise Invalid("an entry is cut off", place=place)
        at = start + (raw[at] << 8 | raw[at + 1])
        entries.append(raw[start:at])
    if at > end:
        raise Invalid("an entry is cut off", place=place)
    if at != end or len(entries) != width:
        raise Invalid(f"a bundle holds exactly {width} entries", place=place)
    return entries


def encode_hashes(hashes: Sequence[bytes]) -> bytes:
    """The bytes of a tile of 1 to 256 hashes of 32 bytes."""
    if not 0 < len(hashes) <= WIDTH or any(len(each) != 32 for each in hashes):
        raise Invalid(f"a tile has 1 to {WIDTH} hashes of 32 bytes")
    return b"".join(hashes)


def decode_hashes(raw: bytes, width: int, *, place: str = "tile") -> list[bytes]:
    """The hashes of a tile, exactly `width`. Raises Invalid."""
    if len(raw) != 32 * width:
        raise Invalid(f"a tile of {width} hashes has {32 * width} bytes", place=place)
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]
