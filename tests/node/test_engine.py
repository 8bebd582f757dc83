"""The embedded engine gives the referee's integers exactly, whatever the question, the rows, the run length and the threads."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from referee import SCHEMA, SECRET, Row, prepared, questions, referee, some_rows

import collegium_node
from collegium.errors import Failed, Refused
from collegium.layout import compile_layout
from collegium.question import Bounds, Component, GroupKey, Question
from collegium_node import choice
from collegium_node.engine import ExactTally, across, bounding, embedded, kernel, slots, tally, warm, warm_up

EVERY_KIND = (
    Component(kind="people", rho=1),
    Component(kind="rows", rho=1),
    Component(kind="sum", column="credits", clip=(-5, 60), rho=1),
    Component(kind="count", column="gpa", rho=1),
    Component(kind="total", column="gpa", rho=1),
    Component(kind="squares", column="gpa", rho=1),
    Component(kind="bins", column="sex", rho=1),
)


def question(*keys: str, groups: int = 3, rows: int = 2) -> Question:
    return Question(
        dataset="term",
        group=tuple(GroupKey(column=name) for name in keys),
        components=EVERY_KIND,
        bounds=Bounds(max_groups=groups, max_rows=rows),
        schema=SCHEMA.id,
    )


def made_up(persons: int, rows_each: int) -> list[Row]:
    return [
        (
            f"p{i}",
            {
                "sex": "129"[i % 3],
                "home": "01"[j % 2],
                "year": 2020 + (i + j) % 4,
                "gpa": (i * 7 + j * 31) % 431,
                "credits": j % 41,
            },
        )
        for i in range(persons)
        for j in range(rows_each)
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(questions(), some_rows(), st.integers(1, 40))
def test_engine_equals_the_referee(asked: Question, rows: list[Row], chunk: int) -> None:
    layout = compile_layout(asked, SCHEMA)
    data = prepared(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "CHUNK", chunk)  # many short runs, several threads
        found = tally(layout, data, schema=SCHEMA, secret=SECRET, threads=3)
    assert found.open().dtype == np.int64
    assert found.open().tolist() == referee(layout, rows)


@pytest.mark.parametrize("rows", [[], made_up(1, 1), made_up(200, 9), made_up(3, 500)])
def test_sizes_of_persons(rows: list[Row]) -> None:
    layout = compile_layout(question("year", "home"), SCHEMA)
    assert tally(layout, prepared(rows), schema=SCHEMA, secret=SECRET).open().tolist() == referee(layout, rows)


def test_persons_with_one_digest_stay_two() -> None:
    """Digests may collide; the bounds are per person all the same."""
    rows = made_up(4, 6)
    layout = compile_layout(question("year"), SCHEMA)
    same = lambda person: 12345  # noqa: E731
    assert tally(layout, prepared(rows, same), schema=SCHEMA, secret=SECRET).open().tolist() == referee(layout, rows, same)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 70))
def test_runs_split_no_person_and_lose_none(sizes: list[int], chunk: int) -> None:
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    runs = embedded._runs(offsets, chunk)
    counted = [person for first, last in runs for person in range(first, last)]
    assert counted == list(range(len(counted)))
    assert sum(sizes[len(counted) :]) == 0  # only persons without rows may be left out


def test_codes_and_numbers_beyond_the_schema_stay_within_tally_and_bounds() -> None:
    """A damaged snapshot must neither write beyond the tally nor move it by more than the sensitivity."""
    data = prepared(made_up(1, 6))
    columns = dict(data.columns)
    columns["sex"] = pl.Series("sex", [60_000] * 6, dtype=pl.UInt16)
    columns["gpa"] = pl.Series("gpa", [-30_000, 30_000, 30_000, 30_000, -30_000, None], dtype=pl.Int16)
    layout = compile_layout(question("sex", rows=3), SCHEMA)
    found = tally(layout, replace(data, columns=columns), schema=SCHEMA, secret=SECRET).open()
    for part in layout.parts:
        moved = sum(int(v) ** 2 for v in found[part.start : part.stop])
        assert 0 < moved <= part.sensitivity_squared


def test_contradicting_files_are_refused() -> None:
    data = prepared(made_up(3, 2))
    layout = compile_layout(question("sex"), SCHEMA)
    for offsets in ([0, 4, 2, 6], [0, 2, 4, 9], [-3, 2, 4, 6]):
        with pytest.raises(Failed):
            tally(layout, replace(data, offsets=np.array(offsets)), schema=SCHEMA, secret=SECRET)


def test_a_column_missing_from_the_snapshot_is_a_refusal_by_schema() -> None:
    data = prepared(made_up(3, 2))
    with pytest.raises(Refused) as refusal:
        tally(
            compile_layout(question("sex"), SCHEMA),
            replace(data, columns={name: column for name, column in data.columns.items() if name != "gpa"}),
            schema=SCHEMA,
            secret=SECRET,
        )
    assert (refusal.value.by, refusal.value.reason) == ("schema", "schema")


def test_a_hostile_person_costs_n_log_n() -> None:
    """A million rows of one person in a hundred thousand cells: a second, or the time-out if quadratic."""
    n = 1_000_000
    rng = np.random.default_rng(1)
    table = np.zeros((3, slots.COLUMNS), dtype=np.int64)
    table[:, slots.KIND] = slots.PEOPLE, slots.TOTAL, slots.SUM
    table[:, slots.FILTER] = -1
    table[:, slots.WIDTH] = 1
    table[:, slots.START] = 0, 100_000, 200_000
    table[:, slots.LOW], table[:, slots.HIGH], table[:, slots.OPERAND] = -5, 5, (-1, 0, 0)
    out = np.zeros(300_000, dtype=np.int64)
    for cells, all_cells in product((rng.integers(0, 100_000, n), np.zeros(n), np.arange(n)[::-1] // 10), (0, 1)):
        digests = rng.integers(0, 2**62, n)
        arrays = [embedded._sealed(a) for a in (np.array([0, n]), digests[:1].copy(), digests)]
        out[:] = 0
        kernel.count_chunk(
            *arrays,
            cells.astype(np.int32),
            np.empty((0, n), dtype=np.bool_),
            np.ones((1, n), dtype=np.int64),
            table,
            10_000,
            100,
            all_cells,
            choice.derive_key(SECRET, "a"),
            choice.derive_key(SECRET, "b"),
            out,
        )
        assert out[:100_000].sum() == min(10_000, len(np.unique(cells)))


@given(st.lists(st.integers(-(2**62), 2**62), max_size=200), st.booleans())
def test_sort(keys: list[int], few: bool) -> None:
    values = np.array([k % 5 for k in keys] if few else keys, dtype=np.int64)
    for function in (bounding.sort, bounding._sort):
        found = values.copy()
        function(found, len(found))
        assert found.tolist() == sorted(values.tolist())


def test_one_compilation_serves_all() -> None:
    """A second one would be seconds of latency at the first question that needs it."""
    warm_up()
    layout = compile_layout(question("sex"), SCHEMA)
    tally(layout, prepared(made_up(3, 3)), schema=SCHEMA, secret=SECRET)
    data = prepared(made_up(3, 3))
    frozen = [embedded._sealed(a) for a in (data.offsets, data.person_digest, data.row_digest)]
    tally(layout, replace(data, offsets=frozen[0], person_digest=frozen[1], row_digest=frozen[2]), schema=SCHEMA, secret=SECRET)
    assert len(kernel.count_chunk.signatures) == 1  # type: ignore[attr-defined]


def test_golden_figures_are_those_of_the_interpreted_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "mix31_compiled", choice.mix31)
    sources = {name: getattr(bounding, f"_{name}") for name in ("sort", "clip", "keep_rows", "in_row_order")}
    sources |= {name: getattr(choice, f"_{name}") for name in ("cell_order", "row_order")}
    sources |= {"cell_threshold": kernel._cell_threshold, "count_across": across._count_across, "count_chunk": kernel._count_chunk}
    for module, (name, source) in product((kernel, across, bounding), sources.items()):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, source)
    assert tuple(warm.sample().tolist()) == warm.GOLDEN


WITHOUT_CACHE = """
from numba.core import caching
for name in list(vars(caching)):
    kind = getattr(caching, name)
    if isinstance(kind, type) and "_locator_classes" in vars(kind):
        kind._locator_classes = []  # what numba finds where no folder can be written
