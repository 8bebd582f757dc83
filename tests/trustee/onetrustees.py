"""Three real trustees (SQLite, keys, registry); `nationalround.Country` is coordinator and nodes. Nothing is sent."""

from __future__ import annotations

import io
import secrets
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nationalround import (
    COORDINATOR,
    COORDINATOR_LOG,
    COSIGNERS,
    FED,
    NAMES,
    REGISTRY_LOG,
    TRUSTEES,
    Country,
    T,
    node_signer,
)

from collegium.body import RegistryView
from collegium.errors import CollegiumError, Refused
from collegium.keys import save_signer
from collegium.layout import compile_layout
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.national.closing import CloseEvidence
from collegium.national.mask import U64
from collegium.national.plan import plan_parts
from collegium.national.share import Tolerance
from collegium.national.statements import PlanTrustee, TrusteeKey
from collegium.national.wanted import homes_of, wanted
from collegium.party import replies
from collegium.party.home import Membership
from collegium.party.lines import Lines
from collegium.party.receipts import Receipts
from collegium.party.store import Fault, no_fault
from collegium.question import Bounds, Component, GroupKey, Question
from collegium.registration import Partition, Revocation, WitnessedLog
from collegium.registry import Registry
from collegium.statements import Federation, Invitation, Party, Request, SchemaEntry, Witnesses
from collegium.tls import make_ca
from collegium.v1.node_pb2 import LearnRequest
from collegium.v1.trustee_pb2 import BeginRequest, PrepareRequest, RecomputeRequest, Submission, UnmaskRequest
from collegium_trustee.home import Home
from collegium_trustee.rounds import Keeping
from collegium_trustee.service import TrusteeService

ASKER = Signer.from_seed(f"{FED}/li-wei/statements", b"\x99" * 32)
TOP = Signer.from_seed(f"{FED}/registry/statements", b"\x98" * 32)
SCHEMA = Path(__file__).parent.parent.parent / "examples" / "higher-education" / "schema.toml"
PROVINCES = ("11", "11", "12", "12", "31", "31")
QUESTION = Question(
    dataset="graduate",
    group=(GroupKey(column="gender"),),
    components=(Component(kind="people", rho=10**8), Component(kind="rows", rho=10**8)),
    bounds=Bounds(max_groups=1, max_rows=1),
    mode="national",
    schema_id="higher-education/1",
)
_CA = make_ca(FED, clock=lambda: float(T))[0].decode()


@contextmanager
def refuses(reason: str, kind: type[CollegiumError] = Refused, because: str = ".") -> Iterator[None]:
    """What the caller is told: an error of exactly this kind, with this reason of the public table. `because`: its text inside."""
    with pytest.raises(CollegiumError, match=because) as caught:
        yield
    told = replies.public_error(caught.value)
    assert (type(told), told.reason) == (kind, reason), repr(caught.value)


def log_key(name: str) -> Signer:
    return Signer.from_seed(f"{FED}/{name}", name.encode().ljust(32, b"."))


def cosigner(name: str) -> CosignerSigner:
    known = dict(zip(NAMES, COSIGNERS, strict=True))
    return known.get(name) or CosignerSigner.from_seed(f"{FED}/{name}/witness", name.encode().ljust(32, b"-"))


@dataclass
class Founded:
    """The registry as the ministry signs it; `trustees` of them are in it, the last ones are missing otherwise."""

    nodes: int = 6
    trustees: int = 3
    entries: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = {
            "registry": TOP.vkey,
            "registry_log": REGISTRY_LOG.vkey,
            "coordinator": COORDINATOR.vkey,
            "coordinator_log": COORDINATOR_LOG.vkey,
        }
        self.sign(Federation(federation=FED, ca=_CA, delta="1e-6", time=1, **keys))
        self.sign(SchemaEntry(name="higher-education", version=1, toml=SCHEMA.read_text(encoding="utf-8"), time=2))
        for member in range(self.nodes):
            facts = {"province": PROVINCES[member % len(PROVINCES)], "character": "01", "level": "本科"}
            self.register("node", f"node-{member:03}", node_signer(member), facts)
        for name, signer in zip(NAMES[: self.trustees], TRUSTEES, strict=False):
            self.register("trustee", name, signer)
        self.register("researcher", "li-wei", ASKER)

    def sign(self, body: Any) -> bytes:
        note: bytes = body.sign(TOP)
        self.entries.append(note)
        return note

    def register(self, role: Any, name: str, key: Signer, facts: dict[str, str] | None = None) -> None:
        once = Signer.from_seed(f"{FED}/{name}/invitation", name.encode().ljust(32, b"+"))
        invitation = self.sign(Invitation(role=role, name=name, facts=facts or {}, enrolment=0, expiry=T, key=once.vkey, time=3))
        logged = role != "researcher"
        party = Party(
            invitation=statement_id(invitation), role=role, name=name, statements=key.vkey,
            log=log_key(name).vkey if logged else None, cosigner=cosigner(name).vkey if logged else None, time=9,
        )  # fmt: skip
        self.entries.append(party.sign(once, key))

    def revoke(self, name: str) -> None:
        self.sign(Revocation(name=name, time=10, reason="left"))

    def part(self, *groups: tuple[str, ...]) -> None:
        self.sign(Partition(fact="province", groups=groups, time=9))

    def assign(self, origin: str, *witnesses: str) -> None:
        log = WitnessedLog(origin=origin, witnesses=tuple(sorted(witnesses)), quorum=len(witnesses))
        self.sign(Witnesses(time=9, logs=(log,)))

    @property
    def registry(self) -> Registry:
        made = Registry(TOP.vkey)
        made.extend(self.entries)
        return made

    def checkpoint(self, cosigners: Sequence[CosignerSigner] = (), size: int | None = None) -> bytes:
        leaves = [leaf_hash(each) for each in self.entries[:size]]
        note = sign_checkpoint(REGISTRY_LOG.name, len(leaves), root(leaves), REGISTRY_LOG)
        return add_cosignatures(note, [each.cosign(note, T) for each in cosigners])


