"""Other implementations verify what we write: Go's sumdb/note and sumdb/tlog on whole logs, OpenSSL alone on a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from loginmemory import LOG, WITNESS, MemoryLog

from collegium.log.disk import Disk
from collegium.log.export import export
from collegium.log.note import Signer
from collegium.log.statement import sign_statement

INTEROP = Path(__file__).parent.parent / "interop"
GOPATH = Path("/usr/share/gocode")  # where Debian's golang-golang-x-mod-dev puts its source
AUTHOR = Signer.from_seed("demo/ustc/statements", b"\3" * 32)


class Archive(Disk):
    """Keeps every partial tile, so that one folder holds the logs of all sizes; and does not wait for the disk."""

    def write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, path: Path) -> None:
        pass


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, compiled once."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no `go` on this machine (Debian: golang-go)")
    if not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("Go's sumdb packages are not installed (Debian: golang-golang-x-mod-dev)")
    folder = tmp_path_factory.mktemp("go")
    program = folder / "checker"
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    subprocess.run([go, "build", "-o", program, INTEROP / "checker.go"], env=environment, check=True, timeout=170)
    return program


def encoded(hashes: Iterable[bytes]) -> list[str]:
    return [b64encode(each).decode() for each in hashes]


def job(log: MemoryLog, size: int, folder: Path, indices: Sequence[int], olds: Sequence[int], **more: Any) -> dict[str, Any]:
    return {
        "Folder": str(folder),
        "Log": LOG.vkey,
        "Cosigner": WITNESS.vkey if log.cosigned else "",
        "Checkpoint": log.checkpoint_at(size).decode(),
        "Inclusion": [{"Index": index, "Path": encoded(log.tree.inclusion(index, size))} for index in indices],
        "Consistency": [
            {"Old": old, "Root": b64encode(log.tree.root(old)).decode(), "Path": encoded(log.tree.consistency(old, size))}
            for old in olds
        ],
        **more,
    }


def run(checker: Path, jobs: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Exit code and one line for each job. One process checks them all."""
    lines = "".join(json.dumps(each) + "\n" for each in jobs)
    done = subprocess.run([checker], input=lines, capture_output=True, text=True, timeout=170, check=False)
    return done.returncode, done.stdout.splitlines()


def test_go_verifies_all_sizes_from_0_to_600(checker: Path, tmp_path: Path) -> None:
    log = MemoryLog(cosigned=True)
    jobs = []
    for size in range(601):
        if size:
            log.append(sign_statement("decision", {"index": size - 1}, AUTHOR))
        export(log, LOG.verifier, tmp_path, disk=Archive(), tree=log.tree)
        indices = sorted({0, size // 3, size // 2, size - 1}) if size else []
        olds = sorted({1, size // 2, size - 1, size} & set(range(1, size + 1)))
        bundles = size % 100 in (0, 1, 55, 56, 57)
        jobs.append(job(log, size, tmp_path, indices, olds, Statements=AUTHOR.vkey, Bundles=bundles))
    code, lines = run(checker, jobs)
    assert lines == [f"ok {size}" for size in range(601)]
    assert code == 0


def test_go_verifies_around_the_third_level_of_tiles(checker: Path, tmp_path: Path) -> None:
    log = MemoryLog()
    jobs = []
    for size in (65_535, 65_536, 65_537):
        log.grow(size)
        export(log, LOG.verifier, tmp_path, disk=Archive(), tree=log.tree)
        indices = [0, 255, 256, 40_000, 65_279, 65_280, 65_534, size - 1]
        jobs.append(job(log, size, tmp_path, indices, [1, 255, 256, 32_768, 65_534, 65_535, size], Bundles=size == 65_537))
    code, lines = run(checker, jobs)
    assert lines == ["ok 65535", "ok 65536", "ok 65537"]
    assert code == 0


def test_go_refuses_what_was_changed(checker: Path, tmp_path: Path) -> None:
    """The checker itself is no rubber stamp: one changed byte anywhere is refused."""
    log = MemoryLog(cosigned=True)
    log.grow(300)
    whole = job(log, 300, tmp_path, [7], [100], Bundles=True)
    export(log, LOG.verifier, tmp_path, disk=Archive())
    assert run(checker, [whole]) == (0, ["ok 300"])

    other = MemoryLog([b"x"], cosigned=True)
    other.grow(300)
    changed = {
        "checkpoint": whole | {"Checkpoint": whole["Checkpoint"].replace("\n300\n", "\n299\n")},
        "cosignature": whole | {"Checkpoint": whole["Checkpoint"][:-8] + "AAAAAA=\n"},
        "other tree": job(other, 300, tmp_path, [], []),
        "inclusion": whole | {"Inclusion": [{"Index": 8, "Path": whole["Inclusion"][0]["Path"]}]},
        "consistency": whole | {"Consistency": [whole["Consistency"][0] | {"Old": 101}]},
    }
    for name, damaged in changed.items():
        code, lines = run(checker, [damaged])
        assert (code, lines[0][:3]) == (1, "bad"), name
    for path in ("tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"):
        file = tmp_path / path
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        code, lines = run(checker, [whole])
        assert (code, lines[0][:7]) == (1, "bad 300"), path
        file.write_bytes(content)


def openssl(note: Path, vkey: str, script: str = "checkpoint.sh") -> bool:
    done = subprocess.run([INTEROP / script, note, vkey], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0 and "Signature Verified Successfully" in done.stdout


def _need_openssl() -> None:
    found = shutil.which("openssl")
    version = subprocess.run([found, "version"], capture_output=True, text=True, check=True).stdout if found else ""
    if not version.startswith("OpenSSL 3"):
        pytest.skip("needs the command of OpenSSL 3 (`openssl pkeyutl -rawin`)")


def test_openssl_alone_verifies_a_checkpoint(tmp_path: Path) -> None:
    _need_openssl()
    log = MemoryLog(cosigned=True)
    log.grow(3)
    export(log, LOG.verifier, tmp_path)
    checkpoint = tmp_path / "checkpoint"
    assert openssl(checkpoint, LOG.vkey)

    stranger = Signer.from_seed(LOG.name, b"\4" * 32)
    assert not openssl(checkpoint, stranger.vkey)
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b"\n3\n", b"\n4\n"))
    assert not openssl(checkpoint, LOG.vkey)


def test_openssl_alone_verifies_an_entry_whatever_is_in_the_key(tmp_path: Path) -> None:
    """Half of all keys have a '+' in their base64, which also separates the parts of a key's text."""
    _need_openssl()
    keys = [Signer.from_seed("fed/ustc/statements", bytes([number]) * 32) for number in range(40)]
    odd = next(key for key in keys if key.vkey.count("+") > 2)
    entry = tmp_path / "entry"
    entry.write_bytes(sign_statement("decision", {"text": "two words", "n": 1}, odd))
    assert openssl(entry, odd.vkey, "note.sh")
    assert not openssl(entry, keys[0].vkey if keys[0] != odd else keys[1].vkey, "note.sh")
    entry.write_bytes(entry.read_bytes().replace(b"two", b"six"))
    assert not openssl(entry, odd.vkey, "note.sh")
    log = MemoryLog(signer=odd)
    log.grow(3)
    entry.write_bytes(log.checkpoint_at(3))
    assert openssl(entry, odd.vkey)
