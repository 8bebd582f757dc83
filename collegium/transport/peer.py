"""Who is on the other side of a call, as TLS has proven it.

Trusted with: which line one talks on. An attacker with a party's TLS key can connect as it; it can sign nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from collegium.errors import NotVerified, Refused
from collegium.tls import identity_of

__all__ = ["COORDINATOR", "Peer", "only_role", "peer_of"]

COORDINATOR = "coordinator"  # role and name


class Peer(NamedTuple):
    """A party of a federation: `role` is coordinator, node, researcher or trustee."""

    federation: str
    role: str
    name: str


def peer_of(context: Any) -> Peer:
    """The peer of a call, from the context that a servicer method got: gRPC's, or a tunnel's. Raises NotVerified."""
    known = getattr(context, "peer_identity", None)
    if isinstance(known, Peer):
        return known
    certificates = context.auth_context().get("x509_pem_cert", [])
    if not certificates:
        raise NotVerified("The connection carries no client certificate.", place="TLS", remedy="Join the federation first.")
    return _peer(certificates[0])


@lru_cache(maxsize=4096)
def _peer(certificate: bytes) -> Peer:
    return Peer(*identity_of(certificate))


def only_role(federation: str, *roles: str) -> Callable[[Peer], None]:
    """An admission rule: parties of this federation in one of `roles`. Anybody else is Refused by identity."""

    def admit(peer: Peer) -> None:
        if peer.federation != federation or peer.role not in roles:
            raise Refused("This service does not answer this party.", by="identity", place="TLS", reason="identity")

    return admit
