"""What runs in every worker process: signatures and bodies of a run of entries, receipts of a run of files, sums of an indicator.

    prepare(setup)             once in each process
    examine(path, ...)         entries to facts
    receipts(path, names)      receipt files to what they claim
    resum(task)                an indicator's table again

Tasks carry paths and small tuples; results are marshalled by hand, which is several times faster than pickling a million tuples.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from collegium.audit.keys import Key, KeyRing, text_of
from collegium.audit.reading import KINDS, Questions, read_body
from collegium.errors import CollegiumError, Failed
from collegium.log.checkpoint import read_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.receipt import Receipt

__all__ = ["Setup", "examine", "prepare", "receipts", "resum", "unpack"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker needs of the verified registry."""

    keys: tuple[Key, ...]
    schemas: dict[str, str]  # TOML by id


class _State:
    """This process's copy of the setup."""

    def __init__(self, setup: Setup) -> None:
        self.ring = KeyRing(setup.keys)
        self.schemas = setup.schemas
        self._compiler: Any = None

    @property
    def compiler(self) -> Any:
        if self._compiler is None:
            from collegium.audit.typed import Compiler

            self._compiler = Compiler(self.schemas)
        return self._compiler

    def questions(self, asked: Any) -> tuple[tuple[Any, ...], ...]:
        compiled: tuple[tuple[Any, ...], ...] = self.compiler(asked)
        return compiled


_state: _State | None = None


def prepare(setup: Setup) -> None:
    global _state
    _state = _State(setup)


def _prepared() -> _State:
    assert _state is not None, "prepare() runs first in every worker"
    return _state


def examine(path: str, first: int, count: int, size: int, leaves: bytes, skip: bytes) -> bytes:
    """Facts of entries [first, first + count) of a log of `size` entries, without those that `skip` marks with 1.

    `leaves` are their leaf hashes as the tree has them. Raises Failed when the files are not the ones that were hashed before.
    """
    state = _prepared()
    found: list[tuple[Any, ...]] = []
    for at, entry in enumerate(islice(LogFolder(Path(path)).entries(first, size), count)):
        if skip[at]:
            continue
        if sha256(b"\x00" + entry).digest() != leaves[32 * at : 32 * at + 32]:
            raise Failed("the log was changed while it was read", place=path, remedy="Audit a copy that nobody writes to.")
        found.append(_facts(entry, state.ring, state.questions))
    return marshal.dumps(found)


def unpack(packed: bytes) -> list[tuple[Any, ...]]:
    """The facts of `examine`, in order. Only ever given what a process of our own has packed."""
    found: list[tuple[Any, ...]] = marshal.loads(packed)  # noqa: S302 - from our own worker through our own pipe
    return found


def _facts(entry: bytes, ring: KeyRing, questions: Questions) -> tuple[Any, ...]:
    """One entry.

    1. It is a statement. 2. Every signature by a known key is good, and there is one. 3. Its kind and body are known. 4. Among the
    signers is its author: the party whose log it names, or the researcher of a request.
    """
    # (1)
    split = text_of(entry)
    if split is None:
        return "", -1, "note"
    at, kind, line = split
    # (2)
    signers, problem = ring.signers(entry, at)
    if problem:
        return kind, -1, problem
    # (3)
    if kind not in KINDS:
        return kind, signers[0], "kind"
    body = read_body(kind, entry[:at], line, questions)
    if body is None:
        return kind, signers[0], "body"
    # (4)
    for number in signers:
        speaker = ring.speaker(number)
        if speaker == (body[1] if kind != "request" else f"{speaker.partition('/')[0]}/{body[6]}"):
            return (kind, number, "", *body)
    return kind, signers[0], "unsigned"


def receipts(path: str, names: Sequence[str]) -> bytes:
    """(statement id, index, origin, size, root) of each receipt file, or (statement id, text of what is wrong). Not verified."""
    folder = LogFolder(Path(path))
    found: list[tuple[Any, ...]] = []
    for name in names:
        try:
            receipt: Receipt = folder.receipt(name)
            claimed = read_checkpoint(receipt.checkpoint)
            found.append((name, receipt.index, claimed.origin, claimed.size, claimed.root))
        except CollegiumError as error:
            found.append((name, str(error)))
    return marshal.dumps(found)


def resum(task: Any) -> tuple[str, str]:
    """See `sums.resum`."""
    from collegium.audit.sums import resum as again

    return again(task, _prepared().compiler)