class OneTrustee:
    """A trustee that has joined. `again` is its next process on the same files; `restored` one on a copy of its folder."""

    def __init__(self, folder: Path, at: int, *, keeping: Keeping | None = None, wait: float = 0.0) -> None:
        self.at, self.folder, self.now, self.keeping, self.wait = at, folder, [float(T + 10)], keeping, wait
        self.stream = io.StringIO()
        home, name = Home(folder), NAMES[at]
        if not home.membership_file.exists():
            folder.mkdir(parents=True)
            save_signer(home.keys.statements, TRUSTEES[at])
            save_signer(home.keys.log, log_key(name))
            save_signer(home.keys.witness, cosigner(name))
            home.remember(Membership(FED, name, "localhost:1", "localhost:2", TOP.vkey, _CA, "0" * 64))
        self.open()

    def open(self, fault: Fault = no_fault) -> None:
        self.party = Home(self.folder).open(lambda: self.now[0], fault=fault, verify=True)
        self._end = weakref.finalize(self, self.party.close)
        receipts = Receipts(self.party.journal, self.party.quorum, wait=self.wait)
        working: Any = None  # calls are made directly; see test_round_service.py
        self.service = TrusteeService(self.party, receipts, Lines(self.stream), working, keeping=self.keeping)

    def again(self, fault: Fault = no_fault) -> None:
        """As after a kill: the old process writes nothing more."""
        self._end()
        self.open(fault)

    def learn(self, founded: Founded) -> None:
        self.service.learn(LearnRequest(first=0, entries=founded.entries, checkpoint=founded.checkpoint()))

    def confirm(self, *witnesses: str) -> None:
        """Its witnesses cosign what its log is now."""
        note = self.party.journal.head().note
        self.party.quorum.took(add_cosignatures(note, [cosigner(name).cosign(note, T) for name in witnesses]))
        self.party.permit.confirm()

    def key(self) -> TrusteeKey:
        return TrusteeKey.read(self.service.status().key)

    def entries(self, kind: str) -> list[bytes]:
        with self.party.store.read() as db:
            return [note for (note,) in db.execute("SELECT note FROM entries WHERE kind = ? ORDER BY idx", (kind,))]

    def files(self) -> bytes:
        """Every byte of its database: file, write-ahead log and index."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("trustee.db*")))


class World:
    """One round: three trustees, and a country whose plan they have not seen yet.

    `changes` go into the plan; `question` and `group` into what is asked.
    """

    def __init__(
        self,
        folder: Path,
        *,
        founded: Founded | None = None,
        question: Question = QUESTION,
        facts: dict[str, tuple[str, ...]] | None = None,
        by: tuple[str, ...] = (),
        members: Sequence[int] | None = None,
        keeping: Keeping | None = None,
        values: Sequence[U64] | None = None,
        **changes: Any,
    ) -> None:
        self.folder = folder
        self.founded = founded or Founded()
        self.trustees = [OneTrustee(folder / name, at, keeping=keeping) for at, name in enumerate(NAMES)]
        for each in self.trustees:
            each.learn(self.founded)
            each.service.keep_house()
        self.facts, self.by, self.question = facts if facts is not None else {}, by, question
        self.request = self.ask()
        self.country = self.plan(values, **changes)

    def ask(self, **changes: Any) -> bytes:
        view = {"measures": [{"label": "n", "kind": "value", "parts": [0]}], "columns": [{"measure": 0}], "facts": list(self.by)}
        body: dict[str, Any] = {
            "researcher": "li-wei", "facts": self.facts, "time": T, "expiry": T + 86_400, "nonce": "0" * 32, "details": "0" * 64,
            "questions": (self.question,), "views": (view,), "registry": self.view,
        }  # fmt: skip
        return Request(**{**body, **changes}).sign(ASKER)

    def ask_again(self, **changes: Any) -> None:
        """The same question in another request, and a plan for it."""
        self.request = self.ask(nonce=secrets.token_hex(16))
        self.country = self.plan(**changes)

    @property
    def view(self) -> RegistryView:
        return self.founded.registry.view()

    @property
    def length(self) -> int:
        return compile_layout(self.question, self.founded.registry.schema).length

    def plan(self, values: Sequence[U64] | None = None, **changes: Any) -> Country:
        """A country with a new plan, logged."""
        n, schema = self.founded.nodes, self.founded.registry.schema
        layout, tolerance = compile_layout(self.question, schema), Tolerance(200_000, 100_000)
        homes = homes_of(layout, schema)
        if values is None:
            random = np.random.default_rng(7)
            values = [random.integers(0, 2**20, layout.length).astype(np.uint64) for _ in range(n)]
        said: dict[str, Any] = {
            "request": statement_id(self.request), "question": self.question.digest, "registry": self.view, "homes": homes,
            "parts": plan_parts(wanted(layout, n, tolerance, homes), n, tolerance, homes),
            "trustees": tuple(
                PlanTrustee(trustee=name, key=signer.vkey, sealing=each.key().sealing)
                for name, signer, each in zip(NAMES, TRUSTEES, self.trustees, strict=True)
            ),
        }  # fmt: skip
        return Country(values, plan_changes={**said, **changes})

    def begin_request(self, **changes: Any) -> BeginRequest:
        country = self.country
        said = {
            "plan": country.plan_note, "plan_receipt": country.receipt(0), "roster": country.roster.to_blob(),
            "registry_checkpoint": self.founded.checkpoint(COSIGNERS, country.plan.registry.size), "request": self.request,
        }  # fmt: skip
        return BeginRequest(**{**said, **changes})

    def begin(self, *at: int, **changes: Any) -> None:
        for each in at or (0, 1, 2):
            self.trustees[each].service.begin(self.begin_request(**changes))

    def submit(self, *members: int) -> None:
        for member in members:
            self.country.submit(member)

    def submission(self, at: int, member: int) -> Submission:
        return Submission(submit=self.country.submits[member], sealed=self.country.hidden[member].sealed[at])

    def prepare_request(self, at: int, *members: int, last: bool = True) -> PrepareRequest:
        page = [self.submission(at, member) for member in members]
        return PrepareRequest(plan=self.country.plan_id, submissions=page, last=last)

    def prepare(self, *members: int) -> list[tuple[bytes, bytes]]:
        """PREPARE and its list of all three, over these members."""
        replies = [each.service.prepare(self.prepare_request(each.at, *members)) for each in self.trustees]
        return [(reply.prepare, reply.prepared) for reply in replies]

    def unmask_request(self, closed: CloseEvidence, **changes: Any) -> UnmaskRequest:
        said: dict[str, Any] = {
            "plan": self.country.plan_id, "close": closed.note, "close_receipt": closed.receipt,
            "participants": closed.participants, "prepares": closed.prepares, "prepared": closed.prepared,
        }  # fmt: skip
        return UnmaskRequest(**{**said, **changes})

    def prepared(self, *members: int) -> list[tuple[bytes, bytes]]:
        """Begin, submit and prepare."""
        self.begin()
        self.submit(*members)
        return self.prepare(*members)

    def closed(self, *members: int) -> CloseEvidence:
        """The same, and the close over all of them."""
        return self.country.close(members, self.prepared(*members))

    def unmask(self, closed: CloseEvidence) -> list[Any]:
        return [each.service.unmask(self.unmask_request(closed)) for each in self.trustees]

    def recompute_request(self, members: Sequence[int], replies: Sequence[Any], **changes: Any) -> RecomputeRequest:
        """All in one page."""
        said: dict[str, Any] = {
            "plan": self.country.plan_id, "first": 0, "vectors": [self.country.hidden[each].vector.tobytes() for each in members],
            "unmasks": [reply.unmask for reply in replies], "masks": [reply.masks for reply in replies],
        }  # fmt: skip
        return RecomputeRequest(**{**said, **changes})

    def sum(self, members: Sequence[int]) -> Any:
        return np.sum([self.country.values[member] for member in members], axis=0, dtype=np.uint64).view(np.int64)
