"""Every parser of a log's files, fuzzed: it gives back what it read in its one spelling, or an error of ours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loginmemory import LOG, WITNESS, MemoryLog, T

from collegium.errors import CollegiumError, Invalid
from collegium.log.checkpoint import read_checkpoint
from collegium.log.cosign import CosignerVerifier, add_cosignatures, open_cosignatures
from collegium.log.note import Signer
from collegium.log.receipt import Receipt, make_receipt, verify_receipt
from collegium.log.statement import read_statement, sign_statement
from collegium.log.tiles import decode_bundle, decode_hashes, encode_bundle, encode_hashes, parse_path
from collegium.log.trust import Trust
from collegium.log.witness import Known, consider, contradiction

SMALL = MemoryLog(cosigned=True)
SMALL.grow(5)
NOTE = SMALL.checkpoint_at(5)
RECEIPT = make_receipt(SMALL.tree, 2, NOTE)
TRUST = f"log {LOG.vkey}\nwitness w {WITNESS.vkey}\ngroup g 1 w\nquorum g\n".encode()
STATEMENT = sign_statement("decision", {"a": 1, "b": ["x", {"c": True}]}, Signer.from_seed("demo/ustc/statements", b"\3" * 32))
KNOWN = Known(3, SMALL.tree.root(3), SMALL.checkpoint_at(3))


def bundle(raw: bytes) -> None:
    assert encode_bundle(decode_bundle(raw, 3)) == raw


def hashes(raw: bytes) -> None:
    assert encode_hashes(decode_hashes(raw, 3)) == raw


def receipt(raw: bytes) -> None:
    parsed = Receipt.parse(raw)
    assert parsed.to_bytes() == raw
    try:
        proven = verify_receipt(raw, b"entry-2", LOG.verifier, witnesses={"w": WITNESS.verifier}, quorum=1)
    except Invalid:
        return
    assert (proven.index, proven.checkpoint.root) == (2, SMALL.tree.root(5))


def cosigned(raw: bytes) -> None:
    if open_cosignatures(raw, [WITNESS.verifier]):
        assert read_checkpoint(raw) == read_checkpoint(NOTE)


def line(raw: bytes) -> None:
    added = add_cosignatures(SMALL.checkpoint_at(4), [raw])
    assert read_checkpoint(added).size == 4


def trust(raw: bytes) -> None:
    parsed = Trust.parse(raw)
    assert Trust.parse(parsed.to_text().encode()) == parsed


def witness(raw: bytes) -> None:
    consider(KNOWN, raw, 3, SMALL.tree.consistency(3, 5), LOG.verifier)


def stopped(raw: bytes) -> None:
    assert contradiction(raw, LOG.verifier, 5, SMALL.tree.root) is None  # nothing forged can stop a log


def statement(raw: bytes) -> None:
    kind, body = read_statement(raw)
    assert isinstance(kind, str)
    assert isinstance(body, dict)


def path(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    assert parse_path(text).path == text


def vkey(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    assert CosignerVerifier.parse(text).vkey == text


PARSERS: dict[str, tuple[Callable[[bytes], None], bytes]] = {
    "bundle": (bundle, encode_bundle([b"entry-0", b"", b"entry-2"])),
    "hashes": (hashes, b"x" * 96),
    "receipt": (receipt, RECEIPT),
    "cosigned": (cosigned, NOTE),
    "line": (line, WITNESS.cosign(SMALL.checkpoint_at(4), T)),
    "trust": (trust, TRUST),
    "witness": (witness, NOTE),
    "stopped": (stopped, SMALL.checkpoint_at(5)),
    "statement": (statement, STATEMENT),
    "path": (path, b"tile/0/x001/067.p/5"),
    "vkey": (vkey, WITNESS.vkey.encode()),
}


@pytest.mark.parametrize(("parse", "sample"), PARSERS.values(), ids=PARSERS.keys())
def test_the_sample_is_read(parse: Callable[[bytes], None], sample: bytes) -> None:
    parse(sample)


@pytest.mark.parametrize(("parse", "sample"), PARSERS.values(), ids=PARSERS.keys())
@given(st.data())
@settings(deadline=None, max_examples=250)
def test_mutations_are_read_strictly_or_refused(parse: Callable[[bytes], None], sample: bytes, data: st.DataObject) -> None:
    changed = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(at, min(len(changed), at + 8)))
        changed[at:end] = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"\n", b"\n\n", b"0", b"=", " — ".encode()])))
    with suppress(CollegiumError):
        parse(bytes(changed))


@pytest.mark.parametrize(("parse", "sample"), PARSERS.values(), ids=PARSERS.keys())
@given(raw=st.binary(max_size=400))
@example(raw=b"")
@example(raw=b"\n\n")
@settings(deadline=None, max_examples=100)
def test_noise_is_refused(parse: Callable[[bytes], None], sample: bytes, raw: bytes) -> None:
    with suppress(CollegiumError):
        parse(raw)
