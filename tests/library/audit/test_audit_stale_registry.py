"""An older copy of the registry beside logs of today: what it does not hold is missing evidence, and names nobody.

Counts as failure: a FAIL against somebody honest because a researcher, a schema or a key was registered after the copy was made; a
guilty party of the same world that goes unnamed; and an excuse that the guilty can make for themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from auditjudged import evidence_stands_alone, fails, warns, world
from auditmoves import (
    another_question,
    charge_without_request,
    embeds_an_older_head,
    forged_request,
    log_key_signs_a_statement,
    signed_by_another_researcher,
    two_charges_for_one_question,
    two_releases,
    unpaid_release,
    wrong_sum,
)
from madefed import FED, TOML, World, again, key, question
from madenational import NAMES, SEALING, Making, NationalWorld, national

from collegium.audit.run import Audit, audit
from collegium.audit.story import tell
from collegium.audit.sumlines import sum_lines
from collegium.audit.verdict import Code, Word
from collegium.audit.words import as_lines
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.note import Signer, encode_base64, sign_note
from collegium.log.statement import statement_id
from collegium.question import Question
from collegium.registration import SchemaEntry
from collegium.schema import parse_schema
from collegium.statements import Peer, RegistryView

Since = Callable[[World], None]


def second(asked: Question) -> Question:
    """The same question of the schema's second version."""
    return asked.model_copy(update={"schema_id": "higher-education/2"})


def new_schema(made: World) -> None:
    toml = TOML.replace("version = 1", "version = 2", 1)
    made.register(SchemaEntry(name=made.schema.name, version=2, toml=toml, time=made.now).sign(made.registry_log.statements))
    made.schema = parse_schema(toml)


def new_researcher(made: World) -> None:
    made.invite("mara", "researcher", {}, 0)
    for node in made.nodes.values():
        made.policy(node)


def new_key_of_rita(made: World) -> None:
    made.invite("rita", "researcher", {}, 0, generation=1)
    for node in made.nodes.values():
        made.policy(node)


# ---- what happens after the copy was made, honestly


def researcher_registered(made: World) -> None:
    new_researcher(made)
    made.ask("mara", question(salt=70))
    made.ask("mara", question(salt=71), everyone=True)


def researcher_replaced(made: World) -> None:
    new_key_of_rita(made)
    made.ask("rita", question(salt=70))


def schema_registered(made: World) -> None:
    new_schema(made)
    made.ask("rita", second(question(salt=70)))


def node_key_replaced(made: World) -> None:
    """Beta goes on with its log; later it reuses a release that its old key has signed."""
    made.new_key("beta")
    made.now += 60
    made.ask("rita", question(salt=70))
    beta = made.nodes["beta"]
    release = next(i for i, note in enumerate(beta.entries) if b"/release" in note[:40])
    put = made.take(made.request("ruben", question(salt=0), nodes=["beta"]))
    made.hear(beta, put)
    made.collect(beta, made.reuse(beta, put, release))
    made.indicate(put, {"beta": beta.entries[release]})


def node_with_a_new_log(made: World) -> None:
    made.new_log("beta")
    for log in (made.coordinator, *made.nodes.values()):
        log.embedded.pop("beta", None)  # whoever had embedded the old log begins with the new one
    made.now += 3600
    made.policy(made.nodes["beta"], lost={"student": {"rho": 10**9, "time": made.now}})
    made.policy(made.nodes["beta"], lost={"student": {"rho": 10**9, "time": made.now}})  # of a size that nobody saw of the old log
    made.ask("rita", question(salt=70))


def node_registered(made: World) -> None:
    """Epsilon is asked with everybody."""
    made.invite("epsilon", "node", {"province": "11"}, 1000)
    made.nodes["epsilon"] = made.writer("epsilon")
    made.policy(made.nodes["epsilon"])
    made.ask("rita", question(salt=70), everyone=True)


def sum_for_a_new_researcher(made: World) -> None:
    assert isinstance(made, NationalWorld)
    new_researcher(made)
    note = made.request("mara", national(salt=70), everyone=True, facts=())
    put = made.take(note)
    for name in made.registry.audience(put.body):
        made.hear(made.nodes[name], put)
    made.sum_up(put)


def sum_of_a_new_schema(made: World) -> None:
    assert isinstance(made, NationalWorld)
    new_schema(made)
    made.sum_up(made.put(second(national(salt=70))))


def sum_with_a_new_key(made: World) -> None:
    assert isinstance(made, NationalWorld)
    made.new_key("node-01")
    made.now += 60
    made.sum_up(made.put(national(salt=70)))


def sum_with_a_new_trustee_key(made: World) -> None:
    assert isinstance(made, NationalWorld)
    made.invite(NAMES[1], "trustee", {}, 0, generation=1, keep_log=True)
    made.trustees[NAMES[1]].statements = made.keys[NAMES[1]]
    made.state(NAMES[1], SEALING[1])
    made.sum_up(made.put(national(salt=70)))


