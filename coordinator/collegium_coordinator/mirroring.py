"""Reads every connected node's log as it grows, so that a node which loses its newest state finds it here.

A log is read when its node connects, a moment after an answer of it came, and now and then. One reading:

    (1) head     the log's newest checkpoint, signed by the log key that the registry has for the node
    (2) entries  those beyond the copy, in pages; they are shown to nobody yet
    (3) verify   the tree over the whole copy has the checkpoint's root: it holds exactly what the node signed, and has only grown
    (4) payloads of new releases, by the digest that the node signed; those that came with answers are here already
    (5) keep     one transaction; what does not verify is dropped

Nothing is believed for who sends it, and nothing here signs. A node that shows less than its copy has been restored from a
backup; it finds that out from its witnesses or, without any, from us. In what is read stand checkpoints of our own two logs,
signed by our own keys: one that our database does not hold proves that it is *we* who were restored (`on_shown`), and a node
that knows more of the registry than we do is then asked for what it has verified, so that `collegium-coordinator recover` finds
it here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from zlib import crc32

from google.protobuf.message import DecodeError, Message

from collegium.errors import CollegiumError, Failed, Invalid, NotVerified, Offline
from collegium.log.checkpoint import Checkpoint, open_checkpoint
from collegium.log.cosign import own_lines
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import Verifier
from collegium.log.statement import MAX_STATEMENT, read_statement
from collegium.national.statements import Submit
from collegium.statements import Peer, Release
from collegium.transport.status import TunnelError, from_rpc
from collegium.v1.log_pb2 import BlobReply, BlobRequest, CheckpointReply, CheckpointRequest, EntriesReply, EntriesRequest
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.reach import Reach
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["Mirroring"]

log = logging.getLogger("collegium.coordinator.mirroring")

SOON = 1.0  # seconds between looks at which nodes have shown a larger log: what comes meanwhile is read together
LOOK = 60.0  # seconds between readings of a connected node, for what it signs without being asked
LOOKS = 12  # portions in which all are read within that time: never a whole country in one moment
PARALLEL = 8  # nodes read at once
PAGE = 512  # entries in one call: a node serves it between two cosignatures
CALL = 20.0  # seconds
MAX_CHECKPOINT = 64 * 1024  # bytes
R = TypeVar("R", bound=Message)


class Mirroring:
    """Keeps the copies while `run` runs.

    Args:
        own: our own two logs by origin; a checkpoint of them that stands in somebody's log is handed to `on_shown`.
        largest: bytes of entries that are copied of one log; what a node shows beyond them is not copied.
        on_shown: (origin, holder, checkpoint), the checkpoint signed by our own key.
        holds: whether a masked vector is a file here already; others are not copied, they are too large.
    """

    def __init__(
        self,
        mirror: Mirror,
        store: Store,
        registry: RegistryLog,
        nodes: Reach,
        own: Mapping[str, Verifier],
        *,
        largest: int,
        clock: Callable[[], float],
        on_shown: Callable[[str, str, bytes], None] = lambda *_: None,
        holds: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._holds = holds
        self._mirror, self._store, self._registry, self._nodes = mirror, store, registry, nodes
        self._own = own
        self._largest = largest
        self._clock = clock
        self._on_shown = on_shown
        self._slots = asyncio.Semaphore(PARALLEL)
        self._busy: dict[str, asyncio.Task[None]] = {}
        # By log key: several nodes may show the same registry, which is read from one at a time.
        self._alone: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._reached: dict[str, int] = {}  # by log key: the copy's size
        self._edges: dict[str, Frontier] = {}  # by log key: the right edge of the verified copy, so that it is computed once
        self._said: dict[str, str] = {}  # by node: what was said last, so that it is said once
        self._grown = asyncio.Event()

    def grown(self) -> None:
        """Answers have come, and with them larger checkpoints of nodes. Call it in the event loop."""
        self._grown.set()

    def connected(self, name: str) -> None:
        """Read a node that has just connected."""
        self._start(name)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        next_at, portion = loop.time() + LOOK / LOOKS, 0
        try:
            while True:
                try:
                    async with asyncio.timeout(max(0.0, next_at - loop.time())):
                        await self._grown.wait()
                except TimeoutError:
                    next_at, portion = loop.time() + LOOK / LOOKS, (portion + 1) % LOOKS
                    names = [name for name in self._nodes.names() if crc32(name.encode()) % LOOKS == portion]
                else:
                    await asyncio.sleep(SOON)
                    self._grown.clear()
                    names = await asyncio.to_thread(self._behind)
                for name in names:
                    self._start(name)
        finally:
            for task in list(self._busy.values()):
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def read(self, name: str) -> None:
        """One reading of a node's log, and of its registry when it knows more of that than we do. Raises CollegiumError."""
        party = self._registry.registry.party(name)
        if party.log is None:
            return
        async with self._slots:
            await self._read(name, party.log)
            if self._nodes.get(name).known > self._registry.size:
                await self._read(name, self._registry.verifier)

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        if name not in self._busy:
            task = self._busy[name] = asyncio.ensure_future(self._read_quietly(name))
            task.add_done_callback(lambda _: self._busy.pop(name, None))

    async def _read_quietly(self, name: str) -> None:
        try:
            await self.read(name)
            self._said.pop(name, None)
        except Offline:
            pass
        except CollegiumError as error:
            if self._said.get(name) != str(error):
                self._said[name] = str(error)
                log.warning("the log of %s is not copied: %s", name, error)
        except Exception:
            log.exception("copying the log of node %s broke", name)

    def _behind(self) -> list[str]:
        """Connected nodes that have given a receipt under a larger checkpoint than their copy reaches."""
        found = []
        for name in self._nodes.names():
            try:
                key = self._registry.registry.party(name).log
            except CollegiumError:
                continue
            row = self._store.row("SELECT MAX(size) FROM peers WHERE log = ?", (key.vkey,)) if key is not None else None
            if key is not None and row is not None and int(row[0] or 0) > self._reached.get(key.vkey, -1):
                found.append(name)
        return found

    async def _read(self, name: str, key: Verifier) -> None:
        """The steps of the module's text, for the log with this key, as node `name` has it."""
        async with self._alone[key.vkey]:
            copied = await asyncio.to_thread(self._mirror.copied, key)
            self._reached[key.vkey] = copied.size
            # (1)
            reply = await self._call(name, "Checkpoint", CheckpointRequest(origin=key.name), CheckpointReply())
            note = bytes(reply.checkpoint)
            if not note:
                return
            if len(note) > MAX_CHECKPOINT:
                raise Invalid("its checkpoint is larger than any", place=key.name)
            head = open_checkpoint(note, key)
            if head.size < copied.size:
                if key == self._registry.verifier:
                    return  # another node had verified more of it
                text = f"it shows {head.size} entries and has signed {copied.size}: it was restored from a backup"
                raise NotVerified(text, place=key.name, remedy="Its operator runs `recover`.")
            if head.size == copied.size:
                if copied.head is not None and copied.head.root != head.root:
                    raise NotVerified(f"it has signed two trees of {head.size} entries", place=key.name, remedy="Keep mirror.db.")
                return
            await asyncio.to_thread(self._mirror.begin, key)
            known = self._edges.get(key.vkey)
            frontier = known.copy() if known is not None else await asyncio.to_thread(self._mirror.frontier, key)
            # (2) Crash anywhere: what is held is dropped by the next reading.
            payloads, shown = await self._pages(name, key, head, frontier, self._largest - copied.weight)
            # (3)
            if frontier.root() != head.root:
                await asyncio.to_thread(self._mirror.begin, key)
                text = f"its {head.size} entries are not those of its checkpoint, or do not follow the {copied.size} copied before"
                raise NotVerified(text, place=key.name, remedy="Keep mirror.db: it holds the older part.")
            # (4)
            for sha in payloads:
                await self._payload(name, key, sha)
            # (5)
            await asyncio.to_thread(self._mirror.confirm, key, note, self._clock(), [(name, each) for each in shown])
            self._reached[key.vkey], self._edges[key.vkey] = head.size, frontier
        for checkpoint in shown:
            self._on_shown(_origin(checkpoint), name, checkpoint)

    async def _pages(
        self, name: str, key: Verifier, head: Checkpoint, frontier: Frontier, room: int
    ) -> tuple[list[str], list[bytes]]:
        """All entries up to `head`: digests of payloads they name, and the largest checkpoint of each of our own logs in them."""
        payloads: dict[str, None] = {}
        largest: dict[str, tuple[int, bytes]] = {}
        while frontier.size < head.size:
            first = frontier.size
            asked = EntriesRequest(origin=key.name, first=first, count=min(PAGE, head.size - first))
            reply = await self._call(name, "Entries", asked, EntriesReply())
            entries = [bytes(entry) for entry in reply.entries[: head.size - first]]
            if not entries or any(len(entry) > MAX_STATEMENT for entry in entries):
                raise NotVerified("it shows fewer entries than its checkpoint, or none that could be some", place=key.name)
            room -= sum(map(len, entries))
            if room < 0:
                text = f"its copy would be larger than {self._largest >> 20} MiB"
                raise Invalid(text, place=key.name, remedy="Raise `largest_mib` of [mirror] in coordinator.toml.")
            digests, shown = await asyncio.to_thread(self._keep, key, first, entries, frontier)
            payloads |= dict.fromkeys(digests)
            for size, note in shown:
                origin = _origin(note)
                if size > largest.get(origin, (-1, b""))[0]:
                    largest[origin] = (size, note)
        return list(payloads), [note for _, note in largest.values()]

    def _keep(
        self, key: Verifier, first: int, entries: Sequence[bytes], frontier: Frontier
    ) -> tuple[list[str], list[tuple[int, bytes]]]:
        self._mirror.hold(key, first, entries)
        payloads, shown = [], []
        for entry in entries:
            frontier.append(leaf_hash(entry))
            kind, _ = read_statement(entry)
            if kind == Release.kind:
                payloads.append(Release.read(entry).payload.sha256)
            elif kind == Submit.kind and self._holds(vector := Submit.read(entry).vector.sha256):
                payloads.append(vector)
            elif kind == Peer.kind:
                peer = Peer.read(entry)
                own = self._own.get(peer.origin)
                if own is not None:
                    try:
                        open_checkpoint(peer.note, own)
                    except Invalid:
                        continue  # a claim that our key has not signed proves nothing
                    shown.append((peer.size, own_lines(peer.note, own)))
        return payloads, shown

    async def _payload(self, name: str, key: Verifier, sha: str) -> None:
        if await asyncio.to_thread(self._mirror.payload, key, sha) is not None:
            return
        data = None
        here = await asyncio.to_thread(self._store.row, "SELECT 1 FROM blobs WHERE sha = ?", (sha,))
        if here is None and not self._holds(sha):
            reply = await self._call(name, "Blob", BlobRequest(origin=key.name, sha256=sha), BlobReply())
            data = bytes(reply.data)
        await asyncio.to_thread(self._mirror.keep_payload, key, sha, data)

    async def _call(self, name: str, method: str, request: Message, reply: R) -> R:
        caller = self._nodes.get(name).client.caller
        try:
            reply.ParseFromString(await caller.call(f"/collegium.v1.Log/{method}", request.SerializeToString(), timeout=CALL))
        except TunnelError as error:
            raise from_rpc(error, place=name) from None
        except DecodeError:
            raise Failed("its reply cannot be read", place=name, remedy="It may need a newer version.") from None
        return reply


def _origin(checkpoint: bytes) -> str:
    return checkpoint.split(b"\n", 1)[0].decode()
