"""A bar where somebody looks on and nowhere else: scripts, pipes and logs stay clean."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from collegium.client import Federation
from collegium.progress import Bar, followed, watched
from collegium.v1.federation_pb2 import Progress


@pytest.mark.parametrize(
    ("wanted", "looks_on", "shown"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_a_bar_is_shown_where_it_is_wanted_or_somebody_looks_on(wanted: bool | None, looks_on: bool, shown: bool) -> None:
    with followed(5, wanted, watched=lambda: looks_on) as bar:
        assert isinstance(bar, Bar) == shown
        if bar is not None:
            bar(Progress(asked=5, released=2, refused=1))


def test_a_script_whose_output_is_piped_is_not_watched() -> None:
    code = "from collegium.progress import followed, watched\nwith followed(3, None) as bar: print(watched(), bar)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False None\n"
    assert done.stderr == ""


class Recorded(Federation):
    """Takes requests without a connection and remembers who followed them."""

    def __init__(self) -> None:
        self.followers: list[Any] = []

    def hand_in(self, prepared: Any, *, deadline: float = 0.0, on_progress: Callable[[Progress], None] | None = None) -> Progress:
        self.followers.append(on_progress)
        return Progress()

    def result(self, request: str, **_: Any) -> Any:
        return request


def test_asking_in_python_shows_a_bar_when_told_and_none_in_a_script() -> None:
    federation, prepared = Recorded(), SimpleNamespace(id="1", audience=("a", "b"))

    def own(report: Progress) -> None:
        raise AssertionError(report)

    for settings in ({}, {"progress": False}, {"progress": True}, {"on_progress": own}, {"on_progress": own, "progress": True}):
        federation.submit(prepared, **settings)  # type: ignore[arg-type]
    none, told_not, told, given, both = federation.followers
    assert told_not is None
    assert none is None or watched()  # somebody may run this test in a terminal, without capturing
    assert isinstance(told, Bar)
    assert (given, both) == (own, own)
