"""The trustees of national sums that are connected now, and the sealing key of the month that each has published.

A trustee's KEY is used only when the trustee's own statement key has signed it and its log holds it under the quorum of its
witnesses: seeds sealed to a key that nobody can be held to would protect nobody. The rest of what it says is its own word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from collegium.errors import CollegiumError, Invalid, Refused
from collegium.log.note import Verifier
from collegium.log.statement import statement_id
from collegium.national.mask import TRUSTEES
from collegium.national.statements import TrusteeKey
from collegium.proof import LogRule, Prover, Seen
from collegium.registry import Registered, Registry
from collegium.transport.trustee_client import TrusteeClient
from collegium.v1.trustee_pb2 import TrusteeStatus
from collegium_coordinator.links import CALL_SECONDS, Link, Links
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["PublishedKey", "TrusteeLink", "Trustees", "verify_key"]

log = logging.getLogger("collegium.coordinator.trustees")

FRESH = 60.0  # seconds for which a key that a trustee has shown is not asked for again
PATIENCE = 5.0  # seconds for a status


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A verified KEY: who, the statement, its note, and the receipt of the trustee's log with the checkpoint it proves."""

    party: Registered
    log: Verifier
    body: TrusteeKey
    note: bytes
    receipt: bytes
    seen: Seen

    @property
    def id(self) -> str:
        return statement_id(self.note)


def verify_key(note: bytes, receipt: bytes, name: str, registry: Registry) -> PublishedKey:
    """A trustee's sealing key, if it may be used.

    1. The registry has a trustee of this name that is not revoked.
    2. The statement is signed by its key, for an entry of its own log.
    3. The log holds it there, under the quorum of its witnesses.
    4. The registry that it had verified is a part of ours.

    Raises Refused (1), NotVerified or Invalid.
    """
    # (1)
    party = registry.party(name)
    if party.role != "trustee" or party.log is None:
        raise Refused(f"{name!r} is no trustee", by="identity", reason="identity")
    # (2)
    body = TrusteeKey.open(note, [party.statements])
    if body.log.origin != party.log.name:
        raise Invalid("the sealing key is of another log", place=name)
    # (3)
    seen = Prover().prove(receipt, note, LogRule.of(registry, party.log), index=body.log.index, place=f"sealing key of {name}")
    # (4)
    if registry.view_at(body.registry.size) != body.registry:
        raise Invalid("the trustee has verified another registry than ours", place=name)
    return PublishedKey(party, party.log, body, note, receipt, seen)


class TrusteeLink(Link):
    """One connection to one trustee."""

    def __init__(self, name: str, calls: TrusteeClient, close: Callable[[], Awaitable[None]]) -> None:
        super().__init__(name, calls, close)
        self.calls = calls
        self.status: TrusteeStatus | None = None
        self.status_at = 0.0


class Trustees(Links[TrusteeLink]):
    """All connections, by trustee. See `Nodes`."""

    role = "trustee"

    def __init__(
        self, store: Store, registry: RegistryLog, *, clock: Callable[[], float], on_ready: Callable[[str], None] = lambda _: None
    ) -> None:
        expected = [str(row[0]) for row in store.rows("SELECT name FROM trustees WHERE connected = 1")]
        super().__init__(registry, clock=clock, expected=expected, on_ready=on_ready)
        self._store = store

    async def three(self, deadline: float, until: float) -> tuple[PublishedKey, ...] | None:
        """The first three trustees by name whose keys serve beyond `deadline`; waits for them until `until`. None without them.

        Everybody who was connected before a restart is waited for, too: the same three serve as would have without it.
        """
        names = [party.name for party in self._registry.registry.trustees()]

        def there() -> bool:
            awaited = [name for name in names if self.expected(name)]
            return not awaited and sum(map(self.connected, names)) >= TRUSTEES

        await self.wait_until(there, until)
        while True:
            keys: list[PublishedKey] = []
            for name in names:
                if len(keys) < TRUSTEES and self.connected(name) and (key := await self._key(name, deadline)) is not None:
                    keys.append(key)
            if len(keys) == TRUSTEES:
                return tuple(keys)
            if self._clock() >= until:
                return None
            await asyncio.sleep(0.2)  # a key's receipt may wait for witnesses

    # -- inside ----------------------------------------------------------------------------------------------------------------

    async def _key(self, name: str, deadline: float) -> PublishedKey | None:
        """The trustee's key, asked for again when it is old or too short-lived; None when it cannot be used."""
        link = self.get(name)
        try:
            await self._teach(link)
            for _ in range(2):
                status = link.status
                if status is not None and status.key and self._clock() - link.status_at < FRESH:
                    key = await asyncio.to_thread(
                        verify_key, bytes(status.key), bytes(status.key_receipt), name, self._registry.registry
                    )
                    if key.body.until >= deadline:
                        return key
                await self._ask_status(link, PATIENCE)
        except CollegiumError as error:
            link.status_at = float("-inf")  # asked for anew the next time
            log.warning("the sealing key of trustee %s cannot be used: %s", name, error)
        return None

    async def _greet(self, connection: TrusteeLink) -> None:
        await self._ask_status(connection, CALL_SECONDS)
        assert connection.status is not None
        connection.known = connection.status.registry_size

    async def _ask_status(self, connection: TrusteeLink, patience: float) -> None:
        status = await connection.calls.status(timeout=patience)
        if status.name != connection.name:
            raise Invalid(f"the trustee {connection.name} says it is {status.name!r}", place="trustee status")
        connection.status_at = self._clock()
        connection.status = status

    def _remember(self, *connections: TrusteeLink) -> None:
        rows = [
            (each.name, int(self._clock()), each.status.version[:100], each.status.registry_size)
            for each in connections
            if each.status is not None
        ]
        with self._store.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO trustees VALUES (?, 1, ?, ?, ?)", rows)

    def _forget(self, *names: str) -> None:
        with self._store.transaction() as db:
            rows = [(int(self._clock()), name) for name in names]
            db.executemany("UPDATE trustees SET connected = 0, last = ? WHERE name = ?", rows)
