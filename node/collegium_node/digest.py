"""The keyed digest of a person's id.

Everything that decides which of a person's rows or groups count starts from this digest, so it depends on the node's secret and on
that person's id alone. Digests of rows build on it in `choice.fold_row_digests`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from collegium.errors import Failed, Invalid
from collegium.party.durable import new_file, sync_folder

__all__ = ["NodeSecret", "load_secret", "person_digests"]

PERSON = b"collegium/person"  # BLAKE2b's personalisation: exactly 16 bytes
MASK = (1 << 62) - 1


class NodeSecret:
    """32 random bytes of `snapshot.key`.

    Trusted with the unpredictability of the digests: an attacker who holds it and the snapshots can test which known id has which
    rows. It is never shown; the noise and the guarantee do not rest on it.
    """

    __slots__ = ("key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise Invalid("a node's secret is 32 bytes", place="snapshot.key", remedy="Restore the file from a backup.")
        self.key = key

    def __repr__(self) -> str:
        return "NodeSecret(...)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    @classmethod
    def generate(cls) -> NodeSecret:
        return cls(secrets.token_bytes(32))


def load_secret(path: Path) -> NodeSecret:
    """The secret of this node, made on first use; the file has mode 0600.

    The first writer wins: two processes that start at once both end up with what is on disk.
    """
    try:
        if not path.exists():
            _create(path, secrets.token_bytes(32))
        return NodeSecret(path.read_bytes())
    except OSError as error:
        raise Failed(f"cannot be read or made: {error.strerror or error}", place=str(path)) from None


def _create(path: Path, key: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with new_file(temporary) as file:
            file.write(key)
        # Crash here: a hidden file is left and nothing has used its key. A link, unlike a rename, never replaces a key in use.
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def person_digests(ids: Iterable[str], secret: NodeSecret) -> npt.NDArray[np.int64]:
    """Digests of ids, int64 of the same length, each in [0, 2^62): the low 62 bits of BLAKE2b-64 keyed with the secret.

    The id is hashed as UTF-8. Source: RFC 7693 (keyed mode), with a personalisation so that no other use of the key collides.
    """
    keyed = hashlib.blake2b(key=secret.key, digest_size=8, person=PERSON)
    out = bytearray()
    for identity in ids:
        one = keyed.copy()
        one.update(identity.encode())
        out += one.digest()
    return np.frombuffer(bytes(out), dtype="<u8").astype(np.int64) & np.int64(MASK)
