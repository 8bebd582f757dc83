"""The Merkle tree: golden proofs, every proof of small trees, and that no altered proof verifies."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import Invalid, NotVerified
from collegium.log.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

LOG = json.loads((Path(__file__).parent.parent / "vectors" / "log.json").read_text(encoding="utf-8"))["log"]
LEAVES = [leaf_hash(f"entry-{i}".encode()) for i in range(40)]
ROOTS = [root(LEAVES[:n]) for n in range(41)]


def text(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]


def reference_root(entries: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as it is written there."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\1" + reference_root(entries[:k]) + reference_root(entries[k:])).digest()


def test_golden_vectors() -> None:
    leaves = [leaf_hash(entry.encode()) for entry in LOG["entries"]]
    assert text([EMPTY_ROOT, root([])]) == [LOG["empty_root"]] * 2
    assert text([root(leaves)]) == [LOG["root"]]
    for index, proof in LOG["inclusion"].items():
        assert text(inclusion_proof(leaves, int(index))) == proof
    for old, proof in LOG["consistency"].items():
        assert text(consistency_proof(leaves, int(old))) == proof


def test_roots_are_those_of_the_definition() -> None:
    frontier = Frontier()
    for size in range(41):
        assert frontier.size == size
        assert frontier.root() == ROOTS[size] == reference_root([f"entry-{i}".encode() for i in range(size)])
        if size < 40:
            frontier.append(LEAVES[size])


def test_a_copy_of_a_frontier_grows_alone() -> None:
    frontier = Frontier(LEAVES[:5])
    other = frontier.copy()
    other.append(LEAVES[5])
    assert (frontier.root(), other.root()) == (ROOTS[5], ROOTS[6])


def test_every_proof_of_small_trees_verifies_for_its_own_place_only() -> None:
    for size in range(1, 18):
        for index in range(size):
            proof = inclusion_proof(LEAVES[:size], index)
            verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
            for other in range(size):
                if other != index:
                    with pytest.raises(NotVerified):
                        verify_inclusion(LEAVES[index], other, size, proof, ROOTS[size])
        for old in range(size + 1):
            proof = consistency_proof(LEAVES[:size], old)
            verify_consistency(old, size, ROOTS[old], ROOTS[size], proof)
            for other in range(1, size + 1):
                if other != old:
                    with pytest.raises(NotVerified):
                        verify_consistency(old, size, ROOTS[other], ROOTS[size], proof)


@given(st.data())
@settings(deadline=None)
def test_altered_proofs_do_not_verify(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 40))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size - 1))
    cases: list[tuple[list[bytes], Callable[[list[bytes]], None]]] = [
        (inclusion_proof(LEAVES[:size], index), lambda p: verify_inclusion(LEAVES[index], index, size, p, ROOTS[size])),
        (consistency_proof(LEAVES[:size], old), lambda p: verify_consistency(old, size, ROOTS[old], ROOTS[size], p)),
    ]
    for proof, verify in cases:
        verify(proof)
        place = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[place][0] ^ 1]) + proof[place][1:]
        altered = data.draw(
            st.sampled_from(
                [
                    [*proof[:place], flipped, *proof[place + 1 :]],
                    [*proof[:place], *proof[place + 1 :]],
                    [*proof[:place], proof[place], *proof[place:]],
                    [*proof, LEAVES[0]],
                    [*proof[:place], proof[place][:31], *proof[place + 1 :]],
                ]
            )
        )
        with pytest.raises(NotVerified):
            verify(altered)


def test_a_forked_tree_is_not_consistent() -> None:
    fork = [*LEAVES[:4], leaf_hash(b"rewritten"), *LEAVES[5:12]]
    for old in range(5, 12):
        with pytest.raises(NotVerified):
            verify_consistency(old, 12, ROOTS[old], root(fork), consistency_proof(fork, old))
    verify_consistency(4, 12, ROOTS[4], root(fork), consistency_proof(fork, 4))


def test_an_inner_node_is_no_leaf() -> None:
    joined = hashlib.sha256(LEAVES[0] + LEAVES[1]).digest()
    assert leaf_hash(LEAVES[0] + LEAVES[1]) not in (ROOTS[2], joined)


OUT_OF_RANGE: list[Callable[[], None]] = [
    lambda: verify_inclusion(LEAVES[0], 0, 0, [], EMPTY_ROOT),
    lambda: verify_inclusion(LEAVES[0], 1, 1, [], LEAVES[0]),
    lambda: verify_inclusion(LEAVES[0], -1, 1, [], LEAVES[0]),
    lambda: verify_inclusion(LEAVES[0], 0, 2**63, [], LEAVES[0]),
    lambda: verify_inclusion(LEAVES[0], 0, 2, [], LEAVES[0]),
    lambda: verify_inclusion(b"short", 0, 1, [], b"short"),
    lambda: verify_consistency(3, 2, ROOTS[3], ROOTS[2], []),
    lambda: verify_consistency(0, 2, ROOTS[1], ROOTS[2], []),
    lambda: verify_consistency(0, 0, EMPTY_ROOT, ROOTS[2], []),
    lambda: verify_consistency(2, 2, ROOTS[2], ROOTS[3], []),
    lambda: verify_consistency(2, 2, ROOTS[2], ROOTS[2], [ROOTS[2]]),
    lambda: verify_consistency(2, 3, ROOTS[2], ROOTS[3], []),
    lambda: verify_consistency(2, 5, ROOTS[2], ROOTS[3], consistency_proof(LEAVES[:3], 2)),
    lambda: verify_inclusion(LEAVES[2], 2, 9, inclusion_proof(LEAVES[:3], 2), ROOTS[3]),
]


@pytest.mark.parametrize("claim", OUT_OF_RANGE)
def test_impossible_claims_are_not_verified(claim: Callable[[], None]) -> None:
    with pytest.raises(NotVerified):
        claim()


def test_there_is_no_proof_of_what_is_not_there() -> None:
    for index in (3, -1):
        with pytest.raises(Invalid):
            inclusion_proof(LEAVES[:3], index)
    for old in (4, -1):
        with pytest.raises(Invalid):
            consistency_proof(LEAVES[:3], old)
    with pytest.raises(Invalid):
        Frontier().append(b"not a hash")
