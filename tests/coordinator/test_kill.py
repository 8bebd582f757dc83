"""kill -9 of the serving process while a question is under way: the next start finishes it, logged once and charged once.

Counts as failure: a request that was acknowledged and is lost, a node asked into a second charge, a log with a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from collegium.errors import CollegiumError
from collegium.v1.federation_pb2 import NodesRequest


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


async def _start(federation: Any) -> asyncio.subprocess.Process:
    ports = federation.ports
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "collegium_coordinator",
        "serve",
        "--home",
        str(federation.home.path),
        "--listen",
        f"127.0.0.1:{ports.main}",
        "--enrol",
        f"127.0.0.1:{ports.enrolment}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"Serving")
    return process


async def _linked(federation: Any, node: Any) -> None:
    """Keep a tunnel for ever, as a node does."""
    while True:
        with contextlib.suppress(CollegiumError):
            await node.dial(federation.ports.main, federation.ca, lambda _: None)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3])
def test_a_killed_coordinator_goes_on_where_it_was(federation: Any, moment: float) -> None:
    async def run() -> None:
        main, enrolment = _free_ports()
        federation.ports = SimpleNamespace(main=main, enrolment=enrolment)
        first = await _start(federation)
        nodes = [await federation.node(f"u{n}", value=n) for n in (1, 2, 3)]
        alice = await federation.researcher()
        async with AsyncExitStack() as stack:
            for node in nodes:
                link = asyncio.ensure_future(_linked(federation, node))
                stack.callback(link.cancel)
            stub = await stack.enter_async_context(alice.line(main))
            registry = await alice.registry(stub)
            await _all_up(stub, 3)
            nodes[2].gate = asyncio.Event()
            request = alice.request(registry, ["u1", "u2", "u3"])
            call = stub.Ask(request)
            progress = await call.read()  # acknowledged: from here on it must not be lost
            await asyncio.sleep(moment)
            first.send_signal(signal.SIGKILL)
            await first.wait()
            call.cancel()
            nodes[2].gate = None
            second = await _start(federation)
            parts = await _finished(federation, alice, progress.request_id)
            indicator = federation.read(parts)
            assert [used.node for used in indicator.releases] == ["u1", "u2", "u3"]
            second.send_signal(signal.SIGTERM)
            assert await second.wait() == 0
        store = federation.open_store()
        indices = [row[0] for row in store.rows("SELECT idx FROM entries ORDER BY idx")]
        assert indices == list(range(len(indices)))
        assert store.row("SELECT COUNT(*) FROM entries WHERE kind = 'request'") == (1,)
        assert store.rows("SELECT node, SUM(rho) FROM charges GROUP BY node") == [(f"u{n}", 10**7) for n in (1, 2, 3)]
        store.close()

    asyncio.run(run())


async def _all_up(stub: Any, count: int) -> None:
    end = time.monotonic() + 20
    while sum(line.connected for line in (await stub.Nodes(NodesRequest())).nodes) < count:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def _finished(federation: Any, alice: Any, identity: str) -> dict[str, list[Any]]:
    """The bundle once every node has released."""
    end = time.monotonic() + 40
    async with alice.line(federation.ports.main) as stub:
        while True:
            assert time.monotonic() < end, "the question was not finished"
            with contextlib.suppress(grpc.aio.AioRpcError):
                parts = await federation.result(stub, identity, refresh=True, wait_seconds=1.0)
                if parts["progress"][0].released == 3:
                    return dict(parts)
            await asyncio.sleep(0.1)
