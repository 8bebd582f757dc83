"""Which nodes witness which log: the registry's rule for the entry, and what a reader gets for a log at a size."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from collegium.errors import Invalid, NotVerified
from collegium.log.cosign import CosignerSigner
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.registration import (
    Federation,
    Invitation,
    Party,
    Revocation,
    SchemaEntry,
    WitnessedLog,
    Witnesses,
    least_quorum,
    read_registration,
)
from collegium.registry import Registry
from collegium.tls import make_ca

FED = "example"
CA = make_ca(FED)[0].decode()
TOML = """\
schema = "demo"
version = 1
title = "d"

[[dataset]]
name = "students"
title = "s"
privacy_unit = "student"
"""


def signer(name: str) -> Signer:
    return Signer.from_seed(f"{FED}/{name}", hashlib.sha256(name.encode()).digest())


def cosigner(name: str, number: int = 1) -> CosignerSigner:
    return CosignerSigner.from_seed(f"{FED}/{name}/witness", hashlib.sha256(f"witness {name} {number}".encode()).digest())


REGISTRY = signer("registry/statements")
NODES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


def joined(name: str, role: str = "node", number: int = 1, replaces: bool = False, **changes: Any) -> list[bytes]:
    one_time = signer(f"{name}/invitation")
    if replaces:
        one_time = Signer.from_seed(one_time.name, hashlib.sha256(b"again").digest())
    own = Signer.from_seed(f"{FED}/{name}/statements", hashlib.sha256(f"{name} {number}".encode()).digest())
    invitation = Invitation(
        role=role, name=name, facts={}, enrolment=0, expiry=100, key=one_time.vkey, time=3, replaces=True if replaces else None
    ).sign(REGISTRY)
    body: dict[str, Any] = {
        "invitation": statement_id(invitation),
        "role": role,
        "name": name,
        "statements": own.vkey,
        "log": signer(name).vkey if role == "node" else None,
        "cosigner": cosigner(name, number).vkey if role == "node" else None,
        "time": 4,
    }
    old = [Signer.from_seed(own.name, hashlib.sha256(f"{name} 1".encode()).digest())] if replaces else []
    return [invitation, Party(**body | changes).sign(one_time, own, *old)]


FOUNDING = Federation(
    federation=FED,
    registry=REGISTRY.vkey,
    registry_log=signer("registry").vkey,
    coordinator=signer("coordinator/statements").vkey,
    coordinator_log=signer("coordinator").vkey,
    ca=CA,
    delta="1e-6",
    time=1,
).sign(REGISTRY)
BASE = [FOUNDING, *(entry for name in NODES for entry in joined(name)), *joined("rita", "researcher")]


def assigned(origin: str, witnesses: tuple[str, ...], quorum: int, *, key: Signer = REGISTRY, time: int = 9) -> bytes:
    return Witnesses(time=time, logs=(WitnessedLog(origin=f"{FED}/{origin}", witnesses=witnesses, quorum=quorum),)).sign(key)


def registry(*more: bytes) -> Registry:
    made = Registry(REGISTRY.vkey)
    made.extend([*BASE, *more])
    return made


def test_a_node_registers_its_cosigner_key() -> None:
    made = registry()
    assert made.party("alpha").cosigner == cosigner("alpha").verifier
    assert made.party("rita").cosigner is None
    assert made.witnesses_of(f"{FED}/alpha") == ({}, 0)


def test_quorums_are_those_of_the_issue() -> None:
    """q >= floor((n+f)/2)+1 with f = floor((n-1)/3)."""
    assert [least_quorum(count) for count in (3, 4, 5)] == [2, 3, 4]


def test_the_newest_assignment_counts_and_older_ones_for_older_sizes() -> None:
    first = assigned("alpha", ("beta", "delta", "gamma"), 2)
    second = assigned("alpha", ("beta", "delta", "epsilon", "gamma"), 3)
    made = registry(first, second)
    size = len(BASE)
    keys, quorum = made.witnesses_of(f"{FED}/alpha")
    assert (list(keys), quorum) == (["beta", "delta", "epsilon", "gamma"], 3)
    assert keys["beta"] == cosigner("beta").verifier
    keys, quorum = made.witnesses_of(f"{FED}/alpha", at=size + 1)
    assert (list(keys), quorum) == (["beta", "delta", "gamma"], 2)
    assert made.witnesses_of(f"{FED}/alpha", at=size) == ({}, 0)
    assert made.witnesses_of(f"{FED}/beta") == ({}, 0)


@pytest.mark.parametrize("origin", ["registry", "coordinator", "zeta"])
def test_every_log_of_the_federation_can_have_witnesses(origin: str) -> None:
    keys, quorum = registry(assigned(origin, ("alpha", "beta", "delta", "epsilon", "gamma"), 4)).witnesses_of(f"{FED}/{origin}")
    assert (len(keys), quorum) == (5, 4)


def test_one_entry_assigns_many_logs() -> None:
    logs = tuple(
        WitnessedLog(origin=f"{FED}/{name}", witnesses=("beta", "delta", "gamma"), quorum=2)
        for name in ("alpha", "epsilon", "zeta")
    )
    made = registry(Witnesses(time=9, logs=logs).sign(REGISTRY))
    assert all(made.witnesses_of(log.origin)[1] == 2 for log in logs)


def test_a_revoked_witness_is_left_out_and_the_quorum_stays() -> None:
    revoked = Revocation(name="beta", time=10, reason="").sign(REGISTRY)
    made = registry(assigned("alpha", ("beta", "delta", "gamma"), 2), revoked)
    keys, quorum = made.witnesses_of(f"{FED}/alpha")
    assert (list(keys), quorum) == (["delta", "gamma"], 2)
    assert list(made.witnesses_of(f"{FED}/alpha", at=len(BASE) + 1)[0]) == ["beta", "delta", "gamma"]


def test_a_witness_that_replaces_its_keys_witnesses_with_the_new_one() -> None:
    made = registry(assigned("alpha", ("beta", "delta", "gamma"), 2), *joined("beta", number=2, replaces=True))
    assert made.witnesses_of(f"{FED}/alpha")[0]["beta"] == cosigner("beta", 2).verifier
    assert made.witnesses_of(f"{FED}/alpha", at=len(BASE) + 1)[0]["beta"] == cosigner("beta").verifier


def test_a_replacement_may_keep_its_cosigner_key() -> None:
    made = registry(*joined("beta", number=2, replaces=True, cosigner=cosigner("beta").vkey))
    assert made.party("beta").cosigner == cosigner("beta").verifier


def test_a_log_can_be_left_without_witnesses_by_name() -> None:
    """A federation that shrinks below four nodes must be able to say so; every audit then does."""
    made = registry(assigned("alpha", ("beta", "delta", "gamma"), 2), assigned("alpha", (), 0))
    assert made.witnesses_of(f"{FED}/alpha") == ({}, 0)


FORGED: dict[str, tuple[str, list[bytes]]] = {
    "not the registry's key": ("not signed", [assigned("alpha", ("beta", "delta", "gamma"), 2, key=signer("coordinator"))]),
    "its own witness": ("cannot witness its own log", [assigned("alpha", ("alpha", "beta", "gamma"), 2)]),
    "a researcher": ("no node", [assigned("alpha", ("beta", "gamma", "rita"), 2)]),
    "a stranger": ("no node", [assigned("alpha", ("beta", "gamma", "omega"), 2)]),
    "a revoked node": (
        "no node",
        [Revocation(name="beta", time=8, reason="").sign(REGISTRY), assigned("alpha", ("beta", "delta", "gamma"), 2)],
    ),
    "no log": ("there is no log", [assigned("omega", ("beta", "delta", "gamma"), 2)]),
    "a researcher's log": ("there is no log", [assigned("rita", ("beta", "delta", "gamma"), 2)]),
    "a revoked node's log": (
        "there is no log",
        [Revocation(name="alpha", time=8, reason="").sign(REGISTRY), assigned("alpha", ("beta", "delta", "gamma"), 2)],
    ),
    "the same entry twice": ("the same statement", [assigned("alpha", ("beta", "delta", "gamma"), 2)] * 2),
    "a node without a cosigner key": ("a cosigner key", joined("eta", cosigner=None)),
    "a researcher with one": ("neither", joined("eve", "researcher", cosigner=cosigner("eve").vkey)),
    "a cosigner key of another name": ("is named", joined("eta", cosigner=cosigner("beta", 9).vkey)),
    "a log key as cosigner key": ("type 4", joined("eta", cosigner=signer("eta/witness").vkey)),
    "another's cosigner key": (
        "already that of",
        joined("eta", cosigner=CosignerSigner(f"{FED}/eta/witness", cosigner("beta").seed).vkey),
    ),
    "its own log key's bytes": (
        "already that of",
        joined("eta", cosigner=CosignerSigner(f"{FED}/eta/witness", signer("eta").seed).vkey),
    ),
}


@pytest.mark.parametrize(("reason", "entries"), FORGED.values(), ids=FORGED.keys())
def test_what_the_registry_refuses(reason: str, entries: list[bytes]) -> None:
    made = registry()
    with pytest.raises(Invalid, match=reason):
        made.extend(entries)
    assert made.size == len(BASE)


@pytest.mark.parametrize(
    ("witnesses", "quorum"),
    [
        (["beta", "gamma"], 2),
        (["beta"], 1),
        (["alpha", "beta", "delta", "epsilon", "gamma", "zeta"], 5),
        (["beta", "delta", "gamma"], 1),
        (["beta", "delta", "gamma"], 4),
        (["beta", "delta", "epsilon", "gamma"], 2),
        (["alpha", "beta", "delta", "epsilon", "gamma"], 3),
        (["beta", "gamma", "delta"], 2),
        (["beta", "beta", "gamma"], 2),
        ([], 1),
    ],
)
def test_numbers_and_order_that_cannot_be_signed(witnesses: list[str], quorum: int) -> None:
    log = {"origin": f"{FED}/alpha", "witnesses": witnesses, "quorum": quorum}
    with pytest.raises(Invalid):
        Witnesses.from_body({"what": "witnesses", "time": 9, "logs": [log]})


def test_an_entry_names_a_log_once_and_at_least_one() -> None:
    log = {"origin": f"{FED}/alpha", "witnesses": ["beta", "delta", "gamma"], "quorum": 2}
    other = log | {"origin": f"{FED}/zeta"}
    for logs in ([], [log, log], [other, log]):
        with pytest.raises(Invalid):
            Witnesses.from_body({"what": "witnesses", "time": 9, "logs": logs})
    assert isinstance(Witnesses.from_body({"what": "witnesses", "time": 9, "logs": [log, other]}), Witnesses)
    assert isinstance(read_registration(assigned("alpha", ("beta", "delta", "gamma"), 2)), Witnesses)


def test_a_schema_entry_is_no_assignment() -> None:
    with pytest.raises(NotVerified):
        registry(SchemaEntry(name="other", version=1, toml=TOML, time=1).sign(signer("coordinator")))
