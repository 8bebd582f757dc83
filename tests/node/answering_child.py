"""A real process that answers the requests of a folder until it is done or killed: `python answering_child.py HOME REQUESTS`.

Each answer that left is one line on standard output: the request's name, its payload's SHA-256, the decision's verdict.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from onenode import OneNode, WatchedEngine


def main(home: Path, folder: Path) -> None:
    one = OneNode.__new__(OneNode)
    one.attach(home)
    slow = random.Random(os.getpid())
    assert isinstance(one.engine, WatchedEngine)
    one.engine.on_tally = lambda: time.sleep(slow.random() / 200)
    print("ready", flush=True)
    sys.stdin.readline()

    def answer(path: Path) -> None:
        note, details, receipt = (path.with_suffix(suffix).read_bytes() for suffix in (".note", ".details", ".receipt"))
        for given in one.answering.answer(note, details, receipt).answers:
            line = f"{path.stem} {hashlib.sha256(given.payload).hexdigest()} {given.verdict}\n"
            os.write(1, line.encode())  # one write: a line is there whole or not at all

    paths = sorted(folder.glob("*.note"), key=lambda path: slow.random())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(answer, paths))
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
