"""`python -m collegium_coordinator` is the command `collegium-coordinator`."""

from __future__ import annotations

from collegium_coordinator.cli import main

main()
