"""A real process that submits one plan and is killed on the way: `python submitting_child.py HOME FILE POINT`.

FILE holds, pickled by the test, the request with its details and receipt, and what comes with the plan. POINT is a point of a write
at which the process kills itself, as `collegium.party.store.Fault` names it; at another one it prints the SHA-256 of the vector.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import sys
from pathlib import Path

from nationalnode import Figures
from onenode import OneNode


def main(home: Path, file: Path, point: str) -> None:
    note, details, receipt, sent = pickle.loads(file.read_bytes())
    one = OneNode.__new__(OneNode)
    one.attach(home)
    one.node.store._fault = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == point else None
    one.answering._engine = one.submitting._engine = Figures()  # type: ignore[assignment]
    print(hashlib.sha256(one.submitting.submit(note, details, receipt, sent).vector).hexdigest(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
