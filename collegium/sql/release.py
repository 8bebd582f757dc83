"""The clause RELEASE, with which a statement may end: how its figures leave the universities.

    SELECT COUNT(*) FROM graduate GROUP BY gender RELEASE NATIONAL

It is not a part of SQL, so it is taken off the tokens before the parser sees them.
"""

from __future__ import annotations

from typing import Literal

from sqlglot import TokenType

from collegium.errors import Invalid
from collegium.sql.grammar import remedy
from collegium.sql.source import Source

__all__ = ["Mode", "split_release"]

Mode = Literal["per_node", "national"]

_WORDS: dict[tuple[str, ...], Mode] = {("NATIONAL",): "national", ("PER", "NODE"): "per_node"}
_LONGEST = max(len(words) for words in _WORDS)


def split_release(source: Source) -> tuple[Source, Mode | None]:
    """The statement without the clause, and its release mode; None where it has no clause.

    RELEASE followed by a plain word is the clause: no statement of the grammar has two plain words in a row there otherwise.

    Raises:
        Invalid: other words stand behind RELEASE, or more follow it.
    """
    tokens = source.tokens
    end = len(tokens)
    while end and tokens[end - 1].token_type == TokenType.SEMICOLON:
        end -= 1
    for at in range(1, end - 1):
        word, after = tokens[at], tokens[at + 1]
        if word.text.upper() != "RELEASE" or word.token_type != TokenType.VAR or after.token_type != TokenType.VAR:
            continue
        if tokens[at - 1].token_type in (TokenType.ALIAS, TokenType.DOT):
            continue
        mode = _WORDS.get(tuple(token.text.upper() for token in tokens[at + 1 : end]))
        if mode is None:
            last = tokens[min(end - 1, at + _LONGEST + 1)]
            raise Invalid("this is no release mode", place=source.place(word.start, last.end + 1), remedy=remedy("release"))
        return Source(source.text, (*tokens[:at], *tokens[end:])), mode
    return source, None
