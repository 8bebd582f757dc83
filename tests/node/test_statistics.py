"""SQL, question, layout, the node's engine, no noise, table: what comes out is what DuckDB says of the same text and rows.

The exact tally is handed to the table as if it were released, and no bound binds, so every difference is a mistake. What DuckDB
does not have (REGRESSION, bin) is written out. The rows of the table that DuckDB does not list are cells without rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pytest
from referee import SCHEMA, SECRET, Row, prepared

from collegium.accounting import noise_scale
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.layout import compile_layout
from collegium.sql import compile_sql, compile_statements
from collegium.table import TOTAL, Figure, Table
from collegium.table import Row as TableRow
from collegium.view import View
from collegium_node.engine import tally
from collegium_node.noise import add_noise

RHO = 10**15
COLUMNS = SCHEMA.datasets["term"].columns


def some_rows() -> list[Row]:
    rng = np.random.default_rng(11)
    rows: list[Row] = []
    for person in range(220):
        for _ in range(int(rng.integers(1, 4))):
            gpa = int(np.clip(rng.normal(300, 60), 0, 430))
            values = {
                "sex": ["1", "2", "2", "9", None][int(rng.integers(5))],
                "home": [None, "0", "1", "1"][int(rng.integers(4))],
                "year": int(rng.integers(2020, 2024)),
                "gpa": None if rng.random() < 0.1 else gpa,
                "credits": None if rng.random() < 0.1 else int(np.clip(5 + gpa // 20 + rng.normal(0, 6), -7, 40)),
            }
            rows.append((f"p{person}", values))
    return rows


ROWS = some_rows()


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute(
            "CREATE TABLE term (student_id VARCHAR, sex VARCHAR, home BOOLEAN, year INTEGER, gpa DECIMAL(5, 2), credits INTEGER)"
        )
        full = [
            [p, v["sex"], None if v["home"] is None else v["home"] == "1", v["year"], v["gpa"] and v["gpa"] / 100, v["credits"]]
            for p, v in ROWS
        ]
        connection.executemany("INSERT INTO term VALUES (?, ?, ?, ?, ?, ?)", full)
        yield connection


def answer(sql: str, rho: int = RHO) -> tuple[Table, View]:
    clips = {"credits": (-200, 200)} if "SUM(credits)" in sql else {}
    compiled = compile_sql(sql, SCHEMA, rho=rho, max_rows=3, max_groups=3, clips=clips)  # nobody has more rows
    layout = compile_layout(compiled.question, SCHEMA)
    exact = tally(layout, prepared(ROWS), schema=SCHEMA, secret=SECRET).open()
    release = NodeRelease("a", exact.astype("<i8").tobytes(), tuple(repr(noise_scale(part)) for part in layout.parts))
    table = combine(layout, compiled.view, SCHEMA, [release], [AskedNode("a")])
    assert Table.from_bytes(table.to_bytes()).to_bytes() == table.to_bytes()
    return table, compiled.view


def key(value: Any) -> str:
    return "unknown" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def number(figure: Figure) -> float | None:
    return None if figure.value is None else float(figure.value)


def cells_of(row: TableRow) -> tuple[str, ...]:
    return row.group


# Statements that both understand as they stand; keys come first in SELECT, in the order of GROUP BY.
SAME = [
    "SELECT CASE WHEN year <= 2021 THEN 'early' WHEN home THEN 'home' ELSE 'other' END AS k, COUNT(*) FROM term GROUP BY k",
    "SELECT CASE sex WHEN '1' THEN 'm' WHEN '2' THEN 'f' END AS s, home, COUNT(*), AVG(gpa) FROM term GROUP BY 1, 2",
    "SELECT CASE WHEN NOT (gpa > 3) THEN 'a' WHEN credits = 12 OR gpa IS NULL THEN 'b' END AS k, SUM(credits) FROM term GROUP BY k",
    "SELECT year, COUNT(*) AS n FROM term GROUP BY year HAVING n > 100 ORDER BY n DESC LIMIT 3",
    "SELECT year, sex, AVG(gpa) AS m FROM term GROUP BY year, sex ORDER BY m DESC LIMIT 5",
    "SELECT year, AVG(gpa) AS gpa FROM term GROUP BY year ORDER BY gpa DESC, year",
    "SELECT year, COUNT(*) AS n, AVG(gpa) AS m FROM term GROUP BY year HAVING NOT (n < 90 OR m > 3.05) ORDER BY year DESC",
    "SELECT year, MEDIAN(credits), COUNT(*) / SUM(COUNT(*)) OVER () FROM term GROUP BY year",
    "SELECT sex, year, COUNT(*) / SUM(COUNT(*)) OVER (PARTITION BY sex) AS part FROM term GROUP BY sex, year",
    "SELECT year, QUANTILE(credits, 0.25), QUANTILE(credits, 0.9), MEDIAN(credits) FILTER (WHERE home) FROM term GROUP BY year",
    "SELECT year, AVG(gpa) FILTER (WHERE sex = '1') - AVG(gpa) FILTER (WHERE sex = '2') AS gap FROM term GROUP BY year",
    "SELECT home, COUNT(*) FILTER (WHERE year = 2020) - COUNT(*) FILTER (WHERE year = 2021) AS fewer FROM term GROUP BY home",
    "SELECT sex, CORR(gpa, credits), REGR_SLOPE(credits, gpa), REGR_INTERCEPT(credits, gpa) FROM term GROUP BY sex",
    "SELECT home, REGR_SLOPE(gpa, year) FILTER (WHERE sex <> '9'), CORR(year, credits) FROM term GROUP BY home",
    "SELECT ENTROPY(sex) AS a, ENTROPY(home) AS b, ENTROPY(credits) AS c, ENTROPY(year) FILTER (WHERE home) AS d FROM term",
    "SELECT sex, ENTROPY(year) AS h, COUNT(*) AS n FROM term GROUP BY sex ORDER BY h DESC",
    "SELECT MEDIAN(credits) FILTER (WHERE sex = '1') - MEDIAN(credits) FILTER (WHERE sex = '2') AS gap FROM term",
    "SELECT sex, home, COUNT(*), SUM(credits), AVG(gpa) FROM term GROUP BY CUBE (sex, home)",
    "SELECT sex, year, home, COUNT(*) FROM term GROUP BY GROUPING SETS ((sex, year), (year, home), (home), ())",
    "SELECT sex, year, COUNT_IF(home) / COUNT(*), COUNT(*) FROM term GROUP BY sex, ROLLUP (year)",
    "SELECT year, COUNT(*) AS n FROM term GROUP BY ROLLUP (year) HAVING COUNT(*) BETWEEN 50 AND 120 ORDER BY 1",
]


@pytest.mark.parametrize("sql", SAME)
def test_the_table_is_what_duckdb_says(sql: str, database: duckdb.DuckDBPyConnection) -> None:
    table, view = answer(sql)
    keys = sum(not hasattr(column, "measure") for column in view.columns)
    theirs = sql.replace("MEDIAN(credits)", "QUANTILE_DISC(credits, 0.5)")
    grouping = f", GROUPING({', '.join(name.strip() for name in sql.removeprefix('SELECT ').split(',')[:keys])})"
    with_sets = view.sets is not None
    if with_sets:
        theirs = theirs.replace(" FROM term", f"{grouping} FROM term", 1)
    expected = []
    for row in database.execute(theirs).fetchall():
        bits = row[-1] if with_sets else 0
        labels = tuple(TOTAL if bits >> (keys - 1 - at) & 1 else key(value) for at, value in enumerate(row[:keys]))
        expected.append((labels, row[keys : keys + len(view.measures)]))
    ours = {cells_of(row): row for row in table.rows_of(0)}
    assert expected
    if view.order is not None:
        assert [cells_of(row) for row in table.rows_of(0)][: len(expected)] == [labels for labels, _ in expected]
    for labels, values in expected:
        for measure, figure, value in zip(view.measures, ours[labels].figures, values, strict=True):
            found = number(figure)
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                assert found is None or found == 0, (labels, measure.label)
                continue
            assert found == pytest.approx(float(value), rel=2e-4, abs=1e-6), (labels, measure.label)
            low = -math.inf if figure.low is None else float(figure.low)
            high = math.inf if figure.high is None else float(figure.high)
            assert found is not None
            assert low - 1e-6 <= found <= high + 1e-6
    if view.having is None and view.limit is None:  # what DuckDB does not list has no rows
        listed = {labels for labels, _ in expected}
        for labels, row in ours.items():
            if labels not in listed and view.measures[0].kind == "value":
                assert abs(number(row.figures[0]) or 0) < 0.01


def test_regression_is_least_squares() -> None:
    table, _ = answer("SELECT REGRESSION(credits, gpa, year) AS r FROM term")
    complete = [v for _, v in ROWS if None not in (v["credits"], v["gpa"], v["year"])]
    design = np.array([[1.0, v["gpa"] / 100, v["year"]] for v in complete])
    truth = np.linalg.lstsq(design, np.array([v["credits"] for v in complete], dtype=float), rcond=None)[0]
    assert table.measures[0].bins == ("intercept", "gpa", "year")
    (figure,) = table.rows_of(0)[0].figures
    found = [number(each) for each in figure.bins or ()]
    assert found[1:] == pytest.approx(truth[1:], rel=1e-3)
    assert found[0] == pytest.approx(truth[0], rel=1e-3)
    assert all(float(each.model_error or 0) > float(each.error or 1) for each in figure.bins or ())  # a sample's error beside it


def test_the_margins_of_noisy_tables_add_up() -> None:
    """Noise as it is in earnest: the rows of a table with grouping sets still add up to the rows of its margins."""
    sql = "SELECT sex, home, COUNT(*) AS n, SUM(credits) AS s FROM term GROUP BY CUBE (sex, home)"
    compiled = compile_sql(sql, SCHEMA, rho=10**7, max_rows=3, max_groups=2)
    layout = compile_layout(compiled.question, SCHEMA)
    noisy = add_noise(layout, tally(layout, prepared(ROWS), schema=SCHEMA, secret=SECRET))
    release = NodeRelease("a", noisy.payload, tuple(repr(scale) for scale in noisy.scales))
    table = combine(layout, compiled.view, SCHEMA, [release], [AskedNode("a")])
    for at in (0, 1):
        values = {row.group: number(row.figures[at]) or 0.0 for row in table.rows_of(0)}
        for sex in ("1", "2", "9", "unknown"):
            assert sum(values[sex, home] for home in ("0", "1", "unknown")) == pytest.approx(values[sex, TOTAL], abs=1e-4)
        assert sum(values[TOTAL, home] for home in ("0", "1", "unknown")) == pytest.approx(values[TOTAL, TOTAL], abs=1e-4)


def test_a_median_between_two_steps_of_its_bins_is_held() -> None:
    table, _ = answer("SELECT sex, MEDIAN(gpa) AS m FROM term GROUP BY sex")
    for row in table.rows_of(0)[:3]:
        values = sorted(v["gpa"] for _, v in ROWS if v["sex"] == row.group[0] and v["gpa"] is not None)
        truth = values[math.ceil(len(values) / 2) - 1] / 100
        (figure,) = row.figures
        assert float(figure.low or 9) <= truth <= float(figure.high or 0)
        assert abs(float(figure.value or 0) - truth) < 0.02


def test_statements_about_the_same_cells_are_one_question_and_paid_once() -> None:
    statements = [
        "SELECT year, AVG(gpa) AS m FROM term WHERE sex = '1' GROUP BY year",
        "SELECT year, COUNT(gpa) AS n, COUNT(*) FROM term WHERE sex = '1' GROUP BY year ORDER BY n DESC LIMIT 2",
        "SELECT AVG(gpa) FROM term WHERE sex = '1'",
        "SELECT year AS y, VAR_POP(gpa) AS v FROM term WHERE sex = '1' GROUP BY y",
    ]
    compiled = compile_statements(statements, SCHEMA, rho=4_000_000)
    digests = [each.question.digest for each in compiled]
    assert digests[0] == digests[1] == digests[3] != digests[2]
    together, alone = compiled[0].question, compiled[2].question
    assert [part.kind for part in together.components] == ["count", "total", "rows", "squares"]
    assert together.rho == 3_000_000
    assert alone.rho == 1_000_000
    for each in compiled:
        assert View.from_json(each.view.to_json()) == each.view
    # Alone each statement is what it is without the others.
    assert compile_statements(statements[2:3], SCHEMA, rho=10**6)[0] == compile_sql(statements[2], SCHEMA, rho=10**6)
    assert compiled[2].question == compile_sql(statements[2], SCHEMA, rho=10**6).question


def test_titles_of_cases_play_no_part_in_the_digest() -> None:
    one, two = (
        compile_sql(f"SELECT CASE WHEN home THEN '{a}' ELSE '{b}' END AS {c}, COUNT(*) FROM term GROUP BY 1", SCHEMA, rho=1000)
        for a, b, c in (("yes", "no", "k"), ("ja", "nein", "wo"))
    )
    assert one.question.digest == two.question.digest
    assert one.view != two.view
