"""`init`: a folder with two commented files to fill in. The comments are the manual; nothing works until they say something."""

from __future__ import annotations

from pathlib import Path

from collegium.errors import Failed
from collegium.keys import save_secret
from collegium_node.home import Home

__all__ = ["NODE_TOML", "POLICY_TOML", "init"]

NODE_TOML = """\
# Where the rows are, and which column means what. `collegium-node check` says what does not fit yet.
# Relative paths start at this file. Unknown keys are refused.

[node]
name = ""                               # filled in by `join`

[coordinator]
mode = "dial"                           # "dial": the node calls out, no inbound port. "listen": the coordinator calls `listen`
# listen = "0.0.0.0:7444"
# proxy = "http://proxy.example.edu:3128"

[limits]
# answer_grid_ms = 250                  # answers leave on a grid of this many milliseconds
# max_parallel = 4                      # questions computed at the same time

# [national]
# retention_days = 90                   # masked vectors are kept so long after the deadline of their national sum

# [sources.graduates]
# kind = "csv"                          # or "parquet", "sql" (over the other sources), "postgres"
# path = "data/graduates-*.csv.gz"
# encoding = "utf-8"                    # or "gb18030"

# [datasets.graduate]                   # a dataset of the federation's schema
# source = "graduates"
# person = "student_no"                 # the column that tells persons apart; it never leaves
# [datasets.graduate.columns]
# sex = { column = "gender", map = { Male = "1", Female = "2" } }
# salary = "monthly_salary"
"""

POLICY_TOML = """\
# What may be asked, by whom, and what it may cost. As it stands: nothing is answered.
# It takes effect when it is signed: `collegium-node policy`, or `serve` at its start, or SIGHUP to a running `serve`.

# [budget.student]                      # one table for each privacy unit of the federation's schema: this is the guarantee
# period = "year"                       # year, quarter or month, by the calendar in UTC
# epsilon = 2                           # or rho = 0.05; what all questions of one period may cost together
# lifetime_epsilon = 8                  # or lifetime_rho; what all questions may ever cost

# largest_question_epsilon = 0.5        # at the top of the file; optional

# [limits.dataset.graduate]             # optional sub-limits in each period
# epsilon = 1
# [limits.researcher.li-wei]
# epsilon = 1

# [[allow]]                             # or: collegium-node allow --researcher li-wei --dataset graduate
# researcher = "li-wei"                 # read from the top; the first that fits decides
# datasets = ["graduate"]               # or "*"
# mode = "hold"                         # every request waits for `collegium-node allow ID`; or "allow"
# purpose = "annual report"             # optional; must occur in the request's purpose
# release = "per_node"                  # own figures with noise; "national": only within a national sum; or "both"

# [national]
# smallest = 10                         # universities: of fewer no national sum may be that this one is in
"""


def init(root: Path) -> list[Path]:
    """Make the folder and the files that are not there yet. The files made. What exists is never changed."""
    home = Home(root)
    made = []
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, text in ((home.config_file, NODE_TOML), (home.policy_file, POLICY_TOML)):
            if not path.exists():
                save_secret(path, text.encode())
                made.append(path)
    except OSError as error:
        raise Failed(f"cannot be made: {error.strerror}", place=str(root), remedy="Name a folder that you may write to.") from None
    return made
