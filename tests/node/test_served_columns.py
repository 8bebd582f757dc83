"""Which columns a university does not serve: from its configuration alone, public, and signed beside the figures they touch."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from campus import COLUMNS, HEADER, SCHEMA, SECRET, csv_config
from nationalnode import country, restore
from onenode import NODE, OneNode, federation
from rich.console import Console
from typer.testing import CliRunner

from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.coverage import Gap, Served
from collegium.indicators.expand import expand
from collegium.party.publish import export
from collegium.policy import read_policy
from collegium.question import Question
from collegium.registration import CatalogueEntry
from collegium.schema import Schema, read_schema
from collegium.served import absent_from, columns_named
from collegium.statements import Policy as PolicyStatement
from collegium.statements import Release
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node import shelf
from collegium_node.check import check
from collegium_node.cli import app
from collegium_node.config import NodeConfig, parse_config
from collegium_node.recover import replay
from collegium_node.servable import CatalogueReport, catalogue_reports
from collegium_node.shelf import Shelf, Shelved
from collegium_node.snapshot import build_snapshot, read_snapshot
from collegium_node.steward import InForce, sign_if_changed

HERE = Path(__file__).resolve().parents[2]
SHIPPED = HERE / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"


def asking(**parts: Any) -> Question:
    tree = {
        "dataset": "graduate",
        "components": [{"kind": "people", "rho": 1_000}],
        "bounds": {"max_groups": 1, "max_rows": 1},
        "schema": "small/1",
    }
    return Question.from_json(Question.model_validate(tree | parts).to_json())


FILTERED = asking(filter={"op": "range", "column": "salary", "min": 5})
KEYED = asking(group=[{"column": "sex"}])


def test_every_place_in_which_a_question_names_a_column() -> None:
    known = {"op": "in", "column": "x", "values": ["1"]}
    parts: list[tuple[str, dict[str, Any]]] = [
        ("filter", {"filter": known}),
        ("key", {"group": [{"column": "x"}]}),
        ("bins", {"group": [{"column": "x", "edges": [0, 5]}]}),
        ("cases", {"group": [{"column": "case1", "cases": [known]}]}),
        ("column", {"components": [{"kind": "count", "column": "x", "rho": 1}]}),
        ("other", {"components": [{"kind": "product", "column": "x", "other": "y", "rho": 1}]}),
        ("condition", {"components": [{"kind": "count", "condition": known, "rho": 1}]}),
        ("component's filter", {"components": [{"kind": "rows", "filter": {"op": "not", "arg": known}, "rho": 1}]}),
    ]
    for name, part in parts:
        named = columns_named(asking(**part))
        assert named == ({"x", "y"} if name == "other" else {"x"}), name
        assert absent_from(asking(**part), ("x", "unasked")) == ("x",), name
    assert absent_from(KEYED, ("salary",)) is None


def shelve(one: OneNode, absent: dict[str, tuple[str, ...]], identity: str = "00000000000000a2") -> None:
    with one.node.journal.write("snapshot") as log:
        datasets = ("graduate", "staff", "term")
        shelf.add(log.db, Shelved(identity, "more", int(one.now[0]) + 1, "small/1", datasets, True, absent))
        sign_if_changed(log, InForce(one.node.journal)())


def test_a_release_names_the_absent_columns_of_its_own_question(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    shelve(one, {"graduate": ("salary",), "term": ("gpa",)})
    filtered, keyed = one.answer(researcher.ask(FILTERED, KEYED)).answers
    assert Release.read(filtered.release).absent == ("salary",)
    assert Release.read(keyed.release).absent is None
    assert b"absent" not in keyed.release  # a node that serves everything signs what it always signed


def test_the_snapshot_of_the_charge_decides_and_not_the_newest(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    shelve(one, {"graduate": ("salary",)})
    asked = researcher.ask(FILTERED)

    def broken() -> None:
        raise OSError("the disk is gone for a moment")

    one.engine.on_tally = broken
    assert not one.answer(asked).answers[0].release  # charged, and nothing released
    one.engine.on_tally = lambda: None
    shelve(one, {}, "00000000000000a3")
    assert Release.read(one.answer(asked).answers[0].release).absent == ("salary",)
    assert Release.read(one.answer(researcher.ask(FILTERED)).answers[0].release).absent is None


def test_a_university_without_a_column_is_in_no_national_sum_that_looks_at_it(tmp_path: Path) -> None:
    """Its persons would stand in the sum as none, and nobody could tell. Refused before a charge, and when a plan comes."""
    land, asked = country(tmp_path)
    sent = land.send(asked)
    assert land.answer(asked).answers[0].verdict == QuestionAnswer.READY
    shelve(land.one, {"graduate": ("salary",)})
    answer = land.answer(land.ask()).answers[0]
    assert (answer.verdict, answer.reason) == (QuestionAnswer.REFUSED, "no-column")
    late = land.submit(asked, sent)
    assert (late.verdict, late.reason, land.one.charged()) == (QuestionAnswer.REFUSED, "no-column", 0)
    shelve(land.one, {"graduate": ("gpa",)}, "00000000000000a3")
    assert land.answer(land.ask()).answers[0].verdict == QuestionAnswer.READY


def test_what_is_absent_is_published_with_the_policy_for_the_current_snapshot(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    shelve(one, {"graduate": ("salary", "sex")})
    shelve(one, {"term": ("gpa",)}, "00000000000000a3")
    note = one.entries("policy")[-1]
    body = PolicyStatement.read(note)
    assert [(each.current, each.absent) for each in body.snapshots] == [(True, {"term": ("gpa",)}), (False, None), (False, None)]
    published = read_policy(note, one.node.members.registry.party(NODE))
    assert published is not None
    assert published.absent == {"term": ("gpa",)}


def test_snapshots_shelved_before_this_was_known_are_read(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    with one.node.store.read() as db:
        (stored,) = db.execute("SELECT datasets FROM snapshots").fetchone()
        assert json.loads(stored) == ["graduate", "staff", "term"]
        (only,) = shelf.listing(db)
    assert (only.datasets, only.absent) == (("graduate", "staff", "term"), {})


def test_a_snapshot_knows_what_is_mapped_and_rows_decide_nothing(tmp_path: Path) -> None:
    columns = COLUMNS.replace('gpa = "gpa"\n', "").replace('passed = "passed"', 'passed = { constant = "1" }')
    seen = []
    for rows in ("", "1,1,01,yes,2020,3.5\n", "1,,,,,\n2,,,,,\n"):
        (tmp_path / "rows.csv").write_text(HEADER + rows, encoding="utf-8")
        built = build_snapshot("one", csv_config(tmp_path, columns=columns), SCHEMA, SECRET, tmp_path, lambda: 1.0)
        assert read_snapshot(tmp_path, built.id) == built
        seen.append(built.absent)
    assert seen == [{"course": ("gpa",)}] * 3  # a constant is served, and so is a column without a single value


NODE_TOML = """
[sources.rows]
kind = "csv"
path = "graduates.csv"

