"""Joining and renewing: an invitation is redeemed once, by whoever was invited, and nobody else gets a certificate."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from typing import Any

import pytest

from collegium.errors import CollegiumError, Invalid, NotVerified, Refused
from collegium.keys import log_name, statements_name, witness_name
from collegium.log.cosign import CosignerSigner
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.registration import Invitation, Party
from collegium.statements import Renewal
from collegium.tls import identity_of, make_key_and_csr
from collegium.token import Token, parse_token
from collegium.v1.enrolment_pb2 import JoinRequest, RenewRequest


class Newcomer:
    """One machine with its own keys, and the calls it makes."""

    def __init__(self, token: Token, *, clock: float) -> None:
        self.token = token
        self.invited = token.invited
        self.statements = Signer.generate(statements_name("demo", self.invited.name))
        self.log = Signer.generate(log_name("demo", self.invited.name)) if self.invited.role == "node" else None
        self.witness = CosignerSigner.generate(witness_name("demo", self.invited.name)) if self.invited.role == "node" else None
        self.csr = self.new_csr()
        self.time = int(clock)

    def new_csr(self) -> bytes:
        return make_key_and_csr("demo", self.invited.role, self.invited.name)[1]

    def party(self, **changes: Any) -> Party:
        body = Party(
            invitation=statement_id(self.token.invitation),
            role=self.invited.role,
            name=self.invited.name,
            statements=self.statements.vkey,
            log=self.log.vkey if self.log else None,
            cosigner=self.witness.vkey if self.witness else None,
            time=self.time,
        )
        return body.model_copy(update=changes)

    def call(self, **changes: Any) -> JoinRequest:
        fields = {
            "invitation": self.token.invitation,
            "registration": self.party().sign(self.token.one_time, self.statements),
            "csr": self.csr,
        }
        return JoinRequest(**(fields | changes))


@pytest.fixture
def served(federation: Any) -> Any:
    """Runs a test's body, given the enrolment servicer, beside a serving coordinator."""

    def run(body: Any) -> None:
        async def main() -> None:
            async with federation.serving() as coordinator:
                await asyncio.to_thread(body, coordinator)

        asyncio.run(main())

    return run


def newcomer(federation: Any, role: str = "researcher", name: str = "alice", **more: Any) -> Newcomer:
    return Newcomer(parse_token(federation.invite(role, name, **more)), clock=federation.clock())


def test_a_lost_reply_is_mended_by_the_identical_call(federation: Any, served: Any) -> None:
    def body(coordinator: Any) -> None:
        alice = newcomer(federation)
        replies = [coordinator.enrolment.join(alice.call()) for _ in range(3)]
        assert {reply.registry_size for reply in replies} == {4}  # federation, schema, invitation, party
        assert {identity_of(reply.certificate) for reply in replies} == {("demo", "researcher", "alice")}
        assert coordinator.registry.registry.party("alice").statements.vkey == alice.statements.vkey

    served(body)


def test_a_second_redemption_is_refused(federation: Any, served: Any) -> None:
    def body(coordinator: Any) -> None:
        alice = newcomer(federation)
        coordinator.enrolment.join(alice.call())
        thief = Newcomer(alice.token, clock=federation.clock())  # the same token, other keys
        with pytest.raises(Refused, match="used"):
            coordinator.enrolment.join(thief.call())
        assert coordinator.registry.registry.party("alice").statements.vkey == alice.statements.vkey

    served(body)


def test_a_registration_is_public_and_buys_a_stranger_no_certificate(federation: Any, served: Any) -> None:
    def body(coordinator: Any) -> None:
        alice = newcomer(federation)
        coordinator.enrolment.join(alice.call())
        stolen = coordinator.registry.registry.entries[-1]
        with pytest.raises(Refused, match="used"):
            coordinator.enrolment.join(alice.call(registration=stolen, csr=alice.new_csr()))

    served(body)


def test_an_invitation_expires_by_the_coordinators_own_clock(federation: Any, served: Any) -> None:
    def body(coordinator: Any) -> None:
        alice = newcomer(federation, expires=60)
        federation.offset = 120.0
        with pytest.raises(Refused, match="expired"):
            coordinator.enrolment.join(alice.call())  # its registration still claims to be in time
        assert coordinator.registry.size == 3

    served(body)


def test_a_cancelled_invitation_is_refused(federation: Any, served: Any) -> None:
    def body(coordinator: Any) -> None:
        alice = newcomer(federation)
        federation.revoke("alice")
        with pytest.raises(Refused, match="cancelled"):
            coordinator.enrolment.join(alice.call())

    served(body)


def _forged_invitation(alice: Newcomer, federation: Any) -> JoinRequest:
    """A taken-over coordinator invites by itself, with every key it holds but the registry key."""
    own = Signer.generate(statements_name("demo", "registry"))
    invitation = Invitation.read(alice.token.invitation).model_copy(update={"name": "mallory"}).sign(own)
    party = alice.party(invitation=statement_id(invitation), name="mallory")
    return alice.call(invitation=invitation, registration=party.sign(alice.token.one_time, alice.statements))


