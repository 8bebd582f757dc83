"""Trust files: what one says, and every line that is none."""

from __future__ import annotations

import pytest
from loginmemory import LOG, MemoryLog, T

from collegium.errors import Invalid, NotVerified
from collegium.log.cosign import CosignerSigner, add_cosignatures
from collegium.log.trust import Group, Trust

W = {name: CosignerSigner.from_seed(f"fed/{name}/witness", name.encode() * 16) for name in ("x1", "x2", "x3", "y1", "y2")}
LINES = [
    "# whom the ministry's auditor believes",
    f"log {LOG.vkey} https://example.org/log",
    "",
    *(f"witness {name} {signer.vkey}" for name, signer in W.items()),
    "\tgroup X 2 x1  x2 x3 ",
    "group Y any y1 y2",
    "group both all X Y",
    "quorum both",
]
FILE = ("\n".join(LINES) + "\n").encode()


def checkpoint(*names: str) -> bytes:
    note = MemoryLog([b"a", b"b"]).checkpoint_at(2)
    return add_cosignatures(note, [W[name].cosign(note, T) for name in names])


def test_what_a_trust_file_says() -> None:
    trust = Trust.parse(FILE)
    assert trust.log(LOG.name) == LOG.verifier
    assert trust.logs[LOG.name].url == "https://example.org/log"
    assert trust.groups == {"X": Group(2, ("x1", "x2", "x3")), "Y": Group(1, ("y1", "y2")), "both": Group(2, ("X", "Y"))}
    assert Trust.parse(trust.to_text().encode()) == trust
    with pytest.raises(Invalid, match="names no log"):
        trust.log("other")


@pytest.mark.parametrize(
    ("names", "enough"),
    [
        (("x1", "x2", "y1"), True),
        (("x3", "x2", "y2"), True),
        (("x1", "y1", "y2"), False),
        (("x1", "x2", "x3"), False),
        ((), False),
    ],
)
def test_quorums_of_groups(names: tuple[str, ...], enough: bool) -> None:
    trust = Trust.parse(FILE)
    if enough:
        assert trust.check(checkpoint(*names)) == dict.fromkeys(names, T)
    else:
        with pytest.raises(NotVerified):
            trust.check(checkpoint(*names))
    assert trust.satisfied("X", names) == (len({"x1", "x2", "x3"} & set(names)) >= 2)


def test_quorum_none_and_a_single_witness() -> None:
    head = "\n".join(LINES[:-1])
    assert Trust.parse(f"{head}\nquorum none\n".encode()).check(checkpoint()) == {}
    single = Trust.parse(f"{head}\nquorum y2\n".encode())
    assert single.check(checkpoint("y2")) == {"y2": T}
    with pytest.raises(NotVerified):
        single.check(checkpoint("y1"))
    assert Trust.parse(b"quorum none").quorum is None


def test_an_unknown_witness_and_a_bad_line_do_not_count() -> None:
    trust = Trust.parse(f"witness x1 {W['x1'].vkey}\nquorum x1\n".encode())
    with pytest.raises(NotVerified):
        trust.check(checkpoint("x2"))
    foreign = W["x1"].cosign(MemoryLog([b"z"]).checkpoint_at(1), T)
    with pytest.raises(NotVerified, match="does not fit"):
        trust.check(add_cosignatures(checkpoint(), [foreign]))


X1, X2 = (f"witness {name} {W[name].vkey}" for name in ("x1", "x2"))
WRONG = {
    "no quorum": [X1],
    "two quorums": [X1, "quorum x1", "quorum x1"],
    "quorum of an unknown name": ["quorum x9"],
    "quorum above its group": [X1, "quorum G", "group G all x1"],
    "unknown word": ["witnesses x1", "quorum none"],
    "log without key": ["log", "quorum none"],
    "log with a cosigner key": [f"log {W['x1'].vkey}", "quorum none"],
    "witness with a log key": [f"witness x1 {LOG.vkey}", "quorum none"],
    "witness named none": [f"witness none {W['x1'].vkey}", "quorum none"],
    "too many words": [f"log {LOG.vkey} a b", "quorum none"],
    "same log twice": [f"log {LOG.vkey}", f"log {LOG.vkey}", "quorum none"],
    "same witness key twice": [X1, f"witness other {W['x1'].vkey}", "quorum none"],
    "same name twice": [X1, f"witness x1 {W['x2'].vkey}", "quorum none"],
    "group of nothing": [X1, "group G 1", "quorum none"],
    "group of too many": [X1, "group G 2 x1", "quorum none"],
    "group of zero": [X1, "group G 0 x1", "quorum none"],
    "group with a leading zero": [X1, "group G 01 x1", "quorum none"],
    "group before its member": ["group G all x1", X1, "quorum none"],
    "group of itself": [X1, "group G any G x1", "quorum none"],
    "member twice in a group": [X1, "group G 2 x1 x1", "quorum none"],
    "member of two groups": [X1, X2, "group G any x1", "group H all x1 x2", "quorum H"],
    "none as a member": [X1, "group G any none x1", "quorum none"],
    "control character": [X1 + "\r", "quorum none"],
    "other white space": [X1.replace(" ", "\u00a0"), "quorum none"],
}


@pytest.mark.parametrize("lines", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_trust_file(lines: list[str]) -> None:
    with pytest.raises(Invalid):
        Trust.parse("\n".join(lines).encode())


def test_the_error_names_the_line() -> None:
    with pytest.raises(Invalid) as caught:
        Trust.parse(f"{X1}\n{X1}\nquorum none\n".encode(), place="trust.txt")
    assert caught.value.place == "trust.txt, line 2"
    for content in (b"\xff\nquorum none", b"x" * 2_000_000):
        with pytest.raises(Invalid):
            Trust.parse(content)


def test_groups_that_nest_without_end_are_refused() -> None:
    """Found by fuzzing: a chain of thousands of groups ended in Python's own error when a checkpoint was judged by it."""
    chain = "".join(f"group g{n} all {'w' if not n else f'g{n - 1}'}\n" for n in range(65))
    head = f"witness w {W['x1'].vkey}\n"
    lines = chain.splitlines(keepends=True)
    Trust.parse(f"{head}{''.join(lines[:64])}quorum g63\n".encode())
    with pytest.raises(Invalid, match="64 deep"):
        Trust.parse(f"{head}{chain}quorum g64\n".encode())
