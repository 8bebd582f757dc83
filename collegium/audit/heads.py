"""A1, A3, A10, A14: every checkpoint that anybody holds of a log, against the log as it is shown now.

Checkpoints come from embedded peers, receipts, an earlier audit, and the folder itself. One that fits the tree proves its point by
its root alone; a signature is verified where a verdict rests on it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from collegium.audit.case import SKEW, Case, Log
from collegium.audit.exhibits import consistency_file, entry_files, note_file
from collegium.audit.verdict import Exhibit
from collegium.errors import CollegiumError
from collegium.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from collegium.log.cosign import CosignerVerifier, check_quorum, open_cosignatures
from collegium.log.note import Verifier
from collegium.statements import Peer

__all__ = ["Heads", "Seen"]

OLD = 7 * 86_400  # seconds after which the newest cosignature counts as old
FORKS = 16  # contradicting checkpoints of one log for which others of the same size are looked up


class Seen(NamedTuple):
    """A checkpoint of `origin` and where it was found: entry `at` of `log`, or a file (-1; `place` says which)."""

    origin: str
    size: int
    root: bytes
    note: Callable[[], bytes]
    log: str
    at: int
    place: str = ""

    @property
    def where(self) -> str:
        return self.place or f"entry {self.at} of {self.log}"

    def exhibits(self, case: Case) -> list[Exhibit]:
        files = [note_file(f"{self.origin.replace('/', '-')}-{self.size}-seen", self.note(), f"checkpoint found in {self.where}")]
        holder = case.logs.get(self.log)
        return files + (entry_files(holder, self.at) if holder is not None and self.at >= 0 else [])


class Heads:
    """Collects checkpoints as they are met, and judges each at once where it can."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._larger: dict[tuple[str, str], Seen] = {}  # by origin and holder: the first that the holder had
        self._largest: dict[str, Seen] = {}
        self._beyond: dict[tuple[str, int], Seen] = {}  # of sizes that the folder does not reach, to compare with each other
        self._cosigned: dict[tuple[str, str, bytes], list[tuple[int, int, Seen]]] = {}  # by origin and witness: (time, size)
        self.confirmed: dict[str, list[tuple[int, int, Seen]]] = {}  # by origin: (size, time of quorum, not verified)
        self.embedded: dict[str, dict[str, tuple[int, int, bytes]]] = {}  # by log and origin: largest size, entry, root
        self._places: dict[tuple[str, str], tuple[array[int], array[int]]] = {}  # by log and origin: sizes, rising; their entries
        self._forks: dict[str, list[Seen]] = {}  # by origin: signed, and not of the tree that the folder shows
        self.newest_time = 0
        self._fits: dict[bytes, list[int]] = {}  # by digest of a note that is of its log's tree: the counter of its check
        self._largest_cosigned: dict[tuple[str, bytes], int] = {}  # by origin and cosigner: as far as `has_cosigned` knows
        self._earliest: dict[bytes, int] = {}  # by the same: `quorum_time`

    def see(self, seen: Seen, cosigned: tuple[tuple[str, bytes, int], ...] = (), digest: bytes = b"") -> None:
        """One more checkpoint. `digest` is that of its note, for a note that many logs may embed: once it fits, it fits."""
        meter = self._fits.get(digest)
        if meter is not None:
            meter[0] += 1
            return
        findings, log = self._case.findings, self._case.by_origin(seen.origin)
        if cosigned:
            self._note_cosigned(seen, cosigned)
        name = self._case.name(seen.origin)
        if log is not None and seen.size <= log.size:
            meter = findings.meter("A3" if seen.size == log.size else "A1", name)
            meter[0] += 1
            if log.levels.root(seen.size) != seen.root:
                self._contradicts(log, seen)
            elif digest:
                self._fits[digest] = meter
            return
        known = self._beyond.setdefault((seen.origin, seen.size), seen)
        if known.root != seen.root:
            self._two(name, known, seen)
        self._larger.setdefault((seen.origin, seen.log), seen)
        if seen.origin not in self._largest or self._largest[seen.origin].size < seen.size:
            self._largest[seen.origin] = seen

    def quorum_time(self, seen: Seen, cosigned: tuple[tuple[str, bytes, int], ...], digest: bytes) -> int:
        """The smallest time of these cosignatures when they are a quorum of the log's witnesses, else 0; not verified.

        Of a quorum at least one is honest, so not all of its times are wrong: the smallest is safe.
        """
        found = self._earliest.get(digest)
        if found is None:
            known, quorum = self._case.cosigners(seen.origin)
            times = [time for name, key_id, time in cosigned if (name, key_id) in known]
            found = self._earliest[digest] = min(times) if quorum and len(times) >= quorum else 0
        return found

    def embed(self, log: str, index: int, seen: Seen) -> None:
        """A checkpoint that stands in a log as an entry."""
        mine = self.embedded.setdefault(log, {})
        held = mine.get(seen.origin)
        if held is None or held[0] < seen.size:
            mine[seen.origin] = (seen.size, index, seen.root)
            places = self._places.get((log, seen.origin))
            if places is None:
                places = self._places[log, seen.origin] = array("q"), array("q")
            places[0].append(seen.size)
            places[1].append(index)

    def embedded_at(self, log: str, origin: str, size: int) -> Seen | None:
        """The checkpoint of this size that a log embedded when it was the largest there; None when it has none."""
        sizes, entries = self._places.get((log, origin), (array("q"), array("q")))
        place = bisect_left(sizes, size)
        if place == len(sizes) or sizes[place] != size:
            return None
        peer = Peer.read(self._case.logs[log].entry(entries[place]))
        return Seen(origin, size, read_checkpoint(peer.note).root, lambda: peer.note, log, entries[place])

    def has_cosigned(self, cosigner: CosignerVerifier, origin: str, size: int) -> bool:
        """Whether a cosigner has confirmed, somewhere here, the log as it is shown now, with at least so many entries."""
        log, place = self._case.by_origin(origin), (origin, cosigner.key_id)
        if log is None or self._largest_cosigned.get(place, 0) >= size:
            return log is not None
        rows = sorted(self._cosigned.get((origin, cosigner.name, cosigner.key_id), ()), key=lambda row: -row[1])
        for _, found, seen in rows:
            if size <= found <= log.size and log.levels.root(found) == seen.root and _cosigns(seen, cosigner):
                self._largest_cosigned[place] = found
                return True
        return False

    def signed(self, seen: Seen) -> bool:
        """Whether the log's own key has signed it."""
        key = self._case.log_key(self._case.name(seen.origin))
        return key is not None and _opens(seen, key)

    def former(self, seen: Seen) -> bool:
        """Whether the key of a log that the same node had before has signed it."""
        name = self._case.name(seen.origin)
        return any(_opens(seen, key) for key in self._case.former_logs.get(name, ()))

    def close(self) -> None:
        """What needs all logs: stale copies, logs set back, witnesses, freshness."""
        for log in self._case.logs.values():
            self._whole(log)
            self._witnessed(log)
        for seen in self._larger.values():
            self._set_back(seen)
        for forks in self._forks.values():
            for seen in forks:
                self._two_views(seen)
        self._witnesses_agree()

    def _contradicts(self, log: Log, seen: Seen) -> None:
        findings = self._case.findings
        if not self.signed(seen):
            if self.former(seen):
                text = f"{seen.where} holds a checkpoint of a log that {log.name} had before this one and that is not here"
                findings.warn("A10", log.name, "former", text, missing=True)
                return
            text = (
                f"{seen.where} holds a checkpoint of {seen.origin} at {seen.size} that is neither signed by its key nor of its log"
            )
            findings.warn("A1", seen.log, "forged-checkpoint", text)
            return
        forks = self._forks.setdefault(seen.origin, [])
        if len(forks) < FORKS:
            forks.append(seen)
        if seen.size == log.size:
            text = f"{log.name} signed two checkpoints of {log.size} entries with different roots; the other is in {seen.where}"
            check, proof = "A3", []
        else:
            text = (
                f"{log.name} signed a checkpoint of {seen.size} entries ({seen.where}) that is no prefix of its log of {log.size}"
            )
            check, proof = "A1", consistency_file(log, seen.size)
        own = note_file(f"{log.name}-{log.size}-shown", log.note, "checkpoint of the log as it is shown now")
        findings.fail(
            check, log.name, "contradiction", text, party=log.name, exhibits=lambda: [own, *seen.exhibits(self._case), *proof]
        )

    def _two(self, name: str, one: Seen, other: Seen) -> None:
        if self.signed(one) and self.signed(other):
            text = f"{name} signed two checkpoints of {one.size} entries with different roots: in {one.where} and in {other.where}"
            self._case.findings.fail(
                "A3", name, "two-heads", text, party=name,
                exhibits=lambda: [*one.exhibits(self._case), *(_renamed(each) for each in other.exhibits(self._case))],
            )  # fmt: skip

    def _two_views(self, seen: Seen) -> None:
        """A3: besides a checkpoint that is not of the tree shown, somebody holds another of the same size."""
        for log, origin in self._places:
            other = self.embedded_at(log, origin, seen.size) if origin == seen.origin else None
            if other is not None and other.root != seen.root:
                self._two(self._case.name(origin), seen, other)

    def _whole(self, log: Log) -> None:
        findings = self._case.findings
        findings.ran("A10", log.name)
        largest = self._largest.get(log.origin)
        if largest is not None and self.signed(largest):
            text = f"the copy ends at {log.size}; {largest.where} holds a signed checkpoint of {largest.size} entries"
            findings.warn("A10", log.name, "stale", text, missing=True)

    def _witnessed(self, log: Log) -> None:
        """Cosignatures of the folder's own checkpoint: quorum and age."""
        case, findings = self._case, self._case.findings
        verifiers, quorum = case.witnesses_of(log.origin)
        times: dict[str, int] = {}
        try:
            if log.name == "registry" and case.trust.quorum is not None:
                times = case.trust.check(log.note)
            elif quorum:
                times = check_quorum(log.note, verifiers, quorum)
            else:
                text = "has no witnesses: that it shows the same to everybody rests on the copies of it that other parties hold"
                findings.warn("A10", log.name, "unwitnessed", text)
                return
        except CollegiumError as error:
            findings.warn("A10", log.name, "quorum", f"its newest checkpoint is not confirmed: {error.text}", missing=True)
            return
        newest = max(times.values())
        if self.newest_time - newest > OLD:
            days = (self.newest_time - newest) // 86_400
            findings.warn("A10", log.name, "old", f"its newest cosignature is {days} days older than the newest thing signed here")

    def _set_back(self, seen: Seen) -> None:
        """A14: a log that has embedded what came after its own larger checkpoint had that checkpoint and denies it.

        1. `seen` is X's checkpoint, larger than X's log now, standing as entry i of Y's log. 2. X's log has embedded a checkpoint
        of Y with more than i entries, one of Y's own tree. So X signed `seen` before it wrote that entry, and what it wrote is
        no longer what it had.
        """
        case = self._case
        mine, holder = case.by_origin(seen.origin), case.logs.get(seen.log)
        if mine is None or holder is None or seen.at < 0 or not self.signed(seen):
            return
        case.findings.ran("A14", mine.name)
        size, index, root = self.embedded.get(mine.name, {}).get(holder.origin, (0, -1, b""))
        if seen.at < size <= holder.size and holder.levels.root(size) == root:
            text = (
                f"{mine.name} signed {seen.size} entries before its entry {index} (which names {holder.name} at {size}, and entry "
                f"{seen.at} there holds that checkpoint), and shows {mine.size} now: its log was set back"
            )
            case.findings.fail(
                "A14", mine.name, "set-back", text, party=mine.name,
                exhibits=lambda: [*seen.exhibits(case), *entry_files(mine, index)],
            )  # fmt: skip

    def _note_cosigned(self, seen: Seen, cosigned: tuple[tuple[str, bytes, int], ...]) -> None:
        known, quorum = self._case.cosigners(seen.origin)
        times = []
        for name, key_id, time in cosigned:
            self._cosigned.setdefault((seen.origin, name, key_id), []).append((time, seen.size, seen))
            if (name, key_id) in known:
                times.append(time)
        if times:
            newest = max(times)
            self.newest_time = max(self.newest_time, newest)
            if quorum and len(times) >= quorum:
                self.confirmed.setdefault(seen.origin, []).append((seen.size, newest, seen))

    def _witnesses_agree(self) -> None:
        """A14: a witness that cosigned a larger tree and later a smaller one contradicts what its cosignatures mean."""
        case = self._case
        for (origin, name, _), rows in self._cosigned.items():
            log = case.name(origin)
            case.findings.ran("A14", log, len(rows))
            rows.sort(key=lambda row: (row[0], row[1]))
            before = rows[0]
            for row in rows[1:]:
                if row[1] < before[1] and row[0] - before[0] > SKEW and self._cosigns(origin, name, before, row):
                    witness = name.removeprefix(f"{case.federation}/").removesuffix("/witness")
                    text = f"the witness {witness} cosigned {before[1]} entries of {origin} and later, as the largest, {row[1]}"
                    one, two = before[2], row[2]
                    case.findings.fail(
                        "A14", log, "witness", text, party=witness,
                        exhibits=lambda one=one, two=two: [*one.exhibits(case), *two.exhibits(case)],  # type: ignore[misc]
                    )  # fmt: skip
                    break
                if row[1] > before[1]:
                    before = row

    def _cosigns(self, origin: str, name: str, *rows: tuple[int, int, Seen]) -> bool:
        keys = [key for key in self._case.witnesses_of(origin)[0].values() if key.name == name]
        try:
            return bool(keys) and all(open_cosignatures(seen.note(), keys) for _, _, seen in rows)
        except CollegiumError:
            return False


def _opens(seen: Seen, key: Verifier) -> bool:
    try:
        return open_checkpoint(seen.note(), key) == Checkpoint(seen.origin, seen.size, seen.root)
    except CollegiumError:
        return False


def _cosigns(seen: Seen, cosigner: CosignerVerifier) -> bool:
    try:
        return bool(open_cosignatures(seen.note(), [cosigner]))
    except CollegiumError:
        return False


def _renamed(exhibit: Exhibit) -> Exhibit:
    return Exhibit(f"other-{exhibit.name}", exhibit.content, exhibit.what)
