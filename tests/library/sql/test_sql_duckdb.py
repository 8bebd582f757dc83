"""The meaning of a statement is SQL's: what the compiled question counts is what DuckDB counts for the same text.

A referee of a few lines evaluates the compiled components on small random tables, with SQL's three-valued logic; from its exact
tallies the view's figures follow. DuckDB executes the same text on the same rows. Counts and sums must be equal as integers and
decimals, means and shares as fractions. The bounds are so wide that none binds. Only what DuckDB does not have (bin, HISTOGRAM,
SHARE) is written out for it by hand.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collegium.layout import Axis, Layout, compile_layout
from collegium.question import And, Component, GroupKey, In, Not, Or, Predicate, Range, Unknown
from collegium.schema import Schema, parse_schema
from collegium.sql import Compiled, compile_sql
from collegium.view import GroupColumn

SCHEMA: Schema = parse_schema(
    """
name = "referee"
version = 1
title = { en = "Referee" }
[units.student]
title = { en = "Student" }
[codes.letters]
a = { en = "A" }
b = { en = "B" }
c = { en = "C" }
[datasets.t]
title = { en = "T" }
unit = "student"
person = "pid"
max_rows = 50
max_groups = 1000
[datasets.t.columns]
k = { type = "category", title = { en = "k" }, codes = "letters" }
f = { type = "boolean", title = { en = "f" } }
n = { type = "integer", title = { en = "n" }, min = -4, max = 4 }
g = { type = "decimal", title = { en = "g" }, min = 0, max = 4, step = 0.01 }
h = { type = "decimal", title = { en = "h" }, min = -1, max = 1, step = 0.25 }
"""
)
COLUMNS = SCHEMA.datasets["t"].columns
NUMBERS = [name for name, column in COLUMNS.items() if column.is_number]
Row = dict[str, Any]  # natural units, None for null


# The referee: a row's truth, a component's tally in one cell, a measure's figure.


def truth(predicate: Predicate, row: Row) -> bool | None:
    if isinstance(predicate, And | Or):
        stop = isinstance(predicate, Or)  # OR stops at the first true, AND at the first false
        parts = [truth(arg, row) for arg in predicate.args]
        return stop if stop in parts else None if None in parts else not stop
    if isinstance(predicate, Not):
        inner = truth(predicate.arg, row)
        return None if inner is None else not inner
    value = stored(predicate.column, row)
    if isinstance(predicate, Unknown):
        return value is None
    if value is None:
        return None
    if isinstance(predicate, In):
        return value in predicate.values
    assert isinstance(predicate, Range)
    assert isinstance(value, int)
    return (predicate.min is None or value >= predicate.min) and (predicate.max is None or value <= predicate.max)


def stored(name: str, row: Row) -> str | int | None:
    value = row[name]
    if value is None:
        return None
    column = COLUMNS[name]
    return column.encode(value) if column.is_number else str(int(value)) if column.type == "boolean" else value


def in_bin(value: int, edges: tuple[int, ...]) -> int | None:
    for number, (low, high) in enumerate(pairwise(edges)):
        if low <= value < high or (value == high == edges[-1]):
            return number
    return None


def tally(component: Component, layout: Layout, index: int, rows: list[Row]) -> Any:
    """One cell of one component, exact: an integer, or the bins of a histogram with the unknown last."""
    rows = [row for row in rows if component.filter is None or truth(component.filter, row) is True]
    part = layout.parts[index]
    if component.kind == "people":
        return len({row["pid"] for row in rows})
    if component.kind == "rows":
        return len(rows)
    if component.condition is not None:
        known = [outcome for row in rows if (outcome := truth(component.condition, row)) is not None]
        return len(known) if component.kind == "count" else sum(1 if outcome else -1 for outcome in known)
    assert component.column is not None
    values = [stored(component.column, row) for row in rows]
    if component.kind == "bins":
        assert part.bins is not None
        counts = [0] * part.bins.size
        for value in values:
            counts[bin_of(value, component.edges, part.bins.labels, part.bins.first)] += 1
        return counts
    numbers = [value for value in values if isinstance(value, int)]
    if component.kind == "count":
        return len(numbers)
    if component.kind == "sum":
        return sum(numbers)
    if component.kind == "total":
        return sum(value - part.centre for value in numbers)
    return sum((value - part.centre) ** 2 - part.offset for value in numbers)


def bin_of(value: str | int | None, edges: tuple[int, ...] | None, labels: tuple[str, ...], first: int | None) -> int:
    if value is None:
        return len(labels) - 1
    if edges is not None:
        assert isinstance(value, int)
        found = in_bin(value, edges)
        return len(labels) - 1 if found is None else found
    return labels.index(str(value)) if first is None else int(value) - first


def figures(compiled: Compiled, table: list[Row]) -> dict[tuple[Any, ...], list[Any]]:
    """Keys of SELECT → measures, for every cell that has a row: DuckDB does not list the others."""
    question, view = compiled.question, compiled.view
    layout = compile_layout(question, SCHEMA)
    cells: dict[tuple[int, ...], list[Row]] = defaultdict(list)
    for row in table:
        if question.filter is None or truth(question.filter, row) is True:
            axes = zip(question.group, layout.axes, strict=True)
            cells[tuple(cell_of(row, key, axis) for key, axis in axes)].append(row)
    if not question.group and not cells:
        cells[()] = []
    shown = [key.column for key in question.group]
    keys = [shown.index(column.group) for column in view.columns if isinstance(column, GroupColumn)]
    result: dict[tuple[Any, ...], list[Any]] = {}
    for cell, rows in cells.items():
        tallies = [tally(component, layout, index, rows) for index, component in enumerate(question.components)]
        names = {at: column.labels for at, column in zip(keys, view.columns, strict=False) if isinstance(column, GroupColumn)}
        label = tuple(shown_label(cell[key], layout.axes[key], names[key]) for key in keys)
        assert label not in result
        result[label] = [
            figure(measure.kind, measure.column, [tallies[part] for part in measure.parts]) for measure in view.measures
        ]
    return result


def cell_of(row: Row, key: GroupKey, axis: Axis) -> int:
    if key.cases is None:
        return bin_of(stored(key.column, row), key.edges, axis.labels, axis.first)
    return next((at for at, case in enumerate(key.cases) if truth(case, row) is True), len(key.cases))


def shown_label(cell: int, axis: Axis, names: tuple[str, ...] | None) -> str | None:
    label = (names or axis.labels)[cell]
    return None if label == "unknown" else label


def figure(kind: str, column: str | None, parts: list[Any]) -> Any:
    if kind in ("value", "histogram"):
        return parts[0]
    if kind == "difference":
        return parts[0] - parts[1]
    if kind == "ratio":
        return Fraction(parts[0], parts[1]) if parts[1] else None
    if not parts[0]:
        return None
    if kind == "share":
        return Fraction(1, 2) + Fraction(parts[1], 2 * parts[0])
    assert column is not None
    step, centre, half = COLUMNS[column].step, COLUMNS[column].centre, COLUMNS[column].half_range
    mean = Fraction(parts[1], parts[0])
    if kind == "mean":
        return (centre + mean) * Fraction(step)
    spread = (Fraction(parts[2], parts[0]) + half**2 // 2 - mean**2) * Fraction(step) ** 2
    return spread if kind == "variance" else math.sqrt(spread)


# Statements, as pairs: the text for us and the text for DuckDB.

LETTERS = ("a", "b", "c")
LABELS = ("first", "second", "third")


def number_texts(name: str) -> st.SearchStrategy[str]:
    """Values on a step, between two steps, and beyond the bounds."""
    if name == "n":
        return st.sampled_from(["-5", "-4", "-1", "0", "1", "2", "4", "1.5", "-0.5", "9", "(3)"])
    if name == "g":
        return st.sampled_from(["0", "0.01", "1.005", "2", "2.50", "3.575", "3.57", "4", "4.001", "-1", ".995"])
    return st.sampled_from(["-1", "-0.75", "-0.3", "0", "0.25", "0.1", "1", "1.1", "-2"])


ON_STEP = {"n": ("-4", "-1", "0", "1", "4"), "g": ("0", "0.01", "2.50", "3.57", "4"), "h": ("-1", "-0.25", "0", "0.5", "1")}
COMPARE = ("<", "<=", ">", ">=")


@st.composite
def atoms(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["k", "f", *NUMBERS]))
    negated = draw(st.sampled_from(["", "NOT "]))
    if draw(st.integers(0, 5)) == 0:
        return f"{name} IS {negated}NULL"
    if name == "k":
        codes = ", ".join(f"'{code}'" for code in draw(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=3)))
        return draw(st.sampled_from([f"k {negated}IN ({codes})", f"k = {codes[:3]}", f"k <> {codes[:3]}", f"{codes[:3]} = k"]))
    if name == "f":
        return draw(
            st.sampled_from(["f", "f = TRUE", "f = 0", "f <> 1", "f IS TRUE", "f IS NOT TRUE", "f IS FALSE", "f IN (TRUE, FALSE)"])
        )
    how = draw(st.integers(0, 3))
    if how == 0:
        return f"{name} {negated}IN ({', '.join(draw(st.lists(st.sampled_from(ON_STEP[name]), min_size=1, max_size=3)))})"
    if how == 1:
        low, high = sorted((draw(st.sampled_from(ON_STEP[name])), draw(st.sampled_from(ON_STEP[name]))), key=Decimal)
        high = str(Decimal(high) + draw(st.sampled_from([Decimal("0"), Decimal("0.005")])))  # the upper end between two steps
        return f"{name} {negated}BETWEEN {low} AND {high}"
    if how == 2:
        return f"{name} {draw(st.sampled_from(['=', '<>', '!=']))} {draw(st.sampled_from(ON_STEP[name]))}"
    value, sign = draw(number_texts(name)), draw(st.sampled_from(COMPARE))
    return draw(st.sampled_from([f"{name} {sign} {value}", f"{value} {sign} {name}"]))


CONDITIONS = st.recursive(
    atoms(),
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("{} AND {}".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=6,
)


@st.composite
def measures(draw: st.DrawFn, number: int) -> tuple[str, str]:
    """A measure, and what DuckDB shall compute for it."""
    narrowed = f" FILTER (WHERE {draw(CONDITIONS)})" if draw(st.booleans()) else ""
    column = draw(st.sampled_from(NUMBERS))
    condition = draw(CONDITIONS)
    how = draw(st.integers(0, 10))
    if how == 10:
        other = f" FILTER (WHERE ({condition}) AND n <> 3)"
        text = f"COUNT(*){narrowed} - COUNT(DISTINCT pid){other}"
        return f"{text} AS m{number}", f"{text} AS m{number}"
    if how < 6:
        text = [
            f"COUNT(*){narrowed}",
            f"COUNT(DISTINCT pid){narrowed}",
            f"COUNT({draw(st.sampled_from(['k', 'f', *NUMBERS]))}){narrowed}",
            f"SUM({column}){narrowed}",
            f"AVG({column}){narrowed}",
            f"{draw(st.sampled_from(['VAR_POP', 'STDDEV_POP']))}({column}){narrowed}",
        ][how]
        return f"{text} AS m{number}", f"{text} AS m{number}"
    if how == 6:
        return f"COUNT_IF({condition}){narrowed} AS m{number}", f"COUNT_IF({condition}){narrowed} AS m{number}"
    if how == 7:
        ratio = f"1.0 * COUNT(*){narrowed} / COUNT(DISTINCT pid)"
        return f"{ratio} AS m{number}", f"{ratio} AS m{number}"
    if how == 8:
        name = draw(st.sampled_from(["AVG", "SHARE"]))
        written_out = f"AVG(CASE WHEN {condition} THEN 1 WHEN NOT ({condition}) THEN 0 END){narrowed}"
        return f"{name}({condition}){narrowed} AS m{number}", f"{written_out} AS m{number}"
    edges = draw(st.lists(st.sampled_from(ON_STEP["g"]), min_size=2, max_size=4, unique=True).map(lambda e: sorted(e, key=Decimal)))
    bins = [f"COUNT(*) FILTER (WHERE b{number} = {i})" for i in range(len(edges) - 1)] + [
        f"COUNT(*) FILTER (WHERE b{number} IS NULL)"
    ]
    if narrowed:
        inner = narrowed.removeprefix(" FILTER (WHERE ").removesuffix(")")
        bins = [f"{text.removesuffix(')')} AND ({inner}))" for text in bins]
    bins = [text.replace(f"b{number}", f"({written_bin('g', edges)})") for text in bins]
    return f"HISTOGRAM(g, {', '.join(edges)}){narrowed} AS m{number}", f"[{', '.join(bins)}] AS m{number}"


def written_bin(column: str, edges: list[str]) -> str:
    cases = []
    for number, (low, high) in enumerate(pairwise(edges)):
        last = number == len(edges) - 2
        cases.append(f"WHEN {column} >= {low} AND {column} {'<=' if last else '<'} {high} THEN {number}")
    return f"CASE {' '.join(cases)} END"


@st.composite
def statements(draw: st.DrawFn) -> tuple[str, str, list[str] | None]:
    """Our text, DuckDB's text, and the edges of the bin key if there is one."""
    keys = draw(st.lists(st.sampled_from(["k", "f", "n", "bin", "case"]), max_size=2, unique=True))
    whens = " ".join(f"WHEN {draw(CONDITIONS)} THEN '{label}'" for label in LABELS[: draw(st.integers(1, 3))])
    case = f"CASE {whens}{draw(st.sampled_from(['', ' ELSE NULL', ' ELSE REST']))} END".replace("REST", "'rest'")
    edges = sorted(draw(st.lists(st.sampled_from(ON_STEP["h"]), min_size=2, max_size=4, unique=True)), key=Decimal)
    binned = f"bin(h, {', '.join(edges)})"
    items = [draw(measures(number)) for number in range(draw(st.integers(1, 3)))]
    where = f" WHERE {draw(CONDITIONS)}" if draw(st.booleans()) else ""
    ours = [{"bin": binned, "case": case}.get(key, key) for key in keys]
    theirs = [{"bin": written_bin("h", edges), "case": case}.get(key, key) for key in keys]
    group = f" GROUP BY {', '.join(str(number + 1) for number in range(len(keys)))}" if keys else ""
    return (
        f"SELECT {', '.join([*ours, *(item[0] for item in items)])} FROM t{where}{group}",
        f"SELECT {', '.join([*theirs, *(item[1] for item in items)])} FROM t{where}{group}",
        edges if "bin" in keys else None,
    )


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


