"""A canary in the rows of one university appears nowhere outside it, and its neighbour without that person says the same things.

Two universities differ by one person: her id, a category value outside the public list, and a salary far outside the bounds are
unlike anything else. One story is told once: good questions, refused ones, broken ones, a damaged and a lost snapshot, a source
that has vanished, a CSV file with a broken line. Failure: the canary in any output of the ministry's or a researcher's commands, a
log line of node or coordinator, a gRPC reply or error, a file of the coordinator's or the researcher's folder (P15); a status, a
text, a size or anything not noised that differs between the neighbours (P5, P16). Not failure: what the node's own steward reads
on the node's own terminal.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation, wait_for_port
from small import (
    RESEARCHER,
    Heard,
    Said,
    as_coordinator,
    as_researcher,
    ask,
    campus,
    free_port,
    open_small,
    people,
    receipt,
    typed,
    typed_here,
    write_rows,
)

from collegium.client import Federation as Client
from collegium.home import Home
from collegium.keys import load_signer
from collegium.log.statement import sign_statement
from collegium.statements import Decision, Release, Request
from collegium.v1.federation_pb2 import AskRequest
from collegium.v1.node_pb2 import AnswerReply, AnswerRequest, NodeStatus, QuestionAnswer

PERSON, VALUE, SALARY = "CANARYPERSON7731", "CANARYVALUE5519", 718_293_645
CANARIES = (PERSON.encode(), VALUE.encode(), str(SALARY).encode(), SALARY.to_bytes(8, "little"))
ROWS = people(200)
HERS = [f"{PERSON},{VALUE},{SALARY},3.33", f"{PERSON},01,{SALARY},0.07"]
A, B = "univ-a", "univ-b"  # neighbours: A has her, B has not
STRANGER = "wang-fang"  # registered, and allowed nothing
TRUSTEE = "auditors"  # of national sums
ANSWER = "/collegium.v1.Node/Answer"
QUESTIONS = {
    "persons": "SELECT COUNT(DISTINCT student_id) AS n FROM graduate",
    "by field": "SELECT field, COUNT(*) AS n FROM graduate GROUP BY field",
    "mean": "SELECT AVG(salary) AS mean, VARIANCE(salary) AS spread FROM graduate",
    "sum": "SELECT SUM(salary) AS total FROM graduate",
    "histogram": "SELECT HISTOGRAM(gpa, 0, 1, 2, 3, 4) AS gpa FROM graduate",
    "nobody": "SELECT COUNT(*) AS n FROM graduate WHERE field IS NULL AND salary = 20000",
}

PROGRAMS = ("collegium", "collegium-coordinator", "collegium-trustee")
"""What others run than the university."""

pytestmark = pytest.mark.timeout(600)  # starting a federation takes a while on a busy machine


@dataclass
class Story:
    """What was said to whom. `outside` is all that anybody but the node's own steward can read; `terminal` is the steward's."""

    federation: Federation
    ports: dict[str, int]
    outside: dict[str, bytes] = field(default_factory=dict)
    terminal: dict[str, Said] = field(default_factory=dict)
    direct: dict[str, tuple[Heard, Heard]] = field(default_factory=dict)  # the same call to A and to B
    typed: dict[str, set[str]] = field(default_factory=lambda: {each: set() for each in PROGRAMS})

    def command(self, program: str, *words: str | Path, home: Path | None) -> Said:
        """One command of the ministry or a researcher; a process of its own the first time a program is used, and to serve."""
        alone = words[0] == "serve" or not self.typed[program]
        said = (typed if alone else typed_here)(program, *words, home=home)
        self.typed[program].add(str(words[0]))
        self.outside[f"{len(self.outside)}: {program} {' '.join(map(str, words))}"] = (said.out + said.err).encode()
        return said

    def researcher(self, *words: str | Path, who: str = RESEARCHER) -> Said:
        return self.command("collegium", *words, home=self.federation.researcher_home(who))

    def ministry(self, *words: str | Path) -> Said:
        return self.command("collegium-coordinator", *words, home=self.federation.home)

    def trustee(self, *words: str | Path) -> Said:
        return self.command("collegium-trustee", *words, home=self.federation.trustee_home(TRUSTEE))

    def steward(self, label: str, node: str, *words: str) -> Said:
        """One command on the node's own terminal."""
        said = typed("collegium-node", *words, home=self.federation.node_home(node))
        self.terminal[label] = said
        return said

    def each(self, say: Callable[..., Said], *commands: Sequence[str]) -> None:
        for words in commands:
            say(*words)

    def both(self, label: str, payload: bytes, method: str = ANSWER) -> None:
        """The same bytes to both neighbours, as the coordinator would send them."""
        heard = []
        for node in (A, B):
            with as_coordinator(self.federation, node, self.ports[node]) as line:
                heard.append(line.call(method, payload))
            self.outside[f"{label} at {node}"] = heard[-1].details.encode() + b"\n" + heard[-1].reply
        self.direct[label] = (heard[0], heard[1])

    def request(self, sql: str, *, rho: float = 0.5, who: str = RESEARCHER, late: bool = False) -> bytes:
        """A signed request for both, ready to be sent; `late`: it has expired."""
        with Client(Home(self.federation.researcher_home(who))) as client:
            if not late:
                prepared = client.prepare(sql, rho=rho)
                return self._handed_on(prepared.note, prepared.details)
            prepared = client.prepare(sql, rho=rho, validity=60)
        body = {**Request.read(prepared.note).to_body(), "time": 1_700_000_000, "expiry": 1_700_000_060}
        signer = load_signer(self.federation.researcher_home(who) / "keys" / "statements")
        return self._handed_on(sign_statement("request", body, signer), prepared.details)

    def _handed_on(self, note: bytes, details: bytes) -> bytes:
        return AnswerRequest(request=note, details=details, receipt=receipt(self.federation, note)).SerializeToString()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    ports = {A: free_port(), B: free_port()}
    here, there = (campus(name, [*rows, *ROWS], listens=ports[name]) for name, rows in ((A, HERS), (B, [])))
    federation = open_small(tmp_path_factory.mktemp("federation"), here, there, ports=ports, mirrored=False)
    told = Story(federation, ports)
    try:
        _even_logs(told)
        _questions(told)
        _refusals(told)
        _trouble_with_the_source(told)
        _trouble_with_the_snapshot(told)
        _every_command(told)
        federation.stop()
        yield told
    finally:
        federation.stop()


