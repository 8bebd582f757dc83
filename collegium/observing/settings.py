"""Settings of monitoring, the same table in every service's configuration file."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator

__all__ = ["MetricsConfig", "host_and_port"]


class MetricsConfig(BaseModel):
    """`[metrics]`. `listen`: where Prometheus may fetch the figures, such as "127.0.0.1:9464"; "" opens no port.

    Only a loopback address: the figures leave without encryption and nobody proves who he is. Whoever wants them elsewhere puts
    an agent or a proxy of his own before the port.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: Annotated[str, StringConstraints(max_length=100)] = ""

    @field_validator("listen")
    @classmethod
    def _on_this_machine(cls, value: str) -> str:
        if value:
            host_and_port(value)
        return value


def host_and_port(address: str) -> tuple[str, int]:
    """The two halves of "127.0.0.1:9464" or "[::1]:9464". Raises ValueError unless the host is this machine's loopback."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("write HOST:PORT, such as 127.0.0.1:9464")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        there = ip_address(host).is_loopback
    except ValueError:
        there = False
    if not there:
        raise ValueError("metrics are served on a loopback address only, such as 127.0.0.1:9464; put a proxy before it")
    return host, int(port)
