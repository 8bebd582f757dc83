"""What a researcher's library foresees is what the node's own policy says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.policy import Priced, PublishedPolicy, Rules, foresee
from collegium.statements import PolicySnapshot
from collegium_node.policy import BudgetLine, Limit, Policy, Rule

NAMES = st.sampled_from(["li-wei", "wang-fang"])
KEYS = st.sampled_from(["key-a", "key-b"])
DATASETS = st.sampled_from(["graduate", "staff"])
PURPOSES = st.sampled_from(["", "Annual", "annual report", "audit"])
RHO = st.integers(0, 40)

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
        ),
        max_size=4,
    ).map(tuple),
)
WORDS = {"allow": "allowed", "hold": "held", "refuse": "refused"}


@settings(max_examples=300, deadline=None)
@given(POLICIES, NAMES, KEYS, DATASETS, PURPOSES, RHO)
def test_the_verdict_is_the_nodes_own(policy: Policy, name: str, key: str, dataset: str, purpose: str, rho: int) -> None:
    snapshot = PolicySnapshot(id="0" * 16, name="s", time=1, datasets=("graduate", "staff"), current=True)
    seen = PublishedPolicy(1, Rules.model_validate(policy.to_json()), (snapshot,))
    (foreseen,) = foresee(seen, [Priced(dataset, "student", rho)], researcher=name, key=key, purpose=purpose)
    said = policy.verdict(researcher=name, key=key, dataset=dataset, purpose=purpose, rho=rho)
    assert (foreseen.word, foreseen.reason) == (WORDS[said.word], said.reason)


def test_whatever_a_node_can_sign_the_library_can_read() -> None:
    """Every field of the node's model has its place in the library's: a new one must be added there, too."""
    full = Policy(
        budget={"student": BudgetLine(period="month", rho=1, lifetime=2)},
        limits=Limit(dataset={"graduate": 1}, researcher={"li-wei": 2}),
        largest_question=3,
        allow=(Rule(researcher="li-wei", key="k", datasets=("*",), mode="hold", purpose="p"),),
    )
    assert Rules.model_validate(full.to_json()).model_dump(mode="json") == full.to_json()
