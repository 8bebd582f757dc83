"""The keyed choice: golden vectors that any engine must meet, in the interpreter, compiled and in SQL, and near-uniformity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from referee import key, mix
from scipy import stats

from collegium_node import choice
from collegium_node.choice import NULL, derive_key, fold_row_digests, mix31, mix31_compiled, question_keys
from collegium_node.compiled import compiled

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "choice.json").read_text())
SECRET = bytes.fromhex(VECTORS["secret"])
KEYS = question_keys(SECRET, VECTORS["question"])


def test_keys_meet_the_vectors() -> None:
    assert KEYS.groups.tolist() == VECTORS["groups_key"]
    assert KEYS.rows.tolist() == VECTORS["rows_key"]


@pytest.mark.parametrize(("d1", "d2", "c", "found"), VECTORS["mix31"])
def test_mix31_meets_the_vectors(d1: int, d2: int, c: int, found: int) -> None:
    plain = [int(k) for k in KEYS.groups]
    assert mix31(plain, d1, d2, c) == found  # type: ignore[arg-type]
    assert mix31_compiled(KEYS.groups, d1, d2, c) == found
    assert mix(plain, d1, d2, c) == found


def test_sql_computes_the_vectors() -> None:
    """With signed 64-bit integers alone; DuckDB raises an error should any product leave them."""
    k = [f"{int(k)}::BIGINT" for k in KEYS.groups]
    p = "2147483647::BIGINT"
    for d1, d2, c, found in VECTORS["mix31"]:
        t = f"((({k[0]}*{d1}::BIGINT)%{p} + ({k[1]}*{d2}::BIGINT)%{p} + ({k[2]}*{c}::BIGINT)%{p} + {k[3]})%{p})"
        t = f"(SELECT (xor(t, t >> 16) * {k[4]} + {k[5]}) % {p} AS t FROM (SELECT {t} AS t))"
        answer = duckdb.sql(f"SELECT (xor(t, t >> 15) * {k[6]} + {k[7]}) % {p} FROM {t}").fetchall()
        assert answer == [(found,)]


def test_orders_meet_the_vectors() -> None:
    for cell_order, row_order in ((choice.cell_order, choice.row_order), (choice._cell_order, choice._row_order)):
        assert all(cell_order(KEYS.groups, digest, cell) == found for digest, cell, found in VECTORS["cell_order"])
        assert all(row_order(KEYS.rows, digest) == found for digest, found in VECTORS["row_order"])


@pytest.mark.parametrize("case", VECTORS["fold_row_digests"])
def test_row_digests_meet_the_vectors(case: dict[str, Any]) -> None:
    columns = [np.array([NULL if value is None else value], dtype=np.int64) for value in case["values"]]
    assert fold_row_digests(np.array([case["person"]], dtype=np.int64), columns, SECRET).tolist() == [case["digest"]]


def test_row_digests_leave_their_input_alone_and_refuse_odd_lengths() -> None:
    persons = np.arange(5, dtype=np.int64)
    digests = fold_row_digests(persons, (np.full(5, 3, dtype=np.int64) for _ in range(2)), SECRET)
    assert persons.tolist() == list(range(5))
    assert len(set(digests.tolist())) == 5
    assert digests.min() >= 0
    assert digests.max() < 2**62
    with pytest.raises(ValueError):
        fold_row_digests(persons, [np.zeros(1, dtype=np.int64)], SECRET)


def test_keys_differ_by_use_question_and_secret() -> None:
    made = [
        derive_key(SECRET, "groups", b"1"),
        derive_key(SECRET, "rows", b"1"),
        derive_key(SECRET, "groups", b"2"),
        derive_key(SECRET[::-1], "groups", b"1"),
    ]
    assert len({tuple(k.tolist()) for k in made}) == 4
    assert all(1 <= int(word) < choice.P for k in made for word in k)
    with pytest.raises(ValueError):
        derive_key(b"short", "groups")


def test_keys_are_not_shown() -> None:
    assert str(int(KEYS.groups[0])) not in repr(KEYS)


def _winners(key: choice.Int64s, digests: choice.Int64s, cells: choice.Int64s, keep: int, counts: choice.Int64s) -> None:
    order = np.empty(cells.size, np.int64)
    for i in range(digests.size):
        for j in range(cells.size):
            order[j] = choice.cell_order(key, digests[i], cells[j])
        threshold = np.sort(order)[keep - 1]
        for j in range(cells.size):
            counts[j] += order[j] <= threshold


winners = compiled(_winners)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("cells", [range(2), range(7), range(0, 434, 14), [0, 2**16, 2**19, 999_999]], ids=str)
def test_each_cell_is_chosen_equally_often(number: int, cells: Any) -> None:
    """For a fixed question over many persons, also where their digests are consecutive numbers."""
    cells = np.array(cells, dtype=np.int64)
    for digests in (np.random.default_rng(number).integers(0, 2**62, 40_000), np.arange(40_000) + 2**40):
        question = derive_key(SECRET, "groups", bytes([number]))
        for keep in {1, len(cells) // 2}:
            counts = np.zeros(len(cells), dtype=np.int64)
            winners(question, digests, cells, keep, counts)
            assert counts.sum() == keep * len(digests)
            share = keep / len(cells)
            # Within a person the counts are tied together, so the statistic is scaled as for sampling without replacement.
            statistic = ((counts - len(digests) * share) ** 2).sum() / (len(digests) * share * (1 - share))
            statistic *= (len(cells) - 1) / len(cells)
            assert stats.chi2.sf(statistic, len(cells) - 1) > 1e-7


def test_choices_of_two_questions_are_independent() -> None:
    digests = np.random.default_rng(5).integers(0, 2**62, 20_000)
    table = np.zeros((3, 3), dtype=np.int64)
    questions = [derive_key(SECRET, "groups", bytes([number])) for number in (100, 101)]
    for digest in digests:
        orders = [[choice.cell_order(question, digest, cell) for cell in range(3)] for question in questions]
        table[tuple(order.index(min(order)) for order in orders)] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-6


def test_the_reference_key_is_the_same() -> None:
    assert key("groups", bytes.fromhex(VECTORS["question"])) == VECTORS["groups_key"]
