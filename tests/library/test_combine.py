"""The table is the sum, whatever the order; nothing missing is a zero; what does not fit is refused; the bytes are the same."""

from __future__ import annotations

import decimal
import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest

from collegium.accounting import noise_scale
from collegium.addition import LARGEST, add
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.errors import Invalid, NotVerified
from collegium.estimate import expected_errors
from collegium.figures import mark_of
from collegium.layout import compile_layout
from collegium.question import Bounds, Component, GroupKey, In, Question
from collegium.schema import parse_schema
from collegium.table import Table
from collegium.view import View

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
[codes.sex]
1 = { en = "male" }
2 = { en = "female" }
[codes.province]
61 = { en = "Shaanxi" }
11 = { en = "Beijing" }
31 = { en = "Shanghai" }
[facts.province]
title = { en = "province" }
codes = "province"
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
sex = { type = "category", title = { en = "sex" }, codes = "sex" }
gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
debt = { type = "decimal", title = { en = "debt" }, min = -1000, max = 1000, step = 0.5, unit = "yuan" }
"""
)
FEMALE = In(column="sex", values=("2",))
RHO = 50_000_000
QUESTION = Question(
    dataset="t",
    group=(GroupKey(column="sex"),),
    bounds=Bounds(max_groups=1, max_rows=1),
    schema_id="toy/1",
    components=(
        Component(kind="people", rho=RHO),  # 0
        Component(kind="count", column="gpa", rho=RHO),
        Component(kind="total", column="gpa", rho=RHO),
        Component(kind="squares", column="gpa", rho=RHO),
        Component(kind="count", condition=FEMALE, rho=RHO),  # 4
        Component(kind="total", condition=FEMALE, rho=RHO),
        Component(kind="sum", column="debt", clip=(-2000, 2000), rho=RHO),  # 6
        Component(kind="bins", column="gpa", edges=(0, 200, 400), rho=RHO),
        Component(kind="people", filter=FEMALE, rho=RHO),  # 8
    ),
)
LAYOUT = compile_layout(QUESTION, SCHEMA)
VIEW = View.model_validate(
    {
        "measures": [
            {"label": "people", "kind": "value", "parts": [0]},
            {"label": "mean gpa", "kind": "mean", "parts": [1, 2], "column": "gpa"},
            {"label": "variance", "kind": "variance", "parts": [1, 2, 3], "column": "gpa"},
            {"label": "sd", "kind": "stddev", "parts": [1, 2, 3], "column": "gpa"},
            {"label": "female", "kind": "share", "parts": [4, 5]},
            {"label": "debt", "kind": "value", "parts": [6], "column": "debt"},
            {"label": "gpa", "kind": "histogram", "parts": [7], "column": "gpa"},
            {"label": "female ratio", "kind": "ratio", "parts": [8, 0]},
            {"label": "inverse ratio", "kind": "ratio", "parts": [0, 8]},
        ],
        "columns": [{"fact": "province"}, {"group": "sex"}, {"measure": 0}],
        "facts": ["province"],
    }
)
SCALES = tuple(repr(noise_scale(part)) for part in LAYOUT.parts)
ASKED = [
    AskedNode("a", {"province": "11"}, 1000),
    AskedNode("b", {"province": "11"}, 500),
    AskedNode("c", {"province": "61"}, 0, missing="held"),
    AskedNode("d", {}, 70),
]


def tally(seed: int) -> np.ndarray:
    """A plausible noisy tally: 4,000 persons in cell 0, 1,000 in cell 1, nobody in the third."""
    rng = np.random.default_rng(seed)
    values = np.zeros(LAYOUT.length, dtype=np.int64)
    for cell, n in enumerate((4000, 1000, 0)):
        for part, truth in zip(
            LAYOUT.parts, (n, n, 120 * n, (120**2 + 900 - 20000) * n, n, n // 2, -30 * n, None, 3 * n // 4), strict=True
        ):
            if truth is not None:
                values[part.start + cell] = truth
            else:
                values[part.start + 3 * cell : part.start + 3 * cell + 2] = n // 4, 3 * n // 4
    for part in LAYOUT.parts:
        values[part.start : part.stop] += np.rint(rng.normal(0, noise_scale(part), part.width)).astype(np.int64)
    return values


def release(node: str, values: np.ndarray | None = None) -> NodeRelease:
    return NodeRelease(node, (tally(ord(node)) if values is None else values).astype("<i8").tobytes(), SCALES)


def table_of(*names: str, **more: Any) -> Table:
    return combine(LAYOUT, VIEW, SCHEMA, [release(name) for name in names], ASKED, **more)


def test_order_of_arrival_does_not_change_a_byte() -> None:
    first = table_of("a", "b", "d").to_bytes()
    assert combine(LAYOUT, VIEW, SCHEMA, [release(n) for n in "dba"], ASKED[::-1]).to_bytes() == first
    with decimal.localcontext(prec=3):  # nor does the caller's decimal precision
        assert table_of("a", "b", "d").to_bytes() == first
    assert Table.from_bytes(first).to_bytes() == first


def test_the_bytes_are_the_golden_ones() -> None:
    """A verifier on another machine or with a later version must find the same table; a change here is a change of format."""
    fixed = np.arange(LAYOUT.length, dtype=np.int64) * 7919 % 1009 + 40
    table = combine(LAYOUT, VIEW, SCHEMA, [release("a", fixed), release("d", fixed)], ASKED)
    assert hashlib.sha256(table.to_bytes()).hexdigest() == "44668afcea4fe4f336cebec1c8054004ef24a3888b0800d8590e1b237d9ec21f"


def test_groups_are_the_whole_then_the_codes_that_occur_in_the_schemas_order() -> None:
    table = table_of("a", "b", "d")
    assert [group.facts for group in table.fact_groups] == [{}, {"province": "61"}, {"province": "11"}, {"province": "unknown"}]
    assert [row.of for row in table.rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [row.group for row in table.rows_of(2)] == [("1",), ("2",), ("unknown",)]
    whole, shaanxi, beijing, _ = (group.coverage for group in table.fact_groups)
    assert (whole.asked, whole.answered, whole.enrolment_asked, whole.enrolment_answered) == (4, 3, 1570, 1570)
    assert [(m.node, m.reason) for m in whole.missing] == [("c", "held")]
    assert (shaanxi.asked, shaanxi.answered) == (1, 0)
    assert (beijing.asked, beijing.answered) == (2, 2)


def test_a_group_in_which_nobody_answered_has_no_figure_and_is_never_zero() -> None:
    tree = json.loads(table_of("a", "b").to_bytes())
    empty = [row for row in tree["rows"] if row["of"] in (1, 3)]
    assert len(empty) == 6
    assert all(figure == {"reason": "no-answer"} for row in empty for figure in row["figures"])
    nothing = combine(LAYOUT, VIEW, SCHEMA, [], ASKED)
    assert all(figure.reason == "no-answer" and figure.value is None for row in nothing.rows for figure in row.figures)


def test_raw_figures_are_the_exact_sums_of_whoever_is_in_the_group() -> None:
    table = table_of("a", "b", "d")
    for number, members in ((0, "abd"), (2, "ab"), (3, "d")):
        expected = sum(tally(ord(name)) for name in members)
        for cell, row in enumerate(table.rows_of(number)):
            for measure, figure in zip(VIEW.measures, row.figures, strict=True):
                if measure.kind != "histogram":
                    assert figure.raw == tuple(int(expected[LAYOUT.parts[part].start + cell]) for part in measure.parts)
                else:
                    assert figure.bins is not None
                    start = LAYOUT.parts[7].start + 3 * cell
                    assert [bin_.raw for bin_ in figure.bins] == [(int(x),) for x in expected[start : start + 3]]


def test_figures_are_in_natural_units_with_the_truth_inside() -> None:
    row = table_of("a", "b", "d").rows[0]
    truths = (12000, 3.2, 0.09, 0.3, 0.75, -180000, None, 0.75, 4 / 3)
    for figure, truth in zip(row.figures, truths, strict=True):
        if truth is None:
            continue
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert figure.error is not None
        assert float(figure.low) <= float(figure.value) <= float(figure.high)
        # within three intervals of the truth: a wrong unit or centre is off by far more
        assert abs(float(figure.value) - truth) < 1.5 * (float(figure.high) - float(figure.low))
        assert float(figure.high) - float(figure.low) < 0.2 * max(1.0, abs(truth))
    info = table_of("a").measures
    assert (info[5].unit, info[5].clip, info[1].decimals) == ("yuan", ("-1000", "1000"), 2)
    assert info[6].bins == ("[0.00, 2.00)", "[2.00, 4.00]", "unknown")


def test_presentation_is_clamped_and_raw_is_not() -> None:
    values = tally(1)
    values[LAYOUT.parts[0].start] = -100
    values[LAYOUT.parts[1].start] = -5
    values[LAYOUT.parts[6].start] = -77
    figures = combine(LAYOUT, VIEW, SCHEMA, [release("a", values)], ASKED).rows[0].figures
    assert (figures[0].value, figures[0].low, figures[0].raw) == ("0", "0", (-100,))
    assert float(figures[0].high or 0) > 0
    assert figures[0].mark == "unreliable"
    assert (figures[1].value, figures[1].reason, figures[1].low, figures[1].high) == (None, "no-denominator", "0", "4")
    assert figures[1].mark == "unreliable"
    assert figures[5].value == "-38.5"  # a debt may be negative


def test_the_mark_depends_on_value_and_error_alone() -> None:
    assert [mark_of(60, 10), mark_of(59, 10), mark_of(30, 10), mark_of(29, 10), mark_of(0, 1)] == [
        "reliable",
        "caution",
        "caution",
        "unreliable",
        "unreliable",
    ]
    assert mark_of(math.nan, 1) == mark_of(1, math.nan) == "unreliable"


def test_tables_by_node_are_the_nodes_own_releases() -> None:
    table = table_of("a", "d", by="node")
    assert [group.node for group in table.fact_groups] == [None, "a", "b", "c", "d"]
    assert table.rows_of(1)[0].figures[0].raw == (int(tally(ord("a"))[0]),)
    assert table.rows_of(2)[0].figures[0].reason == "no-answer"
    assert table.fact_groups[1].facts == {"province": "11"}


def test_noise_of_more_nodes_makes_wider_intervals() -> None:
    one, two = (float(table_of(*names).rows[0].figures[0].error or 0) for names in (("a",), ("a", "b")))
    assert two == pytest.approx(one * math.sqrt(2), rel=1e-6)


@pytest.mark.parametrize(
    ("releases", "asked"),
    [
        ([release("a"), release("a")], ASKED),
        ([release("x")], ASKED),
        ([release("a")], [*ASKED, ASKED[0]]),
        ([NodeRelease("a", release("a").payload[:-8], SCALES)], ASKED),
        ([NodeRelease("a", release("a").payload + b"\0", SCALES)], ASKED),
        ([NodeRelease("a", release("a").payload, SCALES[1:])], ASKED),
        ([NodeRelease("a", release("a").payload, (repr(noise_scale(LAYOUT.parts[0]) / 3), *SCALES[1:]))], ASKED),
        ([release("a", np.full(LAYOUT.length, LARGEST))], ASKED),
        ([release("a", np.full(LAYOUT.length, -(2**63)))], ASKED),
    ],
)
def test_what_does_not_fit_is_not_added(releases: list[NodeRelease], asked: list[AskedNode]) -> None:
    with pytest.raises(NotVerified):
        combine(LAYOUT, VIEW, SCHEMA, releases, asked)


def test_a_view_of_another_question_or_an_unknown_fact_is_refused() -> None:
    wrong = VIEW.model_copy(update={"facts": ("region",), "columns": VIEW.columns[1:]})
    with pytest.raises(Invalid) as caught:
        combine(LAYOUT, wrong, SCHEMA, [], ASKED)
    assert caught.value.place == "view.facts"
    other = compile_layout(QUESTION.model_copy(update={"components": QUESTION.components[:4]}), SCHEMA)
    with pytest.raises(Invalid):
        combine(other, VIEW, SCHEMA, [], ASKED)


def test_false_giants_cannot_wrap_the_sum() -> None:
    vectors = [np.array([LARGEST - 1, -LARGEST + 1, 3]) for _ in range(5)]
    assert add(vectors, 3).tolist() == [5 * (LARGEST - 1), -5 * (LARGEST - 1), 15]
    giant = tally(1)
    giant[0] = LARGEST - 1
    asked = [AskedNode(name) for name in "abcde"]
    table = combine(LAYOUT, VIEW, SCHEMA, [release(name, giant) for name in "abcde"], asked)
    assert table.rows[0].figures[0].raw == (5 * (LARGEST - 1),)
    assert table.rows[0].figures[0].value == str(5 * (LARGEST - 1))


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-1], lambda b: b + b" ", lambda b: b.replace(b'"0.95"', b'"0.90"'), lambda b: b"[]"]
)
def test_a_table_is_read_strictly(spoil: Any) -> None:
    with pytest.raises(Invalid):
        Table.from_bytes(spoil(table_of("a").to_bytes()))


def test_expected_errors_are_what_the_table_will_show() -> None:
    """Told before anything is asked, for the number of rows that then is there."""
    errors = {e.label: e for e in expected_errors(LAYOUT, VIEW, SCHEMA, nodes=3, rows=12_000)}
    figures = dict(zip((m.label for m in VIEW.measures), table_of("a", "b", "d").rows[0].figures, strict=True))
    for label, within in (("people", 1e-9), ("debt", 1e-9), ("mean gpa", 0.3), ("female", 0.3), ("female ratio", 0.3)):
        half = (float(figures[label].high or 0) - float(figures[label].low or 0)) / 2
        assert errors[label].half_width == pytest.approx(half, rel=within)
    assert errors["people"].rows is None
    assert errors["mean gpa"].rows == 12_000
    assert all(math.isfinite(e.half_width) and e.half_width > 0 for e in errors.values())
