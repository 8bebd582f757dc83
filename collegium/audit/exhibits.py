"""Evidence that stands on its own: entries with proofs that a signed checkpoint holds them, and pairs of notes that disagree.

Every file is in a public format (signed note, tlog-proof), so that any other implementation checks it; see `folder_of_evidence`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from collegium.audit.case import Case, Log
from collegium.audit.verdict import CHECKS, Exhibit, Finding, Word
from collegium.errors import CollegiumError, Failed
from collegium.log.note import encode_base64
from collegium.log.receipt import make_receipt

__all__ = ["consistency_file", "entry_files", "note_file", "write_evidence"]

MAX_ENTRIES = 2_000  # of one finding
_UNSAFE = re.compile(r"[^a-z0-9.-]+")


def entry_files(log: Log, *indices: int) -> list[Exhibit]:
    """Each entry verbatim, and its receipt: the proof that the log's signed checkpoint holds it at this index."""
    files: list[Exhibit] = []
    for index in sorted(set(indices))[:MAX_ENTRIES]:
        what = f"entry {index} of the log {log.origin}"
        files.append(Exhibit(f"{log.name}-{index}.entry", log.entry(index), f"{what}, verbatim"))
        proof = make_receipt(log.levels.proofs, index, log.note)
        files.append(Exhibit(f"{log.name}-{index}.proof", proof, f"proof that the log's signed checkpoint holds {what}"))
    return files


def note_file(name: str, note: bytes, what: str) -> Exhibit:
    return Exhibit(f"{name}.note", note, what)


def consistency_file(log: Log, size: int) -> list[Exhibit]:
    """What the log's own tree says was its root at `size`, with the proof from there to its signed checkpoint."""
    path = "".join(f"{encode_base64(each)}\n" for each in log.levels.proofs.consistency(size, log.size))
    text = f"old {size} {encode_base64(log.levels.root(size))}\nnew {log.size} {encode_base64(log.head.root)}\n{path}"
    what = f"RFC 9162 consistency proof: the root that the log's tree of {log.size} entries had at {size}"
    return [Exhibit(f"{log.name}-{size}-{log.size}.consistency", text.encode(), what)]


def write_evidence(case: Case, findings: Iterable[Finding], folder: Path) -> list[Path]:
    """One folder for each FAIL: the exhibits and a README. The folders, in the order of the findings. Raises Failed."""
    written: list[Path] = []
    for number, finding in enumerate((each for each in findings if each.word is Word.FAIL), 1):
        where = folder / f"{number:03d}-{finding.check}-{_UNSAFE.sub('-', finding.party)}"
        try:
            where.mkdir(parents=True, exist_ok=True)
            for exhibit in finding.exhibits:
                (where / _UNSAFE.sub("-", exhibit.name)).write_bytes(exhibit.content)
            (where / "README.md").write_text(_readme(case, finding), encoding="utf-8")
        except OSError as error:
            raise Failed(f"evidence cannot be written: {error.strerror}", place=str(where)) from None
        written.append(where)
    return written


def _readme(case: Case, finding: Finding) -> str:
    files = "".join(f"- `{_UNSAFE.sub('-', each.name)}`: {each.what}\n" for each in finding.exhibits)
    keys = "".join(f"- `{key}`\n" for key in _keys(case, finding.party))
    return f"""# {finding.check}, {CHECKS[finding.check]}: {finding.party}

{finding.text}

Found in the log `{case.origin(finding.log)}`.

## Files

{files}
## Keys

Those of `{finding.party}` and of the registry, as the trust file and the registry give them:

{keys}
## How to check this with other tools

- `.note` and `.entry` files are C2SP signed notes: Go's `golang.org/x/mod/sumdb/note` (`note.Open` with a verifier key from above),
  or `openssl pkeyutl -verify -rawin` over the text with the 64 bytes after the key id.
- `.proof` files are `c2sp.org/tlog-proof@v1`: the entry's index, the hashes from the leaf `SHA-256(0x00, entry)` to the root (RFC
  9162, 2.1.3.2; Go: `tlog.CheckRecord`), then the signed checkpoint they lead to.
- `.consistency` files hold old size and root, new size and root, and the proof (RFC 9162, 2.1.4.2; Go: `tlog.CheckTree`).
- Entries are a type line and one line of JSON; integers are exact. What they show together is said in the first paragraph.
"""


def _keys(case: Case, party: str) -> list[str]:
    found: list[str] = []
    for name in dict.fromkeys(("registry", party)):
        key = case.log_key(name)
        found += [key.vkey] if key is not None else []
    try:
        if case.registry is not None:
            known = [case.registry.registry_key, case.registry.coordinator if party == "coordinator" else None]
            found += [each.vkey for each in known if each is not None]
            if party not in ("registry", "coordinator"):
                found.append(case.registry.as_of(party, case.registry.size).statements.vkey)
    except CollegiumError:
        pass
    return list(dict.fromkeys(found))


def plain(value: object) -> Exhibit:
    """A finding's own computation, for a reader to follow; not signed by anybody."""
    return Exhibit("recomputed.json", json.dumps(value, indent=1, sort_keys=True).encode(), "what this audit computed; not signed")
