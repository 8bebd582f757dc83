"""The registry key stays apart: `serve` works without it, never opens it, and cannot invent anybody.

The attack: the whole serving machine is taken over, with every file in its home. Success of the attack would be a registry entry
that another party's `Registry` accepts.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from collegium.errors import Invalid, NotVerified
from collegium.keys import invitation_name, load_signer, log_name, statements_name, witness_name
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.registration import Invitation, Party, Revocation
from collegium.registry import Registry
from collegium_coordinator.config import Home, Listen, Public
from collegium_coordinator.registrar import init
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store


def test_the_key_is_made_apart_from_the_home(federation: Any) -> None:
    key = (federation.registry_folder / "registry").read_text().split(" ")[1].strip()
    seed = base64.b64decode(key)
    assert len(seed) == 32
    for path in federation.home.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert seed not in content, path
            assert key.encode() not in content, path
    assert (federation.registry_folder / "registry").stat().st_mode & 0o777 == 0o600


def test_init_refuses_a_registry_directory_inside_the_home(tmp_path: Path, federation: Any, schema_text: str) -> None:
    home = Home(tmp_path / "other")
    with pytest.raises(Invalid, match="must not lie"):
        init(
            home,
            home.path / "keys" / "registry",
            federation="demo",
            schema=schema_text,
            delta="1e-6",
            listen=Listen(),
            public=Public(main="a:1", enrolment="a:2", hosts=("a",)),
            clock=federation.clock,
        )
    assert not home.path.exists()


def test_a_federation_lives_with_the_registry_directory_gone(federation: Any) -> None:
    """Invitations are made first; then the key leaves the machine, and everything else goes on: joining, asking, restarting."""

    async def run() -> None:
        tokens = {name: federation.invite("node" if name == "u1" else "researcher", name) for name in ("u1", "alice")}
        shutil.rmtree(federation.registry_folder)
        async with federation.serving(), AsyncExitStack() as stack:
            federation.invite = lambda _role, name, **_: tokens[name]
            node, alice = await federation.node("u1"), await federation.researcher("alice")
            await stack.enter_async_context(federation.link(node))
            await federation.all_connected(node)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            assert (await federation.ask(stub, alice.request(await alice.registry(stub), ["u1"]))).released == 1
        async with federation.serving() as coordinator:
            assert coordinator.registry.registry.party("u1").role == "node"

    asyncio.run(run())


def test_the_serve_process_opens_nothing_of_the_registrar(federation: Any) -> None:
    """A real process: the registrar's code is not even loaded, and the key file is never opened (audited by the interpreter)."""
    script = """
import asyncio, json, os, signal, sys, threading
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from collegium_coordinator.config import Home, Listen
from collegium_coordinator.serve import serve
def started(ports):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
asyncio.run(serve(Home(Path(sys.argv[1])), Listen(main="127.0.0.1:0", enrolment="127.0.0.1:0"), started=started))
touched = [name for name in opened if sys.argv[2] in name]
print(json.dumps({"touched": touched, "registrar": "collegium_coordinator.registrar" in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(federation.home.path), str(federation.registry_folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"touched": [], "registrar": False}


class TakenOver:
    """Everything a serving coordinator holds, in the hands of an attacker."""

    def __init__(self, federation: Any) -> None:
        self.home = federation.home
        self.log = load_signer(self.home.registry_log_key)
        self.statements = load_signer(self.home.statements_key)
        self.own_log = load_signer(self.home.log_key)
        self.registry_name = statements_name("demo", "registry")
        store = Store(self.home.database)
        self.entries = [bytes(row[0]) for row in store.rows("SELECT entry FROM registry ORDER BY idx")]
        store.close()

    def checkpoint(self, entries: list[bytes]) -> bytes:
        """A perfectly good checkpoint over whatever he likes: he holds the registry's log key."""
        tree = Frontier([leaf_hash(entry) for entry in entries])
        return sign_checkpoint(self.log.name, tree.size, tree.root(), self.log)


def _invitation(signer: Signer, one_time: Signer, role: str = "researcher") -> bytes:
    return Invitation(
        role=role,  # type: ignore[arg-type]
        name="mallory",
        facts={"province": "11"} if role == "node" else {},
        enrolment=0,
        expiry=2**40,
        key=one_time.vkey,
        time=1,
    ).sign(signer)


