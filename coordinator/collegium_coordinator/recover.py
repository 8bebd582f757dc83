"""`recover [FILE]`: bring a restored database up to what this coordinator has signed, from what others hold.

Two logs, two holders. The registry: every node has verified and kept it, and `serve`, which signs nothing while it is stopped, has
read it from those that know more (`mirroring`). The coordinator's own log: a newer backup, or the second copy that `[mirror] own`
names (`standing`), which is brought up to date before anybody is shown what is new. Nothing is believed for where it came from: a
database must verify under this federation's own keys, hold everything that the present one holds, and entries of the registry must
lie under a checkpoint that the registry's own log key has signed.

What nobody holds cannot be signed again honestly: the log then stays stopped, and `recover` says what is missing.

The order of steps is made for crashes: the same command goes on from wherever it stopped.

    (1) alone     nobody serves
    (2) copy      FILE, or the second copy, to coordinator.new.db, and verify it there
    (3) replace   the old database moves to former/<its log's size>/, the new one takes its place
    (4) registry  entries beyond it, from mirror.db
    (5) judge     whether the database holds now all that has been shown
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from collegium.errors import Invalid, NotVerified
from collegium.keys import load_signer
from collegium.log.checkpoint import read_checkpoint
from collegium_coordinator.backup import copy_database
from collegium_coordinator.config import Config, Home, read_config
from collegium_coordinator.journal import Journal
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.permit import OwnLog, missing
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store
from collegium_coordinator.upgrade import upgrade

__all__ = ["Lost", "Recovered", "recover"]

SUFFIXES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Lost:
    """A log that is still an old copy: what this database holds, and what `holder` has shown."""

    origin: str
    held: int
    shown: int
    holder: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the command has come to: entries taken over by log origin, the file they came from, and what is still missing."""

    taken: dict[str, int]
    source: str
    lost: list[Lost]


def _must_be_database(path: Path) -> None:
    """Before anything is copied. Raises Invalid."""
    try:
        with path.open("rb") as file:
            if file.read(16) == b"SQLite format 3\x00":
                return
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", place=str(path), remedy="Name a backup of the database.") from None
    raise Invalid("this is no database", place=str(path), remedy="Name a file that `collegium-coordinator backup` has written.")


def recover(home: Home, file: Path | None, *, clock: Callable[[], float]) -> Recovered:
    """See the steps above. The caller holds the home's lock (1).

    Raises:
        Invalid, NotVerified: FILE is no newer copy of this coordinator's database; nothing has changed.
        Failed: the disk refused; give the same command again.
    """
    config = read_config(home)
    fresh = home.path / "coordinator.new.db"
    before: dict[str, int] = {}
    if home.database.exists():
        with _opened(home, config, home.database, clock) as logs:
            before = {each.origin: _size(each) for each in logs}
    # (2)
    standing = Path(config.mirror.own) if config.mirror.own else None
    source = file or (standing if standing is not None and standing.exists() else None)
    if source is not None:
        _must_be_database(source)
    if source is not None and (home.database.exists() or not fresh.exists()):
        for suffix in SUFFIXES:
            Path(f"{fresh}{suffix}").unlink(missing_ok=True)
        copy_database(source, fresh)
        try:
            _verify(home, config, fresh, clock, source)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    # (3) Crash anywhere: what has moved already is passed over.
    if fresh.exists():
        former = home.path / "former" / "-".join(str(size) for size in before.values() or (0,))
        former.mkdir(parents=True, exist_ok=True, mode=0o700)
        for suffix in SUFFIXES:
            old = Path(f"{home.database}{suffix}")
            if old.exists():
                old.replace(former / f"coordinator.db{suffix}")
        fresh.replace(home.database)
    if not home.database.exists():
        raise Invalid("there is no database", place=str(home.database), remedy="Name a backup: `recover FILE`.")
    with _opened(home, config, home.database, clock) as (journal, registry):
        mirror = Mirror(home.mirror)
        try:
            # (4)
            _replay_registry(registry, mirror)
            # (5)
            found = {each.origin: missing(mirror, each) for each in (journal, registry)}
            sizes = {each.origin: _size(each) for each in (journal, registry)}
        finally:
            mirror.close()
    lost = [Lost(origin, sizes[origin], each[1].size, each[0]) for origin, each in found.items() if each is not None]
    taken = {origin: size - before.get(origin, 0) for origin, size in sizes.items()}
    return Recovered(taken, str(source) if source is not None else "", lost)


def _replay_registry(registry: RegistryLog, mirror: Mirror) -> None:
    copied = mirror.copied(registry.verifier)
    entries: list[bytes] = []
    while page := mirror.entries(registry.verifier, registry.size + len(entries), 512):
        entries.extend(page)
    if entries:
        registry.replay(entries, copied.checkpoint)


def _verify(home: Home, config: Config, fresh: Path, clock: Callable[[], float], source: Path) -> None:
    """The copy is of this coordinator, whole, and holds everything that the present database holds."""
    upgrade(fresh, load_signer(home.log_key))
    with _opened(home, config, fresh, clock) as copies:
        if not home.database.exists():
            return
        with _opened(home, config, home.database, clock) as logs:
            for log, copy in zip(logs, copies, strict=True):
                size = _size(log)
                if _size(copy) < size:
                    text = f"it holds {_size(copy)} entries of {log.origin}, and this database {size}"
                    raise Invalid(text, place=str(source), remedy="Find a newer copy; without one, `recover` alone.")
                if copy.tree.root(size) != log.tree.root(size):
                    raise NotVerified(f"it holds another history of {log.origin}", place=str(source), remedy="Keep both files.")


@contextmanager
def _opened(home: Home, config: Config, database: Path, clock: Callable[[], float]) -> Iterator[tuple[OwnLog, RegistryLog]]:
    """Both logs of a database, verified from the keys of this home."""
    store = Store(database)
    try:
        registry = RegistryLog(store, config.registry, load_signer(home.registry_log_key))
        yield Journal(store, registry, load_signer(home.statements_key), load_signer(home.log_key), clock=clock), registry
    except sqlite3.Error as error:
        raise Invalid(f"the database cannot be read: {error}", place=str(database)) from None
    finally:
        store.close()


def _size(log: OwnLog) -> int:
    head = log.head()
    return read_checkpoint(head).size if head else 0
