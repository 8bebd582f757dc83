"""The enrolment port: newcomers redeem an invitation once, and parties fetch new certificates.

The only service without a client certificate. Whoever calls it proves himself: with the invitation's one-time key and his own key
(Join), or with the registered statement key (Renew). Nothing here can register anybody whom the registry key has not invited: the
entry goes through the same verification as on every node's disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import TypeVar

from collegium.errors import CollegiumError, Invalid, NotVerified, Refused
from collegium.log.statement import statement_id
from collegium.registration import Party
from collegium.statements import Renewal
from collegium.v1.enrolment_pb2 import JoinReply, JoinRequest, RenewReply, RenewRequest
from collegium_coordinator.ca import Authority, fingerprint
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["Enrolment"]

Reply = TypeVar("Reply")

log = logging.getLogger("collegium.coordinator.enrol")

RENEWAL_SKEW = 900  # seconds a renewal's time may be off


class Enrolment:
    """The servicer. `on_grown` is called when the registry has a new entry."""

    def __init__(
        self,
        store: Store,
        registry: RegistryLog,
        authority: Authority,
        *,
        clock: Callable[[], float],
        on_grown: Callable[[], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._authority = authority
        self._clock = clock
        self._on_grown = on_grown
        self._few = asyncio.Semaphore(4)

    async def Join(self, request: JoinRequest, _context: object) -> JoinReply:
        """See enrolment.proto."""
        reply = await self._work("join", lambda: self.join(request))
        self._on_grown()
        return reply

    async def Renew(self, request: RenewRequest, _context: object) -> RenewReply:
        """See enrolment.proto."""
        return await self._work("renewal", lambda: self.renew(request))

    async def _work(self, what: str, work: Callable[[], Reply]) -> Reply:
        """In a thread of its own, and to its end even when the newcomer hangs up. Few at a time: anybody may call this port."""
        async with self._few:
            try:
                return await asyncio.shield(asyncio.to_thread(work))
            except CollegiumError as error:
                log.warning("a %s was refused: %s", what, error)
                raise

    def join(self, request: JoinRequest) -> JoinReply:
        """Redeem an invitation.

        1. The registration is a Party entry that names an invitation of the registry, the very one sent along.
        2. Redeemed already: the identical call (same registration, same signing request) gets a certificate again, because the
           first reply may have been lost. Anything else is refused; above all another signing request, because a registration is
           public and must not buy a stranger a certificate in the party's name.
        3. The invitation has not expired by our own clock.
        4. The signing request is sound: tried before anything is registered.
        5. The entry is verified by the registry (signatures of the one-time key and the newcomer's own, name free, times) and
           appended, together with the digest of the signing request.
        6. The certificate is issued and noted.

        Raises:
            Invalid, NotVerified, Refused: nothing was registered.
        """
        # (1)
        self._registry.refresh()
        party = Party.read(request.registration)
        invited = self._registry.registry.invitation(party.invitation)
        if statement_id(request.invitation) != party.invitation:
            raise NotVerified("the registration answers another invitation", place="invitation")
        csr = hashlib.sha256(request.csr).hexdigest()
        registration = hashlib.sha256(request.registration).hexdigest()
        # (2)
        joined = self._joined(party.invitation)
        if joined not in (None, (registration, csr)) or (joined is None and invited.closed is not None):
            raise _used()
        if joined is None:
            # (3)
            if self._clock() > invited.body.expiry:
                raise Refused(
                    "the invitation has expired", by="identity", place="token", remedy="Ask for a new one.", reason="expired"
                )
            # (4)
            self._authority.issue(request.csr, role=party.role, name=party.name)
            # (5)
            binding = (party.invitation, registration, csr)
            try:
                self._registry.append(
                    bytes(request.registration), also=lambda db: db.execute("INSERT INTO joins VALUES (?, ?, ?)", binding)
                )
                log.info("%s %s joined", party.role, party.name)
            except CollegiumError:
                if self._joined(party.invitation) != (registration, csr):  # the identical call, twice at once
                    raise
        # (6) Crash here: registered without a certificate; the identical call comes again and gets one.
        registered = self._registry.registry.party(party.name)
        if registered.index != self._registry.registry.invitation(party.invitation).closed:
            raise _used()  # the name has been given to another key since
        return JoinReply(
            certificate=self._issue(request.csr, registered.role, registered.name, registered.index),
            registry_size=self._registry.size,
        )

    def renew(self, request: RenewRequest) -> RenewReply:
        """A new certificate for a registered party.

        1. The proof names the party and is signed by the statement key the registry has for it; a revoked party has none.
        2. It was made now, for this signing request. Seen again, it gives the same key a certificate, which helps nobody else.
        3. The certificate is issued and noted.

        Raises:
            Refused: unknown or revoked. NotVerified, Invalid: the proof or the signing request is wrong.
        """
        # (1)
        self._registry.refresh()
        claimed = Renewal.read(request.proof)
        registered = self._registry.registry.party(claimed.party)
        proof = Renewal.open(request.proof, [registered.statements])
        # (2)
        if abs(self._clock() - proof.time) > RENEWAL_SKEW:
            raise Invalid("the renewal was signed at another time", place="time", remedy="Set this machine's clock and try again.")
        if hashlib.sha256(request.csr).hexdigest() != proof.csr:
            raise NotVerified("the renewal is for another signing request", place="csr")
        # (3)
        return RenewReply(certificate=self._issue(request.csr, registered.role, registered.name, registered.index))

    def _joined(self, invitation: str) -> tuple[str, str] | None:
        """Digests of the registration and signing request that redeemed an invitation."""
        row = self._store.row("SELECT registration, csr FROM joins WHERE invitation = ?", (invitation,))
        return (str(row[0]), str(row[1])) if row is not None else None

    def _issue(self, csr: bytes, role: str, name: str, index: int) -> bytes:
        chain = self._authority.issue(csr, role=role, name=name)
        with self._store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO certificates VALUES (?, ?, ?)", (fingerprint(chain), name, index))
        return chain


def _used() -> Refused:
    return Refused(
        "the invitation has been used or cancelled",
        by="identity",
        place="token",
        remedy="If it was not you who used it, tell the federation at once. Ask for a new token.",
        reason="identity",
    )
