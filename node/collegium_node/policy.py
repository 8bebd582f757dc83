"""The steward's policy: who may ask about what, at what cost, and what waits for a person. Default: nothing is answered.

The policy in force is the newest signed policy statement in the node's log, never the file: `policy.toml` is what the steward
edits, and it takes effect when it has been signed. Researchers are named together with their *key*: somebody who is later
registered under the same name with another key is not allowed. Rules are read from the top; the first that fits decides.

A rule says in which release modes it answers: this node's own figures with noise (`per_node`), its part of a national sum
(`national`), or both. A rule fits a question only in a mode that it names; where all else of a rule fits, the refusal says `mode`.

A verdict depends on the policy and on the request alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from collegium.errors import Invalid
from collegium_node.ledger import Budget, Limits

__all__ = ["NOTHING", "BudgetLine", "Lost", "Mode", "National", "Policy", "Rule", "Verdict"]

NanoRho = Annotated[int, Field(ge=0, le=10**15, strict=True)]
Mode = Literal["per_node", "national"]
PER_NODE: tuple[Mode, ...] = ("per_node",)
"""What a rule without `release` means: policies signed before there were national sums say nothing of it."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Closed):
    """One line of the policy. `datasets` of ("*",) is every dataset served. `purpose` must occur in the purpose, in any case."""

    researcher: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    key: str
    datasets: Annotated[tuple[str, ...], Field(min_length=1)]
    mode: Literal["allow", "hold"] = "allow"
    purpose: str = ""
    release: Annotated[tuple[Mode, ...], Field(min_length=1, max_length=2)] = PER_NODE

    @field_validator("release")
    @classmethod
    def _once(cls, release: tuple[Mode, ...]) -> tuple[Mode, ...]:
        if len(set(release)) != len(release):
            raise ValueError("a release mode stands once")
        return tuple(sorted(release, reverse=True))  # one spelling: per_node first

    def fits(self, researcher: str, key: str, dataset: str, purpose: str) -> bool:
        return (
            (self.researcher, self.key) == (researcher, key)
            and (dataset in self.datasets or self.datasets == ("*",))
            and self.purpose.casefold() in purpose.casefold()
        )


class BudgetLine(_Closed):
    """What may be spent on one privacy unit, nano-rho: `rho` in each calendar period (UTC), `lifetime` ever."""

    period: Literal["year", "quarter", "month"]
    rho: NanoRho
    lifetime: NanoRho


class Limit(_Closed):
    """Sub-limits under the budgets, nano-rho in each period of the dataset's privacy unit."""

    dataset: dict[str, NanoRho] = {}
    researcher: dict[str, NanoRho] = {}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allow`, `hold` or `refuse`; `reason` is a key of collegium.errors.PUBLIC_TEXTS, empty for allow."""

    word: Literal["allow", "hold", "refuse"]
    reason: str = ""


class Lost(_Closed):
    """What counts as spent on a privacy unit though no charge in this log says so: an earlier log was lost at `time`. Nano-rho."""

    rho: NanoRho
    time: Annotated[int, Field(ge=0, strict=True)]


class National(_Closed):
    """`smallest`: a part of this node goes into no national sum that could be one of fewer universities."""

    smallest: Annotated[int, Field(ge=2, le=100_000, strict=True)] = 10


class Policy(_Closed):
    """All of a steward's rules. `largest_question`: the most one question may cost, nano-rho; None leaves it to the budgets.

    `lost` is no rule of the steward's: it is written when a new log is opened (`recover --new-log`) and stays.
    """

    budget: dict[str, BudgetLine] = {}
    limits: Limit = Limit()
    largest_question: NanoRho | None = None
    allow: tuple[Rule, ...] = ()
    lost: dict[str, Lost] | None = None
    national: National = National()

    def verdict(
        self, *, researcher: str, key: str, dataset: str, purpose: str, rho: int, mode: Mode = "per_node", least: int | None = None
    ) -> Verdict:
        """What the policy says to one question, before any budget is looked at.

        Args:
            least: of a national sum, the fewest universities it may come to be of, as far as that is known yet.
        """
        fitting = [rule for rule in self.allow if rule.fits(researcher, key, dataset, purpose)]
        rule = next((rule for rule in fitting if mode in rule.release), None)
        if rule is None:
            return Verdict("refuse", "mode" if fitting else "not-allowed")
        if least is not None and least < self.national.smallest:
            return Verdict("refuse", "too-few")
        if self.largest_question is not None and rho > self.largest_question:
            return Verdict("refuse", "too-costly")
        return Verdict("hold", "held") if rule.mode == "hold" else Verdict("allow")

    @property
    def figures(self) -> Limits:
        """The budgets and limits as the ledger wants them."""
        budgets = {unit: Budget(line.period, line.rho, line.lifetime) for unit, line in self.budget.items()}
        lost = {unit: (line.rho, line.time) for unit, line in (self.lost or {}).items()}
        return Limits(budgets, self.limits.dataset, self.limits.researcher, lost)

    @property
    def takes_part(self) -> bool:
        """Whether any rule lets this node's part into a national sum."""
        return any("national" in rule.release for rule in self.allow)

    def to_json(self) -> dict[str, Any]:
        """The plain tree that is signed. A policy without national sums is spelled as it was before there were any."""
        tree = self.model_dump(mode="json", exclude_none=True)
        for rule, spelled in zip(self.allow, tree["allow"], strict=True):
            if rule.release == PER_NODE:
                del spelled["release"]
        if self.national == National() and not self.takes_part:
            del tree["national"]
        return tree

    @classmethod
    def from_json(cls, tree: Any, *, place: str = "policy") -> Policy:
        """A policy from its signed tree; raises Invalid with the place of the first mistake."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in detail["loc"])
            raise Invalid(detail["msg"], place=f"{place}: {where}", remedy="Correct it there.") from None


NOTHING = Policy()
"""The policy of a node whose steward has said nothing yet: every question is refused."""
