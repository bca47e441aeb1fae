from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import play, result, tournament

from simarena.errors import ScenarioError, UnknownName
from simarena.tournament.schedule import FORMATS, Meetings, make_format, seatings

SMALL = {"adaptive": {"games": 4, "floor": 1}}
"""Options that keep tests short."""
NAMES = sorted(FORMATS)


def field(n):
    return {f"a{i:02}": 0.4 * i for i in range(n)}


def units(history):
    found = defaultdict(list)
    for r in history:
        found[r.unit].append(r)
    return found


@pytest.mark.parametrize("name", NAMES)
@given(n=st.integers(2, 9), seed=st.integers(0, 99), ties=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=12, deadline=None)
def test_every_format_plays_everyone_fairly_and_ends(name, n, seed, ties):
    kind, skill = make_format(name, SMALL.get(name)), field(n)
    history, _ = tournament(kind, skill, seed, ties=ties)
    assert {agent for r in history for agent in r.agents} == set(skill)
    assert len({r.match for r in history}) == len(history)
    for games in units(history).values():
        (one, other), (third, fourth) = (r.agents for r in games)
        assert one != other
        assert (one, other) == (fourth, third)
        assert len({r.task for r in games}) == 1
    assert sorted(kind.standing(list(skill), history, seed=seed)) == sorted(skill)


