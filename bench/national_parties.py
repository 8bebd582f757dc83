"""The nodes and trustees of `bench/national.py`, and the plan that all of them work under.

python bench/national_parties.py FOLDER ADDRESS FIRST COUNT     # hosts these nodes, for national.py, which starts it
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from collegium.body import Blob, LogPlace, RegistryView
from collegium.log.note import Signer, encode_base64
from collegium.national.addition import Total, read_vector, vector_digest
from collegium.national.lists import Participants, Roster, RosterNode
from collegium.national.plan import Wanted, plan_parts
from collegium.national.seal import SealingKey
from collegium.national.share import Share, Tolerance, fits_64_bits, make_share, sigma_for
from collegium.national.statements import Plan, PlanTrustee, Submit, plan_digest
from collegium.national.submission import hide, mask_total, open_submission
from collegium.tls import issue, make_key_and_csr
from collegium.transport.channels import TlsFiles, client_channel, listen, new_server, server_credentials
from collegium.transport.dial import dial_once
from collegium.transport.dispatch import handlers_of
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


if __name__ == "__main__":
    raise_file_limit()
    asyncio.run(host(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
