"""A question in words, in English or Chinese, with the labels of the public schema: for people who do not read SQL.

Everything here comes from the question and the schema; a part that this version has no words for is shown by its name.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from collegium.question import And, Component, GroupKey, In, Not, Or, Question, Range, Unknown
from collegium.schema import Column, Dataset, Schema

__all__ = ["in_words"]

_WORDS = {
    "en": {
        "people": "number of persons", "rows": "number of records", "sum": "sum of {}", "count": "number of records with {}",
        "total": "sum of {}, for its mean", "squares": "sum of squares of {}, for its spread", "bins": "histogram of {}",
        "product": "sum of products of {}, for a relation", "by": "by {}", "where": "where {}", "of": "of: {}",
        "and": " and ", "or": " or ", "not": "not ({})", "unknown": "{} unknown", "condition": "whether {}", "any": "all records",
        "is": "{} is {}", "from": "{} from {} to {}", "least": "{} at least {}", "most": "{} at most {}", "comma": ", ", "; ": "; ",
    },
    "zh": {
        "people": "人数", "rows": "记录数", "sum": "{}之和", "count": "有{}的记录数", "total": "{}之和（用于均值）",
        "squares": "{}平方和（用于离散程度）", "bins": "{}的分布", "product": "{}乘积之和（用于相关）", "by": "按{}分组",
        "where": "条件：{}", "of": "其中：{}", "and": "且", "or": "或", "not": "非（{}）", "unknown": "{}未知",
        "condition": "是否{}",
        "any": "全部记录", "is": "{}为{}", "from": "{}从{}到{}", "least": "{}不低于{}", "most": "{}不高于{}", "comma": "、",
        "; ": "；",
    },
}  # fmt: skip
MAX_VALUES = 8  # of a list in a condition; more are counted


def in_words(question: Question, schema: Schema, language: str = "en") -> str:
    """One sentence: what is counted, by what, under which condition."""
    words, dataset = _WORDS[language], schema.datasets[question.dataset]
    say = _Sayer(schema, dataset, language)
    figures: dict[str, None] = {}
    for component in question.components:
        figures[say.component(component)] = None
    parts = [f"{dataset.title.get(language)}: {words['comma'].join(figures)}"]
    if question.group:
        parts.append(words["by"].format(words["comma"].join(say.key(key) for key in question.group)))
    if question.filter is not None:
        parts.append(words["where"].format(say.predicate(question.filter)))
    return words["; "].join(parts)


class _Sayer:
    def __init__(self, schema: Schema, dataset: Dataset, language: str) -> None:
        self._schema, self._dataset, self._language = schema, dataset, language
        self._words = _WORDS[language]

    def component(self, component: Component) -> str:
        words = self._words
        names = [name for field in ("column", "with", "other") if isinstance(name := getattr(component, field, None), str)]
        operand = words["comma"].join(map(self.column, names))
        if component.condition is not None:
            operand = words["condition"].format(self.predicate(component.condition))
        text = words.get(component.kind, f"{component.kind} {{}}").format(operand)
        if component.filter is not None:
            text += f" ({words['of'].format(self.predicate(component.filter))})"
        return text

    def key(self, key: GroupKey) -> str:
        if key.cases is not None:
            return " / ".join(self.predicate(case) for case in key.cases)
        return self.column(key.column)

    def column(self, name: str) -> str:
        column = self._dataset.columns.get(name)
        return column.title.get(self._language) if column is not None else name

    def predicate(self, predicate: Any) -> str:
        words = self._words
        if isinstance(predicate, And | Or):
            joint = words["and" if isinstance(predicate, And) else "or"]
            return joint.join(
                f"({self.predicate(each)})" if isinstance(each, And | Or) else self.predicate(each) for each in predicate.args
            )
        if isinstance(predicate, Not):
            return words["not"].format(self.predicate(predicate.arg))
        if isinstance(predicate, Unknown):
            return words["unknown"].format(self.column(predicate.column))
        if isinstance(predicate, In):
            shown = [self._value(predicate.column, value) for value in predicate.values[:MAX_VALUES]]
            more = len(predicate.values) - len(shown)
            listed = words["or"].join(shown) + (f" (+{more})" if more else "")
            return words["is"].format(self.column(predicate.column), listed)
        if isinstance(predicate, Range):
            low, high, name = predicate.min, predicate.max, self.column(predicate.column)
            if low is not None and high is not None:
                return words["from"].format(name, self._value(predicate.column, low), self._value(predicate.column, high))
            end = low if low is not None else high
            return words["least" if low is not None else "most"].format(name, self._value(predicate.column, end))
        return str(getattr(predicate, "op", "?"))

    def _value(self, name: str, value: Any) -> str:
        column: Column | None = self._dataset.columns.get(name)
        if column is None:
            return str(value)
        if not column.is_number:
            title = self._schema.values(column).get(str(value))
            return title.get(self._language) if title is not None else str(value)
        if isinstance(value, int) and column.is_number:
            return f"{Decimal(value) * column.step:f}" + (f" {column.unit}" if column.unit else "")
        return str(value)
