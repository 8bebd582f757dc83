"""Questions about real students (MIDFIELD sample, CC0): programmes, sexes and years at three institutions, against plain Polars.

One row a student, joined by each institution's steward from the registrar's files; so no person bound binds, and the figure is that
of all rows. Failure: a figure further from the truth than the noise it states.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from prepared import trial_of

from collegium.schema import parse_schema
from collegium.table import Figure
from collegium.trial import Trial, TrialAnswer
from collegium_node.config import NodeConfig, parse_config

DATA = Path(__file__).parents[3] / "shared" / "data" / "midfield"
INSTITUTIONS = ("B", "C", "J")
PROGRAMMES = {
    "14": "Engineering",
    "26": "Biology",
    "45": "Social sciences",
    "50": "Arts",
    "52": "Business",
}  # first two digits, CIP

pytestmark = pytest.mark.skipif(not (DATA / "student.csv.gz").exists(), reason="the MIDFIELD sample is not beside the repository")

SCHEMA = parse_schema(
    """
    name = "midfield"
    version = 1
    title = { en = "MIDFIELD" }
    units.student = { title = { en = "Student" } }
    facts.institution = { title = { en = "Institution" }, codes = "institution" }
    [codes.institution]
    B = { en = "Institution B" }
    C = { en = "Institution C" }
    J = { en = "Institution J" }
    [codes.sex]
    "1" = { en = "male" }
    "2" = { en = "female" }
    [codes.programme]
    """
    + "\n".join(f'"{code}" = {{ en = "{title}" }}' for code, title in PROGRAMMES.items())
    + """
    [datasets.student]
    title = { en = "Students, as they were last seen" }
    unit = "student"
    person = "mcid"
    [datasets.student.columns]
    sex = { type = "category", title = { en = "sex" }, codes = "sex" }
    programme = { type = "category", title = { en = "programme of the last term" }, codes = "programme" }
    gpa = { type = "decimal", title = { en = "cumulative grade point average" }, min = 0, max = 4, step = 0.01 }
    degree_year = { type = "integer", title = { en = "year of the degree" }, min = 1988, max = 2018 }
    graduated = { type = "boolean", title = { en = "has a degree" } }
    """
)
JOINED = """
    SELECT student.mcid, student.sex, left(seen.cip6, 2) AS programme, seen.gpa_cumul AS gpa,
           left(degrees.term_degree, 4) AS degree_year, degrees.mcid IS NOT NULL AS graduated
    FROM student
    JOIN (SELECT mcid, max_by(cip6, term) AS cip6, max_by(gpa_cumul, term) AS gpa_cumul FROM term GROUP BY mcid) seen USING (mcid)
    LEFT JOIN (SELECT mcid, min(term_degree) AS term_degree FROM degree GROUP BY mcid) degrees USING (mcid)
    WHERE student.institution = 'Institution {}'
