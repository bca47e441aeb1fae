"""Packages of measures: enumeration, optima, amendments and merging."""

import itertools

import pytest
from pydantic import ValidationError

from simarena.errors import ScenarioError
from simarena.tasks import measures
from simarena.tasks.measures import NONE, Amendment, Instance, Measures

TOY = Instance(base=(10, 8), costs=(2, 2, 1, 2), effects=((-1, 3), (-1, 4), (3, 2), (2, -1)), budget=3)


def brute(instance):
    """Every affordable package with its utilities, by plain loops."""
    names = [f"m{i + 1}" for i in range(len(instance.costs))]
    found = {}
    for size in range(len(names) + 1):
        for chosen in itertools.combinations(range(len(names)), size):
            if sum(instance.costs[i] for i in chosen) <= instance.budget:
                points = [b + sum(instance.effects[i][g] for i in chosen) for g, b in enumerate(instance.base)]
                found[tuple(names[i] for i in chosen)] = points
    return found


@pytest.mark.parametrize("seed", range(8))
def test_optima_agree_with_brute_force(seed):
    truth = Measures(groups=3, measures=5).generate(seed).truth
    every = brute(measures.as_instance(truth))
    assert truth["packages"] == len(every)
    assert min(truth["maximin"]["utilities"]) == max(min(u) for u in every.values())
    best = max((min(u), sum(u)) for u in every.values())
    assert (min(truth["maximin"]["utilities"]), sum(truth["maximin"]["utilities"])) == best
    assert sum(truth["total"]["utilities"]) == max(sum(u) for u in every.values())
    for goal in ("maximin", "nash", "total"):
        assert every[tuple(truth[goal]["package"])] == truth[goal]["utilities"]
    columns = list(zip(*every.values(), strict=True))
    assert (truth["low"], truth["high"]) == ([min(c) for c in columns], [max(c) for c in columns])


def test_public_rubric_tells_all_and_private_rubric_tells_each_its_own():
    public = Measures(groups=2, measures=4).generate(1)
    private = Measures(groups=2, measures=4, rubric="private").generate(1)
    assert measures.read_public(public.public) == measures.as_instance(public.truth)
    assert public.private == {}
    assert measures.read_public(private.public) is None
    assert set(private.public) == {"budget", "costs"}
    assert private.private == {seat: public.public[seat] for seat in ("group_0", "group_1")}
    assert private.truth == public.truth


def test_improvable_has_a_package_better_for_the_worst_off():
    for seed in range(30):
        truth = Measures().generate(seed).truth
        assert min(truth["maximin"]["utilities"]) > min(truth["base"])


def test_amendments_are_all_affordable_changes():
    found = set(measures.amendments(TOY, ["m3"]))
    assert found == {
        Amendment("m1", NONE), Amendment("m2", NONE), Amendment("m4", NONE), Amendment(NONE, "m3"),
        Amendment("m1", "m3"), Amendment("m2", "m3"), Amendment("m4", "m3"),
    }  # fmt: skip
    full = set(measures.amendments(TOY, ["m2", "m3"]))
    assert Amendment("m4", "m2") in full
    assert Amendment("m4", NONE) not in full  # one unit short


def test_merging_takes_what_does_most_for_the_worst_off_per_cost():
    # m3 lifts the worst-off by 2 for 1, m2 by 1 (the other falls to 9) for 2.
    assert measures.merged(TOY, [], [Amendment("m2", NONE), Amendment("m3", NONE)]) == ["m3"]
    assert measures.merged(TOY, ["m3"], [Amendment("m4", NONE), Amendment("m2", NONE)]) == ["m2", "m3"]
    assert measures.merged(TOY, ["m2", "m3"], [Amendment("m4", "m2")]) == ["m2", "m3"]
    assert measures.merged(TOY, ["m3"], []) == ["m3"]


def test_merging_breaks_ties_of_the_worst_off_by_the_total():
    level = Instance(base=(5, 5, 9), costs=(1, 1), effects=((0, 0, 2), (0, 0, 1)), budget=2)
    assert measures.merged(level, [], [Amendment("m2", NONE), Amendment("m1", NONE)]) == ["m1"]


def test_verify_is_the_share_of_the_possible_rise():
    family = Measures(groups=2, measures=4)
    task = family.generate(1)
    assert family.verify(task, task.truth["maximin"]["package"]) == 1.0
    assert family.verify(task, []) == 0.0
    everything = [f"m{i + 1}" for i in range(4)]
    for junk in (None, "m1", ["m9"], ["m1", "m1"], [1], [["m1"]], everything):
        assert family.verify(task, junk) == 0.0


def test_given_numbers_are_taken_as_they_are():
    family = Measures(groups=2, measures=2, base=(3, 4), costs=(1, 2), effects=((1, 0), (0, 5)), budget=1.0)
    truth = family.generate(5).truth
    assert (truth["base"], truth["costs"], truth["effects"]) == ([3, 4], [1, 2], [[1, 0], [0, 5]])
    assert truth["budget"] == 3


def test_a_setting_that_never_improves_says_what_to_change():
    with pytest.raises(ScenarioError, match="set improvable to false"):
        Measures(groups=2, measures=1, effects=((0, 1),), base=(1, 5)).generate(0)


@pytest.mark.parametrize(
    "params",
    [{"base": (1,)}, {"costs": (1, 2)}, {"costs": (0,) * 8}, {"effects": ((1,),)}, {"budget": 0}, {"measures": 15}],
)
def test_impossible_knobs_are_refused(params):
    with pytest.raises(ValidationError):
        Measures(**params)
