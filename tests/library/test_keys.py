"""Key files: written whole, for the owner alone, never overwritten, and never shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from collegium.errors import Failed, Invalid
from collegium.keys import (
    check_name,
    invitation_name,
    load_cosigner,
    load_signer,
    log_name,
    save_secret,
    save_signer,
    statements_name,
)
from collegium.log.cosign import CosignerSigner
from collegium.log.note import Signer

SIGNER = Signer.from_seed("example/alpha/statements", bytes(range(32)))
SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_key_file_is_one_line_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "statements"
    old = os.umask(0)
    try:
        save_signer(path, SIGNER)
    finally:
        os.umask(old)
    assert path.read_text(encoding="utf-8") == f"example/alpha/statements {SECRET}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_signer(path) == SIGNER
    assert names(path.parent) == ["statements"]


def test_the_same_key_may_be_saved_again_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "statements"
    save_signer(path, SIGNER)
    save_signer(path, SIGNER)
    for other in (Signer.generate(SIGNER.name), Signer.from_seed("example/beta/statements", SIGNER.seed)):
        with pytest.raises(Invalid, match="another key is kept there"):
            save_signer(path, other)
    assert load_signer(path) == SIGNER
    assert names(tmp_path) == ["statements"]


def test_a_witness_keeps_its_key_in_the_same_form_and_signs_nothing_else_with_it(tmp_path: Path) -> None:
    cosigner = CosignerSigner.from_seed("example/alpha/witness", SIGNER.seed)
    path = tmp_path / "witness"
    save_signer(path, cosigner)
    save_signer(path, cosigner)
    assert load_cosigner(path) == cosigner
    with pytest.raises(Invalid, match="another key is kept there"):
        save_signer(path, CosignerSigner.generate(cosigner.name))
    save_signer(tmp_path / "statements", SIGNER)
    with pytest.raises(Invalid, match="no witness's key"):
        load_cosigner(tmp_path / "statements")
    with pytest.raises(Invalid, match="load it as one"):
        load_signer(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_reach_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "statements"
    save_signer(path, SIGNER)
    path.chmod(mode)
    with pytest.raises(Invalid, match="chmod 600"):
        load_signer(path)


BROKEN = {
    "empty": b"",
    "no seed": b"example/alpha/statements\n",
    "cut off": f"example/alpha/statements {SECRET[:-8]}".encode(),
    "two lines": f"example/alpha/statements {SECRET}\n\n".encode(),
    "another spelling": f"example/alpha/statements {SECRET.replace('=', '')}\n".encode(),
    "no name": f" {SECRET}\n".encode(),
    "binary": bytes(range(256)),
    "huge": b"x" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_key_file_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "statements"
    save_secret(path, content)
    with pytest.raises(Invalid, match="this is not a key file") as caught:
        load_signer(path)
    assert caught.value.place == str(path)
    assert SECRET[:8] not in str(caught.value)
    with pytest.raises(Invalid):  # and it is not taken for the same key, nor overwritten
        save_signer(path, SIGNER)
    assert path.read_bytes() == content


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        load_signer(tmp_path / "nothing")


def test_a_secret_is_replaced_whole_and_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "tls.key"
    save_secret(path, b"one")
    with pytest.raises(FileExistsError):
        save_secret(path, b"two")
    assert path.read_bytes() == b"one"
    save_secret(path, b"two", replace=True)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["tls.key"]


def test_a_disk_that_refuses_is_a_failure_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Failed, match="cannot be written"):
        save_secret(tmp_path / "folder", b"secret", replace=True)  # a folder is in the way
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Failed, match="cannot be written"):
        save_secret(tmp_path / "file" / "key", b"secret")
    assert names(tmp_path) == ["file", "folder"]


def test_key_names() -> None:
    assert statements_name("example", "alpha") == "example/alpha/statements"
    assert log_name("example", "alpha") == "example/alpha"
    assert invitation_name("example", "alpha") == "example/alpha/invitation"


def test_names() -> None:
    for good in ("a", "ustc", "univ-1", "a" * 63):
        assert check_name(good) == good
    for bad in ("", "A", "1a", "-a", "a" * 64, "a_b", "a/b", "a b", "a\n", "é", "registry", "coordinator"):
        with pytest.raises(Invalid):
            check_name(bad)
    assert check_name("coordinator", reserved=True) == "coordinator"
