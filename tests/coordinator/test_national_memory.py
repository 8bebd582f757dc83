"""How much of a country's vectors is in memory at once: one where they are added, a page where they are shown, few where they come.

Failure: memory that grows with the number of nodes.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from collegium.errors import Failed, Invalid, Offline
from collegium.national.lists import Participant, Participants
from collegium.v1.trustee_pb2 import RecomputeReply
from collegium_coordinator.adding import PAGE_BYTES, Adding
from collegium_coordinator.collecting import IN_FLIGHT, Asked, Collector
from collegium_coordinator.store import Store
from collegium_coordinator.vectors import Vectors

CELLS, MEMBERS = 100_000, 40
ANY: Any = None


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[Vectors]:
    store = Store(tmp_path / "coordinator.db", create=True)
    yield Vectors(tmp_path / "vectors", store)
    store.close()


def country(vectors: Vectors, cells: int) -> Participants:
    listed = []
    for member in range(MEMBERS):
        sha = vectors.write(np.full(cells, 2**64 - 1 - member, dtype="<u8").tobytes())
        listed.append(Participant(member=member, submit=f"{member:064x}", vector=sha))
    return Participants(members=tuple(listed))


def test_a_sum_holds_one_vector_however_many_there_are(vectors: Vectors) -> None:
    participants = country(vectors, CELLS)
    adding, plan = Adding(ANY, ANY, ANY, ANY, vectors), SimpleNamespace(length=CELLS)
    tracemalloc.start()
    total = adding._sum(plan, participants, [])  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(total.tolist()) == {-MEMBERS - sum(range(MEMBERS))}
    assert peak < 4 * 8 * CELLS
    # There is no figure without one that is lost, or is another one; the file is named, and may be put back.
    path = vectors.path(participants.members[7].vector)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(Failed, match=str(path)):
        adding._sum(plan, participants, [])  # type: ignore[arg-type]
    path.unlink()
    with pytest.raises(Failed, match=str(path)):
        adding._sum(plan, participants, [])  # type: ignore[arg-type]
    with pytest.raises(Failed):
        vectors.open(path.name)
    path.write_bytes(whole)
    assert adding._sum(plan, participants, []).tolist() == total.tolist()  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        vectors.path("../../coordinator.db")


class Trustee:
    """Takes pages, and loses its place once."""

    def __init__(self) -> None:
        self.pages: list[int] = []
        self.held = 0
        self.forgets = True

    async def recompute(self, request: Any, *, timeout: float) -> RecomputeReply:
        self.pages.append(sum(map(len, request.vectors)))
        if self.forgets and request.first:
            self.forgets, self.held = False, 0
            return RecomputeReply(next=0)
        assert request.first == self.held
        self.held += len(request.vectors)
        return RecomputeReply(next=self.held, check=b"check" if request.unmasks else b"")


def test_a_trustee_is_shown_pages_and_one_that_lost_its_place_begins_anew(vectors: Vectors) -> None:
    cells = PAGE_BYTES // 8 // 4  # four vectors fill a page
    sha = vectors.write(np.zeros(cells, dtype="<u8").tobytes())
    listed = Participants(members=tuple(Participant(member=n, submit=f"{n:064x}", vector=sha) for n in range(10)))
    trustee, adding = Trustee(), Adding(ANY, ANY, ANY, ANY, vectors)
    unmask = SimpleNamespace(note=b"unmask", payload=sha)
    row, plan = SimpleNamespace(plan="ab"), SimpleNamespace(length=cells)
    reply = asyncio.run(adding._recompute(trustee, row, plan, listed, [unmask] * 3))  # type: ignore[arg-type, list-item]
    assert reply.check == b"check"
    assert trustee.held == 10
    assert [size // (8 * cells) for size in trustee.pages] == [4, 4, 4, 4, 2]


def test_so_many_vectors_come_at_once_as_there_is_room_for(tmp_path: Path) -> None:
    at_once: list[int] = []
    running = 0

    class Nodes:
        async def wait_for(self, _name: str, _until: float) -> None:
            pass

        async def submit(self, _name: str, _request: Any, *, timeout: float) -> Any:
            nonlocal running
            running += 1
            at_once.append(running)
            await asyncio.sleep(0.01)
            running -= 1
            raise Offline("gone")

    async def run(cells: int, parallel: int) -> int:
        at_once.clear()
        collector = Collector(ANY, ANY, Nodes(), ANY, parallel=parallel, clock=time.time)  # type: ignore[arg-type]
        roster = SimpleNamespace(nodes=[SimpleNamespace(node=f"u{n}") for n in range(30)])
        job = SimpleNamespace(id="0" * 64)
        asked = Asked(job, ANY, b"", SimpleNamespace(length=cells), roster, ANY)  # type: ignore[arg-type]
        await collector.collect(asked, frozenset({"u3"}), time.time() + 0.15)
        return max(at_once)

    assert asyncio.run(run(IN_FLIGHT // 16 // 5, 512)) == 5
    assert asyncio.run(run(1, 7)) == 7
    assert asyncio.run(run(IN_FLIGHT, 512)) == 1
