"""The command as an operator types it: real processes, exit codes, what is printed and where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collegium.errors import Exit
from collegium.token import parse_token
from collegium_coordinator.config import Home, read_config
from collegium_coordinator.store import Store


class Operator:
    """Runs `collegium-coordinator` for one home."""

    def __init__(self, folder: Path, schema: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.schema = folder / "schema.toml"
        self.schema.write_text(schema, encoding="utf-8")

    def run(self, *words: str, home: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "collegium_coordinator", *words]
        if home:
            command += ["--home", str(self.home)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def init(self) -> subprocess.CompletedProcess[str]:
        return self.run("init", "--federation", "demo", "--schema", str(self.schema), "--host", "127.0.0.1")


@pytest.fixture
def operator(tmp_path: Path, schema_text: str) -> Operator:
    return Operator(tmp_path, schema_text)


def test_from_init_to_backup(operator: Operator) -> None:
    done = operator.init()
    assert done.returncode == 0, done.stderr
    assert (operator.folder / "home-registry" / "registry").exists()
    assert not list(operator.home.rglob("*registry/registry"))

    node = operator.run("invite", "node", "u1", "--fact", "province=11", "--enrolment", "1200", "--dial", "127.0.0.1:9")
    assert node.returncode == 0, node.stderr
    token = parse_token(node.stdout)  # the token alone is on stdout, so that it can be piped
    assert (token.invited.role, token.invited.name, token.invited.facts) == ("node", "u1", {"province": "11"})
    assert (token.address, token.service) == ("127.0.0.1:7442", "127.0.0.1:7443")
    assert parse_token(operator.run("invite", "researcher", "alice", "--expires", "12h").stdout).invited.name == "alice"

    listed = json.loads(operator.run("nodes", "--json").stdout)
    assert [(line["name"], line["state"], line["enrolment"]) for line in listed] == [("u1", "invited", 1200)]
    assert "u1" in operator.run("nodes").stdout
    assert json.loads(operator.run("budget", "--json").stdout) == []
    assert operator.run("budget").returncode == 0

    assert operator.run("revoke", "alice", "--reason", "left").returncode == 0
    newer = operator.schema.read_text().replace("version = 1", "version = 2")
    operator.schema.write_text(newer)
    assert "small/2" in operator.run("schema", str(operator.schema)).stdout

    copy = operator.folder / "copy.db"
    assert operator.run("backup", str(copy)).returncode == 0
    store = Store(copy)
    assert store.row("SELECT COUNT(*) FROM registry") == (6,)
    store.close()


def test_every_setting_that_init_writes_can_be_read_and_unknown_ones_are_refused(operator: Operator) -> None:
    operator.init()
    config = read_config(Home(operator.home))
    assert config.federation == "demo"
    file = operator.home / "coordinator.toml"
    file.write_text(file.read_text() + "\n[surprise]\nx = 1\n")
    done = operator.run("nodes")
    assert done.returncode == Exit.INVALID
    assert "surprise" in done.stderr
    assert done.stdout == ""


BAD: dict[str, tuple[tuple[str, ...], Exit, str]] = {
    "init twice": (
        ("init", "--federation", "demo", "--schema", "SCHEMA", "--host", "127.0.0.1"),
        Exit.INVALID,
        "something already",
    ),
    "unknown fact": (("invite", "node", "u1", "--fact", "colour=red"), Exit.INVALID, "--fact"),
    "missing fact": (("invite", "node", "u1"), Exit.INVALID, "--fact province=CODE"),
    "unknown code": (("invite", "node", "u1", "--fact", "province=99"), Exit.INVALID, "no code of province"),
    "not a fact": (("invite", "node", "u1", "--fact", "province"), Exit.INVALID, "NAME=CODE"),
    "reserved name": (("invite", "researcher", "coordinator"), Exit.INVALID, "reserved"),
    "bad name": (("invite", "researcher", "Alice Smith"), Exit.INVALID, "small letter"),
    "bad duration": (("invite", "researcher", "alice", "--expires", "soon"), Exit.INVALID, "7d"),
    "revoke nobody": (("revoke", "zoe"), Exit.INVALID, "zoe"),
    "older schema": (("schema", "SCHEMA"), Exit.INVALID, "version"),
    "no schema file": (("schema", "/nonexistent.toml"), Exit.INVALID, "cannot be read"),
    "registry key not there": (("invite", "researcher", "a", "--registry", "/nonexistent"), Exit.INVALID, "--registry"),
    "backup nowhere": (("backup", "/nonexistent/copy.db"), Exit.FAILED, "could not be written"),
    "unknown flag": (("nodes", "--colour"), Exit.INVALID, "colour"),
}


def test_every_mistake_has_its_exit_code_and_remedy_and_changes_nothing(operator: Operator) -> None:
    operator.init()
    for name, (words, code, text) in BAD.items():
        done = operator.run(*(str(operator.schema) if word == "SCHEMA" else word for word in words))
        assert done.returncode == code, (name, done.stderr)
        assert text in done.stderr, (name, done.stderr)
        assert "Traceback" not in done.stderr, name
        assert done.stdout == "", name
    store = Store(operator.home / "coordinator.db")
    assert store.row("SELECT COUNT(*) FROM registry") == (2,)
    store.close()


def test_a_directory_without_a_coordinator_says_what_to_do(operator: Operator) -> None:
    for words in (("nodes",), ("budget",), ("serve",), ("backup", "x.db"), ("invite", "researcher", "alice")):
        done = operator.run(*words)
        assert done.returncode == Exit.INVALID, words
        assert "--home" in done.stderr or "init" in done.stderr, (words, done.stderr)


def test_a_bad_schema_founds_nothing(operator: Operator) -> None:
    operator.schema.write_text("name = 'x'\nversion = 0\n")
    done = operator.init()
    assert done.returncode == Exit.INVALID
    assert not operator.home.exists()
    assert not (operator.folder / "home-registry").exists()


def test_help_lists_the_commands(operator: Operator, monkeypatch: Any) -> None:
    done = operator.run("--help", home=False)
    assert done.returncode == 0
    for command in ("init", "invite", "revoke", "schema", "serve", "nodes", "budget", "backup", "dial"):
        assert command in done.stdout


def test_witnesses_and_logs_from_the_command_line(operator: Operator) -> None:
    operator.init()
    done = operator.run("witness", "assign")
    assert done.returncode == 0, done.stderr
    assert "fewer than three nodes" in done.stdout
    assert operator.run("witness", "assign", "--each", "2").returncode == Exit.INVALID
    lines = json.loads(operator.run("witness", "list", "--json").stdout)
    assert [(line["origin"], line["size"], line["quorum"]) for line in lines] == [
        ("demo/registry", 2, 0),
        ("demo/coordinator", 0, 0),
    ]
    assert "demo/registry" in operator.run("witness", "list").stdout
    folder = operator.folder / "out"
    done = operator.run("log", "export", str(folder))
    assert done.returncode == 0, done.stderr
    assert (folder / "registry" / "checkpoint").exists()
    assert not (folder / "coordinator" / "checkpoint").exists()  # nothing is in it yet
    (operator.folder / "home-registry" / "registry").unlink()
    assert operator.run("witness", "assign").returncode == Exit.INVALID
    assert operator.run("log", "export", str(folder)).returncode == 0  # the registry key is not needed to publish
