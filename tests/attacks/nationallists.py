"""Dishonest lists of a national sum: closed twice, left out, put in, too few; and trustees that answer twice.

Each takes a made federation and makes one move with the real keys.
"""

from __future__ import annotations

from collections.abc import Callable

from madenational import NAMES, Making, NationalWorld, national, rejecting

from collegium.log.statement import statement_id
from collegium.national.lists import Participant, Participants, Roster, RosterNode
from collegium.national.statements import Submit

FIRST, LAST = "node-00", "node-05"
Attack = Callable[[NationalWorld], None]


def begin(made: NationalWorld, salt: int = 1, **changes: object) -> Making:
    """A new round over everybody, planned and not yet submitted to."""
    return Making(made, made.put(national(salt=salt)), None, sorted(made.nodes), changes=changes)


# ---- differencing: one round shown under two lists


def closed_twice(made: NationalWorld) -> None:
    """The coordinator closes one plan with two lists; no trustee answers the second."""
    one = begin(made).gather()
    one.uncover()
    one.close([m for m in one.submits if m != 2])


def closed_twice_and_answered(made: NationalWorld) -> None:
    """trustee-b has been restored from a snapshot and unmasks the second list too."""
    one = begin(made).gather().uncover()
    one.close([m for m in one.submits if m != 2])
    one.unmask(1)


def second_list_not_logged(made: NationalWorld) -> None:
    """The coordinator shows trustee-b a second list that its own log does not hold."""
    one = begin(made).gather().uncover()
    log = made.coordinator
    one.close([m for m in one.submits if m != 2], logged=False)
    made.policy(made.nodes[FIRST])
    log.embed(made.nodes[FIRST])  # what stands in the place that the list names
    one.show(NAMES[1], one.close_note)


def unmasked_twice(made: NationalWorld) -> None:
    """trustee-c gives out two different sums of masks for one list."""
    one = begin(made).gather().uncover()
    one.unmask(2, masks=one.keep(bytes(8 * one.plan.length)))


def prepared_twice(made: NationalWorld) -> None:
    """trustee-a gives two verdicts on one plan."""
    one = begin(made).gather()
    one.prepare(0, rejecting(one, FIRST))


def dropped_and_asked_again(made: NationalWorld) -> None:
    """A second round without node-02 for which node-00 gives its old share again: one charge, two totals."""
    put = made.put(national(salt=1))
    one = Making(made, put, None, sorted(made.nodes)).finish()
    two = Making(made, put, None, sorted(set(made.nodes) - {"node-02"}))
    two.charges = {FIRST: one.charges[FIRST]}
    two.submit(FIRST)


def planned_twice(made: NationalWorld) -> None:
    """One request, summed over all and once more without node-02, each with its own charges: nobody else has to help."""
    put = made.put(national(salt=1))
    Making(made, put, None, sorted(made.nodes)).finish()
    Making(made, put, None, sorted(set(made.nodes) - {"node-02"})).finish()


# ---- who is in it


def tiny_list(made: NationalWorld) -> None:
    """The coordinator closes with fewer participants than the plan's smallest."""
    one = begin(made).gather()
    one.close([0, 1])


def tiny_smallest(made: NationalWorld) -> None:
    """The plan allows a sum of two."""
    begin(made, least=2, honest=2)


def twice_in_the_list(made: NationalWorld) -> None:
    one = begin(made).gather()
    each = [one.participant(member) for member in sorted(one.submits)]
    one.close(listed=Participants.model_construct(members=(each[0], *each)))


def invented_node(made: NationalWorld) -> None:
    """The roster has a university that is not registered."""
    real = [RosterNode(node=name, key=made.keys[name].vkey) for name in sorted(made.nodes)]
    invented = RosterNode(node="node-99", key=real[0].key.replace("node-00", "node-99"))
    Making(made, made.put(national(salt=1)), None, sorted(made.nodes), roster=Roster(nodes=(*real[1:], invented)))


def replaced_key(made: NationalWorld) -> None:
    """The roster has a real university under a key that is not its own."""
    real = [RosterNode(node=name, key=made.keys[name].vkey) for name in sorted(made.nodes)]
    false = RosterNode(node=FIRST, key=made.keys["rita"].vkey)
    Making(made, made.put(national(salt=1)), None, sorted(made.nodes), roster=Roster(nodes=(false, *real[1:])))


def late_node(made: NationalWorld) -> None:
    """The list has a university that only one trustee has prepared."""
    one = begin(made).gather(silent=[LAST])
    one.submit(LAST)
    one.close()


def left_out(made: NationalWorld) -> None:
    """The coordinator leaves out a submission that its log held before the close."""
    one = begin(made).gather()
    one.close([m for m in one.submits if m != 2])


def other_vector_listed(made: NationalWorld) -> None:
    """The list names another vector than the university signed."""
    one = begin(made).gather()
    each = [one.participant(member) for member in sorted(one.submits)]
    false = Participant(member=0, submit=each[0].submit, vector="d" * 64)
    one.close(listed=Participants(members=(false, *each[1:])))


def verdict_of_another_plan(made: NationalWorld) -> None:
    """The list rests on a verdict that a trustee gave for another plan."""
    old = begin(made, salt=1).gather()
    one = begin(made, salt=2).gather()
    one.close(prepares=(statement_id(old.prepares[0]), *(statement_id(note) for note in one.prepares[1:])))


def another_university_submits(made: NationalWorld) -> None:
    """node-01 signs a submission for the place of node-00, and the coordinator lists it."""
    one = begin(made).gather(silent=[FIRST])
    hidden = one.hidden[1]
    node = made.nodes["node-01"]
    body = Submit.read(one.submits[1]).model_copy(
        update={"member": 0, "log": node.frame["log"], "time": made.now, "commitment": hidden.commitment}
    )
    note = body.sign(node.statements)
    node.keep(note)
    made.collect(node, node.size - 1)
    one.submits[0] = note
    one.close()
