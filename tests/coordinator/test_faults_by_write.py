"""Every kind of write to the coordinator's database × every way in which a disk refuses it.

Failure: an error that is not one of ours, or a change that is there in part; a log that does not hold together afterwards; a write
that cannot be repeated, or that was done twice by repeating it; a failed commit after which the process goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest

from collegium.errors import Failed
from collegium.keys import load_signer
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.note import Signer
from collegium.log.statement import sign_statement
from collegium_coordinator.journal import Journal
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Fault, Store, no_fault, put_blob

SOMEBODY = Signer.generate("demo/somebody/statements")
NOTE = sign_statement("request", {"n": 1}, SOMEBODY)
PEER = Signer.generate("demo/u1")
FULL, IO, CUT = "full", "input/output", "power cut"
CASES = [("begin", IO), ("commit", IO), ("begin", FULL), ("commit", CUT), ("committed", CUT)]


class Cut(BaseException):
    """Power goes out: nothing of ours runs any more."""


class Opened:
    """One process on the coordinator's database."""

    def __init__(self, home: Any, registry_key: str, fault: Fault = no_fault) -> None:
        self.home = home
        self.ended = 0
        self.store = Store(home.database, on_broken=self._ends, fault=fault)
        self.registry = RegistryLog(self.store, registry_key, load_signer(home.registry_log_key))
        keys = load_signer(home.statements_key), load_signer(home.log_key)
        self.journal = Journal(self.store, self.registry, *keys, clock=lambda: 1000.0)

    def _ends(self) -> None:
        self.ended += 1

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(f"file:{self.home.database}?mode=ro", uri=True)) as db:
            return list(db.iterdump())


def keep(opened: Opened) -> None:
    """What `answers.record` does with an answer: entries, a payload, a receipt, and the checkpoint of the log they came from."""
    with opened.journal.write() as log:
        log.embed(PEER.verifier, sign_checkpoint("demo/u1", 3, b"\1" * 32, PEER))
        log.keep("request", "r", NOTE)
        put_blob(log.db, b"payload" * 9999)
        log.db.execute("INSERT OR IGNORE INTO receipts VALUES ('s', x'00')")


def cosigned(opened: Opened) -> None:
    """What `Cosigning._keep_note` does with a quorum: the newest of each log."""
    with opened.store.transaction() as db:
        db.execute("INSERT OR REPLACE INTO cosigned VALUES (?, 1, 1.0, ?)", (opened.journal.origin, b"note" * 20_000))


WRITES: dict[str, tuple[Callable[[Opened], None], str]] = {
    "journal": (keep, "SELECT COUNT(*) FROM entries WHERE kind = 'request'"),
    "cosigned": (cosigned, "SELECT COUNT(*) FROM cosigned"),
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize(("at", "how"), CASES)
def test_a_refused_write_changes_nothing_and_may_be_repeated(federation: Any, what: str, at: str, how: str) -> None:
    write, count = WRITES[what]
    key = federation.founded.registry_vkey

    def fault(point: str) -> None:
        if point == at and how == CUT:
            raise Cut
        if point == at and how == IO:
            raise sqlite3.OperationalError("disk I/O error")
        if point == at:  # SQLite's own way of a full disk: from here on the file may not grow
            db = opened.store._writer
            db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")

    opened = Opened(federation.home, key, fault)
    before, size = opened.dump(), opened.journal.verify()
    with pytest.raises((Failed, Cut)) as refused:
        write(opened)
    assert isinstance(refused.value, Cut) == (how == CUT)
    assert opened.ended == ((at, how) == ("commit", IO))  # what is on the disk is unknown then: the process ends
    with suppress(sqlite3.ProgrammingError):
        opened.store.close()
    again = Opened(federation.home, key)
    if at == "committed":
        assert again.store.rows(count) == [(1,)]
    else:
        assert again.dump() == before
        assert again.journal.verify() == size
    write(again)
    assert again.store.rows(count) == [(1,)]
    assert again.journal.verify() == again.store.rows("SELECT COUNT(*) FROM entries")[0][0]
    again.store.close()


def test_an_invitation_that_the_disk_refuses_leaves_the_registry_as_it_was(federation: Any) -> None:
    """`invite` is a process of its own, beside the one that serves."""
    opened = Opened(federation.home, federation.founded.registry_vkey)
    before: list[str] = []
    registrar = federation.registrar()
    db = registrar._store._writer
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")

    def fill() -> None:
        for number in range(100):
            before[:] = opened.dump()
            registrar.invite("researcher", f"r{number}", facts={}, expires=86_400)

    with pytest.raises(Failed, match="full"):
        fill()
    registrar.close()
    assert opened.dump() == before
    opened.registry.refresh()
    opened.store.close()
