"""Two versions of the protocol (P25): transport messages may carry what one side does not know; nothing that is signed may.

A newer coordinator is played by raw bytes: today's messages with fields that no version knows yet. An older node is played by a
relay between coordinator and node that reads every message with an older descriptor and drops all else in both directions.
Failure: an unknown transport field changes an answer; anything signed with an unknown part is answered; an older node is lost to
the federation. Not failure: what an older version does not know is missing from its answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.encoder import TagBytes, _VarintBytes  # type: ignore[attr-defined]

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation
from small import RESEARCHER, as_coordinator, as_researcher, ask, campus, charged, free_port, open_small, people, receipt

from collegium.client import Federation as Client
from collegium.home import Home
from collegium.keys import load_signer
from collegium.log.statement import sign_statement
from collegium.statements import Request
from collegium.v1 import node_pb2
from collegium.v1.federation_pb2 import AskRequest, Progress, RegistryReply, RegistryRequest
from collegium.v1.node_pb2 import AnswerReply, AnswerRequest, NodeStatus, QuestionAnswer

NODE, OLDER = "univ-a", "univ-b"
ROWS = people(120)
COUNT = "SELECT COUNT(*) AS n FROM graduate"
LENGTH_DELIMITED, UNKNOWN_FIELD = 2, 4000
"""What version 1.0 could have been without, message by message: a node of that version neither reads nor writes it."""
NEWER_FIELDS = {"NodeStatus": {"policy", "snapshot", "version"}, "QuestionAnswer": {"withdrawals"}}

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # starting a federation takes a while on a busy machine


def with_future(message: bytes, text: bytes = b"of a later version") -> bytes:
    """A serialised message with a field that nobody knows."""
    tag: bytes = TagBytes(UNKNOWN_FIELD, LENGTH_DELIMITED)
    return message + tag + _VarintBytes(len(text)) + text


class OlderNode(grpc.GenericRpcHandler):
    """A node one version behind, as its coordinator meets it: a relay that knows only the older messages."""

    def __init__(self, federation: Federation, node: str, port: int) -> None:
        self.heard: list[str] = []
        self._messages = older_messages()
        self._line = as_coordinator(federation, node, port)
        home = federation.node_home(node)
        pair = ((home / "keys" / "tls.key").read_bytes(), (home / "keys" / "tls.pem").read_bytes())
        ca = (federation.home / "keys" / "ca.pem").read_bytes()
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=(self,))
        self.port = self._server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=True)
        )
        self._server.start()

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]

        def relay(payload: bytes, context: Any) -> bytes:
            request, reply = self._messages[method]
            heard = self._line.call(details.method, _through(request, payload))
            if heard.code != "OK":
                context.abort(grpc.StatusCode[heard.code], heard.details)
            self.heard.append(method)
            return _through(reply, heard.reply)

        return grpc.unary_unary_rpc_method_handler(relay)

    def stop(self) -> None:
        self._server.stop(None).wait()
        self._line.__exit__(None, None, None)


def _through(kind: Any, payload: bytes) -> bytes:
    """What is left of a message in the hands of a version that knows only `kind`."""
    message = kind.FromString(payload)
    message.DiscardUnknownFields()
    return bytes(message.SerializeToString())


def older_messages() -> dict[str, tuple[Any, Any]]:
    """Request and reply classes of the Node service before the newer fields, by method."""
    file = descriptor_pb2.FileDescriptorProto()
    node_pb2.DESCRIPTOR.CopyToProto(file)
    dropped = 0
    for message in file.message_type:
        newer = NEWER_FIELDS.get(message.name, set())
        kept = [field for field in message.field if field.name not in newer]
        dropped += len(message.field) - len(kept)
        del message.field[:]
        message.field.extend(kept)
    assert dropped == sum(map(len, NEWER_FIELDS.values()))  # else a field was renamed and this plays no older node
    pool = descriptor_pool.DescriptorPool()
    for dependency in file.dependency:
        pool.AddSerializedFile(descriptor_pool.Default().FindFileByName(dependency).serialized_pb)
    pool.Add(file)
    service = pool.FindServiceByName(f"{file.package}.Node")
    cls = message_factory.GetMessageClass
    return {method.name: (cls(method.input_type), cls(method.output_type)) for method in service.methods}


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {NODE: free_port(), OLDER: free_port()}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Federation]:
    universities = [campus(name, ROWS, listens=port) for name, port in ports.items()]
    opened = open_small(tmp_path_factory.mktemp("federation"), *universities, ports=ports, mirrored=False)
    yield opened
    opened.stop()


def signed(federation: Federation, change: Callable[[dict[str, Any]], object] = lambda body: None, **cost: float) -> AnswerRequest:
    """A request for all nodes; its body is changed first and then properly signed by the researcher's own key."""
    home = Home(federation.researcher_home(RESEARCHER))
    with Client(home) as client:
        prepared = client.prepare(COUNT, **(cost or {"rho": 0.5}))  # type: ignore[arg-type]
    body = Request.read(prepared.note).to_body()
    change(body)
    note = sign_statement("request", body, load_signer(home.keys.statements))
    return AnswerRequest(request=note, details=prepared.details, receipt=receipt(federation, note))


