"""What processes use, read from /proc, and what the operating system lets one have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "free_memory", "usage"]

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process: resident memory now and at most, in MiB; seconds of processor time; open files; threads."""

    memory: float
    most: float
    seconds: float
    files: int
    threads: int


def usage(pid: int) -> Usage:
    """What a process uses now; zeros when it is gone."""
    folder = Path("/proc") / str(pid)
    try:
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        fields = (folder / "stat").read_text().rsplit(") ", 1)[1].split()
        return Usage(
            int(status["VmRSS"].split()[0]) / 1024, int(status["VmHWM"].split()[0]) / 1024,
            (int(fields[11]) + int(fields[12])) / _TICK, len(list((folder / "fd").iterdir())), int(status["Threads"]),
        )  # fmt: skip
    except (OSError, KeyError, IndexError):
        return Usage(0.0, 0.0, 0.0, 0, 0)


def free_memory() -> float:
    """MiB that can be had without anybody else losing some."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return 0.0
