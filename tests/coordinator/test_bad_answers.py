"""A node that lies: each tampered answer is a failed one with the reason `bad-answer`, is not logged, and is never in a sum."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from collegium.log.checkpoint import open_checkpoint, sign_checkpoint
from collegium.log.note import Signer
from collegium.log.receipt import make_receipt
from collegium.registry import Registry
from collegium.statements import Blob, Decision, Indicator, LogPlace, Original, PartNoise, Peer, RegistryView, Release
from collegium.v1.node_pb2 import AnswerReply, QuestionAnswer

Spoil = Callable[[Any, AnswerReply], AnswerReply]


def _resign(node: Any, reply: AnswerReply, *, decision: dict[str, Any] | None = None, release: dict[str, Any] | None = None) -> Any:
    """The reply with parts of its statements changed and signed again by the node itself."""
    answer = reply.answers[0]
    if decision is not None:
        body = Decision.read(answer.decision)
        answer.decision = body.model_copy(update=decision).sign(node.statements)
    if release is not None:
        released = Release.read(answer.release)
        answer.release = released.model_copy(update=release).sign(node.statements)
    return reply


def _set(**fields: Any) -> Spoil:
    def spoil(_node: Any, reply: AnswerReply) -> AnswerReply:
        for name, value in fields.items():
            setattr(reply.answers[0], name, value)
        return reply

    return spoil


def _decision(**changes: Any) -> Spoil:
    return lambda node, reply: _resign(node, reply, decision=changes)


def _release(**changes: Any) -> Spoil:
    return lambda node, reply: _resign(node, reply, release=changes)


def _flip_payload(_node: Any, reply: AnswerReply) -> AnswerReply:
    payload = bytearray(reply.answers[0].payload)
    payload[0] ^= 1
    reply.answers[0].payload = bytes(payload)
    return reply


def _flip_note(which: str) -> Spoil:
    def spoil(_node: Any, reply: AnswerReply) -> AnswerReply:
        note = bytearray(getattr(reply.answers[0], which))
        place = note.index(b'"time":1') + 7
        note[place : place + 1] = b"2"
        setattr(reply.answers[0], which, bytes(note))
        return reply

    return spoil


def _other_key(_node: Any, reply: AnswerReply) -> AnswerReply:
    other = Signer.generate("demo/u1/statements")  # the right name, another key
    reply.answers[0].release = Release.read(reply.answers[0].release).sign(other)
    return reply


def _huge(node: Any, reply: AnswerReply) -> AnswerReply:
    payload = (2**62).to_bytes(8, "little")
    reply.answers[0].payload = payload
    blob = Blob(sha256=hashlib.sha256(payload).hexdigest(), size=8)
    return _resign(node, reply, release={"payload": blob})  # type: ignore[no-any-return]


def _scale(factor: float) -> Spoil:
    def spoil(node: Any, reply: AnswerReply) -> AnswerReply:
        part = Release.read(reply.answers[0].release).parts[0]
        changed = PartNoise(cells=part.cells, scale=repr(float(part.scale) * factor))
        return _resign(node, reply, release={"parts": (changed,)})  # type: ignore[no-any-return]

    return spoil


def _split_view(node: Any, reply: AnswerReply) -> AnswerReply:
    view = RegistryView(size=node.registry.size, root="A" * 43 + "=")
    return _resign(node, reply, release={"registry": view})  # type: ignore[no-any-return]


def _future_view(node: Any, reply: AnswerReply) -> AnswerReply:
    view = RegistryView(size=node.registry.size + 1, root=node.registry.root)
    return _resign(node, reply, decision={"registry": view})  # type: ignore[no-any-return]


def _reuse_of_nothing(node: Any, reply: AnswerReply) -> AnswerReply:
    changes = {
        "verdict": "reuse",
        "rho": None,
        "unit": None,
        "period": None,
        "dataset": None,
        "original": Original(index=1, sha256="ab" * 32),
    }
    return _resign(node, reply, decision=changes)  # type: ignore[no-any-return]


def _two_answers(_node: Any, reply: AnswerReply) -> AnswerReply:
    reply.answers.append(reply.answers[0])
    return reply


def _no_answers(_node: Any, _reply: AnswerReply) -> AnswerReply:
    return AnswerReply()


LIES: dict[str, Spoil] = {
    "no answer to a question": _no_answers,
    "more answers than questions": _two_answers,
    "verdict unknown to this version": _set(verdict=77),
    "release without decision": _set(decision=b""),
    "decision without release": _set(release=b""),
    "release that is no note": _set(release=b"hello"),
    "decision changed by one byte": _flip_note("decision"),
    "release changed by one byte": _flip_note("release"),
    "payload changed by one bit": _flip_payload,
    "payload of another size": _set(payload=b"\0" * 16),
    "signed by a key that is not registered": _other_key,
    "decision of another request": _decision(request="ab" * 32),
    "decision of another number": _decision(number=1),
    "decision of another question": _decision(question="ab" * 32),
    "decision of another log": _decision(log=LogPlace(origin="demo/u2", index=1)),
    "charge above the question's rho": _decision(rho=10**7 + 1),
    "charge below the question's rho": _decision(rho=10**7 - 1),
    "charge of another unit": _decision(unit="staff"),
    "charge of another dataset": _decision(dataset="teachers"),
    "refused and released": _set(verdict=QuestionAnswer.REFUSED),
    "reuse whose original is another release": _reuse_of_nothing,
    "release of another request": _release(request="ab" * 32),
    "release of another question": _release(question="ab" * 32),
    "release of another schema": _release(schema_id="small/2"),
    "release of another snapshot": _release(snapshot="cd" * 8),
    "release naming another decision": _release(decision=0),
    "release of another log": _release(log=LogPlace(origin="demo/u2", index=2)),
    "a value that would leave 64 bits in the sum": _huge,
    "noise of a third": _scale(1 / 3),
    "noise a little too small": _scale(1 - 1e-9),
    "noise three times too large": _scale(3.0),
    "another number of cells": _release(parts=(PartNoise(cells=2, scale="1.0"),)),
    "another history of the registry": _split_view,
    "a registry that nobody has seen": _future_view,
    "withdrawal signed by nobody": lambda _node, reply: (reply.answers[0].withdrawals.append(b"x\n\n"), reply)[1],
}


def _proof_by(signer: Callable[[Any], Signer], *, root: bytes | None = None) -> Spoil:
    """The release's receipt under a checkpoint that another key has signed, or over another tree."""

    def spoil(node: Any, reply: AnswerReply) -> AnswerReply:
        size = len(node.entries)
        head = sign_checkpoint(node.log.name, size, root or node.tree.root(size), signer(node))
        answer = reply.answers[0]
        answer.release_receipt = make_receipt(node.tree, node.entries.index(answer.release), head)
        return reply

    return spoil


