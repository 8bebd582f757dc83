"""Parsers of `collegium.log`: notes, checkpoints, tiles, receipts, proofs, trust files. All refuse with Invalid alone.

What is signed is accepted only as what was signed: no change of a note's bytes verifies as another text.
"""

from __future__ import annotations

from loginmemory import LOG, WITNESS, MemoryLog, T
from target import Target

from collegium.log.checkpoint import open_checkpoint, read_checkpoint
from collegium.log.cosign import CosignerVerifier, check_quorum, open_cosignatures
from collegium.log.merkle import verify_consistency, verify_inclusion
from collegium.log.note import Signer, Verifier, encode_base64, open_note, sign_note, split_note
from collegium.log.receipt import Receipt, make_receipt, verify_receipt
from collegium.log.tiles import decode_bundle, decode_hashes, encode_bundle, encode_hashes, parse_path
from collegium.log.trust import Trust
from collegium.log.witness import Conflict, Cosign, Known, consider, contradiction

__all__ = ["TARGETS"]

ONE, TWO = (Signer.from_seed(f"demo/{name}/statements", bytes([number]) * 32) for number, name in enumerate(("ustc", "pku"), 3))
STRANGER = Signer.from_seed("elsewhere", b"\7" * 32)
TEXTS = ("This is an example message.\n", "two\n\nparagraphs — 统计\n", "\n")
HELD = MemoryLog(cosigned=True)
HELD.grow(300)
SIZES = (0, 1, 3, 256, 300)
NOTES = tuple(HELD.checkpoint_at(size) for size in SIZES)
TRUST = (
    f"# whom we believe\nlog {LOG.vkey} https://qlog.example.edu/\nwitness w {WITNESS.vkey}\n"
    f"group inner any w\ngroup outer 1 inner\nquorum outer\n"
).encode()
CHAIN = "".join(f"group g{n} all {f'g{n - 1}' if n > 1 else 'outer'}\n" for n in range(1, 40)).encode()
DEEP = TRUST.replace(b"quorum outer", CHAIN + b"quorum g39")


def note(raw: bytes) -> None:
    """A signed note, and its own bytes again from its parts."""
    text, lines = split_note(raw)
    again = "".join(f"— {name} {encode_base64(key_id + body)}\n" for name, key_id, body in lines)
    assert f"{text}\n{again}".encode() == raw, "two spellings of one note"
    opened = open_note(raw, [ONE.verifier, TWO.verifier])
    assert opened.text in TEXTS, "a text that nobody signed"


def checkpoint(raw: bytes) -> None:
    """A checkpoint as its log, its witness and another witness read it."""
    shown = read_checkpoint(raw)
    assert split_note(raw)[0] == f"{shown.origin}\n{shown.size}\n{encode_base64(shown.root)}\n", "two spellings of one checkpoint"
    assert contradiction(raw, LOG.verifier, 300, HELD.tree.root) is None, "something forged stops a log"
    cosigned = open_cosignatures(raw, [WITNESS.verifier])
    assert all(time == T for time in cosigned.values()), "a time that the witness never signed"
    assert not cosigned or shown.size in SIZES, "a tree that the witness never saw"
    opened = open_checkpoint(raw, LOG.verifier)
    assert opened.size in SIZES, "a size that was never signed"
    assert opened.root == HELD.tree.root(opened.size), "a root that was never signed"
    known = Known(3, HELD.tree.root(3), NOTES[2])
    if opened.size >= 3:
        assert isinstance(consider(known, raw, 3, HELD.tree.consistency(3, opened.size), LOG.verifier), Cosign)
    else:
        assert isinstance(consider(known, raw, 0, [], LOG.verifier), Conflict)
    check_quorum(raw, {"w": WITNESS.verifier}, 1)


def tile(raw: bytes) -> None:
    """First byte: a bundle of that many entries, a tile of that many hashes, or (0) the path of one."""
    if not raw or raw[0] == 0:
        text = raw[1:].decode("utf-8", "replace")
        assert parse_path(text).path == text
    elif raw[0] & 1:
        assert encode_bundle(decode_bundle(raw[1:], raw[0])) == raw[1:]
    else:
        assert encode_hashes(decode_hashes(raw[1:], raw[0])) == raw[1:]


def receipt(raw: bytes) -> None:
    """The receipt of one known entry: read in its one spelling, and good for nothing but that entry at its index."""
    parsed = Receipt.parse(raw)
    assert parsed.to_bytes() == raw, "two spellings of one receipt"
    proven = verify_receipt(raw, b"entry-2", LOG.verifier, witnesses={"w": WITNESS.verifier}, quorum=1)
    assert proven.index == 2, "another index"
    assert proven.checkpoint.root == HELD.tree.root(proven.checkpoint.size), "another tree"


def proof(raw: bytes) -> None:
    """Proofs of a tree of 300: two bytes say of which leaf or older tree, the rest are hashes."""
    which, path = int.from_bytes(raw[:2], "big"), [raw[at : at + 32] for at in range(2, len(raw), 32)]
    if which < 1000:
        verify_inclusion(HELD.hashes[2], which, 300, path, HELD.tree.root(300))
        assert (which, path) == (2, HELD.tree.inclusion(2, 300)), "a second proof of one leaf"
    else:
        old = which - 1000
        verify_consistency(old, 300, HELD.tree.root(min(old, 300)), HELD.tree.root(300), path)
        assert path == HELD.tree.consistency(old, 300), "a second proof of one prefix"


def trust(raw: bytes) -> None:
    """A trust file, and what it makes of checkpoints."""
    parsed = Trust.parse(raw)
    assert Trust.parse(parsed.to_text().encode()) == parsed
    for each in NOTES[-1:]:
        times = parsed.check(each)
        assert all(time == T for time in times.values())


def vkey(raw: bytes) -> None:
    """A key as text, of a log or of a witness: one spelling."""
    text = raw.decode("utf-8", "replace")
    parser = CosignerVerifier if "witness" in text else Verifier
    assert parser.parse(text).vkey == text


def _proof_seeds() -> tuple[bytes, ...]:
    inclusion = (2).to_bytes(2, "big") + b"".join(HELD.tree.inclusion(2, 300))
    return (inclusion, *((1000 + old).to_bytes(2, "big") + b"".join(HELD.tree.consistency(old, 300)) for old in (1, 3, 256, 300)))


TARGETS = {
    "note": Target(
        (
            sign_note(TEXTS[0], ONE),
            sign_note(TEXTS[1], ONE, TWO),
            sign_note(TEXTS[1], STRANGER, TWO),
            sign_note(TEXTS[2], TWO),
        ),
        note,
    ),
    "checkpoint": Target(NOTES, checkpoint),
    "tile": Target(
        (
            b"\x03" + encode_bundle([b"entry-0", b"", b"entry-2"]),
            b"\x02" + encode_hashes(HELD.hashes[:2]),
            b"\x00tile/entries/x001/x234/067",
            b"\x00tile/0/x001/067.p/5",
        ),
        tile,
    ),
    "receipt": Target(tuple(make_receipt(HELD.tree, 2, each) for each in NOTES[2:]), receipt),
    "proof": Target(_proof_seeds(), proof),
    "trust": Target((TRUST, b"quorum none\n", DEEP), trust),
    "vkey": Target((LOG.vkey.encode(), WITNESS.vkey.encode()), vkey),
}
