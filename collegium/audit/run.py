"""The audit, in the order of its steps.

    1  the registry, entry by entry: whose key is whose, and when
    2  every other log: files to tree, tree against signed checkpoint
    3  every entry: signature, form, author; each log replayed in its order, nodes and trustees first, the coordinator last
    4  receipts; rounds of national sums; sums; what needs all logs
    5  words

`--fast` leaves out 3 and the sums, and of the entries reads only the newest embedded checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from collegium.audit.across import compare
from collegium.audit.case import Case, Log
from collegium.audit.coordinator import CoordinatorReplay
from collegium.audit.heads import Heads, Seen
from collegium.audit.keys import text_of
from collegium.audit.node import NodeReplay
from collegium.audit.once import Once
from collegium.audit.opening import find_heads, open_case, open_logs
from collegium.audit.pool import Workers, uncollected
from collegium.audit.reading import cosignatures, read_body
from collegium.audit.received import check_receipts
from collegium.audit.state import read_state
from collegium.audit.sums import judge, tasks
from collegium.audit.trustee import TrusteeReplay
from collegium.audit.verdict import Findings
from collegium.audit.worker import Setup, examine, resum, unpack
from collegium.errors import Failed, Invalid
from collegium.log.checkpoint import read_checkpoint
from collegium.log.trust import Trust
from collegium.statements import Peer

__all__ = ["Audit", "audit"]

RUN = 1 << 11  # entries a task of step 3
TAIL = {"coordinator": 4_096}  # entries at the end of a log that --fast searches for embedded checkpoints
SHORT_TAIL = 256  # of a node's log, which embeds two others


@dataclass(slots=True)
class Audit:
    """What an audit found, and what it read on the way."""

    case: Case
    fast: bool
    earlier: dict[str, bytes] = field(default_factory=dict)
    nodes: dict[str, NodeReplay] = field(default_factory=dict)
    trustees: dict[str, TrusteeReplay] = field(default_factory=dict)
    coordinator: CoordinatorReplay | None = None

    @property
    def findings(self) -> Findings:
        return self.case.findings


def audit(folder: Path, trust: Trust, *, since: Path | None = None, fast: bool = False, workers: int | None = None) -> Audit:
    """Audit the logs in `folder`. `workers`: processes, all cores by default.

    Raises:
        Invalid: folder, trust file or state are no such things.
        Failed: the machine broke, or somebody changed the folder meanwhile.
    """
    earlier = read_state(since) if since is not None else {}
    try:
        # (1)
        case = open_case(folder, trust, Findings())
        found = Audit(case, fast, earlier)
        setup = Setup(tuple(case.keys), _schemas(case))
        heads = Heads(case)
        candidates = find_heads(case, folder)
        with Workers(setup, sum(log.size for log in candidates), workers) as pool:
            # (2)
            open_logs(case, folder, pool, candidates)
            _known(case, heads, earlier)
            if fast or case.registry is None:
                _newest_peers(case, heads)
            else:
                # (3)
                _replay(found, heads, pool)
            # (4)
            check_receipts(case, heads, pool) if not fast else None
            if found.coordinator is not None:
                _rounds(found.coordinator, heads, pool)
                _sums(found, found.coordinator, pool)
        # (5)
        heads.close()
    except OSError as error:
        raise Failed(f"the folder cannot be read: {error.strerror}", place=str(folder)) from None
    return found


def _schemas(case: Case) -> dict[str, str]:
    from collegium.registration import SchemaEntry, read_registration

    if case.registry is None:
        return {}
    read = (read_registration(entry) for entry in case.registry.entries if b'"what":"schema"' in entry)
    return {f"{each.name}/{each.version}": each.toml for each in read if isinstance(each, SchemaEntry)}


def _known(case: Case, heads: Heads, earlier: dict[str, bytes]) -> None:
    """The folder's own checkpoints (their cosignatures count), and those of an earlier audit."""
    for log in case.logs.values():
        where = "its folder"
        seen = Seen(log.origin, log.size, log.head.root, lambda log=log: log.note, log.name, -1, where)  # type: ignore[misc]
        heads.see(seen, cosignatures(log.note))
    for origin, note in earlier.items():
        found = read_checkpoint(note)
        seen = Seen(origin, found.size, found.root, lambda note=note: note, case.name(origin), -1, "the state of an earlier audit")  # type: ignore[misc]
        if case.log_key(case.name(origin)) is not None and not heads.signed(seen):
            raise Invalid(f"the checkpoint of {origin} in it is not signed by its log", place="--since")
        heads.see(seen, cosignatures(note))


