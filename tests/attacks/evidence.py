"""What somebody does who gets nothing but a folder of evidence: every file is verified with the keys that its README names.

Nothing of the auditor is used, and no log: signed notes, inclusion and consistency proofs, and SHA-256. A checkpoint of the named
party in each folder is verified by OpenSSL's command as well, where that is installed: none of our code runs there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from collegium.errors import CollegiumError
from collegium.log.checkpoint import open_checkpoint
from collegium.log.merkle import verify_consistency
from collegium.log.note import Verifier, decode_base64, split_note
from collegium.log.receipt import Receipt, verify_receipt

__all__ = ["reverify"]

Keys = list[Verifier]
SCRIPT = Path(__file__).parent.parent / "interop" / "checkpoint.sh"


def reverify(folder: Path, party: str) -> None:
    """Raises AssertionError or CollegiumError unless all of it holds, and something in it bears the party's own signature."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    keys = _keys(readme)
    listed = set(re.findall(r"^- `([^`]+)`: ", readme, re.MULTILINE))
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "README.md"}
    assert files
    assert set(files) == listed
    signed: set[str] = set()
    heads: dict[str, bytes] = {}
    for name, content in files.items():
        stem, _, kind = name.rpartition(".")
        if kind == "proof":
            heads[_proof(content, files[f"{stem}.entry"], keys)] = Receipt.parse(content).checkpoint
        elif kind == "note":
            heads[_checkpoint(content, keys)] = content
        elif kind == "entry":
            signed |= _author(content, keys)
        elif kind == "consistency":
            _consistency(content, files, keys)
        else:
            assert kind == "blob", name
            assert sha256(content).hexdigest() == stem
    signed |= heads.keys()
    for origin, head in heads.items():
        if origin.endswith(f"/{party}"):
            _with_openssl(head, [key for key in keys if key.name == origin], folder.with_suffix(".checkpoint"))
    assert any(key.partition("/")[2].partition("/")[0] == party for key in signed), (party, signed)


def _keys(readme: str) -> Keys:
    found = []
    for vkey in re.findall(r"^- `([^`: ]+\+[0-9a-f]{8}\+[^`]+)`$", readme, re.MULTILINE):
        try:
            found.append(Verifier.parse(vkey))
        except CollegiumError:
            assert "/witness+" in vkey  # a cosigner's key, of another type
    return found


def _proof(proof: bytes, entry: bytes, keys: Keys) -> str:
    """The log that holds the entry, by its own signature."""
    origin = Receipt.parse(proof).checkpoint.decode().split("\n", 1)[0]
    for key in keys:
        if key.name == origin:
            try:
                verify_receipt(proof, entry, key)
            except CollegiumError:
                continue
            return origin
    raise AssertionError(f"no key in the README opens the proof of {origin}")


def _checkpoint(note: bytes, keys: Keys) -> str:
    origin = note.decode().split("\n", 1)[0]
    for key in keys:
        if key.name == origin:
            try:
                return open_checkpoint(note, key).origin
            except CollegiumError:
                continue
    raise AssertionError(f"no key in the README opens the checkpoint of {origin}")


def _author(entry: bytes, keys: Keys) -> set[str]:
    """Who has signed an entry; nobody for one that is no signed note, or a forged one."""
    try:
        text, lines, *_ = split_note(entry, limit=1 << 16)
    except CollegiumError:
        return set()
    text_bytes = text if isinstance(text, bytes) else text.encode()
    known = {(key.name, key.key_id): key for key in keys}
    return {name for name, key_id, body in lines if (name, key_id) in known and known[name, key_id].accepts(text_bytes, body)}


def _consistency(content: bytes, files: dict[str, bytes], keys: Keys) -> None:
    """The tree shown now had another root at that size than the checkpoint that was seen."""
    old, new, *path = content.decode().splitlines()
    _, small, was = old.split(" ")
    _, large, now = new.split(" ")
    verify_consistency(int(small), int(large), decode_base64(was), decode_base64(now), [decode_base64(each) for each in path])
    seen = [
        note.decode().split("\n")[1:3] for name, note in files.items() if name.endswith("-seen.note") and _checkpoint(note, keys)
    ]
    assert any(size == small and root != was for size, root in seen)


def _with_openssl(note: bytes, keys: Keys, file: Path) -> None:
    if shutil.which("openssl") is None:
        return
    file.write_bytes(note)
    tried = [subprocess.run([SCRIPT, file, key.vkey], capture_output=True, text=True, timeout=60, check=False) for key in keys]
    assert any(done.returncode == 0 and "Signature Verified Successfully" in done.stdout for done in tried), tried
