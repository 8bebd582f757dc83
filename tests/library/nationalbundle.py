"""The bundle of one national question in memory: real keys, statements and receipts, a total that nobody had to mask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from loginmemory import MemoryLog
from planned import ASKER, FED, NOW, Campus, key, registry, statements_key

from collegium.asking import Ask, Prepared, prepare
from collegium.body import Blob, LogPlace
from collegium.bundle import Bundle, asked_nodes
from collegium.combine import combine
from collegium.layout import compile_layout
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.note import Signer, decode_base64, encode_base64
from collegium.log.receipt import make_receipt
from collegium.log.statement import statement_id
from collegium.national.figures import NationalSum
from collegium.national.groups import Group, groups_of
from collegium.national.lists import Participant, Participants, Roster, RosterNode
from collegium.national.plan import plan_parts
from collegium.national.seal import SealingKey
from collegium.national.share import Tolerance
from collegium.national.statements import Check, Close, Plan, PlanTrustee, Result, TrusteeKey, Unmask, lot
from collegium.national.wanted import homes_of, wanted
from collegium.registry import Registry
from collegium.statements import Accounts, Coverage, Decision, Indicator, Missing, UsedRelease

TRUSTEES = ("trustee-a", "trustee-b", "trustee-c")
SEALING = {name: SealingKey(bytes([30 + at]) * 96) for at, name in enumerate(TRUSTEES)}
CAMPUSES = [Campus(f"u{number:02}", ("11", "12", "31")[number % 3]) for number in range(15)]
GROUPS = (("11", "12"), ("31",))
TOLERANCE = Tolerance(200_000, 100_000)
BY_PROVINCE = "SELECT province, COUNT(*) AS n FROM graduate GROUP BY province"
IN_ALL = "SELECT COUNT(*) AS n FROM graduate"
AWAY = "u03"


@dataclass
class Made:
    """What a coordinator would hand out. `plans`, `closes`, ... change fields of these statements before they are signed."""

    sql: str = IN_ALL
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    drop: tuple[str, ...] = ()  # kinds of statement left out of the bundle
    failed: tuple[str, ...] | None = None  # the group whose round came to nothing
    cosigning: tuple[str, ...] = TRUSTEES
    dropouts: int = 1
    stranger: bool = False  # one of the roster is not registered under that key
    impostor: bool = False  # who signs as trustee-c is not the registered one
    moved: bool = False  # every roster has a node of another group
    earlier: bool = False  # the rounds were made for an earlier request of the same question

    def __post_init__(self) -> None:
        self.registry: Registry = registry(CAMPUSES, groups=GROUPS, trustees=TRUSTEES)
        self.log = MemoryLog(signer=key(f"{FED}/coordinator"))
        self.bundle = Bundle()
        self.details: list[bytes] = []
        first = self.ask()
        rounds = []
        for group in groups_of(first.request, 0, self.registry):
            if self.failed is None or group.codes != self.failed:
                rounds.append(self.round(first, group))
        prepared = self.ask() if self.earlier else first
        self.indicator(prepared, [each for each in rounds if each is not None])

    def ask(self) -> Prepared:
        asked = Ask(statements=(self.sql,), rho="0.01", mode="national")
        prepared = prepare(asked, self.registry, statements_key(ASKER), ASKER, now=NOW)
        self.note("request", prepared.note)
        for raw in self.details:  # of an earlier request: they are not in the bundle of this one
            self.bundle.blobs.pop(hashlib.sha256(raw).hexdigest())
        self.details = [prepared.details]
        self.keep(prepared.details)
        return prepared

    def cosigned(self, at: int = NOW, by: tuple[str, ...] = ()) -> bytes:
        """The registry's checkpoint with the cosignatures of some trustees (`cosigning` where none are named), of the time `at`."""
        log = key(f"{FED}/registry")
        note = sign_checkpoint(log.name, self.registry.size, decode_base64(self.registry.root, place="root"), log)
        signers = [
            CosignerSigner.from_seed(f"{FED}/{name}/witness", name.encode().ljust(32, b"-")) for name in by or self.cosigning
        ]
        return add_cosignatures(note, [each.cosign(note, at) for each in signers])

    def own(self, name: str) -> Signer:
        """A trustee's statement key."""
        return statements_key("impostor" if self.impostor and name == TRUSTEES[2] else name)

    def keep(self, raw: bytes) -> Blob:
        self.bundle.add("blob", raw)
        return Blob(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))

    def note(self, kind: Any, note: bytes) -> bytes:
        """Into the coordinator's log, and into the bundle."""
        self.log.append(note)
        self.bundle.add(kind, note)
        return note

    def head(self, who: str = "", index: int = 7) -> dict[str, Any]:
        origin = f"{FED}/{who}" if who else f"{FED}/coordinator"
        index = index if who else len(self.log.held)
        return {"log": LogPlace(origin=origin, index=index), "registry": self.registry.view(), "time": NOW}

    def statement(self, model: Any, signer: Any, body: dict[str, Any], *, logged: bool = False) -> bytes:
        note: bytes = model(**{**body, **self.changes.get(model.kind, {})}).sign(signer)
        if logged:
            self.log.append(note)
        if model.kind not in self.drop:
            self.bundle.add("statement", note)
        return note

    def round(self, prepared: Prepared, group: Group) -> tuple[Group, NationalSum, dict[str, str], str]:
        question, coordinator = prepared.questions[0], key(f"{FED}/coordinator/statements")
        layout = compile_layout(question, self.registry.schema)
        members = [name for name in group.members if name != AWAY]
        if self.moved:
            members = sorted([*members, next(each.name for each in CAMPUSES if each.name not in group.members)])
        keys = {name: statements_key("u99" if self.stranger and name == members[1] else name).vkey for name in members}
        roster = Roster(nodes=tuple(RosterNode(node=name, key=keys[name]) for name in members))
        n, homes = len(members), homes_of(layout, self.registry.schema)
        parts = plan_parts(wanted(layout, n, TOLERANCE, homes), n, TOLERANCE, homes)
        sealing = {name: encode_base64(SEALING[name].public) for name in TRUSTEES}
        for name in TRUSTEES:
            body = {**self.head(name, 0), "sealing": sealing[name], "until": NOW + 9999}
            if self.bundle.statements.count(TrusteeKey(**body).sign(self.own(name))) == 0:
                self.statement(TrusteeKey, self.own(name), body)
        plan_note = self.statement(
            Plan,
            coordinator,
            {
                **self.head(),
                "request": prepared.id,
                "number": 0,
                "question": question.digest,
                "nonce": "0" * 32,
                "nodes": n,
                "roster": self.keep(roster.to_blob()),
                "dropout": TOLERANCE.dropout,
                "colluding": TOLERANCE.colluding,
                "least": TOLERANCE.least(n),
                "honest": TOLERANCE.honest(n),
                "homes": homes,
                "parts": parts,
                "trustees": tuple(PlanTrustee(trustee=name, key=self.own(name).vkey, sealing=sealing[name]) for name in TRUSTEES),
                "deadline": NOW + 600,
                "group": group.codes,
            },
            logged=True,
        )
        self.keep(self.cosigned())
        plan = Plan.read(plan_note)
        plan_id = statement_id(plan_note)
        taking = [at for at in range(n - self.dropouts) if members[at] in group.members]  # the last of the roster drop out
        submits = {members[at]: f"{at:064x}" for at in taking}
        listed = Participants(members=tuple(Participant(member=at, submit=f"{at:064x}", vector="0" * 64) for at in taking))
        close_note = self.statement(
            Close,
            coordinator,
            {
                **self.head(),
                "plan": plan_id,
                "prepares": ("a" * 64,) * 3,
                "participants": self.keep(listed.to_blob()),
                "count": len(taking),
            },
            logged=True,
        )
        close_id = statement_id(close_note)
        masks = Blob(sha256="b" * 64, size=8 * layout.length)
        unmasks = [
            self.statement(
                Unmask,
                self.own(name),
                {**self.head(name), "plan": plan_id, "close": close_id, "trustee": at, "masks": masks},
            )
            for at, name in enumerate(TRUSTEES)
        ]
        ids = tuple(statement_id(note) for note in unmasks)
        total = np.arange(layout.length, dtype=np.int64) * 1000 + 12345 * n
        named = self.keep(total.astype("<i8").tobytes())
        drawn = TRUSTEES[lot(ids)]
        check_note = self.statement(
            Check,
            self.own(drawn),
            {**self.head(drawn), "plan": plan_id, "close": close_id, "unmasks": ids, "trustee": lot(ids), "total": named},
        )
        result_note = self.statement(
            Result,
            coordinator,
            {
                **self.head(),
                "plan": plan_id,
                "close": close_id,
                "unmasks": ids,
                "check": statement_id(check_note),
                "count": len(taking),
                "honest": plan.honest,
                "total": named,
            },
            logged=True,
        )
        for name in submits:
            charge = {
                "request": prepared.id,
                "number": 0,
                "verdict": "charge",
                "question": question.digest,
                "snapshot": "0" * 16,
                "unit": layout.unit,
                "period": "2027",
                "dataset": question.dataset,
                "rho": question.rho,
                "plan": plan_id,
            }
            body = {**self.head(name), **charge, **self.changes.get(Decision.kind, {})}
            self.bundle.add("decision", Decision(**body).sign(statements_key(name)))
        factor = Fraction(len(taking), TOLERANCE.honest(n))
        right = NationalSum(group.codes, tuple(submits), total, tuple(part.fine for part in parts), factor, homes)
        return group, right, submits, statement_id(result_note)

    def indicator(self, prepared: Prepared, rounds: Sequence[tuple[Group, NationalSum, dict[str, str], str]]) -> None:
        question = prepared.questions[0]
        layout, schema = compile_layout(question, self.registry.schema), self.registry.schema
        used = {name: submit for _, _, submits, _ in rounds for name, submit in submits.items()}
        missing = {name: "offline" for name in prepared.audience if name not in used}
        accounts = Accounts(
            releases=tuple(UsedRelease(node=name, sha256=used[name]) for name in sorted(used)),
            missing=tuple(Missing(node=name, reason=missing[name]) for name in sorted(missing)),
        )
        asked = asked_nodes(self.registry, self.registry.size, prepared.audience, missing)
        codes = [each.codes for each in groups_of(prepared.request, 0, self.registry) if each.codes is not None]
        table = combine(layout, prepared.views[0], schema, (), asked, sums=[each for _, each, _, _ in rounds], groups=codes)
        body = {
            **self.head(),
            "request": prepared.id,
            "number": 0,
            "question": question.digest,
            "revision": 0,
            "accounts": self.keep(accounts.to_blob()),
            "coverage": Coverage(asked=len(asked), answered=len(used)),
            "table": self.keep(table.to_bytes()),
            "results": tuple(each for _, _, _, each in rounds) or None,
        }
        note = Indicator(**{**body, **self.changes.get(Indicator.kind, {})}).sign(key(f"{FED}/coordinator/statements"))
        self.note("indicator", note)
        checkpoint = self.log.checkpoint()
        assert checkpoint is not None
        for index, logged in enumerate(self.log.held):
            if logged in (self.bundle.request, *self.bundle.indicators, *self.bundle.statements):
                self.bundle.add("receipt", make_receipt(self.log.tree, index, checkpoint), statement_id(logged))
