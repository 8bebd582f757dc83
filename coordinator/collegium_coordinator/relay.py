"""Calls to witnesses: nodes and trustees cosign other logs, and those behind a firewall are reached through their tunnel.

`Relay` hands a node's call to a witness. It can delay and drop, and nothing else: a cosignature verifies or it does not, and a
witness that answers nothing counts as one that has not cosigned. Bounded in size, time and number, so that one node cannot fill the
tunnels of others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from google.protobuf.message import DecodeError

from collegium.errors import Failed, Invalid
from collegium.transport.status import TunnelError, from_rpc
from collegium.v1.witness_pb2 import CosignReply, CosignRequest, RelayRequest
from collegium_coordinator.door import Door
from collegium_coordinator.reach import Reach

__all__ = ["RelayService", "call_witness"]

METHOD = "/collegium.v1.Witness/Cosign"
PATIENCE = 5.0  # seconds for one witness
MAX_CHECKPOINT = 64 * 1024  # bytes; a checkpoint with five cosignatures has about one thousand
MAX_PROOF = 63
PER_NODE = 16  # calls of one node at once


async def call_witness(nodes: Reach, witness: str, request: CosignRequest, *, patience: float = PATIENCE) -> CosignReply:
    """The reply of a connected witness; nothing in it is verified. Raises Offline, or what the witness says."""
    connection = nodes.get(witness)
    try:
        payload = await connection.client.caller.call(METHOD, request.SerializeToString(), timeout=patience)
    except TunnelError as error:
        raise from_rpc(error, place=witness) from None
    try:
        return CosignReply.FromString(payload)
    except DecodeError:
        raise Failed("the witness's reply cannot be read", place=witness, reason="failed") from None


class RelayService:
    """The servicer that nodes and trustees call."""

    def __init__(self, nodes: Reach, door: Door) -> None:
        self._nodes = nodes
        self._door = door
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(PER_NODE))

    async def Cosign(self, request: RelayRequest, context: Any) -> CosignReply:
        """See witness.proto."""
        peer = self._door.enter(context, "node", "trustee")
        asked = request.request
        if len(asked.checkpoint) > MAX_CHECKPOINT or len(asked.proof) > MAX_PROOF or any(len(each) != 32 for each in asked.proof):
            raise Invalid("this is larger than any checkpoint with its proof", place="relay", reason="too-large")
        async with self._slots[peer.name]:
            self._nodes.must_be_party(request.witness)
            return await call_witness(self._nodes, request.witness, asked)