"""


def steward(institution: str, folder: Path) -> NodeConfig:
    files = "".join(f'[sources.{name}]\nkind = "csv"\npath = "{DATA / name}.csv.gz"\n' for name in ("student", "term", "degree"))
    text = f"""{files}
    [sources.joined]
    kind = "sql"
    query = '''{JOINED.format(institution)}'''
    [datasets.student]
    source = "joined"
    person = "mcid"
    [datasets.student.columns]
    sex = {{ column = "sex", map = {{ Male = "1", Female = "2" }} }}
    programme = "programme"
    gpa = "gpa"
    degree_year = "degree_year"
    graduated = "graduated"
    """
    return parse_config(text, folder / "node.toml")


@pytest.fixture(scope="module")
def midfield(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    folder = tmp_path_factory.mktemp("institutions")
    nodes = {f"univ-{each.lower()}": steward(each, folder) for each in INSTITUTIONS}
    facts = {f"univ-{each.lower()}": f'institution = "{each}"' for each in INSTITUTIONS}
    return trial_of(nodes, facts, SCHEMA, folder)


@pytest.fixture(scope="module")
def students() -> pl.DataFrame:
    """The same join in Polars, every value read as text first."""

    def table(name: str) -> pl.DataFrame:
        return pl.read_csv(DATA / f"{name}.csv.gz", infer_schema=False)

    last = table("term").sort("term", maintain_order=True).group_by("mcid").last()
    degrees = table("degree").group_by("mcid").agg(pl.min("term_degree"))
    joined = table("student").select("mcid", "sex", pl.col("institution").str.tail(1))
    joined = joined.join(last.select("mcid", "cip6", "gpa_cumul"), on="mcid").join(degrees, on="mcid", how="left")
    return joined.with_columns(
        pl.col("cip6").str.head(2).alias("programme"),
        pl.col("gpa_cumul").cast(pl.Float64).alias("gpa"),
        pl.col("term_degree").str.head(4).cast(pl.Int64).alias("degree_year"),
        pl.col("term_degree").is_not_null().alias("graduated"),
    )


def near(figure: Figure, truth: float) -> None:
    """Within six standard errors, as is the interval."""
    assert figure.value is not None
    assert figure.error is not None
    assert figure.low is not None
    assert figure.high is not None
    assert abs(float(figure.value) - truth) <= 6 * float(figure.error)
    assert float(figure.low) - 4.1 * float(figure.error) <= truth <= float(figure.high) + 4.1 * float(figure.error)


def figures(answer: TrialAnswer) -> dict[tuple[str, ...], tuple[Figure, ...]]:
    """By fact codes (or "all") and keys."""
    table = answer.figures[0].table
    facts = table.fact_groups
    return {(*(facts[row.of].facts.get(fact, "all") for fact in table.facts), *row.group): row.figures for row in table.rows}


def mean(values: pl.Series) -> float:
    return float(values.mean() or 0)  # type: ignore[arg-type]


def test_mean_and_median_grades_by_programme(midfield: Trial, students: pl.DataFrame) -> None:
    sql = "SELECT programme, AVG(gpa) AS mean, MEDIAN(gpa) AS median FROM student GROUP BY programme"
    found = figures(midfield.ask(sql, rho=2))
    assert {code for (code,) in found} == {*PROGRAMMES, "unknown"}
    for (code,), (average, median) in found.items():
        inside = pl.col("programme").is_in(list(PROGRAMMES)) if code == "unknown" else pl.col("programme") != code
        grades = students.filter(~inside)["gpa"].drop_nulls()
        near(average, mean(grades))
        middle = float(grades.quantile(0.5, "lower") or 0)
        assert float(median.low or 0) - 0.02 <= middle <= float(median.high or 0) + 0.02
        assert float(median.high or 0) - float(median.low or 0) < 0.2


def test_graduation_rate_by_sex_and_their_difference(midfield: Trial, students: pl.DataFrame) -> None:
    by_sex = figures(midfield.ask("SELECT institution, sex, AVG(graduated) AS rate FROM student GROUP BY institution, sex", rho=2))
    words = {"1": "Male", "2": "Female"}
    for institution in (*INSTITUTIONS, "all"):
        here = students if institution == "all" else students.filter(pl.col("institution") == institution)
        for code, word in words.items():
            near(by_sex[(institution, code)][0], mean(here.filter(pl.col("sex") == word)["graduated"]))
    gap = "AVG(graduated) FILTER (WHERE sex = '2') - AVG(graduated) FILTER (WHERE sex = '1')"
    (difference,) = next(iter(figures(midfield.ask(f"SELECT {gap} AS gap FROM student", rho=2)).values()))
    truth = mean(students.filter(pl.col("sex") == "Female")["graduated"]) - mean(
        students.filter(pl.col("sex") == "Male")["graduated"]
    )
    near(difference, truth)
    assert difference.significant is (abs(truth) > 6 * float(difference.error or 0)) or abs(truth) < 6 * float(
        difference.error or 0
    )


def test_five_years_of_degrees_each_at_its_own_cost(midfield: Trial, students: pl.DataFrame) -> None:
    costs: list[Mapping[str, int]] = []
    for year in range(2006, 2011):
        answer = midfield.ask(f"SELECT COUNT(*) AS degrees, AVG(gpa) AS gpa FROM student WHERE degree_year = {year}", rho="0.2")
        count, gpa = next(iter(figures(answer).values()))
        here = students.filter(pl.col("degree_year") == year)
        near(count, here.height)
        near(gpa, mean(here["gpa"].drop_nulls()))
        costs.append(answer.cost)
    # Of three components 66,666,666 nano-rho each: what does not divide is not charged.
    assert costs == [{"student": 199_999_998}] * 5


def test_the_best_grades_overlap_and_the_ranks_say_so(midfield: Trial) -> None:
    """At a small cost most programmes could be in most places."""
    sql = "SELECT programme, AVG(gpa) AS gpa FROM student GROUP BY programme ORDER BY AVG(gpa) DESC LIMIT 3"
    table = midfield.ask(sql, rho="0.00005").figures[0].table
    ranks = [row.rank for row in table.rows]
    assert len(ranks) == 3
    assert all(rank is not None and rank[0] <= place <= rank[1] for place, rank in enumerate(ranks, start=1))
    assert table.selection is not None
    assert (table.selection.contenders or 0) + sum(rank[1] - rank[0] for rank in ranks if rank is not None) > 0
