"""Puzzles against an independent reading of their sentences, deductions against enumeration, known acceptance rates."""

from itertools import product
from statistics import geometric_mean

import pytest
from pydantic import ValidationError

from simarena.errors import ScenarioError
from simarena.seeds import rng
from simarena.tasks import kks_logic as logic
from simarena.tasks.kks import KnightKnaveSpy, Puzzle, check_reason

FAMILIES = {
    "simple": {},
    "all": {"n": 4, "templates": "all"},
    "five": {"n": 5, "templates": "all", "spies": 2, "names": "drawn"},
    "told": {"n": 5, "templates": "all", "knights": 2, "largest": 3},
}


def holds(said, roles, truths):
    """What a structured statement says of one assignment, spelled out without bit sets."""
    who, kind = said["people"], said["kind"]
    of_role = [roles[name] for name in who]
    if kind == "one_of_two":
        return holds(said["parts"][0], roles, truths) != holds(said["parts"][1], roles, truths)
    if kind in ("knights", "knaves", "spies"):
        return of_role.count({"knights": "knight", "knaves": "knave", "spies": "spy"}[kind]) == said["count"]
    if kind in ("same_role", "different_role", "mixed_roles"):
        return (len(set(of_role)) == 1) == (kind == "same_role")
    if kind in ("even_role", "odd_role"):
        return of_role.count(said["of"]) % 2 == (kind == "odd_role")
    true = [truths[name] for name in who]
    if kind in ("truths", "lies"):
        return true.count(kind == "truths") == said["count"]
    if kind in ("same_truth", "different_truth"):
        return (len(set(true)) == 1) == (kind == "same_truth")
    return true.count(said["of"] == "true") % 2 == (kind == "odd_truth")


def brute_force(public, ignored=()):
    people = public["people"]
    for row in product(logic.ROLES, repeat=len(people)):
        roles = dict(zip(people, row, strict=True))
        if row.count("spy") != public["spies"] or public["knights"] not in (None, row.count("knight")):
            continue
        truths = {}
        for said in public["statements"]:
            truths[said["speaker"]] = holds(said, roles, truths)
        if all(
            role == "spy" or truths[name] == (role == "knight") for name, role in roles.items() if name not in ignored
        ):
            yield roles


@pytest.mark.parametrize("params", FAMILIES.values(), ids=FAMILIES)
def test_exactly_one_assignment_fits_and_it_is_the_answer(params):
    family = KnightKnaveSpy(**params)
    kinds = set()
    for seed in range(12):
        task = family.generate(seed)
        (only,) = brute_force(task.structure)
        assert task.truth["answer"] == ", ".join(f"{name} {role}" for name, role in only.items())
        assert task.truth["roles"] == only
        kinds |= {said["kind"] for said in task.structure["statements"]}
    assert kinds <= set(family.params.kinds)


def test_every_template_is_drawn():
    family = KnightKnaveSpy(n=6, templates="all")
    kinds = {said["kind"] for seed in range(60) for said in family.generate(seed).structure["statements"]}
    assert kinds == set(logic.KINDS)


def test_truth_is_spoken_of_earlier_speakers_only():
    family = KnightKnaveSpy(n=6, templates="all")

    def mentions(said):
        parts = [name for part in said["parts"] for name in mentions(part)]
        return parts + (said["people"] if said["kind"] in logic.ABOUT_TRUTH else [])

    for seed in range(60):
        public = family.generate(seed).structure
        for i, said in enumerate(public["statements"]):
            assert set(mentions(said)) <= set(public["people"][:i])


def test_every_sentence_is_in_the_question():
    public = KnightKnaveSpy(n=5, templates="all").generate(3).known
    assert all(f"{said['speaker']} says: {said['text']}" in public["question"] for said in public["statements"])


@pytest.mark.parametrize(
    "text",
    [
        "Ann knight, Bob knave, Cal spy",
        "cal SPY;  bob: knave\nAnn is a knight.",
        "Ann = knight, Bob is knave, and Cal is the spy",
    ],
)
def test_answers_are_read_in_any_order_and_case(text):
    family = KnightKnaveSpy()
    assert family.parse(family.generate(0), text) == ["knight", "knave", "spy"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ann knight, Bob knave",
        "Ann knight, Bob knave, Cal spy, Dan spy",
        "Ann knight, Ann knight, Cal spy",
        "Ann knight, Ann knight, Bob knave, Cal spy",
        "Ann knight or knave, Bob knave, Cal spy",
        "Ann knight, Bob knave, Cal wizard",
        "I think Ann knight, Bob knave, Cal spy",
        ["Ann knight"],
        {"Ann": "knight"},
        None,
        float("nan"),
        "Ann knight, " * 10_000,
    ],
)
def test_other_answers_are_not_read(text):
    family = KnightKnaveSpy()
    assert family.parse(family.generate(0), text) is None


