"""The folder of one node: beside what every party has (`collegium.party.home`),

node.toml        the operator's mapping and settings                    collegium_node.config
policy.toml      the steward's draft; in force once signed              collegium_node.steward
snapshot.key     the secret of row digests                              collegium_node.digest
node.db          log, ledger, registry                                  collegium_node.store
snapshots/       prepared rows                                          collegium_node.snapshot
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from collegium.party import home as party
from collegium.party.home import Membership, Opened
from collegium_node.config import NodeConfig, read_config
from collegium_node.store import STEPS

__all__ = ["Home", "Membership", "Node"]


@dataclass(frozen=True)
class Home(party.Home):
    """Where everything of one node lies."""

    role: ClassVar[str] = "node"
    steps = STEPS

    @property
    def config_file(self) -> Path:
        return self.root / "node.toml"

    @property
    def policy_file(self) -> Path:
        return self.root / "policy.toml"

    @property
    def snapshot_key(self) -> Path:
        return self.root / "snapshot.key"

    def config(self) -> NodeConfig:
        return read_config(self.config_file)


Node = Opened[Home]
"""An opened node: who it is, its log and ledger, its copy of the registry."""
