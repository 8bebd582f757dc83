"""Writes the commands' --help and the SQL grammar into the documents, or with --check says where they differ.

A marker is a line `<!-- help: collegium ask -->` and a fenced block after it. Fixed width, no colour: every machine agrees.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"<!-- help: (?P<command>[a-z -]+) -->\n```text\n.*?```\n", re.DOTALL)
GRAMMAR_BLOCK = re.compile(r"<!-- grammar -->\n.*?<!-- end grammar -->\n", re.DOTALL)
PLAIN = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def help_of(command: str) -> str:
    program, *rest = command.split()
    command_line = [str(Path(sys.executable).parent / program), *rest, "--help"]
    done = subprocess.run(command_line, capture_output=True, text=True, check=True, env={**os.environ, **PLAIN})
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def grammar() -> str:
    """The table of forms, one section a kind."""
    from collegium.sql import GRAMMAR

    lines = ["<!-- grammar -->"]
    for kind in dict.fromkeys(form.kind for form in GRAMMAR.values()):
        lines += ["", f"### {kind.capitalize()}s", "", "| write | example | it means |", "|---|---|---|"]
        for form in GRAMMAR.values():
            if form.kind == kind:
                cells = (f"`{form.form}`", f"`{form.example}`", form.meaning)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", "<!-- end grammar -->", ""])


def main() -> None:
    wrong = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        fresh = BLOCK.sub(lambda m: f"<!-- help: {m['command']} -->\n```text\n{help_of(m['command'])}\n```\n", text)
        fresh = GRAMMAR_BLOCK.sub(lambda _: grammar(), fresh)
        if fresh != text:
            wrong.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(fresh, encoding="utf-8")
    if wrong and "--check" in sys.argv:
        raise SystemExit(f"help texts differ from --help in {', '.join(map(str, wrong))}. Run `make docs` and commit.")


main()
