"""A national sum around one real node: eleven other universities, three trustees, a coordinator that plans. For tests.

The trustees' private keys are here, so a test can open the node's seeds and look under its masks: what in life takes all three.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onenode import FED, NODE, SCHEMA, T0, VIEW, Asked, Ministry, OneNode, Researcher

from collegium.body import LogPlace, RegistryView
from collegium.errors import Invalid
from collegium.keys import log_name
from collegium.layout import Layout, compile_layout
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer, encode_base64
from collegium.log.statement import statement_id
from collegium.national.addition import mask
from collegium.national.groups import groups_of
from collegium.national.lists import Participant, Participants, Roster, RosterNode
from collegium.national.mask import mask_key
from collegium.national.plan import plan_parts
from collegium.national.seal import SealingKey, SeedContext, open_seed
from collegium.national.share import Share, Tolerance
from collegium.national.statements import Close, Plan, PlanTrustee, Submit, TrusteeKey, plan_digest
from collegium.national.submission import Hidden, hide
from collegium.national.travelling import chosen_bits
from collegium.national.wanted import homes_of, wanted
from collegium.question import Question
from collegium.registration import Partition
from collegium.registry import Registry
from collegium.schema import Schema, parse_schema
from collegium.statements import Details, Request
from collegium.v1.node_pb2 import QuestionAnswer, SubmitReply
from collegium_node import national_noise, noise
from collegium_node.closed import Ended, take_close
from collegium_node.engine.exact import ExactTally
from collegium_node.national_noise import SharedPart
from collegium_node.planned import Sent

__all__ = ["RHO", "TRUSTEES", "Country", "Figures", "country", "national", "restore", "zero"]

TRUSTEES = ("oak", "pine", "yew")
OTHERS = tuple(f"univ-{letter}" for letter in "bcdefghijkl")
RHO = 100_000_000
PROVINCES = """
[codes.province]
11 = { en = "Beijing" }
31 = { en = "Shanghai" }
44 = { en = "Guangdong" }
[facts.province]
title = { en = "province" }
codes = "province"
"""
READY, RELEASED, REFUSED, HELD, FAILED = (
    QuestionAnswer.READY, QuestionAnswer.RELEASED, QuestionAnswer.REFUSED, QuestionAnswer.HELD, QuestionAnswer.FAILED,
)  # fmt: skip


def zero(scale: float) -> Callable[[list[int]], list[int]]:
    """Noise that is none."""
    return lambda zeros: zeros


def national(rho: int = RHO, *, value: int = 0, mode: str = "national") -> Question:
    """People and their salaries by sex: 3 + 3 cells. Different `value`s are different questions."""
    return Question.from_json(
        {
            "dataset": "graduate",
            "filter": {"op": "range", "column": "salary", "min": value},
            "group": [{"column": "sex"}],
            "components": [
                {"kind": "people", "rho": rho // 2},
                {"kind": "sum", "column": "salary", "clip": [0, 1000], "rho": rho - rho // 2},
            ],
            "bounds": {"max_groups": 1, "max_rows": 1},
            "mode": mode,
            "schema": "small/1",
        }
    )


class Figures:
    """An engine whose exact tally a test chooses; noise and masks are the node's own, unless `draw` is given."""

    def __init__(self, draw: national_noise.Draw | None = None) -> None:
        self.figures: NDArray[np.int64] = np.array([40, 2, 0, 25_000, 1_300, 0], dtype=np.int64)
        self.draw = draw
        self.hidden: list[Hidden] = []
        self.gone: set[str] = set()
        self.on_tally: Callable[[], None] = lambda: None

    def has(self, snapshot: str, dataset: str) -> bool:
        return snapshot not in self.gone

    def tally(self, layout: Layout, schema: Schema, snapshot: str) -> Any:
        self.on_tally()
        return ExactTally(self.figures)

    def add_noise(self, layout: Layout, tally: ExactTally) -> noise.NoisyTally:
        return noise.add_noise(layout, tally)

    def hide_share(self, tally: ExactTally, plan_note: bytes, plan: Plan, member: int, node: Any) -> Hidden:
        if self.draw is None:
            hidden = noise.hide_share(tally, plan_note, plan, member, node)
        else:
            parts = [SharedPart(part.cells, Share(part.fine, float(part.scale)), part.reach) for part in plan.parts]
            hidden = hide(plan_note, plan, member, node, national_noise.add_share(parts, tally.open(), draw=self.draw))
        self.hidden.append(hidden)
        return hidden


