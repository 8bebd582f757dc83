"""The registry's chain: what extends it, and a table of every link an attacker would try to forge."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import CollegiumError, Invalid, NotVerified, Refused
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer, sign_note
from collegium.log.statement import sign_statement, statement_id
from collegium.registry import Registry
from collegium.statements import Federation, Invitation, Party, Revocation, SchemaEntry
from collegium.tls import make_ca

FED = "example"
CA = make_ca(FED, clock=lambda: 1_700_000_000.0)[0].decode()
TOML = """
name = "higher-education"
version = {version}
title.en = "Higher education"
units.student.title.en = "student"
codes.province."11".en = "Beijing"
codes.province."34".en = "Anhui"
facts.province = {{ title = {{ en = "province" }}, codes = "province" }}
[datasets.graduate]
title.en = "Graduates"
unit = "student"
person = "id"
columns.male = {{ type = "boolean", title.en = "male" }}
"""


def key(name: str, number: int) -> Signer:
    """A key of that name; numbers keep keys apart and tests repeatable."""
    return Signer.from_seed(name, number.to_bytes(32, "big"))


REGISTRY = key(f"{FED}/registry/statements", 1)
LOG = key(f"{FED}/registry", 2)
COORDINATOR = key(f"{FED}/coordinator/statements", 3)
COORDINATOR_LOG = key(f"{FED}/coordinator", 4)
STRANGER = key(f"{FED}/registry/statements", 99)


def founding(signer: Signer = REGISTRY, **changes: str) -> bytes:
    keys = {"registry": REGISTRY, "registry_log": LOG, "coordinator": COORDINATOR, "coordinator_log": COORDINATOR_LOG}
    fields = {name: each.vkey for name, each in keys.items()} | {"federation": FED, "ca": CA, "delta": "1e-6"} | changes
    return Federation(time=1, **fields).sign(signer)  # type: ignore[arg-type]


def schema(version: int, signer: Signer = REGISTRY, *, name: str = "higher-education", says: int | None = None) -> bytes:
    toml = TOML.format(version=says or version)
    return SchemaEntry(name=name, version=version, toml=toml, time=2).sign(signer)


def invite(
    name: str,
    one_time: Signer,
    signer: Signer = REGISTRY,
    *,
    role: str = "node",
    facts: dict[str, str] | None = None,
    replaces: bool = False,
    time: int = 3,
) -> bytes:
    facts = facts if facts is not None else ({"province": "11"} if role == "node" else {})
    enrolment = 20_000 if role == "node" else 0
    body = {"role": role, "name": name, "facts": facts, "enrolment": enrolment, "expiry": 100, "key": one_time.vkey, "time": time}
    return Invitation(**body, replaces=True if replaces else None).sign(signer)  # type: ignore[arg-type]


def cosigner_beside(log: Signer, name: str) -> CosignerSigner:
    """The cosigner key that this test's nodes have beside a log key."""
    return CosignerSigner.from_seed(f"{FED}/{name}/witness", hashlib.sha256(log.seed).digest())


def party(
    invitation: bytes, name: str, statements: Signer, log: Signer | None, *signers: Signer, role: str = "node", time: int = 9
) -> bytes:
    return Party(
        invitation=statement_id(invitation),
        role=role,  # type: ignore[arg-type]
        name=name,
        statements=statements.vkey,
        log=log.vkey if log is not None else None,
        cosigner=cosigner_beside(log, name).vkey if log is not None else None,
        time=time,
    ).sign(*signers)


@dataclass
class Newcomer:
    """A newcomer's three keys and its two entries."""

    name: str
    number: int
    role: str = "node"
    replaces: bool = False
    one_time: Signer = field(init=False)
    statements: Signer = field(init=False)
    log: Signer | None = field(init=False)

    def __post_init__(self) -> None:
        self.one_time = key(f"{FED}/{self.name}/invitation", self.number)
        self.statements = key(f"{FED}/{self.name}/statements", self.number + 1)
        self.log = key(f"{FED}/{self.name}", self.number + 2) if self.role == "node" else None

    def invitation(self, time: int = 3) -> bytes:
        return invite(self.name, self.one_time, role=self.role, replaces=self.replaces, time=time)

    def party(self, *more: Signer) -> bytes:
        return party(self.invitation(), self.name, self.statements, self.log, self.one_time, self.statements, *more, role=self.role)

    def entries(self) -> list[bytes]:
        return [self.invitation(), self.party()]


