"""Bodies of statements: whatever text is properly signed is read in one way only, or refused.

The fuzzer cannot sign, so these targets sign for it: what it changes reaches the body instead of ending at the signature. Three
readers must agree: the bodies' quick way and their thorough one, and the auditor's regular expressions.
"""

from __future__ import annotations

from typing import Any

from target import Target
from test_bodies import BODIES, SIGNER

from collegium.audit.keys import Key, KeyRing, text_of
from collegium.audit.reading import KINDS, read_body
from collegium.audit.typed import facts_of
from collegium.body import Body
from collegium.errors import Invalid
from collegium.log.note import sign_note
from collegium.log.statement import MAX_STATEMENT, canonical_json, open_statement, read_statement
from collegium.registration import read_registration
from collegium.statements import Decision, Indicator, Peer, Policy, Release, Request, Withdrawal

__all__ = ["TARGETS"]

MODELS: dict[str, type[Body]] = {model.kind: model for model in (Request, Decision, Release, Indicator, Withdrawal, Policy, Peer)}
RING = KeyRing([Key(SIGNER.name, SIGNER.verifier.raw, "alpha", "node", 0, None)])


def statement(raw: bytes) -> None:
    """The text of a statement, signed as it comes."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("no text") from None
    signed = sign_note(text, SIGNER)
    if len(signed) > MAX_STATEMENT:
        raise Invalid("no statement is as long")
    found = _typed(signed)
    _audited(signed, found)
    if found is None:
        raise Invalid("refused by all")


def entry(raw: bytes) -> None:
    """A whole signed entry: its signature makes it the one that was signed, for the library and for the auditor."""
    split = text_of(raw)
    signers, problem = RING.signers(raw, split[0]) if split is not None else ([], "note")
    try:
        body = open_statement(raw, read_statement(raw)[0], [SIGNER.verifier])
    except Invalid:
        assert not signers or problem or split is None or not _readable(raw), "the auditor takes what the library refuses"
        raise
    assert signers == [0], "the library takes what the auditor refuses"
    assert raw.rpartition(b"\n\n")[0] + b"\n" in {each.rpartition(b"\n\n")[0] + b"\n" for each in SEEDS}, "a text nobody signed"
    canonical_json(body)


def _readable(raw: bytes) -> bool:
    try:
        read_statement(raw)
    except Invalid:
        return False
    return True


def _typed(signed: bytes) -> Any:
    """The body, by both ways of the library; None when refused."""
    try:
        kind, tree = read_statement(signed)
        if kind == "registration":
            return read_registration(signed)
        model = MODELS.get(kind)
        if model is None:
            raise Invalid("unknown")
    except Invalid:
        return None
    found = []
    for way in (lambda: model.open(signed, [SIGNER.verifier]), lambda: model.from_body(tree)):
        try:
            found.append(way())
        except Invalid:
            found.append(None)
    assert found[0] == found[1], "the quick way and the thorough way differ"
    if found[0] is not None:
        assert found[0].to_body() == tree, "a body that is not what was signed"
    return found[0]


def _audited(signed: bytes, found: Any) -> None:
    """The auditor's quick way reads what the bodies read, and takes nothing that they refuse."""
    split = text_of(signed)
    if split is None:
        assert found is None, "the auditor does not see a statement"
        return
    at, kind, line = split
    if kind not in KINDS or kind == "registration":
        return
    quick = read_body(kind, signed[:at], line, lambda _: ())
    assert (quick is None) == (found is None), "the auditor and the library disagree"
    if quick is not None:
        assert quick[1:] == tuple(facts_of(kind, signed[:at], lambda _: ())), "the auditor reads other facts"


def _texts() -> tuple[bytes, ...]:
    made = []
    for name, (model, body) in BODIES.items():
        if name == "renewal":  # no entry of any log
            continue
        line = canonical_json(model.from_body(body).to_body()).decode()
        made.append(f"collegium/v1/{model.kind}\n{line}\n".encode())
    return tuple(made)


SEEDS = tuple(sign_note(each.decode(), SIGNER) for each in _texts())
TARGETS = {
    "statement": Target(_texts(), statement, largest=8192),
    "entry": Target(SEEDS, entry, largest=8192),
}
