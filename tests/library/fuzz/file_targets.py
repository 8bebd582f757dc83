"""Files that strangers send: a bundle, an exported federation, the state of an earlier audit, a token.

Whatever a stranger changes, he signs for nobody: an audit of a changed copy names no party, and a bundle shows the figures that
were signed or is refused.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from target import Target

sys.path.insert(0, str(Path(__file__).parent.parent / "audit"))
sys.path.insert(0, str(Path(__file__).parent.parent))

from madefed import World
from test_token import PARTS, TOKEN, pack, tree_of

from collegium.audit.run import audit
from collegium.audit.state import read_state, write_state
from collegium.audit.verdict import Code
from collegium.bundle import Bundle
from collegium.bundlefile import verify_file, write_bundle
from collegium.errors import CollegiumError, Invalid
from collegium.log.checkpoint import read_checkpoint
from collegium.log.receipt import Receipt
from collegium.log.statement import canonical_json, statement_id
from collegium.token import parse_token

__all__ = ["TARGETS"]

_FOLDER = TemporaryDirectory(prefix="collegium-fuzz-")
FOLDER = Path(_FOLDER.name)
WORLD = World(["alpha", "beta"])
PUT = WORLD.ask("rita")
FEDERATION = WORLD.export(FOLDER / "federation")
TRUST = WORLD.trust()
STATE = FOLDER / "state.json"
HONEST = audit(FEDERATION, TRUST, workers=1)
ALREADY = {each.text for each in HONEST.findings.list}  # that no log has witnesses
write_state(HONEST.case, STATE, {})


def _bundle() -> bytes:
    """Everything about the first question, as a member of the federation saves it."""
    log, bundle = WORLD.coordinator, Bundle(request=PUT.note)
    for index, entry in enumerate(log.entries):
        kind = entry.partition(b"\n")[0].decode().removeprefix("collegium/v1/")
        if PUT.id.encode() in entry and kind in ("decision", "release", "indicator"):
            bundle.add(kind, entry)  # type: ignore[arg-type]
        if entry == PUT.note or (kind == "indicator" and PUT.id.encode() in entry):
            bundle.add("receipt", log.receipt(index), statement_id(entry))
    named = b"".join([bundle.request, *bundle.indicators, *bundle.releases]).decode()
    for sha256, data in log.blobs.items():
        if sha256 in named:
            bundle.add("blob", data)
    WORLD.registry.extend([], WORLD.registry_log.head())
    path = FOLDER / "figure.bundle"
    write_bundle(path, bundle, WORLD.registry)
    return path.read_bytes()


BUNDLE = _bundle()
SIGNED = [(each.indicator, each.table) for each in verify_file(FOLDER / "figure.bundle", TRUST)[0].figures]


def bundle(raw: bytes) -> None:
    """A bundle file. What verifies is the request and the figures that were signed."""
    path = FOLDER / "changed.bundle"
    path.write_bytes(raw)
    found = verify_file(path, TRUST)[0]
    assert found.id == PUT.id, "another request"
    assert [(each.indicator, each.table) for each in found.figures] in (SIGNED, []), "figures that nobody signed"


FILES = sorted(str(each.relative_to(FEDERATION)) for each in FEDERATION.rglob("*") if each.is_file())
ORIGINALS = {name: (FEDERATION / name).read_bytes() for name in FILES}


def folder(raw: bytes) -> None:
    """First byte: which file of an exported federation is replaced by the rest."""
    name, content = FILES[raw[0] % len(FILES)] if raw else FILES[0], raw[1:]
    (FEDERATION / name).write_bytes(content)
    try:
        findings = audit(FEDERATION, TRUST, workers=1).findings
    finally:
        (FEDERATION / name).write_bytes(ORIGINALS[name])
    assert not findings.parties, f"a change of {name} convicts {findings.parties}: {findings.list}"
    if findings.code is not Code.CLEAN or {each.text for each in findings.list} - ALREADY:
        raise Invalid("evidence is missing")
    assert findings.checked == HONEST.findings.checked, f"fewer things were looked at with another {name}"
    assert content == ORIGINALS[name] or _spare(name, content), f"a changed {name} passes"


def _spare(name: str, content: bytes) -> bool:
    """What no verdict rests on.

    A payload: the folder holds another copy, or it is computed again; named by its SHA-256, a changed one counts as missing. The
    path and signatures of a receipt that claims nothing but what the log shows. Signature lines of a checkpoint by keys nobody
    knows.
    """
    if name.endswith(".proof"):
        was, now = Receipt.parse(ORIGINALS[name]), Receipt.parse(content)
        return (was.index, read_checkpoint(was.checkpoint)) == (now.index, read_checkpoint(now.checkpoint))
    same_text = ORIGINALS[name].rpartition(b"\n\n")[0] == content.rpartition(b"\n\n")[0]
    return "/blobs/" in name or (name.endswith("/checkpoint") and same_text)


def state(raw: bytes) -> None:
    """The state of an earlier audit, handed to the next."""
    STATE.write_bytes(raw)
    read_state(STATE)
    findings = audit(FEDERATION, TRUST, since=STATE, fast=True, workers=1).findings
    assert not findings.parties, f"a state convicts {findings.parties}"


def token(raw: bytes) -> None:
    """A token as it is pasted; or (not beginning like one) the JSON inside it, packed as a token packs it."""
    text = raw.decode("utf-8", "replace") if raw.startswith(b"collegium1.") else pack(raw)
    found = parse_token(text)
    assert (found.federation, found.registry, found.one_time) == ("example", PARTS["registry"], PARTS["one_time"])
    assert found.invitation == PARTS["invitation"], "an invitation that nobody signed"


def _seeds_of_folder() -> tuple[bytes, ...]:
    return tuple(bytes([number]) + ORIGINALS[name] for number, name in enumerate(FILES) if number < 256)


TARGETS = {
    "bundle": Target((BUNDLE,), bundle, CollegiumError, len(BUNDLE) + 512),
    "folder": Target(_seeds_of_folder(), folder, CollegiumError, 8192),
    "state": Target((STATE.read_bytes(),), state, CollegiumError),
    "token": Target((TOKEN.encode(), canonical_json(tree_of(TOKEN))), token, CollegiumError),
}
