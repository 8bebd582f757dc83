"""Conditions of a catalogue: text of the SQL grammar to a predicate, with the year for `:Y`; each text is compiled once.

The text is compiled by the SQL front end's own parser, as the WHERE of a statement, so that the two can never differ in meaning.
"""

from __future__ import annotations

import re

from sqlglot import exp

from collegium.errors import Invalid
from collegium.indicators.mistakes import Mistake
from collegium.question import Predicate
from collegium.schema import Schema
from collegium.sql.parse import parse_statement
from collegium.sql.predicates import compile_predicate
from collegium.sql.scope import open_scope

__all__ = ["Conditions"]

_PLACE = re.compile(r"^(\d+):(.*)$", re.S)
_REMEDY = "Write a condition as it would stand after WHERE, for example study_level = '3'."


class Conditions:
    """Compiles conditions on a schema's datasets, for one year."""

    def __init__(self, schema: Schema, year: int) -> None:
        self._schema = schema
        self._year = year
        self._done: dict[tuple[str, str], Predicate] = {}

    def __call__(self, text: str, dataset: str, *, place: str = "") -> Predicate:
        """The canonical predicate of a condition. Raises Invalid; its place is `place` with line and column of the text."""
        known = self._done.get((dataset, text))
        if known is None:
            try:
                known = self._done[dataset, text] = self._compile(text, dataset)
            except Invalid as error:
                raise Invalid(error.text, place=f"{place} {_within(error.place)}".strip(), remedy=_remedy(error)) from None
        return known

    def mistake(self, text: str, dataset: str, place: str) -> Mistake | None:
        """What is wrong with a condition, or None."""
        try:
            self(text, dataset, place=place)
        except Invalid as error:
            return Mistake(error.place, error.text, error.remedy)
        return None

    def _compile(self, text: str, dataset: str) -> Predicate:
        # The condition begins on a line of its own: columns are those of the text, and lines one more.
        statement = parse_statement(f"SELECT COUNT(*) FROM {dataset} WHERE\n{text}")  # noqa: S608 - compiled, run nowhere
        if statement.where is None or any((statement.group, statement.having, statement.order, statement.limit)):
            raise Invalid("there is more here than a condition", place="2:1", remedy=_REMEDY)
        where = statement.where
        for node in list(where.find_all(exp.Placeholder)):
            if node.this == "Y":
                year = exp.Literal.number(self._year)
                where = year if node is where else where
                node.replace(year)
        return compile_predicate(where, open_scope(statement, self._schema))


def _within(place: str) -> str:
    found = _PLACE.match(place)
    return f"{max(int(found[1]) - 1, 1)}:{found[2]}" if found else place


def _remedy(error: Invalid) -> str:
    """What stands in the way of a statement is put in the words of a condition."""
    return _REMEDY if "SELECT" in error.remedy else error.remedy
