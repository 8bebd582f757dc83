"""What is secret at a trustee is gone when it should be: from the tables, and from every byte of the database's files."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nationalround import T
from onetrustees import OneTrustee, World, refuses

from collegium.errors import NotVerified
from collegium.national.statements import Prepare, TrusteeKey, Unmask
from collegium_trustee.rounds import DAY, Keeping
from collegium_trustee.sealing import end_of_month

ALL = range(6)


def secrets_of(one: OneTrustee, table: str = "seeds", column: str = "seed") -> list[bytes]:
    with one.party.store.read() as db:
        return [raw for (raw,) in db.execute(f"SELECT {column} FROM {table}")]


def left(one: OneTrustee, hidden: list[bytes]) -> int:
    """How many of them stand somewhere in the database's files."""
    raw = one.files()
    return sum(secret in raw for secret in hidden)


def at(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, 12, tzinfo=UTC).timestamp()


def test_seeds_are_there_until_unmask_and_nowhere_afterwards(tmp_path: Path) -> None:
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    seeds = secrets_of(one)
    assert (len(set(seeds)), left(one, seeds)) == (6, 6)
    one.service.unmask(world.unmask_request(closed))
    assert (secrets_of(one), left(one, seeds)) == ([], 0)


def test_seeds_of_many_nodes_leave_no_copy(tmp_path: Path) -> None:
    """Hundreds of rows over many pages, inserted out of order, beside another round's that stay."""
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    with one.party.store.write("more") as db:  # as of rounds that are open, with members in no order
        for member in range(600):
            number = member * 7919 % 600
            db.execute("INSERT INTO seeds VALUES (?, ?, ?)", ("a" * 64, number, secrets.token_bytes(32)))
            if number > 5:
                db.execute("INSERT INTO seeds VALUES (?, ?, ?)", (world.country.plan_id, number, secrets.token_bytes(32)))
    with one.party.store.read() as db:
        mine = [s for (s,) in db.execute("SELECT seed FROM seeds WHERE plan = ?", (world.country.plan_id,))]
        others = [s for (s,) in db.execute("SELECT seed FROM seeds WHERE plan <> ?", (world.country.plan_id,))]
    one.service.unmask(world.unmask_request(closed))
    assert (left(one, mine), left(one, others)) == (0, len(others))