ALPHA, BETA, RITA = Newcomer("alpha", 100), Newcomer("beta", 200), Newcomer("rita", 300, role="researcher")
BASE = [founding(), schema(1), *ALPHA.entries(), *RITA.entries()]


def head(entries: list[bytes], signer: Signer = LOG, origin: str = f"{FED}/registry") -> bytes:
    return sign_checkpoint(origin, len(entries), root([leaf_hash(entry) for entry in entries]), signer)


def registry(*more: bytes) -> Registry:
    made = Registry(REGISTRY.vkey)
    made.extend([*BASE, *more])
    return made


def revocation(name: str, signer: Signer = REGISTRY, time: int = 50) -> bytes:
    return Revocation(name=name, time=time, reason="test").sign(signer)


# ---- what a valid registry says


def test_a_registry_says_who_is_who() -> None:
    made = Registry(REGISTRY.vkey)
    made.extend(BASE, head(BASE))
    assert (made.federation, made.delta, made.size, made.schema.id) == (FED, 1e-6, 6, "higher-education/1")
    assert made.ca.decode() == CA
    assert made.registry_key == REGISTRY.verifier
    assert made.registry_log == LOG.verifier
    assert made.coordinator == COORDINATOR.verifier
    assert made.coordinator_log == COORDINATOR_LOG.verifier
    assert b64decode(made.root) == root([leaf_hash(entry) for entry in BASE])
    assert made.view() == made.view_at(6)
    assert made.view().root == made.root
    assert made.entries == tuple(BASE)
    assert made.checkpoint == head(BASE)
    alpha = made.party("alpha")
    assert (alpha.role, alpha.facts, alpha.enrolment, alpha.index) == ("node", {"province": "11"}, 20_000, 3)
    assert ALPHA.log is not None
    assert (alpha.statements, alpha.log) == (ALPHA.statements.verifier, ALPHA.log.verifier)
    assert made.party("rita").log is None
    assert [node.name for node in made.nodes()] == ["alpha"]
    assert [each.name for each in made.researchers()] == ["rita"]
    assert made.invitation(statement_id(ALPHA.invitation())).closed == 3


def test_a_registry_grows_in_any_steps_to_the_same_state() -> None:
    whole, slow, lapped = Registry(REGISTRY.vkey), Registry(REGISTRY.vkey), Registry(None)
    whole.extend(BASE)
    for index, entry in enumerate(BASE):
        slow.extend([entry], head(BASE[: index + 1]))
        lapped.extend(BASE[: index + 1], first=0)
        assert slow.view() == lapped.view() == whole.view_at(index + 1)
    assert slow.parties() == lapped.parties() == whole.parties()


def test_the_checkpoint_is_that_of_the_present_size_or_none() -> None:
    made = registry()
    assert made.checkpoint is None
    made.extend([], head(BASE))
    assert made.checkpoint == head(BASE)
    made.extend([])
    assert made.checkpoint == head(BASE)
    made.extend(BETA.entries())
    assert made.checkpoint is None


def test_an_empty_registry_knows_nobody() -> None:
    empty = Registry(REGISTRY.vkey)
    assert empty.view().size == 0
    assert empty.nodes() == []
    for ask in (lambda: empty.federation, lambda: empty.schema, lambda: empty.party("alpha"), lambda: empty.coordinator):
        with pytest.raises(Refused):
            ask()


def test_unknown_parties_and_invitations_are_refused_by_identity() -> None:
    for ask in (lambda: registry().party("nobody"), lambda: registry().invitation("0" * 64)):
        with pytest.raises(Refused) as caught:
            ask()
        assert (caught.value.by, caught.value.reason) == ("identity", "identity")


