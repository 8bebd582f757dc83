"""Step (3) of both answer paths: the question compiled to its tally's layout, or a refusal. No data are looked at."""

from __future__ import annotations

from collegium.errors import Invalid, Refused, public_text
from collegium.layout import Layout, compile_layout
from collegium.question import Question
from collegium.registry import Registry
from collegium.schema import Schema
from collegium.served import absent_from
from collegium_node.shelf import Shelved

__all__ = ["shape_of"]


def shape_of(question: Question, snapshot: Shelved, registry: Registry) -> tuple[Layout, Schema]:
    """Layout and schema of a question on a snapshot.

    A column that is not served is `unknown` in every row. A release says so beside its figures; in a national sum nobody could
    see it, and its other cells would count these persons as none: such a university is in no such sum.

    Raises:
        Refused: by schema, reason `schema`, `no-dataset`, or of a national question `no-column`.
    """
    schema = registry.schemas.get(question.schema_id)
    if schema is None or question.schema_id != snapshot.schema:
        raise Refused(public_text("schema"), by="schema", reason="schema")
    if question.dataset not in snapshot.datasets:
        raise Refused(public_text("no-dataset"), by="schema", reason="no-dataset")
    if question.mode == "national" and absent_from(question, snapshot.absent.get(question.dataset, ())):
        raise Refused(public_text("no-column"), by="schema", reason="no-column")
    try:
        return compile_layout(question, schema), schema
    except Invalid:
        raise Refused(public_text("schema"), by="schema", reason="schema") from None
