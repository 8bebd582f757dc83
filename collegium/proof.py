"""Receipts under the registry: whose log, whose witnesses, and how many of them must have cosigned.

Whoever takes a statement takes it with the proof that its author's log holds it. The key of the log, its witnesses and its quorum
come from the reader's own verified registry, never from the sender.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from collegium.errors import Invalid, NotVerified
from collegium.log.checkpoint import Checkpoint, open_checkpoint
from collegium.log.cosign import CosignerVerifier, check_quorum
from collegium.log.merkle import leaf_hash, verify_inclusion
from collegium.log.note import Verifier
from collegium.log.receipt import Receipt
from collegium.registry import Registry
from collegium.statements import MAX_PEER

__all__ = ["LogRule", "Prover", "Seen", "rules_since"]

KEPT = 512  # verified checkpoints kept, so that a checkpoint shared by many receipts is verified once


@dataclass(frozen=True)
class LogRule:
    """What a receipt of one log must satisfy. Without witnesses and with quorum 0 the log's own signature is enough."""

    log: Verifier
    witnesses: Mapping[str, CosignerVerifier]
    quorum: int

    @classmethod
    def of(cls, registry: Registry, log: Verifier, *, at: int | None = None) -> LogRule:
        """The rule in force now, or when the registry had `at` entries."""
        return cls(log, *registry.witnesses_of(log.name, at=at))

    @property
    def without_quorum(self) -> LogRule:
        """Inclusion alone: for what costs nobody anything, such as a refusal."""
        return LogRule(self.log, self.witnesses, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A verified checkpoint and its note, as it came."""

    checkpoint: Checkpoint
    note: bytes


class Prover:
    """Verifies receipts; each distinct checkpoint once. `signatures` counts those it has verified. Not shared between threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[bytes, Verifier, int, frozenset[str]], Checkpoint] = OrderedDict()
        self.signatures = 0

    def prove(self, receipt: bytes, entry: bytes, rule: LogRule, *, index: int | None = None, place: str = "receipt") -> Seen:
        """The checkpoint of the log under `rule` that holds exactly the note `entry`, at `index` when the statement names one.

        1. Strictly a receipt (Invalid), and its checkpoint is small enough for another log (see `Peer`): whoever rests on it logs
        it before. 2. Its checkpoint is signed by the log's key and by the quorum. 3. The entry lies in the tree at the receipt's
        index. 4. That is the index which the statement itself names.

        Raises NotVerified or Invalid.
        """
        try:
            # (1)
            parsed = Receipt.parse(receipt, place=place)
            if len(parsed.checkpoint) > MAX_PEER:
                raise NotVerified(f"the checkpoint of a receipt has at most {MAX_PEER} bytes", place=place)
            # (2)
            checkpoint = self._checkpoint(parsed.checkpoint, rule)
            # (3)
            verify_inclusion(leaf_hash(entry), parsed.index, checkpoint.size, parsed.path, checkpoint.root)
        except Invalid as error:
            raise type(error)(error.text, place=place, remedy=error.remedy, reason=error.reason) from None
        # (4)
        if index is not None and parsed.index != index:
            raise NotVerified("the entry lies at another index than it says", place=place)
        return Seen(checkpoint, parsed.checkpoint)

    def _checkpoint(self, note: bytes, rule: LogRule) -> Checkpoint:
        key = (note, rule.log, rule.quorum, frozenset(witness.vkey for witness in rule.witnesses.values()))
        found = self._known.get(key)
        if found is None:
            found = open_checkpoint(note, rule.log)
            self.signatures += 1 + len(check_quorum(note, rule.witnesses, rule.quorum))
            self._known[key] = found
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found


def rules_since(registry: Registry, log: Verifier, since: int) -> Iterator[LogRule]:
    """All rules for a log that were in force at some time since the registry had `since` entries, newest first.

    For receipts that were given some time ago: witnesses may have been assigned, replaced or revoked since then.
    """
    seen: list[LogRule] = []
    for size in (registry.size, since, *range(registry.size - 1, since, -1)):
        rule = LogRule.of(registry, log, at=size)
        if rule not in seen:
            seen.append(rule)
            yield rule
