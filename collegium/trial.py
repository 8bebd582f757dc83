"""A question tried on invented rows, before it is sent: the same compilation, tally, noise, addition and intervals, no signature.

    trial = Trial("dummy", Path("schema.toml"))           # rows made by `collegium dummy`
    trial.plan("SELECT COUNT(*) AS n FROM graduate", epsilon=0.3)
    trial.ask("SELECT province, COUNT(*) AS n FROM graduate GROUP BY province", epsilon=0.3)

A folder with CSV files is one university; a folder of such folders is several. `facts.toml` beside the files has the public facts.
Counting is done by an installed node engine (`collegium.engines`); the library itself cannot count rows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collegium.accounting import epsilon_of
from collegium.answer import TableView, csv_of, table_tree
from collegium.asking import Ask, nano_rho
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.compiling import compile_request
from collegium.dummy import FACTS
from collegium.engines import TrialEngine, trial_engine
from collegium.errors import Invalid, NotReleased
from collegium.layout import Layout, compile_layout
from collegium.overlap import overlap_notes
from collegium.plan import NodePlan, Plan, rho_text
from collegium.plan_make import assemble
from collegium.plan_modes import MODES
from collegium.planning import without_explain
from collegium.policy import Foreseen
from collegium.present import Presentable
from collegium.question import Question
from collegium.schema import Schema, read_schema
from collegium.table import Coverage, Table
from collegium.view import View
from collegium.wording import FOOTER, NOISE_IN

if TYPE_CHECKING:
    import pandas
    import polars

__all__ = ["INVENTED", "Trial", "TrialAnswer"]

INVENTED = FOOTER["en"]["invented"]
DELTA = "1e-6"


@dataclass(frozen=True, slots=True)
class _Campus:
    name: str
    folder: Path
    facts: Mapping[str, str]

    def file(self, dataset: str) -> Path:
        return self.folder / f"{dataset}.csv"


@dataclass(frozen=True, slots=True)
class TrialFigures:
    """What a table shows of one question."""

    question: Question
    view: View
    table: Table


@dataclass(frozen=True, slots=True)
class _Schemas:
    schemas: Mapping[str, Schema]


class Trial:
    """Invented rows under one folder.

    Raises Invalid when the folder holds no CSV file, or the schema cannot be read.
    """

    def __init__(
        self,
        folder: Path | str,
        schema: Schema | Path | str,
        *,
        language: str = "en",
        delta: str = DELTA,
        engine: TrialEngine | None = None,
    ) -> None:
        self.schema = schema if isinstance(schema, Schema) else read_schema(Path(schema))
        self.language = language
        self.delta = delta
        self._engine = engine
        self._campuses = _campuses(Path(folder))

    def plan(self, *statements: str, expect: int | None = None, **settings: Any) -> Plan:
        """What the statements would cost and how good they would be, as if these universities were the federation."""
        plain, _ = without_explain(statements)
        layouts, views, campuses = self._compile(Ask(statements=plain, **settings))
        nodes = [
            NodePlan(
                name=campus.name,
                facts=campus.facts,
                enrolment=0,
                connected=True,
                served=tuple(campus.file(layout.question.dataset).exists() for layout in layouts),
                verdicts=tuple(Foreseen("allowed") for _ in layouts),
                budgets={},
                policy_time=0,
                by_mode={mode: tuple(Foreseen("allowed") for _ in layouts) for mode in MODES},
            )
            for campus in campuses
        ]
        return assemble(layouts, views, nodes, self.schema, self.delta, expect=expect)

    def ask(self, *statements: str, **settings: Any) -> TrialAnswer:
        """The figures. Settings as in `collegium.asking.Ask`.

        Raises:
            Invalid: a statement is not understood, no engine is installed, or a file cannot be read; with the place.
            NotReleased: no university has the dataset.
        """
        layouts, views, campuses = self._compile(Ask(statements=statements, **settings))
        if any(layout.question.mode == "national" for layout in layouts):
            remedy = "Try it as it is asked of each university; `collegium plan --local` shows the error of a national sum."
            raise Invalid("a national sum needs trustees, which invented universities have not", place="mode", remedy=remedy)
        engine = self._engine or trial_engine()
        releases: list[list[NodeRelease]] = [[] for _ in layouts]
        for campus in campuses:
            here = {each.question.digest: each for each in layouts if campus.file(each.question.dataset).exists()}
            noisy = engine.answer(campus.folder, self.schema, list(here.values())) if here else []
            found = dict(zip(here, noisy, strict=True))  # statements with one question show one release
            for layout, each in zip(layouts, releases, strict=True):
                if layout.question.digest in found:
                    each.append(NodeRelease(campus.name, *found[layout.question.digest]))
        for layout, each in zip(layouts, releases, strict=True):
            if not each:
                name = layout.question.dataset
                raise NotReleased(f"there is no {name}.csv", place="--local", remedy=f"Make it with `collegium dummy {name}`.")
        asked = [AskedNode(campus.name, campus.facts, 0, "no-dataset") for campus in campuses]
        return TrialAnswer(
            tuple(
                TrialFigures(layout.question, view, combine(layout, view, self.schema, each, asked))
                for layout, view, each in zip(layouts, views, releases, strict=True)
            ),
            self.schema,
            self.delta,
            self.language,
        )

    def _compile(self, ask: Ask) -> tuple[list[Layout], list[View], list[_Campus]]:
        compiled = compile_request(ask, self.schema, nano_rho(ask, self.delta))
        wanted = compiled[0].fact_filter or {}
        campuses = [each for each in self._campuses if all(each.facts.get(fact) in codes for fact, codes in wanted.items())]
        if not campuses:
            raise Invalid("no university fits the question", place="--local", remedy="Make more with `collegium dummy --nodes`.")
        layouts = [compile_layout(each.question, self.schema) for each in compiled]
        return layouts, [each.view for each in compiled], campuses


@dataclass(frozen=True)
class TrialAnswer(Presentable):
    """Figures of invented rows, shown as an answer is shown."""

    figures: tuple[TrialFigures, ...]
    schema: Schema
    delta: str
    language: str = "en"
    ratios: tuple[str, ...] = ()

    @property
    def views(self) -> list[TableView]:
        registry = _Schemas({self.schema.id: self.schema})
        return [TableView(figures, registry, self.language) for figures in self.figures]

    @property
    def tables(self) -> list[TableView]:
        return self.views

    @property
    def table(self) -> TableView:
        """Of the first question."""
        return self.views[0]

    @property
    def coverage(self) -> Coverage:
        return self.table.coverage

    @property
    def cost(self) -> dict[str, int]:
        """What the request would cost, nano-rho by privacy unit."""
        costs: dict[str, int] = {}
        for figures in {figures.question.digest: figures for figures in self.figures}.values():
            unit = self.schema.datasets[figures.question.dataset].unit
            costs[unit] = costs.get(unit, 0) + figures.question.rho
        return costs

    @property
    def notes(self) -> list[str]:
        coverage, words = self.coverage, FOOTER[self.language]
        zh = self.language == "zh"
        costs = (
            words["would cost"].format(
                words["a unit"].format(
                    rho_text(rho), epsilon_of(rho, self.delta), self.schema.units[unit].title.get("zh") if zh else unit
                )
            )
            for unit, rho in self.cost.items()
        )
        overlaps = [note for view in self.views for note in overlap_notes(view)]
        covered = words["invented coverage"].format(coverage.answered, coverage.asked)
        return [words["invented"], covered, *overlaps, *costs, NOISE_IN[self.language]]

    def rows(self) -> list[dict[str, Any]]:
        return self.table.rows()

    def to_csv(self) -> str:
        return csv_of([*self.views, *self.quotients])

    def to_polars(self) -> polars.DataFrame:
        """Needs polars, which the library does not bring along."""
        import polars

        return polars.DataFrame(self.rows(), infer_schema_length=None)

    def to_pandas(self) -> pandas.DataFrame:
        """Needs pandas, which the library does not bring along."""
        import pandas

        return pandas.DataFrame(self.rows())

    def to_json(self) -> dict[str, Any]:
        """A plain tree for machines; `invented` is always true."""
        return {
            "invented": True,
            "note": INVENTED,
            "cost": {unit: {"nano_rho": rho, "epsilon": epsilon_of(rho, self.delta)} for unit, rho in self.cost.items()},
            "tables": [
                {"question": view.figures.question.digest, "coverage": view.coverage.model_dump(), **table_tree(view)}
                for view in self.views
            ],
            "ratios": [{"label": each.measures[0], "rows": each.rows()} for each in self.quotients],
            "overlaps": [note for view in self.views for note in overlap_notes(view)],
        }

    def __str__(self) -> str:
        from collegium.show import tables_text

        return tables_text([*self.views, *self.quotients], self.notes, self.language)


def _campuses(folder: Path) -> list[_Campus]:
    """The folder itself if it holds CSV files, else those folders in it that do."""
    if not folder.is_dir():
        raise Invalid("there is no such folder", place=str(folder), remedy="Make one with `collegium dummy TABLE --out FOLDER`.")
    found = [folder] if any(folder.glob("*.csv")) else sorted(each for each in folder.iterdir() if any(each.glob("*.csv")))
    if not found:
        raise Invalid("there is no CSV file", place=str(folder), remedy="Make some with `collegium dummy TABLE --out FOLDER`.")
    return [_Campus(each.name or "local", each, _facts(each / FACTS)) for each in found]


def _facts(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    try:
        return {name: str(code) for name, code in tomllib.loads(file.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(file), remedy='Write lines such as province = "11".') from None
