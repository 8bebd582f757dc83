"""The command line: fast to start, clear when it fails, JSON where a program reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from nationalnode import country, national
from onenode import T0, Asked, OneNode, Researcher, federation, question
from rich.console import Console
from typer.testing import CliRunner

from collegium.statements import Decision, Peer, Release
from collegium_node.cli import app
from collegium_node.doctor import Finding, examine
from collegium_node.init import NODE_TOML, POLICY_TOML, init
from collegium_node.requests import listing
from collegium_node.steward import read_draft
from collegium_node.tables import requests_table

HEAVY = ("polars", "pyarrow", "duckdb", "numba", "opendp")


def test_starting_loads_nothing_heavy(tmp_path: Path) -> None:
    """Help, and every command that neither reads rows nor serves."""
    one, _ = federation(tmp_path)
    one.node.close()
    for words in (["--help"], ["version"], ["budget"], ["requests"], ["policy"]):
        home = [] if words[0] in ("--help", "version") else ["--home", str(tmp_path)]
        script = (
            f"import sys; sys.argv = ['collegium-node', *{words + home!r}]\n"
            "from collegium_node.cli import main\n"
            "try: main()\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        )
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-1] == "[]", words


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["budget"], 2, "collegium-node join TOKEN"),
        (["join", "nonsense"], 2, "token"),
        (["snapshot", "x"], 2, "join"),
        (["allow"], 2, "--researcher NAME"),
        (["allow", "abc", "--researcher", "li-wei"], 2, "one of them"),
        (["frobnicate"], 2, ""),
        (["serve"], 2, "join"),
        (["check"], 2, "join"),
    ],
)
def test_what_cannot_be_done_says_why_and_what_to_do(tmp_path: Path, words: list[str], code: int, says: str) -> None:
    init(tmp_path)
    command = [str(Path(sys.executable).with_name("collegium-node")), *words, "--home", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_init_makes_a_folder_that_allows_nothing_and_changes_nothing_that_is_there(tmp_path: Path) -> None:
    home = tmp_path / "node"
    assert CliRunner().invoke(app, ["init", "--home", str(home)]).exit_code == 0
    assert (home / "node.toml").read_text(encoding="utf-8") == NODE_TOML
    policy = read_draft(home / "policy.toml", 1e-6, str)
    assert (policy.allow, policy.budget) == ((), {})
    (home / "node.toml").write_text("# mine\n", encoding="utf-8")
    CliRunner().invoke(app, ["init", "--home", str(home)])
    assert (home / "node.toml").read_text(encoding="utf-8") == "# mine\n"


def test_the_commented_examples_are_right(tmp_path: Path) -> None:
    """Taking the comment signs off the examples gives files that are read without a mistake."""
    from collegium_node.config import parse_config

    def uncomment(text: str) -> str:
        lines = []
        for line in text.splitlines():
            bare = line.removeprefix("# ")
            lines.append(bare if not line.startswith("# ") or "=" in bare or bare.startswith("[") else "")
        return "\n".join(lines)

    parse_config(uncomment(NODE_TOML), tmp_path / "node.toml")
    path = tmp_path / "policy.toml"
    text = uncomment(POLICY_TOML)
    largest = next(line for line in text.splitlines() if line.startswith("largest"))
    path.write_text(largest + "\n" + text.replace(largest, ""), encoding="utf-8")
    policy = read_draft(path, 1e-6, lambda name: f"key of {name}")
    assert policy.allow[0].mode == "hold"
    assert policy.largest_question is not None


@pytest.fixture
def answered(tmp_path: Path) -> tuple[OneNode, Researcher, Asked]:
    one, researcher = federation(tmp_path / "home")
    one.allow(researcher, limits={"dataset": {"term": 5_000_000}})
    asked = researcher.ask(question(1_000_000), question(2_000_000, dataset="term"))
    one.answer(asked)
    return one, researcher, asked


def _run(one: OneNode, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--home", str(one.home.root)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_budget_as_a_table_and_as_json(answered: tuple[OneNode, Researcher, Asked]) -> None:
    one, _, _ = answered
    lines = {(line["scope"], line["name"]): line for line in json.loads(_run(one, "budget", "--json"))}
    student = lines["unit", "student"]
    assert student["limit"] - student["spent"] == student["left"]
    assert student["lifetime_spent"] == 3_000_000
    assert lines["dataset", "term"]["lifetime_spent"] == 2_000_000
    table = _run(one, "budget")
    for word in ("student", "dataset term", "spent", "left", "lifetime"):
        assert word in table


def test_the_signed_policy_and_held_requests_as_json(answered: tuple[OneNode, Researcher, Asked]) -> None:
    one, researcher, _ = answered
    key = ["--researcher", "li-wei", "--dataset", "term", "--hold"]
    assert "each request held" in _run(one, "allow", *key)
    _run(one, "budget", "--set", "student", "--epsilon", "1", "--lifetime-rho", "2", "--period", "month")
    policy = json.loads(_run(one, "policy", "--json"))
    assert [(rule["datasets"], rule["mode"], rule["key"]) for rule in policy["allow"]] == [(["term"], "hold", researcher.key.vkey)]
    assert (policy["budget"]["student"]["period"], policy["budget"]["student"]["lifetime"]) == ("month", 2 * 10**9)
    asked = researcher.ask(question(dataset="term", value=3), purpose="annual")
    one.answer(asked)
    (line,) = json.loads(_run(one, "requests", "--json"))
    assert (line["id"], line["purpose"], line["rho"], line["state"]) == (asked.id, "annual", 1_000, "held")
    assert "Refused" in _run(one, "refuse", asked.id[:8])
    assert "allowed nothing" in _run(one, "refuse", "--researcher", "li-wei")
    assert json.loads(_run(one, "policy", "--json"))["allow"] == []


def test_the_steward_says_in_which_release_mode(answered: tuple[OneNode, Researcher, Asked]) -> None:
    one, _, _ = answered
    own = json.loads(_run(one, "policy", "--json"))
    assert "national" not in own
    said = _run(one, "allow", "--researcher", "li-wei", "--release", "both", "--smallest", "25")
    assert "in national sums too" in said
    assert "at least 25 universities" in _run(one, "policy")
    policy = json.loads(_run(one, "policy", "--json"))
    assert (policy["allow"][0]["release"], policy["national"]) == (["per_node", "national"], {"smallest": 25})
    assert "in national sums only" in _run(one, "allow", "--researcher", "li-wei", "--release", "national", "--hold")
    policy = json.loads(_run(one, "policy", "--json"))
    assert ([rule["release"] for rule in policy["allow"]], policy["national"]) == ([["national"]], {"smallest": 25})
    _run(one, "allow", "--researcher", "li-wei")
    assert "release" not in json.loads(_run(one, "policy", "--json"))["allow"][0]
    for wrong in (["--release", "sometimes"], ["--smallest", "1"]):
        before = one.home.policy_file.read_bytes()
        result = CliRunner().invoke(app, ["allow", "--researcher", "li-wei", *wrong, "--home", str(one.home.root)])
        assert result.exit_code != 0
        assert one.home.policy_file.read_bytes() == before, "what cannot be signed is not kept"


def test_doctor_says_whether_national_sums_can_be_made(tmp_path: Path) -> None:
    land, _ = country(tmp_path)

    def found() -> Finding:
        (policy,) = (each for each in examine(land.one.home, clock=lambda: T0 + 10) if each.hop == "policy")
        return policy

    assert (found().state, found().text.rpartition("; ")[2]) == ("ok", "in national sums of at least 10 universities")
    land.ministry.revoke("pine")
    land.one.learn()
    assert (found().state, "the federation has 2" in found().text) == ("warning", True)
    land.allow(release=("per_node",))
    assert found().state == "ok"


def test_a_held_request_says_in_which_release_mode(tmp_path: Path) -> None:
    land, _ = country(tmp_path)
    land.allow(release=("per_node", "national"), mode="hold")
    land.answer(land.ask(national(mode="per_node"), national()))
    console = Console(width=200)
    with console.capture() as shown:
        console.print(requests_table(listing(land.one.node.journal), 1e-6))
    assert "own figures, national sum" in shown.get()


def test_withdrawn_releases_are_marked_and_charges_stay(answered: tuple[OneNode, Researcher, Asked]) -> None:
    one, researcher, asked = answered
    first = one.answer(asked)
    assert "Withdrew 1 " in _run(one, "withdraw", asked.id[:10], "--number", "1", "--reason", "wrong upload")
    again = one.answer(asked)
    assert [len(a.withdrawals) for a in again.answers] == [0, 1]
    assert [a.payload for a in again.answers] == [a.payload for a in first.answers]
    assert "Withdrew 1 " in _run(one, "withdraw", "--snapshot", "00000000000000a1", "--reason", "wrong upload")
    assert "Withdrew 0 " in _run(one, "withdraw", asked.id[:10], "--reason", "wrong upload")
    assert one.charged() == 3_000_000
    reused = one.answer(researcher.ask(question(1_000_000))).answers[0]  # who asks again learns of it too
    assert len(reused.withdrawals) == 1
    assert CliRunner().invoke(app, ["withdraw", "ffff", "--reason", "x", "--home", str(one.home.root)]).exit_code != 0


def test_a_backup_is_a_whole_node_but_for_its_keys(answered: tuple[OneNode, Researcher, Asked], tmp_path: Path) -> None:
    one, _, asked = answered
    first = one.answer(asked)
    said = _run(one, "backup", str(tmp_path / "backup.db"))
    assert "keys/" in said
    assert "snapshot.key" in said
    assert one.node.journal.statements.seed not in (tmp_path / "backup.db").read_bytes()
    assert CliRunner().invoke(app, ["backup", str(tmp_path / "backup.db"), "--home", str(one.home.root)]).exit_code != 0
    one.node.close()
    for path in one.home.root.glob("node.db*"):
        path.unlink()
    (tmp_path / "backup.db").rename(one.home.database)
    restored = OneNode(one.home.root, one.ministry, join=False)
    assert restored.answer(asked) == first
    assert restored.charged() == 3_000_000
    assert restored.engine.drawn == []


def test_every_statement_of_a_node_names_its_place(answered: tuple[OneNode, Researcher, Asked]) -> None:
    from collegium.log.statement import read_statement

    one, _, _ = answered
    sizes = []
    for index, note in enumerate(one.entries()):
        kind, body = read_statement(note)
        if kind != "request":
            assert body["log"] == {"origin": "unis/univ-a", "index": index}
            sizes.append(body["registry"]["size"])
    assert sizes == sorted(sizes)
    assert {Decision.kind, Release.kind, Peer.kind, "request", "policy"} == {read_statement(note)[0] for note in one.entries()}
