"""Trouble is shown first, a country fits on one screen, JSON says each change once, and a lost coordinator ends nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from collegium.errors import Offline, Refused
from collegium.registry import Registry
from collegium.standing import STATES, WORDS, Policies, Standing, changes, standings
from collegium.v1.federation_pb2 import NodeLine, NodesReply, NodeStatusLine, TrusteeLine
from collegium.watching import WHOLE_EVERY, Watch, screen, watch_json, watch_live

NOW = 1_790_000_000.0
VKEY = "demo/registry+7fed0b35+AQ=="


class FakePolicy:
    """What `Policies` gives for a node that has one."""

    def __init__(self, *rules: tuple[str, tuple[str, ...]], time: int = int(NOW) - 7200) -> None:
        self.snapshots = [type("Snapshot", (), {"current": True, "time": time})()]
        self.rules = type("Rules", (), {"allow": [type("Rule", (), {"mode": mode, "release": r})() for mode, r in rules]})()


class FakePolicies(Policies):
    def __init__(self, **policies: Any) -> None:
        super().__init__()
        self.policies = policies

    def of(self, line: NodeLine, registry: Registry) -> Any:
        return self.policies.get(line.name.replace("-", "_"), FakePolicy(("allow", ("per_node",))))


class FakeRegistry(Registry):
    def __init__(self, size: int) -> None:
        self._entries = size

    @property
    def size(self) -> int:
        return self._entries


def node(name: str, *, connected: bool = True, seen: int = int(NOW), size: int = 50, **more: Any) -> NodeLine:
    status = NodeStatusLine(**{"version": "0.1.0", "snapshot": "ab", "registry_size": size, **more})
    return NodeLine(name=name, connected=connected, last_seen=seen, status=status)


def stand(*lines: NodeLine, trustees: tuple[TrusteeLine, ...] = (), **policies: Any) -> list[Standing]:
    return standings(NodesReply(nodes=lines, trustees=trustees), FakeRegistry(50), FakePolicies(**policies), NOW)


def key(until: int) -> TrusteeLine:
    return TrusteeLine(name="court", connected=True, last_seen=int(NOW), registry_size=50, key_until=until)


def test_every_state_has_its_words_and_trouble_comes_first() -> None:
    assert set(WORDS) == set(STATES)
    found = stand(
        node("a-ready"),
        node("b-behind", size=47),
        node("c-empty", snapshot=""),
        node("d-silent"),
        node("e-gone", connected=False, seen=int(NOW) - 60),
        node("f-long-gone", connected=False, seen=int(NOW) - 6000),
        node("g-never", connected=False, seen=0),
        trustees=(key(int(NOW) - 1),),
        d_silent=None,
    )
    assert [(each.name, each.state) for each in found] == [
        ("f-long-gone", "offline"), ("e-gone", "offline"), ("court", "no key"), ("d-silent", "no policy"),
        ("c-empty", "no snapshot"), ("b-behind", "behind"), ("g-never", "never"), ("a-ready", "ready"),
    ]  # fmt: skip
    assert next(each for each in found if each.name == "b-behind").behind == 3


@pytest.mark.parametrize(
    ("rules", "per_node", "national"),
    [
        ([], "", ""),
        ([("allow", ("per_node",))], "allow", ""),
        ([("hold", ("per_node", "national"))], "hold", "hold"),
        ([("hold", ("per_node",)), ("allow", ("per_node", "national"))], "allow", "allow"),
    ],
)
def test_the_modes_of_a_policy(rules: list[Any], per_node: str, national: str) -> None:
    (found,) = stand(node("a"), a=FakePolicy(*rules))
    assert (found.per_node, found.national) == (per_node, national)
    assert found.snapshot_time == NOW - 7200


def test_a_policy_that_its_node_has_not_signed_counts_for_nothing() -> None:
    registry = type("None", (FakeRegistry,), {"nodes": lambda self: []})(50)
    assert Policies().of(node("a", policy=b"forged"), registry) is None


def test_a_change_is_anything_but_having_been_seen_again() -> None:
    before = {each.name: each for each in stand(node("a"), node("b"), node("c"))}
    found = stand(node("a", seen=int(NOW) + 9), node("b", connected=False), node("c", version="0.2.0"), node("d"))
    assert {each.name for each in changes(before, found)} == {"b", "c", "d"}


class Sky:
    """A coordinator that says what a list says, look after look; an exception is raised. After the last, Ctrl-C."""

    def __init__(self, *replies: NodesReply | Exception) -> None:
        self.replies = list(replies)
        self.briefs: list[bool] = []

    def __call__(self, brief: bool) -> NodesReply:
        self.briefs.append(brief)
        said = self.replies.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def sleep(self, _seconds: float) -> None:
        if not self.replies:
            raise KeyboardInterrupt


def watch_of(sky: Callable[[bool], NodesReply]) -> Watch:
    return Watch(sky, lambda: FakeRegistry(50), clock=lambda: NOW)


def test_json_says_each_change_once_and_that_the_coordinator_was_away() -> None:
    everybody = NodesReply(nodes=[node("a", connected=False), node("b", connected=False)])
    sky = Sky(
        everybody,
        everybody,
        Offline("no way there"),
        Offline("no way there"),
        NodesReply(nodes=[node("b", connected=True, snapshot="")]),
    )
    out = io.StringIO()
    watch_json(watch_of(sky), every=5, out=out, sleep=sky.sleep)
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [{key: each[key] for key in ("name", "state", "coordinator", "gone") if key in each} for each in said] == [
        {"name": "a", "state": "offline"},
        {"name": "b", "state": "offline"},
        {"coordinator": "offline"},
        {"coordinator": "reached"},
        {"name": "b", "state": "no policy"},
        {"name": "a", "gone": True},
    ]
    assert all("time" in each for each in said)


def test_policies_are_fetched_seldom_and_again_after_an_absence() -> None:
    replies = [NodesReply(nodes=[node("a")]) for _ in range(WHOLE_EVERY + 1)]
    sky = Sky(*replies, Offline("gone"), NodesReply())
    watch_json(watch_of(sky), every=5, out=io.StringIO(), sleep=sky.sleep)
    assert [n for n, brief in enumerate(sky.briefs) if not brief] == [0, WHOLE_EVERY, WHOLE_EVERY + 2]


def test_a_refusal_ends_it() -> None:
    with pytest.raises(Refused):
        watch_json(watch_of(Sky(Refused("revoked", by="identity"))), every=5, out=io.StringIO(), sleep=lambda _: None)


def test_a_country_fits_on_a_screen_with_its_trouble() -> None:
    lines = [node(f"univ-{n:04}", connected=n % 100 != 7, seen=int(NOW) - n) for n in range(3074)]
    watch = watch_of(lambda _: NodesReply(nodes=lines, trustees=[key(int(NOW) + 86_400 * 20)]))
    watch._policies = FakePolicies()
    watch.look()
    out = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
    out.print(screen(watch, NOW, 40))
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("\n") <= 40
    assert "3,074 nodes: 3,043 ready, 31 offline" in text
    assert "1 trustee: 1 ready" in text
    assert "univ-3007" in text  # of those who are away the longest unseen
    assert "… and 3,044 more: 3,044 ready." in text
    assert "key for 20 d" not in text  # it is well, so it is not on the first page


def test_on_a_terminal_ctrl_c_ends_in_order_and_the_last_state_stays_to_be_read() -> None:
    sky = Sky(NodesReply(nodes=[node("a")]), Offline("no way there"))
    console = Console(file=io.StringIO(), width=120, height=30, force_terminal=True)
    watch_live(watch_of(sky), every=5, console=console, sleep=sky.sleep)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "The coordinator is not reached" in text
    assert "1 node: " in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is shown again
