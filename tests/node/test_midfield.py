"""Real registrar records (MIDFIELD sample, CC0): the CSV files as they are, one institution a node, joined by a SQL source."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from collegium.schema import parse_schema
from collegium_node.check import check
from collegium_node.config import NodeConfig, parse_config
from collegium_node.digest import NodeSecret, person_digests
from collegium_node.prepare import Prepared, prepare

DATA = Path(__file__).parents[3] / "shared" / "data" / "midfield"
SECRET = NodeSecret(bytes(range(32)))

pytestmark = pytest.mark.skipif(not (DATA / "student.csv.gz").exists(), reason="the MIDFIELD sample is not beside the repository")

SCHEMA = parse_schema(
    """
    name = "midfield"
    version = 1
    title = { en = "MIDFIELD" }
    units.student = { title = { en = "student" } }

    [codes.gender]
    "1" = { en = "male" }
    "2" = { en = "female" }

    [datasets.term]
    title = { en = "Terms" }
    unit = "student"
    person = "student"
    max_rows = 8
    max_groups = 4
    [datasets.term.columns]
    gender = { type = "category", title = { en = "gender" }, codes = "gender" }
    year = { type = "integer", title = { en = "year" }, min = 1988, max = 2018 }
    gpa = { type = "decimal", title = { en = "term GPA" }, min = 0, max = 4, step = 0.01 }

    [datasets.graduate]
    title = { en = "Graduates" }
    unit = "student"
    person = "student"
    max_rows = 2
    [datasets.graduate.columns]
    gender = { type = "category", title = { en = "gender" }, codes = "gender" }
    transfer = { type = "boolean", title = { en = "came by transfer" } }
    """
)


def node(institution: str, folder: Path) -> NodeConfig:
    sources = "".join(f'[sources.{name}]\nkind = "csv"\npath = "{DATA / name}.csv.gz"\n' for name in ("student", "term", "degree"))
    return parse_config(
        sources
        + f"""
        [sources.terms]
        kind = "sql"
        query = '''
            SELECT term.mcid, student.sex, left(term.term, 4) AS year, gpa_term
            FROM term JOIN student USING (mcid) WHERE term.institution = 'Institution {institution}'
        '''
        [sources.graduates]
        kind = "sql"
        query = '''
            SELECT degree.mcid, student.sex, student.transfer FROM degree JOIN student USING (mcid)
            WHERE degree.institution = 'Institution {institution}' AND degree.degree <> ''
        '''
        [datasets.term]
        source = "terms"
        person = "mcid"
        [datasets.term.columns]
        gender = {{ column = "sex", map = {{ Male = "1", Female = "2" }} }}
        year = "year"
        gpa = "gpa_term"
        [datasets.graduate]
        source = "graduates"
        person = "mcid"
        [datasets.graduate.columns]
        gender = {{ column = "sex", map = {{ Male = "1", Female = "2" }} }}
        transfer = {{ column = "transfer", map = {{ "First-Time Transfer" = "1", "First-Time in College" = "0" }} }}
        """,
        folder / "node.toml",
    )


def raw(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(DATA / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


@pytest.fixture(scope="module")
def terms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Prepared]:
    folder = tmp_path_factory.mktemp("nodes")
    return {institution: prepare("term", node(institution, folder), SCHEMA, SECRET) for institution in "BCJ"}


def test_three_nodes_hold_every_term_once(terms: dict[str, Prepared]) -> None:
    """Against Python's own reading of the same files."""
    rows: Counter[str] = Counter()
    persons = defaultdict(set)
    points: Counter[str] = Counter()
    for row in raw("term"):
        institution = row["institution"][-1]
        rows[institution] += 1
        persons[institution].add(row["mcid"])
        points[institution] += round(float(row["gpa_term"]) * 100) if row["gpa_term"] else 0
    assert sum(rows.values()) == 639_915
    for institution, prepared in terms.items():
        assert prepared.frame.height == rows[institution]
        assert len(prepared.person_digest) == len(persons[institution])
        assert prepared.frame["gpa"].cast(int).sum() == points[institution]
    everyone = [digest for prepared in terms.values() for digest in prepared.person_digest.tolist()]
    assert len(set(everyone)) == len(everyone)  # no person is at two institutions


def test_a_real_person_has_exactly_their_own_rows(terms: dict[str, Prepared]) -> None:
    own = [row for row in raw("term") if row["mcid"] == "MCID3111142225"]
    prepared = terms["B"]
    (digest,) = person_digests(["MCID3111142225"], SECRET).tolist()
    place = prepared.person_digest.tolist().index(digest)
    stored = prepared.frame[prepared.offsets[place] : prepared.offsets[place + 1]]
    expected = sorted((0, int(row["term"][:4]), round(float(row["gpa_term"]) * 100)) for row in own if row["gpa_term"])
    assert sorted(row for row in stored.rows() if row[2] is not None) == expected
    assert stored.height == len(own)


def test_check_tells_of_the_one_unknown_sex_and_missing_grades(tmp_path: Path) -> None:
    report = check(node("B", tmp_path), SCHEMA)
    assert not report.broken
    term, graduate = report.datasets
    assert (term.rows, term.persons, graduate.persons) == (sum(r["institution"][-1] == "B" for r in raw("term")), 45_660, 27_101)
    gender, _, gpa = term.columns
    assert {value.value for value in gender.unmapped} <= {"Unknown"}
    assert gpa.no_number.count == gpa.below.count == gpa.above.count == 0
    assert gpa.bias is not None
    assert gpa.bias.mean_rows == pytest.approx(2.9, abs=0.3)
    assert term.most_rows <= 41
    assert not graduate.columns[1].unmapped
