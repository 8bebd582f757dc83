"""Proposals for the `map` of a column: which code a value of the source probably means. The steward decides."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping

from collegium.schema import Text
from collegium_node.config import ColumnConfig

__all__ = ["proposal_line", "propose"]

NEAR = 0.8
BARE = re.compile(r"[A-Za-z0-9_-]+")


def propose(value: str, values: Mapping[str, Text]) -> str | None:
    """The code that a value probably stands for, or None: by code or label in any case, by number (1 for 01), by likeness."""
    wanted = value.strip().casefold()
    for code, label in values.items():
        if wanted in (code.casefold(), label.en.casefold(), label.zh.casefold()):
            return code
    if wanted.isdecimal():
        for code in values:
            if code.isdecimal() and int(code) == int(wanted):
                return code
    labels = {label.en.casefold(): code for code, label in values.items()}
    near = difflib.get_close_matches(wanted, labels, n=1, cutoff=NEAR)
    return labels[near[0]] if near else None


def proposal_line(column: str, config: ColumnConfig, unmapped: Iterable[str], values: Mapping[str, Text]) -> str:
    """A line for node.toml that maps what can be guessed, in addition to what is mapped already; empty when nothing can."""
    found = {value: code for value in unmapped if (code := propose(value, values)) is not None}
    if not found:
        return ""
    entries = ", ".join(f"{_key(value)} = {_text(code)}" for value, code in {**config.map, **found}.items())
    default = f", default = {_text(config.default)}" if config.default is not None else ""
    return f"{column} = {{ column = {_text(config.column or '')}, map = {{ {entries} }}{default} }}"


def _key(text: str) -> str:
    return text if BARE.fullmatch(text) else _text(text)


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes are a part of TOML's, and DEL, which only TOML wants escaped, is added."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
