"""Preparation, from raw files: what is stored of a person depends on that person's id and rows, and on nothing else.

Counts as failure: a person's prepared rows, row digests, person digest or their order change because another person is there or
not, or because rows or files are ordered, split or typed differently. Does not count: where in the arrays the person lies.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from campus import COLUMNS, HEADER, SCHEMA, SECRET, config, csv_config, people, prepared_csv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collegium.errors import Invalid
from collegium_node.digest import NodeSecret, load_secret, person_digests
from collegium_node.prepare import Prepared, order_rows, prepare

# Ids that look alike, and few distinct values, so that equal rows of one person and of several are frequent.
IDS = st.sampled_from(["1", "01", "1.0", "a", "A", "é", "学", "10", "2"])
ROW = st.tuples(
    st.sampled_from(["1", "2", " 1 ", "x", ""]),
    st.sampled_from(["01", "02", ""]),
    st.sampled_from(["yes", "0", ""]),
    st.sampled_from(["2020", "2021", "1900", "?"]),
    st.sampled_from(["3.57", "3.575", "", "9"]),
)
ROWS = st.lists(st.tuples(IDS, ROW), max_size=25)
Raw = list[tuple[str, tuple[str, str, str, str, str]]]


def text(rows: Raw) -> str:
    return "".join(",".join((identity, *values)) + "\n" for identity, values in rows)


def same(left: Prepared, right: Prepared) -> bool:
    return (
        left.frame.equals(right.frame)
        and left.row_digest.tolist() == right.row_digest.tolist()
        and left.offsets.tolist() == right.offsets.tolist()
        and left.person_digest.tolist() == right.person_digest.tolist()
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_removing_any_person_leaves_every_other_untouched(tmp_path: Path, rows: Raw) -> None:
    whole = people(prepared_csv(tmp_path, text(rows)))
    ids = {identity for identity, _ in rows}
    assert len(whole) == len(ids)
    for gone in ids:
        rest = people(prepared_csv(tmp_path, text([row for row in rows if row[0] != gone])))
        (digest,) = person_digests([gone], SECRET).tolist()
        assert rest == {person: stored for person, stored in whole.items() if person != digest}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, data=st.data())
def test_order_of_rows_and_split_over_files_do_not_matter(tmp_path: Path, rows: Raw, data: st.DataObject) -> None:
    whole = prepared_csv(tmp_path, text(rows))
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    (tmp_path / "part-1.csv").write_text(HEADER + text(shuffled[:cut]), encoding="utf-8")
    (tmp_path / "part-2.csv.gz").write_bytes(gzip.compress((HEADER + text(shuffled[cut:])).encode()))
    assert same(prepare("course", csv_config(tmp_path, "part-*"), SCHEMA, SECRET), whole)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_digests_follow_only_from_id_and_values(tmp_path: Path, rows: Raw) -> None:
    """Equal rows of a person have equal digests, other rows and the same rows of another person others."""
    stored = people(prepared_csv(tmp_path, text(rows)))
    seen: dict[int, tuple[int, tuple[int | None, ...]]] = {}
    for person, lines in stored.items():
        assert lines == sorted(lines, key=lambda line: line[-1] or 0)
        for *values, digest in lines:
            assert digest is not None
            assert 0 <= digest < 2**62
            assert seen.setdefault(digest, (person, tuple(values))) == (person, tuple(values))


def test_a_row_added_to_a_person_leaves_the_persons_other_rows_digests(tmp_path: Path) -> None:
    before = prepared_csv(tmp_path, "a,1,01,1,2020,3\nb,1,01,1,2020,3\n")
    after = prepared_csv(tmp_path, "a,1,01,1,2020,3\na,2,01,1,2021,2\nb,1,01,1,2020,3\n")
    assert set(before.row_digest.tolist()) < set(after.row_digest.tolist())


def test_a_person_in_several_files_and_types_is_one_person(tmp_path: Path) -> None:
    """A writer that met a gap stores whole numbers as floats: the ids must still be the same ids."""
    row: dict[str, object] = {"sex": "1", "field": "01", "passed": True, "year": 2020, "gpa": 3.5}
    for name, ids in {
        "a": pl.Series([1001, 1002], dtype=pl.Int64),
        "b": pl.Series(["1001", " 1002 "]),
        "c": pl.Series([1001.0, None]),
        "d": pl.Series([1001, 1002], dtype=pl.UInt32),
        "e": pl.Series(["1001", "1002"], dtype=pl.Categorical),
    }.items():
        frame = pl.DataFrame({"id": ids, **{key: [value] * 2 for key, value in row.items()}})
        if name in "bd":  # and the other columns differ in type too
            frame = frame.with_columns(pl.col("year", "gpa").cast(pl.String), pl.col("passed").cast(pl.Int8))
        frame.write_parquet(tmp_path / f"{name}.parquet")
    prepared = prepare("course", config(tmp_path, '[sources.rows]\nkind = "parquet"\npath = "*.parquet"\n'), SCHEMA, SECRET)
    assert sorted(person_digests(["1001", "1002"], SECRET).tolist()) == prepared.person_digest.tolist()
    assert prepared.frame.height == 9
    assert len(set(prepared.row_digest.tolist())) == 2
    csv = "".join(f"{identity},1,01,true,2020,3.5\n" for identity in ("1001", "1002"))
    assert set(prepared.row_digest.tolist()) == set(prepared_csv(tmp_path, csv).row_digest.tolist())


def test_a_gap_elsewhere_in_a_parquet_file_changes_nobody_else(tmp_path: Path) -> None:
    """Removing the only person with a missing value turns pandas' float column into a whole-number one."""
    columns: dict[str, list[object]] = {"sex": ["1", "2"], "field": ["01", "08"], "passed": [True, False], "gpa": [1.0, 2.0]}
    settings = config(tmp_path, '[sources.rows]\nkind = "parquet"\npath = "rows.parquet"\n')
    pl.DataFrame({"id": [7.0, 8.0], "year": [2020.0, None], **columns}).write_parquet(tmp_path / "rows.parquet")
    whole = people(prepare("course", settings, SCHEMA, SECRET))
    one = {name: values[:1] for name, values in columns.items()}
    pl.DataFrame({"id": [7], "year": [2020], **one}).write_parquet(tmp_path / "rows.parquet")
    rest = people(prepare("course", settings, SCHEMA, SECRET))
    assert rest.items() < whole.items()


