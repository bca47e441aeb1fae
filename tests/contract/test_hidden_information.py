"""Nothing hidden reaches a seat: whatever changes where it may not look, all that it can look at stays byte for byte.

Two matches are played side by side. They differ in private fields, in buffered actions or in probes alone; every other
seat's view, observation, features, mask and info has to be the same in both.
"""

import json
from collections import Counter
from dataclasses import replace

import pytest

import simarena
from simarena import seeds
from simarena.agents.policies.anywhere import Random
from simarena.records import to_json
from simarena.registry import lookup_policy
from tests.contract.settings import CUT, SETTINGS, cast
from tests.contract.test_environments import masked_sample

CASES = [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in [*SETTINGS, *CUT]]
SENTINEL = "zzsentinelzz"


def face(env, seat):
    """All that a learner in `seat` gets, and all that it may read of the log, as text."""
    seen = env.observe(seat)
    return json.dumps(
        {
            "features": seen["features"].tolist(),
            "mask": seen["mask"].tolist(),
            "text": seen["text"],
            "info": env.infos.get(seat),
            "card": env.card(seat),
            "brief": env.brief(seat),
            "log": [to_json(event) for event in env.visible(seat)],
        }
    )


def sight(env, seat):
    """A whole view as text, what it would be asked to weigh included."""
    view = env.view(seat)
    parts = {name: getattr(view, name) for name in ("phase", "kind", "step", "brief", "instruction", "task", "card")}
    score = view.score and [list(view.score.continuations), view.score.view and _told(view.score.view)]
    choices = {key: list(values) for key, values in view.choices.items()}
    return json.dumps([parts, _told(view), view.schema, choices, view.budget, score])


def _told(view):
    return [[to_json(event) for event in events] for events in (view.events, view.history())]


class Players:
    """Reference policies, or random ones, as text agents in all seats."""

    def __init__(self, name, env, reference):
        names = cast(name, env)
        self.policies = {
            seat: lookup_policy(names[env.role(seat)])() if reference else Random() for seat in env.possible_agents
        }

    def fields(self, env, seed):
        seat = env.agent_selection
        return self.policies[seat].act(env.view(seat), seeds.rng(seed, seat, env._steps))


def pair(name, params, seed):
    envs = [simarena.make(name, **params) for _ in range(2)]
    for env in envs:
        env.reset(seed=seed)
    return envs


@pytest.mark.parametrize("reference", [True, False], ids=["reference", "random"])
@pytest.mark.parametrize(("name", "params"), CASES)
def test_private_fields_move_nobody_elses_world(name, params, reference):
    for seed in range(2):
        one, two = pair(name, params, seed)
        players, planted = Players(name, one, reference), 0
        while not one.over:
            seat, phase = one.agent_selection, one.phase
            fields = players.fields(one, seed)
            secret = {
                k: f"{SENTINEL} {seat}" if isinstance(v, str) else v for k, v in fields.items() if k in phase.private
            }
            planted += secret != {k: fields[k] for k in secret}
            one.step(fields)
            two.step({**fields, **secret})
            assert (two.agent_selection, two.over) == (one.agent_selection, one.over)
            for other in one.possible_agents:
                assert (SENTINEL not in face(two, other)) or other == seat or f"{SENTINEL} {other}" in face(two, other)
                ours = face(two, other).replace(f"{SENTINEL} {other}", "")
                assert SENTINEL not in ours, f"{other} reads what somebody else wrote for itself"
            for other in set(one.to_move) - {seat}:
                assert SENTINEL not in sight(two, other).replace(f"{SENTINEL} {other}", "")
        assert SENTINEL not in two.render()
        if any(phase.private for phase in one._script) and not params.get("max_turns"):
            assert planted, "this script has private fields, and none was ever filled"


def differs(env, fields, seed):
    """Other legal fields for the seat to move, where there are any: what its numeric face can say."""
    seat = env.agent_selection
    space = env._space("compact", seat)
    for n in range(12):
        space.seed(seeds.derive(seed, n) % 2**31)
        drawn = env.compact_action(seat, masked_sample(space, env.compact_mask(seat)))
        fork = env.fork()
        fork.step(drawn)
        if fork.outcomes[seat].get("ok", 0) > env.outcomes[seat].get("ok", 0) and drawn != fields:
            return drawn
    return fields


