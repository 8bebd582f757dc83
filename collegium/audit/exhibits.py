"""Evidence that stands on its own: entries with proofs that a signed checkpoint holds them, and pairs of notes that disagree.

Every file is in a public format (signed note, tlog-proof), so that any other implementation checks it; see `write_evidence`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from collegium.audit.case import Case, Log
from collegium.audit.verdict import CHECKS, Exhibit, Finding, Word
from collegium.errors import Failed
from collegium.log.note import encode_base64
from collegium.log.receipt import make_receipt

__all__ = ["consistency_file", "entry_files", "note_file", "write_evidence"]

MAX_ENTRIES = 2_000  # of one finding
_UNSAFE = re.compile(r"[^a-z0-9.-]+")
_SIGNED_BY = re.compile(rb"\xe2\x80\x94 ([^ \n\\]{1,300}) ")  # also in a checkpoint that an entry quotes


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
    """One folder for each FAIL: the exhibits and a README. The folders, in the order of the findings. Raises Failed.

    The same finding again goes where it lies already; what another audit has left there is never touched.
    """
    written: list[Path] = []
    number = 0
    for finding in (each for each in findings if each.word is Word.FAIL):
        readme = _readme(case, finding).encode()
        while True:
            number += 1
            where = folder / f"{number:03d}-{finding.check}-{_UNSAFE.sub('-', finding.party)}"
            try:
                if not list(folder.glob(f"{number:03d}-*")) or _holds(where, finding, readme):
                    _write(where, finding, readme)
                    break
            except OSError as error:
                raise Failed(f"evidence cannot be written: {error.strerror}", place=str(where)) from None
        written.append(where)
    return written


def _holds(where: Path, finding: Finding, readme: bytes) -> bool:
    wanted = {"README.md": readme} | {_file(exhibit): exhibit.content for exhibit in finding.exhibits}
    return all((where / name).is_file() and (where / name).read_bytes() == content for name, content in wanted.items())


def _write(where: Path, finding: Finding, readme: bytes) -> None:
    where.mkdir(parents=True, exist_ok=True)
    for exhibit in finding.exhibits:
        (where / _file(exhibit)).write_bytes(exhibit.content)
    (where / "README.md").write_bytes(readme)  # last: what has one is whole


def _file(exhibit: Exhibit) -> str:
    return _UNSAFE.sub("-", exhibit.name)


def _readme(case: Case, finding: Finding) -> str:
    files = "".join(f"- `{_file(each)}`: {each.what}\n" for each in finding.exhibits)
    keys = "".join(f"- `{key}`\n" for key in _keys(case, finding))
    return f"""# {finding.check}, {CHECKS[finding.check]}: {finding.party}

{finding.text}

Found in the log `{case.origin(finding.log)}`.

## Files

{files}
## Keys

Those of `{finding.party}`, of the registry and of everybody else who has signed here, as the trust file and the registry give them:

{keys}
## How to check this with other tools

- `.note` and `.entry` files are C2SP signed notes: Go's `golang.org/x/mod/sumdb/note` (`note.Open` with a verifier key from above),
  or `openssl pkeyutl -verify -rawin` over the text with the 64 bytes after the key id.
- `.proof` files are `c2sp.org/tlog-proof@v1`: the entry's index, the hashes from the leaf `SHA-256(0x00, entry)` to the root (RFC
  9162, 2.1.3.2; Go: `tlog.CheckRecord`), then the signed checkpoint they lead to.
- `.consistency` files hold old size and root, new size and root, and the proof (RFC 9162, 2.1.4.2; Go: `tlog.CheckTree`).
- Entries are a type line and one line of JSON; integers are exact. What they show together is said in the first paragraph.
"""


def _keys(case: Case, finding: Finding) -> list[str]:
    """Verifier keys: the registry's, the named party's, and of every name that a signature line in the exhibits bears."""
    origin = case.origin(finding.party)
    names = dict.fromkeys((case.origin("registry"), case.origin("registry/statements"), origin, f"{origin}/statements"))
    for exhibit in finding.exhibits:
        names |= dict.fromkeys(match.decode("utf-8", "replace") for match in _SIGNED_BY.findall(exhibit.content))
    found: list[str] = []
    for name in names:
        found += [vkey for key, vkey in zip(case.keys, case.vkeys, strict=True) if key.name == name]
        log = case.log_key(case.name(name))
        found += [key.vkey for key in (log, *case.former_logs.get(case.name(name), ())) if key is not None and key.name == name]
        found += [
            key.vkey for known in case.logs.values() for key in case.witnesses_of(known.origin)[0].values() if key.name == name
        ]
    return list(dict.fromkeys(found))
