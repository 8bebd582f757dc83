"""The tables of national sums in a trustee's database, and how what was secret in them is made to be gone.

`secrets` and `seeds` hold what no log ever shows. Whoever can read the file, its write-ahead log or a backup of it between a
round's first submission and its UNMASK learns this trustee's masks of the round: nothing about a university as long as another
trustee keeps its own. So they are deleted as early as can be, and deleted means:

    PRAGMA secure_delete=ON     SQLite overwrites what it deletes with zeros, in freed pages too
    PRAGMA temp_store=MEMORY    no page of a rolled-back statement is spilled into a temporary file
    wal_checkpoint(TRUNCATE)    the zeros reach the database file, and the write-ahead log that still held the old pages is cut off

What no program can promise: that a disk or file system which writes anew instead of in place has overwritten the old blocks, that
nobody has copied the file in time, or that the process's own memory forgets. For that a trustee encrypts its disk and runs on a
machine of its own; `backup` leaves both tables out. Nor does it help against somebody who recorded the sealed seeds on their way
and gets the month's sealing key: that key is deleted by the same means once no round needs it.
"""

from __future__ import annotations

import json
import sqlite3

from collegium.errors import Failed
from collegium.national.statements import Plan
from collegium.party.store import BUSY_MS, Store

__all__ = ["BEGUN", "ROUNDS", "cut_off", "keep_begun", "overwrite_deleted"]

# Statements end in ";" and nothing else in them holds one: `collegium.party.store.sql` splits there.
ROUNDS = """
-- Sealing keys, by the entry of the KEY statement. The private half is gone once it is in no row of `secrets`.
CREATE TABLE sealing(
    idx INTEGER PRIMARY KEY REFERENCES entries(idx), month TEXT NOT NULL, public TEXT NOT NULL UNIQUE, until INTEGER NOT NULL
) STRICT;
CREATE TABLE secrets(idx INTEGER PRIMARY KEY, secret BLOB NOT NULL) STRICT;

-- Rounds, by the id of their PLAN. `close` is the mark: the one CLOSE that was answered, for ever. `prepare`, `unmask` and
-- `checked` are entries of this log. `over`: its seeds or masks were forgotten.
CREATE TABLE rounds(
    plan TEXT PRIMARY KEY, deadline INTEGER NOT NULL, place INTEGER NOT NULL, sealing INTEGER NOT NULL REFERENCES sealing(idx),
    note BLOB NOT NULL, roster BLOB NOT NULL, prepare INTEGER REFERENCES entries(idx), close TEXT,
    unmask INTEGER REFERENCES entries(idx), participants BLOB, unmasked INTEGER, checked INTEGER REFERENCES entries(idx),
    over INTEGER NOT NULL DEFAULT 0, CHECK ((close IS NULL) = (unmask IS NULL))
) STRICT;

-- What members sent, until UNMASK. `reason` is why it was rejected, empty when accepted.
CREATE TABLE submissions(
    plan TEXT NOT NULL, member INTEGER NOT NULL, id TEXT NOT NULL, note BLOB NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (plan, member)
) STRICT, WITHOUT ROWID;

-- The opened seeds of accepted submissions. No other table refers to it: a deletion must not need a statement journal.
CREATE TABLE seeds(
    plan TEXT NOT NULL, member INTEGER NOT NULL, seed BLOB NOT NULL, PRIMARY KEY (plan, member)
) STRICT, WITHOUT ROWID;
"""

BEGUN = """
-- The one plan of each group of a question of a request. Two, of which one leaves a university out, would show it by subtraction.
CREATE TABLE begun(
    request TEXT NOT NULL, number INTEGER NOT NULL, codes TEXT NOT NULL, plan TEXT NOT NULL, PRIMARY KEY (request, number, codes)
) STRICT, WITHOUT ROWID;
"""


def keep_begun(db: sqlite3.Connection, identity: str, plan: Plan) -> bool:
    """Write down that this is the plan of its group of its question. False: there is another one."""
    place = (plan.request, plan.number, json.dumps(plan.group))
    db.execute("INSERT OR IGNORE INTO begun VALUES (?, ?, ?, ?)", (*place, identity))
    (first,) = db.execute("SELECT plan FROM begun WHERE request = ? AND number = ? AND codes = ?", place).fetchone()
    return bool(first == identity)


def overwrite_deleted(store: Store) -> None:
    """From now on what this process deletes is overwritten. Raises Failed when SQLite was built without it."""
    with store.read() as db:
        db.execute("PRAGMA temp_store=MEMORY")
        if db.execute("PRAGMA secure_delete=ON").fetchone() != (1,):
            raise Failed("SQLite cannot overwrite what it deletes", place=str(store.path), remedy="Install another SQLite.")


def cut_off(store: Store) -> bool:
    """Bring all changes into the database file and cut the write-ahead log to nothing. False: a reader was in the way, try later.

    Crash before or in it: the deleted pages are still in the write-ahead log; the next start cuts it off.
    """
    with store.read() as db:
        db.execute("PRAGMA busy_timeout=100")  # every other call of this process waits meanwhile
        try:
            busy: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:  # a disk that refuses; the next write says so
            return False
        finally:
            db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    return not busy
