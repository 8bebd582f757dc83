"""What the commands share: an opened node, and how things are printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collegium_node.home import Node

__all__ = ["HERE", "HomeOption", "JsonOption", "opened", "say", "show", "show_json"]

HomeOption = Annotated[Path, typer.Option("--home", envvar="COLLEGIUM_NODE_HOME", help="The node's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path()


@contextmanager
def opened(home: Path) -> Iterator[Node]:
    """The joined node of this folder, closed when the block ends. Raises Invalid when it has not joined."""
    from collegium_node.home import Home

    node = Home(home).open(time.time)
    try:
        yield node
    finally:
        node.close()


def show(what: Any) -> None:
    from rich.console import Console

    Console().print(what)


def show_json(tree: object) -> None:
    say(json.dumps(tree, ensure_ascii=False, indent=1))


def say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
