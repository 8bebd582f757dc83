"""The folder of one trustee: beside what every party has (`collegium.party.home`),

trustee.toml     settings; an empty file is a good one                  collegium_trustee.config
trustee.db       log, registry, sealing keys, rounds                    collegium_trustee.tables
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from collegium.national.statements import Plan
from collegium.party import home as party
from collegium.party.home import Membership, Opened
from collegium.party.store import sql
from collegium.party.tables import LOG, WITNESSED
from collegium_trustee.config import TrusteeConfig, read_config
from collegium_trustee.tables import BEGUN, ROUNDS, keep_begun

__all__ = ["STEPS", "Home", "Membership", "Trustee"]


def _format_2(db: sqlite3.Connection) -> None:
    """Which plan a question of a request has: of the plans that are there, the first."""
    sql(BEGUN)(db)
    for identity, note in db.execute("SELECT plan, note FROM rounds ORDER BY deadline").fetchall():
        keep_begun(db, identity, Plan.read(note))


STEPS = (sql(LOG, WITNESSED, ROUNDS), _format_2)
"""STEPS[n] takes a database from format n to n + 1."""


@dataclass(frozen=True)
class Home(party.Home):
    """Where everything of one trustee lies."""

    role: ClassVar[str] = "trustee"
    steps = STEPS

    @property
    def config_file(self) -> Path:
        return self.root / "trustee.toml"

    def config(self) -> TrusteeConfig:
        return read_config(self.config_file)


Trustee = Opened[Home]
"""An opened trustee: who it is, its log, its copy of the registry, its sealing keys and rounds."""
