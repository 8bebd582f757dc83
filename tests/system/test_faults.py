"""What may go wrong between the parties and below them: certificates that end, messages nobody should send, a disk that is full.

Failure: a connection where there must be none, an untyped error, a request or a charge from a bad message, a home that a full disk
leaves half-written, a charge that a full disk loses. The certificates are real ones of the federation's authority with very short
lives, or long over; the disk is one of its own with a fixed size.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation
from small import (
    RESEARCHER,
    Heard,
    Line,
    as_researcher,
    ask,
    campus,
    charged,
    content,
    copy_ministry,
    free_port,
    is_an_error,
    open_small,
    people,
    typed,
    write_rows,
)

from collegium.client import Federation as Client
from collegium.errors import Exit
from collegium.home import Home
from collegium.statements import Request
from collegium.tls import expires_at, issue, make_key_and_csr
from collegium.v1.federation_pb2 import AskRequest

NODE, SPARE = "univ-a", "univ-s"  # the spare one is installed and not served: its home is copied
ROWS = people(60)
COUNT = "SELECT COUNT(*) AS n FROM graduate"
DAY = 86_400.0
ASK = "/collegium.v1.Federation/Ask"

pytestmark = pytest.mark.timeout(600)  # starting a federation takes a while on a busy machine


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    opened = open_small(tmp_path_factory.mktemp("federation"), campus(NODE, ROWS))
    spare = campus(SPARE, ROWS)
    opened.install(spare, opened.invite_node(spare))
    yield opened
    opened.stop()


@pytest.fixture(scope="module")
def ministry(federation: Federation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its ports are taken, since the original serves."""
    return copy_ministry(federation, tmp_path_factory.mktemp("ministry"))


# ---------------------------------------------------------------- certificates


def _rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def certificate(federation: Federation, home: Path, role: str, name: str, *, life: float, age: float) -> float:
    """Put a certificate into a home that the federation's authority issued `age` seconds ago for `life` seconds. Its end."""
    keys = federation.home / "keys"
    csr = (home / "keys" / "tls.csr").read_bytes()
    began = time.time() - age
    ca = (keys / "ca.pem").read_bytes(), (keys / "ca.key").read_bytes()
    chain = issue(*ca, csr, role=role, name=name, lifetime=life, clock=lambda: began)
    (home / "keys" / "tls.pem").write_bytes(chain)
    return expires_at(chain)


@pytest.mark.parametrize(
    ("life", "age", "renewed"), [(3600, 7200, True), (60, 45, True), (DAY, 0.7 * DAY, True), (DAY, 0.5 * DAY, False)]
)
def test_a_researchers_certificate_renews_itself_from_two_thirds_of_its_life_on(
    federation: Federation, tmp_path: Path, life: float, age: float, renewed: bool
) -> None:
    """Also long after it has expired: the statement key proves who asks."""
    home = tmp_path / "home"
    shutil.copytree(federation.researcher_home(RESEARCHER), home)
    end = certificate(federation, home, "researcher", RESEARCHER, life=life, age=age)
    assert typed("collegium", "nodes", home=home).code == Exit.OK
    now = expires_at((home / "keys" / "tls.pem").read_bytes())
    assert (now > end) == renewed
    assert now - end > 80 * 86_400 or not renewed


