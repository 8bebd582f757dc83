"""A node's part of a national sum: charged once for a plan, hidden once, and seen by nobody without all three trustees."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from nationalnode import OTHERS, READY, REFUSED, RELEASED, RHO, Country, Figures, country, national, zero
from onenode import NODE, SNAPSHOT, T0, VIEW, OneNode

from collegium.log.receipt import verify_receipt
from collegium.log.statement import statement_id
from collegium.national.closing import only_one
from collegium.national.commitment import commitment
from collegium.national.statements import Plan, Submit, plan_digest
from collegium.question import Question
from collegium.released import Asking, verify_decision
from collegium.statements import Decision
from collegium.v1.node_pb2 import SubmitReply
from collegium_node.config import parse_config
from collegium_node.digest import NodeSecret
from collegium_node.embedded import Embedded
from collegium_node.snapshot import build_snapshot


def test_ready_charges_logs_and_signs_nothing(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    before = land.one.entries()
    (answer,) = land.answer(asked).answers
    assert (answer.verdict, answer.reason, answer.decision) == (READY, "", b"")
    assert (land.one.entries(), land.one.charged(), land.engine.hidden) == (before, 0, [])


def test_a_plan_is_charged_hidden_signed_and_logged(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason) == (RELEASED, "")
    keys, plan = [land.one.node.journal.statements.verifier], Plan.read(sent.note)
    decision, submit = Decision.open(reply.decision, keys), Submit.open(reply.submit, keys)
    assert (decision.verdict, decision.plan, decision.rho, decision.snapshot) == ("charge", statement_id(sent.note), RHO, SNAPSHOT)
    assert (submit.plan, submit.decision, submit.member) == (decision.plan, decision.log.index, 0)
    for receipt, note in ((reply.decision_receipt, reply.decision), (reply.submit_receipt, reply.submit)):
        verify_receipt(receipt, note, land.one.node.journal.verifier)
    assert (len(reply.vector), len(reply.sealed)) == (8 * plan.length, 3)
    assert land.one.charged() == RHO
    (hidden,) = land.engine.hidden
    opened = land.under_the_masks(sent, reply).view(np.uint64)
    assert commitment(plan_digest(sent.note), 0, hidden.salt, opened) == submit.commitment
    assert land.one.node.journal.verify() == len(land.one.entries())


def test_without_noise_there_is_exactly_the_finer_tally_under_the_masks(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    land.attend(Figures(zero))
    sent = land.send(asked)
    reply = land.submit(asked, sent)
    fines = [part.fine for part in Plan.read(sent.note).parts]
    assert max(fines) > 0, "else a lattice that is not finer would pass too"
    assert land.under_the_masks(sent, reply).tolist() == land.finer(sent).tolist()


def test_the_noise_under_the_masks_is_of_the_plans_scale(tmp_path: Path) -> None:
    """A thousand cells: each part's noise has its own scale, within six sampling errors of a variance."""
    land, _ = country(tmp_path)
    tree = {**national().to_json(), "group": [{"column": "salary", "edges": list(range(1001))}]}
    del tree["filter"]
    asked = land.ask(Question.from_json(tree))
    land.engine.figures = np.arange(2 * 1001, dtype=np.int64)
    sent = land.send(asked)
    noise = land.under_the_masks(sent, land.submit(asked, sent)) - land.finer(sent)
    start = 0
    for part in Plan.read(sent.note).parts:
        drawn = noise[start : start + part.cells]
        assert abs(drawn.var() / float(part.scale) ** 2 - 1) < 6 * np.sqrt(2 / part.cells)
        assert abs(drawn.mean()) < 6 * float(part.scale) / np.sqrt(part.cells)
        start += part.cells


