"""A roster that travels as bits: the same comes out of them, and whoever sends other bits is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collegium.body import Blob
from collegium.errors import NotVerified
from collegium.keys import statements_name
from collegium.log.note import Signer
from collegium.national.lists import Roster, RosterNode
from collegium.national.travelling import chosen_bits, roster_from_bits

MEMBERS = tuple(f"univ-{number:02}" for number in range(21))
KEYS = {name: Signer.generate(statements_name("fed", name)).verifier for name in MEMBERS}
SOME = (MEMBERS[0], MEMBERS[8], MEMBERS[20])


def roster(*names: str) -> Roster:
    return Roster(nodes=tuple(RosterNode(node=name, key=KEYS[name].vkey) for name in names))


@given(st.sets(st.sampled_from(MEMBERS), min_size=2))
def test_what_is_sent_is_what_comes_out(names: set[str]) -> None:
    sent = roster(*sorted(names))
    bits = chosen_bits(MEMBERS, names)
    assert len(bits) == 3
    assert roster_from_bits(bits, MEMBERS, KEYS, sent.blob) == sent


def test_the_bytes_that_are_sent() -> None:
    """Lowest bit of the first byte first: other implementations find the same."""
    assert chosen_bits(MEMBERS, SOME) == bytes([0b0000_0001, 0b0000_0001, 0b0001_0000])
    assert chosen_bits((), ()) == b""


def test_somebody_who_is_no_member_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="univ-x is no member"):
        chosen_bits(MEMBERS, (*SOME, "univ-x"))


@pytest.mark.parametrize(
    ("bits", "why"),
    [
        pytest.param(b"", "0 bytes of bits", id="none"),
        pytest.param(chosen_bits(MEMBERS, SOME) + b"\0", "4 bytes of bits", id="a byte too many"),
        pytest.param(chosen_bits(MEMBERS, SOME)[:2], "2 bytes of bits", id="a byte too few"),
        pytest.param(bytes([1, 1, 0b0011_0000]), "3 bytes of bits and the group 21 nodes", id="a bit beyond the last node"),
        pytest.param(bytes(3), "at least 2 items", id="nobody"),
        pytest.param(chosen_bits(MEMBERS, MEMBERS), "not the roster that the plan names", id="others"),
    ],
)
def test_other_bits(bits: bytes, why: str) -> None:
    with pytest.raises(NotVerified, match=why):
        roster_from_bits(bits, MEMBERS, KEYS, roster(*SOME).blob)


def test_a_roster_with_another_key_than_the_registry_has() -> None:
    """Names are the same and the digest is of another list."""
    stranger = Signer.generate(statements_name("fed", SOME[1])).verifier.vkey
    changed = tuple(each if each.node != SOME[1] else RosterNode(node=each.node, key=stranger) for each in roster(*SOME).nodes)
    with pytest.raises(NotVerified, match="not the roster that the plan names"):
        roster_from_bits(chosen_bits(MEMBERS, SOME), MEMBERS, KEYS, Roster(nodes=changed).blob)


def test_a_node_that_has_left_the_registry() -> None:
    known = {name: key for name, key in KEYS.items() if name != SOME[1]}
    with pytest.raises(NotVerified, match=f"{SOME[1]} is not registered"):
        roster_from_bits(chosen_bits(MEMBERS, SOME), MEMBERS, known, roster(*SOME).blob)


def test_the_size_is_a_part_of_what_the_plan_names() -> None:
    named = roster(*SOME).blob
    with pytest.raises(NotVerified):
        roster_from_bits(chosen_bits(MEMBERS, SOME), MEMBERS, KEYS, Blob(sha256=named.sha256, size=named.size + 1))
