"""CSV as campuses really export it: read as it is, or refused with file and line and without anybody's data."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
from campus import csv_config, rows_of

from collegium.errors import Invalid
from collegium_node.sources import csv as module
from collegium_node.sources import read_source


def read(folder: Path, data: bytes, more: str = "", name: str = "rows.csv") -> pl.DataFrame:
    (folder / name).write_bytes(data)
    return rows_of(csv_config(folder, name, more))


def refused(folder: Path, data: bytes, more: str = "", name: str = "rows.csv") -> Invalid:
    with pytest.raises(Invalid) as caught:
        read(folder, data, more, name)
    assert "canary" not in str(caught.value)
    assert caught.value.remedy
    return caught.value


def test_everything_is_text_and_nothing_is_guessed(tmp_path: Path) -> None:
    frame = read(tmp_path, b"id,code,x\n0017,01,1e5\n18,true,2024-01-01\n")
    assert frame.rows() == [("0017", "01", "1e5"), ("18", "true", "2024-01-01")]
    assert set(frame.dtypes) == {pl.String}


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfid,name\n1,x\n2,y\n",
        b"id,name\r\n1,x\r\n2,y\r\n",
        b'"id" , name\n1,"x"\n2,y',
        b"\nid,name\n\n1,x\n\n2,y\n\n",
    ],
    ids=["byte order mark", "CRLF", "quoted header, no last line end", "empty lines"],
)
def test_the_forms_that_spreadsheets_write(tmp_path: Path, data: bytes) -> None:
    frame = read(tmp_path, data)
    assert frame.columns == ["id", "name"]
    assert frame.rows() == [("1", "x"), ("2", "y")]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_gb18030(tmp_path: Path, mark: str, name: str) -> None:
    data = f"{mark}学号,姓名\r\n1,张𠮷\r\n".encode("gb18030")
    frame = read(tmp_path, gzip.compress(data) if name.endswith("gz") else data, 'encoding = "gb18030"', name)
    assert frame.rows(named=True) == [{"学号": "1", "姓名": "张𠮷"}]


def test_gz_in_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    data = gzip.compress(b"id,x\n1,a\n") + gzip.compress(b"2,b\n")
    assert read(tmp_path, data, name="rows.csv.gz").rows() == [("1", "a"), ("2", "b")]


def test_quotes_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    frame = read(tmp_path, b'id,note\n1,"a, ""b""\r\nc"\n2,d\n')
    assert frame.rows() == [("1", 'a, "b"\r\nc'), ("2", "d")]
    # the last value of the file holds a line end, which alone is no fault
    assert read(tmp_path, b'id,note\n1,"a\nb"\n').rows() == [("1", "a\nb")]


def test_separator_and_null_values(tmp_path: Path) -> None:
    frame = read(tmp_path, b"id;x;y\n1;NA; \n2; n/a ;-\n3;NAN;0\n", 'separator = ";"\nnull_values = ["NA", "n/a", "-"]')
    assert frame.rows() == [("1", None, None), ("2", None, None), ("3", "NAN", "0")]


def test_a_header_alone_is_no_rows(tmp_path: Path) -> None:
    frame = read(tmp_path, b"id,x\n")
    assert frame.shape == (0, 2)


@pytest.mark.parametrize(
    ("data", "line", "text"),
    [
        (b"id,x\n1,a\ncanary\n3,c\n", 3, "1 values where the header has 2"),
        (b"id,x\n1,a\n2,canary,c\n", 3, "3 values where the header has 2"),
        (b'id,x\n1,"a\n\nb"\n\n2\n', 6, "1 values where the header has 2"),
        (b'id,x\n1,a\n2,"canary\n3,c\n4,d\n', 3, "a quote is opened and never closed"),
        (b'id,x\n1,"a\n2,b\n3,"canary"\n4,c,d\n', 2, "goes on after its closing quote"),
        (b"id,x\n1,a\n2,canary\xff\n", 3, "not utf-8"),
        ("id,x\n1,a\n2,中文\n".encode("gb18030"), 3, "not utf-8"),
    ],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_a_broken_line_is_named(tmp_path: Path, data: bytes, line: int, text: str, name: str) -> None:
    error = refused(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name=name)
    assert error.place == f"{tmp_path / name}, line {line}"
    assert text in error.text


def test_another_encoding_is_proposed(tmp_path: Path) -> None:
    assert 'encoding = "gb18030"' in refused(tmp_path, "id,x\n1,中文\n".encode("gb18030")).remedy
    broken = refused(tmp_path, b"id,x\n1,a\n2,\xff\xff\n", 'encoding = "gb18030"')
    assert broken.place.endswith("line 3")


def test_a_quote_left_open_in_a_large_file_is_found(tmp_path: Path) -> None:
    data = b"id,x\n" + b"1,a\n" * 1000 + b'2,"canary\n' + b"3,c\n" * (module.BLOCK // 2)
    error = refused(tmp_path, data)
    assert error.place.endswith("line 1002")
    assert "never closed" in error.text


@pytest.mark.parametrize(
    ("data", "name", "text"),
    [
        (b"", "rows.csv", "the file is empty"),
        (b"\n\n", "rows.csv", "the file is empty"),
        (b"id,x,id\n1,2,3\n", "rows.csv", "names 'id' twice"),
        ("id,x\n1,2\n".encode("utf-16-le"), "rows.csv", "not text in this encoding"),
        (gzip.compress(b"id,x\n" + bytes(range(48, 58)) * 999, mtime=0)[:-30], "rows.csv.gz", "damaged or cut off"),
        (b"id,x\n1,a\n", "rows.csv.gz", "damaged or cut off"),
    ],
)
def test_what_is_no_csv_file_is_refused(tmp_path: Path, data: bytes, name: str, text: str) -> None:
    error = refused(tmp_path, data, name=name)
    assert text in error.text
    assert str(tmp_path / name) in error.place


def test_a_missing_file_and_an_empty_glob_name_the_path(tmp_path: Path) -> None:
    for path in ("gone.csv", "gone-*.csv"):
        with pytest.raises(Invalid, match="gone"):
            rows_of(csv_config(tmp_path, path))
    (tmp_path / "folder").mkdir()
    with pytest.raises(Invalid, match="has no"):
        rows_of(csv_config(tmp_path, "folder"))


def test_a_glob_is_read_file_by_file_in_order_with_places(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("x,id\nq,3\n")
    (tmp_path / "a.csv").write_text("id,x\n1,p\n2,p\n")
    settings = csv_config(tmp_path, "*.csv")
    assert rows_of(csv_config(tmp_path, "[ab].csv")).height == 3
    batches = list(read_source("rows", settings, ["id"]))
    assert [(Path(batch.place).name, batch.first_row, batch.frame["id"].to_list()) for batch in batches] == [
        ("a.csv", 2, ["1", "2"]),
        ("b.csv", 2, ["3"]),
    ]


def test_a_column_that_one_file_lacks_is_never_filled_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,sex\n1,p\n")
    (tmp_path / "b.csv").write_text("id,sexe\n2,p\n")
    with pytest.raises(Invalid) as caught:
        list(read_source("rows", csv_config(tmp_path, "*.csv"), ["id", "sex"]))
    assert caught.value.place == str(tmp_path / "b.csv")
    assert "Did you mean 'sexe'?" in caught.value.remedy
    with pytest.raises(Invalid, match=r"differs from that of a\.csv in: sex, sexe"):
        rows_of(csv_config(tmp_path, "*.csv"))


def test_only_the_wanted_columns_are_given(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,c\n1,2,3\n")
    (batch,) = read_source("rows", csv_config(tmp_path), ["b"])
    assert batch.frame.columns == ["b"]
