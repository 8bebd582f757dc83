"""`recover --new-log`: new keys, a new log, and every budget that the lost one may have spent counted as spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onenode import _CA, FED, NODE, T0, OneNode, Researcher, certify, federation, question

from collegium.enrolment import Keys
from collegium.errors import Invalid, Offline
from collegium.keys import invitation_name, save_secret
from collegium.log.note import Signer
from collegium.statements import Policy
from collegium.tls import issue
from collegium.token import Token, make_token
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node import newlog
from collegium_node.home import Home, Node
from collegium_node.newlog import new_log

RHO = 1_000
YEAR = 366 * 86_400


@pytest.fixture
def world(tmp_path: Path) -> tuple[OneNode, Researcher, str]:
    """A node that has charged something, and a token by which it may replace its keys."""
    one, researcher = federation(tmp_path / "home")
    one.home.config_file.write_text(f'[node]\nname = "{NODE}"\n', encoding="utf-8")
    chain, key, csr = certify("node", NODE)
    for path, content in ((one.home.keys.certificate, chain), (one.home.keys.tls_key, key), (one.home.keys.request, csr)):
        save_secret(path, content)
    one.allow(researcher, rho=10 * RHO, lifetime=20 * RHO)
    assert one.answer(researcher.ask(question(RHO))).answers[0].verdict == QuestionAnswer.RELEASED
    one_time = Signer.generate(invitation_name(FED, NODE))
    token = make_token(
        address="localhost:1", service="localhost:2", ca=_CA.encode(), federation=FED, registry=one.ministry.registry_key.vkey,
        invitation=one.ministry.invite(NODE, one_time, replaces=True), one_time=one_time,
    )  # fmt: skip
    return one, researcher, token


class Coordinator:
    """Takes the registration once, and the identical one again; then shows a registry that has it."""

    def __init__(self, one: OneNode) -> None:
        self.one = one
        self.taken: list[bytes] = []

    def enrol(self, token: Token, registration: bytes, csr: bytes) -> bytes:
        if registration not in self.taken:
            self.taken.append(registration)
            self.one.ministry.entries.append(registration)
        from onenode import _CA_KEY, _CA_PEM

        return issue(_CA_PEM, _CA_KEY, csr, role="node", name=NODE, hosts=["localhost"], lifetime=86_400.0)

    def fetch(self, node: Node, keys: Keys) -> object:
        return node.members.learn(0, self.one.ministry.entries, self.one.ministry.checkpoint())


def opened(one: OneNode) -> OneNode:
    again = OneNode.__new__(OneNode)
    again.ministry = one.ministry
    again.attach(one.home.root)
    return again


def begin(one: OneNode, token: str, there: Coordinator) -> dict[str, int]:
    return new_log(one.home, token, clock=lambda: one.now[0], enrol=there.enrol, fetch=there.fetch)


def test_a_new_log_counts_everything_as_spent(world: tuple[OneNode, Researcher, str]) -> None:
    one, researcher, token = world
    there, size = Coordinator(one), len(one.entries())
    old_key = one.node.journal.verifier
    one.node.close()
    assert begin(one, token, there) == {"student": 20 * RHO, "staff": 20 * RHO}
    new = opened(one)
    assert new.node.journal.verifier != old_key
    assert len(new.entries()) == 2  # the registry it begins with, and the policy
    body = Policy.read(new.entries("policy")[0])
    assert body.policy["lost"] == {unit: {"rho": 20 * RHO, "time": T0 + 10} for unit in ("student", "staff")}
    assert [snapshot.current for snapshot in body.snapshots] == [True]
    new.node.members.check_own()
    asked = researcher.ask(question(RHO, value=1))
    assert new.answer(asked).answers[0].reason == "budget-lifetime"
    # The steward raises the lifetime budget: what was lost still counts, in that period and for ever.
    new.allow(researcher, rho=10 * RHO, lifetime=25 * RHO, lost=body.policy["lost"])
    assert new.answer(researcher.ask(question(RHO, value=2))).answers[0].reason == "budget-period"
    new.now[0] += YEAR
    assert (
        new.answer(researcher.ask(question(5 * RHO, value=3), expiry=T0 + 2 * YEAR)).answers[0].verdict == QuestionAnswer.RELEASED
    )
    assert new.answer(researcher.ask(question(RHO, value=4), expiry=T0 + 2 * YEAR)).answers[0].reason == "budget-lifetime"
    former = list((one.home.root / "former").iterdir())
    assert len(former) == 1
    old = Home(one.home.root).open_at(former[0] / "node.db", Keys(former[0] / "keys"), lambda: 0.0)
    assert old.journal.verify() == size
    old.close()
    new.node.close()
    with pytest.raises(Invalid, match="used here"):
        begin(one, token, there)


def test_the_stewards_file_cannot_drop_what_was_lost(world: tuple[OneNode, Researcher, str]) -> None:
    from collegium_node.steward import InForce, sign_draft

    one, _, token = world
    one.node.close()
    one.home.policy_file.write_text("[budget.student]\nperiod = 'year'\nrho = 1\nlifetime_rho = 3\n", encoding="utf-8")
    lost = begin(one, token, Coordinator(one))
    assert lost["student"] == 3 * 10**9  # set since the backup, and perhaps spent
    new = opened(one)
    sign_draft(new.node)
    assert (InForce(new.node.journal)().lost or {})["student"].rho == 3 * 10**9


@pytest.mark.parametrize("step", range(6))
def test_a_crash_anywhere_and_the_same_command_again(
    world: tuple[OneNode, Researcher, str], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, token = world
    there = Coordinator(one)
    one.node.close()
    left = [step]
    real: Callable[..., Any] = newlog._move

    def crash(*args: Any, **more: Any) -> None:
        if left[0] == 0:
            left[0] = -1
            raise KeyboardInterrupt
        left[0] -= 1
        real(*args, **more)

    monkeypatch.setattr(newlog, "_move", crash)
    with pytest.raises(KeyboardInterrupt):
        begin(one, token, there)
    begin(one, token, there)
    new = opened(one)
    assert new.node.journal.verify() == 2
    new.node.members.check_own()
    assert len(there.taken) == 1


def test_an_unreachable_coordinator_changes_nothing(world: tuple[OneNode, Researcher, str]) -> None:
    one, _, token = world
    entries = one.entries()
    one.node.close()

    def gone(*_: object) -> bytes:
        raise Offline("gone")

    with pytest.raises(Offline):
        new_log(one.home, token, clock=lambda: one.now[0], enrol=gone)
    assert opened(one).entries() == entries
    begin(one, token, Coordinator(one))


def test_a_token_for_somebody_else_is_none(world: tuple[OneNode, Researcher, str]) -> None:
    one, _, _ = world
    one_time = Signer.generate(invitation_name(FED, "univ-x"))
    token = make_token(
        address="localhost:1", service="localhost:2", ca=_CA.encode(), federation=FED, registry=one.ministry.registry_key.vkey,
        invitation=one.ministry.invite("univ-x", one_time), one_time=one_time,
    )  # fmt: skip
    with pytest.raises(Invalid, match="does not invite this node"):
        begin(one, token, Coordinator(one))
