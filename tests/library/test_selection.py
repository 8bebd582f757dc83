"""HAVING, ORDER BY and LIMIT look at noisy figures alone, deterministically, and say how sure the choice is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collegium.accounting import noise_scale
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.errors import Invalid
from collegium.layout import Layout, compile_layout
from collegium.schema import parse_schema
from collegium.selection import All, Compare, Either, Never, Order, select
from collegium.sql import compile_sql
from collegium.table import Figure, Row, Table
from collegium.view import View

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
[codes.letters]
a = { en = "A" }
b = { en = "B" }
c = { en = "C" }
d = { en = "D" }
[codes.province]
61 = { en = "Shaanxi" }
11 = { en = "Beijing" }
[facts.province]
title = { en = "province" }
codes = "province"
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
k = { type = "category", title = { en = "k" }, codes = "letters" }
"""
)


def row(name: str, value: str | None, low: str | None = None, high: str | None = None) -> Row:
    return Row(of=0, group=(name,), figures=(Figure(value=value, low=low, high=high),))


ROWS = [
    row("a", "10", "8", "12"),
    row("b", "30", "25", "35"),
    row("c", None),
    row("d", "11", "9", "13"),
    row("e", "50", "45", "55"),
]
DOWN = (Order(measure=0, descending=True),)


def names(rows: list[Row]) -> str:
    return "".join(each.group[0] for each in rows)


def place(each: Row, _: str) -> int:
    return "abcde".index(each.group[0])


def test_a_condition_keeps_rows_by_value_and_marks_those_it_is_not_sure_of() -> None:
    kept, said = select(ROWS, Compare(measure=0, sign=">", value="10.5"), (), None, place)
    assert names(kept) == "bde"
    assert [each.unsure for each in kept] == [False, True, False]
    assert (said.of, said.kept, said.shown, said.contenders) == (5, 3, 3, None)


@pytest.mark.parametrize(
    ("sign", "value", "kept", "unsure"),
    [
        ("<", "13", "ad", ""),
        ("<", "12.5", "ad", "d"),
        ("<=", "11", "ad", "ad"),
        (">=", "8", "abde", ""),
        (">", "8", "abde", "a"),
        ("=", "30", "b", "b"),
        ("<>", "11", "abe", "a"),
    ],
)
def test_signs(sign: Any, value: str, kept: str, unsure: str) -> None:
    found, _ = select(ROWS, Compare(measure=0, sign=sign, value=value), (), None, place)
    assert names(found) == kept
    if (sign, value) != ("<", "13"):  # there the interval of d ends at the limit itself
        assert names([each for each in found if each.unsure]) == unsure


def test_a_figure_that_is_not_there_fulfils_nothing_and_neither_does_its_negation() -> None:
    term = Compare(measure=0, sign=">", value="0")
    assert "c" not in names(select(ROWS, term, (), None, place)[0])
    assert "c" not in names(select(ROWS, Never(arg=term), (), None, place)[0])
    assert "c" not in names(select(ROWS, Either(args=(term, Never(arg=term))), (), None, place)[0])
    assert names(select(ROWS, All(args=(term, Compare(measure=0, sign="<", value="20"))), (), None, place)[0]) == "ad"


def test_order_limit_and_what_is_not_sure_about_them() -> None:
    top, said = select(ROWS, None, DOWN, 3, place)
    assert names(top) == "ebd"
    assert [each.rank for each in top] == [(1, 1), (2, 2), (3, 4)]
    assert said.contenders == 1  # a may belong there instead of d
    up, said = select(ROWS, None, (Order(measure=0),), 1, place)
    assert (names(up), up[0].rank, said.contenders) == ("a", (1, 2), 1)
    everything, said = select(ROWS, None, DOWN, None, place)
    assert names(everything) == "ebdac"  # what is not there comes last, either way
    assert names(select(ROWS, None, (Order(measure=0),), None, place)[0]) == "adbec"
    assert everything[-1].rank is None
    assert said.contenders is None
    assert names(select(ROWS, None, (Order(key="k", descending=True),), None, place)[0]) == "edcba"


@given(st.permutations(ROWS))
def test_rows_keep_their_places_whatever_order_they_come_in(rows: list[Row]) -> None:
    found, said = select(rows, None, DOWN, 2, place)
    assert names(found) == "eb"
    assert said.contenders == 0


def test_intervals_one_by_one_bound_the_true_places() -> None:
    """If every truth lies in its interval, every true place lies between best and worst."""
    found, _ = select(ROWS, None, DOWN, None, place)
    there = [each for each in found if each.rank is not None]
    ends = [(float(each.figures[0].low or 0), float(each.figures[0].high or 0)) for each in there]
    for truths in itertools.product(*ends):
        for each, truth in zip(there, truths, strict=True):
            assert each.rank is not None
            best = 1 + sum(other > truth for other in truths)
            worst = sum(other >= truth for other in truths)
            assert best <= each.rank[1]
            assert worst >= each.rank[0]


