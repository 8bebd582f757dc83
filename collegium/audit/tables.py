"""`collegium audit show` on a terminal."""

from __future__ import annotations

from rich.table import Table

from collegium.audit.story import Story, amount, utc

__all__ = ["budget_table", "question_table", "sum_table"]


def question_table(story: Story) -> Table:
    """A line for each question, oldest first."""
    table = Table(
        title=f"Questions: rho (epsilon at delta {story.delta:g}) at each university that was charged", title_justify="left"
    )
    table.add_column("request", no_wrap=True)
    for heading in ("asked (UTC)", "researcher", "question", "purpose"):
        table.add_column(heading)
    for heading in ("cost", "charged", "answered"):
        table.add_column(heading, justify="right")
    table.add_column("withdrawn")
    for line in story.questions:
        table.add_row(
            line.request[:12] + (f".{line.number}" if line.number else ""), utc(line.time), line.researcher,
            f"{line.dataset}: {line.what}{' (national sum)' if line.national else ''}", line.purpose or "(erased)",
            amount(line.rho, story.delta), str(line.charged), f"{line.answered} of {line.asked}", ", ".join(line.withdrawn),
        )  # fmt: skip
    return table


def budget_table(story: Story) -> Table:
    """A line for each university and privacy unit: the newest period, and ever."""
    table = Table(title="Budgets, recomputed from the signed charges", title_justify="left")
    for heading in ("university", "unit", "period"):
        table.add_column(heading, no_wrap=True)
    for heading in ("charges", "spent", "of", "left", "spent ever", "lifetime"):
        table.add_column(heading, justify="right")
    for line in story.budgets:
        left = "" if line.limit is None else amount(max(0, line.limit - line.spent), story.delta)
        table.add_row(
            line.node, line.unit, line.period, str(line.charges), amount(line.spent, story.delta),
            amount(line.limit, story.delta), left, amount(line.spent_ever, story.delta), amount(line.lifetime, story.delta),
        )  # fmt: skip
    return table


def sum_table(story: Story) -> Table:
    """A line for each round of a national sum, oldest first."""
    table = Table(title="National sums: variance is that of the result over the planned one, |U|/m", title_justify="left")
    for heading in ("request", "planned (UTC)", "over"):
        table.add_column(heading, no_wrap=heading == "request")
    for heading in ("universities", "charged", "in the sum", "at least", "variance"):
        table.add_column(heading, justify="right")
    table.add_column("verified")
    for line in story.sums:
        table.add_row(
            line.request[:12] + (f".{line.number}" if line.number else ""), utc(line.time), ", ".join(line.group) or "all asked",
            f"{line.nodes:,}", f"{line.charged:,}", "–" if line.participants is None else f"{line.participants:,}",
            f"{line.least:,}", "–" if line.factor is None else f"{line.factor:.2f}", line.verified,
        )  # fmt: skip
    return table
