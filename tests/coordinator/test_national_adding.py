"""The last step of a national sum, which may last for days: trustees that are away or few, and vectors that cannot be read.

Failure: a paid round that ends without a figure although what it lacked has come back; rounds that keep each other from their end;
vectors of a country that are read for nobody; an operator who is told nothing, or the same a thousand times.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pytest
from national_parties import Country
from national_scenes import figures, play, total_of

from collegium.errors import Failed, NotReleased, Offline
from collegium.national.lists import Participant, Participants
from collegium.v1.trustee_pb2 import RecomputeReply
from collegium_coordinator.adding import MOST_ANEW, PAGE_BYTES, Adding
from collegium_coordinator.store import Store
from collegium_coordinator.vectors import Vectors
from collegium_trustee.recompute import MOST_AT_ONCE

ANY: Any = None
CELLS = PAGE_BYTES // 8  # a vector is a page
PAGES = 2


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[Vectors]:
    store = Store(tmp_path / "coordinator.db", create=True)
    yield Vectors(tmp_path / "vectors", store)
    store.close()


def listed(vectors: Vectors, cells: int) -> Participants:
    sha = vectors.write(np.zeros(cells, dtype="<u8").tobytes())
    return Participants(members=tuple(Participant(member=n, submit=f"{n:064x}", vector=sha) for n in range(PAGES)))


class Trustee:
    """Its memory is that of `collegium_trustee.recompute`: the sum that was touched longest ago makes way."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.running: OrderedDict[str, int] = OrderedDict()
        self.calls = 0

    async def recompute(self, request: Any, *, timeout: float) -> RecomputeReply:
        self.calls += 1
        assert self.calls < 200, "it never ends"
        await asyncio.sleep(0)
        held = 0 if request.first == 0 and request.vectors else self.running.get(request.plan, 0)
        if request.first == held:
            held += len(request.vectors)
        self.running[request.plan] = held
        self.running.move_to_end(request.plan)
        while len(self.running) > self.most:
            self.running.popitem(last=False)
        done = held == PAGES and request.unmasks
        return RecomputeReply(next=held, check=b"check" if done else b"")


def adding_with(trustee: Trustee, vectors: Vectors) -> Adding:
    class Trustees:
        async def taught(self, _name: str) -> Any:
            return SimpleNamespace(calls=trustee)

    return Adding(ANY, ANY, ANY, Trustees(), vectors)  # type: ignore[arg-type]


async def checked(adding: Adding, vectors: Vectors, plan: str) -> RecomputeReply:
    participants = listed(vectors, CELLS)
    unmask = SimpleNamespace(note=b"unmask", payload=participants.members[0].vector)
    row, typed = SimpleNamespace(plan=plan), SimpleNamespace(length=CELLS)
    return await adding._checked("trustee-a", row, typed, participants, [unmask])  # type: ignore[arg-type, list-item]


def test_rounds_beyond_what_a_trustee_holds_at_once_take_turns(vectors: Vectors) -> None:
    async def run() -> None:
        trustee = Trustee(MOST_AT_ONCE)
        adding = adding_with(trustee, vectors)
        rounds = [checked(adding, vectors, f"{n:064x}") for n in range(MOST_AT_ONCE + 1)]
        assert [reply.check for reply in await asyncio.gather(*rounds)] == [b"check"] * (MOST_AT_ONCE + 1)
        assert trustee.calls == (MOST_AT_ONCE + 1) * PAGES  # no page twice

    asyncio.run(run())


def test_a_trustee_that_begins_anew_again_and_again_is_left_for_a_while(vectors: Vectors) -> None:
    async def run() -> None:
        trustee = Trustee(0)
        adding = adding_with(trustee, vectors)
        with pytest.raises(NotReleased):
            await checked(adding, vectors, "0" * 64)
        assert trustee.calls == 2 * MOST_ANEW
        # Its next round is not kept waiting by that.
        trustee.most = 1
        assert (await checked(adding, vectors, "1" * 64)).check == b"check"

    asyncio.run(run())


class Counting(Vectors):
    opened = 0

    def open(self, sha: str) -> BinaryIO:
        self.opened += 1
        return super().open(sha)


class Rounds:
    """What `Adding` asks of the store before the trustee is there, and who is settled."""

    settled: frozenset[int] = frozenset()

    def kept(self, _row: Any, kind: str) -> list[Any]:
        assert kind == "unmask"
        return [SimpleNamespace(id=f"{n:064x}") for n in range(3)]

    def row(self, identity: int) -> Any:
        return SimpleNamespace(settled=identity in self.settled)


def test_vectors_are_not_read_before_the_trustee_is_there_and_once_when_it_is(tmp_path: Path) -> None:
    class Away:
        async def taught(self, name: str) -> Any:
            raise Offline(f"{name} is away")

    async def run(store: Store) -> None:
        vectors, rounds = Counting(tmp_path / "vectors", store), Rounds()
        adding = Adding(rounds, ANY, ANY, Away(), vectors)  # type: ignore[arg-type]
        participants = listed(vectors, 10)
        plan = SimpleNamespace(length=10, trustees=[SimpleNamespace(trustee=f"trustee-{each}") for each in "abc"])
        for _ in range(3):
            with pytest.raises(Offline):
                await adding.result(ANY, SimpleNamespace(id=1), plan)  # type: ignore[arg-type]
        assert vectors.opened == 0
        for row in (1, 1, 2, 2, 1):
            total = await adding._total(SimpleNamespace(id=row), plan, participants, [])  # type: ignore[arg-type]
            assert total == bytes(80)
        assert vectors.opened == 2 * PAGES
        rounds.settled = frozenset({1})
        await adding._total(SimpleNamespace(id=3), plan, participants, [])  # type: ignore[arg-type]
        assert set(adding._totals) == {2, 3}

    store = Store(tmp_path / "coordinator.db", create=True)
    asyncio.run(run(store))
    store.close()


