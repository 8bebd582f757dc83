"""What every answer can be turned into, whether it came from a federation or was tried on invented rows.

    answer.to_arrow(), answer.to_excel("figures.xlsx"), answer.chart(), answer.map()

Optional parts are imported when they are asked for; `pip install 'collegium[notebook]'` brings them all.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from collegium.chart import chart_spec, map_spec
from collegium.errors import Invalid

if TYPE_CHECKING:
    from collegium.answer import TableView

__all__ = ["Presentable", "Viewed", "optional"]


class Viewed(Protocol):
    """What presentation needs of an answer."""

    @property
    def views(self) -> list[TableView]:
        """One a question; none while there is no figure."""
        ...

    @property
    def quotients(self) -> list[TableView]:
        """Ratios across questions that were asked to be shown with them."""
        ...

    @property
    def notes(self) -> list[str]:
        """Sentences that belong under the figures: coverage, what is missing, cost, guarantee, noise."""
        ...


def optional(module: str) -> Any:
    """An optional part. Raises Invalid with what to install."""
    try:
        return import_module(module)
    except ImportError:
        remedy = "Type: pip install 'collegium[notebook]'"
        raise Invalid(f"{module} is not installed", place=module, remedy=remedy) from None


class Presentable(Viewed):
    """Mixed into answers. `ratios` are quotients across questions that are shown below the tables."""

    ratios: tuple[str, ...] = ()

    def ratio(self, text: str) -> TableView:
        """`"students / teachers"`: a count or sum of one question divided by one of another, row by row. Raises Invalid."""
        from collegium.across import ratio_of

        return ratio_of(self.views, text)

    @property
    def quotients(self) -> list[TableView]:
        """One for each of `ratios`; none while there is no figure."""
        return [self.ratio(text) for text in self.ratios] if self.views else []

    def _view(self, question: int) -> TableView:
        views = self.views
        if not 0 <= question < len(views):
            raise Invalid(f"there is no table {question}", place="question", remedy=f"There are {len(views)}, counted from 0.")
        return views[question]

    def to_arrow(self, question: int = 0) -> Any:
        """A pyarrow.Table of one question: keys and marks as text, figures as float64, missing ones null. Needs pyarrow."""
        arrow = optional("pyarrow")
        view = self._view(question)
        rows = view.rows()
        fields = []
        for name in rows[0]:
            numeric = name not in view.keys and not name.endswith("_mark")
            kind = arrow.bool_() if any(isinstance(row[name], bool) for row in rows) else arrow.float64()
            fields.append(arrow.field(name, kind if numeric else arrow.string()))
        return arrow.Table.from_pylist(rows, schema=arrow.schema(fields))

    def to_excel(self, path: Path | str) -> Path:
        """A workbook: one sheet a question with labels, figures and intervals, and one with the notes. Needs xlsxwriter."""
        from collegium.excel import write_workbook

        return write_workbook(self, Path(path))

    def chart(self, question: int = 0, measure: int | str = 0) -> Any:
        """An Altair chart of one measure, points with error bars. Needs altair."""
        view = self._view(question)
        return optional("altair").Chart.from_dict(chart_spec(view, _number(view, measure)))

    def map(self, question: int = 0, measure: int | str = 0) -> Any:
        """An Altair chart with one tile a province, no border drawn. Needs altair.

        Raises Invalid unless the table is by one key whose codes are provinces.
        """
        view = self._view(question)
        spec = map_spec(view, _number(view, measure))
        if spec is None:
            raise Invalid("the table is not by province alone", place="map", remedy="Write GROUP BY province.")
        return optional("altair").Chart.from_dict(spec)

    def _repr_html_(self) -> str:
        from collegium.notebook import html_of

        return html_of(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Jupyter takes HTML, a terminal takes text."""
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def _number(view: TableView, measure: int | str) -> int:
    """The place of a measure given by place or by label."""
    labels = view.measures
    if isinstance(measure, str) and measure in labels:
        return labels.index(measure)
    if isinstance(measure, int) and 0 <= measure < len(labels):
        return measure
    raise Invalid(f"there is no measure {measure!r}", place="measure", remedy=f"There is: {', '.join(labels)}.")
