"""Snapshots: what the datasets of a node are until the steward makes the next one.

On disk, below the node's home::

    snapshots/<id>/                 16 hex characters, random; a digest of the content exists nowhere
        meta.json                   id, name, time, schema, for each dataset its rows and persons, and the columns to which
                                    nothing is mapped; stays on this machine
        <dataset>.arrow             one uncompressed Arrow batch, memory-mapped when read; rows lie person by person
            one column a schema column, in the schema's order:
                category, boolean   UInt16 index of the code, `number of codes` for unknown; never null
                integer, decimal    steps, clamped to the bounds, in the smallest signed type that holds them; null when missing
            _row                    Int64 keyed digest of the row, of its person's id and its own values alone
        <dataset>.persons.arrow     one row a person and one more
            offset                  Int64 first row of the person; last: number of rows
            digest                  Int64 keyed digest of the person's id; last: 0

Persons lie in the order of (digest, raw id), the rows of one in the order of (row digest, values): nothing about one person's rows
depends on who else is in the files or on the order of the files. Raw ids are never written. A boundary between two persons lies
where the raw id changes, so two persons whose digests collide never merge.

Trusted with every person's coded rows; an attacker who holds the folder can read them, though not whose they are without
`snapshot.key` or knowledge of the rows. The folder is readable by the node's user alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from collegium.errors import CollegiumError, Failed, Invalid, Refused
from collegium.party.durable import new_file, sync_folder
from collegium.schema import Schema
from collegium_node.config import NodeConfig
from collegium_node.digest import NodeSecret
from collegium_node.mapping import plan_dataset
from collegium_node.prepare import Prepared, prepare

__all__ = ["PreparedDataset", "Snapshot", "build_snapshot", "load", "read_snapshot", "remove_snapshot", "write_dataset"]

Int64s = npt.NDArray[np.int64]
ROW = "_row"
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of one snapshot without opening its rows. `datasets` gives (rows, persons): true counts, never sent out.

    `absent`: by dataset, the schema's columns to which the configuration mapped nothing. Follows from node.toml alone; public.
    """

    id: str
    name: str
    time: int
    schema: str
    datasets: Mapping[str, tuple[int, int]]
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Snapshot({self.id}, {self.name!r}, {', '.join(self.datasets)})"


@dataclass(frozen=True, slots=True)
class PreparedDataset:
    """One dataset of one snapshot, memory-mapped.

    `columns` has one Series a schema column, each in one chunk of length `rows`. Person i owns rows offsets[i] to offsets[i+1].
    `row_digest` has shape (rows,), `offsets` (persons + 1,), `person_digest` (persons,); all are read-only views of the files.
    """

    name: str
    columns: Mapping[str, pl.Series]
    row_digest: Int64s
    offsets: Int64s
    person_digest: Int64s
    rows: int
    persons: int

    def __repr__(self) -> str:
        return f"PreparedDataset({self.name})"  # neither a row nor a true count may reach a log by accident


def build_snapshot(
    name: str, config: NodeConfig, schema: Schema, secret: NodeSecret, root: Path, clock: Callable[[], float]
) -> Snapshot:
    """Prepare every dataset of the configuration into a new snapshot folder below `root`.

    (1) check the name; (2) prepare each dataset and write it, durably, into a temporary folder; (3) rename the folder.

    Raises:
        Invalid: the name, the configuration or a source is wrong; the place says where.
        Failed: the disk is full or cannot be written.
    """
    # (1)
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise Invalid(f"a snapshot's name has 1 to {MAX_NAME} printable characters", place="name")
    if not config.datasets:
        raise Invalid("no dataset is mapped", place=f"{config.file}: datasets", remedy="Add a table [datasets.NAME].")
    folder = root / "snapshots"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(folder):
            _sweep(folder)
            return _build(name, config, schema, secret, folder, clock)
    except OSError as error:
        raise Failed(
            f"the snapshot cannot be written: {error.strerror or error}",
            place=str(folder),
            remedy="Free disk space or correct the permissions, then make the snapshot again; nothing was changed.",
        ) from None


