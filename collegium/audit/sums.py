"""A7: every indicator added again, from the releases' payloads to the bytes of its table.

`resum` runs in a worker. The addition is exact; what follows it (ratios, intervals) is floating point, rounded to digits that are
the same everywhere. Should a machine still differ in a last digit, the sums decide: only a wrong sum names anybody.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from math import isclose
from typing import TYPE_CHECKING, Any

from collegium.audit.case import Case, Log
from collegium.audit.exhibits import entry_files
from collegium.audit.facts import IndicatorFact
from collegium.audit.keys import text_of
from collegium.audit.verdict import Exhibit
from collegium.errors import CollegiumError
from collegium.log.folder import MAX_BLOB

if TYPE_CHECKING:
    from collegium.audit.typed import Compiler
    from collegium.layout import Layout
    from collegium.national.figures import NationalSum
    from collegium.statements import Accounts

__all__ = ["Sum", "Used", "UsedRound", "judge", "open_accounts", "resum", "tasks"]


@dataclass(slots=True)  # not frozen: one is made for every release in every sum
class Used:
    """A release in a sum: entry `index` of the coordinator's log."""

    node: str
    index: int
    scales: tuple[str, ...]
    payload: str


@dataclass(frozen=True, slots=True)
class UsedRound:
    """A national sum in an indicator: entries of its plan and result, its participants by name, the digest of its total."""

    plan: int
    result: int
    nodes: tuple[str, ...]
    total: str


