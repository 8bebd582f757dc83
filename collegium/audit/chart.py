"""A picture of budgets over time as inline SVG: one line for each university, steps at its charges, the largest ones named."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from collegium.accounting import NANO
from collegium.audit.story import Spent, Story

__all__ = ["chart"]

WIDTH, HEIGHT = 1000, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 130, 22, 28
NAMED = 8  # lines with a colour and a name; the others are grey
_COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#0a7ea4", "#57606a")
_MAX_STEPS = 400  # of one line; more would not be seen


def chart(story: Story, unit: str) -> str:
    """What each university has spent of one unit, ever. The y axis is rho; a dashed line is the smallest lifetime budget."""
    lines = sorted((each for each in story.spent if each.unit == unit), key=lambda each: (-each.steps[-1][1], each.node))
    if not lines:
        return ""
    first = min(each.steps[0][0] for each in lines)
    last = max(max(time for time, _ in each.steps) for each in lines)
    span = max(last - first, 1)
    lifetimes = [line.lifetime for line in story.budgets if line.unit == unit and line.lifetime is not None]
    most = lines[0].steps[-1][1]
    limit = min(lifetimes, default=None)
    top = max(most, limit) if limit is not None and limit < 3 * most else most
    top = max(top, 1)

    def x(time: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (time - first) / span

    def y(nano: int) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * nano / top

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="rho spent of {escape(unit)} over time" '
        f'xmlns="http://www.w3.org/2000/svg"><text x="{LEFT}" y="12">rho spent ever, unit {escape(unit)}</text>'
    ]
    for part in range(5):
        value = top * part // 4
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#dde1e6"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value / NANO:.3g}</text>')
    for part, anchor in ((0, "start"), (1, "middle"), (2, "end")):
        time = first + span * part // 2
        parts.append(f'<text x="{x(time):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{_day(time)}</text>')
    if limit is not None and limit <= top:
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(limit):.1f}" y2="{y(limit):.1f}" stroke="#cf222e" '
            'stroke-dasharray="5 4"/>'
            f'<text x="{WIDTH - RIGHT + 6}" y="{y(limit) + 4:.1f}">lifetime</text>'
        )
    floor = 0.0
    for number, each in reversed(list(enumerate(lines))):
        colour = _COLOURS[number] if number < NAMED else "#d0d7de"
        parts.append(
            f'<path d="{_path(each, x, y, last)}" fill="none" stroke="{colour}" stroke-width="{2 if number < NAMED else 1}"/>'
        )
    for number, each in enumerate(lines[:NAMED]):
        floor = max(floor + 13, y(each.steps[-1][1]) + 4)  # names never lie on each other
        parts.append(
            f'<text x="{WIDTH - RIGHT + 6}" y="{floor:.1f}" style="fill:{_COLOURS[number]}">{escape(each.node[:20])}</text>'
        )
    if len(lines) > NAMED:
        parts.append(f'<text x="{WIDTH - RIGHT + 6}" y="{floor + 14:.1f}">and {len(lines) - NAMED} more</text>')
    return "".join([*parts, "</svg>"])


def _path(line: Spent, x: object, y: object, last: int) -> str:
    assert callable(x)
    assert callable(y)
    steps = line.steps if len(line.steps) <= _MAX_STEPS else (*line.steps[:: len(line.steps) // _MAX_STEPS + 1], line.steps[-1])
    text = [f"M{x(steps[0][0]):.1f} {y(0):.1f}"]
    for time, spent in steps:
        text.append(f"H{x(time):.1f}V{y(spent):.1f}")
    return "".join([*text, f"H{x(last):.1f}"])


def _day(time: int) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return ""