[datasets.graduate]
source = "rows"
person = "pid"
[datasets.graduate.columns]
"""


def test_check_says_which_indicators_can_be_served_and_which_not(tmp_path: Path) -> None:
    schema = read_schema(HERE / "examples" / "higher-education" / "schema.toml")
    mapped = [name for name in schema.datasets["graduate"].columns if name not in ("salary", "origin_region")]
    config = parse_config(NODE_TOML + "\n".join(f'{name} = "{name}"' for name in mapped), tmp_path / "node.toml")
    (tmp_path / "graduates.csv").write_text(",".join(["pid", *mapped]) + "\n", encoding="utf-8")

    found = check(config, schema, {"higher-education/1": _entry(schema)})
    (report,) = found.catalogues
    leaves = expand(read_catalogue(SHIPPED), schema, 2030).leaves
    here = [leaf for leaf in leaves if {dataset for dataset, _ in leaf.columns} == {"graduate"}]
    salary = [leaf for leaf in here if leaf.column == "salary"]
    origin = [leaf for leaf in here if leaf.dimension_column == "origin_region"]
    assert len(salary) == 5 + 12
    assert (report.indicators, report.served) == (1298, len(here) - len(salary) - len(origin))
    table = next(each for each in report.tables if each.dataset == "graduate")
    assert dict(table.missing) == {"origin_region": len(origin), "salary": len(salary)}
    assert (table.mapped, table.indicators, table.served) == (True, len(here), report.served)
    assert {each.dataset for each in report.tables if not each.mapped} == set(schema.datasets) - {"graduate"}

    served = Served(frozenset({"graduate"}), frozenset({("graduate", "salary"), ("graduate", "origin_region")}))
    assert sum(served.gap(leaf) is None for leaf in leaves) == report.served
    assert served.gap(salary[0]) == Gap("no-column", ("graduate.salary",))
    ratio = next(leaf for leaf in leaves if leaf.id == "U-S08-008")
    assert served.gap(ratio) == Gap("no-dataset", ("enrolment", "staff"))

    shown = _text(found.render())
    assert f"can serve {report.served:,} of 1,298 indicators" in shown
    assert "salary (17)" in shown
    assert "the whole table" in shown
    assert json.loads(json.dumps(found.to_json()))["catalogues"][0]["served"] == report.served


def test_a_catalogue_that_cannot_be_read_is_said_so_and_stops_nothing(tmp_path: Path) -> None:
    config = _config(tmp_path)
    schema = read_schema(HERE / "examples" / "higher-education" / "schema.toml")
    later = 'name = "higher-education"\nversion = 2\nschema = "higher-education/1"\nnew = 1\n'
    entry = CatalogueEntry(name="higher-education", version=2, fits="higher-education/1", toml=later, time=1)
    (report,) = catalogue_reports(config, schema, {"higher-education/1": _entry(schema), "higher-education/2": entry})
    assert report == CatalogueReport("higher-education/2", fault=report.fault)
    assert "higher-education/2" in report.fault
    assert "`new`" in report.fault or "missing" in report.fault


def test_the_command_looks_at_the_catalogues_of_the_verified_registry(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    later = 'name = "mine"\nversion = 1\nschema = "small/1"\n'
    entry = CatalogueEntry(name="mine", version=1, fits="small/1", toml=later, time=1)
    one.ministry.entries.append(entry.sign(one.ministry.registry_key))
    one.learn()
    one.node.close()
    mapping = '[datasets.graduate]\nsource = "rows"\nperson = "id"\n[datasets.graduate.columns]\nsex = "sex"\n'
    (tmp_path / "node.toml").write_text(f'[sources.rows]\nkind = "csv"\npath = "rows.csv"\n{mapping}', encoding="utf-8")
    (tmp_path / "rows.csv").write_text("id,sex\n1,1\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["check", "--home", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.output)["catalogues"]
    assert found["catalogue"] == "mine/1"
    assert "is missing" in found["fault"]


def _config(folder: Path) -> NodeConfig:
    return parse_config(NODE_TOML + 'result = "result"\n', folder / "node.toml")


def _entry(schema: Schema) -> CatalogueEntry:
    text = SHIPPED.read_text(encoding="utf-8")
    return CatalogueEntry(name="higher-education", version=1, fits=schema.id, toml=text, time=1)


def _text(renderable: Any) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def test_a_node_that_is_made_again_from_its_log_still_knows_what_it_does_not_serve(tmp_path: Path) -> None:
    """Else its persons would stand in a national sum as having no salary. A later policy takes nothing of it away."""
    land, _ = country(tmp_path / "home")
    backup = tmp_path / "backup.db"
    land.one.node.store.backup(backup)
    shelve(land.one, {"graduate": ("salary",)})
    land.allow(smallest=3)
    before = Shelf(land.one.node.journal).current().absent
    export(land.one.node, tmp_path / "logs")
    restore(land, backup)
    assert replay(land.one.node, tmp_path / "logs") > 0
    assert Shelf(land.one.node.journal).current().absent == before == {"graduate": ("salary",)}
