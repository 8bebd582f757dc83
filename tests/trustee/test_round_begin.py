"""A trustee begins no round whose plan does not follow from its question, its request and the registry, whoever sends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nationalround import COORDINATOR_LOG, COSIGNERS, FED, SEALING, T, node_signer, place
from onetrustees import QUESTION, Founded, World, refuses

from collegium.errors import Failed, Invalid, NotVerified, Refused
from collegium.log.note import Signer, encode_base64
from collegium.national.lists import Roster, RosterNode
from collegium.national.statements import Plan
from collegium.statements import Request
from collegium.v1.node_pb2 import LearnRequest
from collegium.v1.trustee_pb2 import PrepareRequest, RecomputeRequest


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Shared: every plan below is another one, and none of them is begun."""
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def fresh(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, because: str, /, **sent: Any) -> None:
    """By the trustee at 0; its log knows nothing of the plan."""
    with refuses("bad-plan", NotVerified, because):
        world.begin(0, **sent)
    assert world.country.plan_note not in world.trustees[0].entries(Plan.kind)


@pytest.mark.parametrize(
    ("change", "because"),
    [
        pytest.param({"least": 4}, "does not follow from the tolerance", id="a smaller participation"),
        pytest.param({"honest": 5}, "does not follow from the tolerance", id="more honest nodes than follow"),
        pytest.param({"dropout": 400_000}, "does not follow from the tolerance", id="another tolerance"),
        pytest.param({"homes": 1}, "another number of nodes than the registry declares", id="k"),
        pytest.param({"question": "b" * 64}, "not the question", id="another question"),
        pytest.param({"number": 1}, "not the question", id="a question that is not there"),
        pytest.param({"request": "a" * 64}, "not the request", id="another request"),
        pytest.param({"group": ("11",)}, "not answered by this group", id="a group that is none"),
        pytest.param({"log": place("example/coordinator", 3)}, "logged at another place", id="logged elsewhere"),
        pytest.param({"log": place("example/other", 0)}, "logged at another place", id="another log"),
    ],
)
def test_a_number_of_the_plan_that_does_not_follow(world: World, change: dict[str, Any], because: str) -> None:
    world.country = world.plan(**change)
    refused(world, because)


@pytest.mark.parametrize("name", ["fine", "sigma", "scale", "rho", "reach", "cells"])
def test_a_part_of_the_plan_is_computed_again(world: World, name: str) -> None:
    first, second = world.plan().plan.parts
    value = getattr(first, name)
    changed = first.model_copy(update={name: value + 1 if isinstance(value, int) else repr(float(value) * 0.5)})
    world.country = world.plan(parts=(changed, second))
    refused(world, f"the {name} is not what the question asks for")


@pytest.mark.parametrize(
    ("at", "change", "because"),
    [
        pytest.param(
            0, {"sealing": encode_base64(SEALING[0].public)}, "sealing key that this trustee does not have", id="sealing key"
        ),
        pytest.param(0, {"key": node_signer(0).vkey}, "trustee-a is not a registered trustee", id="another key"),
        pytest.param(1, {"key": node_signer(0).vkey}, "trustee-b is not a registered trustee", id="another's key"),
        pytest.param(2, {"trustee": "trustee-d"}, "trustee-d is not a registered trustee", id="nobody"),
    ],
)
def test_the_plans_trustees_are_the_registered_ones(world: World, at: int, change: dict[str, Any], because: str) -> None:
    trustees = list(world.plan().plan.trustees)
    trustees[at] = trustees[at].model_copy(update=change)
    world.country = world.plan(trustees=tuple(trustees))
    refused(world, because)


def test_a_plan_of_other_trustees(tmp_path: Path) -> None:
    """A registered one that the plan does not name takes no part."""
    founded, key = Founded(), Signer.from_seed(f"{FED}/trustee-d/statements", b"\x50" * 32)
    founded.register("trustee", "trustee-d", key)
    world = World(tmp_path, founded=founded)
    _, second, third = world.plan().plan.trustees
    fourth = third.model_copy(update={"trustee": "trustee-d", "key": key.vkey, "sealing": encode_base64(SEALING[0].public)})
    world.country = world.plan(trustees=(second, third, fourth))
    refused(world, "not in the plan under its own key")


def test_a_plan_that_ends_after_its_sealing_key(world: World) -> None:
    until = world.trustees[0].key().until
    world.country = world.plan(deadline=until + 1)
    refused(world, "ends after its sealing key")
    world.country = world.plan(deadline=until)
    world.begin(0)


def test_a_plan_whose_deadline_has_passed(fresh: World) -> None:
    fresh.trustees[0].now[0] = float(T + 3600)
    with refuses("round-over"):
        fresh.begin(0)


@pytest.mark.parametrize(
    ("sent", "because"),
    [
        pytest.param(
            lambda w: {"plan": w.country.plan.sign(COORDINATOR_LOG)}, "not signed by example/coordinator", id="signed by another"
        ),
        pytest.param(lambda w: {"plan": b"no note"}, "not separated", id="no plan"),
        pytest.param(lambda w: {"plan": w.request}, "not signed by example/coordinator", id="a request instead"),
        pytest.param(lambda w: {"roster": Roster(nodes=w.country.roster.nodes[:5]).to_blob()}, "not the list", id="another roster"),
        pytest.param(lambda w: {"registry_checkpoint": w.founded.checkpoint(COSIGNERS[:2])}, "2 of 3", id="cosigned by two"),
        pytest.param(
            lambda w: {"registry_checkpoint": w.founded.checkpoint(COSIGNERS[:2] * 2)}, "2 of 3", id="by two of them twice"
        ),
        pytest.param(lambda w: {"registry_checkpoint": w.founded.checkpoint(COSIGNERS, 9)}, "not the registry", id="an older one"),
        pytest.param(lambda w: {"registry_checkpoint": b""}, "not separated", id="no registry"),
        pytest.param(lambda w: {"request": w.ask(nonce="2" * 32)}, "not the request", id="another request"),
    ],
)
def test_what_a_plan_rests_on(world: World, sent: Callable[[World], dict[str, Any]], because: str) -> None:
    world.country = world.plan()
    refused(world, because, **sent(world))


