"""A federation of one node and its researchers, for tests: real keys, a real registry, a real database, an engine one can watch."""

from __future__ import annotations

import io
import secrets
import sqlite3
import struct
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from collegium.errors import Failed
from collegium.keys import invitation_name, log_name, save_signer, statements_name, witness_name
from collegium.layout import Layout
from collegium.log.checkpoint import read_checkpoint, sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.merkle import inclusion_proof, leaf_hash, root
from collegium.log.note import Signer
from collegium.log.receipt import Receipt
from collegium.log.statement import statement_id
from collegium.party.lines import Lines
from collegium.party.receipts import Receipts
from collegium.party.store import Fault, no_fault
from collegium.question import Question
from collegium.registration import Federation, Invitation, Party, Revocation, SchemaEntry, WitnessedLog, Witnesses
from collegium.registry import Registry
from collegium.schema import Schema, parse_schema
from collegium.statements import Details, Request
from collegium.tls import issue, make_ca, make_key_and_csr
from collegium_node import shelf
from collegium_node.answer import Answering
from collegium_node.home import Home, Membership, Node
from collegium_node.noise import NoisyTally, scale_for
from collegium_node.policy import Policy
from collegium_node.steward import InForce, sign_if_changed

FED = "unis"
NODE = "univ-a"
T0 = 1_780_000_000  # in 2026
SNAPSHOT = "00000000000000a1"

SCHEMA = """
name = "small"
version = 1
title = { en = "small" }
[units.student]
title = { en = "student" }
[units.staff]
title = { en = "staff" }
[codes.sex]
1 = { en = "male" }
2 = { en = "female" }
[datasets.graduate]
title = { en = "graduates" }
unit = "student"
person = "student_id"
[datasets.graduate.columns.sex]
type = "category"
codes = "sex"
title = { en = "sex" }
[datasets.graduate.columns.salary]
type = "integer"
min = 0
max = 1000
title = { en = "salary" }
[datasets.term]
title = { en = "terms" }
unit = "student"
person = "student_id"
max_rows = 4
[datasets.term.columns.gpa]
type = "decimal"
min = 0
max = 4
step = 0.01
title = { en = "gpa" }
[datasets.staff]
title = { en = "staff" }
unit = "staff"
person = "staff_id"
[datasets.staff.columns.age]
type = "integer"
min = 15
max = 100
title = { en = "age" }
"""

VIEW = {"measures": [{"label": "n", "kind": "value", "parts": [0]}], "columns": [{"measure": 0}], "facts": []}
_CA_PEM, _CA_KEY = make_ca(FED)
_CA = _CA_PEM.decode()


def certify(role: str, name: str, lifetime: float = 86_400.0) -> tuple[bytes, bytes, bytes]:
    """(certificate chain, key, signing request) of a party, valid now."""
    key, csr = make_key_and_csr(FED, role, name)
    return issue(_CA_PEM, _CA_KEY, csr, role=role, name=name, hosts=["localhost"], lifetime=lifetime), key, csr


def question(rho: int = 1_000, *, dataset: str = "graduate", value: int = 0, schema: str = "small/1") -> Question:
    """A count. Different `value`s are different questions."""
    column = {"graduate": "salary", "term": "gpa", "staff": "age"}[dataset]
    return Question.from_json(
        {
            "dataset": dataset,
            "filter": {"op": "range", "column": column, "min": value},
            "group": [],
            "components": [{"kind": "people", "rho": rho}],
            "bounds": {"max_groups": 1, "max_rows": 1},
            "mode": "per_node",
            "schema": schema,
        }
    )


