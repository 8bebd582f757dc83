"""A tunnel out of a network that lets nobody in: a network namespace of its own, closed to strangers by its firewall."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tunnelparts.py, shared by the tests of this folder

from tunnelparts import Authority, coordinator, until


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


FIREWALLED_NODE = """
import asyncio, sys
from functools import partial
from pathlib import Path
from collegium.transport.channels import TlsFiles, client_channel
from collegium.transport.dial import dial_once

async def answer(payload, deadline):
    return payload[::-1]

async def main():
    async def accept(reader, writer):
        writer.write(b"reached")
        writer.close()
    await asyncio.start_server(accept, "0.0.0.0", 7444)
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    files = TlsFiles(*(Path(sys.argv[2], name).read_bytes() for name in ("ca", "chain", "key")))
    channel = partial(client_channel, sys.argv[1], ca=files.ca, server="coordinator", me=files)
    await dial_once(channel, {"/reverse": answer}, lambda endpoint: print("open", flush=True))

asyncio.run(main())
"""
OUR_PORT = 17443


class Campus:
    """A network namespace joined to ours by a cable; `close` shuts it for all packets but those from the coordinator's port."""

    def __init__(self) -> None:
        tag = uuid.uuid4().hex[:6]
        self.space, self._outer, self._inner = f"campus{tag}", f"co{tag}", f"ci{tag}"
        self.ours, self.theirs = f"10.213.{int(tag[:2], 16)}.1", f"10.213.{int(tag[:2], 16)}.2"

    def lay_cable(self) -> None:
        self._ip("link", "add", self._outer, "type", "veth", "peer", "name", self._inner, "netns", self.space)
        self._ip("addr", "add", f"{self.ours}/24", "dev", self._outer)
        self._ip("link", "set", self._outer, "up")
        self._inside("addr", "add", f"{self.theirs}/24", "dev", self._inner)
        self._inside("link", "set", self._inner, "up")
        self._inside("rule", "add", "prio", "100", "lookup", "local")
        self._inside("rule", "del", "prio", "0")  # the kernel's own first rule would let everything in before ours are read

    def close(self) -> None:
        came_in = ["iif", self._inner]
        self._inside("rule", "add", "prio", "1", *came_in, "ipproto", "tcp", "sport", str(OUR_PORT), "lookup", "local")
        self._inside("rule", "add", "prio", "2", *came_in, "blackhole")

    def make(self) -> None:
        self._ip("netns", "add", self.space)

    def remove(self) -> None:
        for words in (["netns", "del", self.space], ["link", "del", self._outer]):
            subprocess.run(["ip", *words], check=False, capture_output=True, timeout=20)

    def _inside(self, *words: str) -> None:
        self._ip("-n", self.space, *words)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@pytest.fixture
def campus() -> Iterator[Campus]:
    if shutil.which("ip") is None:
        pytest.skip("needs the command ip (iproute2) to make a network of its own")
    made = Campus()
    try:
        made.make()
    except subprocess.CalledProcessError:
        pytest.skip("this user may not make network namespaces")
    try:
        try:
            made.lay_cable()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this kernel cannot lay the cable: {error.stderr.decode(errors='replace').strip()[:200]}")
        yield made
    finally:
        made.remove()


async def knock(address: str) -> bytes:
    """What a stranger hears who connects to the campus."""
    reader, writer = await asyncio.open_connection(address, 7444)
    heard = await reader.read()
    writer.close()
    return heard


def test_a_node_behind_a_firewall_that_lets_nobody_in(authority: Authority, campus: Campus, tmp_path: Path) -> None:
    mine, north = authority.files("coordinator", "coordinator"), authority.files("node", "north")
    for name, data in (("ca", north.ca), ("chain", north.chain), ("key", north.key)):
        (tmp_path / name).write_bytes(data)
    program = tmp_path / "node.py"
    program.write_text(FIREWALLED_NODE)

    async def main() -> None:
        async with coordinator(lambda: mine, host=campus.ours, port=OUR_PORT) as made:
            node = await asyncio.create_subprocess_exec(
                *["ip", "netns", "exec", campus.space, sys.executable, str(program), f"{campus.ours}:{OUR_PORT}", str(tmp_path)],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert node.stdin is not None
            assert node.stdout is not None
            try:
                assert await asyncio.wait_for(node.stdout.readline(), 30) == b"listening\n"
                assert await asyncio.wait_for(knock(campus.theirs), 5) == b"reached"  # else the next line would prove nothing
                campus.close()
                with pytest.raises((TimeoutError, OSError)):
                    await asyncio.wait_for(knock(campus.theirs), 1.5)
                node.stdin.write(b"dial\n")
                assert await asyncio.wait_for(node.stdout.readline(), 30) == b"open\n"
                await until(lambda: "north" in made.live)
                tunnel = made.live["north"]
                answers = await asyncio.gather(*(tunnel.call("/reverse", b"%d" % n * 9, timeout=20) for n in range(200)))
                assert answers == [(b"%d" % n * 9)[::-1] for n in range(200)]
            finally:
                node.terminate()
                await node.wait()

    asyncio.run(main())
