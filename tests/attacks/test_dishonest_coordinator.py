"""A2, A4, A7, A8 and A12 committed against a running federation by a dishonest coordinator or node: who notices, and who is named.

Counts as failure: an attack that neither the other party at once nor the audit of the exported folders proves, an audit that names
an honest party, a clean federation that is named at all.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from realfed import COORDINATOR_TESTS, Fed, failures, scene

from collegium.audit.verdict import Word
from collegium.bundle import verify
from collegium.combine import NodeRelease
from collegium.errors import CollegiumError, NotVerified
from collegium.log.statement import statement_id
from collegium.party.published import Published
from collegium.statements import Accounts, Blob, Coverage, Indicator, Release, UsedRelease
from collegium.v1.node_pb2 import AnswerRequest
from collegium_coordinator.indicator import national_table
from collegium_coordinator.store import put_blob

question_of = COORDINATOR_TESTS.question_of


def test_a_clean_federation_is_named_nowhere(tmp_path: Path) -> None:
    async def play(fed: Fed) -> None:
        for _ in range(3):
            done = await fed.ask()
            assert done.released == 4
        findings = await fed.audit(await fed.export(tmp_path / "out"))
        assert failures(findings) == set()
        assert [each for each in findings.list if each.word is Word.WARN] == []

    scene(tmp_path, play, nodes=4, witnessed=True)


# -- A7: the figure is not the sum ---------------------------------------------------------------------------------------------


def test_a7_a_figure_that_is_not_the_sum_is_refused_and_names_the_coordinator(tmp_path: Path) -> None:
    def add_wrongly(layout: Any, view: Any, schema: Any, releases: Any, asked: Any) -> bytes:
        first = releases[0]
        raised = NodeRelease(first.node, (1000).to_bytes(8, "little"), first.scales)
        return national_table(layout, view, schema, [raised, *releases[1:]], asked)

    async def play(fed: Fed) -> None:
        done = await fed.small.ask(fed.stub, await fed.request())
        with pytest.raises(NotVerified, match="add up"):
            verify(await fed.bundle(done.request_id), fed.registry)
        findings = await fed.audit(await fed.export(tmp_path / "out"))
        assert failures(findings) == {("A7", "coordinator")}

    scene(tmp_path, play, combine=add_wrongly)


def test_a7_a_node_left_out_of_the_account_is_refused_and_names_the_coordinator(tmp_path: Path) -> None:
    async def play(fed: Fed) -> None:
        done = await fed.ask()
        bundle = await fed.bundle(done.request_id)
        honest = Indicator.read(bundle.indicators[0])
        accounts = Accounts.from_blob(bundle.blob(honest.accounts.sha256, ""), honest)
        fewer = Accounts(releases=accounts.releases[:1], missing=()).to_blob()
        await sign_indicator(fed, done.request_id, honest, fewer)
        with pytest.raises(NotVerified, match="every node asked"):
            verify(await fed.bundle(done.request_id), fed.registry)
        findings = await fed.audit(await fed.export(tmp_path / "out"))
        assert failures(findings) == {("A7", "coordinator")}

    scene(tmp_path, play)


# -- A4: a release replayed ----------------------------------------------------------------------------------------------------


def test_a4_an_old_release_in_a_new_figure_is_refused_and_names_the_coordinator(tmp_path: Path) -> None:
    """The coordinator takes a node's release of another question's request for this one, though the node has signed a new one."""

    async def play(fed: Fed) -> None:
        first = await fed.bundle((await fed.ask(question=question_of(10**7 + 1))).request_id)
        second = await fed.ask(question=question_of(10**7 + 2))
        bundle = await fed.bundle(second.request_id)
        honest = Indicator.read(bundle.indicators[0])
        accounts = Accounts.from_blob(bundle.blob(honest.accounts.sha256, ""), honest)
        old = {Release.read(note).log.origin: statement_id(note) for note in first.releases}
        replayed = Accounts(
            releases=tuple(UsedRelease(node=each.node, sha256=old[f"demo/{each.node}"]) for each in accounts.releases), missing=()
        ).to_blob()
        await sign_indicator(fed, second.request_id, honest, replayed)
        with pytest.raises(NotVerified):
            verify(await fed.bundle(second.request_id), fed.registry)
        findings = await fed.audit(await fed.export(tmp_path / "out"))
        named = failures(findings)
        assert {party for _, party in named} == {"coordinator"}
        assert {check for check, _ in named} & {"A4", "A7"}

    scene(tmp_path, play)


# -- A2 and A8: dropped, or never logged ---------------------------------------------------------------------------------------


def test_a2_a_request_dropped_from_the_coordinators_log_is_proven_by_the_receipt_it_gave(tmp_path: Path) -> None:
    async def play(fed: Fed) -> None:
        await fed.ask(question=question_of(10**7 + 1))
        done = await fed.ask(question=question_of(10**7 + 2))
        out = await fed.export(tmp_path / "out")
        entries = [bytes(row[0]) for row in fed.coordinator.store.rows("SELECT entry FROM entries ORDER BY idx")]
        kept = [entry for entry in entries if done.request_id.encode() not in entry and statement_id(entry) != done.request_id]
        assert len(kept) < len(entries)
        honest = fed.coordinator.logs._sources["demo/coordinator"]
        await asyncio.to_thread(fed.forge, out / "coordinator", honest, kept, fed.small.home.log_key)
        findings = await fed.audit(out)
        assert {party for _, party in failures(findings)} == {"coordinator"}
        assert any(check in ("A1", "A2", "A3") for check, _ in failures(findings))

    scene(tmp_path, play)


def test_a8_a_release_that_its_node_dropped_from_its_log_is_proven_by_its_receipt(tmp_path: Path) -> None:
    """The node answers and proves it; afterwards it publishes a log that never held the release."""

    async def play(fed: Fed) -> None:
        await fed.ask(question=question_of(10**7 + 1))
        await fed.ask(question=question_of(10**7 + 2))
        out = await fed.export(tmp_path / "out")
        liar = fed.nodes[0]
        with liar.node.store.read() as db:
            entries = [bytes(row[0]) for row in db.execute("SELECT note FROM entries ORDER BY idx")]
        dropped = next(index for index, entry in enumerate(entries) if entry.startswith(b"collegium/v1/release"))
        kept = entries[:dropped] + entries[dropped + 1 :]
        await asyncio.to_thread(fed.forge, out / "u1", Published(liar.node), kept, liar.home.keys.log)
        findings = await fed.audit(out)
        assert {party for _, party in failures(findings)} == {"u1"}
        assert any(check in ("A1", "A2", "A3", "A8") for check, _ in failures(findings))

    scene(tmp_path, play)


def test_a8_an_answer_that_its_node_has_not_logged_is_not_taken(tmp_path: Path) -> None:
    """The node signs another release than it has logged, and proves the logged one."""

    async def play(fed: Fed) -> None:
        liar = fed.nodes[0]

        def another(reply: Any) -> Any:
            answer = reply.answers[0]
            payload = bytes(len(answer.payload))
            blob = Blob(sha256=hashlib.sha256(payload).hexdigest(), size=len(payload))
            body = Release.read(answer.release).model_copy(update={"payload": blob})
            answer.release, answer.payload = body.sign(liar.node.journal.statements), payload
            return reply

        liar.said.lie = another
        done = await fed.small.ask(fed.stub, await fed.request())
        assert done.released == 1
        bundle = await fed.bundle(done.request_id)
        indicator = Indicator.read(bundle.indicators[0])
        accounts = Accounts.from_blob(bundle.blob(indicator.accounts.sha256, ""), indicator)
        assert [(each.node, each.reason) for each in accounts.missing] == [("u1", "bad-answer")]
        verify(bundle, fed.registry)

    scene(tmp_path, play)


# -- A12: different questions under one id -------------------------------------------------------------------------------------


def test_a12_a_coordinator_that_sends_nodes_another_question_gets_no_answer(tmp_path: Path) -> None:
    """It cannot sign another one; under the researcher's own two requests, one's receipt does not open the other."""

    async def play(fed: Fed) -> None:
        one, two = await fed.request(question=question_of(10**7 + 1)), await fed.request(question=question_of(10**7 + 2))
        done = await fed.small.ask(fed.stub, one)
        assert done.released == 2
        job = fed.coordinator.fanout.job(done.request_id)
        for node in fed.nodes:
            caller = fed.coordinator.nodes.get(node.name).calls
            changed = one.request.replace(b'"rho":', b'"rho":1')
            for request in (
                AnswerRequest(request=changed, details=one.details, receipt=job.receipt),
                AnswerRequest(request=two.request, details=two.details, receipt=job.receipt),
                AnswerRequest(request=two.request, details=two.details),
            ):
                with pytest.raises(CollegiumError):
                    await caller.answer(request, timeout=5.0)
        findings = await fed.audit(await fed.export(tmp_path / "out"))
        assert failures(findings) == set()

    scene(tmp_path, play)


async def sign_indicator(fed: Fed, request: str, honest: Indicator, accounts: bytes) -> None:
    """The coordinator logs a further revision with these accounts, properly signed and placed."""
    journal = fed.coordinator.journal
    body = Accounts.model_validate_json(accounts)
    coverage = Coverage(
        asked=len(body.releases) + len(body.missing), answered=len(body.releases), enrolment=honest.coverage.enrolment,
        enrolment_asked=honest.coverage.enrolment_asked,
    )  # fmt: skip

    def write() -> None:
        with journal.write() as log:
            put_blob(log.db, accounts)

            def make(place: Any) -> bytes:
                return honest.model_copy(
                    update={
                        "log": place,
                        "time": log.now,
                        "revision": honest.revision + 1,
                        "accounts": Blob(sha256=hashlib.sha256(accounts).hexdigest(), size=len(accounts)),
                        "coverage": coverage,
                    }
                ).sign(journal.statements)

            entry = log.sign(Indicator.kind, request, make)
            inputs = log.db.execute(
                "SELECT inputs FROM indicators WHERE request = ? AND number = 0 ORDER BY revision DESC LIMIT 1", (request,)
            ).fetchone()[0]
            log.db.execute("INSERT INTO indicators VALUES (?, 0, ?, ?, ?)", (request, honest.revision + 1, entry, inputs))

    await asyncio.to_thread(write)
