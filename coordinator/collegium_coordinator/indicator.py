"""From verified releases to the signed national figure, and the bundle that lets anybody re-verify it.

An indicator names every node that was asked: its release, or the reason why there is none. A missing node is never a zero. When
something new has come (a late release, another reason, a withdrawal) the next look at the result signs a new revision; earlier ones
stay in the log.

A release that its node has withdrawn is left out of the next revision, with the reason `withdrawn`, so that the indicators that
used it are marked by the newer one and by the withdrawal in the bundle.

An indicator goes out with the receipt of the coordinator's log, when a checkpoint over it has the quorum of that log's witnesses.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from collegium.bundle import asked_nodes
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.errors import Failed, NotReleased
from collegium.layout import Layout
from collegium.log.statement import canonical_json, statement_id
from collegium.schema import Schema
from collegium.statements import Accounts, Blob, Coverage, Indicator, LogPlace, Missing, Release, UsedRelease
from collegium.v1.federation_pb2 import ResultPart, StatementReceipt
from collegium.view import View
from collegium_coordinator.cosigning import Cosigned, Cosigning
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal, not_confirmed
from collegium_coordinator.observed import Observed
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.roundstore import RoundRow, RoundStore
from collegium_coordinator.store import Store, put_blob
from collegium_coordinator.sums import NationalSums
from collegium_coordinator.verify import RELEASED

__all__ = ["WITHDRAWN", "Combine", "Indicators", "national_table"]

WITHDRAWN = "withdrawn"
TRIES = 5  # at a figure whose answers keep coming while it is made; then one of them waits for the next revision
PATIENCE = 2.0  # seconds that a result waits for the witnesses of the coordinator's log

Combine = Callable[..., bytes]
"""From layout, view, schema, releases and the nodes asked to the table's bytes; of a national question also `sums` and `groups`.
`national_table` but for tests."""


def national_table(
    layout: Layout, view: View, schema: Schema, releases: Sequence[NodeRelease], asked: Sequence[AskedNode], **national: Any
) -> bytes:
    """The table as the library makes it: what a reader of the bundle recomputes byte for byte."""
    return combine(layout, view, schema, releases, asked, **national).to_bytes()


@dataclass(frozen=True, slots=True)
class _Used:
    """A release that goes into the sum, or a submission that is in the sum of a round; then `entry` and `payload` are none."""

    node: str
    release_id: str
    entry: int
    payload: str


class Indicators:
    """Combines and signs, with the journal's statement key: trusted with honest addition, which an audit checks."""

    def __init__(
        self, store: Store, registry: RegistryLog, journal: Journal, cosigned: Cosigned, cosigning: Cosigning, combine: Combine,
        observed: Observed | None = None,
    ) -> None:  # fmt: skip
        self._observed = observed or Observed()
        self._store = store
        self._combine = combine
        self._registry = registry
        self._journal = journal
        self._cosigned = cosigned
        self._cosigning = cosigning
        self._sums = NationalSums(RoundStore(store), registry)

    async def issue(self, job: Job) -> None:
        """Sign a new revision of each question's indicator whose inputs have changed since the last; wait for the witnesses.

        Raises:
            NotReleased: the quorum has not come in time. The indicators are signed and logged; the next look finds them.
        """
        with self._observed.signing(job.id):
            await self._issue(job)

    async def _issue(self, job: Job) -> None:
        if not await self._cosigning.ready(self._journal.origin, PATIENCE):
            raise not_confirmed()
        async with job.signing:  # one at a time for a request: two callers at once must not sign the same revision twice
            for number in range(len(job.asked.questions)):
                tries = 0
                while not await asyncio.to_thread(self._issue_one, job, number, complete=tries < TRIES):
                    tries += 1  # the registry has grown, or an answer has come, while the table was computed
        newest = max((self._newest(job, number) for number in range(len(job.asked.questions))), default=-1)
        if not await self._cosigning.confirmed(self._journal.origin, newest + 1, PATIENCE):
            raise NotReleased(
                "the figures are made; witnesses have not yet confirmed them in the coordinator's log",
                place=job.id[:12],
                remedy=f"Fetch them in a moment: collegium result {job.id[:12]}",
                reason="pending",
            )

    def _issue_one(self, job: Job, number: int, *, complete: bool) -> bool:
        """One question. False when the registry grew on the way: then nothing has changed, and it is to be done again.

        So, with `complete`, when an answer came on the way: no figure leaves out a release that stands before it in the log.

        1. Sort the nodes asked into used and missing; of a national question, by its rounds as they stand at this moment.
        2. If that is what the newest revision says, there is nothing to do.
        3. Add and post-process, with the public facts of nodes in one state of the registry.
        4. Log the statement, which names its own index and that state, with the table beside it; the same state stands in the log
        before it.
        """
        # (1)
        rounds = self._rounds(job, number)
        used, missing = self._inputs(job, number, rounds)
        inputs = hashlib.sha256(
            canonical_json([[[u.node, u.release_id] for u in used], [[m.node, m.reason] for m in missing]])
        ).hexdigest()
        # (2)
        newest = self._store.row(
            "SELECT revision, inputs FROM indicators WHERE request = ? AND number = ? ORDER BY revision DESC LIMIT 1",
            (job.id, number),
        )
        if newest is not None and newest[1] == inputs:
            return True
        # (3)
        view = self._registry.durable_view()
        question = job.asked.questions[number]
        reasons = {each.node: each.reason for each in missing}
        asked = asked_nodes(self._registry.registry, view.size, job.asked.audience, reasons)
        view_of = job.asked.views[number]
        results, national = None, {}
        if question.layout.question.mode == "national":
            results = tuple(self._sums.results(rounds)) or None
            groups = self._sums.groups(job, number) if view_of.facts else []
            national = {"sums": self._sums.totals(job, number, rounds), "groups": groups}
        releases_of = [] if national else self._releases(used)
        with self._observed.tracing.span(job.id, "combine", question=number):
            table = self._combine(question.layout, view_of, job.asked.schema, releases_of, asked, **national)
        # (4)
        releases = tuple(UsedRelease(node=each.node, sha256=each.release_id) for each in used)
        accounts = Accounts(releases=releases, missing=tuple(missing)).to_blob()
        revision = 0 if newest is None else int(newest[0]) + 1
        with self._journal.write() as log:
            if log.registry != view or (complete and self._inputs(job, number, self._rounds(job, number)) != (used, missing)):
                return False

            def make(place: LogPlace) -> bytes:
                return Indicator(
                    log=place,
                    registry=view,
                    time=log.now,
                    request=job.id,
                    number=number,
                    question=question.digest,
                    revision=revision,
                    accounts=Blob(sha256=hashlib.sha256(accounts).hexdigest(), size=len(accounts)),
                    coverage=_coverage(asked, {each.node for each in used}),
                    table=Blob(sha256=hashlib.sha256(table).hexdigest(), size=len(table)),
                    results=results,
                ).sign(self._journal.statements)

            put_blob(log.db, accounts)
            put_blob(log.db, table)
            entry = log.sign(Indicator.kind, job.id, make)
            log.db.execute("INSERT INTO indicators VALUES (?, ?, ?, ?, ?)", (job.id, number, revision, entry, inputs))
        # Crash before the commit: no such indicator; the next look signs it. Crash after: it is found and shown.
        return True

    def _newest(self, job: Job, number: int) -> int:
        """The entry of a question's newest indicator; -1 when there is none."""
        row = self._store.row(
            "SELECT entry FROM indicators WHERE request = ? AND number = ? ORDER BY revision DESC LIMIT 1", (job.id, number)
        )
        return int(row[0]) if row is not None else -1

    def _rounds(self, job: Job, number: int) -> list[RoundRow]:
        """Of a national question, read once for a figure: its table, results and accounts are of the same rounds."""
        national = job.asked.questions[number].layout.question.mode == "national"
        return self._sums.rows(job, number) if national else []

    def _inputs(self, job: Job, number: int, rounds: Sequence[RoundRow]) -> tuple[list[_Used], list[Missing]]:
        if job.asked.questions[number].layout.question.mode == "national":
            participants, others = self._sums.inputs(job, number, rounds)
            return [_Used(node, submit, -1, "") for node, submit in participants], others
        withdrawn = {
            (str(node), str(release))
            for node, release in self._store.rows(
                "SELECT w.node, w.release_id FROM withdrawals w JOIN answers a ON a.release_id = w.release_id AND a.node = w.node"
                " WHERE a.request = ? AND a.number = ?",
                (job.id, number),
            )
        }
        answers = {
            str(node): rest
            for node, *rest in self._store.rows(
                "SELECT node, verdict, reason, release_id, release, payload FROM answers WHERE request = ? AND number = ?",
                (job.id, number),
            )
        }
        used: list[_Used] = []
        missing: list[Missing] = []
        for node in job.asked.audience:
            verdict, reason, release_id, entry, payload = answers.get(node, ["", "deadline", "", -1, ""])
            if verdict != RELEASED:
                missing.append(Missing(node=node, reason=reason))
            elif (node, release_id) in withdrawn:
                missing.append(Missing(node=node, reason=WITHDRAWN))
            else:
                used.append(_Used(node, release_id, entry, payload))
        return used, missing

    def _releases(self, used: Sequence[_Used]) -> list[NodeRelease]:
        """Payloads and stated scales, read here and forgotten after the addition."""
        releases = []
        for each in used:
            payload = self._store.blob(each.payload)
            if payload is None:
                raise Failed(f"the payload {each.payload} is not in the database", remedy="Restore it from its backup.")
            scales = tuple(part.scale for part in Release.read(self._store.entry(each.entry)).parts)
            releases.append(NodeRelease(each.node, payload, scales))
        return releases

    def bundle(self, job: Job) -> list[ResultPart]:
        """All parts of a request's result but the progress, receipts included. Each is verified by the reader."""
        parts = [ResultPart(request=job.asked.note), ResultPart(blob=job.asked.details)]
        proofs = [(job.id, self._cosigned.receipt(job.entry))]
        blobs: dict[str, None] = {}
        for number in range(len(job.asked.questions)):
            newest = self._newest(job, number)
            if newest >= 0:
                note = self._store.entry(newest)
                parts.append(ResultPart(indicator=note))
                proofs.append((statement_id(note), self._cosigned.receipt(newest)))
                indicator = Indicator.read(note)
                blobs |= dict.fromkeys((indicator.table.sha256, indicator.accounts.sha256))
        rows = self._store.rows("SELECT decision, release, payload FROM answers WHERE request = ? ORDER BY number, node", (job.id,))
        for decision, release, payload in rows:
            if decision is not None:
                note = self._store.entry(decision)
                parts.append(ResultPart(decision=note))
                proofs.append(self._foreign(note))
            if release is not None:
                note = self._store.entry(release)
                parts.append(ResultPart(release=note))
                proofs.append(self._foreign(note))
                blobs[payload] = None
        statements, ours, theirs, digests = self._sums.bundle(job)
        parts.extend(statements)
        proofs.extend((statement_id(self._store.entry(entry)), self._cosigned.receipt(entry)) for entry in ours)
        proofs.extend(self._foreign(note) for note in theirs)
        blobs |= dict.fromkeys(digests)
        withdrawals = self._store.rows(
            "SELECT DISTINCT w.entry FROM withdrawals w JOIN answers a ON a.release_id = w.release_id AND a.node = w.node"
            " WHERE a.request = ?",
            (job.id,),
        )
        parts.extend(ResultPart(withdrawal=self._store.entry(entry)) for (entry,) in withdrawals)
        for sha in blobs:
            data = self._store.blob(sha)
            if data is not None:
                parts.append(ResultPart(blob=data))
        parts.extend(
            ResultPart(receipt=StatementReceipt(statement=statement, proof=proof))
            for statement, proof in proofs
            if proof is not None
        )
        return parts

    def _foreign(self, note: bytes) -> tuple[str, bytes | None]:
        """A node's statement by its id, and the receipt that came with it. What was taken before there were receipts has none."""
        statement = statement_id(note)
        row = self._store.row("SELECT receipt FROM receipts WHERE statement = ?", (statement,))
        return statement, bytes(row[0]) if row is not None else None


def _coverage(asked: Sequence[AskedNode], used: set[str]) -> Coverage:
    """Counts of nodes, and of the persons enrolled there where the registry knows how many (public figures)."""
    known = [each for each in asked if each.enrolment]
    return Coverage(
        asked=len(asked),
        answered=len(used),
        enrolment=sum(each.enrolment for each in known if each.node in used) if known else None,
        enrolment_asked=sum(each.enrolment for each in known) if known else None,
    )
