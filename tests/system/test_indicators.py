"""A ministry measures its whole catalogue over real processes: one request, one charge, late universities free, all proven.

The rows are those of `wholecatalogue`, and the cost is so high that noise hides no mistake.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation, Ministry
from small import RESEARCHER, node_budget, typed, typed_here
from wholecatalogue import CATALOGUE, EXAMPLE, RHO, SCHEMA, YEAR, Rows, campus, database, invented, sql_of_indicators

from collegium.bundlefile import verify_file
from collegium.indicators.edition import Edition
from collegium.indicators.measure import edition_again

PROVINCES = {"east": "31", "west": "51", "south": "44"}

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
]  # what is quick of it: tests/library/indicators, tests/node/test_indicator_batch.py


@dataclass
class Country:
    """A federation that has measured: first while `west` was down, then with all."""

    federation: Federation
    tables: dict[str, dict[str, Rows]]
    folder: Path
    first: Edition
    charged: dict[str, int]
    edition: Edition

    def command(self, *words: str | Path) -> str:
        said = typed_here("collegium", "indicators", *words)
        assert said.code == 0, said
        return said.out


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    root = tmp_path_factory.mktemp("country")
    tables = {node: invented(node) for node in PROVINCES}
    federation = Federation(root / "federation", Ministry(federation="test", schema=EXAMPLE / "schema.toml"))
    folder = root / "indicators"
    with federation:
        lacks = {"south": ("exchange", "graduate.salary")}
        federation.open([campus(node, tables[node], PROVINCES[node], lacks.get(node, ())) for node in PROVINCES], [RESEARCHER])
        signed = typed("collegium-coordinator", "catalogue", CATALOGUE, home=federation.home)
        assert signed.code == 0, signed
        federation.kill("west")
        first = measured(federation, folder)
        federation.start_node("west")
        federation.wait_connected(RESEARCHER, len(PROVINCES))
        charged = {node: node_budget(federation, node) for node in PROVINCES if node != "west"}
        yield Country(federation, tables, folder, first, charged, measured(federation, folder))


def measured(federation: Federation, folder: Path) -> Edition:
    words = ("measure", "--period", YEAR, "--rho", RHO, "--folder", folder, "--yes", "--json", "--deadline", 60)
    said = typed("collegium", "indicators", *map(str, words), home=federation.researcher_home(RESEARCHER))
    assert said.code == 0, said
    assert json.loads(said.out)["indicators"] == 1298
    return Edition.read(folder / "higher-education-1" / str(YEAR) / "figures.json")


def test_a_late_university_joins_and_nobody_is_charged_twice(country: Country) -> None:
    assert (country.first.coverage.answered, country.edition.coverage.answered) == (2, 3)
    assert [each.node for each in country.first.coverage.missing] == ["west"]
    assert country.first.requests == country.edition.requests
    again = {node: node_budget(country.federation, node) for node in PROVINCES}
    assert {node: again[node] for node in country.charged} == country.charged
    allowed = sum(cost.nano_rho for cost in country.edition.costs)
    assert 0.999 * 3 * RHO * 10**9 < allowed <= 3 * RHO * 10**9
    assert again["east"] == again["west"] == allowed


def test_what_a_university_does_not_serve_is_not_covered_with_the_reason(country: Country) -> None:
    for leaf in country.edition.leaves:
        reasons = {each.node: each.reason for each in leaf.coverage.missing}
        if leaf.dataset == "exchange":
            assert reasons == {"south": "no-dataset"}, leaf.id
        elif leaf.measure == "mean_salary":
            assert reasons == {"south": "no-column"}, leaf.id
        else:
            assert reasons == {}, leaf.id
        if leaf.level == "university":
            assert (leaf.provinces[PROVINCES["south"]].mark == "—") == bool(reasons)


def test_every_figure_is_that_of_the_domain_tables_sql(country: Country) -> None:
    wanted = sql_of_indicators()
    databases = {nodes: database(country.tables, nodes) for nodes in (("east", "west", "south"), ("east", "west"))}
    outside = 0
    for leaf in country.edition.leaves:
        nodes = tuple(node for node in PROVINCES if node not in {each.node for each in leaf.coverage.missing})
        (truth,) = databases[nodes].execute(wanted[leaf.id], {"Y": YEAR}).fetchone()
        figure = leaf.national
        truth = None if truth is None else truth * (100 if leaf.unit.en == "%" else 1)
        if truth is None or figure.value is None:
            assert not truth, leaf.id
            continue
        assert figure.error is not None
        assert abs(figure.value - truth) <= 6 * figure.error + 1e-9 * abs(truth), (leaf.id, figure, truth)
        assert figure.low is not None
        outside += not figure.low - 1e-9 <= truth <= (figure.high or truth) + 1e-9
    assert outside < 0.09 * len(country.edition.leaves)  # of 1,298 dependent intervals of 95 %


def test_totals_are_the_sums_of_their_parts(country: Country) -> None:
    for leaf in country.edition.leaves:
        if leaf.denominator is None and leaf.level == "university":
            assert leaf.national.value is not None
            parts = [each.value for each in leaf.provinces.values() if each.value is not None]
            assert sum(parts) == pytest.approx(leaf.national.value, rel=1e-9, abs=1e-6), leaf.id


def test_anybody_makes_the_same_figures_from_the_bundle(country: Country) -> None:
    place = country.folder / "higher-education-1" / str(YEAR)
    verified, registry, bundle = verify_file(place / "bundle.collegium")
    assert edition_again(verified, bundle, registry).to_bytes() == (place / "figures.json").read_bytes()


def test_another_cost_in_the_same_folder_is_refused(country: Country) -> None:
    words = ("measure", "--period", str(YEAR), "--rho", "1", "--folder", country.folder, "--yes")
    said = typed_here("collegium", "indicators", *words, home=country.federation.researcher_home(RESEARCHER))
    assert said.code == 2
    assert "another folder" in said.err


def test_plan_show_export_and_report_read_as_a_person_expects(country: Country, tmp_path: Path) -> None:
    home = country.federation.researcher_home(RESEARCHER)
    planned = json.loads(country.command("plan", "--period", str(YEAR), "--rho", "0.5", "--json", "--home", home))
    assert len(planned["indicators"]) == 1298
    assert {unit: each["nano_rho"] <= 5 * 10**8 for unit, each in planned["cost"].items()} == dict.fromkeys(SCHEMA.units, True)
    text = country.command("plan", "--period", str(YEAR), "--under", "S06", "--home", home)
    assert "U-S06-001" in text
    assert "3 universities" in text
    shown = country.command("show", "U-S06-001", "--by", "province", "--folder", country.folder)
    assert "Shanghai" in shown
    assert "not official statistics" in shown
    tree: dict[str, Any] = json.loads(
        country.command("show", "U-S06-001", "--by", "discipline", "--json", "--folder", country.folder)
    )
    assert len(tree["disciplines"]) == 12
    country.command("export", tmp_path / "all.csv", "--folder", country.folder)
    lines = (tmp_path / "all.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 1 + 1298 + 218 * 3
    country.command("report", "--out", tmp_path / "site", "--folder", country.folder)
    assert len(list((tmp_path / "site").rglob("*.html"))) == 1 + 2 * 22
    assert (tmp_path / "site" / "bundle.collegium").stat().st_size > 100_000
