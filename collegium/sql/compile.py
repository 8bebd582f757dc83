"""From SQL to what is signed: a closed question, the view that its figures are shown in, and the universities to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError
from sqlglot import exp

from collegium.errors import Invalid
from collegium.layout import Layout, compile_layout
from collegium.question import MAX_COMPONENTS, Bounds, Component, GroupKey, Predicate, Question
from collegium.schema import Schema
from collegium.sql.choosing import compile_chosen
from collegium.sql.components import Components
from collegium.sql.grammar import remedy
from collegium.sql.grouping import Grouping, compile_grouping
from collegium.sql.keys import Key, compile_key, is_key, unaliased
from collegium.sql.measures import a_kind, compile_measure
from collegium.sql.parse import Statement, parse_statement
from collegium.sql.release import Mode
from collegium.sql.scope import Scope, open_scope
from collegium.sql.sets import measure_margins
from collegium.sql.source import Source
from collegium.sql.where import split_where
from collegium.view import FactColumn, GroupColumn, Measure, MeasureColumn, View, ViewColumn, check_view

__all__ = ["Compiled", "Draft", "compile_sql", "draft", "finish"]

MAX_LABEL = 64
MAX_RHO = 10**15  # nano-rho of one component, as in the question model

Number = int | str | Decimal


@dataclass(frozen=True)
class Compiled:
    """What a statement means. `fact_filter` has for each fact the codes of the universities to ask; None asks all."""

    question: Question
    view: View
    fact_filter: Mapping[str, frozenset[str]] | None


def compile_sql(
    sql: str,
    schema: Schema,
    *,
    rho: int,
    max_rows: int | None = None,
    max_groups: int | None = None,
    clips: Mapping[str, tuple[Number, Number]] | None = None,
    mode: Mode = "per_node",
) -> Compiled:
    """The question of a statement.

    Args:
        sql: one SELECT, at most 20,000 characters.
        schema: the federation's schema in force.
        rho: what the whole question may cost, in nano-rho; each component gets an equal part, rounded down.
        max_rows, max_groups: person bounds instead of the dataset's.
        clips: for a column that is summed, the ends to which one person's sum in a cell is clipped, in natural units.
        mode: how the figures leave the universities, where the statement does not say with RELEASE.

    Raises:
        Invalid: the text is outside the grammar, names what the schema lacks, or the bounds do not fit; with the place.
    """
    return finish([draft(sql, schema, max_rows=max_rows, max_groups=max_groups, clips=clips, mode=mode)], rho, schema)[0]


@dataclass(frozen=True)
class Draft:
    """A statement compiled as far as it can be before it is known which components the request has in all."""

    dataset: str
    predicate: Predicate | None
    grouping: Grouping
    bounds: Bounds
    components: Components
    view: View
    fact_filter: Mapping[str, frozenset[str]] | None
    mode: Mode

    @property
    def cells(self) -> object:
        """Statements that agree in this are one question: their components count the same rows in the same cells."""
        keys = tuple((key.name, key.edges, key.cases) for key in self.grouping.keys if key.kind != "fact")
        return self.dataset, self.predicate, keys, self.grouping.sets, self.bounds, self.mode


def draft(
    sql: str,
    schema: Schema,
    *,
    max_rows: int | None = None,
    max_groups: int | None = None,
    clips: Mapping[str, tuple[Number, Number]] | None = None,
    mode: Mode = "per_node",
) -> Draft:
    """The draft of one statement. Arguments and refusals as `compile_sql`."""
    statement = parse_statement(sql)
    scope = open_scope(statement, schema)
    bounds = Bounds(
        max_groups=_bound("max_groups", max_groups, scope.dataset.max_groups),
        max_rows=_bound("max_rows", max_rows, scope.dataset.max_rows),
    )
    predicate, fact_filter = split_where(statement.where, scope)
    grouping = compile_grouping(statement.group, statement.items, scope)
    components = Components(scope, bounds.max_rows, _clips(clips or {}, scope), grouping.keys)
    view = _view(statement, grouping, scope, components)
    chosen = compile_chosen(statement, grouping.keys, view.measures, components)
    view = view.model_copy(update={"having": chosen.having, "order": chosen.order, "limit": chosen.limit})
    for name in components.clips:
        if not any(component.column == name and component.kind == "sum" for component in components.found):
            raise Invalid(f"there is no SUM({name}) in the statement", place=f"clip of {name}", remedy="Leave the clip out.")
    return Draft(scope.dataset_name, predicate, grouping, bounds, components, view, fact_filter, statement.release or mode)


def finish(drafts: Sequence[Draft], rho: int, schema: Schema) -> list[Compiled]:
    """The questions of drafts that agree in their cells: one and the same, with the components of all of them, each once."""
    first = drafts[0]
    everything: list[Component] = []
    places: list[list[int]] = []
    asked_by: list[tuple[Draft, int]] = []
    for each in drafts:
        place = []
        for number, component in enumerate(each.components.found):
            if component not in everything:
                everything.append(component)
                asked_by.append((each, number))
            place.append(everything.index(component))
        places.append(place)
    if len(everything) > MAX_COMPONENTS:
        raise Invalid(
            f"the statements need more than {MAX_COMPONENTS} components together", place="1:1", remedy="Ask several requests."
        )
    source = first.components.scope.source
    try:
        question = Question(
            dataset=first.dataset,
            filter=first.predicate,
            group=tuple(
                GroupKey(column=key.name, edges=key.edges, cases=key.cases) for key in first.grouping.keys if key.kind != "fact"
            ),
            components=tuple(component.model_copy(update={"rho": _share(rho, len(everything))}) for component in everything),
            bounds=first.bounds,
            mode=first.mode,
            schema_id=schema.id,
        ).canonical()
    except ValidationError as error:  # limits over the whole question, such as the terms of all its conditions
        what = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise Invalid(what, place=source.place(0, len(source.text)), remedy="Ask several questions.") from None
    layout = _check_layout(question, schema, asked_by, source)
    moved = list(range(len(everything)))
    if first.grouping.sets is not None:
        question, moved = measure_margins(question, layout, first.grouping.sets, rho, source)
        _check_layout(question, schema, asked_by, source)
    compiled = []
    for each, place in zip(drafts, places, strict=True):
        measures = tuple(m.model_copy(update={"parts": tuple(moved[place[p]] for p in m.parts)}) for m in each.view.measures)
        view = each.view.model_copy(update={"measures": measures})
        check_view(view, question)
        compiled.append(Compiled(question, view, each.fact_filter))
    return compiled


def _view(statement: Statement, grouping: Grouping, scope: Scope, components: Components) -> View:
    """The columns of SELECT from left to right; every key must be shown, and every name that is no measure be a key."""
    source = scope.source
    measures: list[Measure] = []
    columns: list[ViewColumn] = []
    labels: set[str] = set()
    shown: set[str] = set()
    for item in statement.items:
        node, alias = unaliased(item)
        label = source.words(node)[:MAX_LABEL] if alias is None else " ".join(alias.name.split())
        if not label or len(label) > MAX_LABEL:
            raise source.refuse(item, f"a title has 1 to {MAX_LABEL} characters", remedy("alias"))
        if is_key(node):
            key = _key(node, grouping, scope)
            title = label if alias is not None and label != key.name else None
            if alias is None and key.kind != "case":
                label = key.name
            elif key.kind == "case":
                title = label
            shown.add(key.name)
            if key.kind == "fact":
                columns.append(FactColumn(fact=key.name, title=title))
            else:
                columns.append(GroupColumn(group=key.name, title=title, labels=key.labels))
        else:
            if len(measures) >= MAX_LABEL:
                raise source.refuse(item, f"there are more than {MAX_LABEL} measures", "Ask several questions.")
            columns.append(MeasureColumn(measure=len(measures)))
            measures.append(compile_measure(node, label, components))
            if grouping.sets is not None and measures[-1].kind not in ("value", "mean", "share", "ratio"):
                raise source.refuse(node, *_not_in_sets(measures[-1], grouping))
        if label.lower() in labels:
            raise source.refuse(item, f"two columns are called {label}", "Leave one out." if is_key(node) else remedy("alias"))
        labels.add(label.lower())
    if not measures:
        raise source.refuse_word("SELECT", "the statement asks for no measure", remedy("rows"))
    for key, node in zip(grouping.keys, grouping.nodes, strict=True):
        if key.name not in shown:
            words = "this CASE" if key.kind == "case" else key.name
            raise source.refuse(node, f"{words} stands in GROUP BY and not in SELECT", "Add it to SELECT.")
    facts = tuple(key.name for key in grouping.keys if key.kind == "fact")
    return View(measures=tuple(measures), columns=tuple(columns), facts=facts, sets=grouping.sets)


def _not_in_sets(measure: Measure, grouping: Grouping) -> tuple[str, str]:
    """Why a measure is refused beside GROUPING SETS, and what to write instead."""
    of = measure.of[0] if measure.of is not None else measure.kind
    if of == "quantile":
        why = "a median is made of a tree of bins, which is not measured at every margin of a table"
    else:
        why = f"{a_kind(measure.kind)} is not offered with grouping sets"
    apart = [f"GROUP BY {', '.join(keys)}" if keys else "no GROUP BY" for keys in grouping.sets or ()]
    return why, f"Ask it in one request with this one, in a statement for each set: {'; '.join(apart[:4])}."


def _key(node: exp.Expr, grouping: Grouping, scope: Scope) -> Key:
    """The key of GROUP BY that an item of SELECT is."""
    key = compile_key(node, scope)
    for other in grouping.keys:
        if other.same(key):
            return other
    words = scope.source.words(node)
    raise scope.source.refuse(node, f"{words} stands in SELECT and not in GROUP BY", f"Write GROUP BY {words}.")


def _bound(name: str, asked: int | None, default: int) -> int:
    if asked is None:
        return default
    if not 1 <= asked <= 10_000:
        raise Invalid(f"{asked} is no bound", place=name, remedy="Give a whole number from 1 to 10,000.")
    return asked


def _clips(clips: Mapping[str, tuple[Number, Number]], scope: Scope) -> dict[str, tuple[int, int]]:
    """The asker's clips in steps. Raises Invalid with the place `clip of <column>`."""
    result: dict[str, tuple[int, int]] = {}
    for name, (low, high) in clips.items():
        place = f"clip of {name}"
        column = scope.dataset.columns.get(name)
        if column is None or not column.is_number:
            raise Invalid(
                f"{scope.dataset_name} has no number column {name!r}", place=place, remedy="Name a column that is summed."
            )
        try:
            ends = column.encode(low), column.encode(high)
        except Invalid as error:
            raise Invalid(error.text, place=place, remedy=f"Give multiples of {column.step}.") from None
        if ends[0] >= ends[1]:
            raise Invalid("the ends of a clip must increase", place=place, remedy="Give the lower end first.")
        result[name] = ends
    return result


def _share(rho: int, components: int) -> int:
    """The nano-rho of one of so many components."""
    if rho // components < 1 or rho // components > MAX_RHO:
        raise Invalid(
            f"{rho} nano-rho cannot be divided among {components} components",
            place="rho",
            remedy=f"Give {components} to {MAX_RHO}.",
        )
    return rho // components


def _check_layout(question: Question, schema: Schema, asked_by: Sequence[tuple[Draft, int]], source: Source) -> Layout:
    """The layout, or its own refusals (cells, head room) placed in the text."""
    try:
        return compile_layout(question, schema)
    except Invalid as error:
        part, _, rest = error.place.partition(".")
        number = rest.partition(".")[0]
        if part == "components" and number.isdigit():
            each, index = asked_by[min(int(number), len(asked_by) - 1)]
            raise each.components.scope.source.refuse(each.components.asked_by[index], error.text, error.remedy) from None
        raise source.refuse_word("GROUP" if part == "group" else "SELECT", error.text, error.remedy) from None
