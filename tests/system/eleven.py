"""The truth behind the eleven typical questions, by plain Polars, and what an answer to each must say of it.

`CHECKS[name](asked, rows)` holds for the tables of examples/questions/NAME.toml however they came about: tried on the rows in
this process or answered by a federation. Standard errors are worked out here anew, from the definitions: noise of one component of
k that share rho, in the sum of n nodes,

    sd = bound * sqrt(groups) * sqrt(n * k / (2 rho))

A figure must lie within six of them of the truth, and so must the stated interval, widened to six: a run fails by chance less than
once in a hundred million. What noise of about a step or less does to intervals is tested in tests/library/test_intervals.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from invent import DISCIPLINES, EARNING, PROVINCES, REGIONS

from collegium.question import Question
from collegium.table import TOTAL, Figure, Row, Table

__all__ = ["CHECKS", "RHO", "VALUES", "Asked", "cells", "near_median", "node_toml", "one_year", "persons_by_province"]

NODES = {"11": 2, "31": 1, "53": 1, "all": 4}  # universities behind the rows of a province
WIDE = 6 / 1.96
CELL_YEARS = (2024, 2025)

# What each question costs in the tests, so that the noise has a standard deviation of a dozen steps where cells are large.
RHO = {
    "01-placement-rates": "2",
    "02-destinations": "0.0125",
    "03-flows": "0.05",
    "04-learners": "0.0125",
    "05-completion": "1",
    "06-students-per-teacher": "0.025",
    "07-withdrawal-gap": "0.2",
    "08-funding-per-teacher": "2",
    "09-starting-salaries": "5",
    "10-five-years": "0.05",
    "11-top-ten": "2",
}
VALUES = {
    "01-placement-rates": {"least": "-1000"},  # all cells
    "09-starting-salaries": {"least": "100"},
    "11-top-ten": {"least": "40"},
}  # these universities are small

Rows = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Asked:
    """Questions with their tables. `rho` is what all of them cost together."""

    questions: Sequence[Question]
    tables: Sequence[Table]

    def sd(self, nodes: int, *, number: int = 0, components: int = 0, bound: int = 1, groups: int = 1) -> float:
        """Of one component in the sum over `nodes`, in steps; the question has so many components."""
        question = self.questions[number]
        assert len(question.components) == components
        return bound * math.sqrt(groups * nodes * components * 1e9 / (2 * question.rho))


def node_toml(rows: Rows, folder: Path) -> str:
    """What the steward of one of these universities writes."""
    lines = []
    for table, frame in rows.items():
        lines += [f'[sources.{table}]\nkind = "csv"\npath = "{folder / table}.csv"\n[datasets.{table}]\nsource = "{table}"']
        lines += [f'person = "pid"\n[datasets.{table}.columns]']
        lines += [f'{column} = "{column}"' for column in frame.columns if column not in ("node", "province", "pid")]
    return "\n".join(lines)


def cells(table: Table) -> dict[tuple[str, ...], Row]:
    """Rows by the codes of facts ("all" for the whole federation) and keys."""
    found = {}
    for row in table.rows:
        facts = table.fact_groups[row.of].facts
        found[(*(facts.get(fact, "all") for fact in table.facts), *row.group)] = row
    assert len(found) == len(table.rows)
    return found


def holds(figure: Figure, truth: float, error: float, *, half: bool = True, rel: float = 0.03) -> None:
    """Value and interval hold the truth, and state the error worked out here, to `rel`.

    `half`: the interval is as wide as that error says, as it is far from the ends of the public range.
    """
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    assert figure.error is not None
    value, low, high = float(figure.value), float(figure.low), float(figure.high)
    assert low <= value <= high or (value < 0 == low)  # with margins a count may stay below zero, so that sums are sums
    assert abs(value - truth) <= 6 * error
    middle = max(value, low)
    assert middle - WIDE * (middle - low) <= truth <= middle + WIDE * (high - middle)
    assert float(figure.error) == pytest.approx(error, rel=rel)
    if half:
        assert (high - low) / 2 == pytest.approx(1.96 * error, rel=rel + 0.02)


def apart(sd: float, count: float) -> float:
    """How far a stated error may be from the true one: it is of the noisy count, and below six steps half a step is added to it."""
    return 0.02 + 6 * sd / count + (0.3 / sd if sd < 6 else 0)


def share_error(share: float, count: float, sd: float) -> float:
    """Of a share from a count and a total of +1 and -1, noise of the same sd in both: sqrt(1 + (2 share - 1)²) sd / (2 count)."""
    return sd * math.sqrt(1 + (2 * share - 1) ** 2) / (2 * count)


def mean_error(mean: float, count: float, sd: float, *, low: float, high: float) -> float:
    """Of a mean from a count and a total centred on the middle of the bounds, both of the same rho."""
    return sd * math.hypot((high - low) / 2, mean - (low + high) / 2) / count


def of(rows: Rows, table: str, year: int = 2025) -> pl.DataFrame:
    return rows[table].filter(pl.col("year") == year)


def by_province(frame: pl.DataFrame, province: str) -> pl.DataFrame:
    return frame if province == "all" else frame.filter(pl.col("province") == province)


def one_table(asked: Asked) -> Table:
    (table,) = asked.tables
    return table


# ---- the eleven


def placement_rates(asked: Asked, rows: Rows) -> None:
    """Every cell's counts are the truth's within the noise; changes are marked, and where nothing changed hardly any is."""
    found = cells(one_table(asked))
    assert len(found) == 4 * 15 * 6
    known = rows["graduate"].filter(pl.col("year").is_in(CELL_YEARS) & pl.col("dest_group").is_not_null())
    quiet, empty = 0, []
    for (province, field, level), row in found.items():
        sd = asked.sd(NODES[province], components=5)
        here = by_province(known, province).filter((pl.col("discipline_cat") == field) & (pl.col("study_level") == level))
        shares = []
        for figure, year in zip(row.figures[:2], CELL_YEARS, strict=True):
            this = here.filter(pl.col("year") == year)
            count, placed = this.height, this.filter(pl.col("dest_group") != "NONE").height
            assert figure.raw is not None
            for noisy, exact in zip(figure.raw, (count, 2 * placed - count), strict=True):
                assert abs(noisy - exact) <= 6 * sd + 1
            if count > 20 * sd:
                rel = apart(sd, count)
                holds(figure, placed / count, share_error(placed / count, count, sd), half=False, rel=rel)
                shares.append((placed / count, share_error(placed / count, count, sd), rel))
            if count == 0:
                empty.append(figure.mark == "unreliable")
        change = row.figures[2]
        ends = (change.low, change.high)
        if change.value is None:
            assert change.significant is False
        else:
            assert change.significant is not ((ends[0] is None or float(ends[0]) <= 0) and (ends[1] is None or float(ends[1]) >= 0))
        if len(shares) == 2:
            error = math.hypot(shares[0][1], shares[1][1])
            holds(change, shares[1][0] - shares[0][0], error, half=False, rel=max(shares[0][2], shares[1][2]))
        if field == "03" and province != "all":
            quiet += change.significant is True
    assert sum(empty) > 0.9 * len(empty) > 300  # noise of three times its deviation looks like a few people
    assert quiet <= 8  # of 18 cells in which nothing changed, one is expected
    assert found["all", "08", "3"].figures[2].significant is True  # from 55 % to 90 %


def destinations(asked: Asked, rows: Rows) -> None:
    """The parts are not negative and add up to 100 %, those of no group among them."""
    found = cells(one_table(asked))
    sd = asked.sd(4, components=1)
    graduates = of(rows, "graduate")
    total = graduates.height
    for (group,), row in found.items():
        here = graduates.filter(pl.col("dest_group").eq_missing(None if group == "unknown" else group)).height
        holds(row.figures[0], here, sd, half=here > 10 * sd)
        part = here / total
        error = sd * math.sqrt(1 - 2 * part + len(found) * part**2) / total
        holds(row.figures[1], part, error, half=here > 10 * sd, rel=apart(sd, total / math.sqrt(len(found))))
    parts = [float(row.figures[1].value or 0) for row in found.values()]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(1, abs=1e-9)


def flows(asked: Asked, rows: Rows) -> None:
    """Rows add up to their margin, columns to theirs, all to the total; exactly. Each is the truth within its own error."""
    found = cells(one_table(asked))
    codes = (*REGIONS, "unknown")
    assert set(found) == set(product((*codes, TOTAL), repeat=2))
    value = {key: float(row.figures[0].value or 0) for key, row in found.items()}
    for code in (*codes, TOTAL):
        assert sum(value[code, other] for other in codes) == pytest.approx(value[code, TOTAL], abs=1e-6)
        assert sum(value[other, code] for other in codes) == pytest.approx(value[TOTAL, code], abs=1e-6)
    work = of(rows, "graduate").filter(pl.col("dest_group").is_in(EARNING))
    for (origin, where), row in found.items():
        here = work
        for column, code in (("origin_region", origin), ("employer_region", where)):
            if code != TOTAL:
                here = here.filter(pl.col(column).eq_missing(None if code == "unknown" else code))
        figure = row.figures[0]
        assert figure.error is not None
        holds(figure, here.height, float(figure.error), half=here.height > 6 * float(figure.error))
    # Any one of the four sets alone would cost a quarter of rho each, or more: consistency never makes a figure worse than that.
    sd = math.sqrt(4 * 1e9 / (2 * asked.questions[0].rho / 4))
    assert all(float(row.figures[0].error or 0) < sd * 1.6 for row in found.values())


def learners(asked: Asked, rows: Rows) -> None:
    """At one university persons are exact up to the noise; over several each counts once at each."""
    found = cells(one_table(asked))
    persons = of(rows, "learner").select("province", "node", "pid").unique()
    for (province,), row in found.items():
        holds(row.figures[0], by_province(persons, province).height, asked.sd(NODES[province], components=1))


def completion(asked: Asked, rows: Rows) -> None:
    """Shares of registrations, with up to ten of a person."""
    found = cells(one_table(asked))
    sd = asked.sd(4, components=4, bound=10)
    for kind in ("STU", "SOC", "SEN"):
        here = of(rows, "learner").filter(pl.col("learner_type") == kind)
        for figure, column in zip(found[(kind,)].figures, ("completed", "credit_recognised"), strict=True):
            share = here[column].mean()
            assert isinstance(share, float)
            holds(figure, share, share_error(share, here.height, sd), rel=apart(sd, here.height))
    assert all(figure.mark == "unreliable" for figure in found[("unknown",)].figures)


def students_per_teacher(asked: Asked, rows: Rows) -> None:
    """Two questions of two datasets and units. The quotient is checked where it is made."""
    students, teachers = persons_by_province(rows)
    for number, truth in enumerate((students, teachers)):
        for (province,), row in cells(asked.tables[number]).items():
            holds(row.figures[0], truth[province], asked.sd(NODES[province], number=number, components=1))


def persons_by_province(rows: Rows) -> tuple[dict[str, int], dict[str, int]]:
    """(students, full-time teachers) of 2025 by province and in all."""
    enrolled = of(rows, "enrolment").filter(pl.col("status").is_in(["01", "05", "13"])).select("province", "pid").unique()
    teachers = of(rows, "staff").filter(pl.col("staff_type") == "11").select("province", "pid").unique()
    provinces = (*sorted(set(PROVINCES.values())), "all")
    return tuple({each: by_province(frame, each).height for each in provinces} for frame in (enrolled, teachers))  # type: ignore[return-value]


def withdrawal_gap(asked: Asked, rows: Rows) -> None:
    """Two shares of enrolments and their difference, which is significant: 5 % and 2 %."""
    ((),) = cells(one_table(asked))
    (row,) = one_table(asked).rows
    sd = asked.sd(4, components=4, bound=2)
    truths = []
    for figure, aided in zip(row.figures[:2], (0, 1), strict=True):
        here = of(rows, "enrolment").filter(pl.col("aided") == aided)
        share = here.filter(pl.col("status") == "03").height / here.height
        error = share_error(share, here.height, sd)
        holds(figure, share, error, rel=apart(sd, here.height))
        truths.append((share, error))
    gap = row.figures[2]
    holds(gap, truths[0][0] - truths[1][0], math.hypot(truths[0][1], truths[1][1]), rel=0.1)
    assert gap.significant is True


def funding_per_teacher(asked: Asked, rows: Rows) -> None:
    """The sum of clipped sums over the persons; one laboratory of 18 million counts as 2. The median stands beside it."""
    (row,) = one_table(asked).rows
    per_person = of(rows, "project").group_by("node", "pid").agg(pl.sum("funding"))
    persons = per_person.height
    clipped = float(per_person["funding"].clip(0, 2_000_000).sum()) / persons
    every = float(per_person["funding"].sum()) / persons
    sd = asked.sd(4, components=len(asked.questions[0].components))
    error = sd * math.hypot(2_000_000, clipped) / persons
    holds(row.figures[0], clipped, error, rel=apart(sd, persons))
    assert every > 1.2 * clipped
    measures = one_table(asked).measures
    (clip,) = [component.clip for component in asked.questions[0].components if component.kind == "sum"]
    assert clip == (0, 2000)  # thousands, as asked for and not the schema's
    assert measures[1].kind == "quantile"
    near_median(row.figures[1], of(rows, "project")["funding"], steps=1000)


def near_median(figure: Figure, values: pl.Series, *, steps: float) -> None:
    """The truth within the interval, or a few bins beyond: a bin is a thousandth of the public range, or `steps`."""
    middle = float(values.drop_nulls().quantile(0.5, "lower") or 0)
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    width = float(figure.high) - float(figure.low)
    assert float(figure.low) - width - steps <= middle <= float(figure.high) + width + steps
    assert float(figure.low) <= float(figure.value) <= float(figure.high)
    assert width < middle  # and it says something


def starting_salaries(asked: Asked, rows: Rows) -> None:
    """Mean and median beside each other; means are a little higher, as of any skewed pay."""
    found = cells(one_table(asked))
    fields = {each[:2] for each in DISCIPLINES}
    assert {field for (field,) in found} == fields  # HAVING left out those without graduates
    for (field,), row in found.items():
        paid = of(rows, "graduate").filter((pl.col("discipline_cat") == field) & pl.col("salary").is_not_null())["salary"]
        sd = asked.sd(4, components=len(asked.questions[0].components))
        mean = float(paid.mean() or 0)  # type: ignore[arg-type]
        holds(row.figures[0], mean, mean_error(mean, len(paid), sd, low=0, high=50_000), rel=apart(sd, len(paid)))
        near_median(row.figures[1], paid, steps=50)
        holds(row.figures[2], len(paid), sd, half=False)
        assert row.unsure is False


def one_year(asked: Asked, rows: Rows, year: int = 2025) -> None:
    """One point of the series: graduates, placement, salary."""
    (row,) = one_table(asked).rows
    graduates = of(rows, "graduate", year)
    sd = asked.sd(4, components=5)
    holds(row.figures[0], graduates.height, sd)
    known = graduates.filter(pl.col("dest_group").is_not_null())
    share = known.filter(pl.col("dest_group") != "NONE").height / known.height
    holds(row.figures[1], share, share_error(share, known.height, sd), rel=apart(sd, known.height))
    paid = graduates["salary"].drop_nulls()
    mean = float(paid.mean() or 0)  # type: ignore[arg-type]
    holds(row.figures[2], mean, mean_error(mean, len(paid), sd, low=0, high=50_000), rel=apart(sd, len(paid)))


def top_ten(asked: Asked, rows: Rows) -> None:
    """In the order of the noisy means, each with the places that the intervals leave it; some overlap."""
    table = one_table(asked)
    assert table.selection is not None
    assert (table.selection.shown, len(table.rows)) == (10, 10)
    assert table.selection.kept == len(DISCIPLINES)
    sd = asked.sd(4, components=2)
    for row in table.rows:
        (code,) = row.group
        paid = of(rows, "graduate").filter(pl.col("discipline") == code)["salary"].drop_nulls()
        mean = float(paid.mean() or 0)  # type: ignore[arg-type]
        holds(row.figures[0], mean, mean_error(mean, len(paid), sd, low=0, high=50_000), half=False, rel=apart(sd, len(paid)))
    means = [float(row.figures[0].value or 0) for row in table.rows]
    assert means == sorted(means, reverse=True)
    for place, row in enumerate(table.rows, start=1):
        assert row.rank is not None
        assert row.rank[0] <= place <= row.rank[1]
        surely_above = sum(float(other.figures[0].low or 0) > float(row.figures[0].high or 0) for other in table.rows)
        assert row.rank[0] == 1 + surely_above
    assert sum(row.rank[0] < row.rank[1] for row in table.rows if row.rank is not None) >= 5
    assert table.selection.contenders is not None


CHECKS: dict[str, Callable[[Asked, Rows], None]] = {
    "01-placement-rates": placement_rates,
    "02-destinations": destinations,
    "03-flows": flows,
    "04-learners": learners,
    "05-completion": completion,
    "06-students-per-teacher": students_per_teacher,
    "07-withdrawal-gap": withdrawal_gap,
    "08-funding-per-teacher": funding_per_teacher,
    "09-starting-salaries": starting_salaries,
    "10-five-years": one_year,
    "11-top-ten": top_ten,
}
