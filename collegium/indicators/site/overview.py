"""The first page: the tree of indicators with their national figures, coverage and cost."""

from __future__ import annotations

from html import escape

from collegium.indicators.edition import Edition
from collegium.indicators.site.frame import coverage_text, missing_text, page
from collegium.indicators.site.numbers import interval_text, value_text
from collegium.indicators.site.words import Language, words

__all__ = ["overview"]


def overview(edition: Edition, language: Language) -> str:
    """The page `index.html`."""
    word = words(language)
    body = [
        f"<h2>{escape(edition.title.get(language))}{word['pause']}{edition.year}</h2>",
        f'<p class="note">{word["coverage"]}{word["colon"]}{coverage_text(edition.coverage, language)}<br>',
        f"{_counts(edition, word)}</p>",
        '<ul class="tree">',
    ]
    for primary in edition.primaries:
        body.append(f"<li><b>{primary.id} {escape(primary.title.get(language))}</b><ul>")
        for branch in (each for each in edition.secondaries if each.parent == primary.id):
            count = len(edition.of_secondary(branch.id))
            body.append(
                f'<li><a href="{branch.id}.html">{branch.id} {escape(branch.title.get(language))}</a>'
                f'<span class="count">&nbsp;{count}</span></li>'
            )
        body.append("</ul></li>")
    body.append("</ul>")
    for branch in edition.secondaries:
        body += _table(edition, branch.id, branch.title.get(language), language)
    body.append(f"<h3>{word['cost']}</h3><ul>")
    body += [f"<li>{escape(cost.sentence.get(language))}</li>" for cost in edition.costs]
    body.append(f"</ul><p class='small'>{word['counted_once']}</p>")
    if edition.coverage.missing:
        body.append(f"<h3>{word['missing']}</h3><p class='small'>{missing_text(edition.coverage, language)}</p>")
    files = [("figures.json", word["figures"]), *((name, word["bundle"]) for name in edition.bundles)]
    links = "".join(f'<li><a href="../{escape(name)}">{label}</a></li>' for name, label in files)
    body.append(f"<h3>{word['download']}</h3><ul>{links}</ul>")
    return page(edition, language, name="index.html", title=word["overview"], body=body)


def _table(edition: Edition, secondary: str, title: str, language: Language) -> list[str]:
    """The national figures of one branch."""
    word = words(language)
    rows = [
        f'<h3><a href="{secondary}.html">{secondary} {escape(title)}</a></h3><div class="scroll"><table class="leaves"><thead><tr>'
        f'<th>{word["code"]}</th><th>{word["name"]}</th><th class="n">{word["value"]}</th><th class="n">{word["interval"]}</th>'
        f"<th>{word['unit']}</th></tr></thead><tbody>"
    ]
    for leaf in edition.of_secondary(secondary):
        rows.append(
            f'<tr><td><a href="{secondary}.html#{leaf.id}">{leaf.id}</a></td><td>{escape(leaf.title.get(language))}</td>'
            f'<td class="n">{value_text(leaf.national)}</td><td class="n small">{interval_text(leaf.national)}</td>'
            f"<td>{escape(leaf.unit.get(language))}</td></tr>"
        )
    return [*rows, "</tbody></table></div>"]


def _counts(edition: Edition, word: dict[str, str]) -> str:
    """How many indicators of each level there are."""
    levels = [sum(leaf.level == level for leaf in edition.leaves) for level in ("university", "discipline")]
    numbers = (f"{each:,}" for each in (len(edition.primaries), len(edition.secondaries), *levels))
    return word["counts"].format(*numbers)
