"""Where signing keys are kept, and what they are called.

A key file is one line, `<key name> <base64 of the 32-byte seed>`, readable by its owner alone. Keys are made on the machine that
uses them and never travel.

    <federation>/registry/statements      who is who; may stay offline
    <federation>/registry                 orders the registry's log, held by the serving coordinator
    <federation>/coordinator/statements   indicators
    <federation>/coordinator              the coordinator's log
    <federation>/<party>/statements       what a node or researcher signs
    <federation>/<node>                   a node's log
    <federation>/<node>/witness           what a node cosigns as a witness of other logs (a cosigner key, type 4)
    <federation>/<party>/invitation       redeems one invitation, once
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium.log.cosign import CosignerSigner
from collegium.log.note import Signer, decode_base64, encode_base64

__all__ = [
    "RESERVED",
    "check_name",
    "invitation_name",
    "is_name",
    "load_cosigner",
    "load_signer",
    "log_name",
    "save_secret",
    "save_signer",
    "statements_name",
    "witness_name",
]

RESERVED = frozenset({"registry", "coordinator"})
"""Names that no node and no researcher may take: they name the federation's own keys and certificates."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_name(name: str, *, place: str = "name", reserved: bool = False) -> str:
    """The name itself. Raises Invalid when it is none, or is reserved and `reserved` is not set."""
    if not is_name(name):
        raise Invalid("a name is a small letter and then small letters, digits or '-', at most 63", place=place)
    if name in RESERVED and not reserved:
        raise Invalid(f"the name {name!r} is reserved", place=place, remedy="Choose another.")
    return name


def statements_name(federation: str, party: str) -> str:
    return f"{federation}/{party}/statements"


def log_name(federation: str, party: str) -> str:
    return f"{federation}/{party}"


def invitation_name(federation: str, party: str) -> str:
    return f"{federation}/{party}/invitation"


def witness_name(federation: str, party: str) -> str:
    return f"{federation}/{party}/witness"


def save_signer(path: Path, signer: Signer | CosignerSigner) -> None:
    """Keep a signing key. Saving the same key again changes nothing; a different key is never overwritten (Invalid)."""
    line = f"{signer.name} {encode_base64(signer.seed)}\n".encode()
    try:
        save_secret(path, line)
    except FileExistsError:
        if _load(path) != (signer.name, signer.seed):
            raise Invalid(
                "another key is kept there", place=str(path), remedy="Move it away first; keys are not overwritten."
            ) from None


def load_signer(path: Path) -> Signer:
    """The key of a file. Raises Invalid when it is no key file or others could have read it. The error never shows its content."""
    name, seed = _load(path)
    if name.endswith("/witness"):
        raise Invalid(f"{name} is a witness's key: load it as one", place=str(path))
    return Signer.from_seed(name, seed)


def load_cosigner(path: Path) -> CosignerSigner:
    """The same of a witness's key. Raises Invalid when the key's name is not that of a witness: one key never signs two kinds."""
    name, seed = _load(path)
    if not name.endswith("/witness"):
        raise Invalid(f"{name} is no witness's key", place=str(path), remedy="Restore it from your backup.")
    return CosignerSigner.from_seed(name, seed)


def _load(path: Path) -> tuple[str, bytes]:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise Invalid("others can read or change this key", place=str(path), remedy=f"Run: chmod 600 {path}")
            content = file.read(4096)
    except OSError as error:
        raise Invalid(f"the key cannot be read: {error.strerror}", place=str(path)) from None
    try:
        name, _, seed = content.decode("utf-8").removesuffix("\n").partition(" ")
        signer = Signer.from_seed(name, decode_base64(seed))
        return signer.name, signer.seed
    except (UnicodeDecodeError, Invalid):
        raise Invalid("this is not a key file", place=str(path), remedy="Restore it from your backup.") from None


def save_secret(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file that its owner alone can read, whole or not at all.

    Raises FileExistsError when it exists and `replace` is not set, Failed when the disk refuses. Trusted with the secret itself:
    an attacker who reads the file is its owner.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _make_folder(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # Crash before the next line: a stray temporary file, no key. Crash after: the whole key under its name.
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # unlike a rename, fails if the name is taken
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise Failed(
            f"cannot be written: {error.strerror}", place=str(path), remedy="Check the disk and the folder's owner."
        ) from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