def test_unknown_fields_in_every_message_to_a_node_are_ignored(federation: Federation, ports: dict[str, int]) -> None:
    with as_coordinator(federation, NODE, ports[NODE]) as line:
        plain = line.call("/collegium.v1.Node/Status", b"")
        newer = line.call("/collegium.v1.Node/Status", with_future(b""))
        assert (newer.code, newer.reply) == (plain.code, plain.reply) == ("OK", plain.reply)
        assert NodeStatus.FromString(newer.reply).name == NODE
        learn = line.call("/collegium.v1.Node/Learn", with_future(b""))
        assert learn.code == "OK"
        payload = signed(federation).SerializeToString()
        first = line.call("/collegium.v1.Node/Answer", with_future(payload))
        again = line.call("/collegium.v1.Node/Answer", payload)
        (answer,) = AnswerReply.FromString(first.reply).answers
        assert answer.verdict == QuestionAnswer.RELEASED
        assert again.reply == first.reply  # the same request: what came beside it plays no part


def test_unknown_fields_in_messages_to_the_coordinator_are_ignored(federation: Federation) -> None:
    with as_researcher(federation) as line:
        request = RegistryRequest(first=1).SerializeToString()
        plain = line.call("/collegium.v1.Federation/Registry", request)
        newer = line.call("/collegium.v1.Federation/Registry", with_future(request))
        assert newer == plain
        assert RegistryReply.FromString(newer.reply).entries
        asked = signed(federation, rho=0.25)
        payload = AskRequest(request=asked.request, details=asked.details).SerializeToString()
        heard = line.call("/collegium.v1.Federation/Ask", with_future(payload), stream=True)
        progress = Progress.FromString(heard.reply)
        assert (heard.code, progress.done, progress.released) == ("OK", True, 2)


def _question(body: dict[str, Any]) -> dict[str, Any]:
    question: dict[str, Any] = body["questions"][0]
    return question


UNKNOWN_PARTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a field of the request": lambda body: body.update(priority=1),
    "a field of a question": lambda body: _question(body).update(sample="half"),
    "a field of a component": lambda body: _question(body)["components"][0].update(weight=2),
    "a field of the bounds": lambda body: _question(body)["bounds"].update(max_terms=3),
    "a field of a view": lambda body: body["views"][0].update(round=10),
    "another release mode": lambda body: _question(body).update(mode="everywhere"),
    "another component": lambda body: _question(body)["components"][0].update(kind="median"),
    "another predicate": lambda body: _question(body).update(filter={"op": "like", "column": "field", "value": "0%"}),
}


