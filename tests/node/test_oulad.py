"""Questions about real learners (Open University Learning Analytics, CC BY 4.0; Kuzilek and others, Sci. Data 4:170171, 2017).

Each module is a university: seven nodes over the same files, 2,459 persons at two of them and 20 at three. Asked as a ministry
would, against plain Polars over all rows. Failure: a figure further from the truth than the noise it states.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from prepared import trial_of

from collegium.overlap import overlaps
from collegium.schema import parse_schema
from collegium.table import Figure
from collegium.trial import Trial, TrialAnswer
from collegium_node.config import NodeConfig, parse_config

DATA = Path(__file__).parents[3] / "shared" / "data" / "oulad"
MODULES = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG")
BANDS = ("0-10%", "10-20", "20-30%", "30-40%", "40-50%", "50-60%", "60-70%", "70-80%", "80-90%", "90-100%")
PERSONS = 28_785

pytestmark = pytest.mark.skipif(not (DATA / "studentInfo.csv").exists(), reason="OULAD is not beside the repository")

SCHEMA = parse_schema(
    """
    name = "oulad"
    version = 1
    title = { en = "OULAD" }
    units.learner = { title = { en = "Learner" }, max_nodes_per_person = 3 }
    facts.module = { title = { en = "Module" }, codes = "module" }

    [codes.module]
    """
    + "\n".join(f'{each} = {{ en = "{each}" }}' for each in MODULES)
    + """
    [codes.presentation]
    2013B = { en = "February 2013" }
    2013J = { en = "October 2013" }
    2014B = { en = "February 2014" }
    2014J = { en = "October 2014" }
    [codes.band]
    """
    + "\n".join(f'"{number}" = {{ en = "{band}" }}' for number, band in enumerate(BANDS))
    + """
    # A person takes one module in up to four presentations.
    [datasets.learner]
    title = { en = "Registrations" }
    unit = "learner"
    person = "id"
    max_rows = 4
    max_groups = 4
    [datasets.learner.columns]
    presentation = { type = "category", title = { en = "presentation" }, codes = "presentation" }
    band = { type = "category", title = { en = "deprivation of the home area" }, codes = "band" }
    disability = { type = "boolean", title = { en = "disability" } }
    completed = { type = "boolean", title = { en = "passed, perhaps with distinction" } }
    withdrawn = { type = "boolean", title = { en = "withdrawn" } }
    credits = { type = "integer", title = { en = "credits studied" }, min = 0, max = 700 }

    [datasets.assessment]
    title = { en = "Marks" }
    unit = "learner"
    person = "id"
    max_rows = 28
    [datasets.assessment.columns]
    score = { type = "integer", title = { en = "score" }, min = 0, max = 100 }
    """
)


def steward(module: str, folder: Path) -> NodeConfig:
    """What the steward of one module writes: the files as they are, its own rows of them, local words mapped to codes."""
    files = "".join(
        f'[sources.{name}]\nkind = "csv"\npath = "{DATA / file}.csv"\n'
        for name, file in (("info", "studentInfo"), ("submitted", "studentAssessment"), ("assessments", "assessments"))
    )
    bands = ", ".join(f'"{band}" = "{number}"' for number, band in enumerate(BANDS))
    text = f"""{files}
    [sources.learners]
    kind = "sql"
    query = '''
        SELECT id_student, code_presentation, imd_band, disability, studied_credits,
               final_result IN ('Pass', 'Distinction') AS completed, final_result = 'Withdrawn' AS withdrawn
        FROM info WHERE code_module = '{module}'
    '''
    [sources.marks]
    kind = "sql"
    query = '''
        SELECT id_student, score FROM submitted JOIN assessments USING (id_assessment) WHERE code_module = '{module}'
    '''
    [datasets.learner]
    source = "learners"
    person = "id_student"
    [datasets.learner.columns]
    presentation = "code_presentation"
    band = {{ column = "imd_band", map = {{ {bands} }} }}
    disability = {{ column = "disability", map = {{ Y = "1", N = "0" }} }}
    completed = "completed"
    withdrawn = "withdrawn"
    credits = "studied_credits"
    [datasets.assessment]
    source = "marks"
    person = "id_student"
    [datasets.assessment.columns]
    score = "score"
    """
    return parse_config(text, folder / "node.toml")


@pytest.fixture(scope="module")
def oulad(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    folder = tmp_path_factory.mktemp("modules")
    nodes = {module.lower(): steward(module, folder) for module in MODULES}
    return trial_of(nodes, {module.lower(): f'module = "{module}"' for module in MODULES}, SCHEMA, folder)


@pytest.fixture(scope="module")
def info() -> pl.DataFrame:
    return pl.read_csv(DATA / "studentInfo.csv").with_columns(
        pl.col("final_result").is_in(["Pass", "Distinction"]).alias("completed"),
        (pl.col("final_result") == "Withdrawn").alias("withdrawn"),
    )


def near(figure: Figure, truth: float) -> None:
    """Within six standard errors, as is the interval; and the error is small enough to say something."""
    assert figure.value is not None
    assert figure.error is not None
    assert figure.low is not None
    assert figure.high is not None
    assert abs(float(figure.value) - truth) <= 6 * float(figure.error)
    assert float(figure.low) - 4.1 * float(figure.error) <= truth <= float(figure.high) + 4.1 * float(figure.error)
    assert figure.mark == "reliable"


def figures(answer: TrialAnswer) -> dict[tuple[str, ...], tuple[Figure, ...]]:
    """By fact codes (or "all") and keys."""
    table = answer.figures[0].table
    facts = table.fact_groups
    return {(*(facts[row.of].facts.get(fact, "all") for fact in table.facts), *row.group): row.figures for row in table.rows}


def test_completion_by_module_and_by_deprivation(oulad: Trial, info: pl.DataFrame) -> None:
    """The poorer the home area, the fewer pass: the bands lie in order, and apart."""
    by_module = figures(oulad.ask("SELECT module, AVG(completed) AS completed FROM learner GROUP BY module", rho=2))
    assert set(by_module) == {(module,) for module in (*MODULES, "all")}
    for (module,), (figure,) in by_module.items():
        here = info if module == "all" else info.filter(pl.col("code_module") == module)
        near(figure, float(here["completed"].mean() or 0))  # type: ignore[arg-type]
    by_band = figures(oulad.ask("SELECT band, AVG(completed) AS completed FROM learner GROUP BY band", rho=5))
    for number, band in enumerate(BANDS):
        near(by_band[(str(number),)][0], float(info.filter(pl.col("imd_band") == band)["completed"].mean() or 0))  # type: ignore[arg-type]
    near(by_band[("unknown",)][0], float(info.filter(pl.col("imd_band").is_null())["completed"].mean() or 0))  # type: ignore[arg-type]
    poorest, richest = by_band[("0",)][0], by_band[("9",)][0]
    assert float(poorest.high or 0) < float(richest.low or 0)


def test_withdrawal_gap_by_disability(oulad: Trial, info: pl.DataFrame) -> None:
    answer = oulad.ask(
        "SELECT AVG(withdrawn) FILTER (WHERE disability) AS declared, AVG(withdrawn) FILTER (WHERE NOT disability) AS none, "
        "AVG(withdrawn) FILTER (WHERE disability) - AVG(withdrawn) FILTER (WHERE NOT disability) AS gap FROM learner",
        rho=2,
    )
    (found,) = figures(answer).values()
    shares = [float(info.filter(pl.col("disability") == word)["withdrawn"].mean() or 0) for word in "YN"]  # type: ignore[arg-type]
    for figure, truth in zip(found, (*shares, shares[0] - shares[1]), strict=True):
        near(figure, truth)
    assert shares[0] - shares[1] > 0.07
    assert found[2].significant is True


def test_different_learners_lie_within_the_declared_overlap(oulad: Trial, info: pl.DataFrame) -> None:
    """Every module counts its own persons exactly; the sum of 31,284 is of 28,785 different ones."""
    answer = oulad.ask("SELECT module, COUNT(DISTINCT id) AS learners FROM learner GROUP BY module", rho="0.01")
    found = figures(answer)
    for module in MODULES:
        near(found[(module,)][0], info.filter(pl.col("code_module") == module)["id_student"].n_unique())
    near(found[("all",)][0], 31_284)
    assert info["id_student"].n_unique() == PERSONS
    (overlap,) = overlaps(answer.table)
    assert overlap.nodes == 3
    assert overlap.low <= PERSONS <= overlap.high
    assert f"between {overlap.low:,} and {overlap.high:,}" in " ".join(str(answer).split())


def test_persons_in_several_presentations_count_in_each(oulad: Trial, info: pl.DataFrame) -> None:
    """A key in which one person can be in four cells, and the bound of four: nothing is lost."""
    found = figures(oulad.ask("SELECT presentation, COUNT(DISTINCT id) AS learners FROM learner GROUP BY presentation", rho="0.05"))
    persons = info.select("code_module", "code_presentation", "id_student").unique()
    for presentation in ("2013B", "2013J", "2014B", "2014J"):
        near(found[(presentation,)][0], persons.filter(pl.col("code_presentation") == presentation).height)


def test_mean_and_median_score_of_many_rows_a_person(oulad: Trial) -> None:
    """Up to 28 marks a person, and no bound below: the mean of all 173,739 known marks."""
    marks = pl.read_csv(DATA / "studentAssessment.csv")["score"].drop_nulls()
    assert len(marks) == 173_739
    mean, median = next(
        iter(figures(oulad.ask("SELECT AVG(score) AS mean, MEDIAN(score) AS median FROM assessment", rho=2)).values())
    )
    near(mean, float(marks.mean() or 0))  # type: ignore[arg-type]
    middle = float(marks.quantile(0.5, "lower") or 0)
    assert float(median.low or 0) - 1 <= middle <= float(median.high or 0) + 1
    assert float(median.high or 0) - float(median.low or 0) <= 4


def test_credits_are_a_sum_and_a_mean_that_agree(oulad: Trial, info: pl.DataFrame) -> None:
    answer = oulad.ask(
        "SELECT SUM(credits) AS credits, AVG(credits) AS mean, COUNT(*) AS registrations FROM learner",
        rho=2,
        clips={"credits": (0, 2600)},
    )
    total, mean, count = next(iter(figures(answer).values()))
    near(total, float(info["studied_credits"].sum()))
    near(mean, float(info["studied_credits"].mean() or 0))  # type: ignore[arg-type]
    near(count, info.height)
    json.dumps(answer.to_json(), allow_nan=False)
