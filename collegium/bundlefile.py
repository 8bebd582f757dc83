"""A bundle as a file: everything needed to verify one published figure, offline, with nothing but a trusted registry key.

    collegium/v1/bundle
    {"data":"<base64>","kind":"registry"}          one line for each entry of the registry, in order
    {"data":"<base64>","kind":"checkpoint"}        over them
    {"data":"<base64>","kind":"request"}           and so on: indicator, decision, release, withdrawal, statement, blob
    {"data":"<base64>","kind":"receipt","statement":"<statement id>"}

Every line but the first is canonical JSON. Nothing in the file is believed: `read` parses, `verify_file` verifies.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from collegium.bundle import KINDS, Bundle, Verified, verify
from collegium.errors import Failed, Invalid, NotVerified
from collegium.log.statement import canonical_json, parse_canonical, statement_id
from collegium.log.trust import Trust
from collegium.national.bundled import blobs_of
from collegium.registry import Registry
from collegium.statements import Indicator, Release, Request

__all__ = ["BundleFile", "read_bundle", "registry_of", "verify_file", "write_bundle"]

HEADER = b"collegium/v1/bundle\n"
MAX_FILE = 1 << 30  # bytes
MAX_LINE = 1 << 28


@dataclass(frozen=True, slots=True)
class BundleFile:
    """What a file holds. Nothing is verified."""

    registry: tuple[bytes, ...]
    checkpoint: bytes
    bundle: Bundle


def write_bundle(path: Path, bundle: Bundle, registry: Registry) -> int:
    """Write the file whole or not at all; its size in bytes. Replaces an older one. Raises Failed."""
    if registry.checkpoint is None:
        raise Failed("the registry has no checkpoint yet", remedy="Fetch the result again.")
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(HEADER)
            for line in _lines(bundle, registry, registry.checkpoint):
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return path.stat().st_size
    except OSError as error:
        raise Failed(f"cannot be written: {error.strerror}", place=str(path), remedy="Choose another place.") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_bundle(path: Path) -> BundleFile:
    """Parse a file strictly. Raises Invalid with the number of the first line that is wrong."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise Invalid("this is larger than any bundle", place=str(path))
        content = path.read_bytes()
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", place=str(path)) from None
    if not content.startswith(HEADER) or not content.endswith(b"\n"):
        raise Invalid("this is no bundle file, or it is cut off", place=str(path), remedy="Copy it again, whole.")
    registry: list[bytes] = []
    checkpoints: list[bytes] = []
    bundle = Bundle()
    for number, line in enumerate(content[len(HEADER) : -1].split(b"\n"), 2):
        place = f"{path}, line {number}"
        kind, data, statement = _parse(line, place)
        if kind == "registry":
            registry.append(data)
        elif kind == "checkpoint":
            checkpoints.append(data)
        elif kind == "request" and bundle.request:
            raise Invalid("there is a second request", place=place)
        elif kind in KINDS:
            bundle.add(kind, data, statement)
        else:
            raise Invalid(f"this version knows no part {kind!r}", place=place, remedy="Update it.")
    if not bundle.request or not registry or len(checkpoints) != 1:
        raise Invalid("a bundle has one request, a registry, and its one checkpoint", place=str(path))
    return BundleFile(tuple(registry), checkpoints[0], bundle)


def registry_of(file: BundleFile, trust: Trust | None) -> Registry:
    """The file's registry, verified entry by entry.

    With a trust file its checkpoint must be signed by the registry's log key of that file, and have the file's quorum; this pins
    all entries. Without one the registry is believed as it stands: the caller shows its key to a person, who compares it.

    Raises NotVerified or Invalid.
    """
    registry = Registry(None)
    registry.extend(list(file.registry), file.checkpoint)
    if trust is not None:
        log = registry.registry_log
        if trust.log(log.name) != log:
            raise NotVerified(
                "the bundle is of another federation than the trust file",
                place=log.name,
                remedy="Get the trust file of this bundle's federation, or do not believe the bundle.",
            )
        trust.check(file.checkpoint)
        own = registry.coordinator_log
        if own.name in trust.logs and trust.log(own.name) != own:
            raise NotVerified("the trust file has another key for this log", place=own.name)
    return registry


def verify_file(path: Path, trust: Trust | None = None) -> tuple[Verified, Registry, Bundle]:
    """Everything in the file, from the registry's first entry to the published table. Raises NotVerified or Invalid."""
    file = read_bundle(path)
    registry = registry_of(file, trust)
    verified = verify(file.bundle, registry)
    _nothing_else(file.bundle, registry)
    return verified, registry, file.bundle


def _nothing_else(bundle: Bundle, registry: Registry) -> None:
    """Every payload is named by a statement and every receipt is of one: nothing in the file can mislead who reads it."""
    indicators = [Indicator.read(note) for note in bundle.indicators]
    named = {Request.read(bundle.request).details}
    named |= {blob.sha256 for each in indicators for blob in (each.accounts, each.table)}
    named |= {Release.read(note).payload.sha256 for note in bundle.releases}
    named |= {sha256 for note in bundle.statements for sha256 in blobs_of(note, bundle.blobs, registry.registry_log.name)}
    notes = (bundle.request, *bundle.indicators, *bundle.decisions, *bundle.releases, *bundle.statements)
    if set(bundle.blobs) - named or set(bundle.receipts) - {statement_id(note) for note in notes}:
        raise NotVerified("the file holds a part that no statement in it names", place="bundle", remedy="Do not use it.")


def _lines(bundle: Bundle, registry: Registry, checkpoint: bytes) -> Iterator[bytes]:
    for entry in registry.entries:
        yield _line("registry", entry)
    yield _line("checkpoint", checkpoint)
    yield _line("request", bundle.request)
    for kind, notes in (
        ("indicator", bundle.indicators),
        ("decision", bundle.decisions),
        ("release", bundle.releases),
        ("withdrawal", bundle.withdrawals),
        ("statement", bundle.statements),
        ("blob", bundle.blobs.values()),
    ):
        for note in notes:
            yield _line(kind, note)
    for statement, receipt in bundle.receipts.items():
        yield _line("receipt", receipt, statement=statement)


def _line(kind: str, data: bytes, **more: str) -> bytes:
    return canonical_json({"kind": kind, "data": base64.b64encode(data).decode(), **more}) + b"\n"


def _parse(line: bytes, place: str) -> tuple[str, bytes, str]:
    if len(line) > MAX_LINE:
        raise Invalid("the line is too long", place=place)
    tree = parse_canonical(line, place=place)
    expected = {"kind", "data"} | ({"statement"} if isinstance(tree, dict) and tree.get("kind") == "receipt" else set())
    if not isinstance(tree, dict) or set(tree) != expected or not all(isinstance(value, str) for value in tree.values()):
        raise Invalid("a part has a kind and data, and a receipt the statement it is about", place=place)
    try:
        data = base64.b64decode(tree["data"], validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("the data are not base64", place=place) from None
    return tree["kind"], data, tree.get("statement", "")
