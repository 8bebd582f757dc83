"""The slow referee: one question's tally by brute force over plain Python rows, written from the documents and not from the engine.

A row is (person, values): the raw id and a dict from column to a code, a number in steps, or None. The hash is written out here a
second time, from the formula in `choice.py`'s docstring, on Python's unbounded integers.

Also here: the schema and the random rows and questions of the tests, and `prepared`, which lays rows out as a snapshot does.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from collegium.layout import Axis, Layout
from collegium.question import And, Bounds, Component, GroupKey, In, Not, Or, Predicate, Question, Range, Unknown
from collegium.schema import Dataset, parse_schema
from collegium_node.snapshot import PreparedDataset

Values = dict[str, Any]
Row = tuple[str, Values]
Digest = Callable[[str], int]

SECRET = bytes(range(32))
P = 2**31 - 1

SCHEMA = parse_schema("""
name = "referee"
version = 1
title.en = "Referee"
units.student.title.en = "student"
[codes.sex]
1.en = "man"
2.en = "woman"
9.en = "not stated"
[datasets.term]
title.en = "Terms"
unit = "student"
person = "student_id"
max_rows = 4
max_groups = 3
[datasets.term.columns]
sex = { type = "category", codes = "sex", title.en = "sex" }
home = { type = "boolean", title.en = "lives at home" }
year = { type = "integer", min = 2020, max = 2023, title.en = "year" }
gpa = { type = "decimal", min = 0, max = 4.3, step = 0.01, title.en = "gpa" }
credits = { type = "integer", min = -7, max = 40, person_max = 60, title.en = "credits" }
""")
DATASET: Dataset = SCHEMA.datasets["term"]


# --- the hash -------------------------------------------------------------------------------------------------------------------


def key(label: str, context: bytes = b"") -> list[int]:
    message = b"collegium/v1/choice\x00" + label.encode() + b"\x00" + context
    stream = b"".join(hmac.new(SECRET, message + bytes([i]), hashlib.sha256).digest() for i in range(2))
    return [1 + int.from_bytes(stream[8 * i : 8 * i + 8], "big") % (P - 1) for i in range(8)]


def mix(k: list[int], d1: int, d2: int, c: int) -> int:
    t = (k[0] * d1 + k[1] * d2 + k[2] * c + k[3]) % P
    t = ((t ^ (t >> 16)) * k[4] + k[5]) % P
    return ((t ^ (t >> 15)) * k[6] + k[7]) % P


def order(k: list[int], digest: int, c: int, low: int) -> int:
    return mix(k, digest % 2**31, digest >> 31, c) * 2**31 + low


def digest_of_person(person: str) -> int:
    return int.from_bytes(hashlib.blake2b(person.encode(), key=SECRET, digest_size=8).digest(), "big") >> 2


def integer(column: str, value: Any) -> int | None:
    """The prepared integer: the position of a code (the list's length for unknown), or the number itself (None for null)."""
    if DATASET.columns[column].is_number:
        return value  # type: ignore[no-any-return]
    codes = list(SCHEMA.values(DATASET.columns[column]))
    return codes.index(value) if value in codes else len(codes)


def digest_of_row(person_digest: int, values: Values) -> int:
    a, b = person_digest % 2**31, person_digest >> 31
    for column in DATASET.columns:
        value = integer(column, values[column])
        u = 0 if value is None else value + 2**41
        a = mix(key("row-a"), a, u % 2**31, u >> 31)
        b = mix(key("row-b"), b, u % 2**31, u >> 31)
    return b * 2**31 + a


# --- the tally ------------------------------------------------------------------------------------------------------------------


def truth(predicate: Predicate, values: Values) -> bool | None:
    """Three-valued logic by Kleene: None is unknown."""
    if isinstance(predicate, Not):
        inner = truth(predicate.arg, values)
        return None if inner is None else not inner
    if isinstance(predicate, And | Or):
        decisive = isinstance(predicate, Or)
        found = [truth(arg, values) for arg in predicate.args]
        return decisive if decisive in found else None if None in found else not decisive
    value = values[predicate.column]
    if isinstance(predicate, Unknown):
        return value is None
    if value is None:
        return None
    if isinstance(predicate, In):
        return value in predicate.values
    low = predicate.min is None or predicate.min <= value
    return low and (predicate.max is None or value <= predicate.max)


def place_of(axis: Axis, values: Values) -> int:
    """The position of a row on a group axis: the first case that is true, else as `place`."""
    if axis.cases is None:
        return place(axis, values[axis.column])
    return next((number for number, case in enumerate(axis.cases) if truth(case, values) is True), len(axis.cases))


def place(axis: Axis, value: Any) -> int:
    """The position on an axis, by its labels or its edges."""
    unknown = len(axis.labels) - 1
    if value is None:
        return unknown
    if axis.edges is None:
        return axis.labels.index(str(value)) if str(value) in axis.labels else unknown
    for number, (low, high) in enumerate(zip(axis.edges, axis.edges[1:], strict=False)):
        if low <= value < high or (value == high == axis.edges[-1]):
            return number
    return unknown


def referee(layout: Layout, rows: list[Row], digest: Digest = digest_of_person) -> list[int]:
    """The exact tally."""
    question = layout.question
    groups_key, rows_key = (key(label, bytes.fromhex(question.digest)) for label in ("groups", "rows"))
    result = [0] * layout.length
    for person in {name for name, _ in rows}:
        person_digest = digest(person)
        cells: dict[int, list[Values]] = {}
        for name, values in rows:
            if name == person and (question.filter is None or truth(question.filter, values) is True):
                cell = 0
                for axis in layout.axes:
                    cell = cell * len(axis.labels) + place_of(axis, values)
                cells.setdefault(cell, []).append(values)
        chosen: list[tuple[int, Values]] = []

        def row_order(values: Values, person_digest: int = person_digest) -> int:
            row = digest_of_row(person_digest, values)
            return order(rows_key, row, 0, row % 2**31)

        by_order = sorted(cells, key=lambda cell: order(groups_key, person_digest, cell, cell))
        for cell in by_order[: question.bounds.max_groups]:
            for part in layout.parts:
                if question.bounds.scope == "person" and part.component.kind != "people":
                    continue
                shown = cell_in_margin(layout, part.component, cell)
                _add(result, part.component, part, shown, sorted(cells[cell], key=row_order), question.bounds.max_rows)
            chosen += [(cell, values) for values in cells[cell]]
        if question.bounds.scope == "person":
            chosen.sort(key=lambda each: row_order(each[1]))
            for part in layout.parts:
                if part.component.kind != "people":
                    _add_across(result, layout, part, chosen)
    return result


def _add_across(result: list[int], layout: Layout, part: Any, rows: list[tuple[int, Values]]) -> None:
    """Bounds over all cells: row after row is added alone, until the person's rows or the clip are used up."""
    component = part.component
    rows_left = layout.question.bounds.max_rows
    size_left = max(map(abs, component.clip)) if component.clip else 0
    for cell, values in rows:
        if component.filter is not None and truth(component.filter, values) is not True:
            continue
        if component.condition is not None and truth(component.condition, values) is None:
            continue
        if component.kind != "bins" and None in [values[name] for name in (component.column, component.other) if name is not None]:
            continue
        shown = cell_in_margin(layout, component, cell)
        if component.kind == "sum":
            low, high = component.clip
            value = min(max(values[component.column], low, -size_left), high, size_left)
            size_left -= abs(value)
            result[part.start + shown] += value
        elif rows_left > 0:
            rows_left -= 1
            _add(result, component, part, shown, [values], 1)


def cell_in_margin(layout: Layout, component: Component, cell: int) -> int:
    """The cell's number among those of the component: by its labels, of the keys that are kept."""
    labels = dict(zip((axis.column for axis in layout.axes), layout.cell_labels(cell), strict=True))
    found = 0
    for axis in layout.axes:
        if component.margin is None or axis.column in component.margin:
            found = found * len(axis.labels) + axis.labels.index(labels[axis.column])
    return found


def _add(result: list[int], component: Component, part: Any, cell: int, rows: list[Values], most: int) -> None:
    if component.filter is not None:
        rows = [values for values in rows if truth(component.filter, values) is True]
    kind = component.kind
    if kind == "people":
        result[part.start + cell] += bool(rows)
    elif kind == "rows":
        result[part.start + cell] += len(rows[:most])
    elif kind == "product":
        pairs = [(values[component.column or ""], values[component.other or ""]) for values in rows]
        middles = [
            (column.min_steps + column.max_steps) // 2
            for column in (DATASET.columns[n or ""] for n in (component.column, component.other))
        ]
        complete = [pair for pair in pairs if None not in pair]
        result[part.start + cell] += sum((x - middles[0]) * (y - middles[1]) for x, y in complete[:most])
    elif kind == "bins":
        for values in rows[:most]:
            result[part.start + cell * len(part.bins.labels) + place(part.bins, values[component.column])] += 1
    else:
        if component.condition is not None:
            answers = [truth(component.condition, values) for values in rows]
            known = [1 if answer else -1 for answer in answers if answer is not None]
            centre = 0
        else:
            column = DATASET.columns[component.column or ""]
            known = [values[component.column] for values in rows if values[component.column] is not None]
            centre = (column.min_steps + column.max_steps) // 2
        kept = [value - centre for value in known[:most]]
        if kind == "sum":
            assert component.clip is not None
            result[part.start + cell] += min(max(sum(known), component.clip[0]), component.clip[1]) if known else 0
        elif kind == "count":
            result[part.start + cell] += len(kept)
        elif kind == "total":
            result[part.start + cell] += sum(kept)
        else:
            half = column.max_steps - centre
            result[part.start + cell] += sum(value * value - half * half // 2 for value in kept)


# --- rows as a snapshot holds them ------------------------------------------------------------------------------------------------

TYPES = {"sex": pl.UInt16, "home": pl.UInt16, "year": pl.Int16, "gpa": pl.Int16, "credits": pl.Int8}


def prepared(rows: list[Row], digest: Digest = digest_of_person) -> PreparedDataset:
    """Rows sorted by person digest, id, row digest and values, as `snapshot.py` documents."""
    full = []
    for person, values in rows:
        integers = [integer(column, values[column]) for column in DATASET.columns]
        full.append((digest(person), person, digest_of_row(digest(person), values), integers))
    full.sort(key=lambda row: (*row[:3], [(value is not None, value or 0) for value in row[3]]))
    starts = [i for i, row in enumerate(full) if i == 0 or row[1] != full[i - 1][1]]
    columns = {
        name: pl.Series(name, [row[3][number] for row in full], dtype=TYPES[name]) for number, name in enumerate(DATASET.columns)
    }
    return PreparedDataset(
        name="term",
        columns=columns,
        row_digest=np.array([row[2] for row in full], dtype=np.int64),
        offsets=np.array([*starts, len(full)], dtype=np.int64) if full else np.zeros(1, dtype=np.int64),
        person_digest=np.array([full[start][0] for start in starts], dtype=np.int64),
        rows=len(full),
        persons=len(starts),
    )


# --- random rows and questions ----------------------------------------------------------------------------------------------------

SEX, HOME = st.sampled_from(["1", "2", "9", None]), st.sampled_from(["0", "1", None])
YEAR, GPA, CREDITS = (
    st.one_of(st.none(), st.integers(DATASET.columns[name].min_steps, DATASET.columns[name].max_steps))
    for name in ("year", "gpa", "credits")
)


def some_rows(persons: int = 5, rows: int = 30) -> st.SearchStrategy[list[Row]]:
    """Few persons with few or many rows; values repeat, so that rows tie."""
    values = st.fixed_dictionaries({"sex": SEX, "home": HOME, "year": YEAR, "gpa": GPA, "credits": CREDITS})
    names = st.sampled_from([f"person {i}" for i in range(persons)])
    once = st.lists(st.tuples(names, values), max_size=rows)
    again = st.integers(1, 12)
    return st.tuples(once, again).map(lambda both: [row for row in both[0] for _ in range(both[1] if row[0] == "person 0" else 1)])


def predicates(depth: int = 2) -> st.SearchStrategy[Predicate]:
    numbers = {"year": (2019, 2024), "gpa": (-1, 431), "credits": (-8, 41)}
    leaves: list[st.SearchStrategy[Any]] = [
        st.sampled_from(["sex", "home", *numbers]).map(lambda column: Unknown(column=column)),
        st.sets(st.sampled_from(["1", "2", "9"]), min_size=1).map(lambda codes: In(column="sex", values=tuple(codes))),
        st.sets(st.sampled_from(["0", "1"]), min_size=1).map(lambda codes: In(column="home", values=tuple(codes))),
    ]
    for column, (low, high) in numbers.items():
        end = st.integers(low, high)
        leaves.append(end.map(lambda v, c=column: Range(column=c, min=v)))
        leaves.append(end.map(lambda v, c=column: Range(column=c, max=v)))
        leaves.append(st.tuples(end, end).map(lambda v, c=column: Range(column=c, min=v[0], max=v[1])))
        leaves.append(st.sets(end, min_size=1, max_size=3).map(lambda v, c=column: In(column=c, values=tuple(v))))
    found: st.SearchStrategy[Any] = st.one_of(leaves)
    for _ in range(depth):
        two = st.lists(found, min_size=2, max_size=3).map(tuple)
        found = st.one_of(
            found,
            found.map(lambda p: Not(arg=p)),
            two.map(lambda p: And(args=p)),
            two.map(lambda p: Or(args=p)),
        )
    return found


EDGES = st.sets(st.integers(0, 430), min_size=2, max_size=4).map(lambda edges: tuple(sorted(edges)))
RHO = st.integers(1, 10**9)


@st.composite
def components(draw: st.DrawFn) -> Component:
    kind = draw(st.sampled_from(["people", "rows", "sum", "count", "total", "squares", "product", "bins"]))
    filter = draw(st.one_of(st.none(), predicates(1)))
    shape: dict[str, Any] = {}
    if kind in ("count", "total") and draw(st.booleans()):
        shape["condition"] = draw(predicates(1))
    elif kind == "bins":
        shape["column"] = draw(st.sampled_from(["sex", "home", "year", "gpa"]))
        shape["edges"] = draw(EDGES) if shape["column"] == "gpa" else None
    elif kind == "product":
        shape["column"], shape["other"] = sorted(draw(st.sets(st.sampled_from(["year", "gpa", "credits"]), min_size=2, max_size=2)))
    elif kind in ("sum", "count", "total", "squares"):
        shape["column"] = draw(st.sampled_from(["year", "gpa", "credits"]))
    if kind == "sum":
        low = draw(st.integers(-50, 5000))
        shape["clip"] = (low, low + draw(st.integers(1, 2000)))
    return Component(kind=kind, filter=filter, rho=draw(RHO), **shape)


def holds_nothing(component: Component) -> bool:
    """Is 0 within the clip, as bounds over all cells want it?"""
    return component.clip is None or component.clip[0] <= 0 <= component.clip[1]


@st.composite
def questions(draw: st.DrawFn) -> Question:
    names = draw(st.lists(st.sampled_from(["sex", "home", "year", "gpa", "case1"]), unique=True, max_size=3))
    group = []
    for name in names:
        cases = tuple(draw(st.lists(predicates(1), min_size=1, max_size=3))) if name == "case1" else None
        group.append(GroupKey(column=name, edges=draw(EDGES) if name == "gpa" else None, cases=cases))
    parts = draw(st.lists(components(), min_size=1, max_size=4))
    if names and draw(st.booleans()):  # some of them at a margin, and one at two
        kept = [
            tuple(name for name in names if name in some) for some in draw(st.lists(st.sets(st.sampled_from(names)), max_size=3))
        ]
        margins = [margin for margin in kept if len(margin) < len(names)]
        parts += [parts[0].model_copy(update={"margin": margin}) for margin in margins]
    return Question(
        dataset="term",
        filter=draw(st.one_of(st.none(), predicates())),
        group=tuple(group),
        components=tuple(parts),
        bounds=Bounds(
            max_groups=draw(st.integers(1, 4)),
            max_rows=draw(st.integers(1, 4)),
            scope="person" if all(holds_nothing(part) for part in parts) and draw(st.booleans()) else None,
        ),
        schema=SCHEMA.id,
    )