def _even_logs(told: Story) -> None:
    """Who joined first has seen one registry fewer; both write down the same one next, so their entries stand at equal places."""
    told.federation.join(STRANGER)
    with as_researcher(told.federation) as line:  # the coordinator teaches both nodes who the stranger is before it asks them
        told.outside["nodes"] = line.call("/collegium.v1.Federation/Nodes", b"").reply


def _questions(told: Story) -> None:
    for label, sql in QUESTIONS.items():
        told.both(label, told.request(sql))
    told.both("status", b"", "/collegium.v1.Node/Status")
    told.both("the same again", told.request(QUESTIONS["persons"]))
    told.researcher("ask", QUESTIONS["by field"], "--rho", "0.25")


def _refusals(told: Story) -> None:
    told.researcher("ask", QUESTIONS["persons"], "--rho", "0.5", who=STRANGER)
    good = AnswerRequest.FromString(told.request(QUESTIONS["sum"], rho=0.125))
    told.both("not allowed", told.request(QUESTIONS["persons"], who=STRANGER))
    told.both("over the budget", told.request(QUESTIONS["mean"], rho=5000))
    told.both("not served", told.request("SELECT COUNT(*) AS n FROM visit"))
    told.both("expired", told.request(QUESTIONS["persons"], late=True))
    told.both("changed", AnswerRequest(request=_changed(good.request), details=good.details).SerializeToString())
    told.both("other details", AnswerRequest(request=good.request, details=b"{}").SerializeToString())
    told.both("empty", b"")
    told.both("no protobuf", b"\xff" * 40)
    told.both("no note", AnswerRequest(request=b"x").SerializeToString())
    told.both("huge", AnswerRequest(request=b"x" * (1 << 20)).SerializeToString())
    told.both("too huge", AnswerRequest(request=b"x" * (65 << 20)).SerializeToString())
    told.both("no such method", b"", "/collegium.v1.Node/Dump")
    told.both("a gap in the registry", b"\x08\xe8\x07\x12\x01x\x1a\x01x", "/collegium.v1.Node/Learn")
    told.researcher("ask", QUESTIONS["mean"], "--rho", "5000")
    told.researcher("ask", "SELECT student_id FROM graduate", "--rho", "1")
    told.researcher("ask", "SELECT COUNT(*) FROM visit", "--rho", "1")


