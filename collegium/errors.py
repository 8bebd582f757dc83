"""Every error a person can meet, and what leaves the process for each.

The tree::

    CollegiumError
    ├── Invalid            the caller's input is wrong; it names the place and the remedy
    │   └── NotVerified    something signed does not verify (signature, chain, digest, sum)
    ├── Refused            a rule said no; `by` names the rule (policy, budget, schema, identity)
    ├── NotReleased        the answer is not there yet: held for approval, pending, or still running
    ├── Offline            the other party cannot be reached
    └── Failed             our side broke; nothing is lost and the same call may be repeated

The text of an error that leaves a node comes from `PUBLIC_TEXTS` and from the caller's own words, never from data: `reason` is
a key of that table and is the only part a node puts on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "PUBLIC_TEXTS",
    "RULES",
    "CollegiumError",
    "Exit",
    "Failed",
    "Invalid",
    "NotReleased",
    "NotVerified",
    "Offline",
    "Refused",
    "Rule",
    "public_text",
    "rule_of",
]


class Exit(IntEnum):
    """Exit codes shared by all commands."""

    OK = 0
    FAILED = 1
    INVALID = 2  # the same code that the command-line parser uses for a wrong flag
    REFUSED = 3
    NOT_RELEASED = 4
    OFFLINE = 5
    INTERRUPTED = 130


class CollegiumError(Exception):
    """Base of the tree. `place` says where in the input; `remedy` is the one action that helps."""

    kind = "failed"

    def __init__(self, text: str, *, place: str = "", remedy: str = "", reason: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.place = place
        self.remedy = remedy
        self.reason = reason

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        stop = "" if not self.remedy or self.text.endswith((".", "!", "?", ":")) else "."
        then = f"{stop} {self.remedy}" if self.remedy else ""
        return f"{where}{self.text}{then}"


class Invalid(CollegiumError):
    """The input is wrong where `place` says."""

    kind = "invalid"


class NotVerified(Invalid):
    """Something signed does not verify."""

    kind = "not_verified"


class Refused(CollegiumError):
    """A rule said no. `by` is one of policy, budget, schema, identity."""

    kind = "refused"

    def __init__(self, text: str, *, by: str, place: str = "", remedy: str = "", reason: str = "") -> None:
        super().__init__(text, place=place, remedy=remedy, reason=reason)
        self.by = by


class NotReleased(CollegiumError):
    """The answer is not there yet."""

    kind = "not_released"


class Offline(CollegiumError):
    """The other party cannot be reached."""

    kind = "offline"


class Failed(CollegiumError):
    """Our side broke. The same call may be repeated: requests are idempotent."""

    kind = "failed"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table from error to what leaves the process."""

    error: type[CollegiumError]
    grpc_status: str  # a name in grpc.StatusCode; kept as text so that this module needs no grpc
    exit_code: Exit


# Most special first: `rule_of` takes the first row that fits.
RULES: tuple[Rule, ...] = (
    Rule(NotVerified, "UNAUTHENTICATED", Exit.INVALID),
    Rule(Invalid, "INVALID_ARGUMENT", Exit.INVALID),
    Rule(Refused, "PERMISSION_DENIED", Exit.REFUSED),
    Rule(NotReleased, "FAILED_PRECONDITION", Exit.NOT_RELEASED),
    Rule(Offline, "UNAVAILABLE", Exit.OFFLINE),
    Rule(Failed, "INTERNAL", Exit.FAILED),
)

# What a node may say. Keys travel; texts are looked up by the reader's own library. `{detail}` is always the asker's own words or
# a public name (a dataset, a limit), never a figure.
PUBLIC_TEXTS: dict[str, str] = {
    "not-allowed": "The university's policy does not allow this researcher this dataset. Ask its data steward.",
    "too-costly": "One question may not cost that much at this university. Ask with a smaller epsilon.",
    "held": "The university's data steward decides on this request by hand. Fetch the result again later.",
    "refused-by-steward": "The university's data steward refused this request.",
    "budget-period": "The university's budget for this privacy unit and period does not cover the cost. Wait for the next period "
    "or ask with a smaller epsilon.",
    "budget-lifetime": "The university's lifetime budget for this privacy unit does not cover the cost.",
    "budget-dataset": "The university's limit for this dataset and period does not cover the cost.",
    "budget-researcher": "The university's limit for this researcher and period does not cover the cost.",
    "no-dataset": "The university does not serve this dataset in its current snapshot.",
    "no-column": "The university serves the dataset without a column on which this figure rests.",
    "snapshot-gone": "The snapshot on which this question was charged is gone; the charge stays. Ask on the current snapshot.",
    "schema": "The question does not fit the federation's schema at this node. Fetch the schema again and ask with it.",
    "identity": "The researcher's signature or registration does not verify at this node.",
    "no-receipt": "The node got no valid receipt that the coordinator has logged this request. Ask again, or tell the ministry.",
    "not-asked": "The request is not addressed to this node.",
    "expired": "The request has expired. Sign a new one.",
    "malformed": "The request cannot be read by this version of the node.",
    "too-large": "The message is larger than this node accepts.",
    "mode": "The university does not answer in this release mode. Ask in the other one, or ask its data steward.",
    "too-few": "The sum would be of fewer universities than this university's policy allows. Ask more of them.",
    "bad-plan": "The plan of the national sum is not what the question asks for. The node has charged nothing; tell the ministry.",
    "bad-round": "A step of this national sum does not verify at one of its trustees. Nothing was uncovered; tell the ministry.",
    "round-over": "The round of this national sum is over; the charge, if there was one, stays. A new question begins a new round.",
    "pending": "The answer is made; witnesses have not yet confirmed its place in the university's log. Fetch the result again.",
    "not-confirmed": "The university's node has started; witnesses have not yet confirmed its log. Fetch the result again later.",
    "restored": "The university's node was restored from a backup and answers nothing until its operator has recovered its log.",
    "busy": "The node has too many questions in flight. Try again.",
    "failed": "The node could not answer; nothing is lost. Try again, or ask the node's operator to look at its log.",
}


def rule_of(error: BaseException) -> Rule:
    """The table's row for an error; anything that is not ours is `Failed`."""
    for rule in RULES:
        if isinstance(error, rule.error):
            return rule
    return RULES[-1]


def public_text(reason: str) -> str:
    """The sentence for a reason that came from a node; an unknown reason reads as a plain failure."""
    return PUBLIC_TEXTS.get(reason, PUBLIC_TEXTS["failed"])