TABLES = st.lists(
    st.fixed_dictionaries(
        {
            "pid": st.sampled_from(["p", "q", "r", "s"]),
            "k": optional(st.sampled_from(LETTERS)),
            "f": optional(st.booleans()),
            "n": optional(st.integers(-4, 4)),
            "g": optional(st.sampled_from([Decimal(text) for text in ("0", "0.01", "1", "1.01", "2.5", "3.57", "3.58", "4")])),
            "h": optional(st.sampled_from([Decimal(text) for text in ("-1", "-0.75", "-0.25", "0", "0.25", "0.5", "1")])),
        }
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("CREATE TABLE t (pid VARCHAR, k VARCHAR, f BOOLEAN, n INTEGER, g DECIMAL(5, 2), h DECIMAL(4, 2))")
        yield connection


def fill(database: duckdb.DuckDBPyConnection, table: list[Row]) -> None:
    database.execute("DELETE FROM t")
    if table:
        rows = [[row["pid"], *(row[name] for name in COLUMNS)] for row in table]
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)


def same(ours: Any, theirs: Any, column: str | None, kind: str) -> bool:
    if isinstance(ours, list):
        return ours == list(theirs)
    if column is not None and kind == "value" and isinstance(ours, int) and not isinstance(theirs, int):
        return ours * COLUMNS[column].step == (theirs if theirs is not None else 0)  # SQL's sum of nothing is null
    if kind == "value" and ours == 0 and theirs is None:  # DuckDB's COUNT_IF of nothing
        return True
    if ours is None:  # a ratio by zero is no figure here, and NULL, nan or inf in DuckDB
        return theirs is None or (kind == "ratio" and not math.isfinite(theirs))
    if theirs is None:
        return False
    if isinstance(ours, int):
        return bool(ours == theirs)
    return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=1e-7)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(table=TABLES, asked=st.lists(statements(), min_size=1, max_size=3))
