"""The combine step itself: verify the shape of each node's release and add. Exact, whatever the order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import scale_is_right
from collegium.errors import NotVerified
from collegium.layout import Layout

__all__ = ["LARGEST", "NodeRelease", "add", "read_release"]

LARGEST = 2**62
"""No honest release reaches this: the layout leaves head room for 2^31 persons at a node, and the node refuses to go beyond."""


@dataclass(frozen=True, slots=True)
class NodeRelease:
    """A node's release: the payload (int64 little endian, the whole tally) and the stated scale of each part, as signed."""

    node: str
    payload: bytes
    scales: tuple[str, ...]


def read_release(layout: Layout, release: NodeRelease) -> NDArray[np.int64]:
    """The noisy tally in a release, shape (layout.length,).

    Raises:
        NotVerified: the payload is not one tally of this layout, a value is out of reach, or a scale is not what its charge buys.
    """
    place = f"release of {release.node}"
    if len(release.payload) != 8 * layout.length:
        raise NotVerified(f"{len(release.payload)} bytes are not {layout.length} values", place=place)
    if len(release.scales) != len(layout.parts):
        raise NotVerified(f"{len(release.scales)} noise scales for {len(layout.parts)} components", place=place)
    for number, (scale, part) in enumerate(zip(release.scales, layout.parts, strict=True)):
        if not scale_is_right(scale, part):
            raise NotVerified(f"the noise scale {scale!r} is not what the charge buys", place=f"{place}, component {number}")
    values = np.frombuffer(release.payload, dtype="<i8").astype(np.int64)
    if int(values.max()) >= LARGEST or int(values.min()) <= -LARGEST:
        raise NotVerified("a value is larger than any number of persons could make it", place=place)
    return values


def add(vectors: Sequence[NDArray[np.int64]], length: int) -> NDArray[np.int64]:
    """The sum. Where int64 could overflow (only false releases get there) the entries are Python integers, and still exact."""
    reach = sum(max(-int(v.min()), int(v.max())) for v in vectors)
    if reach < LARGEST:
        total = np.zeros(length, dtype=np.int64)
        for vector in vectors:
            total += vector
        return total
    exact = np.zeros(length, dtype=object)
    for vector in vectors:
        exact = exact + vector.astype(object)
    return exact
