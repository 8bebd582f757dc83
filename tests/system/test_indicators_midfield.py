"""Three real universities measure the catalogue: the indicators that MIDFIELD can serve, against plain Polars on the same files.

Programmes become discipline categories by the federation's own table; a bachelor's programme of the interdisciplinary category,
which the Chinese catalogue does not know, is left unknown. Everything else that the files lack is not covered, with the reason.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import reduce
from operator import and_, or_
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation, University
from small import RESEARCHER, typed

from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.edition import Edition
from collegium.indicators.expand import expand
from collegium.indicators.leaf import Cell, Leaf
from collegium.question import And, In, Not, Or, Predicate, Range
from collegium.schema import read_schema

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "midfield"
CIP = ROOT.parent / "shared" / "domain" / "cip2_to_discipline_category.csv"
CATALOGUE = ROOT / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
SCHEMA = read_schema(ROOT / "examples" / "higher-education" / "schema.toml")
NODES = {"univ-b": ("B", "11"), "univ-c": ("C", "31"), "univ-j": ("J", "44")}
YEAR = 2016
RHO = 5

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (DATA / "term.csv.gz").exists() or not CIP.exists(), reason="the MIDFIELD sample is not beside the repository"
    ),
]


def node_toml(letter: str) -> str:
    """What this institution's steward writes: its own rows of the files, joined with the table of programmes."""
    files = "".join(f'[sources.{name}]\nkind = "csv"\npath = "{DATA / name}.csv.gz"\n' for name in ("student", "term", "degree"))
    category = "CASE WHEN cip.category_code = '14' THEN NULL ELSE cip.category_code END AS discipline_cat"
    return f"""{files}
[sources.cip]
kind = "csv"
path = "{CIP}"
[sources.enrolled]
kind = "sql"
query = '''
    SELECT last.mcid, '{YEAR}' AS year, '3' AS study_level, '01' AS status, student.sex, student.us_citizen, {category},
        (SELECT MIN(substr(t.term, 1, 4)) FROM term t WHERE t.mcid = last.mcid) AS entry_year
    FROM (SELECT mcid, max_by(cip6, term) AS cip6 FROM term
          WHERE institution = 'Institution {letter}' AND substr(term, 1, 4) = '{YEAR}' GROUP BY mcid) AS last
    JOIN student USING (mcid) LEFT JOIN cip ON cip.cip2 = substr(last.cip6, 1, 2)
'''
[sources.graduated]
kind = "sql"
query = '''
    SELECT one.mcid, '{YEAR}' AS year, '3' AS study_level, '01' AS result, '1' AS degree, student.sex, {category}
    FROM (SELECT mcid, MIN(cip6) AS cip6 FROM degree
          WHERE institution = 'Institution {letter}' AND substr(term_degree, 1, 4) = '{YEAR}' GROUP BY mcid) AS one
    JOIN student USING (mcid) LEFT JOIN cip ON cip.cip2 = substr(one.cip6, 1, 2)
'''

[datasets.enrolment]
source = "enrolled"
person = "mcid"
[datasets.enrolment.columns]
year = "year"
study_level = "study_level"
status = "status"
entry_year = "entry_year"
discipline_cat = "discipline_cat"
gender = {{ column = "sex", map = {{ Male = "1", Female = "2" }} }}
international = {{ column = "us_citizen", map = {{ Yes = "0", No = "1" }} }}

[datasets.graduate]
source = "graduated"
person = "mcid"
[datasets.graduate.columns]
year = "year"
study_level = "study_level"
result = "result"
degree_awarded = "degree"
discipline_cat = "discipline_cat"
gender = {{ column = "sex", map = {{ Male = "1", Female = "2" }} }}
"""


