"""Signed notes: golden bytes, strictness, and that no mutation of a note opens."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.note import MAX_NOTE, Signer, Verifier, open_note, read_text, sign_note

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "log.json").read_text(encoding="utf-8"))
ALICE = Signer.from_seed("example/alice/statements", b"\x0a" * 32)
BOB = Signer.from_seed("example/bob/statements", b"\x0b" * 32)
TEXT = "first line\n\n— example/alice/statements not a signature\nlast line: 学生\n"


def test_golden_note_opens() -> None:
    vector = VECTORS["note"]
    note = (vector["text"] + "\n" + vector["line"]).encode()
    opened = open_note(note, [Verifier.parse(vector["vkey"])])
    assert opened.text == vector["text"]
    assert opened.signed_by == ("example.com/foo",)
    assert Verifier.parse(vector["vkey"]).vkey == vector["vkey"]


def test_golden_key_signs_the_golden_checkpoint() -> None:
    vector = VECTORS["log"]
    signer = Signer.from_seed("qlog.example.edu/node-a", bytes.fromhex(vector["seed"]))
    assert signer.vkey == vector["vkey"]
    text = vector["checkpoint"].split("\n\n")[0] + "\n"
    assert sign_note(text, signer).decode() == vector["checkpoint"]


def test_text_with_empty_lines_and_false_signature_lines_round_trips() -> None:
    note = sign_note(TEXT, ALICE, BOB)
    opened = open_note(note, [BOB.verifier, ALICE.verifier], need=2)
    assert opened.text == TEXT == read_text(note)
    assert opened.signed_by == (ALICE.name, BOB.name)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=200))
@settings(deadline=None)
def test_every_text_that_can_be_signed_opens_to_itself(text: str) -> None:
    note = sign_note(text + "\n", ALICE)
    assert open_note(note, [ALICE.verifier]).text == text + "\n"


def test_unknown_signatures_are_ignored_and_known_ones_all_count() -> None:
    note = sign_note(TEXT, ALICE, BOB)
    assert open_note(note, [ALICE.verifier]).signed_by == (ALICE.name,)
    with pytest.raises(NotVerified, match="not signed by example/carol"):
        open_note(note, [Signer.generate("example/carol").verifier])


def test_one_bad_signature_of_a_known_key_rejects_the_note() -> None:
    good, other = sign_note(TEXT, ALICE, BOB).decode(), sign_note("other\n", BOB).decode()
    forged = "".join([good[: good.rindex("— ")], other[other.rindex("— ") :]]).encode()
    assert open_note(forged, [ALICE.verifier]).text == TEXT
    with pytest.raises(NotVerified, match="signature of example/bob"):
        open_note(forged, [ALICE.verifier, BOB.verifier])


def test_one_key_counts_once_however_often_it_signs_or_is_given() -> None:
    note = sign_note(TEXT, ALICE, ALICE)
    assert open_note(note, [ALICE.verifier, ALICE.verifier]).signed_by == (ALICE.name,)
    with pytest.raises(NotVerified):
        open_note(note, [ALICE.verifier, BOB.verifier], need=2)
    with pytest.raises(NotVerified):
        open_note(note, [ALICE.verifier, ALICE.verifier], need=2)
    with pytest.raises(NotVerified):
        open_note(note, [], need=1)
    with pytest.raises(NotVerified):
        open_note(note, [ALICE.verifier], need=0)


def test_same_name_with_another_key_is_an_unknown_signature() -> None:
    impostor = Signer.generate(ALICE.name)
    with pytest.raises(NotVerified):
        open_note(sign_note(TEXT, impostor), [ALICE.verifier])


def test_two_keys_of_one_name_and_id_are_ambiguous() -> None:
    class Collision(Verifier):
        key_id = ALICE.verifier.key_id  # a ground key id: four bytes can be ground

    other = Collision(ALICE.name, b"\x07" * 32)
    with pytest.raises(NotVerified, match="share the name and id"):
        open_note(sign_note(TEXT, ALICE), [ALICE.verifier, other])


MALFORMED = {
    "empty": b"",
    "no signatures": b"text\n",
    "no signature after the empty line": b"text\n\n",
    "no final newline": sign_note("text\n", ALICE)[:-1],
    "line after the signatures": sign_note("text\n", ALICE) + b"more\n",
    "hyphen for the dash": sign_note("text\n", ALICE).replace("—".encode(), b"-"),
    "control character in the text": sign_note("text\n", ALICE).replace(b"text", b"te\txt"),
    "carriage returns": sign_note("text\n", ALICE).replace(b"\n", b"\r\n"),
    "not UTF-8": b"\xff" + sign_note("text\n", ALICE),
    "overlong UTF-8 surrogate": b"\xed\xa0\x80" + sign_note("text\n", ALICE),
    "nameless": b"text\n\n\xe2\x80\x94  " + base64.b64encode(b"x" * 68) + b"\n",
    "plus in the name": "text\n\n— a+b AAAAAAAA\n".encode(),
    "no base64": "text\n\n— name *****\n".encode(),
    "short signature": "text\n\n— name AAAAAA==\n".encode(),
    "base64 with loose bits": "text\n\n— name AAAAAAB=\n".encode(),
    "base64url": "text\n\n— name AAAA_AAA\n".encode(),
    "65 signatures": b"text\n\n" + "— name AAAAAAAA\n".encode() * 65,
    "too large": b"x" * MAX_NOTE + b"\n\n" + "— name AAAAAAAA\n".encode(),
}


@pytest.mark.parametrize("note", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_notes_are_invalid(note: bytes) -> None:
    with pytest.raises(Invalid):
        read_text(note)
    with pytest.raises(Invalid):
        open_note(note, [ALICE.verifier])


def test_every_single_changed_byte_is_noticed() -> None:
    note = sign_note("two\nlines\n", ALICE)
    for position in range(len(note)):
        for flip in (0x01, 0x20, 0x80):
            changed = bytearray(note)
            changed[position] ^= flip
            with pytest.raises(Invalid):  # NotVerified is one
                open_note(bytes(changed), [ALICE.verifier])


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")))
@settings(deadline=None)
def test_hostile_bytes_raise_only_our_errors(noise: bytes) -> None:
    for candidate in (noise, noise + sign_note(TEXT, ALICE), sign_note(TEXT, ALICE) + noise, "a\n\n— ".encode() + noise + b"\n"):
        try:
            opened = open_note(candidate, [ALICE.verifier])
        except CollegiumError:
            continue
        assert sign_note(opened.text, ALICE).split(b"\n\n")[-1].strip() in candidate


BAD_VKEYS = {
    "empty": "",
    "two parts": "name+530d903a",
    "wrong id": "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "other name": "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "upper-case id": "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "space": "example.com/ foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "cosigner": VECTORS["log"]["cosigner"],
    "short": "example.com/foo+530d903a+Aekye",
    "newline": "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
}


@pytest.mark.parametrize("vkey", BAD_VKEYS.values(), ids=BAD_VKEYS.keys())
def test_bad_verifier_keys_are_invalid(vkey: str) -> None:
    with pytest.raises(Invalid):
        Verifier.parse(vkey)


@given(st.text(max_size=120))
def test_hostile_verifier_keys_raise_only_our_errors(vkey: str) -> None:
    with pytest.raises(Invalid):
        Verifier.parse(vkey)


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "nul\0\n", "return\r\n", "\ud800\n"])
def test_what_cannot_be_a_text_is_not_signed(text: str) -> None:
    with pytest.raises(Invalid):
        sign_note(text, ALICE)


def test_a_note_needs_a_signer_and_a_name() -> None:
    with pytest.raises(Invalid):
        sign_note("text\n")
    for name in ("", "with space", "with+plus", "with\nnewline", "wide\u3000space"):
        with pytest.raises(Invalid):
            Signer.generate(name)


def test_a_signer_never_shows_its_seed() -> None:
    signer = Signer.from_seed("example/alice", bytes(range(32)))
    shown = repr(signer) + str(signer)
    assert base64.b64encode(signer.seed).decode() not in shown
    assert repr(signer.seed) not in shown
    assert signer.seed.hex() not in shown


def test_openssl_verifies_a_note_with_no_code_of_ours(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    note = sign_note(TEXT, ALICE)
    text, line = note[: note.rindex("\n— ".encode())], note.decode().rsplit(" ", 1)[1]
    der = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(ALICE.vkey.split("+", 2)[2])[1:]  # RFC 8410's prefix
    (tmp_path / "key.der").write_bytes(der)
    (tmp_path / "text").write_bytes(text)
    (tmp_path / "signature").write_bytes(base64.b64decode(line)[4:])
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-keyform",
        "DER",
        "-inkey",
        "key.der",
        "-in",
        "text",
        "-sigfile",
        "signature",
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "text").write_bytes(text + b"x")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_the_log_package_loads_nothing_but_cryptography() -> None:
    code = (
        "import sys, collegium.log.checkpoint, collegium.log.merkle, collegium.log.note, collegium.log.statement;"
        "heavy = {'grpc', 'google', 'pydantic', 'numpy', 'sqlglot'} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
