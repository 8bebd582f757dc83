"""The hosts of the nodes of `bench/question.py`: real homes, ledgers, logs and tunnels, many in one process.

python bench/question_nodes.py FOLDER ENROLMENT ROWS     # reads tokens line by line; question.py starts it
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from collegium.enrolment import redeem
from collegium.tls import issue, make_key_and_csr
from collegium.token import parse_token
from collegium.transport.channels import TlsFiles, listen, new_server, server_credentials

PROVINCES, DISCIPLINES = 31, 14
FEDERATION = "bench"
SCHEMA = f"""
name = "bench"
version = 1
title = {{en = "bench"}}
[units.student]
title = {{en = "student"}}
[codes.province]
{chr(10).join(f'{11 + n} = {{en = "province {n}"}}' for n in range(PROVINCES))}
[codes.discipline]
{chr(10).join(f'{n + 1:02} = {{en = "discipline {n}"}}' for n in range(DISCIPLINES))}
[datasets.graduate]
title = {{en = "graduates"}}
unit = "student"
person = "student_id"
[datasets.graduate.columns.province]
type = "category"
codes = "province"
title = {{en = "province"}}
[datasets.graduate.columns.discipline]
type = "category"
codes = "discipline"
title = {{en = "discipline"}}
"""
NODE_TOML = """
[coordinator]
mode = "dial"
[sources.rows]
kind = "csv"
path = "{rows}"
[datasets.graduate]
source = "rows"
person = "id"
[datasets.graduate.columns]
province = "province"
discipline = "discipline"
"""
POLICY = """
[budget.student]
period = "year"
rho = 1000
lifetime_rho = 10000
[[allow]]
researcher = "alice"
datasets = "*"
"""


def found_node(root: Path, token: str, enrolment: str, rows: Path) -> None:
    """A node's folder as its steward would make it: joined, mapped, with a snapshot and a policy (not signed yet)."""
    import dataclasses

    from collegium.log.statement import statement_id
    from collegium.party.fetch import fetch_registry
    from collegium_node.digest import load_secret
    from collegium_node.home import Home, Membership
    from collegium_node.shelf import Shelved, add
    from collegium_node.snapshot import build_snapshot

    home = Home(root)
    root.mkdir(parents=True)
    home.config_file.write_text(NODE_TOML.format(rows=rows))
    home.policy_file.write_text(POLICY)
    parsed = dataclasses.replace(parse_token(token), address=enrolment)
    invited = redeem(parsed, home.keys, clock=time.time)
    invitation = statement_id(parsed.invitation)
    home.remember(Membership(FEDERATION, invited.name, parsed.service, enrolment, parsed.registry, parsed.ca.decode(), invitation))
    node = home.open(time.time)
    fetch_registry(node, "")
    built = build_snapshot("one", home.config(), node.members.registry.schema, load_secret(home.snapshot_key), root, time.time)
    with node.journal.write("snapshot") as log:
        add(log.db, Shelved(built.id, built.name, built.time, built.schema, tuple(sorted(built.datasets)), True))
    node.close()


async def host(folder: Path, enrolment: str, rows: Path) -> None:
    """Nodes of this process: tokens on standard input, one a line; then a line READY. Serves until it is killed."""
    from collegium.party.cosigning import Cosigning
    from collegium.party.fetch import coordinator_channel
    from collegium.party.lines import Lines
    from collegium.party.logservice import WitnessService
    from collegium.party.receipts import Receipts
    from collegium.party.relay import TunnelRelay
    from collegium.party.witness import Witnessing
    from collegium.transport.dial import dial_forever, dial_once
    from collegium.transport.dispatch import handlers_of
    from collegium.transport.peer import COORDINATOR, Peer
    from collegium.transport.status import to_public_status
    from collegium_node.answer import Answering
    from collegium_node.digest import load_secret
    from collegium_node.embedded import Embedded
    from collegium_node.engine import warm_up
    from collegium_node.home import Home
    from collegium_node.serve import NODE, WITNESS
    from collegium_node.service import NodeService
    from collegium_node.steward import InForce, sign_draft

    warm_up()
    server = new_server()
    ready: dict[str, bytes] = {}

    async def echo(_payload: bytes, _context: Any) -> bytes:
        if "answer" not in ready:
            ready["answer"] = (folder / "answer.bin").read_bytes()
        return ready["answer"]

    mine = certificate(folder, "host")
    bare = grpc.method_handlers_generic_handler("bench.Bare", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server.add_generic_rpc_handlers((bare,))
    port = listen(server, "127.0.0.1:0", server_credentials(lambda: mine))
    await server.start()
    work: list[Any] = []
    for line in sys.stdin:
        if not line.strip():
            break
        name, token = line.split()
        root = folder / "nodes" / name
        await asyncio.to_thread(found_node, root, token, enrolment, rows)
        home = Home(root)
        node = home.open(time.time, verify=True)
        lines = Lines(io.StringIO())
        sign_draft(node)
        answering = Answering(
            name=name,
            journal=node.journal,
            members=node.members,
            policy=InForce(node.journal),
            engine=Embedded(root, load_secret(home.snapshot_key)),
            receipts=Receipts(node.journal, node.quorum),
            clock=time.time,
            lines=lines,
        )
        service = NodeService(node, answering, lines, max_parallel=2, on_broken=lambda: os._exit(1))
        peer = Peer(FEDERATION, COORDINATOR, COORDINATOR)
        handlers = handlers_of(service, NODE, peer=peer, status=to_public_status)
        handlers |= handlers_of(
            WitnessService(Witnessing(node, time.time), service.small), WITNESS, peer=peer, status=to_public_status
        )
        live: list[Any] = []

        def opened(endpoint: Any, live: list[Any] = live) -> None:
            live[:] = [endpoint]

        dial = partial(
            dial_once, partial(coordinator_channel, home, home.membership(), ""), handlers, opened, place=home.membership().service
        )
        work += [dial_forever(dial, failed=lambda _error, _wait: None), Cosigning(node, TunnelRelay(live), lines).run()]
    print(port, flush=True)
    gc.collect()
    gc.freeze()
    await asyncio.gather(*work)


def certificate(folder: Path, name: str) -> TlsFiles:
    """A certificate of the federation's own authority for the bare way."""
    ca, ca_key = (folder / "coordinator/keys/ca.pem").read_bytes(), (folder / "coordinator/keys/ca.key").read_bytes()
    key, csr = make_key_and_csr(FEDERATION, "node", name)
    return TlsFiles(ca=ca, chain=issue(ca, ca_key, csr, role="node", name=name), key=key)


if __name__ == "__main__":
    asyncio.run(host(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
