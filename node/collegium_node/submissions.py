"""What this node has sent into national sums, by the id of the plan: one charge and one submission for each, ever.

The statement SUBMIT is an entry of the log and stays. The masked vector, the sealed seeds and the salt of the commitment lie beside
it until some days after the round's deadline; then they are deleted, and the plan can only be refused. A database that was made
again from its log (`recover`) knows the entry without the bytes, and is in the same case: nothing is ever hidden a second time.

Trusted with the masked vectors. Whoever reads one learns nothing without the seeds of all three trustees; the seeds are kept by
nobody here.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from collegium.national.mask import TRUSTEES
from collegium.national.seal import CIPHERTEXT
from collegium.national.submission import Hidden
from collegium.party.journal import Entry
from collegium.party.store import Store
from collegium_node.gate import Submission

__all__ = ["Round", "begin", "find", "finish", "forget", "read", "store"]

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Round:
    """A plan that was charged: index of the charge, and of the SUBMIT with its id once there is one."""

    plan: str
    decision: int
    submit: int | None
    statement: str | None


def find(db: sqlite3.Connection, plan: str) -> Round | None:
    """The one charge of a plan."""
    row = db.execute("SELECT plan, decision, submit, statement FROM rounds WHERE plan = ?", (plan,)).fetchone()
    return Round(*row) if row else None


def begin(db: sqlite3.Connection, plan: str, decision: int) -> None:
    """A plan is charged. The primary key refuses a second charge for it, on whatever snapshot."""
    db.execute("INSERT INTO rounds(plan, decision) VALUES (?, ?)", (plan, decision))


def finish(db: sqlite3.Connection, plan: str, entry: Entry) -> None:
    """Bind the signed SUBMIT to its charge. The caller has looked, in the same transaction, that there is none yet."""
    done = db.execute(
        "UPDATE rounds SET submit = ?, statement = ? WHERE plan = ? AND submit IS NULL", (entry.index, entry.id, plan)
    )
    assert done.rowcount == 1


def store(db: sqlite3.Connection, plan: str, deadline: int, hidden: Hidden) -> None:
    """Keep what goes out with the SUBMIT, in the transaction that signs it."""
    vector = hidden.vector.astype("<u8", copy=False).tobytes()
    db.execute("INSERT INTO submissions VALUES (?, ?, ?, ?, ?)", (plan, deadline, b"".join(hidden.sealed), vector, hidden.salt))


def read(db: sqlite3.Connection, found: Round) -> Submission | None:
    """The stored submission as it may leave; None when its bytes are no longer here."""
    row = db.execute("SELECT sealed, vector FROM submissions WHERE plan = ?", (found.plan,)).fetchone()
    if row is None or found.submit is None:
        return None
    (note,) = db.execute("SELECT note FROM entries WHERE idx = ?", (found.submit,)).fetchone()
    sealed = tuple(row[0][at * CIPHERTEXT : (at + 1) * CIPHERTEXT] for at in range(TRUSTEES))
    return Submission(found.submit, note, sealed, row[1])


def forget(database: Store, now: float, days: int) -> int:
    """Delete the bytes of rounds whose deadline is more than so many days past. How many there were; the entries stay."""
    before = int(now) - days * DAY
    with database.read() as db:
        if not db.execute("SELECT 1 FROM submissions WHERE deadline < ?", (before,)).fetchone():
            return 0
    with database.write("forget") as db:
        return db.execute("DELETE FROM submissions WHERE deadline < ?", (before,)).rowcount
