"""A federation of processes as its operators see it: figures on loopback ports, one trace of a question, JSON lines, the watch.

Two universities (one exports traces, on its answer grid; the other does not), a trustee, and a collector of traces. Failure: a row,
a purpose, a statement or a researcher's name in anything of this; spans of the university that has not turned them on; a watch that
misses a change or does not end at Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, str(Path(__file__).parent))

from launch import BIN, Federation, Ministry, environment, free_port, wait_for_port
from small import RESEARCHER, SCHEMA, SOURCES, ask, campus, people, typed

A, B, TRUSTEE = "univ-a", "univ-b", "court"
PURPOSE = "PURPOSE8812"
SQL = "SELECT COUNT(DISTINCT student_id) AS label4471 FROM graduate"
SECRETS = (PURPOSE, "label4471", "student_id", "graduate", RESEARCHER)
GRID = 1000  # milliseconds

# Starting six processes and their commands takes a while; each claim has a quick test in its part's folder too.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@dataclass
class Watched:
    """What was served, posted and logged. `spans`: (service, trace id, name, attributes, start, end), times in nanoseconds."""

    federation: Federation
    ports: dict[str, int]
    request: str
    posted: list[bytes]

    def figures(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/metrics", timeout=10) as reply:
            return str(reply.read().decode())

    @property
    def spans(self) -> list[tuple[str, str, str, dict[str, Any], int, int]]:
        found = []
        for body in list(self.posted):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                (service,) = (each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        about = {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
                        times = span.start_time_unix_nano, span.end_time_unix_nano
                        found.append((service, span.trace_id.hex(), span.name, about, *times))
        return found

    def log(self, name: str) -> list[dict[str, Any]]:
        lines = (self.federation.root / "logs" / f"{name}.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the state did not come"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """What OTLP over HTTP posts to."""
    posted: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, collector: tuple[str, list[bytes]]) -> Iterator[Watched]:
    address, posted = collector
    ports = {name: free_port() for name in ("coordinator", A, B, TRUSTEE)}

    def settings(name: str) -> str:
        traces = f"[limits]\nanswer_grid_ms = {GRID}\n[traces]\nexport = true\n" if name == A else ""
        return f'[metrics]\nlisten = "127.0.0.1:{ports[name]}"\n{traces}'

    with pytest.MonkeyPatch.context() as patch:
        # An operator's environment, which the processes inherit.
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        federation = Federation(tmp_path_factory.mktemp("federation"), Ministry(federation="small", schema=SCHEMA))
        try:
            federation.found()
            file = federation.home / "coordinator.toml"
            head, _, _ = file.read_text(encoding="utf-8").partition("[metrics]")
            file.write_text(head + settings("coordinator"), encoding="utf-8")
            federation.start("coordinator", "collegium-coordinator", "serve", "--home", federation.home, "--log-format", "json")
            wait_for_port(federation.port)
            federation.join(RESEARCHER)
            for university in (campus(name, people(40), sources=settings(name) + SOURCES) for name in (A, B)):
                federation.install(university, federation.invite_node(university))
                federation.start_node(university.name)
            federation.install_trustee(TRUSTEE)
            (federation.trustee_home(TRUSTEE) / "trustee.toml").write_text(settings(TRUSTEE), encoding="utf-8")
            federation.start_trustee(TRUSTEE)
            federation.wait_connected(RESEARCHER, 2)
            request = ask(federation, SQL, "--rho", "0.5", "--purpose", PURPOSE)["request"]
            yield Watched(federation, ports, request, posted)
        finally:
            federation.stop()


def test_everybodys_figures_are_on_a_loopback_port(watched: Watched) -> None:
    expected = {
        "coordinator": [
            'collegium_coordinator_answers_total{verdict="released"} 2.0',
            'collegium_coordinator_nodes{state="connected"} 2.0',
            'collegium_coordinator_trustees{state="connected"} 1.0',
        ],
        A: ['collegium_node_answers_total{verdict="released"} 1.0', "collegium_node_connected 1.0"],
        B: ['collegium_node_answers_total{verdict="released"} 1.0'],
        TRUSTEE: ["collegium_trustee_connected 1.0", 'collegium_trustee_rounds{state="open"} 0.0'],
    }
    for name, lines in expected.items():
        until(lambda name=name, lines=lines: all(f"{line}\n" in watched.figures(name) for line in lines))  # type: ignore[misc]
        text = watched.figures(name)
        assert ("process_resident_memory_bytes" in text) == (name in ("coordinator", TRUSTEE))
        assert not any(secret in text for secret in (*SECRETS, watched.request[:16])), name
        homes = {"coordinator": watched.federation.home, TRUSTEE: watched.federation.trustee_home(TRUSTEE)}
        assert (homes.get(name) or watched.federation.node_home(name)).joinpath("metrics.prom").is_file()


def test_one_trace_of_the_question_with_the_steps_of_the_node_that_exports(watched: Watched) -> None:
    def mine(service: str) -> list[tuple[str, dict[str, Any], int, int]]:
        return [(name, about, *times) for where, trace, name, about, *times in watched.spans
                if (where, trace) == (service, watched.request[:32])]  # fmt: skip

    until(lambda: {"question", "fan-out", "sign"} <= {span[0] for span in mine("collegium-coordinator")})
    until(lambda: "answer" in {span[0] for span in mine("collegium-node")})
    coordinator, node = mine("collegium-coordinator"), mine("collegium-node")
    assert {about["collegium.node"] for name, about, *_ in coordinator if name == "ask"} == {A, B}
    assert {about["collegium.node"] for _, about, *_ in node} == {A}
    assert {f"step {n}" for n in range(1, 9)} <= {name for name, *_ in node}
    assert all((end - start) % (GRID * 10**6) < 10**6 or (start - end) % (GRID * 10**6) < 10**6 for _, _, start, end in node)
    assert not any(secret.encode() in body for body in watched.posted for secret in SECRETS)


def test_logs_are_json_and_name_the_request(watched: Watched) -> None:
    lines = watched.log("coordinator")
    assert {"time", "event", "logger", "level", "text"} <= set(lines[-1])
    assert any(line["event"] == "traces-exported" and line["grid_ms"] == GRID for line in watched.log(A))
    assert not any(line["event"] == "traces-exported" for line in watched.log(B))
    text = json.dumps(lines)
    assert not any(secret in text for secret in SECRETS[:4])


def test_the_watch_says_each_change_and_ends_at_ctrl_c(watched: Watched) -> None:
    federation = watched.federation
    command = [BIN / "collegium", "nodes", "--watch", "--every", "1", "--json", "--home", federation.researcher_home(RESEARCHER)]
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    try:
        first = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert {(each["name"], each["role"]) for each in first} == {(A, "node"), (B, "node"), (TRUSTEE, "trustee")}
        assert all(each["per_node"] == "allow" and each["snapshot_time"] > 0 for each in first if each["role"] == "node")
        federation.kill(B)
        said = {}
        while said.get("state") != "offline":
            said = json.loads(process.stdout.readline())
        assert said["name"] == B
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()  # type: ignore[union-attr]
    assert typed("collegium", "nodes", home=federation.researcher_home(RESEARCHER)).code == 0
    assert os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
