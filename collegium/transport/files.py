"""How many files this process may have open: every tunnel is one, and what a login shell allows is often 1,024."""

from __future__ import annotations

import resource

__all__ = ["raise_file_limit"]


def raise_file_limit() -> int:
    """Take what the operating system lets this process have without asking (`ulimit -Hn`); the number of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # a system whose hard limit is no number that may be set
        return soft
    return hard
