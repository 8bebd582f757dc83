"""Universities and a coordinator in memory, for tests of measuring: real requests and releases, one charge a question.

What a university answers hangs on its name and the question alone, and it answers a question once: whoever asks it again gets the
same release for nothing. Figures are put together as the coordinator would, without signatures.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from planned import ASKER, FED, NOW, SCHEMA, Campus, key, registry, statements_key

from collegium.asking import Ask, Prepared, prepare_questions
from collegium.bundle import Bundle, Verified
from collegium.errors import Offline
from collegium.layout import compile_layout
from collegium.log.merkle import EMPTY_ROOT
from collegium.log.note import encode_base64
from collegium.log.statement import statement_id
from collegium.question import Question
from collegium.registration import CatalogueEntry
from collegium.registry import Registry
from collegium.schema import parse_schema
from collegium.statements import (
    Accounts,
    Blob,
    Details,
    LogPlace,
    Missing,
    PartNoise,
    RegistryView,
    Release,
    UsedRelease,
)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "indicators.md"
PROVINCES = {"east": "31", "west": "51", "south": "44"}


def example_catalogue() -> str:
    """The one that the document explains: five indicators for universities, six for disciplines."""
    found = re.search(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


class Country:
    """What `measure` needs of a `Federation`. `down` are the universities that do not answer; `fails` is called at every step."""

    def __init__(self, fails: Callable[[str], None] = lambda step: None) -> None:
        self.registry = _registry()
        self.schema = parse_schema(SCHEMA.read_text(encoding="utf-8"))
        self.fails = fails
        self.time = float(NOW)
        self.down: set[str] = set()
        self.logged: dict[str, Prepared] = {}
        self.charged: dict[tuple[str, str], int] = {}
        self.released: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    def now(self) -> float:
        return self.time

    def prepare_questions(self, pairs: Any, **settings: Any) -> Prepared:
        return prepare_questions(Ask(**settings), pairs, self.registry, statements_key(ASKER), ASKER, now=self.time)

    def hand_in(self, prepared: Prepared, *, deadline: float, on_progress: object = None) -> None:
        self.fails("before it is handed in")
        if prepared.request.expiry <= self.time:
            raise Offline("expired", place=prepared.id)
        self.logged[prepared.id] = prepared
        self._ask(prepared)
        self.fails("after it is handed in")

    def result(self, request: str, *, refresh: bool, wait: float) -> SimpleNamespace:
        self.fails("before the result")
        prepared = self.logged[request]
        if refresh:
            self._ask(prepared)
        bundle = Bundle(request=prepared.note)
        figures = []
        for question in prepared.questions:
            used, missing = [], []
            for node in sorted(PROVINCES):
                note, payload = self.released.get((node, question.digest), (b"", b""))
                if note:
                    bundle.add("release", note)
                    bundle.add("blob", payload)
                    used.append(UsedRelease(node=node, sha256=statement_id(note)))
                else:
                    missing.append(Missing(node=node, reason="offline"))
            accounts = Accounts(releases=tuple(used), missing=tuple(missing))
            indicator = SimpleNamespace(registry=SimpleNamespace(size=self.registry.size))
            layout = compile_layout(question, self.schema)
            figures.append(SimpleNamespace(question=question, layout=layout, indicator=indicator, accounts=accounts))
        details = Details.from_blob(prepared.details, prepared.request.details)
        verified = Verified(prepared.id, prepared.request, details, cast(Any, tuple(figures)), 0)
        return SimpleNamespace(verified=verified, bundle=bundle)

    def save(self, answer: SimpleNamespace, path: Path) -> None:
        self.fails("before the bundle")
        path.write_bytes(b"".join([answer.bundle.request, *answer.bundle.releases]))
        self.fails("after the bundle")

    def _ask(self, prepared: Prepared) -> None:
        for question in {question.digest: question for question in prepared.questions}.values():
            for node in sorted(PROVINCES.keys() - self.down):
                if (node, question.digest) not in self.released:
                    self.charged[node, question.digest] = question.rho
                    self.released[node, question.digest] = self._release(node, question, prepared.id)

    def _release(self, node: str, question: Question, request: str) -> tuple[bytes, bytes]:
        layout = compile_layout(question, self.schema)
        seed = hashlib.sha256(f"{node} {question.digest}".encode()).digest()
        payload = np.random.default_rng(list(seed)).integers(200, 900, layout.length).astype("<i8").tobytes()
        release = Release(
            log=LogPlace(origin=f"{FED}/{node}", index=5),
            registry=RegistryView(size=0, root=encode_base64(EMPTY_ROOT)),
            time=NOW,
            request=request,
            number=0,
            question=question.digest,
            snapshot="0" * 16,
            schema_id=self.schema.id,
            decision=4,
            parts=tuple(PartNoise(cells=part.width, scale="1.0") for part in layout.parts),
            payload=Blob(sha256=hashlib.sha256(payload).hexdigest(), size=len(payload)),
        )
        return release.sign(statements_key(node)), payload


def _registry() -> Registry:
    made = registry([Campus(node, province) for node, province in PROVINCES.items()])
    text = example_catalogue()
    entry = CatalogueEntry(name="example", version=1, fits="higher-education/1", toml=text, time=9)
    made.extend([entry.sign(key(f"{FED}/registry/statements"))])
    return made
