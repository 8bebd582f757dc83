"""The audit's report as text and as JSON: one line for each check, one for each log, and under them what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collegium.audit.run import Audit
from collegium.audit.sumlines import sum_lines, sum_sentences
from collegium.audit.verdict import CHECKS, NOT_PROVEN, Finding, Word

__all__ = ["as_json", "as_lines", "each_log", "grouped"]

_ORDER = {Word.FAIL: 0, Word.WARN: 1, Word.PASS: 2}


def as_lines(found: Audit, evidence: list[Path] | None = None) -> list[str]:
    """What `collegium audit` prints."""
    findings, case = found.findings, found.case
    lines = [
        f"Federation {case.federation}: {len(case.logs)} logs, {case.entries:,} entries, {case.signatures:,} signatures verified."
    ]
    if case.registry is not None:
        lines.append(f"Registry key (compare it with the one you were told): {case.registry.registry_key.vkey}")
    lines.append("")
    for check, title in CHECKS.items():
        word = findings.word(check)
        count = sum(number for (name, _), number in findings.checked.items() if name == check)
        logs = len({log for name, log in findings.checked if name == check})
        note = f"{count:,} looked at in {logs} {'log' if logs == 1 else 'logs'}" if word is not None else _not_looked(found)
        lines.append(f"{word or '-':4}  {check:4} {title}: {note}")
        lines += [f"      {each} {text}" for each, text in grouped(found, check)]
    lines.append("")
    for name, word, size in each_log(found):
        lines.append(f"{word or '-':4}  log {name}: {'not verified' if size is None else f'{size:,} entries'}")
    sums = sum_sentences(sum_lines(found))
    lines += ["", *sums] if sums else []
    lines += ["", "What no log can prove, this audit included:", *(f"  - {each}" for each in NOT_PROVEN)]
    if found.fast:
        lines.append("  - with --fast: anything that single entries say; only trees, checkpoints and sizes were verified")
    lines += ["", _conclusion(found)]
    lines += [f"Evidence: {path}" for path in evidence or []]
    return lines


def each_log(found: Audit) -> list[tuple[str, Word | None, int | None]]:
    """Every log that is here or should be: its name, its worst word, and its entries (None when it could not be verified)."""
    found_logs = []
    for name in _names(found):
        words = [word for check in CHECKS if (word := found.findings.word(check, name)) is not None]
        log = found.case.logs.get(name)
        found_logs.append((name, min(words, key=lambda word: _ORDER[word], default=None), log.size if log is not None else None))
    return found_logs


def as_json(found: Audit, evidence: list[Path] | None = None) -> dict[str, Any]:
    """What `--json` prints: every check in every log, and every finding."""
    findings, case = found.findings, found.case
    return {
        "federation": case.federation,
        "registry_key": case.registry.registry_key.vkey if case.registry is not None else None,
        "exit": int(findings.code),
        "fast": found.fast,
        "signatures": case.signatures,
        "logs": [
            {
                "log": name,
                "origin": case.origin(name),
                "size": case.logs[name].size if name in case.logs else None,
                "checks": {check: str(word) for check in CHECKS if (word := findings.word(check, name)) is not None},
            }
            for name in _names(found)
        ],
        "checks": [
            {
                "check": check,
                "title": title,
                "word": str(findings.word(check)) if findings.word(check) is not None else None,
                "looked_at": sum(number for (name, _), number in findings.checked.items() if name == check),
            }
            for check, title in CHECKS.items()
        ],
        "findings": [
            {
                "check": each.check,
                "log": each.log,
                "word": str(each.word),
                "rule": each.rule,
                "text": each.text,
                "party": each.party or None,
                "missing": each.missing,
                "times": findings.times(each),
            }
            for each in findings.list
        ],
        "national_sums": [line.to_json() for line in sum_lines(found)],
        "not_proven": list(NOT_PROVEN),
        "evidence": [str(path) for path in evidence or []],
    }


def _names(found: Audit) -> list[str]:
    known = {*found.case.logs, *(each.log for each in found.findings.list), *(log for _, log in found.findings.checked)}
    first = [name for name in ("registry", "coordinator") if name in known]
    return first + sorted(known - set(first))


def grouped(found: Audit, check: str) -> list[tuple[Word, str]]:
    """What a check found, FAIL first; what is said of many logs in the same words is said once."""
    alike: dict[tuple[Word, str, bool], list[Finding]] = {}
    for each in sorted((each for each in found.findings.list if each.check == check), key=lambda each: _ORDER[each.word]):
        alike.setdefault((each.word, each.text, each.missing), []).append(each)
    told = []
    for (word, text, missing), findings in alike.items():
        who = list(dict.fromkeys(each.party or each.log for each in findings))
        times = max(found.findings.times(each) for each in findings)
        names = ", ".join(who[:6]) + (f" and {len(who) - 6} more" if len(who) > 6 else "")
        more = f" ({times} times like this)" if times > 1 else ""
        told.append((word, f"{names}: {text}{' [evidence missing]' if missing else ''}{more}"))
    return told


def _not_looked(found: Audit) -> str:
    return "not looked at (--fast)" if found.fast else "nothing here to look at"


def _conclusion(found: Audit) -> str:
    named = ", ".join(sorted(found.findings.parties))
    return {
        0: "Nothing contradicts anything, and nothing is missing.",
        1: f"Proven by their own signatures: {named}.",
        2: "Nothing contradicts anything, and evidence is missing: see the lines marked so.",
    }[int(found.findings.code)]
