"""The node's figures say what policy and log decided, never what a tally found or how long it took.

Failure: two nodes whose rows (and so whose tallies, times and memory) differ and whose figures do; a name of a researcher, a
request, a purpose; more series than the closed lists give.
"""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from time import sleep

import pytest
from onenode import OneNode, Researcher, federation, question

from collegium.party.lines import Lines
from collegium_node.metrics import ENDS, OWN_EVENTS, VERDICTS, Metrics

PURPOSE = "PURPOSE8812"
DOCS = Path(__file__).parent.parent.parent / "docs" / "watching.md"


def documented(role: str) -> set[str]:
    """Full names of this part's figures in the operators' page, its alerts included."""
    return {name for name in re.findall(rf"collegium_{role}_[a-z_]+", DOCS.read_text(encoding="utf-8")) if not name.endswith("_")}


def told(one: OneNode, researcher: Researcher, *, slow: float = 0.0) -> Metrics:
    """One released, one refused, one repeated question, and figures of them."""
    one.engine.on_tally = lambda: sleep(slow)
    lines = Lines(one.stream)
    metrics = Metrics(one.node, lambda: one.now[0], lines=lines, waiting=lambda: 0)
    one.answering._lines = lines
    one.answer(researcher.ask(question(rho=250_000_000), purpose=PURPOSE))
    one.answer(researcher.ask(question(rho=250_000_000), question(rho=10**12), purpose=PURPOSE))
    metrics.write()
    return metrics


def samples(text: str) -> dict[str, float]:
    found = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in found if "_created" not in name and not name.startswith("process_")}


@pytest.fixture
def world(tmp_path: Path) -> tuple[OneNode, Researcher]:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    return one, researcher


def test_what_was_said_is_counted_and_budgets_are_those_of_the_log(world: tuple[OneNode, Researcher]) -> None:
    one, researcher = world
    one.now[0] += 3600
    found = samples(told(one, researcher).text())
    assert found['collegium_node_answers_total{verdict="released"}'] == 2
    assert found['collegium_node_answers_total{verdict="refused"}'] == 1
    assert found['collegium_node_answers_total{verdict="held"}'] == 0
    assert found['collegium_node_events_total{event="answered"}'] == 2
    assert found['collegium_node_budget_spent_rho{span="period",unit="student"}'] == 0.25
    assert found['collegium_node_budget_rho{span="period",unit="student"}'] == 1
    assert found['collegium_node_budget_rho{span="lifetime",unit="staff"}'] == 1000
    assert found["collegium_node_snapshot_age_seconds"] == 3600
    assert found["collegium_node_log_entries"] == len(one.entries())
    assert found["collegium_node_registry_entries"] == len(one.ministry.entries)
    assert found["collegium_node_certificate_days_left"] == -1  # this node has none


def test_what_the_operators_page_names_is_there(world: tuple[OneNode, Researcher]) -> None:
    one, _ = world
    metrics = Metrics(one.node, lambda: one.now[0], lines=one.lines, dials=True, waiting=lambda: 0)
    metrics.write()
    assert documented("node") <= {name.partition("{")[0] for name in samples(metrics.text())}


def test_held_requests_are_counted(world: tuple[OneNode, Researcher]) -> None:
    one, researcher = world
    one.allow(researcher, mode="hold")
    one.answer(researcher.ask(question()))
    metrics = Metrics(one.node, lambda: one.now[0])
    metrics.write()
    assert samples(metrics.text())["collegium_node_requests_held"] == 1


def test_nobody_and_nothing_asked_is_named_and_the_series_are_few(world: tuple[OneNode, Researcher]) -> None:
    one, researcher = world
    text = told(one, researcher).text()
    for secret in (PURPOSE, researcher.name, "salary", "graduate", one.home.root.name, *re.findall("[0-9a-f]{64}", text)):
        assert secret not in text, secret
    before = set(samples(text))
    assert set(samples(told(one, researcher).text())) == before
    process = {line.split()[0] for line in text.splitlines() if line.startswith("process_")}
    assert process == {"process_open_fds", "process_max_fds", "process_start_time_seconds"}  # no memory, no processor time
    names = {name.partition("{")[0] for name in before}
    assert not any(word in name for name in names for word in ("second", "bytes", "cpu", "memory") if "age" not in name)


def test_an_event_that_nobody_foresaw_makes_no_series(world: tuple[OneNode, Researcher]) -> None:
    one, _ = world
    lines = Lines(one.stream)
    metrics = Metrics(one.node, lambda: one.now[0], lines=lines)
    for n in range(50):
        lines.event(f"something-{n}")
    lines.event("submitted", verdict="RELEASED 13800138000")
    lines.event("round-ended", how="counted")
    lines.event("round-ended", how="13800138000")
    metrics.write()
    found = samples(metrics.text())
    assert found['collegium_node_events_total{event="other"}'] == 50
    assert found['collegium_node_submissions_total{verdict="released"}'] == 1
    assert found['collegium_node_rounds_ended_total{how="counted"}'] == 1
    assert "13800138000" not in metrics.text()
    assert "ready" in VERDICTS
    assert set(ENDS) == {"counted", "left-out", "no-close"}
    assert "submitted" in OWN_EVENTS


def test_nodes_that_differ_in_their_rows_show_the_same(tmp_path: Path) -> None:
    shown = []
    for name, slow in (("few", 0.0), ("many", 0.15)):
        one, researcher = federation(tmp_path / name)
        one.allow(researcher)
        metrics = told(one, researcher, slow=slow)
        shown.append(samples(metrics.text()))
    assert shown[0] == shown[1]


def test_the_port_serves_what_the_file_holds(world: tuple[OneNode, Researcher]) -> None:
    one, researcher = world
    metrics = told(one, researcher)
    port = metrics.listen("127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            assert reply.read().decode() == one.home.metrics_file.read_text()
    finally:
        metrics.close()
