"""`doctor`: every hop between the rows and the coordinator, in order, each with what to do when it fails.

A hop that rests on a failed one is not tried and says so: the first failure is the one to mend. Nothing here changes anything but
the node's copy of the registry, and nothing of what it prints is a count of rows.
"""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from collegium.errors import CollegiumError
from collegium.party.fetch import fetch_registry
from collegium.tls import dns_name, expires_at, renew_at
from collegium_node.config import NodeConfig
from collegium_node.home import Home, Membership, Node
from collegium_node.shelf import Shelf
from collegium_node.steward import InForce, rekeyed

__all__ = ["Finding", "examine"]

TIMEOUT = 10.0  # seconds for one network hop
LEAST_FREE = 1 << 30  # bytes
DAY = 86_400
TRUSTEES = 3  # of a national sum; collegium.national.mask has it too, with all that masking needs


@dataclass(frozen=True, slots=True)
class Finding:
    """One hop: what was found and, unless it is ok, the one action that helps."""

    hop: str
    state: Literal["ok", "warning", "failed", "skipped"]
    text: str
    remedy: str = ""


class _Bad(Exception):
    def __init__(self, text: str, remedy: str, *, warning: bool = False) -> None:
        super().__init__(text)
        self.text, self.remedy, self.warning = text, remedy, warning


def examine(home: Home, *, clock: Callable[[], float]) -> Iterator[Finding]:
    """All hops in order, each as soon as it is known."""
    context = _Context(home, clock)
    broken: dict[str, str] = {}
    for hop, needs, look in context.hops():
        missing = next((need for need in needs if need in broken), None)
        if missing is not None:
            broken[hop] = missing
            yield Finding(hop, "skipped", f"not tried: {missing} comes first")
            continue
        try:
            yield Finding(hop, "ok", look())
        except _Bad as bad:
            if not bad.warning:
                broken[hop] = hop
            yield Finding(hop, "warning" if bad.warning else "failed", bad.text, bad.remedy)
        except CollegiumError as error:
            broken[hop] = hop
            yield Finding(hop, "failed", f"{error.place}: {error.text}" if error.place else error.text, error.remedy)
    context.close()