def frames() -> dict[str, pl.DataFrame]:
    """The same two tables of all three institutions together, by Polars from the files."""
    cip = pl.read_csv(CIP, infer_schema=False).select(pl.col("cip2"), pl.col("category_code").alias("discipline_cat"))
    student = pl.read_csv(DATA / "student.csv.gz", infer_schema=False).select(
        "mcid",
        pl.col("sex").replace_strict({"Male": "1", "Female": "2"}, default=None).alias("gender"),
        pl.col("us_citizen").replace_strict({"Yes": "0", "No": "1"}, default=None).alias("international"),
    )
    term = pl.read_csv(DATA / "term.csv.gz", infer_schema=False)
    entry = term.group_by("mcid").agg(pl.col("term").str.head(4).cast(pl.Int64).min().alias("entry_year"))
    year = term.filter(pl.col("term").str.head(4) == str(YEAR)).sort("term").group_by("mcid").agg(pl.col("cip6").last())
    degree = pl.read_csv(DATA / "degree.csv.gz", infer_schema=False)
    done = degree.filter(pl.col("term_degree").str.head(4) == str(YEAR)).group_by("mcid").agg(pl.col("cip6").min())

    def finished(of: pl.DataFrame) -> pl.DataFrame:
        made = of.with_columns(pl.col("cip6").str.head(2).alias("cip2")).join(cip, on="cip2", how="left").join(student, on="mcid")
        known = pl.when(pl.col("discipline_cat") != "14").then(pl.col("discipline_cat"))
        return made.with_columns(known.alias("discipline_cat"), year=pl.lit(YEAR), study_level=pl.lit("3"))

    return {
        "enrolment": finished(year).join(entry, on="mcid").with_columns(status=pl.lit("01")),
        "graduate": finished(done).with_columns(result=pl.lit("01"), degree_awarded=pl.lit("1")),
    }


def condition(predicate: Predicate) -> pl.Expr:
    """A predicate on natural values; what is unknown counts as false at the end."""
    if isinstance(predicate, And | Or):
        return reduce(and_ if isinstance(predicate, And) else or_, [condition(each) for each in predicate.args])
    if isinstance(predicate, Not):
        return ~condition(predicate.arg)
    column = pl.col(predicate.column)
    if isinstance(predicate, In):
        return column.is_in(list(predicate.values))
    assert isinstance(predicate, Range)
    return column.is_between(
        predicate.min if predicate.min is not None else -(10**9), predicate.max if predicate.max is not None else 10**9
    )


def chosen(frame: pl.DataFrame, where: Predicate, cell: Cell) -> pl.DataFrame:
    return frame.filter(condition(where), *(pl.col(column) == code for column, code in cell))


def truth(leaf: Leaf, tables: dict[str, pl.DataFrame]) -> float | None:
    rows = chosen(tables[leaf.dataset], leaf.where, leaf.cell)
    if leaf.kind == "count_distinct":
        return float(rows["mcid"].n_unique())
    assert leaf.kind == "ratio"
    assert leaf.numerator is not None
    answers = rows.select(condition(leaf.numerator)).to_series().drop_nulls()
    return leaf.factor * float(answers.mean()) if len(answers) else None  # type: ignore[arg-type]


def test_the_leaves_that_midfield_serves_are_right_and_the_others_say_why_not(
    start: Callable[..., Federation], tmp_path: Path
) -> None:
    universities = [
        University(
            name=name,
            facts={"province": province, "character": "01", "level": "本科"},
            enrolment=25_000,
            sources=node_toml(letter),
            write=lambda home: None,
            budget='[budget.student]\nperiod = "year"\nrho = 100\nlifetime_rho = 100\n',
            allow=(RESEARCHER,),
        )
        for name, (letter, province) in NODES.items()
    ]
    federation = start(*universities, federation="midfield")
    signed = typed("collegium-coordinator", "catalogue", str(CATALOGUE), home=federation.home)
    assert signed.code == 0, signed
    words = ("measure", "--period", str(YEAR), "--rho", str(RHO), "--folder", str(tmp_path), "--yes", "--json")
    said = typed("collegium", "indicators", *words, home=federation.researcher_home(RESEARCHER))
    assert said.code == 0, said
    assert json.loads(said.out)["coverage"]["answered"] == len(NODES)

    edition = Edition.read(tmp_path / "higher-education-1" / str(YEAR) / "figures.json")
    tables = frames()
    leaves = {leaf.id: leaf for leaf in expand(read_catalogue(CATALOGUE), SCHEMA, YEAR).leaves}
    served = {(name, column) for name, frame in tables.items() for column in frame.columns}
    inside, known = 0, 0
    for figures in edition.leaves:
        leaf = leaves[figures.id]
        here = leaf.columns <= served and leaf.kind in ("count_distinct", "ratio")
        assert (figures.coverage.answered == len(NODES)) == (leaf.columns <= served), leaf.id
        if not here:
            continue
        expected, figure = truth(leaf, tables), figures.national
        if expected is None or figure.value is None or figure.error is None:
            continue
        known += 1
        assert abs(figure.value - expected) < 6.5 * figure.error, (leaf.id, figure, expected)
        assert figure.low is not None
        inside += figure.low <= expected <= (figure.high if figure.high is not None else expected)
    assert known > 100
    assert inside / known > 0.88, (inside, known)  # of dependent intervals of 95 %
    print(f"{known} indicators served, {inside / known:.1%} of their intervals hold the truth")
