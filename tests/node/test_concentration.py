"""Top shares are what their definition says of the same rows in DuckDB; and they, like entropy, are read from bins paid before.

Entropy itself is DuckDB's own aggregate and stands among the statements of test_statistics.
"""

from __future__ import annotations

import duckdb
import pytest
from referee import SCHEMA
from test_statistics import answer, database

from collegium.errors import Invalid
from collegium.sql import compile_sql, compile_statements

__all__ = ["database"]  # the fixture

EDGES = "0, 1, 2, 2.5, 3, 3.2, 3.5, 4, 4.3"
# Rows counted in bins, those at the top first; of the bin that the wish ends in only what is needed.
TOP = """
WITH bins AS ({bins}), running AS (
    SELECT n, m, SUM(n) OVER (ORDER BY m DESC) - n AS before, SUM(n) OVER () * {share} AS wished FROM bins
)
SELECT SUM(m * GREATEST(0, LEAST(n, wished - before))) / SUM(n * m) FROM running
"""
BY_EDGES = """
    SELECT COUNT(gpa) AS n, (low + high) / 2 AS m
    FROM (SELECT UNNEST([{lows}]) AS low, UNNEST([{highs}]) AS high) AS edges
    LEFT JOIN (SELECT gpa FROM term {where}) ON gpa >= low AND (gpa < high OR (gpa = high AND high = 4.3))
    GROUP BY low, high
"""


def value_of(sql: str, rho: int = 10**15) -> tuple[float, float, float]:
    table, _ = answer(sql, rho)
    figure = table.rows_of(0)[0].figures[0]
    return float(figure.value or "nan"), float(figure.low or "nan"), float(figure.high or "nan")


@pytest.mark.parametrize("share", ["0.1", "0.5", "0.001", "0.99"])
@pytest.mark.parametrize("where", ["", "WHERE home"])
def test_the_top_share_of_bins_is_what_duckdb_finds(share: str, where: str, database: duckdb.DuckDBPyConnection) -> None:
    edges = EDGES.split(", ")
    bins = BY_EDGES.format(lows=", ".join(edges[:-1]), highs=", ".join(edges[1:]), where=where)
    found = database.execute(TOP.format(bins=bins, share=share)).fetchone()
    assert found is not None
    value, low, high = value_of(f"SELECT TOP_SHARE(gpa, {share}, {EDGES}) AS top FROM term {where}")
    assert value == pytest.approx(float(found[0]), rel=1e-6)
    assert low <= value <= high


@pytest.mark.parametrize("share", ["0.1", "0.37"])
def test_whole_numbers_without_edges_count_with_their_value(share: str, database: duckdb.DuckDBPyConnection) -> None:
    bins = "SELECT COUNT(*) AS n, year AS m FROM term WHERE year IS NOT NULL GROUP BY year"
    found = database.execute(TOP.format(bins=bins, share=share)).fetchone()
    assert found is not None
    assert value_of(f"SELECT TOP_SHARE(year, {share}) AS top FROM term")[0] == pytest.approx(float(found[0]), rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_share_of_the_largest_codes_is_what_duckdb_finds(k: int, database: duckdb.DuckDBPyConnection) -> None:
    sql = f"""SELECT SUM(n) / (SELECT COUNT(sex) FROM term) FROM
        (SELECT COUNT(*) AS n FROM term WHERE sex IS NOT NULL GROUP BY sex ORDER BY n DESC LIMIT {k})"""
    found = database.execute(sql).fetchone()
    assert found is not None
    assert value_of(f"SELECT TOP_SHARE(sex, {k}) AS top FROM term")[0] == pytest.approx(float(found[0]), rel=1e-9)


def test_a_negative_number_has_no_top_share() -> None:
    """credits may be below zero, and a total of them has no shares; from an edge at 0 on it has."""
    with pytest.raises(Invalid, match="below zero has no shares"):
        compile_sql("SELECT TOP_SHARE(credits, 0.1) FROM term", SCHEMA, rho=1000)
    value, _, _ = value_of("SELECT TOP_SHARE(credits, 0.1, 0, 10, 20, 30, 40) AS top FROM term")
    assert 0.1 < value < 1


def test_they_are_read_from_a_histogram_and_cost_nothing_beside_it() -> None:
    """Only post-processing of bins: the question is, to its digest, that of the histogram alone. So the tests of sensitivity and of
    the real loss, which know bins, know these too."""
    histogram = f"SELECT year, HISTOGRAM(gpa, {EDGES}) AS h FROM term WHERE home GROUP BY year"
    others = [
        f"SELECT year, ENTROPY(gpa, {EDGES}) AS h FROM term WHERE home GROUP BY year",
        f"SELECT year, TOP_SHARE(gpa, 0.1, {EDGES}) AS t, TOP_SHARE(gpa, 0.01, {EDGES}) AS u FROM term WHERE home GROUP BY year",
        f"SELECT year AS y, ENTROPY(gpa, {EDGES}) AS e, TOP_SHARE(gpa, 0.2, {EDGES}) AS t FROM term WHERE home GROUP BY y",
    ]
    alone = compile_sql(histogram, SCHEMA, rho=10**6).question
    for sql in others:
        assert compile_sql(sql, SCHEMA, rho=10**6).question.digest == alone.digest
    together = compile_statements([histogram, *others], SCHEMA, rho=10**6)
    assert {each.question.digest for each in together} == {alone.digest}
    assert together[0].question.rho == 10**6
