"""What `collegium nodes --watch` shows of the trustees: who is connected, and until when its sealing key serves."""

from __future__ import annotations

from collegium.errors import CollegiumError
from collegium.national.statements import TrusteeKey
from collegium.v1.federation_pb2 import TrusteeLine
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store
from collegium_coordinator.trustees import Trustees

__all__ = ["trustee_lines"]


def trustee_lines(store: Store, registry: RegistryLog, trustees: Trustees) -> list[TrusteeLine]:
    """All registered trustees that are not revoked. What one says of itself is its own word."""
    seen = {row[0]: row[1:] for row in store.rows("SELECT name, last, version, registry_size FROM trustees")}
    lines = []
    for party in registry.registry.trustees():
        line = TrusteeLine(name=party.name, connected=trustees.connected(party.name))
        if party.name in seen:
            line.last_seen, line.version, line.registry_size = seen[party.name]
        try:
            link = trustees.get(party.name)
            line.registry_size = max(line.registry_size, link.known)
            if link.status is not None and link.status.key:
                line.key_until = TrusteeKey.read(bytes(link.status.key)).until
        except CollegiumError:  # offline, or a key that cannot be read: then there is none
            pass
        lines.append(line)
    return lines
