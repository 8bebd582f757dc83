"""Rounds of national sums through real tunnels and statements, with nodes and trustees of `national_parties`.

Counts as failure: a total that is not the participants' sum to the digit; a second plan or close of a round; a charge without a
plan; a refusal of one party that stops the others; anything that `verify_round` does not re-verify from log and files alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from national_parties import Country, FakeTrustee
from national_scenes import BY_PROVINCE, VIEW, bundle_of, figures, nationally, play, reasons, total_of

from collegium.bundle import verify
from collegium.log.folder import LogFolder, blob_path
from collegium.log.statement import statement_id
from collegium.national.statements import Close, Plan, Result
from collegium.statements import Decision, Indicator
from collegium_coordinator.logs import export_logs
from collegium_coordinator.standing import Standing
from collegium_coordinator.store import Store

# -- figures -------------------------------------------------------------------------------------------------------------------


def test_six_nodes_and_three_trustees_come_to_the_sum_that_anybody_verifies(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        progress = await c.ask(await c.request(make_question))
        assert (progress.released, progress.asked, progress.done) == (6, 6, True)
        (row,) = c.rows()
        assert row.state == "done"
        assert total_of(c, row, make_question) == [21]
        seen = await figures(c, progress.request_id)
        assert [each.node for each in seen.accounts.releases] == [f"u{n}" for n in range(1, 7)]
        assert seen.indicator.results == (statement_id(c.notes("national-result")[0]),)
        # Every node was charged once, for this plan, and is told how it ended.
        assert [node.charged for node in c.nodes] == [make_question().rho] * 6
        await c.federation.until(lambda: all(len(node.closed) == 1 for node in c.nodes))
        assert c.coordinator.store.rows("SELECT COUNT(*), SUM(rho) FROM charges") == [(6, 6 * make_question().rho)]
        charges = [Decision.read(note) for note in c.notes("decision")]
        assert {each.plan for each in charges} == {row.plan}
        # The seeds served their time.
        assert c.coordinator.store.rows("SELECT COUNT(*) FROM submissions WHERE sealed IS NOT NULL") == [(0,)]
        # The log's export holds the vectors, and hides what a request's details say.
        folder = c.federation.folder / "export"
        await asyncio.to_thread(export_logs, {"coordinator": c.coordinator.logs._sources["demo/coordinator"]}, folder)
        there = set(LogFolder(folder / "coordinator").blobs())
        vectors = {str(sha) for (sha,) in c.coordinator.store.rows("SELECT sha FROM vectors")}
        assert len(vectors) == 9  # of nodes, and the trustees' sums
        assert vectors <= there
        for sha in vectors:
            assert (folder / "coordinator" / blob_path(sha)).read_bytes() == c.coordinator.vectors.read(sha)

    play(federation, scene)


def test_groups_of_the_partition_are_rounds_of_their_own_and_the_total_is_their_sum(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        await c.partition(("11",), ("31",))
        progress = await c.ask(await c.request(make_question, views=(BY_PROVINCE,)))
        assert progress.released == 8
        rows = c.rows()
        assert [row.group for row in rows] == [("11",), ("31",)]
        assert sorted(Plan.read(note).group or () for note in c.notes("national-plan")) == [("11",), ("31",)]
        assert [total_of(c, row, make_question) for row in rows] == [[1 + 2 + 3 + 4], [5 + 6 + 7 + 8]]
        seen = await figures(c, progress.request_id)
        assert len(seen.indicator.results) == 2
        assert [statement_id(c.coordinator.rounds.rounds.result(row)) for row in rows] == list(seen.indicator.results)
        values = [row.figures[0].value for row in seen.table.rows]
        assert [value for value in values if value is not None][:3] == ["36", "10", "26"]
        # A filter on the fact selects whole groups; everything else is refused before anybody is asked, with the remedy.
        one = await c.ask(await c.request(make_question, facts={"province": ["31"]}, nonce="2" * 32))
        assert (one.asked, one.released) == (4, 4)
        asked = [node.asked for node in c.nodes]
        for changes in ({"audience": ["u1", "u2"], "facts": None}, {"facts": {"province": ["11", "99"]}}):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await c.ask(await c.request(make_question, nonce="3" * 32, **changes))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert [node.asked for node in c.nodes] == asked

    play(federation, scene, nodes=8, provinces=["11"] * 4 + ["31"] * 4)


def test_who_is_in_no_group_is_in_no_sum_and_is_told_so(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        await c.partition(("11",))
        progress = await c.ask(await c.request(make_question))
        seen = await figures(c, progress.request_id)
        assert [each.node for each in seen.accounts.releases] == ["u1", "u2", "u3", "u4"]
        assert reasons(seen.accounts) == {"u5": "no-group", "u6": "no-group"}
        assert [node.submits for node in c.nodes[4:]] == [0, 0]

    play(federation, scene, provinces=["11"] * 4 + ["31"] * 2)


def test_a_mixed_request_answers_each_question_in_its_mode(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        national, own = nationally(make_question()), make_question()
        request = await c.request(make_question, questions=(national, own), views=(VIEW, VIEW))
        progress = await c.ask(request)
        assert progress.released == 6
        parts = await c.federation.result(c.stub, progress.request_id)
        first, second = verify(bundle_of(parts), c.registry).figures
        assert (first.indicator.results is None, second.indicator.results is None) == (False, True)
        # Nobody's own figure of the national question stands anywhere, and nobody's vector is in the bundle.
        assert len(parts["release"]) == 6
        vectors = {str(sha) for (sha,) in c.coordinator.store.rows("SELECT sha FROM vectors")}
        assert not vectors & set(bundle_of(parts).blobs)
        assert len(parts["decision"]) == 12

    play(federation, scene)


# -- who is not there ----------------------------------------------------------------------------------------------------------


def test_a_node_that_drops_out_before_the_close_costs_nothing_and_is_named(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        c.nodes[0].silent = True
        c.nodes[1].refuses_request = "not-allowed"
        c.nodes[2].refuses = "too-few"
        await c.disconnect("u4")
        progress = await c.ask(await c.request(make_question))
        assert (progress.released, progress.refused) == (4, 2)
        (row,) = c.rows()
        assert total_of(c, row, make_question) == [5 + 6 + 7 + 8]
        plan = c.coordinator.rounds.rounds.plan(row)
        assert (plan.nodes, plan.least) == (6, 4)  # those who were ready and there
        seen = await figures(c, progress.request_id)
        assert reasons(seen.accounts) == {"u1": "round-over", "u2": "not-allowed", "u3": "too-few", "u4": "offline"}
        # What came of their being ready is not forgotten when they say again that they are.
        await c.federation.result(c.stub, progress.request_id, refresh=True)
        assert reasons((await figures(c, progress.request_id)).accounts)["u3"] == "too-few"
        # It comes back too late: the round is over, and its charge, had it one, would stay.
        c.nodes[0].silent = False
        await c.connect("u4")
        again = await figures(c, progress.request_id)
        assert [each.node for each in again.accounts.releases] == ["u5", "u6", "u7", "u8"]
        assert c.nodes[3].submits == 0
        assert len(c.notes("national-close")) == 1

    play(federation, scene, nodes=8, national={"dropout": 0.34, "colluding": 0.1, "seconds": 2.0})


def test_too_few_submissions_end_the_round_without_a_close(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        for node in c.nodes[:3]:
            node.silent = True
        progress = await c.ask(await c.request(make_question))
        assert (progress.done, progress.released) == (True, 0)
        (row,) = c.rows()
        assert (row.state, row.reason) == ("failed", "no-round")
        assert c.notes("national-close") == []
        assert all("prepare" not in trustee.calls for trustee in c.trustees)
        await c.federation.until(lambda: all(len(node.closed) == 1 for node in c.nodes[3:]))
        assert all(not node.closed[0].close for node in c.nodes[3:])
        seen = await figures(c, progress.request_id)
        assert (seen.indicator.results, seen.accounts.releases) == (None, ())
        assert set(reasons(seen.accounts).values()) == {"no-round"}
        # It is never tried again by itself; the same question in a new request is a new round and a new charge.
        for node in c.nodes:
            node.silent = False
        await figures(c, progress.request_id)
        assert [each.state for each in c.rows()] == ["failed"]
        second = await c.ask(await c.request(make_question, nonce="2" * 32))
        assert second.released == 6
        assert c.nodes[5].charged == 2 * make_question().rho

    play(federation, scene, national={"dropout": 0.34, "colluding": 0.1, "seconds": 1.0})


@pytest.mark.parametrize(("nodes", "trustees", "reason"), [(1, 3, "few-nodes"), (4, 2, "no-trustees")])
def test_what_cannot_be_planned_ends_before_anybody_is_charged(
    federation: Any, make_question: Any, nodes: int, trustees: int, reason: str
) -> None:
    async def scene(c: Country) -> None:
        progress = await c.ask(await c.request(make_question))
        (row,) = c.rows()
        assert (progress.done, row.state, row.reason) == (True, "failed", reason)
        assert c.notes("national-plan") == []
        assert [node.submits for node in c.nodes] == [0] * nodes
        parts = await c.federation.result(c.stub, progress.request_id)
        assert set(reasons(c.federation.seen(parts).accounts).values()) == {reason}

    play(federation, scene, nodes=nodes, trustees=trustees, reconnect_seconds=0.5, national={"trustee_seconds": 0.5})


def test_a_trustee_that_fails_for_a_while_delays_the_figure_and_nothing_else(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        for number, method in enumerate(["begin", "prepare", "unmask", "recompute"], start=1):
            away = c.trustees if method == "recompute" else c.trustees[1:2]
            for trustee in away:
                trustee.calls.clear()
                trustee.fails.add(method)
            question = nationally(make_question(rho=10**7 + number))
            asking = asyncio.ensure_future(c.ask(await c.request(make_question, nonce=f"{number:032x}", question=question)))
            await c.federation.until(lambda method=method, away=away: any(method in trustee.calls for trustee in away))
            await c.disconnect("trustee-b")
            await asyncio.sleep(0.2)
            assert c.rows()[-1].state != "done"
            for trustee in away:
                trustee.fails.clear()
            await c.connect("trustee-b")
            progress = await asking
            assert progress.released == 6
            row = c.rows()[-1]
            assert total_of(c, row, lambda question=question: question) == [21]
            assert [len(c.notes(f"national-{kind}")) for kind in ("plan", "close", "result")] == [number] * 3
            assert [node.submits for node in c.nodes] == [number] * 6

    play(federation, scene)


def test_whom_a_trustee_rejects_is_left_out_by_the_close(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        c.trustees[2].rejects.add(0)
        progress = await c.ask(await c.request(make_question))
        (row,) = c.rows()
        assert total_of(c, row, make_question) == [2 + 3 + 4 + 5 + 6]
        seen = await figures(c, progress.request_id)
        assert reasons(seen.accounts) == {"u1": "round-over"}
        c.trustees[2].rejects = {0, 1, 2}
        second = await c.ask(await c.request(make_question, nonce="2" * 32, question=nationally(make_question(rho=5 * 10**6))))
        assert second.released == 0
        assert c.rows(second.request_id)[0].reason == "no-round"
        assert len(c.notes("national-close")) == 1

    play(federation, scene)


# -- again ---------------------------------------------------------------------------------------------------------------------


def test_the_same_question_gets_the_same_signed_result_and_a_new_snapshot_a_new_round(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        first = await c.ask(await c.request(make_question))
        one = await figures(c, first.request_id)
        # Again, by a request of its own: the same result, to everybody who reads it, and no plan, call or charge.
        second = await c.ask(await c.request(make_question, nonce="2" * 32))
        assert (second.released, second.done) == (6, True)
        two = await figures(c, second.request_id)
        assert two.indicator.results == one.indicator.results
        assert two.indicator.request != one.indicator.request
        assert two.table.to_bytes() == one.table.to_bytes()
        assert [node.submits for node in c.nodes] == [1] * 6
        assert len(c.notes("national-plan")) == 1
        # A steward's no holds for what was computed before, too.
        c.nodes[0].refuses_request = "not-allowed"
        third = await c.ask(await c.request(make_question, nonce="3" * 32))
        assert (third.released, third.refused) == (5, 1)
        assert len(c.notes("national-plan")) == 2
        assert [node.submits for node in c.nodes] == [1] + [2] * 5
        c.nodes[0].refuses_request = ""
        # One university has new data: the old figure is no answer any more.
        c.nodes[5].snapshot = "cd" * 8
        c.coordinator.nodes.get("u6").status_at = 0.0  # it is looked at every two seconds
        fourth = await c.ask(await c.request(make_question, nonce="4" * 32))
        assert fourth.released == 6
        four = await figures(c, fourth.request_id)
        assert four.indicator.results != one.indicator.results
        assert [node.charged // make_question().rho for node in c.nodes] == [2, 3, 3, 3, 3, 3]
        # Another charge is another question.
        await c.ask(await c.request(make_question, nonce="5" * 32, question=nationally(make_question(rho=2 * 10**7))))
        assert len(c.notes("national-plan")) == 4

    play(federation, scene)


def test_a_question_whose_nodes_have_changed_is_a_new_round(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        await c.ask(await c.request(make_question))
        key = c.federation.founded.registry_vkey
        from national_parties import NationalNode

        c.nodes.append(NationalNode(await c.federation.join("node", "u7"), key, value=7))
        await c.connect("u7")
        second = await c.ask(await c.request(make_question, nonce="2" * 32))
        assert second.released == 7
        assert len(c.notes("national-plan")) == 2

    play(federation, scene)


# -- retention -----------------------------------------------------------------------------------------------------------------


def test_vectors_are_deleted_when_their_time_is_over_and_the_figure_stays(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        progress = await c.ask(await c.request(make_question))
        vectors, store = c.coordinator.vectors, c.coordinator.store
        assert vectors.forget(c.federation.clock() - 60) == 0
        named = [str(sha) for (sha,) in store.rows("SELECT sha FROM vectors")]
        with store.transaction() as db:
            db.execute("UPDATE rounds SET state = 'unmasked'")
        assert vectors.forget(c.federation.clock() + 60) == 0  # a round that is under way needs them
        with store.transaction() as db:
            db.execute("UPDATE rounds SET state = 'done'")
        folder = c.federation.folder / "export"
        source = {"coordinator": c.coordinator.logs._sources["demo/coordinator"]}
        await asyncio.to_thread(export_logs, source, folder)
        assert vectors.forget(c.federation.clock() + 60) == len(named) == 9
        assert not any(vectors.holds(sha) for sha in named)
        assert not [path for path in c.federation.home.vectors.rglob("*") if path.is_file()]
        # The published copy keeps them no longer than we do.
        await asyncio.to_thread(export_logs, source, folder)
        assert not set(named) & set(LogFolder(folder / "coordinator").blobs())
        assert (await figures(c, progress.request_id)).indicator.results is not None
        # Nobody names these: a crash has left them.
        vectors.write(b"stray" * 8)
        assert (vectors.sweep(), vectors.sweep()) == (1, 0)

    play(federation, scene)


def test_the_log_holds_each_step_once_and_after_what_it_rests_on(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        standing = Standing(c.federation.folder / "second.db", c.federation.home.database)

        async def copying() -> None:
            while True:
                await asyncio.to_thread(standing.bring_up)
                await asyncio.sleep(0.01)

        copies = asyncio.ensure_future(copying())
        progress = await c.ask(await c.request(make_question))
        await figures(c, progress.request_id)
        copies.cancel()
        await asyncio.gather(copies, return_exceptions=True)
        standing.bring_up()
        # What the second copy has of a round is what the database has: a coordinator that takes it goes on where this one stood.
        second = Store(standing.path)
        for table in ("rounds", "trusteed", "vectors"):
            assert second.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") == c.coordinator.store.rows(
                f"SELECT * FROM {table} ORDER BY 1, 2, 3"
            )
        submitted = "SELECT plan, member, node, reason, submit, entry, decision, snapshot, vector FROM submissions ORDER BY member"
        assert second.rows(submitted) == c.coordinator.store.rows(submitted)
        second.close()
        kinds = [str(kind) for (kind,) in c.coordinator.store.rows("SELECT kind FROM entries ORDER BY idx")]
        steps = [kind.removeprefix("national-") for kind in kinds if kind.startswith("national-")]
        assert steps == ["key"] * 3 + ["plan"] + ["submit"] * 6 + ["prepare"] * 3 + ["close"] + ["unmask"] * 3 + ["check", "result"]
        # Before what a party signed stands a checkpoint of its log that covers it.
        reached: dict[str, int] = {}
        from collegium.log.statement import read_statement

        for note in [bytes(row[0]) for row in c.coordinator.store.rows("SELECT entry FROM entries ORDER BY idx")]:
            kind, body = read_statement(note)
            if kind == "peer":
                reached[body["origin"]] = max(body["size"], reached.get(body["origin"], 0))
            elif kind.startswith("national-") and body["log"]["origin"] != "demo/coordinator":
                assert reached[body["log"]["origin"]] > body["log"]["index"]
        places = [model.read(c.notes(model.kind)[0]).log.index for model in (Plan, Close, Result)]
        assert places == sorted(places)
        assert Indicator.read(c.notes("indicator")[-1]).results == (statement_id(c.notes("national-result")[0]),)
        assert all(isinstance(each, FakeTrustee) and len(each.lists) == 1 for each in c.trustees)

    play(federation, scene)
