"""A log in memory: what the tests of `collegium.log` export, prove and damage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from collegium.log.checkpoint import sign_checkpoint
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.merkle import leaf_hash
from collegium.log.note import Signer
from collegium.log.tree import LeafHashes, Tree

LOG = Signer.from_seed("qlog.example.edu/node-a", b"\1" * 32)
WITNESS = CosignerSigner.from_seed("univ-b.example.edu/witness", b"\2" * 32)
T = 1_766_000_000


class MemoryLog:
    """A `LogSource` over lists. `blobs` follow entries as they are added; `cosigned` adds the witness's line."""

    def __init__(self, entries: Iterable[bytes] = (), *, signer: Signer = LOG, cosigned: bool = False) -> None:
        self.signer = signer
        self.cosigned = cosigned
        self.held: list[bytes] = []
        self.hashes: list[bytes] = []
        self.kept: dict[str, bytes] = {}
        self.received: dict[str, bytes] = {}
        self.tree = Tree(LeafHashes(self.leaves))
        for entry in entries:
            self.append(entry)

    def append(self, entry: bytes) -> None:
        self.held.append(entry)
        self.hashes.append(leaf_hash(entry))

    def grow(self, size: int) -> None:
        for index in range(len(self.held), size):
            self.append(b"entry-%d" % index)

    def keep(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        self.kept[sha256] = data
        return sha256

    def checkpoint_at(self, size: int) -> bytes:
        note = sign_checkpoint(self.signer.name, size, self.tree.root(size), self.signer)
        return add_cosignatures(note, [WITNESS.cosign(note, T)]) if self.cosigned else note

    def checkpoint(self) -> bytes | None:
        return self.checkpoint_at(len(self.held))

    def entries(self, first: int, count: int) -> Sequence[bytes]:
        return self.held[first : first + count]

    def leaves(self, first: int, count: int) -> Sequence[bytes]:
        return self.hashes[first : first + count]

    def blobs(self) -> Iterable[str]:
        return list(self.kept)

    def blob(self, sha256: str) -> bytes | None:
        return self.kept.get(sha256)

    def receipts(self) -> Iterable[tuple[str, bytes]]:
        return self.received.items()
