"""Dishonest plans of a national sum: other numbers, other groups, strangers among the universities or trustees."""

from __future__ import annotations

from madefed import question
from madenational import NAMES, Making, NationalWorld, national
from nationallists import Attack, begin

from collegium.log.note import encode_base64
from collegium.national.seal import SealingKey

# ---- the plan


def wrong(name: str, value: object) -> Attack:
    def attack(made: NationalWorld) -> None:
        parts = begin(made, salt=1).plan.parts
        begin(made, salt=2, parts=(parts[0].model_copy(update={name: value}),))

    attack.__name__ = f"wrong_{name}"
    return attack


def wrong_homes(made: NationalWorld) -> None:
    begin(made, homes=2)


def wrong_group(made: NationalWorld) -> None:
    """One province alone, of a question for the whole country."""
    begin(made, group=("11",))


def half_a_group(made: NationalWorld) -> None:
    """Asked by province, planned over a set that is no group."""
    put = made.put(national(salt=1), by_province=True)
    Making(made, put, ("11", "34"), sorted(made.nodes))


def others_in_a_group(made: NationalWorld) -> None:
    """The roster of one province holds a university of another."""
    put = made.put(national(salt=1), by_province=True)
    Making(made, put, ("11",), ["node-00", "node-01", "node-02", "node-04"])


def by_name(made: NationalWorld) -> None:
    """A national sum of universities that the researcher has chosen by name."""
    put = made.put(national(salt=1), everyone=False, nodes=sorted(made.nodes)[:5])
    Making(made, put, None, sorted(made.nodes)[:5])


def per_node_planned(made: NationalWorld) -> None:
    """A plan for a question that asks each university for its own figure."""
    Making(made, made.put(question(salt=1)), None, sorted(made.nodes))


def stranger_as_trustee(made: NationalWorld) -> None:
    """The plan names a trustee under the coordinator's own key."""
    trustees = begin(made, salt=1).plan.trustees
    false = trustees[0].model_copy(update={"key": made.coordinator.statements.vkey})
    begin(made, salt=2, trustees=(false, *trustees[1:]))


def ended_key(made: NationalWorld) -> None:
    """Seeds are sealed to a key of trustee-a that ends before the round does."""
    short = SealingKey(bytes([7]) * 96)
    made.state(NAMES[0], short, until=600)
    trustees = begin(made, salt=1).plan.trustees
    false = trustees[0].model_copy(update={"sealing": encode_base64(short.public)})
    begin(made, salt=2, trustees=(false, *trustees[1:]))
