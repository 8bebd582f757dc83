"""A witness's decisions, step by step as in tlog-witness, and what stops a log."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loginmemory import LOG, WITNESS, MemoryLog, T

from collegium.errors import Invalid, NotVerified
from collegium.log.cosign import add_cosignatures, check_quorum, own_lines
from collegium.log.merkle import verify_consistency
from collegium.log.note import Signer
from collegium.log.witness import Conflict, Cosign, Known, Split, consider, contradiction

HONEST = MemoryLog()
HONEST.grow(40)
FORKED = MemoryLog([b"entry-%d" % index for index in range(10)])
for _index in range(10, 40):
    FORKED.append(b"other-%d" % _index)


def known(size: int, log: MemoryLog = HONEST) -> Known:
    return Known(size, log.tree.root(size), log.checkpoint_at(size))


def ask(held: Known | None, size: int, log: MemoryLog = HONEST, old: int | None = None) -> object:
    old = (held.size if held else 0) if old is None else old
    proof = log.tree.consistency(old, size) if old <= size else []
    return consider(held, log.checkpoint_at(size), old, proof, LOG.verifier)


@pytest.mark.parametrize(("old", "size"), [(None, 0), (None, 7), (0, 7), (7, 7), (7, 8), (8, 40), (1, 2)])
def test_a_consistent_tree_is_cosigned(old: int | None, size: int) -> None:
    verdict = ask(known(old) if old is not None else None, size)
    assert verdict == Cosign(known(size))


def test_what_is_stored_is_the_logs_signature_alone_and_the_cosignature_counts() -> None:
    note = HONEST.checkpoint_at(9)
    verdict = consider(known(4), add_cosignatures(note, [WITNESS.cosign(note, T)]), 4, HONEST.tree.consistency(4, 9), LOG.verifier)
    assert isinstance(verdict, Cosign)
    assert verdict.known.checkpoint == note == own_lines(note, LOG.verifier)
    cosigned = add_cosignatures(note, [WITNESS.cosign(verdict.known.checkpoint, T)])
    assert check_quorum(cosigned, {"b": WITNESS.verifier}, 1) == {"b": T}


@pytest.mark.parametrize(("held", "old", "size"), [(9, 8, 12), (9, 10, 12), (9, 0, 12), (None, 3, 12), (9, 5, 8), (9, 3, 3)])
def test_another_old_size_is_a_conflict_that_tells_what_is_known(held: int | None, old: int, size: int) -> None:
    state = known(held) if held is not None else None
    assert ask(state, size, old=old) == Conflict(state)


def test_same_size_other_root_is_a_split_whatever_the_proof() -> None:
    for old in (0, 5, 20):
        verdict = ask(known(20), 20, FORKED, old=old)
        assert verdict == Split(known(20), FORKED.checkpoint_at(20))


def test_a_larger_tree_that_does_not_follow_is_refused() -> None:
    for old, size in ((20, 21), (20, 40), (11, 12)):
        with pytest.raises(NotVerified):
            ask(known(old), size, FORKED)


def test_a_strangers_signature_an_old_size_above_and_a_proof_from_nothing_are_refused() -> None:
    stranger = MemoryLog([b"a"], signer=Signer.from_seed(LOG.name, b"\5" * 32))
    with pytest.raises(NotVerified):
        consider(None, stranger.checkpoint_at(1), 0, [], LOG.verifier)
    with pytest.raises(Invalid):
        consider(known(9), HONEST.checkpoint_at(8), 9, [], LOG.verifier)
    with pytest.raises(Invalid):
        consider(known(9), HONEST.checkpoint_at(9), -1, [], LOG.verifier)
    with pytest.raises(NotVerified):
        consider(None, HONEST.checkpoint_at(9), 0, [b"\0" * 32], LOG.verifier)
    with pytest.raises(NotVerified):
        consider(known(9), HONEST.checkpoint_at(9), 9, [b"\0" * 32], LOG.verifier)
    with pytest.raises(Invalid):
        consider(known(9), HONEST.checkpoint_at(12), 9, [b"\0" * 32] * 64, LOG.verifier)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.integers(0, 40)), max_size=12))
@settings(deadline=None, max_examples=200)
def test_whatever_is_asked_cosigned_trees_form_one_history(asked: list[tuple[int, bool, int]]) -> None:
    held: Known | None = None
    for size, forked, old in asked:
        log = FORKED if forked else HONEST
        for begin in (old, held.size if held else 0):
            try:
                verdict = ask(held, size, log, old=begin)
            except Invalid:
                continue
            if isinstance(verdict, Cosign):
                if held is not None:
                    of = [each for each in (HONEST, FORKED) if each.tree.root(verdict.known.size) == verdict.known.root]
                    proofs = [each.tree.consistency(held.size, verdict.known.size) for each in of]
                    verify_consistency(held.size, verdict.known.size, held.root, verdict.known.root, proofs[0])
                held = verdict.known


def test_only_the_logs_own_signature_over_what_it_does_not_hold_stops_it() -> None:
    def stops(note: bytes, size: int) -> bool:
        return contradiction(note, LOG.verifier, size, HONEST.tree.root) is not None

    assert stops(HONEST.checkpoint_at(12), 11)
    assert stops(FORKED.checkpoint_at(12), 12)
    assert stops(FORKED.checkpoint_at(12), 30)  # grown past what it lost
    assert not stops(HONEST.checkpoint_at(12), 12)
    assert not stops(HONEST.checkpoint_at(12), 30)
    assert not stops(FORKED.checkpoint_at(10), 30)  # the common past
    stranger = MemoryLog([b"a"] * 40, signer=Signer.from_seed(LOG.name, b"\5" * 32))
    for claim in (stranger.checkpoint_at(40), b"", b"40", HONEST.checkpoint_at(12).replace(b"\n12\n", b"\n13\n")):
        assert not stops(claim, 11)
