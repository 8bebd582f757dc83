"""The registry log in the database: memory never shows what the disk does not hold, and two processes may append."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from collegium.errors import NotVerified
from collegium.keys import load_signer
from collegium.log.checkpoint import open_checkpoint
from collegium.registration import Revocation
from collegium.registry import Registry
from collegium_coordinator.registrar import KEY_FILE
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store


@pytest.fixture
def opened(federation: Any) -> Any:
    """Opens the log as one process does; closes all at the end."""
    stores: list[Store] = []

    def one() -> RegistryLog:
        store = Store(federation.home.database)
        stores.append(store)
        return RegistryLog(store, federation.founded.registry_vkey, load_signer(federation.home.registry_log_key))

    yield one
    for store in stores:
        store.close()


def revocation(federation: Any, name: str, time: int = 5) -> bytes:
    key = load_signer(federation.registry_folder / KEY_FILE)
    return Revocation(name=name, time=time, reason="").sign(key)


def test_an_entry_is_shown_when_it_is_on_the_disk_and_not_before(federation: Any, opened: Any) -> None:
    federation.invite("researcher", "alice")
    log = opened()
    seen: list[tuple[int, int]] = []
    log.append(revocation(federation, "alice"), also=lambda _: seen.append((log.size, len(log.page(0)[0]))))
    assert seen == [(3, 3)]
    assert (log.size, len(log.page(0)[0])) == (4, 4)


def test_what_could_not_be_stored_is_forgotten(federation: Any, opened: Any) -> None:
    federation.invite("researcher", "alice")
    log = opened()
    entry = revocation(federation, "alice")

    def fail(_db: Any) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        log.append(entry, also=fail)
    assert (log.size, log.registry.size) == (3, 3)
    assert log.append(entry) == 3
    assert opened().size == 4


def test_a_refused_entry_changes_nothing(federation: Any, opened: Any) -> None:
    log = opened()
    with pytest.raises(NotVerified):
        log.append(revocation(federation, "nobody"))
    assert (log.size, log.registry.size) == (2, 2)


def test_two_processes_append_one_history(federation: Any, opened: Any) -> None:
    names = [f"r{n}" for n in range(8)]
    for name in names:
        federation.invite("researcher", name)
    logs = [opened(), opened()]

    def work(log: RegistryLog, mine: list[str]) -> None:
        for name in mine:
            log.append(revocation(federation, name))

    threads = [threading.Thread(target=work, args=(log, names[n::2])) for n, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.refresh()
    assert logs[0].registry.view() == logs[1].registry.view() == opened().registry.view()
    assert logs[0].size == 2 + 2 * len(names)


def test_every_page_ends_in_its_own_checkpoint(federation: Any, opened: Any) -> None:
    for n in range(5):
        federation.invite("researcher", f"r{n}")
    log = opened()
    reader = Registry(federation.founded.registry_vkey)
    pages = 0
    more = True
    while more:
        entries, checkpoint, more = log.page(reader.size, page_bytes=1500)
        reader.extend(entries, checkpoint, first=reader.size)
        assert open_checkpoint(checkpoint, reader.registry_log).size == reader.size
        pages += 1
    assert reader.view() == log.registry.view()
    assert pages > 2
    entries, checkpoint, more = log.page(reader.size)
    assert (entries, more) == ([], False)
    assert open_checkpoint(checkpoint, reader.registry_log).size == reader.size


def test_roots_are_known_for_every_size_and_no_other(federation: Any, opened: Any) -> None:
    log = opened()
    assert log.root_at(2) == log.registry.root
    assert log.root_at(0) == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert log.root_at(3) is None
    assert log.root_at(-1) is None


def test_a_page_that_many_ask_for_is_cut_once_and_never_stale(federation: Any, opened: Any) -> None:
    log = opened()
    federation.invite("researcher", "alice")
    log.refresh()
    first = log.page(1)
    assert log.page(1) == first
    assert [len(log.page(start)[0]) for start in (0, 1, 2, 1)] == [3, 2, 1, 2]
    entry = revocation(federation, "alice")
    log.append(entry)
    entries, checkpoint, more = log.page(1)
    assert (entries[-1], len(entries), more) == (entry, 3, False)
    assert open_checkpoint(checkpoint, log.registry.registry_log).size == 4
