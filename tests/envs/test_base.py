"""The engine on a small script of its own: orders, audiences, bad actions, rewards, limits, snapshots."""

import json
from typing import Any

import gymnasium
import pytest

from simarena import seeds
from simarena.agents.policies.anywhere import Random
from simarena.envs.base import Params, PhaseEnv
from simarena.envs.phases import Phase
from simarena.errors import SimArenaError
from simarena.reading import Fields
from simarena.records import Action
from simarena.tasks.base import Task

SEATS = ("a_0", "a_1", "b_0")


class Say(Fields):
    text: str
    thought: str = ""
    mark: int = 0
    tags: list[str] = []  # noqa: RUF012 - a pydantic default


class Small(PhaseEnv):
    """Plays the phases it is given; an action pays its mark, and half of it to the next seat."""

    name = "small"

    class Params(Params):
        task: str = "kks"

    phases: tuple[Phase, ...] = ()

    def seats(self) -> list[str]:
        return list(SEATS)

    def deal(self, seed: int) -> Task:
        return Task(family="small", seed=seed, public={"topic": seed % 3}, truth="hidden")

    def card(self, seat: str) -> dict[str, Any]:
        return {"own": seat} if seat != "b_0" else {}

    def script(self) -> list[Phase]:
        return list(self.phases)

    def chosen_order(self, phase: Phase) -> list[str]:
        return ["b_0", "a_0", "b_0"]

    def legal(self, seat: str, phase: Phase, fields: dict[str, Any]) -> str:
        return "no shouting" if fields["text"].isupper() else ""

    def effect(self, seat: str, phase: Phase, fields: dict[str, Any]) -> None:
        self.memo.setdefault("said", []).append([seat, fields.get("text")])
        self.memo["stop"] = fields.get("text") == "stop"
        if mark := fields.get("mark"):
            self.pay(seat, float(mark))
            self.pay(SEATS[(SEATS.index(seat) + 1) % 3], mark / 2)

    def payoffs(self) -> dict[str, float]:
        return {"b_0": 10.0}

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        return gymnasium.spaces.Discrete(3)

    def compact_action(self, seat: str, value: Any) -> dict[str, Any]:
        return {"text": "word", "mark": int(value)}

    def features(self, seat: str) -> list[float]:
        return [len(self.memo.get("said", [])) / 10]


def phase(name="talk", **rest):
    return Phase(**{"name": name, "kind": "talk", "actors": SEATS, "fields": Say, "default": {"text": "-"}, **rest})


def start(*phases, seed=1, options=None, **params):
    env = type("Small", (Small,), {"phases": phases})(**params)
    env.reset(seed=seed, options=options)
    return env


def play(env, *texts):
    for text in texts:
        env.step({"text": text})
    return env


def acts(env):
    return [(event.author, event.data.get("text")) for event in env.log if event.kind == "act"]


def test_sequential_seats_hear_what_was_said_before_them():
    env = start(phase())
    env.step({"text": "one"})
    assert env.to_move == ["a_1"]
    assert [e.data for e in env.view("a_1").events if e.kind == "act"] == [
        {"text": "one", "thought": "", "mark": 0, "tags": []}
    ]
    play(env, "two", "three")
    assert acts(env) == [("a_0", "one"), ("a_1", "two"), ("b_0", "three")]
    assert env.over
    assert env.to_move == []


def test_simultaneous_actions_are_revealed_together_and_applied_in_order():
    env = start(phase(order="simultaneous"), phase("again"))
    assert env.to_move == list(SEATS)
    env.step({"text": "one", "mark": 1})
    assert env.to_move == ["a_1", "b_0"]
    env.step({"text": "two"})
    assert acts(env) == []
    assert "said" not in env.memo
    assert not any(env.rewards.values())
    env.step({"text": "three"})
    assert acts(env) == [("a_0", "one"), ("a_1", "two"), ("b_0", "three")]
    assert env.rewards == {"a_0": 1.0, "a_1": 0.5, "b_0": 0.0}
    assert env.phase.name == "again"


def test_a_random_order_is_the_seeds_alone_and_new_in_each_phase():
    def order(seed):
        env = start(*(phase(str(n), order="random") for n in range(6)), seed=seed)
        play(env, *"abcdefghijklmnopqr")
        authors = [author for author, _ in acts(env)]
        return [tuple(authors[i : i + 3]) for i in range(0, 18, 3)]

    assert order(4) == order(4)
    assert all(sorted(part) == list(SEATS) for part in order(4))
    assert len(set(order(4))) > 1
    assert len({tuple(order(seed)) for seed in range(6)}) > 1