def _facts(case: Case, logs: list[Log], pool: Workers) -> Iterator[tuple[Log, int, tuple[Any, ...]]]:
    """Every entry's facts in order, log by log. What stands in several logs, byte for byte, is verified once."""
    shared = _shared(logs)
    claimed: set[bytes] = set()
    plan: list[tuple[Log, int, bytes, dict[int, bytes]]] = []  # log, first entry, which are copies, leaves of the shared ones

    def work() -> Iterator[tuple[Any, ...]]:
        for log in logs:
            for first in range(0, log.size, RUN):
                count = min(RUN, log.size - first)
                leaves = log.levels.leaves(first, count)
                skip = bytearray(count)
                several: dict[int, bytes] = {}
                for at in _found(_starts(leaves), shared):
                    leaf = several[at] = leaves[32 * at : 32 * at + 32]
                    skip[at] = leaf in claimed
                    claimed.add(leaf)
                plan.append((log, first, bytes(skip), several))
                yield str(log.folder.path), first, count, log.size, leaves, bytes(skip)

    kept: dict[bytes, tuple[Any, ...]] = {}
    for number, packed in enumerate(pool.map(examine, work())):
        log, first, skip, several = plan[number]
        plan[number] = (log, first, b"", {})
        fresh = iter(unpack(packed))
        case.signatures += len(skip) - sum(skip)
        for at, skipped in enumerate(skip):
            if skipped:
                fact = kept[several[at]]
            else:
                fact = next(fresh)
                if at in several:
                    kept[several[at]] = fact
            yield log, first + at, fact


def _starts(leaves: bytes) -> Any:
    """The first 8 bytes of each leaf hash, as a number."""
    return np.frombuffer(leaves, dtype="<u8")[::4]


def _found(starts: Any, shared: Any) -> list[int]:
    """Places of `starts` that `shared`, sorted, holds."""
    if not len(shared):
        return []
    places = np.minimum(np.searchsorted(shared, starts), len(shared) - 1)
    return list(np.flatnonzero(shared[places] == starts).tolist())


def _shared(logs: list[Log]) -> Any:
    """`_starts` of every leaf hash that (as far as 8 bytes tell) occurs more than once, sorted."""
    ordered = np.sort(np.concatenate([_starts(log.levels.leaves(0, log.size)) for log in logs])) if logs else np.empty(0, "<u8")
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _replay(found: Audit, heads: Heads, pool: Workers) -> None:
    case = found.case
    once = Once(case)
    found.nodes = {log.name: NodeReplay(case, log, heads) for log in case.nodes}
    found.trustees = {log.name: TrusteeReplay(case, log, heads, once) for log in case.trustees}
    replays: dict[str, NodeReplay | TrusteeReplay | CoordinatorReplay] = {**found.nodes, **found.trustees}
    logs = [*case.nodes, *case.trustees]
    if "coordinator" in case.logs:
        logs = [*logs, case.logs["coordinator"]]
        replays["coordinator"] = found.coordinator = CoordinatorReplay(case, case.logs["coordinator"], heads, once)
    _registry_ids(case)
    with uncollected():
        for log, index, fact in _facts(case, logs, pool):
            replays[log.name].see(index, fact)
    if found.coordinator is not None:
        compare(found.coordinator, found.nodes, found.trustees)
    for replay in replays.values():
        replay.close(heads)
        heads.newest_time = max(heads.newest_time, replay.frame.times.now)


def _registry_ids(case: Case) -> None:
    from collegium.log.statement import statement_id

    assert case.registry is not None
    for index, entry in enumerate(case.registry.entries):
        case.logs["registry"].ids[32 * index : 32 * index + 32] = bytes.fromhex(statement_id(entry))


def _rounds(replay: CoordinatorReplay, heads: Heads, pool: Workers) -> None:
    if replay.rounds.by_plan or replay.pending:
        # Imported here: whoever audits a federation without national sums loads none of this.
        from collegium.audit.national import judge_rounds

        judge_rounds(replay, heads, pool)


def _sums(found: Audit, replay: CoordinatorReplay, pool: Workers) -> None:
    results = pool.map(resum, tasks(found.case, replay.log, replay.sums))
    for each, result in zip(replay.sums, results, strict=True):
        judge(found.case, replay.log, each, result)


def _newest_peers(case: Case, heads: Heads) -> None:
    """Checkpoints of other logs among the last entries of each log. Their own entries' signatures are not verified here."""
    for log in case.logs.values():
        first = max(0, log.size - TAIL.get(log.name, SHORT_TAIL))
        for index, entry in enumerate(log.folder.entries(first, log.size), first):
            split = text_of(entry) if entry.startswith(b"collegium/v1/peer\n") else None
            body = read_body("peer", entry[: split[0]], split[2], lambda _: ()) if split is not None else None
            if body is None:
                continue

            def note(entry: bytes = entry) -> bytes:
                return Peer.read(entry).note

            seen = Seen(body[6], body[7], body[8], note, log.name, index)
            heads.embed(log.name, index, seen)
            heads.see(seen, body[9])