@pytest.mark.parametrize("part", UNKNOWN_PARTS)
def test_unknown_parts_of_a_signed_request_are_refused(federation: Federation, ports: dict[str, int], part: str) -> None:
    """Signed with the right key, in canonical form, and never answered: it may ask for something else than we would answer."""
    before = charged(federation, NODE)
    asked = signed(federation, UNKNOWN_PARTS[part])
    with as_coordinator(federation, NODE, ports[NODE]) as line:
        heard = line.call("/collegium.v1.Node/Answer", asked.SerializeToString())
    assert heard.code == "INVALID_ARGUMENT"
    assert json.loads(heard.details)["reason"] == "malformed"
    with as_researcher(federation) as line:
        request = AskRequest(request=asked.request, details=asked.details)
        assert line.call("/collegium.v1.Federation/Ask", request.SerializeToString(), stream=True).code == "INVALID_ARGUMENT"
    assert charged(federation, NODE) == before


def test_a_statement_of_an_unknown_kind_is_refused(federation: Federation, ports: dict[str, int]) -> None:
    signer = load_signer(Home(federation.researcher_home(RESEARCHER)).keys.statements)
    asked = signed(federation)
    note = sign_statement("petition", Request.read(asked.request).to_body(), signer)
    with as_coordinator(federation, NODE, ports[NODE]) as line:
        heard = line.call("/collegium.v1.Node/Answer", AnswerRequest(request=note, details=asked.details).SerializeToString())
    assert json.loads(heard.details)["reason"] == "malformed"


def test_a_registry_entry_of_a_later_version_is_refused_by_the_node(federation: Federation, ports: dict[str, int]) -> None:
    """Properly signed by the registry key: a node that cannot read all of it does not go on as if it were not there."""
    key = load_signer(federation.root / "ministry-registry" / "registry")
    with as_researcher(federation) as line:
        reply = RegistryReply.FromString(line.call("/collegium.v1.Federation/Registry", b"").reply)
    entry = sign_statement("registration", {"name": RESEARCHER, "time": 1_790_000_000, "what": "promotion"}, key)
    learn = node_pb2.LearnRequest(first=len(reply.entries), entries=[entry], checkpoint=reply.checkpoint)
    with as_coordinator(federation, NODE, ports[NODE]) as line:
        heard = line.call("/collegium.v1.Node/Learn", learn.SerializeToString())
        assert heard.code in ("INVALID_ARGUMENT", "UNAUTHENTICATED")
        assert NodeStatus.FromString(line.call("/collegium.v1.Node/Status", b"").reply).registry_size == len(reply.entries)


def test_a_node_one_version_behind_keeps_answering_what_it_knows(federation: Federation, ports: dict[str, int]) -> None:
    older = OlderNode(federation, OLDER, ports[OLDER])
    try:
        federation.run("collegium-coordinator", "dial", OLDER, f"127.0.0.1:{older.port}", "--home", federation.home)
        federation.kill("coordinator")  # it must meet the older node from the first greeting on
        federation.serve()
        federation.wait_connected(RESEARCHER, 2)
        tree = ask(federation, "SELECT AVG(salary) AS mean, COUNT(*) AS n FROM graduate", "--rho", "4")
        assert tree["tables"][0]["coverage"]["answered"] == 2
        assert abs(tree["tables"][0]["rows"][0]["n"] - 2 * len(ROWS)) < 20
        assert {"Status", "Answer"} <= set(older.heard)
        federation.join("wang-fang")  # what is new in the registry reaches it too
        assert "Learn" in older.heard
        listed = json.loads(federation.run("collegium", "nodes", "--json", "--home", federation.researcher_home(RESEARCHER)))
        line = next(each for each in listed if each["name"] == OLDER)
        assert line["connected"]
        assert line["snapshot"] == ""  # it does not know that it could say so
        assert line["datasets"] == ["graduate"]
    finally:
        older.stop()