@dataclass(frozen=True, slots=True)
class Sum:
    """An indicator whose releases or rounds are all there: entry `index` of the coordinator's log, its request at `request`."""

    index: int
    request: int
    number: int
    table: str
    size: int  # of the registry whose facts it used
    asked: tuple[tuple[str, str], ...]  # node, reason if missing
    used: tuple[Used, ...] = ()
    rounds: tuple[UsedRound, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()  # codes of all groups that a national question is told apart by


def open_accounts(blob: bytes, fact: IndicatorFact) -> Accounts | None:
    """The accounts, None unless they are well formed and are the indicator's coverage. The blob is the one signed already."""
    from collegium.log.statement import parse_canonical
    from collegium.statements import Accounts

    try:
        accounts = Accounts.model_validate(parse_canonical(blob, place="accounts"))
    except (CollegiumError, ValueError):
        return None
    used = len(accounts.releases)
    right = len(blob) == fact.accounts_size and (fact.answered, fact.asked) == (used, used + len(accounts.missing))
    return accounts if right and accounts.to_blob() == blob else None


def tasks(case: Case, log: Log, sums: list[Sum]) -> Iterator[tuple[Any, ...]]:
    """One task for `worker.resum` each: plain values only."""
    registry = case.registry
    assert registry is not None
    members: dict[tuple[str, int], Any] = {}
    for each in sums:
        asked = []
        for node, reason in each.asked:
            facts = members.get((node, each.size))
            if facts is None:
                party = registry.as_of(node, each.size)
                facts = members[node, each.size] = (party.facts, party.enrolment)
            asked.append((node, *facts, reason))
        used = [(one.node, one.scales, one.payload, _folders(case, log, one.node)) for one in each.used]
        rounds = [(log.entry(one.plan), log.entry(one.result), one.nodes, one.total) for one in each.rounds]
        yield ((log.entry(each.request), each.number, each.table, str(log.folder.path), asked, used, rounds, each.groups),)


def _folders(case: Case, log: Log, node: str) -> tuple[str, ...]:
    own = case.logs.get(node)
    return (str(log.folder.path),) if own is None else (str(log.folder.path), str(own.folder.path))


def resum(task: Any, compiler: Compiler) -> tuple[str, str]:
    """("", "") when the table is the same; or what: missing, digits, wrong; and the words for it."""
    from collegium.combine import AskedNode, NodeRelease, combine
    from collegium.layout import compile_layout
    from collegium.question import Question
    from collegium.view import View

    note, number, table, path, asked, used, rounds, groups = task
    _, _, line = text_of(note)  # type: ignore[misc]  # it was read, whole and strictly, before
    body = json.loads(line)
    question = Question.model_validate(body["questions"][number])
    schema = compiler.schema(question.schema_id)
    releases = []
    for node, scales, payload, folders in used:
        data = _blob(payload, folders)
        if data is None:
            return "missing", f"the payload of {node}"
        releases.append(NodeRelease(node, data, scales))
    nodes = [AskedNode(node, facts, enrolment, reason) for node, facts, enrolment, reason in asked]
    try:
        view = View.from_json(body["views"][number], place="view")
        layout = compile_layout(question, schema)
        totals = [_total(layout, path, each) for each in rounds]
        found = [each for each in totals if each is not None]
        if len(found) != len(totals):
            return "missing", "the total of a national sum"
        again = combine(layout, view, schema, releases, nodes, sums=found, groups=groups).to_bytes()
    except CollegiumError as error:
        return "wrong", f"it cannot be a sum of them: {error}"
    if sha256(again).hexdigest() == table:
        return "", ""
    shown = _blob(table, (path,))
    if shown is None:
        return "missing", "the table itself, which differs from what the releases add up to"
    return ("digits", "") if _same_but_digits(shown, again) else ("wrong", "its table is not what the releases add up to")


def _total(layout: Layout, path: str, task: tuple[Any, ...]) -> NationalSum | None:
    """The sum of one round, as its result names it; None when its total is not here."""
    from collegium.national.figures import read_sum
    from collegium.national.statements import Plan, Result

    plan, result, nodes, digest = task
    data = _blob(digest, (path,))
    return None if data is None else read_sum(layout, Plan.read(plan), Result.read(result), data, nodes)


def _blob(digest: str, folders: tuple[str, ...]) -> bytes | None:
    """The payload from the first folder that has it, whole and of this digest."""
    for folder in folders:
        data = _read(f"{folder}/blobs/{digest}")
        if data is not None and sha256(data).hexdigest() == digest:
            return data
    return None


def _read(path: str) -> bytes | None:
    """A plain file, as `LogFolder` reads it: no link is followed, no pipe waited for. A hundred thousand payloads are read so."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BLOB:
            return None
        return os.read(descriptor, status.st_size + 1) if status.st_size < 1 << 20 else _long(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _long(descriptor: int) -> bytes:
    parts: list[bytes] = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _same_but_digits(shown: bytes, again: bytes) -> bool:
    """Whether two tables are equal but for the last digits of computed decimals; every integer and every word is the same."""
    try:
        return _alike(json.loads(shown), json.loads(again), "")
    except (ValueError, RecursionError):
        return False


def _alike(one: Any, other: Any, key: str) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name], name) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_alike(a, b, key) for a, b in zip(one, other, strict=True))
    if key in ("value", "low", "high", "error") and isinstance(one, str) and isinstance(other, str):
        return isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other) and type(one) is type(other)


def judge(case: Case, log: Log, each: Sum, found: tuple[str, str]) -> None:
    """What a result of `resum` means."""
    word, text = found
    where = f"the indicator at entry {each.index}"
    if not word:
        return
    if word == "wrong":
        case.findings.fail(
            "A7", log.name, "sum", f"{where} is false: {text}", party="coordinator",
            exhibits=lambda: [
                *entry_files(
                    log, each.request, each.index, *(one.index for one in each.used),
                    *(at for one in each.rounds for at in (one.plan, one.result)),
                ),
                *_payloads(case, log, each),
            ],
        )  # fmt: skip
    elif word == "missing":
        case.findings.warn("A7", log.name, "missing", f"{where} cannot be added again: missing is {text}", missing=True)
    else:
        text = f"{where}: its sums are right, and a computed decimal differs in its last digits on this machine"
        case.findings.warn("A7", log.name, "digits", text)


def _payloads(case: Case, log: Log, each: Sum) -> list[Exhibit]:
    files = []
    for one in each.used:
        data = _blob(one.payload, _folders(case, log, one.node))
        if data is not None:
            files.append(Exhibit(f"{one.payload}.blob", data, f"payload of the release of {one.node}, int64 little endian"))
    for made in each.rounds:
        data = _blob(made.total, (str(log.folder.path),))
        if data is not None:
            files.append(Exhibit(f"{made.total}.blob", data, "total of a national sum, int64 little endian"))
    table = _blob(each.table, (str(log.folder.path),))
    return files + ([Exhibit(f"{each.table}.blob", table, "the table that the indicator names")] if table is not None else [])
