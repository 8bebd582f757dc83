"""What a node says no to before it takes part in a national sum, one thing at a time. Nothing is charged, counted or hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nationalnode import FAILED, HELD, OTHERS, READY, REFUSED, RELEASED, RHO, TRUSTEES, Country, country, national
from onenode import FED, NODE, T0, VIEW, Asked

from collegium.body import LogPlace, RegistryView
from collegium.errors import Invalid, NotVerified, Refused
from collegium.keys import statements_name
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer, encode_base64
from collegium.log.statement import statement_id
from collegium.national.lists import Roster, RosterNode
from collegium.national.seal import SealingKey
from collegium.national.share import Tolerance
from collegium.national.statements import PlanTrustee
from collegium.national.travelling import chosen_bits
from collegium.statements import Decision
from collegium_node import requests
from collegium_node.planned import Sent

Land = tuple[Country, Asked]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Land:
    """A node that nothing in this module's tests of dishonest plans ever gets to charge, count or hide."""
    return country(tmp_path_factory.mktemp("node"))


def untouched(land: Country) -> tuple[Any, ...]:
    return land.one.charged(), len(land.engine.hidden), land.rounds(), len(land.one.entries())


def stranger(name: str = "oak") -> Signer:
    """A key under a right name that nobody has registered."""
    return Signer.generate(statements_name(FED, name))


def parts(land: Country, asked: Asked, **changes: Any) -> Any:
    first, second = land.plan(asked).parts
    return (first.model_copy(update=changes), second)


def trustees(land: Country, asked: Asked, **changes: Any) -> Any:
    first, *others = land.plan(asked).trustees
    return tuple(sorted((PlanTrustee(**{**first.model_dump(), **changes}), *others), key=lambda each: each.trustee))


NUMBERS: dict[str, Callable[[Country, Asked], dict[str, Any]]] = {
    "another request": lambda land, asked: {"request": "a" * 64},
    "another number": lambda land, asked: {"number": 1},
    "another question": lambda land, asked: {"question": national(value=7).digest},
    "a group where there is none": lambda land, asked: {"group": ("11",)},
    "least": lambda land, asked: {"least": 11},
    "least and honest": lambda land, asked: {"least": 11, "honest": 10},
    "honest": lambda land, asked: {"honest": 2},
    "homes": lambda land, asked: {"homes": 2},
    "nodes": lambda land, asked: {"nodes": 13},
    "a smaller scale": lambda land, asked: {"parts": parts(land, asked, scale="4.0")},
    "a smaller sigma": lambda land, asked: {"parts": parts(land, asked, sigma="1.0")},
    "a coarser lattice": lambda land, asked: {"parts": parts(land, asked, fine=0)},
    "another rho": lambda land, asked: {"parts": parts(land, asked, rho=RHO)},
    "a smaller reach": lambda land, asked: {"parts": parts(land, asked, reach=1)},
    "a larger reach": lambda land, asked: {"parts": parts(land, asked, reach=2**40)},
    "another length": lambda land, asked: {"parts": parts(land, asked, cells=4)},
    "a component less": lambda land, asked: {"parts": land.plan(asked).parts[:1]},
    "a component more": lambda land, asked: {"parts": (*land.plan(asked).parts, land.plan(asked).parts[0])},
    "a trustee of another name": lambda land, asked: {"trustees": trustees(land, asked, trustee="elm")},
    "a trustee with another key": lambda land, asked: {"trustees": trustees(land, asked, key=stranger().vkey)},
    "a node as a trustee": lambda land, asked: {
        "trustees": trustees(land, asked, trustee=OTHERS[0], key=land.ministry.statements[OTHERS[0]].vkey)
    },
    "a sealing key that its trustee has not stated": lambda land, asked: {
        "trustees": trustees(land, asked, sealing=encode_base64(SealingKey.generate().public))
    },
    "a registry that nobody has": lambda land, asked: {"registry": RegistryView(size=5, root=land.plan(asked).registry.root)},
    "an older registry than the request's": lambda land, asked: {"registry": land.registry().view_at(20)},
    "logged elsewhere": lambda land, asked: {"log": LogPlace(origin=land.ministry.coordinator_log.name, index=0)},
    "logged by somebody else": lambda land, asked: {"log": land.plan(asked).log.model_copy(update={"origin": f"{FED}/univ-b"})},
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_plan_that_says_something_else(shared: Land, name: str) -> None:
    land, asked = shared
    changes, before = NUMBERS[name](land, asked), untouched(land)
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, land.send(asked, land.plan(asked, **changes)))
    assert raised.value.reason == "bad-plan"
    assert untouched(land) == before


