"""Figures that prove themselves: what the library takes from a coordinator, and the file that anybody verifies offline.

Counts as failure: a figure accepted without the coordinator's receipt, a changed byte that still verifies, an error that is not
ours, a file that needs the network, grpc or an account.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from collegium.bundle import Bundle, verify
from collegium.bundlefile import HEADER, read_bundle, registry_of, verify_file, write_bundle
from collegium.client import Federation as Client
from collegium.errors import CollegiumError, Failed, Invalid, NotVerified
from collegium.home import Home, Membership
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.note import Signer, decode_base64
from collegium.log.statement import statement_id
from collegium.log.trust import Trust
from collegium.registry import Registry
from collegium.trustfile import trust_of
from collegium_coordinator.indicator import national_table
from collegium_coordinator.registrar import Registrar

SQL = "SELECT sex, COUNT(*) AS graduates FROM graduate GROUP BY sex"


class Scene:
    def __init__(self, federation: Any, nodes: list[Any], home: Home) -> None:
        self.federation = federation
        self.nodes = nodes
        self.home = home

    def client(self) -> Client:
        return Client(self.home)

    async def blocking(self, work: Callable[[Client], Any]) -> Any:
        """The library is blocking; the coordinator runs in this thread's loop."""

        def run() -> Any:
            with self.client() as client:
                return work(client)

        return await asyncio.to_thread(run)

    async def ask(self) -> Any:
        return await self.blocking(lambda client: client.ask(SQL, rho="0.01", deadline=20.0))


def scene(federation: Any, play: Callable[[Scene], Any], *, nodes: int = 4, witnessed: bool = True) -> None:
    async def run() -> None:
        async with federation.serving(combine=national_table), AsyncExitStack() as stack:
            members = [await federation.node(f"u{n}", value=n) for n in range(1, nodes + 1)]
            alice = await federation.researcher()
            home = Home(federation.folder / "alice-home")
            home.path.mkdir()
            (home.path / "keys").symlink_to(alice.keys.folder)
            home.remember(
                Membership(
                    federation="demo",
                    name="alice",
                    registry_key=federation.founded.registry_vkey,
                    service=f"127.0.0.1:{federation.ports.main}",
                    enrolment=f"127.0.0.1:{federation.ports.enrolment}",
                    ca=federation.ca.decode(),
                )
            )
            for node in members:
                await stack.enter_async_context(federation.link(node))
            await federation.all_connected(*members)
            if witnessed:
                registrar: Registrar = federation.registrar()
                await asyncio.to_thread(registrar.assign_witnesses, 3)
                registrar.close()
            await play(Scene(federation, members, home))

    asyncio.run(run())


def saved(federation: Any, path: Path, **more: Any) -> tuple[Trust, Bundle, Registry]:
    """A bundle file of an honest federation, the trust file of a member, and what the member held."""
    held: list[Any] = []

    async def play(s: Scene) -> None:
        answer = await s.ask()
        assert answer.coverage.answered == len(s.nodes)
        # The registry's own quorum follows within moments; a reader with a trust file asks for it.
        size = s.federation.coordinator.registry.size
        assert await s.federation.coordinator.cosigning.confirmed("demo/registry", size, 10.0)
        await s.blocking(lambda client: client.save(answer, path))
        held.extend([await s.blocking(lambda client: trust_of(client.registry)), answer.bundle, answer.registry])

    scene(federation, play, **more)
    return held[0], held[1], held[2]


def test_a_saved_bundle_verifies_offline_with_and_without_a_trust_file(federation: Any, tmp_path: Path) -> None:
    path = tmp_path / "figure.bundle"
    trust, bundle, _ = saved(federation, path)
    assert trust.quorum is not None
    again = Trust.parse(trust.to_text().encode())
    assert again.to_text() == trust.to_text()
    checked, registry, read = verify_file(path, again)
    assert read == bundle
    assert checked.id == statement_id(bundle.request)
    assert registry.registry_key.vkey == federation.founded.registry_vkey
    assert verify_file(path)[0].signatures == checked.signatures
    # Every receipt is in it: of the request and the indicator, and of each node's decision and release.
    assert len(bundle.receipts) == 2 + 2 * 4


