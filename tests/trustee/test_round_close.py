"""A trustee unmasks no list that does not hold. After each refusal nothing is uncovered or logged, and a right list is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from nationalround import COORDINATOR_LOG, place
from onetrustees import World, refuses

from collegium.errors import Invalid, NotVerified
from collegium.log.statement import statement_id
from collegium.national.lists import Participants, Prepared, Submitted
from collegium.national.statements import Close, Prepare, Submit, Unmask
from collegium.v1.trustee_pb2 import PrepareRequest, Submission, UnmaskRequest

ALL = range(6)
Prepares = Sequence[tuple[bytes, bytes]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Wrong(NamedTuple):
    """A close that does not hold, why, and the reason that is told."""

    sent: Callable[[World, Prepares], UnmaskRequest]
    because: str
    reason: str = "bad-round"


def listed(world: World, *members: int) -> bytes:
    return Participants(members=tuple(world.country.participant(member) for member in members)).to_blob()


def fewer(world: World, prepares: Prepares, at: int) -> Prepares:
    """PREPARE of one trustee signed anew by its own key, without the last member."""
    verdicts = Prepared.from_blob(prepares[at][1], Prepare.read(prepares[at][0]).prepared)
    less = verdicts.model_copy(update={"accepted": verdicts.accepted[:-1]})
    return [*prepares[:at], (world.country.sign_prepare(at, less), less.to_blob()), *prepares[at + 1 :]]


def altered(world: World, prepares: Prepares) -> UnmaskRequest:
    """A vector in the list that its node has not signed."""
    members = [world.country.participant(member) for member in ALL]
    members[5] = members[5].model_copy(update={"vector": "d" * 64})
    return world.unmask_request(world.country.close(ALL, prepares, Participants(members=tuple(members))))


def twice(world: World, prepares: Prepares) -> UnmaskRequest:
    members = tuple(world.country.participant(member) for member in (*ALL, 5))
    return world.unmask_request(world.country.close((), prepares, Participants.model_construct(members=members)))


def signed_by_another(world: World, prepares: Prepares) -> UnmaskRequest:
    """In the coordinator's log, and not by the coordinator."""
    country = world.country
    close = Close.read(country.close(ALL, prepares).note)
    index = len(country.log.held)
    note = close.model_copy(update={"log": place(COORDINATOR_LOG.name, index)}).sign(COORDINATOR_LOG)
    country.log.append(note)
    closed = country.close(ALL, prepares)
    return world.unmask_request(closed, close=note, close_receipt=country.receipt(index))


LISTS = {
    "fewer than the least": Wrong(lambda w, p: w.unmask_request(w.country.close(range(4), p)), "fewer than the plan's 5"),
    "a member twice": Wrong(twice, "nobody stands in a list twice"),
    "no list": Wrong(lambda w, p: w.unmask_request(w.country.close(ALL, p), participants=b""), "not the list"),
    "another list": Wrong(
        lambda w, p: w.unmask_request(w.country.close(ALL, p), participants=listed(w, *range(5))), "not the list"
    ),
    "another vector": Wrong(altered, "not the one that the node signed"),
    "not logged": Wrong(
        lambda w, p: w.unmask_request(w.country.close(ALL, p), close_receipt=b""), "no valid receipt", "no-receipt"
    ),
    "another's receipt": Wrong(
        lambda w, p: w.unmask_request(w.country.close(ALL, p), close_receipt=w.country.receipt(0)), "no valid receipt", "no-receipt"
    ),
    "logged elsewhere": Wrong(
        lambda w, p: w.unmask_request(w.country.close(ALL, p, log=place(COORDINATOR_LOG.name, 1))), "at another place"
    ),
    "signed by another": Wrong(signed_by_another, "not signed by example/coordinator/statements"),
    "of another plan": Wrong(lambda w, p: w.unmask_request(w.country.close(ALL, p, plan="c" * 64)), "belongs to another plan"),
    "counts others": Wrong(lambda w, p: w.unmask_request(w.country.close(ALL, p, count=5)), "counts other participants"),
    "two PREPARE": Wrong(lambda w, p: w.unmask_request(w.country.close(ALL, p), prepares=[p[0][0], p[1][0]]), "three trustees"),
    "one PREPARE thrice": Wrong(lambda w, p: w.unmask_request(w.country.close(ALL, [p[0]] * 3)), "not signed by example/trustee-b"),
    "one who has not accepted": Wrong(
        lambda w, p: w.unmask_request(w.country.close(ALL, fewer(w, p, 1))), "not every trustee has prepared"
    ),
    "its own PREPARE is another": Wrong(
        lambda w, p: w.unmask_request(w.country.close(range(5), fewer(w, p, 0))), "another PREPARE of this trustee"
    ),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Prepares]:
    """Shared: whatever is refused changes nothing, so that the right list is answered in the end."""
    world = World(tmp_path_factory.mktemp("prepared"))
    return world, world.prepared(*ALL)


