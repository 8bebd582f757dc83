"""What a researcher holds after asking: tables with intervals, coverage, cost and guarantee, in Python and on paper.

    answer = federation.ask("SELECT gender, COUNT(*) AS graduates FROM graduate GROUP BY gender", epsilon=0.5)
    answer.rows()           one dict a row: group labels, and value, low, high for each measure
    answer.to_polars()      the same as a frame; also to_pandas(), to_csv(), to_json()
    answer.guarantee        one sentence
    answer.verify()         every signature and sum again

Every answer has been verified when it is made.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from collegium.accounting import epsilon_of, guarantee_sentence
from collegium.bundle import Bundle, Verified, verify
from collegium.combine import JOINED
from collegium.errors import NotReleased
from collegium.overlap import overlap_notes
from collegium.present import Presentable
from collegium.question import Question
from collegium.registry import Registry
from collegium.schema import UNKNOWN, Schema
from collegium.table import MODELS, TOTAL, Coverage, FactGroup, Figure, MeasureInfo, Row, Table
from collegium.view import FactColumn, GroupColumn, View
from collegium.wording import NOISE_IN, WORDS, reason_text

if TYPE_CHECKING:
    import pandas
    import polars

__all__ = ["NOISE", "Answer", "TableView", "csv_of", "table_tree"]

NOISE = NOISE_IN["en"]


class Shown(Protocol):
    """What a table needs of a question's figures."""

    @property
    def question(self) -> Question: ...
    @property
    def view(self) -> View: ...
    @property
    def table(self) -> Table: ...


class Labels(Protocol):
    """Where its labels come from: a registry."""

    @property
    def schemas(self) -> Mapping[str, Schema]: ...


@dataclass(frozen=True)
class TableView:
    """The table of one question, with labels from the schema. Shapes: one row for every fact group and group cell."""

    figures: Shown
    registry: Labels
    language: str = "en"

    @property
    def keys(self) -> list[str]:
        """Names of the key columns, from left to right."""
        columns = self.figures.view.columns
        return [
            c.title or (c.group if isinstance(c, GroupColumn) else c.fact)
            for c in columns
            if isinstance(c, GroupColumn | FactColumn)
        ]

    @property
    def headings(self) -> list[str]:
        """The same as a person reads them: in Chinese the schema's titles, where the statement gives none."""
        if self.language != "zh":
            return self.keys
        schema = self.registry.schemas[self.figures.question.schema_id]
        columns = schema.datasets[self.figures.question.dataset].columns
        found = []
        for c in self.figures.view.columns:
            if isinstance(c, FactColumn):
                found.append(c.title or schema.facts[c.fact].title.get("zh"))
            elif isinstance(c, GroupColumn):
                found.append(c.title or (columns[c.group].title.get("zh") if c.group in columns else c.group))
        return found

    @property
    def measures(self) -> list[str]:
        return [measure.label for measure in self.figures.table.measures]

    @property
    def coverage(self) -> Coverage:
        """Of all nodes asked."""
        return self.figures.table.fact_groups[0].coverage

    def shown(self) -> list[tuple[FactGroup, Row]]:
        """The rows a person wants: by fact when grouped by facts, with the whole federation last; where chosen, as ordered."""
        table = self.figures.table
        if table.selection is not None:
            return [(table.fact_groups[row.of], row) for row in table.in_order()]
        first, *others = [(group, table.rows_of(number)) for number, group in enumerate(table.fact_groups) if group.node is None]
        return [(group, row) for group, rows in (*others, first) for row in rows]

    def labels(self, group: FactGroup, row: Row, *, titles: bool = True) -> list[str]:
        """The key cells of one row. A whole federation under a fact reads "all"."""
        cells = []
        of = dict(zip(self.figures.table.group, row.group, strict=True))
        for column in self.figures.view.columns:
            if isinstance(column, FactColumn):
                code = group.facts.get(column.fact)
                everyone = "全国" if titles and self.language == "zh" else "all"
                cells.append(everyone if code is None else self._title(column.fact, code, titles))
            elif isinstance(column, GroupColumn):
                cells.append(self._title(column.group, of[column.group], titles))
        return cells

    def rows(self, *, titles: bool = False) -> list[dict[str, Any]]:
        """One dict a row: the keys, then for every measure NAME, NAME_low, NAME_high, NAME_mark; numbers are float or None.

        Shares are parts of one. Where they belong: `rank_best` and `rank_worst` of an ordered row, `unsure` of HAVING,
        NAME_significant of a difference and NAME_model_error of a regression.
        """
        rows = []
        shown = self.shown()
        ranked, chosen = (any(getattr(row, name) is not None for _, row in shown) for name in ("rank", "unsure"))
        for group, row in shown:
            line: dict[str, Any] = dict(zip(self.keys, self.labels(group, row, titles=titles), strict=True))
            if ranked:
                line |= dict(zip(("rank_best", "rank_worst"), row.rank or (None, None), strict=True))
            if chosen:
                line["unsure"] = row.unsure
            for info, figure in zip(self.figures.table.measures, row.figures, strict=True):
                if info.bins is not None:
                    for label, part in zip(info.bins, figure.bins or [Figure(reason=figure.reason)] * len(info.bins), strict=True):
                        line |= _numbers(f"{info.label} {label}", part, info)
                else:
                    line |= _numbers(info.label, figure, info)
            rows.append(line)
        return rows

    def to_csv(self) -> str:
        """Comma-separated, with a byte order mark for spreadsheet programs."""
        return csv_of([self])

    def _title(self, name: str, code: str, titles: bool) -> str:
        if not titles:
            return code
        if code in (UNKNOWN, TOTAL):
            return WORDS[self.language]["unknown" if code == UNKNOWN else "all"] if self.language == "zh" else code
        schema = self.registry.schemas[self.figures.question.schema_id]
        fact = schema.facts.get(name)
        if fact is not None and JOINED in code:  # several codes that are one group of a national sum
            return JOINED.join(self._title(name, each, titles) for each in code.split(JOINED))
        column = schema.datasets[self.figures.question.dataset].columns.get(name)
        if fact is not None:
            found = schema.codes[fact.codes].get(code)
        else:
            found = schema.values(column).get(code) if column is not None and not column.is_number else None
        return f"{code} {found.get(self.language)}" if found is not None else code


