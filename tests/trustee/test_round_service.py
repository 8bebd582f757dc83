"""The service on an event loop: its steps run beside it, and what goes wrong leaves in public words alone."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path
from typing import Any

import pytest
from nationalround import T
from onetrustees import World

import collegium
from collegium.errors import PUBLIC_TEXTS, Failed, NotVerified, Refused
from collegium.party.lines import Lines
from collegium.party.receipts import Receipts
from collegium.party.store import StorageBroken
from collegium.party.working import Working
from collegium.v1.node_pb2 import LearnRequest
from collegium.v1.trustee_pb2 import TrusteeStatusRequest
from collegium_trustee.service import RETRY, TrusteeService

ALL = range(6)


def served(world: World, at: int, broken: list[bool] | None = None) -> tuple[TrusteeService, Working, io.StringIO]:
    """The service as `serve` makes it; call it on the loop that it will run on."""
    party, stream = world.trustees[at].party, io.StringIO()
    lines = Lines(stream)
    working = Working(lines, threads=2, on_broken=lambda: broken.append(True) if broken is not None else None)
    return TrusteeService(party, Receipts(party.journal, party.quorum, wait=0.0), lines, working), working, stream


def test_a_whole_round_over_the_servicer(tmp_path: Path) -> None:
    """No write to a database on the loop's own thread, and one CHECK, by the one on whom the lot falls."""
    world = World(tmp_path)
    wrote: list[int] = []

    async def run() -> None:
        for each in world.trustees:
            each.again(lambda reached: wrote.append(threading.get_ident()))
        made, size = [served(world, at) for at in range(3)], len(world.founded.entries)
        wrote.clear()
        status = await made[0][0].Status(TrusteeStatusRequest(), None)
        assert (status.name, status.version, status.registry_size) == ("trustee-a", collegium.__version__, size)
        learn = LearnRequest(first=0, entries=world.founded.entries, checkpoint=world.founded.checkpoint())
        assert (await made[0][0].Learn(learn, None)).registry_size == size
        await asyncio.gather(*(service.Begin(world.begin_request(), None) for service, _, _ in made))
        world.submit(*ALL)
        replies = await asyncio.gather(*(s.Prepare(world.prepare_request(at, *ALL), None) for at, (s, _, _) in enumerate(made)))
        closed = world.country.close(ALL, [(each.prepare, each.prepared) for each in replies])
        unmasks = await asyncio.gather(*(service.Unmask(world.unmask_request(closed), None) for service, _, _ in made))
        checks: list[Any] = await asyncio.gather(
            *(service.Recompute(world.recompute_request(ALL, unmasks), None) for service, _, _ in made), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in checks) == ["NotVerified", "NotVerified", "RecomputeReply"]
        for _, working, _ in made:
            await working.drain()
        assert wrote
        assert threading.get_ident() not in wrote

    asyncio.run(run())


def test_errors_leave_in_words_of_the_public_table(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def run() -> None:
        service, working, stream = served(world, 0)
        with pytest.raises(NotVerified) as bad:
            await service.Begin(world.begin_request(request=world.ask(nonce="1" * 32)), None)
        assert (bad.value.text, bad.value.place, bad.value.reason) == (PUBLIC_TEXTS["bad-plan"], "", "bad-plan")
        world.trustees[0].now[0] = float(T + 4000)
        with pytest.raises(Refused) as over:
            await service.Begin(world.begin_request(), None)
        assert over.value.text == PUBLIC_TEXTS["round-over"]
        await working.drain()
        assert '"type": "NotVerified", "place": "rounds.py' in stream.getvalue()
        assert "this is not the request" not in stream.getvalue()

    asyncio.run(run())


def test_a_disk_that_refuses_ends_the_process(tmp_path: Path) -> None:
    world = World(tmp_path)

    def full(reached: str) -> None:
        if reached == "commit plan":
            raise OSError("full")

    async def run() -> None:
        world.trustees[0].again(full)
        broken: list[bool] = []
        service, working, _ = served(world, 0, broken)
        with pytest.raises(Failed) as told:
            await service.Begin(world.begin_request(), None)
        assert (told.value.reason, told.value.text) == ("failed", PUBLIC_TEXTS["failed"])
        await working.drain()
        assert broken
        with pytest.raises(StorageBroken):
            await service.keep()

    asyncio.run(run())


def test_the_house_is_kept_again_soon_when_the_log_may_not_sign_yet(tmp_path: Path) -> None:
    """After a start the witnesses have not confirmed it: no key, one line, another try a moment later."""
    world = World(tmp_path)
    one = world.trustees[0]
    witnesses = ("node-001", "node-002", "node-003")
    world.founded.assign(one.party.journal.origin, *witnesses)
    one.learn(world.founded)
    one.now[0] += 31 * 86_400  # another month
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            one.confirm(*witnesses)
        if len(slept) == 4:
            raise asyncio.CancelledError

    async def run() -> None:
        service, working, stream = served(world, 0)
        with pytest.raises(asyncio.CancelledError):
            await service.keep(every=77.0, sleep=sleep)
        await working.drain()
        assert slept == [RETRY, RETRY, RETRY, 77.0]
        assert stream.getvalue().count("not-kept") == 1

    asyncio.run(run())
    assert len(one.entries("national-key")) == 2
