"""A mistake in a catalogue: where it stands, what it is, and the one thing to do about it."""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from collegium.errors import Invalid

__all__ = ["Mistake", "nearest", "translate"]

# Keys whose absence has a sentence of its own.
_ABSENT = {
    "zh": ("the Chinese name `zh` is missing", "Every name has both `en` and `zh`."),
    "en": ("the English name `en` is missing", "Every name has both `en` and `zh`."),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """`place` is the path of keys in the file, with line and column within a condition where there is one; "" is the whole file."""

    place: str
    text: str
    remedy: str = ""

    def error(self, file: str) -> Invalid:
        """The same as an error, to be raised by the caller."""
        return Invalid(self.text, place=f"{file}: {self.place}" if self.place else file, remedy=self.remedy)

    def __str__(self) -> str:
        return str(Invalid(self.text, place=self.place, remedy=self.remedy))


def nearest(name: str, names: Sequence[str], what: str) -> str:
    """The remedy for a name that is not among those there are."""
    near = get_close_matches(name, names, n=1, cutoff=0.7)
    if near:
        return f"Did you mean {near[0]!r}?"
    shown = list(names)[:20]
    more = ", …" if len(names) > len(shown) else ""
    return f"The {what}: {', '.join(shown)}{more}." if names else f"The {what}: none."


def translate(error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """Pydantic's findings in this project's words, one for each place."""
    found: dict[str, Mistake] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"])
        mistake = _one(dict(detail), path, model)
        found.setdefault(mistake.place, mistake)
    return list(found.values())


def _one(detail: dict[str, Any], path: tuple[str | int, ...], model: type[BaseModel]) -> Mistake:
    kind, last, place = detail["type"], str(path[-1]) if path else "", _spell(path)
    if kind == "missing":
        text, remedy = _ABSENT.get(last, (f"the key `{last}` is missing", f"Add `{last}`."))
        return Mistake(_spell(path[:-1]), text, remedy)
    if kind == "extra_forbidden":
        known = _keys(model, path[:-1])
        return Mistake(place, f"there is no key `{last}` here", nearest(last, known, "keys here are"))
    if kind == "literal_error":
        return Mistake(place, f"{detail['input']!r} is none of those there are", f"Write {detail['ctx']['expected']}.")
    if kind == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        return Mistake(place, f"{detail['input']!r} cannot be a name here", f"A name here fits {pattern}.")
    if kind in ("string_too_short", "too_short"):
        if last in ("en", "zh"):
            return Mistake(
                place, f"the {'Chinese' if last == 'zh' else 'English'} name is empty", "Every name has both `en` and `zh`."
            )
        return Mistake(place, "this is empty", "Write at least one, or leave the key out.")
    message = re.sub(r"^(Value error, |Input should be )", "", detail["msg"])
    return Mistake(
        place, f"this should be {message}" if detail["msg"].startswith("Input should be ") else message, "Correct it there."
    )


def _path(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The keys of a place, without the names that pydantic gives to the members of a union or to a dictionary's keys."""
    return tuple(part for part in loc if part not in ("[key]", "Some") and not str(part).startswith("constrained-str"))


def _spell(path: Sequence[str | int]) -> str:
    """As a reader looks for it: array tables are counted from 1, as in templates[3]."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys(model: Any, path: Sequence[str | int]) -> list[str]:
    """The keys that the model at a path has."""
    current: Any = model
    for part in path:
        current = _inside(current, part)
        if current is None:
            return []
    models = [each for each in _members(current) if isinstance(each, type) and issubclass(each, BaseModel)]
    return [field.alias or name for each in models for name, field in each.model_fields.items()]


def _inside(current: Any, part: str | int) -> Any:
    for member in _members(current):
        if isinstance(member, type) and issubclass(member, BaseModel):
            for name, field in member.model_fields.items():
                if part in (name, field.alias):
                    return field.annotation
        elif get_origin(member) is dict:
            return get_args(member)[1]
        elif get_origin(member) is tuple and isinstance(part, int):
            return get_args(member)[0]
    return None


def _members(annotation: Any) -> list[Any]:
    """The members of a union, through Annotated; a plain type is its own only member."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in _members(member)]
    if hasattr(annotation, "__metadata__"):
        return _members(get_args(annotation)[0])
    return [annotation]
