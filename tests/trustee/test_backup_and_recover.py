"""A backup holds nothing that is to be forgotten; and a trustee that is brought back from one, with a copy of its own log, signs
nothing a second time in any round that the log tells of.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from onetrustees import NAMES, OneTrustee, World, refuses

from collegium.errors import CollegiumError, Invalid
from collegium.national.statements import Plan, Prepare, Unmask
from collegium.party.backup import UNSTRIPPED
from collegium.party.backup import backup as copy_of
from collegium.party.publish import export
from collegium_trustee.backup import backup
from collegium_trustee.home import Trustee
from collegium_trustee.recover import replay

ALL = range(6)
STEPS = ("begun", "pages came", "prepared")


def secrets_of(database: Path) -> list[bytes]:
    with closing(sqlite3.connect(database)) as db:
        return [raw for (raw,) in db.execute("SELECT seed FROM seeds UNION ALL SELECT secret FROM secrets")]


def test_a_backup_has_the_log_and_no_secret(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    world.prepared(*ALL)
    one = world.trustees[0]
    hidden = secrets_of(one.party.home.database)
    assert len(set(hidden)) == 7  # a seed of each member, and the sealing key
    assert all(secret in one.files() for secret in hidden)
    target = tmp_path / "copy.db"
    size = one.party.journal.head().size
    assert backup(one.party, target) == size
    raw = target.read_bytes()
    assert not [secret for secret in hidden if secret in raw]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.db"]
    assert secrets_of(one.party.home.database) == hidden  # the trustee itself has lost nothing
    with pytest.raises(Invalid, match="not overwritten"):
        backup(one.party, target)


def test_no_secret_ever_reaches_the_place_of_backups(tmp_path: Path) -> None:
    """Not for a moment: what is deleted from a stick or a network drive may be there still. Cut off, it lies beside it."""
    world = World(tmp_path / "world")
    world.prepared(*ALL)
    one, place = world.trustees[0], tmp_path / "stick"
    place.mkdir()

    def cut_off(_: sqlite3.Connection) -> None:
        assert list(place.iterdir()) == []
        assert (one.party.home.root / UNSTRIPPED).stat().st_mode & 0o777 == 0o600
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_of(one.party, place / "copy.db", strip=cut_off)
    assert list(place.iterdir()) == []
    assert not (one.party.home.root / UNSTRIPPED).exists()


def restored(one: OneTrustee, copy: Path, folder: Path) -> OneTrustee:
    """The same trustee on another machine, with its keys and this backup."""
    shutil.copytree(one.folder, folder, ignore=shutil.ignore_patterns("*.db*"))
    shutil.copy(copy, folder / "trustee.db")
    return OneTrustee(folder, one.at)


def count(one: OneTrustee) -> list[int]:
    return [len(one.entries(kind.kind)) for kind in (Plan, Prepare, Unmask)]


def whole(trustee: Trustee, target: Path) -> None:
    """A copy of the disk, secrets and all: what an operator may restore instead of a backup."""
    trustee.store.backup(target)


@pytest.mark.parametrize("copied", [backup, whole], ids=["backup", "whole disk"])
@pytest.mark.parametrize("when", STEPS)
def test_after_recovery_nothing_is_signed_twice(tmp_path: Path, when: str, copied: Callable[[Trustee, Path], object]) -> None:
    """Whatever the copy had of the round: what the log says was answered is answered to nobody else."""
    world = World(tmp_path / "world")
    one, copy = world.trustees[0], tmp_path / "copy.db"
    world.begin()
    world.submit(*ALL)
    if when == "begun":
        copied(one.party, copy)
    one.service.prepare(world.prepare_request(0, 0, 1, 2, last=False))
    if when == "pages came":
        copied(one.party, copy)
    prepares = world.prepare(*ALL)
    if when == "prepared":
        copied(one.party, copy)
    closed = world.country.close(ALL, prepares)
    one.service.unmask(world.unmask_request(closed))
    size = one.party.journal.head().size
    export(one.party, tmp_path / "exported")
    shown = tmp_path / "exported" / NAMES[0]

    back = restored(one, copy, tmp_path / "back")
    known = back.party.journal.head().size
    assert replay(back.party, shown) == size - known > 0
    assert back.party.journal.head().note == one.party.journal.head().note
    assert count(back) == count(one) == [1, 1, 1]
    with back.party.store.read() as db:
        assert db.execute("SELECT close IS NOT NULL, over FROM rounds").fetchall() == [(1, 1)]
        assert db.execute("SELECT COUNT(*) FROM seeds").fetchone() == (0,)
    other = world.unmask_request(world.country.close(range(5), prepares))
    for request in (other, world.unmask_request(closed)):
        with refuses("round-over"):
            back.service.unmask(request)
    assert back.service.begin(world.begin_request()) is not None  # known, and so nothing new
    if when == "prepared":
        assert back.service.prepare(world.prepare_request(0, *ALL)).prepare == prepares[0][0]
    else:  # its list was lost, and no other is signed
        with pytest.raises(CollegiumError):
            back.service.prepare(world.prepare_request(0, *ALL))
    assert count(back) == [1, 1, 1]
    back.again()
    with refuses("round-over"):
        back.service.unmask(other)
    assert back.party.journal.verify() == size
    # From a backup it goes on with a new sealing key, and the one that nobody has any more is announced to nobody.
    assert (back.service.status().key == b"") == (copied is backup)
    back.service.keep_house()
    assert (back.key().sealing != one.key().sealing) == (copied is backup)


def test_a_backup_from_before_the_key_and_the_plan(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    one, copy = world.trustees[0], tmp_path / "copy.db"
    backup(one.party, copy)
    one.service.sealing.rotate()
    world.country = world.plan()
    closed = world.closed(*ALL)
    one.service.unmask(world.unmask_request(closed))
    export(one.party, tmp_path / "exported")
    back = restored(one, copy, tmp_path / "back")
    assert replay(back.party, tmp_path / "exported") > 0
    assert [each.kept for each in back.service.sealing.listing()] == [False, False]
    other = world.unmask_request(world.country.close(range(5), list(zip(closed.prepares, closed.prepared, strict=True))))
    with refuses("round-over"):
        back.service.unmask(other)
    assert count(back) == [1, 1, 1]


def test_a_copy_that_is_none_of_this_log_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    one, two = world.trustees[:2]
    export(two.party, tmp_path / "exported")
    before = one.party.journal.head()
    with pytest.raises(Invalid):
        replay(one.party, tmp_path / "exported" / NAMES[1])
    assert one.party.journal.head() == before
