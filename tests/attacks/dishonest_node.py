"""Universities that cheat: each lie changes one step of the real node, and the process then serves like any other.

A lie is told once, at the start of the process (`company`), with the node's folder; what it changes is said in its first line.
Everything else, the log, the checkpoints, the receipts, the tunnel, is the real code with the node's real keys.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collegium.keys import load_signer
from collegium.log.checkpoint import read_checkpoint, sign_checkpoint
from collegium.log.merkle import inclusion_proof, leaf_hash, root
from collegium.log.receipt import Receipt
from collegium.party.journal import Journal, Writer
from collegium.party.permit import Permit
from collegium.statements import Blob, Release
from collegium_node import answer, decisions, ledger, serve
from collegium_node.answer import Answering
from collegium_node.gate import SignedRelease
from collegium_node.home import Home

__all__ = ["LIES", "move_clock", "raised"]

LIES: dict[str, Callable[[Path], None]] = {}


def lie(tell: Callable[[Path], None]) -> Callable[[Path], None]:
    LIES[tell.__name__] = tell
    return tell


# -- charges -------------------------------------------------------------------------------------------------------------------


@lie
def overdraw(home: Path) -> None:
    """A6: it grants whatever is asked, whatever is left."""

    def check(db: Any, limits: Any, *, unit: str, time: int, **asked: Any) -> str:
        return ledger.period_of(time, limits.budgets[unit].period)[0]

    ledger.check = check  # type: ignore[assignment]


@lie
def undercharge(home: Path) -> None:
    """A6: it charges a thousandth."""
    _decide(lambda fields: fields | {"rho": fields["rho"] // 1000} if fields["verdict"] == "charge" else fields)


@lie
def thin_noise(home: Path) -> None:
    """A6: it states half the noise that the charge buys."""
    honest = answer.PartNoise
    answer.PartNoise = lambda cells, scale: honest(cells=cells, scale=repr(float(scale) / 2))  # type: ignore[assignment, misc]


@lie
def pay_twice(home: Path) -> None:
    """A4: it forgets that a question was charged, and so draws a second noise of the same figure."""
    honest = Answering._charge

    def charge(self: Any, asked: Any, number: int, layout: Any, snapshot: str) -> Any:
        with self._journal.store.write("forget") as db:
            db.execute("DELETE FROM charges WHERE digest = ? AND request <> ?", (layout.question.digest, asked.id))
        return honest(self, asked, number, layout, snapshot)

    Answering._charge = charge  # type: ignore[method-assign]


@lie
def release_twice(home: Path) -> None:
    """A4: it signs a second release for one charge, and gives that one out."""
    honest = Answering._release

    def release(self: Any, row: Any, layout: Any, schema: Any) -> SignedRelease:
        first = honest(self, row, layout, schema)
        with self._journal.write("again") as log:
            payload = raised(first.payload)
            body = Release.read(first.note)
            sha256 = log.blob(payload, published=True)
            again = body.model_copy(
                update={
                    "log": log.place,
                    "registry": log.registry,
                    "time": log.now,
                    "payload": Blob(sha256=sha256, size=len(payload)),
                }
            )
            entry = log.sign(again, request=row.request)
        return SignedRelease(entry.index, entry.note, payload)

    Answering._release = release  # type: ignore[method-assign]


@lie
def abort(home: Path) -> None:
    """A13: it looks at the figure after the charge and gives it to nobody."""

    def release(self: Any, row: Any, layout: Any, schema: Any) -> SignedRelease:
        self._engine.tally(layout, schema, row.snapshot)
        raise RuntimeError("it is not a figure that we like")

    Answering._release = release  # type: ignore[method-assign]


# -- what is answered ----------------------------------------------------------------------------------------------------------


@lie
def another_question(home: Path) -> None:
    """A12: it decides on another question under the request's id."""
    _decide(lambda fields: fields | {"question": "0" * 64})


@lie
def no_request(home: Path) -> None:
    """A11: it charges for a request that it does not show."""

    def keep(log: Any, asked: Any) -> None:
        decisions.keep_logged(log, asked.id, asked.logged)

    decisions.keep_request = keep


