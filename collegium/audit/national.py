"""A7 of national sums, judged when all logs are read: each round's list and sum, and the indicators that rest on results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collegium.audit.case import Case
from collegium.audit.coordinator import CoordinatorReplay, Pending
from collegium.audit.exhibits import entry_files
from collegium.audit.heads import Heads
from collegium.audit.plans import Plans
from collegium.audit.pool import Workers
from collegium.audit.readd import Found, Job, readd
from collegium.audit.rounds import Round
from collegium.audit.sums import UsedRound
from collegium.audit.verdict import Exhibit
from collegium.errors import CollegiumError
from collegium.log.receipt import make_receipt

__all__ = ["judge_rounds"]

MOST_SHOWN = 64 * 2**20  # bytes of vectors in one folder of evidence


def judge_rounds(replay: CoordinatorReplay, heads: Heads, workers: Workers) -> None:
    """Plans, lists and sums of all rounds, then the indicators. What a sum leaves for `sums` is put there."""
    judge = _Judge(replay, heads)
    rounds = list(replay.rounds.by_plan.values())
    for each in rounds:
        judge.plans.check(each)
    jobs: list[tuple[Round, Job]] = []

    def tasks() -> Iterator[tuple[Job]]:
        for each in rounds:
            for job in judge.jobs(each):
                jobs.append((each, job))
                yield (job,)

    for number, found in enumerate(workers.map(readd, tasks())):
        judge.found(*jobs[number], found)
    for pending in replay.pending:
        judge.indicator(pending)


class _Judge:
    def __init__(self, replay: CoordinatorReplay, heads: Heads) -> None:
        self._replay = replay
        self._case: Case = replay.case
        self._log = replay.log
        self._frame = replay.frame
        self.plans = Plans(replay.frame, heads, replay.rounds, replay.asked.at)

    def jobs(self, round_: Round) -> Iterator[Job]:
        """A job for each list that was closed; several only where the coordinator has closed a plan several times."""
        log, registry = self._log, self._case.registry
        assert registry is not None
        if round_.plan.id not in self.plans.rosters:
            return
        folders = (str(log.folder.path), *(str(each.folder.path) for each in self._case.trustees))
        for identity, (index, close) in round_.closes.items():
            self._case.findings.ran("A7", log.name)
            prepares = [round_.prepares.get(each) for each in close.prepares]
            if None in prepares:
                text = f"the list at entry {index} rests on a trustee's verdicts that stand nowhere before it"
                self._frame.fail("A7", "prepares", text, round_.index, index)
                continue
            result = round_.result
            unmasks: tuple[int, ...] = ()
            totals: tuple[str, ...] = ()
            if result is not None and result[1].close == identity and result[1].id in round_.proper:
                unmasks = tuple(round_.unmasks[each][0] for each in result[1].unmasks)
                totals = (result[1].total,)
            yield Job(
                path=str(log.folder.path), size=log.size, folders=folders,
                keys=(registry.coordinator.vkey, log.key.vkey), plan=round_.index, close=index,
                receipt=make_receipt(log.levels.proofs, index, log.note),
                prepares=tuple(each[0] for each in prepares if each is not None),
                shares=tuple((share, held.index) for share, held in round_.shares.items()), unmasks=unmasks, totals=totals,
            )  # fmt: skip

    def found(self, round_: Round, job: Job, found: Found) -> None:
        """What a job has shown."""
        where = f"the list of participants at entry {job.close}"
        if found.problem == "missing":
            self._frame.warn("A7", "lists", f"{where} cannot be checked: {found.text}", missing=True)
            return
        if found.problem:
            text = f"{where} does not hold: {found.text}"
            self._frame.fail("A7", "list", text, round_.index, *job.prepares, job.close, more=lambda: self._lists(round_, job))
            return
        for index in found.left_out:
            share = next(each for each in round_.shares.values() if each.index == index)
            text = (
                f"{where} leaves out the submission of {share.node}, which the log held before it, at entry {index}, and which no "
                "trustee has rejected"
            )
            more = lambda: self._lists(round_, job)  # noqa: E731
            self._frame.fail("A7", "left-out-share", text, round_.index, index, *job.prepares, job.close, more=more)
        roster = self.plans.rosters[round_.plan.id]
        round_.participants = tuple((roster.nodes[member].node, submit) for member, submit in found.participants)
        round_.again = found.again if found.again in ("added", "kept") else ""
        if found.again.startswith("broken"):
            text = f"the sum at entry {job.close} cannot be added again, the copy was changed: {found.again[8:]}"
            self._frame.warn("A7", "vectors", text, missing=True)
        if found.false:
            self._false(round_, job)

    def _false(self, round_: Round, job: Job) -> None:
        """The result is not the sum, nor is the check that says the same."""
        result = round_.result
        assert result is not None
        at, fact = result
        check, said = round_.checks[fact.check]
        trustee = self._case.name(said.origin)
        text = "is not the sum of the masked vectors that the participants signed, less the masks that the trustees signed"
        shown = (round_.index, *job.prepares, job.close, *job.unmasks, check, at, *self._shares(round_))
        self._frame.fail(
            "A7", "national-sum", f"the total of the result at entry {at} {text}", *shown, more=lambda: self._vectors(round_, job)
        )
        claim = f"the total that {trustee} says it has added up again (entry {check} of the coordinator's log) {text}"
        more = lambda: [*entry_files(self._log, *shown), *self._vectors(round_, job)]  # noqa: E731
        self._case.findings.fail("A7", trustee, "false-check", claim, party=trustee, exhibits=more)

    def indicator(self, pending: Pending) -> None:
        """An indicator of a national question.

        1. Every result it names stands before it, rests on what it names, and is of this very question. 2. They are of groups that
        the request asks for, in their order, each once. 3. Who is accounted for as in the sum is in one of their lists, with this
        submission. 4. The table is left to `sums`.
        """
        index, fact, accounts = pending.index, pending.fact, pending.accounts
        replay, rounds = self._replay, []
        # (1)
        for identity in fact.results or ():
            round_ = replay.rounds.by_result.get(identity)
            if round_ is None or round_.results[identity][0] > index or identity not in round_.proper:
                self._wrong(
                    pending, "result", "adds a result that stands nowhere before it in the coordinator's log, or rests on nothing"
                )
                return
            if round_.plan.question != fact.question:
                self._wrong(pending, "result", "adds the result of another question", round_.index, round_.results[identity][0])
                return
            rounds.append((round_, *round_.results[identity]))
        # (2)
        try:
            groups = [each.codes for each in self.plans.groups(fact.request, fact.number)]
        except CollegiumError as error:
            if rounds and self.plans.known(fact.request):
                self._wrong(pending, "groups", f"has national sums for a question that can have none: {error.text}")
                return
            text = f"the groups of the indicator at entry {index} cannot be told, it is not checked: {error.text}"
            self._frame.warn("A7", "groups", text, missing=True)
            return
        places = [groups.index(each[0].plan.group) if each[0].plan.group in groups else -1 for each in rounds]
        if -1 in places or places != sorted(set(places)):
            self._wrong(pending, "groups", "adds other groups than the request asks for", *(each[0].index for each in rounds))
            return
        # (3)
        if any(each[0].participants is None for each in rounds):
            text = f"the indicator at entry {index} rests on a list of participants that could not be checked: nor is its sum"
            self._frame.warn("A7", "participants", text, missing=True)
            return
        said = sorted((each.node, each.sha256) for each in accounts.releases)
        if said != sorted(pair for each in rounds for pair in each[0].participants or ()):
            self._wrong(pending, "participants", "accounts for other participants than its results", *(each[1] for each in rounds))
            return
        # (4)
        used = tuple(
            UsedRound(each.index, at, tuple(node for node, _ in each.participants or ()), result.total)
            for each, at, result in rounds
        )
        replay.add(index, fact, pending.audience, accounts, rounds=used, groups=tuple(each for each in groups if each is not None))

    def _wrong(self, pending: Pending, rule: str, text: str, *others: int) -> None:
        self._replay.wrong(pending.index, rule, f"the indicator at entry {pending.index} {text}", pending.exhibits, *others)

    def _shares(self, round_: Round) -> list[int]:
        return [round_.shares[submit].index for _, submit in round_.participants or ()]

    def _lists(self, round_: Round, job: Job) -> list[Exhibit]:
        from collegium.national.statements import Close, Plan, Prepare

        log = self._log
        named = [
            (Plan.read(log.entry(job.plan)).roster.sha256, "the roster that the plan names"),
            (Close.read(log.entry(job.close)).participants.sha256, "the list that the close names"),
            *((Prepare.read(log.entry(at)).prepared.sha256, "a trustee's verdicts") for at in job.prepares),
        ]
        return self._blobs(named)

    def _vectors(self, round_: Round, job: Job) -> list[Exhibit]:
        """Lists, and all vectors where they are not too many: else the README's reader finds them in the coordinator's export."""
        named: list[tuple[str, str]] = []
        if 8 * round_.plan.length * len(round_.shares) <= MOST_SHOWN:
            vectors = [round_.shares[submit] for _, submit in round_.participants or ()]
            named += [(each.vector, f"masked vector of {each.node}, uint64 little endian") for each in vectors]
        named += [(each[1].masks, "a trustee's sum of masks, uint64 little endian") for each in round_.unmasks.values()]
        named += [(each, "the total that was signed, int64 little endian") for each in job.totals]
        return self._lists(round_, job) + self._blobs(named)

    def _blobs(self, named: Sequence[tuple[str, str]]) -> list[Exhibit]:
        files = {}
        for sha256, what in named:
            for log in (self._log, *self._case.trustees):
                try:
                    files[sha256] = Exhibit(f"{sha256}.blob", log.folder.blob(sha256), what)
                    break
                except CollegiumError:
                    continue
        return list(files.values())
