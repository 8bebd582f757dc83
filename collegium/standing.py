"""How each node and trustee of the federation stands now: one word, worked out from what the coordinator reports.

The coordinator is trusted with saying who is connected and nothing else here: a policy counts only if its node has signed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from collegium.policy import PublishedPolicy, read_policy
from collegium.registry import Registry
from collegium.v1.federation_pb2 import NodeLine, NodesReply, TrusteeLine

__all__ = ["STATES", "WORDS", "Policies", "Standing", "changes", "counts", "standings"]

State = Literal["never", "offline", "no key", "no policy", "no snapshot", "behind", "ready"]
STATES: tuple[State, ...] = ("offline", "no key", "no policy", "no snapshot", "behind", "never", "ready")
"""In the order in which they are shown: what somebody should look at first."""
WORDS: Mapping[State, str] = {
    "offline": "not connected now",
    "no key": "a trustee without a sealing key that still serves: no national sum through it",
    "no policy": "connected, and nothing it has signed says what it answers",
    "no snapshot": "connected, and serves no dataset",
    "behind": "connected, and has not verified the newest registry yet",
    "never": "registered, and was never seen",
    "ready": "nothing is missing",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One line. `behind`: registry entries it lacks; `snapshot_time`, `key_until`: Unix seconds, 0 where there is none.

    `per_node`, `national`: what the policy says of questions in this release mode: allow, hold, or "" for never; of the rules for
    anybody, so "allow" does not promise it to everybody.
    """

    name: str
    role: Literal["node", "trustee"]
    state: State
    last_seen: int
    version: str
    behind: int
    snapshot_time: int = 0
    per_node: str = ""
    national: str = ""
    key_until: int = 0

    def to_json(self) -> dict[str, Any]:
        """One object, keys as above."""
        return asdict(self)


class Policies:
    """Policies as they were last shown, each read and verified once. Lines without one leave the last one in force."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[bytes, PublishedPolicy | None]] = {}

    def of(self, line: NodeLine, registry: Registry) -> PublishedPolicy | None:
        note, known = bytes(line.status.policy), self._read.get(line.name)
        if known is not None and (not note or known[0] == note):
            return known[1]
        parties = {party.name: party for party in registry.nodes()} if note else {}
        party = parties.get(line.name)
        policy = read_policy(note, party) if party is not None else None
        if note and party is not None:  # else somebody the registry here does not know yet
            self._read[line.name] = (note, policy)
        return policy


def standings(reply: NodesReply, registry: Registry, policies: Policies, now: float) -> list[Standing]:
    """Everybody, those whom somebody should look at first; within a state the longest unseen first, then by name."""
    found = [_node(line, registry, policies.of(line, registry)) for line in reply.nodes]
    found += [_trustee(line, registry, now) for line in reply.trustees]
    return sorted(found, key=lambda each: (STATES.index(each.state), each.role, each.last_seen, each.name))


def counts(found: Iterable[Standing], role: str) -> Counter[State]:
    """How many of a role are in each state."""
    return Counter(each.state for each in found if each.role == role)


def changes(before: Mapping[str, Standing], found: Sequence[Standing]) -> list[Standing]:
    """Those who are new or stand differently; that they were seen again is no change."""
    return [each for each in found if (old := before.get(each.name)) is None or _lasting(old) != _lasting(each)]


def _lasting(each: Standing) -> dict[str, Any]:
    return {name: value for name, value in asdict(each).items() if name != "last_seen"}


def _node(line: NodeLine, registry: Registry, policy: PublishedPolicy | None) -> Standing:
    status = line.status
    behind = max(0, registry.size - status.registry_size)
    current = next((each for each in policy.snapshots if each.current), None) if policy is not None else None
    if not line.connected:
        state: State = "offline" if line.last_seen else "never"
    elif policy is None:
        state = "no policy"
    elif not status.snapshot:
        state = "no snapshot"
    else:
        state = "behind" if behind else "ready"
    return Standing(
        name=line.name,
        role="node",
        state=state,
        last_seen=line.last_seen,
        version=status.version,
        behind=behind,
        snapshot_time=current.time if current is not None else 0,
        per_node=_says(policy, "per_node"),
        national=_says(policy, "national"),
    )


def _trustee(line: TrusteeLine, registry: Registry, now: float) -> Standing:
    behind = max(0, registry.size - line.registry_size)
    if not line.connected:
        state: State = "offline" if line.last_seen else "never"
    elif line.key_until <= now:
        state = "no key"
    else:
        state = "behind" if behind else "ready"
    return Standing(
        name=line.name,
        role="trustee",
        state=state,
        last_seen=line.last_seen,
        version=line.version,
        behind=behind,
        key_until=line.key_until,
    )


def _says(policy: PublishedPolicy | None, mode: str) -> str:
    """The mildest of the rules that answer in this release mode."""
    words = {rule.mode for rule in policy.rules.allow if mode in rule.release} if policy is not None else set()
    return next((word for word in ("allow", "hold") if word in words), "")
