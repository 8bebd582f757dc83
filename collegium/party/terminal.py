"""What the commands of a party share: an opened party, and how things are printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # a command that needs no party imports none
    from collegium.party.home import Home, Opened

__all__ = ["opened", "say", "show", "show_json"]

H = TypeVar("H", bound="Home")


@contextmanager
def opened(home: H) -> Iterator[Opened[H]]:
    """The joined party of this folder, closed when the block ends. Raises Invalid when it has not joined."""
    party = home.open(time.time)
    try:
        yield party
    finally:
        party.close()


def show(what: Any) -> None:
    from rich.console import Console

    Console().print(what)


def show_json(tree: object) -> None:
    say(json.dumps(tree, ensure_ascii=False, indent=1))


def say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