@pytest.mark.parametrize("name", NAMES)
@given(n=st.integers(2, 7), seed=st.integers(0, 99), cut=st.floats(0, 1), random=st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_a_killed_tournament_resumes_into_the_same_one(name, n, seed, cut, random):
    kind, skill = make_format(name, SMALL.get(name)), field(n)
    whole, _ = tournament(kind, skill, seed)
    kept, rounds = [], []
    while todo := kind.next_round(list(skill), kept, seed=seed):
        rounds.append(todo)
        done = [play(p, skill, seed) for p in todo]
        if len(kept) + len(done) > cut * len(whole):
            random.shuffle(done)
            part = done[: random.randint(0, len(done))]
            rest = kind.next_round(list(skill), [*kept, *part], seed=seed)
            missing = [
                p
                for p in todo
                if p not in {q for q in todo if any(r.unit == q.unit and r.agents == q.agents for r in part)}
            ]
            assert [p for p in rest if p in missing] == missing
            cut = 2.0
        kept += done
        random.shuffle(kept)
    assert {r.match: r.scores for r in kept} == {r.match: r.scores for r in whole}


@pytest.mark.parametrize("name", NAMES)
def test_results_of_others_are_ignored(name):
    kind, skill = make_format(name, SMALL.get(name)), field(4)
    whole, _ = tournament(kind, skill)
    foreign = [result(("x", "y"), (1, 0)), result(("a00", "x"), (1, 0)), result(("a00", "a01"), (1, 0), task=999)]
    assert kind.next_round(list(skill), foreign) == kind.next_round(list(skill), [])
    assert kind.next_round(list(skill), [*foreign, *whole]) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_entry_matters_only_where_it_is_said_to(name):
    kind, names = make_format(name), list(field(6))
    assert kind.next_round(names, [], seed=3) == kind.next_round([names[0], *reversed(names[1:])], [], seed=3) or (
        name == "gauntlet"
    )


@pytest.mark.parametrize("name", NAMES)
def test_wrong_fields_are_refused_with_the_next_move(name):
    kind = make_format(name)
    with pytest.raises(ScenarioError, match="a entered twice"):
        kind.next_round(["a", "b", "a"], [])
    with pytest.raises(ScenarioError, match="1 agent for 2 rated seats"):
        kind.next_round(["a"], [])
    with pytest.raises(ScenarioError, match="rename"):
        kind.next_round(["a|b", "c"], [])
    with pytest.raises(ScenarioError, match="at least 2"):
        kind.next_round(["a", "b"], [], seats=1)
    if name != "round_robin":
        with pytest.raises(ScenarioError, match="use round_robin"):
            kind.next_round(["a", "b", "c"], [], seats=3)


def test_wrong_names_and_options_are_all_named():
    with pytest.raises(UnknownName, match="did you mean 'swiss'"):
        make_format("swis")
    with pytest.raises(ScenarioError, match=r"(?s)rounds.*gams.*got 3") as found:
        make_format("swiss", {"rounds": 0, "gams": 3})
    assert found.value.exit_code == 2
    with pytest.raises(UnknownName, match="unknown agent 'c'"):
        make_format("gauntlet", {"champion": "c"}).next_round(["a", "b"], [])


def test_round_robin_is_every_pair_on_every_task_swapped():
    todo = make_format("round_robin", {"games": 3}).next_round("abcd", [])
    assert len(todo) == 6 * 3 * 2
    assert Counter(p.task for p in todo) == {0: 12, 1: 12, 2: 12}
    assert {p.agents for p in todo} == {(a, b) for a in "abcd" for b in "abcd" if a != b}


@pytest.mark.parametrize("seats", [3, 4])
def test_round_robin_rotates_any_number_of_seats(seats):
    todo = make_format("round_robin", {"games": 2}).next_round("abcde", [], seats=seats)
    assert len(todo) == math.comb(5, seats) * seats * 2
    for at in range(seats):
        assert len(set(Counter(p.agents[at] for p in todo).values())) == 1
    by_unit = defaultdict(list)
    for p in todo:
        by_unit[p.unit].append(p.agents)
    for some in by_unit.values():
        assert len(some) == seats
        assert all(len({agents[at] for agents in some}) == seats for at in range(seats))


def test_adding_agents_or_games_only_adds_units():
    small = make_format("round_robin", {"games": 2}).next_round("abc", [])
    large = make_format("round_robin", {"games": 3}).next_round("abcd", [])
    assert set(small) < set(large)


def test_seatings_of_more_than_two_change_neighbours_between_units():
    orders = {tuple(seatings("abcd", task)[0].agents) for task in range(20)}
    assert len(orders) > 3


def test_meetings_of_the_same_two_get_new_tasks():
    meetings = Meetings()
    assert [p.task for p in meetings.next("ab", 2)] == [0, 0, 1, 1]
    assert [p.task for p in meetings.next("ba", 1)] == [2, 2]


def test_gauntlet_pits_one_against_all():
    todo = make_format("gauntlet", {"champion": "c", "games": 2}).next_round("abcd", [])
    assert len(todo) == 3 * 2 * 2
    assert all("c" in p.agents for p in todo)


@pytest.mark.parametrize("n", range(2, 18))
def test_swiss_has_log_rounds_no_rematch_and_one_bye_at_most(n):
    kind, skill = make_format("swiss"), field(n)
    history, rounds = tournament(kind, skill, seed=n)
    assert rounds == math.ceil(math.log2(n))
    met = Counter(frozenset(r.agents) for r in history)
    assert set(met.values()) == {2}
    played = Counter(agent for r in history for agent in r.agents)
    assert set(played.values()) <= {2 * rounds, 2 * (rounds - 1)}
    assert len(met) == rounds * (n // 2)


def test_swiss_leaders_meet():
    skill = {f"a{i:02}": 8.0 * i for i in range(16)}
    kind = make_format("swiss")
    history, _ = tournament(kind, skill)
    assert kind.standing(list(skill), history)[0] == "a15"


def test_swiss_repeats_meetings_only_when_it_must():
    history, rounds = tournament(make_format("swiss", {"rounds": 6}), field(4))
    assert rounds == 6
    assert Counter(Counter(frozenset(r.agents) for r in history).values()) == {4: 6}


def test_swiss_copes_with_many_agents():
    history, _ = tournament(make_format("swiss"), field(70))
    assert max(Counter(frozenset(r.agents) for r in history).values()) == 2


def meetings_of(history):
    return len({(frozenset(r.agents), r.task) for r in history})


@pytest.mark.parametrize("n", range(2, 18))
def test_single_elimination_has_n_minus_1_meetings_and_crowns_the_clear_best(n):
    kind = make_format("single_elimination", {"extra": 0})
    skill = {f"a{i:02}": 30.0 * i for i in range(n)}
    history, rounds = tournament(kind, skill, seed=n)
    assert meetings_of(history) == n - 1
    assert rounds == math.ceil(math.log2(n))
    assert kind.standing(list(skill), history, seed=n)[0] == f"a{n - 1:02}"


@pytest.mark.parametrize("n", range(2, 18))
def test_double_elimination_drops_everyone_after_two_lost_meetings(n):
    kind = make_format("double_elimination", {"extra": 0})
    skill = {f"a{i:02}": 30.0 * i for i in range(n)}
    history, _ = tournament(kind, skill, seed=n)
    assert meetings_of(history) == 2 * n - 2
    lost = Counter(min(r.agents) for r in history)
    assert lost == dict.fromkeys(list(skill)[:-1], 4)
    assert kind.standing(list(skill), history, seed=n)[:2] == [f"a{n - 1:02}", f"a{n - 2:02}"]


@given(n=st.integers(2, 17), seed=st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_double_elimination_needs_two_losses_of_everyone_but_the_winner(n, seed):
    kind = make_format("double_elimination", {"extra": 0})
    history, _ = tournament(kind, field(n), seed)
    assert meetings_of(history) in (2 * n - 2, 2 * n - 1)


def test_seeded_brackets_keep_the_best_apart_and_give_them_the_byes():
    kind = make_format("single_elimination", {"seeding": "given"})
    first = kind.next_round([f"s{i}" for i in range(1, 7)], [])
    assert {frozenset(p.agents) for p in first} == {frozenset(("s4", "s5")), frozenset(("s3", "s6"))}


def test_even_meetings_get_another_unit_and_then_scores_and_seeding_decide():
    kind = make_format("single_elimination", {"seeding": "given"})
    even = [result("ab", (1, 0)), result("ba", (1, 0))]
    assert [p.task for p in kind.next_round("ab", even)] == [1, 1]
    again = [result("ab", (1, 0), task=1), result("ba", (5, 0), task=1)]
    assert kind.next_round("ab", even + again) == []
    assert kind.standing("ab", even + again) == ["b", "a"]
    again[1] = result("ba", (1, 0), task=1)
    assert kind.standing("ab", even + again) == ["a", "b"]


def test_the_ladder_sorts_the_clear_cut():
    kind = make_format("ladder", {"start": "given"})
    skill = {f"a{i:02}": 30.0 * i for i in range(7)}
    history, rounds = tournament(kind, skill)
    assert kind.standing(list(skill), history) == sorted(skill, reverse=True)
    assert rounds == 7


def test_formats_share_what_was_played():
    skill = field(4)
    history, _ = tournament(make_format("round_robin", {"games": 3}), skill)
    for name in ("gauntlet", "swiss"):
        assert make_format(name).next_round(list(skill), history) == []
    pairs = {frozenset(p) for p in combinations(skill, 2)}
    assert {frozenset(r.agents) for r in history} == pairs