def test_a_chosen_order_is_the_environments_and_may_name_a_seat_twice():
    env = play(start(phase(order="chosen")), "x", "y", "z")
    assert [author for author, _ in acts(env)] == ["b_0", "a_0", "b_0"]


def test_flags_skip_phases_and_phases_without_actors_are_none():
    env = start(phase(), phase("rest", unless="stop"), phase("nobody", actors=()), phase("end", actors=("a_0",)))
    play(env, "x", "y", "stop")
    assert env.phase.name == "end"
    assert play(env, "z").over


def test_a_script_without_phases_is_over_and_paid_at_once():
    env = start()
    assert env.over
    assert env.returns == {"a_0": 0.0, "a_1": 0.0, "b_0": 10.0}
    for seat in env.agent_iter():
        assert env.last()[1:3] == (10.0 * (seat == "b_0"), True)
        env.step(None)
    assert env.agents == []


def test_audiences_and_private_fields():
    env = start(phase(audience=("a_1",), private=frozenset({"thought"})), phase("after"))
    env.step({"text": "psst", "thought": "mine"})
    kinds = {seat: [(e.kind, e.author) for e in env.visible(seat) if e.author] for seat in SEATS}
    assert kinds == {"a_0": [("private", "a_0")], "a_1": [("act", "a_0")], "b_0": []}
    assert [e.data for e in env.visible("a_1") if e.kind == "act"] == [{"text": "psst", "mark": 0, "tags": []}]
    assert "psst" not in env.render()


def test_probes_leave_no_trace_and_take_no_part_in_what_was_shown():
    env = start(phase("ask", probe=True), phase("talk"))
    assert [e.kind for e in env.view("a_0").events] == ["task", "card"]
    play(env, "secret", "secret", "secret")
    assert all("secret" not in json.dumps(env.visible(seat)) for seat in SEATS)
    assert [e.kind for e in env.view("a_0").events] == ["task", "card"]  # asked aside: still to be told
    play(env, "hello")
    assert [e.kind for e in env.visible("a_0", env._shown["a_0"])] == ["act"]


def test_scoring_is_asked_aside_too():
    env = start(phase("weigh", score=True, actors=("a_0",)), phase("talk", actors=("a_0",)))
    play(env, "x")
    assert [e.kind for e in env.view("a_0").events] == ["task", "card"]


def test_a_view_holds_what_is_new_and_not_ones_own():
    env = start(phase("1"), phase("2"))
    play(env, "one", "two", "three")
    view = env.view("a_0")
    assert [(e.author, e.data["text"]) for e in view.events] == [("a_1", "two"), ("b_0", "three")]
    history = view.history()
    play(env, "four")
    assert view.history() == history
    assert view.schema["additionalProperties"] is False
    assert view.card == {"own": "a_0"}


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ('{"text": "fine"}', "ok"),
        ({"text": "fine"}, "ok"),
        (Action({"text": "fine"}), "ok"),
        (Action({"text": "fine"}, "repaired"), "repaired"),
        ("fine", "malformed"),
        ("", "malformed"),
        (None, "malformed"),
        ({}, "malformed"),
        (Action(None), "malformed"),
        (Action(None, "truncated", "cut"), "truncated"),
        (Action({"text": 5}, "repaired"), "malformed"),
        ('{"text": "LOUD"}', "illegal"),
        ({"text": "fine", "mark": 7}, "illegal"),
        ({"text": "fine", "tags": ["x", "q"]}, "illegal"),
        ({"text": "one two three four"}, "truncated"),
    ],
)
def test_every_action_is_data(action, outcome):
    talk = phase(choices={"mark": (0, 1), "tags": ("x", "y")}, words={"text": 3}, default={"text": "-", "mark": 1})
    env = start(talk)
    env.step(action)
    assert env.infos["a_0"] == {"outcome": outcome}
    assert env.outcomes["a_0"] == {outcome: 1}
    told = [e for e in env.log if e.kind == "outcome"]
    assert [e.audience for e in told] == ([] if outcome in ("ok", "repaired") else [("a_0",)])
    usable = outcome in ("ok", "repaired") or action == {"text": "one two three four"}
    said = env.log[3].data
    assert said == ({**said, "text": "one two three" if outcome == "truncated" else "fine"} if usable else talk.default)
    assert all(event.data["error"] for event in told)


def test_choices_are_enums_in_the_schema():
    env = start(phase(choices={"mark": (0, 1), "tags": ("x",)}))
    properties = env.view("a_0").schema["properties"]
    assert properties["mark"]["enum"] == [0, 1]
    assert properties["tags"]["items"] == {"enum": ["x"]}
    assert "enum" not in start(phase()).view("a_0").schema["properties"]["mark"]