def _build(name: str, config: NodeConfig, schema: Schema, secret: NodeSecret, folder: Path, clock: Callable[[], float]) -> Snapshot:
    identity = secrets.token_hex(8)
    target, temporary = folder / identity, folder / f".{identity}.tmp"
    temporary.mkdir(mode=0o700)
    try:
        # (2)
        # Crash here: a folder `.<id>.tmp` is left, which no reader opens and the next build sweeps away.
        sizes: dict[str, tuple[int, int]] = {}
        for dataset in config.datasets:
            prepared = prepare(dataset, config, schema, secret)
            write_dataset(temporary, dataset, prepared)
            sizes[dataset] = (prepared.frame.height, len(prepared.offsets) - 1)
            del prepared  # before the next dataset is read: two at once would double the memory
        absent = {dataset: columns for dataset in config.datasets if (columns := plan_dataset(dataset, config, schema).absent)}
        snapshot = Snapshot(identity, name, int(clock()), schema.id, sizes, absent)
        _write_meta(temporary / "meta.json", snapshot)
        sync_folder(temporary)
        # (3)
        # Crash here: as above. After the rename the folder is complete, but current only once the node's database says so.
        temporary.rename(target)
        sync_folder(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return snapshot


def write_dataset(folder: Path, dataset: str, prepared: Prepared) -> None:
    """Write one prepared dataset as two Arrow files, synced to disk."""
    rows = prepared.frame.with_columns(pl.Series(ROW, prepared.row_digest))
    _write_arrow(folder / f"{dataset}.arrow", rows)
    digests = np.append(prepared.person_digest, np.int64(0))
    _write_arrow(folder / f"{dataset}.persons.arrow", pl.DataFrame({"offset": prepared.offsets, "digest": digests}))


def read_snapshot(root: Path, identity: str) -> Snapshot:
    """What is known of a snapshot. Raises Failed, reason `snapshot-gone`, when its folder is not there or not readable."""
    path = _folder(root, identity) / "meta.json"
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        datasets = {name: (int(size["rows"]), int(size["persons"])) for name, size in tree["datasets"].items()}
        absent = {name: tuple(columns) for name, columns in tree.get("absent", {}).items()}
        return Snapshot(str(tree["id"]), str(tree["name"]), int(tree["time"]), str(tree["schema"]), datasets, absent)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _gone(identity) from None


def load(root: Path, identity: str, dataset: str) -> PreparedDataset:
    """Open one dataset of a snapshot without reading it: pages come from disk when an engine touches them.

    Raises:
        Failed: reason `snapshot-gone`; the folder or a file is not there, or is damaged.
        Refused: by schema, reason `no-dataset`; this snapshot never had the dataset.
    """
    snapshot = read_snapshot(root, identity)
    if dataset not in snapshot.datasets:
        raise Refused(f"snapshot {identity} has no dataset {dataset!r}", by="schema", place="dataset", reason="no-dataset")
    rows, persons = snapshot.datasets[dataset]
    folder = _folder(root, identity)
    try:
        table = _map_arrow(folder / f"{dataset}.arrow")
        people = _map_arrow(folder / f"{dataset}.persons.arrow")
        columns = {name: pl.Series(name, pl.from_arrow(table.column(name), rechunk=False)) for name in table.column_names}
        offsets, digests = (people.column(name).to_numpy() for name in ("offset", "digest"))
        row_digest = columns.pop(ROW).to_numpy()
    except (OSError, KeyError, pa.ArrowException):
        raise _gone(identity) from None
    if table.num_rows != rows or len(offsets) != persons + 1 or offsets[-1] != rows or offsets[0] != 0:
        raise _gone(identity)
    return PreparedDataset(dataset, columns, row_digest, offsets, digests[:persons], rows, persons)


def remove_snapshot(root: Path, identity: str) -> None:
    """Delete a snapshot's rows. Questions charged on it and not yet answered can then never be answered; their charges stay."""
    folder = _folder(root, identity)
    doomed = folder.with_name(f".{identity}.tmp")
    try:
        # Crash here: the folder has the name of an unfinished build, and the next build sweeps it away.
        folder.rename(doomed)
    except FileNotFoundError:
        raise _gone(identity) from None
    shutil.rmtree(doomed, ignore_errors=True)


def _folder(root: Path, identity: str) -> Path:
    if len(identity) != 16 or not set(identity) <= set("0123456789abcdef"):
        raise _gone("?")  # an id comes from the database; this keeps a damaged one from leaving the folder
    return root / "snapshots" / identity


def _gone(identity: str) -> CollegiumError:
    return Failed(
        f"snapshot {identity} is gone or damaged",
        place=f"snapshots/{identity}",
        remedy="Restore the folder from a backup, or make a new snapshot.",
        reason="snapshot-gone",
    )


def _write_arrow(path: Path, frame: pl.DataFrame) -> None:
    table = frame.rechunk().to_arrow()
    # One batch whatever its size: a reader gets every column in one piece and copies nothing.
    with new_file(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, table.num_rows))


def _map_arrow(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _write_meta(path: Path, snapshot: Snapshot) -> None:
    sizes = {name: {"rows": rows, "persons": persons} for name, (rows, persons) in snapshot.datasets.items()}
    tree = {"id": snapshot.id, "name": snapshot.name, "time": snapshot.time, "schema": snapshot.schema, "datasets": sizes}
    tree["absent"] = {name: list(columns) for name, columns in snapshot.absent.items()}
    with new_file(path) as file:
        file.write(json.dumps(tree, ensure_ascii=False, indent=1).encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build at a time, so that sweeping never meets a folder in the making. The lock ends with the process."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("another snapshot is being made", place=str(folder), remedy="Wait until it is done.") from None
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    for left in folder.glob(".*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