def test_a_kill_right_after_the_mark_leaves_seeds_no_longer_than_to_the_next_start(tmp_path: Path) -> None:
    """Deleted in the tables, still in the write-ahead log: the next start cuts it off before anything else."""

    class Killed(BaseException):
        pass

    def fault(reached: str) -> None:
        if reached == "committed unmask":
            raise Killed

    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    seeds = secrets_of(one)
    one.again(fault)
    reader = sqlite3.connect(one.folder / "trustee.db")  # as an export that runs: closing is then no checkpoint
    with closing(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM entries").fetchone()
        with pytest.raises(Killed):
            one.service.unmask(world.unmask_request(closed))
        assert left(one, seeds) == 6
        reader.rollback()
        one.again()
        assert left(one, seeds) == 0


def test_a_reader_in_the_way_only_delays_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    seeds = secrets_of(one)
    with closing(sqlite3.connect(one.folder / "trustee.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM entries").fetchone()
        assert one.service.unmask(world.unmask_request(closed)).masks
        assert left(one, seeds) == 6
        one.service.keep_house()
        assert "not-wiped-yet" in one.stream.getvalue()
    one.service.keep_house()
    assert left(one, seeds) == 0


def test_seeds_that_wait_for_a_close_too_long_are_deleted(tmp_path: Path) -> None:
    world = World(tmp_path, keeping=Keeping(seeds=3))
    closed, one = world.closed(*ALL), world.trustees[0]
    seeds = secrets_of(one)
    one.now[0] = T + 3600 + 3 * DAY
    one.service.keep_house()
    assert left(one, seeds) == 6
    one.now[0] += 1
    one.service.keep_house()
    assert left(one, seeds) == 0
    for _ in range(2):
        with refuses("round-over"):
            one.service.unmask(world.unmask_request(closed))
        one.again()
    assert (
        one.service.prepare(world.prepare_request(0)).prepare == one.entries(Prepare.kind)[0]
    )  # what it has signed, it says again
    assert one.entries(Unmask.kind) == []


def test_answers_are_given_again_for_their_time(tmp_path: Path) -> None:
    """Afterwards the round is over, for the same close and any other; the log remembers."""
    world = World(tmp_path, keeping=Keeping(masks=30))
    closed, one = world.closed(*ALL), world.trustees[0]
    first = one.service.unmask(world.unmask_request(closed))
    one.now[0] += 30 * DAY
    one.service.keep_house()
    assert one.service.unmask(world.unmask_request(closed)).masks == first.masks
    one.now[0] += 1
    one.service.keep_house()
    prepares = list(zip(closed.prepares, closed.prepared, strict=True))
    for request in (world.unmask_request(closed), world.unmask_request(world.country.close(range(5), prepares))):
        with refuses("round-over"):
            one.service.unmask(request)
    assert first.masks not in one.files()
    assert one.party.journal.verify() == one.party.journal.head().size


@pytest.mark.parametrize(
    ("now", "end"),
    [((2027, 1, 15), (2027, 2, 1)), ((2027, 12, 31), (2028, 1, 1)), ((2028, 2, 29), (2028, 3, 1))],
)
def test_the_end_of_a_month(now: tuple[int, int, int], end: tuple[int, int, int]) -> None:
    assert end_of_month(at(*now)) == datetime(*end, tzinfo=UTC).timestamp()


def test_each_month_has_a_key_and_the_last_one_serves_on(tmp_path: Path) -> None:
    """A plan of the last of January under January's key, answered in February, when new plans name February's."""
    world = World(tmp_path)
    one = world.trustees[0]
    january = one.key()
    assert january.until == datetime(2027, 2, 8, tzinfo=UTC).timestamp()
    for each in world.trustees:
        each.now[0] = at(2027, 1, 31)
        each.service.keep_house()
    assert one.key() == january
    world.country = world.plan(deadline=int(at(2027, 2, 2)))
    world.begin()
    for each in world.trustees:
        each.now[0] = at(2027, 2, 3)
        each.service.keep_house()
        each.again()
        each.service.keep_house()
    february = one.key()
    assert (february.sealing != january.sealing, february.until) == (True, datetime(2027, 3, 8, tzinfo=UTC).timestamp())
    assert len(one.entries(TrusteeKey.kind)) == 2
    world.submit(*ALL)
    closed = world.country.close(ALL, world.prepare(*ALL))
    assert world.unmask(closed)
    world.ask_again(deadline=int(at(2027, 2, 20)))
    world.begin()
    world.country = world.plan(deadline=int(at(2027, 2, 5)), trustees=world.country.plan.trustees)


def test_a_private_key_is_deleted_when_nobody_needs_it(tmp_path: Path) -> None:
    """Not before `until`, not while a round that began under it waits for its PREPARE; then from every byte of the files."""
    world = World(tmp_path, keeping=Keeping(seeds=60))
    one = world.trustees[0]
    (january,) = secrets_of(one, "secrets", "secret")
    world.begin()
    world.submit(*ALL)
    one.now[0] = at(2027, 2, 7)
    one.service.keep_house()
    assert (len(secrets_of(one, "secrets", "secret")), left(one, [january])) == (2, 1)
    one.now[0] = at(2027, 2, 9)  # `until` has passed, and the round is still open
    one.service.keep_house()
    assert left(one, [january]) == 1
    one.service.prepare(world.prepare_request(0, *ALL))
    one.service.keep_house()
    assert (len(secrets_of(one, "secrets", "secret")), left(one, [january])) == (1, 0)
    world.country = world.plan(deadline=int(at(2027, 2, 10)), nonce="5" * 32, trustees=world.country.plan.trustees)
    with refuses("bad-plan", NotVerified, "does not have"):
        one.service.begin(world.begin_request())


def test_a_round_that_was_never_prepared_keeps_its_key_no_longer_than_its_seeds(tmp_path: Path) -> None:
    world = World(tmp_path, keeping=Keeping(seeds=20))
    one = world.trustees[0]
    (january,) = secrets_of(one, "secrets", "secret")
    world.country = world.plan(deadline=int(at(2027, 2, 7)))
    world.begin()
    one.now[0] = at(2027, 2, 20)
    one.service.keep_house()
    assert left(one, [january]) == 1
    one.now[0] = at(2027, 2, 28)
    one.service.keep_house()
    assert left(one, [january]) == 0
    world.submit(*ALL)
    with refuses("round-over"):
        one.service.prepare(world.prepare_request(0, *ALL))


def test_no_secret_is_in_the_log(tmp_path: Path) -> None:
    """Nor among the payloads that are published with it."""
    world = World(tmp_path)
    closed, one = world.closed(*ALL), world.trustees[0]
    hidden = secrets_of(one) + secrets_of(one, "secrets", "secret")
    one.service.unmask(world.unmask_request(closed))
    with one.party.store.read() as db:
        shown = b"".join(raw for (raw,) in db.execute("SELECT note FROM entries UNION ALL SELECT data FROM blobs"))
    assert not any(secret in shown or secret.hex().encode() in shown for secret in hidden)
    assert not any(secret.hex() in one.stream.getvalue() for secret in hidden)