@pytest.mark.parametrize("params", FAMILIES.values(), ids=FAMILIES)
def test_deduction_from_some_statements_agrees_with_enumeration(params):
    for seed in range(6):
        task = KnightKnaveSpy(**params).generate(seed)
        puzzle, people = Puzzle.read(task.structure), task.structure["people"]
        random = rng("subset", seed)
        said = [name for name in people if random.random() < 0.6]
        left = list(brute_force(task.structure, ignored=set(people) - set(said)))
        for name in people:
            roles = {roles[name] for roles in left}
            assert set(puzzle.possible(name, said)) == roles
            for role in logic.ROLES:
                assert puzzle.follows(name, role, said) == (roles == {role})


def test_known_roles_narrow_a_deduction_and_contradictions_prove_nothing():
    task = KnightKnaveSpy().generate(0)
    puzzle, truth = Puzzle.read(task.structure), task.truth["roles"]
    assert puzzle.deduce() == truth
    assert puzzle.deduce([], truth) == truth
    wrong = dict.fromkeys(truth, "spy")
    assert puzzle.deduce([], wrong) == {}
    assert not puzzle.follows("Ann", truth["Ann"], [], wrong)


@pytest.mark.parametrize("params", FAMILIES.values(), ids=FAMILIES)
def test_the_reason_is_a_valid_derivation_of_the_answer(params):
    for seed in range(20):
        task = KnightKnaveSpy(**params).generate(seed)
        assert check_reason(task, task.truth["reason"]) == 1.0
        assert all(f"{name} {role}" in task.truth["reason"] for name, role in task.truth["roles"].items())


def test_a_reason_is_marked_step_by_step():
    task = next(
        task for task in map(KnightKnaveSpy().generate, range(50)) if task.truth["reason"].startswith("From Ann and")
    )
    first = task.truth["reason"].split(".")[0]
    name, role = first.split(": ")[1].split(",")[0].split()
    other = next(r for r in logic.ROLES if r != role)
    assert check_reason(task, f"{first}.") == 1.0
    assert check_reason(task, f"{first}. From {name}: {name} {other}.") == 0.5
    assert check_reason(task, f"From Zed: {name} {role}.") == 0.0
    assert check_reason(task, "It is obvious.") == 0.0
    assert check_reason(task, None) == 0.0


def test_wrong_answers_keep_the_number_of_spies_and_break_few_statements():
    family = KnightKnaveSpy(n=5, templates="all")
    for seed in range(20):
        task = family.generate(seed)
        values = family.parse(task, family.wrong(task, seed))
        assert values.count("spy") == 1
        assert family.share(task, family.wrong(task, seed)) < 1


@pytest.mark.parametrize(
    "params",
    [{"n": 2}, {"n": 10}, {"spies": 3, "n": 3}, {"templates": ("truths",)}, {"templates": ("odd_role",), "largest": 2}],
)
def test_impossible_knobs_are_refused(params):
    with pytest.raises(ValidationError):
        KnightKnaveSpy(**params)


def test_templates_that_never_decide_are_named(monkeypatch):
    monkeypatch.setattr("simarena.tasks.kks.MAX_DRAWS", 50)
    with pytest.raises(ScenarioError, match="same_role"):
        KnightKnaveSpy(templates=("same_role",), knights=1).generate(0)


def test_share_of_draws_kept_is_the_published_one():
    """Five families: counts of roles, counts of truths, same role, not all the same role, parity of roles; one spy.

    The published percentages name neither families nor sample size (they even rise from five persons to six). These
    families come nearest: each within a factor of 1.6 of the published figure, all together within a sixth.
    """
    kinds = ("knights", "knaves", "spies", "truths", "lies", "same_role", "mixed_roles", "even_role", "odd_role")
    ratios = []
    for n, percent in ((4, 6.0), (5, 3.0), (6, 3.4), (7, 2.7), (8, 2.0), (9, 2.1)):
        draws, kept, space, random = 6000, 0, logic.worlds(n, 1), rng("acceptance", n)
        for _ in range(draws):
            statements = [logic.draw(random, i, n, kinds, n) for i in range(n)]
            kept += logic.solutions(logic.constraints(statements, space), space).bit_count() == 1
        ratios.append(100 * kept / draws / percent)
    assert all(1 / 1.6 < ratio < 1.6 for ratio in ratios), ratios
    assert geometric_mean(ratios) == pytest.approx(1, abs=1 / 6)
