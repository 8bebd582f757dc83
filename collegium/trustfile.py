"""The trust file of a federation, as one of its members has verified the registry. An auditor gets it from somebody he believes.

Log keys come from the registry's first entry and from each node's and trustee's registration; witnesses are those of them with a
cosigner key. The file has one quorum, and the registry one for each log: so the quorum of the file is that of the registry's own
log, and everybody reads the quorums of the other logs in the registry that it confirms.
"""

from __future__ import annotations

from collegium.log.cosign import CosignerVerifier
from collegium.log.trust import Group, Trust, TrustedLog
from collegium.registry import Registry

__all__ = ["trust_of"]


def trust_of(registry: Registry) -> Trust:
    """Logs, witnesses and quorum as the registry has them now. A registry without witnesses gives `quorum none`."""
    trust = Trust()
    keepers = registry.nodes_at(registry.size, roles=("node", "trustee"))
    for log in (registry.registry_log, registry.coordinator_log, *(party.log for party in keepers)):
        if log is not None:
            trust.logs[log.name] = TrustedLog(log)
    keys, quorum = registry.witnesses_of(registry.registry_log.name)
    live: dict[str, CosignerVerifier] = {node.name: node.cosigner for node in keepers if node.cosigner is not None}
    trust.witnesses.update(live)
    if quorum:
        trust.groups["registry-witnesses"] = Group(quorum, tuple(keys))
        trust.quorum = "registry-witnesses"
    return trust
