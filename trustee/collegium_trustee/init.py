"""`init`: a folder with a commented file of settings. The comments are the manual; nothing in it needs to be changed."""

from __future__ import annotations

from pathlib import Path

from collegium.errors import Failed
from collegium.keys import save_secret
from collegium_trustee.home import Home

__all__ = ["TRUSTEE_TOML", "init"]

TRUSTEE_TOML = """\
# Settings of a trustee of national sums. Everything has a default; take the # away to change one. Unknown keys are refused.

[coordinator]
# proxy = "http://proxy.example.org:3128"

[limits]
# max_parallel = 2                      # steps of rounds worked on at the same time; the others wait

[keeping]
# overlap_days = 7                      # a month's sealing key serves plans that end so long after the month
# seeds_days = 14                       # seeds wait so long after a plan's deadline for its close, and are then deleted
# masks_days = 90                       # an answer is given again so long

[metrics]
# listen = "127.0.0.1:9464"             # Prometheus may fetch the figures there; loopback only
"""


def init(root: Path) -> Path | None:
    """Make the folder and the file if it is not there yet. The file if it was made; what exists is never changed."""
    home = Home(root)
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if home.config_file.exists():
            return None
        save_secret(home.config_file, TRUSTEE_TOML.encode())
    except OSError as error:
        raise Failed(f"cannot be made: {error.strerror}", place=str(root), remedy="Name a folder that you may write to.") from None
    return home.config_file