def _changed(note: bytes) -> bytes:
    """The same note with another digit in its nonce."""
    before, after = note.split(b'"nonce":"')
    return before + b'"nonce":"' + (b"1" if after[:1] == b"0" else b"0") + after[1:]


def _trouble_with_the_source(told: Story) -> None:
    """The export breaks, then vanishes; the served snapshot goes on."""
    home = told.federation.node_home(A)
    told.steward("check", A, "check", "--json")
    file = home / "data" / "graduate.csv"
    whole = file.read_text(encoding="utf-8")
    write_rows(home, [*ROWS[:3], f"{PERSON},{VALUE},{SALARY},1,{VALUE},{PERSON}", *ROWS[3:]])
    told.steward("broken line: check", A, "check")
    told.steward("broken line: snapshot", A, "snapshot", "second")
    write_rows(home, [*ROWS, f'{PERSON},"{VALUE}'])
    told.steward("open quote: snapshot", A, "snapshot", "second")
    file.unlink()
    told.steward("vanished: snapshot", A, "snapshot", "second")
    told.researcher("ask", QUESTIONS["histogram"], "--rho", "0.0625")
    told.federation.kill(A)  # a restart with the source gone
    told.federation.start_node(A)
    wait_for_port(told.ports[A])
    told.both("while the source is gone", told.request(QUESTIONS["sum"], rho=0.25))
    file.write_text(whole, encoding="utf-8")


