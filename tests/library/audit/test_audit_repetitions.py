"""Repetitions are counted and not told again; what is told first never hides something worse, nor one party another."""

from __future__ import annotations

from collegium.audit.verdict import KEEP, Code, Findings, Word


def fail(found: Findings, party: str) -> None:
    found.fail("A5", "coordinator", "roster", f"{party} did it", party=party, exhibits=lambda: ())


def test_many_warnings_do_not_hide_a_violation() -> None:
    found = Findings()
    for number in range(2 * KEEP):
        found.warn("A5", "coordinator", "roster", f"roster {number} is missing", missing=True)
    fail(found, "coordinator")
    assert (found.code, found.word("A5"), found.parties) == (Code.VIOLATION, Word.FAIL, {"coordinator"})
    assert [each.word for each in found.list] == [Word.WARN] * KEEP + [Word.FAIL]
    assert [found.times(each) for each in found.list] == [2 * KEEP] * KEEP + [1]


def test_the_guilt_of_one_party_does_not_hide_that_of_another() -> None:
    found = Findings()
    for _ in range(2 * KEEP):
        fail(found, "north")
    fail(found, "south")
    assert [each.party for each in found.list] == ["north"] * KEEP + ["south"]
    assert found.enough("A5", "coordinator", "roster", "north")
    assert not found.enough("A5", "coordinator", "roster", "south")
