"""The steward's commands: who may ask, what waits, what was spent, what was wrong. Part of `collegium-node`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.errors import CollegiumError, Invalid
from collegium.keys import save_secret
from collegium_node.terminal import HERE, HomeOption, JsonOption, opened, say, show, show_json

if TYPE_CHECKING:
    from collegium_node.home import Node
    from collegium_node.policy import Policy

__all__ = ["steward_app"]

steward_app = typer.Typer(rich_markup_mode=None)


@steward_app.command()
def requests(
    every: Annotated[bool, typer.Option("--all", help="Also those decided already.")] = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Requests that wait for the steward's decision."""
    from collegium_node.requests import listing
    from collegium_node.tables import requests_table, requests_tree

    with opened(home) as node:
        lines = listing(node.journal, every=every)
        if as_json:
            show_json(requests_tree(lines))
        elif lines:
            show(requests_table(lines, node.members.registry.delta))
        else:
            say("No request waits.")


@steward_app.command()
def allow(
    request: Annotated[str, typer.Argument(help="The id of a held request, or its beginning.")] = "",
    researcher: Annotated[str, typer.Option("--researcher", help="Allow a researcher from now on.")] = "",
    dataset: Annotated[list[str] | None, typer.Option("--dataset", help="Only this dataset. May be repeated.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Every request of theirs waits for `allow ID`.")] = False,
    purpose: Annotated[str, typer.Option("--purpose", help="Only requests whose purpose contains this.")] = "",
    release: Annotated[
        str, typer.Option("--release", help="per_node: own figures with noise; national: only within a national sum; or both.")
    ] = "per_node",
    smallest: Annotated[
        int, typer.Option("--smallest", help="Take part in no national sum, of anybody, that may be of fewer universities.")
    ] = 0,
    home: HomeOption = HERE,
) -> None:
    """Allow a held request, or a researcher."""
    from collegium_node.draft import allow_researcher, set_smallest
    from collegium_node.requests import decide
    from collegium_node.steward import RELEASES

    _one_of(request, researcher, "a held request's ID or --researcher NAME")
    with opened(home) as node:
        if request:
            line = decide(node.journal, request, allow=True)
            say(f"Allowed {line.id[:12]} of {line.researcher}. It is answered when the coordinator asks again.")
            return
        if release not in RELEASES:
            raise Invalid(f"{release!r} is no release mode", place="--release", remedy=f"Write one of: {', '.join(RELEASES)}.")
        for name in dataset or ():
            node.members.registry.schema.dataset(name, place="--dataset")
        key = _key_of(node, researcher)
        with _edit(node):
            allow_researcher(node.home.policy_file, researcher, key, dataset or [], hold=hold, purpose=purpose, release=release)
            if smallest:
                set_smallest(node.home.policy_file, smallest)
        scope = ", ".join(dataset or ()) or "every dataset"
        how = {"per_node": "", "national": ", in national sums only", "both": ", in national sums too"}[release]
        say(f"{researcher} may ask about {scope}{how}{', each request held' if hold else ''}. Key: {key}")


@steward_app.command()
def refuse(
    request: Annotated[str, typer.Argument(help="The id of a held request, or its beginning.")] = "",
    researcher: Annotated[str, typer.Option("--researcher", help="Take back all that a researcher is allowed.")] = "",
    home: HomeOption = HERE,
) -> None:
    """Refuse a held request, or take back what a researcher is allowed."""
    from collegium_node.draft import refuse_researcher
    from collegium_node.requests import decide

    _one_of(request, researcher, "a held request's ID or --researcher NAME")
    with opened(home) as node:
        if request:
            line = decide(node.journal, request, allow=False)
            say(f"Refused {line.id[:12]} of {line.researcher}.")
            return
        with _edit(node):
            count = refuse_researcher(node.home.policy_file, researcher)
        say(f"{researcher} is allowed nothing any more ({count} rules taken out).")