def test_the_plan_without_any_change_is_right(tmp_path: Path) -> None:
    """Else all tests above would hold for a node that refuses everything."""
    land, asked = country(tmp_path)
    assert land.submit(asked, land.send(asked)).verdict == RELEASED


def without(land: Country, name: str) -> Roster:
    return land.roster(each for each in (NODE, *OTHERS) if each != name)


def invented(land: Country) -> Roster:
    nodes = [node for node in land.roster().nodes if node.node != OTHERS[-1]]
    return Roster(nodes=tuple(sorted((*nodes, RosterNode(node="univ-x", key=stranger("univ-x").vkey)), key=lambda each: each.node)))


def rekeyed(land: Country, name: str) -> Roster:
    return Roster(
        nodes=tuple(each if each.node != name else RosterNode(node=name, key=stranger(name).vkey) for each in land.roster().nodes)
    )


def by_coordinators_choice(land: Country, asked: Asked, roster: Roster) -> Sent:
    return land.send(asked, land.plan(asked, roster=roster), roster=roster)


def two_of_three(land: Country) -> bytes:
    return land.checkpoint([land.ministry.cosigners[name] for name in TRUSTEES[:2]])


def with_a_false_cosigner(land: Country) -> bytes:
    false = CosignerSigner.generate(land.ministry.cosigners["yew"].name)
    return land.checkpoint([*(land.ministry.cosigners[name] for name in TRUSTEES[:2]), false])


SENT: dict[str, Callable[[Country, Asked], Sent]] = {
    "a plan that somebody else has signed": lambda land, asked: _signed_by(land, asked, stranger("coordinator")),
    "a plan that is none": lambda land, asked: replace(land.send(asked), note=asked.note, receipt=asked.receipt),
    "no plan at all": lambda land, asked: replace(land.send(asked), note=b""),
    "a roster without this node": lambda land, asked: by_coordinators_choice(land, asked, without(land, NODE)),
    "a roster with this node under another key": lambda land, asked: by_coordinators_choice(land, asked, rekeyed(land, NODE)),
    "a roster with another node under another key": lambda land, asked: by_coordinators_choice(
        land, asked, rekeyed(land, OTHERS[3])
    ),
    "a roster with an invented node": lambda land, asked: by_coordinators_choice(land, asked, invented(land)),
    "a roster with a trustee": lambda land, asked: by_coordinators_choice(land, asked, land.roster((NODE, *OTHERS, "oak"))),
    "another roster than planned": lambda land, asked: replace(
        land.send(asked), chosen=chosen_bits(sorted((NODE, *OTHERS)), [NODE, *OTHERS[1:]])
    ),
    "no roster": lambda land, asked: replace(land.send(asked), chosen=b""),
    "a roster of nobody": lambda land, asked: replace(land.send(asked), chosen=bytes(len(land.send(asked).chosen))),
    "a roster with a bit too many": lambda land, asked: replace(
        land.send(asked), chosen=land.send(asked).chosen[:-1] + bytes([land.send(asked).chosen[-1] | 0x80])
    ),
    "a roster with a byte too many": lambda land, asked: replace(land.send(asked), chosen=land.send(asked).chosen + b"\0"),
    "a registry that two trustees have cosigned": lambda land, asked: replace(
        land.send(asked), registry_checkpoint=two_of_three(land)
    ),
    "a registry with a false cosignature": lambda land, asked: replace(
        land.send(asked), registry_checkpoint=with_a_false_cosigner(land)
    ),
    "an older registry checkpoint": lambda land, asked: replace(
        land.send(asked), registry_checkpoint=land.checkpoint(view=land.registry().view_at(30))
    ),
    "no registry checkpoint": lambda land, asked: replace(land.send(asked), registry_checkpoint=b""),
    "two statements on keys": lambda land, asked: replace(land.send(asked), keys=land.keys()[:2]),
    "no statement on keys": lambda land, asked: replace(land.send(asked), keys=()),
    "statements on keys in another order": lambda land, asked: replace(land.send(asked), keys=land.keys()[::-1]),
    "a key that ends before the deadline": lambda land, asked: replace(land.send(asked), keys=land.keys(until=T0 + 3599)),
    "a key stated by somebody else": lambda land, asked: replace(
        land.send(asked), keys=(land.keys()[0], land.key("pine", stranger("pine")), land.keys()[2])
    ),
    "a key stated in another log": lambda land, asked: replace(
        land.send(asked), keys=land.keys(log=LogPlace(origin=f"{FED}/oak", index=3))
    ),
    "a key stated with another registry": lambda land, asked: replace(
        land.send(asked), keys=land.keys(registry=RegistryView(size=4, root=land.registry().view().root))
    ),
    "another sealing key": lambda land, asked: replace(
        land.send(asked), keys=land.keys(sealing=encode_base64(SealingKey.generate().public))
    ),
}


