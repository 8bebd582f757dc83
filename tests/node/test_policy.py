"""The steward's policy: read, signed, in force; named by key; hold and release by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from onenode import Researcher, federation, question

from collegium.accounting import rho_of
from collegium.errors import Invalid
from collegium.statements import Decision
from collegium.statements import Policy as PolicyStatement
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node import requests
from collegium_node.draft import allow_researcher, refuse_researcher, set_budget
from collegium_node.policy import NOTHING, Policy, Rule
from collegium_node.steward import InForce, read_draft, sign_draft

RELEASED, REFUSED, HELD = QuestionAnswer.RELEASED, QuestionAnswer.REFUSED, QuestionAnswer.HELD


def rule(**more: object) -> Rule:
    return Rule.model_validate({"researcher": "li-wei", "key": "k", "datasets": ["graduate"], **more})


@pytest.mark.parametrize(
    ("asked", "word", "reason"),
    [
        ({}, "allow", ""),
        ({"researcher": "wang"}, "refuse", "not-allowed"),
        ({"key": "another"}, "refuse", "not-allowed"),
        ({"dataset": "term"}, "hold", "held"),
        ({"dataset": "staff"}, "refuse", "not-allowed"),
        ({"rho": 101}, "refuse", "too-costly"),
        ({"dataset": "exam", "purpose": "the Annual Report"}, "allow", ""),
        ({"dataset": "exam", "purpose": "curiosity"}, "refuse", "not-allowed"),
    ],
)
def test_the_first_rule_that_fits_decides(asked: dict[str, object], word: str, reason: str) -> None:
    rules = (
        rule(),
        rule(datasets=["term"], mode="hold"),
        rule(datasets=["term"], mode="allow"),
        rule(datasets=["exam"], purpose="annual report"),
    )
    ask = {"researcher": "li-wei", "key": "k", "dataset": "graduate", "purpose": "", "rho": 100, **asked}
    verdict = Policy(allow=rules, largest_question=100).verdict(**ask)  # type: ignore[arg-type]
    assert (verdict.word, verdict.reason) == (word, reason)


def test_a_draft_is_read_with_epsilon_or_rho(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        """
        largest_question_rho = 0.000001
        [budget.student]
        period = "quarter"
        epsilon = 2
        lifetime_rho = 0.3
        [limits.dataset.term]
        epsilon = 0.5
        [[allow]]
        researcher = "li-wei"
        datasets = "*"
        mode = "hold"
        """,
        encoding="utf-8",
    )
    policy = read_draft(path, 1e-6, lambda name: f"key of {name}")
    assert policy.budget["student"].rho == rho_of(2, 1e-6)
    assert policy.budget["student"].lifetime == 300_000_000
    assert policy.largest_question == 1_000
    assert policy.limits.dataset == {"term": rho_of(0.5, 1e-6)}
    assert (policy.allow[0].key, policy.allow[0].datasets, policy.allow[0].mode) == ("key of li-wei", ("*",), "hold")
    assert Policy.from_json(policy.to_json()) == policy


def test_no_file_is_a_policy_of_nothing(tmp_path: Path) -> None:
    assert read_draft(tmp_path / "policy.toml", 1e-6, str) == NOTHING


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[budget.student]\nperiod='year'\nepsilon=1\nrho=1\nlifetime_rho=1", "budget.student"),
        ("[budget.student]\nperiod='year'\nepsilon=1", "budget.student"),
        ("[budget.student]\nperiod='week'\nepsilon=1\nlifetime_rho=1", "budget.student.period"),
        ("[budget.student]\nepsilon=1\nlifetime_rho=1\nlifetime=2", "budget.student"),
        ("[budget.student]\nepsilon=-1\nlifetime_rho=1", "budget.student"),
        ("[budget.student]\nepsilon=true\nlifetime_rho=1", "budget.student"),
        ("[budgets.student]\nepsilon=1", "policy.toml"),
        ("[limits.person.x]\nrho=1", "limits.person"),
        ("[[allow]]\nresearcher='li-wei'\ndatasets=[]", "allow.0.datasets"),
        ("[[allow]]\nresearcher='li-wei'\ndatasets='*'\nmode='always'", "allow.0.mode"),
        ("[[allow]]\nresearcher='*'\ndatasets='*'\nkey='k'", "allow.0.researcher"),
        ("budget = 3", "budget"),
        ("not toml", "policy.toml"),
    ],
)
def test_a_wrong_draft_names_the_place(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid) as raised:
        read_draft(path, 1e-6, lambda _: "key")
    assert place in raised.value.place


def test_a_policy_is_in_force_once_it_is_signed_and_not_before(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    path = one.home.policy_file
    set_budget(path, "student", {"period": "year", "rho": 1, "lifetime_rho": 1})
    allow_researcher(path, researcher.name, researcher.key.vkey, ["graduate"], hold=False, purpose="")
    assert one.answer(researcher.ask(question())).answers[0].verdict == REFUSED
    assert sign_draft(one.node)[1]
    assert one.answer(researcher.ask(question())).answers[0].verdict == RELEASED
    assert not sign_draft(one.node)[1]  # nothing changed, nothing signed
    statement = PolicyStatement.open(one.entries("policy")[-1], [one.node.journal.statements.verifier])
    assert Policy.from_json(statement.policy) == InForce(one.node.journal)()
    assert [(s.name, s.current) for s in statement.snapshots] == [("autumn", True)]
    assert refuse_researcher(path, researcher.name) == 1
    sign_draft(one.node)
    assert one.answer(researcher.ask(question(value=2))).answers[0].verdict == REFUSED


def test_a_broken_draft_leaves_the_policy_in_force(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.home.policy_file.write_text("[[allow]]\n", encoding="utf-8")
    with pytest.raises(Invalid):
        sign_draft(one.node)
    assert one.answer(researcher.ask(question())).answers[0].verdict == RELEASED


def test_another_key_under_an_allowed_name_is_not_allowed(tmp_path: Path) -> None:
    """Whoever holds the registry key can revoke a researcher and register his own key under the name. He may ask nothing."""
    one, researcher = federation(tmp_path)
    set_budget(one.home.policy_file, "student", {"rho": 1, "lifetime_rho": 1})
    one.home.policy_file.write_text(
        one.home.policy_file.read_text(encoding="utf-8") + "\n[[allow]]\nresearcher = 'li-wei'\ndatasets = '*'\n", encoding="utf-8"
    )
    sign_draft(one.node)
    assert one.answer(researcher.ask(question())).answers[0].verdict == RELEASED
    one.ministry.revoke("li-wei")
    impostor = Researcher(one.ministry, "li-wei")
    one.learn()
    assert one.answer(impostor.ask(question())).answers[0].reason == "not-allowed"
    sign_draft(one.node)  # signing the same file again does not take the new key up
    assert one.answer(impostor.ask(question())).answers[0].reason == "not-allowed"
    allow_researcher(one.home.policy_file, "li-wei", impostor.key.vkey, [], hold=False, purpose="")
    sign_draft(one.node)  # the steward has said so
    assert one.answer(impostor.ask(question())).answers[0].verdict == RELEASED


def test_edits_keep_comments_and_other_rules(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("# mine\n[budget.student]\nepsilon = 2 # why\nlifetime_epsilon = 8\n", encoding="utf-8")
    allow_researcher(path, "li-wei", "k1", ["term"], hold=True, purpose="report")
    allow_researcher(path, "wang", "k2", [], hold=False, purpose="")
    allow_researcher(path, "li-wei", "k3", ["term"], hold=False, purpose="")
    set_budget(path, "student", {"rho": 1})
    text = path.read_text(encoding="utf-8")
    assert "# mine" in text
    policy = read_draft(path, 1e-6, lambda _: "")
    assert [(r.researcher, r.key, r.mode) for r in policy.allow] == [("li-wei", "k3", "allow"), ("wang", "k2", "allow")]
    assert policy.budget["student"].rho == 10**9


def test_a_held_request_waits_for_the_steward(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, mode="hold")
    asked = researcher.ask(question(value=1), question(value=2), purpose="the annual report")
    for _ in range(2):
        assert [a.verdict for a in one.answer(asked).answers] == [HELD, HELD]
    assert (one.charged(), len(one.entries("decision"))) == (0, 2)
    (line,) = requests.listing(one.node.journal)
    assert (line.id, line.researcher, line.purpose, line.rho) == (asked.id, "li-wei", "the annual report", 2_000)
    requests.decide(one.node.journal, asked.id[:8], allow=True)
    requests.decide(one.node.journal, asked.id[:8], allow=True)
    reply = one.answer(asked)
    assert [a.verdict for a in reply.answers] == [RELEASED, RELEASED]
    assert requests.listing(one.node.journal) == []
    verdicts = [Decision.read(note).verdict for note in one.entries("decision")]
    assert verdicts == ["hold", "hold", "allow", "allow", "charge", "charge"]
    assert one.answer(researcher.ask(question(value=3))).answers[0].verdict == HELD  # the next request is another one


def test_allowing_one_request_overrides_no_rule(tmp_path: Path) -> None:
    """The steward allowed a held request; before it was asked again the researcher lost everything, or the cost became too much."""
    one, researcher = federation(tmp_path)
    one.allow(researcher, mode="hold")
    asked = researcher.ask(question())
    one.answer(asked)
    requests.decide(one.node.journal, asked.id, allow=True)
    one.allow(researcher, mode="hold", largest_question=1)
    assert one.answer(asked).answers[0].reason == "too-costly"
    one.allow()
    assert one.answer(asked).answers[0].reason == "not-allowed"
    one.allow(researcher, mode="hold")
    assert one.answer(asked).answers[0].verdict == RELEASED


def test_a_held_request_can_be_refused(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, mode="hold")
    asked = researcher.ask(question())
    one.answer(asked)
    requests.decide(one.node.journal, asked.id, allow=False)
    answer = one.answer(asked).answers[0]
    assert (answer.verdict, answer.reason) == (REFUSED, "refused-by-steward")
    assert len(one.entries("decision")) == 2
    with pytest.raises(Invalid, match="refused before"):
        requests.decide(one.node.journal, asked.id, allow=True)
    with pytest.raises(Invalid, match="no held request"):
        requests.decide(one.node.journal, "ffff", allow=True)


def test_a_held_request_that_expires_is_not_answered(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, mode="hold")
    asked = researcher.ask(question())
    one.answer(asked)
    requests.decide(one.node.journal, asked.id, allow=True)
    one.now[0] += 10**6
    with pytest.raises(Invalid) as raised:
        one.answer(asked)
    assert raised.value.reason == "expired"
