"""Everybody's backup is old one day: real processes, restored from old copies, recover from what the others hold.

Failure: a node or the ministry signs on from an old copy; something that was charged, answered or registered is forgotten; the
audit of what everybody exports afterwards finds fault.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py, shared by the tests of this folder

from launch import Federation
from small import RESEARCHER, ask, campus, charged, people, typed
from withwitnesses import audited, confirmed, exported, log_lines, log_status, open_witnessed, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

NAMES = ("north", "south", "east", "west")
VICTIM = "north"
COUNT = "SELECT COUNT(*) AS n FROM graduate WHERE salary >= {}"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Four universities; every log has three witnesses, two of which must cosign. The ministry keeps a second copy."""

    def keep_a_second_copy(made: Federation) -> None:
        settings = made.home / "coordinator.toml"
        settings.write_text(settings.read_text().replace('own = ""', f'own = "{made.root / "second.db"}"'))
        made.kill("coordinator")
        made.serve()
        made.wait_connected(RESEARCHER, len(NAMES))

    universities = [campus(name, people(60, first=100 * n)) for n, name in enumerate(NAMES)]
    made = open_witnessed(tmp_path_factory.mktemp("recovery"), *universities, prepare=keep_a_second_copy)
    yield made
    made.stop()


def copied(federation: Federation, node: str) -> int:
    """Entries of a node's log that the coordinator has copied."""
    with closing(sqlite3.connect(f"file:{federation.home / 'mirror.db'}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT size FROM logs WHERE origin = ?", (f"small/{node}",)).fetchone()
    return int(row[0]) if row else 0


def answered(federation: Federation, salary: int) -> tuple[int, int]:
    """The national count, and how many universities are in it."""
    table = ask(federation, COUNT.format(salary), "--rho", "1")["tables"][0]
    return table["rows"][-1]["n"], table["coverage"]["answered"]


def replace_database(home: Path, name: str, backup: Path | None) -> None:
    for file in home.glob(f"{name}*"):
        file.unlink()
    if backup is not None:
        shutil.copy(backup, home / name)


@pytest.mark.parametrize("backup", ["old", "none"])
def test_a_restored_node_recovers_from_the_coordinators_copy(federation: Federation, tmp_path: Path, backup: str) -> None:
    home, salary = federation.node_home(VICTIM), {"old": 3000, "none": 3010}[backup]
    typed("collegium-node", "backup", tmp_path / "backup.db", home=home)
    before = answered(federation, salary)
    assert before[1] == len(NAMES)
    entries = log_status(federation, VICTIM)["size"]
    until(lambda: copied(federation, VICTIM) >= entries)  # nobody asked for it: the coordinator reads on by itself
    spent = charged(federation, VICTIM)
    federation.kill(VICTIM)
    (home / "published").unlink(missing_ok=True)
    replace_database(home, "node.db", tmp_path / "backup.db" if backup == "old" else None)
    if backup == "old":
        assert charged(federation, VICTIM) < spent
        federation.start_node(VICTIM)
        until(lambda: '"restored"' in log_lines(federation, VICTIM))
        said = typed("collegium-node", "budget", "--set", "student", "--rho", "1001", "--lifetime-rho", "99999", home=home)
        assert (said.code, "collegium-node recover" in said.err) == (1, True)
        federation.kill(VICTIM)
    said = typed("collegium-node", "recover", home=home)
    assert said.code == 0, said.err
    assert "Took over" in said.out
    assert charged(federation, VICTIM) == spent
    assert "nothing that this database lacks" in typed("collegium-node", "recover", home=home).out
    federation.start_node(VICTIM)
    federation.wait_connected(RESEARCHER, len(NAMES))
    until(lambda: confirmed(federation, VICTIM))
    assert answered(federation, salary) == before  # the very release of before
    assert charged(federation, VICTIM) == spent
    assert answered(federation, salary + 5)[1] == len(NAMES)
    found = audited(federation, exported(federation, tmp_path / "all", NAMES))
    assert found["exit"] == 0, found


def test_a_restored_ministry_signs_nothing_and_recovers(federation: Federation, tmp_path: Path) -> None:
    home = federation.home
    federation.run("collegium-coordinator", "backup", tmp_path / "backup.db", "--home", home)
    before = answered(federation, 3020)
    assert before[1] == len(NAMES)
    federation.run("collegium-coordinator", "invite", "researcher", "zhang-san", "--home", home)
    entries = logged(home / "coordinator.db")
    until(lambda: logged(federation.root / "second.db") == entries)
    seen = registries(federation)
    federation.kill("coordinator")
    replace_database(home, "coordinator.db", tmp_path / "backup.db")
    replace_database(home, "mirror.db", None)  # the disk is gone: the copies too
    old = logged(home / "coordinator.db")
    assert old < entries
    federation.serve()
    until(
        lambda: (
            log_lines(federation, "coordinator").count("CRITICAL") and "it is an old backup" in log_lines(federation, "coordinator")
        )
    )
    said = typed("collegium-coordinator", "invite", "researcher", "li-si", home=home)
    assert said.code == 1
    assert "restored" in said.err or "not confirmed" in said.err or "old backup" in said.err
    asked = typed("collegium", "ask", COUNT.format(3021), "--rho", "1", home=federation.researcher_home(RESEARCHER))
    assert asked.code != 0
    until(lambda: registry_copied(federation) >= seen)  # while it is stopped, it reads the registry from the nodes
    assert logged(home / "coordinator.db") == old
    federation.kill("coordinator")
    older = typed("collegium-coordinator", "recover", tmp_path / "nowhere.db", home=home)
    assert older.code in (1, 2)
    said = typed("collegium-coordinator", "recover", home=home)
    assert said.code == 0, said.err
    assert "Nothing that anybody has shown is missing" in said.out
    assert logged(home / "coordinator.db") == entries
    federation.serve()
    federation.wait_connected(RESEARCHER, len(NAMES))
    assert answered(federation, 3020) == before
    assert answered(federation, 3022)[1] == len(NAMES)
    until(lambda: typed("collegium-coordinator", "invite", "researcher", "li-si", home=home).code == 0)
    found = audited(federation, exported(federation, tmp_path / "all", NAMES))
    assert found["exit"] == 0, found


def test_parties_replace_their_keys(federation: Federation, tmp_path: Path) -> None:
    """A node goes on with its log and ledger; a researcher is answered again when the stewards have allowed the new key."""
    before = answered(federation, 3030)
    home = federation.node_home(VICTIM)
    spent, old = charged(federation, VICTIM), (home / "keys" / "statements").read_bytes()
    token = federation.run("collegium-coordinator", "invite", "node", VICTIM, "--replace", "--home", federation.home).strip()
    said = typed("collegium-node", "join", token, home=home)
    assert (said.code, "served already" in said.err) == (1, True)
    federation.kill(VICTIM)
    said = typed("collegium-node", "join", token, home=home)
    assert (said.code, "has new keys" in said.out) == (0, True), said
    assert (home / "keys" / "statements").read_bytes() != old
    federation.start_node(VICTIM)
    federation.wait_connected(RESEARCHER, len(NAMES))
    until(lambda: confirmed(federation, VICTIM))
    assert answered(federation, 3030) == before  # the release of the old key goes out again, and verifies
    assert charged(federation, VICTIM) == spent
    assert answered(federation, 3031)[1] == len(NAMES)

    folder = federation.researcher_home(RESEARCHER)
    token = federation.run(
        "collegium-coordinator", "invite", "researcher", RESEARCHER, "--replace", "--home", federation.home
    ).strip()
    assert typed("collegium", "join", token, home=folder).code == 0
    assert typed("collegium", "join", token, home=folder).code == 0  # the same command again changes nothing
    said = typed("collegium", "ask", COUNT.format(3032), "--rho", "1", home=folder)
    assert (said.code, "does not allow this researcher" in said.out + said.err) == (4, True), said
    said = typed("collegium-node", "doctor", home=home)
    assert f"collegium-node allow --researcher {RESEARCHER}" in " ".join(said.out.split())
    for name in NAMES:
        said = typed("collegium-node", "allow", "--researcher", RESEARCHER, home=federation.node_home(name))
        assert said.code == 0, said.err
    assert answered(federation, 3033)[1] == len(NAMES)
    found = audited(federation, exported(federation, tmp_path / "all", NAMES))
    assert found["exit"] == 0, found


def logged(database: Path) -> tuple[int, int]:
    """Entries of the coordinator's log and of the registry."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return tuple(db.execute("SELECT (SELECT COUNT(*) FROM entries), (SELECT COUNT(*) FROM registry)").fetchone())


def registries(federation: Federation) -> int:
    """How much of the registry every connected node has verified."""

    def least() -> int:
        sizes = []
        for name in NAMES:
            with closing(sqlite3.connect(f"file:{federation.node_home(name) / 'node.db'}?mode=ro", uri=True)) as db:
                sizes.append(int(db.execute("SELECT size FROM registry_head").fetchone()[0]))
        return min(sizes)

    until(lambda: least() == logged(federation.home / "coordinator.db")[1])
    return least()


def registry_copied(federation: Federation) -> int:
    with closing(sqlite3.connect(f"file:{federation.home / 'mirror.db'}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT size FROM logs WHERE origin = 'small/registry'").fetchone()
    return int(row[0]) if row else 0