def test_totals_in_memory_are_bounded(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        adding, plan, participants = Adding(Rounds(), ANY, ANY, ANY, vectors), SimpleNamespace(length=10), listed(vectors, 10)  # type: ignore[arg-type]
        for row in range(5):
            await adding._total(SimpleNamespace(id=row), plan, participants, [])  # type: ignore[arg-type]
        assert set(adding._totals) == {3, 4}

    monkeypatch.setattr("collegium_coordinator.adding.MOST_TOTALS", 200)
    asyncio.run(run())


def test_a_disk_that_refuses_is_not_taken_for_a_vector_that_is_gone(vectors: Vectors) -> None:
    sha = vectors.write(b"vector" * 8)
    path = vectors.path(sha)
    path.unlink()
    assert vectors.read(sha) is None
    path.mkdir()
    for look in (vectors.read, vectors.open):
        with pytest.raises(Failed, match="Restore it from a log export or a copy of vectors/") as refused:
            look(sha)
        assert refused.value.place == str(path)


@pytest.mark.parametrize(("stage", "damage"), [("unmask", "another"), ("unmask", "unreadable"), ("recompute", "gone")])
def test_a_round_waits_for_a_vector_that_its_operator_restores(
    federation: Any, make_question: Any, caplog: pytest.LogCaptureFixture, stage: str, damage: str
) -> None:
    """Lost before we add, or after that and before the trustee has it."""
    caplog.set_level(logging.INFO, "collegium.coordinator")

    def tries() -> int:
        return sum("cannot be read" in each.message and each.levelno == logging.INFO for each in caplog.records)

    async def scene(c: Country) -> None:
        kept: dict[Path, bytes] = {}

        async def lose(method: str) -> None:
            if method != stage or kept:
                return
            ((sha,),) = c.coordinator.store.rows("SELECT vector FROM submissions WHERE node = 'u3'")
            path = c.coordinator.vectors.path(sha)
            kept[path] = path.read_bytes()
            path.unlink()
            if damage == "unreadable":
                path.mkdir()
            elif damage == "another":
                path.write_bytes(bytes(len(kept[path])))

        for trustee in c.trustees:
            trustee.at = lose
            if stage == "recompute":
                trustee.fails.add(stage)
        asking = asyncio.ensure_future(c.ask(await c.request(make_question)))
        await c.federation.until(lambda: bool(kept))
        for trustee in c.trustees:
            trustee.fails.clear()
        await c.federation.until(lambda: tries() >= 2)
        (row,) = c.rows()
        assert row.state == "unmasked"
        ((path, data),) = kept.items()
        told = [each.message for each in caplog.records if each.levelno == logging.ERROR]
        assert len(told) == 1
        assert str(path) in told[0]
        if damage == "unreadable":
            path.rmdir()
        path.write_bytes(data)
        progress = await asking
        assert progress.released == 4
        assert total_of(c, c.rows()[0], make_question) == [1 + 2 + 3 + 4]

    play(federation, scene, nodes=4)


# -- asked again while the round is under way -------------------------------------------------------------------------------------


def test_a_charge_for_a_plan_stands_whatever_its_node_says_when_it_is_asked_again(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def wait(method: str) -> None:
            if method == "unmask":
                reached.set()
                await go_on.wait()

        for trustee in c.trustees:
            trustee.at = wait
        asking = asyncio.ensure_future(c.ask(await c.request(make_question)))
        await reached.wait()
        (row,), store, refusing = c.rows(), c.coordinator.store, c.nodes[0]
        look = "SELECT verdict, decision FROM answers WHERE node = 'u1'"
        before = store.rows(look)
        refusing.answered.clear()
        refusing.refuses_request = "not-allowed"
        asked = refusing.asked
        job = c.coordinator.fanout.job(row.request)
        c.coordinator.fanout.refresh(job)
        await c.federation.until(lambda: refusing.asked > asked and not job.running)
        assert store.rows(look) == before == [("ready", before[0][1])]
        assert (before[0][1] is not None, job.state_of("u1")) == (True, "ready")
        go_on.set()
        assert (await asking).released == 4
        assert "u1" in {each.node for each in (await figures(c, row.request)).accounts.releases}

    play(federation, scene, nodes=4)


def test_the_result_brings_back_the_charge_that_another_answer_has_hidden(federation: Any, make_question: Any) -> None:
    """A refusal may be stored between READY and the submission; databases of before have it in the charge's place."""

    async def scene(c: Country) -> None:
        async def hide(method: str) -> None:
            if method == "unmask":
                with c.coordinator.store.transaction() as db:
                    db.execute("UPDATE answers SET verdict = 'refused', reason = 'not-allowed', decision = NULL WHERE node = 'u1'")

        for trustee in c.trustees:
            trustee.at = hide
        progress = await c.ask(await c.request(make_question))
        seen = await figures(c, progress.request_id)  # verifies each participant's charge
        assert [each.node for each in seen.accounts.releases] == ["u1", "u2", "u3", "u4"]

    play(federation, scene, nodes=4)
