"""Attacks on one node by whoever can hand it bytes: the coordinator, a researcher, a stranger.

Each is refused before anything is logged, charged or drawn, with a reason of the public table and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onenode import FED, NODE, T0, Asked, OneNode, Researcher, federation, question

from collegium.errors import CollegiumError, public_text
from collegium.log.note import Signer, sign_note
from collegium.log.statement import MAX_STATEMENT, canonical_json, read_statement, sign_statement, statement_id
from collegium.question import MAX_DEPTH
from collegium.v1.node_pb2 import QuestionAnswer

World = tuple[OneNode, Researcher]


@pytest.fixture
def world(tmp_path: Path) -> World:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    return one, researcher


def _resigned(asked: Asked, researcher: Researcher, change: Callable[[dict[str, Any]], object], kind: str = "request") -> Asked:
    _, body = read_statement(asked.note)
    change(body)
    return Asked(sign_statement(kind, body, researcher.key), asked.details)


def wrong_signature(one: OneNode, researcher: Researcher) -> Asked:
    stranger = Researcher.__new__(Researcher)
    stranger.key = Signer.generate(researcher.key.name)
    return _resigned(researcher.ask(question()), stranger, lambda body: None)


def changed_byte(one: OneNode, researcher: Researcher) -> Asked:
    asked = researcher.ask(question(1_000))
    return Asked(asked.note.replace(b'"rho":1000', b'"rho":9000'), asked.details)


def changed_purpose(one: OneNode, researcher: Researcher) -> Asked:
    asked = researcher.ask(question(), purpose="curiosity")
    return Asked(asked.note, asked.details.replace(b"curiosity", b"allowed!!"))


def expired(one: OneNode, researcher: Researcher) -> Asked:
    return researcher.ask(question(), expiry=T0 + 5)


def for_another_node(one: OneNode, researcher: Researcher) -> Asked:
    return researcher.ask(question(), audience=["univ-b"])


def of_an_unknown_researcher(one: OneNode, researcher: Researcher) -> Asked:
    unknown = Researcher(one.ministry, "not-learnt")  # registered, but this node has not verified that
    return unknown.ask(question())


def of_a_revoked_researcher(one: OneNode, researcher: Researcher) -> Asked:
    one.ministry.revoke(researcher.name)
    one.learn()
    return researcher.ask(question())


def in_the_name_of_another(one: OneNode, researcher: Researcher) -> Asked:
    other = Researcher(one.ministry, "wang-fang")
    one.learn()
    return _resigned(researcher.ask(question()), other, lambda body: None)


def signed_by_a_node(one: OneNode, researcher: Researcher) -> Asked:
    asked = researcher.ask(question())
    _, body = read_statement(asked.note)
    return Asked(sign_statement("request", {**body, "researcher": NODE}, one.node.journal.statements), asked.details)


def signed_with_a_log_key(one: OneNode, researcher: Researcher) -> Asked:
    """One signed thing read as another: the right party, the wrong one of its keys."""
    asked = researcher.ask(question())
    _, body = read_statement(asked.note)
    return Asked(sign_statement("request", body, Signer.from_seed(f"{FED}/{researcher.name}", researcher.key.seed)), asked.details)


def made_with_another_registry(one: OneNode, researcher: Researcher) -> Asked:
    def split(body: dict[str, Any]) -> None:
        body["registry"]["root"] = "A" * 43 + "="

    return _resigned(researcher.ask(question()), researcher, split)


def another_kind(one: OneNode, researcher: Researcher) -> Asked:
    return _resigned(researcher.ask(question()), researcher, lambda body: None, kind="release")


def unknown_field(one: OneNode, researcher: Researcher) -> Asked:
    return _resigned(researcher.ask(question()), researcher, lambda body: body.update(mode="fast"))


def unknown_field_in_a_question(one: OneNode, researcher: Researcher) -> Asked:
    return _resigned(researcher.ask(question()), researcher, lambda body: body["questions"][0].update(weight="salary"))


def unknown_release_mode(one: OneNode, researcher: Researcher) -> Asked:
    return _resigned(researcher.ask(question()), researcher, lambda body: body["questions"][0].update(mode="everywhere"))


def unknown_component(one: OneNode, researcher: Researcher) -> Asked:
    return _resigned(researcher.ask(question()), researcher, lambda body: body["questions"][0]["components"][0].update(kind="max"))


def free_of_charge(one: OneNode, researcher: Researcher) -> Asked:
    return _resigned(researcher.ask(question()), researcher, lambda body: body["questions"][0]["components"][0].update(rho=0))


def negative_charge(one: OneNode, researcher: Researcher) -> Asked:
    return _resigned(researcher.ask(question()), researcher, lambda body: body["questions"][0]["components"][0].update(rho=-1))


def not_canonical(one: OneNode, researcher: Researcher) -> Asked:
    asked = researcher.ask(question())
    text = asked.note.decode().split("\n")
    text[1] = json.dumps(json.loads(text[1]), sort_keys=True)  # the same tree with white space
    return Asked(sign_note("\n".join(text[:2]) + "\n", researcher.key), asked.details)


def duplicate_key(one: OneNode, researcher: Researcher) -> Asked:
    asked = researcher.ask(question())
    text = asked.note.decode().split("\n")
    text[1] = text[1].replace('{"audience"', '{"audience":["univ-b"],"audience"', 1)
    return Asked(sign_note("\n".join(text[:2]) + "\n", researcher.key), asked.details)


def huge(one: OneNode, researcher: Researcher) -> Asked:
    asked = researcher.ask(question())
    return Asked(asked.note + b"x" * MAX_STATEMENT, asked.details)


def huge_details(one: OneNode, researcher: Researcher) -> Asked:
    asked = researcher.ask(question())
    return Asked(asked.note, b"x" * (1 << 20))


def deep_filter(one: OneNode, researcher: Researcher) -> Asked:
    def deepen(body: dict[str, Any]) -> None:
        inner: Any = body["questions"][0]["filter"]
        for number in range(MAX_DEPTH + 1):  # or inside and inside or …: the canonical form keeps every level
            args = sorted((inner, {"op": "unknown", "column": "salary"}), key=canonical_json)
            inner = {"op": ("and", "or")[number % 2], "args": args}
        body["questions"][0]["filter"] = inner

    return _resigned(researcher.ask(question()), researcher, deepen)


def deeply_nested_json(one: OneNode, researcher: Researcher) -> Asked:
    text = "collegium/v1/request\n" + '{"a":' + "[" * 20_000 + "]" * 20_000 + "}\n"
    return Asked(sign_note(text, researcher.key), b"{}")


def too_many_questions(one: OneNode, researcher: Researcher) -> Asked:
    def repeat(body: dict[str, Any]) -> None:
        body.update(questions=body["questions"] * 65, views=body["views"] * 65)

    return _resigned(researcher.ask(question()), researcher, repeat)


def no_note_at_all(one: OneNode, researcher: Researcher) -> Asked:
    return Asked(b"\x00\xff", b"")


ATTACKS = {
    wrong_signature: "identity",
    changed_byte: "identity",
    changed_purpose: "malformed",
    expired: "expired",
    for_another_node: "not-asked",
    of_an_unknown_researcher: "identity",
    of_a_revoked_researcher: "identity",
    in_the_name_of_another: "identity",
    signed_by_a_node: "identity",
    signed_with_a_log_key: "identity",
    made_with_another_registry: "identity",
    another_kind: "malformed",
    unknown_field: "malformed",
    unknown_field_in_a_question: "malformed",
    unknown_release_mode: "malformed",
    unknown_component: "malformed",
    free_of_charge: "malformed",
    negative_charge: "malformed",
    not_canonical: "malformed",
    duplicate_key: "malformed",
    huge: "too-large",
    huge_details: "too-large",
    deep_filter: "malformed",
    deeply_nested_json: "malformed",
    too_many_questions: "malformed",
    no_note_at_all: "malformed",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_it_is_refused_and_leaves_no_trace(world: World, attack: Callable[[OneNode, Researcher], Asked]) -> None:
    one, researcher = world
    asked = attack(one, researcher)
    before = one.entries()
    with pytest.raises(CollegiumError) as raised:
        one.answer(asked)
    assert raised.value.reason == ATTACKS[attack]
    assert raised.value.text == public_text(raised.value.reason)
    assert (one.entries(), one.charged(), one.engine.drawn) == (before, 0, [])


def test_a_replay_gives_the_same_bytes_and_costs_nothing(world: World) -> None:
    one, researcher = world
    asked = researcher.ask(question(), expiry=T0 + 20)
    first = one.answer(asked)
    one.now[0] = T0 + 10**7  # also long after it has expired: it was charged in time
    assert one.answer(asked) == first
    assert (one.charged(), len(one.engine.drawn)) == (1_000, 1)


def test_a_replay_of_a_revoked_researcher_gets_nothing(world: World) -> None:
    one, researcher = world
    asked = researcher.ask(question())
    one.answer(asked)
    one.ministry.revoke(researcher.name)
    one.learn()
    with pytest.raises(CollegiumError) as raised:
        one.answer(asked)
    assert raised.value.reason == "identity"


def test_more_signature_lines_make_no_other_request(world: World) -> None:
    """The id is the digest of the text: a coordinator who adds signatures gets the same row."""
    one, researcher = world
    asked = researcher.ask(question())
    first = one.answer(asked)
    text = asked.note.decode().rpartition("\n\n")[0] + "\n"
    extra = sign_note(text, researcher.key, Signer.generate("somebody/else"))
    assert statement_id(extra) == asked.id
    assert one.answer(Asked(extra, asked.details)) == first
    assert one.entries("request") == [asked.note]


def test_one_id_cannot_have_two_contents(world: World) -> None:
    """Nothing but the text says which request it is: another text is another id, and pays or is refused for itself."""
    one, researcher = world
    first, second = researcher.ask(question(value=1)), researcher.ask(question(value=2))
    forged = Asked(second.note.partition(b"\n\n")[0] + b"\n\n" + first.note.partition(b"\n\n")[2], first.details)
    assert forged.id == second.id
    one.answer(first)
    with pytest.raises(CollegiumError):
        one.answer(forged)
    assert one.charged() == 1_000


def test_details_of_another_request_do_not_pass(world: World) -> None:
    one, researcher = world
    first, second = researcher.ask(question()), researcher.ask(question(), purpose="allowed")
    with pytest.raises(CollegiumError) as raised:
        one.answer(Asked(first.note, second.details))
    assert raised.value.reason == "malformed"


@pytest.mark.parametrize("forgery", ["gap", "unsigned entry", "other head", "shorter"])
def test_a_coordinator_cannot_make_up_a_registry(world: World, forgery: str) -> None:
    one, _ = world
    size = one.node.members.registry.size
    honest = list(one.ministry.entries)
    Researcher(one.ministry, "mallory")
    entries, checkpoint = one.ministry.entries[size:], one.ministry.checkpoint()
    if forgery == "gap":
        first, entries = size + 1, entries[1:]
    else:
        first = size
    if forgery == "unsigned entry":
        entries = [entries[0].replace(b"mallory", b"malicia"), entries[1]]
    if forgery == "other head":
        one.ministry.registry_log = Signer.generate(one.ministry.registry_log.name)
        checkpoint = one.ministry.checkpoint()
    if forgery == "shorter":
        entries = entries[:1]
    with pytest.raises(CollegiumError):
        one.node.members.learn(first, entries, checkpoint)
    assert list(one.node.members.registry.entries) == honest


def test_a_node_whose_name_was_taken_over_answers_nothing(world: World) -> None:
    """Whoever holds the registry key can register another key under the university's name. The node sees it and stops."""
    one, researcher = world
    one.ministry.revoke(NODE)
    one.ministry.register("node", NODE)
    one.learn()
    with pytest.raises(CollegiumError) as raised:
        one.answer(researcher.ask(question()))
    assert raised.value.reason == "identity"
    assert one.charged() == 0


def test_a_refusal_is_the_same_whatever_the_data(tmp_path: Path) -> None:
    """Verdict, reason and sizes of what leaves before a charge depend on policy, budget and question alone (P5, P15)."""
    seen = []
    for name, engine_breaks in (("a", False), ("b", True)):
        one, researcher = federation(tmp_path / name)
        one.allow(researcher, rho=1_500)
        if engine_breaks:
            one.engine.on_tally = lambda: 1 / 0  # type: ignore[return-value]
        answers = one.answer(researcher.ask(question(2_000), question(1_000, dataset="staff", schema="small/2"))).answers
        seen.append([(a.verdict, a.reason, len(a.decision), a.release, a.payload) for a in answers])
    assert seen[0] == seen[1]
    assert all(verdict == QuestionAnswer.REFUSED for verdict, *_ in seen[0])
