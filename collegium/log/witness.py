"""What a witness does with a checkpoint: the pure state machine of C2SP tlog-witness. Storage, time and the key are the caller's.

    verdict = consider(known, note, old_size, proof, log_key)
    if isinstance(verdict, Cosign):
        store verdict.known where `known` is still what is stored, in one durable transaction
        reply with cosigner.cosign(note, now)

The promise of a cosignature is "at this time this was the largest consistent tree I had seen"; it is kept only if the store is
written before the answer leaves, and check and write are one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collegium.errors import Invalid, NotVerified
from collegium.log.checkpoint import Checkpoint, open_checkpoint
from collegium.log.cosign import own_lines
from collegium.log.merkle import verify_consistency
from collegium.log.note import Verifier

__all__ = ["Conflict", "Cosign", "Known", "Split", "Verdict", "consider", "contradiction"]

MAX_PROOF = 63


@dataclass(frozen=True, slots=True)
class Known:
    """The largest consistent tree seen of a log: size, root (32 bytes), and the note with the log's signature alone.

    Trusted with "no larger and no other tree"; who can set it back makes this witness cosign a second history.
    """

    size: int
    root: bytes
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class Cosign:
    """Store `known`, then cosign."""

    known: Known


@dataclass(frozen=True, slots=True)
class Conflict:
    """The request does not begin at what is known: answer with `known` (None: nothing yet, so begin at 0) and store nothing."""

    known: Known | None


@dataclass(frozen=True, slots=True)
class Split:
    """The log signed two trees that do not agree: `known` and `shown`. Refuse, answer with `known`, and keep both notes."""

    known: Known
    shown: bytes


Verdict = Cosign | Conflict | Split


def consider(known: Known | None, checkpoint: bytes, old_size: int, proof: Sequence[bytes], log: Verifier) -> Verdict:
    """What to do with a request to cosign `checkpoint` of the log whose key this is.

    1. The checkpoint is signed by the log's key, under the log's name.
    2. The old size is not above the checkpoint's.
    3. Same size as known, other root: the log has signed two histories. No proof can make that good.
    4. The old size is what this witness knows (0 when nothing); else a conflict, which tells the log where to begin.
    5. The proof shows that the known tree is a prefix of the new one. (For equal sizes it is empty; from 0, too.)

    Raises NotVerified (1, 5) or Invalid (1, 2): refuse and store nothing.
    """
    # (1)
    shown = open_checkpoint(checkpoint, log)
    # (2)
    if not 0 <= old_size <= shown.size:
        raise Invalid("the old size is above the checkpoint's", place="old_size")
    if len(proof) > MAX_PROOF:
        raise Invalid(f"a consistency proof has at most {MAX_PROOF} hashes", place="proof")
    # (3)
    if known is not None and shown.size == known.size and shown.root != known.root:
        return Split(known, own_lines(checkpoint, log))
    # (4)
    if old_size != (known.size if known is not None else 0):
        return Conflict(known)
    # (5)
    if known is not None:
        verify_consistency(known.size, shown.size, known.root, shown.root, proof)
    elif proof:
        raise NotVerified("the empty tree is a prefix of every tree and needs no proof", place="proof")
    return Cosign(Known(shown.size, shown.root, own_lines(checkpoint, log)))


def contradiction(known_checkpoint: bytes, log: Verifier, size: int, root_at: Callable[[int], bytes]) -> Checkpoint | None:
    """What the log has signed and does not hold: the tree of `known_checkpoint`, a witness's answer. None when it holds it.

    `size` is the log's own newest size, read after the answer came, and `root_at` the root it had at a size (`Tree.root`). A larger
    tree means a restored backup, another root a rewritten past: either stops the log. Only the log's own signature proves that; a
    claim without it, whoever makes it, is no reason to stop.
    """
    try:
        known = open_checkpoint(known_checkpoint, log)
    except Invalid:
        return None
    return known if known.size > size or root_at(known.size) != known.root else None
