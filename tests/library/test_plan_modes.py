"""A plan shows a question in both release modes: who would take part, in which sums, how wide the figures would be. And asking."""

from __future__ import annotations

import json
from typing import Any

import pytest
from planned import ASKER, NOW, Campus, allowing, lines, registry, statements_key

from collegium.asking import Ask, prepare
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.errors import Invalid, NotVerified
from collegium.layout import compile_layout
from collegium.plan import Plan
from collegium.planning import plan_of
from collegium.sql import compile_sql

COUNT = "SELECT COUNT(*) AS n FROM graduate"
BY_PROVINCE = "SELECT province, COUNT(*) AS n, AVG(salary) AS pay FROM graduate GROUP BY province"
GROUPS = (("11", "12"), ("31",))


def policy(*release: str, smallest: int = 10) -> dict[str, Any]:
    made = allowing(national={"smallest": smallest})
    made["allow"][0]["release"] = list(release)
    return made


BOTH = policy("per_node", "national")
CAMPUSES = [
    *(Campus(f"b{number:02}", ("11", "12", "31")[number % 3], policy=BOTH) for number in range(60)),
    *(Campus(f"n{number:02}", "31", policy=policy("national")) for number in range(3)),
    *(Campus(f"p{number:02}", "11", policy=policy("per_node")) for number in range(3)),
    Campus("wary", "12", policy=policy("per_node", "national", smallest=1000)),
    Campus("away", "31", policy=BOTH, connected=False),
]
PARTED = registry(CAMPUSES, groups=GROUPS)


def plan(*statements: str, of: Any = None, campuses: Any = CAMPUSES, **settings: Any) -> Plan:
    ask = Ask(statements=statements, rho="0.01", **settings)
    return plan_of(ask, of or PARTED, lines(campuses), statements_key(ASKER), ASKER, now=NOW)


def test_both_modes_stand_side_by_side_whichever_is_asked() -> None:
    for settings in ({}, {"mode": "national"}):
        (question,) = plan(COUNT, **settings).questions
        one, sums = question.modes
        assert (one.mode, one.asked, one.counted) == ("per_node", 68, 64)
        assert (sums.mode, sums.asked, sums.counted) == ("national", 68, 63)
        assert question.figures[0].national == (sums if settings else one).errors[0]
        # 64 universities' noise against that of one mechanism, for a person at two and with 63 of 57 shares
        assert sums.errors[0].half_width / one.errors[0].half_width == pytest.approx(2 * (63 / 57 / 64) ** 0.5, rel=0.03)
        (each,) = sums.sums
        assert (each.planned, each.counted, each.least, each.honest, each.problem) == (64, 63, 61, 57, "")


def test_each_mode_has_the_verdicts_of_the_published_policies() -> None:
    nodes = {node.name: node for node in plan(COUNT).nodes}
    words = {
        name: {mode: nodes[name].by_mode[mode][0] for mode in ("per_node", "national")} for name in ("b00", "n00", "p00", "wary")
    }
    assert {name: (each["per_node"].word, each["national"].word) for name, each in words.items()} == {
        "b00": ("allowed", "allowed"),
        "n00": ("refused", "allowed"),
        "p00": ("allowed", "refused"),
        "wary": ("allowed", "refused"),
    }
    assert words["n00"]["per_node"].reason == words["p00"]["national"].reason == "mode"
    assert words["wary"]["national"].reason == "too-few"
    assert nodes["wary"].verdict.word == "allowed"
    national = {node.name: node.verdict for node in plan(COUNT, mode="national").nodes}
    assert national["wary"].reason == "too-few"
    assert national["n00"].word == "allowed"


