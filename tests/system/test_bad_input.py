"""Bad input to every command and port: a typed error that says where and what to do, its exit code, and nothing half-written.

Failure: a traceback, an error without a remedy's length of words, another exit code than the table's, a file of a home that
differs afterwards (database content included), a home that cannot be used once the input is right. Each command works on its own
copy of a home, so that what it leaves behind is seen; `serve` and the first of each table are processes of their own.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation
from small import (
    HEADER,
    RESEARCHER,
    Said,
    campus,
    content,
    copy_ministry,
    is_an_error,
    open_small,
    people,
    typed,
    typed_here,
)

from collegium.errors import Exit

NODE, SPARE = "univ-a", "univ-s"  # the spare one is installed and not served: its home is copied
TRUSTEE = "auditors"  # the same
ROWS = people(60)
CSV = "data/graduate.csv"
COUNT = "SELECT COUNT(*) AS n FROM graduate"

pytestmark = pytest.mark.timeout(600)  # starting a federation takes a while on a busy machine


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    opened = open_small(tmp_path_factory.mktemp("federation"), campus(NODE, ROWS))
    spare = campus(SPARE, ROWS)
    opened.install_trustee(TRUSTEE)
    opened.install(spare, opened.invite_node(spare))  # the last to join: it has heard of everybody
    yield opened
    opened.stop()


@dataclass(frozen=True)
class Case:
    """One command on one spoilt home. `spoil` changes the copy before; `words` must stand in what the command says."""

    command: tuple[str, ...]
    code: Exit
    words: tuple[str, ...]
    spoil: Callable[[Path], object] = lambda home: None


def run(cases: dict[str, Case], name: str) -> Callable[..., Said]:
    """How to run this case."""
    return typed if cases[name].command[0] == "serve" or name == next(iter(cases)) else typed_here


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    def spoil(home: Path) -> None:
        text = (home / name).read_text(encoding="utf-8")
        assert old in text
        (home / name).write_text(text.replace(old, new), encoding="utf-8")

    return spoil


def setting(old: str, new: str) -> Callable[[Path], object]:
    """Another line in node.toml."""
    return replaced("node.toml", old, new)


def holds(name: str, data: bytes | str) -> Callable[[Path], object]:
    """The file holds just this."""
    return lambda home: (home / name).write_bytes(data.encode() if isinstance(data, str) else data)


def gone(name: str) -> Callable[[Path], object]:
    return lambda home: (home / name).unlink()


def cut_archive(home: Path) -> None:
    setting(".csv", ".csv.gz")(home)
    holds(CSV + ".gz", b"\x1f\x8b\x08\x00cut")(home)


def nobody_there(home: Path) -> None:
    service = json.loads((home / "config.json").read_text(encoding="utf-8"))["service"]
    replaced("config.json", service, "127.0.0.1:9")(home)


def cut_log(home: Path) -> None:
    """The last log entry is missing, as after restoring a copy of the live file."""
    with closing(sqlite3.connect(home / "node.db")) as db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute("DELETE FROM entries WHERE idx = (SELECT MAX(idx) FROM entries)")
        db.commit()


SNAPSHOT = ("snapshot", "second")
NODE_CASES = {
    "no TOML": Case(("check",), Exit.INVALID, ("node.toml", "line"), holds("node.toml", "[sources\n")),
    "unknown setting": Case(
        ("check",), Exit.INVALID, ("coordinator.colour", "no such key"), setting("[sources", "[coordinator]\ncolour = 1\n[sources")
    ),
    "unknown kind of source": Case(("check",), Exit.INVALID, ("sources.graduates",), setting('"csv"', '"xls"')),
    "unknown source": Case(
        SNAPSHOT, Exit.INVALID, ("no source 'elsewhere'",), setting('source = "graduates"', 'source = "elsewhere"')
    ),
    "unknown dataset": Case(SNAPSHOT, Exit.INVALID, ("teacher", "graduate"), setting("[datasets.graduate", "[datasets.teacher")),
    "unknown column of the schema": Case(SNAPSHOT, Exit.INVALID, ("wage",), setting('salary = "salary"', 'wage = "salary"')),
    "unknown column of the file": Case(
        SNAPSHOT, Exit.INVALID, ("graduate.csv", "'pay'"), setting('salary = "salary"', 'salary = "pay"')
    ),
    "unknown code in a map": Case(
        SNAPSHOT, Exit.INVALID, ("field", "99"), setting('field = "field"', 'field = { column = "field", map = { x = "99" } }')
    ),
    "no dataset mapped": Case(SNAPSHOT, Exit.INVALID, ("no dataset",), holds("node.toml", "[node]\n")),
    "vanished file": Case(SNAPSHOT, Exit.INVALID, ("graduate.csv", "Correct `path`"), gone(CSV)),
    "vanished file, checked": Case(("check",), Exit.INVALID, ("graduate.csv", "Correct"), gone(CSV)),
    "line with too few values": Case(
        SNAPSHOT, Exit.INVALID, ("line 3", "2 values", "4"), holds(CSV, f"{HEADER}\nA,01,1,1\nB,01\n")
    ),
    "line with too many values": Case(SNAPSHOT, Exit.INVALID, ("line 2", "5 values"), holds(CSV, f"{HEADER}\nA,01,1,1,1\n")),
    "quote never closed": Case(SNAPSHOT, Exit.INVALID, ("line 2", "quote"), holds(CSV, f'{HEADER}\nA,"01,1,1\nB,01,2,2\n')),
    "another encoding": Case(
        SNAPSHOT, Exit.INVALID, ("line 2", "gb18030"), holds(CSV, f"{HEADER}\nA,哲学,1,1\n".encode("gb18030"))
    ),
    "empty file": Case(SNAPSHOT, Exit.INVALID, ("empty", "header"), holds(CSV, "")),
    "doubled heading": Case(SNAPSHOT, Exit.INVALID, ("'gpa' twice",), holds(CSV, f"{HEADER},gpa\n")),
    "a folder without files": Case(SNAPSHOT, Exit.INVALID, ("keys", "no .csv"), setting(CSV, "keys")),
    "cut archive": Case(SNAPSHOT, Exit.INVALID, ("gz",), cut_archive),
    "name of a snapshot": Case(("snapshot", "a\nb"), Exit.INVALID, ("name", "printable")),
    "empty name of a snapshot": Case(("snapshot", ""), Exit.INVALID, ("name",)),
    "policy is no TOML": Case(("policy",), Exit.INVALID, ("policy.toml",), holds("policy.toml", "[budget")),
    "policy with an unknown key": Case(("policy",), Exit.INVALID, ("colour",), holds("policy.toml", "colour = 1\n")),
    "policy with a negative budget": Case(
        ("policy",), Exit.INVALID, ("budget",), replaced("policy.toml", "rho = 1000\n", "rho = -1\n")
    ),
    "policy that names a stranger": Case(
        ("policy",), Exit.REFUSED, ("nobody",), holds("policy.toml", '[[allow]]\nresearcher = "nobody"\ndatasets = "*"\n')
    ),
    "a researcher nobody knows": Case(("allow", "--researcher", "nobody"), Exit.REFUSED, ("nobody",)),
    "a node as researcher": Case(("allow", "--researcher", NODE), Exit.REFUSED, (NODE, "not a researcher")),
    "nothing to allow": Case(("allow",), Exit.INVALID, ("--researcher",)),
    "a request nobody made": Case(("allow", "feedbeef"), Exit.INVALID, ("feedbeef", "collegium-node requests")),
    "refused, nobody made": Case(("refuse", "feedbeef"), Exit.INVALID, ("feedbeef",)),
    "a dataset nobody has": Case(
        ("allow", "--researcher", RESEARCHER, "--dataset", "teacher"), Exit.INVALID, ("teacher", "graduate")
    ),
    "a unit nobody has": Case(("budget", "--set", "teacher", "--epsilon", "1"), Exit.INVALID, ("teacher", "student")),
    "a budget that is no number": Case(("budget", "--set", "student", "--epsilon", "much"), Exit.INVALID, ("--epsilon", "much")),
    "a budget without end": Case(("budget", "--set", "student", "--epsilon", "inf"), Exit.INVALID, ("budget.student", "100000")),
    "a period nobody has": Case(("budget", "--set", "student", "--period", "week"), Exit.INVALID, ("period",)),
    "a withdrawal without reason": Case(("withdraw", "feedbeef"), Exit.INVALID, ("--reason",)),
    "a withdrawal of nothing": Case(("withdraw", "feedbeef", "--reason", "wrong"), Exit.INVALID, ("feedbeef",)),
    "a month that is none": Case(("report", "--month", "October"), Exit.INVALID, ("--month", "October")),
    "nothing to recover from": Case(("recover", "nowhere"), Exit.INVALID, ("nowhere",)),
    "two things to recover from": Case(("recover", "nowhere", "--new-log", "x"), Exit.INVALID, ("--new-log", "not both")),
    "a backup over a file": Case(("backup", CSV), Exit.INVALID, ("graduate.csv",)),
    "a backup into nowhere": Case(("backup", "no/such/folder/copy.db"), Exit.FAILED, ("no/such/folder",)),
    "no signing key": Case(("budget",), Exit.INVALID, ("keys/statements",), gone("keys/statements")),
    "a signing key for all to read": Case(
        ("budget",), Exit.INVALID, ("chmod 600",), lambda home: (home / "keys" / "statements").chmod(0o644)
    ),
    "a signing key of noise": Case(("budget",), Exit.INVALID, ("not a key file", "backup"), holds("keys/log", "x" * 60)),
    "no membership": Case(("check",), Exit.INVALID, ("not joined", "join TOKEN"), gone("membership.json")),
    "a broken membership": Case(("check",), Exit.INVALID, ("membership.json", "join"), holds("membership.json", "{")),
    "a database of noise": Case(("budget",), Exit.FAILED, ("node.db",), lambda home: _no_wal(home, b"noise" * 2000)),
    "a log that was cut": Case(("serve",), Exit.INVALID, ("log",), cut_log),
    "serving with a broken file": Case(("serve",), Exit.INVALID, ("node.toml",), holds("node.toml", "[sources\n")),
    "serving without certificate key": Case(
        ("serve",), Exit.INVALID, ("keys", "cannot be read"), lambda home: (home / "keys" / "tls.key").unlink()
    ),
    "a port that is no port": Case(
        ("serve",),
        Exit.INVALID,
        ("coordinator.listen",),
        setting("[sources", '[coordinator]\nmode = "listen"\nlisten = "x"\n[sources'),
    ),
    "no token at all": Case(("join", ""), Exit.INVALID, ("token", "collegium1.")),
    "an unknown flag": Case(("check", "--colour"), Exit.INVALID, ("--colour",)),
}


def _no_wal(home: Path, data: bytes, name: str = "node.db") -> None:
    for file in home.glob(f"{name}*"):
        file.unlink()
    (home / name).write_bytes(data)


@pytest.mark.parametrize("name", NODE_CASES)
def test_a_node_command(federation: Federation, tmp_path: Path, name: str) -> None:
    case = NODE_CASES[name]
    home = tmp_path / "home"
    shutil.copytree(federation.node_home(SPARE), home)
    case.spoil(home)
    before = content(home)
    words = [str(home / word) if word in (CSV,) else word for word in case.command]
    is_an_error(run(NODE_CASES, name)("collegium-node", *words, home=home), case.code, *case.words)
    assert content(home) == before


RESEARCHER_CASES = {
    "no cost": Case(("ask", COUNT), Exit.INVALID, ("--epsilon",)),
    "two costs": Case(("ask", COUNT, "--epsilon", "1", "--rho", "1"), Exit.INVALID, ("epsilon",)),
    "a cost that is no number": Case(("ask", COUNT, "--epsilon", "much"), Exit.INVALID, ("much",)),
    "a negative cost": Case(("ask", COUNT, "--rho", "-1"), Exit.INVALID, ("rho",)),
    "a cost without end": Case(("ask", COUNT, "--epsilon", "nan"), Exit.INVALID, ("nan",)),
    "too little to charge": Case(("ask", COUNT, "--rho", "0.0000000001"), Exit.INVALID, ("rho",)),
    "no SQL": Case(("ask", "how many?", "--rho", "1"), Exit.INVALID, ("1:",)),
    "two statements in one": Case(("ask", f"{COUNT}; {COUNT}", "--rho", "1"), Exit.INVALID, ("one",)),
    "a deep statement": Case(("ask", "SELECT " + "(" * 5000 + "1" + ")" * 5000, "--rho", "1"), Exit.INVALID, ("nested",)),
    "a long statement": Case(("ask", COUNT + " " * 30_000, "--rho", "1"), Exit.INVALID, ("more than 20000",)),
    "an unknown dataset": Case(("ask", "SELECT COUNT(*) FROM teacher", "--rho", "1"), Exit.INVALID, ("teacher", "graduate")),
    "an unknown node": Case(("ask", COUNT, "--rho", "1", "--node", "nowhere"), Exit.INVALID, ("nowhere", "collegium nodes")),
    "a clip that is none": Case(("ask", COUNT, "--rho", "1", "--clip", "salary"), Exit.INVALID, ("COLUMN=LOW:HIGH",)),
    "an unknown language": Case(("ask", COUNT, "--rho", "1", "--lang", "fr"), Exit.INVALID, ("en or zh",)),
    "an unknown request": Case(("result", "feedbeef"), Exit.INVALID, ("collegium requests",)),
    "another's or no request": Case(("result", "f" * 64), Exit.INVALID, ("no such request",)),
    "nothing to verify": Case(("verify",), Exit.INVALID, ("--all",)),
    "more nodes than there are": Case(
        ("ask", COUNT, "--rho", "0.5", "--deadline", "5", "--min-nodes", "9"), Exit.NOT_RELEASED, ("of the 9", "collegium result")
    ),
    "a plan of no SQL": Case(("plan", "how many?", "--rho", "1"), Exit.INVALID, ("1:",)),
    "invented rows of nothing": Case(("dummy", "teacher", "--out", "nowhere"), Exit.INVALID, ("teacher", "graduate")),
    "questions in French": Case(("questions", "--lang", "fr"), Exit.INVALID, ("en or zh",)),
    "a series of nothing": Case(("series", "nowhere.toml", "--over", "year=2024:2025"), Exit.INVALID, ("nowhere.toml",)),
    "a trust file into nowhere": Case(("trust", "--out", "no/such/folder/trust"), Exit.INVALID, ("no/such/folder",)),
    "no membership": Case(("nodes",), Exit.INVALID, ("collegium join TOKEN",), gone("config.json")),
    "a broken membership": Case(("nodes",), Exit.INVALID, ("config.json",), holds("config.json", "[1]")),
    "no signing key": Case(("nodes",), Exit.INVALID, ("keys/statements",), gone("keys/statements")),
    "no certificate": Case(("nodes",), Exit.INVALID, ("keys",), gone("keys/tls.pem")),
    "a certificate of noise": Case(("nodes",), Exit.INVALID, ("certificate",), holds("keys/tls.pem", "noise")),
    "nobody at the address": Case(("nodes",), Exit.OFFLINE, ("127.0.0.1:9", "again"), nobody_there),
    "an unknown flag": Case(("ask", COUNT, "--colour"), Exit.INVALID, ("--colour",)),
}


@pytest.mark.parametrize("name", RESEARCHER_CASES)
def test_a_researchers_command(federation: Federation, tmp_path: Path, name: str) -> None:
    case = RESEARCHER_CASES[name]
    home = tmp_path / "home"
    shutil.copytree(federation.researcher_home(RESEARCHER), home)
    case.spoil(home)
    before = content(home)
    said = run(RESEARCHER_CASES, name)("collegium", *case.command, home=home)
    is_an_error(said, case.code, *case.words)
    assert said.out == ""
    after = content(home)
    after["registry.jsonl"] = before.get("registry.jsonl")  # what is verified of the registry may grow
    assert after == before


TRUSTEE_CASES = {
    "no TOML": Case(("status",), Exit.INVALID, ("trustee.toml", "line"), holds("trustee.toml", "[limits\n")),
    "an unknown setting": Case(
        ("keys",), Exit.INVALID, ("limits.colour", "no such key"), holds("trustee.toml", "[limits]\ncolour = 1")
    ),
    "a setting out of range": Case(("serve",), Exit.INVALID, ("seeds_days",), holds("trustee.toml", "[keeping]\nseeds_days = 0")),
    "no settings": Case(("join", "x"), Exit.INVALID, ("collegium-trustee init",), gone("trustee.toml")),
    "no token at all": Case(("join", ""), Exit.INVALID, ("token", "collegium1.")),
    "no membership": Case(("serve",), Exit.INVALID, ("not joined", "collegium-trustee join TOKEN"), gone("membership.json")),
    "a broken membership": Case(("status",), Exit.INVALID, ("membership.json", "join"), holds("membership.json", "{")),
    "no signing key": Case(("keys",), Exit.INVALID, ("keys/statements",), gone("keys/statements")),
    "no certificate": Case(("serve",), Exit.INVALID, ("keys", "cannot be read"), gone("keys/tls.pem")),
    "a database of noise": Case(
        ("status",), Exit.FAILED, ("trustee.db",), lambda home: _no_wal(home, b"noise" * 2000, "trustee.db")
    ),
    "a log that was added to": Case(("serve",), Exit.INVALID, ("log",), lambda home: _false_entry(home)),
    "nothing to recover from": Case(("recover", "nowhere"), Exit.INVALID, ("nowhere",)),
    "a backup over a file": Case(("backup", "trustee.toml"), Exit.INVALID, ("trustee.toml",)),
    "a backup into nowhere": Case(("backup", "no/such/folder/copy.db"), Exit.FAILED, ("no/such/folder",)),
    "an export over a file": Case(("log", "export", "trustee.toml"), Exit.FAILED, ("trustee.toml",)),
    "an unknown flag": Case(("status", "--colour"), Exit.INVALID, ("--colour",)),
}


def _false_entry(home: Path) -> None:
    with closing(sqlite3.connect(home / "trustee.db")) as db:
        db.execute("INSERT INTO entries VALUES ((SELECT COUNT(*) FROM entries), 'note', '', x'00', x'00')")
        db.commit()


@pytest.mark.parametrize("name", TRUSTEE_CASES)
def test_a_trustees_command(federation: Federation, tmp_path: Path, name: str) -> None:
    case = TRUSTEE_CASES[name]
    home = tmp_path / "home"
    shutil.copytree(federation.trustee_home(TRUSTEE), home)
    case.spoil(home)
    before = content(home)
    words = [str(home / word) if word == "trustee.toml" else word for word in case.command]
    is_an_error(run(TRUSTEE_CASES, name)("collegium-trustee", *words, home=home), case.code, *case.words)
    assert content(home) == before


MINISTRY_CASES = {
    "broken settings": Case(("nodes",), Exit.INVALID, ("coordinator.toml",), holds("coordinator.toml", "federation")),
    "no settings": Case(("serve",), Exit.INVALID, ("collegium-coordinator init",), gone("coordinator.toml")),
    "an unknown setting": Case(
        ("serve",), Exit.INVALID, ("colour",), replaced("coordinator.toml", "[asking]", "[asking]\ncolour = 1")
    ),
    "a port that is taken": Case(("serve",), Exit.FAILED, ("Cannot listen",)),
    "no key of its own": Case(("serve",), Exit.INVALID, ("keys/statements",), gone("keys/statements")),
    "another registry key": Case(("nodes",), Exit.INVALID, ("registry",), lambda home: _other_registry(home)),
    "a database of noise": Case(("budget",), Exit.INVALID, ("coordinator.db", "backup"), holds("coordinator.db", b"noise" * 2000)),
    "no registry key": Case(("invite", "researcher", "wang-fang", "--registry", "nowhere"), Exit.INVALID, ("nowhere",)),
    "a name that is none": Case(("invite", "researcher", "Wang Fang"), Exit.INVALID, ("name",)),
    "a name that is taken": Case(("invite", "node", NODE, "--fact", "province=11"), Exit.INVALID, (NODE,)),
    "a partition by no fact": Case(("partition", "--by", "colour"), Exit.INVALID, ("colour",)),
    "a trustee's name that is taken": Case(("invite", "trustee", NODE), Exit.INVALID, (NODE,)),
    "an unknown fact": Case(("invite", "node", "univ-z", "--fact", "colour=red"), Exit.INVALID, ("--fact",)),
    "a duration that is none": Case(("invite", "researcher", "wang-fang", "--expires", "soon"), Exit.INVALID, ("--expires",)),
    "a stranger revoked": Case(("revoke", "nobody"), Exit.INVALID, ("nobody",)),
    "an older schema": Case(("schema", "SCHEMA"), Exit.INVALID, ("version",)),
    "an address that is none": Case(("dial", NODE, "somewhere"), Exit.INVALID, ("HOST:PORT",)),
    "no such catalogue": Case(("catalogue", "nowhere.toml"), Exit.INVALID, ("nowhere.toml",)),
    "recovered from something else": Case(("recover", "coordinator.toml"), Exit.INVALID, ("coordinator.toml",)),
    "a backup over a file": Case(("backup", "coordinator.toml"), Exit.INVALID, ("coordinator.toml",)),
    "founded twice": Case(
        ("init", "--federation", "small", "--schema", "SCHEMA", "--host", "h"), Exit.INVALID, ("something already",)
    ),
}


def _other_registry(home: Path) -> None:
    lines = (home / "coordinator.toml").read_text(encoding="utf-8").splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("registry = "))
    lines[at] = 'registry = "small/registry/statements+00000000+AY' + "A" * 42 + '"'
    (home / "coordinator.toml").write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize("name", MINISTRY_CASES)
def test_a_command_of_the_ministry(federation: Federation, ministry: Path, tmp_path: Path, name: str) -> None:
    case = MINISTRY_CASES[name]
    home = tmp_path / "ministry"
    shutil.copytree(ministry, home)
    shutil.copytree(ministry.with_name("copy-registry"), tmp_path / "ministry-registry")
    case.spoil(home)
    before = content(tmp_path)
    places = {"SCHEMA": str(federation.ministry.schema), "coordinator.toml": str(home / "coordinator.toml")}
    words = [places.get(word, word) for word in case.command]
    is_an_error(run(MINISTRY_CASES, name)("collegium-coordinator", *words, home=home), case.code, *case.words)
    assert content(tmp_path) == before


@pytest.fixture(scope="module")
def ministry(federation: Federation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its ports are taken, since the original serves."""
    return copy_ministry(federation, tmp_path_factory.mktemp("ministry"))