def _forgeries(taken: TakenOver) -> dict[str, list[bytes]]:
    one_time = Signer.generate(invitation_name("demo", "mallory"))
    own = Signer.generate(statements_name("demo", "mallory"))
    own_registry = Signer.generate(taken.registry_name)
    renamed = Signer.from_seed(taken.registry_name, taken.statements.seed)
    forged: dict[str, list[bytes]] = {}
    signers = {
        "his own key under the registry's name": own_registry,
        "the coordinator's statement key": taken.statements,
        "the coordinator's statement key renamed": renamed,
        "the registry's log key": taken.log,
        "the coordinator's log key": taken.own_log,
    }
    for name, signer in signers.items():
        for role in ("node", "researcher"):
            invitation = _invitation(signer, one_time, role)
            party = Party(
                invitation=statement_id(invitation),
                role=role,  # type: ignore[arg-type]
                name="mallory",
                statements=own.vkey,
                log=Signer.generate(log_name("demo", "mallory")).vkey if role == "node" else None,
                cosigner=CosignerSigner.generate(witness_name("demo", "mallory")).vkey if role == "node" else None,
                time=2,
            ).sign(one_time, own)
            forged[f"{role} invited with {name}"] = [invitation, party]
        forged[f"revocation with {name}"] = [Revocation(name="u1", time=3, reason="").sign(signer)]
    lonely = Party(invitation="ab" * 32, role="researcher", name="mallory", statements=own.vkey, time=2).sign(one_time, own)
    forged["party without invitation"] = [lonely]
    return forged


def test_a_taken_over_coordinator_can_invent_neither_researcher_nor_node(federation: Any) -> None:
    async def join() -> None:
        async with federation.serving():
            await federation.node("u1")

    asyncio.run(join())
    taken = TakenOver(federation)
    for entries in _forgeries(taken).values():
        everybody = Registry(federation.founded.registry_vkey)
        everybody.extend(taken.entries, taken.checkpoint(taken.entries))
        for attempt in (entries[:1], entries):
            with pytest.raises((NotVerified, Invalid)):
                everybody.extend(attempt, taken.checkpoint([*taken.entries, *attempt]))
        assert everybody.size == len(taken.entries)


def test_a_second_redemption_with_the_one_time_key_is_no_way_in(federation: Any) -> None:
    """A token that passed through the coordinator's operator: the party that redeemed it first stays the party."""
    from collegium.token import parse_token

    token = parse_token(federation.invite("researcher", "alice"))
    taken = TakenOver(federation)
    own = [Signer.generate(statements_name("demo", "alice")) for _ in range(2)]
    first, second = (
        Party(invitation=statement_id(token.invitation), role="researcher", name="alice", statements=s.vkey, time=1).sign(
            token.one_time, s
        )
        for s in own
    )
    registry = Registry(federation.founded.registry_vkey)
    registry.extend([*taken.entries, first])
    with pytest.raises(NotVerified):
        registry.extend([second])
    assert registry.party("alice").statements.vkey == own[0].vkey


def test_a_database_with_a_forged_registry_is_not_served(federation: Any) -> None:
    taken = TakenOver(federation)
    invitation = _invitation(taken.statements, Signer.generate(invitation_name("demo", "mallory")))
    store = Store(federation.home.database)
    with store.transaction() as db:
        checkpoint = taken.checkpoint([*taken.entries, invitation])
        db.execute("INSERT INTO registry VALUES (2, ?, ?, ?)", (invitation, leaf_hash(invitation), checkpoint))
    with pytest.raises(NotVerified):
        RegistryLog(store, federation.founded.registry_vkey, taken.log)
    store.close()


def test_serve_stops_on_sigterm_and_refuses_to_run_twice(federation: Any) -> None:
    command = [
        sys.executable,
        "-m",
        "collegium_coordinator",
        "serve",
        "--home",
        str(federation.home.path),
        "--listen",
        "127.0.0.1:0",
        "--enrol",
        "127.0.0.1:0",
    ]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("Serving on port")
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert "already" in second.stderr
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=30) == 0
