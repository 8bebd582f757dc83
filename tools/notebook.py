"""Runs a notebook's cells in one namespace, as a kernel would: python tools/notebook.py NOTEBOOK [--write]

A kernel proper brings forty packages for what is a loop over cells; the cells of our examples are plain Python. The value of a
cell's last expression is shown through the same methods that Jupyter calls. With --write the outputs are kept in the file.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

MEANT = ("text/html", "text/plain")


def run(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The notebook's tree with its outputs filled in, and what each code cell showed: type to content, {} for nothing.

    Cells run in the notebook's own folder. Whatever a cell raises comes out.
    """
    tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    space: dict[str, Any] = {"__name__": "__main__"}
    before = Path.cwd()
    shown: list[dict[str, Any]] = []
    os.chdir(path.parent)
    try:
        for number, cell in enumerate(each for each in tree["cells"] if each["cell_type"] == "code"):
            value = _run_cell("".join(cell["source"]), space, f"{path.name}, cell {number + 1}")
            shown.append(_show(value))
            cell["execution_count"] = number + 1
            cell["outputs"] = [_output(shown[-1], number + 1)] if shown[-1] else []
    finally:
        os.chdir(before)
    return tree, shown


def _run_cell(source: str, space: dict[str, Any], place: str) -> Any:
    """The value of the last line if it is an expression, else None."""
    body = ast.parse(source, place)
    last = body.body.pop() if body.body and isinstance(body.body[-1], ast.Expr) else None
    exec(compile(body, place, "exec"), space)
    return eval(compile(ast.Expression(last.value), place, "eval"), space) if isinstance(last, ast.Expr) else None


def _show(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if type(value).__module__.startswith("altair"):  # its own way to show needs a script from the net; the plain tree does not
        return {"application/vnd.vegalite.v6+json": value.to_dict(), "text/plain": "a chart"}
    if hasattr(value, "_repr_mimebundle_"):
        return dict(value._repr_mimebundle_())
    if hasattr(value, "_repr_html_"):
        return {"text/html": value._repr_html_(), "text/plain": str(value)}
    return {"text/plain": repr(value)}


def _output(data: dict[str, Any], count: int) -> dict[str, Any]:
    kept = {kind: content.splitlines(keepends=True) if kind in MEANT else content for kind, content in data.items()}
    return {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": kept}


def main() -> None:
    path = Path(sys.argv[1]).resolve()
    tree, shown = run(path)
    if "--write" in sys.argv:
        path.write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path.name}: {len(shown)} cells\n")


if __name__ == "__main__":
    main()
