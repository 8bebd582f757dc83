"""Digest and canonical form: the same question is found again, a different one never."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collegium.errors import Invalid
from collegium.question import (
    And,
    Bounds,
    Component,
    GroupKey,
    In,
    Not,
    Or,
    Predicate,
    Question,
    Range,
    Unknown,
    canonical_predicate,
)

leaves = st.one_of(
    st.builds(In, column=st.just("sex"), values=st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple)),
    st.builds(Range, column=st.just("age"), min=st.integers(0, 5), max=st.integers(3, 9)),
    st.builds(Unknown, column=st.just("sex")),
)
predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, arg=inner),
        st.builds(And, args=st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, args=st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def truth(predicate: Predicate, row: dict[str, Any]) -> bool | None:
    """SQL's three-valued logic, straight from its tables."""
    if isinstance(predicate, Unknown):
        return row[predicate.column] is None
    if isinstance(predicate, In):
        return None if row[predicate.column] is None else row[predicate.column] in predicate.values
    if isinstance(predicate, Range):
        value = row[predicate.column]
        return None if value is None else (predicate.min or 0) <= value <= (predicate.max if predicate.max is not None else 99)
    if isinstance(predicate, Not):
        inner = truth(predicate.arg, row)
        return None if inner is None else not inner
    values = [truth(arg, row) for arg in predicate.args]
    stop = isinstance(predicate, Or)
    return stop if stop in values else None if None in values else not stop


def question(**changes: Any) -> Question:
    base: dict[str, Any] = {
        "dataset": "graduate",
        "components": (Component(kind="rows", rho=10),),
        "bounds": Bounds(max_groups=1, max_rows=1),
        "schema": "toy/1",
    }
    return Question(**{**base, **changes})


@given(predicates)
def test_the_canonical_form_means_the_same_and_is_stable(predicate: Predicate) -> None:
    canonical = canonical_predicate(predicate)
    assert canonical_predicate(canonical) == canonical
    for sex in ("a", "b", "z", None):
        for age in (0, 4, 9, None):
            assert truth(predicate, {"sex": sex, "age": age}) == truth(canonical, {"sex": sex, "age": age})


@given(predicates)
def test_a_question_survives_its_json_and_keeps_its_digest(predicate: Predicate) -> None:
    asked = question(filter=predicate)
    again = Question.from_json(asked.to_json())
    assert again.digest == asked.digest


def test_order_of_terms_plays_no_part_and_everything_else_does() -> None:
    a, b = In(column="sex", values=("1",)), Range(column="age", min=3)
    base = question(filter=And(args=(a, b)))
    assert question(filter=And(args=(b, a, b))).digest == base.digest
    others = [
        question(filter=Or(args=(a, b))),
        question(filter=a),
        question(filter=And(args=(a, b)), dataset="staff"),
        question(filter=And(args=(a, b)), schema="toy/2"),
        question(filter=And(args=(a, b)), group=(GroupKey(column="sex"),)),
        question(filter=And(args=(a, b)), bounds=Bounds(max_groups=2, max_rows=1)),
        question(filter=And(args=(a, b)), bounds=Bounds(max_groups=1, max_rows=1, scope="person")),
        question(filter=And(args=(a, b)), components=(Component(kind="rows", rho=11),)),
        question(filter=And(args=(a, b)), components=(Component(kind="people", rho=10),)),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    "damage",
    [
        {"colour": 1},
        {"mode": "exact"},
        {"components": []},
        {"components": [{"kind": "rows", "rho": 1.5}]},
        {"components": [{"kind": "rows", "rho": 0}]},
        {"components": [{"kind": "rows", "rho": True}]},
        {"components": [{"kind": "rows", "rho": 1, "column": "age"}]},
        {"components": [{"kind": "median", "column": "age", "rho": 1}]},
        {"components": [{"kind": "sum", "column": "age", "rho": 1}]},
        {"components": [{"kind": "sum", "column": "age", "clip": [5, 5], "rho": 1}]},
        {"filter": {"op": "like", "column": "sex"}},
        {"filter": {"op": "range", "column": "age"}},
        {"filter": {"op": "in", "column": "sex", "values": ["b", "a"]}},  # not canonical
        {"group": [{"column": "age", "edges": [3, 3]}]},
        {"group": [{"column": "sex"}, {"column": "sex"}]},
    ],
)
def test_what_is_not_in_the_model_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Question.from_json({**question().to_json(), **damage})


def test_deep_nesting_is_refused_not_a_crash() -> None:
    tree: Any = {"op": "unknown", "column": "sex"}
    for _ in range(5000):
        tree = {"op": "not", "arg": tree}
    with pytest.raises(Invalid):
        Question.from_json({**question().to_json(), "filter": tree})


def test_bounds_over_all_cells_of_a_person_want_a_clip_that_holds_0() -> None:
    across = Bounds(max_groups=1, max_rows=1, scope="person")
    for clip in ((0, 5), (-5, 0), (-5, 5)):
        assert question(bounds=across, components=(Component(kind="sum", column="age", clip=clip, rho=1),)).bounds.scope == "person"
    with pytest.raises(ValidationError, match="holds 0"):
        question(bounds=across, components=(Component(kind="sum", column="age", clip=(1, 5), rho=1),))
    tree = question(bounds=across).to_json()
    assert tree["bounds"] == {"max_groups": 1, "max_rows": 1, "scope": "person"}
    tree["bounds"]["scope"] = "cell"  # there is one way to say each thing
    with pytest.raises(Invalid):
        Question.from_json(tree)
