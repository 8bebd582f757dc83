"""The margins that a question with GROUPING SETS measures, and the rho of each.

Which margins are worth measuring, and how much each, is `collegium.margins.weights`: the noise in all cells shown is least.
The wanted sets and any of their own margins may be measured; what is not is added up from what is.
"""

from __future__ import annotations

from collections.abc import Sequence

from collegium.layout import Layout
from collegium.margins import Keys, closure, weights
from collegium.question import MAX_COMPONENTS, Component, Question
from collegium.sql.grammar import remedy
from collegium.sql.source import Source

__all__ = ["measure_margins"]


def measure_margins(
    question: Question, layout: Layout, sets: Sequence[tuple[str, ...]], rho: int, source: Source
) -> tuple[Question, list[int]]:
    """The question with a component for every margin of each of its components, and where each component's first one is.

    Raises:
        Invalid: there are too many, rho is too little, or persons would be counted in several cells.
    """
    sizes = [axis.size for axis in layout.axes]
    names = [axis.column for axis in layout.axes]
    wanted = [tuple(names.index(name) for name in keys) for keys in sets]
    groups = layout.parts[0].groups
    everything = tuple(range(len(sizes)))
    if groups > 1 and any(component.kind == "people" for component in question.components) and any(w != everything for w in wanted):
        raise source.refuse_word(
            "GROUP",
            f"a person may be in {groups} cells and would count as often in their sum",
            "Ask COUNT(*) here, or ask with max_groups 1, or ask for persons in a statement without grouping sets.",
        )
    shares = weights(sizes, wanted, {keys: _square(sizes, keys, groups) for keys in closure(wanted)})
    components: list[Component] = []
    moved: list[int] = []
    for component in question.components:
        moved.append(len(components))
        for keys in sorted(shares, key=lambda keys: (-len(keys), keys)):
            part = int(rho // len(question.components) * shares[keys])
            if part < 1:
                raise source.refuse_word("GROUP", f"{rho} nano-rho are too few for so many margins", remedy("sets"))
            margin = None if keys == everything else tuple(names[key] for key in keys)
            components.append(component.model_copy(update={"margin": margin, "rho": part}))
    if len(components) > MAX_COMPONENTS:
        raise source.refuse_word("GROUP", f"the margins need more than {MAX_COMPONENTS} components", "Ask for fewer sets.")
    return question.model_copy(update={"components": tuple(components)}), moved


def _square(sizes: Sequence[int], keys: Keys, groups: int) -> int:
    """The squared sensitivity of a margin in units of a cell's bound, as `collegium.layout` has it."""
    crowd = 1
    for key, size in enumerate(sizes):
        crowd *= 1 if key in keys else size
    full, rest = divmod(groups, crowd)
    return full * crowd * crowd + rest * rest
