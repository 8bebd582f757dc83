"""A ministry measures its whole catalogue in national sums over real processes: no university's figure exists anywhere.

Nine universities in two groups of provinces, three trustees. Failure: a figure that is not the domain tables' SQL over the
universities in the sum; a figure of one university; a second charge when it is measured again; an audit that finds fault.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation, Ministry
from nationally import TRUSTEES, configure, kinds
from small import RESEARCHER, node_budget, typed, typed_here
from wholecatalogue import CATALOGUE, EXAMPLE, RHO, YEAR, Rows, campus, database, invented, sql_of_indicators
from withwitnesses import audited

from collegium.bundlefile import verify_file
from collegium.indicators.edition import Edition
from collegium.indicators.measure import edition_again

PROVINCES = {
    "east": "31", "harbour": "31", "delta": "31", "island": "31",
    "west": "51", "hills": "51", "south": "44", "coast": "44", "cape": "44",
}  # fmt: skip
ROWS = 200
RELEASE = ("--release", "both", "--smallest", "2")

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


@dataclass
class Country:
    """A federation that has measured twice: once while `coast` was down."""

    federation: Federation
    tables: dict[str, dict[str, Rows]]
    folder: Path
    first: Edition
    charged: dict[str, int]
    edition: Edition


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    root = tmp_path_factory.mktemp("sums")
    tables = {node: invented(node, ROWS) for node in PROVINCES}
    federation = Federation(root / "federation", Ministry(federation="test", schema=EXAMPLE / "schema.toml"))
    folder = root / "indicators"
    try:
        federation.found()
        configure(federation, {"dropout": "0.35", "seconds": "60"})
        federation.serve()
        federation.join(RESEARCHER)
        for name in TRUSTEES:
            federation.install_trustee(name)
            federation.start_trustee(name)
        for node, province in PROVINCES.items():
            university = campus(node, tables[node], province, release=RELEASE)
            federation.install(university, federation.invite_node(university))
            federation.start_node(node)
        federation.wait_connected(RESEARCHER, len(PROVINCES))
        for words in (["catalogue", CATALOGUE], ["partition", "--by", "province", "--at-least", "4"]):
            said = typed("collegium-coordinator", *words, home=federation.home)
            assert said.code == 0, said
        federation.kill("coast")
        first = measured(federation, folder)
        federation.start_node("coast")
        federation.wait_connected(RESEARCHER, len(PROVINCES))
        charged = {node: node_budget(federation, node) for node in PROVINCES}
        yield Country(federation, tables, folder, first, charged, measured(federation, folder))
    finally:
        federation.stop()


def figures_of(folder: Path) -> Path:
    return folder / "higher-education-1" / str(YEAR) / "figures.json"


def measured(federation: Federation, folder: Path) -> Edition:
    words = ("measure", "--period", YEAR, "--rho", RHO, "--national", "--folder", folder, "--yes", "--json", "--deadline", 240)
    said = typed("collegium", "indicators", *map(str, words), home=federation.researcher_home(RESEARCHER), seconds=400)
    assert said.code == 0, said
    assert json.loads(said.out)["indicators"] == 1298
    return Edition.read(figures_of(folder))


def test_every_figure_is_that_of_the_domain_tables_sql(country: Country) -> None:
    """Over the eight that were there; a late one never joins a sum."""
    wanted = sql_of_indicators()
    there = database(country.tables, [node for node in PROVINCES if node != "coast"])
    told, outside = 0, 0
    for leaf in country.edition.leaves:
        (truth,) = there.execute(wanted[leaf.id], {"Y": YEAR}).fetchone()
        figure = leaf.national
        truth = None if truth is None else truth * (100 if leaf.unit.en == "%" else 1)
        if truth is None or figure.value is None:
            assert not truth, (leaf.id, truth, figure)
            continue
        assert figure.error is not None
        assert figure.low is not None
        assert abs(figure.value - truth) <= 6 * figure.error + 1e-9 * abs(truth), (leaf.id, figure, truth)
        outside += not figure.low - 1e-9 <= truth <= (figure.high or truth) + 1e-9
        told += 1
    assert told > 1000
    assert outside < 0.09 * told  # of dependent intervals of 95 %


def test_the_groups_add_up_and_are_no_universities(country: Country) -> None:
    for leaf in country.edition.leaves:
        if leaf.denominator is None and leaf.level == "university":
            one, other = (set(each.split("+")) for each in leaf.provinces)
            assert ("31" in one, {"44", "51"} <= other) == (True, True)
            parts = [each.value for each in leaf.provinces.values() if each.value is not None]
            assert leaf.national.value is not None
            assert sum(parts) == pytest.approx(leaf.national.value, rel=1e-9, abs=1e-6), leaf.id
    assert kinds(country.federation).get("release", 0) == 0


def test_measured_again_it_is_the_same_and_costs_nothing(country: Country) -> None:
    """The university that was down when the sums were made is in none, then and now, and has paid nothing."""
    assert [leaf.provinces for leaf in country.edition.leaves] == [leaf.provinces for leaf in country.first.leaves]
    assert [each.node for each in country.edition.coverage.missing] == ["coast"]
    assert {node: node_budget(country.federation, node) for node in PROVINCES} == country.charged
    assert country.charged["coast"] == 0
    assert len({country.charged[node] for node in PROVINCES if node != "coast"}) == 1
    assert country.charged["east"] == sum(cost.nano_rho for cost in country.edition.costs)


def test_anybody_makes_the_same_figures_from_the_bundle(country: Country) -> None:
    place = figures_of(country.folder).parent
    verified, registry, bundle = verify_file(place / "bundle.collegium")
    assert edition_again(verified, bundle, registry).to_bytes() == (place / "figures.json").read_bytes()


def test_the_report_says_that_they_are_national_sums(country: Country, tmp_path: Path) -> None:
    said = typed_here("collegium", "indicators", "report", "--out", tmp_path / "site", "--folder", country.folder)
    assert said.code == 0, said
    assert "national sum" in (tmp_path / "site" / "en" / "index.html").read_text(encoding="utf-8").lower()


def test_all_logs_are_clean(country: Country, tmp_path: Path) -> None:
    federation = country.federation
    homes = [("collegium-node", federation.node_home(name)) for name in PROVINCES]
    homes += [("collegium-trustee", federation.trustee_home(name)) for name in TRUSTEES]
    for program, home in (*homes, ("collegium-coordinator", federation.home)):
        said = typed(program, "log", "export", tmp_path / "logs", home=home, seconds=300)
        assert said.code == 0, said
    found = audited(federation, tmp_path / "logs")
    assert found["exit"] == 0, json.dumps(found["findings"], indent=1)
