"""Real registrar records, three institutions, three nodes: each reads the files as they are, its own rows picked by a SQL source.

Once through real processes: graduates by sex, mean term GPA by institution, share of transfer students, against plain Polars. Then
on the same prepared rows, thousands of times noise on the exact tally: the 95 % intervals hold the bounded truth as often as they
say (P19). Failure: a coverage outside 95 % ± 1 %, a figure that plain Polars does not give. Not failure: that the bounded figure
differs from that of all rows; by how much is what `collegium-node check` reports, locally.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation, University
from small import RESEARCHER, ask, typed

from collegium.client import Federation as Client
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.home import Home
from collegium.layout import compile_layout
from collegium.schema import read_schema
from collegium_node.digest import load_secret
from collegium_node.embedded import Embedded
from collegium_node.home import Home as NodeHome
from collegium_node.noise import add_noise

HERE = Path(__file__).parent
DATA = HERE.parent.parent.parent / "shared" / "data" / "midfield"
SCHEMA = HERE / "data" / "midfield.toml"
NODES = {"univ-b": "B", "univ-c": "C", "univ-j": "J"}
MAX_ROWS = 8  # of datasets.term
GRADUATES = "SELECT sex, COUNT(DISTINCT mcid) AS graduates FROM graduate GROUP BY sex"
GPA = "SELECT institution, AVG(gpa) AS gpa FROM term GROUP BY institution"
TRANSFER = "SELECT institution, AVG(transfer) AS transfer FROM student GROUP BY institution"
MEASURES = {"graduates": GRADUATES, "gpa": GPA, "transfer": TRANSFER}

pytestmark = [
    pytest.mark.skipif(not (DATA / "term.csv.gz").exists(), reason="the MIDFIELD sample is not beside the repository"),
    pytest.mark.long,  # what is quick of it: tests/node/test_midfield.py and test_midfield_questions.py
    pytest.mark.timeout(600),  # starting a federation takes a while on a busy machine
]


def node_toml(institution: str) -> str:
    """What this institution's steward writes: the shared files, joined, and only its own rows of them."""
    files = "".join(f'[sources.{name}]\nkind = "csv"\npath = "{DATA / name}.csv.gz"\n' for name in ("student", "term", "degree"))
    sex = 'sex = { column = "sex", map = { Male = "M", Female = "F" } }'
    return f"""{files}
[sources.degrees]
kind = "sql"
query = '''
    SELECT degree.mcid, student.sex FROM degree JOIN student USING (mcid) WHERE degree.institution = 'Institution {institution}'
'''
[sources.terms]
kind = "sql"
query = '''
    SELECT term.mcid, student.sex, term.gpa_term FROM term JOIN student USING (mcid)
    WHERE term.institution = 'Institution {institution}'
'''
[sources.students]
kind = "sql"
query = "SELECT mcid, sex, transfer FROM student WHERE institution = 'Institution {institution}'"

[datasets.graduate]
source = "degrees"
person = "mcid"
[datasets.graduate.columns]
{sex}

[datasets.term]
source = "terms"
person = "mcid"
[datasets.term.columns]
{sex}
gpa = "gpa_term"

[datasets.student]
source = "students"
person = "mcid"
[datasets.student.columns]
{sex}
transfer = {{ column = "transfer", map = {{ "First-Time Transfer" = "1", "First-Time in College" = "0" }} }}
"""


@pytest.fixture(scope="module")
def midfield(start: Callable[..., Federation]) -> Federation:
    universities = [
        University(
            name=name,
            facts={"institution": institution},
            enrolment=25_000,
            sources=node_toml(institution),
            write=lambda home: None,
            budget='[budget.student]\nperiod = "year"\nrho = 1000\nlifetime_rho = 1000\n',
            allow=(RESEARCHER,),
        )
        for name, institution in NODES.items()
    ]
    return start(*universities, federation="midfield", schema=SCHEMA)


def table(name: str) -> pl.DataFrame:
    """One file as it is, every value as text, with the institution's letter."""
    frame = pl.read_csv(DATA / f"{name}.csv.gz", infer_schema=False)
    return frame.with_columns(pl.col("institution").str.tail(1).alias("institution"))


def graduates_by_sex() -> dict[str, int]:
    persons = table("degree").select("mcid").unique().join(table("student"), on="mcid")
    codes = {"Female": "F", "Male": "M", "Unknown": "unknown"}
    return {codes[sex]: count for sex, count in persons.group_by("sex").len().rows()}


def gpa_by_institution() -> dict[str, tuple[float, float]]:
    """(mean of all rows, mean of the bounded figure). Of a person with n terms, min(n, 8) count, and any of them as likely."""
    terms = table("term").select("institution", "mcid", pl.col("gpa_term").cast(pl.Float64).alias("gpa")).drop_nulls()
    persons = terms.group_by("institution", "mcid").agg(pl.len().alias("n"), pl.mean("gpa"))
    persons = persons.with_columns(pl.min_horizontal("n", MAX_ROWS).alias("w"))

    def means(of: pl.DataFrame) -> tuple[float, float]:
        every, bounded = ((of["gpa"] * of[weight]).sum() / of[weight].sum() for weight in ("n", "w"))
        return float(every), float(bounded)

    groups = {letter: means(persons.filter(pl.col("institution") == letter)) for letter in NODES.values()}
    return {**groups, "all": means(persons)}


def transfer_by_institution() -> dict[str, float]:
    students = table("student").select("institution", (pl.col("transfer") == "First-Time Transfer").alias("transfer"))
    shares = {str(letter): float(share) for letter, share in students.group_by("institution").agg(pl.mean("transfer")).rows()}
    return {**shares, "all": float(students["transfer"].mean() or 0)}


