"""`collegium join TOKEN`: a researcher's folder becomes a member of a federation."""

from __future__ import annotations

from collections.abc import Callable

from collegium.connection import Connection
from collegium.enrolment import redeem
from collegium.errors import Invalid
from collegium.home import Home, Membership
from collegium.token import parse_token

__all__ = ["join"]


def join(home: Home, text: str, *, clock: Callable[[], float]) -> Membership:
    """Redeems the token in this folder, fetches the registry and verifies that it holds us under our key.

    Raises Invalid, NotVerified or Offline; in each case the same command may be given again.
    """
    token = parse_token(text)
    if token.invited.role != "researcher":
        raise Invalid(
            f"this token invites a {token.invited.role}", place="token", remedy="A node joins with `collegium-node join`."
        )
    membership = Membership(
        federation=token.federation,
        name=token.invited.name,
        registry_key=token.registry,
        service=token.service,
        enrolment=token.address,
        ca=token.ca.decode(),
    )
    if home.joined and home.membership() != membership:
        known = home.membership()
        raise Invalid(
            f"this folder is already {known.name} of {known.federation}", place=str(home.path), remedy="Name another with --home."
        )
    redeem(token, home.keys, clock=clock)
    home.remember(membership)
    # Crash here: a member whose copy of the registry is empty; the next command fetches it.
    with Connection(home, clock=clock) as connection:
        connection.registry().party(membership.name)
    return membership
