"""A round from BEGIN to CHECK with three real trustees, and the same again whenever a step is repeated."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from nationalround import COORDINATOR_LOG, TRUSTEES, T, node_signer
from onetrustees import Founded, World, cosigner, refuses

from collegium.errors import Failed, NotReleased
from collegium.log.receipt import verify_receipt
from collegium.log.statement import read_statement, statement_id
from collegium.national.lists import Prepared
from collegium.national.statements import Check, Close, Plan, Prepare, Submit, Unmask, lot
from collegium.statements import Peer
from collegium.v1.trustee_pb2 import PrepareRequest, RecomputeRequest, Submission

ALL = range(6)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("members", [ALL, (0, 1, 3, 4, 5)], ids=["all", "one silent"])
def test_three_trustees_uncover_the_sum_and_nothing_else(world: World, members: range) -> None:
    replies = world.unmask(world.closed(*members))
    total = np.sum([world.country.hidden[member].vector for member in members], axis=0, dtype=np.uint64)
    for reply in replies:
        total -= np.frombuffer(reply.masks, dtype="<u8")
    assert np.array_equal(total.view(np.int64), world.sum(members))
    drawn = world.trustees[lot(tuple(statement_id(reply.unmask) for reply in replies))]
    checked = drawn.service.recompute(world.recompute_request(members, replies))
    assert checked.next == len(members)
    assert np.array_equal(np.frombuffer(checked.total, dtype="<i8"), world.sum(members))
    body = Check.open(checked.check, [TRUSTEES[drawn.at].verifier])
    assert (body.unmasks, body.trustee) == (tuple(statement_id(reply.unmask) for reply in replies), drawn.at)


def test_what_a_trustee_says_is_in_its_log_with_what_it_rests_on(world: World) -> None:
    """PLAN and CLOSE verbatim, each after a checkpoint of the coordinator's log that holds it, and before what rests on it."""
    closed = world.closed(*ALL)
    world.unmask(closed)
    for each in world.trustees:
        with each.party.store.read() as db:
            log = [note for (note,) in db.execute("SELECT note FROM entries ORDER BY idx")]
        kinds = [read_statement(note)[0] for note in log]
        for note, what in ((world.country.plan_note, Prepare), (closed.note, Unmask)):
            at = log.index(note)
            assert at < kinds.index(what.kind)
            seen = [Peer.read(entry) for entry, kind in zip(log[:at], kinds, strict=False) if kind == Peer.kind]
            assert any(peer.origin == COORDINATOR_LOG.name and peer.size > read_statement(note)[1]["log"]["index"] for peer in seen)
        assert kinds[0:1] == [Peer.kind]  # the registry, before anything is judged by it


def test_every_answer_comes_with_the_proof_that_the_log_holds_it(world: World) -> None:
    closed = world.closed(*ALL)
    for each in world.trustees:
        log = each.party.journal.verifier
        status = each.service.status()
        verify_receipt(status.key_receipt, status.key, log)
        prepared = each.service.prepare(world.prepare_request(each.at))
        verify_receipt(prepared.prepare_receipt, prepared.prepare, log)
        unmasked = each.service.unmask(world.unmask_request(closed))
        verify_receipt(unmasked.unmask_receipt, unmasked.unmask, log)


def test_nothing_leaves_before_witnesses_have_confirmed_it(tmp_path: Path) -> None:
    founded = Founded()
    witnesses = ("node-001", "node-002", "node-003")
    world = World(tmp_path, founded=founded)
    one = world.trustees[0]
    founded.assign(one.party.journal.origin, *witnesses)
    one.learn(founded)
    with refuses("not-confirmed", Failed):
        world.begin(0)
    one.confirm(*witnesses)
    assert cosigner("node-001").name in one.party.quorum.published().decode()  # type: ignore[union-attr]
    world.begin()
    world.submit(*ALL)
    with refuses("pending", NotReleased):
        one.service.prepare(world.prepare_request(0, *ALL))
    one.confirm(*witnesses)
    closed = world.country.close(ALL, world.prepare(*ALL))
    with refuses("pending", NotReleased):
        one.service.unmask(world.unmask_request(closed))
    assert len(one.entries(Unmask.kind)) == 1
    one.confirm(*witnesses)
    assert one.service.unmask(world.unmask_request(closed)).unmask == one.entries(Unmask.kind)[0]


