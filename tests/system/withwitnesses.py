"""A small federation whose logs have witnesses, and what tests look at in it: confirmation, lines, exports, audits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from launch import Federation, University
from small import RESEARCHER, open_small, typed

__all__ = ["audited", "confirmed", "exported", "log_lines", "log_status", "open_witnessed", "until"]


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that happens by itself."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def log_status(federation: Federation, node: str) -> dict[str, Any]:
    """What the node's own command says of its log."""
    tree: dict[str, Any] = json.loads(typed("collegium-node", "log", "status", "--json", home=federation.node_home(node)).out)
    return tree


def confirmed(federation: Federation, node: str) -> bool:
    """Whether two witnesses of three have confirmed all of the node's log."""
    tree = log_status(federation, node)
    return bool(tree["needed"] == 2 and tree["backlog"] == 0 and not tree["restored"])


def log_lines(federation: Federation, name: str) -> str:
    """What a serving process has written."""
    return (federation.root / "logs" / f"{name}.log").read_text(encoding="utf-8")


def open_witnessed(root: Path, *universities: University, ports: dict[str, int] | None = None, **more: Any) -> Federation:
    """These universities, each log with three witnesses, two of which must cosign; confirmed. The caller stops it.

    `prepare`: what is done with the federation before witnesses are assigned.
    """
    made = open_small(root, *universities, ports=ports)
    try:
        more.get("prepare", lambda _: None)(made)
        made.run("collegium-coordinator", "witness", "assign", "--each", "3", "--home", made.home)
        for each in universities:
            until(lambda name=each.name: confirmed(made, name))
    except BaseException:
        made.stop()
        raise
    return made


def exported(federation: Federation, folder: Path, nodes: Iterable[str]) -> Path:
    """Everybody's log, confirmed to its end, in one folder."""
    for name in nodes:
        until(lambda name=name: confirmed(federation, name))
        said = typed("collegium-node", "log", "export", folder, home=federation.node_home(name))
        assert said.code == 0, said.err
    said = typed("collegium-coordinator", "log", "export", folder, home=federation.home)
    assert said.code == 0, said.err
    return folder


def audited(federation: Federation, folder: Path, *more: str | Path) -> dict[str, Any]:
    """What an auditor finds in exported logs."""
    trust = folder.parent / "trust.txt"
    said = typed("collegium", "trust", "--out", trust, home=federation.researcher_home(RESEARCHER))
    assert said.code == 0, said.err
    said = typed("collegium", "audit", folder, "--policy", trust, "--json", *more)
    tree: dict[str, Any] = json.loads(said.out)
    assert tree["exit"] == said.code
    return tree