def _trouble_with_the_snapshot(told: Story) -> None:
    """Rows that cannot be read in the middle of an answer, then none at all, at both neighbours."""
    kept = {}
    for node in (A, B):
        (rows,) = (told.federation.node_home(node) / "snapshots").glob("*/graduate.arrow")
        kept[node] = rows
        shutil.copy(rows, rows.with_suffix(".kept"))
        rows.write_bytes(rows.read_bytes()[: rows.stat().st_size // 2])
    told.both("damaged rows", told.request(QUESTIONS["by field"], rho=0.75))
    told.researcher("ask", QUESTIONS["mean"], "--rho", "0.75")
    for rows in kept.values():
        rows.parent.rename(rows.parent.with_name("gone"))
    told.both("no snapshot", told.request(QUESTIONS["sum"], rho=0.75))
    told.researcher("ask", QUESTIONS["sum"], "--rho", "0.875")
    for rows in kept.values():
        rows.parent.with_name("gone").rename(rows.parent)
        rows.with_suffix(".kept").replace(rows)
    told.both("mended", told.request(QUESTIONS["by field"], rho=0.75))


def _every_command(told: Story) -> None:
    """All commands of researcher and ministry, each at least once; those that change the federation come last."""
    federation = told.federation
    identity = ask(federation, QUESTIONS["mean"], "--rho", "0.5")["request"]
    told.each(
        told.researcher,
        ("ask", QUESTIONS["by field"], "--rho", "0.5", "--json"),
        ("ask", QUESTIONS["by field"], "--rho", "0.5", "--csv"),
        ("result", identity, "--wait", "1"),
        ("result", identity, "--json", "--no-refresh"),
        ("result", "feedbeef"),
        ("requests", "--json"),
        ("schema", "graduate"),
        ("nodes", "--json"),
        ("nodes",),
        ("verify", "--all"),
        ("join", "collegium1.nonsense"),
        ("plan", QUESTIONS["by field"], "--rho", "1"),
        ("dummy", "graduate", "--rows", "5", "--out", str(federation.root / "researchers" / "dummy")),
        ("questions", "--json"),
        ("series", "nowhere.toml", "--over", "year=2024:2025"),
        ("indicators", "plan", "--period", "2026"),
        ("trust", "--out", str(federation.root / "researchers" / "trust")),
    )
    for program in told.typed:
        told.command(program, "version", home=None)
    other = federation.root / "elsewhere"
    told.command(
        "collegium-coordinator", "init", "--federation", "other", "--schema", federation.ministry.schema, "--host", "h", home=other
    )
    newer = federation.root / "newer.toml"
    newer.write_text(federation.ministry.schema.read_text(encoding="utf-8").replace("version = 1", "version = 2"), encoding="utf-8")
    told.each(
        told.ministry,
        ("nodes",),
        ("nodes", "--json"),
        ("budget",),
        ("budget", "--json"),
        ("backup", str(federation.home / "copy.db")),
        ("serve",),
        ("log", "export", str(federation.root / "exported")),
        ("witness", "list"),
        ("recover",),
        ("catalogue", str(federation.root / "nowhere.toml")),
        ("partition", "--by", "province", "--dry-run"),
        ("dial", "univ-c", "127.0.0.1:9"),
        ("invite", "node", "univ-c", "--fact", "province=11"),
        ("invite", "researcher", "zhao-lei"),
        ("revoke", "zhao-lei"),
        ("schema", str(newer)),
    )
    _every_command_of_a_trustee(told)
    told.steward("export", A, "log", "export", str(federation.root / "exported"))  # what an auditor is given
    told.command(
        "collegium",
        "audit",
        "verify",
        federation.root / "exported",
        "--policy",
        federation.root / "researchers" / "trust",
        "--evidence",
        federation.root / "researchers" / "evidence",
        home=None,
    )
    told.researcher("ask", QUESTIONS["persons"], "--rho", "0.5")  # the nodes still serve the older schema
    federation.kill(B)
    told.researcher("ask", QUESTIONS["sum"], "--rho", "0.5", "--deadline", "2")


def _every_command_of_a_trustee(told: Story) -> None:
    """It sees no data; what it writes and prints is looked through all the same."""
    federation = told.federation
    token = told.ministry("invite", "trustee", TRUSTEE).out.strip()
    told.each(told.trustee, ("init",), ("join", token))
    federation.start_trustee(TRUSTEE)
    told.each(
        told.trustee,
        ("status",),
        ("status", "--json"),
        ("keys", "--rotate", "--json"),
        ("backup", str(federation.trustee_home(TRUSTEE) / "copy.db")),
        ("log", "export", str(federation.root / "exported")),
        ("recover",),
        ("serve",),
    )


def test_the_canary_is_there_and_its_own_steward_sees_it(story: Story) -> None:
    """Else the other tests would prove nothing."""
    check = json.loads(story.terminal["check"].out)
    columns = {column["name"]: column for column in check["datasets"][0]["columns"]}
    assert [value["value"] for value in columns["field"]["unmapped"]] == [VALUE]
    assert columns["salary"]["above"]["count"] == 2
    assert check["datasets"][0]["persons"] == len(ROWS) + 1


def test_it_is_in_no_output_reply_or_error(story: Story) -> None:
    assert len(story.outside) > 80
    for where, said in story.outside.items():
        for canary in CANARIES:
            assert canary not in said, where
        assert b"Traceback" not in said, where


def test_it_is_in_no_file_of_the_ministry_or_the_researcher_and_in_no_log(story: Story) -> None:
    federation = story.federation
    folders = [
        federation.home,
        federation.home.with_name("ministry-registry"),
        federation.root / "researchers",
        federation.trustee_home(TRUSTEE),
        federation.root / "exported",
        federation.root / "logs",
    ]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    assert {file.name for file in files} >= {
        "coordinator.db",
        "copy.db",
        "registry.jsonl",
        f"{A}.log",
        f"{B}.log",
        "coordinator.log",
        f"{TRUSTEE}.log",
        "trustee.db",
    }
    for node in (A, B):
        files += list(federation.node_home(node).glob("node.db*"))  # what a backup copies, and an auditor will read
        files.append(federation.node_home(node) / "metrics.prom")  # what a campus hands to its monitoring
    for file in files:
        content = file.read_bytes()
        for canary in CANARIES:
            assert canary not in content, file


def test_the_serving_nodes_log_neither_names_files_nor_says_what_a_row_holds(story: Story) -> None:
    for node in (A, B):
        lines = (story.federation.root / "logs" / f"{node}.log").read_text(encoding="utf-8").splitlines()
        events = [json.loads(line)["event"] for line in lines]
        assert "question-failed" in events
        assert "answered" in events
        assert not any("csv" in line or "line " in line for line in lines)
        known = {"time", "event", "request", "researcher", "verdicts", "number", "type", "place", "size", "mode", "name", "port"}
        known |= {"changed", "code", "logger", "level"}
        assert all(set(json.loads(line)) <= known for line in lines)


@pytest.mark.parametrize(
    ("label", "place"),
    [
        ("broken line: check", "line 5"),
        ("broken line: snapshot", "line 5"),
        ("open quote: snapshot", "line 202"),
        ("vanished: snapshot", "graduate.csv"),
    ],
)
def test_the_nodes_terminal_names_file_and_line_but_no_value(story: Story, label: str, place: str) -> None:
    said = story.terminal[label]
    text = " ".join((said.out + said.err).split())
    assert said.code == 2, text
    assert place in text
    assert "Traceback" not in text
    for canary in CANARIES[:3]:
        assert canary.decode() not in text


def test_a_broken_or_vanished_source_changes_nothing_of_what_is_served(story: Story) -> None:
    reply = AnswerReply.FromString(story.direct["while the source is gone"][0].reply)
    assert [answer.verdict for answer in reply.answers] == [QuestionAnswer.RELEASED]
    assert len(list((story.federation.node_home(A) / "snapshots").glob("[0-9a-f]*"))) == 1  # nothing half-built


def test_every_command_was_typed(story: Story) -> None:
    """A command added later must be added here."""
    from collegium.cli import app as researcher
    from collegium_coordinator.cli import app as ministry
    from collegium_trustee.cli import app as trustee

    for program, app in zip(PROGRAMS, (researcher, ministry, trustee), strict=True):
        names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
        names |= {str(group.name) for group in app.registered_groups}
        assert names == story.typed[program]


EXPECTED = {
    **dict.fromkeys((*QUESTIONS, "the same again", "while the source is gone", "mended"), ("OK", QuestionAnswer.RELEASED, "")),
    "not allowed": ("OK", QuestionAnswer.REFUSED, "not-allowed"),
    "over the budget": ("OK", QuestionAnswer.REFUSED, "budget-period"),
    "not served": ("OK", QuestionAnswer.REFUSED, "no-dataset"),
    "damaged rows": ("OK", QuestionAnswer.FAILED, "snapshot-gone"),
    "no snapshot": ("OK", QuestionAnswer.FAILED, "failed"),
    "expired": ("INVALID_ARGUMENT", None, "expired"),
    "changed": ("PERMISSION_DENIED", None, "identity"),
    "other details": ("UNAUTHENTICATED", None, "malformed"),
    "empty": ("INVALID_ARGUMENT", None, "malformed"),
    "no protobuf": ("INVALID_ARGUMENT", None, "malformed"),
    "no note": ("INVALID_ARGUMENT", None, "malformed"),
    "huge": ("INVALID_ARGUMENT", None, "too-large"),
    "too huge": ("RESOURCE_EXHAUSTED", None, ""),
    "no such method": ("UNIMPLEMENTED", None, ""),
    "a gap in the registry": ("INVALID_ARGUMENT", None, "failed"),
    "status": ("OK", None, ""),
}


def test_each_call_ended_as_it_should(story: Story) -> None:
    assert set(EXPECTED) == set(story.direct)
    found = {}
    for label, (heard, _) in story.direct.items():
        verdict, reason = None, ""
        if heard.code == "OK" and label != "status":
            (answer,) = AnswerReply.FromString(heard.reply).answers
            verdict, reason = answer.verdict, answer.reason
        elif heard.details.startswith("{"):
            reason = json.loads(heard.details).get("reason", "")
        found[label] = (heard.code, verdict, reason)
    assert found == EXPECTED


def test_neighbours_are_told_apart_by_nothing_but_noise(story: Story) -> None:
    """Status, text and size of every reply, and everything in it that is not noise, a name, a time or a random id (P5, P16)."""
    for label, (here, there) in story.direct.items():
        assert (here.code, here.details) == (there.code, there.details), label
        if here.code != "OK" or label == "status":
            assert len(here.reply) == len(there.reply), label
        if here.code == "OK":
            show = _status if label == "status" else _public
            assert show(here.reply) == show(there.reply), label


def _status(reply: bytes) -> tuple[Any, ...]:
    """A status without the node's name, its snapshot's random id, and its signed policy, of which the size is left."""
    status = NodeStatus.FromString(reply)
    return status.version, status.registry_size, status.schema, list(status.datasets), len(status.snapshot), len(status.policy)


def _public(reply: bytes) -> list[Any]:
    """A reply without signatures, payload, names of the two, times, random ids; with the sizes of all of them.

    Where entries stand in the logs is left out, and the receipts, whose size follows from it: a log is public, and how often the
    coordinator asked its node again is a matter of moments.
    """
    seen: list[Any] = []
    for answer in AnswerReply.FromString(reply).answers:
        notes = [re.sub(rb'"(index|decision)":[0-9]+', b'"place":0', note) for note in (answer.decision, answer.release)]
        sizes = (*map(len, notes), len(answer.payload), len(answer.withdrawals))
        seen.append((answer.verdict, answer.reason, sizes))
        for note, statement in ((answer.decision, Decision), (answer.release, Release)):
            if not note:
                continue
            body = statement.read(note).to_body()
            body["log"] = body["time"] = body["snapshot"] = None
            body.pop("decision", None)  # of a release: the index of its charge
            body.get("payload", {}).pop("sha256", None)
            body.pop("original", None)
            seen.append(body)
    return seen


def test_what_the_coordinator_says_of_bad_requests_holds_nothing_either(story: Story, tmp_path: Path) -> None:
    """Errors of the coordinator's own port; it has stopped, so it is started once more."""
    federation = story.federation
    federation.serve()
    good = AnswerRequest.FromString(story.request(QUESTIONS["persons"]))
    cases = {
        "no note": AskRequest(request=b"x").SerializeToString(),
        "no protobuf": b"\xff" * 9,
        "changed": AskRequest(request=_changed(good.request), details=good.details).SerializeToString(),
        "huge": AskRequest(request=b"x" * (1 << 20)).SerializeToString(),
    }
    with as_researcher(federation) as line:
        for label, payload in cases.items():
            heard = line.call("/collegium.v1.Federation/Ask", payload, stream=True)
            assert heard.code in ("INVALID_ARGUMENT", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"), (label, heard)
            assert "Traceback" not in heard.details
            assert not any(canary in heard.details.encode() for canary in CANARIES)
    federation.stop()
