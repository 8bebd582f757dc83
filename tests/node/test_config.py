"""node.toml: what is written there is what is meant, and every mistake is named with its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from campus import COLUMNS, SCHEMA, config, csv_config

from collegium.errors import Invalid
from collegium_node import config as module
from collegium_node.config import CsvConfig, PostgresConfig, dsn_of, parse_config, read_config
from collegium_node.mapping import plan_dataset

FILE = Path("node.toml")


def test_the_manual_in_the_docstring_is_a_valid_file() -> None:
    manual = re.sub(r"(?m)^    ", "", (module.__doc__ or "").split("::\n", 1)[1].rsplit("\nA value that", 1)[0])
    tree = tomllib.loads(manual)
    settings = parse_config(manual, FILE)
    assert set(settings.sources) == set(tree["sources"])
    assert settings.datasets["enrolment"].columns["sex"].default == "9"
    assert settings.datasets["enrolment"].wanted == ("id", "year_of_entry", "sex")
    assert isinstance(settings.sources["students"], CsvConfig)


def test_defaults_fit_a_node_that_has_not_joined() -> None:
    settings = parse_config("", FILE)
    assert settings.node.name == ""
    assert settings.coordinator.mode == "dial"
    assert settings.limits.answer_grid_ms == 0
    assert not settings.sources


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[nodes]\n", "node.toml: nodes"),
        ("file = 'x'", "node.toml: file"),
        ("[node]\nnames = 'a'", "node.toml: node.names"),
        ("[node]\nname = 'Univ A'", "node.toml: node.name"),
        ("[coordinator]\nmode = 'call'", "node.toml: coordinator.mode"),
        ("[coordinator]\nlisten = 'here'", "node.toml: coordinator.listen"),
        ("[coordinator]\nproxy = 'proxy:3128'", "node.toml: coordinator.proxy"),
        ("[limits]\nmax_parallel = 0", "node.toml: limits.max_parallel"),
        ("[sources.A]\nkind = 'csv'\npath = 'x'", "node.toml: sources.A"),
        ("[sources.a]\nkind = 'excel'\npath = 'x'", "node.toml: sources.a"),
        ("[sources.a]\nkind = 'csv'", "node.toml: sources.a.path"),
        ("[sources.a]\nkind = 'csv'\npath = ''", "node.toml: sources.a.path"),
        ("[sources.a]\nkind = 'csv'\npath = 'x'\nencoding = 'latin1'", "node.toml: sources.a.encoding"),
        ("[sources.a]\nkind = 'csv'\npath = 'x'\nseparator = '\"'", "node.toml: sources.a.separator"),
        ("[sources.a]\nkind = 'csv'\npath = 'x'\nquery = 'x'", "node.toml: sources.a.query"),
        ("[sources.a]\nkind = 'postgres'\nquery = 'SELECT 1'", "node.toml: sources.a"),
        ("[sources.a]\nkind = 'postgres'\nquery = 'x'\ndsn = 'x'\ndsn_env = 'X'", "node.toml: sources.a"),
        ("[datasets.d]\nsource = 'gone'\nperson = 'id'\ncolumns.a = 'b'", "node.toml"),
        ("[datasets.d]\nsource = 'gone'\nperson = 'id'\ncolumns = {}", "node.toml: datasets.d.columns"),
        ("[datasets.d]\nsource = 'a'\nperson = 'id'\ncolumns.a = {}", "node.toml: datasets.d.columns.a"),
        (
            "[datasets.d]\nsource = 'a'\nperson = 'id'\ncolumns.a = {constant = '1', default = 'b'}",
            "node.toml: datasets.d.columns.a",
        ),
        ("[node", "node.toml"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, place: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_config(text, FILE)
    assert caught.value.place == place
    assert caught.value.text


@pytest.mark.parametrize(
    ("column", "place"),
    [
        ('gender = { column = "sex", map = { Male = "7" } }', "gender.map.Male"),
        ('gender = { column = "sex", default = "x" }', "gender.default"),
        ('gender = { constant = "male" }', "gender.constant"),
        ('passed = { column = "p", map = { A = "2" } }', "passed.map.A"),
        ('gpa = { column = "g", map = { A = "four" } }', "gpa.map.A"),
        ('gpas = "g"', "gpas"),
    ],
)
def test_a_target_that_the_schema_lacks_is_found_before_any_row_is_read(tmp_path: Path, column: str, place: str) -> None:
    columns = f'[datasets.course]\nsource = "rows"\nperson = "id"\n[datasets.course.columns]\n{column}\n'
    with pytest.raises(Invalid) as caught:
        plan_dataset("course", csv_config(tmp_path, columns=columns), SCHEMA)
    assert caught.value.place == f"{tmp_path / 'node.toml'}: datasets.course.columns.{place}"
    assert caught.value.remedy


def test_a_dataset_that_the_schema_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no dataset 'courses'"):
        plan_dataset("courses", csv_config(tmp_path, columns=COLUMNS.replace("course", "courses")), SCHEMA)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="collegium-node init"):
        read_config(tmp_path / "node.toml")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_bytes(b"\xef\xbb\xbf[node]\nname = 'a'\n")
    assert read_config(tmp_path / "node.toml").node.name == "a"


def test_a_connection_string_comes_from_its_variable_and_is_not_shown() -> None:
    by_name = PostgresConfig(kind="postgres", dsn_env="STAFF", query="SELECT 1")
    assert dsn_of(by_name, "here", {"STAFF": "postgresql://a"}) == "postgresql://a"
    with pytest.raises(Invalid, match="STAFF is not set"):
        dsn_of(by_name, "here", {})
    assert "secret" not in repr(PostgresConfig(kind="postgres", dsn="postgresql://u:secret@h", query="SELECT 1"))


def test_the_configuration_cannot_be_changed(tmp_path: Path) -> None:
    settings = config(tmp_path, '[sources.rows]\nkind = "parquet"\npath = "x"\n')
    with pytest.raises(ValueError, match="frozen"):
        settings.limits = None  # type: ignore[assignment,misc]