@dataclass(frozen=True)
class Answer(Presentable):
    """One request and all its figures, verified. `missing` is why an empty answer is empty."""

    verified: Verified
    bundle: Bundle
    registry: Registry
    language: str = "en"
    ratios: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.verified.id

    @property
    def tables(self) -> list[TableView]:
        """One for each question. Raises NotReleased while there is no figure at all."""
        if not self.verified.figures:
            raise NotReleased(
                "there is no figure yet", place=self.id[:12], remedy=f"Type `collegium result {self.id[:12]}` later.", reason="held"
            )
        return [TableView(figures, self.registry, self.language) for figures in self.verified.figures]

    @property
    def table(self) -> TableView:
        """The table of the first question."""
        return self.tables[0]

    @property
    def views(self) -> list[TableView]:
        """As `tables`; none while there is no figure."""
        return self.tables if self.verified.figures else []

    @property
    def notes(self) -> list[str]:
        """What stands below the figures: coverage, what is missing, cost, guarantee, noise, the request's id."""
        from collegium.show import footer

        return footer(self).plain.splitlines()

    @property
    def coverage(self) -> Coverage:
        return self.table.coverage

    @property
    def missing(self) -> dict[str, str]:
        """Node to sentence, for every node that is not in the figures of some question."""
        return {
            each.node: reason_text(each.reason, self.language)
            for figures in self.verified.figures
            for each in figures.accounts.missing
        }

    @property
    def cost(self) -> dict[str, int]:
        """Nano-rho by privacy unit: what the request costs a person at each node that had not answered it before."""
        costs: dict[str, int] = {}
        for question in {each.digest: each for each in self.verified.request.questions}.values():  # the same again is free
            unit = self._unit(question.dataset, question.schema_id)
            costs[unit] = costs.get(unit, 0) + question.rho
        return costs

    @property
    def national(self) -> dict[str, int]:
        """How much of `cost` is for national sums."""
        costs = dict.fromkeys(self.cost, 0)
        for question in {each.digest: each for each in self.verified.request.questions}.values():
            if question.mode == "national":
                costs[self._unit(question.dataset, question.schema_id)] += question.rho
        return costs

    @property
    def free(self) -> bool:
        """Whether every release was an earlier one, sent again at no charge, and every national sum that of an earlier request."""
        decisions = [each for figures in self.verified.figures if not figures.rounds for each in figures.decisions.values()]
        rounds = [each for figures in self.verified.figures for each in figures.rounds]
        earlier = all(each.verdict == "reuse" for each in decisions) and all(r.plan.request != self.id for r in rounds)
        return bool(decisions or rounds) and earlier

    @property
    def guarantee(self) -> str:
        """What the request costs one person, in words: one sentence for each privacy unit."""
        delta = self.registry.founding.delta
        sentences = []
        for unit, rho in self.cost.items():
            found = self.registry.schema.units[unit]
            title = found.title.get(self.language)
            title = title if self.language == "zh" else title[:1].lower() + title[1:]
            national = self.national[unit]
            sentences.append(
                guarantee_sentence(rho, delta, title, found.max_nodes_per_person, national=national, language=self.language)
            )
        return " ".join(sentences)

    @property
    def epsilon(self) -> Mapping[str, float]:
        """The same cost as epsilon at the federation's delta, by privacy unit."""
        return {unit: epsilon_of(rho, self.registry.founding.delta) for unit, rho in self.cost.items()}

    def verify(self) -> Verified:
        """Every signature, every sum and every table again, from the bytes that came. Raises NotVerified."""
        return verify(self.bundle, self.registry)

    def rows(self) -> list[dict[str, Any]]:
        return self.table.rows()

    def to_csv(self) -> str:
        """All tables and quotients, an empty line between two."""
        return csv_of([*self.tables, *self.quotients])

    def to_polars(self) -> polars.DataFrame:
        """Needs polars, which the library does not bring along."""
        import polars

        return polars.DataFrame(self.rows(), infer_schema_length=None)

    def to_pandas(self) -> pandas.DataFrame:
        """Needs pandas, which the library does not bring along."""
        import pandas

        return pandas.DataFrame(self.rows())

    def to_json(self) -> dict[str, Any]:
        """A plain tree for machines: figures, intervals, coverage, cost, guarantee."""
        return {
            "request": self.id,
            "cost": {
                unit: {"nano_rho": rho, "rho": rho / 1e9, "epsilon": self.epsilon[unit], "delta": self.registry.founding.delta}
                for unit, rho in self.cost.items()
            },
            "free": self.free,
            "guarantee": self.guarantee,
            "note": NOISE_IN[self.language],
            "signatures_verified": self.verified.signatures,
            "national_sums": [
                {
                    "question": figures.question.digest,
                    "group": list(each.plan.group) if each.plan.group is not None else None,
                    "plan": each.plan_id,
                    "request": each.plan.request,
                    "universities": each.result.count,
                    "honest": each.result.honest,
                    "variance_factor": [each.total.factor.numerator, each.total.factor.denominator],
                    "homes": each.plan.homes,
                    "trustees": [trustee.trustee for trustee in each.plan.trustees],
                }
                for figures in self.verified.figures
                for each in figures.rounds
            ],
            "missing": self.missing,
            "tables": [
                {
                    "question": figures.question.digest,
                    "revision": figures.indicator.revision,
                    "coverage": each.coverage.model_dump(),
                    "withdrawn": list(figures.withdrawn),
                    **table_tree(each),
                }
                for each, figures in zip(self.views, self.verified.figures, strict=True)
            ],
            "ratios": [{"label": each.measures[0], "rows": each.rows()} for each in self.quotients],
            "overlaps": [note for view in self.views for note in overlap_notes(view)],
        }

    def __str__(self) -> str:
        from collegium.show import as_text

        return as_text(self)

    def _unit(self, dataset: str, schema: str) -> str:
        return self.registry.schemas[schema].datasets[dataset].unit


