"""`log export`: the published part of this log as static files, and the coordinator's receipts, for auditors.

    FOLDER/<party>/checkpoint, tile/..., blobs/..., receipts/...

Any web server or USB stick can carry the folder. Where this party has exported to is remembered outside the database: a folder that
shows more than the database is how a restored backup is found before anything is signed.
"""

from __future__ import annotations

from pathlib import Path

from collegium.errors import CollegiumError, Failed
from collegium.keys import save_secret
from collegium.log.disk import Disk
from collegium.log.export import export as write
from collegium.log.folder import LogFolder
from collegium.log.witness import contradiction
from collegium.party.home import Home, Party
from collegium.party.published import Published

__all__ = ["Exported", "check", "export"]


class Exported:
    """What an export has come to: entries shown, and entries that are left out because no quorum has confirmed them yet."""

    def __init__(self, folder: Path, shown: int, waiting: int) -> None:
        self.folder, self.shown, self.waiting = folder, shown, waiting


def export(party: Party, folder: Path, *, disk: Disk | None = None) -> Exported:
    """Bring `folder`/<party> up to the newest confirmed checkpoint. Incremental; may be repeated and interrupted at any time.

    Raises:
        NotVerified: the folder shows more than this database, or another history: the database was restored from a backup.
        Failed: the disk refused, or the witnesses have not confirmed anything yet.
    """
    log = Published(party)
    entries = party.journal.head().size
    if log.checkpoint() is None and entries:
        raise Failed(
            "no entry of this log has been confirmed by its witnesses yet",
            place=party.journal.origin,
            remedy=f"Start `{party.home.program} serve` and export again a moment later.",
        )
    target = folder.absolute() / party.membership.name
    shown = write(log, party.journal.verifier, target, disk=disk, tree=party.journal.tree)
    _remember(party.home, target)
    return Exported(target, shown, entries - shown)


def check(party: Party) -> None:
    """Stop this party if a folder it has exported to shows more, or other, than its database. One that is gone says nothing."""
    head, tree = party.journal.head(), party.journal.tree
    for folder in remembered(party.home):
        try:
            shown = LogFolder(folder).checkpoint()
        except CollegiumError:
            continue
        if contradiction(shown, party.journal.verifier, head.size, tree.root) is not None:
            party.permit.stop(shown)


def remembered(home: Home) -> list[Path]:
    """Folders of this log, newest last."""
    try:
        return [Path(line) for line in home.published_file.read_text(encoding="utf-8").splitlines() if line]
    except OSError:
        return []


def _remember(home: Home, folder: Path) -> None:
    known = remembered(home)
    if folder not in known:
        save_secret(home.published_file, "".join(f"{each}\n" for each in [*known, folder][-16:]).encode(), replace=True)