def test_ids_that_floats_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    """19-digit ids beside a gap: the writer's floats have already merged persons, and nobody could bound one of them."""
    ids = [float(1_000_000_000_000_000_001), float(1_000_000_000_000_000_002), None]
    frame = pl.DataFrame({"id": ids, "sex": "1", "field": "01", "passed": True, "year": 2020, "gpa": 1.0})
    frame.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(Invalid, match="different persons share one") as caught:
        prepare("course", config(tmp_path, '[sources.rows]\nkind = "parquet"\npath = "rows.parquet"\n'), SCHEMA, SECRET)
    assert caught.value.place == str(tmp_path / "rows.parquet")


def test_ids_are_told_apart_by_their_text(tmp_path: Path) -> None:
    rows = "".join(f"{identity},1,01,1,2020,3\n" for identity in ("1", "01", "1.0", "a", "A", '"a,b"', " a ", "\u3000A"))
    assert len(people(prepared_csv(tmp_path, rows))) == 6


def test_rows_without_a_person_are_left_out(tmp_path: Path) -> None:
    prepared = prepared_csv(tmp_path, "1,1,01,1,2020,3\n,1,01,1,2020,3\n   ,1,01,1,2020,3\n")
    assert prepared.offsets.tolist() == [0, 1]


@pytest.mark.parametrize("rows", ["", ",1,01,1,2020,3\n"], ids=["no rows", "no person"])
def test_nobody_at_all(tmp_path: Path, rows: str) -> None:
    prepared = prepared_csv(tmp_path, rows)
    assert prepared.frame.shape == (0, 5)
    assert prepared.offsets.tolist() == [0]
    assert prepared.person_digest.shape == (0,)


def test_persons_whose_digests_collide_do_not_merge() -> None:
    """A real collision is not to be had, so the digests are given: two persons with one digest, rows mixed."""
    frame = pl.DataFrame({"v": pl.Series([1, 2, 3, 4], dtype=pl.Int8)})
    number = np.array([1, 0, 0, 1], dtype=np.int32)
    prepared = order_rows(frame, number, pa.array(["b", "a"], type=pa.large_string()), np.array([5, 5], dtype=np.int64), SECRET)
    assert prepared.offsets.tolist() == [0, 2, 4]
    assert prepared.person_digest.tolist() == [5, 5]
    values = prepared.frame["v"].to_list()
    assert [set(values[:2]), set(values[2:])] == [{1, 4}, {2, 3}]
    # (digest, raw id): who comes first does not depend on the numbers that the files' order gave out
    swapped = order_rows(frame, 1 - number, pa.array(["a", "b"], type=pa.large_string()), np.array([5, 5], dtype=np.int64), SECRET)
    assert same(prepared, swapped)


def test_another_secret_gives_other_digests(tmp_path: Path) -> None:
    prepared = prepared_csv(tmp_path, "1,1,01,1,2020,3\n")
    other = prepare("course", csv_config(tmp_path), SCHEMA, NodeSecret(bytes(32)))
    assert prepared.frame.equals(other.frame)
    assert prepared.person_digest.tolist() != other.person_digest.tolist()
    assert prepared.row_digest.tolist() != other.row_digest.tolist()


def test_person_digests_are_golden() -> None:
    """BLAKE2b-64 (RFC 7693), keyed and personalised, low 62 bits: stored snapshots of older versions stay readable."""
    assert person_digests(["1001", "学生", ""], SECRET).tolist() == GOLDEN


GOLDEN = [3779233156397102342, 2951876403667274570, 1106134363207536484]


def test_columns_that_nothing_is_mapped_to_are_there_and_unknown(tmp_path: Path) -> None:
    columns = COLUMNS.replace('gender = "sex"\n', "").replace('gpa = "gpa"\n', "")
    prepared = prepared_csv(tmp_path, "1,1,01,1,2020,3\n", columns=columns)
    assert prepared.frame.row(0, named=True) == {"gender": 3, "discipline": 0, "passed": 1, "year": 2020, "gpa": None}
    assert prepared.frame.columns == list(SCHEMA.datasets["course"].columns)


def test_the_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "snapshot.key"
    secret = load_secret(path)
    assert load_secret(path).key == secret.key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["snapshot.key"]
    assert secret.key.hex() not in repr(secret)
    with pytest.raises(TypeError):
        __import__("pickle").dumps(secret)
    path.write_bytes(b"short")
    with pytest.raises(Exception, match="32 bytes"):
        load_secret(path)
