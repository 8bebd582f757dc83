"""From text to one SELECT: sizes are capped before the parser runs, and every clause outside the grammar is refused.

sqlglot's parser recurses, so nesting is counted on its tokens first; the tokens are made in one pass that does not recurse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, SqlglotError

from collegium.errors import Invalid
from collegium.sql.grammar import CLAUSES, remedy
from collegium.sql.release import Mode, split_release
from collegium.sql.source import Source

__all__ = ["MAX_CHARACTERS", "MAX_NESTING", "Statement", "parse_statement"]

MAX_CHARACTERS = 20_000
MAX_NESTING = 40
MAX_PREFIXES = 16  # NOT NOT NOT ..., - - - ...

DIALECT = "duckdb"

_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}
_PREFIXES = {TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE, TokenType.INTERVAL}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_FULL_WIDTH = dict(zip("，（）；＝＞＜＊‘’“”。", ",();=><*''\"\".", strict=True))


@dataclass(frozen=True)
class Statement:
    """The parts of the one SELECT; `table` is the dataset's name and `names` what may stand before a column's dot."""

    source: Source
    table: exp.Table
    names: frozenset[str]
    items: tuple[exp.Expr, ...]
    where: exp.Expr | None
    group: tuple[exp.Expr, ...]
    having: exp.Expr | None = None
    order: tuple[exp.Expr, ...] = ()
    limit: exp.Expr | None = None
    release: Mode | None = None  # None: the statement does not say


def parse_statement(text: str) -> Statement:
    """The statement of a text.

    Raises:
        Invalid: too long, too deep, not SQL, or not one SELECT from one dataset.
    """
    source = _tokens(text)
    _check_tokens(source)
    source, release = split_release(source)
    select = _parse(source)
    for name, (word, why, then) in CLAUSES.items():
        part = select.args.get(name)
        if part:
            node = part[0] if isinstance(part, list) else part
            written = any(token.text.upper().startswith(word.split()[0]) for token in source.tokens)
            if isinstance(node, exp.Expr) and not written:  # a comma joins too
                raise source.refuse(node, f"{word} is not offered: {why}", then)
            raise source.refuse_word(word, f"{word} is not offered: {why}", then)
    source.only(select, "expressions", "from_", "where", "group", "having", "order", "limit")
    if select.args.get("from_") is None:
        raise source.refuse_word("SELECT", "the statement names no dataset", remedy("statement"))
    if not select.expressions:
        raise source.refuse_word("SELECT", "the statement asks for nothing", remedy("statement"))
    table, names = _table(select.args["from_"], source)
    where = select.args.get("where")
    group, having, order = (select.args.get(part) for part in ("group", "having", "order"))
    if order is not None:
        source.only(order, "expressions")
    if group is not None and (not group.expressions or any(value for name, value in group.args.items() if name != "expressions")):
        raise source.refuse_word("GROUP", "GROUP BY takes keys by name here", remedy("key"))
    return Statement(
        source=source,
        table=table,
        names=names,
        items=tuple(select.expressions),
        where=where.this if where is not None else None,
        group=tuple(group.expressions) if group is not None else (),
        having=having.this if having is not None else None,
        order=tuple(order.expressions) if order is not None else (),
        limit=select.args.get("limit"),
        release=release,
    )


def _tokens(text: str) -> Source:
    """The tokens of a text of bounded length without control characters."""
    if len(text) > MAX_CHARACTERS:
        raise Invalid(
            f"the statement has {len(text)} characters, more than {MAX_CHARACTERS}", place="1:1", remedy="Ask several questions."
        )
    bare = Source(text, ())
    strange = _CONTROL.search(text)
    if strange is not None:
        raise Invalid("a control character cannot be read", place=bare.place(strange.start(), strange.start()), remedy="Delete it.")
    try:
        tokens = tuple(sqlglot.tokenize(text, dialect=DIALECT))
    except SqlglotError:
        at = max(text.rfind("'"), text.rfind('"'), text.rfind("/*"), text.rfind("$$"), 0)
        raise Invalid(
            "a quotation or comment is not closed",
            place=bare.place(at, at + 20),
            remedy="Close it; a quote within quotes is doubled.",
        ) from None
    return Source(text, tokens)


def _check_tokens(source: Source) -> None:
    """Nesting, full-width signs, and that there is one statement which begins with SELECT."""
    depth = prefixes = 0
    for number, token in enumerate(source.tokens):
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        prefixes = prefixes + 1 if token.token_type in _PREFIXES else 0
        if depth > MAX_NESTING or prefixes > MAX_PREFIXES:
            limit = MAX_NESTING if depth > MAX_NESTING else MAX_PREFIXES
            raise _refuse_token(source, token, f"nested deeper than {limit}", "Write the condition flat, with AND, OR and IN.")
        if token.token_type == TokenType.VAR:
            for sign in token.text:
                if sign in _FULL_WIDTH:
                    raise _refuse_token(source, token, f"{sign} is a full-width sign", f"Write {_FULL_WIDTH[sign]} instead.")
        if token.token_type == TokenType.SEMICOLON and any(t.token_type != TokenType.SEMICOLON for t in source.tokens[number:]):
            raise _refuse_token(source, source.tokens[number + 1], "there is a second statement", "Ask one statement at a time.")
    if not source.tokens:
        raise Invalid("the statement is empty", place="1:1", remedy=remedy("statement"))
    first = source.tokens[0]
    if first.token_type == TokenType.WITH:
        word, why, then = CLAUSES["with_"]
        raise _refuse_token(source, first, f"{word} is not offered: {why}", then)
    if first.token_type != TokenType.SELECT:
        raise _refuse_token(source, first, "a question begins with SELECT", remedy("statement"))


def _parse(source: Source) -> exp.Select:
    """The one SELECT of the tokens."""
    try:
        trees = sqlglot.Dialect.get_or_raise(DIALECT).parser().parse(list(source.tokens), source.text)
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        words = str(detail.get("highlight") or "")
        line, column = int(detail.get("line") or 1), int(detail.get("col") or 1)
        at = max(1, column - max(len(words) - 1, 0))
        place = f'{line}:{at} "{words}"' if words else f"{line}:{at}"
        what = str(detail.get("description") or "this cannot be read").rstrip(".")
        if what.startswith("Required keyword"):  # sqlglot's text names its own classes
            what = "something is missing"
        raise Invalid(f"not readable as SQL ({what})", place=place, remedy=remedy("statement")) from None
    except RecursionError:
        raise Invalid("nested too deeply", place="1:1", remedy="Write the condition flat, with AND, OR and IN.") from None
    except Exception:  # sqlglot's own slips on hostile text are the text's fault here, never ours: nothing has been done yet
        raise Invalid("not readable as SQL", place="1:1", remedy=remedy("statement")) from None
    found = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(found) != 1:
        raise Invalid("not readable as one statement", place="1:1", remedy=remedy("statement"))
    tree = found[0]
    if isinstance(tree, exp.SetOperation):
        word = type(tree).__name__.upper()
        raise source.refuse_word(word, f"{word} is not offered: a question is about one dataset", "Ask one question for each part.")
    if not isinstance(tree, exp.Select):
        raise Invalid("a question is one SELECT", place="1:1", remedy=remedy("statement"))
    return tree


def _table(clause: exp.Expr, source: Source) -> tuple[exp.Table, frozenset[str]]:
    """The dataset and the names by which its columns may be qualified."""
    table = clause.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise source.refuse(table, "FROM takes the name of one dataset", remedy("statement"))
    for name in ("joins", "laterals", "pivots", "sample"):
        if table.args.get(name):
            word, why, then = CLAUSES[name]
            raise source.refuse(table, f"{word} is not offered: {why}", then)
    if table.args.get("db") or table.args.get("catalog"):
        raise source.refuse(table, "the name of a dataset has no dot", f"Write {table.name}.")
    source.only(table, "this", "alias")
    names = {table.name.lower()}
    alias = table.args.get("alias")
    if alias is not None:
        source.only(alias, "this")
        names.add(alias.name.lower())
    return table, frozenset(names)


def _refuse_token(source: Source, token: Token, text: str, then: str) -> Invalid:
    return Invalid(text, place=source.place(token.start, token.end + 1), remedy=then)
