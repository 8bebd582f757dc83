"""`collegium-coordinator partition`: fixes the groups of universities of which national sums are told apart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from collegium.errors import Invalid
from collegium_coordinator import registrar
from collegium_coordinator.config import Home
from collegium_coordinator.partition import counts_of, merged

__all__ = ["partition"]

HERE = Path()
HomeOption = Annotated[
    Path, typer.Option("--home", envvar="COLLEGIUM_COORDINATOR_HOME", help="The coordinator's directory.", show_default=True)
]
RegistryOption = Annotated[
    Path | None,
    typer.Option("--registry", envvar="COLLEGIUM_REGISTRY", help="Where the registry key lies. Default: HOME-registry beside it."),
]


def partition(
    by: Annotated[str, typer.Option("--by", help="A public fact of nodes, such as province.")],
    at_least: Annotated[int, typer.Option("--at-least", min=2, help="Nodes in each group; smaller ones are merged.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the groups and sign nothing.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="There is one: give it up. Sums over two partitions can be subtracted.")
    ] = False,
    home: HomeOption = HERE,
    registry: RegistryOption = None,
) -> None:
    """Fix the groups of universities that national sums are told apart by. Needs the registry key."""
    where = Home(home)
    opened = registrar.Registrar(where, registry if registry is not None else where.default_registry, clock=time.time)
    try:
        counts = counts_of(opened.registry, by)
        groups = merged(counts, at_least)
        held = opened.registry.partition()
        for group in groups:
            _say(f"{' '.join(group)}: {sum(counts[code] for code in group)} nodes")
        if held is not None and (held.fact, held.groups) == (by, groups):
            _say("The registry has this partition already.")
        elif dry_run:
            _say("Nothing is signed.")
        elif held is not None and not replace:
            raise Invalid(
                "the registry has another partition, and sums over two partitions can be subtracted",
                place="partition",
                remedy="Keep it; or, if it has to be, add --replace.",
            )
        else:
            opened.partition(by, groups)
            _say(f"National sums are told apart by {by} now, in {len(groups)} groups.")
    finally:
        opened.close()


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is the command line
