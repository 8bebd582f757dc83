"""`withdraw`: a release was found wrong. It stays in the log, marked by a signed statement; its charge stays too.

The privacy loss happened when the release left, so no budget comes back. The question can be asked again on a corrected snapshot.
"""

from __future__ import annotations

from collegium.errors import Invalid
from collegium.log.statement import statement_id
from collegium.party.journal import Journal
from collegium.statements import Original, Withdrawal

__all__ = ["withdraw", "withdraw_snapshot"]


def withdraw(journal: Journal, request: str, reason: str, *, number: int | None = None) -> int:
    """Withdraw what was released for the request whose id begins with `request`. How many releases were withdrawn now.

    Raises Invalid when nothing was released for it. Withdrawing twice changes nothing.
    """
    found = _releases(
        journal,
        "SELECT DISTINCT c.release FROM decisions d JOIN charges c ON c.digest = d.digest AND c.snapshot = d.snapshot"
        " WHERE d.verdict IN ('charge', 'reuse') AND substr(d.request, 1, ?) = ? AND (? IS NULL OR d.number = ?)",
        [len(request), request, number, number],
    )
    if not found or not request:
        raise Invalid("nothing was released for it", place=request, remedy="Check the id of the request.")
    return _sign(journal, found, reason)


def withdraw_snapshot(journal: Journal, snapshot: str, reason: str) -> int:
    """Withdraw everything that was released from a snapshot, for example after a wrong upload."""
    found = _releases(journal, "SELECT release FROM charges c WHERE snapshot = ?", [snapshot])
    if not found:
        raise Invalid("nothing was released from it", place=snapshot)
    return _sign(journal, found, reason)


def _releases(journal: Journal, query: str, values: list[object]) -> list[int]:
    with journal.store.read() as db:
        return sorted(index for (index,) in db.execute(query, values) if index is not None)


def _sign(journal: Journal, releases: list[int], reason: str) -> int:
    done = 0
    with journal.write("withdraw") as log:
        for index in releases:
            if log.db.execute("SELECT 1 FROM withdrawals WHERE release = ?", (index,)).fetchone():
                continue
            (note,) = log.db.execute("SELECT note FROM entries WHERE idx = ?", (index,)).fetchone()
            request, number = log.db.execute("SELECT request, number FROM charges WHERE release = ?", (index,)).fetchone()
            original = Original(index=index, sha256=statement_id(note))
            withdrawal = Withdrawal(
                log=log.place, registry=log.registry, time=log.now, release=original, request=request, number=number, reason=reason
            )
            entry = log.sign(withdrawal, request=request)
            log.db.execute("INSERT INTO withdrawals VALUES (?, ?)", (entry.index, index))
            done += 1
        # Crash here: none of them is withdrawn; the same command withdraws all.
    return done