def test_same_figures_as_duckdb(
    table: list[Row], asked: list[tuple[str, str, list[str] | None]], database: duckdb.DuckDBPyConnection
) -> None:
    fill(database, table)
    for ours, theirs, edges in asked:
        compiled = compile_sql(ours, SCHEMA, rho=10**9)
        expected = figures(compiled, table)
        width = len(compiled.question.group)
        found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for row in database.execute(theirs).fetchall():
            cell = tuple(label(value, key.column, edges) for value, key in zip(row, compiled.question.group, strict=False))
            found[cell] = row[width:]
        assert found.keys() == expected.keys(), ours
        for keys, values in expected.items():
            for measure, value, other in zip(compiled.view.measures, values, found[keys], strict=True):
                assert same(value, other, measure.column, measure.kind), (ours, keys, measure.label, value, other)


def label(value: Any, column: str, edges: list[str] | None) -> str | None:
    """DuckDB's key as the tally labels it."""
    if value is None:
        return None
    if column == "h":
        assert edges is not None
        low, high = (COLUMNS["h"].decode(COLUMNS["h"].encode(edge)) for edge in edges[value : value + 2])
        return f"[{low}, {high}{']' if value == len(edges) - 2 else ')'}"
    return str(int(value)) if column == "f" else str(value)


