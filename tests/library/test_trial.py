"""A question tried on invented rows goes through the node's own code, and nobody could take it for an answer."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
import pytest

from collegium.dummy import FACTS, write_dummy
from collegium.engines import GROUP, trial_engine
from collegium.errors import Invalid, NotReleased
from collegium.layout import Layout, compile_layout
from collegium.question import Bounds, Component, Question
from collegium.schema import Schema, read_schema
from collegium.trial import INVENTED, Trial

SCHEMA = read_schema(Path(__file__).parent.parent.parent / "examples" / "higher-education" / "schema.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dummy")
    write_dummy(SCHEMA, ["graduate", "award"], out, rows=600, universities=3, rng=random.Random(5))
    return out


class Exact:
    """An engine without noise that says what it was asked; every row counts one in every value."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def answer(self, folder: Path, schema: Schema, layouts: Sequence[Layout]) -> list[tuple[bytes, tuple[str, ...]]]:
        from collegium.accounting import noise_scale

        self.asked.append((folder.name, len(layouts)))
        return [
            (np.ones(layout.length, dtype="<i8").tobytes(), tuple(repr(noise_scale(part)) for part in layout.parts))
            for layout in layouts
        ]


# ---- rows


@pytest.mark.parametrize("name", sorted(SCHEMA.datasets))
def test_every_dataset_of_the_schema_can_be_invented(name: str, tmp_path: Path) -> None:
    """Codes are of the list, numbers within the bounds and on the step, no person above the schema's rows."""
    (file,) = write_dummy(SCHEMA, [name], tmp_path, rows=200, rng=random.Random(1))
    dataset = SCHEMA.datasets[name]
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 200
    assert list(rows[0]) == [dataset.person, *dataset.columns]
    persons: dict[str, int] = {}
    for row in rows:
        persons[row[dataset.person]] = persons.get(row[dataset.person], 0) + 1
        for column_name, column in dataset.columns.items():
            value = row[column_name]
            if value == "":
                continue
            if column.is_number:
                assert column.min_steps <= column.encode(value) <= column.max_steps
            else:
                assert value in SCHEMA.values(column)
    assert max(persons.values()) <= dataset.max_rows


def test_a_seed_gives_the_same_rows_and_none_gives_others(tmp_path: Path) -> None:
    def made(name: str, rng: random.Random | None) -> bytes:
        (file,) = write_dummy(SCHEMA, ["graduate"], tmp_path / name, rows=50, rng=rng)
        return file.read_bytes()

    assert made("a", random.Random(3)) == made("b", random.Random(3))
    assert made("c", None) != made("d", None)


def test_several_universities_have_facts_of_the_schema_and_no_person_in_common(folder: Path) -> None:
    persons: set[str] = set()
    for campus in folder.iterdir():
        assert (campus / FACTS).exists()
        with (campus / "graduate.csv").open(encoding="utf-8", newline="") as lines:
            here = {row["pid"] for row in csv.DictReader(lines)}
        assert not here & persons
        persons |= here
    assert len(persons) == 1800