from collegium_node.compiled import compiled
assert compiled(lambda x: x + 1)(1) == 2
import collegium_node.choice as choice
assert choice.fold_row_digests(choice.np.arange(3), [choice.np.arange(3)], bytes(32)).size == 3
assert type(choice._fold._cache).__name__ == "NullCache"
"""


def test_an_installation_that_cannot_be_written_works() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_CACHE], check=True, timeout=150)


def test_a_kernel_that_differs_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "GOLDEN", (*warm.GOLDEN[:-1], warm.GOLDEN[-1] + 1))
    warm_up.cache_clear()
    with pytest.raises(Failed, match="golden"):
        tally(compile_layout(question("sex"), SCHEMA), prepared(made_up(1, 1)), schema=SCHEMA, secret=SECRET)
    monkeypatch.undo()
    warm_up.cache_clear()
    warm_up()


def test_an_exact_tally_shows_no_figure() -> None:
    exact = ExactTally(np.array([987654321], dtype=np.int64))
    texts = [repr(exact), str(exact), f"{exact}", f"{[exact]}"]
    assert not any("987654321" in text for text in texts)
    assert not hasattr(exact, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, list):
        with pytest.raises(TypeError):
            leak(exact)


def test_only_noise_opens_an_exact_tally() -> None:
    package = Path(collegium_node.__file__).parent
    opening = re.compile(r"\b(exact|tally)\.open\(\)|ExactTally__figures")
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if opening.search(path.read_text("utf-8"))}
    assert found == {"noise.py"}
