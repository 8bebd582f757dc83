"""A federation small enough to start in seconds, and the two ways in which tests talk to it.

`typed` runs a command as a person types it, `typed_here` does so without a process of its own. `Line` sends bytes over mutual TLS:
to the coordinator as a researcher does, or to a listening node as the coordinator does. All give back what was said; none raises.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest.mock import patch

import grpc
from launch import BIN, Federation, Ministry, University, environment, free_port

from collegium.errors import Exit
from collegium.keys import load_signer
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.merkle import leaf_hash
from collegium.log.receipt import Receipt

RESEARCHER = "li-wei"
SCHEMA = Path(__file__).parent / "data" / "campus.toml"
HEADER = "id,field,salary,gpa"
BUDGET = '[budget.student]\nperiod = "year"\nrho = 1000\nlifetime_rho = 100000\n'
SOURCES = """
[sources.graduates]
kind = "csv"
path = "data/graduate.csv"

[datasets.graduate]
source = "graduates"
person = "id"

[datasets.graduate.columns]
field = "field"
salary = "salary"
gpa = "gpa"
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


def typed(
    program: str, *words: str | Path, home: Path | None = None, stdin: str = "", seconds: float = 60.0, **variables: str
) -> Said:
    """Run one of the commands to its end, at most so many seconds."""
    command = [str(BIN / program), *map(str, words), *(["--home", str(home)] if home is not None else [])]
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env={**environment(), "COLUMNS": "300", **variables},
    )
    return Said(done.returncode, done.stdout, done.stderr)


def typed_here(program: str, *words: str | Path, home: Path | None = None) -> Said:
    """The same without a process of its own: the function that the installed script calls. For tables of many commands."""
    main = import_module(f"{program.replace('-', '_')}.cli").main
    arguments = [program, *map(str, words), *(["--home", str(home)] if home is not None else [])]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with patch.object(sys, "argv", arguments), patch.dict(os.environ, COLUMNS="300"), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def people(count: int, *, first: int = 0) -> list[str]:
    """Rows of so many graduates, one row each."""
    fields = ("01", "02", "08")
    return [f"S{n:06},{fields[n % 3]},{3000 + n % 5000},{n % 400 / 100:.2f}" for n in range(first, first + count)]


def write_rows(home: Path, rows: Iterable[str]) -> Path:
    """The university's export."""
    file = home / "data" / "graduate.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return file


def campus(name: str, rows: Iterable[str], *, province: str = "11", listens: int = 0, **settings: Any) -> University:
    """A university with these rows. `listens`: the port on which its node waits for the coordinator; 0 dials out."""
    kept = list(rows)
    return University(
        **{
            "name": name,
            "facts": {"province": province},
            "enrolment": 1000,
            "sources": SOURCES,
            "write": lambda home: write_rows(home, kept),
            "budget": BUDGET,
            "coordinator": f'mode = "listen"\nlisten = "127.0.0.1:{listens}"' if listens else "",
            "allow": (RESEARCHER,),
            **settings,
        }
    )


def open_small(root: Path, *universities: University, ports: Mapping[str, int] | None = None, mirrored: bool = True) -> Federation:
    """A federation of these universities, served and connected. The caller stops it. `ports` of those that listen.

    `mirrored`: whether the coordinator copies the nodes' logs. Not where a test hands nodes a `receipt` that it has made up: the
    coordinator would find it there, signed by its own key, and rightly take itself for an old copy.
    """
    federation = Federation(root, Ministry(federation="small", schema=SCHEMA))
    try:
        federation.found()
        if not mirrored:
            settings = federation.home / "coordinator.toml"
            settings.write_text(re.sub(r"largest_mib = \d+", "largest_mib = 0", settings.read_text(encoding="utf-8")))
        federation.serve()
        federation.join(RESEARCHER)
        tokens = [federation.invite_node(university) for university in universities]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(federation.install, universities, tokens))
        for university in universities:
            federation.start_node(university.name)
        for name, port in (ports or {}).items():
            federation.run("collegium-coordinator", "dial", name, f"127.0.0.1:{port}", "--home", federation.home)
        federation.wait_connected(RESEARCHER, len(universities))
    except BaseException:
        federation.stop()
        raise
    return federation


def ask(federation: Federation, sql: str, *words: str, researcher: str = RESEARCHER) -> dict[str, Any]:
    """The answer as its JSON tree."""
    tree: dict[str, Any] = json.loads(federation.ask(researcher, sql, "--json", "--deadline", "100", *words))
    return tree


