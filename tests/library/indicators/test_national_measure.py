"""A catalogue in release mode national: the same indicators from sums of groups, which add up, with the noise of one mechanism."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from country import example_catalogue
from planned import FED, Campus, key, registry

from collegium.accounting import noise_scale
from collegium.bundle import Verified
from collegium.errors import Invalid
from collegium.indicators.edition import Edition
from collegium.indicators.expected import expected
from collegium.indicators.measure import Planned, plan, recall
from collegium.indicators.measured import edition_of
from collegium.layout import Layout
from collegium.national.figures import NationalSum
from collegium.national.law import RoundOf
from collegium.national.share import make_share, sigma_for
from collegium.registration import CatalogueEntry
from collegium.registry import Registry
from collegium.statements import Accounts, Details, Missing, UsedRelease

YEAR, RHO = 2026, {"": 200_000_000}
CAMPUSES = [Campus(f"u{number:02}", ("31", "44", "51")[number % 3]) for number in range(15)]
GROUPS = (("31",), ("44", "51"))
HOMES, HONEST = 2, {1: 4, 2: 9}  # by number of provinces in the group


def country(groups: Any = GROUPS) -> Registry:
    made = registry(CAMPUSES, groups=groups)
    entry = CatalogueEntry(name="example", version=1, fits="higher-education/1", toml=example_catalogue(), time=9)
    made.extend([entry.sign(key(f"{FED}/registry/statements"))])
    return made


COUNTRY = country()


def names(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(campus.name for campus in CAMPUSES if campus.province in codes)


def tally(layout: Layout, people: int) -> np.ndarray:
    """As many in every cell: 'people' in counts, and nothing in centred totals."""
    values = np.zeros(layout.length, dtype=np.int64)
    for part in layout.parts:
        crowd = part.crowd if part.component.kind != "total" else 0
        values[part.start : part.stop] = people * crowd
    return values


def total_of(layout: Layout, codes: tuple[str, ...], people: int, left_out: frozenset[str] = frozenset()) -> NationalSum:
    """Without noise, on its lattice."""
    honest, fines, values = HONEST[len(codes)], [], tally(layout, people)
    for part in layout.parts:
        share = make_share(sigma_for(part.component.rho, part.sensitivity_squared, HOMES), honest)
        fines.append(share.fine)
        values[part.start : part.stop] <<= share.fine
    members = tuple(name for name in names(codes) if name not in left_out)
    return NationalSum(codes, members, values, tuple(fines), Fraction(len(members), honest), HOMES)


def edition(planned: Planned, leaving: dict[int, frozenset[str]] | None = None, of: Any = GROUPS) -> Edition:
    """Of sums with 100 persons in every cell of each province. `leaving`: universities that dropped out of a question's round."""
    figures = []
    for number, (question, layout) in enumerate(zip(planned.batch.questions, planned.batch.layouts, strict=True)):
        out = (leaving or {}).get(number, frozenset())
        totals = [total_of(layout, codes, 100 * len(codes), out) for codes in of]
        used = [name for total in totals for name in total.nodes]
        accounts = Accounts(
            releases=tuple(UsedRelease(node=name, sha256="0" * 64) for name in sorted(used)),
            missing=tuple(Missing(node=each.name, reason="offline") for each in CAMPUSES if each.name not in used),
        )
        indicator = SimpleNamespace(registry=SimpleNamespace(size=COUNTRY.size))
        rounds = tuple(SimpleNamespace(total=total) for total in totals)
        figures.append(SimpleNamespace(question=question, layout=layout, indicator=indicator, accounts=accounts, rounds=rounds))
    request = SimpleNamespace(
        questions=planned.batch.questions,
        views=[view.to_json() for view in planned.batch.views],
        facts={},
        audience=None,
        registry=COUNTRY.view(),
    )
    verified = Verified("0" * 64, cast(Any, request), None, cast(Any, tuple(figures)), 0)
    bundle = SimpleNamespace(releases=[])
    return edition_of(verified, cast(Any, bundle), COUNTRY, planned.expanded, planned.batch)


