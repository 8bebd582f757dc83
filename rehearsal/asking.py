"""The questions of a rehearsal, asked as a researcher would, and compared with what the invented rows say."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from collegium.client import Federation
from collegium.errors import CollegiumError
from rehearsal.country import province_of
from rehearsal.report import Asked
from rehearsal.rows import KINDS, kind_of, people

__all__ = ["NATIONAL", "PER_NODE", "Truth", "ask"]

PER_NODE = (
    "SELECT COUNT(*) AS n FROM graduate WHERE year = 2025",
    "SELECT province, COUNT(*) AS n FROM graduate WHERE year = 2024 GROUP BY province",
)
NATIONAL = (
    "SELECT COUNT(*) AS n FROM graduate WHERE year = 2025 RELEASE NATIONAL",
    "SELECT gender, COUNT(*) AS n FROM graduate WHERE placed GROUP BY gender RELEASE NATIONAL",
    "SELECT province, COUNT(*) AS n FROM graduate WHERE year = 2024 GROUP BY province RELEASE NATIONAL",
)
DEADLINE = 900.0  # seconds
WHOLE = "all"  # the row over all universities in an answer that tells them apart


class Truth:
    """What the invented rows of `nodes` universities say."""

    def __init__(self, nodes: int, persons: int) -> None:
        self._universities: Counter[tuple[str, int]] = Counter((province_of(n), kind_of(n)) for n in range(nodes))
        self._people = {kind: people(kind, persons) for kind in range(KINDS)}

    def of(self, sql: str, row: dict[str, object]) -> float:
        """The true count behind one row of an answer: by the question's condition and by the row's own keys."""
        if "2025" in sql or "2024" in sql:
            year = 2025 if "2025" in sql else 2024
            each = {kind: sum(p.year == year for p in rows) for kind, rows in self._people.items()}
        else:
            each = {kind: sum(p.placed and p.gender == row["gender"] for p in rows) for kind, rows in self._people.items()}
        codes = None
        if "province" in row and row["province"] != WHOLE:
            codes = {code.strip() for code in str(row["province"]).split("+")}
        return sum(each[kind] * count for (code, kind), count in self._universities.items() if codes is None or code in codes)


def ask(federation: Federation, sql: str, epsilon: str, truth: Truth, heard: Callable[[int, int], None]) -> Asked:
    """One question and its figures. `heard`: (answered or ready, asked), while it is under way."""
    prepared = federation.prepare(sql, epsilon=epsilon, purpose="rehearsal")
    began = time.monotonic()
    last = federation.hand_in(
        prepared, deadline=DEADLINE, on_progress=lambda progress: heard(progress.asked - progress.missing, progress.asked)
    )
    seconds = time.monotonic() - began
    began = time.monotonic()
    try:
        answer = federation.result(prepared.id, refresh=False, wait=0.0)
        rows = answer.tables[0].rows()
    except CollegiumError as error:
        took = time.monotonic() - began
        return Asked(sql, last.asked, last.asked - last.missing, seconds, took, 0, 0.0, 0.0, 0.0, note=str(error)[:300])
    verified = time.monotonic() - began
    worst = total = due = 0.0
    for row in rows:
        if row["n"] is None:
            continue
        true, half = truth.of(sql, row), (row["n_high"] - row["n_low"]) / 2
        if row.get("province") != WHOLE:
            total, due = total + row["n"], due + true
        worst = max(worst, abs(row["n"] - true) / half if half else 0.0)
    covered = answer.coverage
    return Asked(sql, covered.asked, covered.answered, seconds, verified, len(rows), total, due, worst)
