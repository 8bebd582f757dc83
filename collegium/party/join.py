"""`join TOKEN`: from a folder to a registered party, or from a party to the same with new keys. Every step may be repeated after a
crash with the same token.

Keys are made on this machine and stay on it; `collegium.enrolment` says in which order, and what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Callable

from collegium.enrolment import Keys, redeem
from collegium.errors import Invalid
from collegium.log.statement import statement_id
from collegium.party.alone import alone
from collegium.party.fetch import fetch_registry
from collegium.party.home import Home, Membership
from collegium.registration import Invitation
from collegium.replacing import Enrol, certified, former_folder, send, take_place
from collegium.token import Token, parse_token

__all__ = ["join", "replace"]

_JOINS = {
    "researcher": "A researcher joins with `collegium join TOKEN`.",
    "node": "A university's node joins with `collegium-node join TOKEN`.",
    "trustee": "A trustee joins with `collegium-trustee join TOKEN`.",
}


def join(
    home: Home, text: str, *, proxy: str, clock: Callable[[], float], named: Callable[[str], None] = lambda _: None
) -> tuple[Invitation, int]:
    """Redeem a token in this folder. The invitation, and the size of the registry verified afterwards.

    A token that replaces keys is redeemed in the folder of the party that has them: see `replace`.

    1. The token verifies, and invites a party of this role. A folder belongs to one invitation for ever.
    2. Keys are made or found, the invitation is redeemed, the certificate is kept.
    3. What the token pins is remembered; from here on the folder is a joined party. `named` is told its name.
    4. The registry is fetched and verified; it must hold this party under its own keys.

    Raises Invalid, NotVerified or Offline; in each case the same command may be given again.
    """
    # (1)
    token = parse_token(text)
    if token.invited.role != home.role:
        raise Invalid(f"this token invites a {token.invited.role}", place="token", remedy=_JOINS[token.invited.role])
    invitation = statement_id(token.invitation)
    if token.invited.replaces and home.membership_file.exists():
        return replace(home, token, proxy=proxy, clock=clock)
    if home.membership_file.exists() and home.membership().invitation != invitation:
        raise Invalid(
            f"this folder is already the {home.role} {home.membership().name}",
            place=str(home.root),
            remedy="Name another with --home.",
        )
    # (2)
    invited = redeem(token, home.keys, clock=clock)
    # (3)
    # Crash here: registered at the coordinator, not yet remembered here. The same token again finds the same keys and gets through.
    home.remember(_membership(token))
    named(invited.name)
    # (4)
    return invited, _verified(home, proxy, clock)


def replace(home: Home, token: Token, *, proxy: str, clock: Callable[[], float], enrol: Enrol = send) -> tuple[Invitation, int]:
    """Replace this party's keys, and go on with its log and everything else. `serve` must be stopped.

    1. The token is for this very party. 2. New keys, the registration signed by the old one too, and a certificate. 3. The new keys
    take the place of the old ones, which are kept in former/. 4. The registry is fetched; it must hold the new keys.

    Raises as `join` does, and Failed while the party is being served.
    """
    with alone(home):
        # (1)
        known = home.membership()
        invited = token.invited
        ours = (home.role, known.name, known.federation, known.registry)
        if (invited.role, invited.name, token.federation, token.registry) != ours:
            raise Invalid(
                f"this folder is the {home.role} {known.name} of {known.federation}, and the token is for another",
                place=str(home.root),
                remedy="Use it where the old keys are.",
            )
        if known.invitation != statement_id(token.invitation):
            # (2)
            fresh, former = Keys(home.root / "keys.new"), former_folder(home.root, token)
            if fresh.folder.exists() or not (former / "keys").exists():
                certified(token, home.keys, fresh, clock=clock, enrol=enrol, keep_log=True)
                # (3) Crash here, and in it: the registry has the new keys; the same command puts them in their place.
                take_place(home.keys, fresh, former)
            # Crash here: the new keys are in their place, and the membership still names the old invitation; it is written again.
            home.remember(_membership(token))
        # (4)
        return invited, _verified(home, proxy, clock)


def _membership(token: Token) -> Membership:
    return Membership(
        federation=token.federation,
        name=token.invited.name,
        service=token.service,
        enrolment=token.address,
        registry=token.registry,
        ca=token.ca.decode(),
        invitation=statement_id(token.invitation),
    )


def _verified(home: Home, proxy: str, clock: Callable[[], float]) -> int:
    """The size of the registry, fetched and verified; it must hold this party under its own keys."""
    party = home.open(clock)
    try:
        size = fetch_registry(party, proxy)
        party.members.check_own()
    finally:
        party.close()
    return size