class Ministry:
    """Who holds the registry key: invites, registers, revokes, and signs the registry's head."""

    def __init__(self, schema: str = SCHEMA) -> None:
        self.registry_key = Signer.generate(statements_name(FED, "registry"))
        self.registry_log = Signer.generate(log_name(FED, "registry"))
        self.coordinator = Signer.generate(statements_name(FED, "coordinator"))
        self.coordinator_log = Signer.generate(log_name(FED, "coordinator"))
        self.entries: list[bytes] = []
        self.cosigners: dict[str, CosignerSigner] = {}  # of nodes, by name
        self.logs: dict[str, Signer] = {}  # of nodes, by name
        self.statements: dict[str, Signer] = {}  # of parties, by name
        self.former: dict[str, Signer] = {}  # log keys that were replaced
        self.logged: list[bytes] = []  # the coordinator's log
        self.facts: dict[str, dict[str, str]] = {}  # of nodes, by name; said before they register
        self._sign(
            Federation(
                federation=FED, registry=self.registry_key.vkey, registry_log=self.registry_log.vkey,
                coordinator=self.coordinator.vkey, coordinator_log=self.coordinator_log.vkey, ca=_CA, delta="1e-6", time=T0,
            )
        )  # fmt: skip
        self.new_schema(schema)

    def _sign(self, body: Any) -> bytes:
        note: bytes = body.sign(self.registry_key)
        self.entries.append(note)
        return note

    def new_schema(self, text: str) -> Schema:
        schema = parse_schema(text)
        self._sign(SchemaEntry(name=schema.name, version=schema.version, toml=text, time=T0))
        return schema

    def replace(self, name: str) -> None:
        """A node takes new keys of every kind: its log begins anew."""
        self.former[name] = self.logs[name]
        self.register("node", name, replaces=self.statements[name])

    def invite(self, name: str, one_time: Signer, **more: Any) -> bytes:
        """The registry's invitation of a node."""
        return self._sign(
            Invitation(role="node", name=name, facts={}, enrolment=0, expiry=T0 + 10**9, key=one_time.vkey, time=T0, **more)
        )

    def register(self, role: str, name: str, *, replaces: Signer | None = None) -> tuple[Signer, Signer | None]:
        """A new party with fresh keys: (statements, log or None). `replaces`: the key it had."""
        one_time = Signer.generate(invitation_name(FED, name))
        statements = Signer.generate(statements_name(FED, name))
        log = Signer.generate(log_name(FED, name)) if role != "researcher" else None
        cosigner = CosignerSigner.generate(witness_name(FED, name)) if role != "researcher" else None
        if cosigner is not None:
            self.cosigners[name] = cosigner
        if log is not None:
            self.logs[name] = log
        invitation = self._sign(
            Invitation(
                role=role, name=name, facts=self.facts.get(name, {}), enrolment=0,  # type: ignore[arg-type]
                expiry=T0 + 10**6, key=one_time.vkey, time=T0,
                replaces=True if replaces else None,
            )
        )  # fmt: skip
        party = Party(
            invitation=statement_id(invitation), role=role, name=name, statements=statements.vkey,  # type: ignore[arg-type]
            log=log.vkey if log else None, cosigner=cosigner.vkey if cosigner else None, time=T0 + 1,
        )  # fmt: skip
        self.entries.append(party.sign(one_time, statements, *([replaces] if replaces else [])))
        self.statements[name] = statements
        return statements, log

    def revoke(self, name: str) -> None:
        self._sign(Revocation(name=name, time=T0, reason="test"))

    def assign(self, origin: str, *witnesses: str, quorum: int) -> None:
        log = WitnessedLog(origin=origin, witnesses=tuple(sorted(witnesses)), quorum=quorum)
        self._sign(Witnesses(time=T0, logs=(log,)))

    def receipt(self, note: bytes) -> bytes:
        """The coordinator logs these bytes, once, and proves it. With witnesses it collects everybody's cosignature."""
        if note not in self.logged:
            self.logged.append(note)
        leaves = [leaf_hash(each) for each in self.logged]
        checkpoint = sign_checkpoint(self.coordinator_log.name, len(leaves), root(leaves), self.coordinator_log)
        index = self.logged.index(note)
        return Receipt(index, tuple(inclusion_proof(leaves, index)), self.cosign(checkpoint)).to_bytes()

    def cosign(self, checkpoint: bytes) -> bytes:
        """The checkpoint with the cosignatures of the witnesses that its log has."""
        registry = Registry(self.registry_key.vkey)
        registry.extend(self.entries)
        names = registry.witnesses_of(read_checkpoint(checkpoint).origin)[0]
        return add_cosignatures(checkpoint, [self.cosigners[name].cosign(checkpoint, T0) for name in names])

    def checkpoint(self) -> bytes:
        size = len(self.entries)
        return sign_checkpoint(self.registry_log.name, size, root([leaf_hash(e) for e in self.entries]), self.registry_log)


class Researcher:
    """Signs requests. Every request has a fresh nonce."""

    def __init__(self, ministry: Ministry, name: str) -> None:
        self.name = name
        self.ministry = ministry
        self.key, _ = ministry.register("researcher", name)

    def ask(
        self, *questions: Question, audience: Iterable[str] = (NODE,), expiry: int = T0 + 86_400, purpose: str = "test"
    ) -> Asked:
        details = Details.of(purpose)
        registry = Registry(self.ministry.registry_key.vkey)
        registry.extend(self.ministry.entries)
        request = Request(
            researcher=self.name, audience=tuple(sorted(audience)), time=T0, expiry=expiry, nonce=secrets.token_hex(16),
            details=details.digest, questions=questions, views=tuple(VIEW for _ in questions), registry=registry.view(),
        )  # fmt: skip
        note = request.sign(self.key)
        return Asked(note, details.to_blob(), self.ministry.receipt(note))


class Asked:
    def __init__(self, note: bytes, details: bytes, receipt: bytes = b"") -> None:
        self.note, self.details, self.receipt = note, details, receipt

    @property
    def id(self) -> str:
        return statement_id(self.note)


