"""Remove a person with all rows: the exact tally of no component moves by more than the stated sensitivity.

Every person is removed in turn, from prepared rows (many examples) and from the raw file through the whole preparation (fewer).
Then the same property is run on mutants, each a mistake that would break the guarantee in silence; it must fail for each of them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from referee import SCHEMA, SECRET, Row, prepared, questions, referee, some_rows

from collegium.layout import Layout, compile_layout
from collegium.question import Bounds, Component, GroupKey, Question
from collegium_node import prepare as preparation
from collegium_node.config import NodeConfig, parse_config
from collegium_node.digest import NodeSecret, person_digests
from collegium_node.engine import across, embedded, kernel, tally
from collegium_node.engine.margins import full_detail
from collegium_node.prepare import prepare
from collegium_node.snapshot import PreparedDataset

Prepare = Callable[[list[Row]], PreparedDataset]


def violations(layout: Layout, rows: list[Row], make: Prepare) -> list[str]:
    """The components that one person can move by more than the layout says, each with the person."""

    def exact(some: list[Row]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return tally(layout, make(some), schema=SCHEMA, secret=SECRET).open()

    everyone = exact(rows)
    found = []
    for person in sorted({name.strip() for name, _ in rows}):  # spaces around an identifier are none of it
        moved = everyone - exact([row for row in rows if row[0].strip() != person])
        for part in layout.parts:
            squared = sum(int(v) ** 2 for v in moved[part.start : part.stop])
            if squared > part.sensitivity_squared:
                found.append(f"{part.component.kind} by {person}")
    return found


# --- the property -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(questions(), some_rows())
def test_no_person_moves_the_tally_of_prepared_rows_by_more_than_stated(asked: Question, rows: list[Row]) -> None:
    assert violations(compile_layout(asked, SCHEMA), rows, prepared) == []


RAW = st.fixed_dictionaries(
    {
        "sex": st.sampled_from(["1", "2", " 9 ", "", "x", "man"]),
        "home": st.sampled_from(["0", "1", "yes", "no", "", "?"]),
        "year": st.sampled_from(["2020", "2021", "2023", "1999", "", "soon"]),
        "gpa": st.sampled_from(["0", "3.57", "3.575", "4.3", "99", "-1e3", "", "NaN", "nil"]),
        "credits": st.sampled_from(["-7", "0", "12", "40", "4000000", "", "-inf"]),
    }
)
RAW_ROWS = st.lists(st.tuples(st.sampled_from(["ann", "bo", "陈", " ann", ""]), RAW), max_size=14)


def config_for(folder: Path) -> NodeConfig:
    text = '[sources.s]\nkind = "csv"\npath = "rows.csv"\n[datasets.term]\nsource = "s"\nperson = "id"\n[datasets.term.columns]\n'
    text += "".join(f'{name} = "{name}"\n' for name in SCHEMA.datasets["term"].columns)
    return parse_config(text, folder / "node.toml")


def from_file(folder: Path) -> Prepare:
    """Write the rows as a CSV file and take them through the whole preparation."""
    config, secret = config_for(folder), NodeSecret(SECRET)

    def make(rows: list[Row]) -> PreparedDataset:
        with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            names = list(SCHEMA.datasets["term"].columns)
            writer.writerow(["id", *names])
            writer.writerows([name, *(values[each] for each in names)] for name, values in rows)
        done = prepare("term", config, SCHEMA, secret)
        columns = {name: done.frame[name] for name in done.frame.columns}
        return PreparedDataset(
            "term", columns, done.row_digest, done.offsets, done.person_digest, len(done.row_digest), len(done.person_digest)
        )

    return make


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions(), RAW_ROWS)
def test_no_person_moves_the_tally_of_a_raw_file_by_more_than_stated(
    tmp_path_factory: pytest.TempPathFactory, asked: Question, rows: list[Row]
) -> None:
    make = from_file(tmp_path_factory.mktemp("raw"))
    assert violations(compile_layout(asked, SCHEMA), rows, make) == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions(), RAW_ROWS, st.data())
def test_the_order_of_the_file_plays_no_part(
    tmp_path_factory: pytest.TempPathFactory, asked: Question, rows: list[Row], data: st.DataObject
) -> None:
    make = from_file(tmp_path_factory.mktemp("raw"))
    layout = compile_layout(asked, SCHEMA)
    other = data.draw(st.permutations(rows))
    one, two = (tally(layout, make(some), schema=SCHEMA, secret=SECRET).open().tolist() for some in (rows, other))
    assert one == two


# --- the same property catches mistakes -------------------------------------------------------------------------------------------

CROWD: list[Row] = [
    (
        f"person {i}",
        {
            "sex": "129"[(i + j) % 3],
            "home": "01"[j % 2],
            "year": 2020 + (i * j) % 4,
            "gpa": (i * 97 + j * 61) % 431,
            "credits": 40 - j,
        },
    )
    for i in range(16)
    for j in range(9)
]


def layout_of(*components: Component, groups: int = 2, rows: int = 2, scope: Literal["person"] | None = None) -> Layout:
    bounds = Bounds(max_groups=groups, max_rows=rows, scope=scope)
    keys = (GroupKey(column="sex"), GroupKey(column="year"))
    return compile_layout(
        Question(dataset="term", group=keys, components=components, bounds=bounds, schema=SCHEMA.id),
        SCHEMA,
    )


PEOPLE = Component(kind="people", rho=1)
SUM = Component(kind="sum", column="credits", clip=(0, 50), rho=1)
TOTAL = Component(kind="total", column="gpa", rho=1)
BINS = Component(kind="bins", column="home", rho=1)
PRODUCT = Component(kind="product", column="credits", other="gpa", rho=1)


def interpreted(patch: pytest.MonkeyPatch) -> None:
    """Run the kernel's source in the interpreter, where a mutant of one of its functions can be put in."""
    patch.setattr(embedded, "count_chunk", kernel._count_chunk)


