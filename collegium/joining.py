"""`collegium join TOKEN`: a researcher's folder becomes a member of a federation, or a member's gets new keys."""

from __future__ import annotations

from collections.abc import Callable

from collegium.connection import Connection
from collegium.enrolment import Keys, redeem
from collegium.errors import Invalid, NotVerified
from collegium.home import Home, Membership
from collegium.replacing import certified, former_folder, send, take_place
from collegium.token import parse_token

__all__ = ["join"]


def join(home: Home, text: str, *, clock: Callable[[], float]) -> Membership:
    """Redeems the token in this folder, fetches the registry and verifies that it holds us under our key.

    A token that replaces keys (`invite researcher NAME --replace`) is redeemed in the folder that has the old ones. Every
    university has allowed the old key: its data steward must allow the new one before it is answered again.

    Raises Invalid, NotVerified or Offline; in each case the same command may be given again.
    """
    token = parse_token(text)
    if token.invited.role != "researcher":
        role = token.invited.role
        raise Invalid(f"this token invites a {role}", place="token", remedy=f"A {role} joins with `collegium-{role} join`.")
    membership = Membership(
        federation=token.federation,
        name=token.invited.name,
        registry_key=token.registry,
        service=token.service,
        enrolment=token.address,
        ca=token.ca.decode(),
    )
    if token.invited.replaces and home.joined and _same(home.membership(), membership):
        fresh = Keys(home.path / "keys.new")
        former = former_folder(home.path, token)
        if fresh.folder.exists() or not (former / "keys").exists():
            certified(token, home.keys, fresh, clock=clock, enrol=send, keep_log=False)
            # Crash here, and in the next line: the registry has the new key; the same command puts it in its place.
            take_place(home.keys, fresh, former)
    elif home.joined and home.membership() != membership:
        known = home.membership()
        raise Invalid(
            f"this folder is already {known.name} of {known.federation}", place=str(home.path), remedy="Name another with --home."
        )
    else:
        redeem(token, home.keys, clock=clock)
    home.remember(membership)
    # Crash here: a member whose copy of the registry is empty; the next command fetches it.
    with Connection(home, clock=clock) as connection:
        party = connection.registry().party(membership.name)
        if party.statements != connection.signer.verifier:
            raise NotVerified(
                f"the registry has another key for {membership.name}", place="registry", remedy="Tell the ministry at once."
            )
    return membership


def _same(known: Membership, invited: Membership) -> bool:
    """Whether a token is for who is here already: the name in the federation; addresses may have changed."""
    pairs = ((each.federation, each.name, each.registry_key) for each in (known, invited))
    return len(set(pairs)) == 1
