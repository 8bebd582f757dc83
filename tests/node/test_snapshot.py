"""Snapshots on disk: complete or not there, private, without ids, and read back without a copy."""

from __future__ import annotations

import fcntl
import json
import os
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from campus import HEADER, SCHEMA, SECRET, csv_config

from collegium.errors import CollegiumError, Failed, Invalid, Refused
from collegium_node.config import NodeConfig
from collegium_node.prepare import prepare
from collegium_node.snapshot import Snapshot, build_snapshot, load, read_snapshot, remove_snapshot

ROWS = "canary1,1,01,1,2020,3.57\ncanary2,2,08,,1999,\ncanary1,2,01,0,2021,4\n"


def settings(folder: Path, rows: str = ROWS) -> NodeConfig:
    (folder / "rows.csv").write_text(HEADER + rows)
    return csv_config(folder)


def build(folder: Path, config: NodeConfig, name: str = "autumn 秋") -> Snapshot:
    return build_snapshot(name, config, SCHEMA, SECRET, folder / "home", lambda: 1_780_000_000.7)


def test_what_is_written_is_what_was_prepared(tmp_path: Path) -> None:
    config = settings(tmp_path)
    made = build(tmp_path, config)
    prepared = prepare("course", config, SCHEMA, SECRET)
    read = load(tmp_path / "home", made.id, "course")
    assert list(read.columns) == list(SCHEMA.datasets["course"].columns)
    assert pl.DataFrame(list(read.columns.values())).equals(prepared.frame)
    assert read.row_digest.tolist() == prepared.row_digest.tolist()
    assert read.offsets.tolist() == prepared.offsets.tolist() == [0, *read.offsets.tolist()[1:]]
    assert read.person_digest.tolist() == prepared.person_digest.tolist()
    assert (read.rows, read.persons) == (3, 2)
    assert read_snapshot(tmp_path / "home", made.id) == made
    assert (made.name, made.time, made.schema, dict(made.datasets)) == ("autumn 秋", 1_780_000_000, "campus/1", {"course": (3, 2)})


def test_types_are_fixed_by_the_schema_not_by_data(tmp_path: Path) -> None:
    made = [build(tmp_path, settings(tmp_path, rows)) for rows in (ROWS, "", "x,1,01,1,2020,\n")]
    types = [{n: c.dtype for n, c in load(tmp_path / "home", one.id, "course").columns.items()} for one in made]
    assert types[0] == types[1] == types[2]
    assert list(types[0].values()) == [pl.UInt16, pl.UInt16, pl.UInt16, pl.Int16, pl.Int16]
    assert load(tmp_path / "home", made[1].id, "course").offsets.tolist() == [0]


def test_reading_maps_the_file_and_copies_nothing(tmp_path: Path) -> None:
    read = load(tmp_path / "home", build(tmp_path, settings(tmp_path)).id, "course")
    maps = [
        (int(start, 16), int(end, 16))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(".arrow")
        for start, end in [line.split()[0].split("-")]
    ]
    full = [column.to_numpy() for column in read.columns.values() if not column.null_count()]
    arrays = [read.row_digest, read.offsets, read.person_digest, *full]
    assert len(arrays) == 7
    for array in arrays:
        assert any(start <= array.__array_interface__["data"][0] < end for start, end in maps)
        assert not array.flags.writeable
    assert all(column.n_chunks() == 1 for column in read.columns.values())
    assert read.row_digest.dtype == np.int64