def test_a_revoked_party_is_refused_and_still_known_as_of_then() -> None:
    made = registry(revocation("alpha"))
    with pytest.raises(Refused, match="revoked"):
        made.party("alpha")
    assert made.nodes() == []
    assert [each.revoked for each in made.parties()] == [True, False]
    assert made.party("alpha", at=6).statements == ALPHA.statements.verifier
    with pytest.raises(Refused, match="not registered"):
        made.party("alpha", at=3)


def test_a_revoked_name_can_be_invited_again_with_new_keys() -> None:
    again = Newcomer("alpha", 500)
    made = registry(revocation("alpha"), *again.entries())
    assert made.party("alpha").statements == again.statements.verifier
    assert made.party("alpha", at=6).statements == ALPHA.statements.verifier
    assert [node.index for node in made.nodes()] == [8]


def test_a_replacement_signed_by_the_old_key_takes_over() -> None:
    new = Newcomer("alpha", 600, replaces=True)
    made = registry(new.invitation(), new.party(ALPHA.statements))
    assert made.party("alpha").statements == new.statements.verifier
    assert made.party("alpha", at=7).statements == ALPHA.statements.verifier
    assert len(made.nodes()) == 1
    new.log = ALPHA.log  # a replacement may keep its own log
    assert registry(new.invitation(), new.party(ALPHA.statements)).party("alpha").log == made.party("alpha", at=7).log


def test_newer_schemas_rule_facts_and_older_ones_stay_readable() -> None:
    made = registry(schema(3))
    assert made.schema.id == "higher-education/3"
    assert list(made.schemas) == ["higher-education/1", "higher-education/3"]


# ---- what an attacker would try: each case is refused and changes nothing

E, B, R = key(f"{FED}/eve/invitation", 900), BETA, RITA
eve_keys = key(f"{FED}/eve/statements", 901), key(f"{FED}/eve", 902)
eve_invited = invite("eve", E)
ALPHA_AGAIN = Newcomer("alpha", 600, replaces=True)
SECOND = invite("alpha", key(f"{FED}/alpha/invitation", 700))


def by_eve(*signers: Signer, invitation: bytes = eve_invited, name: str = "eve", role: str = "node", time: int = 9) -> bytes:
    return party(invitation, name, *eve_keys, *(signers or (E, eve_keys[0])), role=role, time=time)