def test_begin_again_is_nothing_new(world: World) -> None:
    """A plan that is known is not looked at again, nor what comes with it."""
    world.begin()
    world.begin(roster=b"", request=b"")
    assert [len(each.entries(Plan.kind)) for each in world.trustees] == [1, 1, 1]
    world.trustees[0].now[0] = T + 10_000  # also after the deadline
    world.begin(0)


def test_pages_come_in_any_order_and_again(world: World) -> None:
    world.begin()
    world.submit(*ALL)
    one = world.trustees[0]
    for page in ((4, 5), (0, 1), (4, 5), (2,), (0, 1, 2)):
        assert not one.service.prepare(world.prepare_request(0, *page, last=False)).prepare
    done = one.service.prepare(world.prepare_request(0, 3))
    listed = Prepared.from_blob(done.prepared, Prepare.read(done.prepare).prepared)
    assert [each.member for each in listed.accepted] == [*ALL]
    assert [each.submit for each in listed.accepted] == [statement_id(world.country.submits[member]) for member in ALL]
    assert listed.rejected == ()


def test_prepare_is_signed_once(world: World) -> None:
    world.begin()
    world.submit(*ALL)
    one = world.trustees[0]
    first = one.service.prepare(world.prepare_request(0, 0, 1, 2, 3, 4))
    assert one.service.prepare(world.prepare_request(0, 5)) == first  # a late one joins nothing
    assert not one.service.prepare(world.prepare_request(0, 5, last=False)).prepare
    assert len(one.entries(Prepare.kind)) == 1


def test_a_submission_that_cannot_be_used_is_named_with_its_reason(world: World) -> None:
    """A seed that is another's or garbled, a signature of nobody, a member that is not: the others are accepted."""
    world.begin()
    world.submit(*ALL)
    country = world.country
    page = [world.submission(0, member) for member in ALL]
    page[1] = Submission(submit=page[1].submit, sealed=page[2].sealed)  # not the one that is signed
    page[3] = Submission(submit=country.submit(3, signer=COORDINATOR_LOG), sealed=country.hidden[3].sealed[0])
    country.submit(4, seeds=tuple(hashlib.sha256(raw).hexdigest() for raw in (b"x", b"y", b"z")))
    page[4] = Submission(submit=country.submits[4], sealed=b"x")  # signed, and opens to nothing
    page[5] = Submission(submit=country.submit(5, plan="e" * 64), sealed=country.hidden[5].sealed[0])
    done = world.trustees[0].service.prepare(PrepareRequest(plan=country.plan_id, submissions=page, last=True))
    listed = Prepared.from_blob(done.prepared, Prepare.read(done.prepare).prepared)
    assert [each.member for each in listed.accepted] == [0, 2]
    assert [(each.member, each.reason) for each in listed.rejected] == [
        (1, "seed"),
        (3, "signature"),
        (4, "seed"),
        (5, "signature"),
    ]


def test_a_member_that_is_not_in_the_roster_is_rejected(world: World) -> None:
    world.begin()
    world.submit(*ALL)
    note = Submit.read(world.country.submits[2]).model_copy(update={"member": 6}).sign(node_signer(2))
    page = [Submission(submit=note, sealed=world.country.hidden[2].sealed[0])]
    done = world.trustees[0].service.prepare(PrepareRequest(plan=world.country.plan_id, submissions=page, last=True))
    listed = Prepared.from_blob(done.prepared, Prepare.read(done.prepare).prepared)
    assert [(each.member, each.reason) for each in listed.rejected] == [(6, "signature")]


