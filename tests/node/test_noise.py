"""The noise is OpenDP's discrete Gaussian at the rho charged: its loss, its shape, its randomness and its refusals."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from collegium.accounting import scale_is_right
from collegium.errors import Failed
from collegium.layout import Axis, Layout, Part
from collegium.question import Bounds, Component, Question
from collegium_node import noise
from collegium_node.engine import ExactTally
from collegium_node.noise import add_noise, rho_stated, scale_for


def part(rho: int, width: int = 1, bound: int = 1, groups: int = 1, start: int = 0) -> Part:
    return Part(Component(kind="people", rho=rho), start, width, None, bound, groups)


def layout(*parts: Part) -> Layout:
    question = Question(
        dataset="d", components=tuple(p.component for p in parts), bounds=Bounds(max_groups=1, max_rows=1), schema="s/1"
    )
    return Layout(question, "student", (Axis("x", ("unknown",), None),), parts)


def draw(one: Layout, exact: list[int]) -> list[int]:
    return np.frombuffer(add_noise(one, ExactTally(np.array(exact, dtype=np.int64))).payload, dtype="<i8").tolist()


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 10**15), st.integers(1, 2**31 - 1), st.integers(1, 10_000))
def test_opendp_states_at_most_the_rho_charged(rho: int, bound: int, groups: int) -> None:
    one = part(rho, bound=bound, groups=groups)
    scale = scale_for(one)
    assert rho_stated(one, scale) <= Fraction(rho, 10**9)
    assert scale * scale * 2 * rho / 1e9 <= one.sensitivity_squared * (1 + 1e-12)  # and wastes nothing
    assert scale_is_right(repr(scale), one)


@given(st.integers(1, 2**31 - 1), st.integers(1, 10_000))
def test_the_sensitivity_passed_on_is_not_below_the_exact_root(bound: int, groups: int) -> None:
    one = part(1, bound=bound, groups=groups)
    assert Fraction(one.sensitivity) ** 2 >= one.sensitivity_squared


def test_a_smaller_scale_is_refused_before_anything_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = scale_for(part(10**8))
    monkeypatch.setattr(noise, "scale_for", lambda part: honest * (1 - 1e-9))
    with pytest.raises(Failed, match="larger loss"):
        draw(layout(part(10**8)), [0])


@pytest.mark.parametrize("value", [2**62, -(2**62), 2**63 - 1, -(2**63)])
def test_values_without_head_room_are_refused_and_not_shown(value: int) -> None:
    with pytest.raises(Failed) as refusal:
        draw(layout(part(10**9)), [value])
    assert not any(sign.isdigit() for sign in str(refusal.value).replace("64 bits", ""))


def test_large_values_neither_wrap_nor_saturate() -> None:
    """OpenDP's plain `int` would saturate at 2^31."""
    for value in (2**62 - 1, 2**40, -(2**40), 1 - 2**62):
        (noisy,) = draw(layout(part(10**9)), [value])
        assert abs(noisy - value) < 30


def test_a_tally_of_another_shape_is_refused() -> None:
    with pytest.raises(Failed):
        draw(layout(part(10**9, width=3)), [0, 0])


def test_every_part_has_its_own_scale_and_every_value_noise() -> None:
    parts = (part(10**9, width=2000), part(10**7, width=2000, start=2000), part(10**7, width=2000, bound=100, start=4000))
    done = add_noise(layout(*parts), ExactTally(np.arange(6000, dtype=np.int64) * 10**6))
    moved = np.frombuffer(done.payload, dtype="<i8") - np.arange(6000) * 10**6
    for one, scale in zip(parts, done.scales, strict=True):
        here = moved[one.start : one.stop]
        assert math.isclose(scale, one.sensitivity / math.sqrt(2 * one.component.rho / 1e9), rel_tol=1e-12)
        assert stats.chi2.cdf((here**2).sum() / scale**2, len(here)) == pytest.approx(0.5, abs=0.5 - 1e-7)
    assert len(done.payload) == 6000 * 8


@pytest.mark.parametrize("scale", [0.7, 1.0, 3.3])
def test_the_noise_is_a_discrete_gaussian(scale: float) -> None:
    rho = round(1e9 / (2 * scale * scale))
    one = part(rho, width=20_000)
    found = np.array(draw(layout(one), [0] * 20_000))
    assert found.dtype == np.int64
    reach = math.ceil(3.5 * scale)
    values = np.arange(-60, 61)
    mass = np.exp(-(values**2) / (2 * scale_for(one) ** 2))
    mass /= mass.sum()
    inside = np.abs(values) <= reach
    expected = np.append(mass[inside], mass[~inside].sum()) * len(found)
    counts = [int((found == value).sum()) for value in values[inside]]
    counts.append(len(found) - sum(counts))
    while expected[-1] < 5:  # the tail joins its neighbour
        expected, counts = np.append(expected[:-2], expected[-2:].sum()), [*counts[:-2], sum(counts[-2:])]
    assert stats.chisquare(counts, expected).pvalue > 1e-7


FORK = """
import json, os
from collegium_node import noise
measurement = noise._measurement(1e15)
measurement([0])  # the generator is in use before the fork
pipe, end = os.pipe()
child = os.fork()
if child == 0:
    os.write(end, json.dumps(measurement([0] * 4)).encode())
    os._exit(0)
os.waitpid(child, 0)
print(json.dumps([measurement([0] * 4), json.loads(os.read(pipe, 4096)), os.environ["RUST_BACKTRACE"]]))
"""


def test_a_forked_process_draws_other_noise_and_backtraces_are_off() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], check=True, capture_output=True, text=True, timeout=120)
    parent, child, backtrace = json.loads(done.stdout)
    assert not set(parent) & set(child)
    assert backtrace == "0"


def test_two_draws_differ() -> None:
    one = layout(part(1, width=8, bound=2**30))
    assert not set(draw(one, [0] * 8)) & set(draw(one, [0] * 8))


def test_the_measurement_is_zcdp_on_int64() -> None:
    made = noise._measurement(1.0)
    assert made.input_domain == dp.vector_domain(dp.atom_domain(T="i64"))
    assert made.output_measure == dp.zero_concentrated_divergence()
