"""`collegium nodes --watch`: everybody's standing on one screen, looked at every few seconds; as JSON one object a change.

The coordinator may go away meanwhile: that is said, and looking goes on. A screen shows what fits, trouble first, and says how
many of which state are left out, so a country of thousands is read at its top.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from collegium.errors import Offline
from collegium.registry import Registry
from collegium.standing import STATES, Policies, Standing, changes, counts, standings
from collegium.v1.federation_pb2 import NodesReply

__all__ = ["EVERY", "Watch", "screen", "watch_json", "watch_live"]

EVERY = 5.0  # seconds
WHOLE_EVERY = 12  # looks between two that fetch the policies too, by far the largest part
_FRAME = 9  # lines of a screen that are no party
_STYLE = {
    "offline": "bold red",
    "no key": "red",
    "no policy": "yellow",
    "no snapshot": "yellow",
    "behind": "yellow",
    "never": "dim",
}


class Watch:
    """Looks again and again. `fetch(brief)` asks the coordinator; `registry` gives the newest verified registry.

    `found` is empty before the first look; `offline` says why the last look failed, "" when it did not.
    """

    def __init__(
        self, fetch: Callable[[bool], NodesReply], registry: Callable[[], Registry], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._registry = registry
        self._clock = clock
        self._policies = Policies()
        self._looks = 0
        self.found: list[Standing] = []
        self.seen_at = 0.0
        self.offline = ""

    def look(self) -> None:
        """Once. Raises what is no mere absence of the coordinator: a refusal stays one."""
        try:
            brief = self._looks % WHOLE_EVERY != 0
            self.found = standings(self._fetch(brief), self._registry(), self._policies, self._clock())
            self._looks += 1
            self.seen_at, self.offline = self._clock(), ""
        except Offline as error:
            self.offline = str(error)
            self._looks = 0  # the next one fetches everything again


def watch_live(watch: Watch, *, every: float, console: Console, sleep: Callable[[float], None] = time.sleep) -> None:
    """Until Ctrl-C, which ends it in order."""
    with Live(console=console, auto_refresh=False, transient=False, screen=False) as live:
        try:
            while True:
                watch.look()
                height = console.size.height if console.is_terminal else 10_000
                live.update(screen(watch, time.time(), height), refresh=True)
                sleep(every)
        except KeyboardInterrupt:
            return


def watch_json(watch: Watch, *, every: float, out: TextIO, sleep: Callable[[float], None] = time.sleep) -> None:
    """Everybody first, then one object a change; `"gone": true` for who is revoked, `coordinator` when that is lost or back.

    Until Ctrl-C, or until nobody reads any more.
    """
    before: dict[str, Standing] = {}
    offline = ""

    def say(tree: dict[str, Any]) -> None:
        out.write(json.dumps({"time": round(time.time(), 3), **tree}, ensure_ascii=False) + "\n")

    try:
        while True:
            watch.look()
            if bool(watch.offline) != bool(offline):
                say({"coordinator": "offline" if watch.offline else "reached"})
            offline = watch.offline
            if not offline:
                for each in changes(before, watch.found):
                    say(each.to_json())
                now = {each.name: each for each in watch.found}
                for name in before.keys() - now.keys():
                    say({"name": name, "role": before[name].role, "gone": True})
                before = now
            out.flush()
            sleep(every)
    except (KeyboardInterrupt, BrokenPipeError):
        return


def screen(watch: Watch, now: float, height: int) -> RenderableType:
    """Counts, then whoever fits in `height` lines."""
    fits = max(3, height - _FRAME)
    shown, hidden = watch.found[:fits], watch.found[fits:]
    parts: list[RenderableType] = [_summary(watch.found, now)]
    if watch.offline:
        parts.append(Text(f"The coordinator is not reached; this is how it was {_ago(now - watch.seen_at)}.", style="bold red"))
    parts.append(_grid(shown, now))
    if hidden:
        left = ", ".join(f"{count:,} {state}" for state in STATES if (count := sum(each.state == state for each in hidden)))
        parts.append(Text(f"… and {len(hidden):,} more: {left}. All of them: collegium nodes", style="dim"))
    return Group(*parts)


def _summary(found: Sequence[Standing], now: float) -> Text:
    lines = []
    for role in ("node", "trustee"):
        by_state = counts(found, role)
        if by_state:
            words = ", ".join(f"{by_state[state]:,} {state}" for state in reversed(STATES) if by_state[state])
            lines.append(f"{by_state.total():,} {role}{'s' if by_state.total() > 1 else ''}: {words}")
    versions: dict[str, int] = {}
    for each in found:
        if each.version:
            versions[each.version] = versions.get(each.version, 0) + 1
    if len(versions) > 1:
        lines.append("versions: " + ", ".join(f"{count:,} {version}" for version, count in sorted(versions.items())))
    at = time.strftime("%H:%M:%S UTC", time.gmtime(now))
    return Text("\n".join([*lines, f"{at}. Ctrl-C ends."]))


def _grid(found: Sequence[Standing], now: float) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("name", "state", "last seen", "version", "behind", "snapshot", "per node", "national"):
        grid.add_column(heading, no_wrap=True, justify="right" if heading == "behind" else "left")
    for each in found:
        here = each.state not in ("offline", "never")
        name = each.name if each.role == "node" else f"{each.name} (trustee)"
        snapshot = _ago(now - each.snapshot_time) if each.snapshot_time else ""
        if each.role == "trustee" and each.key_until:
            snapshot = f"key for {max(0, each.key_until - now) / 86_400:.0f} d"
        grid.add_row(
            name, each.state, "now" if here else _ago(now - each.last_seen) if each.last_seen else "", each.version,
            str(each.behind or ""), snapshot, each.per_node, each.national, style=_STYLE.get(each.state, ""),
        )  # fmt: skip
    return grid


def _ago(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{int(seconds // size)} {word} ago"
    return "now"
