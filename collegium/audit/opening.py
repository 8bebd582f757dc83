"""Opening a folder: which logs are there, whose they are, and whether each copy is the tree that its checkpoint signs.

What is wrong with a *copy* names nobody: whoever held the folder may have changed it. A copy that does not fit its checkpoint is
put aside, and the evidence is incomplete.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collegium.audit.case import Case, Log
from collegium.audit.exhibits import entry_files
from collegium.audit.keys import keys_of
from collegium.audit.pool import Workers
from collegium.audit.structure import CHUNK, structure
from collegium.audit.tree import Levels
from collegium.audit.verdict import Findings
from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.keys import is_name
from collegium.log.checkpoint import Checkpoint, open_checkpoint
from collegium.log.folder import MISSING, LogFolder
from collegium.log.note import Verifier, encode_base64
from collegium.log.statement import read_statement
from collegium.log.tiles import Tile
from collegium.log.trust import Trust
from collegium.registrar import State
from collegium.registry import Registry

__all__ = ["find_heads", "open_case", "open_logs"]

MAX_FOLDERS = 100_000


def open_case(folder: Path, trust: Trust, findings: Findings) -> Case:
    """The case with its registry, verified in this process. Raises Invalid when folder or trust file are no such thing."""
    names = [origin.removesuffix("/registry") for origin in trust.logs if origin.endswith("/registry")]
    if len(names) != 1 or not is_name(names[0]):
        raise Invalid("the trust file names one registry log, <federation>/registry", place="trust file")
    if not folder.is_dir():
        raise Invalid("there is no such folder", place=str(folder))
    case = Case(names[0], trust, findings)
    log = _head(case, folder, "registry")
    if log is None:
        return case
    entries: list[bytes] = []
    for first in range(0, log.size, CHUNK):
        if not _take(case, log, structure(str(log.folder.path), first, log.size)):
            return case
    if _fits(case, log):
        entries = list(log.folder.entries(0, log.size))
        case.logs["registry"] = log
        log.ids = bytearray(32 * log.size)
        _verify_registry(case, log, entries)
    return case


def open_logs(case: Case, folder: Path, workers: Workers, heads: list[Log]) -> None:
    """Read and hash all logs of `heads`; those that are the trees of their checkpoints become logs of the case."""
    broken: set[str] = set()
    order: list[Log] = []

    def tasks() -> Iterator[tuple[Any, ...]]:
        for log in heads:
            for first in range(0, log.size, CHUNK):
                if log.name in broken:  # a checkpoint of 2^60 entries must not keep us busy: the first missing file ends it
                    break
                order.append(log)
                yield str(log.folder.path), first, log.size

    for number, chunk in enumerate(workers.map(structure, tasks())):
        log = order[number]
        if log.name not in broken and not _take(case, log, chunk):
            broken.add(log.name)
    for log in heads:
        if log.name not in broken and _fits(case, log):
            case.logs[log.name] = log


def find_heads(case: Case, folder: Path) -> list[Log]:
    """The logs that should be here: the coordinator's, every registered node's and trustee's, and those of the trust file."""
    wanted = {"coordinator": True}
    if case.registry is not None:
        wanted |= {party.name: not party.revoked for party in case.registry.parties() if party.role != "researcher"}
    wanted |= {name: True for name in map(case.name, case.trust.logs) if "/" not in name}
    wanted.pop("registry", None)
    found = []
    for name, needed in sorted(wanted.items()):
        log = _head(case, folder, name, needed=needed)
        if log is not None:
            found.append(log)
    for number, each in enumerate(sorted(folder.iterdir())):
        if number > MAX_FOLDERS:
            raise Invalid("too many files", place=str(folder))
        if each.is_dir() and each.name != "registry" and each.name not in wanted:
            case.findings.warn("A10", "registry", "stranger", f"the folder {each.name[:80]!r} is of no party of this federation")
    return found


def _head(case: Case, folder: Path, name: str, *, needed: bool = True) -> Log | None:
    """The log's folder and verified checkpoint; None, with a warning, when that is not to be had."""
    log = LogFolder(folder / name)
    try:
        note = log.checkpoint()
    except CollegiumError as error:
        if needed or error.reason != MISSING:
            what = "is not here" if error.reason == MISSING else f"cannot be read: {error}"
            case.findings.warn("A10", name, "no-log", f"its log {what}", missing=True)
        return None
    keys = [key for key in (case.log_key(name), case.registered_log_key(name)) if key is not None]
    if not keys:
        case.findings.warn("A10", name, "no-key", "neither the trust file nor the registry gives its log's key", missing=True)
        return None
    if len(set(keys)) > 1:
        text = "the trust file and the registry name different keys for its log"
        case.findings.warn("A5", name, "trust-key", text, missing=True)
    head = _signed(note, keys)
    if head is None:
        case.findings.warn("A10", name, "head", "the checkpoint in the folder is not signed by its log's key", missing=True)
        return None
    return Log(name, log, head[1], note, head[0], Levels())


