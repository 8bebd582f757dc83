"""A peer entry: another log's checkpoint embedded whole, and nothing that merely says so."""

from __future__ import annotations

from typing import Any

import pytest
from loginmemory import LOG, WITNESS, MemoryLog, T

from collegium.errors import Invalid
from collegium.log.checkpoint import open_checkpoint
from collegium.log.cosign import check_quorum
from collegium.log.note import Signer, encode_base64, sign_note
from collegium.statements import LogPlace, Peer, RegistryView

OWN = Signer.from_seed("example/alpha/statements", b"\1" * 32)
OTHER = MemoryLog([b"entry-0", b"entry-1"], cosigned=True)
NOTE = OTHER.checkpoint_at(2)
BODY: dict[str, Any] = {
    "log": {"origin": "example/alpha", "index": 7},
    "registry": {"size": 3, "root": encode_base64(b"r" * 32)},
    "time": T,
    "origin": LOG.name,
    "size": 2,
    "root": encode_base64(OTHER.tree.root(2)),
    "checkpoint": NOTE.decode(),
}


def test_a_checkpoint_is_embedded_with_all_its_signatures() -> None:
    peer = Peer(
        log=LogPlace(**BODY["log"]),
        registry=RegistryView(**BODY["registry"]),
        time=T,
        origin=LOG.name,
        size=2,
        root=BODY["root"],
        checkpoint=NOTE.decode(),
    )
    opened = Peer.open(peer.sign(OWN), [OWN.verifier])
    assert opened == peer == Peer.from_body(BODY)
    assert opened.note == NOTE
    assert open_checkpoint(opened.note, LOG.verifier).size == 2
    assert check_quorum(opened.note, {"w": WITNESS.verifier}, 1) == {"w": T}


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 3},
        {"root": encode_base64(b"x" * 32)},
        {"origin": "example/beta"},
        {"log": {"origin": LOG.name, "index": 7}},
        {"checkpoint": ""},
        {"checkpoint": NOTE.decode()[:-1]},
        {"checkpoint": sign_note("hello\n", LOG).decode()},
        {"checkpoint": NOTE.decode() + "x" * 20_000},
        {"checkpoint": "\ud800" + NOTE.decode()},
        {"checkpoint": None},
        {"witnesses": []},
    ],
)
def test_what_is_no_embedding_of_that_checkpoint(changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Peer.from_body(BODY | changes)


def test_a_peer_of_the_largest_note_still_fits_an_entry() -> None:
    assert len(Peer.from_body(BODY).sign(OWN)) < 65_535
    note = NOTE.decode()
    body = BODY | {"checkpoint": note + f"— {'w' * (19_000 - len(note))} {encode_base64(b'1' * 76)}\n"}
    assert len(Peer.from_body(body).sign(OWN)) < 65_535
