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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from national_parties import (
    BOTH,
    FED,
    RHO,
    TOLERANCE,
    add_again,
    at_once,
    certificate,
    head,
    make_plan,
    prepare,
    signer,
    unmask,
)

from collegium.log.statement import statement_id
from collegium.national.addition import Total
from collegium.national.lists import Participant, Participants, Roster
from collegium.national.share import make_share, sigma_for
from collegium.national.statements import Close, Plan, plan_digest
from collegium.national.submission import check_submission
from collegium.tls import make_ca
from collegium.transport.accept import TunnelServicer, add_tunnel
from collegium.transport.channels import client_channel, listen, new_server, server_credentials
from collegium.transport.endpoint import Endpoint
from collegium.transport.files import raise_file_limit
from collegium.v1 import node_pb2

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
            command = [
                sys.executable,
                "-P",
                str(Path(__file__).with_name("national_parties.py")),
                *place,
            ]  # -P: no neighbour of this file passes for a package
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
    given = parser.parse_args()
    raise_file_limit()
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
