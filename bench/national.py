"""A national sum of n universities and L cells: time against the bare floor, error against one central mechanism, memory against n.

    python bench/national.py                            # a minute or two
    python bench/national.py --nodes 10,100,1000,3074   # about ten minutes on two cores

This process is the coordinator. `--processes` others hold the nodes between them, three more are the trustees. Plan, roster, sealed
seeds, masks, commitments, signatures and lists are the product's own, and so is the line: a mutual TLS tunnel for each node. The
ways take turns within a round; figures are medians, ratios are of the same run.

- `floor`   a bare grpc.aio unary call to each node, on a TLS connection of its own, with the very bytes of `Submit` there and back,
            nothing parsed, nothing stored; and OpenDP's noise of one node
- `sum`     one node's own work (noise, three masks, three seals, signature); Submit down n tunnels, each vector verified, stored
            durably and added as it comes; PREPARE by three trustees; CLOSE; UNMASK by three; RESULT; the check by the one drawn

What stands in for something: nodes would work at once, each on its own machine, so their vectors are hidden before the clock
starts, and one node's own work is added once. The trustees' lists pass through pipes instead of tunnels, and all three trustees
share this machine's processors. Logs, witnesses and ledgers take no part: `make rehearsal` measures the whole. Combinations whose
vectors weigh more than `--most` MiB are left out, and it is said.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from collegium.body import Blob, LogPlace, RegistryView
from collegium.log.note import Signer, encode_base64
from collegium.log.statement import statement_id
from collegium.national.addition import Total, read_vector, vector_digest
from collegium.national.lists import Participant, Participants, Roster, RosterNode
from collegium.national.plan import Wanted, plan_parts
from collegium.national.seal import SealingKey
from collegium.national.share import Share, Tolerance, fits_64_bits, make_share, sigma_for
from collegium.national.statements import Close, Plan, PlanTrustee, Submit, plan_digest
from collegium.national.submission import check_submission, hide, mask_total, open_submission
from collegium.tls import issue, make_ca, make_key_and_csr
from collegium.transport.accept import TunnelServicer, add_tunnel
from collegium.transport.channels import TlsFiles, client_channel, listen, new_server, server_credentials
from collegium.transport.dial import dial_once
from collegium.transport.dispatch import handlers_of
from collegium.transport.endpoint import Endpoint
from collegium.transport.files import raise_file_limit
from collegium.transport.peer import Peer
from collegium.v1 import node_pb2

FED = "bench"
NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
TOLERANCE = Tolerance(50_000, 0)  # 5 % may drop out
BOTH = Tolerance(50_000, 50_000)  # and 5 % collude: what the coordinator plans with by default
RHO = 5 * 10**7  # nano-rho for the whole vector: sigma of 10 steps at a sensitivity of one
PARALLEL = 64  # calls in flight at most
IN_FLIGHT = 32 * 2**20  # bytes of vectors in flight at most
NOW = 1_800_000_000


def signer(kind: str, number: int) -> Signer:
    """Keys that every process of the benchmark can make for itself."""
    return Signer.from_seed(f"{FED}/{kind}-{number:05}/statements", hashlib.sha256(f"{kind} {number}".encode()).digest())


def sealing(place: int) -> SealingKey:
    return SealingKey(hashlib.shake_256(f"trustee {place}".encode()).digest(96))


def raw_blob(raw: bytes) -> Blob:
    return Blob(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))


def head(who: str) -> dict[str, Any]:
    root = encode_base64(hashlib.sha256(b"registry").digest())
    return {"log": LogPlace(origin=f"{FED}/{who}", index=7), "registry": RegistryView(size=40, root=root), "time": NOW}


def reach_of(cells: int, nodes: int) -> Wanted:
    """One component as the question would state it, with the largest power of two that fits as its reach."""
    share = make_share(sigma_for(RHO, 1, 1), TOLERANCE.honest(nodes))
    power = max(j for j in range(40) if fits_64_bits(1 << j, nodes, share))
    return Wanted(cells, 1, RHO, 1 << min(power, 24))


def at_once(length: int) -> int:
    """Calls in flight, so that memory does not grow with the number of nodes."""
    return max(2, min(PARALLEL, IN_FLIGHT // (2 * 8 * length)))


def make_plan(nodes: int, cells: int) -> tuple[Plan, bytes, Roster]:
    roster = Roster(nodes=tuple(RosterNode(node=f"node-{n:05}", key=signer("node", n).vkey) for n in range(nodes)))
    trustees = tuple(
        PlanTrustee(trustee=f"trustee-{n}", key=signer("trustee", n).vkey, sealing=encode_base64(sealing(n).public))
        for n in range(3)
    )
    plan = Plan(
        **head("coordinator"), request="a" * 64, number=0, question="b" * 64, nonce=os.urandom(16).hex(), nodes=nodes,
        roster=roster.blob, dropout=TOLERANCE.dropout, colluding=TOLERANCE.colluding, least=TOLERANCE.least(nodes),
        honest=TOLERANCE.honest(nodes), homes=1, parts=plan_parts((reach_of(cells, nodes),), nodes, TOLERANCE, 1),
        trustees=trustees, deadline=NOW + 3600,
    )  # fmt: skip
    return plan, plan.sign(signer("coordinator", 0)), roster


# -- the nodes -----------------------------------------------------------------------------------------------------------------


class Nodes:
    """The members `first` to `first + count` of every plan. Their submissions are ready before they are asked."""

    def __init__(self, first: int, count: int) -> None:
        self.members = range(first, first + count)
        self.ready: dict[int, bytes] = {}  # SubmitReply by member

    def prepare(self, plan_note: bytes, members: Iterable[int]) -> tuple[dict[str, float], bytes]:
        """Hide a vector for each member; seconds of one node's own work, and the sum of the hidden values."""
        from collegium_node.national_noise import SharedPart, add_share

        plan = Plan.read(plan_note)
        parts = [SharedPart(part.cells, Share(part.fine, float(part.scale)), part.reach) for part in plan.parts]
        exact = np.arange(plan.length, dtype=np.int64) % 1000
        began = time.perf_counter()
        unmasked = add_share(parts, exact)
        noise = time.perf_counter() - began
        total, hiding = np.zeros(plan.length, dtype=np.uint64), []
        self.ready.clear()
        for member in members:
            began = time.perf_counter()
            key = signer("node", member)
            hidden = hide(plan_note, plan, member, key.verifier, unmasked)
            note = Submit(
                **head(f"node-{member:05}"), plan=plan_digest(plan_note).hex(), member=member, decision=5,
                seeds=tuple(hashlib.sha256(each).hexdigest() for each in hidden.sealed),
                vector=Blob(sha256=vector_digest(hidden.vector), size=8 * plan.length), commitment=hidden.commitment,
            ).sign(key)  # fmt: skip
            hiding.append(time.perf_counter() - began)
            total += unmasked
            reply = node_pb2.SubmitReply(
                verdict=node_pb2.QuestionAnswer.RELEASED, submit=note, sealed=hidden.sealed, vector=hidden.vector.tobytes()
            )
            self.ready[member] = reply.SerializeToString()
        return {"noise": noise, "hide": statistics.median(hiding or [0.0])}, total.tobytes()


