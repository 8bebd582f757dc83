"""A national sum in one process: every party's real keys and statements, one log of the coordinator in memory, nothing sent."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from loginmemory import MemoryLog

from collegium.body import Blob, LogPlace, RegistryView
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.note import Signer, encode_base64
from collegium.log.receipt import make_receipt
from collegium.log.statement import statement_id
from collegium.national.closing import CloseEvidence, Logs
from collegium.national.lists import Participant, Participants, Prepared, Roster, RosterNode, Submitted
from collegium.national.mask import U64
from collegium.national.plan import Wanted, plan_parts
from collegium.national.seal import SealingKey
from collegium.national.share import Tolerance
from collegium.national.statements import Check, Close, Plan, PlanTrustee, Prepare, Result, Submit, Unmask, lot, plan_digest
from collegium.national.submission import Hidden, hide, mask_total, open_submission
from collegium.national.verify import Known, Round

__all__ = ["COORDINATOR", "COSIGNERS", "NODES", "SEALING", "TRUSTEES", "WANTED", "Country", "node_signer", "place", "view"]

FED = "example"
T = 1_800_000_000
COORDINATOR = Signer.from_seed(f"{FED}/coordinator/statements", b"\1" * 32)
COORDINATOR_LOG = Signer.from_seed(f"{FED}/coordinator", b"\2" * 32)
REGISTRY_LOG = Signer.from_seed(f"{FED}/registry", b"\3" * 32)
REGISTRY_ROOT = hashlib.sha256(b"the registry").digest()
TRUSTEES = [Signer.from_seed(f"{FED}/trustee-{letter}/statements", bytes([10 + i]) * 32) for i, letter in enumerate("abc")]
COSIGNERS = [CosignerSigner.from_seed(f"{FED}/trustee-{letter}/witness", bytes([20 + i]) * 32) for i, letter in enumerate("abc")]
SEALING = [SealingKey(bytes([30 + i]) * 96) for i in range(3)]
NAMES = ["trustee-a", "trustee-b", "trustee-c"]
NODES = 6
WANTED = (Wanted(4, 1, 10**8, 10_000), Wanted(3, 50, 2 * 10**8, 10**6))


def node_signer(member: int) -> Signer:
    return Signer.from_seed(f"{FED}/node-{member:03}/statements", bytes([100 + member]) * 32)


def place(origin: str, index: int = 7) -> LogPlace:
    return LogPlace(origin=origin, index=index)


def view() -> RegistryView:
    return RegistryView(size=40, root=encode_base64(REGISTRY_ROOT))


def blob(raw: bytes) -> Blob:
    return Blob(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))


def head(who: str, index: int = 7) -> dict[str, Any]:
    return {"log": place(f"{FED}/{who}", index), "registry": view(), "time": T}


@dataclass
class Country:
    """Nodes 0..n-1 with one vector each; `nonce` makes one round differ from the next. Steps are called in their order."""

    values: Sequence[U64]
    nonce: str = "0" * 32
    plan_changes: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    log: MemoryLog = field(default_factory=lambda: MemoryLog(signer=COORDINATOR_LOG))
    submits: dict[int, bytes] = field(default_factory=dict)
    hidden: dict[int, Hidden] = field(default_factory=dict)
    seeds: list[dict[int, bytes]] = field(default_factory=lambda: [{}, {}, {}])

    def __post_init__(self) -> None:
        n = len(self.values)
        self.roster = Roster(nodes=tuple(RosterNode(node=f"node-{member:03}", key=node_signer(member).vkey) for member in range(n)))
        tolerance = Tolerance(200_000, 100_000)
        body: dict[str, Any] = {
            **head("coordinator", 0),
            "request": "a" * 64,
            "number": 0,
            "question": "b" * 64,
            "nonce": self.nonce,
            "nodes": n,
            "roster": self.roster.blob,
            "dropout": tolerance.dropout,
            "colluding": tolerance.colluding,
            "least": tolerance.least(n),
            "honest": tolerance.honest(n),
            "homes": 2,
            "parts": plan_parts(WANTED, n, tolerance, 2),
            "trustees": tuple(
                PlanTrustee(trustee=name, key=signer.vkey, sealing=encode_base64(key.public))
                for name, signer, key in zip(NAMES, TRUSTEES, SEALING, strict=True)
            ),
            "deadline": T + 3600,
        }
        self.plan = Plan(**{**body, **self.plan_changes})
        self.plan_note = self.plan.sign(COORDINATOR)
        self.plan_id = plan_digest(self.plan_note).hex()
        self.log.append(self.plan_note)

    def keep(self, raw: bytes) -> Blob:
        named = blob(raw)
        self.kept[named.sha256] = raw
        return named

    def submit(self, member: int, *, signer: Signer | None = None, decision: int = 5, **changes: Any) -> bytes:
        signer = signer or node_signer(member)
        hidden = self.hidden[member] = hide(self.plan_note, self.plan, member, signer.verifier, self.values[member])
        body: dict[str, Any] = {
            **head(f"node-{member:03}", 6),
            "plan": self.plan_id,
            "member": member,
            "decision": decision,
            "seeds": tuple(hashlib.sha256(each).hexdigest() for each in hidden.sealed),
            "vector": self.keep(hidden.vector.tobytes()),
            "commitment": hidden.commitment,
        }
        note = self.submits[member] = Submit(**{**body, **changes}).sign(signer)
        self.log.append(note)
        return note

    def prepare(self, at: int) -> tuple[bytes, bytes]:
        accepted = []
        for member, note in sorted(self.submits.items()):
            _, self.seeds[at][member] = open_submission(
                note, self.hidden[member].sealed[at], self.plan_note, self.roster, at, SEALING[at]
            )
            accepted.append(Submitted(member=member, submit=statement_id(note)))
        prepared = Prepared(accepted=tuple(accepted), rejected=())
        return self.sign_prepare(at, prepared), prepared.to_blob()

    def sign_prepare(self, at: int, prepared: Prepared) -> bytes:
        return Prepare(**head(NAMES[at]), plan=self.plan_id, trustee=at, prepared=prepared.blob).sign(TRUSTEES[at])

    def participant(self, member: int) -> Participant:
        note = self.submits[member]
        return Participant(member=member, submit=statement_id(note), vector=Submit.read(note).vector.sha256)

    def close(
        self, members: Sequence[int], prepares: Sequence[tuple[bytes, bytes]], listed: Participants | None = None, **changes: Any
    ) -> CloseEvidence:
        listed = listed or Participants(members=tuple(self.participant(member) for member in members))
        index = len(self.log.held)
        body: dict[str, Any] = {
            **head("coordinator", index),
            "plan": self.plan_id,
            "prepares": tuple(statement_id(note) for note, _ in prepares),
            "participants": listed.blob,
            "count": len(listed.members),
        }
        note = Close(**{**body, **changes}).sign(COORDINATOR)
        self.log.append(note)
        return CloseEvidence(note, self.receipt(index), listed.to_blob(), *zip(*prepares, strict=True))

    def receipt(self, index: int) -> bytes:
        checkpoint = self.log.checkpoint()
        assert checkpoint is not None
        return make_receipt(self.log.tree, index, checkpoint)

    def unmask(self, at: int, closed: CloseEvidence, **changes: Any) -> bytes:
        listed = Participants.from_blob(closed.participants, Close.read(closed.note).participants)
        masks = mask_total(self.plan_note, self.plan.length, at, listed, self.seeds[at])
        body = {"plan": self.plan_id, "close": statement_id(closed.note), "trustee": at, "masks": self.keep(masks.tobytes())}
        return Unmask(**{**head(NAMES[at]), **body, **changes}).sign(TRUSTEES[at])

    def check(self, closed: CloseEvidence, unmasks: Sequence[bytes], total: np.ndarray, **changes: Any) -> bytes:
        ids = tuple(statement_id(note) for note in unmasks)
        body: dict[str, Any] = {
            **head(NAMES[lot(ids)]),
            "plan": self.plan_id,
            "close": statement_id(closed.note),
            "unmasks": ids,
            "trustee": lot(ids),
            "total": self.keep(total.astype("<i8").tobytes()),
        }
        return Check(**{**body, **changes}).sign(TRUSTEES[lot(ids)])

    def result(self, closed: CloseEvidence, unmasks: Sequence[bytes], checked: bytes, total: np.ndarray, **changes: Any) -> bytes:
        ids = tuple(statement_id(note) for note in unmasks)
        body: dict[str, Any] = {
            **head("coordinator", len(self.log.held)),
            "plan": self.plan_id,
            "close": statement_id(closed.note),
            "unmasks": ids,
            "check": statement_id(checked),
            "count": Close.read(closed.note).count,
            "honest": self.plan.honest,
            "total": self.keep(total.astype("<i8").tobytes()),
        }
        return Result(**{**body, **changes}).sign(COORDINATOR)

    def evidence(self, members: Sequence[int]) -> Round:
        """All steps, honestly; nodes outside `members` dropped out before the close."""
        for member in members:
            self.submit(member)
        closed = self.close(members, [self.prepare(at) for at in range(3)])
        unmasks = [self.unmask(at, closed) for at in range(3)]
        total = np.sum([self.values[member] for member in members], axis=0, dtype=np.uint64).view(np.int64)
        check = self.check(closed, unmasks, total)
        return self.round(closed, unmasks, check, self.result(closed, unmasks, check, total))

    def round(self, closed: CloseEvidence, unmasks: Sequence[bytes], check: bytes, result: bytes) -> Round:
        notes = {statement_id(note): note for note in self.submits.values()}
        return Round(
            self.plan_note, self.roster.to_blob(), self.checkpoint(), closed, notes.__getitem__, unmasks, check, result,
            lambda sha256: io.BytesIO(self.kept[sha256]),
        )  # fmt: skip

    @staticmethod
    def checkpoint(cosigners: Sequence[CosignerSigner] = tuple(COSIGNERS)) -> bytes:
        note = sign_checkpoint(REGISTRY_LOG.name, 40, REGISTRY_ROOT, REGISTRY_LOG)
        return add_cosignatures(note, [each.cosign(note, T) for each in cosigners])

    def logs(self) -> Logs:
        return Logs(COORDINATOR.verifier, COORDINATOR_LOG.verifier, {}, 0)

    def known(self) -> Known:
        return Known(
            self.logs(),
            REGISTRY_LOG.verifier,
            {f"node-{member:03}": node_signer(member).verifier for member in range(len(self.values))},
            {name: signer.verifier for name, signer in zip(NAMES, TRUSTEES, strict=True)},
            {name: signer.verifier for name, signer in zip(NAMES, COSIGNERS, strict=True)},
            WANTED,
            2,
        )
