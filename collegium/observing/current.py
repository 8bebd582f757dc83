"""On whose behalf the running task works: set once where a request or a node's call begins, read by the log and by the tracer.

Context variables follow tasks and `asyncio.to_thread` by themselves, so a line written ten calls deeper still names its request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["NODE", "REQUEST", "SPAN", "working_for"]

REQUEST: ContextVar[str] = ContextVar("request", default="")
NODE: ContextVar[str] = ContextVar("node", default="")
SPAN: ContextVar[tuple[str, bytes] | None] = ContextVar("span", default=None)
"""The innermost open span and the request it is of."""


@contextmanager
def working_for(request: str, node: str = "") -> Iterator[None]:
    """Everything inside is done for this request, and with this node if one is named."""
    before = REQUEST.set(request), NODE.set(node)
    try:
        yield
    finally:
        REQUEST.reset(before[0])
        NODE.reset(before[1])
