"""A made federation with three questions answered, its audit, and whether what it says stands by itself."""

from __future__ import annotations

from pathlib import Path

from madefed import World, question

from collegium.audit.run import Audit, audit
from collegium.audit.verdict import Word
from collegium.log.checkpoint import open_checkpoint
from collegium.log.merkle import verify_consistency
from collegium.log.note import decode_base64
from collegium.log.receipt import Receipt, verify_receipt


def world(*, witnesses: bool = False) -> World:
    made = World(["alpha", "beta", "gamma", "delta"], ["rita", "ruben"], witnesses=witnesses)
    for number in range(3):
        made.ask("rita", question(salt=number))
    return made


def run(made: World, folder: Path, **more: object) -> Audit:
    return audit(made.export(folder), made.trust(), **more)  # type: ignore[arg-type]


def fails(found: Audit) -> set[tuple[str, str]]:
    return {(each.check, each.party) for each in found.findings.list if each.word is Word.FAIL}


def warns(found: Audit) -> set[tuple[str, str]]:
    return {(each.check, each.rule) for each in found.findings.list if each.word is Word.WARN}


def evidence_stands_alone(made: World, found: Audit) -> None:
    """Every exhibit verifies by the library's own primitives, with nothing of the auditor."""
    logs = {log.name: log.log.verifier for log in made.logs}
    by_origin = {log.log.verifier.name: log.log.verifier for log in made.logs}
    for finding in found.findings.list:
        if finding.word is not Word.FAIL:
            continue
        files = {each.name: each.content for each in finding.exhibits}
        assert files, finding
        for name, content in files.items():
            stem, _, kind = name.rpartition(".")
            if kind == "proof" and f"{stem}.entry" in files:
                origin = open_note_name(Receipt.parse(content).checkpoint)
                verify_receipt(content, files[f"{stem}.entry"], by_origin[origin])
            elif kind == "note":
                open_checkpoint(content, by_origin[open_note_name(content)])
            elif kind == "consistency":
                old, new, *path = content.decode().splitlines()
                _, small, old_root = old.split(" ")
                _, large, new_root = new.split(" ")
                proof = [decode_base64(each) for each in path]
                verify_consistency(int(small), int(large), decode_base64(old_root), decode_base64(new_root), proof)
                seen = [open_checkpoint(note, logs[finding.party]) for other, note in files.items() if other.endswith("-seen.note")]
                assert any(each.size == int(small) and each.root != decode_base64(old_root) for each in seen)


def open_note_name(note: bytes) -> str:
    return note.decode().split("\n", 1)[0]