def test_a_trust_file_of_another_federation_does_not_believe_it(federation: Any, tmp_path: Path) -> None:
    path = tmp_path / "figure.bundle"
    trust, _, _ = saved(federation, path, witnessed=False)
    assert trust.quorum is None
    verify_file(path, trust)
    other = Signer.generate("demo/registry").verifier
    lines = [f"log {other.vkey}" if "demo/registry+" in line else line for line in trust.to_text().splitlines()]
    with pytest.raises(NotVerified, match="another federation"):
        verify_file(path, Trust.parse("\n".join(lines).encode() + b"\n"))
    own = Signer.generate("demo/coordinator").verifier
    lines = [f"log {own.vkey}" if "demo/coordinator+" in line else line for line in trust.to_text().splitlines()]
    with pytest.raises(NotVerified, match="another key"):
        verify_file(path, Trust.parse("\n".join(lines).encode() + b"\n"))
    with pytest.raises(Invalid):
        verify_file(path, Trust.parse(b"quorum none\n"))


def test_a_registry_without_the_quorum_is_not_believed_by_a_trust_file_that_asks_for_it(federation: Any, tmp_path: Path) -> None:
    path = tmp_path / "figure.bundle"
    trust, bundle, registry = saved(federation, path)
    from collegium.keys import load_signer

    log = load_signer(federation.home.registry_log_key)
    bare = sign_checkpoint(log.name, registry.size, decode_base64(registry.root), log)
    registry.extend([], bare)
    write_bundle(path, bundle, registry)
    verify_file(path)
    with pytest.raises(NotVerified, match="confirmed"):
        verify_file(path, trust)


def test_every_part_is_needed_and_every_changed_byte_is_noticed(federation: Any, tmp_path: Path) -> None:
    path, other = tmp_path / "figure.bundle", tmp_path / "other.bundle"
    trust, _, _ = saved(federation, path)
    lines = path.read_bytes()[len(HEADER) : -1].split(b"\n")
    # A figure stands without its purpose (which may be erased), its table (which is computed) and receipts of nodes' logs.
    spare = {"blob", "receipt"}
    for number, line in enumerate(lines):
        part = json.loads(line)
        other.write_bytes(HEADER + b"\n".join(lines[:number] + lines[number + 1 :]) + b"\n")
        if part["kind"] in spare:
            continue
        with pytest.raises(CollegiumError):
            verify_file(other, trust)
    rng = random.Random(5)
    for number, line in enumerate(lines):
        part = json.loads(line)
        raw = base64.b64decode(part["data"])
        # More witnesses than the quorum may have cosigned, and a line of an unknown key is ignored: those lines are not needed.
        needed = raw.partition(b"/witness ")[0].rpartition(b"\n")[0] if b"/witness " in raw else raw
        for _ in range(3):
            changed = bytearray(raw)
            changed[rng.randrange(len(needed))] ^= 1 << rng.randrange(8)
            part["data"] = base64.b64encode(changed).decode()
            new = json.dumps(part, sort_keys=True, separators=(",", ":")).encode()
            other.write_bytes(HEADER + b"\n".join([*lines[:number], new, *lines[number + 1 :]]) + b"\n")
            with pytest.raises(Invalid):
                verify_file(other, trust)


def test_the_figures_need_the_coordinators_receipts(federation: Any, tmp_path: Path) -> None:
    _, bundle, registry = saved(federation, tmp_path / "figure.bundle")
    for note in (bundle.request, bundle.indicators[0]):
        kept = bundle.receipts.pop(statement_id(note))
        with pytest.raises(NotVerified, match="no receipt"):
            verify(bundle, registry)
        # Another statement's receipt does not help, nor does one of another log.
        for other in list(bundle.receipts.values()):
            bundle.receipts[statement_id(note)] = other
            with pytest.raises(NotVerified):
                verify(bundle, registry)
        bundle.receipts[statement_id(note)] = kept
    verify(bundle, registry)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"collegium/v1/bundle",
        HEADER,
        b"collegium/v2/bundle\n{}\n",
        HEADER + b"{}\n",
        HEADER + b"[]\n",
        HEADER + b'{"data":"","kind":"request"}',
        HEADER + b'{"data":"","kind":"unknown"}\n',
        HEADER + b'{"data":"!","kind":"request"}\n',
        HEADER + b'{"data":1,"kind":"request"}\n',
        HEADER + b'{"kind":"request","data":""}\n',
        HEADER + b'{"data":"aGVsbG8=","kind":"request"}\n{"data":"aGVsbG8=","kind":"request"}\n',
        HEADER + b'{"data":"","kind":"receipt"}\n',
        HEADER + b"\xff\xfe\n",
        HEADER + b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_bundle_is_refused_with_its_place(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.bundle"
    path.write_bytes(content)
    with pytest.raises(Invalid) as refused:
        read_bundle(path)
    assert str(path) in refused.value.place


def test_a_file_that_is_not_there_or_cannot_be_written(tmp_path: Path, federation: Any) -> None:
    with pytest.raises(Invalid):
        read_bundle(tmp_path / "none")
    registry = Registry(None)
    with pytest.raises(Failed):
        write_bundle(tmp_path / "a", Bundle(), registry)
    assert list(tmp_path.glob("*.partial")) == []
    del federation


def test_the_command_verifies_a_file_in_a_second_without_grpc_network_or_account(federation: Any, tmp_path: Path) -> None:
    path, policy = tmp_path / "figure.bundle", tmp_path / "trust.txt"
    trust, _, _ = saved(federation, path)
    policy.write_text(trust.to_text())
    script = """
import socket, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("grpc", "google"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())

def no(*_):
    raise OSError("no network")

socket.socket.connect = no
sys.argv = ["collegium", *sys.argv[1:]]
from collegium.cli import main
main()
"""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )

    done = run("verify", str(path), "--policy", str(policy), "--json")
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    assert (tree["verified"], tree["registry_trusted"], tree["figures"]) == (True, True, 1)
    shown = run("verify", str(path), "--figures")
    assert shown.returncode == 0, shown.stderr
    assert "graduates" in shown.stdout
    assert federation.founded.registry_vkey in shown.stdout  # nobody has vouched for it: a person compares it
    changed = path.read_bytes().replace(b'"kind":"release"', b'"kind":"blob"', 1)
    path.write_bytes(changed)
    refused = run("verify", str(path), "--policy", str(policy))
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: ")


