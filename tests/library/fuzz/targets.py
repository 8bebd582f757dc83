"""All fuzz targets by name."""

from __future__ import annotations

from file_targets import TARGETS as FILES
from frame_targets import TARGETS as FRAMES
from log_targets import TARGETS as LOGS
from statement_targets import TARGETS as STATEMENTS
from target import Target

__all__ = ["TARGETS"]

TARGETS: dict[str, Target] = {**LOGS, **STATEMENTS, **FILES, **FRAMES}
