"""SQL sources: join, filter, derive over named sources, and reach nothing else."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from campus import config, rows_of

from collegium.errors import CollegiumError, Invalid, Refused
from collegium_node.config import NodeConfig
from collegium_node.sources import read_source
from collegium_node.sources.sql import cautions


def campus(folder: Path, query: str, more: str = "") -> NodeConfig:
    (folder / "s.csv").write_text("id,sex\n1,Male\n2,Female\n3,\n")
    (folder / "t.csv").write_text("id,term,gpa\n1,20191,3.5\n1,20201,2.0\n2,20191,x\n")
    files = "".join(f'[sources.{name}]\nkind = "csv"\npath = "{name}.csv"\n' for name in "st")
    return config(folder, f"{files}[sources.rows]\nkind = 'sql'\nquery = '''{query}'''\n{more}")


def test_join_filter_derive(tmp_path: Path) -> None:
    query = """
        WITH firsts AS (SELECT id, min(term) AS first FROM t GROUP BY id)
        SELECT s.id, s.sex, CAST(left(t.term, 4) AS INT) AS year, TRY_CAST(gpa AS DOUBLE) AS gpa, first
        FROM s JOIN t USING (id) JOIN firsts USING (id) WHERE s.sex IS NOT NULL
    """
    frame = rows_of(campus(tmp_path, query)).sort("id", "year")
    assert frame.rows() == [
        ("1", "Male", 2019, 3.5, "20191"),
        ("1", "Male", 2020, 2.0, "20191"),
        ("2", "Female", 2019, None, "20191"),
    ]


def test_a_source_may_be_named_twice_and_a_sql_source_used(tmp_path: Path) -> None:
    more = "[sources.more]\nkind = 'sql'\nquery = 'SELECT * FROM rows UNION ALL SELECT * FROM rows'\n"
    settings = campus(tmp_path, "SELECT a.id, b.sex FROM s a JOIN s b USING (id)", more)
    assert rows_of(settings, "more").height == 6


def test_empty_csv_values_are_null_in_a_query(tmp_path: Path) -> None:
    assert rows_of(campus(tmp_path, "SELECT id FROM s WHERE sex IS NULL"))["id"].to_list() == ["3"]


def test_files_of_different_types_become_text_for_a_query(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1], "x": [1]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"x": [2.0], "id": ["2"]}).write_parquet(tmp_path / "b.parquet")
    more = "[sources.p]\nkind = 'parquet'\npath = '*.parquet'\n"
    assert rows_of(campus(tmp_path, "SELECT id, x FROM p ORDER BY id", more)).rows() == [("1", "1"), ("2", "2")]


def test_no_rows_still_have_columns(tmp_path: Path) -> None:
    (batch,) = read_source("rows", campus(tmp_path, "SELECT id, 1 AS x FROM s WHERE false"), ["x"])
    assert batch.frame.columns == ["x"]
    assert batch.frame.height == 0


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM 't.csv'",
        "SELECT * FROM '{folder}/t.csv'",
        "SELECT * FROM read_csv('{folder}/t.csv')",
        "SELECT * FROM read_text('{folder}/t.csv')",
        "SELECT * FROM read_parquet('x.parquet')",
        "SELECT * FROM glob('*')",
        "SELECT id, (SELECT count(*) FROM read_text('{folder}/t.csv')) AS n FROM s",
        "SELECT * FROM 'https://example.org/x.csv'",
        "COPY s TO '{folder}/stolen.csv'",
        "ATTACH '{folder}/x.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELECT 1 AS id; SELECT 2 AS id",
        "CREATE TABLE x AS SELECT * FROM s",
        "DROP TABLE s",
    ],
)
def test_reaching_beyond_the_sources_is_refused(tmp_path: Path, query: str) -> None:
    settings = campus(tmp_path, query.format(folder=tmp_path))
    with pytest.raises(Refused) as caught:
        rows_of(settings)
    assert caught.value.by == "policy"
    assert caught.value.place.endswith("sources.rows")
    assert caught.value.remedy
    assert not (tmp_path / "stolen.csv").exists()


def test_a_variable_of_the_program_is_no_table(tmp_path: Path) -> None:
    leaked = pl.DataFrame({"id": [1]})
    assert leaked.height == 1
    with pytest.raises(Invalid, match="no source 'leaked'"):
        rows_of(campus(tmp_path, "SELECT * FROM leaked"))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT * FROM students", "there is no source 'students'"),
        ("SELECT sexe FROM s", "sexe"),
        ("SELEC id FROM s", "SELEC"),
        ("SELECT CAST(gpa AS DOUBLE) AS gpa, id FROM t", "a value cannot be converted"),
        ("", "one SELECT"),
    ],
)
def test_a_wrong_query_is_named_with_its_source(tmp_path: Path, query: str, text: str) -> None:
    settings = campus(tmp_path, query or ";")
    with pytest.raises(CollegiumError) as caught:
        rows_of(settings)
    assert caught.value.place.endswith("sources.rows")
    assert text in caught.value.text


def test_a_circle_of_queries_is_refused(tmp_path: Path) -> None:
    more = "[sources.b]\nkind = 'sql'\nquery = 'SELECT * FROM rows'\n"
    with pytest.raises(Invalid, match="rows → b → rows"):
        rows_of(campus(tmp_path, "SELECT * FROM b", more))
    with pytest.raises(Invalid, match="rows → rows"):
        rows_of(campus(tmp_path, "SELECT * FROM rows"))


def test_a_broken_file_behind_a_query_keeps_its_own_place(tmp_path: Path) -> None:
    settings = campus(tmp_path, "SELECT * FROM t")
    (tmp_path / "t.csv").write_text("id,term,gpa\n1\n")
    with pytest.raises(Invalid) as caught:
        rows_of(settings)
    assert caught.value.place == f"{tmp_path / 't.csv'}, line 2"


def test_queries_through_which_persons_depend_on_each_other_are_cautioned() -> None:
    assert cautions("SELECT s.*, left(term, 4) FROM s JOIN t USING (id) WHERE gpa > 2") == []
    assert cautions("SELECT id, min(term) FROM t GROUP BY id") == []
    assert cautions("SELECT *, row_number() OVER (PARTITION BY id ORDER BY term) FROM t") == []
    assert cautions("SELECT * FROM t LIMIT 10") == ["LIMIT or OFFSET"]
    assert cautions("SELECT *, rank() OVER (ORDER BY gpa) FROM t") == ["a window without PARTITION BY"]
    assert cautions("SELECT * FROM t USING SAMPLE 10%") == ["a sample or a random number"]
    assert cautions("SELECT * FROM t WHERE gpa > (SELECT avg(gpa) FROM t)") == ["an aggregate compared or joined with rows"]
