"""Receipts: what they prove, and every way in which one proves nothing."""

from __future__ import annotations

import pytest
from loginmemory import LOG, WITNESS, MemoryLog

from collegium.errors import Invalid, NotVerified
from collegium.log.note import Signer
from collegium.log.receipt import Receipt, make_receipt, verify_receipt

WITNESSES = {"univ-b": WITNESS.verifier}


def golden() -> bytes:
    log = MemoryLog([b"entry-0", b"entry-1", b"entry-2"], cosigned=True)
    return make_receipt(log.tree, 1, log.checkpoint_at(3))


def test_golden_receipt() -> None:
    assert golden().decode() == (
        "c2sp.org/tlog-proof@v1\n"
        "index 1\n"
        "QHZrIDNCkCb1PVRQJnmoOXBrR0H43K86i7pfQbX/4HU=\n"
        "BJ19zbVrz+vTEzBMmDnxlqPUtu873AsIKY+TrIGR8Kg=\n"
        "\n"
        "qlog.example.edu/node-a\n"
        "3\n"
        "pkvybgkSj2/i/m+LLYyAHhZrV8BHp82bK4Ceepai8cs=\n"
        "\n"
        "— qlog.example.edu/node-a GvGPJGlBYUWW1WMXY3bCOQyeq5zAxL5dV8E2D0RPAmRcDZ67T40gHlXk+uvniWhOq9F4/7pwADHVDQnh5rKkYm/wjAQ=\n"
        "— univ-b.example.edu/witness RGSpcAAAAABpQwWAKtJaQ4VOKjAsIQ40TsVObfvNgHLW84FSGcqJvsJEaFxN7P3JfHgZoOqbhzkFQBnx9fBo/"
        "NADSR3n4Xt8kbKMBg==\n"
    )


def test_a_receipt_proves_index_tree_and_witnesses() -> None:
    proven = verify_receipt(golden(), b"entry-1", LOG.verifier, witnesses=WITNESSES, quorum=1)
    assert (proven.index, proven.checkpoint.size, dict(proven.cosigned)) == (1, 3, {"univ-b": 1_766_000_000})


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 300])
def test_every_entry_has_a_receipt(size: int) -> None:
    log = MemoryLog()
    log.grow(size)
    for index in {0, size // 2, size - 1}:
        receipt = make_receipt(log.tree, index, log.checkpoint_at(size))
        assert Receipt.parse(receipt).to_bytes() == receipt
        assert verify_receipt(receipt, b"entry-%d" % index, LOG.verifier).index == index
        with pytest.raises(NotVerified):
            verify_receipt(receipt, b"entry-%d" % (index + 1), LOG.verifier)


def test_no_receipt_before_the_checkpoint_holds_the_entry() -> None:
    log = MemoryLog()
    log.grow(5)
    with pytest.raises(Invalid):
        make_receipt(log.tree, 3, log.checkpoint_at(3))


def test_another_key_another_log_or_too_few_witnesses() -> None:
    whole = golden()
    with pytest.raises(NotVerified):
        verify_receipt(whole, b"entry-1", Signer.from_seed(LOG.name, b"\5" * 32).verifier)
    with pytest.raises(NotVerified):
        verify_receipt(whole, b"entry-1", Signer.from_seed("other", LOG.seed).verifier)
    without = whole[: whole.rindex("— univ-b".encode())]
    assert verify_receipt(without, b"entry-1", LOG.verifier).cosigned == {}
    with pytest.raises(NotVerified, match="0 of 1 witnesses"):
        verify_receipt(without, b"entry-1", LOG.verifier, witnesses=WITNESSES, quorum=1)


WRONG = {
    "empty": lambda raw: b"",
    "header": lambda raw: raw.replace(b"@v1", b"@v2"),
    "no index": lambda raw: raw.replace(b"index 1\n", b""),
    "leading zero": lambda raw: raw.replace(b"index 1", b"index 01"),
    "sign": lambda raw: raw.replace(b"index 1", b"index +1"),
    "blank": lambda raw: raw.replace(b"index 1", b"index  1"),
    "too large": lambda raw: raw.replace(b"index 1", b"index 9223372036854775807"),
    "extra line": lambda raw: raw.replace(b"index", b"extra AAAA\nindex"),
    "carriage return": lambda raw: raw.replace(b"index 1\n", b"index 1\r\n"),
    "short hash": lambda raw: raw.replace(b"QHZrIDNCkCb1PVRQJnmoOXBrR0H43K86i7pfQbX/4HU=", b"AAAA"),
    "other base64": lambda raw: raw.replace(b"4HU=", b"4HV="),
    "64 hashes": lambda raw: raw.replace(b"index 1\n", b"index 1\n" + b"BJ19zbVrz+vTEzBMmDnxlqPUtu873AsIKY+TrIGR8Kg=\n" * 62),
    "no checkpoint": lambda raw: raw.partition(b"\n\n")[0],
    "no empty line": lambda raw: raw.replace(b"\n\n", b"\n", 1),
    "two empty lines": lambda raw: raw.replace(b"\n\n", b"\n\n\n", 1),
    "trailing text": lambda raw: raw + b"x",
    "two megabytes": lambda raw: raw + b"x" * 2_000_000,
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_receipt_is_invalid(change: object) -> None:
    changed = change(golden())  # type: ignore[operator]
    assert changed != golden()
    with pytest.raises(Invalid):
        Receipt.parse(changed)


def test_another_index_or_a_shorter_path_is_not_verified() -> None:
    for changed in (
        golden().replace(b"index 1", b"index 0"),
        golden().replace(b"index 1", b"index 3"),
        golden().replace(b"BJ19zbVrz+vTEzBMmDnxlqPUtu873AsIKY+TrIGR8Kg=\n", b"", 1),
        golden().replace(b"\n3\n", b"\n4\n"),
    ):
        with pytest.raises(NotVerified):
            verify_receipt(changed, b"entry-1", LOG.verifier)
