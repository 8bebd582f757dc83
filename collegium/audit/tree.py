"""A log's tree in memory: every complete subtree's hash, so that the root at any size costs a dozen hashes.

64 bytes an entry. A log's copy is judged by thousands of older checkpoints (embedded by peers, in receipts), each at its own size.
"""

from __future__ import annotations

from collections.abc import Sequence

from collegium.log.merkle import EMPTY_ROOT, node_hash
from collegium.log.tree import Tree

__all__ = ["Levels"]


class Levels:
    """Hashes by height: number i of height h is the root over entries i·2^h up to (i+1)·2^h. Also a `HashSource` of tiles."""

    def __init__(self) -> None:
        self._heights: list[bytearray] = [bytearray()]
        self._roots: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        return len(self._heights[0]) // 32

    def extend(self, part: Sequence[bytes]) -> None:
        """Append a chunk's hashes by height; chunks are aligned to the highest power of two that they bring."""
        while len(self._heights) < len(part):
            self._heights.append(bytearray())
        for height, hashes in enumerate(part):
            self._heights[height] += hashes

    def finish(self) -> None:
        """Compute the heights above those that the chunks brought."""
        height = 0
        while len(self._heights[height]) >= 64:
            if height + 1 == len(self._heights):
                self._heights.append(bytearray())
            below, here = self._heights[height], self._heights[height + 1]
            for at in range(2 * len(here), len(below) - 63, 64):
                here += node_hash(bytes(below[at : at + 32]), bytes(below[at + 32 : at + 64]))
            height += 1

    def leaf(self, index: int) -> bytes:
        return bytes(self._heights[0][32 * index : 32 * index + 32])

    def leaves(self, first: int, count: int) -> bytes:
        return bytes(self._heights[0][32 * first : 32 * (first + count)])

    def root(self, size: int) -> bytes:
        """The root when the log had `size` entries (at most those held)."""
        found = self._roots.get(size)
        if found is None:
            found = self._roots[size] = self._root(size)
        return found

    def _root(self, size: int) -> bytes:
        if not size:
            return EMPTY_ROOT
        result = b""
        number = size
        for height in range(size.bit_length()):
            if number & 1:
                peak = bytes(self._heights[height][32 * (number - 1) : 32 * number])
                result = node_hash(peak, result) if result else peak
            number >>= 1
        return result

    def hashes(self, level: int, first: int, count: int) -> list[bytes]:
        height = 8 * level
        row = self._heights[height] if height < len(self._heights) else b""
        return [bytes(row[at : at + 32]) for at in range(32 * first, 32 * (first + count), 32)]

    @property
    def proofs(self) -> Tree:
        """Inclusion and consistency proofs."""
        return Tree(self)
