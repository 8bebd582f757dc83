"""The trust file: whom a reader believes. C2SP tlog-policy, as an auditor writes it down or gets it from somebody he believes.

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

A group or the quorum refers to names on lines above it. Lines that begin with # and empty lines are comments. Witnesses and groups
share one set of names; a name is a member at most once, so that nobody counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.cosign import CosignerVerifier, open_cosignatures
from collegium.log.note import Verifier

__all__ = ["Group", "Trust", "TrustedLog"]

MAX_TRUST = 1_000_000  # bytes
MAX_DEPTH = 64  # of groups in groups
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANK = re.compile(r"[ \t]+")
_COUNT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrustedLog:
    """A log by its key, and where it may be read (empty when not given)."""

    key: Verifier
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Satisfied when `need` of its members are."""

    need: int
    members: tuple[str, ...]


@dataclass(slots=True)
class Trust:
    """A parsed trust file. Trusted with everything a verdict rests on: who can change the file decides what an audit believes."""

    logs: dict[str, TrustedLog] = field(default_factory=dict)  # by origin
    witnesses: dict[str, CosignerVerifier] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None  # a witness or group; None needs no cosignature
    urls: dict[str, str] = field(default_factory=dict)  # of witnesses, where given

    @classmethod
    def parse(cls, content: bytes, *, place: str = "trust file") -> Trust:
        """Strictly; raises Invalid with the number of the first line that is wrong."""
        if len(content) > MAX_TRUST:
            raise Invalid(f"a trust file has at most {MAX_TRUST} bytes", place=place)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise Invalid("a trust file is UTF-8", place=place) from None
        reader = _Reader()
        for number, line in enumerate(text.split("\n"), 1):
            try:
                reader.line(line)
            except CollegiumError as error:
                raise Invalid(error.text, place=f"{place}, line {number}", remedy=error.remedy) from None
        if not reader.decided:
            raise Invalid("there is no quorum line", place=place, remedy="Write 'quorum none' where no witness is needed.")
        return reader.trust

    def to_text(self) -> str:
        """The file. `parse` gives an equal Trust."""
        lines = [f"log {log.key.vkey} {log.url}".rstrip() for log in self.logs.values()]
        lines += [f"witness {name} {key.vkey} {self.urls.get(name, '')}".rstrip() for name, key in self.witnesses.items()]
        lines += [f"group {name} {group.need} {' '.join(group.members)}" for name, group in self.groups.items()]
        return "\n".join([*lines, f"quorum {self.quorum or 'none'}"]) + "\n"

    def log(self, origin: str) -> Verifier:
        """The key of a trusted log. Raises Invalid when the file does not name it."""
        found = self.logs.get(origin)
        if found is None:
            raise Invalid(f"the trust file names no log {origin}", place="trust file", reason="missing")
        return found.key

    def satisfied(self, name: str, cosigned: Collection[str]) -> bool:
        """Whether a witness or group has witnessed what the witnesses `cosigned` (names of this file) have cosigned."""
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self.satisfied(member, cosigned) for member in group.members) >= group.need

    def cosigned(self, checkpoint: bytes) -> dict[str, int]:
        """Witnesses of this file, by name, that have cosigned a checkpoint note, and when. Raises NotVerified on a bad one."""
        times = open_cosignatures(checkpoint, self.witnesses.values())
        return {name: times[key] for name, key in self.witnesses.items() if key in times}

    def check(self, checkpoint: bytes, quorum: str | None = None) -> dict[str, int]:
        """The same, and raises NotVerified unless the file's quorum (or the named group) has witnessed the checkpoint."""
        name = self.quorum if quorum is None else quorum
        times = self.cosigned(checkpoint)
        if name is not None and not self.satisfied(name, times):
            raise NotVerified(f"the witnesses of {name} have not confirmed the checkpoint", place="checkpoint")
        return times


class _Reader:
    """Takes a trust file line by line. Errors carry no place: the caller knows the line."""

    def __init__(self) -> None:
        self.trust = Trust()
        self.decided = False
        self._keys: set[bytes] = set()
        self._members: set[str] = set()
        self._depths: dict[str, int] = {}  # of groups

    def line(self, line: str) -> None:
        if _CONTROL.search(line):
            raise Invalid("a control character")
        words = _BLANK.split(line.strip(" \t"))
        if not words[0] or words[0].startswith("#"):
            return
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self._log(vkey, *url)
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._witness(name, vkey, *url)
            case ["group", name, rule, *members] if members:
                self._group(name, rule, *members)
            case ["quorum", name]:
                self._quorum(name)
            case _:
                raise Invalid("a line reads log, witness, group or quorum, and then what the format says")

    def _log(self, vkey: str, url: str = "") -> None:
        key = Verifier.parse(vkey)
        if key.name in self.trust.logs or key.raw in self._keys:
            raise Invalid(f"the log {key.name}, or its key, stands twice")
        self._keys.add(key.raw)
        self.trust.logs[key.name] = TrustedLog(key, url)

    def _witness(self, name: str, vkey: str, url: str = "") -> None:
        key = CosignerVerifier.parse(vkey)
        self._define(name)
        if key.raw in self._keys:
            raise Invalid(f"the key of {name} stands twice")
        self._keys.add(key.raw)
        self.trust.witnesses[name] = key
        if url:
            self.trust.urls[name] = url

    def _group(self, name: str, rule: str, *members: str) -> None:
        need = {"all": len(members), "any": 1}.get(rule) or (int(rule) if _COUNT.fullmatch(rule) else 0)
        if not 1 <= need <= len(members):
            raise Invalid(f"a group needs all, any or a number from 1 to {len(members)} of its members")
        for member in members:
            self._known(member)
            if member in self._members:
                raise Invalid(f"{member} is a member twice")
            self._members.add(member)
        self._define(name)
        self._depths[name] = 1 + max(self._depths.get(member, 0) for member in members)
        if self._depths[name] > MAX_DEPTH:
            raise Invalid(f"groups stand in groups at most {MAX_DEPTH} deep")
        self.trust.groups[name] = Group(need, members)

    def _quorum(self, name: str) -> None:
        if self.decided:
            raise Invalid("there is a second quorum line")
        if name != "none":
            self._known(name)
            self.trust.quorum = name
        self.decided = True

    def _define(self, name: str) -> None:
        if name == "none" or name in self.trust.witnesses or name in self.trust.groups:
            raise Invalid(f"the name {name} is taken")

    def _known(self, name: str) -> None:
        if name not in self.trust.witnesses and name not in self.trust.groups:
            raise Invalid(f"no line above this one names {name}")
