"""Cosignatures: golden bytes, one key that signs one kind of thing, quorums of distinct witnesses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from loginmemory import LOG, WITNESS, MemoryLog, T

from collegium.errors import Invalid, NotVerified
from collegium.log.checkpoint import open_checkpoint
from collegium.log.cosign import (
    CosignerSigner,
    CosignerVerifier,
    add_cosignatures,
    check_quorum,
    open_cosignatures,
    own_lines,
)
from collegium.log.note import Signer, Verifier, sign_note

GOLDEN = json.loads((Path(__file__).parent.parent / "vectors" / "log.json").read_text(encoding="utf-8"))["log"]
NOTE = GOLDEN["checkpoint"].encode()
LINE = GOLDEN["cosignature"].encode()
OTHERS = [CosignerSigner.from_seed(f"univ-{letter}.example.edu/witness", letter.encode() * 32) for letter in "cde"]


def test_golden_cosigner_key_and_cosignature() -> None:
    assert WITNESS.vkey == GOLDEN["cosigner"]
    assert CosignerVerifier.parse(GOLDEN["cosigner"]) == WITNESS.verifier
    assert WITNESS.cosign(NOTE, T) == LINE
    cosigned = add_cosignatures(NOTE, [LINE])
    assert cosigned == NOTE + LINE
    assert open_cosignatures(cosigned, [WITNESS.verifier]) == {WITNESS.verifier: T}
    assert open_checkpoint(cosigned, LOG.verifier).size == 3


def test_the_memory_log_makes_the_golden_checkpoint() -> None:
    log = MemoryLog([b"entry-0", b"entry-1", b"entry-2"], cosigned=True)
    assert log.checkpoint() == NOTE + LINE


@pytest.mark.parametrize(
    "vkey",
    [
        LOG.vkey,  # a log's key, type 1
        GOLDEN["cosigner"].replace("4464a970", "4464a971"),
        GOLDEN["cosigner"].replace("univ-b", "univ-c"),
        GOLDEN["cosigner"][:-1],
        GOLDEN["cosigner"] + "=",
        "univ-b.example.edu/witness",
        "+4464a970+" + GOLDEN["cosigner"].rpartition("+")[2],
        "",
    ],
)
def test_a_wrong_cosigner_key_is_refused(vkey: str) -> None:
    with pytest.raises(Invalid):
        CosignerVerifier.parse(vkey)


def test_a_logs_key_reads_no_cosigner_key() -> None:
    with pytest.raises(Invalid):
        Verifier.parse(WITNESS.vkey)


def test_a_key_of_the_same_bytes_cannot_sign_the_other_kind() -> None:
    """A statement or checkpoint signed with the witness's seed is no cosignature, and the other way round."""
    twin = Signer.from_seed(WITNESS.name, WITNESS.seed)
    text = GOLDEN["checkpoint"].rpartition("\n\n")[0] + "\n"
    plain = sign_note(text, twin)
    with pytest.raises(NotVerified):
        check_quorum(plain, {"b": WITNESS.verifier}, 1)
    with pytest.raises(NotVerified):
        open_checkpoint(f"{text}\n".encode() + LINE, Verifier(LOG.name, WITNESS.verifier.raw))


@pytest.mark.parametrize("where", [5, 11, 12, 30, -5])  # name's end, key id, time, signature, its last bytes
def test_a_changed_line_of_a_known_witness_is_refused_or_unknown(where: int) -> None:
    raw = bytearray(LINE)
    at = where + LINE.index(b" RGSp") - 5 if where > 0 else len(raw) + where
    raw[at] = ord("B") if raw[at] != ord("B") else ord("C")
    changed = NOTE + bytes(raw)
    with pytest.raises(Invalid):
        check_quorum(changed, {"b": WITNESS.verifier}, 1)


def test_a_bad_cosignature_of_a_known_witness_rejects_even_an_enough_cosigned_note() -> None:
    other = WITNESS.cosign(MemoryLog([b"x"]).checkpoint_at(1), T)
    note = add_cosignatures(NOTE, [other, OTHERS[0].cosign(NOTE, T)])
    with pytest.raises(NotVerified, match=WITNESS.name):
        open_cosignatures(note, [WITNESS.verifier, OTHERS[0].verifier])
    assert open_cosignatures(note, [OTHERS[0].verifier]) == {OTHERS[0].verifier: T}


def test_a_quorum_counts_distinct_keys() -> None:
    names = {witness.name: witness.verifier for witness in (WITNESS, *OTHERS)}
    note = NOTE
    for count, witness in enumerate((WITNESS, *OTHERS), 1):
        with pytest.raises(NotVerified, match=f"{count - 1} of {count} witnesses"):
            check_quorum(note, names, count)
        note = add_cosignatures(note, [witness.cosign(note, T), witness.cosign(note, T + 1)])
        assert set(check_quorum(note, names, count)) == {each.name for each in (WITNESS, *OTHERS)[:count]}
    # One key under two names is one witness.
    with pytest.raises(NotVerified):
        check_quorum(NOTE + LINE, {"a": WITNESS.verifier, "b": WITNESS.verifier}, 2)


def test_an_unwitnessed_log_needs_no_quorum() -> None:
    assert check_quorum(NOTE, {}, 0) == {}
    with pytest.raises(NotVerified):
        check_quorum(NOTE, {}, 1)


def test_a_newer_cosignature_replaces_an_older_one_and_never_the_other_way() -> None:
    newer = WITNESS.cosign(NOTE, T + 60)
    both = add_cosignatures(NOTE, [LINE, newer])
    assert both == add_cosignatures(NOTE, [newer, LINE]) == NOTE + newer
    assert open_cosignatures(both, [WITNESS.verifier]) == {WITNESS.verifier: T + 60}


def test_two_lines_of_one_witness_count_once_with_the_newest_time() -> None:
    note = NOTE + WITNESS.cosign(NOTE, T + 60) + LINE
    assert open_cosignatures(note, [WITNESS.verifier]) == {WITNESS.verifier: T + 60}


def test_lines_that_are_none_are_refused() -> None:
    for line in (b"", b"x\n", LINE[:-1], b"\n" + LINE, LINE + b"\nfoo\n"):
        with pytest.raises(Invalid):
            add_cosignatures(NOTE, [line])


def test_what_a_witness_stores_is_the_logs_own_signature_alone() -> None:
    assert own_lines(add_cosignatures(NOTE, [LINE, OTHERS[0].cosign(NOTE, T)]), LOG.verifier) == NOTE
    with pytest.raises(NotVerified):
        own_lines(NOTE, Signer.from_seed(LOG.name, b"\5" * 32).verifier)


def test_only_a_checkpoint_is_cosigned() -> None:
    with pytest.raises(Invalid):
        WITNESS.cosign(sign_note("hello\n", LOG), T)
    for time in (-1, 2**63):
        with pytest.raises(Invalid):
            WITNESS.cosign(NOTE, time)