@pytest.mark.parametrize(("name", "params"), CASES)
def test_committed_actions_are_unseen_until_all_are(name, params):
    """One seat's action of a simultaneous round differs: until the reveal, nobody else can tell."""
    found = Counter()
    env = simarena.make(name, **params)
    for seed in range(2):
        env.reset(seed=seed)
        players = Players(name, env, reference=seed == 0)
        while not env.over:
            seat, index, waiting = env.agent_selection, env._index, env.to_move[1:]
            fields = players.fields(env, seed)
            if waiting:
                before = {other: face(env, other) for other in env.possible_agents if other != seat}
                asked = {other: _untimed(sight(env, other)) for other in waiting}
                twin = env.fork()
                twin.step(differs(env, fields, seed))
                env.step(fields)
                for each in (env, twin):
                    if each.over:  # cut
                        continue
                    assert {other: face(each, other) for other in before} == before
                    assert {other: _untimed(sight(each, other)) for other in waiting} == asked
                found["waited"] += 1
                found["differed"] += env._buffer != twin._buffer
            else:
                env.step(fields)
            assert env.over or env._index >= index
    assert found["differed"] >= found["waited"] / 4, found
    if not any(phase.order == "simultaneous" and len(phase.actors) > 1 for phase in env._script):
        assert not found


def _untimed(text):
    """A view's text without the count of steps: that others have acted is no secret, what they did is."""
    parts = json.loads(text)
    parts[0].pop("step")
    return json.dumps(parts)


PROBES = [
    ("roundtable", {"probes": ["samples"], "decision": "supervisor"}, {"sample"}),
    ("debate", {"task": "beliefs", "beliefs": {"elicit": True}, "judge_mode": "prior_then_post"}, {"belief", "prior"}),
]
"""Settings and the kinds of their probes. Sheets and drafts that are probes to their author decide what follows."""


@pytest.mark.parametrize(("name", "params", "kinds"), PROBES)
def test_no_answer_to_a_probe_enters_any_later_context(name, params, kinds):
    one, two = pair(name, params, 3)
    players, changed = Players(name, one, reference=True), set()
    while not one.over:
        fields = other = players.fields(one, 3)
        if one.phase.kind in kinds:
            assert one.phase.probe
            other = differs(two, fields, 3)
            changed |= {one.phase.kind} if other != fields else set()
        one.step(fields)
        two.step(other)
        for seat in one.possible_agents:
            assert face(one, seat) == face(two, seat)
        for seat in one.to_move:
            assert sight(one, seat) == sight(two, seat)
    assert changed == kinds
    assert one.returns == two.returns


@pytest.mark.parametrize(("name", "params"), CASES)
def test_cards_are_dealt_to_their_seats_alone(name, params):
    env = simarena.make(name, **params)
    for seed in range(3):
        env.reset(seed=seed)
        cards = {seat: env.card(seat) for seat in env.possible_agents}
        shown = {seat: [event.data for event in env.visible(seat) if event.kind == "card"] for seat in cards}
        assert shown == {seat: [card] if card else [] for seat, card in cards.items()}


def blinded(env, seat):
    """The match with the truth and the private parts of all other seats taken away, or turned where code needs some."""
    task, fork = env.task, env.fork()
    private = {key: part for key, part in task.private.items() if key in (seat, env.role(seat))}
    truth = None
    if task.family == "scoresheets":
        truth = {
            "sheets": [
                s if seat == f"party_{i}" else [part[::-1] for part in s] for i, s in enumerate(task.truth["sheets"])
            ],
            "minimums": [m if seat == f"party_{i}" else 0 for i, m in enumerate(task.truth["minimums"])],
        }
    if task.family == "measures":  # costs and budget are public, and here the rubric is secret
        own = [seat == f"group_{g}" for g in range(len(task.truth["base"]))]
        hidden = [[value if mine else 0 for value, mine in zip(row, own, strict=True)] for row in task.truth["effects"]]
        truth = {
            **task.truth,
            "base": [b if o else 0 for b, o in zip(task.truth["base"], own, strict=True)],
            "effects": hidden,
        }
    if task.family == "arithmetic":
        truth = task.truth  # the numeric face of an open question names a handful of answers, the right one among them
    fork.task = replace(task, truth=truth, private=private)
    return fork


SECRET = pytest.param("bargain", {"kind": "package", "task_params": {"rubric": "private"}}, id="bargain-secret_package")
PUBLIC = {"bargain-package", "bargain-open_package"}
"""There the numbers are public: nothing to hide."""


@pytest.mark.parametrize(("name", "params"), [*(case for case in CASES if case.id not in PUBLIC), SECRET])
def test_no_face_reads_the_truth_or_anothers_private_part(name, params):
    env = simarena.make(name, **params)
    for seed in range(1):
        env.reset(seed=seed)
        players = Players(name, env, reference=True)
        while not env.over:
            for seat in env.possible_agents:
                assert face(blinded(env, seat), seat) == face(env, seat)
            for seat in env.to_move:
                assert sight(blinded(env, seat), seat) == sight(env, seat)
            env.step(players.fields(env, seed))