def test_no_id_and_no_secret_is_written_and_only_the_user_can_read(tmp_path: Path) -> None:
    made = build(tmp_path, settings(tmp_path))
    folder = tmp_path / "home" / "snapshots" / made.id
    for path in (folder, folder.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["course.arrow", "course.persons.arrow", "meta.json"]
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"canary" not in file.read_bytes()
        assert SECRET.key not in file.read_bytes()


def test_what_is_shown_of_a_snapshot_has_no_figures(tmp_path: Path) -> None:
    made = build(tmp_path, settings(tmp_path))
    assert repr(load(tmp_path / "home", made.id, "course")) == "PreparedDataset(course)"
    assert repr(made) == f"Snapshot({made.id}, 'autumn 秋', course)"


def test_ids_are_random_also_for_the_same_data(tmp_path: Path) -> None:
    config = settings(tmp_path)
    assert build(tmp_path, config).id != build(tmp_path, config).id


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", " edge", "\x1b[2J"])
def test_a_name_is_one_printable_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        build(tmp_path, settings(tmp_path), name)
    assert caught.value.place == "name"


def test_a_broken_source_leaves_nothing_behind(tmp_path: Path) -> None:
    config = settings(tmp_path, ROWS + "ragged\n")
    with pytest.raises(Invalid, match="line 5"):
        build(tmp_path, config)
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(Invalid, match="no file"):
        build(tmp_path, config)
    assert [path.name for path in (tmp_path / "home" / "snapshots").iterdir()] == [".lock"]


def test_nothing_mapped_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no dataset is mapped"):
        build(tmp_path, csv_config(tmp_path, columns=""))


def test_a_full_disk_fails_leaves_nothing_and_the_next_build_works(tmp_path: Path) -> None:
    config = settings(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # a write beyond fails in the middle of a file, as on a full disk
    try:
        with pytest.raises(Failed) as caught:
            build(tmp_path, config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Free disk space" in caught.value.remedy
    assert [path.name for path in (tmp_path / "home" / "snapshots").iterdir()] == [".lock"]
    build(tmp_path, config)


def test_a_home_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(Failed) as caught:
        build(tmp_path, settings(tmp_path))
    assert caught.value.place == str(tmp_path / "home" / "snapshots")


def test_a_build_that_died_is_swept_away_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "home" / "snapshots" / ".0123456789abcdef.tmp"
    left.mkdir(parents=True)
    (left / "course.arrow").write_bytes(b"half")
    kept = build(tmp_path, settings(tmp_path))
    assert not left.exists()
    build(tmp_path, settings(tmp_path))
    load(tmp_path / "home", kept.id, "course")


def test_two_builds_at_once_do_not_meet(tmp_path: Path) -> None:
    build(tmp_path, settings(tmp_path))
    lock = os.open(tmp_path / "home" / "snapshots" / ".lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Failed, match="another snapshot is being made"):
            build(tmp_path, settings(tmp_path))
    finally:
        os.close(lock)


def spoil_gone(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def spoil_cut(folder: Path) -> None:
    file = folder / "course.arrow"
    os.truncate(file, file.stat().st_size // 2)


def spoil_empty(folder: Path) -> None:
    os.truncate(folder / "course.persons.arrow", 0)


def spoil_meta(folder: Path) -> None:
    (folder / "meta.json").write_text("{")


def spoil_rows(folder: Path) -> None:
    tree = json.loads((folder / "meta.json").read_text())
    tree["datasets"]["course"]["rows"] += 1
    (folder / "meta.json").write_text(json.dumps(tree))


@pytest.mark.parametrize("spoil", [spoil_gone, spoil_cut, spoil_empty, spoil_meta, spoil_rows])
def test_a_damaged_snapshot_is_gone_never_a_wrong_answer(tmp_path: Path, spoil: object) -> None:
    made = build(tmp_path, settings(tmp_path))
    assert callable(spoil)
    spoil(tmp_path / "home" / "snapshots" / made.id)
    with pytest.raises(Failed) as caught:
        load(tmp_path / "home", made.id, "course")
    assert caught.value.reason == "snapshot-gone"


@pytest.mark.parametrize("identity", ["0123456789abcdef", "../../../etc", "", "0123456789ABCDEF", "0123456789abcdef/"])
def test_an_unknown_id_never_leaves_the_folder(tmp_path: Path, identity: str) -> None:
    with pytest.raises(CollegiumError) as caught:
        load(tmp_path / "home", identity, "course")
    assert caught.value.reason == "snapshot-gone"


def test_a_dataset_that_a_snapshot_never_had(tmp_path: Path) -> None:
    made = build(tmp_path, settings(tmp_path))
    with pytest.raises(Refused) as caught:
        load(tmp_path / "home", made.id, "staff")
    assert caught.value.reason == "no-dataset"


def test_removing_a_snapshot(tmp_path: Path) -> None:
    made = build(tmp_path, settings(tmp_path))
    remove_snapshot(tmp_path / "home", made.id)
    for gone in (load, lambda root, identity, _: remove_snapshot(root, identity)):
        with pytest.raises(Failed) as caught:
            gone(tmp_path / "home", made.id, "course")
        assert caught.value.reason == "snapshot-gone"


def test_a_person_has_one_digest_in_every_snapshot_and_source(tmp_path: Path) -> None:
    first = load(tmp_path / "home", build(tmp_path, settings(tmp_path)).id, "course")
    (tmp_path / "more.csv").write_text(HEADER + ROWS)
    second = load(tmp_path / "home", build(tmp_path, csv_config(tmp_path, "more.csv")).id, "course")
    assert first.person_digest.tolist() == second.person_digest.tolist()
