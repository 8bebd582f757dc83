"""The text of a statement, and where in it a mistake stands.

sqlglot marks identifiers, functions and literals with their offsets; the place of any other expression is spanned by those within
it. Every refusal of the SQL front end is made here, so that each has a place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from sqlglot import Token, TokenType, exp

from collegium.errors import Invalid
from collegium.sql.grammar import FUNCTIONS, NODES, remedy

__all__ = ["Source", "closest"]

MAX_WORDS = 60  # characters of the offending words that a message repeats

# Expressions that begin with a word of their own, left of everything that has an offset.
_LEADING = {"Case": "CASE", "Cast": "CAST", "TryCast": "TRY_CAST", "Subquery": "SELECT", "Select": "SELECT", "Exists": "EXISTS"}

_SIGNS = {"Boolean": ("TRUE", "FALSE"), "Null": ("NULL",), "Placeholder": ("?", ":"), "Parameter": ("$", "@", "?")}


def closest(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant, or ""."""
    found = get_close_matches(name, list(names), n=1, cutoff=0.7)
    return found[0] if found else ""


@dataclass(frozen=True)
class Source:
    """One statement's text and tokens. Offsets are characters from 0, ends not included."""

    text: str
    tokens: tuple[Token, ...]

    def place(self, start: int, end: int) -> str:
        """`line:column "words"`, both from 1."""
        line = self.text.count("\n", 0, start) + 1
        column = start - self.text.rfind("\n", 0, start)
        words = " ".join(self.text[start:end].split())
        if len(words) > MAX_WORDS:
            words = words[: MAX_WORDS - 1] + "…"
        return f'{line}:{column} "{words}"' if words else f"{line}:{column}"

    def span(self, node: exp.Expr) -> tuple[int, int]:
        """Offsets of an expression; those of the nearest one around it when it has none (NULL, TRUE)."""
        leaf = self._bare_leaf(node)
        if leaf is not None:
            return leaf.start, leaf.end + 1
        current: exp.Expr | None = node
        while current is not None:
            marks = [part.meta for part in current.walk() if "start" in part.meta]
            if marks:
                start, end = min(mark["start"] for mark in marks), max(mark["end"] for mark in marks) + 1
                return self._widen(current, start, end)
            current = current.parent
        return 0, len(self.text)

    def words(self, node: exp.Expr) -> str:
        """The expression as it was written, in one line."""
        start, end = self.span(node)
        return " ".join(self.text[start:end].split())

    def function_name(self, node: exp.Expr) -> str:
        """The name as written, in capitals: sqlglot folds VAR_SAMP and VARIANCE into one."""
        if "start" in node.meta:
            return self.text[node.meta["start"] : node.meta["end"] + 1].upper()
        return self.words(node).partition("(")[0].strip().upper()

    def refuse(self, node: exp.Expr, text: str, then: str = "") -> Invalid:
        """The refusal of an expression, to be raised by the caller."""
        return Invalid(text, place=self.place(*self.span(node)), remedy=then)

    def refuse_word(self, word: str, text: str, then: str = "") -> Invalid:
        """The refusal of a clause, placed at its first word outside parentheses, else at its first word."""
        first = word.split()[0]
        depth, inner = 0, None
        for token in self.tokens:
            depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
            if token.text.upper() == first or token.text.upper().startswith(word):
                if depth == 0:
                    return Invalid(text, place=self.place(token.start, token.end + 1), remedy=then)
                inner = inner or token
        span = (inner.start, inner.end + 1) if inner is not None else (0, len(self.text))
        return Invalid(text, place=self.place(*span), remedy=then)

    def refuse_form(self, node: exp.Expr, what: str, otherwise: str) -> Invalid:
        """The refusal of an expression that is no `what` (measure, condition ...), with the form nearest to it."""
        kind = type(node).__name__
        if kind in NODES:
            why, form = NODES[kind]
            return self.refuse(node, why, remedy(form or otherwise))
        if isinstance(node, exp.Func):
            name = self.function_name(node)
            if name in FUNCTIONS:
                why, form = FUNCTIONS[name]
                return self.refuse(node, f"{name} is not offered: {why}", remedy(form))
        return self.refuse(node, f"this is no {what}", remedy(otherwise))

    def only(self, node: exp.Expr, *allowed: str) -> None:
        """Refuses an expression with any part that is not named: what is not understood is never ignored."""
        for name, value in node.args.items():
            if value and name not in allowed:
                word = name.strip("_").replace("_", " ")
                raise self.refuse(node, f"the part {word!r} of this expression is not offered", "Leave it out.")

    def _widen(self, node: exp.Expr, start: int, end: int) -> tuple[int, int]:
        leading = _LEADING.get(type(node).__name__)
        before = [token for token in self.tokens if token.start < start]
        if leading is not None:
            start = next((token.start for token in reversed(before) if token.text.upper() == leading), start)
        elif isinstance(node, exp.Func) and "start" not in node.meta:  # some names have no offset: the word before the parenthesis
            while before and before[-1].token_type == TokenType.DISTINCT:
                before.pop()
            if len(before) > 1 and before[-1].token_type == TokenType.L_PAREN:
                start = before[-2].start
        open_now = 0
        for token in self.tokens:
            if token.start < start:
                continue
            if token.start >= end and open_now <= 0:
                break
            open_now += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
            end = max(end, token.end + 1)
        if leading == "CASE":
            end = next((token.end + 1 for token in self.tokens if token.start >= end and token.token_type == TokenType.END), end)
        return start, end

    def _bare_leaf(self, node: exp.Expr) -> Token | None:
        """The token of TRUE, FALSE, NULL or a parameter, which sqlglot does not mark: it follows what stands around it."""
        signs = _SIGNS.get(type(node).__name__)
        if signs is None or node.parent is None:
            return None
        start, end = self.span(node.parent)
        after = 0
        for token in self.tokens:
            if token.start < start:
                continue
            if token.text.upper() in signs:
                return token
            after += token.start >= end
            if after > 3:
                break
        return None
