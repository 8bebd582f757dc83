"""What a researcher's library foresees is what the node's own policy says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.policy import Priced, PublishedPolicy, Rules, foresee
from collegium.statements import PolicySnapshot
from collegium_node.policy import BudgetLine, Limit, Mode, National, Policy, Rule

NAMES = st.sampled_from(["li-wei", "wang-fang"])
KEYS = st.sampled_from(["key-a", "key-b"])
DATASETS = st.sampled_from(["graduate", "staff"])
PURPOSES = st.sampled_from(["", "Annual", "annual report", "audit"])
RHO = st.integers(0, 40)
ASKED = st.sampled_from([("per_node", None), ("national", None), ("national", 3), ("national", 11)])

POLICIES = st.builds(
    Policy,
    budget=st.just({"student": BudgetLine(period="year", rho=10**9, lifetime=10**9)}),
    limits=st.just(Limit()),
    largest_question=st.none() | RHO,
    allow=st.lists(
        st.builds(
            Rule,
            researcher=NAMES,
            key=KEYS,
            datasets=st.sampled_from([("*",), ("graduate",), ("graduate", "staff")]),
            mode=st.sampled_from(["allow", "hold"]),
            purpose=PURPOSES,
            release=st.sampled_from([("per_node",), ("national",), ("per_node", "national")]),
        ),
        max_size=4,
    ).map(tuple),
    national=st.builds(National, smallest=st.integers(2, 12)),
)
WORDS = {"allow": "allowed", "hold": "held", "refuse": "refused"}


@settings(max_examples=300, deadline=None)
@given(POLICIES, NAMES, KEYS, DATASETS, PURPOSES, RHO, ASKED)
def test_the_verdict_is_the_nodes_own(
    policy: Policy, name: str, key: str, dataset: str, purpose: str, rho: int, asked: tuple[Mode, int | None]
) -> None:
    mode, least = asked
    snapshot = PolicySnapshot(id="0" * 16, name="s", time=1, datasets=("graduate", "staff"), current=True)
    seen = PublishedPolicy(1, Rules.model_validate(policy.to_json()), (snapshot,))
    priced = Priced(dataset, "student", rho, mode=mode, least=least)
    (foreseen,) = foresee(seen, [priced], researcher=name, key=key, purpose=purpose)
    said = policy.verdict(researcher=name, key=key, dataset=dataset, purpose=purpose, rho=rho, mode=mode, least=least)
    assert (foreseen.word, foreseen.reason) == (WORDS[said.word], said.reason)


def test_whatever_a_node_can_sign_the_library_can_read() -> None:
    """Every field of the node's model has its place in the library's: a new one must be added there, too."""
    full = Policy(
        budget={"student": BudgetLine(period="month", rho=1, lifetime=2)},
        limits=Limit(dataset={"graduate": 1}, researcher={"li-wei": 2}),
        largest_question=3,
        allow=(Rule(researcher="li-wei", key="k", datasets=("*",), mode="hold", purpose="p", release=("per_node", "national")),),
        national=National(smallest=20),
    )
    assert Rules.model_validate(full.to_json()).model_dump(mode="json") == full.to_json()


def test_what_a_policy_does_not_say_means_the_same_to_both() -> None:
    """Policies signed before there were national sums: own figures only."""
    old = Policy(allow=(Rule(researcher="li-wei", key="k", datasets=("*",)),)).to_json()
    assert old == {"budget": {}, "limits": {"dataset": {}, "researcher": {}}, "allow": old["allow"]}
    assert set(old["allow"][0]) == {"researcher", "key", "datasets", "mode", "purpose"}
    rules = Rules.model_validate(old)
    assert (rules.allow[0].release, rules.national.smallest) == (("per_node",), Policy.from_json(old).national.smallest)


def test_every_round_of_a_national_sum_costs() -> None:
    budget = {"student": BudgetLine(period="year", rho=10, lifetime=100)}
    both = Rule(researcher="li-wei", key="k", datasets=("*",), release=("per_node", "national"))
    snapshot = PolicySnapshot(id="0" * 16, name="s", time=1, datasets=("graduate",), current=True)
    seen = PublishedPolicy(1, Rules.model_validate(Policy(budget=budget, allow=(both,)).to_json()), (snapshot,))
    for mode, due in (("per_node", ["allowed", "allowed"]), ("national", ["allowed", "refused"])):
        twice = [Priced("graduate", "student", 6, "same digest", mode=mode)] * 2  # type: ignore[arg-type]
        assert [each.word for each in foresee(seen, twice, researcher="li-wei", key="k", purpose="")] == due