def no_clip(patch: pytest.MonkeyPatch) -> Prepare:
    interpreted(patch)
    patch.setattr(kernel, "clip", lambda value, low, high: value)
    return prepared


def every_cell(patch: pytest.MonkeyPatch) -> Prepare:
    interpreted(patch)
    patch.setattr(kernel, "cell_threshold", lambda keys, ordered, n, most: kernel.EVERY)
    return prepared


def every_row(patch: pytest.MonkeyPatch) -> Prepare:
    interpreted(patch)
    patch.setattr(kernel, "keep_rows", lambda picked, n, *others: n)
    return prepared


def each_cell_by_itself(patch: pytest.MonkeyPatch) -> Prepare:
    """The mistake that the scope invites: the bounds of all cells together held in each."""
    counted = kernel._count_chunk
    patch.setattr(embedded, "count_chunk", lambda *arguments: counted(*arguments[:9], 0, *arguments[10:]))
    return prepared


def every_row_of_all(patch: pytest.MonkeyPatch) -> Prepare:
    interpreted(patch)
    patch.setattr(kernel, "count_across", across._count_across)
    patch.setattr(across, "keep_rows", lambda picked, n, *others: n)
    return prepared


def cells_by_rank(patch: pytest.MonkeyPatch) -> Prepare:
    def make(rows: list[Row]) -> PreparedDataset:
        data = prepared(rows)
        return replace(data, person_digest=np.arange(data.persons, dtype=np.int64))

    return make


def rows_by_position(patch: pytest.MonkeyPatch) -> Prepare:
    def make(rows: list[Row]) -> PreparedDataset:
        data = prepared(rows)
        return replace(data, row_digest=np.arange(data.rows, dtype=np.int64))

    return make


def prepared_by_rank(patch: pytest.MonkeyPatch, folder: Path) -> Prepare:
    def dense(ids: object, secret: NodeSecret) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.arange(len(list(ids)), dtype=np.int64)  # type: ignore[call-overload]

    patch.setattr(preparation, "person_digests", dense)
    return from_file(folder)


MUTANTS = [
    (no_clip, SUM, {"rows": 2}),
    (every_cell, PEOPLE, {}),
    (every_row, TOTAL, {"rows": 1}),
    (every_row, BINS, {"rows": 1}),
    (every_row, PRODUCT, {"rows": 1}),
    (every_cell, PEOPLE.model_copy(update={"margin": ("sex",)}), {}),
    (every_row, BINS.model_copy(update={"margin": ()}), {"rows": 1}),
    (each_cell_by_itself, SUM, {"scope": "person"}),
    (each_cell_by_itself, Component(kind="rows", rho=1), {"scope": "person"}),
    (each_cell_by_itself, BINS, {"scope": "person", "groups": 4}),
    (every_row_of_all, TOTAL, {"scope": "person", "rows": 1}),
    (cells_by_rank, PEOPLE, {"groups": 1}),
    (cells_by_rank, SUM, {"groups": 1}),
    (rows_by_position, TOTAL, {"rows": 1, "groups": 16}),
    (rows_by_position, SUM, {"groups": 16, "scope": "person"}),
]


@pytest.mark.parametrize(("mutant", "component", "bounds"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_mutants_are_caught(
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], Prepare],
    component: Component,
    bounds: dict[str, Any],
) -> None:
    layout = layout_of(component, **bounds)
    with pytest.MonkeyPatch.context() as patch:  # the interpreter by itself changes nothing, so what is caught is the mutant
        interpreted(patch)
        assert violations(layout, CROWD, prepared) == []
    assert violations(layout, CROWD, mutant(monkeypatch))