BAD_JOINS: dict[str, tuple[Any, type[CollegiumError]]] = {
    "an invitation nobody signed": (_forged_invitation, Refused),
    "not signed by the one-time key": (lambda a, f: a.call(registration=a.party().sign(a.statements)), NotVerified),
    "not signed by its own key": (lambda a, f: a.call(registration=a.party().sign(a.token.one_time)), NotVerified),
    "another name than invited": (
        lambda a, f: a.call(registration=a.party(name="bob").sign(a.token.one_time, a.statements)),
        Invalid,
    ),
    "another role than invited": (
        lambda a, f: a.call(registration=a.party(role="node").sign(a.token.one_time, a.statements)),
        Invalid,
    ),
    "another invitation sent along": (lambda a, f: a.call(invitation=a.call().registration), NotVerified),
    "no registration": (lambda a, f: a.call(registration=b""), Invalid),
    "a signing request that is none": (lambda a, f: a.call(csr=b"\0" * 100), Invalid),
    "a huge signing request": (lambda a, f: a.call(csr=b"\0" * 100_000), Invalid),
}


@pytest.mark.parametrize("case", BAD_JOINS)
def test_a_bad_join_registers_nobody_and_leaves_the_invitation_open(federation: Any, served: Any, case: str) -> None:
    make, error = BAD_JOINS[case]

    def body(coordinator: Any) -> None:
        alice = newcomer(federation)
        with pytest.raises(error):
            coordinator.enrolment.join(make(alice, federation))
        assert coordinator.registry.size == 3
        coordinator.enrolment.join(alice.call())
        assert coordinator.registry.registry.party("alice").role == "researcher"

    served(body)


def test_errors_reach_the_newcomer_with_their_remedy(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving():
            token = await asyncio.to_thread(federation.invite, "researcher", "alice")
            keys = await federation.join("researcher", "bob")
            from collegium.enrolment import Keys, redeem

            first, second = Keys(federation.folder / "one"), Keys(federation.folder / "two")
            here = federation.at_home(token)
            await asyncio.to_thread(redeem, here, first, clock=federation.clock)
            await asyncio.to_thread(redeem, here, first, clock=federation.clock)  # as after a lost reply
            with pytest.raises(Refused, match="Ask for a new token"):
                await asyncio.to_thread(redeem, here, second, clock=federation.clock)
            assert not second.certificate.exists()
            assert keys.certificate.exists()

    asyncio.run(run())


def _proof(alice: Newcomer, csr: bytes, federation: Any, **changes: Any) -> RenewRequest:
    signer = changes.pop("signer", alice.statements)
    body = {"party": "alice", "time": int(federation.clock()), "csr": hashlib.sha256(csr).hexdigest()} | changes
    return RenewRequest(proof=Renewal(**body).sign(signer), csr=csr)


def test_a_certificate_is_renewed_by_the_statement_key_alone(federation: Any, served: Any) -> None:
    def body(coordinator: Any) -> None:
        alice = newcomer(federation)
        coordinator.enrolment.join(alice.call())
        csr = alice.new_csr()
        reply = coordinator.enrolment.renew(_proof(alice, csr, federation))
        assert identity_of(reply.certificate) == ("demo", "researcher", "alice")
        stranger = Signer.generate(statements_name("demo", "alice"))
        bad = {
            "another key": _proof(alice, csr, federation, signer=stranger),
            "another request": RenewRequest(proof=_proof(alice, csr, federation).proof, csr=alice.new_csr()),
            "an old proof": _proof(alice, csr, federation, time=int(federation.clock()) - 3600),
            "nobody": _proof(alice, csr, federation, party="zoe"),
        }
        for request in bad.values():
            with pytest.raises(CollegiumError):
                coordinator.enrolment.renew(request)
        federation.revoke("alice")
        with pytest.raises(Refused, match="revoked"):
            coordinator.enrolment.renew(_proof(alice, csr, federation))

    served(body)


def test_replacing_keys_ends_the_old_join_and_the_old_certificate(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving() as coordinator:
            old = Newcomer(parse_token(await asyncio.to_thread(federation.invite, "researcher", "alice")), clock=federation.clock())
            coordinator.enrolment.join(old.call())
            token = parse_token(await asyncio.to_thread(federation.invite, "researcher", "alice", replaces=True))
            new = Newcomer(token, clock=federation.clock())
            registration = new.party().sign(token.one_time, new.statements, old.statements)
            coordinator.enrolment.join(new.call(registration=registration))
            with pytest.raises(Refused, match="used"):
                coordinator.enrolment.join(old.call())  # the identical call, but the name is another's key now
            assert coordinator.registry.registry.party("alice").statements.vkey == new.statements.vkey

    asyncio.run(run())


def test_a_token_is_shown_once_and_the_seed_is_kept_nowhere(federation: Any) -> None:
    token = parse_token(federation.invite("researcher", "alice"))
    seed = token.one_time.seed
    for path in federation.folder.rglob("*"):
        if path.is_file():
            assert seed not in path.read_bytes()
    assert dataclasses.replace(token).one_time.seed == seed
