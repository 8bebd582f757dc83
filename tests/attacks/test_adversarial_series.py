"""What an adversary can do with many allowed questions (hazards P20 and P21): no more than the budget says.

The adversary knows everybody's rows but one person's, chooses his questions with that knowledge, and combines all answers in the
best way. He decides between "the person is in the data" and "is not". For a total loss of rho (zCDP) the divergence of his whole
view is at most rho, so no rule of his can have an advantage (true positives minus false positives) above sqrt(rho / 2), by
Pinsker's inequality; against Gaussian noise the best rule reaches 2·Phi(sqrt(rho / 2)) - 1.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from collegium.accounting import epsilon_of, guarantee_sentence
from collegium.layout import Layout, compile_layout
from collegium.question import Bounds, Component, GroupKey, In, Not, Predicate, Question, Range
from collegium.schema import parse_schema
from collegium_node.engine.exact import ExactTally
from collegium_node.noise import add_noise

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "toy" }
[units.student]
title = { en = "student" }
max_nodes_per_person = 3
[codes.sex]
1 = { en = "male" }
2 = { en = "female" }
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
sex = { type = "category", title = { en = "sex" }, codes = "sex" }
age = { type = "integer", title = { en = "age" }, min = 15, max = 79 }
"""
)
BUDGET = 200_000_000  # nano-rho of a period


REPETITIONS = 1500
SLACK = 4 * math.sqrt(0.5 / REPETITIONS)


def ask(filter_: Predicate | None, rho: int) -> Layout:
    """A count of persons in each year of age: with one cell a person its noise in a cell is that of the plain count."""
    question = Question(
        dataset="t",
        filter=filter_,
        group=(GroupKey(column="age"),),
        components=(Component(kind="people", rho=rho),),
        bounds=Bounds(max_groups=1, max_rows=1),
        schema="toy/1",
    )
    return compile_layout(question, SCHEMA)


def draws(layout: Layout, exact: int, count: int) -> NDArray[np.float64]:
    """`count` independent releases of one cell that holds `exact` persons; every cell of a release is one."""
    parts: list[NDArray[np.int64]] = []
    while sum(map(len, parts)) < count:
        tally = ExactTally(np.full(layout.length, exact, dtype=np.int64))
        parts.append(np.frombuffer(add_noise(layout, tally).payload, dtype="<i8"))
    return np.concatenate(parts)[:count].astype(np.float64)


def advantage(questions: list[tuple[Layout, int, int]]) -> float:
    """True minus false positives of the best rule: answers minus what he knows, weighted by the person's part over the noise."""
    scores = {present: np.zeros(REPETITIONS) for present in (0, 1)}
    for layout, known, adds in questions:
        variance = layout.parts[0].sensitivity_squared * 1e9 / (2 * layout.question.rho)
        for present, score in scores.items():
            score += adds / variance * (draws(layout, known + adds * present, REPETITIONS) - known - adds / 2)
    return float((scores[1] > 0).mean() - (scores[0] > 0).mean())


def best(rho: float) -> float:
    """The advantage of the best rule against Gaussian noise of a total loss of rho."""
    return 2 * NormalDist().cdf(math.sqrt(rho / 2)) - 1


def series(name: str) -> list[tuple[Layout, int, int]]:
    """(layout, what the others count, what the person adds) of each question; together they cost the whole budget."""
    if name == "one question":
        return [(ask(None, BUDGET), 1000, 1)]
    if name == "forty overlapping ranges":  # trackers: ranges that all hold the person, at ages around theirs
        return [(ask(Range(column="age", min=15, max=39 + k), BUDGET // 40), 700 + k, 1) for k in range(40)]
    if name == "all minus one":  # the whole and the whole without the person's own cell
        male = In(column="sex", values=("1",))
        return [(ask(None, BUDGET // 2), 1000, 1), (ask(Not(arg=male), BUDGET - BUDGET // 2), 480, 0)]
    raise AssertionError(name)


@pytest.mark.parametrize("name", ["one question", "forty overlapping ranges", "all minus one"])
def test_no_series_within_the_budget_tells_membership_better_than_the_bound(name: str) -> None:
    questions = series(name)
    rho = sum(layout.question.rho for layout, _, _ in questions) / 1e9
    assert rho <= BUDGET / 1e9
    found = advantage(questions)
    assert found <= math.sqrt(rho / 2) + SLACK
    assert found <= best(rho) + SLACK


def test_the_bound_would_notice_noise_that_is_three_times_too_small() -> None:
    lying = [(ask(None, BUDGET * 9), 1000, 1)]  # as if a charge of BUDGET bought a third of the scale it must
    assert advantage(lying) > math.sqrt(BUDGET / 1e9 / 2) + SLACK


def test_a_person_at_three_nodes_loses_three_times_rho_and_the_sentence_says_so() -> None:
    unit = SCHEMA.units["student"]
    sentence = guarantee_sentence(BUDGET, "1e-6", "student", unit.max_nodes_per_person)
    assert f"rho {3 * BUDGET / 1e9:g}" in sentence
    assert epsilon_of(3 * BUDGET, "1e-6") < 3 * epsilon_of(BUDGET, "1e-6")  # multiplied first, converted afterwards
    found = advantage([(ask(None, BUDGET), 500 + node, 1) for node in range(3)])  # one person, three independent releases
    assert found <= best(3 * BUDGET / 1e9) + SLACK
    assert found > best(BUDGET / 1e9)  # more than one node's loss: only the sum over nodes is a guarantee
