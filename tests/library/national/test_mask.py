"""Masks and commitments are those of the vectors, in any chunks; vectors were made with other programs."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collegium.errors import Invalid
from collegium.national.commitment import commitment
from collegium.national.mask import mask_chunks, mask_key, new_seeds, place_bytes

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors/national.json").read_text("utf-8"))


@pytest.mark.parametrize("case", VECTORS["masks"], ids=lambda case: str(case["member"]))
def test_golden_masks(case: dict[str, Any]) -> None:
    key = mask_key(bytes.fromhex(case["seed"]), bytes.fromhex(case["plan"]), case["member"], case["trustee"])
    assert key.hex() == case["key"]
    cells = len(case["mask"])
    assert [str(cell) for cell in np.concatenate(list(mask_chunks(key, cells)))] == case["mask"]
    for chunk in (1_000, 16_384, 50_000):
        digest = hashlib.sha256(b"".join(piece.tobytes() for piece in mask_chunks(key, 40_000, chunk=chunk)))
        assert digest.hexdigest() == case["sha256_of_40000_cells"]


def test_golden_commitment() -> None:
    case = VECTORS["commitment"]
    cells = np.array([int(cell) for cell in case["cells"]], dtype=np.uint64)
    found = commitment(bytes.fromhex(case["plan"]), case["member"], bytes.fromhex(case["salt"]), cells)
    assert found == case["sha256"]


def test_every_place_and_plan_has_its_own_key() -> None:
    seed = bytes(32)
    keys = {mask_key(seed, bytes([p]) * 32, m, t) for p in range(3) for m in (0, 1, 256) for t in range(3)}
    assert len(keys) == 27
    assert len(set(new_seeds() + new_seeds())) == 6


def test_a_mask_takes_the_memory_of_a_chunk() -> None:
    tracemalloc.start()
    try:
        for _ in mask_chunks(bytes(32), 1_000_000):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # bytes; the mask itself has 8,000,000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("member", "trustee"), [(-1, 0), (2**32, 0), (0, 3), (0, -1)])
def test_no_mask_outside_the_places(member: int, trustee: int) -> None:
    with pytest.raises(Invalid):
        place_bytes(member, trustee)


def test_lengths_are_fixed() -> None:
    for seed, plan in ((bytes(31), bytes(32)), (bytes(32), bytes(33))):
        with pytest.raises(Invalid):
            mask_key(seed, plan, 0, 0)
    with pytest.raises(Invalid):
        commitment(bytes(32), 0, b"short", np.zeros(1, dtype=np.uint64))
