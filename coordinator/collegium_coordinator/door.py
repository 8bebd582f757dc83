"""Who may call: the certificate says who it is, the registry says whether that party still is one.

TLS alone would admit a revoked party until its certificate ends. So every call is judged by the registry as it is now, and a
certificate that was issued to an earlier registration of the same name (its keys have been replaced) is refused.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from collegium.errors import Refused
from collegium.registry import Registered
from collegium.transport.peer import Peer, peer_of
from collegium_coordinator.ca import fingerprint
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["Door"]


class Door:
    """Judges peers by the registry."""

    def __init__(self, store: Store, registry: RegistryLog, federation: str) -> None:
        self._store = store
        self._registry = registry
        self._federation = federation
        self._issued_to = lru_cache(maxsize=8192)(self._look_up)

    def enter(self, context: Any, *roles: str) -> Registered:
        """The registered party of a call, in one of these roles.

        1. The certificate is of this federation. 2. The party is registered, not revoked, and in the role the certificate says.
        3. The certificate was issued to this registration and not to one that it replaced.

        Raises:
            Refused, NotVerified: by identity.
        """
        # (1), (2)
        party = self.judge(peer_of(context), *roles)
        # (3) A call that came up a tunnel has no certificate of its own: the tunnel's was judged when it was opened.
        if hasattr(context, "auth_context"):
            index = self._issued_to(bytes(context.auth_context()["x509_pem_cert"][0]))
            # Unknown after the database was restored from a backup: then the registry alone decides.
            if index is not None and index != party.index:
                raise _refused(f"this certificate belongs to an earlier registration of {party.name!r}")
        return party

    def judge(self, peer: Peer, *roles: str) -> Registered:
        """The registered party behind a peer's name. Raises Refused."""
        if peer.federation != self._federation or peer.role not in roles:
            raise _refused("this service does not answer this party")
        party = self._registry.registry.party(peer.name)
        if party.role != peer.role:
            raise _refused(f"{peer.name!r} is registered in another role")
        return party

    def _look_up(self, certificate: bytes) -> int | None:
        row = self._store.row("SELECT registration FROM certificates WHERE fingerprint = ?", (fingerprint(certificate),))
        return int(row[0]) if row is not None else None


def _refused(text: str) -> Refused:
    return Refused(text, by="identity", place="TLS", remedy="Join the federation with a token of your own.", reason="identity")