def _signed_by(land: Country, asked: Asked, signer: Signer) -> Sent:
    note = land.plan(asked).sign(signer)
    return replace(land.send(asked), note=note, receipt=land.ministry.receipt(note))


@pytest.mark.parametrize("name", SENT)
def test_something_else_comes_with_the_plan(shared: Land, name: str) -> None:
    land, asked = shared
    sent, before = SENT[name](land, asked), untouched(land)
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, sent)
    assert raised.value.reason == "bad-plan" or (name == "no plan at all" and raised.value.reason in ("bad-plan", "no-receipt"))
    assert untouched(land) == before


def test_a_plan_that_the_coordinator_has_not_logged(shared: Land) -> None:
    land, asked = shared
    good, before = land.send(asked), untouched(land)
    for receipt in (b"", asked.receipt, land.send(asked).receipt):
        with pytest.raises(NotVerified) as raised:
            land.submit(asked, replace(good, receipt=receipt))
        assert raised.value.reason == "no-receipt"
    assert untouched(land) == before


def test_a_request_that_is_not_in_order_gets_no_plan_done(shared: Land) -> None:
    land, asked = shared
    sent, before = land.send(asked), untouched(land)
    cases: list[tuple[tuple[bytes, bytes, bytes], type[Exception], str]] = [
        ((asked.note, asked.details, b""), NotVerified, "no-receipt"),
        ((asked.note, b"{}", asked.receipt), NotVerified, "malformed"),
        ((b"x", asked.details, asked.receipt), Invalid, "malformed"),
        ((land.one.entries("policy")[-1], asked.details, asked.receipt), Invalid, "malformed"),
    ]
    for parts_, kind, reason in cases:
        with pytest.raises(kind) as raised:
            land.one.submitting.submit(*parts_, sent)
        assert getattr(raised.value, "reason", "") == reason
    assert untouched(land) == before


def test_a_question_for_own_figures_is_never_submitted(shared: Land) -> None:
    land, _ = shared
    asked, before = land.ask(national(mode="per_node")), untouched(land)
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, land.send(asked))
    assert (raised.value.reason, untouched(land)) == ("bad-plan", before)


def test_universities_by_name_make_no_national_sum(tmp_path: Path) -> None:
    """Sums over freely chosen sets could be subtracted until one university is left."""
    land, _ = country(tmp_path)
    asked = land.researcher.ask(national(), audience=(NODE, *OTHERS))
    answer = land.answer(asked).answers[0]
    assert (answer.verdict, answer.reason) == (REFUSED, "mode")
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, land.send(asked))
    assert raised.value.reason == "bad-plan"
    assert land.one.charged() == 0