FORGED: dict[str, tuple[str, list[bytes]]] = {
    # (1) the form
    "not a note": ("not separated by an empty line", [b"hello"]),
    "another kind": ("not a registration", [sign_statement("request", {"what": "revocation"}, REGISTRY)]),
    "unknown registration": ("does not know this kind", [sign_statement("registration", {"what": "witness", "time": 1}, REGISTRY)]),
    "no what": ("does not know this kind", [sign_statement("registration", {"name": "alpha"}, REGISTRY)]),
    "what of another type": ("does not know this kind", [sign_statement("registration", {"what": ["party"]}, REGISTRY)]),
    "unknown field": (
        "Extra inputs",
        [sign_statement("registration", {"what": "revocation", "name": "alpha", "time": 1, "reason": "", "x": 1}, REGISTRY)],
    ),
    "null for absent": (
        "not in its canonical form",
        [
            sign_statement(
                "registration",
                {
                    "what": "party",
                    "invitation": "0" * 64,
                    "role": "node",
                    "name": "eve",
                    "statements": eve_keys[0].vkey,
                    "log": None,
                    "time": 1,
                },
                E,
            )
        ],
    ),
    "number as text": (
        "valid integer",
        [sign_statement("registration", {"what": "revocation", "name": "alpha", "time": "1", "reason": ""}, REGISTRY)],
    ),
    "bool as number": (
        "valid integer",
        [sign_statement("registration", {"what": "revocation", "name": "alpha", "time": True, "reason": ""}, REGISTRY)],
    ),
    "loose JSON": ("not in canonical form", [sign_note('collegium/v1/registration\n{"what": "revocation"}\n', REGISTRY)]),
    "the same entry again": ("in the registry already", [BASE[1]]),
    "replayed revocation": (
        "in the registry already",
        [revocation("alpha"), *Newcomer("alpha", 500).entries(), revocation("alpha")],
    ),
    "replayed revocation with a signature more": (
        "in the registry already",
        [
            revocation("alpha"),
            *Newcomer("alpha", 500).entries(),
            Revocation(name="alpha", time=50, reason="test").sign(REGISTRY, STRANGER),
        ],
    ),
    # (2) the founding
    "founded twice": ("founded once", [founding(delta="2e-6")]),
    # (3) the registry's signature
    "schema by a stranger": ("is not signed by example/registry/statements", [schema(2, STRANGER)]),
    "schema by the log key": ("is not signed by example/registry/statements", [schema(2, LOG)]),
    "schema by the coordinator": ("is not signed by example/registry/statements", [schema(2, COORDINATOR)]),
    "invitation by a stranger": ("is not signed by example/registry/statements", [invite("eve", E, STRANGER)]),
    "invitation by the coordinator": ("is not signed by example/registry/statements", [invite("eve", E, COORDINATOR)]),
    "invitation by the log key": ("is not signed by example/registry/statements", [invite("eve", E, LOG)]),
    "invitation by a node": ("is not signed by example/registry/statements", [invite("eve", E, ALPHA.statements)]),
    "invitation by itself": ("is not signed by example/registry/statements", [invite("eve", E, E)]),
    "revocation by a stranger": ("is not signed by example/registry/statements", [revocation("alpha", STRANGER)]),
    "revocation by the coordinator": ("is not signed by example/registry/statements", [revocation("alpha", COORDINATOR)]),
    "revocation by another node": ("is not signed by example/registry/statements", [revocation("rita", ALPHA.statements)]),
    # (4) the schema
    "older schema": ("keeps its name and has a higher version", [schema(3), schema(2)]),
    "same version": (
        "keeps its name and has a higher version",
        [
            schema(3),
            SchemaEntry(name="higher-education", version=3, toml=TOML.format(version=3) + "\n", time=9).sign(REGISTRY),
        ],
    ),
    "schema of another name": (
        "keeps its name and has a higher version",
        [
            SchemaEntry(name="other", version=2, toml=TOML.format(version=2).replace("higher-education", "other"), time=2).sign(
                REGISTRY
            )
        ],
    ),
    "schema that moves a dataset to another privacy unit": (
        "for ever",
        [
            SchemaEntry(
                name="higher-education",
                version=2,
                toml=TOML.format(version=2).replace('unit = "student"', 'unit = "pupil"').replace("units.student", "units.pupil"),
                time=2,
            ).sign(REGISTRY)
        ],
    ),
    "schema with another version inside": ("another schema than its text", [schema(4, says=5)]),
    "schema that is no TOML": (
        "Invalid statement",
        [SchemaEntry(name="higher-education", version=2, toml="=", time=2).sign(REGISTRY)],
    ),
    "schema with absurd numbers": (
        "out of all proportion",
        [
            SchemaEntry(
                name="higher-education",
                version=2,
                toml=TOML.format(version=2)
                + 'columns.a = { type = "decimal", title.en = "a", min = 0, max = 1e99, step = 1e-99 }\n',
                time=2,
            ).sign(REGISTRY)
        ],
    ),
    "schema with endless digits": (
        "4300 digits",
        [SchemaEntry(name="higher-education", version=2, toml="version = " + "9" * 5000, time=2).sign(REGISTRY)],
    ),
    # (5) the invitation
    "invitation to a taken name": ("is taken", [SECOND]),
    "invitation to a reserved name": ("is reserved", [invite("coordinator", key(f"{FED}/coordinator/invitation", 901))]),
    "invitation with an unknown code": ("has no code", [invite("eve", E, facts={"province": "99"})]),
    "invitation with an unknown fact": ("has no code", [invite("eve", E, facts={"planet": "11"})]),
    "researcher with facts": ("only nodes have facts", [invite("eve", E, role="researcher", facts={"province": "11"})]),
    "one-time key of another name": ("key is named", [invite("eve", key(f"{FED}/mallory/invitation", 900))]),
    "one-time key used before": ("is already that of", [invite("eve", key(f"{FED}/eve/invitation", 100))]),
    "one-time key that is a node's": ("is already that of", [invite("eve", key(f"{FED}/eve/invitation", 101))]),
    "replacement of nobody": ("keys could be replaced", [invite("eve", E, replaces=True)]),
    "replacement in another role": (
        "keys could be replaced",
        [invite("rita", key(f"{FED}/rita/invitation", 950), role="node", replaces=True)],
    ),
    # (6) the answer to it
    "party without invitation": ("no such invitation", [by_eve()]),
    "party before its invitation": ("no such invitation", [by_eve(), eve_invited]),
    "party twice": (
        "redeemed or cancelled",
        [
            eve_invited,
            by_eve(),
            party(
                eve_invited, "eve", key(f"{FED}/eve/statements", 911), key(f"{FED}/eve", 912), E, key(f"{FED}/eve/statements", 911)
            ),
        ],
    ),
    "party after expiry": ("had expired", [eve_invited, by_eve(time=101)]),
    "party of another name": (
        "another name or role",
        [
            eve_invited,
            party(
                eve_invited,
                "mallory",
                key(f"{FED}/mallory/statements", 901),
                key(f"{FED}/mallory", 902),
                E,
                key(f"{FED}/mallory/statements", 901),
            ),
        ],
    ),
    "party of another role": (
        "another name or role",
        [eve_invited, party(eve_invited, "eve", eve_keys[0], None, E, eve_keys[0], role="researcher")],
    ),
    "node without a log": (
        "a node or trustee has a log and a cosigner key",
        [eve_invited, party(eve_invited, "eve", eve_keys[0], None, E, eve_keys[0])],
    ),
    "researcher with a log": (
        "a researcher has neither",
        [
            invite("eve", E, role="researcher"),
            by_eve(invitation=invite("eve", E, role="researcher"), role="researcher"),
        ],
    ),
    "second invitation to a name, redeemed late": (
        "is taken",
        [
            B.invitation(),
            invite("beta", key(f"{FED}/beta/invitation", 250), time=4),
            B.party(),
            party(
                invite("beta", key(f"{FED}/beta/invitation", 250), time=4),
                "beta",
                key(f"{FED}/beta/statements", 251),
                key(f"{FED}/beta", 252),
                key(f"{FED}/beta/invitation", 250),
                key(f"{FED}/beta/statements", 251),
            ),
        ],
    ),
    "invitation cancelled by revocation": ("redeemed or cancelled", [eve_invited, revocation("eve"), by_eve()]),
    "replacement of a party revoked meanwhile": (
        "redeemed or cancelled",
        [
            ALPHA_AGAIN.invitation(),
            revocation("alpha"),
            ALPHA_AGAIN.party(ALPHA.statements),
        ],
    ),
    # (7) its signatures
    "party without the one-time key": ("not signed by example/eve/invitation", [eve_invited, by_eve(eve_keys[0])]),
    "party without its own key": ("not signed by example/eve/statements", [eve_invited, by_eve(E)]),
    "party signed by the registry instead": ("not signed by example/eve/invitation", [eve_invited, by_eve(REGISTRY, eve_keys[0])]),
    "party with a bad signature beside good ones": (
        "does not fit the text",
        [
            eve_invited,
            by_eve() + by_eve(E, eve_keys[0], time=8)[by_eve(E, eve_keys[0], time=8).rindex("— ".encode()) :],
        ],
    ),
    "replacement without the old key": ("not signed by example/alpha/statements", [ALPHA_AGAIN.invitation(), ALPHA_AGAIN.party()]),
    "replacement by the registry instead of the old key": (
        "not signed by example/alpha/statements",
        [ALPHA_AGAIN.invitation(), ALPHA_AGAIN.party(REGISTRY)],
    ),
    # (8) its keys
    "statement key of another name": (
        "key is named",
        [eve_invited, party(eve_invited, "eve", ALPHA.statements, eve_keys[1], E, ALPHA.statements)],
    ),
    "log key of another name": (
        "key is named",
        [eve_invited, party(eve_invited, "eve", eve_keys[0], key(f"{FED}/alpha", 902), E, eve_keys[0])],
    ),
    "another's statement key under the own name": (
        "is already that of",
        [
            eve_invited,
            party(eve_invited, "eve", key(f"{FED}/eve/statements", 101), eve_keys[1], E, key(f"{FED}/eve/statements", 101)),
        ],
    ),
    "one key for statements and log": (
        "is already that of",
        [eve_invited, party(eve_invited, "eve", eve_keys[0], key(f"{FED}/eve", 901), E, eve_keys[0])],
    ),
    "the one-time key as statement key": (
        "is already that of",
        [
            eve_invited,
            party(eve_invited, "eve", key(f"{FED}/eve/statements", 900), eve_keys[1], E, key(f"{FED}/eve/statements", 900)),
        ],
    ),
    "the coordinator's key as log key": (
        "is already that of",
        [eve_invited, party(eve_invited, "eve", eve_keys[0], key(f"{FED}/eve", 3), E, eve_keys[0])],
    ),
    "a revoked key back under its name": (
        "is already that of",
        [
            revocation("alpha"),
            invite("alpha", key(f"{FED}/alpha/invitation", 700)),
            party(
                invite("alpha", key(f"{FED}/alpha/invitation", 700)),
                "alpha",
                ALPHA.statements,
                key(f"{FED}/alpha", 702),
                key(f"{FED}/alpha/invitation", 700),
                ALPHA.statements,
            ),
        ],
    ),
    # (9) revocation
    "revocation of nobody": ("to revoke", [revocation("nobody")]),
    "revocation twice": ("to revoke", [revocation("alpha"), revocation("alpha", time=51)]),
}