@lie
def log_key(home: Path) -> None:
    """A15: it signs what it says with the key of its checkpoints."""
    honest = Writer.sign

    def sign(self: Writer, statement: Any, *, request: str = "") -> Any:
        if statement.kind != "decision":
            return honest(self, statement, request=request)
        return self.keep(statement.kind, statement.sign(self._journal._log), request=request)

    Writer.sign = sign  # type: ignore[method-assign]


@lie
def unlogged(home: Path) -> None:
    """A8: it gives out another release than it logs, with a proof under a second tree that holds that one."""
    keys = Home(home).keys
    statements, log = load_signer(keys.statements), load_signer(keys.log)
    honest = Answering._leave

    def leave(self: Any, said: Any) -> Any:
        answers = honest(self, said)
        for one, reply in zip(said, answers, strict=True):
            if one.release is not None and reply.release:
                _swap(self._journal, statements, log, one, reply)
        return answers

    Answering._leave = leave  # type: ignore[method-assign]


def _swap(journal: Journal, statements: Any, log: Any, said: Any, reply: Any) -> None:
    payload = raised(reply.payload)
    blob = Blob(sha256=hashlib.sha256(payload).hexdigest(), size=len(payload))
    note = Release.read(reply.release).model_copy(update={"payload": blob}).sign(statements)
    size = read_checkpoint(Receipt.parse(reply.release_receipt).checkpoint).size
    leaves = list(journal.tree.hashes(0, 0, size))
    leaves[said.release.index] = leaf_hash(note)
    head = sign_checkpoint(log.name, size, root(leaves), log)
    for which, index in (("decision_receipt", said.decision.index), ("release_receipt", said.release.index)):
        setattr(reply, which, Receipt(index, tuple(inclusion_proof(leaves, index)), head).to_bytes())
    reply.release, reply.payload = note, payload


def raised(payload: bytes) -> bytes:
    """The same tally, ten persons more in its first cell."""
    return (int.from_bytes(payload[:8], "little", signed=True) + 10).to_bytes(8, "little", signed=True) + payload[8:]


# -- times, keys, copies -------------------------------------------------------------------------------------------------------


@lie
def clock(home: Path) -> None:
    """A9: its clock shows what `move_clock` says."""
    honest = serve.serve

    def shifted() -> float:
        return time.time() + float((home / "clock").read_text())

    serve.serve = lambda where: honest(where, clock=shifted)  # type: ignore[assignment, misc]


def move_clock(home: Path, seconds: float) -> None:
    (home / "clock").write_text(str(seconds))


@lie
def old_registry(home: Path) -> None:
    """A5: it names, and judges by, a registry older than one that it has named already."""
    node = Home(home).open(time.time)
    older = node.members.registry.view_at(node.members.registry.size - 1)
    node.close()
    Writer.registry = property(lambda self: older)  # type: ignore[assignment, method-assign]


@lie
def revoked_is_welcome(home: Path) -> None:
    """A5: it goes on answering a researcher whose revocation stands in its own log, ten minutes later by its clock."""
    clock(home)
    honest = answer.check_request

    def check(note: bytes, details: bytes, receipt: bytes, registry: Any, name: str) -> Any:
        return honest(note, details, receipt, _Unrevoked(registry), name)

    answer.check_request = check


class _Unrevoked:
    """A registry in which nobody was ever revoked."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def party(self, name: str) -> Any:
        return next(party for party in self._registry.parties() if party.name == name)


@lie
def never_stop(home: Path) -> None:
    """A14: shown what it has signed and lost, it goes on all the same."""
    Permit.stop = lambda self, shown: None  # type: ignore[method-assign, assignment]
    Permit.stopped = property(lambda self: None)  # type: ignore[assignment, method-assign]
    Permit.__call__ = lambda self, db: None  # type: ignore[method-assign, assignment]


def _decide(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Every decision is signed with its fields changed so."""
    honest = decisions.Decision

    def make(**fields: Any) -> Any:
        return honest(**change(fields))

    make.read, make.open = honest.read, honest.open  # type: ignore[attr-defined]
    decisions.Decision = make  # type: ignore[assignment, misc]