class Country:
    """The node, its ministry, and whatever a coordinator does. `changes` of a plan are what a dishonest one does."""

    def __init__(self, root: Path, *, partition: tuple[tuple[str, ...], ...] = (), **more: Any) -> None:
        self.ministry = Ministry(SCHEMA + PROVINCES)
        for number, name in enumerate((NODE, *OTHERS)):
            self.ministry.facts[name] = {"province": ("11", "31", "44")[number % 3]}
        self.researcher = Researcher(self.ministry, "li-wei")
        self.sealing = {name: SealingKey.generate() for name in TRUSTEES}
        for name in TRUSTEES:
            self.ministry.register("trustee", name)
        for name in OTHERS:
            self.ministry.register("node", name)
        self.one = OneNode(root, self.ministry, **more)
        if partition:
            self.ministry._sign(Partition(fact="province", groups=partition, time=T0))
        self.one.learn()
        self.one.snapshot()
        self.attend(Figures())

    def attend(self, engine: Any) -> None:
        """This engine counts from now on."""
        self.engine = self.one.engine = engine
        self.one.answering._engine = self.one.submitting._engine = engine

    def again(self, fault: Any = lambda _: None) -> None:
        """The node's process ends and another one begins on its files."""
        self.one.node.store._db.close()
        self.one = OneNode(self.one.home.root, self.ministry, join=False, fault=fault)
        self.attend(self.engine)

    def allow(
        self, *, release: tuple[str, ...] = ("national",), smallest: int = 10, mode: str = "allow", rho: int = 10**12
    ) -> None:
        rule = {"researcher": self.researcher.name, "key": self.researcher.key.vkey, "datasets": ["*"], "mode": mode}
        self.one.policy(
            budget={"student": {"period": "year", "rho": rho, "lifetime": 10**13}},
            allow=[{**rule, "release": release}],
            national={"smallest": smallest},
        )

    def ask(self, *questions: Question, facts: dict[str, tuple[str, ...]] | None = None, views: Any = None, **more: Any) -> Asked:
        """A signed request to everybody, or whom `facts` selects."""
        details, registry = Details.of("test"), self.registry()
        asked = questions or (national(),)
        body: dict[str, Any] = {
            "researcher": self.researcher.name, "facts": facts or {}, "time": T0, "expiry": T0 + 86_400,
            "nonce": secrets.token_hex(16), "details": details.digest, "questions": asked,
            "views": views or tuple(VIEW for _ in asked), "registry": registry.view(),
        }  # fmt: skip
        note = Request(**{**body, **more}).sign(self.researcher.key)
        return Asked(note, details.to_blob(), self.ministry.receipt(note))

    def answer(self, asked: Asked) -> Any:
        return self.one.answering.answer(asked.note, asked.details, asked.receipt)

    def registry(self) -> Registry:
        registry = Registry(self.ministry.registry_key.vkey)
        registry.extend(self.ministry.entries)
        return registry

    def roster(self, names: Iterable[str] = (NODE, *OTHERS)) -> Roster:
        return Roster(nodes=tuple(RosterNode(node=name, key=self.ministry.statements[name].vkey) for name in sorted(names)))

    def plan(
        self, asked: Asked, at: int = 0, *, roster: Roster | None = None, tolerance: Tolerance | None = None, **changes: Any
    ) -> Plan:
        """The plan that an honest coordinator would make, and then `changes`."""
        roster, tolerance = roster or self.roster(), tolerance or Tolerance(50_000, 50_000)
        question, schema = Request.read(asked.note).questions[at], parse_schema(SCHEMA + PROVINCES)
        layout, n = compile_layout(question, schema), len(roster.nodes)
        homes = homes_of(layout, schema)
        body: dict[str, Any] = {
            "log": LogPlace(origin=self.ministry.coordinator_log.name, index=len(self.ministry.logged)),
            "registry": self.registry().view(), "time": T0 + 5, "request": asked.id, "number": at, "question": question.digest,
            "nonce": secrets.token_hex(16), "nodes": n, "roster": roster.blob, "dropout": tolerance.dropout,
            "colluding": tolerance.colluding, "least": tolerance.least(n), "honest": tolerance.honest(n), "homes": homes,
            "parts": plan_parts(wanted(layout, n, tolerance, homes), n, tolerance, homes),
            "trustees": tuple(
                PlanTrustee(trustee=name, key=self.ministry.statements[name].vkey, sealing=encode_base64(self.sealing[name].public))
                for name in TRUSTEES
            ),
            "deadline": T0 + 3600,
        }  # fmt: skip
        return Plan(**{**body, **changes})

    def keys(self, **changes: Any) -> tuple[bytes, ...]:
        """KEY of each trustee; `changes` are those of the middle one."""
        return tuple(self.key(name, **(changes if name == TRUSTEES[1] else {})) for name in TRUSTEES)

    def key(self, name: str, signer: Signer | None = None, **changes: Any) -> bytes:
        body: dict[str, Any] = {
            "log": LogPlace(origin=log_name(FED, name), index=3), "registry": self.registry().view(), "time": T0,
            "sealing": encode_base64(self.sealing[name].public), "until": T0 + 86_400,
        }  # fmt: skip
        return TrusteeKey(**{**body, **changes}).sign(signer or self.ministry.statements[name])

    def checkpoint(self, cosigners: Iterable[CosignerSigner] | None = None, view: RegistryView | None = None) -> bytes:
        """The registry's, cosigned by all three trustees."""
        size = view.size if view else len(self.ministry.entries)
        log = self.ministry.registry_log
        note = sign_checkpoint(log.name, size, root([leaf_hash(each) for each in self.ministry.entries[:size]]), log)
        by = [self.ministry.cosigners[name] for name in TRUSTEES] if cosigners is None else cosigners
        return add_cosignatures(note, [each.cosign(note, T0) for each in by])

    def send(self, asked: Asked, plan: Plan | None = None, *, roster: Roster | None = None, **changes: Any) -> Sent:
        """What the coordinator sends with a plan that it has signed and logged; `changes` of single parts."""
        plan = plan or self.plan(asked, roster=roster)
        note = plan.sign(self.ministry.coordinator)
        sent = Sent(
            note, self.ministry.receipt(note), self.bits(asked, plan, roster or self.roster()), self.checkpoint(), self.keys()
        )
        return replace(sent, **changes)

    def bits(self, asked: Asked, plan: Plan, roster: Roster) -> bytes:
        """The roster as it travels. Whoever is no node of the plan's group cannot be said in bits, and is left out."""
        try:
            groups = groups_of(Request.read(asked.note), plan.number, self.registry())
        except Invalid:  # no national question: a coordinator that sends its plan all the same
            groups = ()
        everybody = tuple(sorted((NODE, *OTHERS)))
        members = next((each.members for each in groups if each.codes == plan.group), everybody)
        return chosen_bits(members, {each.node for each in roster.nodes} & set(members))

    def submit(self, asked: Asked, sent: Sent) -> SubmitReply:
        return self.one.submitting.submit(asked.note, asked.details, asked.receipt, sent)

    def seeds(self, sent: Sent, reply: SubmitReply) -> list[bytes]:
        """The three seeds of this node's masks, opened by the trustees' keys."""
        digest, submit = plan_digest(sent.note), Submit.read(reply.submit)
        own = self.one.node.journal.statements.verifier.raw
        return [
            open_seed(self.sealing[name], sealed, SeedContext(digest, submit.member, place, own))
            for place, (name, sealed) in enumerate(zip(TRUSTEES, reply.sealed, strict=True))
        ]

    def under_the_masks(self, sent: Sent, reply: SubmitReply) -> NDArray[np.int64]:
        """What all three trustees together could see: 2^f·tally + noise of this node."""
        plan, member = Plan.read(sent.note), Submit.read(reply.submit).member
        digest = plan_digest(sent.note)
        keys = [mask_key(seed, digest, member, place) for place, seed in enumerate(self.seeds(sent, reply))]
        masks = mask(np.zeros(plan.length, dtype=np.uint64), keys)
        return (np.frombuffer(reply.vector, dtype="<u8") - masks).view(np.int64)

    def finer(self, sent: Sent) -> NDArray[np.int64]:
        """2^f·tally of this node, exactly."""
        fine = np.repeat([part.fine for part in Plan.read(sent.note).parts], [part.cells for part in Plan.read(sent.note).parts])
        return self.engine.figures << fine

    def closed(self, sent: Sent, reply: SubmitReply, *, counted: bool = True, **changes: Any) -> Ended:
        """The coordinator's word that the round is over."""
        mine = Participant(
            member=Submit.read(reply.submit).member,
            submit=statement_id(reply.submit),
            vector=Submit.read(reply.submit).vector.sha256,
        )
        other = Participant(member=3, submit=hashlib.sha256(b"3").hexdigest(), vector=hashlib.sha256(b"v").hexdigest())
        listed = Participants(members=(mine, other) if counted else (other,))
        proof = self.ministry.receipt(reply.submit)  # the coordinator logs the submission before the close
        body: dict[str, Any] = {
            "log": LogPlace(origin=self.ministry.coordinator_log.name, index=len(self.ministry.logged)),
            "registry": self.registry().view(), "time": T0 + 9, "plan": statement_id(sent.note),
            "prepares": tuple(hashlib.sha256(name.encode()).hexdigest() for name in TRUSTEES), "participants": listed.blob,
            "count": len(listed.members),
        }  # fmt: skip
        note = Close(**{**body, **changes}).sign(self.ministry.coordinator)
        return Ended(
            statement_id(sent.note),
            self.ministry.receipt(reply.submit) or proof,
            note,
            self.ministry.receipt(note),
            listed.to_blob(),
        )

    def take(self, ended: Ended) -> str:
        return take_close(ended, self.one.node.journal, self.one.node.members, self.one.lines)

    def rounds(self) -> list[tuple[Any, ...]]:
        with self.one.node.store.read() as db:
            return db.execute("SELECT plan, decision, submit FROM rounds ORDER BY decision").fetchall()


def country(root: Path, **more: Any) -> tuple[Country, Asked]:
    """A node that takes part in the national sums of one researcher, and a request for one."""
    found = Country(root, **more)
    found.allow()
    return found, found.ask()


def restore(land: Country, backup: Path) -> None:
    """Put an old copy of the database in the place of the one there is."""
    land.one.node.store._db.close()
    for each in land.one.home.root.glob("node.db*"):
        each.unlink()
    shutil.copy(backup, land.one.home.database)
    land.again()