def test_a_plan_that_is_not_logged(world: World) -> None:
    world.country = world.plan()
    for receipt in (b"", b"x", world.plan(nonce="7" * 32).receipt(0)):
        with refuses("no-receipt", NotVerified):
            world.begin(0, plan_receipt=receipt)


def test_a_coordinators_log_without_its_witnesses(tmp_path: Path) -> None:
    """Where the registry has assigned them, a receipt that they have not confirmed binds nobody."""
    founded = Founded()
    founded.assign(COORDINATOR_LOG.name, "node-001", "node-002", "node-003")
    with refuses("no-receipt", NotVerified):
        World(tmp_path, founded=founded).begin(0)


def test_a_request_that_no_researcher_has_signed(fresh: World) -> None:
    fresh.request = Request.read(fresh.request).sign(node_signer(0))
    fresh.country = fresh.plan()
    refused(fresh, "not signed by example/li-wei")
    fresh.request = Request.read(fresh.ask(researcher="node-000")).sign(node_signer(0))
    fresh.country = fresh.plan()
    with refuses("identity", because="only researchers ask"):
        fresh.begin(0)


def test_a_question_that_asks_each_university_for_its_own_figure(tmp_path: Path) -> None:
    refused(World(tmp_path, question=QUESTION.model_copy(update={"mode": "per_node"})), "its own figure")


def test_a_second_plan_for_a_group_of_a_question_of_a_request(tmp_path: Path) -> None:
    """One honest trustee is enough: no totals with and without a university out of one request. Another request is another sum."""
    world = World(tmp_path)
    world.begin()
    first = world.country
    world.country = world.plan(nonce="8" * 32)
    with pytest.raises(Refused, match="round of this national sum is over"):
        world.begin()
    world.country = first
    world.begin()  # the first one again: found
    world.ask_again()
    world.begin()


def test_a_node_that_was_revoked_before_the_plan_came(tmp_path: Path) -> None:
    """The coordinator plans on a view of the registry from before, which all three have cosigned."""
    world = World(tmp_path)
    gone = world.country.roster.nodes[0].node
    world.founded.revoke(gone)
    for each in world.trustees:
        each.learn(world.founded)
    refused(world, f"{gone} is not registered")


def test_an_invented_node_in_the_roster(world: World) -> None:
    nodes = world.country.roster.nodes
    for invented in (RosterNode(node="node-009", key=node_signer(9).vkey), RosterNode(node="node-005", key=node_signer(9).vkey)):
        roster = Roster(nodes=(*nodes[:5], invented))
        world.country = world.plan(roster=roster.blob)
        refused(world, f"{invented.node} is not registered", roster=roster.to_blob())


def test_a_roster_with_a_node_that_was_not_asked(tmp_path: Path) -> None:
    """The request asks two groups of the partition, and the roster has a third one's nodes in it."""
    founded = Founded()
    founded.part(("11", "12"), ("31",))
    refused(World(tmp_path, founded=founded, facts={"province": ("11", "12")}), "a node that the question does not ask")


def test_each_group_of_a_partition_has_a_round_of_its_own(tmp_path: Path) -> None:
    """The plan names the group, and the roster is of that group's universities alone."""
    founded = Founded()
    founded.part(("11", "12", "31"))
    World(tmp_path / "whole", founded=founded, by=("province",), group=("11", "12", "31")).begin()
    refused(World(tmp_path / "none", founded=founded, by=("province",)), "not answered by this group")
    refused(World(tmp_path / "other", founded=founded, by=("province",), group=("11", "12")), "not answered by this group")
    parted = Founded()
    parted.part(("11", "12"), ("31",))  # two of the roster's nodes are of 31
    world = World(tmp_path / "parted", founded=parted, by=("province",), group=("11", "12"))
    refused(world, "a node that the question does not ask")


def test_a_registry_that_this_trustee_has_not_learnt(fresh: World) -> None:
    """It says so and may be sent the rest: nothing about the plan is wrong."""
    fresh.founded.part(("11", "12", "31"))
    fresh.request = fresh.ask()
    fresh.country = fresh.plan()
    with refuses("failed", Failed):
        fresh.begin(0)
    entries = fresh.founded.entries
    rest = LearnRequest(first=len(entries) - 1, entries=entries[-1:], checkpoint=fresh.founded.checkpoint())
    assert fresh.trustees[0].service.learn(rest).registry_size == len(entries)
    fresh.begin(0)


def test_steps_of_a_plan_that_was_never_begun(world: World) -> None:
    world.country = world.plan(nonce="9" * 32)
    service = world.trustees[0].service
    with refuses("bad-round", Invalid):
        service.prepare(PrepareRequest(plan=world.country.plan_id, last=True))
    with refuses("bad-round", Invalid):
        service.recompute(RecomputeRequest(plan=world.country.plan_id))
