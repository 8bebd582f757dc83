"""Measuring survives a crash between any two of its steps, an expired request and late universities, each for one charge."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from country import PROVINCES, Country

from collegium.errors import CollegiumError, Invalid
from collegium.indicators.edition import Edition
from collegium.indicators.measure import BUNDLE, DETAILS, FIGURES, REQUEST, VALIDITY, Planned, measure, plan, recall
from collegium.statements import Details

YEAR = 2026
RHO = {"": 200_000_000}


class Crash(Exception):
    """The process ends here."""


class Once:
    """Ends the process at one step, the first time it comes there."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __call__(self, step: str) -> None:
        if step == self.step:
            self.step = ""
            raise Crash(step)


def planned(country: Country, rho: int = RHO[""], year: int = YEAR) -> Planned:
    return plan(country.registry, "example/1", year, {"": rho})


def run(country: Country, folder: Path, **other: int) -> Edition:
    return measure(cast(Any, country), planned(country, **other), folder)


def spent(country: Country) -> dict[str, int]:
    """Nano-rho by university, over all privacy units."""
    total: Counter[str] = Counter()
    for (node, _), rho in country.charged.items():
        total[node] += rho
    return dict(total)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Edition, dict[str, int]]:
    country = Country()
    edition = run(country, tmp_path_factory.mktemp("undisturbed"))
    assert spent(country) == dict.fromkeys(PROVINCES, sum(planned(country).batch.charges.values()))
    assert len(edition.leaves) == 11
    return edition, spent(country)


KEPT = {
    "before it is handed in": ({DETAILS, REQUEST}, False),
    "after it is handed in": ({DETAILS, REQUEST}, True),
    "before the result": ({DETAILS, REQUEST}, True),
    "before the bundle": ({DETAILS, REQUEST}, True),
    "after the bundle": ({DETAILS, REQUEST, BUNDLE}, True),
}
"""Where the process ends: what is on disk then, and whether anybody was charged."""


@pytest.mark.parametrize("step", KEPT)
def test_a_crash_between_two_steps_costs_nothing_twice(
    step: str, tmp_path: Path, undisturbed: tuple[Edition, dict[str, int]]
) -> None:
    country = Country(Once(step))
    with pytest.raises(Crash):
        run(country, tmp_path)
    files, charged = KEPT[step]
    assert {path.name for path in tmp_path.iterdir()} == files
    assert bool(country.charged) == charged
    kept = (tmp_path / REQUEST).read_bytes()
    edition = run(country, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {DETAILS, REQUEST, BUNDLE, FIGURES}
    assert (tmp_path / REQUEST).read_bytes() == kept
    assert len(country.logged) == 1
    assert spent(country) == undisturbed[1]
    assert edition.leaves == undisturbed[0].leaves
    assert Edition.read(tmp_path / FIGURES) == edition


@pytest.mark.parametrize(("name", "logged"), [(DETAILS, 0), (REQUEST, 0), (FIGURES, 1)])
def test_a_file_that_cannot_be_written_is_written_by_the_next_run(
    name: str, logged: int, tmp_path: Path, undisturbed: tuple[Edition, dict[str, int]]
) -> None:
    country = Country()
    (tmp_path / name).mkdir()  # so that nothing can take its name
    with pytest.raises(CollegiumError):
        run(country, tmp_path)
    assert len(country.logged) == logged
    (tmp_path / name).rmdir()
    assert run(country, tmp_path).leaves == undisturbed[0].leaves
    assert len(country.logged) == 1
    assert spent(country) == undisturbed[1]


def test_late_universities_join_free_and_those_that_answered_pay_once(
    tmp_path: Path, undisturbed: tuple[Edition, dict[str, int]]
) -> None:
    country = Country()
    country.down = {"west"}
    first = run(country, tmp_path)
    assert [each.node for each in first.coverage.missing] == ["west"]
    assert first.leaves[0].provinces[PROVINCES["west"]].mark == "—"
    assert "west" not in spent(country)
    country.down = set()
    second = run(country, tmp_path)
    assert (second.leaves, spent(country)) == (undisturbed[0].leaves, undisturbed[1])
    assert second.requests == first.requests


def test_an_expired_request_is_made_anew_without_a_second_charge(
    tmp_path: Path, undisturbed: tuple[Edition, dict[str, int]]
) -> None:
    country = Country()
    country.down = {"west"}
    first = run(country, tmp_path)
    country.down = set()
    country.time += VALIDITY - 1
    assert run(country, tmp_path).requests == first.requests
    country.time += 1
    renewed = run(country, tmp_path)
    assert renewed.requests != first.requests
    assert len(country.logged) == 2
    assert (renewed.leaves, spent(country)) == (undisturbed[0].leaves, undisturbed[1])


def test_a_folder_belongs_to_one_catalogue_year_and_cost(tmp_path: Path) -> None:
    country = Country()
    run(country, tmp_path)
    before = spent(country)
    for other in ({"rho": 2 * RHO[""]}, {"year": YEAR - 1}):
        with pytest.raises(Invalid, match="something else") as caught:
            run(country, tmp_path, **other)
        assert "another folder" in caught.value.remedy
    assert spent(country) == before
    (tmp_path / DETAILS).write_bytes(b"{}")
    with pytest.raises(Invalid, match="not the details"):
        run(country, tmp_path)


def test_a_request_says_in_words_how_to_plan_it_again() -> None:
    country = Country()
    made = planned(country)
    again = recall(country.registry, Details.of("", made.words))
    assert [each.digest for each in again.batch.questions] == [each.digest for each in made.batch.questions]
    for words in (
        None,
        "SELECT COUNT(*) FROM graduate",
        made.words.replace("MEASURE", "measure"),
        made.words.replace("student 2", "student x2"),
        made.words.replace("staff", "student"),
        made.words.replace("example/1", "example/2"),
    ):
        assert words != made.words
        with pytest.raises(Invalid):
            recall(country.registry, Details.of("", words))
    with pytest.raises(Invalid):
        recall(country.registry, None)  # erased


def test_figures_of_another_plan_are_not_made(tmp_path: Path) -> None:
    country = Country()
    made = planned(country)
    measure(cast(Any, country), replace(made, batch=planned(country, rho=1_000_000).batch), tmp_path)
    with pytest.raises(Invalid, match="other questions"):
        run(country, tmp_path)


def test_details_without_their_request_were_never_asked(tmp_path: Path, undisturbed: tuple[Edition, dict[str, int]]) -> None:
    country = Country(Once("before it is handed in"))
    with pytest.raises(Crash):
        run(country, tmp_path)
    (tmp_path / REQUEST).unlink()  # as a crash between the two files leaves it
    assert run(country, tmp_path).leaves == undisturbed[0].leaves
    assert len(country.logged) == 1


def test_a_cost_that_leaves_no_noise_still_has_figures(tmp_path: Path) -> None:
    edition = run(Country(), tmp_path, rho=90_000 * 10**9)
    assert all(leaf.national.value is not None for leaf in edition.leaves if leaf.denominator is None)
