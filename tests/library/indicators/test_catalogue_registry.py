"""Catalogues in the registry: signed, numbered, for a schema that is there; what they mean is not the registry's to judge."""

from __future__ import annotations

import pytest

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.note import Signer
from collegium.log.statement import sign_statement
from collegium.registration import CatalogueEntry, Federation, SchemaEntry, read_registration
from collegium.registry import Registry
from collegium.tls import make_ca

FED = "example"
CA = make_ca(FED, clock=lambda: 1_700_000_000.0)[0].decode()
SCHEMA = """
name = "small"
version = 1
title.en = "small"
units.student.title.en = "student"
[datasets.graduate]
title.en = "Graduates"
unit = "student"
person = "id"
columns.male = { type = "boolean", title.en = "male" }
"""


def key(name: str, number: int) -> Signer:
    return Signer.from_seed(name, number.to_bytes(32, "big"))


TOP = key(f"{FED}/registry/statements", 1)
COORDINATOR = key(f"{FED}/coordinator/statements", 3)


def opened(*more: bytes) -> Registry:
    keys = {
        "registry": TOP.vkey,
        "registry_log": key(f"{FED}/registry", 2).vkey,
        "coordinator": COORDINATOR.vkey,
        "coordinator_log": key(f"{FED}/coordinator", 4).vkey,
    }
    registry = Registry(TOP.vkey)
    first = Federation(federation=FED, ca=CA, delta="1e-6", time=1, **keys).sign(TOP)
    registry.extend([first, SchemaEntry(name="small", version=1, toml=SCHEMA, time=2).sign(TOP), *more])
    return registry


def entry(version: int = 1, *, name: str = "higher", fits: str = "small/1", toml: str | None = None, signer: Signer = TOP) -> bytes:
    text = toml if toml is not None else f'name = "{name}"\nversion = {version}\nschema = "{fits}"\n'
    return CatalogueEntry(name=name, version=version, fits=fits, toml=text, time=3).sign(signer)


def test_versions_are_kept_in_order_and_catalogues_apart() -> None:
    registry = opened(entry(1), entry(1, name="other"), entry(3))
    assert list(registry.catalogues) == ["higher/1", "other/1", "higher/3"]
    assert registry.catalogues["higher/3"].toml.startswith('name = "higher"\nversion = 3')
    assert registry.size == 5


def test_what_the_form_of_a_catalogue_will_be_does_not_lock_a_registry() -> None:
    later = 'name = "higher"\nversion = 1\nschema = "small/1"\nkeys_of_the_future = [1, 2]\n'
    assert "higher/1" in opened(entry(toml=later)).catalogues


@pytest.mark.parametrize(
    ("more", "error", "text"),
    [
        ([entry(signer=COORDINATOR)], NotVerified, "is not signed by"),
        ([entry(1), entry(1, toml='name = "higher"\nversion = 1\nschema = "small/1"\n#\n')], NotVerified, "higher number than all"),
        ([entry(3), entry(2)], NotVerified, "higher number than all before"),
        ([entry(fits="small/2")], NotVerified, "there is no schema small/2"),
        ([entry(fits="other/1")], NotVerified, "there is no schema other/1"),
        ([entry(toml='name = "higher"\nversion = 2\nschema = "small/1"\n')], NotVerified, "another catalogue than its text"),
        ([entry(toml='name = "lower"\nversion = 1\nschema = "small/1"\n')], NotVerified, "another catalogue than its text"),
        ([entry(toml='name = "higher"\nversion = 1\nschema = "small/2"\n')], NotVerified, "another catalogue than its text"),
        ([entry(toml='name = "higher"\nversion = true\nschema = "small/1"\n')], NotVerified, "another catalogue than its text"),
        ([entry(toml="=")], Invalid, "cannot be read"),
        ([entry(toml="version = " + "9" * 5000)], Invalid, "cannot be read"),
        ([entry(), entry()], NotVerified, "the same statement"),
    ],
)
def test_what_the_registry_refuses(more: list[bytes], error: type[CollegiumError], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        opened(*more)
    assert caught.value.place.startswith(f"registry entry {1 + len(more)}")


def test_a_refused_entry_leaves_the_registry_as_it_was() -> None:
    registry = opened(entry(2))
    with pytest.raises(NotVerified):
        registry.extend([entry(3), entry(1)])
    assert (registry.size, list(registry.catalogues)) == (3, ["higher/2"])


def test_an_unknown_part_of_the_entry_is_refused() -> None:
    body = {"what": "catalogue", "name": "a", "version": 1, "fits": "b/1", "toml": "", "time": 1}
    assert isinstance(read_registration(sign_statement("registration", body, TOP)), CatalogueEntry)
    for wrong in ({"more": 1}, {"version": 0}, {"fits": "b"}, {"name": "A"}, {"time": -1}):
        with pytest.raises(Invalid):
            read_registration(sign_statement("registration", body | wrong, TOP))
