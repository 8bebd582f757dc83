"""The command: exit codes, JSON, evidence folders, states of earlier audits, and that neither gRPC nor protobuf is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from madefed import World, question
from typer.testing import CliRunner

from collegium.audit.cli import app
from collegium.audit.page import page
from collegium.audit.run import audit
from collegium.audit.state import read_state
from collegium.audit.story import tell
from collegium.audit.verdict import Code, Findings, Word
from collegium.errors import CollegiumError
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.note import open_note
from collegium.log.trust import Trust

RUN = CliRunner()


@pytest.fixture
def made(tmp_path: Path) -> World:
    world = World(["alpha", "beta", "gamma", "delta"], witnesses=True)
    for number in range(2):
        world.ask("rita", question(salt=number))
    export(world, tmp_path)
    return world


def export(world: World, folder: Path) -> None:
    world.export(folder / "logs")
    (folder / "trust.txt").write_text(world.trust().to_text(), encoding="utf-8")


def call(folder: Path, *more: str) -> tuple[int, str]:
    result = RUN.invoke(
        app, [str(folder / "logs"), "--policy", str(folder / "trust.txt"), "--evidence", str(folder / "evidence"), *more]
    )
    return result.exit_code, result.output


def test_clean_prints_a_line_for_each_check_and_each_log(made: World, tmp_path: Path) -> None:
    code, output = call(tmp_path)
    assert code == 0, output
    for number in range(1, 16):
        assert f"A{number} " in output
    for name in ("registry", "coordinator", *made.nodes):
        assert f"log {name}: " in output
    assert "What no log can prove" in output
    assert not (tmp_path / "evidence").exists()


def test_a_violation_exits_with_1_and_leaves_evidence(made: World, tmp_path: Path) -> None:
    log = made.coordinator
    made.nodes["alpha"].embed(log, sign_checkpoint(log.origin, log.size, bytes(32), log.log))
    export(made, tmp_path)
    code, output = call(tmp_path, "--json")
    tree = json.loads(output)
    assert code == tree["exit"] == 1
    assert {each["party"] for each in tree["findings"] if each["word"] == "FAIL"} == {"coordinator"}
    (folder,) = tree["evidence"]
    readme = (Path(folder) / "README.md").read_text(encoding="utf-8")
    assert log.log.vkey in readme
    notes = [open_note(path.read_bytes(), [log.log.verifier]).text for path in Path(folder).glob("example-coordinator*.note")]
    notes += [open_note(path.read_bytes(), [log.log.verifier]).text for path in Path(folder).glob("coordinator*.note")]
    assert len({note.split("\n")[2] for note in notes}) == 2


def test_evidence_of_another_audit_is_never_overwritten(made: World, tmp_path: Path) -> None:
    """Two violations, one after the other, into one folder; the first again adds nothing."""
    log, kept = made.coordinator, dict[Path, bytes]()
    for number, node in enumerate((made.nodes["alpha"], made.nodes["beta"]), 1):
        made.ask("rita", question(salt=10 + number), nodes=["gamma"])  # so that the log is shown at another size
        node.embed(log, sign_checkpoint(log.origin, log.size - number, bytes(32), log.log))
        node.embedded["coordinator"] = 10**6
        export(made, tmp_path)
        assert call(tmp_path)[0] == 1
        found = {file: file.read_bytes() for file in (tmp_path / "evidence").rglob("*.*")}
        assert len(found) > len(kept)
        assert found.items() >= kept.items()
        kept = found
        call(tmp_path)
        assert {file: file.read_bytes() for file in (tmp_path / "evidence").rglob("*.*")} == kept


def test_missing_evidence_exits_with_2(made: World, tmp_path: Path) -> None:
    (tmp_path / "logs/beta/checkpoint").unlink()
    code, output = call(tmp_path)
    assert code == 2, output
    assert "FAIL" not in output


@pytest.mark.parametrize("args", [["--wrong"], ["--since", "/nonexistent"], ["--jobs", "0"]])
def test_bad_input_exits_with_3(made: World, tmp_path: Path, args: list[str]) -> None:
    assert call(tmp_path, *args)[0] == 3


def test_a_bad_trust_file_and_no_folder_exit_with_3(made: World, tmp_path: Path) -> None:
    (tmp_path / "trust.txt").write_text("log nonsense\n", encoding="utf-8")
    assert call(tmp_path)[0] == 3
    assert RUN.invoke(app, [str(tmp_path / "nowhere"), "--policy", str(tmp_path / "none.txt")]).exit_code == 3


def test_the_state_of_an_earlier_audit_finds_a_history_rewritten_since(made: World, tmp_path: Path) -> None:
    """A1 with nobody else's copy left: the coordinator's and all other folders are gone."""
    state = str(tmp_path / "state.json")
    assert call(tmp_path, "--keep", state)[0] == 0
    assert call(tmp_path, "--since", state)[0] == 0
    beta = made.nodes["beta"]
    made.policy(beta)
    beta.rewrite([*beta.entries[:3], made.request("rita", question(salt=50)), *beta.entries[4:]])
    export(made, tmp_path)
    for name in ("coordinator", "alpha", "gamma", "delta"):
        (tmp_path / "logs" / name / "checkpoint").unlink()
    code, output = call(tmp_path, "--since", state, "--json")
    fails = [each for each in json.loads(output)["findings"] if each["word"] == "FAIL"]
    assert code == 1
    assert {"A1"} <= {each["check"] for each in fails}
    assert {each["party"] for each in fails} == {"beta"}
    assert any("earlier audit" in each["text"] for each in fails)


def test_a_log_that_has_shrunk_since_is_stale_and_names_nobody(made: World, tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    assert call(tmp_path, "--keep", state)[0] == 0
    beta = made.nodes["beta"]
    beta.rewrite(beta.entries[:-2])
    export(made, tmp_path)
    (tmp_path / "logs/coordinator/checkpoint").unlink()
    code, output = call(tmp_path, "--since", state, "--json")
    assert code == 2
    assert {each["word"] for each in json.loads(output)["findings"]} == {"WARN"}
    assert "earlier audit" in output


def test_a_state_keeps_the_earlier_checkpoint_of_a_log_that_failed(made: World, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    call(tmp_path, "--keep", str(state))
    before = read_state(state)
    beta = made.nodes["beta"]
    beta.rewrite([*beta.entries[:3], made.request("rita", question(salt=50)), *beta.entries[4:]])
    made.policy(beta)
    export(made, tmp_path)
    assert call(tmp_path, "--since", str(state), "--keep", str(state))[0] == 1
    assert read_state(state)[beta.origin] == before[beta.origin]


def test_fast_finds_what_trees_and_checkpoints_show(made: World, tmp_path: Path) -> None:
    assert call(tmp_path, "--fast")[0] == 0
    log = made.coordinator
    made.nodes["alpha"].embed(log, sign_checkpoint(log.origin, log.size, bytes(32), log.log))
    export(made, tmp_path)
    code, output = call(tmp_path, "--fast")
    assert code == 1, output
    assert "not looked at (--fast)" in output


def test_many_processes_and_one_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attacks at the ends of logs long enough for several tasks."""
    monkeypatch.setattr("collegium.audit.pool.SMALL", 0)
    monkeypatch.setattr("collegium.audit.run.RUN", 7)
    world = World(["alpha", "beta"], witnesses=False)
    for number in range(4):
        world.ask("rita", question(salt=number))
    put = world.take(world.request("rita", question(salt=9), nodes=["beta"]))
    world.hear(world.nodes["beta"], put)
    world.charge(world.nodes["beta"], put, rho=1)
    folder = world.export(tmp_path)
    one, two = (audit(folder, world.trust(), workers=count) for count in (1, 2))
    assert one.findings.code is two.findings.code is Code.VIOLATION
    told = [[(each.check, each.log, each.word, each.text) for each in found.findings.list] for found in (one, two)]
    assert told[0] == told[1]
    assert one.findings.checked == two.findings.checked