def every_atom() -> list[str]:
    """Every comparison form with values on, between and beyond the steps, from both sides."""
    values = {
        "n": ("-5", "-4", "-0.5", "0", "1.5", "4", "4.5"),
        "g": ("-1", "0", "0.005", "1.01", "3.575", "4", "4.001"),
        "h": ("-2", "-1", "-0.3", "0", "0.25", "0.3", "1", "1.1"),
    }
    atoms = [f"k {sign} '{code}'" for sign in ("=", "<>", "!=") for code in LETTERS]
    atoms += [
        "k IN ('a', 'b')",
        "k NOT IN ('a', 'c')",
        "f",
        "f = TRUE",
        "f <> TRUE",
        "f = 0",
        "f IN (TRUE)",
        "f IS TRUE",
        "f IS FALSE",
    ]
    atoms += [f"{name} IS {negated}NULL" for name in COLUMNS for negated in ("", "NOT ")]
    for name in NUMBERS:
        atoms += [
            text for sign in COMPARE for value in values[name] for text in (f"{name} {sign} {value}", f"{value} {sign} {name}")
        ]
        atoms += [f"{name} {sign} {value}" for sign in ("=", "<>") for value in ON_STEP[name]]
        atoms += [f"{name} {negated}IN ({', '.join(ON_STEP[name][:3])})" for negated in ("", "NOT ")]
        pairs = [(low, high) for at, low in enumerate(values[name]) for high in values[name][at + 1 :]]
        pairs = [pair for pair in pairs if pair not in (("4", "4.001"), ("1", "1.1"))] + [(value, value) for value in ON_STEP[name]]
        atoms += [f"{name} {negated}BETWEEN {low} AND {high}" for low, high in pairs for negated in ("", "NOT ")]
    return [*atoms, *(f"NOT ({atom})" for atom in atoms)]


