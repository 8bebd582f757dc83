"""A line names the request it was written for, however deep, and JSON stays one object a line."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from collegium.observing.current import working_for
from collegium.observing.loglines import log_to

REQUEST = "ab" * 32
log = logging.getLogger("collegium.coordinator.fanout")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    here = logging.getLogger()
    handlers, level = here.handlers[:], here.level
    yield
    here.handlers[:], here.level = handlers, level


def test_json_is_one_object_a_line_with_the_nodes_field_names() -> None:
    stream = io.StringIO()
    log_to(stream, form="json")
    log.info("two\nlines, and 北京")
    with working_for(REQUEST, "univ-a"):
        log.warning("its answer does not verify")
        try:
            raise ValueError("x")
        except ValueError:
            log.exception("asking broke")
    first, second, third = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first == {
        "time": first["time"], "event": "fanout", "logger": log.name, "level": "INFO", "text": "two\nlines, and 北京",
    }  # fmt: skip
    assert (second["request"], second["node"], second["level"]) == (REQUEST, "univ-a", "WARNING")
    assert (third["type"], third["place"].partition(":")[0]) == ("ValueError", "test_loglines.py")
    assert "ValueError: x" in third["trace"]


def test_text_names_the_request_once() -> None:
    stream = io.StringIO()
    log_to(stream)
    with working_for(REQUEST):
        log.info("asked")
        log.info("request %s: asked", REQUEST[:12])
    log.info("idle")
    first, second, third = stream.getvalue().splitlines()
    assert first.endswith(f"INFO {log.name}: asked [{REQUEST[:12]}]")
    assert second.count(REQUEST[:12]) == 1
    assert third.endswith("idle")


def test_debug_lines_only_when_wanted() -> None:
    stream = io.StringIO()
    log_to(stream, form="json")
    log.debug("no")
    log_to(stream, form="json", verbose=True)
    log.debug("yes")
    assert [json.loads(line)["text"] for line in stream.getvalue().splitlines()] == ["yes"]


def test_tasks_keep_whom_they_work_for() -> None:
    stream = io.StringIO()
    log_to(stream, form="json")

    async def one(request: str) -> None:
        with working_for(request):
            await asyncio.sleep(0)
            await asyncio.to_thread(log.info, "deep down")

    async def run() -> None:
        await asyncio.gather(*(one(f"{n:064x}") for n in range(10)))

    asyncio.run(run())
    assert sorted(int(json.loads(line)["request"], 16) for line in stream.getvalue().splitlines()) == list(range(10))
