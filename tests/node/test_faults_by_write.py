"""Every kind of write to a node's database × every way in which a disk refuses it.

Failure: an error that is not one of ours, or a change that is there in part; a write that cannot be repeated afterwards, or that
was done twice by repeating it. What must be there when the write was done, and must not when it was refused, is said for each.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aftermath import check_node
from onenode import FED, NODE, OneNode, Researcher, federation, question
from witnessed import ORIGIN

from collegium.keys import log_name
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.merkle import leaf_hash, root
from collegium.party.publish import export
from collegium.party.store import StorageBroken
from collegium.party.witness import Witnessing
from collegium.v1.witness_pb2 import CosignRequest
from collegium_node import requests
from collegium_node.recover import replay
from collegium_node.steward import InForce
from collegium_node.withdraw import withdraw

OTHER = log_name(FED, "univ-b")
FULL, IO, CUT = "full", "input/output", "power cut"
CASES = [("begin", IO), ("commit", IO), ("commit", FULL), ("commit", CUT), ("committed", CUT), ("begin", FULL)]


class Cut(BaseException):
    """Power goes out: nothing of ours runs any more."""


@dataclass
class World:
    """A node that is opened again after each fault, and what a write needs."""

    root: Path
    one: OneNode
    researcher: Researcher
    more: dict[str, Any] = field(default_factory=dict)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.one.home.database}?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(f"file:{self.one.home.database}?mode=ro", uri=True)) as db:
            return list(db.iterdump())

    def again(self, fault: Callable[[str], None] = lambda _: None) -> None:
        self.one.node.store._db.close()
        self.one = OneNode(self.one.home.root, self.one.ministry, join=False, fault=fault)


@dataclass(frozen=True)
class Write:
    """`begin` makes the world in which `do` comes to this write; `there`: how often its change is in the database.

    `again`: whether `do` may be called when the change is there, as a coordinator, a witness or a steward who got no answer does.
    """

    begin: Callable[[World], None]
    do: Callable[[World], object]
    there: Callable[[World], int]
    again: bool = True


def allowed(world: World) -> None:
    world.one.allow(world.researcher)
    world.more["asked"] = world.researcher.ask(question())


def answered(world: World) -> None:
    allowed(world)
    world.one.answer(world.more["asked"])


def asked_again(world: World) -> None:
    answered(world)
    world.more["asked"] = world.researcher.ask(question())


def refused(world: World) -> None:
    world.more["asked"] = world.researcher.ask(question())


def held(world: World) -> None:
    world.one.allow(world.researcher, mode="hold")
    world.more["asked"] = world.researcher.ask(question())


def decided(world: World) -> None:
    held(world)
    world.one.answer(world.more["asked"])


def registered(world: World) -> None:
    world.one.ministry.register("researcher", "zhang-min")


def witness(world: World) -> None:
    for name in ("univ-b", "univ-c", "univ-d"):
        world.one.ministry.register("node", name)
    world.one.ministry.assign(OTHER, NODE, "univ-c", "univ-d", quorum=3)
    world.one.learn()
    leaf = leaf_hash(b"entry")
    world.more["shown"] = sign_checkpoint(OTHER, 1, root([leaf]), world.one.ministry.logs["univ-b"])


def contradicted(world: World) -> None:
    world.more["shown"] = sign_checkpoint(ORIGIN, 1000, root([leaf_hash(b"unknown here")]), world.one.ministry.logs[NODE])


def restored(world: World) -> None:
    """The database is an old copy; the export beside it holds what came after: a charge, a release, a withdrawal."""
    allowed(world)
    world.one.node.store.backup(world.root / "backup.db")
    world.one.answer(world.more["asked"])
    withdraw(world.one.node.journal, world.more["asked"].id, "wrong-upload")
    world.more["entries"] = len(world.one.entries())
    export(world.one.node, world.root / "audit")
    world.one.node.store._db.close()
    for each in world.one.home.root.glob("node.db*"):
        each.unlink()
    shutil.copy(world.root / "backup.db", world.one.home.database)


def answer(world: World) -> object:
    return world.one.answer(world.more["asked"])


def keep_quorum(world: World) -> None:
    world.one.node.quorum.took(world.one.node.journal.head().note)
    world.one.node.quorum.save(now=True)


def cosign(world: World) -> object:
    return Witnessing(world.one.node, lambda: world.one.now[0]).cosign(CosignRequest(checkpoint=world.more["shown"]))


def count(sql: str) -> Callable[[World], int]:
    return lambda world: int(world.rows(f"SELECT COUNT(*) FROM {sql}")[0][0])


WRITES = {
    "charge": Write(allowed, answer, count("charges")),
    "release": Write(allowed, answer, count("charges WHERE release IS NOT NULL")),
    "reuse": Write(asked_again, answer, count("decisions WHERE verdict = 'reuse'")),
    "refuse": Write(refused, answer, count("decisions WHERE verdict = 'refuse'")),
    "hold": Write(held, answer, count("held WHERE state = 'held'")),
    "steward": Write(
        decided,
        lambda world: requests.decide(world.one.node.journal, world.more["asked"].id, allow=True),
        count("held WHERE state = 'allowed'"),
    ),
    "policy": Write(
        lambda _: None,
        lambda world: world.one.allow(world.researcher, rho=4321),
        lambda world: b"4321" in InForce(world.one.node.journal)().model_dump_json().encode(),
    ),
    "snapshot": Write(
        lambda _: None, lambda world: world.one.snapshot("0" * 15 + "b"), count("snapshots WHERE id LIKE '%b'"), False
    ),
    "withdraw": Write(
        answered,
        lambda world: withdraw(world.one.node.journal, world.more["asked"].id, "wrong-upload"),
        count("withdrawals"),
    ),
    "learn": Write(
        registered,
        lambda world: world.one.learn(),
        lambda world: (len(world.one.ministry.entries),) in world.rows("SELECT size FROM registry_head"),
    ),
    "witness": Write(witness, cosign, count("witnessed")),
    "quorum": Write(lambda _: None, keep_quorum, count("quorum")),
    "stop": Write(contradicted, lambda world: world.one.node.permit.stop(world.more["shown"]), count("meta WHERE key = 'stopped'")),
    "recover": Write(
        restored,
        lambda world: replay(world.one.node, world.root / "audit"),
        lambda world: len(check_node(world.one.home.database)) == world.more["entries"],
        False,
    ),
}


@pytest.mark.parametrize("purpose", WRITES)
def test_a_refused_write_changes_nothing_and_may_be_repeated(tmp_path: Path, purpose: str) -> None:
    write = WRITES[purpose]
    one, researcher = federation(tmp_path / "begun")
    began = World(tmp_path, one, researcher)
    write.begin(began)
    one.node.store._db.close()
    for number, (at, how) in enumerate(CASES):
        home = tmp_path / str(number)
        shutil.copytree(tmp_path / "begun", home)
        world = World(tmp_path, OneNode(home, one.ministry, join=False), researcher, began.more)
        assert not write.there(world), "the world begins without it"
        before: list[str] = []

        def fault(step: str, world: World = world, at: str = at, how: str = how, before: list[str] = before) -> None:
            if step == f"begin {purpose}":
                before[:] = world.dump()
                if how == FULL:  # SQLite's own way of a full disk: from here on the file may not grow
                    db = world.one.node.store._db
                    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
            if step == f"{at} {purpose}":
                if how == CUT:
                    raise Cut
                if how == IO:
                    raise sqlite3.OperationalError("disk I/O error")
                if at == "commit":
                    raise OSError(errno.ENOSPC, "No space left on device")

        world.again(fault)
        done = False
        with suppress(StorageBroken, Cut):
            write.do(world)
            done = True
        assert before, "the write was never begun"
        assert (at, how) == ("begin", FULL) or not done  # a small change may fit into the pages that are there
        if not done and how != CUT:
            with pytest.raises(StorageBroken):  # this process must end: every later use says the same
                world.one.node.journal.head()
        world.again()
        if done or at == "committed":
            assert write.there(world) == 1
        else:
            assert (write.there(world), world.dump()) == (0, before)
        check_node(world.one.home.database)
        if write.again or not write.there(world):
            write.do(world)
        assert write.there(world) == 1
        check_node(world.one.home.database)
        world.one.node.store._db.close()
