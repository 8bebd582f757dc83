"""How a round of a national sum ended for this node: kept as evidence, whatever the coordinator shows later.

With the receipt for its SUBMIT in the coordinator's log a node can show that its part was there in time, and with the CLOSE whether
it was counted (`collegium.national.closing.check_left_out`). Reads no data and decides nothing about any.
"""

from __future__ import annotations

from dataclasses import dataclass

from collegium.errors import CollegiumError, NotVerified, public_text
from collegium.log.receipt import Receipt
from collegium.log.statement import statement_id
from collegium.national.lists import Participants
from collegium.national.statements import Close, Submit
from collegium.party.journal import Journal
from collegium.party.lines import Lines
from collegium.party.members import Members
from collegium.party.receipts import check_receipt, keep_logged
from collegium_node import submissions

__all__ = ["Ended", "take_close"]


@dataclass(frozen=True, slots=True)
class Ended:
    """What the coordinator says of a round, unverified: see ClosedRequest in node.proto. `close` is empty when there was none."""

    plan: str
    submit_receipt: bytes
    close: bytes
    close_receipt: bytes
    participants: bytes


def take_close(ended: Ended, journal: Journal, members: Members, lines: Lines) -> str:
    """Verify and keep the coordinator's receipts. How the round ended for this node: `counted`, `left-out` or `no-close`.

    1. This node has a SUBMIT for the plan, and the coordinator's log holds it, under the quorum of that log's witnesses.
    2. The close, if there is one, is signed by the coordinator for this plan, its log holds it where it says, and the list is the
       one that it names.
    3. ONE durable transaction: both receipts, the close, and the coordinator's checkpoint in this node's log.

    Left out is no accusation: a trustee may have rejected the submission in the open, or it may have come too late. What an auditor
    needs to tell that from a cheat is kept.

    Raises NotVerified, with the reason; nothing is kept then.
    """
    registry = members.registry
    # (1)
    with journal.store.read() as db:
        found = submissions.find(db, ended.plan)
    if found is None or found.submit is None or found.statement is None:
        raise NotVerified(public_text("round-over"), place="plan", reason="round-over")
    note = journal.entry(found.submit).note
    logged = check_receipt(ended.submit_receipt, note, registry)
    # (2)
    word, of_close = "no-close", None
    if ended.close:
        of_close = check_receipt(ended.close_receipt, ended.close, registry)
        try:
            close = Close.open(ended.close, [registry.coordinator])
            at = (of_close.origin, Receipt.parse(ended.close_receipt).index)
            if close.plan != ended.plan or (close.log.origin, close.log.index) != at:
                raise NotVerified("the close is of another plan, or logged at another place than it says", place="close")
            listed = Participants.from_blob(ended.participants, close.participants).members
        except CollegiumError as error:
            raise NotVerified(public_text("bad-plan"), place=error.place or "close", reason="bad-plan") from None
        own = (Submit.read(note).member, found.statement)
        word = "counted" if own in {(each.member, each.submit) for each in listed} else "left-out"
    # (3)
    with journal.write("closed") as log:
        keep_logged(log, found.statement, logged)
        if of_close is not None:
            keep_logged(log, statement_id(ended.close), of_close)
            log.db.execute("INSERT OR IGNORE INTO closes VALUES (?, ?, ?)", (statement_id(ended.close), ended.plan, ended.close))
        # Crash here: nothing was kept, and the coordinator says it again until it has been heard.
    lines.event("round-ended", plan=ended.plan, how=word)
    return word