def test_the_same_plan_gives_the_same_bytes_whatever_happens_in_between(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    first, size = land.submit(asked, sent), len(land.one.entries())
    assert land.submit(asked, sent) == first
    assert (land.one.charged(), len(land.engine.hidden), len(land.one.entries())) == (RHO, 1, size)
    land.allow(release=("per_node",))  # the steward thinks again,
    land.one.snapshot("00000000000000b2")  # there are newer rows,
    land.one.now[0] = T0 + 90_000  # the round and the request are long over,
    land.ministry.revoke("li-wei")  # nobody would plan like that today,
    land.ministry.revoke("pine")
    land.one.learn()
    land.again()  # and another process serves
    assert bare(land.submit(asked, sent)) == bare(first)
    assert (land.one.charged(), len(land.engine.hidden)) == (RHO, 1)


def test_another_plan_is_another_charge_with_fresh_noise(tmp_path: Path) -> None:
    """Of another request for the same question: a share belongs to one plan."""
    land, _ = country(tmp_path)
    asked = [land.ask() for _ in range(3)]
    sents = [land.send(each) for each in asked]
    replies = [land.submit(each, sent) for each, sent in zip(asked, sents, strict=True)]
    assert land.one.charged() == 3 * RHO
    shares = [tuple(land.under_the_masks(sent, reply)) for sent, reply in zip(sents, replies, strict=True)]
    assert len(set(shares)) == 3
    assert len({reply.vector for reply in replies}) == 3
    only_one(Submit, [reply.submit for reply in replies], land.one.node.journal.statements.verifier)
    assert [Decision.read(reply.decision).plan for reply in replies] == [statement_id(sent.note) for sent in sents]
    assert [row[0] for row in land.rounds()] == [statement_id(sent.note) for sent in sents]


def test_a_second_plan_for_a_question_of_a_request_is_refused_and_free(tmp_path: Path) -> None:
    """Else a coordinator alone could plan one request twice, once without a university, and subtract."""
    land, asked = country(tmp_path)
    assert land.submit(asked, land.send(asked)).verdict == RELEASED
    fewer = land.roster([NODE, *OTHERS[:-1]])
    second = land.send(asked, land.plan(asked, roster=fewer), roster=fewer)
    entries = len(land.one.entries())
    replies = [land.submit(asked, second) for _ in range(3)]
    assert {(reply.verdict, reply.reason, reply.vector, reply.submit) for reply in replies} == {(REFUSED, "round-over", b"", b"")}
    assert len({reply.decision for reply in replies}) == 1
    assert land.one.charged() == RHO
    assert len(land.one.entries()) <= entries + 2  # the refusal, and the coordinator's checkpoint
    third = land.send(asked)
    answers = [land.submit(asked, each).decision for each in (third, second, third, second)]
    assert (answers[0], answers[1]) == (answers[2], answers[3]), "refused in turns they do not fill the log"


def test_twenty_times_at_once_one_charge_and_one_share(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    replies: list[SubmitReply] = []
    start = threading.Barrier(20)
    land.engine.on_tally = lambda: time.sleep(0.2)  # long enough for the others to arrive

    def run() -> None:
        start.wait()
        replies.append(land.submit(asked, sent))

    threads = [threading.Thread(target=run) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({reply.vector for reply in replies}) == 1
    assert len(replies) == 20
    assert (land.one.charged(), len(land.engine.hidden)) == (RHO, 1)


def test_two_processes_on_one_database_never_submit_twice(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent, two = land.send(asked), OneNode(tmp_path, land.ministry, join=False)
    two.answering._engine = two.submitting._engine = land.engine  # type: ignore[assignment]
    both = threading.Barrier(2)
    land.engine.on_tally = lambda: both.wait(30) and None  # both have found no submission and are counting
    replies: list[SubmitReply] = []
    nodes = (land.one.submitting, two.submitting)
    threads = [
        threading.Thread(target=lambda which=which: replies.append(which.submit(asked.note, asked.details, asked.receipt, sent)))
        for which in nodes
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(land.engine.hidden) == 2, "two were hidden"
    assert bare(replies[0]) == bare(replies[1]), "one left"
    assert (land.one.charged(), len(land.one.entries("national-submit"))) == (RHO, 1)
    assert land.one.node.journal.verify() == two.node.journal.verify()


def test_the_length_of_what_leaves_follows_from_the_question_alone(tmp_path: Path) -> None:
    land, _ = country(tmp_path)
    sizes = set()
    for figures in ([0] * 6, [10**9] * 6, [-(10**15), 10**15, 1, 2, 3, 4]):
        land.engine.figures = np.array(figures, dtype=np.int64)
        asked = land.ask()
        reply = land.submit(asked, land.send(asked))
        assert reply.verdict == RELEASED, "no tally is ever a reason to refuse"
        sizes.add((len(reply.vector), *(len(each) for each in reply.sealed)))
    assert len(sizes) == 1


def test_charges_come_before_anything_is_looked_at(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    seen: list[int] = []
    land.engine.on_tally = lambda: seen.append(land.one.charged())
    land.submit(asked, land.send(asked))
    assert seen == [RHO]


def test_a_request_mixes_release_modes(tmp_path: Path) -> None:
    land, _ = country(tmp_path)
    land.allow(release=("per_node", "national"))
    asked = land.ask(national(mode="per_node"), national())
    first, second = land.answer(asked).answers
    assert (first.verdict, second.verdict) == (RELEASED, READY)
    reply = land.submit(asked, land.send(asked, land.plan(asked, 1)))
    assert (reply.verdict, land.one.charged()) == (RELEASED, 2 * RHO)
    assert land.answer(asked).answers[0].release == first.release


def test_a_question_is_summed_group_by_group(tmp_path: Path) -> None:
    """The node is in the round of its own group, with the members of that group."""
    land = Country(tmp_path, partition=(("11", "31"), ("44",)))
    land.allow(smallest=8)
    names = [name for name in (NODE, *OTHERS) if land.ministry.facts[name]["province"] != "44"]
    asked, roster = land.ask(views=({**VIEW, "facts": ["province"]},)), land.roster(names)
    assert land.answer(asked).answers[0].verdict == READY
    sent = land.send(asked, land.plan(asked, roster=roster, group=("11", "31"), registry=land.registry().view()), roster=roster)
    assert land.submit(asked, sent).verdict == RELEASED


def test_the_decision_of_a_plan_is_one_that_everybody_verifies(tmp_path: Path) -> None:
    """And the charge for a plan never passes as a charge for the university's own figure, nor for another plan."""
    from collegium.errors import NotVerified
    from collegium.layout import compile_layout

    land, asked = country(tmp_path)
    sent = land.send(asked)
    reply, registry = land.submit(asked, sent), land.registry()
    layout = compile_layout(national(), registry.schema)
    asking, node = Asking(asked.id, 0, layout, national().digest), registry.party(NODE)
    roots = lambda size: registry.view_at(size).root  # noqa: E731
    plan = statement_id(sent.note)
    assert verify_decision(reply.decision, asking, node, roots, plan).plan == plan
    for other in (None, "0" * 64):
        with pytest.raises(NotVerified, match="for another plan"):
            verify_decision(reply.decision, asking, node, roots, other)


GRADUATES = """
[sources.rows]
kind = "csv"
path = "rows.csv"
[datasets.graduate]
source = "rows"
person = "id"
[datasets.graduate.columns]
sex = "sex"
salary = "salary"
"""


def test_the_nodes_own_engine_counts_and_hides_real_rows(tmp_path: Path) -> None:
    """Thirty men, twelve women, nobody unknown: under the masks the finer tally of just these, and noise of the plan's scale."""
    land, _ = country(tmp_path)
    rows = [f"p{number},{1 + (number >= 30)},{100 + number}" for number in range(42)]
    (tmp_path / "rows.csv").write_text("id,sex,salary\n" + "\n".join(rows) + "\n", encoding="utf-8")
    secret = NodeSecret(bytes(range(32)))
    config = parse_config(GRADUATES, tmp_path / "node.toml")
    made = build_snapshot("spring", config, land.registry().schema, secret, tmp_path, lambda: T0)
    land.one.snapshot(made.id, datasets=("graduate",))
    asked = land.ask()
    sent = land.send(asked)
    land.one.submitting._engine = Embedded(tmp_path, secret)
    reply = land.submit(asked, sent)
    assert (reply.verdict, Decision.read(reply.decision).snapshot) == (RELEASED, made.id)
    land.engine.figures = np.array([30, 12, 0, sum(range(100, 130)), sum(range(130, 142)), 0])
    noise = np.abs(land.under_the_masks(sent, reply) - land.finer(sent))
    parts = Plan.read(sent.note).parts
    scales = np.repeat([float(part.scale) for part in parts], [part.cells for part in parts])
    assert np.all(noise < 8 * scales)
    assert np.any(noise > 0)


def test_no_figure_is_in_any_line_or_error(tmp_path: Path) -> None:
    secret = "row 17: 张三 13800138000"
    stream = io.StringIO()
    land, asked = country(tmp_path, stream=stream)
    land.engine.figures = np.array([7_654_321] * 6, dtype=np.int64)

    def fail() -> None:
        raise RuntimeError(secret)

    land.engine.on_tally = fail
    sent = land.send(asked)
    reply = land.submit(asked, sent)
    assert (reply.reason, reply.vector, Decision.read(reply.decision).verdict) == ("failed", b"", "charge")
    land.engine.on_tally = lambda: None
    done = land.submit(asked, sent)
    assert done.verdict == RELEASED
    said = stream.getvalue() + repr(reply) + repr(done)
    for hidden in (secret, "13800138000", "7654321", "7,654,321"):
        assert hidden not in said
    assert land.engine.figures.tobytes() not in done.SerializeToString()
    assert land.one.charged() == RHO


def bare(reply: SubmitReply) -> SubmitReply:
    """A reply without its receipts, whose checkpoints grow with the log."""
    found = SubmitReply.FromString(reply.SerializeToString())
    found.ClearField("decision_receipt")
    found.ClearField("submit_receipt")
    return found
