"""One node against plain Polars: the same grouped aggregates, with person bounds, row caps, clips and noise against without.

    python bench/one_node.py [--rows 10000000] [--repeat 7] [--folder DIR]

Prints one table. `plain Polars` is people (distinct), SUM(credits) and AVG(gpa) GROUP BY province, discipline_cat on the Parquet
file, streaming, without bounds or noise. `Collegium` is the same question by the node's engine on its snapshot, with at most 3
cells a person, at most 4 rows in each, clipped sums and noise. Each is measured in a process of its own (its own peak memory),
warm, in turns with the others; only ratios of one run mean anything. Linux only: peak memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from collegium.layout import compile_layout
from collegium.question import Bounds, Component, GroupKey, Question
from collegium.schema import Schema, parse_schema

PROVINCES = [f"{i:02d}" for i in range(1, 32)]
CATEGORIES = [f"{i:02d}" for i in range(1, 15)]


def schema() -> Schema:
    """The enrolment table of the benchmark."""
    lists = "".join(
        f"[codes.{name}]\n" + "".join(f'"{code}".en = "{code}"\n' for code in codes)
        for name, codes in (("province", PROVINCES), ("discipline", CATEGORIES))
    )
    return parse_schema(f"""
name = "bench"
version = 1
title.en = "Benchmark"
units.student.title.en = "student"
{lists}
[datasets.enrolment]
title.en = "Enrolments"
unit = "student"
person = "student_id"
max_rows = 4
max_groups = 3
[datasets.enrolment.columns]
province = {{ type = "category", codes = "province", title.en = "province" }}
discipline_cat = {{ type = "category", codes = "discipline", title.en = "discipline category" }}
credits = {{ type = "integer", min = 0, max = 60, person_max = 120, title.en = "credits" }}
gpa = {{ type = "decimal", min = 0, max = 4, step = 0.01, title.en = "gpa" }}
""")


QUESTION = Question(
    dataset="enrolment",
    group=(GroupKey(column="province"), GroupKey(column="discipline_cat")),
    components=(
        Component(kind="people", rho=10**7),
        Component(kind="sum", column="credits", clip=(0, 120), rho=10**7),
        Component(kind="count", column="gpa", rho=10**7),
        Component(kind="total", column="gpa", rho=10**7),
    ),
    bounds=Bounds(max_groups=3, max_rows=4),
    schema="bench/1",
)


def generate(path: Path, rows: int) -> None:
    """Enrolments of a fifth as many persons, most in one province and one or two categories, in no order; 3 % of gpa null."""
    rng = np.random.default_rng(20250101)
    persons = max(1, rows // 5)
    person = rng.integers(0, persons, rows)
    home = rng.integers(0, len(PROVINCES), persons)
    first = rng.integers(0, len(CATEGORIES), persons)
    moved = rng.random(rows) < 0.1
    province = np.where(moved, rng.integers(0, len(PROVINCES), rows), home[person])
    other = rng.random(rows) < 0.35
    category = np.where(other, rng.integers(0, len(CATEGORIES), rows), first[person])
    gpa = np.clip(rng.normal(2.9, 0.6, rows), 0, 4).round(2)
    frame = pl.DataFrame(
        {
            "student_id": person,
            "province": pl.Series(PROVINCES, dtype=pl.String).gather(province),
            "discipline_cat": pl.Series(CATEGORIES, dtype=pl.String).gather(category),
            "credits": rng.integers(0, 31, rows).astype(np.int16),
            "gpa": pl.Series(gpa).set(pl.Series(rng.random(rows) < 0.03), None),
        }
    )
    frame.write_parquet(path)


def plain(path: Path) -> None:
    """The floor: what an analyst without any protection would run."""
    (
        pl.scan_parquet(path)
        .group_by("province", "discipline_cat")
        .agg(pl.col("student_id").n_unique(), pl.col("credits").sum(), pl.col("gpa").mean())
        .collect(engine="streaming")
    )


def snapshot(folder: Path) -> dict[str, float]:
    """Prepare the snapshot as the node does. Returns seconds and its id's place in the folder."""
    from collegium_node.config import parse_config
    from collegium_node.digest import NodeSecret
    from collegium_node.snapshot import build_snapshot

    text = '[sources.s]\nkind = "parquet"\npath = "rows.parquet"\n[datasets.enrolment]\nsource = "s"\nperson = "student_id"\n'
    text += "[datasets.enrolment.columns]\n" + "".join(f'{name} = "{name}"\n' for name in schema().datasets["enrolment"].columns)
    began = time.perf_counter()
    made = build_snapshot("bench", parse_config(text, folder / "node.toml"), schema(), NodeSecret(bytes(32)), folder, time.time)
    (folder / "snapshot.id").write_text(made.id)
    return {"seconds": time.perf_counter() - began}


