"""A real federation for the system tests: real processes, real TLS on loopback, small synthetic universities.

Started once for a test file; a test that kills something starts it again or is the last of its file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "higher-education"
sys.path.insert(0, str(EXAMPLE))

from generate import UNIVERSITIES, node_toml, write  # noqa: E402 - the example is no package
from launch import Federation, Ministry, University  # noqa: E402

RESEARCHER = "li-wei"
SCALE = 0.1
NAMES = ("jade-lake", "plum-garden", "spring-city")  # CSV, Parquet, and GB18030 with Chinese headings


def campus(name: str, *, scale: float = SCALE, **settings: object) -> University:
    """One of the example's universities, small."""
    found = next(each for each in UNIVERSITIES if each.name == name)
    return University(
        **{
            "name": found.name,
            "facts": {"province": found.province, "character": "01", "level": "本科"},
            "enrolment": found.graduates,
            "sources": node_toml(found),
            "write": lambda home: write(found, home / "data", scale),
            "allow": (RESEARCHER,),
            **settings,
        }  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Federation]]:
    """Starts federations of given universities; all are stopped at the end of the file."""
    running: list[Federation] = []

    def begin(*universities: University, researchers: tuple[str, ...] = (RESEARCHER,), **ministry: object) -> Federation:
        settings = {"federation": "test", "schema": EXAMPLE / "schema.toml", **ministry}
        federation = Federation(tmp_path_factory.mktemp("federation"), Ministry(**settings))  # type: ignore[arg-type]
        running.append(federation)
        federation.open(universities, researchers)
        return federation

    yield begin
    for federation in running:
        federation.stop()


@pytest.fixture(scope="module")
def federation(start: Callable[..., Federation]) -> Federation:
    """Three universities and one researcher."""
    return start(*(campus(name) for name in NAMES))
