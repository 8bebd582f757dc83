"""Replacing a party's keys: the ministry invites the name again (`invite --replace`), and the party redeems that token where
its old key is. The registration is signed by the invitation's one-time key, by the new key and by the old one, so nobody else
can take the name. The log of a node or trustee and its key as a witness stay what they are, unless the log is lost
(`collegium_node.newlog`).

    (1) keys     new ones in `fresh`, written before anything is sent, and the registration, made once
    (2) enrol    the coordinator takes the registration and gives a certificate for the new keys
    (3) replace  the old keys move away, the new ones take their place

The same command with the same token goes on from wherever it stopped. The old key's holder can do nothing with it from the
moment the registry has the new one; what it signed before stays good.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc

from collegium.enrolment import TIMEOUT, Keys, channel
from collegium.errors import Invalid, NotVerified
from collegium.keys import load_cosigner, load_signer, log_name, save_secret, save_signer, statements_name, witness_name
from collegium.log.cosign import CosignerSigner
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.registration import Party
from collegium.tls import identity_of, make_key_and_csr
from collegium.token import Token
from collegium.transport.status import from_rpc
from collegium.v1.enrolment_pb2 import JoinRequest
from collegium.v1.enrolment_pb2_grpc import EnrolmentStub

__all__ = ["Enrol", "certified", "former_folder", "register_anew", "send", "take_place"]

Enrol = Callable[[Token, bytes, bytes], bytes]
"""(token, registration, signing request) to a certificate chain."""


def former_folder(root: Path, token: Token) -> Path:
    """Where what a token replaces is kept: one folder for each token."""
    return root / "former" / statement_id(token.invitation)[:16]


def certified(token: Token, keys: Keys, fresh: Keys, *, clock: Callable[[], float], enrol: Enrol, keep_log: bool) -> None:
    """Steps (1) and (2): `fresh` holds the new keys with their certificate. `keep_log`: a party goes on with its log and cosigner.

    Raises Invalid when the token does not replace a key or has expired; NotVerified, Refused, Offline from the coordinator.
    """
    if not token.invited.replaces:
        raise Invalid("this token replaces no keys", place="token", remedy="The ministry makes one with `invite ... --replace`.")
    if fresh.certificate.exists():
        return
    if clock() > token.invited.expiry:
        raise Invalid("the token has expired", place="token", remedy="Ask the ministry for a new one.")
    registration = register_anew(token, keys, fresh, clock=clock, keep_log=keep_log)
    # Crash here: keys and registration are on the disk; the next try sends the same bytes.
    chain = enrol(token, registration, fresh.request.read_bytes())
    if identity_of(chain) != (token.federation, token.invited.role, token.invited.name):
        raise NotVerified("the certificate is for another party", place="enrolment", remedy="Tell the ministry.")
    save_secret(fresh.certificate, chain)


def register_anew(token: Token, keys: Keys, fresh: Keys, *, clock: Callable[[], float], keep_log: bool) -> bytes:
    """New keys and their registration, made once: a repeat gives the same bytes."""
    federation, name, role = token.federation, token.invited.name, token.invited.role
    kept = fresh.folder / "registration"
    if not kept.exists():
        for path in (fresh.statements, fresh.log, fresh.witness, fresh.tls_key, fresh.request):
            path.unlink(missing_ok=True)  # of a try that crashed before anything was sent
        old, statements = load_signer(keys.statements), Signer.generate(statements_name(federation, name))
        key, csr = make_key_and_csr(federation, role, name)
        save_secret(fresh.tls_key, key)
        save_secret(fresh.request, csr)
        save_signer(fresh.statements, statements)
        log = witness = None
        if role != "researcher":
            log = load_signer(keys.log) if keep_log else Signer.generate(log_name(federation, name))
            # A node that joined before nodes were witnesses has no such key yet, and gets one.
            there = keep_log and keys.witness.exists()
            witness = load_cosigner(keys.witness) if there else CosignerSigner.generate(witness_name(federation, name))
            save_signer(fresh.log, log)
            save_signer(fresh.witness, witness)
        party = Party(
            invitation=statement_id(token.invitation), role=role, name=name, statements=statements.vkey,
            log=log.vkey if log else None, cosigner=witness.vkey if witness else None, time=int(clock()),
        )  # fmt: skip
        save_secret(kept, party.sign(token.one_time, statements, old))
    return kept.read_bytes()


def send(token: Token, registration: bytes, csr: bytes) -> bytes:
    """Hand the registration in at the enrolment port; the certificate chain."""
    with channel(token.address, token.ca) as line:
        try:
            call = JoinRequest(invitation=token.invitation, registration=registration, csr=csr)
            return bytes(EnrolmentStub(line).Join(call, timeout=TIMEOUT).certificate)
        except grpc.RpcError as error:
            raise from_rpc(error, place=token.address) from None


def take_place(keys: Keys, fresh: Keys, former: Path) -> None:
    """Step (3). Repeating it after a crash does what is left of it; done already, it does nothing."""
    former.mkdir(parents=True, exist_ok=True, mode=0o700)
    if fresh.folder.exists() and keys.folder.exists() and not (former / "keys").exists():
        keys.folder.rename(former / "keys")
        # Crash here: neither old nor new keys are in their place; the same command moves the new ones there.
    if fresh.folder.exists() and not keys.folder.exists():
        fresh.folder.rename(keys.folder)
