"""The Log and Witness services of a party, behind the tunnel and behind the port. They decide nothing."""

from __future__ import annotations

from typing import Any

import grpc

from collegium.party import replies
from collegium.party.home import Party
from collegium.party.published import Published
from collegium.party.witness import Unknown, Witnessing
from collegium.party.working import Work
from collegium.v1 import log_pb2, log_pb2_grpc, witness_pb2, witness_pb2_grpc

__all__ = ["LogService", "WitnessService"]


class LogService(log_pb2_grpc.LogServicer):
    """Serves the party's own log, as far as it is confirmed. `work` runs blocking code and lets its errors out in public words.

    Checkpoint and entries of the registry too, as far as this party has verified it: a ministry that was restored from a backup
    finds there what it has forgotten, signed by itself.
    """

    def __init__(self, party: Party, work: Work) -> None:
        self._party = party
        self._work = work

    async def Checkpoint(self, request: log_pb2.CheckpointRequest, context: Any) -> log_pb2.CheckpointReply:
        if request.origin == self._party.members.registry.registry_log.name:
            return await self._work(lambda: replies.checkpoint(self._party.members.shown()[0]))
        await self._is_ours(request.origin, context)
        return await self._work(lambda: replies.checkpoint(Published(self._party).checkpoint() or b""))

    async def Entries(self, request: log_pb2.EntriesRequest, context: Any) -> log_pb2.EntriesReply:
        if request.origin == self._party.members.registry.registry_log.name:

            def of_registry() -> log_pb2.EntriesReply:
                _, size = self._party.members.shown()
                return replies.entries(request.first, self._party.members.entries(request.first, request.count, size), size)

            return await self._work(of_registry)
        await self._is_ours(request.origin, context)

        def page() -> log_pb2.EntriesReply:
            log = Published(self._party)
            return replies.entries(request.first, log.page(request.first, request.count), log.size)

        return await self._work(page)

    async def Inclusion(self, request: log_pb2.InclusionRequest, context: Any) -> log_pb2.ProofReply:
        await self._is_ours(request.origin, context)
        return await self._work(lambda: replies.proof(Published(self._party).inclusion(request.index, request.size)))

    async def Consistency(self, request: log_pb2.ConsistencyRequest, context: Any) -> log_pb2.ProofReply:
        await self._is_ours(request.origin, context)
        return await self._work(lambda: replies.proof(Published(self._party).consistency(request.old_size, request.size)))

    async def Blob(self, request: log_pb2.BlobRequest, context: Any) -> log_pb2.BlobReply:
        await self._is_ours(request.origin, context)
        data = await self._work(lambda: Published(self._party).blob(request.sha256))
        if data is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such payload")
        assert data is not None, "abort raises"
        return replies.blob(request.sha256, data)

    async def _is_ours(self, origin: str, context: Any) -> None:
        if origin != self._party.journal.origin:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this party keeps no such log")


class WitnessService(witness_pb2_grpc.WitnessServicer):
    """Serves this party's word on other logs."""

    def __init__(self, witnessing: Witnessing, work: Work) -> None:
        self._witnessing = witnessing
        self._work = work

    async def Cosign(self, request: witness_pb2.CosignRequest, context: Any) -> witness_pb2.CosignReply:
        def cosign() -> witness_pb2.CosignReply | None:
            try:
                return self._witnessing.cosign(request)
            except Unknown:
                return None

        reply = await self._work(cosign)
        if reply is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this party is no witness of such a log")
        assert reply is not None, "abort raises"
        return reply
