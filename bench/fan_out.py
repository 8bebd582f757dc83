"""Fan-out of one question: calls down mutual TLS tunnels against a bare gRPC echo of the same bytes, in one run.

    python bench/fan_out.py --nodes 100

This process is the coordinator. `--processes` others host the nodes between them; every node has a TLS connection of its own for
each of the three ways measured:

- `tunnel`: `NodeClient.answer` over a tunnel that the node dialled, through the servicer, messages parsed on both sides;
- `listen`: `NodeClient.answer` over a channel to the node's port, through the same servicer;
- `bare`: a grpc.aio unary call whose handler returns ready bytes: same request bytes, same answer bytes, nothing parsed.

The ways take turns within each round, and their order changes from round to round. Printed: median and quartiles of the time from
the first call to the last answer, and the ratios of the medians to `bare`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from collegium.tls import issue, make_ca, make_key_and_csr
from collegium.transport.accept import TunnelServicer, add_tunnel
from collegium.transport.channels import TlsFiles, client_channel, listen, new_server, server_credentials
from collegium.transport.dial import dial_once
from collegium.transport.dispatch import add_service, handlers_of
from collegium.transport.endpoint import Endpoint
from collegium.transport.node_client import ChannelCaller, NodeClient
from collegium.transport.peer import Peer
from collegium.v1 import node_pb2

SERVICE = node_pb2.DESCRIPTOR.services_by_name["Node"]
FEDERATION = "bench"


class ReadyNode:
    """Answers with bytes made before; what is measured is the way there and back."""

    def __init__(self, size: int) -> None:
        answer = node_pb2.QuestionAnswer(verdict=node_pb2.QuestionAnswer.RELEASED, payload=os.urandom(size))
        self.reply = node_pb2.AnswerReply(answers=[answer])

    async def Status(self, _request: node_pb2.NodeStatusRequest, _context: Any) -> node_pb2.NodeStatus:
        return node_pb2.NodeStatus(name="node")

    async def Learn(self, _request: node_pb2.LearnRequest, _context: Any) -> node_pb2.LearnReply:
        return node_pb2.LearnReply()

    async def Answer(self, _request: node_pb2.AnswerRequest, _context: Any) -> node_pb2.AnswerReply:
        return self.reply

    async def Submit(self, _request: node_pb2.SubmitRequest, _context: Any) -> node_pb2.SubmitReply:
        return node_pb2.SubmitReply()

    async def Closed(self, _request: node_pb2.ClosedRequest, _context: Any) -> node_pb2.ClosedReply:
        return node_pb2.ClosedReply()


def certificate(folder: Path, role: str, name: str) -> TlsFiles:
    ca, ca_key = (folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes()
    key, csr = make_key_and_csr(FEDERATION, role, name)
    return TlsFiles(ca=ca, chain=issue(ca, ca_key, csr, role=role, name=name), key=key)


async def host(folder: Path, address: str, first: int, count: int, size: int) -> None:
    """`count` nodes in this process: one server for both unary ways (each caller has its own connection), one tunnel each."""
    servicer = ReadyNode(size)
    ready = servicer.reply.SerializeToString()
    mine = certificate(folder, "node", "host")
    server = new_server()
    add_service(server, servicer, SERVICE)

    async def echo(_payload: bytes, _context: Any) -> bytes:
        return ready

    bare = grpc.method_handlers_generic_handler("bench.Bare", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server.add_generic_rpc_handlers((bare,))
    port = listen(server, "127.0.0.1:0", server_credentials(lambda: mine))
    await server.start()
    print(port, flush=True)
    tunnels = []
    for number in range(first, first + count):
        files = certificate(folder, "node", f"node-{number}")
        tunnels.append(
            dial_once(
                partial(client_channel, address, ca=files.ca, server="coordinator", me=files),
                handlers_of(servicer, SERVICE, peer=Peer(FEDERATION, "coordinator", "coordinator")),
                lambda _endpoint: None,
            )
        )
    gc.freeze()
    await asyncio.gather(*tunnels)


async def measure(nodes: int, processes: int, size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by way."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, pem in zip(("ca.pem", "ca.key"), make_ca(FEDERATION), strict=True):
            (folder / name).write_bytes(pem)
        mine = certificate(folder, "coordinator", "coordinator")
        endpoints: list[Endpoint] = []
        everybody = asyncio.Event()

        def opened(_peer: Peer, endpoint: Endpoint) -> None:
            endpoints.append(endpoint)
            if len(endpoints) == nodes:
                everybody.set()

        tunnels = TunnelServicer(lambda _peer: {}, opened, lambda _peer, _endpoint: None)
        server = new_server()
        add_tunnel(server, tunnels)
        port = listen(server, "127.0.0.1:0", server_credentials(lambda: mine))
        await server.start()

        shares = [nodes // processes + (number < nodes % processes) for number in range(processes)]
        hosts = []
        for number, share in enumerate(shares):
            start = [str(folder), f"127.0.0.1:{port}", str(sum(shares[:number])), str(share), str(size)]
            hosts.append(subprocess.Popen([sys.executable, __file__, "--host", *start], stdout=subprocess.PIPE, text=True))
        try:
            ports = [int((process.stdout.readline() if process.stdout else "") or 0) for process in hosts]
            await asyncio.wait_for(everybody.wait(), 60)
            places = [f"127.0.0.1:{port}" for port, share in zip(ports, shares, strict=True) for _ in range(share)]
            ways = ways_of(endpoints, places, mine)
            return await take_turns(ways, rounds)
        finally:
            await tunnels.close(grace=0)
            await server.stop(0)
            for process in hosts:
                process.terminate()
                process.wait(10)


def ways_of(endpoints: list[Endpoint], places: list[str], mine: TlsFiles) -> dict[str, Callable[[], Awaitable[Any]]]:
    """One fan-out of each kind."""
    request = node_pb2.AnswerRequest(request=os.urandom(2_000), details=os.urandom(200))
    payload = request.SerializeToString()
    tunnelled = [NodeClient(endpoint) for endpoint in endpoints]
    listening = [NodeClient(ChannelCaller(client_channel(place, ca=mine.ca, server="host", me=mine))) for place in places]
    bare = [client_channel(place, ca=mine.ca, server="host", me=mine).unary_unary("/bench.Bare/Echo") for place in places]
    return {
        "bare": lambda: asyncio.gather(*(call(payload, timeout=60) for call in bare)),
        "tunnel": lambda: asyncio.gather(*(node.answer(request, timeout=60) for node in tunnelled)),
        "listen": lambda: asyncio.gather(*(node.answer(request, timeout=60) for node in listening)),
    }


async def take_turns(ways: dict[str, Callable[[], Awaitable[Any]]], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    gc.freeze()
    for number in range(rounds + 3):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began = time.perf_counter()
            await ways[name]()
            if number >= 3:  # the first rounds make connections
                taken[name].append(time.perf_counter() - began)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2, help="processes that host the nodes")
    parser.add_argument("--bytes", type=int, default=10_000, help="of one answer")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--host", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.host:
        folder, address, first, count, size = given.host
        asyncio.run(host(Path(folder), address, int(first), int(count), int(size)))
        return
    taken = asyncio.run(measure(given.nodes, given.processes, given.bytes, given.rounds))
    floor = statistics.median(taken["bare"])
    print(f"{given.nodes} nodes in {given.processes} processes, {given.rounds} rounds, {given.bytes:,} bytes an answer")
    print(f"{'way':<8}{'median ms':>11}{'quartiles ms':>18}{'x bare':>9}")
    for name, seconds in taken.items():
        low, median, high = statistics.quantiles(seconds, n=4)
        print(f"{name:<8}{median * 1e3:>11.1f}{low * 1e3:>10.1f} -{high * 1e3:>6.1f}{median / floor:>9.2f}")


if __name__ == "__main__":
    main()
