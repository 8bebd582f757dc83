"""Indicators to queries: the right table for each kind, shared wherever two indicators count the same."""

from __future__ import annotations

from collections import Counter

import pytest
from indicatortables import shipped

from collegium.indicators.families import Family, demands, recipes
from collegium.indicators.twovalued import is_true
from collegium.question import In

EXPANDED, SCHEMA, BATCH = shipped()
RECIPES = recipes(EXPANDED, SCHEMA)


def test_every_indicator_has_a_recipe_and_its_cells_are_its_own() -> None:
    assert list(RECIPES) == [leaf.id for leaf in EXPANDED.leaves]
    for leaf in EXPANDED.leaves:
        cell = dict(RECIPES[leaf.id].numerator.cell)
        assert dict(leaf.cell).items() <= cell.items()
        assert RECIPES[leaf.id].factor == leaf.factor


@pytest.mark.parametrize(
    ("leaf", "above", "below", "middle"),
    [
        ("U-S02-001", "people", None, 0.0),  # enrolled students
        ("U-S03-001", "rows", None, 0.0),  # course registrations
        ("U-S04-001", "total", "rows", 0.5),  # pass rate
        ("U-S09-001", "total", "people", 0.5),  # teachers with a doctorate: one row a person
        ("U-S03-005", "total", "count", 50.0),  # mean score, of rows in which it is known
        ("U-S17-015", "sum", "count", 0.0),  # mean learning hours: a person's clip is far below ten rows of 500
        ("U-S06-012", "people", "people", 0.0),  # destination share
        ("U-S08-008", "people", "people", 0.0),  # students per teacher
        ("U-S12-006", "sum", None, 0.0),  # funding
        ("U-S12-011", "sum", "people", 0.0),
        ("U-S13-007", "rows", "people", 0.0),
    ],
)
def test_kinds(leaf: str, above: str, below: str | None, middle: float) -> None:
    recipe = RECIPES[leaf]
    assert recipe.numerator.family.operand.kind == above
    assert (recipe.denominator.family.operand.kind if recipe.denominator else None) == below
    assert recipe.middle == middle


def test_a_ratio_counts_nulls_in_its_denominator_alone() -> None:
    leaf, recipe = EXPANDED.leaf("U-S04-001"), RECIPES["U-S04-001"]
    assert leaf is not None
    assert leaf.numerator is not None
    assert recipe.numerator.family.operand.condition == is_true(leaf.numerator)
    assert recipe.denominator is not None
    assert recipe.denominator.family.operand.condition is None


def test_the_two_sides_of_a_ratio_are_of_the_same_rows() -> None:
    for leaf in EXPANDED.leaves:
        recipe = RECIPES[leaf.id]
        if leaf.kind in ("ratio", "mean", "share"):
            assert recipe.denominator is not None
            above, below = recipe.numerator.family, recipe.denominator.family
            assert (above.source, above.operand.filter) == (below.source, below.operand.filter), leaf.id
            assert set(recipe.denominator.cell) <= set(recipe.numerator.cell)
        if leaf.kind == "share":
            assert recipe.numerator.family == recipe.denominator.family  # type: ignore[union-attr]


def test_persons_with_several_rows_are_never_narrowed_by_a_filter() -> None:
    """Their cell is chosen before the filter is looked at, so a filter would lose those whose chosen row does not fulfil it."""
    for family in demands(EXPANDED, RECIPES):
        if family.source.once and EXPANDED.max_rows[family.source.dataset] > 1:
            assert family.operand.kind == "people"
            assert family.operand.filter is None


def test_one_table_serves_all_that_count_the_same() -> None:
    wanted = demands(EXPANDED, RECIPES)
    assert sum(sum(cells.values()) for margins in wanted.values() for cells in margins.values()) == sum(
        len(recipe.queries) for recipe in RECIPES.values()
    )
    assert len(wanted) < 80
    graduates = RECIPES["U-S06-001"].denominator
    assert graduates is not None
    uses = Counter(query.family for recipe in RECIPES.values() for query in recipe.queries)
    assert uses[graduates.family] > 300  # numbers, shares and denominators of all that is said of graduates


def test_a_narrower_population_is_read_from_the_cells_of_the_wider() -> None:
    """Doctoral students are the enrolled ones of level 1; no table of their own."""
    doctoral, enrolled = RECIPES["U-S11-003"].numerator, RECIPES["U-S02-001"].numerator
    assert doctoral.family == enrolled.family
    assert doctoral.cell == (("study_level", "1"),)
    sources: set[Family] = {family for family in demands(EXPANDED, RECIPES) if family.source.dataset == "enrolment"}
    assert not any(In(column="study_level", values=("1",)) in getattr(f.source.population, "args", ()) for f in sources)
