"""Edits of policy.toml that keep the steward's comments. An edit takes effect when the file is signed, see `steward`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from collegium.errors import Invalid
from collegium.keys import save_secret

__all__ = ["allow_researcher", "refuse_researcher", "set_budget", "set_smallest"]


def allow_researcher(
    path: Path, researcher: str, key: str, datasets: list[str], *, hold: bool, purpose: str, release: str = "per_node"
) -> None:
    """Put a rule first, in place of rules for the same researcher and datasets. No datasets: every dataset served.

    Args:
        release: per_node, national or both.
    """
    document = _read(path)
    wanted = sorted(set(datasets)) or "*"
    rule = tomlkit.table()
    rule.update({"researcher": researcher, "datasets": wanted, "mode": "hold" if hold else "allow"})
    if purpose:
        rule["purpose"] = purpose
    if release != "per_node":
        rule["release"] = release
    rule["key"] = key
    others = [each for each in _rules(document) if (each.get("researcher"), _datasets(each)) != (researcher, wanted)]
    for each in others:
        if each.get("researcher") == researcher:
            each["key"] = key  # the steward has just said who this is
    _set_rules(document, [rule, *others])
    _write(path, document)


def refuse_researcher(path: Path, researcher: str) -> int:
    """Take out every rule of a researcher. How many there were."""
    document = _read(path)
    rules = list(_rules(document))
    kept = [each for each in rules if each.get("researcher") != researcher]
    if len(kept) < len(rules):
        _set_rules(document, kept)
        _write(path, document)
    return len(rules) - len(kept)


def set_budget(path: Path, unit: str, figures: dict[str, Any]) -> None:
    """Set keys of [budget.<unit>]; an epsilon replaces the rho of the same figure and the other way round."""
    document = _read(path)
    budgets = document.setdefault("budget", tomlkit.table(is_super_table=True))
    line = budgets.setdefault(unit, tomlkit.table())
    for key, value in figures.items():
        other = key.replace("epsilon", "rho") if "epsilon" in key else key.replace("rho", "epsilon")
        if other != key:
            line.pop(other, None)
        line[key] = value
    _write(path, document)


def set_smallest(path: Path, smallest: int) -> None:
    """Set [national] smallest: universities that a national sum must be of."""
    document = _read(path)
    document.setdefault("national", tomlkit.table())["smallest"] = smallest
    _write(path, document)


def _rules(document: tomlkit.TOMLDocument) -> list[Any]:
    rules = document.get("allow", [])
    if not isinstance(rules, list):
        raise Invalid("`allow` is no list of tables", place="policy.toml: allow", remedy="Write [[allow]].")
    return list(rules)


def _set_rules(document: tomlkit.TOMLDocument, rules: list[Any]) -> None:
    document.pop("allow", None)
    if rules:
        array = AoT([])
        for rule in rules:
            array.append(rule)
        document["allow"] = array


def _datasets(rule: Any) -> Any:
    datasets = rule.get("datasets")
    return sorted(datasets) if isinstance(datasets, list) and list(datasets) != ["*"] else "*"


def _read(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(path), remedy="Correct the TOML there.") from None


def _write(path: Path, document: tomlkit.TOMLDocument) -> None:
    # Crash before: the old file. Crash after: the new file, in force once it is signed.
    save_secret(path, tomlkit.dumps(document).encode(), replace=True)
