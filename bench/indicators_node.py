"""The whole catalogue at one node against plain Polars: all its questions with bounds and noise, against one pass without.

    python bench/indicators_node.py [--rows 10000000] [--repeat 3] [--folder DIR]

Ten tables of one large university, all rows of the measured year, so that no filter makes them few: about two thirds are course
registrations, the next largest table is enrolment. The same Parquet files are read by all:

    plain Polars, a pass a table      one GROUP BY a table over all keys and operands of its questions, COUNT DISTINCT included
    plain Polars, a pass a question   the batch as an analyst would type it: one GROUP BY for each of its questions
    Collegium                         the batch by the node's engine on its snapshot: person bounds, row caps, clips and noise

Each is measured in a process of its own (its own peak memory), warm, in turns with the others; only ratios of one run mean
anything. Linux only: peak memory is read from /proc.
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
from functools import reduce
from pathlib import Path

import numpy as np
import polars as pl

from collegium.indicators.batch import Batch, plan_batch
from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.expand import expand
from collegium.layout import Layout
from collegium.question import And, Component, In, Not, Or, Predicate, Range
from collegium.schema import Column, Dataset, Schema, read_schema

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/library"))

from syntheticrows import make_rows

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
SCHEMA = read_schema(ROOT / "examples" / "higher-education" / "schema.toml")
YEAR = 2026
RHO = {"student": 500_000_000, "staff": 500_000_000, "learner": 500_000_000}
EACH = {"course_reg": 8.0, "learner": 2.0, "output": 3.0, "project": 2.0, "award": 2.0, "status_event": 1.5}
"""Mean rows of a person who has any; 1 elsewhere."""
SHARE = {
    "enrolment": 1.0, "course_reg": 0.95, "status_event": 0.08, "graduate": 0.22, "award": 0.15, "exchange": 0.04,
    "staff": 0.07, "project": 0.03, "output": 0.04, "learner": 0.3,
}  # fmt: skip
"""Persons with rows in a table for each student."""


def plan() -> Batch:
    """The batch of the catalogue that comes with the coordinator."""
    return plan_batch(expand(read_catalogue(CATALOGUE), SCHEMA, YEAR), SCHEMA, RHO)


def generate(folder: Path, rows: int) -> dict[str, int]:
    """Write NAME.parquet for each table, `rows` in all, in no order; codes as text, numbers in natural units. Rows by table."""
    students = rows / sum(share * EACH.get(name, 1.0) for name, share in SHARE.items())
    made = {}
    for name, dataset in SCHEMA.datasets.items():
        rng = np.random.default_rng([20260930, *name.encode()])
        persons = max(1, round(students * SHARE[name]))
        count = max(1, round(persons * EACH.get(name, 1.0)))
        base = make_rows(rng, SCHEMA, name, 2000, YEAR)  # rows of every kind; taken again and again in no order
        taken = rng.integers(0, len(base.person), count)
        person = rng.permutation(count) if name not in EACH else rng.integers(0, persons, count)
        columns = {dataset.person: pl.Series(person.astype(np.int64))}
        for column in dataset.columns:
            columns[column] = _natural(dataset, column, base.columns[column][taken])
        pl.DataFrame(columns).write_parquet(folder / f"{name}.parquet")
        made[name] = count
    return made


def _natural(dataset: Dataset, name: str, values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pl.Series:
    column = dataset.columns[name]
    if column.is_number:
        series = pl.Series(values).set(pl.Series(values == -(2**62)), None)
        return series if column.step == 1 else (series * float(column.step)).round(2)
    codes = list(SCHEMA.values(column))
    return pl.Series([*codes, None], dtype=pl.String).gather(values)


def snapshot(folder: Path) -> float:
    """Prepare the snapshot as the node does; seconds."""
    from collegium_node.config import parse_config
    from collegium_node.digest import NodeSecret
    from collegium_node.snapshot import build_snapshot

    lines: list[str] = []
    for name, dataset in SCHEMA.datasets.items():
        lines += [f"[sources.{name}]", 'kind = "parquet"', f'path = "{name}.parquet"', f"[datasets.{name}]", f'source = "{name}"']
        lines += [f'person = "{dataset.person}"', f"[datasets.{name}.columns]", *(f'{each} = "{each}"' for each in dataset.columns)]
    began = time.perf_counter()
    config = parse_config("\n".join(lines) + "\n", folder / "node.toml")
    made = build_snapshot("bench", config, SCHEMA, NodeSecret(bytes(32)), folder, time.time)
    (folder / "snapshot.id").write_text(made.id)
    return time.perf_counter() - began


def tables(folder: Path, batch: Batch) -> list[pl.LazyFrame]:
    """One GROUP BY a table, over all keys and operands of its questions."""
    return [
        _grouped(folder, name, [layout for layout in batch.layouts if layout.question.dataset == name])
        for name in sorted({layout.question.dataset for layout in batch.layouts})
    ]


def questions(folder: Path, batch: Batch) -> list[pl.LazyFrame]:
    """One GROUP BY a question."""
    return [_grouped(folder, layout.question.dataset, [layout]) for layout in batch.layouts]


def _grouped(folder: Path, name: str, layouts: list[Layout]) -> pl.LazyFrame:
    keys = sorted({axis.column for layout in layouts for axis in layout.axes})
    rows = pl.scan_parquet(folder / f"{name}.parquet").filter(pl.col("year") == YEAR)
    sums = {}
    for layout in layouts:
        for part in layout.parts:
            bare = part.component.model_copy(update={"margin": None, "rho": 1})
            sums[layout.question.filter, bare] = _operand(name, layout.question.filter, bare)
    named = [each.alias(str(number)) for number, each in enumerate(sums.values())]
    return rows.group_by(keys).agg(named) if keys else rows.select(named)


def _operand(dataset: str, population: Predicate | None, component: Component) -> pl.Expr:
    """What a component counts or adds up, without bounds."""
    among = [_expression(dataset, each) for each in (population, component.filter) if each is not None]
    kept = reduce(lambda one, other: one & other, among) if among else pl.lit(True)
    if component.kind == "people":
        return pl.col(SCHEMA.datasets[dataset].person).filter(kept).n_unique()
    if component.kind == "rows":
        return kept.sum()
    if component.condition is not None:
        return (kept & _expression(dataset, component.condition)).sum()
    column = pl.col(component.column or "")
    return column.filter(kept).count() if component.kind == "count" else column.filter(kept).sum()


def _expression(dataset: str, predicate: Predicate) -> pl.Expr:
    if isinstance(predicate, Not):
        return ~_expression(dataset, predicate.arg)
    if isinstance(predicate, And | Or):
        parts = [_expression(dataset, each) for each in predicate.args]
        return reduce(lambda one, other: one & other if isinstance(predicate, And) else one | other, parts)
    column, values = SCHEMA.datasets[dataset].columns[predicate.column], pl.col(predicate.column)
    if isinstance(predicate, In):
        return reduce(lambda one, other: one | other, (values == _value(column, each) for each in predicate.values))
    if isinstance(predicate, Range):
        ends = [] if predicate.min is None else [values >= _value(column, predicate.min)]
        ends += [] if predicate.max is None else [values <= _value(column, predicate.max)]
        return reduce(lambda one, other: one & other, ends)
    return values.is_null()


def _value(column: Column, value: str | int) -> str | float:
    return value if isinstance(value, str) else float(column.decode(value))


def worker(what: str, folder: Path) -> None:
    """Answer `go` lines with seconds until the input ends, then say the peak memory."""
    batch, schema = plan(), SCHEMA
    frames = {"tables": tables, "questions": questions}.get(what)
    if frames is None:
        from collegium_node.engine import warm_up

        warm_up()
    print(json.dumps({}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        if frames is None:
            by_question = released(batch, schema, folder)
        elif what == "tables":
            for frame in frames(folder, batch):  # one after the other: the least memory
                frame.collect(engine="streaming")
        else:
            for frame in frames(folder, batch):
                frame.collect(engine="streaming")
        took = {"seconds": time.perf_counter() - began}
        print(json.dumps(took | ({"by_question": by_question} if frames is None else {})), flush=True)
    print(json.dumps({"mib": _peak()}), flush=True)


def released(batch: Batch, schema: Schema, folder: Path) -> list[float]:
    """All releases of the batch, as a node makes them. Seconds by question."""
    from collegium_node.engine import tally
    from collegium_node.noise import add_noise
    from collegium_node.snapshot import load

    identity = (folder / "snapshot.id").read_text()
    took = []
    for layout in batch.layouts:
        began = time.perf_counter()
        exact = tally(layout, load(folder, identity, layout.question.dataset), schema=schema, secret=bytes(32))
        add_noise(layout, exact)
        took.append(time.perf_counter() - began)
    return took


def _peak() -> float:
    """MiB of this program alone: `ru_maxrss` would begin with the peak of the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(folder: Path, repeat: int) -> dict[str, dict[str, float | list[float]]]:
    """Medians of `repeat` warm runs of each, interleaved, one process each."""
    workers = {}
    for name in ("tables", "questions", "released"):
        command = [sys.executable, __file__, "--worker", name, "--folder", str(folder)]
        workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    found = {name: json.loads(_line(process)) for name, process in workers.items()}
    turns: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(repeat + 1):
        for name, process in workers.items():
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            said = json.loads(_line(process))
            found[name] |= said
            if turn > 0:  # one warm-up turn
                turns[name].append(said["seconds"])
    for name, process in workers.items():
        assert process.stdin is not None
        process.stdin.close()
        found[name] |= json.loads(_line(process)) | {"seconds": statistics.median(turns[name])}
        process.wait()
    return found


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the files here and use them again")
    parser.add_argument("--by-question", action="store_true", help="also print the seconds of each question")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker == "prepare":
        print(json.dumps({"seconds": snapshot(options.folder), "mib": _peak()}))
        return
    if options.worker:
        worker(options.worker, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        prepared: dict[str, float] = {}
        if not (folder / "snapshot.id").exists():
            made = generate(folder, options.rows)
            print(", ".join(f"{name} {count:,}" for name, count in sorted(made.items(), key=lambda item: -item[1])))
            command = [sys.executable, __file__, "--worker", "prepare", "--folder", str(folder)]
            prepared = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        found = measure(folder, options.repeat)
    report(options, found, prepared)


def report(options: argparse.Namespace, found: dict[str, dict[str, float | list[float]]], prepared: dict[str, float]) -> None:
    """Print the table."""
    batch = plan()
    titles = {
        "tables": "plain Polars, a pass a table",
        "questions": "plain Polars, a pass a question",
        "released": f"Collegium: {len(batch.questions)} questions, {batch.histograms} tables",
    }
    print(f"{options.rows:,} rows; median of {options.repeat} warm runs, interleaved\n")
    print(f"| {'':<40} | seconds | peak MiB | × first |\n|{'-' * 42}|--------:|---------:|--------:|")
    rows = [(title, found[name]) for name, title in titles.items()]
    for title, row in [*rows, *([("the snapshot, once", prepared)] if prepared else [])]:
        seconds, floor = float(row["seconds"]), float(found["tables"]["seconds"])  # type: ignore[arg-type]
        print(f"| {title:<40} | {seconds:7.2f} | {row['mib']:8.0f} | {seconds / floor:7.2f} |")
    if options.by_question:
        print()
        for layout, seconds in zip(batch.layouts, found["released"]["by_question"], strict=True):  # type: ignore[arg-type]
            keys = ", ".join(axis.column for axis in layout.axes) or "-"
            print(f"{seconds:6.2f} s  {layout.question.dataset} by {keys}: {len(layout.parts)} components")


if __name__ == "__main__":
    main()
