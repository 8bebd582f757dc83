"""A federation made in memory: real keys, registry, requests, decisions, releases, receipts, witnesses, indicators; no service.

    world = World(["alpha", "beta"], witnesses=False)
    world.ask("rita", rho=10_000_000)
    world.export(folder); trust = world.trust()

Every party writes its log in the order that the real ones keep: whatever rests on another log's checkpoint stands after it. Tests
commit their attacks by writing with the same keys, out of order, falsely, or twice. Nothing here is random.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from collegium.accounting import noise_scale
from collegium.audit.ledger import labels
from collegium.bundle import asked_nodes
from collegium.combine import NodeRelease, combine
from collegium.layout import Layout, compile_layout
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.merkle import leaf_hash
from collegium.log.note import Signer, encode_base64
from collegium.log.receipt import make_receipt
from collegium.log.statement import statement_id
from collegium.log.tiles import ENTRIES, encode_bundle, encode_hashes, tiles_of
from collegium.log.tree import LeafHashes, Tree
from collegium.log.trust import Group, Trust, TrustedLog
from collegium.question import Question
from collegium.registration import WitnessedLog, Witnesses
from collegium.registry import Registry
from collegium.schema import parse_schema
from collegium.statements import (
    Accounts,
    Blob,
    Coverage,
    Decision,
    Details,
    Federation,
    Indicator,
    Invitation,
    LogPlace,
    Missing,
    Original,
    PartNoise,
    Party,
    Peer,
    Policy,
    PolicySnapshot,
    RegistryView,
    Release,
    Request,
    Revocation,
    SchemaEntry,
    UsedRelease,
    Withdrawal,
)
from collegium.tls import make_ca
from collegium.view import View

FED = "example"
T0 = 1_766_000_000  # 2025-12-17
SNAPSHOT = "00000000000000aa"
TOML = """
name = "higher-education"
version = 1
title.en = "Higher education"
title.zh = "高等教育"
units.student.title.en = "student"
units.student.title.zh = "学生"
codes.province."11".en = "Beijing"
codes.province."34".en = "Anhui"
codes.sex."1".en = "male"
codes.sex."1".zh = "男"
codes.sex."2".en = "female"
codes.sex."2".zh = "女"
facts.province = { title = { en = "province", zh = "省份" }, codes = "province" }
[datasets.graduate]
title.en = "Graduates"
title.zh = "毕业生"
unit = "student"
person = "id"
columns.sex = { type = "category", codes = "sex", title.en = "sex", title.zh = "性别" }
columns.male = { type = "boolean", title.en = "male" }
"""
CA = make_ca(FED, clock=lambda: float(T0))[0].decode()


def key(name: str) -> Signer:
    return Signer.from_seed(name, hashlib.sha256(name.encode()).digest())


def again(name: str) -> Signer:
    """The key that replaces `key(name)`."""
    return Signer.from_seed(name, hashlib.sha256(f"{name} again".encode()).digest())


def cosigner(node: str) -> CosignerSigner:
    name = f"{FED}/{node}/witness"
    return CosignerSigner.from_seed(name, hashlib.sha256(name.encode()).digest())


def question(rho: int = 10_000_000, *, by_sex: bool = True, salt: int = 0, men: bool = False) -> Question:
    """People by sex, or of men alone. `salt` makes questions that differ without changing what they ask: it is a part of rho."""
    tree = {
        "dataset": "graduate",
        "components": [{"kind": "people", "rho": rho + salt}],
        "bounds": {"max_groups": 1, "max_rows": 1},
        "mode": "per_node",
        "schema": "higher-education/1",
    }
    if men:
        tree["filter"] = {"op": "in", "column": "male", "values": ["1"]}
    if by_sex:
        tree["group"] = [{"column": "sex"}]
    return Question.model_validate(tree)


VIEW = View.model_validate(
    {
        "measures": [{"label": "people", "kind": "value", "parts": [0]}],
        "columns": [{"fact": "province"}, {"group": "sex"}, {"measure": 0}],
        "facts": ["province"],
    }
)


@dataclass
class LogWriter:
    """A party's log: entries in their final order, and the signed head at any size."""

    world: World
    name: str
    entries: list[bytes] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)
    embedded: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.origin = f"{FED}/{self.name}"
        self.log = key(self.origin)
        self.statements = key(f"{FED}/{self.name}/statements")
        self.start()

    def start(self) -> None:
        """An empty log."""
        self.entries = []
        self.embedded = {}
        self._leaves: list[bytes] = []
        self._held: set[bytes] = set()
        self._heads: dict[tuple[int, int], bytes] = {}
        self._tree = Tree(LeafHashes(self._some))

    def _some(self, first: int, count: int) -> Sequence[bytes]:
        return self._leaves[first : first + count]

    @property
    def size(self) -> int:
        return len(self.entries)

    def root(self, size: int | None = None) -> bytes:
        return self._tree.root(self.size if size is None else size)

    def keep(self, note: bytes) -> int:
        self.entries.append(note)
        self._leaves.append(leaf_hash(note))
        self._held.add(self._leaves[-1])
        return self.size - 1

    def holds(self, note: bytes) -> bool:
        return leaf_hash(note) in self._held

    def rewrite(self, entries: Sequence[bytes]) -> None:
        """Another history under the same key: only an attacker does this."""
        self.entries, self._leaves = [], []
        self._held, self._heads = set(), {}
        self._tree = Tree(LeafHashes(self._some))
        for entry in entries:
            self.keep(entry)

    def blob(self, data: bytes) -> Blob:
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        return Blob(sha256=sha256, size=len(data))

    @property
    def frame(self) -> dict[str, Any]:
        """Place, registry view and time of the next own statement."""
        return {
            "log": LogPlace(origin=self.origin, index=self.size),
            "registry": self.world.view_of(self),
            "time": self.world.now,
        }

    def say(self, model: type, signer: Signer | None = None, **body: Any) -> int:
        return self.keep(model(**(self.frame | body)).sign(signer or self.statements))

    def head(self, size: int | None = None, *, cosign: bool = True) -> bytes:
        size = self.size if size is None else size
        if not cosign:
            return sign_checkpoint(self.origin, size, self.root(size), self.log)
        found = self._heads.get((size, self.world.now))
        if found is None:
            self._heads = {(size, self.world.now): self.world.cosigned(self.origin, self.head(size, cosign=False))}
            found = self._heads[size, self.world.now]
        return found

    def embed(self, other: LogWriter, note: bytes | None = None) -> None:
        """The other's checkpoint as an entry, unless one as large stands here."""
        note = other.head() if note is None else note
        _, size, root = note.decode().split("\n")[:3]
        if self.embedded.get(other.name, -1) < int(size):
            self.embedded[other.name] = int(size)
            self.say(Peer, origin=other.origin, size=int(size), root=root, checkpoint=note.decode())

    def receipt(self, index: int, size: int | None = None) -> bytes:
        return make_receipt(self._tree, index, self.head(size))

    def give(self, index: int, to: LogWriter) -> None:
        if self.world.receipts:
            to.receipts[statement_id(self.entries[index])] = self.receipt(index)

    def write(self, folder: Path, note: bytes | None = None) -> None:
        note = self.head() if note is None else note
        folder.mkdir(parents=True, exist_ok=True)
        for tile in tiles_of(self.size):
            path = folder / tile.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if tile.level == ENTRIES:
                path.write_bytes(encode_bundle(self.entries[tile.first : tile.first + tile.width]))
            else:
                path.write_bytes(encode_hashes(self._tree.hashes(tile.level, tile.first, tile.width)))
        for kind, files in (("blobs", self.blobs), ("receipts", {f"{each}.proof": data for each, data in self.receipts.items()})):
            (folder / kind).mkdir(exist_ok=True)
            for name, data in files.items():
                (folder / kind / name).write_bytes(data)
        (folder / "checkpoint").write_bytes(note)


