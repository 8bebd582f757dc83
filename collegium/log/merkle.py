"""The Merkle tree of a log: roots, inclusion and consistency proofs.

Leaf SHA-256(0x00, entry), node SHA-256(0x01, left, right), split at the largest power of two below n: RFC 6962. Verification
follows RFC 9162, sections 2.1.3.2 and 2.1.4.2, step by step. Hashes are exactly 32 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from collegium.errors import Invalid, NotVerified

__all__ = [
    "EMPTY_ROOT",
    "MAX_SIZE",
    "Frontier",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "root",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_SIZE = 2**63 - 1


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: roots of its complete subtrees, largest first. Appending costs O(log n) and keeps no leaf.

    Trusted with the root that is signed next; an attacker who changes it makes the log contradict its own earlier checkpoints.
    """

    def __init__(self, leaves: Sequence[bytes] = ()) -> None:
        self._peaks: list[bytes] = []
        self._size = 0
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        return self._size

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash (32 bytes, from `leaf_hash`)."""
        if len(leaf) != 32:
            raise Invalid("a leaf hash has 32 bytes")
        peak = leaf
        # One subtree is complete for every set bit of the size; a carry of the binary addition joins two of equal height.
        carry = self._size
        while carry & 1:
            peak = node_hash(self._peaks.pop(), peak)
            carry >>= 1
        self._peaks.append(peak)
        self._size += 1

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return result

    def copy(self) -> Frontier:
        other = Frontier()
        other._peaks = list(self._peaks)
        other._size = self._size
        return other


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    return Frontier(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes from the leaf's sibling to the root's child. Raises Invalid when there is no such leaf."""
    if not 0 <= index < len(leaves):
        raise Invalid(f"there is no leaf {index} in a tree of {len(leaves)}")
    proof: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(root(leaves[middle:high]))
            high = middle
        else:
            proof.append(root(leaves[low:middle]))
            low = middle
    return proof[::-1]


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """The proof that the tree of the first `old` leaves is a prefix of the tree of all. Empty for `old` 0 or all."""
    if not 0 <= old <= len(leaves):
        raise Invalid(f"there is no earlier tree of {old} in a tree of {len(leaves)}")
    if old in (0, len(leaves)):
        return []
    proof: list[bytes] = []
    low, high = 0, len(leaves)
    whole = True  # RFC 9162's flag b: the old tree's part of [low, high) is the old tree itself, whose root the verifier knows
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(root(leaves[middle:high]))
            high = middle
        else:
            proof.append(root(leaves[low:middle]))
            low = middle
            whole = False
    if not whole:
        proof.append(root(leaves[low:high]))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises NotVerified unless `leaf` is leaf `index` of the tree of `size` with this root. RFC 9162, 2.1.3.2."""
    _check_hashes(leaf, root, *proof)
    # (1)
    if not 0 <= index < size <= MAX_SIZE:
        raise NotVerified(f"there is no leaf {index} in a tree of {size}")
    # (2), (3)
    fn, sn, result = index, size - 1, leaf
    # (4)
    for sibling in proof:
        if sn == 0:
            raise NotVerified("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            result = node_hash(sibling, result)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node_hash(result, sibling)
        fn, sn = fn >> 1, sn >> 1
    # (5)
    if sn != 0 or result != root:
        raise NotVerified("the entry is not in the tree at this index")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises NotVerified unless the old tree is a prefix of the new one. RFC 9162, 2.1.4.2; the empty tree is a prefix of all."""
    _check_hashes(old_root, new_root, *proof)
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise NotVerified(f"a tree of {new_size} cannot follow one of {old_size}")
    if old_size == 0:
        if proof or old_root != EMPTY_ROOT or (new_size == 0 and new_root != EMPTY_ROOT):
            raise NotVerified("the empty tree has one root and needs no proof")
        return
    if old_size == new_size:
        if proof or old_root != new_root:
            raise NotVerified(f"two trees of size {new_size} have different roots")
        return
    # (1)
    if not proof:
        raise NotVerified("the consistency proof is empty")
    # (2)
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    # (3), (4)
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # (5)
    fr = sr = path[0]
    # (6)
    for sibling in path[1:]:
        if sn == 0:
            raise NotVerified("the consistency proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(sibling, fr), node_hash(sibling, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, sibling)
        fn, sn = fn >> 1, sn >> 1
    # (7)
    if sn != 0 or fr != old_root or sr != new_root:
        raise NotVerified(f"the tree of {old_size} is no prefix of the tree of {new_size}")


def _split(size: int) -> int:
    """The largest power of two below `size` (at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def _check_hashes(*hashes: bytes) -> None:
    if any(len(each) != 32 for each in hashes):
        raise NotVerified("a hash has exactly 32 bytes")
