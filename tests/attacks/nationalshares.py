"""What a dishonest university does in a national sum: shares and charges twice, for another plan, or beside the log."""

from __future__ import annotations

from madefed import question
from madenational import NAMES, SEALING, Making, NationalWorld, national
from nationallists import FIRST, LAST, begin

from collegium.national.statements import Prepare

# ---- charges and shares


def two_shares_for_a_plan(made: NationalWorld) -> None:
    one = begin(made)
    one.submit(FIRST)
    one.submit(FIRST)


def plan_charged_twice(made: NationalWorld) -> None:
    one = begin(made)
    one.charge(FIRST)
    one.submit(FIRST)
    one.charge(FIRST)


def share_without_a_charge(made: NationalWorld) -> None:
    one = begin(made)
    one.charges[FIRST] = 1
    made.collect(made.nodes[FIRST], one.submit(FIRST, collect=False))


def charged_too_little(made: NationalWorld) -> None:
    one = begin(made)
    one.charge(FIRST, rho=1)
    one.submit(FIRST)


def charged_for_another_plan(made: NationalWorld) -> None:
    """node-00 charges one question and names the plan of another."""
    plan = begin(made, salt=1)
    other = made.put(national(salt=2))
    node = made.nodes[FIRST]
    made.collect(node, made.charge(node, other, plan=plan.id))


def own_figure_of_a_national_question(made: NationalWorld) -> None:
    """node-00 releases its own figure, of a question that asked for a sum."""
    put = made.put(national(salt=1))
    node = made.nodes[FIRST]
    made.release(node, put, made.charge(node, put))


def plan_for_its_own_figure(made: NationalWorld) -> None:
    """node-00 charges a question for its own figure as if it were a national sum."""
    put = made.put(question(salt=1))
    made.charge(made.nodes[FIRST], put, plan="a" * 64)


def overdrawn(made: NationalWorld) -> None:
    """Every new round of the same question is a new charge; the budget allows one."""
    made.policy(made.nodes[FIRST], 15_000_000)
    for _ in range(2):
        Making(made, made.put(national(salt=1)), None, sorted(made.nodes)).submit(FIRST)


def not_allowed(made: NationalWorld) -> None:
    """node-00 takes part in a sum though every policy of its log lets the researcher see its own figures alone."""
    made.policies["release"] = ["per_node"]
    made.new_log(FIRST)
    made.policy(made.nodes[FIRST])
    begin(made).submit(FIRST)


def too_few(made: NationalWorld) -> None:
    """node-00 takes part in a sum of five, though every policy of its log wants twenty."""
    made.policies["smallest"] = 20
    made.new_log(FIRST)
    made.policy(made.nodes[FIRST])
    begin(made).submit(FIRST)


def submitted_and_not_logged(made: NationalWorld) -> None:
    """node-00 gives out a submission and writes something else in its place."""
    one = begin(made)
    node = made.nodes[FIRST]
    one.submit(FIRST, collect=False)
    note = node.entries[-1]
    decision = one.charges[FIRST]
    node.rewrite(node.entries[:-1])
    made.policy(node)
    made.collect(node, decision)
    made.coordinator.keep(note)


def answered_and_not_logged(made: NationalWorld) -> None:
    """trustee-a gives out a verdict and writes something else in its place."""
    one = begin(made).gather(silent=[LAST])
    trustee = made.trustees[NAMES[0]]
    body = Prepare.read(one.prepares[0]).model_copy(update={"log": trustee.frame["log"], "plan": "f" * 64})
    note = body.sign(trustee.statements)
    trustee.keep(trustee.entries[-1])
    trustee.rewrite(trustee.entries[:-1])
    made.state(NAMES[0], SEALING[0])
    made.coordinator.keep(note)
