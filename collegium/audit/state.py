"""What an audit keeps for the next one: the signed checkpoint of each log, a few kilobytes of JSON.

Trusted with remembering: who can change the file makes the next audit forget, and can make it accuse nobody, for the checkpoints in
it are signed by the logs themselves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from collegium.audit.case import Case
from collegium.audit.verdict import Word
from collegium.errors import CollegiumError, Failed, Invalid
from collegium.log.checkpoint import open_checkpoint, read_checkpoint
from collegium.log.note import Verifier

__all__ = ["read_state", "write_state"]

FORMAT = "collegium/v1/audit-state"
MAX_STATE = 64 * 1024 * 1024


def read_state(path: Path) -> dict[str, bytes]:
    """Checkpoint notes by origin; each reads as one, NOT verified. Raises Invalid."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_STATE + 1)
        tree = json.loads(content.decode("utf-8")) if len(content) <= MAX_STATE else None
    except OSError as error:
        raise Invalid(f"the state cannot be read: {error.strerror}", place=str(path)) from None
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT or not isinstance(tree.get("checkpoints"), dict):
        raise Invalid("this is not the state of an earlier audit", place=str(path), remedy="Run the audit without --since.")
    notes: dict[str, bytes] = {}
    for origin, text in tree["checkpoints"].items():
        try:
            note = text.encode("utf-8") if isinstance(text, str) else b""
            found = read_checkpoint(note)
        except (CollegiumError, UnicodeEncodeError):
            found = None
        if found is None or found.origin != origin:
            raise Invalid("a checkpoint in it is none", place=str(path), remedy="Run the audit without --since.")
        notes[origin] = note
    return notes


def write_state(case: Case, path: Path, earlier: dict[str, bytes]) -> None:
    """Keep today's checkpoints, whole or not at all. A log that failed, or is smaller than it was, keeps its earlier one."""
    notes = dict(earlier)
    failed = {each.log for each in case.findings.list if each.word is Word.FAIL}
    for log in case.logs.values():
        known = earlier.get(log.origin)
        if log.name not in failed and (known is None or _size(known, log.key) <= log.size):
            notes[log.origin] = log.note
    tree = {"format": FORMAT, "checkpoints": {origin: note.decode() for origin, note in sorted(notes.items())}}
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(tree, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        # Crash before the next line: the earlier state stays. After: the new one, whole.
        temporary.replace(path)
    except OSError as error:
        raise Failed(f"the state cannot be written: {error.strerror}", place=str(path)) from None


def _size(note: bytes, key: Verifier) -> int:
    try:
        return open_checkpoint(note, key).size
    except CollegiumError:
        return 0
