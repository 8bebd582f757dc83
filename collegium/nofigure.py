"""Why an answer has no figure, and what to do: wait, or ask anew."""

from __future__ import annotations

from collections import Counter

from collegium.answer import Answer
from collegium.errors import NotReleased

__all__ = ["no_figure"]

PASSES = frozenset({
    "bad-answer", "busy", "deadline", "failed", "held", "no-answer", "not-confirmed", "not-logged", "offline", "pending",
    "restored", "unmasking",
})  # fmt: skip
"""Reasons that may be over when the same request is fetched again."""


def no_figure(answer: Answer) -> NotReleased:
    """The error of an answer in whose figures no university is.

    A request that is still being answered can be fetched again. One that everybody has refused, or whose round is over, cannot: it
    says the reason that most universities have.
    """
    place = answer.id[:12]
    reasons = Counter(each.reason for figures in answer.verified.figures for each in figures.accounts.missing)
    if not reasons or PASSES.intersection(reasons):
        return NotReleased("no university has answered yet", place=place, remedy=f"Fetch it later: collegium result {place}")
    sentences = Counter(answer.missing.values())
    (sentence, times), *others = sentences.most_common()
    besides = f"; {len(others)} other reasons above" if len(others) > 1 else "; one other reason above" if others else ""
    text = f"there is no figure, and none will come of this request: {sentence.rstrip('.')} ({times} of {sum(sentences.values())}"
    return NotReleased(f"{text} universities{besides})", place=place, remedy="Ask anew when that has changed.")
