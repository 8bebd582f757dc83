"""The tree of a large log: roots and proofs in O(log n) from hashes of whole tiles, not from all leaves.

    tree = Tree(LeafHashes(leaves))       # leaves(first, count) reads leaf hashes, from a database say
    tree.inclusion(index, size), tree.consistency(old, size), tree.root(size)

A `HashSource` gives the hashes of one tile level: number i of level L is the root over entries i·256^L up to (i+1)·256^L, which the
log has all. The proofs are those of `merkle`, hash for hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from collegium.errors import Invalid
from collegium.log.merkle import EMPTY_ROOT, MAX_SIZE, node_hash
from collegium.log.tiles import WIDTH

__all__ = ["HashSource", "LeafHashes", "Leaves", "Tree"]

Leaves = Callable[[int, int], Sequence[bytes]]
"""leaves(first, count): leaf hashes by index, `count` of them."""


class HashSource(Protocol):
    def hashes(self, level: int, first: int, count: int) -> Sequence[bytes]:
        """`count` hashes of a tile level from number `first` on, within one tile (so at most 256)."""
        ...


class LeafHashes:
    """A hash source over stored leaf hashes. Hashes of higher levels never change once they exist, so they are kept in memory.

    1,000,000 entries need 3,921 of them. The first proof of a large log reads every leaf once; later ones read two tiles.
    """

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves
        self._kept: dict[tuple[int, int], bytes] = {}

    def hashes(self, level: int, first: int, count: int) -> Sequence[bytes]:
        if level == 0:
            leaves = self._leaves(first, count)
            if len(leaves) != count:
                raise Invalid(f"the log has no {count} entries from {first} on")
            return leaves
        return [self._whole(level, number) for number in range(first, first + count)]

    def _whole(self, level: int, number: int) -> bytes:
        found = self._kept.get((level, number))
        if found is None:
            found = _fold(self.hashes(level - 1, number * WIDTH, WIDTH))
            self._kept[level, number] = found
        return found


class Tree:
    """Roots and proofs of all sizes of one log that its hash source covers."""

    def __init__(self, source: HashSource) -> None:
        self._source = source

    def hashes(self, level: int, first: int, count: int) -> Sequence[bytes]:
        """Hashes of a tile level, within one tile."""
        return self._source.hashes(level, first, count)

    def root(self, size: int) -> bytes:
        """The root when the log had `size` entries."""
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The hashes from the leaf's sibling to the root's child. Raises Invalid when there is no such leaf."""
        if not 0 <= index < size <= MAX_SIZE:
            raise Invalid(f"there is no leaf {index} in a tree of {size}")
        proof: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
        return proof[::-1]

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof that the first `old` entries are a prefix of the first `size`. Empty for `old` 0 or `size`."""
        if not 0 <= old <= size <= MAX_SIZE:
            raise Invalid(f"there is no earlier tree of {old} in a tree of {size}")
        if old in (0, size):
            return []
        proof: list[bytes] = []
        low, high = 0, size
        whole = True  # RFC 9162's flag b, as in `merkle`
        while old != high:
            middle = low + _split(high - low)
            if old <= middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low, whole = middle, False
        if not whole:
            proof.append(self._range(low, high))
        return proof[::-1]

    def _range(self, low: int, high: int) -> bytes:
        """The root over entries [low, high), where low is a multiple of the smallest power of two not below high - low."""
        peaks: list[bytes] = []
        while low < high:
            height = (high - low).bit_length() - 1
            peaks.append(self._complete(height, low >> height))
            low += 1 << height
        result = peaks.pop()
        while peaks:
            result = node_hash(peaks.pop(), result)
        return result

    def _complete(self, height: int, number: int) -> bytes:
        """The root over the 2^height entries from number·2^height on: part of one tile."""
        level, inner = divmod(height, 8)
        return _fold(self._source.hashes(level, number << inner, 1 << inner))


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def _split(size: int) -> int:
    """The largest power of two below `size` (at least 2)."""
    return 1 << (size - 1).bit_length() - 1
