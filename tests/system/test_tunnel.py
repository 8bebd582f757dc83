"""Tunnels over real gRPC with real mutual TLS on loopback, through a real proxy."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from collegium.errors import CollegiumError, Failed, Invalid, NotReleased, Offline, Refused
from collegium.tls import identity_of
from collegium.transport.channels import TlsFiles, client_channel, listen, new_server, server_credentials
from collegium.transport.dial import dial_forever, dial_once
from collegium.transport.dispatch import add_service, handlers_of
from collegium.transport.endpoint import Endpoint, Limits, TunnelError
from collegium.transport.node_client import ChannelCaller, NodeClient
from collegium.transport.peer import Peer, only_role
from collegium.transport.status import from_rpc
from collegium.v1 import federation_pb2, node_pb2

sys.path.insert(0, str(Path(__file__).parent))  # tunnelparts.py, shared by the tests of this folder

from tunnelparts import FEDERATION, NODE, Authority, Node, Relay, coordinator, dialled, until


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_200_calls_both_ways_at_once(authority: Authority) -> None:
    async def main() -> None:
        mine = authority.files("coordinator", "coordinator")
        async with coordinator(lambda: mine) as made, dialled(made.address, authority.files("node", "north"), Node()) as endpoint:
            node = NodeClient(made.live["north"], name="north")
            texts = [bytes([number]) * (1 + number * 1777) for number in range(200)]
            downs = [node.answer(node_pb2.AnswerRequest(request=text), timeout=60) for text in texts]
            ups = [endpoint.call("/up", text, timeout=60) for text in texts]
            answers = await asyncio.gather(*downs, *ups)
            assert [answer.answers[0].payload for answer in answers[:200]] == [text[::-1] for text in texts]
            assert answers[200:] == [text + b" from the coordinator" for text in texts]
            assert endpoint.bytes_held == made.live["north"].bytes_held == 0

    asyncio.run(main())


def test_deadline_and_cancellation_stop_the_work_at_the_node(authority: Authority) -> None:
    async def main() -> None:
        mine, worker = authority.files("coordinator", "coordinator"), Node()
        async with coordinator(lambda: mine) as made, dialled(made.address, authority.files("node", "north"), worker):
            node = NodeClient(made.live["north"], name="north")
            with pytest.raises(Offline):
                await node.answer(node_pb2.AnswerRequest(request=b"sleep"), timeout=0.1)
            await until(lambda: worker.cancelled == 1)
            call = asyncio.ensure_future(node.answer(node_pb2.AnswerRequest(request=b"sleep"), timeout=None))
            await until(lambda: worker.running == 1)
            call.cancel()
            await until(lambda: worker.cancelled == 2 and worker.running == 0)
            assert (await node.status()).name == "coordinator"

    asyncio.run(main())


def test_errors_are_the_same_over_a_tunnel_and_over_plain_grpc(authority: Authority) -> None:
    async def main() -> None:
        mine, north = authority.files("coordinator", "coordinator"), authority.files("node", "north")
        server = new_server()
        add_service(server, Node(), NODE, admit=only_role("demo", "coordinator"))
        port = listen(server, "127.0.0.1:0", server_credentials(lambda: north))
        await server.start()
        channel = client_channel(f"127.0.0.1:{port}", ca=authority.ca, server="north", me=mine)
        async with coordinator(lambda: mine) as made, dialled(made.address, north, Node()):
            callers = [made.live["north"], ChannelCaller(channel)]
            for caller in callers:
                node = NodeClient(caller, name="north")
                assert (await node.status()).name == "coordinator"  # both learn who calls
                answer = await node.answer(node_pb2.AnswerRequest(request=b"abc" * 50_000), timeout=10)
                assert answer.answers[0].payload == b"cba" * 50_000
                with pytest.raises(Refused) as refused:
                    await node.answer(node_pb2.AnswerRequest(request=b"refuse"), timeout=10)
                assert str(refused.value) == "question 1: 毕业生. Ask less."
                assert (refused.value.by, refused.value.reason) == ("budget", "budget-period")
                with pytest.raises(Failed) as failed:
                    await node.answer(node_pb2.AnswerRequest(request=b"break"), timeout=10)
                assert "CANARY" not in str(failed.value)
                with pytest.raises(TunnelError) as malformed:
                    await caller.call("/collegium.v1.Node/Learn", b"\xff\xff", timeout=10)
                assert isinstance(from_rpc(malformed.value), Invalid)
                with pytest.raises(TunnelError) as unknown:
                    await caller.call("/collegium.v1.Node/Nothing", b"", timeout=10)
                assert unknown.value.status == grpc.StatusCode.UNIMPLEMENTED.value[0]
        await channel.close()
        await server.stop(0)

    asyncio.run(main())


def test_a_streaming_service_admits_streams_and_says_why_it_ends(authority: Authority) -> None:
    class Federation:
        async def Registry(self, _request: Any, _context: Any) -> Any: ...

        Nodes = Requests = Registry

        async def Ask(self, request: Any, _context: Any) -> AsyncIterator[federation_pb2.Progress]:
            yield federation_pb2.Progress(asked=2)
            if request.request == b"held":
                raise NotReleased("The answer is not there yet.", reason="held")
            raise RuntimeError("CANARY")

        async def Result(self, _request: Any, _context: Any) -> AsyncIterator[federation_pb2.ResultPart]:
            yield federation_pb2.ResultPart(request=b"r")

    async def ask(port: int, me: TlsFiles, request: bytes) -> tuple[list[int], CollegiumError]:
        channel = client_channel(f"127.0.0.1:{port}", ca=authority.ca, server="coordinator", me=me)
        stream = channel.unary_stream("/collegium.v1.Federation/Ask", response_deserializer=federation_pb2.Progress.FromString)
        seen = []
        try:
            async for progress in stream(federation_pb2.AskRequest(request=request).SerializeToString(), timeout=10):
                seen.append(progress.asked)
        except grpc.aio.AioRpcError as error:
            return seen, from_rpc(error)
        finally:
            await channel.close()
        raise AssertionError("the stream ended in order")

    async def main() -> None:
        mine, server = authority.files("coordinator", "coordinator"), new_server()
        add_service(server, Federation(), FEDERATION, admit=only_role("demo", "researcher"))
        port = listen(server, "127.0.0.1:0", server_credentials(lambda: mine))
        await server.start()
        li = authority.files("researcher", "li")
        seen, held = await ask(port, li, b"held")
        assert seen == [2]
        assert isinstance(held, NotReleased)
        assert held.reason == "held"
        seen, failed = await ask(port, li, b"break")
        assert seen == [2]
        assert isinstance(failed, Failed)
        assert "CANARY" not in str(failed)
        seen, stranger = await ask(port, authority.files("node", "north"), b"held")
        assert seen == []
        assert isinstance(stranger, Refused)
        assert stranger.by == "identity"
        await server.stop(0)

    asyncio.run(main())


def test_only_the_right_parties_get_a_tunnel(authority: Authority) -> None:
    async def main() -> None:
        mine, elsewhere = authority.files("coordinator", "coordinator"), Authority("demo")
        async with coordinator(lambda: mine) as made:
            with pytest.raises(Refused) as researcher:
                async with dialled(made.address, authority.files("researcher", "li"), Node()):
                    pass
            assert researcher.value.by == "identity"
            stranger = elsewhere.files("node", "north")
            for files in (
                TlsFiles(ca=authority.ca, chain=stranger.chain, key=stranger.key),  # an authority of the same name
                stranger,  # which also does not trust ours
            ):
                with pytest.raises(Offline):
                    async with dialled(made.address, files, Node()):
                        pass
            nobody = client_channel(made.address, ca=authority.ca, server="coordinator")
            with pytest.raises(TunnelError):
                await ChannelCaller(nobody).call("/collegium.v1.Node/Status", b"", timeout=5)
            await nobody.close()
            assert made.live == {}
        evil = authority.files("node", "evil")  # a real node, listening where the coordinator should be
        async with coordinator(lambda: evil) as false:
            with pytest.raises(Offline):
                async with dialled(false.address, authority.files("node", "north"), Node()):
                    pass

    asyncio.run(main())


def test_a_cut_connection_fails_its_calls_and_is_dialled_again(authority: Authority) -> None:
    async def main() -> None:
        mine, north, worker = authority.files("coordinator", "coordinator"), authority.files("node", "north"), Node()
        async with coordinator(lambda: mine) as made:
            relay = Relay(made.port)
            address = f"127.0.0.1:{await relay.start()}"
            opened: list[Endpoint] = []
            attempt = partial(
                dial_once,
                partial(client_channel, address, ca=north.ca, server="coordinator", me=north),
                handlers_of(worker, NODE, peer=Peer("demo", "coordinator", "coordinator")),
                opened.append,
            )
            told: list[Exception | None] = []
            life = asyncio.ensure_future(
                dial_forever(attempt, failed=lambda error, _wait: told.append(error), sleep=lambda _seconds: asyncio.sleep(0.01))
            )
            for round_ in range(3):
                await until(lambda round_=round_: len(opened) == round_ + 1 and "north" in made.live)
                tunnel = made.live["north"]
                down = [NodeClient(tunnel).answer(node_pb2.AnswerRequest(request=b"sleep"), timeout=None) for _ in range(10)]
                calls = [asyncio.ensure_future(call) for call in down]
                await until(lambda: worker.running == 10)
                relay.cut()
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(result) for result in results] == [Offline] * 10
                await until(lambda: worker.running == 0)
                await until(lambda tunnel=tunnel: made.live.get("north") is not tunnel)
            await until(lambda: "north" in made.live)
            assert (await NodeClient(made.live["north"]).status()).name == "coordinator"
            assert all(isinstance(error, Offline) for error in told)
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            await relay.stop()

    asyncio.run(main())


@pytest.mark.parametrize("side", ["coordinator", "node"])
def test_closing_in_order_loses_no_answer(authority: Authority, side: str) -> None:
    async def main() -> None:
        mine = authority.files("coordinator", "coordinator")
        async with coordinator(lambda: mine) as made:
            async with dialled(made.address, authority.files("node", "north"), Node()) as endpoint:
                node = NodeClient(made.live["north"])
                texts = [bytes([number]) * 200_000 for number in range(20)]
                downs = [asyncio.ensure_future(node.answer(node_pb2.AnswerRequest(request=text), timeout=30)) for text in texts]
                ups = [asyncio.ensure_future(endpoint.call("/up", text, timeout=30)) for text in texts]
                await until(lambda: made.live["north"].calls_in_flight > 0)
                await (made.tunnels.close(grace=20) if side == "coordinator" else endpoint.close(grace=20))
                answers = await asyncio.gather(*downs)
                assert [answer.answers[0].payload for answer in answers] == texts
                assert await asyncio.gather(*ups) == [text + b" from the coordinator" for text in texts]
            await until(lambda: not made.live)

    asyncio.run(main())


def test_through_a_connect_proxy(authority: Authority) -> None:
    async def main() -> None:
        mine = authority.files("coordinator", "coordinator")
        async with coordinator(lambda: mine) as made:
            proxy = Relay()
            url = f"http://me:secret@127.0.0.1:{await proxy.start()}"
            async with dialled(made.address, authority.files("node", "north"), Node(), proxy=url) as endpoint:
                assert await endpoint.call("/up", b"hello", timeout=5) == b"hello from the coordinator"
                answer = await NodeClient(made.live["north"]).answer(node_pb2.AnswerRequest(request=b"x" * 300_000), timeout=10)
                assert answer.answers[0].payload == b"x" * 300_000
            assert proxy.asked[0].startswith(f"CONNECT {made.address} HTTP/1.1\r\n")
            assert "Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.asked[0]
            await proxy.stop()
            closed = Relay(refuse=True)
            url = f"http://127.0.0.1:{await closed.start()}"
            with pytest.raises(Offline):
                async with dialled(made.address, authority.files("node", "north"), Node(), proxy=url):
                    pass
            assert closed.asked
            await closed.stop()

    asyncio.run(main())


def test_the_environment_does_not_choose_the_way(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> None:
        mine = authority.files("coordinator", "coordinator")
        async with coordinator(lambda: mine) as made, dialled(made.address, authority.files("node", "north"), Node()) as endpoint:
            assert await endpoint.call("/up", b"", timeout=5) == b" from the coordinator"

    asyncio.run(main())


def test_a_renewed_certificate_serves_new_connections_and_a_broken_one_does_not(authority: Authority) -> None:
    async def served(address: str) -> bytes:
        """The certificate that a new connection is shown."""
        host, port = address.split(":")
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-showcerts"]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        output, _ = await process.communicate()
        start = output.index(b"-----BEGIN CERTIFICATE")
        return output[start : output.index(b"-----END CERTIFICATE", start)]

    async def main() -> None:
        first, second = authority.files("coordinator", "coordinator"), authority.files("coordinator", "coordinator")
        current = first

        def read() -> TlsFiles:
            if current is None:
                raise FileNotFoundError("between two renames")
            return current

        async with coordinator(read) as made:
            north = authority.files("node", "north")
            async with dialled(made.address, north, Node()) as old:
                shown = {(await served(made.address)).strip()}
                assert shown.pop() in first.chain
                for broken in (None, TlsFiles(ca=first.ca, chain=second.chain, key=first.key), TlsFiles(first.ca, b"", b"")):
                    current = broken  # type: ignore[assignment]
                    assert (await served(made.address)).strip() in first.chain
                current = second
                assert (await served(made.address)).strip() in second.chain
                async with dialled(made.address, north, Node()) as new:
                    assert await new.call("/up", b"", timeout=5) == b" from the coordinator"
                assert await old.call("/up", b"", timeout=5) == b" from the coordinator"

    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to look at a certificate from outside")
    asyncio.run(main())


def test_a_port_that_is_taken_is_said_so(authority: Authority) -> None:
    async def main() -> None:
        mine = authority.files("coordinator", "coordinator")
        async with coordinator(lambda: mine) as made:
            with pytest.raises(Failed) as taken:
                async with coordinator(lambda: mine, port=made.port):
                    pass
            assert taken.value.place == made.address
        other = authority.files("coordinator", "coordinator")
        with pytest.raises(Invalid):
            server_credentials(lambda: TlsFiles(mine.ca, mine.chain, other.key))
        assert identity_of(mine.chain) == ("demo", "coordinator", "coordinator")

    asyncio.run(main())


def test_a_message_over_the_bound_fails_its_call_only(authority: Authority) -> None:
    async def main() -> None:
        mine, small = authority.files("coordinator", "coordinator"), Limits(max_message=1 << 20)
        async with coordinator(lambda: mine) as made, dialled(made.address, authority.files("node", "north"), Node(), limits=small):
            node = NodeClient(made.live["north"])
            with pytest.raises(Invalid) as large:
                await node.answer(node_pb2.AnswerRequest(request=b"x" * (2 << 20)), timeout=10)
            assert large.value.reason == "too-large"
            assert (await node.status()).name == "coordinator"

    asyncio.run(main())
