"""Real trustees on real tunnels to a real coordinator, all in this process: what `init`, `join` and `serve` make."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import io
import json
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from collegium.enrolment import redeem
from collegium.log.statement import statement_id
from collegium.national.statements import TrusteeKey
from collegium.party.alone import alone
from collegium.party.fetch import fetch_registry
from collegium.party.lines import Lines
from collegium.party.serving import Stop
from collegium_trustee.home import Home, Membership, Trustee
from collegium_trustee.init import init
from collegium_trustee.serve import serve_until
from collegium_trustee.status import sealing_of

WAIT = 30.0  # seconds that a busy machine may take for what takes one
T = TypeVar("T")


def small_federation(folder: Path) -> Any:
    """The coordinator's own test federation: found, invite, serve."""
    path = Path(__file__).parents[1] / "coordinator" / "conftest.py"
    spec = importlib.util.spec_from_file_location("coordinator_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    if spec.name not in sys.modules:
        sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[spec.name])
    return sys.modules[spec.name].Federation(folder)


class Served:
    """A trustee that can be served: `trustee` while it is."""

    def __init__(self, fed: Any, home: Home) -> None:
        self.fed, self.home = fed, home
        self.name = home.membership().name
        self._served = AsyncExitStack()
        self._opened: Trustee | None = None
        self._stream = io.StringIO()

    @property
    def trustee(self) -> Trustee:
        assert self._opened is not None
        return self._opened

    async def start(self) -> None:
        stack = AsyncExitStack()
        stack.enter_context(alone(self.home))
        self._opened = self.home.open(time.time, verify=True)
        stack.callback(self._opened.close)
        self._stream, stop = io.StringIO(), Stop()
        work = asyncio.ensure_future(serve_until(stop, self._opened, self.home.config(), Lines(self._stream), time.time))

        async def ended() -> None:
            stop()
            await work

        stack.push_async_callback(ended)
        self._served = stack

    async def stop(self) -> None:
        stack, self._served = self._served, AsyncExitStack()
        await stack.aclose()

    async def confirmed(self) -> None:
        """Wait until it may sign, and its sealing key can be used."""
        await self.fed.until(lambda: self.trustee.permit.confirmed, WAIT)
        await self.fed.until(lambda: bool(sealing_of(self.trustee).announced().note), WAIT)

    def announced(self) -> list[TrusteeKey]:
        """All that its log has announced, oldest first."""
        with self.trustee.store.read() as db:
            return [
                TrusteeKey.read(note)
                for (note,) in db.execute("SELECT note FROM entries WHERE kind = ? ORDER BY idx", (TrusteeKey.kind,)).fetchall()
            ]

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


class World:
    """A coordinator that serves, and trustees that are each other's witnesses. `run` goes on where the last one stopped."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.fed = small_federation(folder)
        self.trustees: dict[str, Served] = {}
        self._names = names
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.run(self._begin)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._runner.run(work())

    def close(self) -> None:
        self.run(self._stack.aclose)
        self._runner.close()

    async def _begin(self) -> None:
        self.coordinator = await self._stack.enter_async_context(self.fed.serving())
        for name in self._names:
            self.trustees[name] = Served(self.fed, await asyncio.to_thread(self._join, name))
        registrar = self.fed.registrar()
        await asyncio.to_thread(registrar.assign_witnesses, 3)
        registrar.close()
        for each in self.trustees.values():
            await each.start()
            self._stack.push_async_callback(each.stop)
        for each in self.trustees.values():
            await each.confirmed()

    def _join(self, name: str) -> Home:
        """What the command does, with the ports that the operating system gave."""
        home = Home(self.fed.folder / "trustees" / name)
        init(home.root)
        token = self.fed.at_home(self.fed.invite("trustee", name))
        redeem(token, home.keys, clock=time.time)
        home.remember(
            Membership(
                federation=token.federation, name=name, service="", enrolment=token.address, registry=token.registry,
                ca=token.ca.decode(), invitation=statement_id(token.invitation),
            )
        )  # fmt: skip
        self.at_home(home)
        trustee = home.open(time.time)
        try:
            fetch_registry(trustee)
            trustee.members.check_own()
        finally:
            trustee.close()
        return home

    def at_home(self, home: Home) -> None:
        """Write down on which port the coordinator listens."""
        home.remember(dataclasses.replace(home.membership(), service=f"127.0.0.1:{self.fed.ports.main}"))
