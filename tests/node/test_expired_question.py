"""A request that has expired is answered again as it was, and nothing new is begun for it."""

from __future__ import annotations

from pathlib import Path

from onenode import federation
from test_served_columns import FILTERED, KEYED

from collegium.statements import Request
from collegium.v1.node_pb2 import QuestionAnswer


def test_an_expired_request_begins_no_question_that_was_not_charged(tmp_path: Path) -> None:
    """One of two was charged in time and is given again; the other was over the budget then, and is not charged weeks later."""
    one, researcher = federation(tmp_path)
    one.allow(researcher, rho=1_000)
    asked = researcher.ask(FILTERED, KEYED)
    first, second = one.answer(asked).answers
    assert (first.verdict, second.reason) == (QuestionAnswer.RELEASED, "budget-period")
    one.allow(researcher, rho=10_000)
    one.now[0] = Request.read(asked.note).expiry + 1
    charged = one.charged()
    again, late = one.answer(asked).answers
    assert again.release == first.release
    assert (late.verdict, late.reason) == (QuestionAnswer.REFUSED, "expired")
    assert one.charged() == charged
