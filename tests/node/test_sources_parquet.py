"""Parquet files, folders and globs, also where files store one column in different types."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from campus import config, rows_of

from collegium.errors import Invalid
from collegium_node.config import NodeConfig
from collegium_node.sources import read_source


def parquet(folder: Path, path: str) -> NodeConfig:
    return config(folder, f'[sources.rows]\nkind = "parquet"\npath = "{path}"\n')


def test_file_folder_and_glob(tmp_path: Path) -> None:
    folder = tmp_path / "rows" / "deep"
    folder.mkdir(parents=True)
    pl.DataFrame({"id": [1]}).write_parquet(folder / "a.parquet")
    pl.DataFrame({"id": [2]}).write_parquet(tmp_path / "rows" / "b.parquet")
    (tmp_path / "rows" / "_SUCCESS").write_text("")
    (tmp_path / "rows" / ".part.parquet").write_text("unfinished")
    (tmp_path / "rows" / "notes.txt").write_text("not rows")
    assert rows_of(parquet(tmp_path, "rows/b.parquet"))["id"].to_list() == [2]
    assert sorted(rows_of(parquet(tmp_path, "rows"))["id"].to_list()) == [1, 2]
    assert sorted(rows_of(parquet(tmp_path, "rows/**/*.parquet"))["id"].to_list()) == [1, 2]


def test_files_with_different_types_are_read_each_as_it_is(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1], "gpa": ["3.5"]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"id": [2.0], "gpa": [3.5]}).write_parquet(tmp_path / "b.parquet")
    batches = list(read_source("rows", parquet(tmp_path, "*.parquet"), ["gpa", "id"]))
    assert [batch.frame.dtypes for batch in batches] == [[pl.String, pl.Int64], [pl.Float64, pl.Float64]]
    assert [batch.first_row for batch in batches] == [1, 1]


def test_no_rows_still_have_columns(tmp_path: Path) -> None:
    pl.DataFrame({"id": [], "x": []}, schema={"id": pl.String, "x": pl.Int8}).write_parquet(tmp_path / "a.parquet")
    (batch,) = read_source("rows", parquet(tmp_path, "a.parquet"), ["x"])
    assert batch.frame.schema == {"x": pl.Int8}


def test_a_damaged_file_is_named_without_its_bytes(tmp_path: Path) -> None:
    for data in (b"", b"canary", b"PAR1canaryPAR1"):
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(Invalid) as caught:
            rows_of(parquet(tmp_path, "a.parquet"))
        assert caught.value.place == str(tmp_path / "a.parquet")
        assert "canary" not in str(caught.value)


def test_a_missing_column_names_file_and_neighbour(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1], "grade": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(Invalid) as caught:
        list(read_source("rows", parquet(tmp_path, "a.parquet"), ["id", "grades"]))
    assert caught.value.place == str(tmp_path / "a.parquet")
    assert caught.value.remedy == "Did you mean 'grade'?"
