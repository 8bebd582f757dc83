"""The trustee drawn by lot adds what was signed and signs nothing else; it needs memory for one sum, however many universities."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nationalround import TRUSTEES, T, node_signer
from onetrustees import QUESTION, Founded, OneTrustee, World, refuses

from collegium.errors import NotVerified
from collegium.log.statement import statement_id
from collegium.national.statements import Check, Unmask, lot
from collegium.question import GroupKey
from collegium.v1.trustee_pb2 import RecomputeRequest
from collegium_trustee.recompute import MOST_AT_ONCE

ALL = range(6)
LARGE = (GroupKey(column="salary", edges=tuple(range(1001))), GroupKey(column="year"), GroupKey(column="gender"))


class Unmasked:
    """A round that three trustees have answered; `drawn` is the one on whom the lot falls."""

    def __init__(self, world: World, members: range) -> None:
        self.world = world
        self.replies = world.unmask(world.closed(*members))
        self.vectors = [world.country.hidden[member].vector.tobytes() for member in members]
        self.drawn: OneTrustee = world.trustees[self.lot([reply.unmask for reply in self.replies])]

    @staticmethod
    def lot(notes: list[bytes]) -> int:
        return lot(tuple(statement_id(note) for note in notes))

    def page(self, first: int, *vectors: bytes) -> Any:
        return self.drawn.service.recompute(RecomputeRequest(plan=self.world.country.plan_id, first=first, vectors=vectors))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Unmasked:
    """Shared: the tests before the last one leave nothing behind but a running sum."""
    return Unmasked(World(tmp_path_factory.mktemp("unmasked")), ALL)


def flipped(raw: bytes) -> bytes:
    return bytes([raw[0] ^ 1]) + raw[1:]


def test_recompute_before_unmask(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.closed(*ALL)
    with refuses("round-over"):
        world.trustees[0].service.recompute(RecomputeRequest(plan=world.country.plan_id))


def test_a_vector_that_was_not_signed(done: Unmasked) -> None:
    """Altered, short, another node's, none, one too many: not added, and the right one is taken afterwards."""
    good = done.vectors
    for wrong in (flipped(good[1]), good[1][:-8], good[2], b""):
        with refuses("bad-round", NotVerified, "not the vector"):
            done.page(0, good[0], wrong)
        assert done.page(2).next == 1
    with refuses("bad-round", NotVerified, "more vectors than participants"):
        done.page(0, *good, good[0])


def wrong_masks(done: Unmasked, what: str) -> tuple[list[bytes], list[bytes]]:
    notes, masks = [reply.unmask for reply in done.replies], [reply.masks for reply in done.replies]
    match what:
        case "masks altered":
            masks[1] = flipped(masks[1])
        case "masks swapped":
            masks[0], masks[1] = masks[1], masks[0]
        case "two masks":
            masks.pop()
        case "two unmasks":
            notes.pop()
        case "unmasks swapped":
            notes[0], notes[1] = notes[1], notes[0]
        case "of nobody":
            notes[1] = Unmask.read(notes[1]).sign(node_signer(0))
        case "of another close":
            notes[1] = Unmask.read(notes[1]).model_copy(update={"close": "c" * 64}).sign(TRUSTEES[1])
        case "its own, which it has not signed":
            at, time = done.drawn.at, T
            while time == T or done.lot(notes) != at:
                time += 1
                notes[at] = Unmask.read(notes[at]).model_copy(update={"time": time}).sign(TRUSTEES[at])
    return notes, masks


@pytest.mark.parametrize(
    ("what", "because"),
    [
        ("masks altered", "not the masks that were signed"),
        ("masks swapped", "not the masks that were signed"),
        ("two masks", "masks of three trustees"),
        ("two unmasks", "masks of three trustees"),
        ("unmasks swapped", "not signed by example/trustee-a"),
        ("of nobody", "not signed by example/trustee-b"),
        ("of another close", "of another list"),
        ("its own, which it has not signed", "not the UNMASK that this trustee has signed"),
    ],
)
def test_masks_that_were_not_signed(done: Unmasked, what: str, because: str) -> None:
    notes, masks = wrong_masks(done, what)
    request = RecomputeRequest(plan=done.world.country.plan_id, first=0, vectors=done.vectors, unmasks=notes, masks=masks)
    with refuses("bad-round", NotVerified, because):
        done.drawn.service.recompute(request)
    assert done.drawn.entries(Check.kind) == []


def test_only_the_one_on_whom_the_lot_falls_checks(done: Unmasked) -> None:
    for each in done.world.trustees:
        if each is not done.drawn:
            with refuses("bad-round", NotVerified, "the lot has fallen on another"):
                each.service.recompute(done.world.recompute_request(ALL, done.replies))
            assert each.entries(Check.kind) == []


def test_nothing_is_signed_before_all_vectors_are_there(done: Unmasked) -> None:
    reply = done.drawn.service.recompute(done.world.recompute_request(range(3), done.replies))
    assert (reply.next, reply.check) == (3, b"")


def test_after_all_that_the_sum_is_right(done: Unmasked) -> None:
    """Masks that were wrong once have spoilt nothing: the vectors that were added count."""
    reply = done.drawn.service.recompute(done.world.recompute_request(ALL, done.replies))
    assert np.array_equal(np.frombuffer(reply.total, dtype="<i8"), done.world.sum(ALL))


def test_the_sum_so_far_is_kept_for_a_few_rounds_alone(tmp_path: Path) -> None:
    """Many rounds at once: those touched longest ago begin anew, and say so."""
    world = World(tmp_path)
    rounds = []
    for number in range(MOST_AT_ONCE + 1):
        world.ask_again(nonce=f"{number:032x}")
        world.unmask(world.closed(*ALL))
        rounds.append(world.country)
    one = world.trustees[0].service

    def page(of: Any, first: int) -> int:
        vector = of.hidden[first].vector.tobytes()
        return int(one.recompute(RecomputeRequest(plan=of.plan_id, first=first, vectors=[vector])).next)

    assert [page(each, 0) for each in rounds] == [1] * len(rounds)
    assert [page(each, 1) for each in rounds[1:]] == [2] * MOST_AT_ONCE
    assert page(rounds[0], 1) == 0


def test_memory_is_one_sum_however_many_nodes(tmp_path: Path) -> None:
    """Sixteen nodes of over a megabyte each, two a page: beyond the page, what is used stays below three vectors."""
    nodes = 16
    question = QUESTION.model_copy(update={"group": LARGE})
    world = World(tmp_path, founded=Founded(nodes=nodes), question=question)
    size = 8 * world.length
    assert size > 1_000_000
    done = Unmasked(world, range(nodes))
    tracemalloc.start()
    try:
        for first in range(0, nodes, 2):
            assert done.page(first, *done.vectors[first : first + 2]).next == first + 2
        used, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 2 * size
    assert most < 2 * 2 * size + 3 * size  # the message and its bytes again, and the sum
