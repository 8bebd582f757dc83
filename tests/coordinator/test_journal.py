"""The coordinator's own log: entries and signed checkpoint in one transaction, checked at every start; brought over from format 1.

Counts as failure: a checkpoint that is not over the entries, a changed entry that a start does not notice, an entry judged by a
registry that does not stand before it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from collegium.errors import Failed, Invalid, NotVerified, Refused
from collegium.keys import load_signer
from collegium.log.checkpoint import open_checkpoint, read_checkpoint, sign_checkpoint
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer
from collegium.log.receipt import make_receipt, verify_receipt
from collegium.log.statement import sign_statement
from collegium.statements import Indicator, Peer
from collegium_coordinator.asked import parse_request
from collegium_coordinator.indicator import national_table
from collegium_coordinator.journal import Journal
from collegium_coordinator.permit import restored
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store
from collegium_coordinator.tables import FORMAT, SINCE_2, SINCE_3
from collegium_coordinator.upgrade import upgrade

SOMEBODY = Signer.generate("demo/somebody/statements")


def note(number: int) -> bytes:
    return sign_statement("request", {"n": number}, SOMEBODY)


class Opened:
    def __init__(self, federation: Any) -> None:
        home = federation.home
        self.store = Store(home.database)
        self.registry = RegistryLog(self.store, federation.founded.registry_vkey, load_signer(home.registry_log_key))
        try:
            self.journal = Journal(
                self.store, self.registry, load_signer(home.statements_key), load_signer(home.log_key), clock=lambda: 1000.0
            )
        except BaseException:
            self.store.close()
            raise


@pytest.fixture
def opened(federation: Any) -> Iterator[Opened]:
    made = Opened(federation)
    yield made
    made.store.close()


def entries(store: Store) -> list[tuple[str, bytes]]:
    return [(str(kind), bytes(entry)) for kind, entry in store.rows("SELECT kind, entry FROM entries ORDER BY idx")]


def test_every_transaction_ends_with_a_checkpoint_over_all_entries(opened: Opened) -> None:
    for number in range(5):
        with opened.journal.write() as log:
            for part in range(number):
                log.keep("request", "r", note(10 * number + part))
        head = opened.journal.head()
        if number:
            checkpoint = open_checkpoint(head, opened.registry.registry.coordinator_log)
            notes = [entry for _, entry in entries(opened.store)]
            assert (checkpoint.size, checkpoint.root) == (len(notes), root([leaf_hash(each) for each in notes]))
            for index, each in enumerate(notes):
                verify_receipt(make_receipt(opened.journal.tree, index, head), each, opened.journal.verifier)


def test_a_broken_transaction_leaves_the_old_checkpoint_and_the_next_one_goes_on_from_it(opened: Opened) -> None:
    with opened.journal.write() as log:
        log.keep("request", "r", note(0))
    before = opened.journal.head()

    def break_off() -> None:
        with opened.journal.write() as log:
            log.keep("request", "r", note(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert opened.journal.head() == before
    with opened.journal.write() as log:
        log.keep("request", "r", note(2))
    assert [entry for kind, entry in entries(opened.store) if kind == "request"] == [note(0), note(2)]
    assert opened.journal.verify() == 3


def test_the_very_same_entry_is_never_there_twice(opened: Opened) -> None:
    with opened.journal.write() as log:
        assert log.keep("request", "r", note(0)) == log.keep("request", "r", note(0)) == 1
    with opened.journal.write() as log:
        assert log.keep("request", "r", note(0)) == 1
        assert not log.grown
    assert opened.journal.verify() == 2


def test_the_registry_of_an_entry_stands_before_it_and_once_for_every_size(federation: Any, opened: Opened) -> None:
    sizes = []
    for number in range(3):
        federation.invite("node", f"u{number}")
        opened.registry.refresh()
        for part in range(2):
            with opened.journal.write() as log:
                log.keep("request", "r", note(10 * number + part))
                sizes.append(log.registry.size)
    assert sizes == [3, 3, 4, 4, 5, 5]
    kinds = [kind for kind, _ in entries(opened.store)]
    assert kinds == ["peer", "request", "request"] * 3
    for size, (kind, entry) in zip((3, 4, 5), [each for each in entries(opened.store) if each[0] == "peer"], strict=True):
        peer = Peer.open(entry, [opened.registry.registry.coordinator])
        assert kind == "peer"
        assert (peer.origin, peer.size, peer.root) == ("demo/registry", size, opened.registry.root_at(size))
        open_checkpoint(peer.note, opened.registry.registry.registry_log)


def test_another_logs_checkpoint_is_kept_once_and_a_second_tree_of_its_size_is_kept_as_evidence(opened: Opened) -> None:
    other = Signer.generate("demo/u1")
    heads = {(size, byte): sign_checkpoint("demo/u1", size, bytes([byte]) * 32, other) for size in (3, 5) for byte in (1, 2)}
    with opened.journal.write() as log:
        assert log.embed(other.verifier, heads[5, 1])
        assert log.embed(other.verifier, heads[5, 1])  # once more: nothing new
        assert log.embed(other.verifier, heads[3, 1])  # an older one, late: nothing new
        assert not log.embed(other.verifier, heads[5, 2])
        assert not log.embed(other.verifier, heads[5, 1])  # from now on this log is known to have two histories
    shown = [Peer.read(entry).note for _, entry in entries(opened.store)[1:]]
    assert shown == [heads[5, 1], heads[5, 2]]


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE entries SET entry = x'00' WHERE idx = 1",
        "UPDATE entries SET entry = (SELECT entry FROM entries WHERE idx = 2), leaf = x'00' WHERE idx = 1",
        "DELETE FROM entries WHERE idx = 3",
        "DELETE FROM entries WHERE idx = 1",
        "DELETE FROM head",
        "UPDATE head SET note = (SELECT checkpoint FROM registry LIMIT 1)",
    ],
)
def test_a_changed_file_is_noticed_at_the_start(federation: Any, opened: Opened, tamper: str) -> None:
    with opened.journal.write() as log:
        for number in range(3):
            log.keep("request", "r", note(number))
    with opened.store.transaction() as db:
        db.execute(tamper)
    with pytest.raises(NotVerified):
        Opened(federation)


def test_a_command_verifies_while_the_serving_process_adds_entries(federation: Any, opened: Opened) -> None:
    """As `log export` does: what it reads is one state, and no false alarm."""

    def serve() -> None:
        for number in range(300):
            with opened.journal.write() as log:
                log.keep("request", "r", note(number))

    beside = Opened(federation)
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        sizes = []
        while not serving.done():
            sizes.append(beside.journal.verify())
        serving.result()
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 3
    assert beside.journal.verify() == opened.journal.verify() == 301
    beside.store.close()


def test_an_older_checkpoint_of_its_own_is_noticed_too(federation: Any, opened: Opened) -> None:
    with opened.journal.write() as log:
        log.keep("request", "r", note(0))
    old = opened.journal.head()
    with opened.journal.write() as log:
        log.keep("request", "r", note(1))
    with opened.store.transaction() as db:
        db.execute("UPDATE head SET note = ?", (old,))
    with pytest.raises(NotVerified, match="differs"):
        Opened(federation)


def test_a_stopped_log_and_one_that_is_not_confirmed_take_nothing(opened: Opened) -> None:
    opened.journal.ready = lambda: False
    with pytest.raises(Failed) as refused, opened.journal.write():
        pass
    assert refused.value.reason == "not-confirmed"
    opened.journal.ready = lambda: True
    opened.journal.stop(restored("demo/coordinator", "u1", 9))
    with pytest.raises(Failed) as refused, opened.journal.write():
        pass
    assert refused.value.reason == "restored"


def test_a_researcher_revoked_between_the_check_and_the_log_is_not_logged(federation: Any) -> None:
    """A5: the registry that stands before an entry is the one by which the entry holds."""

    async def run() -> None:
        async with federation.serving() as coordinator:
            await federation.node("u1")
            alice = await federation.researcher()
            async with alice.line(federation.ports.main) as stub:
                ask = alice.request(await alice.registry(stub), ["u1"])
            asked = parse_request(ask.request, ask.details, coordinator.registry)
            await asyncio.to_thread(federation.revoke, "alice")
            await asyncio.to_thread(coordinator.registry.refresh)
            with pytest.raises(Refused):
                await coordinator.fanout.accept(asked, "a test")
            assert coordinator.store.row("SELECT COUNT(*) FROM entries") == (0,)

    asyncio.run(run())


def test_the_registry_never_shrinks_along_the_log_when_it_grows_while_a_figure_is_made(federation: Any) -> None:
    grown: list[bool] = []

    def combine(layout: Any, view: Any, schema: Any, releases: Any, asked: Any) -> bytes:
        if not grown:
            grown.append(True)
            federation.invite("node", "u9")
            federation.coordinator.registry.refresh()
            with federation.coordinator.journal.write() as log:  # somebody else's entry, judged by the newer registry
                log.keep("request", "r", note(0))
        return national_table(layout, view, schema, releases, asked)

    async def run() -> None:
        async with federation.serving(combine=combine) as coordinator:
            node = await federation.node("u1")
            alice = await federation.researcher()
            async with federation.link(node), alice.line(federation.ports.main) as stub:
                await federation.all_connected(node)
                done = await federation.ask(stub, alice.request(await alice.registry(stub), ["u1"]))
                await federation.result(stub, done.request_id)
            sizes = [
                {"peer": Peer, "indicator": Indicator}[kind].read(entry).registry.size
                for kind, entry in entries(coordinator.store)
                if kind in ("peer", "indicator")
            ]
            assert grown
            assert sizes == sorted(sizes)
            assert sizes[-1] > sizes[0]

    asyncio.run(run())


def test_an_answer_that_comes_while_the_figure_is_made_is_in_it(federation: Any) -> None:
    """No figure leaves out a release that stands before it in the log: to an auditor it would look like intent."""
    late = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def combine(layout: Any, view: Any, schema: Any, releases: Any, asked: Any) -> bytes:
        loops[0].call_soon_threadsafe(late.set)
        end = time.monotonic() + 20
        while federation.coordinator.store.row("SELECT COUNT(*) FROM answers WHERE verdict = 'released'") != (2,):
            assert time.monotonic() < end
            time.sleep(0.01)
        return national_table(layout, view, schema, releases, asked)

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with federation.serving(combine=combine):
            nodes = [await federation.node(f"u{n}", value=n) for n in (1, 2)]
            nodes[1].gate = late
            alice = await federation.researcher()
            async with federation.link(nodes[0]), federation.link(nodes[1]), alice.line(federation.ports.main) as stub:
                await federation.all_connected(*nodes)
                call = stub.Ask(alice.request(await alice.registry(stub), ["u1", "u2"]))
                progress = await call.read()
                while not progress.released:
                    progress = await call.read()
                parts = await federation.result(stub, progress.request_id, wait_seconds=0.0)
                indicator = federation.read(parts)
                assert ([used.node for used in indicator.releases], indicator.revision) == (["u1", "u2"], 0)
                call.cancel()

    asyncio.run(run())


# -- from format 1 -------------------------------------------------------------------------------------------------------------


def without(db: sqlite3.Connection, tables: str) -> None:
    """Take away what a format has brought."""
    for statement in tables.split(";"):
        words = statement.split()
        if words:
            db.execute(f"DROP {words[1]} IF EXISTS {words[2]}")  # an index goes with its table


def as_format_1(federation: Any, notes: list[bytes]) -> None:
    """The database as the first version left it: entries, and no checkpoint over them."""
    db = sqlite3.connect(federation.home.database, isolation_level=None)
    without(db, SINCE_3 + SINCE_2)
    db.executemany(
        "INSERT INTO entries VALUES (?, 'request', 'r', ?, ?)", [(n, each, leaf_hash(each)) for n, each in enumerate(notes)]
    )
    db.execute("PRAGMA user_version=1")
    db.close()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_database_of_format_1_gets_its_first_checkpoint_and_goes_on(federation: Any, count: int) -> None:
    notes = [note(number) for number in range(count)]
    as_format_1(federation, notes)
    with pytest.raises(Invalid, match="format 1") as refused:
        Store(federation.home.database)
    assert "serve" in refused.value.remedy
    key = load_signer(federation.home.log_key)
    assert upgrade(federation.home.database, key)
    assert not upgrade(federation.home.database, key)
    opened = Opened(federation)
    assert read_checkpoint(opened.journal.head()).size == count
    assert [entry for _, entry in entries(opened.store)] == notes
    with opened.journal.write() as log:
        log.keep("request", "r", note(99))
    assert opened.journal.verify() == count + 2  # the registry's checkpoint stands before it
    opened.store.close()


def test_a_database_of_format_2_gets_the_tables_of_national_sums_and_keeps_its_log(federation: Any) -> None:
    opened = Opened(federation)
    with opened.journal.write() as log:
        log.keep("request", "r", note(7))
    before, head = entries(opened.store), opened.journal.head()
    opened.store.close()
    db = sqlite3.connect(federation.home.database, isolation_level=None)
    whole = list(db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"))
    without(db, SINCE_3)
    db.execute("PRAGMA user_version=2")
    with pytest.raises(Invalid, match="format 2"):
        Store(federation.home.database)
    key = load_signer(federation.home.log_key)
    assert upgrade(federation.home.database, key)
    assert not upgrade(federation.home.database, key)
    assert list(db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")) == whole
    db.close()
    opened = Opened(federation)
    assert (entries(opened.store), opened.journal.head()) == (before, head)
    opened.store.close()


def test_a_database_of_format_1_that_does_not_hold_together_is_left_as_it_is(federation: Any) -> None:
    as_format_1(federation, [note(0), note(1)])
    db = sqlite3.connect(federation.home.database, isolation_level=None)
    db.execute("UPDATE entries SET entry = x'00' WHERE idx = 1")
    with pytest.raises(NotVerified, match="hold together"):
        upgrade(federation.home.database, load_signer(federation.home.log_key))
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'head'").fetchone() == (0,)
    db.close()


def test_serve_brings_an_old_database_over_by_itself(federation: Any) -> None:
    as_format_1(federation, [])

    async def run() -> None:
        async with federation.serving() as coordinator:
            assert coordinator.store.row("PRAGMA user_version") == (FORMAT,)

    asyncio.run(run())


def test_threads_that_write_at_once_never_take_the_same_place(opened: Opened) -> None:
    """Between one thread's commit and its last line another may write: what is in memory is then behind what is on the disk."""
    behind = opened.journal._frontier.copy()
    with opened.journal.write() as log:
        log.keep("request", "a", note(1))
    opened.journal._frontier = behind  # as the other thread finds it
    with opened.journal.write() as log:
        log.keep("request", "b", note(2))

    def writes(first: int) -> None:
        for number in range(first, first + 40):
            with opened.journal.write() as log:
                log.keep("request", "c", note(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writes, (100, 200, 300, 400)))
    size = opened.journal.verify()
    assert size >= 162
    assert read_checkpoint(opened.journal.head()).size == size
