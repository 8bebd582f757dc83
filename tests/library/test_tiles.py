"""Tiles: paths, which files a size has, bytes of bundles and tiles; proofs of a large log equal those from all leaves."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loginmemory import MemoryLog

from collegium.errors import Invalid
from collegium.log import merkle
from collegium.log.tiles import (
    ENTRIES,
    WIDTH,
    Tile,
    decode_bundle,
    decode_hashes,
    encode_bundle,
    encode_hashes,
    new_tiles,
    parse_path,
    tiles_of,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(1, 999, 3), "tile/1/999.p/3"),
        (Tile(ENTRIES, 0, 3), "tile/entries/000.p/3"),
        (Tile(ENTRIES, 1000), "tile/entries/x001/000"),
        (Tile(7, 5, 255), "tile/7/005.p/255"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


@given(st.integers(-1, 7), st.integers(0, 2**55), st.integers(1, 256))
def test_every_path_has_one_spelling(level: int, number: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/x000/067",
        "tile/0/001/067",
        "tile/0/x1/067",
        "tile/8/000",
        "tile/00/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p",
        "tile/-1/000",
        "tile/data/000",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/000\n",
        "tile/0/０00",
        "tile/0/" + "x001/" * 30 + "000",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(Invalid):
        parse_path(path)


def test_files_of_some_sizes() -> None:
    assert [tile.path for tile in tiles_of(0)] == []
    assert [tile.path for tile in tiles_of(3)] == ["tile/entries/000.p/3", "tile/0/000.p/3"]
    assert [tile.path for tile in tiles_of(256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert [tile.path for tile in tiles_of(70_000) if tile.width < WIDTH] == [
        "tile/entries/273.p/112",
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]


@given(st.integers(0, 200_000), st.integers(0, 200_000))
@example(65_535, 65_536)
@example(256, 256)
@settings(deadline=None)
def test_growing_adds_exactly_the_files_that_are_new(one: int, other: int) -> None:
    old, size = min(one, other), max(one, other)
    assert set(tiles_of(old)) | set(new_tiles(old, size)) >= set(tiles_of(size))
    assert not set(tiles_of(old)) & set(new_tiles(old, size))


def test_the_width_of_a_partial_tile_is_that_of_the_format() -> None:
    for size in (1, 255, 256, 257, 65_535, 65_536, 70_000, 2**40 + 12_345):
        for level in range(6):
            width = (size // 256**level) % 256
            partial = [tile.width for tile in new_tiles(max(0, size - 1), size) if tile.level == level and tile.width < WIDTH]
            if partial:
                assert partial == [width]


def test_golden_bundle() -> None:
    raw = bytes.fromhex("0007656e7472792d300007656e7472792d310007656e7472792d32")
    assert encode_bundle([b"entry-0", b"entry-1", b"entry-2"]) == raw
    assert decode_bundle(raw, 3) == [b"entry-0", b"entry-1", b"entry-2"]


def test_a_bundle_holds_whole_entries_and_as_many_as_said() -> None:
    raw = encode_bundle([b"", b"x" * 65_535])
    assert decode_bundle(raw, 2) == [b"", b"x" * 65_535]
    for damaged, width in ((raw[:-1], 2), (raw + b"\0", 2), (raw + b"\0\0", 2), (raw, 1), (raw, 3), (b"", 1), (b"\0", 1)):
        with pytest.raises(Invalid):
            decode_bundle(damaged, width)
    for entries in ([], [b""] * 257, [b"x" * 65_536]):
        with pytest.raises(Invalid):
            encode_bundle(entries)


def test_a_tile_holds_whole_hashes() -> None:
    raw = encode_hashes([b"a" * 32, b"b" * 32])
    assert decode_hashes(raw, 2) == [b"a" * 32, b"b" * 32]
    for damaged, width in ((raw[:-1], 2), (raw, 1), (raw, 3), (b"", 1)):
        with pytest.raises(Invalid):
            decode_hashes(damaged, width)
    for hashes in ([], [b"a" * 31], [b"a" * 32] * 257):
        with pytest.raises(Invalid):
            encode_hashes(hashes)


LARGE = MemoryLog()
LARGE.grow(2000)


@given(st.integers(0, 2000), st.data())
@settings(deadline=None, max_examples=150)
def test_proofs_from_tiles_are_those_from_all_leaves(size: int, data: st.DataObject) -> None:
    leaves = LARGE.hashes[:size]
    assert LARGE.tree.root(size) == merkle.root(leaves)
    if size:
        index = data.draw(st.integers(0, size - 1))
        assert LARGE.tree.inclusion(index, size) == merkle.inclusion_proof(leaves, index)
    old = data.draw(st.integers(0, size))
    assert LARGE.tree.consistency(old, size) == merkle.consistency_proof(leaves, old)


def test_a_proof_reads_few_leaves() -> None:
    """O(log n): after the first, a proof reads two tiles of leaves at most, whatever the size."""
    read = 0

    class Counting(MemoryLog):
        def leaves(self, first: int, count: int) -> list[bytes]:
            nonlocal read
            read += count
            return self.hashes[first : first + count]

    log = Counting()
    log.grow(70_001)
    log.tree.root(70_001)
    for index, old in ((0, 69_999), (33_333, 1), (70_000, 35_000)):
        before = read
        log.tree.inclusion(index, 70_001)
        log.tree.consistency(old, 70_001)
        assert read - before <= 1200


def test_there_is_no_proof_of_what_is_not_there() -> None:
    for index, size in ((-1, 5), (5, 5), (0, 0)):
        with pytest.raises(Invalid):
            LARGE.tree.inclusion(index, size)
    for old, size in ((6, 5), (-1, 5)):
        with pytest.raises(Invalid):
            LARGE.tree.consistency(old, size)
    with pytest.raises(Invalid):
        LARGE.tree.inclusion(1999, 2001)