class _Context:
    """What earlier hops found for later ones."""

    def __init__(self, home: Home, clock: Callable[[], float]) -> None:
        self.home, self.clock = home, clock
        self.config: NodeConfig
        self.membership: Membership
        self.node: Node | None = None

    def hops(self) -> list[tuple[str, tuple[str, ...], Callable[[], str]]]:
        """Name of the hop, hops it rests on, how to look."""
        return [
            ("settings", (), self.settings),
            ("membership", (), self.joined),
            ("disk", (), self.disk),
            ("database", ("membership",), self.database),
            ("certificate", ("membership",), self.certificate),
            ("name", ("settings", "membership"), self.resolve),
            ("connection", ("name",), self.connect),
            ("TLS", ("connection", "certificate"), self.tls),
            ("registry", ("TLS", "database"), self.registry),
            ("clock", ("database",), self.clock_right),
            ("own name", ("database",), self.own_name),
            ("snapshot", ("database",), self.snapshot),
            ("policy", ("database",), self.policy),
        ]

    def settings(self) -> str:
        self.config = self.home.config()
        mapped = ", ".join(self.config.datasets) or "no dataset mapped yet"
        return f"mode {self.config.coordinator.mode}; {mapped}"

    def joined(self) -> str:
        self.membership = self.home.membership()
        return f"{self.membership.name} of {self.membership.federation}"

    def disk(self) -> str:
        free = shutil.disk_usage(self.home.root).free
        if free < LEAST_FREE:
            raise _Bad(f"{free >> 20} MiB free", "Free some space: a full disk stops the node.")
        return f"{free >> 30} GiB free"

    def database(self) -> str:
        self.node = self.home.open(self.clock, verify=True)
        with self.node.store.read() as db:
            size = db.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
        return f"log of {size} entries agrees with its signed checkpoint"

    def certificate(self) -> str:
        pem, _ = self.home.keys.tls()
        now, end = self.clock(), expires_at(pem)
        if now >= end:
            since = f"expired {int(now - end) // DAY} days ago"
            raise _Bad(since, "`serve` renews it by itself; if not, check the enrolment port and the clock.")
        if now >= renew_at(pem) + DAY:
            raise _Bad(f"{int(end - now) // DAY} days left and not renewed", "Start `serve`; it renews.", warning=True)
        return f"{int(end - now) // DAY} days left"

    def resolve(self) -> str:
        host, port = self._next_hop()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise _Bad(f"{host} has no address", "Check DNS and the spelling of the name, or the proxy's.") from None
        return f"{host} is {found[0][4][0]}"

    def connect(self) -> str:
        host, port = self._next_hop()
        try:
            with self._socket():
                return f"{host}:{port} accepts connections"
        except OSError:
            remedy = "Allow outgoing TCP there in the firewall, or set a proxy."
            raise _Bad(f"{host}:{port} does not accept connections", remedy) from None

    def tls(self) -> str:
        context = ssl.create_default_context(cadata=self.membership.ca)
        context.load_cert_chain(self.home.keys.certificate, self.home.keys.tls_key)
        try:
            with self._socket() as raw, context.wrap_socket(raw, server_hostname=dns_name("coordinator")) as secure:
                return f"{secure.version()}; the coordinator proved itself to the pinned authority"
        except ssl.SSLError as error:
            raise _Bad(
                f"refused: {error.reason or 'no TLS there'}", "Is it the coordinator's main port? Does something inspect TLS?"
            ) from None
        except OSError:
            raise _Bad("the connection was cut", "Does a firewall inspect or cut TLS to this port?") from None

    def registry(self) -> str:
        assert self.node is not None
        return f"{fetch_registry(self.node, self.config.coordinator.proxy)} entries verified"

    def clock_right(self) -> str:
        assert self.node is not None
        entry = self.node.members.registry.founding.time
        newest = max(entry, self._newest_own_entry())
        if self.clock() < newest - 300:
            raise _Bad("this machine's clock is behind its own log or the registry", "Set the clock; use NTP.")
        return "not behind the log or the registry"

    def own_name(self) -> str:
        assert self.node is not None
        self.node.members.check_own()
        return "registered with this node's own key"

    def snapshot(self) -> str:
        from collegium_node.snapshot import read_snapshot

        assert self.node is not None
        try:
            current = Shelf(self.node.journal).current()
        except CollegiumError:
            remedy = "Run `collegium-node check`, then `collegium-node snapshot NAME`."
            raise _Bad("there is none yet", remedy, warning=True) from None
        read_snapshot(self.home.root, current.id)
        newest = self.node.members.registry.schema.id
        if current.schema != newest:
            raise _Bad(f"made for schema {current.schema}, now {newest}", "Make a new snapshot.", warning=True)
        return f"{current.name} ({current.id}): {', '.join(current.datasets)}"

    def policy(self) -> str:
        assert self.node is not None
        policy = InForce(self.node.journal)()
        if not policy.allow or not policy.budget:
            raise _Bad(
                "nothing is allowed yet" if not policy.allow else "there is no budget yet",
                "Edit policy.toml, then `collegium-node policy`.",
                warning=True,
            )
        others = rekeyed(self.node)
        if others:
            names = ", ".join(others)
            remedy = f"Ask them or the ministry whether that is right; then `collegium-node allow --researcher {others[0]} ...`."
            raise _Bad(f"not answered any more, because their key has been replaced: {names}", remedy, warning=True)
        known = f"{len(policy.allow)} rules, budgets for {', '.join(policy.budget)}"
        if not policy.takes_part:
            return known
        trustees = len(self.node.members.registry.trustees())
        if trustees < TRUSTEES:
            remedy = "Nothing to do here: the ministry invites trustees."
            raise _Bad(
                f"allows national sums, and of the three trustees they need the federation has {trustees}", remedy, warning=True
            )
        return f"{known}; in national sums of at least {policy.national.smallest} universities"

    def close(self) -> None:
        if self.node is not None:
            self.node.close()

    def _newest_own_entry(self) -> int:
        from collegium.log.statement import read_statement

        assert self.node is not None
        newest = self.node.journal.newest("decision") or self.node.journal.newest("policy")
        return int(read_statement(newest.note)[1]["time"]) if newest else 0

    def _next_hop(self) -> tuple[str, int]:
        """The proxy if there is one, else the coordinator."""
        proxy = self.config.coordinator.proxy
        parts = urlsplit(proxy) if proxy else urlsplit(f"//{self.membership.service}")
        return parts.hostname or "", parts.port or 0

    def _socket(self) -> socket.socket:
        """A connection to the coordinator, through the proxy if there is one. Raises OSError."""
        raw = socket.create_connection(self._next_hop(), timeout=TIMEOUT)
        if not self.config.coordinator.proxy:
            return raw
        raw.sendall(f"CONNECT {self.membership.service} HTTP/1.1\r\nHost: {self.membership.service}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < 65_536:
            more = raw.recv(4096)
            if not more:
                break
            answer += more
        if b" 200 " not in answer.split(b"\r\n", 1)[0] + b" ":
            raw.close()
            raise OSError("the proxy refused")
        return raw
