"""`collegium-coordinator catalogue`: the shipped one by default, a wrong one never, and a later version after an earlier one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collegium.errors import Invalid
from collegium.registry import Registry
from collegium_coordinator.cli import SHIPPED, app
from collegium_coordinator.config import Home, Listen, Public, read_config
from collegium_coordinator.registrar import init
from collegium_coordinator.store import Store

SCHEMA = Path(__file__).resolve().parents[2] / "examples" / "higher-education" / "schema.toml"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    init(
        home,
        home.default_registry,
        federation="demo",
        schema=SCHEMA.read_text(encoding="utf-8"),
        delta="1e-6",
        listen=Listen(),
        public=Public(main="a:1", enrolment="a:2", hosts=("a",)),
        clock=lambda: 1_790_000_000.0,
    )
    return home


def publish(home: Home, *words: str) -> Result:
    return CliRunner().invoke(app, ["catalogue", *words, "--home", str(home.path)])


def registry(home: Home) -> Registry:
    """As any party verifies it: from the entries alone."""
    store = Store(home.database)
    try:
        entries = [bytes(entry) for (entry,) in store.rows("SELECT entry FROM registry ORDER BY idx")]
    finally:
        store.close()
    found = Registry(read_config(home).registry)
    found.extend(entries)
    return found


def test_the_shipped_catalogue_is_published_once_and_followed_by_a_later_version(home: Home, tmp_path: Path) -> None:
    done = publish(home)
    assert done.exit_code == 0, done.output
    assert "The catalogue is now higher-education/1." in done.output
    text = SHIPPED.read_text(encoding="utf-8")
    assert registry(home).catalogues["higher-education/1"].toml == text

    again = publish(home)
    assert isinstance(again.exception, Invalid)
    assert again.exception.place == f"{SHIPPED}: version"

    later = tmp_path / "later.toml"
    later.write_text(text.replace("\nversion = 1\n", "\nversion = 2\n"), encoding="utf-8")
    assert publish(home, str(later)).exit_code == 0
    assert list(registry(home).catalogues) == ["higher-education/1", "higher-education/2"]


def test_a_catalogue_with_a_mistake_is_not_signed(home: Home, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(SHIPPED.read_text(encoding="utf-8").replace("is_mooc AND completed", "is_mooc AND done"), encoding="utf-8")
    done = publish(home, str(wrong))
    assert isinstance(done.exception, Invalid)
    assert done.exception.place == f'{wrong}: populations.completed_moocs.where 1:13 "done"'
    assert (registry(home).catalogues, registry(home).size) == ({}, 2)
    done = publish(home, str(tmp_path / "none.toml"))
    assert isinstance(done.exception, Invalid)