@dataclass(frozen=True)
class Put:
    """A request as it was put."""

    id: str
    note: bytes
    body: Request
    layouts: tuple[Layout, ...]
    index: int  # in the coordinator's log


class World:
    """All parties, and the honest way of each step."""

    def __init__(
        self, nodes: Sequence[str] = ("alpha", "beta", "gamma"), researchers: Sequence[str] = ("rita",), *,
        witnesses: bool = False, receipts: bool = True, budget: int = 10**12, enrolment: int = 1000,
    ) -> None:  # fmt: skip
        self.now = T0
        self.receipts = receipts
        self.assigned: dict[str, tuple[str, ...]] = {}
        self.registry_log = LogWriter(self, "registry")
        self.coordinator = LogWriter(self, "coordinator")
        self.registry = Registry(None)
        self.keys: dict[str, Signer] = {}
        self.schema = parse_schema(TOML)
        self.nodes = {name: LogWriter(self, name) for name in nodes}
        self.trustees: dict[str, LogWriter] = {}
        self.policies: dict[str, Any] = {"release": ["per_node", "national"], "smallest": 3}  # what every policy says of modes
        self._nonce = 0
        registry = self.registry_log
        self.register(
            Federation(
                federation=FED, registry=registry.statements.vkey, registry_log=registry.log.vkey, ca=CA, delta="1e-6", time=T0,
                coordinator=self.coordinator.statements.vkey, coordinator_log=self.coordinator.log.vkey,
            ).sign(registry.statements)
        )  # fmt: skip
        self.register(SchemaEntry(name=self.schema.name, version=1, toml=TOML, time=T0).sign(registry.statements))
        for number, name in enumerate(nodes):
            self.invite(name, "node", {"province": ("11", "34")[number % 2]}, enrolment)
        for name in researchers:
            self.invite(name, "researcher", {}, 0)
        if witnesses:
            self.assign()
        for node in self.nodes.values():
            self.policy(node, budget)

    def writer(self, name: str) -> LogWriter:
        return LogWriter(self, name)

    # ---- registry

    def register(self, note: bytes) -> int:
        self.registry.extend([note])
        return self.registry_log.keep(note)

    def new_log(self, name: str) -> None:
        """The node begins a log under new keys, as `recover --new-log` does; the old log is gone."""
        node = self.nodes[name]
        self.invite(name, "node", {"province": "11"}, 1000, generation=1)
        node.statements, node.log = self.keys[name], again(f"{FED}/{name}")
        node.start()

    def new_key(self, name: str) -> None:
        """The node replaces its statement key and goes on with its log, as `join` with a token of `invite --replace` does."""
        self.invite(name, "node", {"province": "11"}, 1000, generation=1, keep_log=True)
        self.nodes[name].statements = self.keys[name]

    def invite(
        self, name: str, role: str, facts: dict[str, str], enrolment: int, generation: int = 0, *, keep_log: bool = False
    ) -> None:
        suffix = f"-{generation}" if generation else ""
        one_time = Signer.from_seed(f"{FED}/{name}/invitation", hashlib.sha256(f"{name} invitation{suffix}".encode()).digest())
        statements = key(f"{FED}/{name}/statements")
        if generation:
            statements = again(statements.name)
        self.keys[name] = statements
        invitation = Invitation(
            role=role, name=name, facts=facts, enrolment=enrolment, expiry=self.now + 10**6, key=one_time.vkey, time=self.now,
            replaces=True if generation else None,
        ).sign(self.registry_log.statements)  # type: ignore[arg-type]  # fmt: skip
        self.register(invitation)
        node = role != "researcher"
        body = Party(
            invitation=statement_id(invitation), role=role, name=name, statements=statements.vkey, time=self.now,  # type: ignore[arg-type]
            log=(again if generation and not keep_log else key)(f"{FED}/{name}").vkey if node else None,
            cosigner=cosigner(name).verifier.vkey if node else None,
        )  # fmt: skip
        signers = [one_time, statements] + ([key(f"{FED}/{name}/statements")] if generation else [])
        self.register(body.sign(*signers))

    def assign(self) -> None:
        """Every log gets the first three nodes that are not its owner."""
        logs = []
        for origin in sorted([f"{FED}/registry", f"{FED}/coordinator", *(node.origin for node in self.nodes.values())]):
            chosen = tuple(sorted([name for name in self.nodes if f"{FED}/{name}" != origin][:3]))
            logs.append(WitnessedLog(origin=origin, witnesses=chosen, quorum=2))
            self.assigned[origin] = chosen
        self.register(Witnesses(time=self.now, logs=tuple(logs)).sign(self.registry_log.statements))

    def revoke(self, name: str) -> None:
        self.register(Revocation(name=name, time=self.now, reason="test").sign(self.registry_log.statements))

    def view_of(self, log: LogWriter) -> RegistryView:
        """The registry that this log has embedded last."""
        size = log.embedded.get("registry", 0)
        return RegistryView(size=size, root=encode_base64(self.registry_log.root(size)))

    def cosigned(self, origin: str, note: bytes) -> bytes:
        chosen = self.assigned.get(origin, ())
        return add_cosignatures(note, [cosigner(name).cosign(note, self.now) for name in chosen]) if chosen else note

    # ---- steps

    def policy(self, node: LogWriter, rho: int = 10**12, *, lifetime: int = 10**13, period: str = "year", **more: Any) -> int:
        node.embed(self.registry_log)
        rules = [
            {
                "researcher": name,
                "key": signer.vkey,
                "datasets": ["*"],
                "mode": "allow",
                "purpose": "",
                "release": self.policies["release"],
            }
            for name, signer in self.keys.items()
            if name not in self.nodes and name not in self.trustees
        ]
        tree = {"budget": {"student": {"period": period, "rho": rho, "lifetime": lifetime}}, "limits": {"dataset": {}, "researcher": {}}, "allow": rules, }  # fmt: skip # noqa: E501
        tree["national"] = {"smallest": self.policies["smallest"]}
        snapshot = PolicySnapshot(id=SNAPSHOT, name="2025", time=T0, datasets=("graduate",), current=True)
        return node.say(Policy, policy=tree | more, snapshots=(snapshot,))

    def request(
        self, researcher: str = "rita", *questions: Question, nodes: Sequence[str] | None = None, everyone: bool = False,
        expiry: int = 86_400, signer: Signer | None = None, purpose: str = "teaching", view: RegistryView | None = None,
        facts: Sequence[str] | None = None,
    ) -> bytes:  # fmt: skip
        self._nonce += 1
        asked = questions or (question(),)
        details = Details(purpose=purpose, salt=f"{self._nonce:032x}")
        self.coordinator.blob(details.to_blob())
        views = tuple(VIEW.to_json() if each.group else _flat_view() for each in asked)
        if facts is not None:
            views = tuple(_by_facts(each, facts) for each in views)
        return Request(
            researcher=researcher, time=self.now, expiry=self.now + expiry, nonce=f"{self._nonce:032x}", details=details.digest,
            questions=asked, views=views, registry=self.registry.view() if view is None else view,
            audience=None if everyone else tuple(sorted(nodes or self.nodes)), facts={} if everyone else None,
        ).sign(signer or self.keys[researcher])  # fmt: skip

    def take(self, note: bytes) -> Put:
        """The coordinator logs a request."""
        self.coordinator.embed(self.registry_log)
        index = self.coordinator.keep(note)
        body = Request.read(note)
        layouts = tuple(compile_layout(each, self.schema) for each in body.questions)
        return Put(statement_id(note), note, body, layouts, index)

    def hear(self, node: LogWriter, put: Put) -> None:
        """A node logs what it is asked."""
        node.embed(self.registry_log)
        node.embed(self.coordinator)
        if not node.holds(put.note):
            node.keep(put.note)
            self.coordinator.give(put.index, node)

    def charge(self, node: LogWriter, put: Put, number: int = 0, **change: Any) -> int:
        layout = put.layouts[number]
        period = labels(self.now)[0]
        body = {
            "request": put.id, "number": number, "verdict": "charge", "question": layout.question.digest, "snapshot": SNAPSHOT,
            "unit": layout.unit, "period": period, "dataset": layout.question.dataset, "rho": layout.question.rho,
        }  # fmt: skip
        return node.say(Decision, **(body | change))

    def release(self, node: LogWriter, put: Put, decision: int, number: int = 0, *, seed: int = 0, **change: Any) -> int:
        layout = put.layouts[number]
        rng = np.random.default_rng([seed, node.size])
        values = 100 + rng.integers(-20, 20, layout.length)
        payload = values.astype("<i8").tobytes()
        body = {
            "request": put.id, "number": number, "question": layout.question.digest, "snapshot": SNAPSHOT,
            "schema_id": self.schema.id, "decision": decision, "payload": node.blob(payload),
            "parts": tuple(PartNoise(cells=part.width, scale=repr(noise_scale(part))) for part in layout.parts),
        }  # fmt: skip
        self.coordinator.blob(payload)
        return node.say(Release, **(body | change))

    def reuse(self, node: LogWriter, put: Put, release: int, number: int = 0) -> int:
        original = Original(index=release, sha256=statement_id(node.entries[release]))
        digest = put.layouts[number].question.digest
        return node.say(
            Decision, request=put.id, number=number, verdict="reuse", question=digest, snapshot=SNAPSHOT, original=original
        )

    def refuse(self, node: LogWriter, put: Put, reason: str = "not-allowed", number: int = 0) -> int:
        digest = put.layouts[number].question.digest
        return node.say(Decision, request=put.id, number=number, verdict="refuse", reason=reason, question=digest)

    def collect(self, node: LogWriter, *indices: int) -> None:
        """The coordinator logs what a node has answered, after the checkpoint that came with it."""
        self.coordinator.embed(self.registry_log)
        self.coordinator.embed(node)
        for index in indices:
            if not self.coordinator.holds(node.entries[index]):
                self.coordinator.keep(node.entries[index])
            node.give(index, self.coordinator)

    def indicate(
        self, put: Put, used: dict[str, bytes], missing: dict[str, str] | None = None, *, number: int = 0, revision: int = 0,
        change: Callable[[bytes], bytes] = lambda table: table, accounts: Accounts | None = None, **body: Any,
    ) -> int:  # fmt: skip
        """The coordinator adds releases (by node: the note) and signs."""
        gone = dict(missing or {})
        layout = put.layouts[number]
        view = View.from_json(put.body.views[number])
        size = self.coordinator.embedded["registry"]
        audience = sorted([*used, *gone])
        releases = []
        for name, note in sorted(used.items()):
            read = Release.read(note)
            releases.append(NodeRelease(name, self.coordinator.blobs[read.payload.sha256], tuple(p.scale for p in read.parts)))
        asked = asked_nodes(self.registry, size, audience, gone)
        table = change(combine(layout, view, self.schema, releases, asked).to_bytes())
        accounts = accounts or Accounts(
            releases=tuple(UsedRelease(node=name, sha256=statement_id(note)) for name, note in sorted(used.items())),
            missing=tuple(Missing(node=name, reason=reason) for name, reason in sorted(gone.items())),
        )
        known = [each for each in asked if each.enrolment]
        coverage = Coverage(
            asked=len(asked), answered=len(used),
            enrolment=sum(each.enrolment for each in known if each.node in used) if known else None,
            enrolment_asked=sum(each.enrolment for each in known) if known else None,
        )  # fmt: skip
        fields = {
            "request": put.id, "number": number, "question": layout.question.digest, "revision": revision, "coverage": coverage,
            "accounts": self.coordinator.blob(accounts.to_blob()), "table": self.coordinator.blob(table),
        }  # fmt: skip
        return self.coordinator.say(Indicator, **(fields | body))

    def withdraw(self, node: LogWriter, put: Put, release: int, number: int = 0) -> int:
        original = Original(index=release, sha256=statement_id(node.entries[release]))
        index = node.say(Withdrawal, release=original, request=put.id, number=number, reason="wrong file")
        self.collect(node, index)
        return index

    def ask(self, researcher: str = "rita", *questions: Question, offline: Sequence[str] = (), **more: Any) -> Put:
        """A whole question, honestly: asked, charged, released, collected, added."""
        self.now += 60
        put = self.take(self.request(researcher, *questions, **more))
        used: dict[int, dict[str, bytes]] = {number: {} for number in range(len(put.layouts))}
        reached = [name for name in put.body.audience or tuple(self.nodes) if name not in offline]
        for name in reached:
            self.hear(self.nodes[name], put)
        for name in reached:
            node = self.nodes[name]
            for number in used:
                decision = self.charge(node, put, number)
                release = self.release(node, put, decision, number)
                self.collect(node, decision, release)
                used[number][name] = node.entries[release]
        asked = put.body.audience or tuple(self.nodes)
        self.now += 5
        for number, releases in used.items():
            missing = {name: "deadline" for name in asked if name not in releases}
            self.indicate(put, releases, missing, number=number)
        return put

    # ---- out

    @property
    def logs(self) -> list[LogWriter]:
        return [self.registry_log, self.coordinator, *self.nodes.values(), *self.trustees.values()]

    def export(self, folder: Path) -> Path:
        for log in self.logs:
            log.write(folder / log.name)
        return folder

    def trust(self) -> Trust:
        trust = Trust({log.origin: TrustedLog(log.log.verifier) for log in self.logs})
        chosen = self.assigned.get(self.registry_log.origin, ())
        if chosen:
            trust.witnesses = {name: cosigner(name).verifier for name in chosen}
            trust.groups = {"registry": Group(2, chosen)}
            trust.quorum = "registry"
        return trust


def _by_facts(tree: dict[str, Any], facts: Sequence[str]) -> dict[str, Any]:
    """A view told apart by these facts alone."""
    columns = [column for column in tree["columns"] if column.get("fact") in (None, *facts)]
    return View.model_validate(tree | {"columns": columns, "facts": list(facts)}).to_json()


def _flat_view() -> dict[str, Any]:
    tree = VIEW.to_json()
    tree["columns"] = [column for column in tree["columns"] if "group" not in column]
    return json.loads(json.dumps(tree))  # type: ignore[no-any-return]
