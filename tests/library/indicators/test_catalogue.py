"""The shipped catalogue spells out exactly the indicators it is made after, and every one of them can be asked."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from collegium.indicators.catalogue import MAX_CATALOGUE, Catalogue, read_catalogue
from collegium.indicators.expand import expand
from collegium.indicators.leaf import Expanded, Leaf
from collegium.log.note import Signer
from collegium.question import Predicate, columns_of
from collegium.registration import CatalogueEntry
from collegium.schema import Schema, read_schema

HERE = Path(__file__).resolve().parents[3]
SHIPPED = HERE / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
DOMAIN = HERE.parent / "shared" / "domain"
YEAR = 2026

# Of id, names, meaning, unit and period of all 1,298: changes when any of them does, and then the version must change too.
DIGEST = "1eeecde8962d4e1ac386b8d49f0cae16f9710d1ab1ecc0021e5b3fc00bd5bbe1"


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read_schema(HERE / "examples" / "higher-education" / "schema.toml")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(SHIPPED)


@pytest.fixture(scope="module")
def expanded(catalogue: Catalogue, schema: Schema) -> Expanded:
    return expand(catalogue, schema, YEAR)


def test_it_expands_to_5_21_218_and_1080(expanded: Expanded) -> None:
    assert len(expanded.primaries) == 5
    assert len(expanded.secondaries) == 21
    assert Counter(leaf.level for leaf in expanded.leaves) == {"university": 218, "discipline": 1080}
    assert len({leaf.id for leaf in expanded.leaves}) == 1298
    assert {leaf.secondary for leaf in expanded.leaves} == {each.id for each in expanded.secondaries}
    assert all(leaf.primary == next(s.primary for s in expanded.secondaries if s.id == leaf.secondary) for leaf in expanded.leaves)


def test_its_expansion_is_the_one_that_was_published(expanded: Expanded) -> None:
    digest = hashlib.sha256()
    for leaf in sorted(expanded.leaves, key=lambda leaf: leaf.id):
        conditions = [each and each.model_dump(mode="json") for each in (leaf.where, leaf.numerator, leaf.denominator_where)]
        cells = [leaf.column, leaf.clip, leaf.cell, leaf.denominator_cell]
        texts = (leaf.title, leaf.unit, leaf.definition.numerator, leaf.definition.denominator, leaf.definition.population)
        words = [each and each.model_dump(mode="json") for each in texts]
        whole = [leaf.id, leaf.kind, leaf.dataset, leaf.period, *conditions, *cells, *words]
        digest.update(json.dumps(whole, ensure_ascii=False, sort_keys=True).encode())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize("level", ["university", "discipline"])
def test_every_leaf_is_the_row_of_the_domain_table(expanded: Expanded, level: str) -> None:
    file = DOMAIN / f"indicators_{level}.csv"
    if not file.exists():
        pytest.skip(f"the domain tables are not there ({file.parent.name}/{file.name})")
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = {row["id"]: row for row in csv.DictReader(text)}
    leaves = {leaf.id: leaf for leaf in expanded.leaves if leaf.level == level}
    assert leaves.keys() == rows.keys()
    for id, row in rows.items():
        leaf = leaves[id]
        theirs = {
            "level": leaf.level,
            "primary": leaf.primary,
            "secondary": leaf.secondary,
            "name_zh": leaf.title.zh,
            "name_en": leaf.title.en,
            "measure": leaf.measure,
            "kind": leaf.kind,
            "table": leaf.dataset,
            "privacy_unit": leaf.privacy_unit,
            "denominator_table": leaf.denominator_dataset or "",
            "dimension": leaf.dimension or "",
            "dimension_column": leaf.dimension_column or "",
            "dimension_value": leaf.value or "",
            "discipline_cat": leaf.discipline or "",
            "unit": leaf.unit.zh,
            "period": leaf.period,
        }
        assert theirs == {key: row[key] for key in theirs}, id
        assert expanded.max_rows[leaf.dataset] == int(row["contribution_bound"])


@pytest.mark.parametrize("name", ["primary", "secondary"])
def test_the_branches_are_those_of_the_domain_tables(expanded: Expanded, name: str) -> None:
    file = DOMAIN / f"indicators_{name}.csv"
    if not file.exists():
        pytest.skip(f"the domain tables are not there ({file.parent.name}/{file.name})")
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = {row["code"]: (row["name_en"], row["name_zh"]) for row in csv.DictReader(text)}
    branches = expanded.primaries if name == "primary" else expanded.secondaries
    assert {each.id: (each.title.en, each.title.zh) for each in branches} == rows


def test_columns_of_a_leaf_are_all_that_it_looks_at(expanded: Expanded, schema: Schema) -> None:
    for leaf in expanded.leaves:
        named = {(leaf.dataset, column) for column in _named(leaf.where, leaf.numerator, leaf.cell)}
        named |= {(leaf.dataset, leaf.column)} if leaf.column is not None else set()
        if leaf.denominator_dataset is not None:
            below = _named(leaf.denominator_where, None, leaf.denominator_cell)
            named |= {(leaf.denominator_dataset, column) for column in below}
        assert leaf.columns == named, leaf.id
        assert all(column in schema.datasets[dataset].columns for dataset, column in leaf.columns)


def _named(where: Predicate | None, numerator: Predicate | None, cell: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for predicate in (where, numerator):
        if predicate is not None:
            yield from columns_of(predicate)
    yield from (column for column, _ in cell)


def test_cells_are_of_the_schema_and_shares_leave_the_dimension_out(expanded: Expanded, schema: Schema) -> None:
    for leaf in expanded.leaves:
        for dataset, cell in ((leaf.dataset, leaf.cell), (leaf.denominator_dataset or leaf.dataset, leaf.denominator_cell)):
            for column, code in cell:
                assert code in schema.values(schema.datasets[dataset].columns[column]), leaf.id
        if leaf.kind == "share":
            assert leaf.denominator_cell == tuple(pair for pair in leaf.cell if pair[0] == leaf.discipline_column)
            assert len(leaf.cell) == len(leaf.denominator_cell) + 1
        if leaf.kind in ("ratio", "mean"):
            assert leaf.denominator_cell == leaf.cell
        assert (leaf.factor == 100) == (leaf.unit.en == "%")


def test_a_denominator_of_another_table_is_narrowed_where_it_has_the_dimension(expanded: Expanded) -> None:
    awarded = _leaf(expanded, "U-S07-006")  # doctoral students with an award, over doctoral students
    assert awarded.denominator_cell == awarded.cell == (("study_level", "1"),)
    changed = _leaf(expanded, "D01-S04-007")  # withdrawals in philosophy, over all students of philosophy
    assert changed.cell == (("change_type", "31"), ("discipline_cat", "01"))
    assert changed.denominator_cell == (("discipline_cat", "01"),)
    assert "withdrawal" not in changed.definition.denominator.en  # type: ignore[union-attr]


def test_every_name_and_definition_is_in_both_languages(expanded: Expanded) -> None:
    for leaf in expanded.leaves:
        texts = [leaf.title, leaf.unit, leaf.definition.numerator, leaf.definition.population]
        texts += [leaf.definition.denominator] if leaf.definition.denominator is not None else []
        for text in texts:
            assert text.en
            assert text.zh
            assert not any("一" <= letter <= "鿿" for letter in text.en), (leaf.id, text.en)
        ratio = leaf.kind not in ("count_distinct", "count", "sum")
        assert (leaf.definition.denominator is not None) == ratio
        assert any("一" <= letter <= "鿿" for letter in leaf.title.zh)
    titles = [(leaf.level, leaf.title.en) for leaf in expanded.leaves]
    assert len(set(titles)) == len(titles)


def test_the_year_is_bound_in_every_condition(catalogue: Catalogue, schema: Schema) -> None:
    one, other = expand(catalogue, schema, 2025), expand(catalogue, schema, 2026)
    entrants = [_leaf(each, "U-S01-001") for each in (one, other)]
    assert "2025" in repr(entrants[0].where)
    assert "2025" not in repr(entrants[1].where)
    assert repr(entrants[0].where).replace("2025", "2026") == repr(entrants[1].where)
    assert repr(entrants[0].where).count("2025") == 2  # the year of the data, and the year of entry


def test_it_fits_an_entry_of_the_registry(catalogue: Catalogue) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert len(text.encode()) <= MAX_CATALOGUE
    signer = Signer.generate("demo/registry/statements")
    entry = CatalogueEntry(name=catalogue.name, version=catalogue.version, fits=catalogue.schema_id, toml=text, time=1)
    assert len(entry.sign(signer)) <= 65_535  # and a text of the greatest length fits too: quotes and line ends double at most
    crowded = text + "#" * (MAX_CATALOGUE - len(text.encode()))
    assert len(entry.model_copy(update={"toml": crowded}).sign(signer)) <= 65_535


def _leaf(expanded: Expanded, id: str) -> Leaf:
    leaf = expanded.leaf(id)
    assert leaf is not None
    return leaf
