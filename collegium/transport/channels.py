"""Channels and servers of `grpc.aio` with the federation's TLS, and the options both sides agree on.

Trusted with: the TLS key of this party. An attacker who holds it can connect as the party, and sign nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from collegium.errors import CollegiumError, Failed, Invalid
from collegium.tls import dns_name

__all__ = ["TlsFiles", "client_channel", "listen", "new_server", "server_credentials"]

MAX_MESSAGE = (64 << 20) + 65_536  # bytes; a message of 64 MiB and what is around it
_SIZES = [
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_metadata_size", 65_536),  # soft and hard bound of headers: the details of an error may be 10 kB long
    ("grpc.absolute_max_metadata_size", 131_072),
]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM bytes of one party: the authority it trusts, its own chain, its own key."""

    ca: bytes
    chain: bytes
    key: bytes = field(repr=False)


def client_channel(address: str, *, ca: bytes, server: str, me: TlsFiles | None = None, proxy: str = "") -> Any:
    """A channel of its own (one TCP connection) to `address` ("host:port").

    Args:
        ca: PEM of the authority that must have issued the server's certificate.
        server: the party that must answer, for example "coordinator": its certificate must carry `<server>.collegium`.
        me: this party's certificate; None only for enrolment.
        proxy: "http://[user:password@]host:port" of an HTTP CONNECT proxy; empty connects directly. What the environment says
            about proxies is not read: where a university's traffic goes is decided in its configuration.
    """
    options = [
        *_SIZES,
        ("grpc.ssl_target_name_override", dns_name(server)),
        ("grpc.use_local_subchannel_pool", 1),  # never shares a connection with a channel of other credentials
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 0),  # repeating is decided where it is known to be free
    ]
    options += [("grpc.http_proxy", _proxy(proxy))] if proxy else [("grpc.enable_http_proxy", 0)]
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca, private_key=me.key if me else None, certificate_chain=me.chain if me else None
    )
    return grpc.aio.secure_channel(address, credentials, options=options)


def _proxy(proxy: str) -> str:
    try:
        parts = urlsplit(proxy)
        if parts.scheme == "http" and parts.hostname and parts.port and parts.path in ("", "/"):
            return proxy.rstrip("/")
    except ValueError:
        pass
    raise Invalid(
        "This is not the address of a proxy.",
        place="coordinator.proxy",
        remedy='Write "http://host:port" of an HTTP CONNECT proxy.',
    )


def server_credentials(read: Callable[[], TlsFiles], *, clients_prove_themselves: bool = True) -> Any:
    """Credentials that follow renewals: `read` is called for every new connection and what it gives is used from then on.

    (1) Unchanged bytes change nothing. (2) A key that does not belong to the certificate (a renewal half written) and files that
    cannot be read are passed over: the server keeps what it has. Raises Invalid if the very first ones do not fit.
    """
    current = read()
    if not _belongs(current):
        raise Invalid("The TLS key does not belong to the certificate.", place="TLS", remedy="Renew the certificate.")

    def configuration(files: TlsFiles) -> Any:
        root = files.ca if clients_prove_themselves else None
        return grpc.ssl_server_certificate_configuration([(files.key, files.chain)], root_certificates=root)

    def fetch() -> Any:
        nonlocal current
        try:
            files = read()
            if files == current or not _belongs(files):  # (1) (2)
                return None
            fresh = configuration(files)
        except (CollegiumError, OSError, ValueError) as error:  # (2)
            _log.warning("the TLS files cannot be read (%s); the server keeps those it has", type(error).__name__)
            return None
        current = files
        return fresh

    return grpc.dynamic_ssl_server_credentials(
        configuration(current), fetch, require_client_authentication=clients_prove_themselves
    )


def _belongs(files: TlsFiles) -> bool:
    try:
        key = serialization.load_pem_private_key(files.key, password=None)
        return key.public_key() == x509.load_pem_x509_certificate(files.chain).public_key()
    except (ValueError, TypeError):
        return False


def new_server() -> Any:
    """A `grpc.aio` server with the options of this federation; services are added before `listen`."""
    options = [
        *_SIZES,
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not take half of the connections
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 0),  # a node's clock after sleep must not cost it its connection
    ]
    return grpc.aio.server(options=options)


def listen(server: Any, address: str, credentials: Any) -> int:
    """Binds `address` ("host:port", port 0 for any) and gives the port. Raises Failed when it is taken or not allowed."""
    try:
        port = int(server.add_secure_port(address, credentials))
    except RuntimeError:
        port = 0
    if port == 0:
        raise Failed("Cannot listen here.", place=address, remedy="Is another server running there? Choose another address.")
    return port