PER_NODE = [
    researcher_registered, researcher_replaced, schema_registered, node_key_replaced, node_with_a_new_log, node_registered,
]  # fmt: skip
NATIONAL = [sum_for_a_new_researcher, sum_of_a_new_schema, sum_with_a_new_key, sum_with_a_new_trustee_key]


def begun(since: Since) -> World:
    if since in NATIONAL:
        made = NationalWorld(6)
        made.sum_up()
        return made
    return world()


def stale(made: World, folder: Path, since: Since, then: Since = lambda made: None) -> Audit:
    """The audit of what came of `since` and `then`, with the registry as it was exported before."""
    made.registry_log.write(folder / "registry")
    since(made)
    then(made)
    shutil.move(folder / "registry", folder / "older")
    made.export(folder)
    shutil.rmtree(folder / "registry")
    shutil.move(folder / "older", folder / "registry")
    return audit(folder, made.trust())


@pytest.mark.parametrize("since", PER_NODE + NATIONAL, ids=lambda since: since.__name__)
def test_an_older_registry_accuses_nobody(tmp_path: Path, since: Since) -> None:
    made = begun(since)
    found = stale(made, tmp_path, since)
    assert not fails(found), [each for each in found.findings.list if each.word is Word.FAIL]
    assert found.findings.code is Code.INCOMPLETE
    assert ("A10", "stale") in warns(found)
    assert as_lines(found)
    assert tell(found).questions  # what is unread is in the report, too
    assert len(sum_lines(found)) == (2 if since in NATIONAL else 0)
    whole = audit(made.export(tmp_path / "whole"), made.trust())
    assert not fails(whole)


def test_a_registry_that_this_version_cannot_read_to_its_end_accuses_nobody(tmp_path: Path) -> None:
    """The same researcher and schema, behind an entry of a newer version."""
    made = world()
    registry = made.registry_log
    entry = made.registry.entries[1].replace(b'"what":"schema"', b'"what":"zebra"').rpartition(b"\n\n")[0] + b"\n"
    registry.keep(sign_note(entry.decode(), registry.statements))
    new_schema(made)
    made.invite("mara", "researcher", {}, 0)
    for node in made.nodes.values():
        made.policy(node)
    view = RegistryView(size=registry.size, root=encode_base64(registry.root()))
    for number, name in enumerate(("rita", "mara")):
        made.ask(name, second(question(salt=70 + number)), view=view)
    found = audit(made.export(tmp_path), made.trust())
    assert not fails(found), [each for each in found.findings.list if each.word is Word.FAIL]
    assert found.findings.code is Code.INCOMPLETE
    assert ("A15", "kind") in warns(found)


# ---- the guilty of the same world


def pays_too_little_for_a_new_schema(made: World) -> None:
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", second(question(salt=80)), nodes=["beta"]))
    made.hear(beta, put)
    made.charge(beta, put, rho=1)


def releases_unpaid_of_a_new_schema(made: World) -> None:
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", second(question(salt=80)), nodes=["beta"]))
    made.hear(beta, put)
    made.release(beta, put, beta.size - 1)


def releases_twice_of_a_new_schema(made: World) -> None:
    beta = made.nodes["beta"]
    put = made.take(made.request("rita", second(question(salt=80)), nodes=["beta"]))
    made.hear(beta, put)
    charge = made.charge(beta, put)
    made.release(beta, put, charge, seed=1)
    made.release(beta, put, charge, seed=2)


def releases_unpaid_to_a_new_researcher(made: World) -> None:
    beta = made.nodes["beta"]
    put = made.take(made.request("mara", question(salt=80), nodes=["beta"]))
    made.hear(beta, put)
    made.release(beta, put, beta.size - 1)


def answers_a_new_researcher_who_asked_alpha(made: World) -> None:
    put = made.take(made.request("mara", question(salt=80), nodes=["alpha"]))
    made.hear(made.nodes["beta"], put)


def closes_a_sum_of_a_new_schema_twice(made: World) -> None:
    assert isinstance(made, NationalWorld)
    one = Making(made, made.put(second(national(salt=80))), None, sorted(made.nodes)).gather()
    one.uncover()
    one.close([m for m in one.submits if m != 2])


def submits_unpaid_to_a_sum_of_a_new_schema(made: World) -> None:
    assert isinstance(made, NationalWorld)
    one = Making(made, made.put(second(national(salt=80))), None, sorted(made.nodes))
    one.charges["node-00"] = 1
    made.collect(made.nodes["node-00"], one.submit("node-00", collect=False))


