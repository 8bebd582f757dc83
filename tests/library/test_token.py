"""Tokens: whole or refused, and silent about their secret."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.note import Signer
from collegium.statements import Invitation, Revocation
from collegium.tls import make_ca
from collegium.token import make_token, parse_token

REGISTRY = Signer.from_seed("example/registry/statements", b"\x01" * 32)
ONE_TIME = Signer.from_seed("example/alpha/invitation", bytes(range(100, 132)))
CA = make_ca("example", clock=lambda: 1_700_000_000.0)[0]


def invitation(key: Signer = ONE_TIME, signer: Signer = REGISTRY, name: str = "alpha") -> bytes:
    body = Invitation(role="node", name=name, facts={"province": "11"}, enrolment=20_000, expiry=100, key=key.vkey, time=3)
    return body.sign(signer)


PARTS: dict[str, Any] = {
    "address": "enrol.example.edu:7442",
    "service": "[::1]:7443",
    "ca": CA,
    "federation": "example",
    "registry": REGISTRY.vkey,
    "invitation": invitation(),
    "one_time": ONE_TIME,
}
TOKEN = make_token(**PARTS)


def tree_of(token: str) -> dict[str, Any]:
    material = token.removeprefix("collegium1.")
    tree: dict[str, Any] = json.loads(zlib.decompress(base64.urlsafe_b64decode(material + "=" * (-len(material) % 4))))
    return tree


def pack(plain: bytes) -> str:
    return "collegium1." + base64.urlsafe_b64encode(zlib.compress(plain)).decode().rstrip("=")


def packed(**changes: Any) -> str:
    tree = tree_of(TOKEN) | changes
    kept = {name: value for name, value in tree.items() if value is not None}
    return pack(json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def test_a_token_carries_all_that_joining_needs() -> None:
    token = parse_token(TOKEN)
    assert (token.address, token.service, token.ca, token.federation) == ("enrol.example.edu:7442", "[::1]:7443", CA, "example")
    assert (token.registry, token.invitation, token.one_time) == (REGISTRY.vkey, invitation(), ONE_TIME)
    assert (token.invited.name, token.invited.role, token.invited.facts) == ("alpha", "node", {"province": "11"})
    assert all(character.isascii() and (character.isalnum() or character in "-_.") for character in TOKEN)


def test_line_breaks_of_a_mail_do_no_harm() -> None:
    folded = "  " + "\r\n ".join(TOKEN[i : i + 60] for i in range(0, len(TOKEN), 60)) + "\n"
    assert parse_token(folded) == parse_token(TOKEN)


def test_every_cut_of_a_token_is_refused() -> None:
    for length in range(len(TOKEN)):
        with pytest.raises(Invalid):
            parse_token(TOKEN[:length])


def test_no_changed_character_gives_another_token() -> None:
    """A few bits of the compression say nothing about the content; whatever else is changed is noticed."""
    token, passed = parse_token(TOKEN), 0
    for position, character in enumerate(TOKEN):
        try:
            changed = parse_token(TOKEN[:position] + ("A" if character != "A" else "B") + TOKEN[position + 1 :])
        except Invalid:
            continue
        assert changed == token
        passed += 1
    assert passed <= 3


OTHER = Signer.from_seed("example/registry/statements", b"\x02" * 32)
WRONG: dict[str, str] = {
    "empty": "",
    "another product": TOKEN.replace("collegium1.", "collegium2."),
    "prefix alone": "collegium1.",
    "something after it": TOKEN + "AAAA",
    "padding": TOKEN + "=",
    "standard base64": TOKEN[:20] + "+" + TOKEN[21:],
    "endless": "collegium1." + "A" * 100_000,
    "zip bomb": pack(b" " * 20_000_000),
    "no JSON": pack(b"hello"),
    "no object": pack(b"[]"),
    "loose JSON": pack(json.dumps(tree_of(TOKEN)).encode()),
    "two streams": pack(b"{}") + base64.urlsafe_b64encode(zlib.compress(b"{}")).decode(),
    "unknown field": packed(extra="x"),
    "missing field": packed(seed=None),
    "number for text": packed(address=7442),
    "object for text": packed(seed={}),
    "lone surrogate": packed(address="\ud800:1"),
    "no port": packed(address="enrol.example.edu"),
    "port 0": packed(service="enrol.example.edu:0"),
    "large port": packed(service="enrol.example.edu:65536"),
    "no host": packed(address=":7442"),
    "an option for a host": packed(address="a b:7442"),
    "no certificate": packed(ca="hello"),
    "no registry key": packed(registry="hello"),
    "registry key of another federation": packed(registry=Signer.generate("other/registry/statements").vkey),
    "log key for the registry key": packed(registry=Signer.generate("example/registry").vkey),
    "another federation": packed(federation="other"),
    "invitation by another key": packed(registry=OTHER.vkey),
    "forged invitation": packed(invitation=invitation(signer=OTHER).decode()),
    "changed invitation": packed(invitation=invitation().decode().replace('"enrolment":20000', '"enrolment":20001')),
    "no invitation": packed(invitation="hello"),
    "another statement": packed(invitation=Revocation(name="alpha", time=1, reason="").sign(REGISTRY).decode()),
    "another one-time key": packed(seed=base64.b64encode(b"\x09" * 32).decode()),
    "short one-time key": packed(seed=base64.b64encode(b"\x09" * 31).decode()),
    "no one-time key": packed(seed=""),
    "seed in another spelling": packed(seed=base64.b64encode(ONE_TIME.seed).decode().rstrip("=")),
    "one-time key of another name": packed(
        invitation=invitation(Signer.from_seed("example/beta/invitation", ONE_TIME.seed)).decode(),
    ),
}


def shows(text: str, secret: str) -> bool:
    """Whether 8 characters in a row of the secret are in the text."""
    return any(secret[i : i + 8] in text for i in range(len(secret) - 7))


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG.keys())
def test_wrong_tokens_are_refused_silently(token: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_token(token)
    shown = str(caught.value) + repr(caught.value)
    assert caught.value.place == "token"
    assert not shows(shown, base64.b64encode(ONE_TIME.seed).decode())
    assert not shows(shown, TOKEN[len("collegium1.") :])
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_zip_bomb_is_not_unpacked() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Invalid):
            parse_token(WRONG["zip bomb"])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["forged invitation", "another one-time key", "invitation by another key"])
def test_what_is_signed_wrongly_is_not_verified(name: str) -> None:
    with pytest.raises(NotVerified):
        parse_token(WRONG[name])


def test_a_token_shows_no_seed() -> None:
    assert not shows(repr(parse_token(TOKEN)), base64.b64encode(ONE_TIME.seed).decode())
    assert repr(ONE_TIME.seed)[2:20] not in repr(parse_token(TOKEN))


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "nowhere"},
        {"federation": "other"},
        {"registry": OTHER.vkey},
        {"one_time": Signer.from_seed(ONE_TIME.name, b"\x05" * 32)},
        {"invitation": b"\xff"},
        {"ca": b"\xff"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_parts_that_do_not_fit_make_no_token(changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        make_token(**(PARTS | changes))


@given(st.text(max_size=80) | st.binary(max_size=200).map(pack))
@settings(deadline=None, max_examples=200)
def test_hostile_text_raises_only_our_errors(text: str) -> None:
    for candidate in (text, "collegium1." + text):
        with pytest.raises(CollegiumError):
            parse_token(candidate)


@given(
    st.sampled_from(sorted(tree_of(TOKEN))),
    st.text(max_size=40) | st.integers() | st.none() | st.lists(st.text(max_size=3), max_size=2),
)
@settings(deadline=None, max_examples=200)
def test_hostile_fields_raise_only_our_errors(name: str, value: Any) -> None:
    if name in ("address", "service") and isinstance(value, str) and ":" in value:
        return  # it may be an address
    with pytest.raises(Invalid):
        parse_token(packed(**{name: value}))
