"""A trustee killed at each durable step, restored from a copy, its table edited: it goes on, and never answers a second list.

Failure: an answer to two lists; a step that cannot be repeated after the kill; a change that is there in part; two statements where
one was promised.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onetrustees import Founded, OneTrustee, World, refuses

from collegium.errors import CollegiumError, Failed, NotReleased
from collegium.log.statement import statement_id
from collegium.national.statements import Check, Plan, Prepare, TrusteeKey, Unmask, lot
from collegium.v1.trustee_pb2 import RecomputeRequest

ALL = range(6)


class Killed(BaseException):
    """The process is gone: nothing of ours runs any more."""


def kill_at(point: str) -> Callable[[str], None]:
    def fault(reached: str) -> None:
        if reached == point:
            raise Killed(point)

    return fault


def killed(one: OneTrustee, point: str, step: Callable[[], Any]) -> None:
    """The step in a process that dies at this point; afterwards a new process is there."""
    one.again(kill_at(point))
    with pytest.raises(Killed):
        step()
    one.again()


def pages(one: OneTrustee) -> dict[str, int]:
    return {kind.kind: len(one.entries(kind.kind)) for kind in (TrusteeKey, Plan, Prepare, Unmask, Check)}


WHERE = ("begin", "commit", "committed")


@pytest.mark.parametrize("where", WHERE)
def test_killed_at_every_step_it_goes_on(tmp_path: Path, where: str) -> None:
    """At the same point of every transaction of a round; whoever asks again gets the answer, and the sum is right."""
    world = World(tmp_path)
    one = world.trustees[0]
    killed(one, f"{where} plan", lambda: world.begin(0))
    world.begin()
    world.submit(*ALL)
    killed(one, f"{where} prepare", lambda: one.service.prepare(world.prepare_request(0, 0, 1, 2, last=False)))
    killed(one, f"{where} prepare", lambda: one.service.prepare(world.prepare_request(0, *ALL)))
    closed = world.country.close(ALL, world.prepare(*ALL))
    killed(one, f"{where} unmask", lambda: one.service.unmask(world.unmask_request(closed)))
    replies = world.unmask(closed)
    assert pages(one) == {"national-key": 1, "national-plan": 1, "national-prepare": 1, "national-unmask": 1, "national-check": 0}
    drawn = world.trustees[lot(tuple(statement_id(reply.unmask) for reply in replies))]
    killed(drawn, f"{where} check", lambda: drawn.service.recompute(world.recompute_request(ALL, replies)))
    if where != "committed":  # the running sum was in memory alone
        assert drawn.service.recompute(RecomputeRequest(plan=world.country.plan_id, first=6)).next == 0
    done = drawn.service.recompute(world.recompute_request(ALL, replies))
    assert np.array_equal(np.frombuffer(done.total, dtype="<i8"), world.sum(ALL))
    assert len(drawn.entries(Check.kind)) == 1


def second(world: World, closed: Any) -> Any:
    """The same round closed again without one node: what would show this node by subtraction."""
    prepares = list(zip(closed.prepares, closed.prepared, strict=True))
    return world.unmask_request(world.country.close(range(5), prepares))


@pytest.mark.parametrize("where", [None, *WHERE])
def test_a_second_list_is_refused_for_ever(tmp_path: Path, where: str | None) -> None:
    """Also after restarts, and by one that was killed: before the mark was durable the second list is simply the first."""
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    if where is None:
        one.service.unmask(world.unmask_request(closed))
    else:
        killed(one, f"{where} unmask", lambda: one.service.unmask(world.unmask_request(closed)))
    marked = where in (None, "committed")
    wanted, other = (world.unmask_request(closed), second(world, closed))
    if not marked:
        wanted, other = other, wanted
    first = one.service.unmask(wanted)
    for _ in range(2):
        with refuses("round-over"):
            one.service.unmask(other)
        one.again()
        assert one.service.unmask(wanted).masks == first.masks
    assert len(one.entries(Unmask.kind)) == 1


FORGET = {
    "the row is gone": "DELETE FROM rounds",
    "the row is as before": "UPDATE rounds SET close = NULL, unmask = NULL, unmasked = NULL, participants = NULL",
}


@pytest.mark.parametrize("how", FORGET)
def test_a_table_that_has_forgotten_and_a_log_that_has_not(tmp_path: Path, how: str) -> None:
    """The table of rounds as it was before UNMASK, seeds and all; the log's own entry refuses the second list."""
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    with one.party.store.read() as db:
        seeds = db.execute("SELECT * FROM seeds").fetchall()
        submissions = db.execute("SELECT * FROM submissions").fetchall()
    first = one.service.unmask(world.unmask_request(closed))
    with one.party.store.write("edit") as db:
        db.execute(FORGET[how])
        db.executemany("INSERT INTO seeds VALUES (?, ?, ?)", seeds)
        db.executemany("INSERT INTO submissions VALUES (?, ?, ?, ?, ?)", submissions)
    one.again()
    with refuses("round-over"):
        one.service.unmask(second(world, closed))
    assert one.service.unmask(world.unmask_request(closed)).masks == first.masks
    assert len(one.entries(Unmask.kind)) == 1


