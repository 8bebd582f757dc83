"""Fuzz one target with atheris, guided by which lines of the library a mutation reaches.

    python tests/library/fuzz/fuzz.py note -max_total_time=60

The first word names a target of `targets`, the rest goes to libFuzzer. The seeds of the target are the first corpus. A finding is a
traceback, the input is left in the folder of `-artifact_prefix`, and the exit code is not 0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

with atheris.instrument_imports(include=["collegium"], exclude=["collegium.v1"]):
    from targets import TARGETS


def main() -> None:
    name, flags = sys.argv[1], sys.argv[2:]
    target = TARGETS[name]
    accepted = refused = 0

    def once(raw: bytes) -> None:
        nonlocal accepted, refused
        if target.accepts(raw):
            accepted += 1
        else:
            refused += 1
        if (accepted + refused).bit_count() == 1:
            print(f"{name}: {accepted} accepted, {refused} refused", flush=True)

    with TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        flags += [f"-max_len={target.largest}", "-len_control=0", "-print_final_stats=1", "-timeout=30"]
        atheris.Setup([sys.argv[0], *flags, corpus], once)
        atheris.Fuzz()


main()
