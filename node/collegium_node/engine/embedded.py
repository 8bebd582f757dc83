"""The embedded engine: the exact, bounded tally of one question over one memory-mapped dataset.

Rows are taken in runs that end between two persons. For each run numpy evaluates filters, cells and operands on the prepared
integers, and the compiled kernel does everything that bounds a person. No float, no text and no per-row Python. Threads share
nothing but the queue of runs; integer addition makes their number and order invisible in the result.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from collegium.errors import Failed
from collegium.layout import Layout
from collegium.schema import Schema
from collegium_node.choice import Int64s, QuestionKeys, question_keys
from collegium_node.engine.columns import Rows
from collegium_node.engine.exact import ExactTally
from collegium_node.engine.kernel import count_chunk
from collegium_node.engine.margins import fold, full_detail
from collegium_node.engine.plan import Plan, compile_plan
from collegium_node.engine.warm import warm_up

if TYPE_CHECKING:
    from collegium_node.snapshot import PreparedDataset  # its sources are not needed to count

__all__ = ["tally"]

CHUNK = 131_072  # rows; a run's arrays then stay within a core's cache
THREADS = 2


def tally(layout: Layout, data: PreparedDataset, *, schema: Schema, secret: bytes, threads: int = THREADS) -> ExactTally:
    """The tally of one question: int64[layout.length], exact, every person within the question's bounds.

    Args:
        layout: of the question, compiled with the same `schema`.
        data: the dataset prepared under that schema version.
        secret: the node's secret of 32 bytes, for the choice of rows and cells.

    Raises:
        Refused: by schema; the snapshot lacks a column of the question.
        Failed: the dataset's files contradict themselves.
    """
    if data.persons >= 2**31:
        raise Failed("the dataset has more persons than the tally has head room for", place=data.name)
    warm_up()
    full = full_detail(layout)
    plan = compile_plan(full, schema)
    keys = question_keys(secret, layout.question.digest)
    runs = deque(_runs(data.offsets, CHUNK))
    workers = max(1, min(threads, len(runs)))
    if workers == 1:
        return ExactTally(fold(layout, full, _drain(runs, plan, data, schema, keys)))
    with ThreadPoolExecutor(workers, thread_name_prefix="tally") as pool:
        parts = [pool.submit(_drain, runs, plan, data, schema, keys) for _ in range(workers)]
        return ExactTally(fold(layout, full, np.sum([part.result() for part in parts], axis=0, dtype=np.int64)))


def _runs(offsets: Int64s, chunk: int) -> list[tuple[int, int]]:
    """Ranges of persons of about `chunk` rows each. A person is never split: a part of one would escape the bounds."""
    persons = len(offsets) - 1
    ends = np.searchsorted(offsets, np.arange(chunk, offsets[-1] + chunk, chunk), side="left")
    stops = sorted({min(int(end), persons) for end in ends})
    return [(start, stop) for start, stop in zip([0, *stops], stops, strict=False) if start < stop]


def _drain(runs: deque[tuple[int, int]], plan: Plan, data: PreparedDataset, schema: Schema, keys: QuestionKeys) -> Int64s:
    """Add up runs until there are none."""
    result = np.zeros(plan.layout.length, dtype=np.int64)
    dataset = schema.datasets[plan.layout.question.dataset]
    bounds = plan.layout.question.bounds
    while True:
        try:
            first, last = runs.popleft()
        except IndexError:
            return result
        offsets = data.offsets[first : last + 1]
        start, stop = int(offsets[0]), int(offsets[-1])
        if stop > data.rows or start < 0 or bool(np.any(offsets[1:] < offsets[:-1])):
            raise Failed("the snapshot's files contradict themselves", place=data.name, remedy="Make a new snapshot.")
        rows = Rows(data, dataset, schema, start, stop)
        count_chunk(
            _sealed(offsets),
            _sealed(data.person_digest[first:last]),
            _sealed(data.row_digest[start:stop]),
            plan.cells(rows),
            plan.masks(rows),
            plan.values(rows),
            plan.table,
            bounds.max_groups,
            bounds.max_rows,
            int(bounds.scope == "person"),
            keys.groups,
            keys.rows,
            result,
        )


def _sealed(array: Int64s) -> Int64s:
    """A read-only view. Memory-mapped arrays are read-only already, and one kind of argument means one compilation."""
    view = array.view()
    view.flags.writeable = False
    return view
