"""Checkpoints: golden bytes, cosigned or not, and every way in which one is none."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from collegium.errors import Invalid, NotVerified
from collegium.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint
from collegium.log.merkle import EMPTY_ROOT
from collegium.log.note import Signer, sign_note

LOG = json.loads((Path(__file__).parent.parent / "vectors" / "log.json").read_text(encoding="utf-8"))["log"]
SIGNER = Signer.from_seed("qlog.example.edu/node-a", bytes.fromhex(LOG["seed"]))
ROOT = b64decode(LOG["root"])


def test_golden_checkpoint() -> None:
    assert sign_checkpoint(SIGNER.name, 3, ROOT, SIGNER).decode() == LOG["checkpoint"]
    expected = Checkpoint("qlog.example.edu/node-a", 3, ROOT)
    assert open_checkpoint(LOG["checkpoint"].encode(), SIGNER.verifier) == expected
    assert read_checkpoint(LOG["checkpoint"].encode()) == expected


def test_a_cosignature_is_ignored_and_its_checkpoint_opens() -> None:
    cosigned = (LOG["checkpoint"] + LOG["cosignature"]).encode()
    assert open_checkpoint(cosigned, SIGNER.verifier).size == 3


def test_the_empty_log_has_a_checkpoint() -> None:
    note = sign_checkpoint(SIGNER.name, 0, EMPTY_ROOT, SIGNER)
    assert open_checkpoint(note, SIGNER.verifier) == Checkpoint(SIGNER.name, 0, EMPTY_ROOT)


@pytest.mark.parametrize("size", [1, 2**63 - 1])
def test_sizes_of_63_bits(size: int) -> None:
    assert open_checkpoint(sign_checkpoint(SIGNER.name, size, ROOT, SIGNER), SIGNER.verifier).size == size


NONE_AT_ALL = {
    "leading zero": f"{SIGNER.name}\n03\n{LOG['root']}\n",
    "sign": f"{SIGNER.name}\n+3\n{LOG['root']}\n",
    "negative": f"{SIGNER.name}\n-3\n{LOG['root']}\n",
    "space": f"{SIGNER.name}\n 3\n{LOG['root']}\n",
    "underscore": f"{SIGNER.name}\n1_0\n{LOG['root']}\n",
    "other digits": f"{SIGNER.name}\n３\n{LOG['root']}\n",
    "2^63": f"{SIGNER.name}\n{2**63}\n{LOG['root']}\n",
    "twenty digits": f"{SIGNER.name}\n{'9' * 20}\n{LOG['root']}\n",
    "no size": f"{SIGNER.name}\n\n{LOG['root']}\n",
    "no origin": f"\n3\n{LOG['root']}\n",
    "extension line": f"{SIGNER.name}\n3\n{LOG['root']}\nmore\n",
    "no root": f"{SIGNER.name}\n3\n",
    "short root": f"{SIGNER.name}\n3\nAAAA\n",
    "root in base64url": f"{SIGNER.name}\n3\n{LOG['root'].replace('/', '_')}\n",
    "empty tree with entries' root": f"{SIGNER.name}\n0\n{LOG['root']}\n",
}


@pytest.mark.parametrize("text", NONE_AT_ALL.values(), ids=NONE_AT_ALL.keys())
def test_what_is_no_checkpoint_is_refused_though_it_is_signed(text: str) -> None:
    with pytest.raises(Invalid):
        open_checkpoint(sign_note(text, SIGNER), SIGNER.verifier)


def test_a_checkpoint_of_another_log_is_not_ours_though_our_key_signed_it() -> None:
    with pytest.raises(NotVerified):
        open_checkpoint(sign_note(f"other-log\n3\n{LOG['root']}\n", SIGNER), SIGNER.verifier)


def test_a_changed_size_or_root_does_not_verify() -> None:
    for old, new in (("\n3\n", "\n4\n"), ("pkvy", "qkvy"), ("node-a\n3", "node-b\n3")):
        with pytest.raises(NotVerified):
            open_checkpoint(LOG["checkpoint"].replace(old, new, 1).encode(), SIGNER.verifier)


def test_only_the_origins_own_key_signs() -> None:
    with pytest.raises(Invalid):
        sign_checkpoint("other-log", 3, ROOT, SIGNER)
    for size, root in ((-1, ROOT), (2**63, ROOT), (3, b"short"), (0, ROOT)):
        with pytest.raises(Invalid):
            sign_checkpoint(SIGNER.name, size, root, SIGNER)
