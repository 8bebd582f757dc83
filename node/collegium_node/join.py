"""`join TOKEN`: from a folder to a registered node. Every step may be repeated after a crash with the same token.

Keys are made on this machine and stay on it; `collegium.enrolment` says in which order, and what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Callable

import tomlkit

from collegium.enrolment import redeem
from collegium.errors import Invalid
from collegium.keys import save_secret
from collegium.log.statement import statement_id
from collegium.registration import Invitation
from collegium.token import parse_token
from collegium_node.fetch import fetch_registry
from collegium_node.home import Home, Membership

__all__ = ["join"]


def join(home: Home, text: str, *, clock: Callable[[], float]) -> tuple[Invitation, int]:
    """Redeem a token in this folder. The invitation, and the size of the registry verified afterwards.

    1. The token verifies, and invites a node. A folder belongs to one invitation for ever.
    2. Keys are made or found, the invitation is redeemed, the certificate is kept.
    3. What the token pins is remembered; from here on the folder is a joined node.
    4. The registry is fetched and verified; it must hold this node under this node's keys.

    Raises Invalid, NotVerified or Offline; in each case the same command may be given again.
    """
    # (1)
    token = parse_token(text)
    if token.invited.role != "node":
        raise Invalid(
            f"this token invites a {token.invited.role}", place="token", remedy="A researcher joins with `collegium join TOKEN`."
        )
    invitation = statement_id(token.invitation)
    if home.membership_file.exists() and home.membership().invitation != invitation:
        raise Invalid(
            f"this folder is already the node {home.membership().name}", place=str(home.root), remedy="Name another with --home."
        )
    config = home.config()
    # (2)
    invited = redeem(token, home.keys, clock=clock)
    # (3)
    # Crash here: registered at the coordinator, not yet remembered here. The same token again finds the same keys and gets through.
    home.remember(
        Membership(
            federation=token.federation,
            name=invited.name,
            service=token.service,
            enrolment=token.address,
            registry=token.registry,
            ca=token.ca.decode(),
            invitation=invitation,
        )
    )
    _write_name(home, invited.name)
    # (4)
    node = home.open(clock)
    try:
        size = fetch_registry(node, config.coordinator.proxy)
        node.members.check_own()
    finally:
        node.close()
    return invited, size


def _write_name(home: Home, name: str) -> None:
    document = tomlkit.parse(home.config_file.read_text(encoding="utf-8"))
    table = document.setdefault("node", tomlkit.table())
    if table.get("name") != name:
        table["name"] = name
        save_secret(home.config_file, tomlkit.dumps(document).encode(), replace=True)
