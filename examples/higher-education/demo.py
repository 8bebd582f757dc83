"""The main job, on real processes: five universities, a ministry, three trustees; questions in both release modes, one killed node,
every signature verified.

python examples/higher-education/demo.py [--stay]
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from generate import UNIVERSITIES, node_toml, write
from launch import Federation, Ministry, Trouble, University, fresh
from rich.console import Console

HERE = Path(__file__).parent
RUN = HERE.parent.parent / "run"
RESEARCHER = "li-wei"
TRUSTEES = ("audit-office", "statistics-society", "student-union")
CHARACTER = {"jade-lake": "01", "west-hill": "02", "plum-garden": "01", "east-river": "02", "spring-city": "05"}

QUESTIONS = (
    (
        "How many people graduated in 2025, by province?",
        "SELECT province, COUNT(*) AS graduates FROM graduate WHERE year = 2025 GROUP BY province",
        "0.3",
    ),
    (
        "What share of them was placed, by discipline category?",
        "SELECT discipline_cat, AVG(dest_group <> 'NONE') AS placed FROM graduate WHERE year = 2025 GROUP BY discipline_cat",
        "0.5",
    ),
    (
        "What do those in work earn a month?",
        "SELECT AVG(salary) AS mean_salary FROM graduate WHERE year = 2025",
        "0.3",
    ),
)

console = Console(width=118, highlight=False)


def campuses() -> list[University]:
    """The five synthetic universities as the launcher wants them."""
    return [
        University(
            name=each.name,
            facts={"province": each.province, "character": CHARACTER[each.name], "level": "本科"},
            enrolment=each.graduates * 4,
            sources=node_toml(each),
            write=lambda home, each=each: write(each, home / "data"),  # type: ignore[misc]
            allow=(RESEARCHER,),
            release=("--release", "both", "--smallest", "5"),
        )
        for each in UNIVERSITIES
    ]


def tell(federation: Federation) -> None:
    """The lines to type in a federation that is left running."""
    home = federation.researcher_home(RESEARCHER).relative_to(Path.cwd())
    console.rule("The federation is running. In another terminal:")
    console.print(f"  export COLLEGIUM_HOME={home}   PATH=$PWD/.venv/bin:$PATH", markup=False)
    console.print(f'  collegium ask "{QUESTIONS[0][1]}" --epsilon 0.3', markup=False)
    console.print("  collegium schema graduate        collegium nodes        collegium requests", markup=False)
    node = federation.node_home("jade-lake").relative_to(Path.cwd())
    console.print(f"  collegium-node budget --home {node}    (as the data steward of jade-lake)", markup=False)
    console.print(f"  collegium-coordinator nodes --home {federation.home.relative_to(Path.cwd())}", markup=False)
    console.rule("Ctrl-C stops it")


def main() -> None:
    parser = argparse.ArgumentParser(description="A federation of five synthetic universities on this machine.")
    parser.add_argument("--stay", action="store_true", help="leave it running and say what to type")
    arguments = parser.parse_args()
    started = time.monotonic()
    universities = campuses()
    console.print("[bold]Collegium[/]: one ministry, five universities, all people invented (合成数据, 非法定统计).")
    console.print("Starting real processes with mutual TLS on loopback ...")
    with Federation(
        fresh(RUN / "federation"), Ministry("demo", HERE / "schema.toml"), say=lambda text: console.print(text, style="dim")
    ) as federation:
        federation.open(universities, [RESEARCHER], TRUSTEES)
        console.print(f"All five are connected after {time.monotonic() - started:.0f} s.\n")
        if arguments.stay:
            tell(federation)
            while all(process.poll() is None for process in federation.processes.values()):
                time.sleep(1)
            raise Trouble(f"a process ended by itself; see {federation.root / 'logs'}")
        for title, sql, epsilon in QUESTIONS:
            question(federation, title, sql, epsilon)
        question(
            federation,
            "And the first once more, as a national sum: no university's figure exists anywhere",
            "SELECT COUNT(*) AS graduates FROM graduate WHERE year = 2025",
            "0.3",
            "--national",
        )
        console.rule("One university loses power")
        federation.kill("spring-city")
        console.print("spring-city was killed. The next question is new, and its figure is missing from it, which is not a zero:\n")
        question(
            federation,
            "How many people graduated in 2024, by province?",
            "SELECT province, COUNT(*) AS graduates FROM graduate WHERE year = 2024 GROUP BY province",
            "0.3",
        )
        console.rule("Every signature")
        console.print(federation.run("collegium", "verify", "--all", "--home", federation.researcher_home(RESEARCHER)), end="")
    where = federation.root.relative_to(Path.cwd())
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Folders and logs are in {where}.")


def question(federation: Federation, title: str, sql: str, epsilon: str, *words: str) -> None:
    console.rule(title, align="left")
    console.print(f'$ collegium ask "{sql}" --epsilon {epsilon} {" ".join(words)}'.strip(), style="dim", markup=False)
    answer = federation.ask(RESEARCHER, sql, "--epsilon", epsilon, "--purpose", "demonstration", "--deadline", "30", *words)
    console.print(answer, end="", markup=False)
    console.print()


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stopped)  # like Ctrl-C: no process is left behind
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing is lost: every log is on disk.")
    except Trouble as trouble:
        sys.exit(f"The demonstration stopped: {trouble}")
