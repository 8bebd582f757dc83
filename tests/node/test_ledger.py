"""Budgets: integer nano-rho, by privacy unit and calendar period over everything, with a lifetime cap and sub-limits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dp_accounting
import pytest
from dp_accounting.rdp import RdpAccountant
from onenode import SCHEMA, Researcher, federation, question

from collegium.layout import compile_layout
from collegium.schema import parse_schema
from collegium.statements import Decision, Release
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node import ledger
from collegium_node.ledger import Budget, Limits, Period, period_of

RELEASED = QuestionAnswer.RELEASED


def at(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("kind", "label", "start", "end"),
    [
        ("year", "2026", at(2026, 1), at(2027, 1)),
        ("quarter", "2026-Q4", at(2026, 10), at(2027, 1)),
        ("month", "2026-12", at(2026, 12), at(2027, 1)),
    ],
)
def test_periods_are_utc_calendar_periods_and_leave_no_gap(kind: Period, label: str, start: int, end: int) -> None:
    assert period_of(start, kind) == period_of(end - 1, kind) == (label, start, end)
    assert period_of(end, kind)[1] == end


def test_every_second_of_a_leap_year_is_in_one_period() -> None:
    for kind in ("year", "quarter", "month"):
        time, end = at(2028, 1), at(2029, 1)
        while time < end:
            _, start, after = period_of(time, kind)  # type: ignore[arg-type]
            assert start == time
            time = after
        assert time == end


def test_the_budget_adds_over_datasets_and_snapshots_of_a_unit(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, rho=3_000)
    asks = [question(dataset="graduate"), question(dataset="term")]
    assert [a.verdict for a in one.answer(researcher.ask(*asks)).answers] == [RELEASED, RELEASED]
    one.snapshot("00000000000000b2")
    assert one.answer(researcher.ask(question())).answers[0].verdict == RELEASED  # the third thousand, on a new snapshot
    assert one.answer(researcher.ask(question(1))).answers[0].reason == "budget-period"
    assert one.answer(researcher.ask(question(dataset="staff"))).answers[0].verdict == RELEASED  # another unit, another budget


def test_a_new_period_has_its_budget_and_the_lifetime_cap_stays(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.policy(
        budget={"student": {"period": "month", "rho": 1_000, "lifetime": 2_500}},
        allow=[{"researcher": researcher.name, "key": researcher.key.vkey, "datasets": ["*"]}],
    )
    reasons = []
    for month in (10, 10, 11, 12):
        one.now[0] = at(2026, month, 5)
        ask = researcher.ask(question(value=len(reasons)), expiry=at(2027, 1))
        reasons.append(one.answer(ask).answers[0].reason)
    assert reasons == ["", "budget-period", "", "budget-lifetime"]
    assert one.charged() == 2_000


def test_changing_the_calendar_resets_no_sum(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, rho=1_000)
    assert one.answer(researcher.ask(question())).answers[0].verdict == RELEASED
    for period in ("month", "quarter", "year"):
        one.policy(
            budget={"student": {"period": period, "rho": 1_000, "lifetime": 10**9}},
            allow=[{"researcher": researcher.name, "key": researcher.key.vkey, "datasets": ["*"]}],
        )
        assert one.answer(researcher.ask(question(1, value=3))).answers[0].reason == "budget-period"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"dataset": {"term": 1_500}}, "budget-dataset"), ({"researcher": {"li-wei": 1_500}}, "budget-researcher")],
)
def test_sub_limits_bind_under_the_budget(tmp_path: Path, limits: dict[str, dict[str, int]], reason: str) -> None:
    one, researcher = federation(tmp_path)
    other = Researcher(one.ministry, "wang-fang")
    one.learn()
    one.allow(researcher, other, limits=limits)
    assert one.answer(researcher.ask(question(dataset="term"))).answers[0].verdict == RELEASED
    assert one.answer(researcher.ask(question(dataset="term", value=1))).answers[0].reason == reason
    free = other.ask(question(dataset="term", value=2)) if reason == "budget-researcher" else researcher.ask(question(value=2))
    assert one.answer(free).answers[0].verdict == RELEASED


def test_the_largest_question(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, largest_question=999)
    assert one.answer(researcher.ask(question(1_000))).answers[0].reason == "too-costly"
    assert one.answer(researcher.ask(question(999))).answers[0].verdict == RELEASED


def test_the_primary_key_refuses_a_second_charge(tmp_path: Path) -> None:
    import sqlite3

    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.answer(researcher.ask(question()))
    with one.node.store.read() as db:
        row = ledger.find(db, question().digest, "00000000000000a1")
        assert row is not None
        with pytest.raises(sqlite3.IntegrityError):
            ledger.insert(db, row)


def test_the_ledger_equals_an_independent_accountant(tmp_path: Path) -> None:
    """RDP of every Gaussian that was logged, composed by dp-accounting, is the ledger's rho at every order."""
    one, researcher = federation(tmp_path)
    one.allow(researcher, rho=10**12)
    costs = [(10**6, "graduate"), (7_777_777, "term"), (5 * 10**8, "term")]
    asks = [question(rho, dataset=dataset, value=value) for value, (rho, dataset) in enumerate(costs)]
    one.answer(researcher.ask(*asks))
    schema = parse_schema(SCHEMA)
    layouts = {ask.digest: compile_layout(ask, schema) for ask in asks}
    orders = [1.5, 2.0, 8.0, 64.0]
    accountant = RdpAccountant(orders=orders)
    for note in one.entries("release"):
        release = Release.read(note)
        for part, noise in zip(layouts[release.question].parts, release.parts, strict=True):
            accountant.compose(dp_accounting.GaussianDpEvent(float(noise.scale) / part.sensitivity))
    charged = sum(d.rho or 0 for d in map(Decision.read, one.entries("decision")) if d.verdict == "charge")
    assert charged == one.charged()
    for order, rdp in zip(orders, accountant.rdp, strict=True):
        assert rdp == pytest.approx(order * charged / 1e9, rel=1e-9)


def test_spending_lists_every_limit_and_units_that_lost_their_budget(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher, limits={"dataset": {"term": 5_000}, "researcher": {"li-wei": 6_000}})
    one.answer(researcher.ask(question(dataset="term"), question(500), question(dataset="staff")))
    limits = Limits({"student": Budget("year", 10_000, 20_000)}, {"term": 5_000}, {"li-wei": 6_000})
    with one.node.store.read() as db:
        lines = {(line.scope, line.name, line.unit): line for line in ledger.spending(db, limits, int(one.now[0]))}
    student = lines["unit", "student", "student"]
    assert (student.spent, student.limit, student.lifetime_spent, student.lifetime) == (1_500, 10_000, 1_500, 20_000)
    assert (lines["unit", "staff", "staff"].spent, lines["unit", "staff", "staff"].limit) == (1_000, 0)
    assert lines["dataset", "term", "student"].spent == 1_000
    assert lines["researcher", "li-wei", "student"].spent == 1_500
