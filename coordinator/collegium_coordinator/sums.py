"""What of national rounds goes into an indicator: who is in the sum, why others are not, the totals, and the bundle's parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collegium.national.figures import NationalSum, read_sum
from collegium.national.groups import groups_of
from collegium.national.statements import Result
from collegium.statements import Missing
from collegium.v1.federation_pb2 import ResultPart
from collegium_coordinator.jobs import Job
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.roundstore import RoundRow, RoundStore
from collegium_coordinator.verify import READY, RELEASED

__all__ = ["NO_GROUP", "ROUND_OVER", "UNMASKING", "NationalSums"]

NO_GROUP = "no-group"
NO_ANSWER = "no-answer"
ROUND_OVER = "round-over"
UNMASKING = "unmasking"


class NationalSums:
    """Reads what rounds have come to."""

    def __init__(self, rounds: RoundStore, registry: RegistryLog) -> None:
        self._rounds = rounds
        self._registry = registry

    def rows(self, job: Job, number: int) -> list[RoundRow]:
        """The rounds of a question as they stand now, in the order of the partition.

        Whoever signs derives participants, results and totals from the same rows: a round may come to its result at any moment, and
        a figure that counts a round whose participants it does not name is refused by everybody.
        """
        return self._rounds.of(job.id, number)

    def inputs(self, job: Job, number: int, rows: Sequence[RoundRow]) -> tuple[list[tuple[str, str]], list[Missing]]:
        """(node, id of its SUBMIT) of all participants of rounds that have a result; everybody else who was asked, and why."""
        used = {
            each.node: each.submit for row in rows if row.state == "done" for each in self._rounds.participating(self._source(row))
        }
        said = {
            str(node): (str(verdict), str(reason))
            for node, verdict, reason in self._rounds.store.rows(
                "SELECT node, verdict, reason FROM answers WHERE request = ? AND number = ?", (job.id, number)
            )
        }
        why = self._reasons(job, number, rows)
        missing = []
        for node in job.asked.audience:
            if node not in used:
                verdict, reason = said.get(node, ("", "deadline"))
                waits = verdict in (READY, RELEASED)  # released meanwhile: by a round that was not yet done in these rows
                missing.append(Missing(node=node, reason=why.get(node, NO_GROUP) if waits else reason))
        return [(node, used[node]) for node in job.asked.audience if node in used], missing

    def results(self, rows: Sequence[RoundRow]) -> list[str]:
        """Ids of the RESULT statements, in the order of the partition."""
        return [self._rounds.result_id(row) for row in rows if row.state == "done"]

    def totals(self, job: Job, number: int, rows: Sequence[RoundRow]) -> list[NationalSum]:
        """The sums of the same rounds."""
        layout = job.asked.questions[number].layout
        sums = []
        for row in rows:
            if row.state == "done":
                source = self._source(row)
                result = Result.read(self._rounds.result(row))
                names = [each.node for each in self._rounds.participating(source)]
                sums.append(read_sum(layout, self._rounds.plan(source), result, self._rounds.blob(result.total.sha256), names))
        return sums

    def groups(self, job: Job, number: int) -> list[tuple[str, ...]]:
        """Codes of all groups that the question is told apart by."""
        groups = groups_of(job.asked.body, number, self._registry.registry)
        return [group.codes for group in groups if group.codes is not None]

    def bundle(self, job: Job) -> tuple[list[ResultPart], list[int], list[bytes], list[str]]:
        """The statements of all rounds with a result; entries of those that are ours; notes of the trustees'; digests of blobs."""
        ours: list[int] = []
        trustees: list[bytes] = []
        blobs: list[str] = []
        for row in self._rounds.of(job.id):
            if row.state != "done":
                continue
            source = self._source(row)
            ours += [entry for entry in (source.entry, source.closing, source.result) if entry is not None]
            trustees += [each.note for kind in ("key", "unmask", "check") for each in self._rounds.kept(source, kind)]
            participants, total = self._rounds.participants_blob(source), Result.read(self._rounds.result(source)).total.sha256
            blobs += [sha for sha in (source.roster, source.checkpoint, participants, total) if sha is not None]
        notes = [*(self._rounds.store.entry(entry) for entry in dict.fromkeys(ours)), *dict.fromkeys(trustees)]
        return [ResultPart(statement=note) for note in notes], list(dict.fromkeys(ours)), list(dict.fromkeys(trustees)), blobs

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _source(self, row: RoundRow) -> RoundRow:
        return self._rounds.source(row)

    def _reasons(self, job: Job, number: int, rows: Sequence[RoundRow]) -> dict[str, str]:
        """Why a node that was ready is not in a sum; nobody outside the groups."""
        groups = groups_of(job.asked.body, number, self._registry.registry)
        why: dict[str, str] = {node: NO_ANSWER for group in groups for node in group.members}  # no round yet
        for row in rows:
            members: Iterable[str] = groups[row.place].members
            if row.state == "failed":
                why |= dict.fromkeys(members, row.reason)
            elif row.state == "done":
                why |= dict.fromkeys(members, ROUND_OVER)
            if row.plan is not None:
                if row.state in ("collected", "closed", "unmasked"):
                    why |= dict.fromkeys(members, ROUND_OVER)
                    why |= {each.node: UNMASKING for each in self._rounds.submitted(row)}
                why |= self._rounds.reasons(row)
        return why
