"""One real question to a hundred real nodes, against a bare gRPC echo of the same bytes, in one run.

    python bench/question.py --nodes 100

This process is the coordinator, with its database and logs, and the researcher who asks. `--processes` others host the nodes
between them: each with its own folder, keys, database, ledger, log, prepared snapshot, engine and OpenDP's noise, and its own
mutual TLS tunnel. Nothing is faked but that many nodes share a process, a machine and a disk; the rows are few (`--rows`), because
counting is measured in one_node.py. Every round asks a question that was never asked before: each node verifies, charges, counts,
adds noise, logs, and proves.

- `bare`      a grpc.aio unary call to each node's host on a TLS connection of its own; the handler returns ready bytes. Request and
              answer are the very bytes of the question before: same sizes, nothing parsed, nothing stored
- `question`  from handing in the signed request to the last node's answer verified and durable at the coordinator
- `figure`    after that: addition, post-processing, signing and logging the indicator, receipts, and the bundle on the line
- `witnessed` the same two with three witnesses for every log: every request, answer and indicator waits for its quorum

The ways take turns. Printed: medians, quartiles, and ratios of the medians to `bare`; the processor time that a question takes here
and at the nodes (which would not share two cores in life); then what the reader pays to verify.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from question_nodes import (
    DISCIPLINES,
    FEDERATION,
    PROVINCES,
    SCHEMA,
    certificate,
)

from collegium.bundle import KINDS, Bundle, verify
from collegium.bundlefile import verify_file, write_bundle
from collegium.enrolment import Keys, redeem
from collegium.keys import load_signer
from collegium.question import Question
from collegium.registry import Registry
from collegium.statements import Details, Request
from collegium.token import parse_token
from collegium.transport.channels import TlsFiles, client_channel
from collegium.v1.federation_pb2 import AskRequest, RegistryRequest, ResultRequest
from collegium.v1.federation_pb2_grpc import FederationStub
from collegium.v1.node_pb2 import AnswerReply, AnswerRequest, QuestionAnswer

HOSTS = Path(__file__).with_name("question_nodes.py")
VIEW = {
    "measures": [{"label": "n", "kind": "value", "parts": [0]}],
    "columns": [{"group": "province"}, {"group": "discipline"}, {"measure": 0}],
    "facts": [],
}


def question(rho: int) -> Question:
    """Graduates by province and discipline; another rho is another question."""
    return Question.from_json(
        {
            "dataset": "graduate",
            "group": [{"column": "province"}, {"column": "discipline"}],
            "components": [{"kind": "people", "rho": rho}],
            "bounds": {"max_groups": 1, "max_rows": 1},
            "mode": "per_node",
            "schema": "bench/1",
        }
    )


# -- the ministry --------------------------------------------------------------------------------------------------------------


class Ministry:
    """The coordinator in this process, the hosts, and the researcher's line."""

    def __init__(self, folder: Path, nodes: int, processes: int, rows: int) -> None:
        from collegium_coordinator.config import Home, Listen, Public, read_config
        from collegium_coordinator.registrar import Registrar, init
        from collegium_coordinator.serve import Coordinator

        self.folder = folder
        self.names = [f"u{number:03}" for number in range(nodes)]
        self.processes = processes
        self.rows = folder / "rows.csv"
        rng = random.Random(7)
        lines = [f"S{n},{11 + rng.randrange(PROVINCES)},{1 + rng.randrange(DISCIPLINES):02}" for n in range(rows)]
        self.rows.write_text("id,province,discipline\n" + "\n".join(lines) + "\n")
        home = Home(folder / "coordinator")
        port = free_port()
        founded = init(
            home,
            folder / "registry-key",
            federation=FEDERATION,
            schema=SCHEMA,
            delta="1e-6",
            listen=Listen(main=f"127.0.0.1:{port}", enrolment="127.0.0.1:0"),
            public=Public(main=f"127.0.0.1:{port}", enrolment="127.0.0.1:1", hosts=("127.0.0.1", "localhost")),
            clock=time.time,
        )
        self.vkey = founded.registry_vkey
        self.config = read_config(home)
        self.coordinator = Coordinator(home, self.config)
        self.registrar = partial(Registrar, home, folder / "registry-key", clock=time.time)
        self.hosts: list[subprocess.Popen[str]] = []
        self.asked = 0

    async def start(self) -> None:
        self.ports = await self.coordinator.start(self.config.listen)
        enrolment = f"127.0.0.1:{self.ports.enrolment}"
        registrar = self.registrar()
        token = await asyncio.to_thread(registrar.invite, "researcher", "alice", facts={}, expires=86_400)
        tokens = [
            await asyncio.to_thread(registrar.invite, "node", name, facts={}, enrolment=100, expires=86_400) for name in self.names
        ]
        registrar.close()
        self.keys = Keys(self.folder / "alice")
        import dataclasses

        parsed = dataclasses.replace(parse_token(token), address=enrolment)
        await asyncio.to_thread(redeem, parsed, self.keys, clock=time.time)
        self.ca = (self.folder / "coordinator/keys/ca.pem").read_bytes()
        shares = [list(zip(self.names, tokens, strict=True))[number :: self.processes] for number in range(self.processes)]
        self.shares = [len(share) for share in shares]
        for share in shares:
            # -P: no neighbour of this file may pass for a package that it imports.
            process = subprocess.Popen(
                [sys.executable, "-P", str(HOSTS), str(self.folder), enrolment, str(self.rows)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdin is not None
            process.stdin.write("".join(f"{name} {token}\n" for name, token in share) + "\n")
            process.stdin.flush()
            self.hosts.append(process)
        self.host_ports = [int(await asyncio.to_thread(process.stdout.readline)) for process in self.hosts if process.stdout]
        while not all(self.coordinator.nodes.connected(name) for name in self.names):
            await asyncio.sleep(0.1)
        chain, key = self.keys.tls()
        me = TlsFiles(self.ca, chain, key)
        self.stub = FederationStub(client_channel(f"127.0.0.1:{self.ports.main}", ca=self.ca, server="coordinator", me=me))
        self.signer = load_signer(self.keys.statements)
        self.registry = Registry(self.vkey)
        await self.refresh()

    async def refresh(self) -> None:
        more = True
        while more:
            reply = await self.stub.Registry(RegistryRequest(first=self.registry.size))
            self.registry.extend(list(reply.entries), reply.checkpoint, first=reply.first)
            more = reply.more

    async def assign(self) -> None:
        registrar = self.registrar()
        await asyncio.to_thread(registrar.assign_witnesses, 3)
        registrar.close()
        while self.coordinator.registry.size == self.registry.size:
            await asyncio.sleep(0.1)
        await self.refresh()
        for origin, size in (("bench/registry", self.registry.size), ("bench/coordinator", 1)):
            assert await self.coordinator.cosigning.confirmed(origin, size, 60.0), origin

    def request(self) -> AskRequest:
        self.asked += 1
        details, now = Details.of("benchmark"), int(time.time())
        body = Request(
            researcher="alice",
            facts={},
            time=now,
            expiry=now + 86_400,
            nonce=f"{self.asked:032x}",
            details=details.digest,
            questions=(question(10**6 + self.asked),),
            views=(VIEW,),
            registry=self.registry.view(),
        )
        return AskRequest(request=body.sign(self.signer), details=details.to_blob())

    async def ask(self) -> tuple[float, float, Bundle]:
        """Seconds to the last answer, seconds from there to the last byte of the bundle, and the bundle."""
        request = self.request()
        began = time.perf_counter()
        last: Any = None
        async for progress in self.stub.Ask(request):
            last = progress
        answered = time.perf_counter()
        assert last.released == len(self.names), last
        bundle = Bundle()
        async for part in self.stub.Result(ResultRequest(request_id=last.request_id)):
            kind = part.WhichOneof("part")
            if kind == "receipt":
                bundle.add("receipt", part.receipt.proof, part.receipt.statement)
            elif kind in KINDS:
                bundle.add(kind, getattr(part, kind))
        return answered - began, time.perf_counter() - answered, bundle

    def bytes_of(self, bundle: Bundle) -> tuple[bytes, bytes]:
        """The request and the answer of one node as they travelled."""
        from collegium.log.statement import statement_id
        from collegium.statements import Decision, Release

        decision = bundle.decisions[0]
        origin = Decision.read(decision).log.origin
        release = next(note for note in bundle.releases if Release.read(note).log.origin == origin)
        answer = QuestionAnswer(
            verdict=QuestionAnswer.RELEASED,
            decision=decision,
            release=release,
            payload=bundle.blobs[Release.read(release).payload.sha256],
            decision_receipt=bundle.receipts[statement_id(decision)],
            release_receipt=bundle.receipts[statement_id(release)],
        )
        asked = AnswerRequest(request=bundle.request, details=b"d" * 120, receipt=bundle.receipts[statement_id(bundle.request)])
        return asked.SerializeToString(), AnswerReply(answers=[answer]).SerializeToString()

    def hosts_used(self) -> float:
        """Seconds of processor time that the hosts have used so far (Linux; 0 elsewhere)."""
        ticks = 0
        for process in self.hosts:
            stat = Path(f"/proc/{process.pid}/stat")
            if stat.exists():
                fields = stat.read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def echo(self, payload: bytes) -> Any:
        """The bare way: one connection a node."""
        mine = certificate(self.folder, "echo")
        places = [f"127.0.0.1:{port}" for port, share in zip(self.host_ports, self.shares, strict=True) for _ in range(share)]
        calls = [client_channel(place, ca=self.ca, server="host", me=mine).unary_unary("/bench.Bare/Echo") for place in places]

        async def once() -> float:
            began = time.perf_counter()
            await asyncio.gather(*(call(payload, timeout=60) for call in calls))
            return time.perf_counter() - began

        return once


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def measure(nodes: int, processes: int, rows: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        ministry = Ministry(Path(temporary), nodes, processes, rows)
        try:
            began = time.perf_counter()
            await ministry.start()
            print(f"{nodes} nodes in {processes} processes, ready after {time.perf_counter() - began:.0f} s; {rounds} rounds")
            for _ in range(3):  # connections, caches, the kernel
                _, _, bundle = await ministry.ask()
            payload, answer = ministry.bytes_of(bundle)
            (ministry.folder / "answer.bin").write_bytes(answer)
            echo = ministry.echo(payload)
            for _ in range(5):
                await echo()
            gc.collect()
            gc.freeze()
            print(f"a request of {len(payload):,} bytes, an answer of {len(answer):,} bytes ({bundle_cells(bundle)} cells)")
            print(f"{'way':<22}{'median ms':>11}{'quartiles ms':>18}{'x bare':>9}")
            for title in ("", "witnessed "):
                if title:
                    if nodes < 4:
                        print("too few nodes for witnesses")
                        break
                    await ministry.assign()
                    for _ in range(2):
                        await ministry.ask()
                taken: dict[str, list[float]] = {"bare": [], "question": [], "figure": []}
                work: list[tuple[float, float]] = []
                for number in range(rounds):
                    for way in ("bare", "question") if number % 2 else ("question", "bare"):
                        if way == "bare":
                            taken["bare"] += [await echo() for _ in range(3)]
                        else:
                            before = time.process_time(), ministry.hosts_used()
                            asked, figure, bundle = await ministry.ask()
                            work.append((time.process_time() - before[0], ministry.hosts_used() - before[1]))
                            taken["question"].append(asked)
                            taken["figure"].append(figure)
                here, there = (sum(used) / rounds for used in zip(*work, strict=True))
                floor = statistics.median(taken["bare"])
                for name, seconds in taken.items():
                    low, median, high = statistics.quantiles(seconds, n=4)
                    print(
                        f"{title + name:<22}{median * 1e3:>11.1f}{low * 1e3:>10.1f} -{high * 1e3:>6.1f}{median / floor:>9.2f}",
                        flush=True,
                    )
                print(
                    f"  processor time of a question and its figure: {here * 1e3:.0f} ms here, {there * 1e3:.0f} ms at the nodes "
                    f"({there / nodes * 1e3:.1f} ms each), on {os.cpu_count()} cores",
                    flush=True,
                )
            reading(ministry, bundle)
        finally:
            for process in ministry.hosts:
                process.kill()
            await ministry.coordinator.stop(grace=0.1)


def bundle_cells(bundle: Bundle) -> int:
    from collegium.statements import Release

    return sum(part.cells for part in Release.read(bundle.releases[0]).parts)


def reading(ministry: Ministry, bundle: Bundle) -> None:
    """What the reader pays: verification in memory, and of the file from the registry's first entry."""
    began = time.perf_counter()
    verified = verify(bundle, ministry.registry)
    memory = time.perf_counter() - began
    path = ministry.folder / "figure.bundle"
    size = write_bundle(path, bundle, ministry.registry)
    began = time.perf_counter()
    verify_file(path)
    file = time.perf_counter() - began
    command = [str(Path(sys.executable).parent / "collegium"), "verify", str(path)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - began
    print(f"verify the bundle ({verified.signatures} signatures): {memory:.2f} s; as a file of {size:,} bytes: {file:.2f} s")
    print(f"`collegium verify FILE` as a process: {whole:.2f} s, exit code {done.returncode} {done.stderr.strip()[-200:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2, help="processes that host the nodes")
    parser.add_argument("--rows", type=int, default=500, help="of each node")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    asyncio.run(measure(given.nodes, given.processes, given.rows, given.rounds))


if __name__ == "__main__":
    main()
