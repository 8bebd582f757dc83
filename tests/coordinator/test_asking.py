"""A question through a real coordinator over mutual TLS: the happy path, nodes that fail, answers that come late, replays.

Counts as failure: a sum that holds an answer nobody verified, a node that is neither used nor missing with a reason, a request
asked or charged twice, a node whose trouble touches another. Slowness does not count.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from collegium.log.statement import statement_id
from collegium.statements import Indicator, LogPlace, Original, Withdrawal
from collegium.table import Table
from collegium_coordinator.indicator import national_table


class Scene:
    """A serving coordinator, connected nodes and one researcher's line."""

    def __init__(self, federation: Any, nodes: list[Any], alice: Any, stub: Any, stack: AsyncExitStack) -> None:
        self.federation = federation
        self.nodes = nodes
        self.alice = alice
        self.stub = stub
        self.stack = stack

    async def request(self, **changes: Any) -> Any:
        return self.alice.request(await self.alice.registry(self.stub), [node.name for node in self.nodes], **changes)

    async def ask(self, **changes: Any) -> Any:
        return await self.federation.ask(self.stub, await self.request(**changes))

    async def table(self, identity: str, **more: Any) -> tuple[Any, dict[str, Any]]:
        parts = await self.federation.result(self.stub, identity, **more)
        indicator = self.federation.seen(parts)
        blobs = {hashlib.sha256(blob).hexdigest(): blob for blob in parts["blob"]}
        return indicator, json.loads(blobs[indicator.table.sha256])


def scene(federation: Any, play: Callable[[Scene], Any], *, nodes: int = 3, connect: int | None = None, **asking: Any) -> None:
    """Set the scene with nodes u1, u2, … whose tallies are 1, 2, …; the first `connect` of them are connected."""

    async def run() -> None:
        async with federation.serving(**asking), AsyncExitStack() as stack:
            members = [await federation.node(f"u{n}", value=n) for n in range(1, nodes + 1)]
            alice = await federation.researcher()
            up = members[: nodes if connect is None else connect]
            for node in up:
                await stack.enter_async_context(federation.link(node))
            await federation.all_connected(*up)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            await play(Scene(federation, members, alice, stub, stack))

    asyncio.run(run())


def reasons(indicator: Any) -> dict[str, str]:
    return {missing.node: missing.reason for missing in indicator.missing}


def test_a_question_reaches_every_node_and_comes_back_as_one_signed_sum(federation: Any) -> None:
    async def play(s: Scene) -> None:
        request = await s.request()
        done = await federation.ask(s.stub, request)
        assert (done.asked, done.released, done.missing, done.done) == (4, 4, 0, True)
        assert done.request_id == statement_id(request.request)
        indicator, table = await s.table(done.request_id)
        assert table["sum"] == [10]
        assert [used.node for used in indicator.releases] == ["u1", "u2", "u3", "u4"]
        assert indicator.missing == ()
        assert indicator.coverage.model_dump() == {"asked": 4, "answered": 4, "enrolment": 400, "enrolment_asked": 400}
        parts = await federation.result(s.stub, done.request_id, refresh=True)
        assert len(parts["release"]) == len(parts["decision"]) == 4
        # Nothing new: the same revision, and nobody asked again.
        assert Indicator.read(parts["indicator"][0]) == indicator.indicator
        assert indicator.revision == 0
        assert all(node.asked == 1 for node in s.nodes)

    scene(federation, play, nodes=4)


