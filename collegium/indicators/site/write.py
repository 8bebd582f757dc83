"""Writes the published pages: one folder that any web server, or a USB stick, can serve. No script, nothing loaded from elsewhere.

index.html        to the language that the reader's browser names first, by two links
en/  zh/          the same pages in each language: index.html and one for each secondary indicator
style.css, figures.json, *.collegium        the style sheet, the figures, the audit bundles
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium.indicators.edition import Edition
from collegium.indicators.site.frame import POLICY, stylesheet
from collegium.indicators.site.overview import overview
from collegium.indicators.site.sheet import sheet
from collegium.indicators.site.words import LANGUAGES

__all__ = ["write_site"]


def write_site(editions: Sequence[Edition], folder: Path, bundles: Sequence[Path] = ()) -> Path:
    """Write the site of the newest edition, with the years of all of them; the path of its first page. Older pages are replaced.

    Args:
        editions: of one catalogue, oldest first.
        bundles: the files that the newest edition names.

    Raises:
        Invalid: the editions are of different catalogues. Failed: the folder cannot be written.
    """
    edition = editions[-1]
    if len({(each.catalogue.partition("/")[0], each.federation) for each in editions}) > 1:
        raise Invalid("these are measurements of different catalogues", place="report", remedy="Make a report of each.")
    try:
        for language in LANGUAGES:
            (folder / language).mkdir(parents=True, exist_ok=True)
            _put(folder / language / "index.html", overview(edition, language))
            for branch in edition.secondaries:
                _put(folder / language / f"{branch.id}.html", sheet(editions, branch, language))
        for bundle in bundles:
            shutil.copyfile(bundle, folder / bundle.name)
        (folder / "figures.json").write_bytes(edition.to_bytes())
        _put(folder / "style.css", stylesheet())
        _put(folder / "index.html", _door(edition))
    except OSError as error:
        remedy = "Choose another folder with --out."
        raise Failed(f"cannot be written: {error.strerror}", place=str(error.filename), remedy=remedy) from None
    return folder / "index.html"


def _door(edition: Edition) -> str:
    links = "".join(
        f'<p><a lang="{language}" href="{language}/index.html">{escape(edition.title.get(language))} {edition.year}</a></p>'
        for language in LANGUAGES
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><link rel="stylesheet" href="style.css">'
        f"<title>{escape(edition.title.en)} {edition.year}</title></head><body><main>{links}</main></body></html>\n"
    )


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