def worker(what: str, folder: Path) -> None:
    """Answer `go` lines with seconds until the input ends, then say the peak memory."""
    run = {"floor": lambda: plain(folder / "rows.parquet"), "coded": lambda: plain(folder / "coded.parquet")}.get(what)
    if run is None:
        from collegium_node.engine import tally, warm_up
        from collegium_node.noise import add_noise
        from collegium_node.snapshot import load

        began = time.perf_counter()
        warm_up()
        print(json.dumps({"warm_up": time.perf_counter() - began}), flush=True)
        made, identity = schema(), (folder / "snapshot.id").read_text()

        def run() -> None:
            layout = compile_layout(QUESTION, made)
            exact = tally(layout, load(folder, identity, "enrolment"), schema=made, secret=bytes(32))
            if what != "exact":
                add_noise(layout, exact)
    else:
        print(json.dumps({}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        run()
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
    print(json.dumps({"mib": _peak()}), flush=True)


def _peak() -> float:
    """MiB of this program alone: `ru_maxrss` would begin with the peak of the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(folder: Path, repeat: int) -> dict[str, dict[str, float]]:
    """Medians of `repeat` warm runs of each, interleaved, one process each."""
    names = ("floor", "coded", "exact", "released")
    workers = {}
    for name in names:
        command = [sys.executable, __file__, "--worker", name, "--folder", str(folder)]
        workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    seconds: dict[str, list[float]] = {name: [] for name in names}
    found: dict[str, dict[str, float]] = {name: json.loads(_line(process)) for name, process in workers.items()}
    for turn in range(repeat + 2):
        for name, process in workers.items():
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            took = json.loads(_line(process))["seconds"]
            if turn >= 2:  # two warm-up turns
                seconds[name].append(took)
    for name, process in workers.items():
        assert process.stdin is not None
        process.stdin.close()
        found[name] |= json.loads(_line(process)) | {"seconds": statistics.median(seconds[name])}
        process.wait()
    return found


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="keep the files here and use them again")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker == "prepare":
        print(json.dumps(snapshot(options.folder) | {"mib": _peak()}))
        return
    if options.worker:
        worker(options.worker, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "coded.parquet").exists():
            generate(folder / "rows.parquet", options.rows)
            codes = [pl.col(name).cast(pl.Categorical).to_physical() for name in ("province", "discipline_cat")]
            pl.read_parquet(folder / "rows.parquet").with_columns(codes).write_parquet(folder / "coded.parquet")
        prepared: dict[str, float] = {}
        if not (folder / "snapshot.id").exists():
            command = [sys.executable, __file__, "--worker", "prepare", "--folder", str(folder)]
            prepared = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        found = measure(folder, options.repeat)
    floor = found["floor"]["seconds"]
    titles = {
        "floor": "plain Polars, COUNT DISTINCT included",
        "coded": "the same on integer codes",
        "exact": "Collegium: bounded exact tally",
        "released": "Collegium: bounds and noise",
    }
    print(f"{options.rows:,} rows; median of {options.repeat} warm runs, interleaved\n")
    print(f"| {'':<38} | seconds | peak MiB | × floor |\n|{'-' * 40}|--------:|---------:|--------:|")
    for name, title in titles.items():
        row = found[name]
        print(f"| {title:<38} | {row['seconds']:7.3f} | {row['mib']:8.0f} | {row['seconds'] / floor:7.2f} |")
    if prepared:
        row = prepared | {"times": prepared["seconds"] / floor}
        print(f"| {'the snapshot, once':<38} | {row['seconds']:7.1f} | {row['mib']:8.0f} | {row['times']:7.1f} |")
    print(f"\nkernel ready in {found['released']['warm_up']:.2f} s")


if __name__ == "__main__":
    main()
