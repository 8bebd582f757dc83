"""How a roster travels to each of its nodes: as bits over the nodes of the round's group, not as a list of names and keys.

Every node holds the registry that the plan names and finds the group's nodes itself (`groups`), so one bit each says who of them is
in the roster. Names and keys are its own, and the plan's digest shows whether it is the same roster. A country of 3,074 needs 385
bytes for each node where the list has 340 kB, sent 3,074 times.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydantic import ValidationError

from collegium.body import Blob, first_mistake
from collegium.errors import NotVerified
from collegium.log.note import Verifier
from collegium.national.lists import Roster, RosterNode

__all__ = ["chosen_bits", "roster_from_bits"]


def chosen_bits(members: Sequence[str], chosen: Collection[str]) -> bytes:
    """Bit i, counted from the lowest of the first byte, says whether `members[i]` is in the roster.

    Raises ValueError when somebody is chosen who is no member.
    """
    bits = 0
    wanted = set(chosen)
    for place, name in enumerate(members):
        if name in wanted:
            bits |= 1 << place
            wanted.remove(name)
    if wanted:
        raise ValueError(f"{min(wanted)} is no member")
    return bits.to_bytes((len(members) + 7) // 8, "little")


def roster_from_bits(bits: bytes, members: Sequence[str], registered: Mapping[str, Verifier], named: Blob) -> Roster:
    """The roster that a plan names, made from the registry.

    Args:
        bits: as `chosen_bits` gives them.
        members: names of the group's nodes, sorted.
        registered: the nodes of the registry that the plan names, and their statement keys there.
        named: digest and size of the roster, from the plan.

    Raises:
        NotVerified: the bits are not of these members, or it is another roster than the plan's.
    """
    number = int.from_bytes(bits, "little")
    if len(bits) != (len(members) + 7) // 8 or number >> len(members):
        raise NotVerified(f"the roster has {len(bits)} bytes of bits and the group {len(members)} nodes", place="roster")
    chosen = [name for place, name in enumerate(members) if number >> place & 1]
    if gone := [name for name in chosen if name not in registered]:
        raise NotVerified(f"{gone[0]} is not registered", place="roster")
    try:
        roster = Roster(nodes=tuple(RosterNode(node=name, key=registered[name].vkey) for name in chosen))
    except ValidationError as error:
        raise NotVerified(first_mistake(error, "roster").text, place="roster") from None
    if roster.blob != named:
        raise NotVerified("this is not the roster that the plan names", place="roster")
    return roster
