"""The corpus: each statement of corpus.toml means exactly what stands beside it, or is refused there and with those words.

A question is written on one line: `dataset where FILTER by KEYS bounds ROWSxGROUPS`, then its components by number. Conditions are
in steps, as they are signed. A change of meaning shows as a change of a line that a person can read.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from collegium.errors import Invalid
from collegium.layout import compile_layout
from collegium.question import And, Component, In, Not, Or, Predicate, Question, Range
from collegium.schema import Schema, read_schema
from collegium.selection import Compare, Condition, Never
from collegium.sql import GRAMMAR, Compiled, compile_sql, measures
from collegium.view import FactColumn, GroupColumn, View, check_view

ROOT = Path(__file__).parents[3]
CORPUS: dict[str, list[dict[str, str]]] = tomllib.loads((Path(__file__).parent / "corpus.toml").read_text(encoding="utf-8"))
RHO = 10_000_000


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read_schema(ROOT / "examples/higher-education/schema.toml")


def condition(predicate: Predicate) -> str:
    if isinstance(predicate, In):
        return f"{predicate.column} in {{{' '.join(str(value) for value in predicate.values)}}}"
    if isinstance(predicate, Range):
        low = "" if predicate.min is None else predicate.min
        high = "" if predicate.max is None else predicate.max
        return f"{predicate.column} in {low}..{high}"
    if isinstance(predicate, Not):
        return f"not({condition(predicate.arg)})"
    if isinstance(predicate, And | Or):
        return "(" + f" {predicate.op} ".join(condition(arg) for arg in predicate.args) + ")"
    return f"{predicate.column} unknown"


def component(part: Component) -> str:
    words: list[str] = [part.kind]
    if part.column is not None:
        words.append(part.column)
    if part.other is not None:
        words.append(f"x {part.other}")
    if part.condition is not None:
        words.append(condition(part.condition))
    if part.grid is not None:
        words.append("grid {} +{} x{}".format(*part.grid))
    if part.edges is not None:
        words.append("edges " + ",".join(str(edge) for edge in part.edges))
    if part.clip is not None:
        words.append(f"clip {part.clip[0]}..{part.clip[1]}")
    if part.filter is not None:
        words.append(f"if {condition(part.filter)}")
    if part.margin is not None:
        words.append(f"at ({' '.join(part.margin)})")
    return " ".join(words)


def question_line(question: Question) -> str:
    words = [question.dataset]
    if question.filter is not None:
        words.append(f"where {condition(question.filter)}")
    if question.group:
        keys = [key.column + ("[" + ",".join(str(edge) for edge in key.edges) + "]" if key.edges else "") for key in question.group]
        cases = ["{" + " else ".join(condition(case) for case in key.cases or ()) + "}" for key in question.group]
        keys = [name + (case if case != "{}" else "") for name, case in zip(keys, cases, strict=True)]
        words.append("by " + " ".join(keys))
    words.append(f"bounds {question.bounds.max_rows}x{question.bounds.max_groups}")
    parts = "; ".join(f"{number} {component(part)}" for number, part in enumerate(question.components))
    return " ".join(words) + ": " + parts


def view_line(view: View) -> str:
    columns = []
    for column in view.columns:
        if isinstance(column, GroupColumn):
            title = f" as {column.title}" if column.title else ""
            columns.append(column.group + title + (f" ({' / '.join(column.labels)})" if column.labels else ""))
        elif isinstance(column, FactColumn):
            columns.append(f"fact {column.fact}" + (f" as {column.title}" if column.title else ""))
        else:
            measure = view.measures[column.measure]
            of = f" of {measure.column}" if measure.column else ""
            of += f" at {measure.q}" if measure.q else ""
            of += f" top {measure.top}" if measure.top else ""
            of += f" within ({' '.join(measure.within)})" if measure.within is not None else ""
            of += f" of {' - '.join(measure.of)}s" if measure.of else ""
            of += f" of {measure.columns[0]} on {' '.join(measure.columns[1:])}" if measure.columns else ""
            columns.append(f"[{measure.label}] {measure.kind}{of} {'/'.join(str(part) for part in measure.parts)}")
    line = " | ".join(columns)
    if view.sets is not None:
        line += " sets " + " ".join(f"({' '.join(keys)})" for keys in view.sets)
    if view.having is not None:
        line += f" having {chosen(view.having)}"
    if view.order is not None:
        terms = [(term.key or f"#{term.measure}") + (" down" if term.descending else "") for term in view.order]
        line += " order " + ", ".join(str(term) for term in terms)
    return line + (f" limit {view.limit}" if view.limit is not None else "")


def chosen(having: Condition) -> str:
    if isinstance(having, Compare):
        return f"#{having.measure} {having.sign} {having.value}"
    if isinstance(having, Never):
        return f"not({chosen(having.arg)})"
    return "(" + f" {having.op} ".join(chosen(arg) for arg in having.args) + ")"


def nodes_line(compiled: Compiled) -> str:
    return "; ".join(f"{fact} {' '.join(sorted(codes))}" for fact, codes in sorted((compiled.fact_filter or {}).items()))


def test_corpus_is_large_and_has_no_statement_twice() -> None:
    statements = [case["sql"] for cases in CORPUS.values() for case in cases]
    assert len(statements) >= 290
    assert len(set(statements)) == len(statements)


@pytest.mark.parametrize("case", CORPUS["accepted"], ids=lambda case: case["sql"][:80])
def test_accepted(case: dict[str, str], schema: Schema) -> None:
    compiled = compile_sql(case["sql"], schema, rho=RHO)
    assert question_line(compiled.question) == case["question"]
    assert view_line(compiled.view) == case["view"]
    assert nodes_line(compiled) == case.get("nodes", "")
    # What comes out is what may be signed, and never costs more than was offered.
    assert Question.from_json(compiled.question.to_json()) == compiled.question
    assert View.from_json(compiled.view.to_json()) == compiled.view
    check_view(compiled.view, compiled.question)
    compile_layout(compiled.question, schema)
    assert RHO - 2 * len(compiled.question.components) < compiled.question.rho <= RHO


@pytest.mark.parametrize("case", CORPUS["refused"], ids=lambda case: case["sql"][:80])
def test_refused(case: dict[str, str], schema: Schema) -> None:
    with pytest.raises(Invalid) as caught:
        compile_sql(case["sql"], schema, rho=RHO)
    assert (caught.value.place, caught.value.text, caught.value.remedy) == (case["place"], case["why"], case["then"])


def test_every_place_points_at_its_words() -> None:
    for case in CORPUS["refused"]:
        place, _, words = case["place"].partition(" ")
        line, column = (int(number) for number in place.split(":"))
        rest = case["sql"].split("\n")[line - 1][column - 1 :] if case["sql"] else ""
        assert rest.startswith(words.strip('"').rstrip("…").split(" ")[0]), case["sql"]


def test_every_refusal_says_what_to_do() -> None:
    assert [case["sql"] for case in CORPUS["refused"] if not case["then"].endswith((".", "?", "…."))] == []


def test_the_parser_and_the_page_know_the_same_functions() -> None:
    """Every function that is compiled proposes a form of the page, and every function on the page is compiled."""
    known = {name: form for name, (_, _, form) in measures._MAKERS.items()}
    assert set(known.values()) <= set(GRAMMAR)
    shown = [form.form + form.example + form.meaning for form in GRAMMAR.values() if form.kind == "measure"]
    written = {word for text in shown for word in re.findall(r"\b([A-Z_]{3,})\(", text)}
    assert written - {"FILTER", "OVER"} <= set(known)
    assert set(known) - written <= {"COUNTIF", "MEAN", "QUANTILE_DISC"}  # other spellings


STATEMENTS: dict[str, Any] = {
    "statement": "{}",
    "measure": "SELECT {} FROM graduate",
    "key": "SELECT {0}, COUNT(*) FROM graduate GROUP BY {0}",
    "condition": "SELECT COUNT(*) FROM graduate WHERE {}",
    "choice": "SELECT study_level, COUNT(*) FROM graduate GROUP BY study_level {}",
}


@pytest.mark.parametrize("name", GRAMMAR)
def test_every_example_of_the_grammar_compiles(name: str, schema: Schema) -> None:
    form = GRAMMAR[name]
    assert form.name == name
    keys = "study_level, gender" if name == "sets" else "{0}"
    statement = STATEMENTS[form.kind].replace("{0}", keys, 1) if form.kind == "key" else STATEMENTS[form.kind]
    compile_sql(statement.format(form.example), schema, rho=RHO)
