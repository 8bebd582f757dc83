"""From the path of a source to its files, in a fixed order."""

from __future__ import annotations

import glob
from pathlib import Path

from collegium.errors import Invalid

__all__ = ["files_of"]


def files_of(path: str, base: Path, place: str, *, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of a path: a file, a folder (every file below it with one of the suffixes), or a glob with * ? [ ] or **.

    Raises:
        Invalid: no such file, or nothing matches.
    """
    whole = base / path
    if whole.is_file():
        return [whole]
    if whole.is_dir():
        found = sorted(file for file in whole.rglob("*") if file.is_file() and file.name.endswith(suffixes) and _shown(file, whole))
        if not found:
            raise Invalid(f"the folder {whole} has no {' or '.join(suffixes)} file", place=place)
        return found
    if glob.has_magic(path):
        found = sorted(Path(match) for match in glob.glob(str(whole), recursive=True) if Path(match).is_file())  # noqa: PTH207  a path may be absolute
        if not found:
            raise Invalid(f"nothing matches {whole}", place=place, remedy="Correct `path`, or put the files there.")
        return found
    raise Invalid(f"there is no file {whole}", place=place, remedy="Correct `path`, or put the file there.")


def _shown(file: Path, folder: Path) -> bool:
    """Writers keep unfinished and bookkeeping files under names that start with . or _."""
    return not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
