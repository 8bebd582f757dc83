"""What a national sum's plan has to be for a question: computed from its layout and the registry's k, by everybody alike.

A component's `reach` is where a node cuts off its cells. It is what one person can move a cell by, times the largest power of two,
up to 2^24, for which the sum keeps within 64 bits. So it follows from public things, and an honest node never meets it: it would
need more persons than that in one cell. Where even 2^17 persons would not fit, the question is refused instead.
"""

from __future__ import annotations

from collegium.errors import Invalid
from collegium.layout import Layout, Part
from collegium.national.plan import Wanted
from collegium.national.share import Tolerance, fits_64_bits, make_share, sigma_for
from collegium.schema import Schema

__all__ = ["FEWEST_PERSONS", "MOST_PERSONS", "homes_of", "wanted"]

MOST_PERSONS, FEWEST_PERSONS = 24, 17
"""Powers of two: for so many persons in one cell of one node there is room, if there is room at all."""


def homes_of(layout: Layout, schema: Schema) -> int:
    """k: at how many nodes one person of the question's privacy unit can be. A sum counts such a person k times."""
    return schema.units[layout.unit].max_nodes_per_person


def wanted(layout: Layout, nodes: int, tolerance: Tolerance, homes: int) -> tuple[Wanted, ...]:
    """What `collegium.national.plan.plan_parts` and `check_plan` take, a part of the layout each.

    Args:
        nodes: n, the nodes of the roster.
        homes: k, see `homes_of`.

    Raises:
        Invalid: too few nodes would carry the noise, or a part has no room for 2^17 persons at each node.
    """
    honest = tolerance.honest(nodes)
    return tuple(_wanted(part, number, nodes, honest, homes) for number, part in enumerate(layout.parts))


def _wanted(part: Part, number: int, nodes: int, honest: int, homes: int) -> Wanted:
    rho = part.component.rho
    share = make_share(sigma_for(rho, part.sensitivity_squared, homes), honest)
    one = part.bound * min(part.groups, part.crowd)  # the cells of a margin add up several of the person's
    for power in range(MOST_PERSONS, FEWEST_PERSONS - 1, -1):
        if fits_64_bits(one << power, nodes, share):
            return Wanted(part.width, part.sensitivity_squared, rho, one << power)
    raise Invalid(
        f"{nodes} universities with {2**FEWEST_PERSONS} persons in one cell could leave 64 bits",
        place=f"components.{number}",
        remedy="Ask with smaller bounds or a smaller epsilon, or ask the federation for a larger step of the column.",
    )