@steward_app.command()
def policy(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Sign policy.toml as it is now: from here on it is in force, also in a node that is serving."""
    with opened(home) as node:
        signed, changed = _sign(node)
    if as_json:
        show_json(signed.to_json())
        return
    say("The policy is signed and in force." if changed else "The policy in force says just this already.")
    if signed.takes_part:
        names = ", ".join(sorted({rule.researcher for rule in signed.allow if "national" in rule.release}))
        say(f"This university takes part in national sums of {names} with at least {signed.national.smallest} universities.")


@steward_app.command()
def budget(
    unit: Annotated[str, typer.Option("--set", help="Set the budget of this privacy unit instead of showing all.")] = "",
    period: Annotated[str, typer.Option("--period", help="year, quarter or month (UTC calendar).")] = "",
    epsilon: Annotated[str, typer.Option("--epsilon", help="What a period may cost, at the federation's delta.")] = "",
    rho: Annotated[str, typer.Option("--rho", help="The same in rho.")] = "",
    lifetime_epsilon: Annotated[str, typer.Option("--lifetime-epsilon", help="What may ever be spent.")] = "",
    lifetime_rho: Annotated[str, typer.Option("--lifetime-rho", help="The same in rho.")] = "",
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What has been spent and what is left, for each privacy unit and limit. `--json` is in nano-rho."""
    from collegium_node.draft import set_budget
    from collegium_node.ledger import spending
    from collegium_node.steward import InForce
    from collegium_node.tables import budget_table, budget_tree

    given = {"epsilon": epsilon, "rho": rho, "lifetime_epsilon": lifetime_epsilon, "lifetime_rho": lifetime_rho}
    figures: dict[str, Any] = {key: _number(value, f"--{key.replace('_', '-')}") for key, value in given.items() if value}
    if period:
        figures["period"] = period
    with opened(home) as node:
        if unit:
            if unit not in node.members.registry.schema.units:
                names = ", ".join(sorted(node.members.registry.schema.units))
                raise Invalid(f"there is no privacy unit {unit!r}", place="--set", remedy=f"The schema has: {names}.")
            with _edit(node):
                set_budget(node.home.policy_file, unit, figures)
        elif figures:
            raise Invalid("name the privacy unit to change", place="--set", remedy="Write --set UNIT.")
        delta = node.members.registry.delta
        with node.store.read() as db:
            lines = spending(db, InForce(node.journal)().figures, int(time.time()))
    if as_json:
        show_json(budget_tree(lines, delta))
    elif lines:
        show(budget_table(lines, delta))
    else:
        say("There is no budget yet, so nothing is answered.")
        say("Next: collegium-node budget --set UNIT --epsilon 2 --lifetime-epsilon 8")


@steward_app.command()
def withdraw(
    request: Annotated[str, typer.Argument(help="The id of a request, or its beginning.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; public.")] = "",
    number: Annotated[int | None, typer.Option("--number", help="Only this question of the request, from 0.")] = None,
    snapshot: Annotated[str, typer.Option("--snapshot", help="Instead: everything released from this snapshot.")] = "",
    home: HomeOption = HERE,
) -> None:
    """Mark releases as wrong, by a signed statement. Charges stay: the privacy loss has happened."""
    from collegium_node.withdraw import withdraw as by_request
    from collegium_node.withdraw import withdraw_snapshot

    _one_of(request, snapshot, "a request's ID or --snapshot ID")
    if not reason:
        raise Invalid("a withdrawal states its reason", place="--reason", remedy="Write --reason TEXT.")
    with opened(home) as node:
        if request:
            count = by_request(node.journal, request, reason, number=number)
        else:
            count = withdraw_snapshot(node.journal, snapshot, reason)
    say(f"Withdrew {count} releases. The coordinator learns of it when it asks again.")


def _key_of(node: Node, researcher: str) -> str:
    """The researcher's registered key; asks the coordinator when this node has not heard of them yet."""
    from collegium.party.fetch import fetch_registry

    try:
        return node.members.researcher(researcher)
    except CollegiumError:
        fetch_registry(node, node.home.config().coordinator.proxy)
        return node.members.researcher(researcher)


@contextmanager
def _edit(node: Node) -> Iterator[None]:
    """An edit of policy.toml, and its signature. What cannot be signed is taken back: the file is as it was before."""
    file = node.home.policy_file
    before = file.read_bytes() if file.exists() else None
    try:
        yield
        # Crash here: the draft says what the steward typed; in force is what it said before, until it is signed.
        _sign(node)
    except CollegiumError:
        if before is None:
            file.unlink(missing_ok=True)
        elif file.read_bytes() != before:
            save_secret(file, before, replace=True)
        raise


def _sign(node: Node) -> tuple[Policy, bool]:
    from collegium_node.steward import sign_draft

    return sign_draft(node)


def _one_of(first: str, second: str, what: str) -> None:
    if bool(first) == bool(second):
        raise Invalid(f"give {what}, one of them", place="arguments")


def _number(text: str, place: str) -> int | float:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise Invalid(f"{text!r} is no number", place=place) from None
