"""A coordinator that will not bind itself to what it asks: no proof that it logged the request, no answer.

And one that shows different people different logs: what it showed this node stands in this node's log.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onenode import FED, OneNode, Researcher, federation, question

from collegium.errors import NotVerified
from collegium.keys import log_name
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.merkle import inclusion_proof, leaf_hash, root
from collegium.log.note import Signer
from collegium.log.receipt import Receipt
from collegium.statements import Peer
from collegium.v1.node_pb2 import QuestionAnswer

World = tuple[OneNode, Researcher]
COORDINATOR = log_name(FED, "coordinator")


@pytest.fixture
def world(tmp_path: Path) -> World:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    return one, researcher


def proof(entries: list[bytes], index: int, signer: Signer) -> bytes:
    leaves = [leaf_hash(entry) for entry in entries]
    return Receipt(
        index, tuple(inclusion_proof(leaves, index)), sign_checkpoint(signer.name, len(leaves), root(leaves), signer)
    ).to_bytes()


def nothing(one: OneNode, note: bytes) -> bytes:
    return b""


def of_another_request(one: OneNode, note: bytes) -> bytes:
    return proof([b"another", b"entry"], 0, one.ministry.coordinator_log)


def by_a_stranger(one: OneNode, note: bytes) -> bytes:
    return proof([note], 0, Signer.generate(COORDINATOR))


def by_the_registrys_log(one: OneNode, note: bytes) -> bytes:
    return proof([note], 0, one.ministry.registry_log)


def by_the_statement_key(one: OneNode, note: bytes) -> bytes:
    return proof([note], 0, Signer.from_seed(COORDINATOR, one.ministry.coordinator.seed))


def wrong_index(one: OneNode, note: bytes) -> bytes:
    return proof([note, b"x"], 0, one.ministry.coordinator_log).replace(b"index 0", b"index 1")


def too_large_to_embed(one: OneNode, note: bytes) -> bytes:
    whole = Receipt.parse(one.ministry.receipt(note))
    many = [CosignerSigner.generate(f"{'x' * 300}{n}/witness").cosign(whole.checkpoint, 1) for n in range(60)]
    return Receipt(whole.index, whole.path, add_cosignatures(whole.checkpoint, many)).to_bytes()


def garbage(one: OneNode, note: bytes) -> bytes:
    return b"\x00\xff" * 100


ATTACKS: list[Callable[[OneNode, bytes], bytes]] = [
    nothing, of_another_request, by_a_stranger, by_the_registrys_log, by_the_statement_key, wrong_index,
    too_large_to_embed, garbage,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nothing_is_logged_charged_or_drawn(world: World, attack: Callable[[OneNode, bytes], bytes]) -> None:
    one, researcher = world
    asked, size = researcher.ask(question()), len(one.entries())
    with pytest.raises(NotVerified) as raised:
        one.answering.answer(asked.note, asked.details, attack(one, asked.note))
    assert raised.value.reason == "no-receipt"
    assert (len(one.entries()), one.charged(), one.engine.drawn) == (size, 0, [])
    assert one.answer(asked).answers[0].verdict == QuestionAnswer.RELEASED


def test_a_witnessed_coordinator_needs_its_quorum(world: World) -> None:
    one, researcher = world
    names = ("univ-b", "univ-c", "univ-d")
    for name in names:
        one.ministry.register("node", name)
    one.ministry.assign(COORDINATOR, *names, quorum=3)
    one.learn()
    asked = researcher.ask(question())
    whole = Receipt.parse(asked.receipt)
    bare = Receipt(whole.index, whole.path, whole.checkpoint.split(f"— {FED}/univ-d/".encode())[0]).to_bytes()
    with pytest.raises(NotVerified):
        one.answering.answer(asked.note, asked.details, bare)
    assert one.answer(asked).answers[0].verdict == QuestionAnswer.RELEASED


def test_two_trees_of_one_size_are_both_kept(world: World) -> None:
    """A3, as the party sees it to whom both were shown."""
    one, researcher = world
    key = one.ministry.coordinator_log
    first, second = researcher.ask(question()), researcher.ask(question(value=1))
    for asked in (first, second):
        one.answering.answer(asked.note, asked.details, proof([asked.note], 0, key))
    shown = [Peer.read(note) for note in one.entries("peer")]
    of_coordinator = [peer for peer in shown if peer.origin == COORDINATOR]
    assert [peer.size for peer in of_coordinator] == [1, 1]
    assert len({peer.root for peer in of_coordinator}) == 2


def test_an_older_checkpoint_is_no_reason_to_refuse(world: World) -> None:
    one, researcher = world
    key = one.ministry.coordinator_log
    asked = [researcher.ask(question(value=n)) for n in range(3)]
    notes = [each.note for each in asked]
    one.answering.answer(asked[2].note, asked[2].details, proof(notes, 2, key))
    one.answering.answer(asked[0].note, asked[0].details, proof(notes[:1], 0, key))
    assert [Peer.read(note).size for note in one.entries("peer")][-1] == 3
