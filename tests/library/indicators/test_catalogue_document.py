"""The document for those who write a catalogue: its example is right, and it explains every key there is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel

from collegium.indicators import catalogue as form
from collegium.indicators.catalogue import parse_catalogue
from collegium.indicators.check import check
from collegium.indicators.expand import expand
from collegium.indicators.fit_measures import NEEDS
from collegium.schema import read_schema

HERE = Path(__file__).resolve().parents[3]
DOCUMENT = (HERE / "docs" / "indicators.md").read_text(encoding="utf-8")
MODELS = [each for each in vars(form).values() if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel]


def test_the_example_is_without_mistakes_and_makes_what_the_text_says() -> None:
    found = re.search(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    schema = read_schema(HERE / "examples" / "higher-education" / "schema.toml")
    assert check(found[1], schema) == []
    made = expand(parse_catalogue(found[1]), schema, 2026)
    assert Counter(leaf.level for leaf in made.leaves) == {"university": 5, "discipline": 6}
    assert "five indicators for universities and six for disciplines" in DOCUMENT


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_explained(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        key = field.alias or name
        assert re.search(rf"`(\[+)?{key}(\]+|\.NAME\])?`", DOCUMENT), f"{model.__name__}.{key}"


def test_every_kind_is_explained() -> None:
    assert all(f"`{kind}`" in DOCUMENT for kind in NEEDS)