def valid_pair(entries: list[bytes]) -> list[bytes]:
    """A valid pair before the forged entries, so that "all or nothing" is seen; left out where the case uses beta itself."""
    return [] if any(b'"name":"beta"' in entry for entry in entries) else BETA.entries()


@pytest.mark.parametrize(("reason", "entries"), FORGED.values(), ids=FORGED.keys())
def test_forged_chains_are_refused_whole(reason: str, entries: list[bytes]) -> None:
    made = registry()
    before = (made.view(), made.entries, made.parties(), made.invitations())
    with pytest.raises(Invalid, match=re.escape(reason)) as caught:  # NotVerified is one
        made.extend([*valid_pair(entries), *entries])
    assert caught.value.place.startswith("registry entry ")
    assert (made.view(), made.entries, made.parties(), made.invitations()) == before


FALSE_STARTS: dict[str, tuple[str, list[bytes]]] = {
    "another registry key": ("machine pinned", [founding(STRANGER, registry=STRANGER.vkey)]),
    "the pinned key named, another signed": ("is not signed by example/registry/statements", [founding(STRANGER)]),
    "signed by the log key": ("is not signed by example/registry/statements", [founding(LOG)]),
    "nothing founded": ("first entry founds", [schema(1)]),
    "invitation first": ("first entry founds", [invite("eve", E)]),
    "party first": ("first entry founds", [by_eve()]),
    "revocation first": ("first entry founds", [revocation("alpha")]),
    "misnamed registry key": ("key is named", [founding(registry=key(f"{FED}/registry", 1).vkey)]),
    "misnamed log key": ("key is named", [founding(registry_log=key(f"{FED}/registry/log", 2).vkey)]),
    "one key for two jobs": ("is already that of", [founding(registry_log=key(f"{FED}/registry", 1).vkey)]),
    "the coordinator holds the registry's log key": (
        "is already that of",
        [founding(coordinator_log=key(f"{FED}/coordinator", 2).vkey)],
    ),
    "keys of another federation": ("key is named", [founding(federation="other")]),
    "no certificate": ("not a certificate", [founding(ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]),
    "no key": ("name+id+base64", [founding(coordinator="example/coordinator/statements")]),
}


@pytest.mark.parametrize(("reason", "entries"), FALSE_STARTS.values(), ids=FALSE_STARTS.keys())
def test_false_beginnings_are_refused(reason: str, entries: list[bytes]) -> None:
    made = Registry(REGISTRY.vkey)
    with pytest.raises(Invalid, match=re.escape(reason)):
        made.extend(entries)
    assert made.size == 0


@pytest.mark.parametrize("delta", ["0", "1", "0.0", "2e-0", "1e6", "-1e-6", "nan", "1E-6", " 1e-6", "1e-6\n"])
def test_delta_is_a_plain_decimal_between_0_and_1(delta: str) -> None:
    body = Federation.read(founding()).to_body() | {"delta": delta}
    with pytest.raises(Invalid):
        Registry(REGISTRY.vkey).extend([sign_statement("registration", body, REGISTRY)])


# ---- the log key orders, and is bound to what it showed

LONGER = [*BASE, *BETA.entries()]
OTHER_ORDER = [BASE[0], BASE[1], *RITA.entries(), *ALPHA.entries()]
HEADS: dict[str, tuple[str, list[bytes], Callable[[], bytes]]] = {
    "of an earlier size": ("sizes never fall", [], lambda: head(BASE[:5])),
    "of a later size": ("above the 6 entries shown", [], lambda: head(LONGER)),
    "of another history": ("two histories", [], lambda: head(OTHER_ORDER)),
    "of the size before the new entries": ("sizes never fall", BETA.entries(), lambda: head(BASE)),
    "by a stranger": ("not signed by", [], lambda: head(BASE, key(f"{FED}/registry", 77))),
    "by the registry key": ("not signed by", [], lambda: head(BASE, REGISTRY, REGISTRY.name)),
    "of the coordinator's log": ("not signed by", [], lambda: head(BASE, COORDINATOR_LOG, COORDINATOR_LOG.name)),
    "no checkpoint": ("not separated", [], lambda: b"hello"),
    "an entry": ("not signed by", [], lambda: BASE[0]),
    "empty": ("not separated", [], lambda: b""),
}


@pytest.mark.parametrize(("reason", "entries", "checkpoint"), HEADS.values(), ids=HEADS.keys())
def test_checkpoints_that_do_not_fit_are_refused(reason: str, entries: list[bytes], checkpoint: Callable[[], bytes]) -> None:
    made = registry()
    made.extend([], head(BASE))
    with pytest.raises(Invalid, match=re.escape(reason)):
        made.extend(entries, checkpoint())
    assert (made.size, made.checkpoint) == (6, head(BASE))


def test_a_registry_that_changes_its_past_is_refused() -> None:
    made = registry()
    with pytest.raises(NotVerified, match="another entry than before"):
        made.extend(OTHER_ORDER, first=0)
    with pytest.raises(NotVerified, match="another entry than before"):
        made.extend([BASE[5] + BASE[5][BASE[5].rindex("— ".encode()) :], *BETA.entries()], first=5)
    for first in (-1, 7):
        with pytest.raises(Invalid, match="do not follow"):
            made.extend([], first=first)
    made.extend([BASE[4], BASE[5], *BETA.entries()], head(LONGER), first=4)
    assert made.size == 8


def test_an_empty_registry_takes_no_checkpoint() -> None:
    with pytest.raises(NotVerified):
        Registry(REGISTRY.vkey).extend([], head([]))


# ---- hostile bytes


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_mutated_chains_raise_only_our_errors_and_change_nothing(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(BASE) - 1))
    entry = BASE[number]
    start = data.draw(st.integers(0, len(entry)))
    end = data.draw(st.integers(start, min(len(entry), start + 4)))
    changed = entry[:start] + data.draw(st.binary(max_size=4)) + entry[end:]
    made = Registry(REGISTRY.vkey)
    try:
        made.extend([*BASE[:number], changed, *BASE[number + 1 :]], head(BASE))
    except CollegiumError:
        assert made.size == 0
    else:
        assert changed == entry


@given(
    st.dictionaries(
        st.sampled_from(["what", "name", "time", "role", "facts", "key", "toml", "ca", "log", "invitation", "x"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.sampled_from(["party", "schema", "federation", "invitation", "revocation", "node", "alpha"])
            | st.text(alphabet='aZ9/+\n\\"é', max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab", max_size=2), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=8,
    )
)
@settings(deadline=None, max_examples=300)
def test_signed_nonsense_raises_only_our_errors(body: dict[str, object]) -> None:
    made = registry()
    with pytest.raises(Invalid):
        made.extend([sign_statement("registration", body, REGISTRY)])
    assert made.size == 6
