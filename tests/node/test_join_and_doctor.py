"""`join` against a real enrolment port, crash and repeat; `doctor` names the hop that fails."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from onenode import _CA, _CA_KEY, _CA_PEM, FED, NODE, SCHEMA, Ministry, Researcher, certify, federation, question

from collegium.errors import CollegiumError, Failed, Invalid, NotVerified, Offline, Refused
from collegium.keys import invitation_name, load_cosigner, save_secret
from collegium.log.note import Signer
from collegium.party.alone import alone
from collegium.party.lines import Lines
from collegium.party.serving import renew_now
from collegium.registration import Invitation
from collegium.tls import expires_at, issue, make_ca
from collegium.token import make_token
from collegium.v1 import enrolment_pb2, enrolment_pb2_grpc, federation_pb2, federation_pb2_grpc
from collegium.v1.node_pb2 import LearnRequest, QuestionAnswer
from collegium_node.doctor import examine
from collegium_node.home import Home
from collegium_node.init import init
from collegium_node.join import join
from collegium_node.policy import NOTHING
from collegium_node.service import NodeService
from collegium_node.steward import rekeyed, sign_if_changed


class Coordinator(enrolment_pb2_grpc.EnrolmentServicer, federation_pb2_grpc.FederationServicer):
    """As much of a coordinator as joining needs, on one port."""

    def __init__(self, ministry: Ministry) -> None:
        self.ministry = ministry
        self.joins: list[Any] = []
        self.broken = ""
        self.server = grpc.server(ThreadPoolExecutor(2))
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(self, self.server)
        federation_pb2_grpc.add_FederationServicer_to_server(self, self.server)
        chain, key, _ = certify("coordinator", "coordinator")
        self.port = self.server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, chain)]))
        self.server.start()

    def Join(self, request: Any, context: Any) -> Any:
        if request.registration not in self.ministry.entries:
            self.ministry.entries.append(request.registration)
        self.joins.append(request)
        if self.broken == "reply lost":
            context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
        return enrolment_pb2.JoinReply(certificate=self._issue(request.csr), registry_size=len(self.ministry.entries))

    def Renew(self, request: Any, context: Any) -> Any:
        return enrolment_pb2.RenewReply(certificate=self._issue(request.csr))

    def _issue(self, csr: bytes) -> bytes:
        return issue(_CA_PEM, _CA_KEY, csr, role="node", name=NODE, lifetime=86_400.0 * 9)

    def Registry(self, request: Any, context: Any) -> Any:
        if self.broken == "no registry":
            context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
        known = self.ministry.entries[request.first :]
        page = known[:2]  # small pages: the last one carries the head over all
        return federation_pb2.RegistryReply(
            first=request.first, entries=page, checkpoint=self.ministry.checkpoint(), more=len(known) > len(page)
        )

    def token(self, role: str = "node", name: str = NODE, expiry: float = 10**6, **more: Any) -> str:
        one_time = Signer.generate(invitation_name(FED, name))
        now = int(time.time())
        invitation = self.ministry._sign(
            Invitation(role=role, name=name, facts={}, enrolment=0, expiry=int(now + expiry), key=one_time.vkey, time=now, **more)  # type: ignore[arg-type]
        )
        address = f"localhost:{self.port}"
        return make_token(
            address=address, service=address, ca=_CA.encode(), federation=FED, registry=self.ministry.registry_key.vkey,
            invitation=invitation, one_time=one_time,
        )  # fmt: skip


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    running = Coordinator(Ministry(SCHEMA))
    yield running
    running.server.stop(None).wait()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    init(tmp_path / "node")
    return Home(tmp_path / "node")


def test_joining_makes_keys_here_and_verifies_the_registry(coordinator: Coordinator, home: Home) -> None:
    invited, size = join(home, coordinator.token(), clock=time.time)
    assert (invited.name, size) == (NODE, len(coordinator.ministry.entries))
    assert home.membership().registry == coordinator.ministry.registry_key.vkey
    assert home.config().node.name == NODE
    assert "Where the rows are" in home.config_file.read_text(encoding="utf-8")  # the manual is still there
    for path in (home.keys.statements, home.keys.log, home.keys.witness, home.keys.tls_key):
        assert path.stat().st_mode & 0o077 == 0
    assert load_cosigner(home.keys.witness).vkey in coordinator.joins[0].registration.decode()
    sent = b"".join(request.SerializeToString() for request in coordinator.joins)
    assert home.keys.tls_key.read_bytes() not in sent


@pytest.mark.parametrize("broken", ["reply lost", "no registry"])
def test_a_crash_anywhere_is_mended_by_the_same_command(coordinator: Coordinator, home: Home, broken: str) -> None:
    token = coordinator.token()
    coordinator.broken = broken
    with pytest.raises(Offline):
        join(home, token, clock=time.time)
    keys = home.keys.statements.read_bytes()
    coordinator.broken = ""
    join(home, token, clock=time.time)
    join(home, token, clock=time.time)
    assert home.keys.statements.read_bytes() == keys
    assert len({request.SerializeToString() for request in coordinator.joins}) == 1  # every try sent the identical bytes


def test_wrong_tokens(coordinator: Coordinator, home: Home) -> None:
    token = coordinator.token()
    wrong = [
        ("", Invalid),
        ("collegium1.nonsense", Invalid),
        (token[:-20], Invalid),
        (token[:40] + token[41:], Invalid),
        (coordinator.token("researcher", "li-wei"), Invalid),
        (coordinator.token("node", "univ-z", expiry=-5), Invalid),
    ]
    for text, error in wrong:
        with pytest.raises(error) as raised:
            join(home, text, clock=time.time)
        assert raised.value.remedy
    assert coordinator.joins == []
    join(home, token, clock=time.time)
    with pytest.raises(Invalid, match="already the node"):
        join(home, coordinator.token("node", "univ-b"), clock=time.time)


def test_a_registry_of_another_key_is_not_believed(coordinator: Coordinator, home: Home) -> None:
    token = coordinator.token()
    honest = coordinator.ministry
    coordinator.ministry = Ministry(SCHEMA)  # the coordinator now shows a registry it made up
    with pytest.raises(NotVerified):
        join(home, token, clock=time.time)
    coordinator.ministry = honest


def test_a_certificate_renews_with_the_statement_key(coordinator: Coordinator, home: Home) -> None:
    join(home, coordinator.token(), clock=time.time)
    before = expires_at(home.keys.certificate.read_bytes())
    save_secret(home.keys.certificate, certify("node", NODE, lifetime=60.0)[0], replace=True)
    node = home.open(time.time)
    renew_now(node, time.time)
    node.close()
    assert expires_at(home.keys.certificate.read_bytes()) >= before


# ------------------------------------------------------------------ new keys


def test_a_node_replaces_its_keys_and_goes_on_with_its_log(coordinator: Coordinator, home: Home) -> None:
    join(home, coordinator.token(), clock=time.time)
    node = home.open(time.time)
    with node.journal.write("policy") as log:
        sign_if_changed(log, NOTHING)
    node.close()
    old = {path.name: path.read_bytes() for path in home.keys.folder.iterdir()}
    token = coordinator.token(replaces=True)
    _, size = join(home, token, clock=time.time)
    assert size == len(coordinator.ministry.entries)
    new = {path.name: path.read_bytes() for path in home.keys.folder.iterdir()}
    assert [name for name in sorted(old) if old[name] == new[name]] == ["log", "witness"]  # its log and its word as a witness stay
    former = home.root / "former" / home.membership().invitation[:16] / "keys"
    assert {path.name: path.read_bytes() for path in former.iterdir()} == old
    # The registry has the new key, signed for by the old one, and the log is gone on with.
    node = home.open(time.time, verify=True)
    node.members.check_own()
    with node.journal.write("policy") as log:
        assert sign_if_changed(log, NOTHING)  # the newest policy is by the old key: the new one vouches for it
    with node.journal.write("policy") as log:
        assert not sign_if_changed(log, NOTHING)
    node.close()
    assert join(home, token, clock=time.time)[1] == size  # the same command again changes nothing
    assert {path.name: path.read_bytes() for path in home.keys.folder.iterdir()} == new


def test_a_node_of_before_there_were_witnesses_gets_a_cosigner_with_its_new_key(coordinator: Coordinator, home: Home) -> None:
    join(home, coordinator.token(), clock=time.time)
    home.keys.witness.unlink()
    join(home, coordinator.token(replaces=True), clock=time.time)
    node = home.open(time.time)
    assert node.members.registry.party(NODE).cosigner == load_cosigner(home.keys.witness).verifier
    node.close()


@pytest.mark.parametrize("broken", ["reply lost", "no registry"])
@pytest.mark.parametrize("step", ["", "between the folders", "after them"])
def test_a_replacement_that_crashes_is_mended_by_the_same_command(
    coordinator: Coordinator, home: Home, broken: str, step: str
) -> None:
    join(home, coordinator.token(), clock=time.time)
    token = coordinator.token(replaces=True)
    coordinator.broken = broken
    with pytest.raises(Offline):
        join(home, token, clock=time.time)
    coordinator.broken = ""
    if step:
        fresh, former = home.root / "keys.new", home.root / "former" / "x"
        if not fresh.exists():  # got that far already: take the last steps back
            home.keys.folder.rename(fresh)
            kept = next((home.root / "former").iterdir()) / "keys"
            home.remember(replace(home.membership(), invitation="0" * 64))
            if step == "after them":
                fresh.rename(home.keys.folder)
            assert kept.is_dir()
        assert not former.exists()
    join(home, token, clock=time.time)
    node = home.open(time.time, verify=True)
    node.members.check_own()
    node.close()
    assert len({request.SerializeToString() for request in coordinator.joins[1:]}) == 1


def test_keys_are_replaced_only_where_the_old_ones_are(coordinator: Coordinator, home: Home, tmp_path: Path) -> None:
    join(home, coordinator.token(), clock=time.time)
    token, asked = coordinator.token(replaces=True), len(coordinator.joins)
    init(tmp_path / "elsewhere")
    with pytest.raises(Invalid, match="not in this folder"):
        join(Home(tmp_path / "elsewhere"), token, clock=time.time)
    with pytest.raises(Invalid, match="is for another"):
        join(home, coordinator.token("node", "univ-b", replaces=True), clock=time.time)
    with pytest.raises(Invalid, match="expired"):
        join(home, coordinator.token(expiry=-5, replaces=True), clock=time.time)
    assert len(coordinator.joins) == asked
    with alone(home), pytest.raises(Failed, match="served already"):
        join(home, token, clock=time.time)


def test_a_steward_is_told_of_a_researcher_whose_key_was_replaced(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path / "home")
    one.allow(researcher)
    asked = researcher.ask(question())
    assert rekeyed(one.node) == []
    statements, _ = one.ministry.register("researcher", researcher.name, replaces=researcher.key)
    service = NodeService(one.node, one.answering, Lines(one.stream), max_parallel=1, on_broken=lambda: None)
    service._learn(LearnRequest(first=0, entries=one.ministry.entries, checkpoint=one.ministry.checkpoint()))
    assert rekeyed(one.node) == [researcher.name]
    assert f"collegium-node allow --researcher {researcher.name}" in one.stream.getvalue()
    with pytest.raises(Refused, match="does not verify"):
        one.answer(asked)  # the old key asks nothing any more
    researcher.key = statements
    assert one.answer(researcher.ask(question(value=1))).answers[0].reason == "not-allowed"  # nor the new one, before the steward
    one.allow(researcher)
    assert rekeyed(one.node) == []
    assert one.answer(researcher.ask(question(value=2))).answers[0].verdict == QuestionAnswer.RELEASED


# ------------------------------------------------------------------ doctor


def no_membership(home: Home, coordinator: Coordinator) -> None:
    home.membership_file.unlink()


def broken_settings(home: Home, coordinator: Coordinator) -> None:
    home.config_file.write_text("[nodes]\n", encoding="utf-8")


def touched_log(home: Home, coordinator: Coordinator) -> None:
    node = home.open(time.time)
    with node.journal.write("test") as log:
        log.keep("request", b"x")
    with node.store.read() as db:
        db.execute("DELETE FROM head")
    node.close()


def old_certificate(home: Home, coordinator: Coordinator) -> None:
    chain = issue(
        _CA_PEM, _CA_KEY, home.keys.request.read_bytes(), role="node", name=NODE, lifetime=60.0, clock=lambda: time.time() - 86_400
    )
    save_secret(home.keys.certificate, chain, replace=True)


def unknown_host(home: Home, coordinator: Coordinator) -> None:
    home.remember(replace(home.membership(), service="nosuch.invalid:7443"))


def closed_port(home: Home, coordinator: Coordinator) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home.remember(replace(home.membership(), service=f"localhost:{port}"))


def port_without_tls(home: Home, coordinator: Coordinator) -> None:
    plain = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            peer = plain.accept()[0]
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.close()
        plain.close()

    threading.Thread(target=serve, daemon=True).start()
    home.remember(replace(home.membership(), service=f"127.0.0.1:{plain.getsockname()[1]}"))


def another_authority(home: Home, coordinator: Coordinator) -> None:
    home.remember(replace(home.membership(), ca=make_ca(FED)[0].decode()))


def registry_down(home: Home, coordinator: Coordinator) -> None:
    coordinator.broken = "no registry"


def slow_clock(home: Home, coordinator: Coordinator) -> None:
    node = home.open(lambda: time.time() + 86_400)
    with node.journal.write("policy") as log:
        from collegium_node.policy import NOTHING
        from collegium_node.steward import sign_if_changed

        sign_if_changed(log, NOTHING)
    node.close()


def name_taken(home: Home, coordinator: Coordinator) -> None:
    coordinator.ministry.revoke(NODE)
    coordinator.ministry.register("node", NODE)


def no_snapshot_folder(home: Home, coordinator: Coordinator) -> None:
    node = home.open(time.time)
    from collegium_node import shelf

    with node.journal.write("snapshot") as log:
        shelf.add(log.db, shelf.Shelved("00000000000000a1", "autumn", int(time.time()), "small/1", ("graduate",), True))
    node.close()


BROKEN = {
    broken_settings: "settings",
    no_membership: "membership",
    touched_log: "database",
    old_certificate: "certificate",
    unknown_host: "name",
    closed_port: "connection",
    port_without_tls: "TLS",
    another_authority: "TLS",
    registry_down: "registry",
    slow_clock: "clock",
    name_taken: "own name",
    no_snapshot_folder: "snapshot",
}


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Coordinator]]:
    running = Coordinator(Ministry(SCHEMA))
    root = tmp_path_factory.mktemp("joined") / "node"
    init(root)
    join(Home(root), running.token(), clock=time.time)
    yield root, running
    running.server.stop(None).wait()


@pytest.mark.parametrize("what", BROKEN, ids=lambda what: what.__name__)
def test_doctor_names_the_hop_that_fails(joined: tuple[Path, Coordinator], tmp_path: Path, what: Callable[..., None]) -> None:
    template, coordinator = joined
    entries = list(coordinator.ministry.entries)
    shutil.copytree(template, tmp_path / "node")
    home = Home(tmp_path / "node")
    what(home, coordinator)
    findings = list(examine(home, clock=time.time))
    coordinator.broken, coordinator.ministry.entries = "", entries
    failed = [finding for finding in findings if finding.state == "failed"]
    assert [finding.hop for finding in failed] == [BROKEN[what]]
    assert failed[0].remedy
    assert failed[0].text


def test_doctor_finds_a_new_node_healthy_and_says_what_is_left_to_do(joined: tuple[Path, Coordinator]) -> None:
    findings = {finding.hop: finding for finding in examine(Home(joined[0]), clock=time.time)}
    assert {hop for hop, finding in findings.items() if finding.state != "ok"} == {"snapshot", "policy"}
    assert all(finding.remedy for finding in findings.values() if finding.state == "warning")


def test_a_researcher_who_joined_later_is_found_at_the_coordinator(joined: tuple[Path, Coordinator], tmp_path: Path) -> None:
    from collegium_node.steward_cli import _key_of

    template, coordinator = joined
    shutil.copytree(template, tmp_path / "node")
    researcher = Researcher(coordinator.ministry, "newcomer")
    node = Home(tmp_path / "node").open(time.time)
    assert _key_of(node, "newcomer") == researcher.key.vkey
    with pytest.raises(CollegiumError):
        _key_of(node, "nobody")
    node.close()
