"""What the node's commands share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.party.terminal import say, show, show_json

if TYPE_CHECKING:
    from collegium_node.home import Node

__all__ = ["HERE", "HomeOption", "JsonOption", "opened", "say", "show", "show_json"]

HomeOption = Annotated[Path, typer.Option("--home", envvar="COLLEGIUM_NODE_HOME", help="The node's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path()


def opened(home: Path) -> AbstractContextManager[Node]:
    """The joined node of this folder, closed when the block ends. Raises Invalid when it has not joined."""
    from collegium.party.terminal import opened as party_opened
    from collegium_node.home import Home

    return party_opened(Home(home))
