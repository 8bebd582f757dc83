"""What a name in a statement stands for: a column of the dataset or a public fact of the universities. Never the person."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from collegium.errors import Invalid
from collegium.schema import Column, Dataset, Fact, Schema
from collegium.sql.parse import Statement
from collegium.sql.source import Source, closest

__all__ = ["Scope", "open_scope"]


@dataclass(frozen=True)
class Scope:
    """The names of one statement. SQL folds the case of names, so they are looked up in lower case."""

    source: Source
    schema: Schema
    dataset_name: str
    dataset: Dataset
    qualifiers: frozenset[str]

    def name(self, node: exp.Column) -> str:
        """The folded name of a column, its qualifier checked."""
        self.source.only(node, "this", "table")
        if not isinstance(node.this, exp.Identifier):
            raise self.source.refuse_form(node.this, "column", "key")
        if node.table and node.table.lower() not in self.qualifiers:
            raise self.source.refuse(node, f"{node.table} is not the dataset of this statement", f"Write {node.name} alone.")
        return str(node.name.lower())

    def is_person(self, node: exp.Expr | None) -> bool:
        return isinstance(node, exp.Column) and self.name(node) == self.dataset.person

    def fact(self, node: exp.Expr | None) -> Fact | None:
        """The fact that a name stands for, or None."""
        return self.schema.facts.get(self.name(node)) if isinstance(node, exp.Column) else None

    def column(self, node: exp.Expr, what: str = "column", otherwise: str = "key") -> tuple[str, Column]:
        """The dataset's column that an expression names.

        Raises:
            Invalid: it is no plain name, or names the person, a fact, or nothing the dataset has.
        """
        if not isinstance(node, exp.Column):
            raise self.source.refuse_form(node, what, otherwise)
        name = self.name(node)
        column = self.dataset.columns.get(name)
        if column is not None:
            return name, column
        if name in self.schema.facts:
            raise self.source.refuse(
                node,
                f"{name} is a fact of universities, not a column of rows",
                f"A fact stands in GROUP BY, or in WHERE on its own or after AND: {name} = 'code'.",
            )
        raise self.unknown(node, name)

    def unknown(self, node: exp.Expr, name: str) -> Invalid:
        """The refusal of a name that is neither column nor fact."""
        if name == self.dataset.person:
            return self.source.refuse(
                node,
                f"{name} is the person column: it can be counted and nothing else",
                f"Write COUNT(DISTINCT {name}).",
            )
        near = closest(name, [*self.dataset.columns, *self.schema.facts, self.dataset.person])
        elsewhere = [other for other, dataset in self.schema.datasets.items() if name in dataset.columns]
        if elsewhere:
            then = f"It is a column of {', '.join(elsewhere)}."
        elif near:
            then = f"Did you mean {near}?"
        else:
            then = f"The dataset has: {', '.join(self.dataset.columns)}."
        return self.source.refuse(node, f"there is no column {name!r} in {self.dataset_name}", then)


def open_scope(statement: Statement, schema: Schema) -> Scope:
    """The scope of a statement. Raises Invalid when the schema does not have its dataset."""
    name = statement.table.name.lower()
    dataset = schema.datasets.get(name)
    if dataset is None:
        near = closest(name, schema.datasets)
        then = f"Did you mean {near}?" if near else f"The schema has: {', '.join(schema.datasets)}."
        raise statement.source.refuse(statement.table, f"there is no dataset {name!r}", then)
    return Scope(statement.source, schema, name, dataset, statement.names)
