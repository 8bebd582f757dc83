"""What a rehearsal says at the end: how long each phase took, what each process used, what was asked, what of all that was real."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

from rehearsal.usage import Usage

__all__ = ["Asked", "Report"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `worst`: the largest distance of a figure from the truth of the rows, in half widths of its interval."""

    sql: str
    asked: int
    answered: int
    seconds: float  # from handing in to the last answer
    verified: float  # seconds in which the researcher's machine fetched the bundle and verified every signature in it
    figures: int  # cells of the table
    total: float  # their sum
    truth: float
    worst: float
    note: str = ""


@dataclass
class Report:
    """Filled while the rehearsal goes on."""

    nodes: int
    tunnels: int
    trustees: int = 0
    witnesses: int = 0
    phases: dict[str, float] = field(default_factory=dict)  # seconds
    processes: dict[str, Usage] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    real: list[tuple[str, str]] = field(default_factory=list)
    per_tunnel_kib: float = 0.0  # of the coordinator's memory
    troubles: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    def show(self, console: Console) -> None:
        console.print(_table("What was asked", ("question", "answered", "asked s", "verified s", "sum", "truth", "worst"), [
            (each.sql, f"{each.answered}/{each.asked}", f"{each.seconds:.1f}", f"{each.verified:.1f}", f"{each.total:,.0f}",
             f"{each.truth:,.0f}", each.note or f"{each.worst:.2f}") for each in self.asked
        ]))  # fmt: skip
        console.print("worst: the largest distance from the truth, in half widths of the 95 % interval; noise is never seeded.\n")
        console.print(_table("Phases", ("phase", "s"), [(name, f"{seconds:.1f}") for name, seconds in self.phases.items()]))
        console.print(_table("Processes at the end", ("process", "MiB", "at most", "processor s", "files", "threads"), [
            (name, f"{used.memory:.0f}", f"{used.most:.0f}", f"{used.seconds:.0f}", str(used.files), str(used.threads))
            for name, used in self.processes.items()
        ]))  # fmt: skip
        if self.per_tunnel_kib:
            console.print(f"One tunnel weighs {self.per_tunnel_kib:.0f} KiB at the coordinator.\n")
        console.print(_table("What is real", ("part", "how"), self.real, text=True))
        for trouble in self.troubles:
            console.print(f"[bold]Trouble:[/] {trouble}")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, text: bool = False) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or text else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
