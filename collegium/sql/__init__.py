"""SQL to a question: one SELECT of the grammar in `collegium.sql.grammar`, and nothing else.

    >>> compiled = compile_sql("SELECT COUNT(*) AS graduates FROM graduate WHERE year = 2025", schema, rho=10_000_000)
    >>> compiled.question, compiled.view, compiled.fact_filter

Whatever the text is, the outcome is a `Compiled` or `collegium.errors.Invalid` that names the line, the column, the offending
words and the nearest form that is allowed.
"""

from __future__ import annotations

from collegium.sql.compile import Compiled, compile_sql
from collegium.sql.grammar import GRAMMAR, Form
from collegium.sql.release import Mode
from collegium.sql.several import MAX_STATEMENTS, compile_statements

__all__ = ["GRAMMAR", "MAX_STATEMENTS", "Compiled", "Form", "Mode", "compile_sql", "compile_statements"]
