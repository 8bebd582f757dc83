"""All keys that ever signed statements in the federation, as the registry names them; and from when to when each was valid.

A worker finds the key that signed; whether that key was *valid* is judged afterwards, by the registry that the receiving party had
embedded in its log before the entry. So keys that were revoked long ago are here too.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collegium.errors import CollegiumError, Refused
from collegium.log.note import Verifier, split_note
from collegium.log.statement import MAX_STATEMENT

if TYPE_CHECKING:  # a worker that only hashes loads none of this
    from collegium.registrar import Registered
    from collegium.registry import Registry

_ENDS = frozenset(b"AEIMQUYcgkosw048")

__all__ = ["Key", "KeyRing", "keys_of", "text_of"]


@dataclass(frozen=True, slots=True)
class Key:
    """A statement key. `index` is the registry entry that named it, `ended` the one that revoked or replaced it.

    `role`: node, researcher, trustee, coordinator or registry.
    """

    name: str  # the key's name, <federation>/<party>/statements
    raw: bytes
    party: str
    role: str
    index: int
    ended: int | None
    log: bytes = b""  # the public key of the log that came with it; nodes and trustees only

    def valid(self, size: int) -> bool:
        """Whether a registry of `size` entries holds it as valid."""
        return self.index < size and (self.ended is None or self.ended >= size)


def keys_of(registry: Registry) -> list[Key]:
    """Every statement key of a verified registry, in a fixed order; a key's number is its place here."""
    keys = [
        Key(registry.registry_key.name, registry.registry_key.raw, "registry", "registry", 0, None),
        Key(registry.coordinator.name, registry.coordinator.raw, "coordinator", "coordinator", 0, None),
    ]
    for party in registry.parties():
        history = [party]
        while (earlier := _before(registry, history[0])) is not None:
            history.insert(0, earlier)
        for each in history:
            log = each.log.raw if each.log is not None else b""
            keys.append(Key(each.statements.name, each.statements.raw, each.name, each.role, each.index, each.ended, log))
    return keys


def _before(registry: Registry, party: Registered) -> Registered | None:
    """The registration of the same name before this one."""
    try:
        return registry.as_of(party.name, party.index)
    except Refused:
        return None


class KeyRing:
    """Finds the key that signed a note, and verifies. One in each worker."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._numbers: dict[tuple[bytes, bytes], list[int]] = {}
        self._keys = [Verifier(key.name, key.raw) for key in keys]
        self._speakers = [key.name.removesuffix("/statements") for key in self._keys]
        for number, key in enumerate(self._keys):
            self._numbers.setdefault((key.name.encode(), key.key_id), []).append(number)

    def signers(self, note: bytes, at: int) -> tuple[list[int], str]:
        """Numbers of the keys that signed the note whose text ends at `at`; or none, and why (a key of `PROBLEMS`).

        As `open_note` does it: lines of unknown keys are ignored, and one bad signature of a known key spoils the note.
        """
        tail = note[at + 1 :]
        words = tail.split(b" ")
        if len(words) == 3 and words[0] == b"\xe2\x80\x94" and len(words[2]) == 93:
            material = words[2]
            try:
                raw = a2b_base64(material[:-1], strict_mode=True)
            except Error:
                return [], "note"
            # One spelling: of 92 characters with one '=', the last before it ends in two bits that are not used.
            if len(raw) != 68 or material[90] not in _ENDS or material[92] != 10:
                return [], "note"
            lines: Iterable[tuple[bytes, bytes, bytes]] = ((words[1], raw[:4], raw[4:]),)
        else:
            try:
                lines = [(name.encode(), key_id, body) for name, key_id, body in split_note(note, limit=MAX_STATEMENT)[1]]
            except CollegiumError:
                return [], "note"
        found: list[int] = []
        text = note[:at]
        for name, key_id, signature in lines:
            numbers = self._numbers.get((name, key_id))
            if numbers is None:
                continue
            right = [number for number in numbers if self._keys[number].accepts(text, signature)]
            if not right:
                return [], "signature"
            found += right
        return found, "" if found else "unsigned"

    def speaker(self, number: int) -> str:
        """Who signs with this key: <federation>/<party>, which for a node is also the name of its log."""
        return self._speakers[number]


def text_of(note: bytes) -> tuple[int, str, str] | None:
    """Where a statement's text ends, its kind and its line of JSON; None when it is no statement at all."""
    at = note.rfind(b"\n\n") + 1
    if not at or len(note) > MAX_STATEMENT:
        return None
    try:
        head, line, rest = note[:at].decode("utf-8").split("\n")
    except (UnicodeDecodeError, ValueError):
        return None
    if rest or not head.startswith("collegium/v1/"):
        return None
    return at, head[13:], line