def rows_of(tree: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    assert tree["tables"][0]["coverage"]["answered"] == 3
    return {row[key]: row for row in tree["tables"][0]["rows"]}


def test_graduates_by_sex(midfield: Federation) -> None:
    rows, truth = rows_of(ask(midfield, GRADUATES, "--rho", "20"), "sex"), graduates_by_sex()
    assert sum(truth.values()) == 49_543
    for code in ("F", "M", "unknown"):
        assert abs(rows[code]["graduates"] - truth.get(code, 0)) <= 4  # three nodes' noise: a standard deviation of 0.27
        assert rows[code]["graduates_low"] - 3 <= truth.get(code, 0) <= rows[code]["graduates_high"] + 3


def test_mean_term_gpa_by_institution(midfield: Federation) -> None:
    rows, truth = rows_of(ask(midfield, GPA, "--rho", "20"), "institution"), gpa_by_institution()
    for letter, (_, bounded) in truth.items():
        # Which eight terms count is the keyed hash's choice: six standard deviations of it are below 0.006.
        assert abs(rows[letter]["gpa"] - bounded) < 0.006
        assert rows[letter]["gpa_low"] - 0.006 <= bounded <= rows[letter]["gpa_high"] + 0.006
        assert rows[letter]["gpa_high"] - rows[letter]["gpa_low"] < 0.01


def test_share_of_transfer_students(midfield: Federation) -> None:
    rows, truth = rows_of(ask(midfield, TRANSFER, "--rho", "20"), "institution"), transfer_by_institution()
    for letter, share in truth.items():
        assert abs(rows[letter]["transfer"] - share) < 0.0005
        assert rows[letter]["transfer_low"] - 0.0005 <= share <= rows[letter]["transfer_high"] + 0.0005


def test_check_reports_the_bias_of_the_bound_against_all_rows(midfield: Federation) -> None:
    """By the command, for the node's own screen; both figures are those of plain Polars."""
    said = typed("collegium-node", "check", "--json", home=midfield.node_home("univ-c"))
    assert said.code == 0
    datasets = {dataset["name"]: dataset for dataset in json.loads(said.out)["datasets"]}
    (gpa,) = (column for column in datasets["term"]["columns"] if column["name"] == "gpa")
    every, bounded = gpa_by_institution()["C"]
    assert gpa["bias"]["mean_rows"] == pytest.approx(every, abs=1e-9)
    assert gpa["bias"]["mean_bounded"] == pytest.approx(bounded, abs=1e-9)
    assert abs(every - bounded) > 0.005  # a bias worth reporting: who stays for many terms has other marks
    assert datasets["term"]["persons_over_rows"] > 0
    assert datasets["term"]["rows_left_out"] > 0


@pytest.mark.parametrize(
    ("repetitions", "tolerance"),
    [(400, 0.03), pytest.param(5000, 0.01, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
)
@pytest.mark.parametrize("name", MEASURES)
def test_intervals_hold_the_bounded_truth_as_often_as_they_say(
    midfield: Federation, name: str, repetitions: int, tolerance: float
) -> None:
    """On the nodes' own snapshots. `tolerance` is of the whole measure; a single cell may be a little further off by chance."""
    schema = read_schema(SCHEMA)
    with Client(Home(midfield.researcher_home(RESEARCHER))) as client:
        prepared = client.prepare(MEASURES[name], rho=0.001)  # noise of tens of persons: whole numbers do not show
    (question,), (view,) = prepared.questions, prepared.views
    layout = compile_layout(question, schema)
    asked = [AskedNode(node, {"institution": letter}) for node, letter in NODES.items()]
    exact = {}
    for node in NODES:
        home = NodeHome(midfield.node_home(node))
        (snapshot,) = (folder.name for folder in (home.root / "snapshots").iterdir() if not folder.name.startswith("."))
        exact[node] = Embedded(home.root, load_secret(home.snapshot_key)).tally(layout, schema, snapshot)
    scales = {node: tuple(repr(scale) for scale in add_noise(layout, exact[node]).scales) for node in NODES}

    def figures(payload: Callable[[str], bytes]) -> dict[tuple[int, tuple[str, ...]], Any]:
        releases = [NodeRelease(node, payload(node), scales[node]) for node in NODES]
        return {(row.of, row.group): row.figures[0] for row in combine(layout, view, schema, releases, asked).rows}

    truth = {cell: float(figure.value) for cell, figure in figures(lambda node: exact[node].open().astype("<i8").tobytes()).items()}
    _is_what_polars_says(name, truth)
    held: Counter[Any] = Counter()
    for _ in range(repetitions):
        for cell, figure in figures(lambda node: add_noise(layout, exact[node]).payload).items():
            held[cell] += float(figure.low) <= truth[cell] <= float(figure.high)
    shares = {cell: held[cell] / repetitions for cell in truth}
    assert abs(sum(shares.values()) / len(shares) - 0.95) <= tolerance, shares
    assert all(abs(share - 0.95) <= tolerance * 1.5 + 0.005 for share in shares.values()), shares


def _is_what_polars_says(name: str, truth: dict[tuple[int, tuple[str, ...]], float]) -> None:
    """The bounded truth that intervals are held against is plain Polars' own."""
    if name == "graduates":
        by_sex = graduates_by_sex()
        assert {group[0]: value for (_, group), value in truth.items()} == {
            code: by_sex.get(code, 0) for code in ("F", "M", "unknown")
        }
        return
    expected = (
        {letter: bounded for letter, (_, bounded) in gpa_by_institution().items()} if name == "gpa" else transfer_by_institution()
    )
    found = dict(zip(("all", *NODES.values()), (value for _, value in sorted(truth.items())), strict=True))
    assert found == pytest.approx(expected, abs=0.006 if name == "gpa" else 1e-9)
