"""Four invented universities whose every figure is known, to try the eleven questions of this folder on before asking anybody.

    python examples/questions/invent.py rows --scale 20
    collegium ask --local rows --schema examples/higher-education/schema.toml --file examples/questions/02-destinations.toml

Nobody in them exists. The rows keep within the schema's person bounds, so that plain Polars over all rows gives the figure that a
question estimates, but for what is meant to show: learners who are at two universities, a professor with a grant far above the
clip. Nothing changes between 2024 and 2025 in field 03, much in field 08. The seed is fixed; noise never is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["PROVINCES", "SHARED", "TABLES", "YEARS", "everything", "write_campuses"]

PROVINCES = {"amber": "11", "birch": "11", "cedar": "31", "delta": "53"}
SIZES = {"amber": 900, "birch": 500, "cedar": 700, "delta": 300}  # graduates of a year
YEARS = (2021, 2022, 2023, 2024, 2025)
LEARNERS, SHARED = 600, 250  # of each university; of amber who are at cedar, too
DISCIPLINES = (
    "0201",
    "0202",
    "0301",
    "0302",
    "0303",
    "0701",
    "0702",
    "0703",
    "0802",
    "0808",
    "0812",
    "0814",
    "1201",
    "1202",
    "1204",
)
REGIONS = ("E", "C", "W", "NE", "X")
DESTINATIONS = ("CONTRACT", "FLEX", "STARTUP", "STUDY", "ABROAD")
EARNING = DESTINATIONS[:3]
TABLES = ("graduate", "enrolment", "staff", "project", "learner")

Texts = NDArray[np.str_]


def everything(scale: float = 1.0) -> dict[str, pl.DataFrame]:
    """All rows of all universities by table, with the columns `node` and `province` in front. `scale` multiplies the persons."""
    campuses = {name: _campus(name, scale) for name in PROVINCES}
    return {
        table: pl.concat(
            frames[table].select(pl.lit(name).alias("node"), pl.lit(PROVINCES[name]).alias("province"), pl.all())
            for name, frames in campuses.items()
        )
        for table in TABLES
    }


def write_campuses(folder: Path, rows: Mapping[str, pl.DataFrame]) -> None:
    """One folder a university: what `collegium ask --local` and a node's CSV source read."""
    for name, province in PROVINCES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "facts.toml").write_text(f'province = "{province}"\n', encoding="utf-8")
        for table, frame in rows.items():
            frame.filter(pl.col("node") == name).drop("node", "province").write_csv(folder / name / f"{table}.csv")


