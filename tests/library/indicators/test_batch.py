"""The plan of the shipped catalogue: one request, its charges, its sensitivities; the same for whoever makes it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from indicatortables import RHO, shipped

from collegium.errors import Invalid
from collegium.indicators.batch import plan_batch
from collegium.indicators.questions import MAX_HELD
from collegium.log.statement import MAX_STATEMENT, canonical_json
from collegium.question import Question
from collegium.statements import MAX_QUESTIONS
from collegium.view import check_view

EXPANDED, SCHEMA, BATCH = shipped()


def test_everything_is_one_request_with_room_to_spare() -> None:
    questions = [question.to_json() for question in BATCH.questions]
    views = [view.to_json() for view in BATCH.views]
    assert len(questions) <= MAX_QUESTIONS // 2
    assert len(canonical_json({"questions": questions, "views": views})) < MAX_STATEMENT * 0.7
    for question, view in zip(BATCH.questions, BATCH.views, strict=True):
        assert Question.from_json(question.to_json()) == question
        check_view(view, question)
    assert len({question.digest for question in BATCH.questions}) == len(BATCH.questions)


def test_the_charge_is_what_was_allowed_and_never_more() -> None:
    for unit, allowed in RHO.items():
        charged = sum(q.rho for q in BATCH.questions if SCHEMA.datasets[q.dataset].unit == unit)
        assert charged == BATCH.charges[unit]
        assert allowed - 1000 < charged <= allowed


def test_no_table_is_asked_twice() -> None:
    seen = set()
    for question in BATCH.questions:
        for component in question.components:
            bare = component.model_copy(update={"rho": 1}).model_dump_json()
            margin = component.margin if component.margin is not None else tuple(key.column for key in question.group)
            key = question.dataset, str(question.filter), question.bounds, margin, bare
            assert key not in seen
            seen.add(key)
    assert BATCH.histograms == len(seen) < 200  # 1,298 indicators


def test_what_one_person_can_move() -> None:
    """A table costs what its total costs: one for persons; a person's rows over all cells for rows, and a clip for sums."""
    for layout in BATCH.layouts:
        rows = EXPANDED.max_rows[layout.question.dataset]
        for part in layout.parts:
            component = part.component
            if layout.question.bounds.scope is None:
                assert (layout.question.bounds.max_groups, layout.question.bounds.max_rows) == (1, 1)
                rows = 1
            if component.kind == "people":
                assert part.sensitivity_squared == 1
            elif component.kind in ("rows", "count") or component.condition is not None:
                assert part.sensitivity_squared == rows**2
            elif component.clip is not None:
                assert part.sensitivity_squared == component.clip[1] ** 2
        assert layout.cells * len(layout.parts) <= MAX_HELD * 64


def test_margins_of_one_family_are_in_one_question_and_serve_all_its_cells() -> None:
    for placed in BATCH.families:
        for keys in placed.wanted:
            assert any(set(keys) <= set(measured) for measured in placed.parts)
    for line, leaf in zip(BATCH.lines, EXPANDED.leaves, strict=True):
        assert line.id == leaf.id
        assert len(BATCH.questions_of(line)) <= (2 if leaf.denominator_dataset else 1)
        labels = {}
        placed = BATCH.families[line.numerator.family]
        cell = line.numerator.cell
        for key in reversed(placed.wanted[line.numerator.margin]):
            axis = BATCH.layouts[placed.question].axes[key]
            cell, index = divmod(cell, axis.size)
            labels[axis.column] = axis.labels[index]
        assert labels == dict(line.recipe.numerator.cell)


def test_the_plan_is_the_same_again() -> None:
    """Whoever has the catalogue and the rho recomputes the questions, digest by digest."""
    again = plan_batch(EXPANDED, SCHEMA, RHO)
    assert [q.digest for q in again.questions] == [q.digest for q in BATCH.questions]


def test_half_the_rho_is_half_for_every_table() -> None:
    half = plan_batch(EXPANDED, SCHEMA, {unit: nano // 2 for unit, nano in RHO.items()})
    for one, other in zip(BATCH.questions, half.questions, strict=True):
        for full, less in zip(one.components, other.components, strict=True):
            assert math.isclose(less.rho, full.rho / 2, abs_tol=2)


def test_a_weight_moves_the_budget() -> None:
    leaves = tuple(replace(leaf, weight=50.0) if leaf.measure == "mean_salary" else leaf for leaf in EXPANDED.leaves)
    heavy = plan_batch(replace(EXPANDED, leaves=leaves), SCHEMA, RHO)

    def salary(questions: tuple[Question, ...]) -> int:
        return sum(c.rho for q in questions for c in q.components if c.column == "salary")

    assert salary(heavy.questions) > 2 * salary(BATCH.questions)
    assert heavy.charges["student"] <= RHO["student"]


@pytest.mark.parametrize(
    ("rho", "text"),
    [
        ({"student": 10**9, "staff": 10**9}, "counts each learner"),
        ({**RHO, "robot": 5}, "no indicator counts a robot"),
        ({**RHO, "student": 50}, "too small"),
    ],
)
def test_rho_that_does_not_fit(rho: dict[str, int], text: str) -> None:
    with pytest.raises(Invalid, match=text) as caught:
        plan_batch(EXPANDED, SCHEMA, rho)
    assert caught.value.place == "rho"
