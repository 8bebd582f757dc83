"""A trustee's figures follow its rounds, and hold nothing of what its members sent."""

from __future__ import annotations

import re
from pathlib import Path

from nationalround import T
from onetrustees import World

from collegium_trustee.metrics import Metrics

DOCS = Path(__file__).parent.parent.parent / "docs" / "watching.md"


def documented(role: str) -> set[str]:
    """Full names of this part's figures in the operators' page, its alerts included."""
    return {name for name in re.findall(rf"collegium_{role}_[a-z_]+", DOCS.read_text(encoding="utf-8")) if not name.endswith("_")}


def samples(text: str) -> dict[str, float]:
    found = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in found}


def test_rounds_seeds_and_steps_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    trustee = world.trustees[0]
    metrics = Metrics(trustee.party, lambda: float(T), lines=trustee.service._lines, waiting=lambda: 3)

    def look() -> dict[str, float]:
        metrics.write()
        return samples(trustee.party.home.metrics_file.read_text())

    closed = world.closed(*range(6))
    found = look()
    assert found['collegium_trustee_rounds{state="open"}'] == 1
    assert found["collegium_trustee_rounds_with_seeds"] == 1
    assert found['collegium_trustee_events_total{event="prepared"}'] == 1
    assert found["collegium_trustee_calls_in_flight"] == 3
    assert found["collegium_trustee_connected"] == 0
    assert found["collegium_trustee_sealing_key_days_left"] > 0
    assert found["process_resident_memory_bytes"] > 0
    world.unmask(closed)
    after = look()
    assert after['collegium_trustee_rounds{state="answered"}'] == 1
    assert after["collegium_trustee_rounds_with_seeds"] == 0
    assert after["collegium_trustee_log_entries"] > found["collegium_trustee_log_entries"]
    assert set(found) == set(after)
    assert documented("trustee") <= {name.partition("{")[0] for name in after}
    text = trustee.party.home.metrics_file.read_text()
    assert not any(name in text for name in ("node-000", world.country.plan_id))
