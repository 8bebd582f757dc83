"""Progress of a question on a terminal or in a notebook: universities answered, refused, held, missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from collegium.v1.federation_pb2 import Progress as Report

__all__ = ["Bar", "Taken", "followed", "watched"]


def watched() -> bool:
    """Whether somebody looks on: standard error is a terminal, or this is a notebook. A script's output stays clean."""
    return sys.stderr.isatty() or Console().is_jupyter


@contextmanager
def followed(
    nodes: int, wanted: bool | None, *, watched: Callable[[], bool] = watched
) -> Iterator[Callable[[Report], None] | None]:
    """A bar for `nodes` universities: if `wanted`, or, where that is None, if somebody looks on. None where there is none."""
    if not (watched() if wanted is None else wanted):
        yield None
        return
    with Bar(nodes) as bar:
        yield bar


class Bar:
    """A bar on standard error, in a notebook below the cell; nothing at all when `quiet`."""

    def __init__(self, nodes: int, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("asking"),
            BarColumn(),
            TextColumn("{task.completed} of {task.total} universities {task.fields[also]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
            transient=True,
        )
        self._task = self._progress.add_task("", total=nodes, also="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def __call__(self, report: Report) -> None:
        also = [
            f"{count} {word}"
            for count, word in ((report.refused, "refused"), (report.held, "held"), (report.missing, "missing"))
            if count
        ]
        self._progress.update(self._task, completed=report.released, total=report.asked, also=", ".join(also))


class _Left(Exception):
    """We have what we wanted."""


class Taken:
    """Stops following at the first report: the coordinator has logged the request and works on it."""

    def __enter__(self) -> Taken:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        return isinstance(error, _Left)

    def __call__(self, report: Report) -> None:
        raise _Left
