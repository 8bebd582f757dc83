"""The page of one secondary indicator: for each indicator its figure, provinces, disciplines, years, definition and provenance."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from collegium.indicators.changes import Change, changes
from collegium.indicators.edition import Branch, Edition, Estimate, LeafFigures
from collegium.indicators.site.frame import coverage_text, missing_text, page
from collegium.indicators.site.numbers import interval_text, number, places, value_text
from collegium.indicators.site.pictures import bars, line, tiles
from collegium.indicators.site.words import Language, words

__all__ = ["sheet"]


def sheet(editions: Sequence[Edition], branch: Branch, language: Language) -> str:
    """The page of one branch. `editions` are of one catalogue, oldest first; the last one's figures are shown."""
    edition = editions[-1]
    parent = next(each for each in edition.primaries if each.id == branch.parent)
    body = [
        f'<p class="small">{parent.id} {escape(parent.title.get(language))}</p>',
        f"<h2>{branch.id} {escape(branch.title.get(language))}</h2>",
    ]
    for number_, leaf in enumerate(edition.of_secondary(branch.id)):
        body.append(_leaf(editions, leaf, language, open_=number_ == 0))
    return page(edition, language, name=f"{branch.id}.html", title=branch.title.get(language), body=body)


def _leaf(editions: Sequence[Edition], leaf: LeafFigures, language: Language, *, open_: bool) -> str:
    edition, word = editions[-1], words(language)
    unit = escape(leaf.unit.get(language))
    pictures = [
        _provinces(edition, leaf, language),
        _disciplines(edition, leaf, language),
        _years(editions, leaf, language),
    ]
    return "".join(
        (
            f'<details id="{leaf.id}"{" open" if open_ else ""}><summary><code>{leaf.id}</code>',
            f'<span class="name">{escape(leaf.title.get(language))}</span>',
            f'<span class="big">{value_text(leaf.national)} {unit}</span>',
            f'<span class="small">{interval_text(leaf.national)}</span></summary>',
            f'<p class="small">{word["coverage"]}{word["colon"]}{coverage_text(leaf.coverage, language)} · {word["noise"]} · ',
            f"{word['not_official']}</p>",
            f'<div class="pair">{pictures[0]}<div>{"".join(pictures[1:])}</div></div>',
            _definition(edition, leaf, language),
            "</details>",
        )
    )


def _provinces(edition: Edition, leaf: LeafFigures, language: Language) -> str:
    word = words(language)
    if not leaf.provinces:
        return ""
    if all(each.value is None or each.mark == "—" for each in leaf.provinces.values()):
        return f"<div><h4>{word['by_province']}</h4><p class='small'>{word['no_province']}</p></div>"
    names = {code: title.get(language) for code, title in edition.provinces.items()}
    picture = tiles(f"{leaf.title.get(language)}{word['colon']}{word['by_province']}", leaf.provinces, names, language)
    table = _table(word["province"], [(names.get(code, code), each) for code, each in leaf.provinces.items()], language)
    legend = f"<figcaption>{word['legend_map']}</figcaption>" if picture else ""
    return f"<div><h4>{word['by_province']}</h4><figure>{picture}{legend}</figure>{table}</div>"


def _disciplines(edition: Edition, leaf: LeafFigures, language: Language) -> str:
    word = words(language)
    found = edition.by_discipline(leaf)
    if not found:
        return ""
    lines = [(edition.disciplines[each.discipline].get(language), each.national) for each in found]
    picture = bars(f"{leaf.title.get(language)}{word['colon']}{word['by_discipline']}", lines, language)
    table = _table(word["discipline"], lines, language)
    caption = f"<figcaption>{word['legend_bars']}</figcaption>" if picture else ""
    return f"<div><h4>{word['by_discipline']}</h4><figure>{picture}{caption}</figure>{table}</div>"


def _years(editions: Sequence[Edition], leaf: LeafFigures, language: Language) -> str:
    word = words(language)
    found = [(each.year, each.by_id[leaf.id].national) for each in editions if leaf.id in each.by_id]
    picture = line(f"{leaf.title.get(language)}{word['colon']}{word['trend']}", found, language)
    if not picture:  # one year, or one with a figure
        return ""
    unit = word["points"] if leaf.unit.en == "%" else leaf.unit.get(language)
    rows = "".join(_change(change, unit, word) for change in changes(found))
    return (
        f"<div><h4>{word['trend']}</h4><figure>{picture}<figcaption>{word['legend_bars']}</figcaption></figure>"
        f'<div class="scroll"><table><tbody>{rows}</tbody></table></div></div>'
    )


def _change(change: Change, unit: str, word: dict[str, str]) -> str:
    digits = places(change.by)
    sign = "+" if change.by.value is not None and change.by.value > 0 else ""
    verdict = word["significant"] if change.significant else word["not_significant"]
    return (
        f'<tr><td class="w">{change.before} → {change.after}</td>'
        f'<td class="n">{sign}{number(change.by.value, digits)} {escape(unit)}<br>'
        f'<span class="n small">{interval_text(change.by)}</span></td><td class="w">{verdict}</td></tr>'
    )


def _table(head: str, lines: Sequence[tuple[str, Estimate]], language: Language) -> str:
    word = words(language)
    rows = "".join(
        f'<tr><td>{escape(label)}</td><td class="n">{value_text(each)}</td><td class="n small">{interval_text(each)}</td></tr>'
        for label, each in lines
    )
    heads = f'<th>{head}</th><th class="n">{word["value"]}</th><th class="n">{word["interval"]}</th>'
    return (
        f'<details class="table"><summary>{word["table"]}</summary><div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _definition(edition: Edition, leaf: LeafFigures, language: Language) -> str:
    word = words(language)
    above = word["counted"] if leaf.denominator is None else word["numerator"]
    lines = [(above, escape(leaf.numerator.get(language)))]
    if leaf.denominator is not None:
        lines.append((word["denominator"], escape(leaf.denominator.get(language))))
    lines += [
        (word["population"], escape(leaf.population.get(language))),
        *([(word["clip"], f"{leaf.clip[0]:,.10g} – {leaf.clip[1]:,.10g}")] if leaf.clip is not None else []),
        (word["reference"], escape(leaf.period.get(language))),
        (word["unit"], escape(leaf.unit.get(language))),
        (word["source"], f"<code>{escape(leaf.dataset)}</code>"),
        (word["protected"], escape(_protected(edition, leaf, language))),
    ]
    if leaf.coverage.missing:
        lines.append((word["missing"], missing_text(leaf.coverage, language)))
    links = [f'<a href="../{escape(name)}">{word["bundle"]}</a>' for name in edition.bundles]
    links += [f"<code>{request}</code>" for request in edition.requests]
    proof = word["comma"].join(links)
    lines.append((word["provenance"], proof))
    if edition.bundles:
        lines.append((word["verify"], f"<code>collegium verify {escape(edition.bundles[0])}</code>"))
    body = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in lines)
    return f"<h4>{word['definition']}</h4><dl>{body}</dl>"


def _protected(edition: Edition, leaf: LeafFigures, language: Language) -> str:
    """Whose privacy the noise protects, by the title of the unit."""
    return next((cost.title.get(language) for cost in edition.costs if cost.unit == leaf.privacy_unit), leaf.privacy_unit)
