"""The file and the port show one and the same look, only on this machine, and a reader learns nothing between two looks."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram
from pydantic import ValidationError

from collegium.errors import Failed
from collegium.observing.exposition import Exposition, ProcessFigures
from collegium.observing.families import COARSE, coarse, gauges
from collegium.observing.settings import MetricsConfig, host_and_port


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return reply.read().decode()


def test_port_and_file_show_the_last_look_and_nothing_newer(tmp_path: Path) -> None:
    shown = Exposition(tmp_path / "metrics.prom")
    counter = Counter("asked", "Questions.", ["verdict"], registry=shown.live)
    counter.labels("released").inc()
    port = shown.listen("127.0.0.1:0")
    try:
        assert "asked_total" not in fetch(port)  # nobody has looked yet
        shown.write()
        first = fetch(port)
        assert 'asked_total{verdict="released"} 1.0\n' in first
        assert (tmp_path / "metrics.prom").read_text() == first
        counter.labels("released").inc()
        assert [fetch(port) for _ in range(3)] == [first] * 3  # however often somebody asks
        shown.write()
        assert 'asked_total{verdict="released"} 2.0\n' in fetch(port)
        assert [file.name for file in tmp_path.iterdir()] == ["metrics.prom"]
    finally:
        shown.close()
    with pytest.raises(OSError):
        fetch(port)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Failed, match="cannot be opened") as raised:
            Exposition(tmp_path / "metrics.prom").listen(f"127.0.0.1:{port}")
    assert raised.value.place == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9464", "[::]:9464", "192.168.1.7:9464", "node.example:9464", "127.0.0.1", ":9464", "x"]
)
def test_only_a_loopback_address_is_taken(address: str) -> None:
    with pytest.raises(ValidationError):
        MetricsConfig(listen=address)


def test_loopback_addresses_are_taken() -> None:
    assert MetricsConfig().listen == ""
    assert host_and_port(MetricsConfig(listen="localhost:9464").listen) == ("127.0.0.1", 9464)
    assert host_and_port(MetricsConfig(listen="[::1]:0").listen) == ("::1", 0)


def test_what_a_process_holds_is_shown_only_where_it_holds_no_rows(tmp_path: Path) -> None:
    names = {what: {each.name for each in ProcessFigures(what).collect()} for what in ("all", "handles")}  # type: ignore[arg-type]
    assert "process_resident_memory_bytes" in names["all"]
    assert names["handles"] == {"process_open_fds", "process_max_fds", "process_start_time_seconds"}


def test_durations_are_coarse_in_the_sum_too(tmp_path: Path) -> None:
    texts = []
    for seconds in (1.01, 2.99):
        shown = Exposition(tmp_path / "metrics.prom")
        histogram = Histogram("took", "Seconds.", buckets=COARSE, registry=shown.live)
        histogram.observe(coarse(seconds))
        shown.write()
        texts.append([line for line in shown.text().splitlines() if "_created" not in line])
    assert texts[0] == texts[1]
    assert coarse(10**6) > COARSE[-1]


def test_a_figure_without_samples_is_no_mistake() -> None:
    assert gauges("nobody", "Nobody.", []).samples == []
