"""A2: the receipts that parties hold, against the logs that gave them."""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from typing import Any

from collegium.audit.case import Case, Log
from collegium.audit.exhibits import entry_files, note_file
from collegium.audit.heads import Heads, Seen
from collegium.audit.pool import Workers
from collegium.audit.verdict import Exhibit
from collegium.audit.worker import receipts
from collegium.errors import CollegiumError
from collegium.log.merkle import leaf_hash, verify_inclusion

__all__ = ["check_receipts"]

FILES = 1_000  # receipts a task


def check_receipts(case: Case, heads: Heads, workers: Workers) -> None:
    """Every receipt in every party's folder."""
    batches: list[Log] = []

    def tasks() -> Iterator[tuple[Any, ...]]:
        for log in case.logs.values():
            try:
                names = log.folder.receipts()
            except CollegiumError as error:
                case.findings.warn("A2", log.name, "unreadable", str(error), missing=True)
                continue
            for at in range(0, len(names), FILES):
                batches.append(log)
                yield str(log.folder.path), names[at : at + FILES]

    for number, packed in enumerate(workers.map(receipts, tasks())):
        for row in marshal.loads(packed):  # noqa: S302 - from our own worker
            _receipt(case, heads, batches[number], row)


def _receipt(case: Case, heads: Heads, holder: Log, row: tuple[Any, ...]) -> None:
    """One receipt that `holder` has.

    1. Its checkpoint is compared like any other. 2. The giver's log holds, at that index, the statement it is for. 3. If not, and
    the receipt verifies over the statement, the giver has signed that it held what its log does not hold.
    """
    identity = row[0]
    if len(row) == 2:
        case.findings.warn("A2", holder.name, "no-receipt", f"a receipt file cannot be read: {row[1]}", missing=True)
        return
    _, index, origin, size, root = row
    giver = case.by_origin(origin)
    name = case.name(origin)
    case.findings.ran("A2", name)
    # (1)
    note = lambda: holder.folder.receipt(identity).checkpoint  # noqa: E731
    seen = Seen(origin, size, root, note, holder.name, -1, f"the receipt {holder.name} holds for {identity[:12]}")
    heads.see(seen)
    # (2)
    if giver is None or giver.size <= index < size:  # no such log here, or a copy that ends before: both are told elsewhere
        return
    if index >= size:
        text = f"{holder.name} holds a receipt of {name} for an entry beyond its own checkpoint ({identity[:12]})"
        case.findings.warn("A2", holder.name, "false-receipt", text)
        return
    if giver.id_at(index) == identity:
        return
    # (3)
    found = _statement(case, identity)
    if found is None:
        text = f"{holder.name} holds a receipt of {name} for a statement that stands in none of these logs ({identity[:12]})"
        case.findings.warn("A2", holder.name, "unknown", text)
        return
    keeper, at = found
    entry = keeper.entry(at)
    try:
        verify_inclusion(leaf_hash(entry), index, size, holder.folder.receipt(identity).path, root)
        signed = heads.signed(seen)
    except CollegiumError:
        signed = False
    if not signed:
        text = f"{holder.name} holds a receipt of {name} that does not verify ({identity[:12]})"
        case.findings.warn("A2", holder.name, "false-receipt", text)
        return
    text = (
        f"{name} gave {holder.name} a receipt that entry {index} of its log is the statement {identity[:12]} (entry {at} of "
        f"{keeper.name}); its log holds another entry there"
    )

    def exhibits() -> list[Exhibit]:
        proof = holder.folder.receipt(identity).to_bytes()
        return [
            Exhibit(f"receipt-{identity[:16]}.proof", proof, f"the receipt that {holder.name} holds"),
            Exhibit(f"receipt-{identity[:16]}.entry", entry, "the statement it is for, verbatim"),
            *entry_files(giver, index),
            note_file(f"{giver.name}-{giver.size}-shown", giver.note, "checkpoint of the log as it is shown now"),
        ]

    case.findings.fail("A2", name, "dropped", text, party=name, exhibits=exhibits)


def _statement(case: Case, identity: str) -> tuple[Log, int] | None:
    for log in case.logs.values():
        at = log.find(identity)
        if at is not None:
            return log, at
    return None
