"""This party's own log as the coordinator has copied it, for a party that has lost its newest state.

The coordinator is believed in nothing: what comes is used by `recover` alone, which verifies it under a checkpoint that this
log's own key has signed. It can withhold its copy and no more; an exported folder from an auditor does as well.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from collegium.errors import Failed, Invalid, NotVerified, public_text
from collegium.log.checkpoint import open_checkpoint
from collegium.log.statement import MAX_STATEMENT, read_statement
from collegium.log.witness import contradiction
from collegium.party.fetch import TIMEOUT, coordinator_channel
from collegium.party.home import Party
from collegium.party.lines import Lines
from collegium.statements import Release
from collegium.transport.node_client import Caller, ChannelCaller
from collegium.transport.status import TunnelError, from_rpc
from collegium.v1.log_pb2 import BlobReply, BlobRequest, CheckpointReply, CheckpointRequest, EntriesReply, EntriesRequest

__all__ = ["Fetched", "check_copy", "copied_checkpoint", "fetch_copy", "fetch_from"]

MAX_COUNT = 4096  # entries asked for in one call
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the coordinator sent: a checkpoint, the entries from index `first` on, and payloads by SHA-256. Not verified as a
    whole.
    """

    place: str
    note: bytes
    first: int
    tail: list[bytes] = field(repr=False)
    blobs: dict[str, bytes] = field(repr=False)

    def checkpoint(self) -> bytes:
        return self.note

    def entries(self, first: int) -> Iterator[bytes]:
        """From index `first` on, which is not before what was asked for."""
        return iter(self.tail[first - self.first :])

    def blob(self, sha256: str) -> bytes:
        if sha256 not in self.blobs:
            raise Invalid("the payload is not in the copy", place=self.place)
        return self.blobs[sha256]

    def receipts(self) -> Iterable[tuple[str, str, bytes]]:
        """None: the coordinator's receipts come again with the requests."""
        return ()


async def copied_checkpoint(caller: Caller, party: Party) -> bytes:
    """The largest checkpoint of this party's log that the coordinator has a copy of; b"" when it has none. Not verified."""
    reply = await _call(caller, "Checkpoint", CheckpointRequest(origin=party.journal.origin), CheckpointReply)
    return bytes(reply.checkpoint)


async def check_copy(caller: Caller, party: Party, lines: Lines) -> None:
    """Stop this party if the coordinator's copy of its log shows more, or other, than its database: what a witness may prove, the
    coordinator may too. It is all that finds a restored backup of a log without witnesses. Silence and claims prove nothing.
    """
    try:
        shown = await copied_checkpoint(caller, party)
        contradicts: bool = bool(shown) and await asyncio.to_thread(_contradicts, party, shown)
        if contradicts:
            await asyncio.to_thread(party.permit.stop, shown)
            lines.event("restored", remedy=f"{party.home.program} recover")
    except Exception as error:
        lines.failure("copy-not-read", error)


def _contradicts(party: Party, shown: bytes) -> bool:
    head, tree = party.journal.head(), party.journal.tree
    return contradiction(shown, party.journal.verifier, head.size, tree.root) is not None


def fetch_copy(party: Party, proxy: str = "") -> Fetched:
    """Everything beyond this database that the coordinator has of this party's log.

    How much may come is bounded by what this party has signed: the size in the checkpoint, and each payload's in its release.

    Raises:
        Offline: the coordinator cannot be reached. NotVerified: what it shows is not signed by this log.
        Invalid: it has no copy.
    """
    return asyncio.run(_fetch(party, proxy))


async def _fetch(party: Party, proxy: str) -> Fetched:
    channel = coordinator_channel(party.home, party.membership, proxy)
    try:
        return await fetch_from(ChannelCaller(channel), party)
    finally:
        await channel.close()


async def fetch_from(caller: Caller, party: Party) -> Fetched:
    """The same over a line that is there."""
    origin, place = party.journal.origin, party.membership.service
    note = await copied_checkpoint(caller, party)
    if not note:
        raise Invalid(f"{place} has no copy of this log", place=origin, remedy="Find a copy elsewhere: `recover FOLDER`.")
    size = open_checkpoint(note, party.journal.verifier).size
    first = party.journal.head().size
    tail: list[bytes] = []
    blobs: dict[str, bytes] = {}
    while first + len(tail) < size:
        asked = EntriesRequest(origin=origin, first=first + len(tail), count=min(size - first - len(tail), MAX_COUNT))
        page = await _call(caller, "Entries", asked, EntriesReply)
        entries = [bytes(entry) for entry in page.entries[: size - first - len(tail)]]
        if not entries or any(len(entry) > MAX_STATEMENT for entry in entries):
            raise NotVerified("the copy ends before its checkpoint", place=place)
        tail.extend(entries)
    for entry in tail:
        if read_statement(entry)[0] == Release.kind:
            sha256 = Release.read(entry).payload.sha256
            if sha256 not in blobs:
                reply = await _call(caller, "Blob", BlobRequest(origin=origin, sha256=sha256), BlobReply)
                if hashlib.sha256(reply.data).hexdigest() != sha256:
                    raise NotVerified("a payload is not the one of its digest", place=place)
                blobs[sha256] = bytes(reply.data)
    return Fetched(place, note, first, tail, blobs)


async def _call(caller: Caller, method: str, request: Message, kind: type[R]) -> R:
    try:
        return kind.FromString(await caller.call(f"/collegium.v1.Log/{method}", request.SerializeToString(), timeout=TIMEOUT))
    except TunnelError as error:
        raise from_rpc(error, place="coordinator") from None
    except DecodeError:
        raise Failed(public_text("failed"), place="coordinator", reason="failed") from None