def plans_under_the_older_registry(made: World) -> None:
    """The plan of a question of the new schema names the registry before it: nothing of it can be computed."""
    assert isinstance(made, NationalWorld)
    view = RegistryView(size=3, root=encode_base64(made.registry_log.root(3)))
    Making(made, made.put(second(national(salt=80))), None, sorted(made.nodes), changes={"registry": view}).finish()


def lists_out_of_nowhere(made: World) -> None:
    """The coordinator closes a plan that it never made."""
    assert isinstance(made, NationalWorld)
    one = Making(made, made.put(second(national(salt=80))), None, sorted(made.nodes)).gather()
    one.close(plan="e" * 64)


@pytest.mark.parametrize(
    ("since", "then", "check", "culprit"),
    [
        (researcher_registered, unpaid_release, "A4", "beta"),
        (researcher_registered, two_releases, "A4", "beta"),
        (researcher_registered, two_charges_for_one_question, "A4", "beta"),
        (researcher_registered, charge_without_request, "A11", "beta"),
        (researcher_registered, another_question, "A12", "beta"),
        (researcher_registered, signed_by_another_researcher, "A11", "coordinator"),
        (researcher_registered, log_key_signs_a_statement, "A15", "beta"),
        (researcher_registered, releases_unpaid_to_a_new_researcher, "A4", "beta"),
        (researcher_registered, answers_a_new_researcher_who_asked_alpha, "A11", "beta"),
        (schema_registered, pays_too_little_for_a_new_schema, "A6", "beta"),
        (schema_registered, releases_unpaid_of_a_new_schema, "A4", "beta"),
        (schema_registered, releases_twice_of_a_new_schema, "A4", "beta"),
        (sum_of_a_new_schema, closes_a_sum_of_a_new_schema_twice, "A4", "coordinator"),
        (sum_of_a_new_schema, submits_unpaid_to_a_sum_of_a_new_schema, "A4", "node-00"),
        (sum_of_a_new_schema, plans_under_the_older_registry, "A5", "coordinator"),
        (sum_of_a_new_schema, lists_out_of_nowhere, "A7", "coordinator"),
        (node_with_a_new_log, embeds_an_older_head, "A5", "alpha"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_the_guilty_are_named_beside_an_older_registry(
    tmp_path: Path, since: Since, then: Since, check: str, culprit: str
) -> None:  # fmt: skip
    made = begun(since)
    found = stale(made, tmp_path, since, then)
    assert (check, culprit) in fails(found), found.findings.list
    assert {party for _, party in fails(found)} == {culprit}
    evidence_stands_alone(made, found)


# ---- excuses that are none


def embeds_an_invented_registry(made: World) -> None:
    """A larger checkpoint of the registry that its log's key has not signed."""
    log, root = made.registry_log, bytes(32)
    note = sign_checkpoint(log.origin, log.size + 5, root, Signer.from_seed(log.origin, b"x" * 32))
    made.coordinator.say(Peer, origin=log.origin, size=log.size + 5, root=encode_base64(root), checkpoint=note.decode())


def states_a_larger_registry(made: World) -> None:
    """A request that states to have seen more of the registry than there is."""
    view = RegistryView(size=made.registry.size + 5, root=encode_base64(bytes(32)))
    stranger = Signer.from_seed(f"{FED}/rita/statements", b"t" * 32)
    made.coordinator.keep(made.request("rita", question(salt=81), signer=stranger, view=view))


@pytest.mark.parametrize("excuse", [embeds_an_invented_registry, states_a_larger_registry], ids=lambda each: each.__name__)
def test_a_registry_that_nobody_signed_excuses_nobody(tmp_path: Path, excuse: Since) -> None:
    made = world()
    excuse(made)
    forged_request(made)
    found = audit(made.export(tmp_path), made.trust())
    assert fails(found) == {("A11", "coordinator")}
    assert found.findings.code is Code.VIOLATION


def test_the_founding_keys_never_change_however_old_the_copy(tmp_path: Path) -> None:
    """What another key than the founding one signs for the coordinator is unsigned in every registry."""

    def then(made: World) -> None:
        made.coordinator.statements = again(key(f"{FED}/coordinator/statements").name)
        made.coordinator.embed(made.nodes["beta"])
        wrong_sum(made)

    made = world()
    found = stale(made, tmp_path, researcher_registered, then)
    assert ("A15", "coordinator") in fails(found)
    assert {party for _, party in fails(found)} == {"coordinator"}


def test_what_is_answered_to_an_unread_request_is_told_and_its_receipts_hold(tmp_path: Path) -> None:
    made = world()
    found = stale(made, tmp_path, researcher_registered)
    assert {("A11", "unsigned"), ("A6", "researcher")} <= warns(found)
    assert not {each for each in warns(found) if each[0] == "A2"}
    unread = found.case.logs["coordinator"].unread
    assert set(unread.values()) == {f"{FED}/mara"}
    assert set(unread) <= {statement_id(note) for note in made.coordinator.entries}
