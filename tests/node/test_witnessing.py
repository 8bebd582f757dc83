"""A node as a witness of other logs: it stores before it says, and never says two things."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from onenode import FED, NODE, OneNode, federation

from collegium.errors import CollegiumError, Failed, NotVerified
from collegium.keys import log_name
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import add_cosignatures, open_cosignatures
from collegium.log.merkle import consistency_proof, leaf_hash, root
from collegium.log.note import Signer
from collegium.party.store import StorageBroken
from collegium.party.witness import Unknown, Witnessing
from collegium.v1.witness_pb2 import CosignReply, CosignRequest

OTHER = log_name(FED, "univ-b")
LEAVES = [leaf_hash(b"entry-%d" % n) for n in range(40)]
FORKED = [*LEAVES[:7], *(leaf_hash(b"other-%d" % n) for n in range(33))]


@pytest.fixture
def one(tmp_path: Path) -> OneNode:
    """A node that the registry has made a witness of univ-b's log and of both logs of the coordinator."""
    made, _ = federation(tmp_path)
    for name in ("univ-b", "univ-c", "univ-d"):
        made.ministry.register("node", name)
    made.ministry.assign(OTHER, NODE, "univ-c", "univ-d", quorum=2 + 1)
    made.ministry.assign(made.ministry.registry_log.name, NODE, "univ-c", "univ-d", quorum=3)
    made.learn()
    return made


def checkpoint(one: OneNode, size: int, leaves: list[bytes] = LEAVES, signer: Signer | None = None) -> bytes:
    signer = signer or one.ministry.logs["univ-b"]
    return sign_checkpoint(signer.name, size, root(leaves[:size]), signer)


def ask(one: OneNode, old: int, size: int, leaves: list[bytes] = LEAVES, **more: object) -> CosignReply:
    proof = consistency_proof(leaves[:size], old) if old <= size else []
    request = CosignRequest(checkpoint=checkpoint(one, size, leaves, **more), old_size=old, proof=proof)  # type: ignore[arg-type]
    return Witnessing(one.node, lambda: one.now[0]).cosign(request)


def good(one: OneNode, reply: CosignReply, size: int) -> None:
    key = one.node.members.registry.party(NODE).cosigner
    assert key is not None
    assert open_cosignatures(add_cosignatures(checkpoint(one, size), [reply.cosignature]), [key]) == {key: int(one.now[0])}
    assert reply.known_size == size


def test_it_follows_a_growing_log_and_tells_what_it_knows(one: OneNode) -> None:
    good(one, ask(one, 0, 5), 5)
    good(one, ask(one, 5, 5), 5)  # the same again: a fresh time
    good(one, ask(one, 5, 40), 40)
    for old, size in ((0, 40), (5, 40), (0, 39), (39, 39)):
        reply = ask(one, old, size)
        assert (reply.cosignature, reply.known_size) == (b"", 40)
        assert reply.known_checkpoint == checkpoint(one, 40)


def test_it_cosigns_no_second_history(one: OneNode) -> None:
    ask(one, 0, 20)
    same_size = ask(one, 20, 20, FORKED)
    assert (same_size.cosignature, same_size.known_checkpoint) == (b"", checkpoint(one, 20))
    with pytest.raises(NotVerified):
        ask(one, 20, 30, FORKED)
    with one.node.store.read() as db:  # both notes of the split are kept: together they name who did it
        assert [note for (note,) in db.execute("SELECT checkpoint FROM splits")] == [checkpoint(one, 20, FORKED)]


@pytest.mark.parametrize("what", ["signature", "proof", "old size", "stranger", "not assigned", "own", "garbage"])
def test_what_it_refuses_it_does_not_remember(one: OneNode, what: str) -> None:
    logs = one.ministry.logs
    request = {
        "signature": lambda: CosignRequest(checkpoint=checkpoint(one, 5, signer=Signer.generate(OTHER))),
        "proof": lambda: CosignRequest(checkpoint=checkpoint(one, 5), proof=[b"\0" * 32]),
        "old size": lambda: CosignRequest(checkpoint=checkpoint(one, 5), old_size=6),
        "stranger": lambda: CosignRequest(checkpoint=checkpoint(one, 5, signer=Signer.generate("elsewhere/log"))),
        "not assigned": lambda: CosignRequest(checkpoint=checkpoint(one, 5, signer=one.ministry.coordinator_log)),
        "own": lambda: CosignRequest(checkpoint=checkpoint(one, 5, signer=logs[NODE])),
        "garbage": lambda: CosignRequest(checkpoint=b"x"),
    }[what]()
    with pytest.raises(CollegiumError) as raised:
        Witnessing(one.node, lambda: 0.0).cosign(request)
    assert isinstance(raised.value, Unknown) == (what in ("stranger", "not assigned", "own"))
    with one.node.store.read() as db:
        assert db.execute("SELECT COUNT(*) FROM witnessed").fetchone()[0] == 0


def test_it_witnesses_the_registry_too(one: OneNode) -> None:
    assert ask(one, 0, 5, signer=one.ministry.registry_log).cosignature


@pytest.mark.parametrize("point", ["begin witness", "commit witness", "committed witness"])
def test_what_it_said_it_has_stored(one: OneNode, point: str, tmp_path: Path) -> None:
    """A disk that refuses, or a process that dies after the commit: nothing was said that is not known afterwards."""
    one.node.close()

    def fault(step: str) -> None:
        if step == point:
            raise sqlite3.OperationalError("disk I/O error")

    broken = OneNode(tmp_path, one.ministry, join=False, fault=fault)
    with pytest.raises((StorageBroken, sqlite3.OperationalError)):
        ask(broken, 0, 5)
    broken.node.store._db.close()
    after = OneNode(tmp_path, one.ministry, join=False)
    if point.startswith("committed"):
        assert (reply := ask(after, 0, 5)).known_size == 5
        assert not reply.cosignature
        good(after, ask(after, 5, 5), 5)
    else:
        good(after, ask(after, 0, 5), 5)


def test_two_processes_at_once_cosign_one_of_two_histories(one: OneNode, tmp_path: Path) -> None:
    two = OneNode(tmp_path, one.ministry, join=False)
    ask(one, 0, 7)
    jobs = [(node, leaves) for _ in range(6) for node in (one, two) for leaves in (LEAVES, FORKED)]

    def attempt(job: tuple[OneNode, list[bytes]]) -> tuple[bool, bool]:
        try:
            return job[1] is FORKED, bool(ask(job[0], 7, 20, job[1]).cosignature)
        except CollegiumError:
            return job[1] is FORKED, False

    with ThreadPoolExecutor(4) as pool:
        signed = {forked for forked, cosigned in pool.map(attempt, jobs) if cosigned}
    assert len(signed) == 1


def test_a_log_of_a_new_key_begins_at_nothing(one: OneNode) -> None:
    """The registry says that the node's keys were replaced; what the old key's log held is still remembered under the old key."""
    ask(one, 0, 20)
    one.ministry.replace("univ-b")
    one.learn()
    with pytest.raises(NotVerified):
        ask(one, 20, 30, signer=one.ministry.former["univ-b"])
    good_size = ask(one, 0, 3, FORKED)
    assert good_size.cosignature


def test_a_stopped_node_has_forgotten_too_much_to_witness(one: OneNode) -> None:
    one.node.permit.stop(checkpoint(one, 5))
    with pytest.raises(Failed) as raised:
        ask(one, 0, 5)
    assert raised.value.reason == "restored"
