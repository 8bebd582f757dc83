"""Everybody who is connected, whatever the role. Nodes and trustees are witnesses alike, and both have a log that is copied."""

from __future__ import annotations

from typing import Any, Protocol

from collegium.errors import Offline, Refused
from collegium_coordinator.links import Link, Links

__all__ = ["Everybody", "Reach"]


class Reach(Protocol):
    """Who can be called now, whatever its role: witnesses, and logs that are copied."""

    def connected(self, name: str) -> bool: ...

    def names(self) -> list[str]: ...

    def get(self, name: str) -> Link:
        """Raises Offline."""
        ...

    def must_be_party(self, name: str) -> None:
        """Raises Refused unless it is registered in one of the roles that are reached."""
        ...


class Everybody:
    """Nodes and trustees together: a name belongs to one role. It is a `Reach`."""

    def __init__(self, *roles: Links[Any]) -> None:
        self._roles = roles

    def connected(self, name: str) -> bool:
        return any(each.connected(name) for each in self._roles)

    def names(self) -> list[str]:
        """Names of those who are connected, sorted."""
        return sorted(name for each in self._roles for name in each.names())

    def get(self, name: str) -> Link:
        """The connection of a party. Raises Offline."""
        for each in self._roles:
            if each.connected(name):
                link: Link = each.get(name)
                return link
        raise Offline(f"{name} is not connected", remedy="Ask again later.", reason="offline")

    def must_be_party(self, name: str) -> None:
        """Raises Refused unless the registry has a node or trustee of this name that is not revoked."""
        for each in self._roles:
            try:
                each.must_be_party(name)
            except Refused as error:
                refusal = error
            else:
                return
        raise refusal
