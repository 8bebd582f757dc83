"""Measuring a catalogue: one request, kept on disk before it is sent, so that a crash at either end costs nothing twice.

    folder/request.note  folder/details.json       the signed request, written first
    folder/bundle.collegium                        everything that proves the figures: `collegium verify` it
    folder/figures.json                            the edition; made from the bundle alone, so anybody makes the same bytes

The request says in words what was measured: catalogue, year, and the nano-rho allowed for each privacy unit. With the registry's
catalogue that is all that is needed to plan it again, and only a plan with the same questions reads the bundle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from collegium.errors import Invalid
from collegium.indicators.batch import Batch, plan_batch
from collegium.indicators.catalogue import parse_catalogue
from collegium.indicators.edition import Edition
from collegium.indicators.expand import expand
from collegium.indicators.leaf import Expanded
from collegium.indicators.measured import PROVINCE, edition_of
from collegium.keys import save_secret
from collegium.sql.release import Mode
from collegium.statements import Details, Request

if TYPE_CHECKING:
    from collegium.asking import Prepared
    from collegium.bundle import Bundle, Verified
    from collegium.client import Federation
    from collegium.registry import Registry
    from collegium.v1.federation_pb2 import Progress

__all__ = ["BUNDLE", "FIGURES", "Planned", "edition_again", "measure", "plan", "recall"]

REQUEST, DETAILS, BUNDLE, FIGURES = "request.note", "details.json", "bundle.collegium", "figures.json"
VALIDITY = 28 * 86_400  # seconds in which late universities may join

_WORDS = re.compile(
    r"MEASURE INDICATORS ([a-z][a-z0-9-]{0,62}/[1-9][0-9]{0,8}) FOR ([0-9]{4}) AT \(([a-z0-9_, ]+)\)( RELEASE NATIONAL)?"
)
NATIONAL = " RELEASE NATIONAL"


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be asked. `words` is how the request says it."""

    expanded: Expanded
    batch: Batch
    words: str


def plan(registry: Registry, catalogue: str, year: int, rho: Mapping[str, int], mode: Mode = "per_node") -> Planned:
    """The plan of the registry's catalogue NAME/VERSION for a year, at nano-rho by privacy unit; "" is every unit not named.

    In release mode national the sums are told apart by province where the registry's partition is by it: provinces add up.

    Raises Invalid: there is no such catalogue, it does not fit the newest schema, or the rho does not fit it.
    """
    entry = registry.catalogues.get(catalogue)
    if entry is None:
        known = ", ".join(registry.catalogues) or "none yet"
        remedy = f"It has: {known}. The coordinator signs one: collegium-coordinator catalogue FILE"
        raise Invalid(f"the registry has no catalogue {catalogue!r}", place="catalogue", remedy=remedy)
    model = parse_catalogue(entry.toml, place=catalogue)
    schema = registry.schemas.get(model.schema_id)
    if schema is None:
        raise Invalid(f"the catalogue is for schema {model.schema_id}, which the registry lacks", place=catalogue)
    expanded = expand(model, schema, year)
    counted = {leaf.privacy_unit for leaf in expanded.leaves} | {leaf.denominator_unit for leaf in expanded.leaves}
    each = {unit: rho[""] for unit in counted if unit is not None and "" in rho} | {unit: rho[unit] for unit in rho if unit}
    amounts = ", ".join(f"{unit} {each[unit]}" for unit in sorted(each))
    partition = registry.partition() if mode == "national" else None
    facts = (PROVINCE,) if partition is not None and partition.fact == PROVINCE else ()
    words = f"MEASURE INDICATORS {catalogue} FOR {year} AT ({amounts})" + (NATIONAL if mode == "national" else "")
    return Planned(expanded, plan_batch(expanded, schema, each, mode=mode, facts=facts), words)


def recall(registry: Registry, details: Details | None) -> Planned:
    """The plan that a request was made from, by its own words. Raises Invalid when it was made from none."""
    match = _WORDS.fullmatch(details.sql or "") if details is not None else None
    if match is None:
        remedy = "Only a request of `collegium indicators measure` has indicators."
        raise Invalid("this request measured no catalogue", place="bundle", remedy=remedy)
    rho = {}
    for amount in match[3].split(", "):
        unit, _, nano = amount.partition(" ")
        if not nano.isdecimal() or unit in rho:
            raise Invalid("the request's own words cannot be read", place="bundle")
        rho[unit] = int(nano)
    return plan(registry, match[1], int(match[2]), rho, "national" if match[4] else "per_node")


def measure(
    federation: Federation,
    planned: Planned,
    folder: Path,
    *,
    purpose: str = "",
    deadline: float = 600.0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Edition:
    """Measure, or go on measuring: hands in the folder's request, waits for the universities, keeps bundle and figures.

    1. The request is on disk, whole, before anybody sees it. Crash here: the next run hands in the same bytes, answered once.
    2. The coordinator logs it and asks; whoever answers later joins at the next run, free of charge.
    3. Bundle, then figures, each whole or not at all. Crash between: the next run makes them again from the same releases.

    Raises:
        Invalid: the folder holds a measurement at another cost, or of another catalogue. As `Federation.submit` otherwise.
    """
    # (1)
    prepared = _kept(federation, planned, folder)
    again = prepared is not None
    if prepared is None:
        pairs = list(zip(planned.batch.questions, planned.batch.views, strict=True))
        prepared = federation.prepare_questions(pairs, statements=(planned.words,), purpose=purpose, validity=VALIDITY)
        save_secret(folder / DETAILS, prepared.details, replace=True)
        save_secret(folder / REQUEST, prepared.note, replace=True)
    # (2)
    federation.hand_in(prepared, deadline=deadline, on_progress=on_progress)
    answer = federation.result(prepared.id, refresh=again, wait=deadline if again else 0.0)
    # (3)
    federation.save(answer, folder / BUNDLE)
    edition = edition_again(answer.verified, answer.bundle, federation.registry, planned)
    save_secret(folder / FIGURES, edition.to_bytes(), replace=True)
    return edition


def edition_again(verified: Verified, bundle: Bundle, registry: Registry, planned: Planned | None = None) -> Edition:
    """The edition of a verified bundle. Without `planned` by the request's own words. Raises Invalid, NotVerified."""
    planned = recall(registry, verified.details) if planned is None else planned
    return edition_of(verified, bundle, registry, planned.expanded, planned.batch, bundles=(BUNDLE,))


def _kept(federation: Federation, planned: Planned, folder: Path) -> Prepared | None:
    """The request that an earlier run left, or None. A request that has expired is made anew: what was answered is free again."""
    from collegium.asking import reopened

    try:
        note, details = (folder / REQUEST).read_bytes(), (folder / DETAILS).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", place=str(folder)) from None
    request = Request.read(note)
    words = Details.from_blob(details, request.details).sql
    if words != planned.words:
        raise Invalid(
            f"this folder measures something else: {words}",
            place=str(folder / REQUEST),
            remedy="Measure with the same catalogue, cost and release mode, or name another folder.",
        )
    if request.expiry <= federation.now():
        return None
    return reopened(note, details, federation.registry)
