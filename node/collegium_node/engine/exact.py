"""An exact tally, held so that its figures cannot slip out by accident.

Trusted with the exact figures between engine and noise. What can reach one can read them, so only `collegium_node.noise` (and
tests) call `open`; text, pickles, copies and JSON of it show no figure.
"""

from __future__ import annotations

from typing import NoReturn

from collegium_node.choice import Int64s

__all__ = ["ExactTally"]


class ExactTally:
    """int64[layout.length] without noise."""

    __slots__ = ("__figures",)

    def __init__(self, figures: Int64s) -> None:
        self.__figures = figures

    def open(self) -> Int64s:
        """The figures. For `collegium_node.noise` alone."""
        return self.__figures

    def __len__(self) -> int:
        return len(self.__figures)  # public: the layout's length

    def __repr__(self) -> str:
        return f"ExactTally({len(self)} values, not shown)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an exact tally is not written anywhere")