# ---------------------------------------------------------------- tokens


def test_wrong_tokens_leave_nothing_and_the_right_one_still_works(federation: Federation, tmp_path: Path) -> None:
    invite = ("collegium-coordinator", "invite", "node", "univ-t", "--fact", "province=31", "--home", str(federation.home))
    good = federation.run(*invite).strip()
    for_researcher = federation.invite_researcher("wang-fang")
    late = federation.run("collegium-coordinator", "invite", "researcher", "zhao-lei", "--expires", "1m", "--home", federation.home)
    typed("collegium-node", "init", home=tmp_path / "node")
    empty = content(tmp_path / "node")
    middle = len(good) // 2
    changed = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    for token, word in {
        "collegium1.": "token",
        good[:-9]: "cut off",
        changed: "token",
        for_researcher: "collegium join TOKEN",
    }.items():
        said = typed("collegium-node", "join", token, home=tmp_path / "node")
        is_an_error(said, Exit.INVALID, word)
        assert token[20:] not in said.err or not token[20:]
        assert content(tmp_path / "node") == empty
    is_an_error(typed("collegium", "join", good, home=tmp_path / "researcher"), Exit.INVALID, "collegium-node join")
    assert not (tmp_path / "researcher").exists()
    assert typed("collegium-node", "join", "-", home=tmp_path / "node", stdin=good + "\n").code == Exit.OK
    # Used by somebody else: refused, and whoever was first is not disturbed.
    typed("collegium-node", "init", home=tmp_path / "thief")
    is_an_error(typed("collegium-node", "join", good, home=tmp_path / "thief"), Exit.REFUSED, "used", "tell the federation")
    assert not (tmp_path / "thief" / "membership.json").exists()
    assert typed("collegium-node", "join", good, home=tmp_path / "node").code == Exit.OK
    # Cancelled by the ministry before it was used.
    federation.run("collegium-coordinator", "revoke", "zhao-lei", "--home", federation.home)
    is_an_error(typed("collegium", "join", late.strip(), home=tmp_path / "late"), Exit.REFUSED, "cancelled")
    is_an_error(typed("collegium", "nodes", home=tmp_path / "late"), Exit.INVALID, "not joined")


def test_this_file_looks_at_every_command() -> None:
    """A command added later gets its bad input here; `init` and `version` take none, `doctor` and lists report what they find."""
    from collegium.cli import app as researcher
    from collegium_coordinator.cli import app as of_ministry
    from collegium_node.cli import app as node
    from collegium_node.steward_cli import steward_app
    from collegium_trustee.cli import app as trustee

    def names(*apps: object) -> set[str]:
        return {each.name or each.callback.__name__ for app in apps for each in app.registered_commands}  # type: ignore[attr-defined]

    tried = {case.command[0] for case in NODE_CASES.values()} | {"init", "version", "doctor", "requests"}
    assert names(node, steward_app) <= tried
    assert names(trustee) <= {case.command[0] for case in TRUSTEE_CASES.values()} | {"init", "version"}
    tried = {case.command[0] for case in RESEARCHER_CASES.values()} | {"join", "version", "requests", "schema"}
    assert names(researcher) <= tried
    assert names(of_ministry) <= {case.command[0] for case in MINISTRY_CASES.values()} | {"version"}
