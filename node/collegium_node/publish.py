"""`log export`: the published part of this log as static files, and the coordinator's receipts, for auditors.

    FOLDER/<node>/checkpoint, tile/..., blobs/..., receipts/...

Any web server or USB stick can carry the folder. Where this node has exported to is remembered outside the database: a folder that
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
from collegium_node.home import Home, Node
from collegium_node.published import Published

__all__ = ["Exported", "check", "export"]


class Exported:
    """What an export has come to: entries shown, and entries that are left out because no quorum has confirmed them yet."""

    def __init__(self, folder: Path, shown: int, waiting: int) -> None:
        self.folder, self.shown, self.waiting = folder, shown, waiting


def export(node: Node, folder: Path, *, disk: Disk | None = None) -> Exported:
    """Bring `folder`/<node> up to the newest confirmed checkpoint. Incremental; may be repeated and interrupted at any time.

    Raises:
        NotVerified: the folder shows more than this database, or another history: the database was restored from a backup.
        Failed: the disk refused, or the witnesses have not confirmed anything yet.
    """
    log = Published(node)
    entries = node.journal.head().size
    if log.checkpoint() is None and entries:
        raise Failed(
            "no entry of this log has been confirmed by its witnesses yet",
            place=node.journal.origin,
            remedy="Start `collegium-node serve` and export again a moment later.",
        )
    target = folder.absolute() / node.membership.name
    shown = write(log, node.journal.verifier, target, disk=disk, tree=node.journal.tree)
    _remember(node.home, target)
    return Exported(target, shown, entries - shown)


def check(node: Node) -> None:
    """Stop this node if a folder it has exported to shows more, or other, than its database. A folder that is gone says nothing."""
    head, tree = node.journal.head(), node.journal.tree
    for folder in remembered(node.home):
        try:
            shown = LogFolder(folder).checkpoint()
        except CollegiumError:
            continue
        if contradiction(shown, node.journal.verifier, head.size, tree.root) is not None:
            node.permit.stop(shown)


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