def test_the_log_holds_everything_in_final_form_and_order(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        await s.table(done.request_id)
        rows = federation.coordinator.store.rows("SELECT idx, kind, request, entry, leaf FROM entries ORDER BY idx")
        assert [row[0] for row in rows] == list(range(len(rows)))
        kinds = [row[1] for row in rows]
        assert kinds[:2] == ["peer", "request"]  # the registry by which the request was judged stands before it
        assert kinds[-1] == "indicator"
        assert sorted(kinds) == ["decision"] * 3 + ["indicator"] + ["peer"] * 4 + ["release"] * 3 + ["request"]
        assert all(row[4] == hashlib.sha256(b"\0" + row[3]).digest() for row in rows)
        assert all(row[2] == ("" if row[1] == "peer" else done.request_id) for row in rows)
        indicator = Indicator.read(rows[-1][3])
        assert (indicator.log.origin, indicator.log.index) == ("demo/coordinator", len(rows) - 1)

    scene(federation, play)


def test_a_node_that_is_offline_broken_or_slow_touches_no_other(federation: Any) -> None:
    async def play(s: Scene) -> None:
        s.nodes[1].broken = RuntimeError("canary 4711")
        s.nodes[2].gate = asyncio.Event()
        done = await s.ask()
        assert (done.released, done.missing) == (1, 3)
        indicator, table = await s.table(done.request_id)
        assert table["sum"] == [1]
        assert reasons(indicator) == {"u2": "failed", "u3": "deadline", "u4": "offline"}
        assert (indicator.coverage.enrolment, indicator.coverage.enrolment_asked) == (100, 400)

    scene(federation, play, nodes=4, connect=3, deadline_seconds=1.0, again_seconds=600.0)


def test_when_no_node_answers_there_is_no_figure_and_a_reason_for_each(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        assert (done.released, done.missing, done.done) == (0, 3, True)
        indicator, table = await s.table(done.request_id)
        assert indicator.releases == ()
        assert set(reasons(indicator).values()) == {"offline"}
        assert table["sum"] is None

    scene(federation, play, connect=0)


def test_the_result_is_there_before_the_last_node_has_answered(federation: Any) -> None:
    """min-nodes is the researcher's choice: progress says how many have answered, and he may take the result then."""

    async def play(s: Scene) -> None:
        s.nodes[2].gate = asyncio.Event()
        request = await s.request()
        async for progress in s.stub.Ask(request):
            if progress.released == 2:
                break
        assert not progress.done
        indicator, table = await s.table(progress.request_id, wait_seconds=0.0)
        assert table["sum"] == [3]
        assert reasons(indicator) == {"u3": "deadline"}
        s.nodes[2].gate.set()
        indicator, table = await s.table(progress.request_id)
        assert (table["sum"], indicator.revision) == ([6], 1)

    scene(federation, play)


def test_hanging_up_leaves_the_question_running(federation: Any) -> None:
    async def play(s: Scene) -> None:
        gate = asyncio.Event()
        for node in s.nodes:
            node.gate = gate
        call = s.stub.Ask(await s.request())
        first = await call.read()
        call.cancel()
        gate.set()
        await federation.until(lambda: federation.coordinator.fanout.job(first.request_id).done)
        _, table = await s.table(first.request_id)
        assert table["sum"] == [6]

    scene(federation, play)


def test_a_node_that_reconnects_is_asked_what_it_owes_and_joins_at_no_second_charge(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        first, table = await s.table(done.request_id)
        assert (table["sum"], reasons(first)) == ([3], {"u3": "offline"})
        await s.stack.enter_async_context(federation.link(s.nodes[2]))
        await federation.until(lambda: federation.coordinator.fanout.job(done.request_id).progress().released == 3)
        second, table = await s.table(done.request_id)
        assert (table["sum"], second.revision, second.missing) == ([6], 1, ())
        charged = federation.coordinator.store.rows("SELECT node, SUM(rho) FROM charges GROUP BY node")
        assert charged == [("u1", 10**7), ("u2", 10**7), ("u3", 10**7)]

    scene(federation, play, connect=2)


def test_a_held_node_is_asked_again_until_its_steward_has_decided(federation: Any) -> None:
    async def play(s: Scene) -> None:
        s.nodes[0].hold = True
        done = await s.ask()
        assert (done.released, done.held) == (2, 1)
        indicator, _ = await s.table(done.request_id)
        assert reasons(indicator) == {"u1": "held"}
        s.nodes[0].hold = False
        await federation.until(lambda: federation.coordinator.fanout.job(done.request_id).progress().released == 3)
        indicator, table = await s.table(done.request_id)
        assert (table["sum"], indicator.revision) == ([6], 1)

    scene(federation, play, again_seconds=0.1)


def test_refresh_asks_missing_nodes_while_the_request_is_valid(federation: Any) -> None:
    async def play(s: Scene) -> None:
        s.nodes[1].broken = RuntimeError("for now")
        done = await s.ask()
        assert done.missing == 1
        s.nodes[1].broken = None
        indicator, table = await s.table(done.request_id, refresh=True)
        assert (table["sum"], indicator.missing) == ([6], ())
        federation.offset = 4000.0  # the request has expired
        asked = [node.asked for node in s.nodes]
        await s.table(done.request_id, refresh=True)
        assert [node.asked for node in s.nodes] == asked

    scene(federation, play, again_seconds=600.0)


def test_the_same_request_again_is_the_same_request(federation: Any) -> None:
    async def play(s: Scene) -> None:
        request = await s.request()
        results = await asyncio.gather(*(federation.ask(s.stub, request) for _ in range(20)))
        assert len({progress.request_id for progress in results}) == 1
        assert all(progress.released == 3 for progress in results)
        assert all(node.asked == 1 for node in s.nodes)
        federation.offset = 4000.0  # also after it has expired
        assert (await federation.ask(s.stub, request)).released == 3
        store = federation.coordinator.store
        assert store.row("SELECT COUNT(*) FROM entries WHERE kind = 'request'") == (1,)
        assert all(node.asked == 1 for node in s.nodes)

    scene(federation, play, again_seconds=600.0)


def test_another_request_for_the_same_question_reuses_and_records_no_charge(federation: Any) -> None:
    async def play(s: Scene) -> None:
        first = await s.ask(nonce="1" * 32)
        second = await s.ask(nonce="2" * 32)
        assert first.request_id != second.request_id
        assert second.released == 3
        one, _ = await s.table(first.request_id)
        two, _ = await s.table(second.request_id)
        assert one.releases == two.releases
        assert federation.coordinator.store.row("SELECT SUM(rho) FROM charges") == (3 * 10**7,)

    scene(federation, play)


def test_a_withdrawn_release_leaves_the_next_revision(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        before, _ = await s.table(done.request_id)
        node = s.nodes[2]
        (_, release, _, index) = next(iter(node.released.values()))

        def withdrawal(place: LogPlace) -> Withdrawal:
            return Withdrawal(
                log=place,
                registry=node.registry.view(),
                time=2,
                release=Original(index=index, sha256=statement_id(release)),
                request=done.request_id,
                number=0,
                reason="wrong file",
            )

        # Not yet under a checkpoint of the node's log: nothing shows when it was said.
        node.withdrawals = [withdrawal(LogPlace(origin=node.log.name, index=99)).sign(node.statements)]
        federation.offset = 100.0  # old enough to be asked for withdrawals again
        parts = await federation.result(s.stub, done.request_id, refresh=True)
        assert ("withdrawal" in parts, federation.read(parts).revision) == (False, 0)
        node.withdrawals = [node.sign(withdrawal)]
        federation.offset = 200.0
        parts = await federation.result(s.stub, done.request_id, refresh=True)
        after = federation.read(parts)
        assert (before.revision, after.revision) == (0, 1)
        assert reasons(after) == {"u3": "withdrawn"}
        assert parts["withdrawal"] == node.withdrawals
        kinds = [row[0] for row in federation.coordinator.store.rows("SELECT kind FROM entries ORDER BY idx")]
        assert kinds[-3:] == ["peer", "withdrawal", "indicator"]

    scene(federation, play, again_seconds=50.0)


def test_a_node_cannot_withdraw_anothers_release(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        (_, release, _, index) = next(iter(s.nodes[0].released.values()))
        liar = s.nodes[2]
        liar.withdrawals = [
            Withdrawal(
                log=LogPlace(origin=liar.log.name, index=99),
                registry=liar.registry.view(),
                time=2,
                release=Original(index=index, sha256=statement_id(release)),
                request=done.request_id,
                number=0,
                reason="not mine",
            ).sign(liar.statements)
        ]
        federation.offset = 100.0
        indicator, table = await s.table(done.request_id, refresh=True)
        assert (table["sum"], indicator.revision) == ([6], 0)

    scene(federation, play, again_seconds=50.0)


def test_a_restart_finishes_what_was_under_way(federation: Any) -> None:
    async def run() -> None:
        async with AsyncExitStack() as parties:
            async with federation.serving():
                nodes = [await federation.node(f"u{n}", value=n) for n in (1, 2)]
                alice = await federation.researcher()
                async with AsyncExitStack() as stack:
                    for node in nodes:
                        await stack.enter_async_context(federation.link(node))
                    await federation.all_connected(*nodes)
                    nodes[1].gate = asyncio.Event()
                    stub = await stack.enter_async_context(alice.line(federation.ports.main))
                    request = alice.request(await alice.registry(stub), ["u1", "u2"])
                    async for progress in stub.Ask(request):
                        if progress.released == 1:
                            break
                    # The coordinator stops here with one node unanswered and still connected.
                    await federation.coordinator.fanout.close()
                    federation.coordinator.nodes._connections.clear()
            async with federation.serving():
                nodes[1].gate = None
                for node in nodes:
                    await parties.enter_async_context(federation.link(node))
                await federation.until(lambda: federation.coordinator.fanout.job(progress.request_id).done)
                stub = await parties.enter_async_context(alice.line(federation.ports.main))
                assert (await federation.ask(stub, request)).released == 2
                assert nodes[0].asked == 1  # its answer was stored before

    asyncio.run(run())


def test_a_researcher_sees_his_own_requests_and_no_others(federation: Any, messages: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask(purpose="graduates by sex")
        listed = (await s.stub.Requests(messages.requests())).requests
        assert [(line.request_id, line.purpose, line.progress.released) for line in listed] == [
            (done.request_id, "graduates by sex", 3)
        ]
        bob = await federation.researcher("bob")
        async with bob.line(federation.ports.main) as stub:
            assert not (await stub.Requests(messages.requests())).requests
            with pytest.raises(Exception, match="no such request of yours"):
                await federation.result(stub, done.request_id)

    scene(federation, play)


def test_nodes_are_listed_with_what_they_are(federation: Any, messages: Any) -> None:
    async def play(s: Scene) -> None:
        lines = (await s.stub.Nodes(messages.nodes())).nodes
        assert [(line.name, line.connected, dict(line.facts), line.enrolment) for line in lines] == [
            ("u1", True, {"province": "11"}, 100),
            ("u2", True, {"province": "11"}, 100),
            ("u3", False, {"province": "11"}, 100),
        ]
        assert list(lines[0].status.datasets) == ["graduate"]
        assert lines[2].last_seen == 0

    scene(federation, play, connect=2)


def test_the_table_is_the_librarys_and_a_missing_node_is_never_a_zero(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        indicator, tree = await s.table(done.request_id)
        table = Table.from_bytes(json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
        assert table.rows[0].figures[0].raw == (3,)
        assert [(m.node, m.reason) for m in table.fact_groups[0].coverage.missing] == [("u3", "offline")]
        assert reasons(indicator) == {"u3": "offline"}

    scene(federation, play, connect=2, combine=national_table)


def test_a_node_learns_who_asks_before_it_is_asked(federation: Any) -> None:
    """A researcher who joined a second ago is no stranger at a node that is slow to learn."""

    async def play(s: Scene) -> None:
        node = s.nodes[0]
        node.learning = asyncio.Event()
        bob = await federation.researcher("bob")  # the push that tells the node of him is stuck
        async with bob.line(federation.ports.main) as stub:
            asking = asyncio.ensure_future(federation.ask(stub, bob.request(await bob.registry(stub), ["u1"])))
            await asyncio.sleep(0.2)
            assert node.asked == 0
            node.learning.set()
            assert (await asking).released == 1

    scene(federation, play, nodes=1, again_seconds=600.0)


def test_the_newest_connection_of_a_node_is_the_one_in_use(federation: Any) -> None:
    """A node that dials again before its old line is known to be dead is not asked down the dead one."""

    async def play(s: Scene) -> None:
        node = s.nodes[0]
        before = federation.coordinator.nodes.get("u1")
        async with federation.link(node):
            await federation.until(lambda: federation.coordinator.nodes.get("u1") is not before)
            await federation.until(lambda: before.gone)
            assert (await s.ask()).released == 1

    scene(federation, play, nodes=1)


def test_facts_select_the_nodes_of_the_registry_the_request_names(federation: Any) -> None:
    """A node that joined after the request was signed is not asked; one revoked since is missing, never forgotten."""

    async def play(s: Scene) -> None:
        far = await federation.node("far", facts={"province": "31"})
        request = await s.request(audience=None, facts={"province": ("11",)})
        everybody = await s.request(audience=None, facts={}, nonce="1" * 32)
        late = await federation.node("late")
        await s.stack.enter_async_context(federation.link(far))
        await s.stack.enter_async_context(federation.link(late))
        await federation.all_connected(far, late)
        await asyncio.to_thread(federation.revoke, "u2")
        await federation.until(lambda: not federation.coordinator.nodes.connected("u2"))
        done = await federation.ask(s.stub, request)
        indicator, table = await s.table(done.request_id)
        assert (table["sum"], reasons(indicator)) == ([1], {"u2": "offline"})
        done = await federation.ask(s.stub, everybody)
        indicator, _ = await s.table(done.request_id)
        assert [used.node for used in indicator.releases] == ["far", "u1"]
        assert late.asked == 0

    scene(federation, play, nodes=2, again_seconds=600.0)