class OneNode:
    """What stands behind one tunnel."""

    def __init__(self, nodes: Nodes, member: int) -> None:
        self.nodes, self.member = nodes, member

    async def Submit(self, _request: node_pb2.SubmitRequest, _context: Any) -> node_pb2.SubmitReply:
        return node_pb2.SubmitReply.FromString(self.nodes.ready[self.member])

    async def unused(self, _request: Any, _context: Any) -> Any:
        raise NotImplementedError

    Status = Learn = Answer = Closed = unused


def certificate(folder: Path, role: str, name: str) -> TlsFiles:
    ca, ca_key = (folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes()
    key, csr = make_key_and_csr(FED, role, name)
    return TlsFiles(ca=ca, chain=issue(ca, ca_key, csr, role=role, name=name), key=key)


async def host(folder: Path, address: str, first: int, count: int) -> None:
    """Says its port; then takes lines of {plan file, n} and answers with its times and, in a file, its sum. Killed at the end."""
    nodes, mine = Nodes(first, count), certificate(folder, "node", "host")
    server = new_server()

    async def echo(payload: bytes, _context: Any) -> bytes:
        return nodes.ready[int.from_bytes(payload[-4:], "big")]

    bare = grpc.method_handlers_generic_handler("bench.Bare", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server.add_generic_rpc_handlers((bare,))
    port = listen(server, "127.0.0.1:0", server_credentials(lambda: mine))
    await server.start()
    files = certificate(folder, "node", f"host-{first}")
    tunnels = []
    for member in nodes.members:
        named = certificate(folder, "node", f"node-{member:05}")
        open_channel = partial(client_channel, address, ca=files.ca, server="coordinator", me=named)
        handlers = handlers_of(OneNode(nodes, member), NODE, peer=Peer(FED, "coordinator", "coordinator"))
        tunnels.append(asyncio.ensure_future(dial_once(open_channel, handlers, lambda _endpoint: None)))
        if member % 50 == 0:
            await asyncio.sleep(0.05)
    print(port, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        members = [member for member in nodes.members if member < asked["nodes"]]
        seconds, total = await asyncio.to_thread(nodes.prepare, Path(asked["plan"]).read_bytes(), members)
        (folder / f"sum-{first}").write_bytes(total)
        print(json.dumps(seconds), flush=True)


# -- the trustees --------------------------------------------------------------------------------------------------------------


def prepare(place: int, plan_note: bytes, roster: bytes, sent: Sequence[tuple[bytes, bytes]]) -> tuple[float, dict[int, bytes]]:
    """One trustee opens its seeds: seconds, and the seeds by member."""
    began = time.perf_counter()
    listed, key = Roster.from_blob(roster, Plan.read(plan_note).roster), sealing(place)
    seeds = {}
    for note, sealed in sent:
        submit, seed = open_submission(note, sealed, plan_note, listed, place, key)
        seeds[submit.member] = seed
    return time.perf_counter() - began, seeds


def unmask(place: int, plan_note: bytes, participants: bytes, named: Blob, seeds: dict[int, bytes]) -> tuple[float, bytes]:
    """One trustee adds up its masks."""
    began = time.perf_counter()
    listed = Participants.from_blob(participants, named)
    masks = mask_total(plan_note, Plan.read(plan_note).length, place, listed, seeds)
    return time.perf_counter() - began, masks.tobytes()


def add_again(folder: Path, participants: bytes, named: Blob, length: int, masks: Sequence[bytes]) -> tuple[float, bytes]:
    """The trustee drawn by lot: every vector read, its digest compared, added; the masks subtracted."""
    began = time.perf_counter()
    total = Total(length)
    for each in Participants.from_blob(participants, named).members:
        with (folder / each.vector).open("rb") as file:
            total.add(read_vector(file, length, each.vector, place="check"))
    for raw in masks:
        total.subtract([np.frombuffer(raw, dtype="<u8")])
    return time.perf_counter() - began, total.modular().tobytes()


# -- the coordinator -----------------------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """Seconds of one round."""

    floor: float
    noise: float
    hide: float
    submit: float
    prepare: float
    prepare_each: float
    unmask: float
    unmask_each: float
    check: float
    sum: float
    memory: float  # MiB that this process needed at most beyond what it had


class Coordinator:
    def __init__(self, folder: Path, endpoints: dict[str, Endpoint], bare: list[Any], pool: ProcessPoolExecutor) -> None:
        self.vectors, self.endpoints, self.bare, self.pool = folder / "vectors", endpoints, bare, pool
        self.vectors.mkdir()

    async def floor(self, nodes: int, length: int, payload: bytes) -> float:
        """The bytes, there and back, with as many calls in flight."""
        slots = asyncio.Semaphore(at_once(length))

        async def one(member: int) -> None:
            async with slots:
                await self.bare[member](payload + member.to_bytes(4, "big"), timeout=600)

        began = time.perf_counter()
        await asyncio.gather(*(one(member) for member in range(nodes)))
        return time.perf_counter() - began

    async def round(self, plan: Plan, note: bytes, roster: Roster, payload: bytes) -> tuple[dict[str, float], bytes]:
        """From the first Submit to the checked result."""
        loop, slots = asyncio.get_running_loop(), asyncio.Semaphore(at_once(plan.length))
        total, taken = Total(plan.length), dict[int, tuple[str, str, bytes, tuple[bytes, ...]]]()

        async def one(member: int) -> None:
            async with slots:
                raw = await self.endpoints[f"node-{member:05}"].call("/collegium.v1.Node/Submit", payload, timeout=600)
                reply = node_pb2.SubmitReply.FromString(raw)
                submit = check_submission(reply.submit, note, roster)
                await asyncio.to_thread(self.keep, submit.vector.sha256, reply.vector)
                if [hashlib.sha256(each).hexdigest() for each in reply.sealed] != list(submit.seeds):
                    raise ValueError("sealed seeds")
                total.add([np.frombuffer(reply.vector, dtype="<u8")])
                taken[submit.member] = statement_id(reply.submit), submit.vector.sha256, reply.submit, tuple(reply.sealed)

        times, began = {}, time.perf_counter()
        await asyncio.gather(*(one(member) for member in range(plan.nodes)))
        times["submit"] = time.perf_counter() - began
        began, raw_roster = time.perf_counter(), roster.to_blob()
        sent = [[(taken[m][2], taken[m][3][place]) for m in sorted(taken)] for place in range(3)]
        prepared = await asyncio.gather(
            *(loop.run_in_executor(self.pool, prepare, place, note, raw_roster, sent[place]) for place in range(3))
        )
        listed = Participants(members=tuple(Participant(member=m, submit=taken[m][0], vector=taken[m][1]) for m in sorted(taken)))
        close = Close(
            **head("coordinator"), plan=plan_digest(note).hex(), prepares=("c" * 64, "d" * 64, "e" * 64), participants=listed.blob,
            count=len(listed.members),
        )  # fmt: skip
        close.sign(signer("coordinator", 0))
        times["prepare"], times["prepare_each"] = time.perf_counter() - began, max(seconds for seconds, _ in prepared)
        began, raw = time.perf_counter(), listed.to_blob()
        unmasked = await asyncio.gather(
            *(loop.run_in_executor(self.pool, unmask, place, note, raw, listed.blob, prepared[place][1]) for place in range(3))
        )
        for _, masks in unmasked:
            total.subtract([np.frombuffer(masks, dtype="<u8")])
        times["unmask"], times["unmask_each"] = time.perf_counter() - began, max(seconds for seconds, _ in unmasked)
        began, result = time.perf_counter(), total.modular().tobytes()
        again = partial(add_again, self.vectors, raw, listed.blob, plan.length, [masks for _, masks in unmasked])
        _, checked = await loop.run_in_executor(self.pool, again)
        times["check"] = time.perf_counter() - began
        if checked != result:
            raise ValueError("the check is another sum")
        return times, result

    def keep(self, sha256: str, vector: bytes) -> None:
        """A file by its digest, on the disk before anybody is told."""
        if hashlib.sha256(vector).hexdigest() != sha256:
            raise ValueError("vector")
        with (self.vectors / sha256).open("wb") as file:
            file.write(vector)
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        for path in self.vectors.iterdir():
            path.unlink()


def memory(*, most: bool = False) -> float:
    """MiB of this process, now or at most since `reset_memory`."""
    name = "VmHWM" if most else "VmRSS"
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def reset_memory() -> None:
    gc.collect()
    with contextlib.suppress(OSError):  # the figure is then of the whole run so far
        Path("/proc/self/clear_refs").write_text("5")


async def measure(sizes: Sequence[int], cells: Sequence[int], rounds: int, processes: int, most: float) -> dict[str, Any]:
    """Everything, by size and cells: a Measured, or why it was left out."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, top = Path(temporary), max(sizes)
        for name, pem in zip(("ca.pem", "ca.key"), make_ca(FED), strict=True):
            (folder / name).write_bytes(pem)
        mine = certificate(folder, "coordinator", "coordinator")
        endpoints: dict[str, Endpoint] = {}
        tunnels = TunnelServicer(lambda _: {}, lambda peer, end: endpoints.update({peer.name: end}), lambda _peer, _end: None)
        server = new_server()
        add_tunnel(server, tunnels)
        port = listen(server, "127.0.0.1:0", server_credentials(lambda: mine))
        await server.start()
        share = -(-top // processes)
        hosts = []
        for first in range(0, top, share):
            place = [str(folder), f"127.0.0.1:{port}", str(first), str(min(share, top - first))]
            command = [sys.executable, "-P", __file__, "--host", *place]  # -P: no neighbour of this file passes for a package
            hosts.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        pool = ProcessPoolExecutor(3, mp_context=get_context("spawn"))
        try:
            bare: list[Any] = []
            for number, process in enumerate(hosts):
                assert process.stdout is not None
                address = f"127.0.0.1:{int(await asyncio.to_thread(process.stdout.readline))}"
                for _ in range(min(share, top - number * share)):
                    channel = client_channel(address, ca=mine.ca, server="host", me=mine)
                    bare.append(channel.unary_unary("/bench.Bare/Echo"))
            while len(endpoints) < top:
                await asyncio.sleep(0.1)
            coordinator = Coordinator(folder, endpoints, bare, pool)
            for length in cells:
                for nodes in sizes:
                    key = f"{nodes} {length}"
                    if nodes * length * 8 / 2**20 > most:
                        found[key] = f"left out: its vectors weigh {nodes * length * 8 / 2**20:,.0f} MiB"
                        continue
                    taken = [await once(coordinator, hosts, folder, nodes, length, number) for number in range(rounds + 1)]
                    found[key] = {
                        name: statistics.median(getattr(each, name) for each in taken[1:]) for name in Measured.__annotations__
                    }
                    print_line(nodes, length, found[key])
        finally:
            pool.shutdown(cancel_futures=True)
            for process in hosts:
                process.kill()
            await tunnels.close(grace=0)
            await server.stop(0)
    return found


async def once(
    coordinator: Coordinator, hosts: list[subprocess.Popen[str]], folder: Path, nodes: int, length: int, number: int
) -> Measured:
    """One round of both ways, in turns; the sum is compared with what the nodes have hidden."""
    plan, note, roster = make_plan(nodes, length)
    (folder / "plan").write_bytes(note)
    for process in hosts:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"plan": str(folder / "plan"), "nodes": nodes}) + "\n")
        process.stdin.flush()
    own = [json.loads(await asyncio.to_thread(process.stdout.readline)) for process in hosts]  # type: ignore[union-attr]
    request = node_pb2.SubmitRequest(request=bytes(2_000), details=bytes(200), receipt=bytes(600), plan=note)
    request.plan_receipt, request.chosen = bytes(600), bytes((nodes + 7) // 8)
    payload = request.SerializeToString()
    reset_memory()
    before = memory()
    floor = await coordinator.floor(nodes, length, payload) if number % 2 else 0.0
    before = max(before, memory())
    reset_memory()
    times, result = await coordinator.round(plan, note, roster, payload)
    needed = memory(most=True) - before
    floor = floor or await coordinator.floor(nodes, length, payload)
    coordinator.forget()
    due = np.zeros(length, dtype=np.uint64)
    for path in folder.glob("sum-*"):
        due += np.frombuffer(path.read_bytes(), dtype=np.uint64)
    if due.tobytes() != result:
        raise ValueError("the total is not the sum of what was hidden")
    noise, hiding = own[0]["noise"], own[0]["hide"]
    stages = sum(times[name] for name in ("submit", "prepare", "unmask", "check"))
    return Measured(floor=floor + noise, noise=noise, hide=hiding, sum=noise + hiding + stages, memory=needed, **times)


# -- error ---------------------------------------------------------------------------------------------------------------------


def error_against_central(nodes: int, cells: int) -> tuple[float, float, float]:
    """Standard deviation of the released noise over that of one mechanism of the same rho, everybody present: exact with 5 %
    dropouts tolerated, exact with 5 % colluding nodes besides, and as drawn by OpenDP in the first case.
    """
    from collegium_node.national_noise import SharedPart, add_share

    sigma, honest = sigma_for(RHO, 1, 1), TOLERANCE.honest(nodes)
    share = make_share(sigma, honest)
    total = np.zeros(cells, dtype=np.uint64)
    for _ in range(nodes):
        total += add_share([SharedPart(cells, share, 1)], np.zeros(cells, dtype=np.int64))
    drawn = float(np.sqrt(np.mean(np.square(total.view(np.int64).astype(float))))) / 2.0**share.fine
    return math.sqrt(nodes / honest), math.sqrt(nodes / BOTH.honest(nodes)), drawn / sigma


# -- the table -----------------------------------------------------------------------------------------------------------------

HEADINGS = ("n", "L", "floor s", "sum s", "x floor", "noise ms", "hide ms", "submit s", "prepare s", "unmask s", "check s", "MiB")


def print_line(nodes: int, length: int, one: dict[str, float]) -> None:
    cells = (
        f"{nodes:,}", f"{length:,}", f"{one['floor']:.2f}", f"{one['sum']:.2f}", f"{one['sum'] / one['floor']:.2f}",
        f"{one['noise'] * 1e3:.1f}", f"{one['hide'] * 1e3:.1f}", f"{one['submit']:.2f}", f"{one['prepare']:.2f}",
        f"{one['unmask']:.2f}", f"{one['check']:.2f}", f"{one['memory']:.0f}",
    )  # fmt: skip
    print("  ".join(f"{cell:>9}" for cell in cells), flush=True)


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=numbers, default=[10, 100], help="such as 10,100,1000,3074")
    parser.add_argument("--cells", type=numbers, default=[1, 1000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="processes that hold the nodes")
    parser.add_argument("--most", type=float, default=1000.0, help="MiB of vectors beyond which a combination is left out")
    parser.add_argument("--drawn", type=int, default=1000, help="cells in which the noise is drawn and its deviation measured")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--host", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    raise_file_limit()
    if given.host:
        folder, address, first, count = given.host
        asyncio.run(host(Path(folder), address, int(first), int(count)))
        return
    print("  ".join(f"{name:>9}" for name in HEADINGS))
    found = asyncio.run(measure(given.nodes, given.cells, given.rounds, given.processes, given.most))
    for key, why in found.items():
        if isinstance(why, str):
            print(f"n L = {key}: {why}")
    print(f"\n{'n':>9}{'exact':>12}{'and colluding':>16}{'drawn':>12}   standard deviation, times that of one central mechanism")
    errors = {}
    for nodes in given.nodes:
        exact, both, drawn = errors[nodes] = error_against_central(nodes, given.drawn)
        print(f"{nodes:>9,}{exact:>12.4f}{both:>16.4f}{drawn:>12.4f}   (sampling error {1 / math.sqrt(2 * given.drawn):.3f})")
    if given.json:
        given.json.write_text(json.dumps({"times": found, "errors": errors}, indent=1) + "\n")


if __name__ == "__main__":
    main()