def _swapped(_node: Any, reply: AnswerReply) -> AnswerReply:
    answer = reply.answers[0]
    answer.decision_receipt, answer.release_receipt = answer.release_receipt, answer.decision_receipt
    return reply


def _logged_elsewhere(node: Any, reply: AnswerReply) -> AnswerReply:
    """The release is in the log, at another index than it says."""
    answer = reply.answers[0]
    node.entries.append(answer.release)
    answer.release_receipt = make_receipt(node.tree, len(node.entries) - 1, node.head())
    return reply


def _logged_otherwise(node: Any, reply: AnswerReply) -> AnswerReply:
    """A8: another release is in the log than the one that leaves."""
    answer = reply.answers[0]
    logged = Release.read(answer.release).model_copy(update={"time": 2}).sign(node.statements)
    node.entries[node.entries.index(answer.release)] = logged
    answer.release_receipt = make_receipt(node.tree, node.entries.index(logged), node.head())
    return reply


# The statements are all in order; what is wrong is the proof that the node's own log holds them.
UNPROVEN: dict[str, Spoil] = {
    "a node that gives no receipts": _set(decision_receipt=b"", release_receipt=b""),
    "no receipt for the decision": _set(decision_receipt=b""),
    "no receipt for the release": _set(release_receipt=b""),
    "a receipt that is none": _set(release_receipt=b"hello"),
    "receipts of each other": _swapped,
    "a receipt by the statement key": _proof_by(lambda node: Signer.from_seed(node.log.name, node.statements.seed)),
    "a receipt by a stranger's key": _proof_by(lambda node: Signer.generate(node.log.name)),
    "a receipt over another tree": _proof_by(lambda node: node.log, root=b"\7" * 32),
    "logged at another index than it says": _logged_elsewhere,
    "another release logged than released": _logged_otherwise,
}


