"""What a report says of national sums: how many took part, how few might have, how much noise, and how each sum was verified."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from madenational import NAMES, Making, NationalWorld, national
from rich.console import Console

from collegium.audit.page import page
from collegium.audit.run import Audit, audit
from collegium.audit.story import tell
from collegium.audit.sumlines import sum_lines
from collegium.audit.tables import question_table, sum_table
from collegium.audit.words import as_json, as_lines
from collegium.national.statements import Submit


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """A sum by province, one over everybody whose vectors are gone, and a round that nobody closed."""
    made = NationalWorld(10)
    made.sum_up(made.put(national(), by_province=True))
    [gone] = made.sum_up(made.put(national(salt=1)), silent=["node-03"])
    for note in gone.submits.values():
        del made.coordinator.blobs[Submit.read(note).vector.sha256]
    made.now += 40 * 86_400
    Making(made, made.put(national(salt=2)), None, sorted(made.nodes)).charge("node-00")
    return audit(made.export(tmp_path_factory.mktemp("logs")), made.trust())


def test_lines_hold_the_numbers_of_each_round(found: Audit) -> None:
    rows = [
        (line.state, line.again, line.group, line.nodes, line.charged, line.participants, line.least, line.honest)
        for line in sum_lines(found)
    ]
    assert rows == [
        ("result", "added", ("11",), 5, 5, 5, 4, 3),
        ("result", "added", ("34",), 5, 5, 5, 4, 3),
        ("result", "kept", (), 10, 9, 9, 8, 7),
        ("planned", "", (), 10, 0, None, 8, 7),
    ]
    assert [line.factor for line in sum_lines(found)] == [5 / 3, 5 / 3, 9 / 7, None]
    assert [line.days for line in sum_lines(found)] == [40, 40, 40, None]


def test_the_words_say_which_sums_were_added_again_and_which_check_stands_instead(found: Audit) -> None:
    said = "\n".join(as_lines(found))
    assert "National sums: 4 rounds, 3 with a result." in said
    assert "Participants: 5 to 9; the smallest participation that a plan allowed was 4; noise of 1.29 to 1.67 times" in said
    assert "2 added again from the masked vectors" in said
    assert "closed 40 days before the newest entry" in said
    [checker] = [line.checked_by for line in sum_lines(found) if line.again == "kept"]
    assert checker in NAMES
    assert f"verified instead ({checker})" in said
    assert "a trustee's sum of masks was the true one" in said


def test_json_page_and_table_show_the_same(found: Audit) -> None:
    tree = json.loads(json.dumps(as_json(found)))
    assert [row["participants"] for row in tree["national_sums"]] == [5, 5, 9, None]
    assert tree["national_sums"][0]["verified"] == "added again from the masked vectors"
    story = tell(found)
    assert json.loads(json.dumps(story.to_json()))["sums"][2]["again"] == "kept"
    html = page(found, story)
    assert "<h2>National sums</h2>" in html
    assert "masked vectors no longer kept; the check of trustee-" in html
    assert "one national sum" in html
    console = Console(width=200, record=True, file=StringIO())
    console.print(sum_table(story))
    console.print(question_table(story))
    text = console.export_text()
    assert "all asked" in text
    assert "1.67" in text
    assert "(national sum)" in text


def test_a_federation_without_national_sums_is_told_nothing_of_them(tmp_path: Path) -> None:
    made = NationalWorld(4)
    made.ask("rita")
    without = audit(made.export(tmp_path), made.trust())
    assert not any("National sums" in line for line in as_lines(without))
    assert "National sums" not in page(without, tell(without))