def test_garbage_does_not_take_the_place_of_what_a_node_has_signed(world: World) -> None:
    """Anybody can write a statement with somebody's member number on it; before or after, the node's own is what counts."""
    world.begin()
    world.submit(*ALL)
    country, one = world.country, world.trustees[0]
    good = {member: world.submission(0, member) for member in ALL}
    for member in (1, 2):
        country.submit(member, signer=COORDINATOR_LOG)
    bad = {member: world.submission(0, member) for member in (1, 2)}
    one.service.prepare(PrepareRequest(plan=country.plan_id, submissions=[bad[1], good[2]]))
    page = [good[0], good[1], bad[2], good[3], good[4], good[5]]
    done = one.service.prepare(PrepareRequest(plan=country.plan_id, submissions=page, last=True))
    listed = Prepared.from_blob(done.prepared, Prepare.read(done.prepare).prepared)
    assert [(each.member, each.submit) for each in listed.accepted] == [(m, statement_id(good[m].submit)) for m in ALL]


def test_the_same_close_gets_the_same_bytes(world: World) -> None:
    closed = world.closed(*ALL)
    first = world.unmask(closed)
    second = world.unmask(closed)
    assert [(a.unmask, a.masks) for a in first] == [(b.unmask, b.masks) for b in second]
    assert [len(each.entries(Unmask.kind)) for each in world.trustees] == [1, 1, 1]
    assert [len(each.entries(Close.kind)) for each in world.trustees] == [1, 1, 1]


def test_recompute_goes_on_from_where_it_is(world: World) -> None:
    """Page by page, one twice, one too far ahead, the masks in a call of their own; asked again it says the same."""
    replies = world.unmask(world.closed(*ALL))
    drawn = world.trustees[lot(tuple(statement_id(reply.unmask) for reply in replies))]

    def page(first: int, end: int) -> int:
        vectors = [world.country.hidden[member].vector.tobytes() for member in range(first, end)]
        return int(drawn.service.recompute(RecomputeRequest(plan=world.country.plan_id, first=first, vectors=vectors)).next)

    assert [page(2, 4), page(0, 2), page(4, 6), page(2, 4), page(2, 4), page(3, 5)] == [0, 2, 2, 4, 4, 5]
    last = world.recompute_request((), replies, first=6)
    assert (drawn.service.recompute(last).next, drawn.service.recompute(last).check) == (5, b"")
    assert page(5, 6) == 6
    done = drawn.service.recompute(last)
    assert np.array_equal(np.frombuffer(done.total, dtype="<i8"), world.sum(ALL))
    assert drawn.service.recompute(last).check == done.check
    assert page(0, 2) == 6
    assert len(drawn.entries(Check.kind)) == 1


def test_a_page_from_zero_begins_anew(world: World) -> None:
    replies = world.unmask(world.closed(*ALL))
    drawn = world.trustees[lot(tuple(statement_id(reply.unmask) for reply in replies))]
    vectors = [world.country.hidden[member].vector.tobytes() for member in (0, 1, 2)]
    for count in (3, 1):
        page = RecomputeRequest(plan=world.country.plan_id, first=0, vectors=vectors[:count])
        assert drawn.service.recompute(page).next == count
    done = drawn.service.recompute(world.recompute_request(ALL, replies))
    assert np.array_equal(np.frombuffer(done.total, dtype="<i8"), world.sum(ALL))


def test_submissions_of_one_plan_say_nothing_to_another(world: World) -> None:
    """Fresh seeds for each plan: the first round's are of no use in the second."""
    world.begin()
    world.submit(*ALL)
    old = [world.submission(0, member) for member in ALL]
    world.ask_again(nonce="1" * 32)
    world.begin()
    done = world.trustees[0].service.prepare(PrepareRequest(plan=world.country.plan_id, submissions=old, last=True))
    assert Prepared.from_blob(done.prepared, Prepare.read(done.prepare).prepared).accepted == ()
    assert Submit.read(old[0].submit).plan != world.country.plan_id
