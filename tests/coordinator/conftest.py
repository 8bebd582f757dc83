"""A small federation on loopback: a real coordinator, fake nodes that sign real answers, a researcher.

The fake nodes are honest unless a test sets `spoil`, which changes an answer before it leaves. The table of a sum is a plain sum,
so that these tests are of the coordinator and not of the estimation.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakenode import FakeNode

from collegium.enrolment import Keys, redeem
from collegium.keys import load_signer
from collegium.log.note import Signer
from collegium.question import Bounds, Component, Question
from collegium.registry import Registry
from collegium.statements import Accounts, Details, Indicator, Request
from collegium.token import parse_token
from collegium.transport.channels import TlsFiles, client_channel
from collegium.v1.federation_pb2 import AskRequest, NodesRequest, RegistryRequest, RequestsRequest, ResultRequest
from collegium.v1.federation_pb2_grpc import FederationStub
from collegium_coordinator.config import Home, Listen, Public, read_config
from collegium_coordinator.registrar import Registrar, init
from collegium_coordinator.serve import Coordinator, serving
from collegium_coordinator.store import Store, no_fault

SCHEMA = """
name = "small"
version = 1
title = {en = "Small"}
[units.student]
title = {en = "student"}
[codes.sex]
1 = {en = "male"}
2 = {en = "female"}
[codes.province]
11 = {en = "Beijing"}
31 = {en = "Shanghai"}
[facts.province]
title = {en = "province"}
codes = "province"
[datasets.graduate]
title = {en = "graduates"}
unit = "student"
person = "student_id"
[datasets.graduate.columns.sex]
type = "category"
codes = "sex"
title = {en = "sex"}
"""


def plain_sum(layout: Any, _view: Any, _schema: Any, releases: Any, asked: Any) -> bytes:
    """Stands for collegium.combine: the summed tally as JSON."""
    total = np.zeros(layout.length, dtype="<i8")
    for release in releases:
        assert len(release.scales) == len(layout.parts)
        total += np.frombuffer(release.payload, dtype="<i8")
    tree = {"sum": total.tolist() if releases else None, "asked": [node.node for node in asked]}
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


class Researcher:
    """Builds, signs and sends requests."""

    def __init__(self, keys: Keys, ca: bytes, registry_key: str) -> None:
        self.keys = keys
        self.ca = ca
        self.signer: Signer = load_signer(keys.statements)
        self.name = self.signer.name.split("/")[1]
        self.registry_key = registry_key

    @asynccontextmanager
    async def line(self, port: int) -> AsyncIterator[Any]:
        chain, key = self.keys.tls()
        channel = client_channel(f"127.0.0.1:{port}", ca=self.ca, server="coordinator", me=TlsFiles(self.ca, chain, key))
        try:
            yield FederationStub(channel)
        finally:
            await channel.close()

    async def registry(self, stub: Any) -> Registry:
        registry = Registry(self.registry_key)
        reply = await stub.Registry(RegistryRequest(first=0))
        registry.extend(list(reply.entries), reply.checkpoint, first=0)
        return registry

    def request(self, registry: Registry, audience: list[str], /, **changes: Any) -> AskRequest:
        details = Details.of(changes.pop("purpose", "a test"))
        question = changes.pop("question", None) or question_of()
        now = int(time.time())
        body = {
            "researcher": self.name,
            "audience": tuple(sorted(audience)),
            "time": now,
            "expiry": now + 3600,
            "nonce": "0" * 32,
            "details": details.digest,
            "questions": (question,),
            "views": ({"measures": [{"label": "n", "kind": "value", "parts": [0]}], "columns": [{"measure": 0}], "facts": []},),
            "registry": registry.view(),
        } | changes
        return AskRequest(request=Request(**body).sign(self.signer), details=details.to_blob())


def question_of(rho: int = 10**7) -> Question:
    return Question(
        dataset="graduate",
        components=(Component(kind="people", rho=rho),),
        bounds=Bounds(max_groups=1, max_rows=1),
        schema_id="small/1",
    )


class Federation:
    """A founded federation in a folder, and what tests do with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "coordinator")
        self.registry_folder = folder / "registry-key"
        self.offset = 0.0  # added to the coordinator's clock
        self.founded = init(
            self.home,
            self.registry_folder,
            federation="demo",
            schema=SCHEMA,
            delta="1e-6",
            listen=Listen(main="127.0.0.1:0", enrolment="127.0.0.1:0"),
            public=Public(main="127.0.0.1:1", enrolment="127.0.0.1:1", hosts=("127.0.0.1", "localhost")),
            clock=self.clock,
        )
        self.ca = self.home.ca_certificate.read_bytes()
        self.ports: Any = None
        self.coordinator: Any = None

    def clock(self) -> float:
        return time.time() + self.offset

    def registrar(self) -> Registrar:
        return Registrar(self.home, self.registry_folder, clock=self.clock)

    def invite(self, role: str, name: str, **more: Any) -> str:
        registrar = self.registrar()
        try:
            facts = {"province": "11"} if role == "node" else {}
            return registrar.invite(
                role, name, **({"facts": facts, "enrolment": 100 if role == "node" else 0, "expires": 3600} | more)
            )
        finally:
            registrar.close()

    def revoke(self, name: str) -> None:
        registrar = self.registrar()
        try:
            registrar.revoke(name, "test")
        finally:
            registrar.close()

    @asynccontextmanager
    async def serving(self, **asking: Any) -> AsyncIterator[Any]:
        config = read_config(self.home)
        settings = {"deadline_seconds": 10.0, "again_seconds": 0.2, "reconnect_seconds": 5.0} | asking
        combine, fault = settings.pop("combine", plain_sum), settings.pop("fault", no_fault)
        national = config.national.model_copy(update=settings.pop("national", {}))
        config = config.model_copy(update={"asking": config.asking.model_copy(update=settings), "national": national})
        with serving(self.home):
            coordinator = Coordinator(self.home, config, combine=combine, clock=self.clock, fault=fault)
            self.ports = await coordinator.start(config.listen)
            self.coordinator = coordinator
            try:
                yield coordinator
            finally:
                await coordinator.stop(grace=0.2)

    async def join(self, role: str, name: str, **more: Any) -> Keys:
        """Invite and redeem over the real enrolment port."""
        token = await asyncio.to_thread(self.invite, role, name, **more)
        keys = Keys(self.folder / "parties" / name)
        await asyncio.to_thread(redeem, self.at_home(token), keys, clock=time.time)
        return keys

    def at_home(self, token: str) -> Any:
        """The token with the port that the operating system gave."""
        return dataclasses.replace(parse_token(token), address=f"127.0.0.1:{self.ports.enrolment}")

    async def node(self, name: str, **more: Any) -> FakeNode:
        value = more.pop("value", 1)
        return FakeNode(await self.join("node", name, **more), self.founded.registry_vkey, value=value)

    async def researcher(self, name: str = "alice") -> Researcher:
        return Researcher(await self.join("researcher", name), self.ca, self.founded.registry_vkey)

    def link(self, node: FakeNode) -> Any:
        return node.connected(self.ports.main, self.ca)

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for a state; fails when it does not come."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "the state did not come"
            await asyncio.sleep(0.02)

    async def all_connected(self, *nodes: FakeNode) -> None:
        await self.until(lambda: all(self.coordinator.nodes.connected(node.name) for node in nodes))

    async def ask(self, stub: Any, request: AskRequest) -> Any:
        """The last progress."""
        last = None
        async for progress in stub.Ask(request):
            last = progress
        return last

    def seen(self, parts: dict[str, list[Any]]) -> Seen:
        """The first question's indicator in a bundle, verified, with its accounts."""
        return Seen(parts, Indicator.open(parts["indicator"][0], [self.coordinator.registry.registry.coordinator]))

    @staticmethod
    def read(parts: dict[str, list[Any]]) -> Seen:
        """The same without the signature: the coordinator is another process."""
        return Seen(parts, Indicator.read(parts["indicator"][0]))

    async def result(self, stub: Any, identity: str, **more: Any) -> dict[str, list[Any]]:
        """All parts of a bundle by kind."""
        parts: dict[str, list[Any]] = {}
        async for part in stub.Result(ResultRequest(request_id=identity, **({"wait_seconds": 5.0} | more))):
            kind = part.WhichOneof("part")
            parts.setdefault(kind, []).append(getattr(part, kind))
        return parts

    def open_store(self) -> Store:
        """The database of a coordinator that is not serving."""
        return Store(self.home.database)


class Seen:
    """A signed indicator together with the accounts it names."""

    def __init__(self, parts: dict[str, list[Any]], indicator: Indicator) -> None:
        blobs = {hashlib.sha256(blob).hexdigest(): blob for blob in parts["blob"]}
        self.indicator = indicator
        self.accounts = Accounts.from_blob(blobs[indicator.accounts.sha256], indicator)
        self.releases = self.accounts.releases
        self.missing = self.accounts.missing

    def __getattr__(self, name: str) -> Any:
        return getattr(self.indicator, name)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path)


@pytest.fixture
def messages() -> Any:
    """Message classes for tests that call the service directly."""

    class Messages:
        nodes = NodesRequest
        requests = RequestsRequest
        registry = RegistryRequest
        result = ResultRequest
        ask = AskRequest

    return Messages


@pytest.fixture
def make_question() -> Callable[..., Question]:
    return question_of


@pytest.fixture
def schema_text() -> str:
    return SCHEMA