def test_a_roster_from_another_group(tmp_path: Path) -> None:
    """Every node of the roster is of the group that the plan names, and this node is of it."""
    land = Country(tmp_path, partition=(("11", "31"), ("44",)))
    land.allow(smallest=2)
    asked, inside = (
        land.ask(views=({**VIEW, "facts": ["province"]},)),
        [name for name in (NODE, *OTHERS) if land.ministry.facts[name]["province"] != "44"],
    )
    outside = next(name for name in OTHERS if name not in inside)
    for names, group in ((inside, ("44",)), ([*inside, outside], ("11", "31")), (inside, None), (inside, ("11",))):
        roster = land.roster(names)
        with pytest.raises(NotVerified) as raised:
            land.submit(asked, land.send(asked, land.plan(asked, roster=roster, group=group), roster=roster))
        assert raised.value.reason == "bad-plan"
    assert land.one.charged() == 0


def test_a_trustee_that_was_revoked_gets_no_seed(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    before = land.registry().view()
    land.ministry.revoke("pine")
    land.one.learn()
    sent = land.send(asked, land.plan(asked, registry=before), registry_checkpoint=land.checkpoint(view=before))
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, sent)
    assert (raised.value.reason, land.one.charged()) == ("bad-plan", 0)


def test_a_plan_on_an_older_registry_than_the_requests(tmp_path: Path) -> None:
    """All else about it is right, and what the registry has said since might be that a university or a trustee is gone."""
    land, _ = country(tmp_path)
    before = land.registry().view()
    land.ministry.register("researcher", "zhang-min")
    land.one.learn()
    asked = land.ask()
    older = land.send(asked, land.plan(asked, registry=before), registry_checkpoint=land.checkpoint(view=before))
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, older)
    assert (raised.value.reason, land.one.charged()) == ("bad-plan", 0)
    assert land.submit(asked, land.send(asked)).verdict == RELEASED


def test_a_second_registry_that_all_three_trustees_have_cosigned(tmp_path: Path) -> None:
    """Of the same size, signed by its log: this node has verified another one and believes that."""
    land, asked = country(tmp_path)
    leaves = [leaf_hash(each) for each in [*land.ministry.entries[:-1], b"an entry that nobody else has seen"]]
    log = land.ministry.registry_log
    note = sign_checkpoint(log.name, len(leaves), root(leaves), log)
    shown = add_cosignatures(note, [land.ministry.cosigners[name].cosign(note, T0) for name in TRUSTEES])
    view = RegistryView(size=len(leaves), root=encode_base64(root(leaves)))
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, land.send(asked, land.plan(asked, registry=view), registry_checkpoint=shown))
    assert (raised.value.reason, land.one.charged()) == ("bad-plan", 0)


def test_a_registry_ahead_of_this_nodes(tmp_path: Path) -> None:
    land, _ = country(tmp_path)
    land.ministry.register("node", "univ-z")
    asked = land.ask()
    assert land.answer(asked).answers[0].verdict == FAILED
    with pytest.raises(NotVerified) as raised:
        land.submit(asked, land.send(asked))
    assert raised.value.reason == "bad-plan"
    land.one.learn()
    assert land.answer(asked).answers[0].verdict == READY
    assert land.submit(asked, land.send(asked)).verdict == RELEASED


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"release": ("per_node",)}, "mode"),
        ({"smallest": 13}, "too-few"),
        ({"rho": RHO - 1}, "budget-period"),
    ],
)
def test_the_policy_refuses_the_question_and_the_plan(tmp_path: Path, policy: dict[str, Any], reason: str) -> None:
    land, asked = country(tmp_path)
    land.allow(**policy)
    answer = land.answer(asked).answers[0]
    assert (answer.verdict, answer.reason, Decision.read(answer.decision).plan) == (REFUSED, reason, None)
    sent = land.send(asked)
    reply = land.submit(asked, sent)
    said = Decision.read(reply.decision)
    assert (reply.verdict, reply.reason, reply.vector, reply.submit) == (REFUSED, reason, b"", b"")
    assert (said.verdict, said.reason, said.plan) == ("refuse", reason, statement_id(sent.note))
    size = len(land.one.entries())
    assert (land.submit(asked, sent), len(land.one.entries())) == (reply, size), "said again it is logged once"
    assert (land.one.charged(), land.engine.hidden) == (0, [])
    land.allow()
    assert land.submit(asked, sent).verdict == RELEASED, "the very same plan, now allowed"


