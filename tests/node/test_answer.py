"""The answer path: charged before drawn, paid once, one release for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from onenode import SCHEMA, SNAPSHOT, OneNode, federation, question, statements

from collegium.log.statement import statement_id
from collegium.statements import Decision, Release
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node.shelf import Shelved

RELEASED, REFUSED, HELD, FAILED = (QuestionAnswer.RELEASED, QuestionAnswer.REFUSED, QuestionAnswer.HELD, QuestionAnswer.FAILED)


def test_a_release_is_charged_logged_and_signed(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    asked = researcher.ask(question(1_000), question(2_000, dataset="term"))
    reply = one.answer(asked)
    assert [a.verdict for a in reply.answers] == [RELEASED, RELEASED]
    assert one.charged() == 3_000
    keys = [one.node.journal.statements.verifier]
    for number, answer in enumerate(reply.answers):
        decision, release = Decision.open(answer.decision, keys), Release.open(answer.release, keys)
        assert (decision.verdict, decision.request, decision.number) == ("charge", asked.id, number)
        assert (release.decision, release.request, release.number) == (decision.log.index, asked.id, number)
        assert decision.registry.size == one.node.members.registry.size
        assert (decision.unit, decision.period, decision.snapshot) == ("student", "2026", SNAPSHOT)
        assert answer.payload in one.engine.drawn
    assert one.node.journal.verify() == len(one.entries())
    assert asked.note in one.entries("request")


def test_nothing_is_answered_by_default(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    answer = one.answer(researcher.ask(question())).answers[0]
    assert (answer.verdict, answer.reason) == (REFUSED, "not-allowed")
    assert Decision.read(answer.decision).reason == "not-allowed"
    assert one.charged() == 0
    assert one.engine.drawn == []


def test_the_same_request_again_gives_the_same_bytes_and_one_charge(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    asked = researcher.ask(question())
    first = one.answer(asked)
    size = len(one.entries())
    assert one.answer(asked) == first
    assert (one.charged(), len(one.engine.drawn), len(one.entries())) == (1_000, 1, size)


def test_the_same_question_in_another_request_is_a_free_reuse(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    first = one.answer(researcher.ask(question())).answers[0]
    asked = researcher.ask(question())
    second = one.answer(asked).answers[0]
    assert (second.release, second.payload) == (first.release, first.payload)
    decision = Decision.read(second.decision)
    assert (decision.verdict, decision.rho) == ("reuse", None)
    assert decision.original is not None
    assert decision.original.sha256 == statement_id(first.release)
    assert one.charged() == 1_000
    assert one.answer(asked).answers[0] == second


def test_one_request_that_asks_twice_pays_once(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    first, second = one.answer(researcher.ask(question(), question())).answers
    assert first.payload == second.payload
    assert one.charged() == 1_000


def test_a_hundred_at_once_pay_once_and_get_the_identical_release(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    requests = [researcher.ask(question()) for _ in range(100)]
    payloads: list[bytes] = []
    start = threading.Barrier(100)
    one.engine.on_tally = lambda: time.sleep(0.2)  # long enough for the others to arrive

    def run(number: int) -> None:
        start.wait()
        payloads.append(one.answer(requests[number]).answers[0].payload)

    _in_threads(run, 100)
    assert (len(payloads), len(set(payloads))) == (100, 1)
    assert (one.charged(), len(one.engine.drawn)) == (1_000, 1)


def test_two_processes_on_one_database_never_release_twice(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    two = OneNode(tmp_path, one.ministry, join=False)
    both = threading.Barrier(2)
    one.engine.on_tally = two.engine.on_tally = lambda: both.wait(30) and None  # both have found no release and are counting
    asked = researcher.ask(question())
    answers: list[QuestionAnswer] = []
    _in_threads(lambda number: answers.append((one, two)[number].answer(asked).answers[0]), 2)
    assert len(one.engine.drawn) == len(two.engine.drawn) == 1  # two noises were drawn
    assert answers[0] == answers[1]  # one left
    assert one.charged() == 1_000
    assert len(one.entries("release")) == 1
    assert one.node.journal.verify() == two.node.journal.verify()


def test_parallel_requests_at_the_edge_get_exactly_what_fits(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, rho=37_500)
    requests = [researcher.ask(question(value=n)) for n in range(100)]
    verdicts: list[int] = []
    _in_threads(lambda number: verdicts.append(one.answer(requests[number]).answers[0].verdict), 100)
    assert verdicts.count(RELEASED) == 37
    assert verdicts.count(REFUSED) == 63
    assert one.charged() == 37_000


def test_a_refused_request_blocks_no_later_one(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, rho=1_500)
    big = researcher.ask(question(2_000))
    answer = one.answer(big).answers[0]
    assert (answer.verdict, answer.reason) == (REFUSED, "budget-period")
    assert one.answer(researcher.ask(question(1_500))).answers[0].verdict == RELEASED
    one.allow(researcher, rho=5_000)
    assert one.answer(big).answers[0].verdict == RELEASED  # the very same request, now affordable


def test_a_refusal_said_again_is_logged_once(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    asked = researcher.ask(question())
    first = one.answer(asked)
    size = len(one.entries())
    assert one.answer(asked) == first
    assert len(one.entries()) == size


def test_a_retry_finishes_on_its_own_snapshot(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    asked = researcher.ask(question())
    one.engine.on_tally = _power_cut
    assert one.answer(asked).answers[0].verdict == FAILED
    assert one.charged() == 1_000
    one.engine.on_tally = lambda: None
    one.ministry.new_schema(SCHEMA.replace("version = 1", "version = 2"))
    one.learn()
    one.snapshot("00000000000000b2", schema="small/2")
    answer = one.answer(asked).answers[0]
    assert Release.read(answer.release).snapshot == SNAPSHOT
    assert one.charged() == 1_000
    newer = one.answer(researcher.ask(question(schema="small/2"))).answers[0]  # a new request asks the new one, and pays
    assert Release.read(newer.release).snapshot == "00000000000000b2"
    assert one.charged() == 2_000


def test_a_charge_whose_snapshot_is_gone_stays_and_the_retry_says_so(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    asked = researcher.ask(question())
    one.engine.on_tally = _power_cut
    one.answer(asked)
    one.engine.gone.add(SNAPSHOT)
    answer = one.answer(asked).answers[0]
    assert (answer.verdict, answer.reason) == (FAILED, "snapshot-gone")
    assert Decision.read(answer.decision).verdict == "charge"
    assert one.charged() == 1_000
    fresh = one.answer(researcher.ask(question(value=9))).answers[0]  # and nobody pays for a snapshot lost already
    assert (fresh.verdict, one.charged()) == (FAILED, 1_000)


def test_one_request_is_charged_once_though_the_snapshot_changes_under_it(tmp_path: Path) -> None:
    """Two calls of one request at once, and between their steps (3) the steward makes a new snapshot."""
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    asked = researcher.ask(question())
    shelf = one.answering._shelf
    first: list[QuestionAnswer] = []

    class Slow:
        """Between looking for a binding and looking for the current snapshot, all of the other call happens."""

        def current(self) -> Shelved:
            one.answering._shelf = shelf
            first.append(one.answer(asked).answers[0])
            one.snapshot("00000000000000b2")
            return shelf.current()

    one.answering._shelf = Slow()  # type: ignore[assignment]
    assert statements(one.answer(asked).answers[0]) == statements(first[0])  # the log has grown, so its proofs are others
    assert (one.charged(), len(one.engine.drawn)) == (1_000, 1)


def test_a_failed_question_touches_no_other(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    turns = iter([_power_cut, lambda: None])
    one.engine.on_tally = lambda: next(turns)()
    answers = one.answer(researcher.ask(question(value=1), question(value=2))).answers
    assert [a.verdict for a in answers] == [FAILED, RELEASED]
    assert answers[0].reason == "failed"


def test_questions_for_another_schema_or_dataset_are_refused(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.snapshot("00000000000000b2", datasets=("graduate",))
    answers = one.answer(researcher.ask(question(schema="small/2"), question(dataset="term"))).answers
    assert [(a.verdict, a.reason) for a in answers] == [(REFUSED, "schema"), (REFUSED, "no-dataset")]


def test_a_node_one_schema_version_behind_answers_what_it_knows(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.ministry.new_schema(SCHEMA.replace("version = 1", "version = 2"))
    one.learn()
    answers = one.answer(researcher.ask(question(schema="small/1"), question(schema="small/2"))).answers
    assert [a.verdict for a in answers] == [RELEASED, REFUSED]


def test_charges_come_before_noise(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    seen: list[int] = []
    one.engine.on_tally = lambda: seen.append(one.charged())
    one.answer(researcher.ask(question()))
    assert seen == [1_000]


def _power_cut() -> None:
    raise RuntimeError("power")


def _in_threads(run, count: int) -> None:  # type: ignore[no-untyped-def]
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
