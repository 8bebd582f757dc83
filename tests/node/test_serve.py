"""The serving process itself: real TLS, real rows, signals. What is in the rows appears nowhere outside."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from onenode import _CA, NODE, SCHEMA, Asked, Ministry, OneNode, Researcher, certify, question

from collegium.errors import CollegiumError, Refused
from collegium.keys import save_secret
from collegium.statements import Release
from collegium.transport.channels import TlsFiles, client_channel
from collegium.transport.node_client import ChannelCaller, NodeClient
from collegium.v1.node_pb2 import AnswerReply, AnswerRequest, LearnRequest, QuestionAnswer

CANARY = "CANARY7c3f"
NUMBER = 977  # a salary that only one person has
PERSONS = 400
LIVE = 2_000_000_000  # expiry: these processes use the real clock


@dataclass
class Campus:
    """A folder ready to serve, and the process when it runs."""

    one: OneNode
    researcher: Researcher
    port: int
    process: subprocess.Popen[bytes] | None = None
    output: list[bytes] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.one.home.root

    def command(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([_node(), *words, "--home", str(self.home)], capture_output=True, check=False)

    def start(self) -> None:
        command = [_node(), "serve", "--home", str(self.home)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            self.output.append(line)
            if b'"serving"' in line or not line:
                return

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        self.output.append(self.process.communicate(timeout=60)[0])  # also closes the pipe
        return self.process.returncode

    def call(self, work: Callable[[NodeClient, Any], Awaitable[Any]], role: str = "coordinator", name: str = "coordinator") -> Any:
        async def run() -> Any:
            chain, key, _ = certify(role, name)
            files = TlsFiles(_CA.encode(), chain, key)
            channel = client_channel(f"localhost:{self.port}", ca=files.ca, server=NODE, me=files)
            try:
                return await work(NodeClient(ChannelCaller(channel)), channel)
            finally:
                await channel.close()

        return asyncio.run(run())

    def answer(self, *questions: Any, purpose: str = "test") -> AnswerReply:
        asked = self.researcher.ask(*questions, expiry=LIVE, purpose=purpose)
        return self.call(lambda node, _: node.answer(request(asked), timeout=60.0))


def request(asked: Asked) -> AnswerRequest:
    return AnswerRequest(request=asked.note, details=asked.details, receipt=asked.receipt)


def _node() -> str:
    return str(Path(sys.executable).with_name("collegium-node"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ministry, Researcher]:
    """A joined folder with a snapshot, made once; each test gets a copy."""
    tmp_path = tmp_path_factory.mktemp("campus")
    ministry = Ministry(SCHEMA)
    researcher = Researcher(ministry, "li-wei")
    one = OneNode(tmp_path / "home", ministry)
    one.now[0] = time.time()
    one.learn()
    chain, key, csr = certify("node", NODE)
    for path, content in ((one.home.keys.certificate, chain), (one.home.keys.tls_key, key), (one.home.keys.request, csr)):
        save_secret(path, content)
    rows = [f"{CANARY}-{n},{'M' if n % 2 else CANARY},{NUMBER if n == 7 else n}" for n in range(PERSONS)]
    (tmp_path / "rows.csv").write_text("id,gender,pay\n" + "\n".join(rows) + "\n", encoding="utf-8")
    one.home.config_file.write_text(
        f"""
        [node]
        name = "{NODE}"
        [coordinator]
        mode = "listen"
        listen = "127.0.0.1:7444"
        [sources.rows]
        kind = "csv"
        path = "../rows.csv"
        [datasets.graduate]
        source = "rows"
        person = "id"
        [datasets.graduate.columns]
        sex = {{ column = "gender", map = {{ M = "1" }} }}
        salary = "pay"
        """,
        encoding="utf-8",
    )
    one.home.policy_file.write_text(
        "[budget.student]\nperiod = 'year'\nrho = 5\nlifetime_rho = 50\n[[allow]]\nresearcher = 'li-wei'\ndatasets = '*'\n",
        encoding="utf-8",
    )
    made = Campus(one, researcher, 0).command("snapshot", "autumn")
    assert made.returncode == 0, made
    one.node.close()
    return tmp_path / "home", ministry, researcher


@pytest.fixture
def campus(prepared: tuple[Path, Ministry, Researcher], tmp_path: Path) -> Iterator[Campus]:
    template, ministry, researcher = prepared
    shutil.copytree(template, tmp_path / "home")
    one = OneNode.__new__(OneNode)
    one.ministry = ministry
    one.attach(tmp_path / "home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = one.home.config_file
    config.write_text(config.read_text(encoding="utf-8").replace("7444", str(port)), encoding="utf-8")
    campus = Campus(one, researcher, port)
    yield campus
    if campus.process is not None:
        campus.process.kill()
        campus.process.communicate()


def test_it_answers_from_real_rows_and_says_who_it_is(campus: Campus) -> None:
    campus.start()
    status = campus.call(lambda node, _: node.status())
    assert (status.name, status.schema, list(status.datasets)) == (NODE, "small/1", ["graduate"])
    reply = campus.answer(question(10**9), question(dataset="term"))
    assert [a.verdict for a in reply.answers] == [QuestionAnswer.RELEASED, QuestionAnswer.REFUSED]
    figure = int(np.frombuffer(reply.answers[0].payload, "<i8")[0])
    assert abs(figure - PERSONS) < 20  # scale 1/sqrt(2): 28 standard deviations

    async def health(_: NodeClient, channel: Any) -> Any:
        return await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="collegium.v1.Node"))

    assert campus.call(health).status == health_pb2.HealthCheckResponse.SERVING

    async def services(_: NodeClient, channel: Any) -> list[str]:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        return [service.name async for answer in call for service in answer.list_services_response.service]

    assert "collegium.v1.Node" in campus.call(services)
    with pytest.raises(Refused):  # a researcher's certificate is good TLS and the wrong party
        campus.call(lambda node, _: node.status(), role="researcher", name="li-wei")
    assert campus.stop() == 0


def test_a_canary_in_the_rows_appears_nowhere(campus: Campus) -> None:
    """In no reply, no log line, no error, no database; also when things fail inside the engine (P15)."""
    campus.start()
    seen = [campus.answer(question(10**6)).SerializeToString()]
    snapshots = campus.home / "snapshots"
    rows = next(snapshots.glob("*/graduate.arrow"))
    whole = rows.read_bytes()
    rows.write_bytes(whole[: len(whole) // 2])  # the engine stumbles in the middle of the rows
    failed = campus.answer(question(10**6, value=1))
    assert failed.answers[0].verdict == QuestionAnswer.FAILED
    seen.append(failed.SerializeToString())
    (snapshots / rows.parent.name / "meta.json").write_text(CANARY, encoding="utf-8")
    seen.append(campus.answer(question(10**6, value=2)).SerializeToString())
    campus.answer(question(10**6, value=1), purpose="again")
    for note in (b"x", CANARY.encode() * 100):
        with pytest.raises(CollegiumError) as raised:
            campus.call(lambda node, _, note=note: node.answer(AnswerRequest(request=note, details=b""), timeout=60.0))
        seen.append(repr(vars(raised.value)).encode())
    assert campus.stop() == 0
    lines = b"".join(campus.output).splitlines()
    assert len(lines) >= 6
    assert any(b"question-failed" in line for line in lines)
    for line in lines:
        assert set(json.loads(line)) >= {"time", "event"}  # whatever is written is one of our lines
    others = [*seen, *lines, (campus.home / "node.db").read_bytes()]
    for wal in campus.home.glob("node.db-*"):
        others.append(wal.read_bytes())
    for text in others:
        assert CANARY.encode() not in text
        assert str(NUMBER).encode() not in text or b'"time"' in text or text[:6] == b"SQLite"
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in snapshots.rglob("*.arrow"))


def test_sigterm_finishes_what_is_in_flight(campus: Campus) -> None:
    campus.one.home.config_file.write_text(
        campus.one.home.config_file.read_text(encoding="utf-8") + "\n[limits]\nanswer_grid_ms = 1500\n", encoding="utf-8"
    )
    campus.start()
    asked = campus.researcher.ask(question(), expiry=LIVE)

    async def in_flight(node: NodeClient, _: Any) -> AnswerReply:
        await node.status()
        call = asyncio.create_task(node.answer(request(asked), timeout=60.0))
        while not campus.one.entries("request"):  # it has reached the ledger, and its answer waits for the grid
            await asyncio.sleep(0.01)
        assert campus.process is not None
        campus.process.send_signal(signal.SIGTERM)
        return await call

    assert campus.call(in_flight).answers[0].verdict == QuestionAnswer.RELEASED
    assert campus.process is not None
    assert campus.process.wait(30) == 0


def test_a_full_disk_ends_the_process(campus: Campus) -> None:
    """The file-size limit of the process stands for the disk: SQLite cannot grow its log."""
    size = max(path.stat().st_size for path in campus.home.glob("node.db*"))
    shell = f"ulimit -f {size // 1024 + 8}; trap '' XFSZ; exec {_node()} serve --home {campus.home}"
    campus.process = subprocess.Popen(["bash", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert campus.process.stdout is not None
    while b'"serving"' not in campus.process.stdout.readline():
        pass

    def fill() -> None:
        for value in range(300):
            campus.answer(*[question(value=value * 20 + n) for n in range(20)])

    with pytest.raises(CollegiumError) as raised:
        fill()
    assert raised.value.kind in ("failed", "offline")
    output = campus.process.communicate(timeout=30)[0]
    assert campus.process.returncode == 1
    assert b"StorageBroken" in output
    charged = campus.one.charged()
    assert charged > 0
    campus.one.node.journal.verify()
    campus.start()  # the disk has room again: everything that was promised is there
    assert campus.answer(question(value=0)).answers[0].verdict == QuestionAnswer.RELEASED
    assert campus.one.charged() == charged


def test_the_stewards_word_reaches_a_serving_node(campus: Campus) -> None:
    campus.start()
    newcomer = Researcher(campus.one.ministry, "wang-fang")
    learn = LearnRequest(first=0, entries=campus.one.ministry.entries, checkpoint=campus.one.ministry.checkpoint())
    assert campus.call(lambda node, _: node.learn(learn)).registry_size == len(campus.one.ministry.entries)
    campus.researcher = newcomer
    assert campus.answer(question()).answers[0].reason == "not-allowed"
    assert campus.command("budget", "--set", "student", "--epsilon", "1", "--lifetime-epsilon", "2").returncode == 0
    assert campus.command("allow", "--researcher", "wang-fang", "--hold").returncode == 0
    asked = newcomer.ask(question(), expiry=LIVE)
    held = request(asked)
    assert campus.call(lambda node, _: node.answer(held, timeout=60.0)).answers[0].verdict == QuestionAnswer.HELD
    assert asked.id[:12] in campus.command("requests").stdout.decode()
    assert campus.command("allow", asked.id[:10]).returncode == 0
    answer = campus.call(lambda node, _: node.answer(held, timeout=60.0)).answers[0]
    assert answer.verdict == QuestionAnswer.RELEASED
    assert campus.command("withdraw", asked.id[:10], "--reason", "wrong upload").returncode == 0
    again = campus.call(lambda node, _: node.answer(held, timeout=60.0)).answers[0]
    assert again.payload == answer.payload
    assert len(again.withdrawals) == 1
    assert Release.read(again.release).snapshot
    second = campus.command("serve")
    assert second.returncode == 1
    assert b"being served already" in second.stderr
    # SIGHUP signs the file as it is now
    campus.one.home.policy_file.write_text("", encoding="utf-8")
    before = len(campus.one.entries("policy"))
    assert campus.process is not None
    os.kill(campus.process.pid, signal.SIGHUP)
    while len(campus.one.entries("policy")) == before:
        time.sleep(0.02)
    assert campus.answer(question()).answers[0].reason == "not-allowed"


def test_grpc_says_nothing_by_itself() -> None:
    """What gRPC prints is none of our lines; the variable is set before gRPC is loaded, unless the operator has set it."""
    script = (
        "import os, sys\n"
        "sys.argv = ['collegium-node', 'version']\n"
        "from collegium_node.cli import main\n"
        "assert 'grpc' not in sys.modules\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(os.environ['GRPC_VERBOSITY'])\n"
    )
    for given, seen in ((None, "ERROR"), ("DEBUG", "DEBUG")):
        environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
        environment |= {"GRPC_VERBOSITY": given} if given else {}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.splitlines()[-1] == seen


def test_a_renewed_certificate_is_taken_up_at_once() -> None:
    """The renewal is followed by a new connection: `renewed` of the line is called, and closes what is open."""
    from collegium.party.dialling import Dialling

    closed: list[float] = []

    class Open:
        async def close(self, *, grace: float) -> None:
            closed.append(grace)

    line = Dialling.__new__(Dialling)
    line._live = [Open()]  # type: ignore[list-item]
    asyncio.run(line.renewed())
    assert len(closed) == 1
    assert closed[0] > 0  # what is in flight may finish


def test_renewal_reconnects(campus: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from collegium.party import serving as module
    from collegium.party.lines import Lines

    renewed: list[str] = []
    monkeypatch.setattr(module, "renew_now", lambda node, clock: renewed.append("fetched"))
    monkeypatch.setattr(module, "renew_at", lambda pem: 0.0 if not renewed else float("inf"))

    async def connect() -> None:
        renewed.append("connected")

    async def run() -> None:
        task = asyncio.create_task(module.renew_forever(campus.one.node, Lines(io.StringIO()), time.time, connect))
        while len(renewed) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert renewed == ["fetched", "connected"]