class WatchedEngine:
    """Counts nothing, draws fresh random bytes as noise, and remembers what was drawn."""

    def __init__(self) -> None:
        self.drawn: list[bytes] = []
        self.gone: set[str] = set()
        self.on_tally: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def has(self, snapshot: str, dataset: str) -> bool:
        return snapshot not in self.gone

    def tally(self, layout: Layout, schema: Schema, snapshot: str) -> Any:
        if snapshot in self.gone:
            raise Failed("gone", reason="snapshot-gone")
        self.on_tally()
        return layout

    def add_noise(self, layout: Layout, tally: Any) -> NoisyTally:
        payload = b"".join(struct.pack("<q", secrets.randbits(40)) for _ in range(layout.length))
        with self._lock:
            self.drawn.append(payload)
        return NoisyTally(payload, tuple(scale_for(part) for part in layout.parts))

    def hide_share(self, tally: Any, plan_note: bytes, plan: Any, member: int, node: Any) -> Any:
        raise AssertionError("national sums have an engine of their own, see nationalnode")


class OneNode:
    """An opened node in `root` that has joined `ministry`'s federation; call `again` for another process on the same files."""

    def __init__(self, root: Path, ministry: Ministry, *, fault: Fault = no_fault, stream: Any = None, join: bool = True) -> None:
        self.ministry = ministry
        self.home = Home(root)
        self.now = [float(T0 + 10)]
        if join:
            statements, log = ministry.register("node", NODE)
            assert log is not None
            save_signer(self.home.keys.statements, statements)
            save_signer(self.home.keys.log, log)
            save_signer(self.home.keys.witness, ministry.cosigners[NODE])
            self.home.remember(Membership(FED, NODE, "localhost:1", "localhost:2", ministry.registry_key.vkey, _CA, "0" * 64))
        self.engine = WatchedEngine()
        self.stream = stream or io.StringIO()
        self.open(fault)

    def attach(self, root: Path) -> None:
        """Become a process on a folder that another OneNode has made."""
        self.home, self.now, self.engine, self.stream = Home(root), [float(T0 + 10)], WatchedEngine(), io.StringIO()
        self.open()

    def open(self, fault: Fault = no_fault) -> None:
        self.node: Node = self.home.open(lambda: self.now[0], fault=fault, verify=True)
        weakref.finalize(self, self.node.close)
        self.lines = Lines(self.stream)
        self.answering = Answering(
            name=NODE, journal=self.node.journal, members=self.node.members, policy=InForce(self.node.journal), engine=self.engine,
            receipts=Receipts(self.node.journal, self.node.quorum, wait=0.3), clock=lambda: self.now[0], lines=self.lines,
        )  # fmt: skip
        self.submitting = self.answering.submitting

    def learn(self) -> None:
        self.node.members.learn(0, self.ministry.entries, self.ministry.checkpoint())

    def snapshot(
        self, identity: str = SNAPSHOT, *, schema: str = "small/1", datasets: tuple[str, ...] = ("graduate", "term", "staff")
    ) -> None:
        with self.node.journal.write("snapshot") as log:
            shelf.add(log.db, shelf.Shelved(identity, "autumn", int(self.now[0]), schema, datasets, True))
            sign_if_changed(log, InForce(self.node.journal)())

    def policy(self, **tree: Any) -> None:
        with self.node.journal.write("policy") as log:
            sign_if_changed(log, Policy.from_json(tree))

    def allow(self, *researchers: Researcher, rho: int = 10**9, lifetime: int = 10**12, mode: str = "allow", **more: Any) -> None:
        """A wide policy for these researchers."""
        units = ("student", "staff")
        self.policy(
            budget={unit: {"period": "year", "rho": rho, "lifetime": lifetime} for unit in units},
            allow=[{"researcher": r.name, "key": r.key.vkey, "datasets": ["*"], "mode": mode} for r in researchers],
            **more,
        )

    def answer(self, asked: Asked) -> Any:
        """What this node says. A request that came without a receipt gets one: this coordinator logs whatever it hands on."""
        return self.answering.answer(asked.note, asked.details, asked.receipt or self.ministry.receipt(asked.note))

    def charged(self) -> int:
        with self.node.store.read() as db:
            return int(db.execute("SELECT COALESCE(SUM(rho), 0) FROM charges").fetchone()[0])

    def charged_by_file(self) -> int:
        """The same, read by another connection: also when this one is broken."""
        db = sqlite3.connect(self.home.database)
        try:
            return int(db.execute("SELECT COALESCE(SUM(rho), 0) FROM charges").fetchone()[0])
        finally:
            db.close()

    def entries(self, kind: str | None = None) -> list[bytes]:
        with self.node.store.read() as db:
            rows = db.execute("SELECT note FROM entries WHERE ? IS NULL OR kind = ? ORDER BY idx", (kind, kind))
            return [note for (note,) in rows]


def federation(root: Path, **more: Any) -> tuple[OneNode, Researcher]:
    """A node with a snapshot and one researcher who is registered but not yet allowed anything."""
    ministry = Ministry()
    researcher = Researcher(ministry, "li-wei")
    node = OneNode(root, ministry, **more)
    node.learn()
    node.snapshot()
    return node, researcher


def statements(answer: Any) -> Any:
    """An answer without its receipts: what stays the same however often it is asked for."""
    bare = type(answer).FromString(answer.SerializeToString())
    bare.ClearField("decision_receipt")
    bare.ClearField("release_receipt")
    return bare
