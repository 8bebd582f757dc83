"""What an audit says: one word for each check and log, and what stands behind each word.

PASS    looked at, and nothing found
WARN    evidence is missing or weak; names nobody. `missing`: something needed for a verdict was not there (exit 2)
FAIL    a party's own signatures contradict each other, or a receipt it gave; names the party and has exhibits (exit 1)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

__all__ = ["CHECKS", "NOT_PROVEN", "Code", "Exhibit", "Finding", "Findings", "Word"]


class Word(StrEnum):
    PASS = "PASS"  # noqa: S105 - no secret
    WARN = "WARN"
    FAIL = "FAIL"


class Code(IntEnum):
    """Exit codes of `collegium audit`."""

    CLEAN = 0
    VIOLATION = 1
    INCOMPLETE = 2
    BAD_INPUT = 3


CHECKS = {
    "A1": "history was not rewritten",
    "A2": "no entry was dropped",
    "A3": "no split view",
    "A4": "no release or share was replayed",
    "A5": "keys were valid when used",
    "A6": "charges and budgets",
    "A7": "national figures are the sums",
    "A8": "what was answered was logged",
    "A9": "no entry was back-dated",
    "A10": "logs are whole and fresh",
    "A11": "requests are genuine",
    "A12": "one question under one id",
    "A13": "every charge has its release",
    "A14": "no log was set back",
    "A15": "nothing signed was read as another",
}

NOT_PROVEN = (
    "that the rows behind a release were real, or all there",
    "that the noise in a release was honestly drawn (its stated scale was checked)",
    "that nobody read a university's database another way",
    "that a trustee's sum of masks was the true one, or that what it rejected did not open: it can shift a national sum and leave "
    "universities out of it, in the open, and reads nobody's part",
    "that a university in a national sum added its share of the noise: the plan allows for some that do not",
    "anything against a colluding quorum of witnesses, or where a log has no witnesses and shows itself to you alone",
)
"""Stated in every report: no log can prove these."""

KEEP = 5  # findings of one word, rule and party in one log that are told in full; the rest is counted


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One file of evidence: signed bytes, verbatim, or a proof; `what` says in words what it is."""

    name: str
    content: bytes
    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """`log` is the log it was found in, `party` whom it names (FAIL only); `claim` what the exhibits show together."""

    check: str
    log: str
    word: Word
    rule: str
    text: str
    party: str = ""
    missing: bool = False
    exhibits: tuple[Exhibit, ...] = ()


Exhibits = Callable[[], Sequence[Exhibit]]


class Findings:
    """Collects findings and counts what was checked. Repetitions are counted, not told again.

    A repetition is of the same word, rule and party in one log: warnings never hide a violation, nor one party another.
    """

    def __init__(self) -> None:
        self.list: list[Finding] = []
        self._times: Counter[tuple[str, str, str, str, str]] = Counter()  # by check, log, rule, word and party
        self._meters: dict[tuple[str, str], list[int]] = {}
        self.parties: set[str] = set()  # named by a FAIL
        self._texts: set[tuple[str, str, str]] = set()

    def fail(self, check: str, log: str, rule: str, text: str, *, party: str, exhibits: Exhibits) -> None:
        """A proven violation. `exhibits` is called only when the finding is told."""
        self.parties.add(party)
        if self._told(check, log, rule, Word.FAIL, party):
            self.list.append(Finding(check, log, Word.FAIL, rule, text, party, False, tuple(exhibits())))

    def enough(self, check: str, log: str, rule: str, party: str) -> bool:
        """Whether one more violation of this would only be counted: then nobody needs to work out its words."""
        return self._times[check, log, rule, Word.FAIL, party] >= KEEP

    def times(self, finding: Finding) -> int:
        """How often this was found, told or not."""
        return self._times[finding.check, finding.log, finding.rule, finding.word, finding.party]

    def warn(self, check: str, log: str, rule: str, text: str, *, missing: bool = False) -> None:
        if self._told(check, log, rule, Word.WARN, "") and (check, log, text) not in self._texts:
            self._texts.add((check, log, text))
            self.list.append(Finding(check, log, Word.WARN, rule, text, missing=missing))

    @property
    def checked(self) -> dict[tuple[str, str], int]:
        """How many things were looked at, by check and log."""
        return {place: meter[0] for place, meter in self._meters.items() if meter[0]}

    def meter(self, check: str, log: str) -> list[int]:
        """The counter of a check in a log, for who counts a million times: `meter[0] += 1`."""
        return self._meters.setdefault((check, log), [0])

    def ran(self, check: str, log: str, count: int = 1) -> None:
        """`count` more things were looked at for this check."""
        self.meter(check, log)[0] += count

    def _told(self, check: str, log: str, rule: str, word: Word, party: str) -> bool:
        self._times[check, log, rule, word, party] += 1
        return self._times[check, log, rule, word, party] <= KEEP

    def word(self, check: str, log: str | None = None) -> Word | None:
        """The worst word of a check (in one log); None where it looked at nothing."""
        words = {each.word for each in self.list if each.check == check and log in (None, each.log)}
        for word in (Word.FAIL, Word.WARN):
            if word in words:
                return word
        looked = any(count and name == check and log in (None, where) for (name, where), count in self.checked.items())
        return Word.PASS if looked else None

    @property
    def code(self) -> Code:
        if any(each.word is Word.FAIL for each in self.list):
            return Code.VIOLATION
        return Code.INCOMPLETE if any(each.missing for each in self.list) else Code.CLEAN