def test_a_plan_that_may_come_to_be_of_fewer(tmp_path: Path) -> None:
    """Twelve are asked and twelve are in the roster; with half of them allowed to drop out it is a sum of six."""
    land, asked = country(tmp_path)
    assert land.answer(asked).answers[0].verdict == READY
    reply = land.submit(asked, land.send(asked, land.plan(asked, tolerance=Tolerance(500_000, 50_000))))
    assert (reply.verdict, reply.reason, land.one.charged()) == (REFUSED, "too-few", 0)


def test_own_figures_are_refused_by_a_rule_for_national_sums_alone(tmp_path: Path) -> None:
    land, _ = country(tmp_path)
    answer = land.answer(land.ask(national(mode="per_node"))).answers[0]
    assert (answer.verdict, answer.reason, land.one.charged()) == (REFUSED, "mode", 0)


def test_a_held_request_waits_for_the_steward(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    land.allow(mode="hold")
    assert land.answer(asked).answers[0].verdict == HELD
    sent = land.send(asked)
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason, Decision.read(reply.decision).verdict) == (HELD, "held", "hold")
    assert land.one.charged() == 0
    requests.decide(land.one.node.journal, asked.id, allow=True)
    assert land.answer(asked).answers[0].verdict == READY
    assert land.submit(asked, sent).verdict == RELEASED


def test_a_held_request_that_the_steward_refuses(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    land.allow(mode="hold")
    land.answer(asked)
    requests.decide(land.one.node.journal, asked.id, allow=False)
    reply = land.submit(asked, land.send(asked))
    assert (reply.verdict, reply.reason, land.one.charged()) == (REFUSED, "refused-by-steward", 0)


def test_a_plan_whose_deadline_is_over(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    land.one.now[0] = T0 + 3601
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason, Decision.read(reply.decision).plan) == (REFUSED, "round-over", statement_id(sent.note))
    assert (land.one.charged(), land.engine.hidden) == (0, [])


def test_an_expired_request(tmp_path: Path) -> None:
    land, _ = country(tmp_path)
    asked = land.ask(expiry=T0 + 100)
    sent = land.send(asked)
    land.one.now[0] = T0 + 101
    with pytest.raises(Invalid) as raised:
        land.submit(asked, sent)
    assert (raised.value.reason, land.one.charged()) == ("expired", 0)
    with pytest.raises(Invalid):
        land.answer(asked)


def test_a_request_that_was_charged_begins_no_round_after_it_has_expired(tmp_path: Path) -> None:
    land, _ = country(tmp_path)
    asked = land.ask(expiry=T0 + 100)
    sent = land.send(asked)
    land.submit(asked, sent)
    land.one.now[0] = T0 + 101
    assert land.submit(asked, sent).verdict == RELEASED
    with pytest.raises(Invalid):
        land.submit(asked, land.send(asked))
    answer = land.answer(asked).answers[0]
    assert (answer.verdict, answer.reason, land.one.charged()) == (REFUSED, "expired", RHO)


def test_nobody_pays_for_rows_that_are_gone_and_a_charge_for_them_stays(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    land.engine.gone.add("00000000000000a1")
    assert (land.submit(asked, land.send(asked)).verdict, land.one.charged()) == (FAILED, 0)
    land.engine.gone.clear()
    sent = land.send(asked)
    land.engine.on_tally = lambda: 1 / 0  # type: ignore[assignment,return-value]
    reply = land.submit(asked, sent)
    assert (reply.verdict, reply.reason, Decision.read(reply.decision).verdict) == (FAILED, "failed", "charge")
    assert land.one.charged() == RHO


def test_another_researchers_request_is_not_allowed(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    land.one.policy(budget={"student": {"period": "year", "rho": 10**12, "lifetime": 10**12}})
    reply = land.submit(asked, land.send(asked))
    assert (reply.verdict, reply.reason, land.one.charged()) == (REFUSED, "not-allowed", 0)


def test_a_node_that_the_registry_no_longer_holds_submits_nothing(tmp_path: Path) -> None:
    land, asked = country(tmp_path)
    sent = land.send(asked)
    land.ministry.revoke(NODE)
    land.one.learn()
    with pytest.raises(Refused):
        land.submit(asked, sent)
    assert land.one.charged() == 0
