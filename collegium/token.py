"""Tokens: one line of text that lets a newcomer join, once.

A token carries where to enrol, what to pin (certificate authority and registry key), the invitation that the registry key signed,
and the seed of the one-time key that redeems it. It is a secret until it is redeemed or expires: whoever has it first takes the
invited name. No error shows any part of it.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from collegium.errors import Invalid, NotVerified
from collegium.keys import invitation_name, statements_name
from collegium.log.note import Signer, Verifier, decode_base64, encode_base64
from collegium.log.statement import canonical_json, parse_canonical
from collegium.registration import Invitation

__all__ = ["Token", "make_token", "parse_token"]

_PREFIX = "collegium1."
_MAX_TEXT = 32_768  # characters
_MAX_JSON = 131_072  # bytes after decompression: a token is no zip bomb
_FIELDS = ("address", "ca", "federation", "invitation", "registry", "seed", "service")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([1-9][0-9]{0,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """What a newcomer needs to join. `address` is the enrolment port, `service` the port of all else, both host:port."""

    address: str
    service: str
    ca: bytes  # PEM
    federation: str
    registry: str  # the registry's verifier key, to be pinned
    invitation: bytes  # the signed note
    invited: Invitation
    one_time: Signer = field(repr=False)


def make_token(
    *, address: str, service: str, ca: bytes, federation: str, registry: str, invitation: bytes, one_time: Signer
) -> str:
    """The token's text. Raises Invalid or NotVerified when the parts do not fit each other."""
    tree = {
        "address": address,
        "ca": ca.decode("ascii", "replace"),
        "federation": federation,
        "invitation": invitation.decode("utf-8", "replace"),
        "registry": registry,
        "seed": encode_base64(one_time.seed),
        "service": service,
    }
    text = _PREFIX + base64.urlsafe_b64encode(zlib.compress(canonical_json(tree, place="token"), 9)).decode().rstrip("=")
    parse_token(text)
    return text


def parse_token(text: str) -> Token:
    """The token, all its parts checked against each other. White space anywhere is ignored: mail programs break lines.

    1. Prefix, base64url, zlib (bounded, whole, nothing after it), canonical JSON of exactly the known fields. 2. Addresses,
    certificate and registry key are well formed, and the key is this federation's. 3. The invitation is signed by the registry key.
    4. The seed is that of the invitation's one-time key.

    Raises Invalid (NotVerified for 3 and 4), never with a part of the token in its text.
    """
    # (1)
    tree = _unpack("".join(text.split()))
    # (2)
    for key in ("address", "service"):
        match = _ADDRESS.fullmatch(tree[key])
        if match is None or int(match[2]) > 65_535:
            raise _wrong(f"its {key} is no host:port")
    try:
        x509.load_pem_x509_certificate(tree["ca"].encode())
    except ValueError:
        raise _wrong("it holds no certificate") from None
    registry = Verifier.parse(tree["registry"], place="token")
    federation = tree["federation"]
    if registry.name != statements_name(federation, "registry"):
        raise _wrong("its registry key is not that of its federation")
    # (3)
    invitation = tree["invitation"].encode()
    try:
        invited = Invitation.open(invitation, [registry])
    except Invalid:
        raise NotVerified("its invitation is not signed by its federation", place="token", remedy=_REMEDY) from None
    # (4)
    seed = decode_base64(tree["seed"], place="token")
    if len(seed) != 32:
        raise _wrong("its one-time key has the wrong length")
    one_time = Signer.from_seed(invitation_name(federation, invited.name), seed)
    if one_time.vkey != invited.key:
        raise NotVerified("its one-time key is not that of its invitation", place="token", remedy=_REMEDY)
    ca = tree["ca"].encode()
    return Token(tree["address"], tree["service"], ca, federation, tree["registry"], invitation, invited, one_time)


_REMEDY = "Copy the whole token again, or ask for a new one."


def _wrong(text: str) -> Invalid:
    return Invalid(f"this is not a whole token: {text}", place="token", remedy=_REMEDY)


def _unpack(text: str) -> dict[str, str]:
    if not text.startswith(_PREFIX):
        raise _wrong(f"it does not begin with {_PREFIX}")
    if len(text) > _MAX_TEXT:
        raise _wrong("it is too long")
    material = text.removeprefix(_PREFIX)
    try:
        packed = base64.b64decode(material + "=" * (-len(material) % 4), altchars=b"-_", validate=True)
        inflate = zlib.decompressobj()
        plain = inflate.decompress(packed, _MAX_JSON)
    except (binascii.Error, ValueError, zlib.error):
        raise _wrong("it is cut off or changed") from None
    if not inflate.eof or inflate.unused_data or base64.urlsafe_b64encode(packed).decode().rstrip("=") != material:
        raise _wrong("it is cut off or changed")
    try:
        tree: Any = parse_canonical(plain, place="token")
    except Invalid:
        raise _wrong("it is cut off or changed") from None
    if not isinstance(tree, dict) or tuple(tree) != _FIELDS or not all(isinstance(value, str) for value in tree.values()):
        raise _wrong("it has other fields than this version knows")
    return tree