def test_a_preparation_by_rank_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layout = layout_of(PEOPLE, groups=1)
    assert violations(layout, CROWD, from_file(tmp_path)) == []
    assert violations(layout, CROWD, prepared_by_rank(monkeypatch, tmp_path))


def test_the_bound_is_reached() -> None:
    """The stated sensitivity is no loose upper bound: for each kind some person moves the tally by exactly it."""
    hostile: list[Row] = [
        ("worst", {"sex": sex, "home": "1", "year": year, "gpa": 430, "credits": 40})
        for sex in ("1", "2")
        for year in (2020, 2021)
        for _ in range(5)
    ]
    for component in (
        PEOPLE,
        SUM,
        Component(kind="rows", rho=1),
        Component(kind="count", column="gpa", rho=1),
        Component(kind="squares", column="gpa", rho=1),
        TOTAL,
        BINS,
        PRODUCT,
    ):
        for margin in (None, ("sex",), ("year",), ()):
            layout = layout_of(component.model_copy(update={"margin": margin}), groups=4, rows=2)
            (part,) = layout.parts
            moved = tally(layout, prepared(hostile), schema=SCHEMA, secret=SECRET).open()
            squared = sum(int(v) ** 2 for v in moved)
            assert squared <= part.sensitivity_squared, (component.kind, margin)
            # Of the four cells two lie in one sex and two in one year, which is the worst only where so few are added up.
            assert (squared == part.sensitivity_squared) == (margin in (None, ())), (component.kind, margin)


def test_bounds_over_all_cells_are_reached_and_cost_the_same_in_every_margin() -> None:
    """All rows of the worst person lie in one cell: one size of table, one charge, however many cells there are."""
    hostile: list[Row] = [("worst", {"sex": "1", "home": "1", "year": 2020, "gpa": 430, "credits": 40}) for _ in range(5)]
    for component in (SUM, Component(kind="rows", rho=1), Component(kind="count", column="gpa", rho=1), TOTAL, BINS, PRODUCT):
        for margin in (None, ("sex",), ()):
            layout = layout_of(component.model_copy(update={"margin": margin}), groups=4, rows=2, scope="person")
            moved = tally(layout, prepared(hostile), schema=SCHEMA, secret=SECRET).open()
            assert sum(int(v) ** 2 for v in moved) == layout.parts[0].sensitivity_squared == layout.parts[0].bound ** 2


def test_a_margin_with_the_sensitivity_of_its_cells_is_caught() -> None:
    """The mistake that margins invite: a person in two cells of one margin cell moves it twice."""
    layout = layout_of(PEOPLE.model_copy(update={"margin": ("sex",)}), groups=3)
    assert violations(layout, CROWD, prepared) == []
    naive = Layout(layout.question, layout.unit, layout.axes, tuple(replace(part, crowd=1) for part in layout.parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "full_detail", lambda _: full_detail(layout))
        assert violations(naive, CROWD, prepared)


def test_margins_of_one_table_add_up_exactly() -> None:
    margins = (None, ("sex",), ("year",), ())
    scopes: tuple[Literal["person"] | None, ...] = (None, "person")
    for component, scope in product((PEOPLE, SUM, TOTAL, PRODUCT, BINS), scopes):
        layout = layout_of(*(component.model_copy(update={"margin": margin}) for margin in margins), groups=3, scope=scope)
        found = tally(layout, prepared(CROWD), schema=SCHEMA, secret=SECRET).open()
        cells, by_sex, by_year, total = (found[part.start : part.stop] for part in layout.parts)
        table = cells.reshape(4, 5, -1)
        assert table.sum(axis=1).ravel().tolist() == by_sex.tolist()
        assert table.sum(axis=0).ravel().tolist() == by_year.tolist()
        assert table.sum(axis=(0, 1)).tolist() == total.tolist()
        assert np.abs(total).sum() > 0


def test_the_raw_file_gives_the_referees_integers(tmp_path: Path) -> None:
    """Preparation and engine together, against the referee on the values as a reader of the file understands them."""
    rows = [(name, {**values, "year": str(values["year"]), "gpa": f"{values['gpa'] / 100:.2f}"}) for name, values in CROWD]
    layout = layout_of(PEOPLE, SUM, TOTAL, BINS)
    found = tally(layout, from_file(tmp_path)(rows), schema=SCHEMA, secret=SECRET).open()
    digests = {name: int(person_digests([name], NodeSecret(SECRET))[0]) for name, _ in CROWD}
    assert found.tolist() == referee(layout, CROWD, digests.__getitem__)