def table(sql: str, counts: dict[str, list[int]]) -> tuple[Table, Layout, View]:
    """Nodes with these exact counts, in Beijing and Shaanxi in turn."""
    compiled = compile_sql(sql, SCHEMA, rho=10**15)
    layout = compile_layout(compiled.question, SCHEMA)
    scales = tuple(repr(noise_scale(part)) for part in layout.parts)
    asked, releases = [], []
    for at, (node, values) in enumerate(counts.items()):
        asked.append(AskedNode(node, {"province": ("11", "61")[at % 2]}))
        tally = b"".join(value.to_bytes(8, "little", signed=True) for value in values)
        releases.append(NodeRelease(node, tally, scales))
    found = combine(layout, compiled.view, SCHEMA, releases, asked)
    assert Table.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()
    assert combine(layout, compiled.view, SCHEMA, releases[::-1], asked[::-1]).to_bytes() == found.to_bytes()
    return found, layout, compiled.view


COUNTS = {"x": [5, 40, 7, 0, 1], "y": [6, 2, 30, 9, 0]}


def test_the_rows_of_a_statement_are_chosen_across_its_universities_and_the_federation_stays() -> None:
    sql = "SELECT province, k, COUNT(*) AS n FROM t GROUP BY province, k HAVING n > 1 ORDER BY n DESC LIMIT 4"
    found, *_ = table(sql, COUNTS)
    groups = [group.facts.get("province") for group in found.fact_groups]
    chosen = [(groups[each.of], each.group[0], each.figures[0].value) for each in found.rows if each.of]
    assert chosen == [("11", "b", "40"), ("61", "c", "30"), ("61", "d", "9"), ("11", "c", "7")]
    assert [each.group[0] for each in found.rows_of(0)] == ["a", "b", "c", "d", "unknown"]
    assert found.selection is not None
    assert (found.selection.of, found.selection.kept, found.selection.shown) == (10, 7, 4)
    assert [each.of for each in found.in_order()][-5:] == [0] * 5


def test_by_node_shows_everything() -> None:
    compiled = compile_sql("SELECT k, COUNT(*) AS n FROM t GROUP BY k ORDER BY n LIMIT 1", SCHEMA, rho=10**15)
    layout = compile_layout(compiled.question, SCHEMA)
    release = NodeRelease("x", bytes(8 * layout.length), tuple(repr(noise_scale(part)) for part in layout.parts))
    found = combine(layout, compiled.view, SCHEMA, [release], [AskedNode("x")], by="node")
    assert found.selection is None
    assert len(found.rows) == 10


def test_labels_of_cases_and_their_order() -> None:
    case = "CASE WHEN k = 'c' THEN 'last' WHEN k = 'a' THEN 'first' ELSE 'z' END"
    sql = f"SELECT {case} AS x, COUNT(*) AS n FROM t GROUP BY x ORDER BY x DESC"
    found, *_ = table(sql, {"x": [3, 4, 5]})
    assert [(each.group[0], each.figures[0].value) for each in found.rows] == [("z", "5"), ("first", "4"), ("last", "3")]


def test_proportions_are_of_their_fact_group_and_sum_to_one() -> None:
    sql = "SELECT province, k, COUNT(*) / SUM(COUNT(*)) OVER (PARTITION BY province) AS p FROM t GROUP BY province, k"
    found, *_ = table(sql, COUNTS)
    for group in range(len(found.fact_groups)):
        assert sum(float(each.figures[0].value or 0) for each in found.rows_of(group)) == pytest.approx(1)


BAD: list[dict[str, Any]] = [
    {"limit": 3},
    {"order": [{"measure": 1, "descending": False}]},
    {"order": [{"measure": 0, "key": "k", "descending": False}]},
    {"order": [{"descending": True}]},
    {"having": {"op": "compare", "measure": 0, "sign": ">", "value": "1e3"}},
    {"having": {"op": "compare", "measure": 0, "sign": ">", "value": "01"}},
    {"having": {"op": "compare", "measure": 5, "sign": ">", "value": "1"}},
    {"having": {"op": "compare", "measure": 0, "sign": "like", "value": "1"}},
    {"limit": 0, "order": [{"measure": 0, "descending": False}]},
    {"sets": [["k"], ["k"]]},
    {"chosen": "best"},
]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_a_view_with_a_part_that_means_nothing_is_refused(change: dict[str, Any]) -> None:
    view = compile_sql("SELECT k, COUNT(*) AS n FROM t GROUP BY k", SCHEMA, rho=1000).view.to_json()
    View.from_json(view)
    with pytest.raises(Invalid):
        View.from_json(view | change)
