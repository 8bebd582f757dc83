"""The made federation of `madefed` with three trustees and national sums: every step of a round, honestly, with real keys.

    world = NationalWorld(12)
    world.sum_up()                       # a national question from request to indicator
    world.export(folder); world.trust()

A round is made step by step by `Making`, so that a test can take one step differently. The noise is small numbers and no noise, and
seeds are real; nothing else is random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from madefed import FED, Put, World

from collegium.body import Blob
from collegium.bundle import asked_nodes
from collegium.combine import combine
from collegium.errors import Invalid
from collegium.layout import Layout
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.note import Signer, encode_base64
from collegium.log.statement import statement_id
from collegium.national.figures import NationalSum
from collegium.national.groups import groups_of
from collegium.national.lists import Participant, Participants, Prepared, Rejected, Roster, RosterNode, Submitted
from collegium.national.plan import plan_parts
from collegium.national.seal import SealingKey
from collegium.national.share import Tolerance, variance_factor
from collegium.national.statements import (
    Check,
    Close,
    Plan,
    PlanTrustee,
    Prepare,
    Result,
    Submit,
    TrusteeKey,
    Unmask,
    lot,
    plan_digest,
)
from collegium.national.submission import Hidden, hide, mask_total, open_submission
from collegium.national.wanted import homes_of, wanted
from collegium.question import Question
from collegium.registration import Partition
from collegium.statements import Accounts, Coverage, Indicator, Missing, UsedRelease
from collegium.view import View

NAMES = ("trustee-a", "trustee-b", "trustee-c")
SEALING = [SealingKey(hashlib.sha512(name.encode()).digest() + bytes(32)) for name in NAMES]
TOLERANCE = Tolerance(200_000, 100_000)
GROUPS = (("11",), ("34",))
YEAR = 366 * 86_400


def national(rho: int = 10_000_000, *, salt: int = 0) -> Question:
    """People by sex, as a national sum."""
    tree = {
        "dataset": "graduate",
        "group": [{"column": "sex"}],
        "components": [{"kind": "people", "rho": rho + salt}],
        "bounds": {"max_groups": 1, "max_rows": 1},
        "mode": "national",
        "schema": "higher-education/1",
    }
    return Question.model_validate(tree)


class NationalWorld(World):
    """`count` nodes, half of them in each of two provinces, one partition, three trustees with their logs and keys."""

    def __init__(self, count: int = 8, *, witnesses: bool = False, partition: bool = True) -> None:
        super().__init__([f"node-{number:02}" for number in range(count)], witnesses=False)
        for name in NAMES:
            self.invite(name, "trustee", {}, 0)
            self.trustees[name] = self.writer(name)
        if partition:
            self.register(Partition(fact="province", groups=GROUPS, time=self.now).sign(self.registry_log.statements))
        if witnesses:
            self.assign()
        for name, sealing in zip(NAMES, SEALING, strict=True):
            self.state(name, sealing)

    def state(self, name: str, sealing: SealingKey, until: int = YEAR) -> None:
        """KEY: the trustee says it in its log, and the coordinator keeps it."""
        log = self.trustees[name]
        log.embed(self.registry_log)
        self.collect(log, log.say(TrusteeKey, sealing=encode_base64(sealing.public), until=self.now + until))

    def trustee_head(self, note: bytes) -> bytes:
        """A registry checkpoint with the cosignatures of all three trustees."""
        return add_cosignatures(note, [self.trustee_cosigner(name).cosign(note, self.now) for name in NAMES])

    def cosigned(self, origin: str, note: bytes) -> bytes:
        note = super().cosigned(origin, note)
        return self.trustee_head(note) if origin.endswith("/registry") and len(self.trustees) == len(NAMES) else note

    @staticmethod
    def trustee_cosigner(name: str) -> CosignerSigner:
        whole = f"{FED}/{name}/witness"
        return CosignerSigner.from_seed(whole, hashlib.sha256(whole.encode()).digest())

    def put(self, *questions: Question, by_province: bool = False, everyone: bool = True, **more: Any) -> Put:
        """A national question as it is asked: of everybody, with one figure for the country or for each group."""
        self.now += 60
        note = self.request(
            "rita", *(questions or (national(),)), everyone=everyone, facts=("province",) if by_province else (), **more
        )
        put = self.take(note)
        for name in self.registry.audience(put.body):
            self.hear(self.nodes[name], put)
        return put

    def sum_up(self, put: Put | None = None, *, silent: Sequence[str] = (), number: int = 0) -> list[Making]:
        """A whole national question, honestly."""
        put = put or self.put()
        made = []
        for group in groups_of(put.body, number, self.registry):
            one = Making(self, put, group.codes, group.members, number=number)
            one.finish(silent=silent)
            made.append(one)
        self.now += 5
        self.publish(put, made, number=number)
        return made

    def publish(
        self, put: Put, made: Sequence[Making], *, number: int = 0, accounts: Accounts | None = None,
        change: Callable[[bytes], bytes] = lambda table: table, **body: Any,
    ) -> int:  # fmt: skip
        """The indicator of what the rounds have come to."""
        layout = put.layouts[number]
        view = View.from_json(put.body.views[number])
        size = self.coordinator.embedded["registry"]
        everyone = self.registry.audience(put.body)
        used = {name: submit for one in made for name, submit in one.participants.items()}
        gone = {name: "deadline" for name in everyone if name not in used}
        groups: list[tuple[str, ...]] = []
        with suppress(Invalid):  # of a question that can have no national sums
            groups = [each.codes for each in groups_of(put.body, number, self.registry) if each.codes is not None]
        asked = asked_nodes(self.registry, size, everyone, gone)
        sums = [one.as_sum(layout) for one in made]
        table = change(combine(layout, view, self.schema, (), asked, sums=sums, groups=groups).to_bytes())
        accounts = accounts or Accounts(
            releases=tuple(UsedRelease(node=name, sha256=submit) for name, submit in sorted(used.items())),
            missing=tuple(Missing(node=name, reason=reason) for name, reason in sorted(gone.items())),
        )
        coverage = Coverage(
            asked=len(asked), answered=len(used),
            enrolment=sum(each.enrolment for each in asked if each.node in used),
            enrolment_asked=sum(each.enrolment for each in asked),
        )  # fmt: skip
        fields = {
            "request": put.id, "number": number, "question": layout.question.digest, "revision": 0, "coverage": coverage,
            "accounts": self.coordinator.blob(accounts.to_blob()), "table": self.coordinator.blob(table),
            "results": tuple(one.result_id for one in made) or None,
        }  # fmt: skip
        return self.coordinator.say(Indicator, **(fields | body))


@dataclass
class Making:
    """One round. Steps are called in their order; `finish` calls them all."""

    world: NationalWorld
    put: Put
    codes: tuple[str, ...] | None
    members: Sequence[str]
    number: int = 0
    changes: dict[str, Any] = field(default_factory=dict)  # of the plan
    roster: Roster | None = None
    charges: dict[str, int] = field(default_factory=dict)
    submits: dict[int, bytes] = field(default_factory=dict)
    hidden: dict[int, Hidden] = field(default_factory=dict)
    values: dict[int, np.ndarray] = field(default_factory=dict)
    seeds: list[dict[int, bytes]] = field(default_factory=lambda: [{}, {}, {}])
    prepares: list[bytes] = field(default_factory=list)
    unmasks: list[bytes] = field(default_factory=list)
    listed: Participants | None = None
    close_note: bytes = b""
    check_note: bytes = b""
    result_id: str = ""

    def __post_init__(self) -> None:
        world, layout = self.world, self.layout
        log = world.coordinator
        log.embed(world.registry_log)
        if self.roster is None:
            nodes = tuple(RosterNode(node=name, key=world.keys[name].vkey) for name in sorted(self.members))
            self.roster = Roster(nodes=nodes)
        n, homes = len(self.roster.nodes), homes_of(layout, world.schema)
        body: dict[str, Any] = {
            "request": self.put.id, "number": self.number, "question": layout.question.digest,
            "nonce": f"{log.size:032x}", "nodes": n, "roster": self.keep(self.roster.to_blob()),
            "dropout": TOLERANCE.dropout, "colluding": TOLERANCE.colluding, "least": TOLERANCE.least(n),
            "honest": TOLERANCE.honest(n), "homes": homes, "group": self.codes, "deadline": world.now + 3600,
            "parts": plan_parts(wanted(layout, n, TOLERANCE, homes), n, TOLERANCE, homes),
            "trustees": tuple(
                PlanTrustee(trustee=name, key=world.keys[name].vkey, sealing=encode_base64(sealing.public))
                for name, sealing in zip(NAMES, SEALING, strict=True)
            ),
        }  # fmt: skip
        self.index = log.say(Plan, **(body | self.changes))
        self.note = log.entries[self.index]
        self.plan = Plan.read(self.note)
        self.id = plan_digest(self.note).hex()
        for name in NAMES:
            self.show(name, self.note)

    @property
    def layout(self) -> Layout:
        return self.put.layouts[self.number]

    def keep(self, data: bytes) -> Blob:
        return self.world.coordinator.blob(data)

    def show(self, trustee: str, note: bytes) -> None:
        """A trustee keeps what the coordinator has logged, after the checkpoint that holds it."""
        log = self.world.trustees[trustee]
        log.embed(self.world.registry_log)
        log.embed(self.world.coordinator)
        log.keep(note)

    def member(self, name: str) -> int:
        assert self.roster is not None
        return [each.node for each in self.roster.nodes].index(name)

    def name(self, member: int) -> str:
        assert self.roster is not None
        return self.roster.nodes[member].node

    def charge(self, name: str, **change: Any) -> int:
        index = self.world.charge(self.world.nodes[name], self.put, self.number, plan=self.id, **change)
        self.charges[name] = index
        return index

    def submit(self, name: str, *, collect: bool = True, signer: Signer | None = None, **change: Any) -> int:
        """Charge, hide and SUBMIT; the coordinator keeps both."""
        world = self.world
        node, member = world.nodes[name], self.member(name)
        node.embed(world.coordinator)
        decision = self.charges[name] if name in self.charges else self.charge(name)
        rng = np.random.default_rng([member, node.size])
        tally = rng.integers(50, 150, self.plan.length)
        fine = np.concatenate([np.full(part.cells, part.fine) for part in self.plan.parts])
        self.values[member] = ((tally << fine) + rng.integers(-9, 10, self.plan.length)).astype(np.int64).view(np.uint64)
        hidden = self.hidden[member] = hide(self.note, self.plan, member, node.statements.verifier, self.values[member])
        body: dict[str, Any] = {
            "plan": self.id, "member": member, "decision": decision,
            "seeds": tuple(hashlib.sha256(each).hexdigest() for each in hidden.sealed),
            "vector": self.keep(hidden.vector.tobytes()), "commitment": hidden.commitment,
        }  # fmt: skip
        index = node.say(Submit, signer, **(body | change))
        self.submits[member] = node.entries[index]
        if collect:
            world.collect(node, decision, index)
        return index

    def prepare(self, at: int, verdict: Prepared | None = None, **change: Any) -> int:
        accepted = []
        assert self.roster is not None
        for member, note in sorted(self.submits.items()):
            sealed = self.hidden[member].sealed[at]
            _, self.seeds[at][member] = open_submission(note, sealed, self.note, self.roster, at, SEALING[at])
            accepted.append(Submitted(member=member, submit=statement_id(note)))
        prepared = verdict or Prepared(accepted=tuple(accepted), rejected=())
        body = {"plan": self.id, "trustee": at, "prepared": self.keep(prepared.to_blob())}
        return self.say(at, Prepare, self.prepares, **(body | change))

    def say(self, at: int, model: type, kept: list[Any], **body: Any) -> int:
        """A trustee's statement, in its log and in the coordinator's."""
        world = self.world
        log = world.trustees[NAMES[at]]
        log.embed(world.registry_log)
        index = log.say(model, **body)
        kept.append(log.entries[index])
        world.collect(log, index)
        return index

    def participant(self, member: int) -> Participant:
        note = self.submits[member]
        return Participant(member=member, submit=statement_id(note), vector=Submit.read(note).vector.sha256)

    def close(
        self, members: Sequence[int] | None = None, *, listed: Participants | None = None, logged: bool = True, **change: Any
    ) -> bytes:
        log = self.world.coordinator
        log.embed(self.world.registry_log)
        self.listed = listed or Participants(members=tuple(self.participant(m) for m in (members or sorted(self.submits))))
        body: dict[str, Any] = {
            "plan": self.id, "prepares": tuple(statement_id(note) for note in self.prepares[-3:]),
            "participants": self.keep(self.listed.to_blob()), "count": len(self.listed.members),
        }  # fmt: skip
        self.close_note = Close(**(log.frame | body | change)).sign(log.statements)
        if logged:
            log.keep(self.close_note)
        return self.close_note

    def unmask(self, at: int, *, shown: bool = True, **change: Any) -> int:
        if shown:
            self.show(NAMES[at], self.close_note)
        assert self.listed is not None
        masks = mask_total(self.note, self.plan.length, at, self.listed, self.seeds[at])
        body = {"plan": self.id, "close": statement_id(self.close_note), "trustee": at, "masks": self.keep(masks.tobytes())}
        return self.say(at, Unmask, self.unmasks, **(body | change))

    @property
    def total(self) -> np.ndarray:
        assert self.listed is not None
        return np.sum([self.values[each.member].view(np.int64) for each in self.listed.members], axis=0, dtype=np.int64)

    def check(self, total: np.ndarray | None = None, *, by: int | None = None, **change: Any) -> int:
        ids = tuple(statement_id(note) for note in self.unmasks[-3:])
        at = lot(ids) if by is None else by
        total = self.total if total is None else total
        kept: list[bytes] = []
        body: dict[str, Any] = {
            "plan": self.id, "close": statement_id(self.close_note), "unmasks": ids, "trustee": at,
            "total": self.keep(total.astype("<i8").tobytes()),
        }  # fmt: skip
        index = self.say(at, Check, kept, **(body | change))
        self.check_note = kept[0]
        return index

    def result(self, total: np.ndarray | None = None, **change: Any) -> int:
        log = self.world.coordinator
        log.embed(self.world.registry_log)
        total = self.total if total is None else total
        body: dict[str, Any] = {
            "plan": self.id, "close": statement_id(self.close_note), "unmasks": tuple(statement_id(n) for n in self.unmasks[-3:]),
            "check": statement_id(self.check_note), "count": Close.read(self.close_note).count, "honest": self.plan.honest,
            "total": self.keep(total.astype("<i8").tobytes()),
        }  # fmt: skip
        index = log.say(Result, **(body | change))
        self.result_id = statement_id(log.entries[index])
        return index

    def gather(self, *, silent: Sequence[str] = ()) -> Making:
        """Up to the three trustees' verdicts."""
        for name in sorted(self.members):
            if name not in silent:
                self.submit(name)
        for at in range(3):
            self.prepare(at)
        return self

    def uncover(self) -> Making:
        """From the close to the masks."""
        self.close()
        for at in range(3):
            self.unmask(at)
        return self

    def finish(self, *, silent: Sequence[str] = ()) -> Making:
        self.gather(silent=silent).uncover()
        self.check()
        self.result()
        return self

    @property
    def participants(self) -> dict[str, str]:
        assert self.listed is not None
        return {self.name(each.member): each.submit for each in self.listed.members}

    def as_sum(self, layout: Layout) -> NationalSum:
        total = np.frombuffer(self.world.coordinator.blobs[Result.read(self._result_note()).total.sha256], dtype="<i8")
        factor = variance_factor(len(self.participants), self.plan.honest)
        fines = tuple(part.fine for part in self.plan.parts)
        return NationalSum(self.codes, tuple(sorted(self.participants)), total.astype(np.int64), fines, factor, self.plan.homes)

    def _result_note(self) -> bytes:
        return next(note for note in self.world.coordinator.entries if statement_id(note) == self.result_id)


def rejecting(one: Making, name: str) -> Prepared:
    """The verdict of a trustee that rejects this node and accepts all others."""
    member = one.member(name)
    rest = tuple(Submitted(member=m, submit=statement_id(note)) for m, note in sorted(one.submits.items()) if m != member)
    return Prepared(accepted=rest, rejected=(Rejected(member=member, submit=statement_id(one.submits[member]), reason="seed"),))