PLANNED = plan(COUNTRY, "example/1", YEAR, RHO, "national")


def test_the_plan_of_a_national_measurement_is_another_and_is_recalled_by_its_words() -> None:
    other = plan(COUNTRY, "example/1", YEAR, RHO)
    assert {question.mode for question in PLANNED.batch.questions} == {"national"}
    assert not {q.digest for q in PLANNED.batch.questions} & {q.digest for q in other.batch.questions}
    assert PLANNED.batch.charges == other.batch.charges
    assert all(view.facts == ("province",) for view in PLANNED.batch.views)
    for each in (PLANNED, other):
        again = recall(COUNTRY, Details.of("", each.words))
        assert [q.digest for q in again.batch.questions] == [q.digest for q in each.batch.questions]
    with pytest.raises(Invalid):
        recall(COUNTRY, Details.of("", PLANNED.words + " X"))


def test_without_a_partition_by_province_there_is_one_sum() -> None:
    planned = plan(country(()), "example/1", YEAR, RHO, "national")
    assert all(view.facts == () for view in planned.batch.views)


def test_groups_of_provinces_add_up_to_the_nation() -> None:
    made = edition(PLANNED)
    assert made.mode == "national"
    assert list(made.provinces) == ["31", "44+51"]
    assert made.provinces["44+51"].en.count(",") == 1
    counted = [leaf for leaf in made.leaves if leaf.provinces and leaf.denominator is None]
    for leaf in counted:
        parts = [each.value for each in leaf.provinces.values()]
        assert leaf.national.value == pytest.approx(sum(value for value in parts if value is not None), abs=1e-6)
    shares = [leaf for leaf in made.leaves if leaf.denominator is not None and leaf.provinces]
    assert counted or shares
    assert made.coverage.answered == 15
    assert "4 times" in made.costs[0].sentence.en or "2² = 4" in made.costs[0].sentence.en


def test_the_noise_is_that_of_one_mechanism_for_each_group() -> None:
    """Standard errors hang on k²·|U|/m, and not on how many universities there are."""
    rounds = (RoundOf(HOMES, 5, 4), RoundOf(HOMES, 10, 9))
    national, alone = expected(PLANNED.batch, rounds), expected(PLANNED.batch, 1)
    for line in PLANNED.batch.lines:
        if line.denominator is None:
            factor = national[line.id].half_width / alone[line.id].half_width
            assert factor == pytest.approx(2 * (5 / 4 + 10 / 9) ** 0.5, rel=0.05)
    plain = [leaf for leaf in edition(PLANNED).leaves if leaf.denominator is None]
    for leaf in plain:
        assert leaf.national.error is not None


def test_a_ratio_counts_only_groups_with_the_same_universities_in_both_sums() -> None:
    lines = {line.id: line for line in PLANNED.batch.lines}
    two = [leaf for leaf in PLANNED.expanded.leaves if len(PLANNED.batch.questions_of(lines[leaf.id])) == 2]
    if not two:
        pytest.skip("the example catalogue has no indicator of two questions")
    one, other = PLANNED.batch.questions_of(lines[two[0].id])
    made = edition(PLANNED, {other: frozenset({"u00"})})
    leaf = made.leaf(two[0].id)
    inside = set(names(GROUPS[1]))
    assert {each.node for each in leaf.coverage.missing} == set(names(GROUPS[0]))
    assert leaf.coverage.answered == len(inside)
    assert {each.reason for each in leaf.coverage.missing} == {"offline", "uneven"}
    assert one != other


def test_scales_are_those_of_a_person_at_two_universities() -> None:
    part = PLANNED.batch.layouts[0].parts[0]
    assert sigma_for(part.component.rho, part.sensitivity_squared, HOMES) == pytest.approx(2 * noise_scale(part))