def test_every_comparison_with_every_value_of_its_column(database: duckdb.DuckDBPyConnection) -> None:
    """A table in which each column takes all its values and null; each comparison counts what DuckDB counts."""
    everything: dict[str, list[Any]] = {
        name: [None, *(column.decode(steps) for steps in range(column.min_steps, column.max_steps + 1))]
        for name, column in COLUMNS.items()
        if column.is_number
    } | {"k": [None, *LETTERS], "f": [None, True, False]}
    table = [{"pid": "p", **{name: everything[name][at % len(everything[name])] for name in COLUMNS}} for at in range(420)]
    fill(database, table)
    atoms = every_atom()
    found = database.execute(f"SELECT {', '.join(f'COUNT(*) FILTER (WHERE {atom})' for atom in atoms)} FROM t").fetchone()
    assert found is not None
    for atom, number in zip(atoms, found, strict=True):
        predicate = compile_sql(f"SELECT COUNT(*) FROM t WHERE {atom}", SCHEMA, rho=1).question.filter
        assert predicate is not None
        assert sum(truth(predicate, row) is True for row in table) == number, atom


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("NOT (k = 'a' AND n > 0)", 2),  # (a, null) is unknown; (null, 1) too; (null, 0) is true, (b, null) is true
        ("k <> 'a' OR n > 0", 3),
        ("n NOT IN (1)", 1),
        ("NOT (n IS NULL)", 3),
        ("f IS NOT TRUE", 5),
    ],
)
def test_three_valued_logic_by_hand(condition: str, rows: int) -> None:
    values: list[tuple[str | None, int | None]] = [("a", None), (None, 1), (None, 0), ("b", None), ("a", 1)]
    table = [{"pid": "p", "k": k, "n": n, "f": None, "g": None, "h": None} for k, n in values]
    compiled = compile_sql(f"SELECT COUNT(*) FROM t WHERE {condition}", SCHEMA, rho=1000)
    assert figures(compiled, table) == {(): [rows]}
