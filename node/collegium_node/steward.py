"""What the steward says: `policy.toml` is read, checked, and signed into the log. What is signed there is in force, nothing else.

    [budget.student]                       # one table for each privacy unit of the schema
    period = "year"                        # year, quarter or month, by the calendar in UTC
    epsilon = 2                            # or `rho = 0.05`; what all questions of one period may cost together
    lifetime_epsilon = 8                   # or `lifetime_rho`; what all questions may ever cost

    largest_question_epsilon = 0.5         # or `largest_question_rho`; optional

    [limits.dataset.graduate]              # optional sub-limits, for each period of the dataset's unit
    epsilon = 1
    [limits.researcher.li-wei]
    rho = 0.01

    [[allow]]                              # read from the top; the first that fits decides; none fits: refused
    researcher = "li-wei"
    datasets = ["graduate"]                # or "*"
    mode = "allow"                         # or "hold": every request waits for `collegium-node allow ID`
    release = "per_node"                   # own figures; "national": only within a national sum; or "both"
    purpose = "annual report"              # optional; must occur in the purpose
    key = "..."                            # filled in when the policy is signed

    [national]
    smallest = 10                          # universities: of fewer no national sum may be that this one is in

Epsilon is converted to rho at the federation's delta when the policy is signed. A researcher's key is taken from the verified
registry the first time and kept from then on: if another key is ever registered under the name, the rule does not fit it until
the steward says `collegium-node allow --researcher NAME` again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from collegium.accounting import rho_of
from collegium.errors import CollegiumError, Invalid
from collegium.party.journal import Journal, Writer
from collegium.statements import Policy as PolicyStatement
from collegium_node import shelf
from collegium_node.home import Node
from collegium_node.policy import NOTHING, Policy

__all__ = ["RELEASES", "InForce", "read_draft", "rekeyed", "sign_draft", "sign_if_changed"]

NANO = 10**9
RELEASES = {"per_node": ["per_node"], "national": ["national"], "both": ["per_node", "national"]}
"""What `release` may say in policy.toml instead of a list."""


class InForce:
    """The newest signed policy; another process may sign a newer one at any time."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: tuple[int, Policy] = (-1, NOTHING)

    def __call__(self) -> Policy:
        with self._journal.store.read() as db:
            (newest,) = db.execute("SELECT MAX(idx) FROM entries WHERE kind = 'policy'").fetchone()
        if newest is not None and newest != self._seen[0]:
            body = PolicyStatement.read(self._journal.entry(newest).note)
            self._seen = (newest, Policy.from_json(body.policy))
        return self._seen[1]


def sign_draft(node: Node) -> tuple[Policy, bool]:
    """Read policy.toml and put it into force: whether anything changed."""
    registry, in_force = node.members.registry, InForce(node.journal)()
    pinned = {rule.researcher: rule.key for rule in in_force.allow}

    def key_of(researcher: str) -> str:
        return pinned.get(researcher) or node.members.researcher(researcher)

    policy = read_draft(node.home.policy_file, registry.founding.delta, key_of).model_copy(update={"lost": in_force.lost})
    with node.journal.write("policy") as log:
        return policy, sign_if_changed(log, policy)


def sign_if_changed(log: Writer, policy: Policy) -> bool:
    """Sign policy and snapshots unless the newest policy statement says just this, by the key of today; whether it was signed."""
    snapshots, tree = shelf.signed(log.db), policy.to_json()
    row = log.db.execute("SELECT note FROM entries WHERE kind = 'policy' ORDER BY idx DESC LIMIT 1").fetchone()
    if row is not None:
        newest = PolicyStatement.read(row[0])
        if (newest.policy, newest.snapshots) == (tree, snapshots) and log.is_ours(row[0]):
            return False
    log.sign(PolicyStatement(log=log.place, registry=log.registry, time=log.now, policy=tree, snapshots=snapshots))
    return True


def rekeyed(node: Node) -> list[str]:
    """Researchers whom the policy in force allows by another key than the registry has for them now, sorted.

    They have replaced their key (the registration says so, signed by the old one), or somebody else got the name: either way they
    are answered again only when the steward has looked and allowed them anew.
    """
    found = set()
    for rule in InForce(node.journal)().allow:
        try:
            if node.members.researcher(rule.researcher) != rule.key:
                found.add(rule.researcher)
        except CollegiumError:
            continue  # revoked, or never there: nobody who could be allowed anew
    return sorted(found)


def read_draft(path: Path, delta: str, key_of: Callable[[str], str]) -> Policy:
    """The policy that policy.toml states. `key_of` gives a researcher's key where the file names none.

    Raises Invalid with the place of the first mistake; unknown keys are mistakes.
    """
    try:
        tree: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        return NOTHING
    except (OSError, ValueError, RecursionError) as error:
        raise Invalid(str(error), place=str(path), remedy="Correct the TOML there.") from None
    place = str(path)
    budgets = {}
    for unit, table in _table(tree.pop("budget", {}), f"{place}: budget").items():
        here = f"{place}: budget.{unit}"
        line = dict(_table(table, here))
        budgets[unit] = {
            "period": line.pop("period", "year"),
            "rho": _figure(line, "", delta, here),
            "lifetime": _figure(line, "lifetime_", delta, here),
        }
        _nothing_left(line, here)
    limits: dict[str, dict[str, int]] = {}
    for scope, names in _table(tree.pop("limits", {}), f"{place}: limits").items():
        limits[scope] = {}
        for name, table in _table(names, f"{place}: limits.{scope}").items():
            here = f"{place}: limits.{scope}.{name}"
            line = dict(_table(table, here))
            limits[scope][name] = _figure(line, "", delta, here)
            _nothing_left(line, here)
    largest = None
    if any(key.startswith("largest_question_") for key in tree):
        largest = _figure(tree, "largest_question_", delta, place)
    rules = []
    for number, table in enumerate(tree.pop("allow", [])):
        line = dict(_table(table, f"{place}: allow.{number}"))
        if line.get("datasets") == "*":
            line["datasets"] = ["*"]
        if "release" in line:
            line["release"] = RELEASES.get(str(line["release"]), line["release"])
        if not line.get("key") and isinstance(line.get("researcher"), str):
            line["key"] = key_of(line["researcher"])
        rules.append(line)
    national = dict(_table(tree.pop("national", {}), f"{place}: national"))
    _nothing_left(tree, place)
    whole = {"budget": budgets, "limits": limits, "largest_question": largest, "allow": rules, "national": national}
    return Policy.from_json(whole, place=place)


def _figure(line: dict[str, Any], prefix: str, delta: str, place: str) -> int:
    """Nano-rho of `<prefix>rho` or `<prefix>epsilon`, which is taken out of `line`."""
    rho, epsilon = line.pop(f"{prefix}rho", None), line.pop(f"{prefix}epsilon", None)
    if (rho is None) == (epsilon is None):
        raise Invalid(f"give {prefix}epsilon or {prefix}rho, one of them", place=place)
    value = rho if rho is not None else epsilon
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= 10**5:
        raise Invalid(f"{value} is no amount between 0 and 100000", place=place)
    if rho is not None:
        return int(Decimal(rho) * NANO)  # rounded down: a budget never grows by rounding
    return rho_of(str(epsilon), delta) if epsilon else 0


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid("a table is expected here", place=place)
    return value


def _nothing_left(line: Mapping[str, Any], place: str) -> None:
    for key in line:
        raise Invalid(f"unknown key {key!r}", place=place, remedy="Correct or delete it.")
