"""`join TOKEN`: what every party does (`collegium.party.join`), and the node's name in node.toml."""

from __future__ import annotations

from collections.abc import Callable

import tomlkit

from collegium.keys import save_secret
from collegium.party import join as party
from collegium.registration import Invitation
from collegium_node.home import Home

__all__ = ["join"]


def join(home: Home, text: str, *, clock: Callable[[], float]) -> tuple[Invitation, int]:
    """Redeem a token in this folder. The invitation, and the size of the registry verified afterwards.

    Raises Invalid, NotVerified or Offline; in each case the same command may be given again.
    """
    proxy = home.config().coordinator.proxy
    return party.join(home, text, proxy=proxy, clock=clock, named=lambda name: _write_name(home, name))


def _write_name(home: Home, name: str) -> None:
    document = tomlkit.parse(home.config_file.read_text(encoding="utf-8"))
    table = document.setdefault("node", tomlkit.table())
    if table.get("name") != name:
        table["name"] = name
        save_secret(home.config_file, tomlkit.dumps(document).encode(), replace=True)