def test_by_province_there_is_a_sum_for_each_group_and_none_of_one_university() -> None:
    made = plan(BY_PROVINCE + " RELEASE NATIONAL")
    (question,) = made.questions
    assert [each.codes for each in question.modes[1].sums] == [("11", "12"), ("31",)]
    assert [group.facts for group in question.groups] == [{"province": "11+12"}, {"province": "31"}]
    assert question.figures[0].typical is None
    text, tree = str(made), made.to_json()
    assert "2 sums, one a group" in text
    assert "one university" not in text
    assert tree["questions"][0]["modes"]["national"]["sums"][1]["group"] == ["31"]
    assert json.loads(json.dumps(tree)) == tree


def test_a_national_cost_counts_once_for_a_person_at_two_universities() -> None:
    (national,) = plan(COUNT, mode="national").cost
    (one,) = plan(COUNT).cost
    assert (one.national_rho, national.national_rho) == (2 * one.rho, national.rho)
    both = plan(COUNT, COUNT + " RELEASE NATIONAL").cost[0]
    assert both.national_rho == 15_000_000
    assert both.sums == 5_000_000
    assert "2² = 4 times" in str(plan(COUNT, mode="national"))


def test_a_sum_of_too_few_is_told_and_not_planned() -> None:
    few = [Campus(name, "11", policy=policy("per_node", "national", smallest=2)) for name in "ab"]
    made = plan(COUNT, of=registry(few), campuses=few)
    assert made.questions[0].modes[1].problem
    assert "not possible: too few universities" in str(made)
    with pytest.raises(Invalid, match="too few"):
        plan(COUNT, of=registry(few), campuses=few, mode="national")
    wary = [Campus(f"w{number}", "11", policy=BOTH) for number in range(6)]  # all want sums of ten
    sums = plan(COUNT, of=registry(wary), campuses=wary).questions[0].modes[1].sums
    assert "larger sums" in sums[0].problem


@pytest.mark.parametrize(
    ("statement", "settings", "place"),
    [
        pytest.param(COUNT, {"nodes": ["b00"]}, "nodes", id="a university by name"),
        pytest.param(f"{COUNT} WHERE province = '11'", {}, "facts", id="half a group"),
        pytest.param("SELECT level, COUNT(*) FROM graduate GROUP BY level", {}, "view.facts", id="by another fact"),
    ],
)
def test_asking_national_of_others_than_whole_groups_is_refused_before_it_is_signed(
    statement: str, settings: dict[str, Any], place: str
) -> None:
    def ask(mode: Any) -> Any:
        asked = Ask(statements=(statement,), rho="0.01", mode=mode, **settings)
        return prepare(asked, PARTED, statements_key(ASKER), ASKER, now=NOW)

    assert ask("per_node").questions
    with pytest.raises(Invalid) as caught:
        ask("national")
    assert caught.value.place == place
    assert caught.value.remedy


def test_a_request_that_mixes_the_modes_names_facts() -> None:
    asked = Ask(statements=(COUNT, f"{COUNT} WHERE year = 2025 RELEASE NATIONAL"), rho="0.01")
    prepared = prepare(asked, PARTED, statements_key(ASKER), ASKER, now=NOW)
    assert prepared.request.facts == {}
    assert [question.mode for question in prepared.questions] == ["per_node", "national"]
    assert "one of the three trustees" in prepared.guarantees[0]
    assert "at most rho 0.015" in prepared.guarantees[0]


def test_no_table_of_a_national_question_has_a_universitys_figure() -> None:
    compiled = compile_sql(COUNT, PARTED.schema, rho=10**7, mode="national")
    layout = compile_layout(compiled.question, PARTED.schema)
    asked = [AskedNode("a"), AskedNode("b")]
    with pytest.raises(Invalid, match="own figure") as caught:
        combine(layout, compiled.view, PARTED.schema, (), asked, by="node")
    assert "per_node" in caught.value.remedy
    release = NodeRelease("a", bytes(8), ("1.0",))
    with pytest.raises(NotVerified, match="other release mode"):
        combine(layout, compiled.view, PARTED.schema, [release], asked)
