"""Just-in-time compilation that works on a read-only installation too.

Numba keeps compiled code beside the source (`__pycache__`), or in the user's cache folder where that cannot be written. Where
neither can, compilation happens again in each process; nothing else changes.

The cache is trusted with what the node computes: an attacker who can write to it can run code as the node, as one who can write
to the installation can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The same function compiled, without the GIL, on its first call. It must use int64 and arrays only."""
    options = {"nogil": True, "error_model": "numpy"}  # the numpy model leaves out a check for division by zero: P is a constant
    try:
        result: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache can be written
        result = numba.njit(**options)(function)
    return result
