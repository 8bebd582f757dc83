"""A checkpoint with so many strange signature lines that no log can embed it, and whatever else breaks one item of a batch.

Failure: an answer or a submission of another node that is lost by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from national_parties import Country
from national_scenes import figures, play, reasons, total_of

from collegium.errors import Failed, NotVerified
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.merkle import leaf_hash
from collegium.log.note import Signer, encode_base64
from collegium.log.receipt import MAX_RECEIPT, make_receipt
from collegium.log.tree import LeafHashes, Tree
from collegium.proof import LogRule, Prover
from collegium.statements import MAX_PEER, LogPlace, Peer, RegistryView
from collegium_coordinator.answers import AnswerWriter, write_together
from collegium_coordinator.collecting import Collector

ANY: Any = None


def strange_lines(size: int, letter: str = "x") -> bytes:
    """A signature line of nobody, as a strict note may carry it: exactly `size` bytes."""
    start, end = "\N{EM DASH} ".encode(), b" " + encode_base64(bytes(68)).encode() + b"\n"
    return start + letter.encode() * ((size - len(start) - len(end)) // len(letter.encode())) + end


def fatten(receipt: bytes) -> bytes:
    fat = receipt + strange_lines(MAX_PEER)
    assert len(fat) < MAX_RECEIPT
    return fat


@pytest.mark.parametrize("letter", ["x", "\\", "\N{SNOWMAN}"])
def test_what_can_be_proven_can_be_embedded(letter: str) -> None:
    """A checkpoint hardly smaller than the limit fits a statement, whatever it is made of; one that is larger is refused."""
    log, entry = Signer.generate("demo/u1"), b"entry"
    tree = Tree(LeafHashes(lambda _first, _count: [leaf_hash(entry)]))
    head = sign_checkpoint("demo/u1", 1, tree.root(1), log)
    room = (MAX_PEER - len(head) - 99) // 12 * 12
    rule = LogRule(log.verifier, {}, 0)
    fits = head + strange_lines(room, letter)
    seen = Prover().prove(make_receipt(tree, 0, fits), entry, rule)
    root, place = encode_base64(tree.root(1)), LogPlace(origin="demo/coordinator", index=0)
    registry = RegistryView(size=1, root=root)
    peer = Peer(log=place, registry=registry, time=1, origin="demo/u1", size=1, root=root, checkpoint=seen.note.decode())
    assert peer.sign(Signer.generate("demo/coordinator/statements"))
    with pytest.raises(NotVerified):
        Prover().prove(make_receipt(tree, 0, head + strange_lines(MAX_PEER, letter)), entry, rule)


def test_an_answer_under_it_is_a_bad_answer_of_its_node_alone(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving(again_seconds=600.0), AsyncExitStack() as stack:
            liar, honest = await federation.node("u1"), await federation.node("u2")
            alice = await federation.researcher()

            def spoil(reply: Any) -> Any:
                for answer in reply.answers:
                    answer.decision_receipt, answer.release_receipt = (
                        fatten(answer.decision_receipt),
                        fatten(answer.release_receipt),
                    )
                return reply

            liar.spoil = spoil
            for node in (liar, honest):
                await stack.enter_async_context(federation.link(node))
            await federation.all_connected(liar, honest)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            done = await federation.ask(stub, alice.request(await alice.registry(stub), ["u1", "u2"]))
            assert (done.released, done.missing) == (1, 1)
            seen = federation.seen(await federation.result(stub, done.request_id))
            assert [(each.node, each.reason) for each in seen.missing] == [("u1", "bad-answer")]

    asyncio.run(run())


def test_a_submission_under_it_is_a_bad_answer_of_its_node_alone(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        def spoil(reply: Any) -> Any:
            reply.submit_receipt = fatten(reply.submit_receipt)
            return reply

        c.nodes[0].spoil_submit = spoil
        progress = await c.ask(await c.request(make_question))
        assert progress.released == 3
        assert reasons((await figures(c, progress.request_id)).accounts) == {"u1": "bad-answer"}
        assert total_of(c, c.rows()[0], make_question) == [2 + 3 + 4]

    play(federation, scene, nodes=4)


# -- whatever else -------------------------------------------------------------------------------------------------------------


class Disk:
    """Writes batches; one item breaks whatever it is in."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.written: list[Any] = []
        self.batches: list[int] = []

    def __call__(self, batch: Sequence[Any]) -> list[Any]:
        self.batches.append(len(batch))
        if any(self.name(item) == "bad" for item in batch):
            raise self.error
        self.written += [self.name(item) for item in batch]
        return [self.name(item) for item in batch]

    @staticmethod
    def name(item: Any) -> Any:
        """An item of these tests, of the answers' writer, of the submissions' writer."""
        return item if isinstance(item, str) else getattr(item, "node", None) or item.submission


def test_one_item_that_breaks_a_batch_fails_alone() -> None:
    disk = Disk(ValueError("it cannot be embedded"))
    kept = asyncio.run(write_together(disk, ["a", "bad", "b"], "answers"))
    assert (kept[0], kept[2], disk.written) == ("a", "b", ["a", "b"])
    assert isinstance(kept[1], Failed)
    assert "embedded" not in str(kept[1])


def test_a_disk_that_refuses_is_tried_once() -> None:
    disk = Disk(Failed("the disk is full", remedy="Free some.", reason="failed"))
    kept = asyncio.run(write_together(disk, ["a", "bad", "b"], "answers"))
    assert [str(each) for each in kept] == ["the disk is full. Free some."] * 3
    assert disk.batches == [3]


async def _answers(disk: Disk) -> tuple[Any, Callable[[str], Any]]:
    writer = AnswerWriter(ANY, clock=lambda: 0.0)
    writer._write = disk  # type: ignore[method-assign, assignment]
    return writer, lambda name: writer.put(ANY, name, (), None)


async def _submissions(disk: Disk) -> tuple[Any, Callable[[str], Any]]:
    collector = Collector(ANY, ANY, ANY, ANY, parallel=1, clock=lambda: 0.0)
    collector._write = disk  # type: ignore[method-assign, assignment]
    told: list[str] = []
    job = SimpleNamespace(apply=lambda _node, verdicts: told.append(verdicts[0][1]))
    asked = SimpleNamespace(job=job, row=SimpleNamespace(number=0))

    async def put(name: str) -> str:
        await collector._put(asked, name, SimpleNamespace(node=SimpleNamespace(name=name)))  # type: ignore[arg-type]
        return told[told.index(name)]

    return collector, put


@pytest.mark.parametrize("made", [_answers, _submissions])
def test_both_writers_lose_only_the_item_that_breaks(made: Any) -> None:
    async def run() -> None:
        disk = Disk(ValueError("it cannot be embedded"))
        writer, put = await made(disk)
        puts = [asyncio.ensure_future(put(name)) for name in ("a", "bad", "b")]
        await asyncio.sleep(0)
        running = asyncio.ensure_future(writer.run())
        ends = await asyncio.gather(*puts, return_exceptions=True)
        assert (ends[0], ends[2], disk.batches[0]) == ("a", "b", 3)
        assert isinstance(ends[1], Failed)
        assert await put("later") == "later"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
