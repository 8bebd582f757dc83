"""Joining a federation and renewing a certificate: what a newcomer does with its token, whatever its role.

Everything secret is made on this machine and stays on it. The steps are safe to repeat: a lost reply or a crash anywhere is mended
by running `join` again with the same token, which sends the identical registration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from collegium.errors import Invalid, NotVerified
from collegium.keys import load_cosigner, load_signer, log_name, save_secret, save_signer, statements_name, witness_name
from collegium.log.cosign import CosignerSigner
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.registration import Invitation, Party
from collegium.statements import Renewal
from collegium.tls import dns_name, identity_of, make_key_and_csr
from collegium.token import Token
from collegium.transport.status import from_rpc
from collegium.v1.enrolment_pb2 import JoinRequest, RenewRequest
from collegium.v1.enrolment_pb2_grpc import EnrolmentStub

__all__ = ["Keys", "channel", "redeem", "renew"]

TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a party keeps its secrets. Trusted with being that party: who reads `statements` can sign as it."""

    folder: Path

    @property
    def statements(self) -> Path:
        return self.folder / "statements"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def witness(self) -> Path:
        """The cosigner key of a node or trustee: with it the party confirms checkpoints of other logs."""
        return self.folder / "witness"

    @property
    def certificate(self) -> Path:
        return self.folder / "tls.pem"

    @property
    def tls_key(self) -> Path:
        return self.folder / "tls.key"

    @property
    def request(self) -> Path:
        """The signing request for `tls_key`, sent again at every renewal."""
        return self.folder / "tls.csr"

    def tls(self) -> tuple[bytes, bytes]:
        """Certificate chain and private key, PEM. Raises Invalid when this machine has not joined."""
        try:
            return self.certificate.read_bytes(), self.tls_key.read_bytes()
        except OSError as error:
            text = f"cannot be read: {error.strerror}"
            raise Invalid(text, place=str(self.folder), remedy="Join the federation first.") from None


def redeem(token: Token, keys: Keys, *, clock: Callable[[], float]) -> Invitation:
    """Makes this machine's keys and redeems the invitation of `token`. Returns the invitation: role, name and facts.

    1. The token has been checked by `parse_token`: its invitation is signed by the registry key it pins. It has not expired.
    2. Keys are made, or found from an earlier try, and written before anything is sent.
    3. The registration is signed by the one-time key and by the new key, and kept: a repeat sends the same bytes.
    4. The certificate that comes back must name this party, or it is not kept.

    Raises:
        NotVerified: the token does not verify, or the coordinator's answer does not.
        Invalid: the token has expired or was used by somebody else.
        Offline: the enrolment port cannot be reached.
    """
    # (1)
    invitation = token.invited
    if clock() > invitation.expiry:
        raise Invalid("the token has expired", place="token", remedy="Ask the ministry for a new one.")
    if invitation.replaces and not (keys.folder / "registration").exists():
        text = f"this token replaces the keys of {invitation.name}, and they are not in this folder"
        remedy = "Use it where the old keys are. Are they lost, the ministry revokes the name and invites another."
        raise Invalid(text, place=str(keys.folder), remedy=remedy)
    # (2)
    federation = token.federation
    statements = _keep(keys.statements, statements_name(federation, invitation.name))
    log = _keep(keys.log, log_name(federation, invitation.name)) if invitation.role != "researcher" else None
    witness = _keep_cosigner(keys.witness, witness_name(federation, invitation.name)) if log is not None else None
    if not keys.request.exists():
        key, csr = make_key_and_csr(federation, invitation.role, invitation.name)
        save_secret(keys.tls_key, key, replace=True)
        save_secret(keys.request, csr)
        # Crash between the two: the next try makes both anew; the lone key was never certified.
    # (3)
    kept = keys.folder / "registration"
    if not kept.exists():
        party = Party(
            invitation=statement_id(token.invitation),
            role=invitation.role,
            name=invitation.name,
            statements=statements.vkey,
            log=log.vkey if log is not None else None,
            cosigner=witness.vkey if witness is not None else None,
            time=int(clock()),
        )
        save_secret(kept, party.sign(token.one_time, statements))
    # Crash here: keys and registration are on disk, nothing was sent; the next try sends them.
    with channel(token.address, token.ca) as line:
        call = JoinRequest(invitation=token.invitation, registration=kept.read_bytes(), csr=keys.request.read_bytes())
        try:
            reply = EnrolmentStub(line).Join(call, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise from_rpc(error, place=token.address) from None
    # (4)
    _accept(reply.certificate, federation, invitation.role, invitation.name, keys)
    return invitation


def renew(address: str, ca: bytes, signer: Signer, keys: Keys, *, clock: Callable[[], float]) -> None:
    """Fetches a new certificate for the existing key; works also after the old certificate has expired."""
    federation, role, name = identity_of(keys.certificate.read_bytes())
    csr = keys.request.read_bytes()
    proof = Renewal(party=name, time=int(clock()), csr=hashlib.sha256(csr).hexdigest()).sign(signer)
    with channel(address, ca) as line:
        try:
            reply = EnrolmentStub(line).Renew(RenewRequest(proof=proof, csr=csr), timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise from_rpc(error, place=address) from None
    _accept(reply.certificate, federation, role, name, keys)


def _keep(path: Path, name: str) -> Signer:
    """The key at `path`, made when there is none. A key of another name is never overwritten."""
    if not path.exists():
        save_signer(path, Signer.generate(name))
    signer = load_signer(path)
    _check_holder(path, signer.name, name)
    return signer


def _keep_cosigner(path: Path, name: str) -> CosignerSigner:
    """The same for a party's key as a witness."""
    if not path.exists():
        save_signer(path, CosignerSigner.generate(name))
    cosigner = load_cosigner(path)
    _check_holder(path, cosigner.name, name)
    return cosigner


def _check_holder(path: Path, found: str, name: str) -> None:
    if found != name:
        raise Invalid(f"the key there is {found}, the token is for {name}", place=str(path), remedy="Join with a fresh folder.")


def _accept(certificate: bytes, federation: str, role: str, name: str, keys: Keys) -> None:
    if identity_of(certificate) != (federation, role, name):
        raise NotVerified("the certificate is for another party", place="enrolment", remedy="Tell the ministry.")
    save_secret(keys.certificate, certificate, replace=True)


def channel(address: str, ca: bytes) -> grpc.Channel:
    """A line to the enrolment port: only the server proves itself."""
    credentials = grpc.ssl_channel_credentials(root_certificates=ca)
    return grpc.secure_channel(address, credentials, options=(("grpc.ssl_target_name_override", dns_name("coordinator")),))
