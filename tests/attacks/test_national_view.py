"""What a coordinator learns that colludes with two of three trustees and with some universities: the noisy sum of the others, once.

Its view of a round are the masked vectors y_i, the seeds that two trustees have opened, everything of its own universities, and the
honest trustee's sum of masks. Take away what it knows, and of each honest university i there is z_i = x_i + M_i left, with x_i its
cells with noise and M_i the honest trustee's mask, and of the honest trustee S = Σ M_i.

    exactly       for x and x' with one sum, M'_i = M_i + x_i - x'_i is a bijection of masks under which all z_i and S are the same.
                  Uniform masks stay uniform, so the view of x and the view of x' have the very same distribution
    in practice   masks come from AES-256-CTR, seeds travel under HPKE, commitments are salted SHA-256: a classifier that has seen
                  hundreds of real rounds of two countries with one sum tells new rounds no better than a coin; nor can it tell real
                  views from such as are made of the noisy sum alone
    not blind     the same classifier is right nearly always once a mask is left out, used twice, or shorter than the cells

Ideal masks, hiding seals and hiding commitments are what the argument rests on; the tests below cannot prove those.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from nationalround import SEALING, Country, node_signer

from collegium.national.addition import Total, mask
from collegium.national.mask import U64, mask_chunks, mask_key, new_seeds
from collegium.national.plan import Wanted, plan_parts
from collegium.national.seal import SeedContext, open_seed
from collegium.national.share import Tolerance
from collegium.national.statements import Check, Close, Prepare, Result, Submit, Unmask, plan_digest
from collegium.national.submission import hide

NODES = 6
HONEST = (0, 1, 2, 3)  # universities 4 and 5 are the coordinator's: it knows all of them
TRUSTEE = 2  # the honest one; 0 and 1 are the coordinator's
CELLS = 48
ROUNDS = 240  # half to learn from, half to be tested on
CHANCE = 0.5 + 5 * math.sqrt(0.25 / (ROUNDS / 2))  # a coin is above it once in three million tries
PARTS = plan_parts((Wanted(CELLS, 1, 10**8, 10_000),), NODES, Tolerance(200_000, 100_000), 1)
FINE = PARTS[0].fine

EVEN = np.array([100, 100, 100, 100])  # students of the four honest universities, in every cell
ODD = np.array([0, 0, 0, 400])  # the same sum


@dataclass(frozen=True)
class View:
    """`z`: masked cells of each honest university less the masks known, shape (4, CELLS); `s`: the honest trustee's sum of its
    masks over them; `seen`: what else lies open, as bytes (commitments, seals to the honest trustee).
    """

    z: U64
    s: U64
    seen: bytes


def cells(tallies: np.ndarray, rng: np.random.Generator) -> U64:
    """2^f·tally + noise of each honest university, shape (4, CELLS). The noise is some noise: what hides here is the mask."""
    noise = np.rint(rng.normal(0, float(PARTS[0].scale), (len(HONEST), CELLS))).astype(np.int64)
    values: U64 = ((tallies[:, None].astype(np.int64) << FINE) + noise).view(np.uint64)
    return values


@pytest.fixture(scope="module")
def country() -> Country:
    return Country([np.zeros(CELLS, dtype=np.uint64)] * NODES, plan_changes={"parts": PARTS, "homes": 1})


def real(country: Country, values: U64) -> View:
    """The view of one round through the protocol's own functions: hidden by the universities, opened by two trustees."""
    digest, honest = plan_digest(country.plan_note), Total(CELLS)
    z, seen = [], b""
    for member, own in zip(HONEST, values, strict=True):
        node = node_signer(member).verifier
        hidden = hide(country.plan_note, country.plan, member, node, own)
        left = Total(CELLS)
        left.add([hidden.vector])
        for place in (0, 1):
            seed = open_seed(SEALING[place], hidden.sealed[place], SeedContext(digest, member, place, node.raw))
            left.subtract(mask_chunks(mask_key(seed, digest, member, place), CELLS))
        z.append(left.modular())
        seed = open_seed(SEALING[TRUSTEE], hidden.sealed[TRUSTEE], SeedContext(digest, member, TRUSTEE, node.raw))
        honest.add(mask_chunks(mask_key(seed, digest, member, TRUSTEE), CELLS))  # as UNMASK, less what the colluding ones know
        seen += bytes.fromhex(hidden.commitment) + hidden.sealed[TRUSTEE]
    return View(np.stack(z), honest.modular(), seen)