def test_an_expired_certificate_without_an_enrolment_port_is_said_so(federation: Federation, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(federation.researcher_home(RESEARCHER), home)
    _rewrite(home / "config.json", f"127.0.0.1:{federation.enrol}", f"127.0.0.1:{free_port()}")
    certificate(federation, home, "researcher", RESEARCHER, life=60, age=45)
    assert typed("collegium", "nodes", home=home).code == Exit.OK  # still good, though nobody renews it
    certificate(federation, home, "researcher", RESEARCHER, life=3600, age=7200)
    before = content(home)
    is_an_error(typed("collegium", "nodes", home=home), Exit.OFFLINE, "Cannot be reached")
    assert content(home) == before


def test_an_expired_certificate_opens_no_connection(federation: Federation, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(federation.researcher_home(RESEARCHER), home)
    certificate(federation, home, "researcher", RESEARCHER, life=3600, age=7200)
    with _line(federation, home / "keys") as line:
        assert line.call("/collegium.v1.Federation/Nodes", b"").code == "UNAVAILABLE"


@pytest.mark.parametrize(("life", "age"), [(3600, 7200), (30, 22)])
def test_a_nodes_certificate_renews_itself_while_it_serves(federation: Federation, life: float, age: float) -> None:
    home = federation.node_home(NODE)
    federation.kill(NODE)
    end = certificate(federation, home, "node", NODE, life=life, age=age)
    if age > life:
        said = typed("collegium-node", "doctor", home=home)
        assert said.code == Exit.FAILED
        assert "expired" in said.out
    federation.start_node(NODE)
    until = time.monotonic() + 60
    while expires_at((home / "keys" / "tls.pem").read_bytes()) == end and time.monotonic() < until:
        time.sleep(0.1)
    assert expires_at((home / "keys" / "tls.pem").read_bytes()) - time.time() > 80 * 86_400
    federation.wait_connected(RESEARCHER, 1)
    assert ask(federation, COUNT, "--rho", "0.125")["tables"][0]["coverage"]["answered"] >= 1


def test_the_coordinators_own_certificate_is_made_anew_when_it_starts(federation: Federation) -> None:
    federation.kill("coordinator")
    keys = federation.home / "keys"
    key, csr = make_key_and_csr("small", "coordinator", "coordinator")
    began = time.time() - 7200
    ca = (keys / "ca.pem").read_bytes(), (keys / "ca.key").read_bytes()
    chain = issue(*ca, csr, role="coordinator", name="coordinator", hosts=["127.0.0.1"], lifetime=3600, clock=lambda: began)
    (keys / "tls.key").write_bytes(key)
    (keys / "tls.pem").write_bytes(chain)
    federation.serve()
    federation.wait_connected(RESEARCHER, 1)  # a researcher and a node have both accepted the new one
    assert expires_at((keys / "tls.pem").read_bytes()) > time.time()


# ---------------------------------------------------------------- messages


def _line(federation: Federation, keys: Path) -> Line:
    ca = (federation.home / "keys" / "ca.pem").read_bytes()
    return Line(f"127.0.0.1:{federation.port}", server="coordinator", keys=keys, ca=ca)


def _reason(heard: Heard) -> str:
    return str(json.loads(heard.details).get("reason", "")) if heard.details.startswith("{") else ""


def test_bad_messages_to_the_coordinator_are_refused_and_leave_nothing(federation: Federation, tmp_path: Path) -> None:
    with Client(Home(federation.researcher_home(RESEARCHER))) as client:
        prepared = client.prepare(COUNT, rho=0.25)
    before = json.loads(typed("collegium", "requests", "--json", home=federation.researcher_home(RESEARCHER)).out)
    paid = charged(federation, NODE)
    place = prepared.note.index(b'"nonce":"') + len(b'"nonce":"')
    changed = prepared.note[:place] + (b"0" if prepared.note[place : place + 1] != b"0" else b"1") + prepared.note[place + 1 :]
    cases = {
        "changed byte": (changed, prepared.details, "UNAUTHENTICATED"),
        "changed details": (prepared.note, prepared.details.replace(b'"purpose":""', b'"purpose":"x"'), "INVALID_ARGUMENT"),
        "cut note": (prepared.note[:-40], prepared.details, "INVALID_ARGUMENT"),
        "huge note": (b"x" * (1 << 20), b"", "INVALID_ARGUMENT"),
        "huge details": (prepared.note, b"x" * (1 << 20), "INVALID_ARGUMENT"),
        "huge message": (b"x" * (65 << 20), b"", "RESOURCE_EXHAUSTED"),
        "deep note": (
            b"collegium/v1/request\n" + b"[" * 30_000 + b"]" * 30_000 + b"\n\n\xe2\x80\x94 a b\n",
            b"",
            "INVALID_ARGUMENT",
        ),
    }
    with as_researcher(federation) as line:
        for name, (note, details, code) in cases.items():
            heard = line.call(ASK, AskRequest(request=note, details=details).SerializeToString(), stream=True)
            assert heard.code == code, (name, heard)
            assert "Traceback" not in heard.details
        assert line.call(ASK, b"\xff\xff", stream=True).code == "INVALID_ARGUMENT"
        assert line.call("/collegium.v1.Federation/Dump", b"").code == "UNIMPLEMENTED"
        # And the same line takes the right one.
        right = AskRequest(request=prepared.note, details=prepared.details).SerializeToString()
        assert line.call(ASK, right, stream=True).code == "OK"
    after = json.loads(typed("collegium", "requests", "--json", home=federation.researcher_home(RESEARCHER)).out)
    assert [each["request"] for each in after] == [prepared.id, *(each["request"] for each in before)]
    assert charged(federation, NODE) - paid == prepared.rho


def test_an_unknown_researcher_gets_nothing(federation: Federation, tmp_path: Path) -> None:
    """A certificate of the federation's authority for a name that the registry does not hold; a request in another's name."""
    key, csr = make_key_and_csr("small", "researcher", "mallory")
    keys = federation.home / "keys"
    ca = (keys / "ca.pem").read_bytes(), (keys / "ca.key").read_bytes()
    (tmp_path / "tls.key").write_bytes(key)
    (tmp_path / "tls.pem").write_bytes(issue(*ca, csr, role="researcher", name="mallory", lifetime=3600))
    with Client(Home(federation.researcher_home(RESEARCHER))) as client:
        prepared = client.prepare(COUNT, rho=0.25)
    payload = AskRequest(request=prepared.note, details=prepared.details).SerializeToString()
    with _line(federation, tmp_path) as line:
        for method, stream in (
            (ASK, True),
            ("/collegium.v1.Federation/Nodes", False),
            ("/collegium.v1.Federation/Registry", False),
        ):
            heard = line.call(method, payload if stream else b"", stream=stream)
            assert (heard.code, _reason(heard)) == ("PERMISSION_DENIED", "identity"), method
    federation.join("chen-jie")  # registered, and handing in what another has signed
    with as_researcher(federation, "chen-jie") as line:
        assert line.call(ASK, payload, stream=True).code == "PERMISSION_DENIED"
    assert Request.read(prepared.note).researcher == RESEARCHER


# ---------------------------------------------------------------- a full disk


class Disk:
    """A disk of its own with a fixed size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def mount(self, kilobytes: int) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(self.folder)], check=True, capture_output=True
        )

    def grow(self, kilobytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(self.folder)], check=True, capture_output=True)

    def fill(self, *, leave: int) -> None:
        """Take all room but so many kilobytes."""
        # In pieces, and without complaint: somebody else may be writing there.
        with (self.folder / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
            while (room := shutil.disk_usage(self.folder).free - leave * 1024) > 0:
                ballast.write(b"\0" * min(room, 1 << 20))

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    try:
        made.mount(64_000)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a small disk")
    yield made
    subprocess.run(["umount", "-l", str(made.folder)], check=False, capture_output=True)


def test_a_snapshot_on_a_full_disk(federation: Federation, disk: Disk, tmp_path: Path) -> None:
    home = disk.folder / "node"
    shutil.copytree(federation.node_home(SPARE), home)
    big = write_rows(tmp_path, people(30_000))
    _rewrite(home / "node.toml", "data/graduate.csv", str(big))
    disk.fill(leave=300)
    before = content(home)
    is_an_error(typed("collegium-node", "snapshot", "second", home=home), Exit.FAILED, "cannot be written", "Free disk space")
    assert content(home) == before
    disk.free()
    assert typed("collegium-node", "snapshot", "second", home=home).code == Exit.OK


def test_joining_on_a_full_disk(federation: Federation, disk: Disk) -> None:
    node = federation.run(
        "collegium-coordinator", "invite", "node", "univ-d", "--fact", "province=31", "--home", federation.home
    ).strip()
    researcher = federation.invite_researcher("sun-yu")
    home = disk.folder / "node"
    assert typed("collegium-node", "init", home=home).code == Exit.OK
    disk.fill(leave=12)
    for program, token, where in (("collegium-node", node, home), ("collegium", researcher, disk.folder / "researcher")):
        is_an_error(typed(program, "join", token, home=where), Exit.FAILED, "cannot be")
    disk.free()
    for program, token, where in (("collegium-node", node, home), ("collegium", researcher, disk.folder / "researcher")):
        said = typed(program, "join", token, home=where)  # the same token: nothing was lost with the first try
        assert said.code == Exit.OK, said
    assert not list(disk.folder.rglob(".*.*"))  # no temporary file is left


def test_the_ministrys_commands_on_a_full_disk(federation: Federation, disk: Disk, ministry: Path) -> None:
    home = disk.folder / "ministry"
    shutil.copytree(ministry, home)
    shutil.copytree(ministry.with_name("copy-registry"), disk.folder / "ministry-registry")
    before = content(home)
    disk.fill(leave=0)
    is_an_error(typed("collegium-coordinator", "invite", "researcher", "he-jing", home=home), Exit.FAILED, "disk")
    disk.free()
    assert content(home) == before
    assert typed("collegium-coordinator", "invite", "researcher", "he-jing", home=home).out.startswith("collegium1.")


def test_a_serving_node_on_a_full_disk_ends_and_its_successor_goes_on(federation: Federation, disk: Disk) -> None:
    home = disk.folder / "node"
    shutil.copytree(federation.node_home(SPARE), home)
    federation.start(SPARE, "collegium-node", "serve", "--home", home)
    federation.wait_connected(RESEARCHER, 2)
    disk.fill(leave=60)
    with Client(Home(federation.researcher_home(RESEARCHER))) as client:
        asked = []
        while federation.processes[SPARE].poll() is None and len(asked) < 200:
            asked.append(client.prepare(f"{COUNT} WHERE salary > {len(asked)}", rho=0.01, nodes=[SPARE]))
            client.hand_in(asked[-1], deadline=60)
        process = federation.processes.pop(SPARE)
        assert process.wait(30) == Exit.FAILED
        log = (federation.root / "logs" / f"{SPARE}.log").read_text(encoding="utf-8")
        assert "StorageBroken" in log
        assert "Traceback" not in log
        disk.free()
        federation.start(SPARE, "collegium-node", "serve", "--home", home)
        federation.wait_connected(RESEARCHER, 2)
        answers = [client.result(prepared.id, wait=30) for prepared in asked]
    assert all(answer.coverage.answered == 1 for answer in answers)
    with closing(sqlite3.connect(home / "node.db")) as db:
        charges = dict(db.execute("SELECT digest, rho FROM charges"))
    digests = [prepared.questions[0].digest for prepared in asked]
    assert [charges[digest] for digest in digests] == [10_000_000] * len(asked)  # the table's key allows one charge for each
    federation.kill(SPARE)
