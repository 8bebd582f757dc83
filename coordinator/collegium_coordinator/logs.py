"""Reading the coordinator's two logs: over gRPC by members, and as static files by anybody. And a node's own log, by that node
alone, from the copy that is kept here (see `mirror`).

What may be read ends at the newest checkpoint that has the quorum of its witnesses. The blobs of request details (purpose, the
words of a statement) are in neither: an entry holds their digest only, because they may have to be erased; they are not published.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from grpc import StatusCode

from collegium.errors import Invalid
from collegium.log.checkpoint import read_checkpoint
from collegium.log.disk import Disk
from collegium.log.export import export
from collegium.v1.log_pb2 import (
    BlobReply,
    BlobRequest,
    CheckpointReply,
    CheckpointRequest,
    ConsistencyRequest,
    EntriesReply,
    EntriesRequest,
    InclusionRequest,
    ProofReply,
)
from collegium_coordinator.cosigning import Cosigned
from collegium_coordinator.door import Door
from collegium_coordinator.mirror import Mirror, Mirrored
from collegium_coordinator.store import Store
from collegium_coordinator.vectors import Vectors

__all__ = ["LogService", "Source", "export_logs"]

MAX_COUNT = 4096  # entries in one reply
PAGE_BYTES = 8 * 1024 * 1024
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Source:
    """One of the two logs for readers: `collegium.log.export.LogSource`. `table` is where its entries are."""

    def __init__(
        self, store: Store, cosigned: Cosigned, table: Literal["entries", "registry"], vectors: Vectors | None = None
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._table = table
        self.cosigned = cosigned
        self.tree = cosigned.own.tree

    def checkpoint(self) -> bytes | None:
        """The newest with the quorum. A log whose witnesses have cosigned nothing yet shows its plain head: a reader sees that."""
        return self.cosigned.newest() or self.cosigned.own.head() or None

    def size(self) -> int:
        note = self.checkpoint()
        return read_checkpoint(note).size if note is not None else 0

    def entries(self, first: int, count: int) -> Sequence[bytes]:
        return self._column("entry", first, count)

    def leaves(self, first: int, count: int) -> Sequence[bytes]:
        return self._column("leaf", first, count)

    def blobs(self) -> Iterable[str]:
        if self._table == "registry":
            return []
        rows = self._store.rows("SELECT sha FROM blobs WHERE sha NOT IN (SELECT details FROM requests)")
        return [*(str(row[0]) for row in rows), *(self._vectors.kept() if self._vectors is not None else ())]

    def blob(self, sha256: str) -> bytes | None:
        hidden = self._store.row("SELECT 1 FROM requests WHERE details = ?", (sha256,)) is not None
        if hidden or self._table == "registry":
            return None
        found = self._store.blob(sha256)
        return self._vectors.read(sha256) if found is None and self._vectors is not None else found

    def receipts(self) -> Iterable[tuple[str, bytes]]:
        if self._table == "entries":
            for statement, receipt in self._store.walk("SELECT statement, receipt FROM receipts"):
                yield str(statement), bytes(receipt)

    def _column(self, column: str, first: int, count: int) -> list[bytes]:
        sql = f"SELECT {column} FROM {self._table} WHERE idx >= ? AND idx < ? ORDER BY idx"  # noqa: S608 (constant names)
        return [bytes(row[0]) for row in self._store.rows(sql, (first, first + count))]


def export_logs(sources: Mapping[str, Source], folder: Path, *, disk: Disk | None = None) -> dict[str, int]:
    """Write each log into its subfolder of `folder`, the registry first; entries shown, by subfolder. May be repeated at any time.

    The registry first: what the coordinator's log is judged by is then there when its entries are.
    """
    return {
        name: export(source, source.cosigned.own.verifier, folder / name, disk=disk, tree=source.cosigned.own.tree)
        for name, source in sorted(sources.items(), reverse=True)
    }


class Copy:
    """The copy of a node's log for that node: what `collegium-node recover` reads."""

    def __init__(self, store: Store, mirrored: Mirrored, vectors: Vectors) -> None:
        self._store, self._mirrored, self._vectors = store, mirrored, vectors
        self.tree, self.checkpoint, self.size, self.entries = mirrored.tree, mirrored.checkpoint, mirrored.size, mirrored.entries

    def blob(self, sha256: str) -> bytes | None:
        """A payload that the node's own releases name: from the copy, or where the answer that brought it has been kept."""
        held = self._mirrored.payload(sha256)
        return held or (self._store.blob(sha256) or self._vectors.read(sha256) if held is not None else None)


class LogService:
    """The servicer. `sources` by origin."""

    def __init__(self, sources: Mapping[str, Source], door: Door, store: Store, mirror: Mirror, vectors: Vectors) -> None:
        self._vectors = vectors
        self._sources = sources
        self._door = door
        self._store = store
        self._mirror = mirror

    async def Checkpoint(self, request: CheckpointRequest, context: Any) -> CheckpointReply:
        """See log.proto."""
        source = await self._source(request.origin, context)
        return CheckpointReply(checkpoint=await asyncio.to_thread(source.checkpoint) or b"")

    async def Entries(self, request: EntriesRequest, context: Any) -> EntriesReply:
        """See log.proto."""
        source = await self._source(request.origin, context)
        return await asyncio.to_thread(_page, source, request.first, request.count)

    async def Inclusion(self, request: InclusionRequest, context: Any) -> ProofReply:
        """See log.proto."""
        source = await self._source(request.origin, context)
        _within(request.size, source)
        return ProofReply(hashes=await asyncio.to_thread(source.tree.inclusion, request.index, request.size))

    async def Consistency(self, request: ConsistencyRequest, context: Any) -> ProofReply:
        """See log.proto."""
        source = await self._source(request.origin, context)
        _within(request.size, source)
        return ProofReply(hashes=await asyncio.to_thread(source.tree.consistency, request.old_size, request.size))

    async def Blob(self, request: BlobRequest, context: Any) -> BlobReply:
        """See log.proto."""
        source = await self._source(request.origin, context)
        data = await asyncio.to_thread(source.blob, request.sha256) if DIGEST.fullmatch(request.sha256) else None
        if data is None:
            await context.abort(StatusCode.NOT_FOUND, "there is no such payload")
        return BlobReply(data=data)

    async def _source(self, origin: str, context: Any) -> Source | Copy:
        party = self._door.enter(context, "node", "researcher", "trustee")
        source: Source | Copy | None = self._sources.get(origin)
        if source is None and party.log is not None and party.log.name == origin:
            source = Copy(self._store, Mirrored(self._mirror, party.log), self._vectors)
        if source is None:
            await context.abort(StatusCode.NOT_FOUND, "this service has no such log")
        assert source is not None, "abort raises"
        return source


def _page(source: Source | Copy, first: int, count: int) -> EntriesReply:
    size = source.size()
    wanted = min(count or MAX_COUNT, MAX_COUNT, max(0, size - first))
    entries: list[bytes] = []
    held = 0
    while len(entries) < wanted:
        for entry in source.entries(first + len(entries), min(256, wanted - len(entries))):
            if entries and held + len(entry) > PAGE_BYTES:
                return EntriesReply(first=first, entries=entries, size=size)
            entries.append(entry)
            held += len(entry)
    return EntriesReply(first=first, entries=entries, size=size)


def _within(size: int, source: Source | Copy) -> None:
    if size > source.size():
        raise Invalid(f"the log shows {source.size()} entries", place="size")