def simulated(_: Country, values: U64) -> View:
    """The same from the noisy sum of the honest universities alone: nothing else of `values` is used."""
    total = values.sum(axis=0, dtype=np.uint64)
    z = np.frombuffer(secrets.token_bytes(8 * 4 * CELLS), dtype=np.uint64).reshape(4, CELLS)
    return View(z, z.sum(axis=0, dtype=np.uint64) - total, secrets.token_bytes(4 * (32 + 1168)))


def masked_with(masks: Callable[[], U64]) -> Callable[[Country, U64], View]:
    """Views of a protocol whose honest trustee's masks, shape (4, CELLS), are these."""

    def view(_: Country, values: U64) -> View:
        drawn = masks()
        return View(values + drawn, drawn.sum(axis=0, dtype=np.uint64), secrets.token_bytes(4 * (32 + 1168)))

    return view


def streams(count: int) -> U64:
    """So many masks from fresh seeds of one member."""
    digest = secrets.token_bytes(32)
    keys = [mask_key(new_seeds()[0], digest, 0, TRUSTEE) for _ in range(count)]
    return np.stack([np.concatenate(list(mask_chunks(key, CELLS))) for key in keys])


def left_out() -> U64:
    """One university of four has not masked for the honest trustee."""
    masks = streams(4)
    masks[3] = 0
    return masks


def used_twice() -> U64:
    """Two universities mask with one key."""
    masks = streams(4)
    masks[3] = masks[0]
    return masks


def too_short() -> U64:
    """Masks of 12 bits."""
    return streams(4) & np.uint64(0xFFF)


LEAKS = [left_out, used_twice, too_short]


# ---- telling apart


def features(view: View) -> np.ndarray:
    """Some 170 numbers of a view: single bits and sizes of every z, of every difference of two, of what they and S come to."""
    pairs = [view.z[i] - view.z[j] for i in range(4) for j in range(i)]
    rows = np.stack([*view.z, *pairs, view.s, *(view.s - each for each in view.z), view.z.sum(axis=0, dtype=np.uint64) - view.s])
    bits = [((rows >> np.uint64(bit)) & np.uint64(1)).mean(axis=1) for bit in (0, 1, 2, FINE, FINE + 1, FINE + 6, 62, 63)]
    signed = np.abs(rows.view(np.int64).astype(np.float64))
    sizes = [np.log1p(signed).mean(axis=1), np.log1p(signed).min(axis=1), rows.view(np.int64).astype(np.float64).mean(axis=1)]
    ones = np.unpackbits(np.frombuffer(view.seen, dtype=np.uint8)).reshape(4, -1).mean(axis=1)
    return np.concatenate([*bits, *sizes, ones])


def told_apart(one: Sequence[View], other: Sequence[View]) -> float:
    """How often the best of many rules, chosen on the first half of the views, is right on the second half.

    The rules: every single feature against a threshold, and the projection of all on the difference of the two means.
    """
    first, second = (np.stack([features(view) for view in views]) for views in (one, other))
    half = len(first) // 2
    spread = np.concatenate([first[:half], second[:half]]).std(axis=0) + 1e-12
    middle = np.concatenate([first[:half], second[:half]]).mean(axis=0)
    first, second = (first - middle) / spread, (second - middle) / spread
    gap = second[:half].mean(axis=0) - first[:half].mean(axis=0)
    first, second = (np.column_stack([each, each @ gap]) for each in (first, second))
    best, rule = 0.0, (0, 0.0, 1)
    for column in range(first.shape[1]):
        for cut in np.quantile(np.concatenate([first[:half, column], second[:half, column]]), np.linspace(0.05, 0.95, 19)):
            right = float(((first[:half, column] <= cut).mean() + (second[:half, column] > cut).mean()) / 2)
            for sign, share in ((1, right), (-1, 1 - right)):
                if share > best:
                    best, rule = share, (column, float(cut), sign)
    column, cut, sign = rule
    right = float(((first[half:, column] <= cut).mean() + (second[half:, column] > cut).mean()) / 2)
    return right if sign > 0 else 1 - right


