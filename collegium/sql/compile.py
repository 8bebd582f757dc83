"""From SQL to what is signed: a closed question, the view that its figures are shown in, and the universities to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError
from sqlglot import exp

from collegium.errors import Invalid
from collegium.layout import compile_layout
from collegium.question import Bounds, GroupKey, Question
from collegium.schema import Schema
from collegium.sql.components import Components
from collegium.sql.grammar import remedy
from collegium.sql.keys import Key, compile_key, compile_keys, is_key
from collegium.sql.measures import compile_measure
from collegium.sql.parse import Statement, parse_statement
from collegium.sql.scope import Scope, open_scope
from collegium.sql.source import Source
from collegium.sql.where import split_where
from collegium.view import FactColumn, GroupColumn, Measure, MeasureColumn, View, ViewColumn, check_view

__all__ = ["Compiled", "compile_sql"]

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
) -> Compiled:
    """The question of a statement.

    Args:
        sql: one SELECT, at most 20,000 characters.
        schema: the federation's schema in force.
        rho: what the whole question may cost, in nano-rho; each component gets an equal part, rounded down.
        max_rows, max_groups: person bounds instead of the dataset's.
        clips: for a column that is summed, the ends to which one person's sum in a cell is clipped, in natural units.

    Raises:
        Invalid: the text is outside the grammar, names what the schema lacks, or the bounds do not fit; with the place.
    """
    statement = parse_statement(sql)
    scope = open_scope(statement, schema)
    bounds = Bounds(
        max_groups=_bound("max_groups", max_groups, scope.dataset.max_groups),
        max_rows=_bound("max_rows", max_rows, scope.dataset.max_rows),
    )
    components = Components(scope, bounds.max_rows, _clips(clips or {}, scope))
    predicate, fact_filter = split_where(statement.where, scope)
    keys = compile_keys(statement.group, [_unaliased(item)[0] for item in statement.items], scope)
    view = _view(statement, keys, scope, components)
    for name in components.clips:
        if not any(component.column == name and component.kind == "sum" for component in components.found):
            raise Invalid(f"there is no SUM({name}) in the statement", place=f"clip of {name}", remedy="Leave the clip out.")
    share = _share(rho, len(components.found))
    try:
        question = Question(
            dataset=scope.dataset_name,
            filter=predicate,
            group=tuple(GroupKey(column=key.name, edges=key.edges) for key in keys if key.kind == "column"),
            components=tuple(component.model_copy(update={"rho": share}) for component in components.found),
            bounds=bounds,
            schema_id=schema.id,
        ).canonical()
    except ValidationError as error:  # limits over the whole question, such as the terms of all its conditions
        what = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise Invalid(what, place=scope.source.place(0, len(sql)), remedy="Ask several questions.") from None
    _check_layout(question, schema, components, scope.source)
    check_view(view, question)
    return Compiled(question, view, fact_filter)


def _view(statement: Statement, keys: Sequence[Key], scope: Scope, components: Components) -> View:
    """The columns of SELECT from left to right; every key must be shown, and every name that is no measure be a key."""
    source = scope.source
    measures: list[Measure] = []
    columns: list[ViewColumn] = []
    labels: set[str] = set()
    for item in statement.items:
        node, alias = _unaliased(item)
        label = source.words(node)[:MAX_LABEL] if alias is None else " ".join(alias.name.split())
        if is_key(node):
            key = compile_key(node, scope)
            if key not in keys:
                words = source.words(node)
                raise source.refuse(node, f"{words} stands in SELECT and not in GROUP BY", f"Write GROUP BY {words}.")
            if alias is not None and label.lower() != key.name:
                raise source.refuse(item, "a key keeps the name of its column", f"Leave AS {alias.name} out.")
            label = key.name
            columns.append(FactColumn(fact=key.name) if key.kind == "fact" else GroupColumn(group=key.name))
        else:
            if len(measures) >= MAX_LABEL:
                raise source.refuse(item, f"there are more than {MAX_LABEL} measures", "Ask several questions.")
            if not label or len(label) > MAX_LABEL:
                raise source.refuse(item, f"a title has 1 to {MAX_LABEL} characters", remedy("alias"))
            columns.append(MeasureColumn(measure=len(measures)))
            measures.append(compile_measure(node, label, components))
        if label.lower() in labels:
            raise source.refuse(item, f"two columns are called {label}", "Leave one out." if is_key(node) else remedy("alias"))
        labels.add(label.lower())
    if not measures:
        raise source.refuse_word("SELECT", "the statement asks for no measure", remedy("rows"))
    shown = {column.group for column in columns if isinstance(column, GroupColumn)}
    shown |= {column.fact for column in columns if isinstance(column, FactColumn)}
    for key, node in zip(keys, statement.group, strict=True):
        if key.name not in shown:
            raise source.refuse(node, f"{key.name} stands in GROUP BY and not in SELECT", "Add it to SELECT.")
    return View(measures=tuple(measures), columns=tuple(columns), facts=tuple(key.name for key in keys if key.kind == "fact"))


def _unaliased(item: exp.Expr) -> tuple[exp.Expr, exp.Identifier | None]:
    if isinstance(item, exp.Alias) and isinstance(item.args.get("alias"), exp.Identifier):
        return item.this, item.args["alias"]
    return item, None


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


def _check_layout(question: Question, schema: Schema, components: Components, source: Source) -> None:
    """The layout's own refusals (cells, head room), placed in the text."""
    try:
        compile_layout(question, schema)
    except Invalid as error:
        part, _, rest = error.place.partition(".")
        number = rest.partition(".")[0]
        if part == "components" and number.isdigit():
            raise source.refuse(components.asked_by[int(number)], error.text, error.remedy) from None
        raise source.refuse_word("GROUP" if part == "group" else "SELECT", error.text, error.remedy) from None