@pytest.mark.parametrize(("rows", "universities"), [(0, 1), (1, 0), (10**9, 1)])
def test_numbers_out_of_bounds_are_refused(rows: int, universities: int, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        write_dummy(SCHEMA, ["graduate"], tmp_path, rows=rows, universities=universities)
    with pytest.raises(Invalid):
        write_dummy(SCHEMA, ["graduat"], tmp_path, rows=1)


# ---- trying


def test_a_trial_counts_the_invented_rows(folder: Path) -> None:
    """At rho 50 the noise has a standard deviation of a tenth: the figure is the number of rows."""
    answer = Trial(folder, SCHEMA).ask("SELECT province, COUNT(*) AS n FROM graduate GROUP BY province", rho=50)
    rows = {row["province"]: row["n"] for row in answer.rows()}
    assert rows == {"11": pytest.approx(600, abs=1), "21": pytest.approx(600, abs=1), "33": pytest.approx(600, abs=1),
                    "all": pytest.approx(1800, abs=2)}  # fmt: skip
    assert (answer.coverage.asked, answer.coverage.answered) == (3, 3)


def test_one_folder_is_one_university(folder: Path) -> None:
    campus = next(iter(sorted(folder.iterdir())))
    answer = Trial(campus, SCHEMA).ask("SELECT COUNT(DISTINCT pid) AS persons FROM award", rho=50)
    with (campus / "award.csv").open(encoding="utf-8", newline="") as lines:
        persons = {row["pid"] for row in csv.DictReader(lines)}
    assert answer.rows()[0]["persons"] == pytest.approx(len(persons), abs=1)


def test_a_trial_draws_new_noise_each_time_and_says_that_it_means_nothing(folder: Path) -> None:
    trial = Trial(folder, SCHEMA)
    values = {trial.ask("SELECT COUNT(*) AS n FROM graduate", rho="0.0001").rows()[0]["n"] for _ in range(4)}
    assert len(values) > 1
    answer = trial.ask("SELECT COUNT(*) AS n FROM graduate", epsilon=1)
    assert INVENTED in str(answer)
    assert INVENTED in answer._repr_html_()
    assert answer.to_json()["invented"] is True


def test_facts_choose_universities_and_a_missing_file_is_missing(folder: Path, tmp_path: Path) -> None:
    engine = Exact()
    one = Trial(folder, SCHEMA, engine=engine).ask("SELECT COUNT(*) AS n FROM graduate WHERE province = '11'", rho=1)
    assert one.coverage.asked == 1
    assert len(engine.asked) == 1
    write_dummy(SCHEMA, ["graduate"], tmp_path, rows=5, universities=2)
    (tmp_path / "amber-campus" / "award.csv").write_text("pid,year\n1,2020\n", encoding="utf-8")
    engine = Exact()
    both = Trial(tmp_path, SCHEMA, engine=engine).ask(
        "SELECT COUNT(*) AS n FROM graduate", "SELECT COUNT(*) AS n FROM award", rho=1
    )
    assert [view.coverage.answered for view in both.views] == [2, 1]
    assert both.views[1].coverage.missing[0].reason == "no-dataset"
    assert engine.asked == [("amber-campus", 2), ("birch-campus", 1)]
    with pytest.raises(NotReleased):
        Trial(tmp_path, SCHEMA, engine=Exact()).ask("SELECT COUNT(*) AS n FROM staff", rho=1)
    with pytest.raises(Invalid):
        Trial(folder, SCHEMA, engine=Exact()).ask("SELECT COUNT(*) AS n FROM graduate WHERE province = '54'", rho=1)


def test_the_plan_of_a_trial_foretells_its_intervals(folder: Path) -> None:
    trial, sql = Trial(folder, SCHEMA), "SELECT COUNT(*) AS n FROM graduate"
    foretold = trial.plan(sql, rho="0.01").questions[0].figures[0].national.half_width
    (row,) = trial.ask(sql, rho="0.01").rows()
    assert (row["n_high"] - row["n_low"]) / 2 == pytest.approx(foretold)


@pytest.mark.parametrize("content", ["", "id,year\n1,2020\n", "pid,nothing\n1,2\n"])
def test_files_that_are_no_dataset_are_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "graduate.csv").write_text(content, encoding="utf-8")
    with pytest.raises(Invalid) as caught:
        Trial(tmp_path, SCHEMA).ask("SELECT COUNT(*) AS n FROM graduate", rho=1)
    assert "graduate.csv" in caught.value.place


def test_folders_without_rows_are_named(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(Invalid) as caught:
            Trial(place, SCHEMA)
        assert "collegium dummy" in caught.value.remedy
    write_dummy(SCHEMA, ["graduate"], tmp_path, rows=2)
    (tmp_path / FACTS).write_text("province = ", encoding="utf-8")
    with pytest.raises(Invalid):
        Trial(tmp_path, SCHEMA)


# ---- engines


def test_the_nodes_part_declares_an_engine() -> None:
    assert [point.value for point in entry_points(group=GROUP)] == ["collegium_node.trial:Trial"]


def test_without_an_engine_it_says_what_to_install() -> None:
    broken = EntryPoint("gone", "collegium_nowhere:Engine", GROUP)
    for found in ([], [broken]):
        with pytest.raises(Invalid) as caught:
            trial_engine(found)
        assert "collegium-node" in caught.value.remedy
    assert "gone" in caught.value.text


def test_the_engine_is_the_nodes_own_code(folder: Path) -> None:
    """Noise of the published scale on the tally that the embedded engine counts."""
    from collegium.accounting import scale_is_right

    question = Question(
        dataset="graduate",
        bounds=Bounds(max_groups=1, max_rows=1),
        components=(Component(kind="rows", rho=10**10),),
        schema_id=SCHEMA.id,
    )
    layout = compile_layout(question, SCHEMA)
    ((payload, scales),) = trial_engine().answer(next(iter(sorted(folder.iterdir()))), SCHEMA, [layout])
    assert abs(int(np.frombuffer(payload, "<i8")[0]) - 600) <= 5
    assert scale_is_right(scales[0], layout.parts[0])


def test_a_national_sum_is_not_tried_on_invented_rows(tmp_path: Path) -> None:
    (tmp_path / "graduate.csv").write_text("pid\n1\n", encoding="utf-8")
    with pytest.raises(Invalid, match="trustees") as caught:
        Trial(tmp_path, SCHEMA).ask("SELECT COUNT(*) AS n FROM graduate RELEASE NATIONAL", epsilon=1)
    assert caught.value.place == "mode"
    assert caught.value.remedy