def test_every_lie_fails_alone_and_leaves_no_trace_in_log_or_sum(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving(again_seconds=600.0), AsyncExitStack() as stack:
            liar = await federation.node("u1", value=100)
            honest = await federation.node("u2", value=1)
            alice = await federation.researcher()
            for node in (liar, honest):
                await stack.enter_async_context(federation.link(node))
            await federation.all_connected(liar, honest)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            registry: Registry = await alice.registry(stub)
            store = federation.coordinator.store
            for number, (name, spoil) in enumerate([*LIES.items(), *UNPROVEN.items()]):
                for node in (liar, honest):
                    node.released.clear()  # every question anew: no reuse
                # A liar logs his lies: each must fail for what it is, and not for a receipt that does not fit.
                proven = liar.log_again if name in LIES else lambda reply: reply
                liar.spoil = lambda reply, spoil=spoil, proven=proven: proven(spoil(liar, reply))
                request = alice.request(registry, ["u1", "u2"], nonce=f"{number:032x}")
                done = await federation.ask(stub, request)
                assert (done.released, done.missing) == (1, 1), name
                parts = await federation.result(stub, done.request_id)
                indicator = federation.seen(parts)
                assert [used.node for used in indicator.releases] == ["u2"], name
                assert [(m.node, m.reason) for m in indicator.missing] == [("u1", "bad-answer")], name
                logged = store.rows("SELECT entry FROM entries WHERE request = ? AND kind != 'indicator'", (done.request_id,))
                assert not any(b"demo/u1/statements" in row[0] for row in logged), name
            assert store.row("SELECT COUNT(*) FROM charges WHERE node = 'u1'") == (0,)
            # The unspoilt answer of the very same node is good: what failed above failed for the lie.
            liar.spoil = None
            liar.released.clear()
            done = await federation.ask(stub, alice.request(registry, ["u1", "u2"], nonce="f" * 32))
            assert done.released == 2

    asyncio.run(run())


def test_a_node_that_shows_two_trees_of_one_size_has_not_answered_and_both_are_kept(federation: Any) -> None:
    """A3 at the node: each answer proves itself; together they prove two histories, and the log keeps both checkpoints."""

    async def run() -> None:
        async with federation.serving(again_seconds=600.0), AsyncExitStack() as stack:
            liar = await federation.node("u1", value=7)
            alice = await federation.researcher()
            await stack.enter_async_context(federation.link(liar))
            await federation.all_connected(liar)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            registry = await alice.registry(stub)
            first = await federation.ask(stub, alice.request(registry, ["u1"], nonce="1" * 32))
            assert first.released == 1
            liar.entries.clear()
            liar.released.clear()
            second = await federation.ask(stub, alice.request(registry, ["u1"], nonce="2" * 32))
            assert second.released == 0
            seen = federation.seen(await federation.result(stub, second.request_id))
            assert [(each.node, each.reason) for each in seen.missing] == [("u1", "bad-answer")]
            store = federation.coordinator.store
            peers = [Peer.read(row[0]) for row in store.rows("SELECT entry FROM entries WHERE kind = 'peer' ORDER BY idx")]
            shown = [open_checkpoint(each.note, liar.log.verifier) for each in peers if each.origin == "demo/u1"]
            assert [each.size for each in shown] == [2, 2]
            assert shown[0].root != shown[1].root

    asyncio.run(run())


def test_a_release_once_verified_is_never_replaced(federation: Any) -> None:
    """A node that signs two releases for one request changes nothing any more: the first stands."""

    async def run() -> None:
        async with federation.serving(again_seconds=0.5), AsyncExitStack() as stack:
            node = await federation.node("u1", value=7)
            alice = await federation.researcher()
            await stack.enter_async_context(federation.link(node))
            await federation.all_connected(node)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            done = await federation.ask(stub, alice.request(await alice.registry(stub), ["u1"]))
            first = federation.seen(await federation.result(stub, done.request_id))
            node.released.clear()
            node.answered.clear()
            node.value = 8
            federation.offset = 10.0
            parts = await federation.result(stub, done.request_id, refresh=True)
            assert node.asked == 2
            assert Indicator.read(parts["indicator"][0]) == first.indicator
            assert len(parts["release"]) == 1
            assert hashlib.sha256(parts["release"][0].split(b"\n\n")[0] + b"\n").hexdigest() == first.releases[0].sha256

    asyncio.run(run())


@pytest.mark.parametrize("reason", ["canary 4711 in row 3", "", "not-allowed"])
def test_a_reason_that_travels_on_is_a_key_of_the_public_table(federation: Any, reason: str) -> None:
    async def run() -> None:
        async with federation.serving(again_seconds=600.0), AsyncExitStack() as stack:
            node = await federation.node("u1")
            alice = await federation.researcher()
            await stack.enter_async_context(federation.link(node))
            await federation.all_connected(node)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            node.spoil = lambda _: AnswerReply(answers=[QuestionAnswer(verdict=QuestionAnswer.FAILED, reason=reason)])
            done = await federation.ask(stub, alice.request(await alice.registry(stub), ["u1"], time=int(time.time())))
            parts = await federation.result(stub, done.request_id)
            missing = federation.seen(parts).missing
            assert [m.reason for m in missing] == ["not-allowed" if reason == "not-allowed" else "failed"]
            assert b"canary" not in b"".join(note for kind in parts.values() for note in kind if isinstance(note, bytes))

    asyncio.run(run())