def test_show_and_report_tell_the_questions(made: World, tmp_path: Path) -> None:
    alpha = made.nodes["alpha"]
    put = made.ask("rita", question(salt=30), question(by_sex=False, salt=31))
    release = next(i for i, note in enumerate(alpha.entries) if b"/release" in note[:40] and put.id.encode() in note)
    made.withdraw(alpha, put, release)
    export(made, tmp_path)
    args = [str(tmp_path / "logs"), "--policy", str(tmp_path / "trust.txt")]
    shown = RUN.invoke(app, ["show", *args, "--json", "--lang", "zh"])
    tree = json.loads(shown.output)
    assert [line["rho"] for line in tree["questions"]] == [10_000_000, 10_000_001, 10_000_030, 10_000_031]
    assert tree["questions"][2]["dataset"] == "毕业生"
    assert tree["questions"][2]["withdrawn"] == ["alpha"]
    assert {line["cell"] for line in tree["questions"][2]["figures"]} == {"男", "女", "unknown"}
    assert tree["questions"][0]["purpose"] == "teaching"
    assert {(line["node"], line["spent_ever"]) for line in tree["budgets"]} == {(name, 40_000_062) for name in made.nodes}
    out = tmp_path / "page.html"
    assert RUN.invoke(app, ["report", *args, "--out", str(out)]).exit_code == 0
    html = out.read_text(encoding="utf-8")
    assert html.count("<svg") == 1
    assert "withdrawn since: alpha" in html
    for loads in ("<script", "src=", "@import", "url(", "<link", "<iframe"):
        assert loads not in html


