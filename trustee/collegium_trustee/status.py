"""What `status` shows: who this trustee is, how its log stands, its sealing key, and how many rounds it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from collegium.party.receipts import Receipts
from collegium_trustee.home import Trustee
from collegium_trustee.rounds import Rounds
from collegium_trustee.sealing import Listed, Sealing

__all__ = ["Status", "keys_table", "look", "sealing_of", "status_table"]


@dataclass(frozen=True, slots=True)
class Status:
    """Counts and names that stand in signed logs anyway.

    `confirmed`: entries under a checkpoint that a quorum of `witnesses` has cosigned, `needed` of them; `age`: seconds since that
    was last so. `open_rounds` wait for a close, `answered` have had theirs, `ended` ended without one. `witnessed`: logs that this
    trustee has cosigned. `restored`: the database is an old copy, and nothing is signed.
    """

    name: str
    federation: str
    registry: int
    entries: int
    confirmed: int
    needed: int
    witnesses: int
    age: int | None
    may_sign: bool
    restored: bool
    sealing: str
    sealing_until: int
    open_rounds: int
    answered: int
    ended: int
    witnessed: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def sealing_of(trustee: Trustee) -> Sealing:
    """The sealing keys of an opened trustee, for a command."""
    return Sealing(Rounds(trustee, Receipts(trustee.journal, trustee.quorum), trustee.home.config().keeping.keeping))


def look(trustee: Trustee) -> Status:
    figures = trustee.quorum.figures()
    keys = [each for each in sealing_of(trustee).listing() if each.kept]
    with trustee.store.read() as db:
        refusal = trustee.permit(db)
        row = db.execute(
            "SELECT COALESCE(SUM(close IS NULL AND over = 0), 0), COALESCE(SUM(close IS NOT NULL), 0),"
            " COALESCE(SUM(close IS NULL AND over = 1), 0), (SELECT COUNT(*) FROM witnessed) FROM rounds"
        ).fetchone()
    return Status(
        name=trustee.membership.name, federation=trustee.membership.federation, registry=trustee.members.registry.size,
        entries=figures.size, confirmed=figures.confirmed, needed=figures.needed, witnesses=figures.witnesses, age=figures.age,
        may_sign=refusal is None, restored=trustee.permit.stopped is not None,
        sealing=keys[0].public if keys else "", sealing_until=keys[0].until if keys else 0,
        open_rounds=row[0], answered=row[1], ended=row[2], witnessed=row[3],
    )  # fmt: skip


def status_table(status: Status) -> Table:
    table = Table(title=f"Trustee {status.name} of {status.federation}", title_justify="left", show_header=False)
    table.add_row("registry", f"{status.registry} entries verified")
    table.add_row("log", f"{status.entries} entries, {status.confirmed} of them confirmed")
    if status.needed:
        age = "never yet" if status.age is None else f"{status.age} seconds ago"
        table.add_row("witnesses", f"{status.needed} of {status.witnesses} must confirm; last time {age}")
    else:
        table.add_row("witnesses", "none are assigned: nobody else vouches for this log's being complete")
    if status.restored:
        table.add_row("signing", "STOPPED: this database is an old copy. Run `collegium-trustee recover`.", style="bold red")
    else:
        table.add_row("signing", "yes" if status.may_sign else "not before witnesses have confirmed the log; is `serve` running?")
    table.add_row("sealing key", f"until {_day(status.sealing_until)}" if status.sealing else "none yet: `serve` makes it")
    table.add_row("rounds", f"{status.open_rounds} open, {status.answered} answered, {status.ended} ended without a close")
    table.add_row("witness of", f"{status.witnessed} logs")
    return table


def keys_table(keys: Sequence[Listed]) -> Table:
    """The private half is never shown; where it is gone, nothing that was sealed to the key opens any more."""
    table = Table(title="Sealing keys, newest first", title_justify="left")
    for heading in ("entry", "public key", "serves until", "private half"):
        table.add_column(heading, no_wrap=heading == "public key")
    for key in keys:
        table.add_row(str(key.entry), key.public, _day(key.until), "kept" if key.kept else "deleted")
    return table


def _day(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
