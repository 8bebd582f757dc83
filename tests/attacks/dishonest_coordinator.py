"""Ministries that cheat: each lie changes one step of the real coordinator, and the process then serves like any other.

A lie is told once, at the start of the process (`company`), with the coordinator's folder. Log, checkpoints, receipts, tunnels are
the real code with the coordinator's real keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collegium.combine import NodeRelease
from collegium.keys import load_signer
from collegium.log.checkpoint import read_checkpoint, sign_checkpoint
from collegium.log.merkle import inclusion_proof, leaf_hash, root
from collegium.log.note import Signer
from collegium.log.receipt import Receipt
from collegium.log.statement import statement_id
from collegium.registry import Registry
from collegium.statements import Release, Request
from collegium_coordinator import answers, fanout
from collegium_coordinator.asked import parse_request
from collegium_coordinator.config import Home
from collegium_coordinator.fanout import Fanout
from collegium_coordinator.indicator import Indicators, _Used, national_table
from collegium_coordinator.journal import Journal
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.serve import Coordinator

__all__ = ["LIES"]

LIES: dict[str, Callable[[Path], None]] = {}
VICTIM, REVOKED = "south", "north"


def lie(tell: Callable[[Path], None]) -> Callable[[Path], None]:
    LIES[tell.__name__] = tell
    return tell


# -- figures -------------------------------------------------------------------------------------------------------------------


@lie
def inflate(home: Path) -> None:
    """A7: it adds a thousand persons to the first release before it adds the releases."""

    def more(layout: Any, view: Any, schema: Any, releases: Any, asked: Any) -> bytes:
        first = releases[0]
        value = int.from_bytes(first.payload[:8], "little", signed=True) + 1000
        raised = NodeRelease(first.node, value.to_bytes(8, "little", signed=True) + first.payload[8:], first.scales)
        return national_table(layout, view, schema, [raised, *releases[1:]], asked)

    (Coordinator.__init__.__kwdefaults__ or {})["combine"] = more


@lie
def leave_out(home: Path) -> None:
    """A7: a node that has answered is in no account of the figure, neither as used nor as missing."""
    honest = Indicators._inputs

    def inputs(self: Any, job: Any, number: int) -> Any:
        used, missing = honest(self, job, number)
        return [each for each in used if each.node != VICTIM], missing

    Indicators._inputs = inputs  # type: ignore[method-assign]


@lie
def replay(home: Path) -> None:
    """A4: for a node that is not there it takes the node's release of the same question, given for somebody else's request."""
    honest = Indicators._inputs

    def inputs(self: Any, job: Any, number: int) -> Any:
        used, missing = honest(self, job, number)
        rows = self._store.rows("SELECT node, release_id, release, payload FROM answers WHERE release IS NOT NULL")
        old = {
            node: _Used(node, identity, entry, payload)
            for node, identity, entry, payload in rows
            if Release.read(self._store.entry(entry)).question == job.asked.questions[number].digest
        }
        filled = [old[each.node] for each in missing if each.node in old]
        still = [each for each in missing if each.node not in old]
        return sorted([*used, *filled], key=lambda each: each.node), still

    Indicators._inputs = inputs  # type: ignore[method-assign]


# -- what nodes are shown ------------------------------------------------------------------------------------------------------


@lie
def never_stop(home: Path) -> None:
    """A2, A14: shown what it has signed and does not hold any more, it goes on all the same."""
    Journal.stop = lambda self, why: None  # type: ignore[method-assign, assignment]


@lie
def two_trees(home: Path) -> None:
    """A3: one node gets its proofs under another tree of the same size; what nodes show of it does not stop it."""
    never_stop(home)
    log = load_signer(Home(home).log_key)
    honest = Nodes.answer
    journals: list[Any] = []
    started = Coordinator.__init__

    def start(self: Any, *arguments: Any, **more: Any) -> None:
        started(self, *arguments, **more)
        journals.append(self.journal)

    async def answer(self: Any, node: str, request: Any, *, timeout: float) -> Any:
        if node == VICTIM:
            real = Receipt.parse(request.receipt)
            size = read_checkpoint(real.checkpoint).size
            leaves = list(journals[0].tree.hashes(0, 0, size))
            leaves[0] = leaf_hash(b"what only the others are shown")
            head = sign_checkpoint(log.name, size, root(leaves), log)
            request.receipt = Receipt(real.index, tuple(inclusion_proof(leaves, real.index)), head).to_bytes()
        return await honest(self, node, request, timeout=timeout)

    Coordinator.__init__ = start  # type: ignore[method-assign]
    Nodes.answer = answer  # type: ignore[method-assign]


@lie
def forge(home: Path) -> None:
    """A11: it asks another question in the researcher's name, signed with a key of its own making, and takes nobody's no."""
    honest = Fanout.accept
    fanout.Request = _Unchecked  # type: ignore[assignment, misc, attr-defined]

    async def accept(self: Any, asked: Any, purpose: str) -> Any:
        key = Signer.generate(f"{self._registry.registry.federation}/{asked.body.researcher}/statements")
        dearer = tuple(_dearer(each) for each in asked.body.questions)
        note = asked.body.model_copy(update={"questions": dearer}).sign(key)
        forged = parse_request(note, asked.details, self._registry, body=Request.read(note))
        assert forged.id == statement_id(note)
        return await honest(self, forged, purpose)

    Fanout.accept = accept  # type: ignore[method-assign]


def _dearer(question: Any) -> Any:
    parts = tuple(part.model_copy(update={"rho": part.rho * 2}) for part in question.components)
    return question.model_copy(update={"components": parts})


class _Unchecked:
    """Requests whose signature nobody looks at."""

    read = Request.read

    @staticmethod
    def open(note: bytes, keys: Any) -> Request:
        return Request.read(note)


@lie
def asks_for_the_revoked(home: Path) -> None:
    """It goes on asking for a researcher who was revoked after he had handed in; what is proven is whoever answers."""
    Fanout._may_ask = lambda self, job: True  # type: ignore[method-assign, assignment]


@lie
def policies_as_answers(home: Path) -> None:
    """A15: it logs, beside an answer, the node's policy: signed by the node, and not for this log."""
    honest = answers.record

    def record(log: Any, asked: Any, node: str, *rest: Any) -> Any:
        done = honest(log, asked, node, *rest)
        row = log.db.execute("SELECT policy FROM seen WHERE node = ? AND policy IS NOT NULL", (node,)).fetchone()
        if row is not None:
            log.keep("policy", asked.id, bytes(row[0]))
        return done

    answers.record = record


# -- times and keys ------------------------------------------------------------------------------------------------------------


@lie
def clock(home: Path) -> None:
    """A9: its clock shows what `move_clock` says."""
    defaults = Coordinator.__init__.__kwdefaults__ or {}
    defaults["clock"] = lambda: time.time() + float((home / "clock").read_text())


@lie
def revoked_is_welcome(home: Path) -> None:
    """A5: a university whose revocation stands in its own log may still connect and answer; it does not tell the university."""
    honest = Nodes._teach

    async def teach(self: Any, connection: Any) -> None:
        if connection.name != REVOKED:
            await honest(self, connection)

    def party(self: Registry, name: str, at: int | None = None) -> Any:
        return next(party for party in self.parties() if party.name == name)

    Nodes._teach = teach  # type: ignore[method-assign]
    Registry.party = party  # type: ignore[method-assign, assignment]
