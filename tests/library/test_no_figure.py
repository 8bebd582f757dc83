"""An answer without a figure says whether it is worth waiting for, and if not, why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from collegium.errors import Exit, rule_of
from collegium.nofigure import PASSES, no_figure
from collegium.wording import reason_text


def empty(**reasons: str) -> Any:
    """An answer with these universities missing."""
    missing = tuple(SimpleNamespace(node=node, reason=reason) for node, reason in reasons.items())
    figures = (SimpleNamespace(accounts=SimpleNamespace(missing=missing)),) if missing else ()
    told = {node: reason_text(reason) for node, reason in reasons.items()}
    return SimpleNamespace(id="ab" * 32, verified=SimpleNamespace(figures=figures), missing=told)


@pytest.mark.parametrize("reasons", [{}, {"a": "offline"}, {"a": "bad-plan", "b": "unmasking"}, {"a": "held", "b": "not-allowed"}])
def test_while_somebody_may_still_answer_it_is_fetched_again(reasons: dict[str, str]) -> None:
    error = no_figure(empty(**reasons))
    assert str(error) == "abababababab: no university has answered yet. Fetch it later: collegium result abababababab"
    assert rule_of(error).exit_code == Exit.NOT_RELEASED


def test_when_all_have_refused_it_says_why_and_that_it_is_over() -> None:
    error = no_figure(empty(a="bad-plan", b="bad-plan", c="not-allowed"))
    assert "none will come of this request" in str(error)
    assert "not what the question asks for" in str(error)
    assert "(2 of 3 universities; one other reason above)" in str(error)
    assert "Fetch it later" not in str(error)


def test_every_reason_that_passes_has_a_sentence() -> None:
    """A name that nobody uses would make a request that is over look as if it were not, or the other way round."""
    assert all(reason_text(reason) != reason_text("failed") for reason in PASSES - {"failed"})
