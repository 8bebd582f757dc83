"""What a fuzz target is: one parser, valid inputs to begin from, and what must hold of whatever comes out.

    target = Target(seeds, run)
    target.accepts(raw)        True: taken as valid; False: refused with the one type of error that the parser may raise

Counts as a finding: any other exception (an AssertionError of `run` above all, which says that something was accepted that is not
the original). A refusal is never one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from collegium.errors import CollegiumError, Invalid

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """`run` reads raw bytes, and asserts. `refusal` is what it may raise. `largest`: bytes that a mutation may have."""

    seeds: tuple[bytes, ...]
    run: Callable[[bytes], None]
    refusal: type[CollegiumError] = Invalid
    largest: int = 4096

    def accepts(self, raw: bytes) -> bool:
        try:
            self.run(raw)
        except self.refusal:
            return False
        return True
