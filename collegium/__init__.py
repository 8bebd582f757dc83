"""Collegium: ask many universities one question, and verify the answer.

import collegium

with collegium.connect() as federation:
    answer = federation.ask(
        "SELECT province, COUNT(*) AS graduates FROM graduate WHERE year = 2025 GROUP BY province", epsilon=0.5
    )
    print(answer)
    answer.verify()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collegium.answer import Answer
    from collegium.client import Federation, connect

__version__ = "0.1.0"

__all__ = ["Answer", "Federation", "__version__", "connect"]


def __getattr__(name: str) -> Any:
    """The client is imported when it is first used: who only audits needs neither gRPC nor protobuf."""
    if name == "Answer":
        from collegium.answer import Answer

        return Answer
    if name in ("Federation", "connect"):
        from collegium import client

        return getattr(client, name)
    raise AttributeError(f"module 'collegium' has no attribute {name!r}")
