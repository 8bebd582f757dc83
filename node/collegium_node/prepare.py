"""From the rows of a source to a dataset in person order: the privacy-critical part of making a snapshot.

What is promised: a person's prepared rows and digests are a function of that person's id, that person's own rows and the node's
secret. Other persons, the order of rows and files, and how rows are spread over files play no part. Ranks and positions are used
here to sort, and none of them is kept.

    (1) map each batch: codes and steps, one row at a time; rows without a person are left out
    (2) give equal ids one number, whichever file they came from
    (3) digest each id; order persons by (digest, id), so that no two persons merge even if their digests collide
    (4) digest each row: of its person's digest and its own values
    (5) sort rows by (person, row digest, values): the order of the files is gone
    (6) mark where each person begins
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from collegium.errors import Invalid
from collegium.schema import Schema
from collegium_node.choice import NULL, fold_row_digests
from collegium_node.config import NodeConfig
from collegium_node.digest import NodeSecret, person_digests
from collegium_node.mapping import DatasetPlan, plan_dataset
from collegium_node.sources import read_source

__all__ = ["Prepared", "number_persons", "order_rows", "prepare"]

Int64s = npt.NDArray[np.int64]
CHUNK = 1 << 20  # rows of which plain int64 columns are held at a time
RANK, ROW = "_rank", "_row"


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """A dataset in person order; shapes and meanings as in `snapshot.PreparedDataset`."""

    frame: pl.DataFrame
    row_digest: Int64s
    offsets: Int64s
    person_digest: Int64s


def prepare(name: str, config: NodeConfig, schema: Schema, secret: NodeSecret) -> Prepared:
    """Prepare one configured dataset. Raises Invalid for a wrong configuration or source."""
    plan = plan_dataset(name, config, schema)
    frames: list[pl.DataFrame] = []
    ids: list[pl.Series] = []
    # (1)
    for person, frame in mapped_batches(plan, config):
        here = person.is_not_null()
        frames.append(frame.filter(here))
        ids.append(person.filter(here))
    # (2)
    number, names = number_persons(ids)
    ids.clear()
    # (3) to (6)
    frame = pl.concat(frames, rechunk=True)
    frames.clear()
    digests = person_digests(_texts(names), secret)
    return order_rows(frame, number, names, digests, secret)


def mapped_batches(plan: DatasetPlan, config: NodeConfig) -> Iterator[tuple[pl.Series, pl.DataFrame]]:
    """The mapped batches of a dataset's source; a column of a type that cannot be read is named with its place."""
    for batch in read_source(plan.config.source, config, plan.config.wanted):
        try:
            mapped = plan.apply(batch.frame)
        except Invalid as error:
            raise Invalid(error.text, place=error.place or batch.place, remedy=error.remedy) from None
        yield mapped.person, mapped.frame


def number_persons(ids: list[pl.Series]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Equal ids to equal numbers: int32 of all rows, and the ids by number. The numbers mean nothing and are not kept."""
    chunks = [series.to_arrow(compat_level=pl.CompatLevel.oldest()) for series in ids]
    encoded = pa.chunked_array(chunks, type=pa.large_string()).dictionary_encode()
    numbers = [chunk.indices.to_numpy() for chunk in encoded.chunks]
    if not numbers:
        return np.empty(0, dtype=np.int32), pa.array([], type=pa.large_string())
    return np.concatenate(numbers), encoded.chunks[-1].dictionary


def order_rows(
    frame: pl.DataFrame, number: npt.NDArray[np.int32], names: pa.Array, digests: Int64s, secret: NodeSecret
) -> Prepared:
    """Steps (3) to (6): rows and persons in their final order.

    Args:
        frame: one prepared column a schema column, rows in any order.
        number: for each row, the index of its person in `names` and `digests`.
    """
    # (3)
    persons = pl.DataFrame({"digest": digests, "id": pl.Series(pl.from_arrow(names), dtype=pl.String)}).with_row_index("number")
    order = persons.sort("digest", "id")["number"].to_numpy()
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    # (4)
    row_digest = np.empty(frame.height, dtype=np.int64)
    for start in range(0, frame.height, CHUNK):
        part = slice(start, start + CHUNK)
        values = (_integers(column) for column in frame.slice(start, CHUNK).iter_columns())
        row_digest[part] = fold_row_digests(digests[number[part]], values, secret.key)
    # (5)
    keyed = frame.with_columns(pl.Series(RANK, rank[number]), pl.Series(ROW, row_digest))
    keyed = keyed.sort(RANK, ROW, *frame.columns)
    # (6)
    sizes = np.bincount(keyed[RANK].to_numpy(), minlength=len(order))
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)))
    return Prepared(keyed.drop(RANK, ROW), keyed[ROW].to_numpy(), offsets, digests[order])


def _integers(column: pl.Series) -> Int64s:
    return column.cast(pl.Int64).fill_null(NULL).to_numpy()


def _texts(names: pa.Array) -> Iterator[str]:
    for start in range(0, len(names), CHUNK):  # as Python text a piece at a time
        yield from names.slice(start, CHUNK).to_pylist()