def _signed(note: bytes, keys: list[Verifier]) -> tuple[Checkpoint, Verifier] | None:
    for key in keys:
        try:
            return open_checkpoint(note, key), key
        except CollegiumError:
            continue
    return None


def _take(case: Case, log: Log, chunk: Any) -> bool:
    if chunk.problem:
        case.findings.warn("A10", log.name, "unreadable", f"its entries cannot all be read: {chunk.problem}", missing=True)
        return False
    log.levels.extend(chunk.heights)
    log.read += chunk.read
    if chunk.tiles:
        text = "hash tiles are missing or are not those of the entries: readers of this copy will be misled"
        case.findings.warn("A10", log.name, "tiles", text)
    return True


def _fits(case: Case, log: Log) -> bool:
    log.levels.finish()
    if log.levels.size != log.size or log.levels.root(log.size) != log.head.root:
        text = "its entries are not those of its signed checkpoint: the copy was changed, or is of another moment"
        case.findings.warn("A10", log.name, "root", text, missing=True)
        return False
    _upper_tiles(case, log)
    case.findings.ran("A10", log.name)
    return True


def _upper_tiles(case: Case, log: Log) -> None:
    """Hash tiles above the leaves."""
    for level in range(1, 8):
        count = log.size >> 8 * level
        for first in range(0, count, 256):
            width = min(256, count - first)
            try:
                log.folder.check_tile(Tile(level, first // 256, width), log.levels.hashes(level, first, width))
            except CollegiumError:
                text = "hash tiles are missing or are not those of the entries: readers of this copy will be misled"
                case.findings.warn("A10", log.name, "tiles", text)


def _verify_registry(case: Case, log: Log, entries: list[bytes]) -> None:
    """Entry by entry, as every party does. What comes after the first entry that has no place there is not read."""
    pinned = case.trust.logs.get(case.origin("registry/statements"))
    vkey = pinned.key.vkey if pinned is not None else None
    registry, good = Registry(vkey), len(entries)
    try:
        registry.extend(entries)
    except CollegiumError:
        good, error = _first_bad(vkey, entries)
        _report_bad(case, log, entries[good], good, error)
        registry.extend(entries[:good])
    if not good:
        return
    case.findings.ran("A5", "registry", good)
    case.findings.ran("A15", "registry", good)
    case.registry, case.registry_whole = registry, good == len(entries)
    case.keys = keys_of(registry)
    case.roots = [encode_base64(log.levels.root(size)) for size in range(good + 1)]
    case.signatures += good
    if registry.federation != case.federation or registry.registry_log != log.key:
        text = "the registry's founding entry names another federation or log key than the trust file"
        case.findings.warn("A5", "registry", "trust-key", text, missing=True)


def _first_bad(vkey: str | None, entries: list[bytes]) -> tuple[int, CollegiumError]:
    state = State(Verifier.parse(vkey) if vkey is not None else None)
    for index, entry in enumerate(entries):
        try:
            state.add(entry)
        except CollegiumError as error:
            return index, error
    raise AssertionError("an entry was refused before")


def _report_bad(case: Case, log: Log, entry: bytes, index: int, error: CollegiumError) -> None:
    """The registry's log key orders entries and may take no false one; what a newer version may have written names nobody."""
    if not isinstance(error, NotVerified) and _may_be_newer(entry):
        text = f"registry entry {index} cannot be read by this version, nor anything after it: look with a newer one"
        case.findings.warn("A15", "registry", "kind", text, missing=True)
        return
    text = f"the registry's log holds at {index} an entry that has no place there: {error.text}"
    case.findings.fail("A5", "registry", "chain", text, party="registry", exhibits=lambda: entry_files(log, index))
    case.findings.warn("A5", "registry", "cut", f"nothing after registry entry {index} was read", missing=True)


def _may_be_newer(entry: bytes) -> bool:
    try:
        read_statement(entry)
        text = entry.rpartition(b"\n\n")[0]
        return text.startswith(b"collegium/v1/registration\n") and b'"what":' in text
    except CollegiumError:
        return False
