"""Dishonest results of a national sum, and indicators that tell something else than their results."""

from __future__ import annotations

from madenational import Making, NationalWorld, national
from nationallists import FIRST, LAST, begin

from collegium.body import Blob
from collegium.log.statement import statement_id
from collegium.national.statements import Close, lot
from collegium.statements import Accounts, Missing, UsedRelease

# ---- results and indicators


def result_that_differs(made: NationalWorld) -> None:
    """The coordinator publishes another total than the trustee has checked."""
    one = begin(made).gather().uncover()
    one.check()
    one.result(one.total + 1)


def result_and_check_false(made: NationalWorld) -> None:
    """The coordinator and the trustee drawn by lot agree on a false total."""
    one = begin(made).gather().uncover()
    one.check(one.total + 1)
    one.result(one.total + 1)


def result_without_check(made: NationalWorld) -> None:
    one = begin(made).gather().uncover()
    one.check_note = one.close_note
    one.result()


def check_of_another_trustee(made: NationalWorld) -> None:
    """The coordinator chooses who checks."""
    one = begin(made).gather().uncover()
    drawn = lot(tuple(statement_id(note) for note in one.unmasks))
    one.check(by=(drawn + 1) % 3)
    one.result()


def check_of_another_list(made: NationalWorld) -> None:
    one = begin(made).gather().uncover()
    one.check(close="e" * 64)
    one.result()


def result_miscounts(made: NationalWorld) -> None:
    one = begin(made).gather().uncover()
    one.check()
    one.result(honest=2)


def result_without_a_list(made: NationalWorld) -> None:
    one = begin(made).gather().uncover()
    one.check()
    one.result(close="e" * 64)


def masks_in_another_order(made: NationalWorld) -> None:
    one = begin(made).gather().uncover()
    one.unmasks = [one.unmasks[1], one.unmasks[0], one.unmasks[2]]
    one.check()
    one.result()


def two_results(made: NationalWorld) -> None:
    one = begin(made).finish()
    one.result(one.total + 1)


def result_before_anything(made: NationalWorld) -> None:
    """A list for a plan that stands nowhere."""
    log = made.coordinator
    blob = Blob(sha256="0" * 64, size=2)
    log.say(Close, plan="c" * 64, prepares=("1" * 64, "2" * 64, "3" * 64), participants=blob, count=2)


def other_participants(made: NationalWorld) -> None:
    """The indicator accounts for a university as in the sum that was not."""
    put = made.put(national(salt=1))
    one = Making(made, put, None, sorted(made.nodes)).finish(silent=[LAST])
    used = one.participants
    swapped = {(LAST if name == FIRST else name): submit for name, submit in used.items()}
    accounts = Accounts(
        releases=tuple(UsedRelease(node=name, sha256=submit) for name, submit in sorted(swapped.items())),
        missing=(Missing(node=FIRST, reason="deadline"),),
    )
    made.publish(put, [one], accounts=accounts)


def result_of_another_question(made: NationalWorld) -> None:
    old = Making(made, made.put(national(salt=1)), None, sorted(made.nodes)).finish()
    made.publish(made.put(national(salt=2)), [old])


def result_of_a_sum_for_a_question_by_name(made: NationalWorld) -> None:
    """Universities chosen by name get a table that adds the result of an earlier, proper sum."""
    old = Making(made, made.put(national(salt=1)), None, sorted(made.nodes)).finish()
    made.publish(made.put(national(salt=1), everyone=False, nodes=sorted(made.nodes)), [old])


def group_told_twice(made: NationalWorld) -> None:
    """The indicator adds the groups in an order in which one could stand twice."""
    put = made.put(national(salt=1), by_province=True)
    rounds = [
        Making(made, put, codes, [n for i, n in enumerate(sorted(made.nodes)) if i % 2 == at]).finish()
        for at, codes in enumerate((("11",), ("34",)))
    ]
    made.publish(put, rounds, results=tuple(one.result_id for one in reversed(rounds)))


def result_nowhere(made: NationalWorld) -> None:
    put = made.put(national(salt=1))
    one = Making(made, put, None, sorted(made.nodes)).finish()
    made.publish(put, [one], results=("9" * 64,))


def figure_without_a_result(made: NationalWorld) -> None:
    """The indicator of a national question names no result."""
    put = made.put(national(salt=1))
    one = Making(made, put, None, sorted(made.nodes)).finish()
    made.publish(put, [one], results=None)


def inflated_table(made: NationalWorld) -> None:
    def inflate(table: bytes) -> bytes:
        head, _, tail = table.partition(b'"raw":[')
        assert tail
        return head + b'"raw":[1' + tail

    put = made.put(national(salt=1))
    made.publish(put, [Making(made, put, None, sorted(made.nodes)).finish()], change=inflate)