# -- what the library takes ----------------------------------------------------------------------------------------------------


def test_the_library_refuses_figures_whose_receipts_the_coordinator_keeps_back(federation: Any) -> None:
    async def play(s: Scene) -> None:
        answer = await s.ask()
        indicators = s.federation.coordinator.indicators
        honest = indicators._cosigned.receipt
        indicators._cosigned.receipt = lambda _index: None
        with pytest.raises(NotVerified, match="no receipt"):
            await s.blocking(lambda client: client.result(answer.id, refresh=False, wait=0.0))
        # A receipt under the head alone, which no witness has cosigned.
        own = indicators._cosigned.own
        from collegium.log.receipt import make_receipt

        indicators._cosigned.receipt = lambda index: make_receipt(own.tree, index, own.head())
        with pytest.raises(NotVerified, match="witnesses"):
            await s.blocking(lambda client: client.result(answer.id, refresh=False, wait=0.0))
        indicators._cosigned.receipt = honest
        await s.blocking(lambda client: client.result(answer.id, refresh=False, wait=0.0))

    scene(federation, play)


def test_a_reader_whose_registry_is_older_than_the_witnesses_fetches_it_and_goes_on(federation: Any) -> None:
    async def play(s: Scene) -> None:
        answer = await s.ask()

        def stale(client: Client) -> Any:
            # The witnesses are assigned between this client's registry and its question for the result.
            registrar: Registrar = s.federation.registrar()
            registrar.revoke("u4", "test")
            registrar.assign_witnesses(3)
            registrar.close()
            time.sleep(1.5)  # the serving process has seen it
            return client.result(answer.id, refresh=False, wait=0.0)

        await s.blocking(stale)

    scene(federation, play, nodes=5)


def test_figures_that_wait_for_witnesses_are_fetched_again_by_themselves(federation: Any) -> None:
    async def play(s: Scene) -> None:
        answer = await s.ask()
        keys, _ = s.federation.coordinator.registry.registry.witnesses_of("demo/coordinator")
        for node in s.nodes:
            node.deaf = node.name in keys
        # Something new for the next figure to say, so that a new revision has to wait.
        with s.federation.coordinator.store.transaction() as db:
            db.execute("UPDATE answers SET verdict = 'failed', reason = 'offline' WHERE node = 'u1'")
        fetching = asyncio.ensure_future(s.blocking(lambda client: client.result(answer.id, refresh=False, wait=0.0)))
        await asyncio.sleep(2.5)
        assert not fetching.done()
        for node in s.nodes:
            node.deaf = False
        assert (await fetching).coverage.answered == 3

    scene(federation, play)


def test_registry_of_needs_a_whole_chain(federation: Any, tmp_path: Path) -> None:
    path = tmp_path / "figure.bundle"
    saved(federation, path, witnessed=False)
    file = read_bundle(path)
    registry_of(file, None)
    with pytest.raises(Invalid):
        registry_of(type(file)(file.registry[1:], file.checkpoint, file.bundle), None)
    with pytest.raises(Invalid):
        registry_of(type(file)(file.registry[:-1], file.checkpoint, file.bundle), None)