@pytest.mark.parametrize("what", [*LISTS, "nothing"])
def test_a_close_that_does_not_hold(prepared: tuple[World, Prepares], what: str) -> None:
    (world, prepares), wrong = prepared, LISTS.get(what)
    one = world.trustees[0]
    if wrong is None:  # the last one: after all of them
        assert one.service.unmask(world.unmask_request(world.country.close(ALL, prepares))).masks
        return
    with refuses(wrong.reason, NotVerified, wrong.because):
        one.service.unmask(wrong.sent(world, prepares))
    assert one.entries(Unmask.kind) == one.entries(Close.kind) == []


def test_a_late_node_that_only_one_trustee_has_prepared(world: World) -> None:
    world.begin()
    world.submit(*ALL)
    prepares = []
    for each in world.trustees:
        done = each.service.prepare(world.prepare_request(each.at, *(ALL if each.at == 0 else range(5))))
        prepares.append((done.prepare, done.prepared))
    with refuses("bad-round", NotVerified, "not every trustee has prepared"):
        world.trustees[0].service.unmask(world.unmask_request(world.country.close(ALL, prepares)))
    assert world.unmask(world.country.close(range(5), prepares))


def test_unmask_before_prepare(world: World) -> None:
    """Its key has signed a PREPARE, and its log does not hold it: something else than this trustee has the key."""
    world.begin()
    world.submit(*ALL)
    done = [each.service.prepare(world.prepare_request(each.at, *ALL, last=each.at != 0)) for each in world.trustees]
    verdict = Prepared.from_blob(done[1].prepared, Prepare.read(done[1].prepare).prepared)
    own = (world.country.sign_prepare(0, verdict), verdict.to_blob())
    closed = world.country.close(ALL, [own, *((each.prepare, each.prepared) for each in done[1:])])
    with refuses("bad-round", NotVerified, "has not prepared"):
        world.trustees[0].service.unmask(world.unmask_request(closed))


def test_a_page_with_something_that_is_no_submission(world: World) -> None:
    world.begin()
    world.submit(*ALL)
    page = [world.submission(0, 0), Submission(submit=b"no note", sealed=b"")]
    service = world.trustees[0].service
    with refuses("malformed", NotVerified):
        service.prepare(PrepareRequest(plan=world.country.plan_id, submissions=page, last=True))
    with refuses("too-large", Invalid):
        service.prepare(PrepareRequest(plan=world.country.plan_id, submissions=page[:1] * 1025, last=True))
    assert world.trustees[0].entries(Prepare.kind) == []


def test_a_second_submission_of_one_member(world: World) -> None:
    """Two that are signed: the page is refused, and the first one stays."""
    world.begin()
    world.submit(*ALL)
    first, country, service = world.submission(0, 2), world.country, world.trustees[0].service
    service.prepare(PrepareRequest(plan=country.plan_id, submissions=[first]))
    country.submit(2)
    with refuses("bad-round", NotVerified, "two submissions"):
        service.prepare(world.prepare_request(0, 2))
    done = service.prepare(PrepareRequest(plan=country.plan_id, last=True))
    verdicts = Prepared.from_blob(done.prepared, Prepare.read(done.prepare).prepared)
    assert verdicts.accepted == (Submitted(member=2, submit=statement_id(first.submit)),)
    assert Submit.read(first.submit).member == 2
