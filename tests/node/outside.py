"""Real witnesses outside the process of the node that they watch: they outlive it when it is killed.

Each has a home, keys and a database of its own; a Unix socket stands for the coordinator's relay.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from onenode import FED, T0, Ministry
from witnessed import NAMES

from collegium.errors import CollegiumError, Offline
from collegium.keys import save_signer
from collegium.party.witness import Witnessing
from collegium.v1.witness_pb2 import CosignReply, CosignRequest
from collegium_node.home import Home, Membership, Node

__all__ = ["Line", "Outside"]


class Outside:
    """Three witnesses behind one socket. `address` is where a `Line` reaches them."""

    def __init__(self, root: Path, ministry: Ministry) -> None:
        self.nodes: dict[str, Node] = {}
        for name in NAMES:
            home = Home(root / name)
            save_signer(home.keys.statements, ministry.statements[name])
            save_signer(home.keys.log, ministry.logs[name])
            save_signer(home.keys.witness, ministry.cosigners[name])
            home.remember(Membership(FED, name, "localhost:1", "localhost:2", ministry.registry_key.vkey, "", "0" * 64))
            node = self.nodes[name] = home.open(lambda: T0)
            node.members.learn(0, ministry.entries, ministry.checkpoint())
        self._listener = Listener(family="AF_UNIX")
        self.address = str(self._listener.address)
        self.cosigned = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for node in self.nodes.values():
            node.close()

    def _serve(self) -> None:
        while True:
            try:
                line = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: Connection) -> None:
        # Whoever asked may be dead already: what was remembered stays remembered.
        with suppress(EOFError, OSError), line:
            witness, request = line.recv_bytes().decode(), CosignRequest.FromString(line.recv_bytes())
            try:
                reply = Witnessing(self.nodes[witness], lambda: T0).cosign(request)
            except CollegiumError:
                return
            self.cosigned += bool(reply.cosignature)
            line.send_bytes(reply.SerializeToString())


class Line:
    """The node's way to them: a `collegium.party.cosigning.Relay`."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def cosign(self, witness: str, request: CosignRequest, *, timeout: float) -> CosignReply:
        return await asyncio.to_thread(self._call, witness, request)

    def _call(self, witness: str, request: CosignRequest) -> CosignReply:
        try:
            with Client(self._address) as line:
                line.send_bytes(witness.encode())
                line.send_bytes(request.SerializeToString())
                return CosignReply.FromString(line.recv_bytes())
        except (EOFError, OSError):
            raise Offline("gone", place=witness) from None
