"""The words of an indicator, made from those of its measure, population, dimension and discipline, in both languages."""

from __future__ import annotations

from collegium.indicators.catalogue import Catalogue, Measure
from collegium.indicators.leaf import Definition
from collegium.schema import Column, Text

__all__ = ["define", "entitle"]


def entitle(measure: Text, value: Text | None, discipline: Text | None) -> Text:
    """Graduates, doctoral, Philosophy; 哲学·博士生·毕业生数."""
    english = [text.en for text in (measure, value, discipline) if text is not None]
    chinese = [text.zh for text in (discipline, value, measure) if text is not None]
    return Text(en=", ".join(english), zh="·".join(chinese))


def define(
    measure: Measure, catalogue: Catalogue, column: Column | None, value: Text | None, discipline: Text | None, shared: bool
) -> Definition:
    """What is counted, over what, and of whom.

    Args:
        column: the column that is summed, if there is one.
        value: that of the dimension.
        shared: the denominator is narrowed to the same value, because its dataset has the dimension too.
    """
    people = catalogue.populations[measure.population].title.text
    whole = _narrow(people, None, discipline)
    here = _narrow(people, value, discipline)
    kind = measure.kind
    if kind == "count_distinct":
        return Definition(_both("persons in: {}", "人数：{}", here), None, here)
    if kind == "count":
        return Definition(_both("number of: {}", "条数：{}", here), None, here)
    if kind == "share":
        return Definition(_both("number of: {}", "条数：{}", here), _both("number of: {}", "条数：{}", whole), whole)
    if kind == "ratio":
        assert measure.counted is not None
        return Definition(_narrow(measure.counted.text, value, discipline), here, here)
    if kind == "mean":
        assert column is not None
        known = Text(en=f"those among them whose {column.title.en.lower()} is known", zh=f"其中{column.title.zh}已知者")
        return Definition(_sum(column, here), known, here)
    if kind == "sum":
        return Definition(_clipped(_some(column), here, measure, catalogue), None, here)
    assert measure.denominator is not None
    over = _narrow(catalogue.populations[measure.denominator].title.text, value if shared else None, discipline)
    below = _both("persons in: {}", "人数：{}", over)
    if kind == "sum_per":
        return Definition(_clipped(_some(column), here, measure, catalogue), below, here)
    if kind == "count_per":
        return Definition(_both("number of: {}", "条数：{}", here), below, here)
    return Definition(_both("persons in: {}", "人数：{}", here), below, here)


def _some(column: Column | None) -> Column:
    assert column is not None
    return column


def _sum(column: Column, here: Text) -> Text:
    return Text(en=f"sum of {column.title.en.lower()} over: {here.en}", zh=f"{column.title.zh}之和：{here.zh}")


def _clipped(column: Column, here: Text, measure: Measure, catalogue: Catalogue) -> Text:
    """The sum, and the ends to which each person's own sum is clipped."""
    assert measure.clip is not None
    low, high = (f"{end:,f}" for end in measure.clip)
    unit, plain = catalogue.units[measure.unit], _sum(column, here)
    english = f"{plain.en} (what one person adds lies between {low} and {high} {unit.en})"
    return Text(en=english, zh=f"{plain.zh}（每人合计限于{low}至{high}{unit.zh}）")


def _narrow(text: Text, value: Text | None, discipline: Text | None) -> Text:
    more = [each for each in (value, discipline) if each is not None]
    return Text(en="; ".join([text.en, *(each.en for each in more)]), zh="；".join([text.zh, *(each.zh for each in more)]))


def _both(english: str, chinese: str, text: Text) -> Text:
    return Text(en=english.format(text.en), zh=chinese.format(text.zh))