def test_a_default_is_never_changed_by_its_use():
    talk = phase(default={"text": "-", "tags": ["x"]}, actors=("a_0",))
    play(start(talk), "NO")
    assert talk.default == {"text": "-", "tags": ["x"]}


def test_returns_are_sums_of_rewards_and_rewards_last_one_step():
    env = start(phase("1"), phase("2"))
    total = dict.fromkeys(SEATS, 0.0)
    for mark in (1, 0, 2, 3, 0, 4):
        env.step({"text": "x", "mark": mark})
        for seat in SEATS:
            total[seat] += env.rewards[seat]
        assert any(env.rewards.values()) == bool(mark)
    assert env.returns == total
    assert env.returns["b_0"] == 10 + 2 + 4 + 0.0
    got = dict.fromkeys(SEATS, 0.0)
    env.reset(seed=1)
    marks = iter((1, 0, 2, 3, 0, 4))
    for seat in env.agent_iter():
        _, reward, ended, cut, _ = env.last()
        got[seat] += reward
        env.step(None if ended or cut else {"text": "x", "mark": next(marks)})
    assert got == total


def test_a_limit_on_turns_truncates_once_nothing_waits_to_be_revealed():
    env = play(start(phase(order="simultaneous"), phase("2"), max_turns=2), "x", "y")
    assert not env.over
    play(env, "z")
    assert env.over
    assert acts(env) == [("a_0", "x"), ("a_1", "y"), ("b_0", "z")]
    assert set(env.truncations.values()) == {True}
    assert set(env.terminations.values()) == {False}
    assert env.returns["b_0"] == 10.0
    assert len(acts(play(start(phase(), max_turns=2), "x", "y"))) == 2
    whole = play(start(phase(), max_turns=3), "x", "y", "z")
    assert set(whole.terminations.values()) == {True}


def test_finished_seats_leave_one_by_one_and_then_nobody_acts():
    env = play(start(phase()), "x", "y", "z")
    with pytest.raises(ValueError):  # PettingZoo's own refusal
        env.step({"text": "late"})
    for _ in SEATS:
        again = env.fork()
        env.step(None)
        again.step(None)
        assert again.snapshot() == env.snapshot()
    assert env.agents == []
    with pytest.raises(SimArenaError, match="reset"):
        env.step(None)
    with pytest.raises(SimArenaError, match="reset"):
        Small().step(None)


def test_unseeded_resets_count_from_the_last_seed():
    env = start(phase())
    fresh = type(env)()
    seen = []
    for seed in (None, None, 7, None):
        fresh.reset(seed=seed)
        seen.append(fresh.seed)
    assert seen == [0, 1, 7, 8]


def test_a_task_seed_fixes_the_task_alone():
    talk = phase(order="random")
    one, two = start(talk, seed=1, options={"task_seed": 5}), start(talk, seed=2, options={"task_seed": 5})
    assert one.task == two.task
    assert one.seed != two.seed
    assert one.state_hash() != two.state_hash()
    assert type(one).restore(one.snapshot()).task == one.task


def test_a_match_in_mid_commit_is_restored_exactly_and_independently():
    env = start(phase("1", order="simultaneous", private=frozenset({"thought"})), phase("2", order="random"))
    env.step({"text": "one", "thought": "t", "mark": 2})
    kept = env.snapshot()
    text = json.dumps(kept, allow_nan=False)
    copies = [type(env).restore(kept), type(env).restore(json.loads(text)), env.fork(), env]
    for each in copies:
        play(each, "two", "three", "four", "five", "six")
        assert json.dumps(kept) == text
    assert len({json.dumps(each.snapshot()) for each in copies}) == 1
    assert len({each.state_hash() for each in copies}) == 1
    assert copies[0].returns == env.returns
    with pytest.raises(SimArenaError, match="version"):
        type(env).restore({**kept, "version": 0})
    with pytest.raises(SimArenaError, match="other"):
        type(env).restore({**kept, "env": "other"})


def test_two_matches_side_by_side_play_as_alone():
    def run(env, n):
        view = env.view(env.agent_selection)
        env.step(Random().act(view, seeds.rng(n)))
        return env.state_hash()

    script = [phase(str(n), order=order) for n, order in enumerate(("random", "simultaneous", "sequential"))]
    alone = start(*script)
    hashes = [run(alone, n) for n in range(9)]
    one, two = start(*script), start(*script, seed=9)
    assert [(run(one, n), run(two, n + 100))[0] for n in range(9)] == hashes
