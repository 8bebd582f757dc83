"""What of the coordinator's two logs may be rested on: the newest checkpoint with its witnesses' quorum, and receipts under it."""

from __future__ import annotations

from typing import Protocol

from collegium.errors import Invalid
from collegium.log.checkpoint import read_checkpoint
from collegium.log.cosign import CosignerVerifier, check_quorum
from collegium.log.note import Verifier
from collegium.log.receipt import make_receipt
from collegium.log.tree import Tree
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["Cosigned", "OwnLog"]


class OwnLog(Protocol):
    """What `Cosigning` needs of a log."""

    tree: Tree

    @property
    def origin(self) -> str: ...
    @property
    def verifier(self) -> Verifier: ...
    def head(self) -> bytes:
        """The newest signed checkpoint; empty while the log is."""
        ...


class Cosigned:
    """The newest checkpoint of one log that its witnesses of today have cosigned, and receipts under it."""

    def __init__(self, store: Store, registry: RegistryLog, own: OwnLog) -> None:
        self.own = own
        self._store = store
        self._registry = registry
        self._good_for: tuple[int, bytes] | None = None  # registry size and note of the last good check

    def rule(self) -> tuple[dict[str, CosignerVerifier], int]:
        """Witnesses by name and the quorum, as the registry has them now."""
        return self._registry.registry.witnesses_of(self.own.origin)

    def newest(self) -> bytes:
        """The checkpoint that may be rested on: with the quorum where the log has witnesses. Empty when there is none yet."""
        if not self.rule()[1]:
            return self.own.head()
        row = self._store.row("SELECT note FROM cosigned WHERE origin = ?", (self.own.origin,))
        note = bytes(row[0]) if row is not None else b""
        return note if note and self._still_good(note) else b""

    def size(self) -> int:
        note = self.newest()
        return read_checkpoint(note).size if note else 0

    def receipt(self, index: int) -> bytes | None:
        """The proof that the log holds entry `index`; None while no checkpoint that may be rested on covers it."""
        note = self.newest()
        if not note or read_checkpoint(note).size <= index:
            return None
        return make_receipt(self.own.tree, index, note)

    def _still_good(self, note: bytes) -> bool:
        """Those who are witnesses now have cosigned it: they may have been assigned anew since it was stored."""
        key = (self._registry.registry.size, note)
        if self._good_for != key:
            try:
                check_quorum(note, *self.rule())
            except Invalid:
                return False
            self._good_for = key
        return True
