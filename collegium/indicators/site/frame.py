"""What every page has: head, language switch, the way back, and the sentence that no figure may be without."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from collegium.indicators.edition import Coverage, Edition
from collegium.indicators.site.words import Language, words
from collegium.wording import reason_text

__all__ = ["coverage_text", "missing_text", "page", "stylesheet"]

NAMES = 40  # universities named of each reason
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'"


def stylesheet() -> str:
    """The style sheet, as it lies beside this module."""
    return files(__package__).joinpath("style.css").read_text(encoding="utf-8")


def page(edition: Edition, language: Language, *, name: str, title: str, body: list[str]) -> str:
    """One page, UTF-8. `name` is its file name, which the other language's page has, too."""
    word = words(language)
    other = "zh" if language == "en" else "en"
    whole = f"{edition.title.get(language)} {edition.year}"
    return "".join(
        (
            f'<!doctype html><html lang="{"zh-Hans" if language == "zh" else "en"}"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f'<title>{escape(title)} · {escape(whole)}</title><link rel="stylesheet" href="../style.css"></head><body>',
            f'<a class="skip" href="#main">{word["skip"]}</a>',
            f'<header><h1><a href="index.html">{escape(whole)}</a></h1>',
            f'<a href="index.html">{word["overview"]}</a>',
            f'<a href="../{other}/{name}" lang="{other}" hreflang="{other}">{word["other"]}</a></header>',
            f'<main id="main">{"".join(body)}</main>',
            f"<footer>{escape(edition.note.get(language))}<br>{word['noise'].capitalize()} · {word['not_official']} · ",
            f"{word['legend_uncertain']} · {word['legend_missing']}</footer></body></html>\n",
        )
    )


def coverage_text(coverage: Coverage, language: Language) -> str:
    """ "23 of 24 universities (97 % of known enrolment)"."""
    word = words(language)
    if language == "zh":
        text = f"{coverage.answered}/{coverage.asked} {word['universities']}"
    else:
        text = f"{coverage.answered} of {coverage.asked} {word['universities']}"
    if not coverage.enrolment_asked:
        return text
    share = coverage.enrolment_answered / coverage.enrolment_asked
    return f"{text}，{share:.0%}{word['enrolment']}" if language == "zh" else f"{text} ({share:.0%} {word['enrolment']})"


def missing_text(coverage: Coverage, language: Language) -> str:
    """Markup: the universities that are not in a figure, by reason, one reason a line."""
    by_reason: dict[str, list[str]] = {}
    for each in coverage.missing:
        by_reason.setdefault(each.reason, []).append(escape(each.node))
    word = words(language)
    lines = []
    for reason, names in by_reason.items():
        more = f" (+ {len(names) - NAMES:,})" if len(names) > NAMES else ""
        lines.append(f"{word['comma'].join(names[:NAMES])}{more}{word['colon']}{escape(reason_text(reason, language))}")
    return "<br>".join(lines)
