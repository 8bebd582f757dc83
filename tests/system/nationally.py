"""A small federation that can make national sums: eight universities in three provinces, three trustees, real processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from launch import Federation, Ministry, University
from small import RESEARCHER, SCHEMA, ask, campus, people, typed

__all__ = [
    "NODES",
    "PEOPLE",
    "PROVINCES",
    "TRUSTEES",
    "ask_national",
    "charges",
    "exported_all",
    "kinds",
    "open_national",
    "results",
    "universities",
]

TRUSTEES = ("accounts", "bureau", "council")
PROVINCES = ("11", "11", "11", "11", "12", "12", "13", "13")
NODES = ("alder", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple")
PEOPLE = 60  # at each university
SETTINGS = {"dropout": "0.35", "seconds": "20"}
"""Of eight universities two may be missing, of four one; and the round waits this long for those."""


def universities(
    names: Sequence[str] = NODES, release: Sequence[str] = ("--release", "both", "--smallest", "3")
) -> list[University]:
    return [campus(name, people(PEOPLE, first=100 * n), province=PROVINCES[n], release=release) for n, name in enumerate(names)]


def open_national(root: Path, *campuses: University, trustees: Sequence[str] = TRUSTEES, **settings: str) -> Federation:
    """Served, joined, connected; trustees too. The caller stops it."""
    federation = Federation(root, Ministry(federation="small", schema=SCHEMA))
    try:
        federation.found()
        configure(federation, {**SETTINGS, **settings})
        federation.serve()
        federation.join(RESEARCHER)
        chosen = campuses or tuple(universities())
        tokens = [federation.invite_node(university) for university in chosen]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(federation.install, chosen, tokens))
            list(pool.map(federation.install_trustee, trustees))
        for name in trustees:
            federation.start_trustee(name)
        for university in chosen:
            federation.start_node(university.name)
        federation.wait_connected(RESEARCHER, len(chosen))
    except BaseException:
        federation.stop()
        raise
    return federation


def configure(federation: Federation, settings: dict[str, str]) -> None:
    """Write the coordinator's [national] settings; it reads them at its next start."""
    file = federation.home / "coordinator.toml"
    lines = file.read_text(encoding="utf-8").splitlines()
    if "[national]" not in lines:
        lines.append("[national]")
    start = lines.index("[national]") + 1
    body = next((at for at in range(start, len(lines)) if lines[at].startswith("[")), len(lines))
    kept = [line for line in lines[start:body] if line.partition("=")[0].strip() not in settings]
    written = [f"{name} = {value}" for name, value in settings.items()]
    file.write_text("\n".join((*lines[:start], *written, *kept, *lines[body:])) + "\n", encoding="utf-8")


def ask_national(federation: Federation, sql: str, *words: str) -> dict[str, Any]:
    return ask(federation, sql, "--national", *words)


def charges(federation: Federation, node: str) -> list[tuple[str, int]]:
    """(key, nano-rho) of every charge in a node's ledger, also while it is down. The key of a national sum is its plan."""
    with closing(sqlite3.connect(f"file:{federation.node_home(node) / 'node.db'}?mode=ro", uri=True)) as db:
        return [(str(key), int(rho)) for key, rho in db.execute("SELECT digest, rho FROM charges ORDER BY decision")]


def kinds(federation: Federation) -> dict[str, int]:
    """How many statements of each kind the coordinator's log holds."""
    with closing(sqlite3.connect(f"file:{federation.home / 'coordinator.db'}?mode=ro", uri=True)) as db:
        return {str(kind): int(n) for kind, n in db.execute("SELECT kind, COUNT(*) FROM entries GROUP BY kind")}


def results(federation: Federation) -> int:
    """Rounds that have come to a result."""
    return kinds(federation).get("national-result", 0)


def exported_all(federation: Federation, folder: Path) -> Path:
    """Everybody's log in one folder: nodes, trustees, the coordinator's and the registry."""
    homes = [("collegium-node", federation.node_home(name)) for name in NODES]
    homes += [("collegium-trustee", federation.trustee_home(name)) for name in TRUSTEES]
    for program, home in (*homes, ("collegium-coordinator", federation.home)):
        said = typed(program, "log", "export", folder, home=home, seconds=300)
        assert said.code == 0, said
    return folder
