"""The researcher's line to the coordinator: calls of the Federation service, and the registry kept up to date and verified.

Blocking gRPC, so that it works in a script, a notebook and a terminal alike. Nothing that comes over this line is believed before
it is verified: the registry by its own chain, everything else by `collegium.bundle`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from collegium.enrolment import renew
from collegium.errors import CollegiumError, Invalid
from collegium.home import Home
from collegium.keys import load_signer
from collegium.registry import Registry
from collegium.tls import dns_name, expires_at, renew_at
from collegium.transport.status import from_rpc
from collegium.v1.federation_pb2 import (
    AskRequest,
    NodeLine,
    NodesReply,
    NodesRequest,
    Progress,
    RegistryRequest,
    RequestLine,
    RequestsRequest,
    ResultPart,
    ResultRequest,
)
from collegium.v1.federation_pb2_grpc import FederationStub

__all__ = ["Connection"]

MAX_MESSAGE = 64 * 1024 * 1024
TIMEOUT = 30.0  # seconds, for calls that need no node


class Connection:
    """An open line of the researcher whose folder is `home`. Close it, or use it as a context manager.

    Raises:
        Invalid: the folder has not joined a federation.
        Offline: (from every method) the coordinator cannot be reached.
    """

    def __init__(self, home: Home, *, clock: Callable[[], float] = time.time) -> None:
        self.home = home
        self.membership = home.membership()
        self.signer = load_signer(home.keys.statements)
        self._clock = clock
        self._renew_if_due()
        certificate, key = home.keys.tls()
        credentials = grpc.ssl_channel_credentials(self.membership.ca.encode(), key, certificate)
        options = (
            ("grpc.ssl_target_name_override", dns_name("coordinator")),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
        )
        self._channel = grpc.secure_channel(self.membership.service, credentials, options=options)
        self._stub: Any = FederationStub(self._channel)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def registry(self) -> Registry:
        """The registry, extended by what is new and verified, and kept for the next time."""
        registry = self.home.registry()
        known = registry.checkpoint
        while True:
            reply = self._call(self._stub.Registry, RegistryRequest(first=registry.size), TIMEOUT)
            if reply.entries or reply.checkpoint:  # without entries: the same checkpoint, with more cosignatures perhaps
                registry.extend(list(reply.entries), None if reply.more else reply.checkpoint, first=reply.first)
            if not reply.more or not reply.entries:
                break
        if registry.checkpoint != known:
            self.home.save_registry(registry)
        if not registry.size:
            raise Invalid("the coordinator's registry is empty", place=self.membership.service, remedy="Tell the ministry.")
        return registry

    def nodes(self) -> list[NodeLine]:
        return list(self.parties().nodes)

    def parties(self, *, brief: bool = False) -> NodesReply:
        """All nodes and trustees; `brief`: without the nodes' policies."""
        reply: NodesReply = self._call(self._stub.Nodes, NodesRequest(brief=brief), TIMEOUT)
        return reply

    def requests(self, limit: int = 20) -> list[RequestLine]:
        """This researcher's requests, newest first."""
        return list(self._call(self._stub.Requests, RequestsRequest(limit=limit), TIMEOUT).requests)

    def ask(self, request: bytes, details: bytes, *, timeout: float | None = None) -> Iterator[Progress]:
        """Hands in a signed request; yields progress until it is done. Leaving the loop leaves the question running.

        Raises Offline after `timeout` seconds: this line is closed, the question goes on.
        """
        with self._errors():
            yield from self._stub.Ask(AskRequest(request=request, details=details), timeout=timeout)

    def result(self, request_id: str, *, refresh: bool = True, wait: float = 10.0) -> Iterator[ResultPart]:
        """The parts of a request's bundle. `wait`: seconds for nodes that are asked again."""
        with self._errors():
            yield from self._stub.Result(
                ResultRequest(request_id=request_id, refresh=refresh, wait_seconds=wait), timeout=TIMEOUT + wait
            )

    def _call(self, method: Any, message: Any, timeout: float) -> Any:
        with self._errors():
            return method(message, timeout=timeout)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc(error, place=self.membership.service) from None

    def _renew_if_due(self) -> None:
        """A certificate renews itself after two thirds of its life; while it is still good, a failure to renew is no failure."""
        keys = self.home.keys
        certificate, _ = keys.tls()
        if self._clock() < renew_at(certificate):
            return
        try:
            renew(self.membership.enrolment, self.membership.ca.encode(), self.signer, keys, clock=self._clock)
        except CollegiumError:
            if self._clock() >= expires_at(certificate):
                raise
