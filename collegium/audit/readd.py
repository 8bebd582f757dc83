"""A7 of a national sum: its list of participants, and the sum once more from the masked vectors and the trustees' sums of masks.

`readd` runs in a worker: one vector at a time is in memory, however many universities there are. Masked vectors are kept for some
months only; of an older round the check of the trustee drawn by lot, which was signed when they were there, stands instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from collegium.errors import CollegiumError, NotVerified
from collegium.log.folder import LogFolder

if TYPE_CHECKING:  # a worker loads what it needs when it needs it
    from collegium.national.lists import Participants, Roster

__all__ = ["Found", "Job", "readd"]


@dataclass(frozen=True, slots=True)
class Job:
    """One close of a round: what a worker reads, by path, entry and digest. `folders` are searched for vectors, in this order."""

    path: str  # of the coordinator's folder
    size: int  # of its log
    folders: tuple[str, ...]
    keys: tuple[str, str]  # verifier keys of the coordinator's statements and of its log
    plan: int  # entries
    close: int
    receipt: bytes  # of the close
    prepares: tuple[int, ...]
    shares: tuple[tuple[str, int], ...]  # id and entry of every submission
    unmasks: tuple[int, ...] = ()  # of a result, else nothing is added
    totals: tuple[str, ...] = ()  # digests that the result and the check name


@dataclass(frozen=True, slots=True)
class Found:
    """`problem`: empty, or what the list is not: missing (evidence), false; `sums`: of the totals named, those that are false.

    `again`: added (from the vectors), kept (no longer), or empty. `participants`: (member, id of its SUBMIT).
    """

    problem: str = ""
    text: str = ""
    participants: tuple[tuple[int, str], ...] = ()
    left_out: tuple[int, ...] = ()  # entries of submissions
    again: str = ""
    false: tuple[str, ...] = ()


def readd(job: Job) -> Found:
    """One round.

    1. The lists of the close and of the three trustees are here, and are those signed. 2. The close holds (`check_close`): signed,
    large enough, all prepared by all three, every submission its member's own. 3. Who submitted before it is in the list, or was
    rejected by a trustee. 4. The sum again, where the vectors are here.
    """
    from collegium.log.note import Verifier
    from collegium.national.closing import CloseEvidence, Logs, check_close
    from collegium.national.lists import Prepared, Roster
    from collegium.national.statements import Close, Plan, Prepare, Submit

    log = LogFolder(Path(job.path))
    plan_note, close_note = log.entry(job.plan, job.size), log.entry(job.close, job.size)
    prepares = [log.entry(at, job.size) for at in job.prepares]
    plan, close = Plan.read(plan_note), Close.read(close_note)
    # (1)
    try:
        roster = Roster.from_blob(log.blob(plan.roster.sha256), plan.roster)
        listed = log.blob(close.participants.sha256)
        verdicts = [log.blob(Prepare.read(note).prepared.sha256) for note in prepares]
    except CollegiumError as error:
        return Found("missing", f"{error.text}")
    # (2)
    places = dict(job.shares)

    def submit(identity: str) -> bytes:
        if identity not in places:
            raise NotVerified("the submission stands nowhere in the coordinator's log", place="close")
        return log.entry(places[identity], job.size)

    logs = Logs(Verifier.parse(job.keys[0]), Verifier.parse(job.keys[1]), {}, 0)
    evidence = CloseEvidence(close_note, job.receipt, listed, prepares, verdicts)
    try:
        participants = check_close(plan_note, plan, roster, evidence, submit, logs)
    except CollegiumError as error:
        return Found("false", f"{error.text} ({error.place})")
    members = tuple((each.member, each.submit) for each in participants.members)
    # (3)
    listed_members = {member for member, _ in members}
    rejected = {
        (each.member, each.submit)
        for note, raw in zip(prepares, verdicts, strict=True)
        for each in Prepared.from_blob(raw, Prepare.read(note).prepared).rejected
    }
    out = []
    for identity, index in job.shares:
        member = Submit.read(submit(identity)).member
        if index > job.close or member in listed_members or (member, identity) in rejected:
            continue
        if _its_own(submit(identity), roster, member):
            out.append(index)
    # (4)
    again, false = _add(job, log, plan.length, participants) if job.unmasks else ("", ())
    return Found("", "", members, tuple(out), again, false)


def _its_own(note: bytes, roster: Roster, member: int) -> bool:
    """Whether a submission is signed by the member it names; what is nobody's may be left out."""
    from collegium.national.statements import Submit

    try:
        Submit.open(note, [roster.verifier(member)])
    except CollegiumError:
        return False
    return True


def _add(job: Job, log: LogFolder, length: int, participants: Participants) -> tuple[str, tuple[str, ...]]:
    from collegium.national.addition import vector_digest
    from collegium.national.statements import Unmask
    from collegium.national.verify import recompute

    unmasks = [Unmask.read(log.entry(at, job.size)) for at in job.unmasks]
    wanted = [each.vector for each in participants.members] + [each.masks.sha256 for each in unmasks]
    where = {sha256: path for sha256 in wanted if (path := _find(sha256, job.folders)) is not None}
    if len(where) < len(set(wanted)):
        return "kept", ()

    def opened(sha256: str) -> BinaryIO:
        return where[sha256].open("rb")

    try:
        total = vector_digest(recompute(length, participants, unmasks, opened))
    except CollegiumError as error:  # a file in the copy is not what it is named: nobody's fault that could be proven
        return f"broken: {error.text} ({error.place})", ()
    return "added", tuple(sorted({each for each in job.totals if each != total}))


def _find(sha256: str, folders: Iterable[str]) -> Path | None:
    for folder in folders:
        path = Path(folder) / "blobs" / sha256
        if path.is_file() and not path.is_symlink():
            return path
    return None
