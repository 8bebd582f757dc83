"""A plan tells what a question will cost and how good it will be, from public things alone."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from planned import ASKER, FED, NOW, Campus, allowing, key, plan, policy_note, registry, statements_key

from collegium.accounting import epsilon_of, noise_scale
from collegium.asking import Ask, prepare
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.errors import Invalid
from collegium.layout import compile_layout
from collegium.plan import Plan
from collegium.planning import without_explain
from collegium.policy import read_policy
from collegium.sql import compile_sql
from collegium.table import TOTAL

COUNT = "SELECT COUNT(*) AS n FROM graduate"
PAY = "SELECT AVG(salary) AS pay FROM graduate"
CAMPUSES = [
    Campus("jade-lake"),
    Campus("west-hill", enrolment=5000),
    Campus("plum-garden", "31", 30_000, policy=allowing("hold")),
    Campus("east-river", "31", connected=False),
    Campus("spring-city", "53", policy=None),
    Campus("old-oak", "53", policy=allowing(datasets=("course_reg",))),
    Campus("new-elm", "53", datasets=("course_reg",)),
]


def words(made: Plan) -> dict[str, tuple[str, str]]:
    return {node.name: (node.verdict.word, node.verdict.reason) for node in made.nodes}


def test_each_university_has_its_verdict_and_its_reason() -> None:
    made = plan(CAMPUSES, COUNT, epsilon=0.3)
    assert words(made) == {
        "jade-lake": ("allowed", ""),
        "west-hill": ("allowed", ""),
        "plum-garden": ("held", "held"),
        "east-river": ("allowed", ""),
        "spring-city": ("unknown", ""),
        "old-oak": ("refused", "not-allowed"),
        "new-elm": ("refused", "no-dataset"),
    }
    assert {node.name for node in made.answering} == {"jade-lake", "west-hill"}
    assert made.coverage == {"asked": 7, "answering": 2, "held": 1, "enrolment_asked": 85_000, "enrolment_answering": 15_000}


def test_the_cost_is_what_the_request_would_carry_and_m_times_it_nationally() -> None:
    made = plan(CAMPUSES, COUNT, "SELECT COUNT(*) AS staff FROM staff", rho="0.01")
    assert [(each.unit, each.rho, each.national_rho) for each in made.cost] == [
        ("student", 5_000_000, 10_000_000),
        ("staff", 5_000_000, 10_000_000),
    ]
    assert made.rho == 10_000_000
    student = made.cost[0]
    assert student.epsilon == epsilon_of(5_000_000, "1e-6")
    assert student.epsilon < student.national_epsilon < 2 * student.epsilon  # multiplied before it is converted
    assert len(made.guarantees) == 2


def test_the_half_width_of_a_count_is_that_of_the_noise() -> None:
    """rho 0.02 for a person in one cell is a standard deviation of 5 at each node."""
    made = plan(CAMPUSES, COUNT, rho="0.02")
    figure = made.questions[0].figures[0]
    assert figure.national.half_width == pytest.approx(1.96 * 5 * math.sqrt(2), abs=1)  # two answer
    assert figure.typical.half_width == pytest.approx(1.96 * 5, abs=1)
    assert figure.national.rows is None
    assert figure.relative == pytest.approx(figure.national.half_width / 15_000)


def test_errors_by_fact_are_of_the_nodes_that_will_answer() -> None:
    made = plan(CAMPUSES, "SELECT province, COUNT(*) AS n FROM graduate GROUP BY province", rho="0.02")
    question = made.questions[0]
    assert question.grouped
    assert [(group.facts["province"], group.asked, group.counted) for group in question.groups] == [
        ("11", 2, 2),
        ("31", 2, 0),
        ("53", 3, 0),
    ]
    assert question.figures[0].groups[0].half_width == question.figures[0].national.half_width


def test_where_nobody_will_answer_the_errors_are_those_of_all_asked() -> None:
    made = plan([Campus("a", connected=False), Campus("b", connected=False)], COUNT, rho="0.02")
    assert made.coverage["answering"] == 0
    assert made.questions[0].national.counted == 2
    assert "No university is expected to answer" in str(made)


def test_a_policy_that_its_node_did_not_sign_is_unknown() -> None:
    forged = Campus("jade-lake", signer=key(f"{FED}/stranger/statements"))
    assert words(plan([forged], COUNT, epsilon=0.3))["jade-lake"] == ("unknown", "")
    other = policy_note(Campus("west-hill"))
    nodes = registry([Campus("jade-lake"), Campus("west-hill")])
    assert read_policy(other, nodes.party("west-hill")) is not None
    assert read_policy(other, nodes.party("jade-lake")) is None
    newer = Campus("jade-lake", policy=allowing(except_on="monday"))
    assert words(plan([newer], COUNT, epsilon=0.3))["jade-lake"] == ("unknown", "")  # never a guess


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (allowing(largest_question=1000), "too-costly"),
        (allowing(budget={}), "budget-period"),
        (allowing(budget={"student": {"period": "year", "rho": 1000, "lifetime": 10**9}}), "budget-period"),
        (allowing(budget={"student": {"period": "year", "rho": 10**9, "lifetime": 1000}}), "budget-lifetime"),
        (allowing(limits={"dataset": {"graduate": 1000}, "researcher": {}}), "budget-dataset"),
        (allowing(limits={"dataset": {}, "researcher": {ASKER: 1000}}), "budget-researcher"),
    ],
)
def test_what_not_even_an_untouched_period_covers_is_refused(policy: dict[str, Any], reason: str) -> None:
    assert words(plan([Campus("jade-lake", policy=policy)], COUNT, rho="0.01"))["jade-lake"] == ("refused", reason)


def test_the_questions_of_one_request_add_up_against_a_budget() -> None:
    campus = Campus("jade-lake", policy=allowing(budget={"student": {"period": "year", "rho": 7_000_000, "lifetime": 10**9}}))
    made = plan([campus], COUNT, f"{COUNT} WHERE ontime", rho="0.01")
    assert [verdict.word for verdict in made.nodes[0].verdicts] == ["allowed", "refused"]


def test_statements_with_one_question_are_paid_once() -> None:
    campus = Campus("jade-lake", policy=allowing(budget={"student": {"period": "year", "rho": 10_000_000, "lifetime": 10**9}}))
    made = plan([campus], COUNT, PAY, rho="0.01")
    assert made.rho <= 10_000_000
    nodes = registry([campus])
    asked = prepare(Ask(statements=(COUNT, PAY), rho="0.01"), nodes, statements_key(ASKER), ASKER, now=NOW)
    assert asked.questions[0].digest == asked.questions[1].digest
    assert asked.rho == made.rho
    assert [verdict.word for verdict in made.nodes[0].verdicts] == ["allowed", "allowed"]


def test_it_says_budget_of_the_period_and_never_remaining() -> None:
    made = plan(CAMPUSES, COUNT, epsilon=0.3)
    text = str(made) + json.dumps(made.to_json())
    assert "budget of the period" in text
    assert "budget_of_the_period" in text
    assert "remain" not in text


def test_a_target_is_reached_at_the_least_cost() -> None:
    made = plan(CAMPUSES, COUNT, "SELECT AVG(salary) AS pay FROM graduate", target_error="1%")
    figures = [figure for question in made.questions for figure in question.figures]
    assert all(figure.relative is not None and figure.relative <= 0.01 for figure in figures)
    cheaper = plan(CAMPUSES, COUNT, "SELECT AVG(salary) AS pay FROM graduate", rho=f"{made.rho * 0.97 / 1e9:.9f}")
    assert any((figure.relative or 1) > 0.01 for question in cheaper.questions for figure in question.figures)


def test_a_share_aims_at_points_and_a_number_at_natural_units() -> None:
    share = plan(CAMPUSES, "SELECT AVG(ontime) AS ontime FROM graduate", target_error="1%").questions[0].figures[0]
    assert share.national.half_width == pytest.approx(0.01, rel=0.02)
    pay = plan(CAMPUSES, "SELECT AVG(salary) AS pay FROM graduate", target_error="100").questions[0].figures[0]
    assert pay.national.half_width == pytest.approx(100, rel=0.02)


def test_what_cannot_be_reached_is_refused_and_says_what_can() -> None:
    with pytest.raises(Invalid) as caught:
        plan(CAMPUSES, "SELECT AVG(salary) AS pay FROM graduate", target_error="0.001%")
    assert "largest budget of a period" in caught.value.text
    assert caught.value.place == "--target-error"
    nobody = [Campus("jade-lake", policy=None)]
    with pytest.raises(Invalid):
        plan(nobody, "SELECT AVG(salary) AS pay FROM graduate", target_error="0.0001%")


@pytest.mark.parametrize("text", ["", "0", "-1%", "nan", "inf", "1%%x", "much"])
def test_a_target_that_is_none_is_refused(text: str) -> None:
    if not text:  # no target at all: then a cost is needed
        with pytest.raises(Invalid):
            plan(CAMPUSES, COUNT)
        return
    with pytest.raises(Invalid):
        plan(CAMPUSES, COUNT, target_error=text)


def test_a_target_and_a_cost_exclude_each_other() -> None:
    with pytest.raises(Invalid):
        plan(CAMPUSES, COUNT, target_error="1%", epsilon=1)


def test_the_asker_may_say_how_many_rows_there_are() -> None:
    made = plan(CAMPUSES, COUNT, epsilon=0.3, expect=600)
    assert "600 rows" in made.assumed
    # 600 rows among 85,000 by enrolment, of which 15,000 will answer
    assert made.questions[0].national.rows == round(600 * 15_000 / 85_000)
    with pytest.raises(Invalid):
        plan(CAMPUSES, COUNT, epsilon=0.3, expect=0)


def test_enrolment_nobody_knows_is_assumed_and_said() -> None:
    made = plan([Campus("a", enrolment=0), Campus("b", enrolment=0)], COUNT, epsilon=0.3)
    assert "no enrolment is known" in made.assumed
    some = plan([Campus("a", enrolment=0), Campus("b")], COUNT, epsilon=0.3)
    assert "1 whose enrolment is not known" in some.assumed
    assert some.questions[0].national.rows == 20_000


def test_bounds_that_may_bend_a_figure_are_named() -> None:
    notes = plan(CAMPUSES, "SELECT year, SUM(salary) AS pay FROM graduate GROUP BY year", epsilon=0.3).questions[0].notes
    assert any("60%" in note and "SUM(salary)" in note for note in notes)  # the schema's clip is 20,000 of a range to 50,000
    assert any("one cell of 22" in note for note in notes)
    wide = plan(CAMPUSES, "SELECT SUM(salary) AS pay FROM graduate", epsilon=0.3, clips={"salary": ("0", "50000")})
    assert not any("beyond the clip" in note for note in wide.questions[0].notes)
    several = plan(CAMPUSES, "SELECT year, COUNT(*) AS n FROM graduate GROUP BY year", epsilon=0.3, max_groups=22)
    assert not any("counts in at most" in note for note in several.questions[0].notes)
    fewer = plan(CAMPUSES, "SELECT COUNT(*) AS n FROM award", epsilon=0.3, max_rows=2)
    assert any("schema allows a person 5" in note for note in fewer.questions[0].notes)


def test_cells_and_released_numbers_are_those_of_the_layout() -> None:
    made = plan(CAMPUSES, "SELECT gender, AVG(salary) AS pay FROM graduate GROUP BY gender", epsilon=0.3).questions[0]
    assert (made.cells, made.values) == (5, 10)  # four codes and unknown, a count and a total


def test_explain_stands_before_all_statements_or_none() -> None:
    assert without_explain(["explain  SELECT 1", "EXPLAIN SELECT 2"]) == (["  SELECT 1", " SELECT 2"], True)
    assert without_explain(["SELECT 1"]) == (["SELECT 1"], False)
    with pytest.raises(Invalid):
        without_explain(["EXPLAIN SELECT 1", "SELECT 2"])
    assert plan(CAMPUSES, f"EXPLAIN {COUNT}", epsilon=0.3).rho == plan(CAMPUSES, COUNT, epsilon=0.3).rho


def test_text_and_json_tell_the_same() -> None:
    made = plan(CAMPUSES, "SELECT AVG(ontime) AS ontime FROM graduate", epsilon=0.3)
    tree = made.to_json()
    half = tree["questions"][0]["figures"][0]["national"]["half_width"]
    assert f"± {half * 100:.3g}" in str(made)
    assert tree["coverage"]["answering"] == 2
    assert {node["verdict"] for node in tree["nodes"]} == {"allowed", "held", "refused", "unknown"}
    assert "costs nothing" in tree["note"]
    json.dumps(tree)
    assert "&lt;" not in made._repr_html_() or "<" in str(made)


@pytest.mark.parametrize("measure", ["COUNT(*)", "AVG(ontime)", "AVG(salary)", "VARIANCE(salary)", "COUNT_IF(ontime) / COUNT(*)"])
def test_more_cost_never_makes_a_plan_worse(measure: str) -> None:
    halves = [
        plan(CAMPUSES, f"SELECT {measure} AS x FROM graduate", rho=rho).questions[0].figures[0].national.half_width
        for rho in ("0.001", "0.01", "0.1")
    ]
    assert halves[0] > halves[1] > halves[2] > 0


# ---- margins, models, shared measurements


def test_every_margin_has_its_own_error_and_it_is_the_table_s() -> None:
    """What reconciling leaves of the noise: as the table says that will be made, for any figures."""
    sql = "SELECT gender, ontime, COUNT(*) AS n, AVG(salary) AS pay FROM graduate GROUP BY CUBE (gender, ontime)"
    (question,) = plan(CAMPUSES[:2], sql, rho="0.02").questions
    halves = {figure.label: figure.national.half_width for figure in question.figures}
    assert [*halves] == [
        f"{name} {at}" for name in ("n", "pay") for at in ("by gender, ontime", "by gender", "by ontime", "in all")
    ]
    schema = registry(CAMPUSES[:1]).schema
    compiled = compile_sql(sql, schema, rho=20_000_000)
    layout = compile_layout(compiled.question, schema)
    scales = tuple(repr(noise_scale(part)) for part in layout.parts)
    nothing = np.full(layout.length, 1000, dtype="<i8").tobytes()
    asked = [AskedNode(name) for name in ("a", "b")]
    table = combine(layout, compiled.view, schema, [NodeRelease(each.node, nothing, scales) for each in asked], asked)
    for row in table.rows:
        names = [name for name, label in zip(("gender", "ontime"), row.group, strict=True) if label != TOTAL]
        label = f"n by {', '.join(names)}" if names else "n in all"
        assert halves[label] == pytest.approx(1.96 * float(row.figures[0].error or 0), rel=1e-3)
    alone = plan(CAMPUSES[:2], "SELECT COUNT(*) AS n FROM graduate", rho="0.02").questions[0].figures[0]
    assert halves["n in all"] > alone.national.half_width  # the margins share its cost


def test_every_measure_has_its_error_nationally_by_province_and_at_one_university() -> None:
    measures = {
        "h": "ENTROPY(discipline_cat)",
        "top": "TOP_SHARE(discipline_cat, 3)",
        "held": "TOP_SHARE(salary, 0.1, 0, 5000, 10000, 50000)",
        "m": "MEDIAN(salary)",
        "gap": "MEDIAN(salary) FILTER (WHERE gender = '1') - MEDIAN(salary) FILTER (WHERE gender = '2')",
        "r": "REGRESSION(salary, year)",
        "rate": "COUNT_IF(ontime) / COUNT(*)",
        "v": "VAR_POP(salary)",
        "g": "HISTOGRAM(gender)",
    }
    sql = "SELECT " + ", ".join(f"{text} AS {name}" for name, text in measures.items()) + " FROM graduate"
    question = plan(CAMPUSES, sql, rho="0.05").questions[0]
    found = {figure.label: figure for figure in question.figures}
    assert [*found] == ["h", "top", "held", "m", "gap", "r intercept", "r year", "rate", "v", "g"]
    for figure in found.values():
        assert 0 < figure.national.half_width < math.inf
        assert figure.typical.half_width > 0
        assert len(figure.groups) == len(question.groups) == 3
    assert [label for label, figure in found.items() if figure.points] == ["top", "held", "rate"]
    assert found["h"].unit == "bits"
    assert found["gap"].unit == found["m"].unit == "CNY a month"
    less = plan(CAMPUSES, sql, rho="0.5").questions[0]
    for cheap, dear in zip(question.figures, less.figures, strict=True):
        assert dear.national.half_width < cheap.national.half_width


def test_statements_that_show_one_histogram_say_that_it_is_paid_once() -> None:
    shared = "SELECT gender, {} AS x FROM graduate GROUP BY gender"
    statements = [shared.format(each) for each in ("HISTOGRAM(discipline_cat)", "ENTROPY(discipline_cat)")]
    made = plan(CAMPUSES, *statements, COUNT, shared.format("TOP_SHARE(discipline_cat, 2)"), rho="0.04")
    assert [question.first for question in made.questions] == [0, 0, 2, 0]
    assert made.rho == 40_000_000  # three shares for the histogram, one for the count
    assert [question.rho for question in made.questions] == [30_000_000, 30_000_000, 10_000_000, 30_000_000]
    text = " ".join(str(made).split())
    assert text.count("the same that question 1 measures, paid once") == 2
    assert "rho 0.03 " in text
    assert text.count("bias:") == 1  # the same note is told once
    assert [each["paid_with_question"] for each in made.to_json()["questions"]] == [0, 0, 2, 0]