def test_a_page_escapes_what_logs_say(tmp_path: Path) -> None:
    world = World(["alpha"], witnesses=False)
    put = world.take(world.request("rita", question(), purpose='<script>alert("1")</script>'))
    world.indicate(put, {}, {"alpha": "deadline"})
    found = audit(world.export(tmp_path), world.trust())
    html = page(found, tell(found))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_auditor_needs_neither_grpc_nor_protobuf(made: World, tmp_path: Path) -> None:
    """`collegium audit` with both blocked, through the command that people type, in a process of its own."""
    program = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        heavy = ('grpc', 'google', 'opendp', 'polars', 'duckdb', 'pyarrow')\n"
        "        if name.split('.')[0] in heavy or name.startswith('collegium.v1'):\n"
        "            raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from collegium.cli import main\n"
        "main()\n"
    )
    for args in (["audit"], ["audit", "show"], ["audit", "report", "--out", str(tmp_path / "page.html")]):
        done = subprocess.run(
            [sys.executable, "-c", program, *args[:2], str(tmp_path / "logs"), "--policy", str(tmp_path / "trust.txt"), *args[2:]],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


# ---- hostile input: one error type, or a verdict; never a traceback


HOSTILE = World(["alpha", "beta"], witnesses=False)
HOSTILE.ask("rita")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_hostile_folder_gives_a_verdict_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Files changed, cut, emptied, removed or replaced by folders. Nobody is named for what anybody may have done to a copy."""
    folder = HOSTILE.export(tmp_path_factory.mktemp("hostile"))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(files))
        if not path.is_file():
            continue
        content = bytearray(path.read_bytes())
        harm = data.draw(st.sampled_from(["flip", "cut", "junk", "remove", "folder", "link", "empty"]))
        if harm == "flip" and content:
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        elif harm == "cut":
            del content[data.draw(st.integers(0, len(content))) :]
        elif harm == "junk":
            content = bytearray(data.draw(st.binary(max_size=300)))
        path.unlink()
        if harm == "folder":
            path.mkdir()
        elif harm == "link":
            path.symlink_to("/dev/zero")
        elif harm != "remove":
            path.write_bytes(b"" if harm == "empty" else content)
    try:
        found = audit(folder, HOSTILE.trust(), workers=1)
    except CollegiumError:
        return
    assert not [each for each in found.findings.list if each.word is Word.FAIL]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore")))
def test_a_hostile_state_is_one_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    path.write_bytes(content)
    with pytest.raises(CollegiumError):
        read_state(path)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["log", "witness", "group", "quorum", "none", "any", "all", "1", "a", "\x00", "#", HOSTILE.coordinator.log.vkey]
        ),
        max_size=8,
    )
)
def test_a_hostile_trust_file_is_one_error_or_a_trust(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    folder = tmp_path_factory.mktemp("trust")
    try:
        audit(folder, Trust.parse((" ".join(words) + "\nquorum none\n").encode()), workers=1)
    except CollegiumError:
        return


def test_an_empty_federation_folder_is_incomplete(tmp_path: Path) -> None:
    found = audit(tmp_path, HOSTILE.trust(), workers=1)
    assert found.findings.code is Code.INCOMPLETE
    assert isinstance(found.findings, Findings)
