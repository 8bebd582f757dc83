"""Work on all cores: tasks to processes, results in the order of the tasks, a bounded number in flight.

Processes are spawned, not forked, so this works the same on every system; a small folder is done in this process, because starting
one takes longer than checking a thousand entries.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Self, TypeVar

from collegium.audit import worker
from collegium.audit.worker import Setup
from collegium.errors import Failed

__all__ = ["Workers", "uncollected"]

SMALL = 4_000  # entries that one process checks sooner than others have started
T = TypeVar("T")


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's cycle collector: facts are tuples by the million, form no cycles, and looking for some costs a quarter."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _begin(setup: Setup) -> None:
    gc.disable()  # for good: the process ends with the audit
    worker.prepare(setup)


class Workers:
    """Runs functions of `collegium.audit.worker` (or any importable one). `entries` decides whether processes are worth it."""

    def __init__(self, setup: Setup, entries: int, count: int | None = None) -> None:
        wanted = count if count is not None else (os.cpu_count() or 1)
        self.count = wanted if entries > SMALL else 1
        self._executor: ProcessPoolExecutor | None = None
        if self.count > 1:
            context = get_context("spawn")
            self._executor = ProcessPoolExecutor(self.count, mp_context=context, initializer=_begin, initargs=(setup,))
        else:
            worker.prepare(setup)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """function(*task) for each task, in order. Raises what a task raised, or Failed when a process died."""
        if self._executor is None:
            for task in tasks:
                yield function(*task)
            return
        waiting: deque[Future[T]] = deque()
        try:
            for task in tasks:
                waiting.append(self._executor.submit(function, *task))
                if len(waiting) > 4 * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise Failed(
                "a process of the audit ended too early", remedy="Look at the machine's memory, then run it again."
            ) from None
        finally:
            for each in waiting:
                each.cancel()