def test_a_log_without_the_entry_and_a_table_with_the_mark(tmp_path: Path) -> None:
    """The other way round: the mark alone refuses, and nothing is answered at all."""
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    one.service.unmask(world.unmask_request(closed))
    with one.party.store.write("edit") as db:
        db.execute("UPDATE entries SET kind = 'lost' WHERE kind = ?", (Unmask.kind,))
    with refuses("round-over"):
        one.service.unmask(second(world, closed))
    with refuses("failed", Failed):
        one.service.unmask(world.unmask_request(closed))


def test_a_folder_restored_as_a_whole_may_not_sign(tmp_path: Path) -> None:
    """Table and log are both from before UNMASK. Its witnesses know more, so it answers neither list."""
    founded, witnesses = Founded(), ("node-001", "node-002", "node-003")
    world = World(tmp_path, founded=founded)
    one = world.trustees[0]
    founded.assign(one.party.journal.origin, *witnesses)
    world.request = world.ask()
    for each in world.trustees:
        each.learn(founded)
    one.confirm(*witnesses)
    world.country = world.plan()
    world.begin()
    world.submit(*ALL)
    with refuses("pending", NotReleased):
        one.service.prepare(world.prepare_request(0, *ALL))
    one.confirm(*witnesses)
    closed = world.country.close(ALL, world.prepare(*ALL))
    shutil.copytree(one.folder, tmp_path / "copy")
    with refuses("pending", NotReleased):
        one.service.unmask(world.unmask_request(closed))
    newest = one.party.journal.head().note
    restored = OneTrustee(tmp_path / "copy", 0)
    for request in (world.unmask_request(closed), second(world, closed)):
        with refuses("not-confirmed", Failed):
            restored.service.unmask(request)
    restored.party.permit.stop(newest)  # what the loop that asks its witnesses does when one of them shows this
    restored.party.permit.confirm()
    for request in (world.unmask_request(closed), second(world, closed)):
        with refuses("restored", Failed):
            restored.service.unmask(request)
    assert restored.entries(Unmask.kind) == []


def test_two_calls_at_once_answer_one_list(tmp_path: Path) -> None:
    """Two lists in two threads: exactly one of them is answered, and always the same."""
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    requests = [world.unmask_request(closed), second(world, closed)] * 4

    def ask(request: Any) -> str:
        try:
            return statement_id(one.service.unmask(request).unmask)
        except CollegiumError as error:
            return error.reason

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, requests))
    assert len(one.entries(Unmask.kind)) == 1
    assert set(answers) == {"round-over", statement_id(one.entries(Unmask.kind)[0])}
    assert answers[0] == answers[2] == answers[4] == answers[6]