def _campus(name: str, scale: float) -> dict[str, pl.DataFrame]:
    size = int(SIZES[name] * scale)
    rng = np.random.default_rng(20 + list(PROVINCES).index(name))
    staff = _staff(rng, name, size // 3)
    return {
        "graduate": pl.concat([_graduates(name, year, size) for year in YEARS]),
        "enrolment": _enrolment(rng, name, size * 4),
        "staff": staff,
        "project": _projects(rng, staff),
        "learner": _learners(rng, name, int(LEARNERS * scale), int(SHARED * scale)),
    }


def _graduates(name: str, year: int, n: int) -> pl.DataFrame:
    """Graduates of one year. Those of field 03 in 2025 are those of 2024 under other names."""
    frame = _cohort(name, year, n)
    if year != 2025:
        return frame
    same = _cohort(name, 2024, n).filter(pl.col("discipline_cat") == "03")
    same = same.with_columns(pl.lit(2025, dtype=pl.Int64).alias("year"), pl.col("pid") + "N")
    return pl.concat([frame.filter(pl.col("discipline_cat") != "03"), same])


def _cohort(name: str, year: int, n: int) -> pl.DataFrame:
    rng = np.random.default_rng([list(PROVINCES).index(name), year])
    discipline = rng.choice(DISCIPLINES, n)
    field = np.array([each[:2] for each in discipline.tolist()])
    placed = rng.random(n) < np.where(field == "08", 0.55 + 0.35 * (year == 2025), 0.75)
    group = np.where(placed, rng.choice(DESTINATIONS, n, p=(0.6, 0.1, 0.02, 0.22, 0.06)), "NONE")
    group = np.where(rng.random(n) < 0.01, "", group)  # repeating or on leave: in no group
    earns = np.isin(group, EARNING)
    origin = rng.choice(REGIONS, n, p=(0.35, 0.28, 0.25, 0.1, 0.02))
    where = np.where(rng.random(n) < 0.6, origin, rng.choice(REGIONS, n, p=(0.6, 0.15, 0.2, 0.04, 0.01)))
    typical = 4500 + 350 * np.searchsorted(np.array(DISCIPLINES), discipline) + 100 * (year - YEARS[0])
    salary = np.clip(np.round(typical * rng.lognormal(0, 0.3, n) / 10) * 10, 0, 50_000).astype(np.int64)
    return pl.DataFrame(
        {
            "pid": [f"G{name}{year}{i:07}" for i in range(n)],
            "year": np.full(n, year),
            "study_level": rng.choice(("1", "2", "3"), n, p=(0.05, 0.2, 0.75)),
            "origin_region": origin,
            "discipline": discipline,
            "discipline_cat": field,
            "dest_group": _optional(group),
            "employer_region": _optional(np.where(earns, where, "")),
            "salary": pl.Series([int(s) if e else None for s, e in zip(salary, earns, strict=True)], dtype=pl.Int64),
        }
    )


def _enrolment(rng: np.random.Generator, name: str, n: int) -> pl.DataFrame:
    """Students of 2025, one in twenty with a second degree. Who gets no aid withdraws more often."""
    aided = rng.random(n) < 0.3
    gone = rng.random(n) < np.where(aided, 0.02, 0.05)
    frame = pl.DataFrame(
        {
            "pid": [f"J{name}{i:07}" for i in range(n)],
            "year": np.full(n, 2025),
            "study_level": rng.choice(("2", "3"), n, p=(0.2, 0.8)),
            "status": np.where(gone, "03", rng.choice(("01", "02", "05", "13"), n, p=(0.93, 0.04, 0.02, 0.01))),
            "aided": aided.astype(np.int64),
        }
    )
    return pl.concat([frame, frame.head(n // 20)])


def _staff(rng: np.random.Generator, name: str, n: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pid": [f"T{name}{i:07}" for i in range(n)],
            "year": np.full(n, 2025),
            "staff_type": rng.choice(("11", "12", "13"), n, p=(0.8, 0.12, 0.08)),
        }
    )


def _projects(rng: np.random.Generator, staff: pl.DataFrame) -> pl.DataFrame:
    """One to three projects of every second teacher; the first of them leads a laboratory of 18 million."""
    leaders = staff.filter(pl.col("staff_type") == "11")["pid"].to_list()[::2]
    pids = [pid for pid in leaders for _ in range(int(rng.integers(1, 4)))]
    funding = np.clip(np.round(rng.lognormal(12.2, 0.9, len(pids)) / 1000) * 1000, 1000, 650_000).astype(np.int64)
    funding[0] = 18_000_000
    return pl.DataFrame({"pid": pids, "year": np.full(len(pids), 2025), "funding": funding})


def _learners(rng: np.random.Generator, name: str, n: int, shared: int) -> pl.DataFrame:
    """One to four courses a learner. Some of amber's learners are also at cedar, under the same id."""
    ids = [f"L{'amber' if name == 'cedar' and i < shared else name}{i:07}" for i in range(n)]
    kind = rng.choice(("STU", "SOC", "SEN"), n, p=(0.5, 0.35, 0.15))
    of = np.repeat(np.arange(n), rng.integers(1, 5, n))
    completed = rng.random(len(of)) < np.where(kind[of] == "SEN", 0.45, np.where(kind[of] == "SOC", 0.6, 0.8))
    return pl.DataFrame(
        {
            "pid": [ids[i] for i in of.tolist()],
            "year": np.full(len(of), 2025),
            "learner_type": kind[of],
            "completed": completed.astype(np.int64),
            "credit_recognised": (completed & (rng.random(len(of)) < 0.4)).astype(np.int64),
        }
    )


def _optional(texts: Texts) -> pl.Series:
    return pl.Series([text or None for text in texts.tolist()], dtype=pl.String)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the rows of four invented universities, a folder each.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of persons")
    arguments = parser.parse_args()
    write_campuses(arguments.folder, everything(arguments.scale))


if __name__ == "__main__":
    main()
