"""Both ends of a tunnel, certificates for them, and a way between them that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from collegium.errors import Refused
from collegium.tls import issue, make_ca, make_key_and_csr
from collegium.transport.accept import TunnelServicer, add_tunnel
from collegium.transport.channels import TlsFiles, client_channel, listen, new_server, server_credentials
from collegium.transport.dial import dial_once
from collegium.transport.dispatch import handlers_of
from collegium.transport.endpoint import Endpoint, Handler, Limits
from collegium.transport.peer import Peer, only_role, peer_of
from collegium.v1 import federation_pb2, node_pb2

NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
FEDERATION = federation_pb2.DESCRIPTOR.services_by_name["Federation"]


class Authority:
    """Certificates of one federation."""

    def __init__(self, federation: str = "demo") -> None:
        self.federation = federation
        self.ca, self._key = make_ca(federation)

    def files(self, role: str, name: str) -> TlsFiles:
        key, csr = make_key_and_csr(self.federation, role, name)
        return TlsFiles(ca=self.ca, chain=issue(self.ca, self._key, csr, role=role, name=name), key=key)


class Node:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.running = 0
        self.cancelled = 0

    async def Status(self, _request: Any, context: Any) -> node_pb2.NodeStatus:
        return node_pb2.NodeStatus(name=peer_of(context).name)

    async def Learn(self, request: Any, _context: Any) -> node_pb2.LearnReply:
        return node_pb2.LearnReply(registry_size=request.first)

    async def Answer(self, request: Any, _context: Any) -> node_pb2.AnswerReply:
        if request.request == b"sleep":
            self.running += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.running -= 1
        if request.request == b"refuse":
            raise Refused("毕业生", by="budget", place="question 1", remedy="Ask less.", reason="budget-period")
        if request.request == b"break":
            raise KeyError("CANARY")
        return node_pb2.AnswerReply(answers=[node_pb2.QuestionAnswer(payload=request.request[::-1])])

    async def Submit(self, _request: Any, _context: Any) -> node_pb2.SubmitReply:
        return node_pb2.SubmitReply()

    async def Closed(self, _request: Any, _context: Any) -> node_pb2.ClosedReply:
        return node_pb2.ClosedReply()


async def up(payload: bytes, _deadline: float | None) -> bytes:
    return payload + b" from the coordinator"


class Coordinator:
    """Accepts tunnels and knows the newest of each node."""

    def __init__(self, port: int, tunnels: TunnelServicer, live: dict[str, Endpoint], server: Any) -> None:
        self.port, self.tunnels, self.live, self.server = port, tunnels, live, server

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def coordinator(
    read: Callable[[], TlsFiles], *, host: str = "127.0.0.1", port: int = 0, limits: Limits | None = None
) -> AsyncIterator[Coordinator]:
    live: dict[str, Endpoint] = {}
    admit = only_role("demo", "node")

    def admitted(peer: Peer) -> dict[str, Handler]:
        admit(peer)
        return {"/up": up}

    def closed(peer: Peer, endpoint: Endpoint) -> None:
        if live.get(peer.name) is endpoint:
            del live[peer.name]

    tunnels = TunnelServicer(admitted, lambda peer, endpoint: live.update({peer.name: endpoint}), closed, limits=limits)
    server = new_server()
    add_tunnel(server, tunnels)
    bound = listen(server, f"{host}:{port}", server_credentials(read))
    await server.start()
    try:
        yield Coordinator(bound, tunnels, live, server)
    finally:
        await tunnels.close(grace=0)
        await server.stop(0)


@asynccontextmanager
async def dialled(
    address: str, files: TlsFiles, node: Node, *, proxy: str = "", limits: Limits | None = None
) -> AsyncIterator[Endpoint]:
    """A node's tunnel while it is open; what `dial_once` raised comes out of here."""
    opened: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
    life = asyncio.ensure_future(
        dial_once(
            partial(client_channel, address, ca=files.ca, server="coordinator", me=files, proxy=proxy),
            handlers_of(node, NODE, peer=Peer("demo", "coordinator", "coordinator")),
            opened.set_result,
            limits=limits,
            place=address,
        )
    )
    try:
        await asyncio.wait([opened, life], return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            await life
        yield await opened
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


class Relay:
    """A TCP relay that can be cut; with `connect` it is an HTTP CONNECT proxy."""

    def __init__(self, target: int | None = None, *, refuse: bool = False) -> None:
        self.target = target
        self.refuse = refuse
        self.asked: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self.target
        if port is None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            if self.refuse:
                writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                writer.close()
                return
            port = int(head.split()[1].rsplit(":", 1)[1])
        out_reader, out_writer = await asyncio.open_connection("127.0.0.1", port)
        if self.target is None:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.writers += [writer, out_writer]
        await asyncio.gather(self.pump(reader, out_writer), self.pump(out_reader, writer))

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def stop(self) -> None:
        self.cut()
        self.server.close()
        await asyncio.sleep(0.05)
