"""A trustee in a federation: it joins, announces its key once witnesses have confirmed its log, is a witness by its role, restarts,
and signs nothing when it was restored from a backup.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from realtrustees import WAIT, World

from collegium.errors import CollegiumError, Failed
from collegium.keys import load_signer
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import open_cosignatures
from collegium.log.merkle import EMPTY_ROOT
from collegium.party.alone import alone
from collegium.party.join import replace
from collegium.party.mirrored import fetch_copy
from collegium.v1.witness_pb2 import CosignReply, CosignRequest
from collegium_coordinator.relay import call_witness
from collegium_trustee.backup import backup
from collegium_trustee.home import Home
from collegium_trustee.recover import replay
from collegium_trustee.status import look, sealing_of

NAMES = ("academy", "auditors", "bureau", "council", "zeal")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("trustees"), NAMES)
    yield made
    made.close()


async def ask_witness(world: World, witness: str, checkpoint: bytes) -> CosignReply:
    return await call_witness(world.coordinator.trustees, witness, CosignRequest(checkpoint=checkpoint, old_size=0))


def strangers(world: World, origin: str) -> list[str]:
    """Trustees that the registry has not made witnesses of a log."""
    return sorted(set(NAMES) - set(world.coordinator.registry.registry.witnesses_of(origin)[0]))


def test_the_coordinator_can_use_the_keys_of_three(world: World) -> None:
    three = world.run(lambda: world.coordinator.trustees.three(time.time() + 60, time.time() + WAIT))
    assert [each.party.name for each in three] == sorted(NAMES)[:3]
    for each in three:
        assert world.trustees[each.party.name].announced() == [each.body]
        assert world.trustees[each.party.name].events("sealing-key")
    status = look(world.trustees["bureau"].trustee)
    assert (status.may_sign, status.restored, status.needed, status.witnesses) == (True, False, 2, 3)
    assert status.sealing == world.trustees["bureau"].announced()[0].sealing


def test_it_cosigns_the_two_logs_of_the_federation_by_its_role(world: World) -> None:
    registry = world.coordinator.registry
    own = sign_checkpoint("demo/coordinator", 0, EMPTY_ROOT, load_signer(world.fed.home.log_key))  # it has no entry yet
    for origin, head in ((registry.origin, registry.head()), ("demo/coordinator", own)):
        stranger, *_ = strangers(world, origin)
        reply = world.run(lambda stranger=stranger, head=head: ask_witness(world, stranger, head))
        key = registry.registry.party(stranger).cosigner
        assert key in open_cosignatures(head + reply.cosignature, [key])


def test_it_cosigns_other_logs_only_when_it_is_assigned(world: World) -> None:
    journal = world.trustees["bureau"].trustee.journal
    head = journal.head().note
    for name in strangers(world, journal.origin):  # the owner itself is one
        with pytest.raises(CollegiumError):
            world.run(lambda name=name: ask_witness(world, name, head))
    for name in set(NAMES) - set(strangers(world, journal.origin)):
        reply = world.run(lambda name=name: ask_witness(world, name, head))
        assert reply.cosignature or reply.known_size == journal.head().size


def test_a_restart_goes_on_with_the_same_log_and_key(world: World) -> None:
    each = world.trustees["council"]
    announced, size = sealing_of(each.trustee).announced().note, each.trustee.journal.head().size
    world.run(each.stop)
    trustee = each.home.open(time.time)  # a command, while nobody serves: no witness has spoken to this process
    with pytest.raises(Failed, match="collegium-trustee serve") as refused:
        sealing_of(trustee).rotate()
    assert refused.value.reason == "not-confirmed"
    assert trustee.journal.head().size == size
    trustee.close()

    async def again() -> None:
        await each.start()
        await each.confirmed()

    world.run(again)
    assert sealing_of(each.trustee).announced().note == announced
    assert len(each.announced()) == 1
    assert each.trustee.journal.head().size >= size


def test_keys_are_replaced_and_the_log_goes_on(world: World) -> None:
    each, fed = world.trustees["academy"], world.fed
    vkey, size = each.trustee.journal.statements.vkey, each.trustee.journal.head().size

    async def run() -> None:
        await each.stop()
        text = await asyncio.to_thread(fed.invite, "trustee", "academy", replaces=True)
        token = dataclasses.replace(fed.at_home(text), service=f"127.0.0.1:{fed.ports.main}")
        await asyncio.to_thread(lambda: replace(each.home, token, proxy="", clock=time.time))
        await each.start()
        # The KEY that the old one has signed verifies nowhere any more: a new one is made.
        await fed.until(lambda: len(each.announced()) == 2, WAIT)

    world.run(run)
    assert each.trustee.journal.statements.vkey != vkey
    assert each.trustee.journal.head().size > size


def test_restored_from_a_backup_it_signs_and_cosigns_nothing_until_its_log_is_back(world: World, tmp_path: Path) -> None:
    fed, zeal, old = world.fed, world.trustees["zeal"], tmp_path / "old.db"

    async def lose() -> int:
        """A backup, then a key that it does not hold; the size of the log with it."""
        await asyncio.to_thread(backup, zeal.trustee, old)
        await asyncio.to_thread(sealing_of(zeal.trustee).rotate)
        size = zeal.trustee.journal.head().size
        await fed.until(lambda: zeal.trustee.quorum.confirmed_size() == size, WAIT)
        await world.coordinator.mirroring.read("zeal")
        await zeal.stop()
        return size

    size = world.run(lose)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{zeal.home.database}{suffix}").unlink(missing_ok=True)
    shutil.copy(old, zeal.home.database)

    async def restored() -> None:
        await zeal.start()
        await fed.until(lambda: zeal.trustee.permit.stopped is not None, WAIT)
        await fed.until(lambda: world.coordinator.trustees.connected("zeal"), WAIT)
        with pytest.raises(CollegiumError):
            await ask_witness(world, "zeal", world.coordinator.registry.head())
        await fed.until(lambda: bool(zeal.events("restored")), WAIT)

    world.run(restored)
    assert zeal.events("restored")[0]["remedy"] == "collegium-trustee recover"
    with pytest.raises(Failed, match="collegium-trustee recover"):
        sealing_of(zeal.trustee).ensure()
    assert zeal.trustee.journal.head().size < size
    assert not sealing_of(zeal.trustee).announced().note  # what nobody can open any more is announced to nobody
    world.run(zeal.stop)

    async def back() -> None:
        assert await asyncio.to_thread(recovered, zeal.home) > 0
        await zeal.start()
        await zeal.confirmed()
        reply = await ask_witness(world, "zeal", world.coordinator.registry.head())
        assert reply.cosignature or reply.known_size

    world.run(back)
    assert zeal.trustee.journal.head().size > size
    assert len({key.sealing for key in zeal.announced()}) == 3
    assert [each.kept for each in sealing_of(zeal.trustee).listing()] == [True, False, False]


def recovered(home: Home) -> int:
    """What `recover` does with the coordinator's copy."""
    with alone(home):
        trustee: Any = home.open(time.time)
        try:
            return replay(trustee, fetch_copy(trustee))
        finally:
            trustee.close()