def csv_of(views: Sequence[TableView]) -> str:
    """The tables one below the other, with one byte order mark, which spreadsheet programs want at the beginning."""
    buffer = io.StringIO()
    for number, view in enumerate(views):
        if number:
            buffer.write("\r\n")
        rows = view.rows()
        names = list(rows[0]) if rows else [*view.keys, *view.measures]  # HAVING may have kept none
        writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return "\ufeff" + buffer.getvalue()


def table_tree(view: TableView) -> dict[str, Any]:
    """For machines: what each measure is, what HAVING and LIMIT did, and the rows."""
    table = view.figures.table
    return {
        "measures": [
            {"label": info.label, "kind": info.kind, "unit": info.unit_in(view.language) or None, "percent": info.percent}
            for info in table.measures
        ],
        "selection": None if table.selection is None else table.selection.model_dump(),
        "rows": view.rows(),
    }


def _numbers(name: str, figure: Figure, info: MeasureInfo) -> dict[str, Any]:
    def number(text: str | None) -> float | None:
        return None if text is None else float(text)

    return {
        name: number(figure.value),
        f"{name}_low": number(figure.low),
        f"{name}_high": number(figure.high),
        f"{name}_mark": figure.mark or figure.reason,
        **({f"{name}_significant": figure.significant} if info.of is not None else {}),
        **({f"{name}_model_error": number(figure.model_error)} if info.kind in MODELS else {}),
    }
