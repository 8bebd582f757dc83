"""Groups of universities of which national sums are told apart: small ones are merged with their neighbours.

A sum over few universities hides each of them less, and one over too few is refused by their policies. So the codes of a public
fact (provinces) are merged until every group has enough nodes. The partition is made once and kept: sums over two partitions could
be subtracted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from collegium.errors import Invalid
from collegium.registry import Registry

__all__ = ["Groups", "counts_of", "merged"]

Groups = tuple[tuple[str, ...], ...]


def counts_of(registry: Registry, fact: str) -> dict[str, int]:
    """Registered nodes that are not revoked, by code of the fact; codes of which there is none have 0. Raises Invalid."""
    schema = registry.schema
    if fact not in schema.facts:
        remedy = f"The schema has: {', '.join(sorted(schema.facts))}."
        raise Invalid(f"there is no fact {fact!r}", place="--by", remedy=remedy)
    there = Counter(node.facts.get(fact, "") for node in registry.nodes())
    return {code: there[code] for code in schema.codes[schema.facts[fact].codes]}


def merged(counts: Mapping[str, int], at_least: int) -> Groups:
    """Codes in groups of at least so many nodes, in the order of the codes; one group of all where there are not enough.

    The smallest group that is too small is merged with a group beside it in the order of the codes: one that begins with the same
    digit if there is one (codes of one region do), then the smaller. Where groups tie, the first counts.
    """
    groups = [[code] for code in sorted(counts)]

    def size(group: list[str]) -> int:
        return sum(counts[code] for code in group)

    while len(groups) > 1:
        small = [(size(group), place) for place, group in enumerate(groups) if size(group) < at_least]
        if not small:
            break
        _, place = min(small)
        left, right = place - 1, place + 1
        beside = [each for each in (left, right) if 0 <= each < len(groups)]

        def worth(other: int, place: int = place) -> tuple[bool, int, int]:
            first, second = sorted((place, other))
            return groups[first][-1][:1] != groups[second][0][:1], size(groups[other]), other

        first, second = sorted((place, min(beside, key=worth)))
        groups[first : second + 1] = [groups[first] + groups[second]]
    return tuple(tuple(group) for group in groups)