def node_budget(federation: Federation, node: str) -> int:
    """Nano-rho that a node has spent in all, by its own command."""
    said = typed("collegium-node", "budget", "--json", home=federation.node_home(node))
    return sum(int(line["lifetime_spent"]) for line in json.loads(said.out) if line["scope"] == "unit")


def charged(federation: Federation, node: str) -> int:
    """The same from its database, also while it is down."""
    with closing(sqlite3.connect(f"file:{federation.node_home(node) / 'node.db'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT COALESCE(SUM(rho), 0) FROM charges").fetchone()[0])


def receipt(federation: Federation, note: bytes) -> bytes:
    """What a coordinator gives along with a request: the proof, by its own log key, that a log holds it. Here, and nothing else."""
    signer = load_signer(federation.home / "keys" / "log")
    leaf = leaf_hash(note)
    return Receipt(0, (), sign_checkpoint(signer.name, 1, leaf, signer)).to_bytes()


def copy_ministry(federation: Federation, folder: Path) -> Path:
    """A copy of the ministry's home while it serves, its database by its own command; the registry key's beside it."""
    shutil.copytree(federation.home, folder / "copy", ignore=shutil.ignore_patterns("*.db*"))
    shutil.copytree(federation.home.with_name("ministry-registry"), folder / "copy-registry")
    federation.run("collegium-coordinator", "backup", folder / "copy" / "coordinator.db", "--home", federation.home)
    return folder / "copy"


def content(home: Path) -> dict[str, object]:
    """Everything a home holds: files by their bytes, databases by what is in them. Locks and SQLite's own files are no content."""
    seen: dict[str, object] = {}
    for file in sorted(home.rglob("*")):
        name = str(file.relative_to(home))
        if file.is_dir() or file.name.endswith(("-wal", "-shm", ".lock")):
            continue
        if file.suffix == ".db" and file.read_bytes()[:6] == b"SQLite":
            # A test may have damaged it: then its bytes.
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db, suppress(sqlite3.Error):
                seen[name] = list(db.iterdump())
                continue
        seen[name] = file.read_bytes()
    return seen


def is_an_error(said: Said, code: Exit, *words: str) -> None:
    """One clear error and nothing else."""
    text = " ".join((said.err or said.out).split())
    assert said.code == code, said
    assert "Traceback" not in said.err + said.out, said
    for word in words:
        assert word in text, said


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back on a line: the name of a gRPC status, its details, the reply's bytes."""

    code: str
    details: str
    reply: bytes


class Line(AbstractContextManager["Line"]):
    """A connection under mutual TLS that sends whatever bytes a test gives it."""

    def __init__(self, address: str, *, server: str, keys: Path, ca: bytes) -> None:
        """`keys` is a folder with tls.pem and tls.key; `server` is the party that must answer."""
        credentials = grpc.ssl_channel_credentials(ca, (keys / "tls.key").read_bytes(), (keys / "tls.pem").read_bytes())
        options = [
            ("grpc.ssl_target_name_override", f"{server}.collegium"),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
        ]
        self._channel = grpc.secure_channel(address, credentials, options=options)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._channel.close()

    def call(self, method: str, payload: bytes, *, stream: bool = False, seconds: float = 60.0) -> Heard:
        """One call; of a stream of replies the last is kept."""
        try:
            if stream:
                replies = list(self._channel.unary_stream(method)(payload, timeout=seconds))
                return Heard("OK", "", replies[-1] if replies else b"")
            return Heard("OK", "", self._channel.unary_unary(method)(payload, timeout=seconds))
        except grpc.RpcError as error:
            return Heard(error.code().name, error.details() or "", b"")  # type: ignore[attr-defined]


def as_coordinator(federation: Federation, node: str, port: int) -> Line:
    """A line to a listening node, with the coordinator's own certificate."""
    keys = federation.home / "keys"
    return Line(f"127.0.0.1:{port}", server=node, keys=keys, ca=(keys / "ca.pem").read_bytes())


def as_researcher(federation: Federation, researcher: str = RESEARCHER) -> Line:
    """A line to the coordinator, with a researcher's certificate."""
    ca = (federation.home / "keys" / "ca.pem").read_bytes()
    return Line(f"127.0.0.1:{federation.port}", server="coordinator", keys=federation.researcher_home(researcher) / "keys", ca=ca)


__all__ = [
    "BUDGET",
    "HEADER",
    "RESEARCHER",
    "SCHEMA",
    "SOURCES",
    "Heard",
    "Line",
    "Said",
    "as_coordinator",
    "as_researcher",
    "ask",
    "campus",
    "charged",
    "content",
    "copy_ministry",
    "free_port",
    "is_an_error",
    "node_budget",
    "open_small",
    "people",
    "receipt",
    "typed",
    "typed_here",
    "write_rows",
]
