"""Synthetic universities for the `higher-education` federation: invented people, labelled as such, with known truth.

Every campus exports what its own system would export: one in GB18030 with Chinese headings, one gzipped, one as Parquet. Codes are
those of schema.toml. The seed is fixed so that the demonstration shows the same people each time; noise is never seeded.

    python examples/higher-education/generate.py FOLDER [--scale 1.0]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import random
from dataclasses import dataclass
from pathlib import Path

YEARS = (2024, 2025)
CATEGORIES = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "12", "13")
WEIGHTS = (1, 8, 7, 6, 9, 1, 9, 30, 3, 8, 14, 6)
PLACED = {"02": 0.74, "08": 0.82, "10": 0.80, "13": 0.66, "03": 0.68}
SALARY = {"02": 7200, "07": 6800, "08": 7900, "10": 6400, "13": 5400}
DESTINATIONS = (
    ("10", "CONTRACT", 46),
    ("11", "CONTRACT", 18),
    ("12", "FLEX", 12),
    ("75", "STARTUP", 2),
    ("80", "STUDY", 18),
    ("85", "ABROAD", 4),
)


@dataclass(frozen=True, slots=True)
class University:
    """One campus: public facts, size, and how its export looks."""

    name: str
    title: str
    province: str
    graduates: int
    export: str  # "csv", "gb18030", "gz" or "parquet"


UNIVERSITIES = (
    University("jade-lake", "玉湖大学", "11", 5200, "csv"),
    University("west-hill", "西山学院", "11", 1700, "gz"),
    University("plum-garden", "梅园大学", "31", 3600, "parquet"),
    University("east-river", "东江理工学院", "31", 900, "csv"),
    University("spring-city", "春城学院", "53", 450, "gb18030"),  # the only one in its province
)

HEADINGS = {"pid": "学号", "year": "年度", "study_level": "培养层次", "gender": "性别", "discipline_cat": "学科门类"}
GENDERS = {"1": "男", "2": "女", "9": "未说明"}


def people(university: University, rng: random.Random, scale: float) -> list[dict[str, str]]:
    """Graduates of two years, one row a person and year."""
    rows = []
    letter = "GJL"[rng.randrange(3)]
    for year in YEARS:
        for number in range(int(university.graduates * scale)):
            category = rng.choices(CATEGORIES, WEIGHTS)[0]
            level = rng.choices(("3", "4", "2", "1"), (62, 22, 14, 2))[0]
            placed = rng.random() < PLACED.get(category, 0.74) + (0.08 if level in "12" else 0)
            code, group, _ = rng.choices(DESTINATIONS, [d[2] for d in DESTINATIONS])[0] if placed else ("70", "NONE", 0)
            earns = group in ("CONTRACT", "FLEX", "STARTUP")
            where = university.province if rng.random() < 0.6 else rng.choice(("44", "33", "32", "51"))
            salary = max(1800, rng.lognormvariate(0, 0.32) * SALARY.get(category, 6000) * (1.35 if level in "12" else 1))
            rows.append(
                {
                    "pid": f"{letter}{university.province}{YEARS.index(year)}{number:015d}",
                    "year": str(year),
                    "study_level": level,
                    "gender": rng.choices("129", (48, 51, 1))[0],
                    "discipline_cat": category,
                    "result": rng.choices(("01", "03", "08"), (95, 4, 1))[0],
                    "ontime": str(int(rng.random() < 0.93)),
                    "degree_awarded": str(int(rng.random() < 0.96)),
                    "dest_code": code,
                    "dest_group": group,
                    "employer_province": where if earns else "",
                    "salary": str(round(salary)) if earns else "",
                    "matched": str(int(rng.random() < 0.7)) if earns else "",
                }
            )
    return rows


def courses(graduates: list[dict[str, str]], rng: random.Random) -> list[dict[str, str]]:
    """Course registrations of the last year: several rows a person."""
    rows = []
    for person in graduates:
        if person["year"] != str(YEARS[-1]):
            continue
        ability = rng.gauss(76, 9)
        for _ in range(rng.randrange(3, 9)):
            score = min(100.0, max(0.0, rng.gauss(ability, 7)))
            rows.append(
                {
                    "pid": person["pid"],
                    "year": person["year"],
                    "mode": rng.choices(("OFF", "MIX", "ON"), (70, 20, 10))[0],
                    "kind": rng.choices(("TH", "PR"), (75, 25))[0],
                    "study_level": person["study_level"],
                    "discipline_cat": person["discipline_cat"],
                    "score": f"{score:.1f}",
                    "credits": str(rng.choice((1, 2, 2, 3, 4))),
                    "passed": str(int(score >= 60)),
                    "retake": str(int(rng.random() < 0.04)),
                }
            )
    return rows


def as_csv(rows: list[dict[str, str]], headings: dict[str, str]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([headings.get(name, name) for name in rows[0]])
    writer.writerows(row.values() for row in rows)
    return buffer.getvalue()


def write(university: University, folder: Path, scale: float = 1.0) -> None:
    """The exports of one university, with a note that they are synthetic."""
    rng = random.Random(f"collegium {university.name}")
    graduates = people(university, rng, scale)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SYNTHETIC.txt").write_text("Invented people for a demonstration. No row describes anybody.\n")
    for name, rows in (("graduate", graduates), ("course_reg", courses(graduates, rng))):
        if university.export == "gb18030":
            local = [{**row, "gender": GENDERS[row["gender"]]} if "gender" in row else row for row in rows]
            (folder / f"{name}.csv").write_bytes(as_csv(local, HEADINGS).encode("gb18030"))
        elif university.export == "gz":
            with gzip.GzipFile(folder / f"{name}.csv.gz", "wb", mtime=0) as file:
                file.write(as_csv(rows, {}).encode())
        elif university.export == "parquet":
            import polars

            polars.DataFrame(rows).write_parquet(folder / f"{name}.parquet")
        else:
            (folder / f"{name}.csv").write_text(as_csv(rows, {}), encoding="utf-8")


def node_toml(university: University) -> str:
    """The [sources] and [datasets] of this campus: what a data steward would write after `collegium-node check`."""
    suffix = {"gz": "csv.gz", "parquet": "parquet"}.get(university.export, "csv")
    kind = "parquet" if university.export == "parquet" else "csv"
    lines = []
    for name, columns in COLUMNS.items():
        lines += [f"[sources.{name}]", f'kind = "{kind}"', f'path = "data/{name}.{suffix}"']
        if university.export == "gb18030":
            lines.append('encoding = "gb18030"')
        local = HEADINGS if university.export == "gb18030" else {}
        lines += ["", f"[datasets.{name}]", f'source = "{name}"', f'person = "{local.get("pid", "pid")}"', ""]
        lines.append(f"[datasets.{name}.columns]")
        for column in columns:
            where = local.get(column, column)
            if column == "gender" and local:
                codes = ", ".join(f'"{word}" = "{code}"' for code, word in GENDERS.items())
                lines.append(f'gender = {{ column = "{where}", map = {{ {codes} }} }}')
            else:
                lines.append(f'{column} = "{where}"')
        lines.append("")
    return "\n".join(lines)


COLUMNS = {
    "graduate": (
        "year", "study_level", "gender", "discipline_cat", "result", "ontime", "degree_awarded", "dest_code", "dest_group",
        "employer_province", "salary", "matched",
    ),
    "course_reg": ("year", "mode", "kind", "study_level", "discipline_cat", "score", "credits", "passed", "retake"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the exports of five synthetic universities.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of persons")
    arguments = parser.parse_args()
    for university in UNIVERSITIES:
        write(university, arguments.folder / university.name / "data", arguments.scale)
        (arguments.folder / university.name / "sources.toml").write_text(node_toml(university), encoding="utf-8")


if __name__ == "__main__":
    main()
