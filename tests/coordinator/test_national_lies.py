"""What nodes may send to a national sum that is not what was asked for: it is not taken, and the round goes on without it.

Counts as failure: a sum with it, a round that stops, a university that is not told why it is missing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from national_parties import Country
from national_scenes import figures, nationally, play, reasons, total_of

from collegium.log.receipt import make_receipt
from collegium.national.statements import Submit
from collegium.v1.node_pb2 import SubmitReply


def _another_vector(reply: SubmitReply) -> SubmitReply:
    reply.vector = reply.vector[:-1] + bytes([reply.vector[-1] ^ 1])
    return reply


def _another_seed(reply: SubmitReply) -> SubmitReply:
    reply.sealed[1] = reply.sealed[0]
    return reply


def _two_seeds(reply: SubmitReply) -> SubmitReply:
    del reply.sealed[2]
    return reply


def _no_receipt(reply: SubmitReply) -> SubmitReply:
    reply.submit_receipt = reply.decision_receipt
    return reply


def _no_charge(reply: SubmitReply) -> SubmitReply:
    reply.decision = b""
    return reply


def test_a_bad_submission_is_not_taken_and_the_round_goes_on(federation: Any, make_question: Any) -> None:
    """A vector, seed, receipt or charge that is not the one signed; another member's, or another plan's; a broken signature."""

    async def scene(c: Country) -> None:
        liar, honest = c.nodes[0], c.nodes[1]

        def another_member(reply: SubmitReply) -> SubmitReply:
            other = list(honest.submitted.values())[-1]
            reply.submit, reply.vector, reply.sealed[:] = other.submit, other.vector, other.sealed
            return reply

        def signed_again(reply: SubmitReply, **changes: Any) -> SubmitReply:
            """Another statement of the liar on the same charge, which its log holds."""
            body = Submit.read(reply.submit)
            reply.submit = liar.sign(lambda place: body.model_copy(update={"log": place} | changes))
            reply.submit_receipt = make_receipt(liar.tree, len(liar.entries) - 1, liar.head())
            return reply

        def another_plan(reply: SubmitReply) -> SubmitReply:
            return signed_again(reply, plan="0" * 64)

        def another_place(reply: SubmitReply) -> SubmitReply:
            return signed_again(reply, member=1)

        def another_charge(reply: SubmitReply) -> SubmitReply:
            return signed_again(reply, decision=0)

        def another_signature(reply: SubmitReply) -> SubmitReply:
            reply.submit = reply.submit[:-10] + b"AAAAAAAA=\n"
            return reply

        lies = [
            _another_vector, _another_seed, _two_seeds, _no_receipt, _no_charge, another_member, another_plan, another_place,
            another_charge, another_signature,
        ]  # fmt: skip
        for number, lie in enumerate(lies, start=1):

            async def later(number: int = number) -> None:
                while len(honest.submitted) < number:
                    await asyncio.sleep(0.01)

            liar.at_submit, liar.spoil_submit = later, lie
            question = nationally(make_question(rho=10**7 + number))
            progress = await c.ask(await c.request(make_question, nonce=f"{number:032x}", question=question))
            assert progress.released == 5, lie.__name__
            assert total_of(c, c.rows()[-1], lambda question=question: question) == [2 + 3 + 4 + 5 + 6]
            assert reasons((await figures(c, progress.request_id)).accounts) == {"u1": "bad-answer"}
            assert liar.submits == number
            assert len(c.notes("national-submit")) == 5 * number  # nothing of it is in the log

    play(federation, scene)


def test_a_node_revoked_between_ready_and_submit_is_not_in_the_sum(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        gone = c.nodes[0]
        hold = asyncio.Event()
        gone.at_submit = hold.wait
        asking = asyncio.ensure_future(c.ask(await c.request(make_question)))
        await c.federation.until(lambda: gone.submits == 1)
        await asyncio.to_thread(c.federation.revoke, "u1")
        await c.federation.until(lambda: not c.coordinator.nodes.connected("u1"))
        hold.set()
        progress = await asking
        assert progress.released == 5
        (row,) = c.rows()
        assert "u1" not in c.participants(row)
        assert total_of(c, row, make_question) == [2 + 3 + 4 + 5 + 6]

    play(federation, scene, national={"dropout": 0.34, "colluding": 0.1, "seconds": 2.0})


def test_an_answer_of_the_other_release_mode_is_a_bad_answer(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        def released(reply: Any) -> Any:
            reply.answers[0].verdict = 1
            return reply

        c.nodes[0].spoil = released
        progress = await c.ask(await c.request(make_question))
        assert progress.released == 5
        assert reasons((await figures(c, progress.request_id)).accounts) == {"u1": "bad-answer"}

        def ready(reply: Any) -> Any:
            reply.answers[0].verdict = 5
            return reply

        c.nodes[0].spoil = ready
        own = await c.ask(await c.request(make_question, question=make_question(), nonce="2" * 32))
        assert (own.released, own.missing) == (5, 1)

    play(federation, scene)
