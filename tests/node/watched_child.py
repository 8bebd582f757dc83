"""A real process of a node whose witnesses are outside: it answers the requests of a folder, exports its log, and is killed.

    python watched_child.py HOME REQUESTS ADDRESS EXPORT [POINT NUMBER]

With a point it kills itself there, the NUMBERth time: "<begin|commit|committed> <purpose>" of the database, or a step of the
export's disk. Each answer that left is one line of JSON: the request's name, the payload's SHA-256, and (index, leaf) of the
entries for which a receipt came along, cosigned by the quorum.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from onenode import T0, OneNode, WatchedEngine
from outside import Line
from witnessed import ORIGIN, until, watched

from collegium.log.disk import Disk
from collegium.log.merkle import leaf_hash
from collegium.log.receipt import verify_receipt
from collegium.party.publish import export
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node.home import Home


def main(home: Path, folder: Path, address: str, target: Path, point: str = "", number: str = "0") -> None:
    seen: Counter[str] = Counter()

    def dies(step: str) -> None:
        seen[step] += 1
        if step == point and seen[step] >= int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    one = OneNode.__new__(OneNode)
    one.home, one.now, one.engine, one.stream = Home(home), [float(T0 + 10)], WatchedEngine(), io.StringIO()
    one.open(dies)
    slow, writing = random.Random(os.getpid()), threading.Lock()
    one.engine.on_tally = lambda: time.sleep(slow.random() / 200)
    keys, need = one.node.members.registry.witnesses_of(ORIGIN)
    print("ready", flush=True)
    sys.stdin.readline()

    def answer(path: Path) -> None:
        note, details, receipt = (path.with_suffix(suffix).read_bytes() for suffix in (".note", ".details", ".receipt"))
        while True:
            (given,) = one.answering.answer(note, details, receipt).answers
            if given.reason not in ("pending", "not-confirmed"):
                break
        assert given.verdict == QuestionAnswer.RELEASED, given.reason
        places = []
        for entry, proof in ((given.decision, given.decision_receipt), (given.release, given.release_receipt)):
            proven = verify_receipt(proof, entry, one.node.journal.verifier, witnesses=keys, quorum=need)
            places.append((proven.index, leaf_hash(entry).hex()))
        line = json.dumps({"stem": path.stem, "payload": hashlib.sha256(given.payload).hexdigest(), "entries": places})
        with writing:
            os.write(1, f"{line}\n".encode())  # one write: a line is there whole or not at all

    with watched(one, Line(address)):  # type: ignore[arg-type]
        paths = sorted(folder.glob("*.note"), key=lambda path: slow.random())
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(answer, paths))
        until(lambda: one.node.quorum.confirmed_size() == one.node.journal.head().size)
        export(one.node, target, disk=Disk(lambda step, _: dies(step)))
    print("done", flush=True)
    one.node.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), *sys.argv[5:])