def many(make: Callable[[Country, U64], View], country: Country, tallies: np.ndarray, seed: int) -> list[View]:
    rng = np.random.default_rng(seed)
    return [make(country, cells(tallies, rng)) for _ in range(ROUNDS // 2)]


# ---- exactly


def test_for_every_view_another_country_with_the_same_sum_has_a_mask_that_gives_it() -> None:
    """The bijection, on the protocol's own addition: other tallies, other masks of the honest trustee, one view bit for bit."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        x = rng.integers(0, 2**64, (4, CELLS), dtype=np.uint64)
        other = rng.integers(0, 2**64, (4, CELLS), dtype=np.uint64)
        other[3] += x.sum(axis=0, dtype=np.uint64) - other.sum(axis=0, dtype=np.uint64)  # the same noisy sum
        digest = secrets.token_bytes(32)
        seeds = [new_seeds() for _ in HONEST]
        known = [[mask_key(seeds[m][place], digest, m, place) for place in (0, 1)] for m in HONEST]
        masks = streams(4)
        moved = masks + x - other
        assert (moved - x + other == masks).all()  # onto, and one to one: it has an inverse
        for member in HONEST:
            sent = mask(x[member] + masks[member], known[member])
            assert (sent == mask(other[member] + moved[member], known[member])).all()
        assert (masks.sum(axis=0, dtype=np.uint64) == moved.sum(axis=0, dtype=np.uint64)).all()


def test_with_another_sum_there_is_no_such_mask() -> None:
    """The sum is what a view does show: Σ z - S is it, whatever the masks."""
    rng = np.random.default_rng(2)
    values = cells(EVEN, rng)
    view = masked_with(lambda: streams(4))(None, values)  # type: ignore[arg-type]
    assert (view.z.sum(axis=0, dtype=np.uint64) - view.s == values.sum(axis=0, dtype=np.uint64)).all()


# ---- in practice


def test_two_countries_with_one_sum_are_not_told_apart(country: Country) -> None:
    assert told_apart(many(real, country, EVEN, 3), many(real, country, ODD, 4)) < CHANCE


def test_a_real_view_is_not_told_from_one_made_of_the_sum_alone(country: Country) -> None:
    assert told_apart(many(real, country, ODD, 5), many(simulated, country, ODD, 6)) < CHANCE


@pytest.mark.parametrize("leak", LEAKS)
def test_the_same_rules_see_through_masks_that_leak(country: Country, leak: Callable[[], U64]) -> None:
    assert told_apart(many(masked_with(leak), country, EVEN, 7), many(masked_with(leak), country, ODD, 8)) > 0.9


def test_they_see_another_sum(country: Country) -> None:
    """Not blind for want of data either: a quarter more students in the country are seen, at whichever university they are."""
    assert told_apart(many(real, country, EVEN, 9), many(real, country, EVEN + np.array([0, 0, 0, 100]), 10)) > 0.95


# ---- what the argument counts on


def test_a_seed_used_again_for_another_place_or_round_gives_another_mask() -> None:
    """Seeds are fresh; should one come twice all the same, member, trustee and plan still make different keys of it."""
    seed, plan = secrets.token_bytes(32), secrets.token_bytes(32)
    keys = {mask_key(seed, each, member, place) for each in (plan, bytes(32)) for member in range(5) for place in range(3)}
    assert len(keys) == 2 * 5 * 3


def test_nothing_else_of_a_university_is_in_a_round(country: Country) -> None:
    """The view above is complete: these are all fields that a step has, and neither salt nor seed is in any of them."""
    place = {"log", "registry", "time", "plan"}
    assert set(Submit.model_fields) == place | {"member", "decision", "seeds", "vector", "commitment"}
    assert set(Prepare.model_fields) == place | {"trustee", "prepared"}
    assert set(Close.model_fields) == place | {"prepares", "participants", "count"}
    assert set(Unmask.model_fields) == place | {"close", "trustee", "masks"}
    assert set(Check.model_fields) == place | {"close", "unmasks", "trustee", "total"}
    assert set(Result.model_fields) == place | {"close", "unmasks", "check", "count", "honest", "total"}
    one = country
    one.values = [np.arange(CELLS, dtype=np.uint64)] * NODES
    note = one.submit(0)
    hidden = one.hidden[0]
    digest = plan_digest(one.plan_note)
    sent = note + b"".join(hidden.sealed) + hidden.vector.tobytes()
    assert hidden.salt not in sent
    assert hidden.salt.hex().encode() not in sent
    for place_, key in enumerate(SEALING):
        seed = open_seed(key, hidden.sealed[place_], SeedContext(digest, 0, place_, node_signer(0).verifier.raw))
        assert seed not in sent
        assert seed.hex().encode() not in sent
