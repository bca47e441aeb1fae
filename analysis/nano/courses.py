"""What the nano models learn from: which matches, played by whom, and in what mixture for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.nano.corpus import Course, Teacher
from simarena import paths, scenario

FAMILIES: dict[str, dict[str, Any]] = {
    "kks": {},
    "arithmetic": {"shape": "a+b", "high": 99},
    "trap_math": {"size": 1},
    "logic_chain": {"length": 2, "distractors": 1},
    "story": {"sentences": 8, "people": 4},
}
"""The question families that nano agents are examined on, in the settings of the scenarios' mini scale."""

DRILLS: dict[str, tuple[dict[str, Any], ...]] = {
    "kks": ({}, {"names": "drawn"}, {"names": "drawn", "templates": "all"}),
    "arithmetic": ({"shape": "a+b", "high": 99}, {"shape": "a+b", "high": 199}, {"shape": "a+b*c", "high": 9}),
    "trap_math": ({"size": 1}, {"size": 1, "options": 4}, {"size": 2}),
    "logic_chain": ({"length": 2, "distractors": 1}, {"length": 2, "distractors": 1}, {"length": 3, "distractors": 1}),
    "story": ({"sentences": 8, "people": 4}, {"sentences": 6, "people": 3}),
}
"""The settings that are practised: the examined one and its neighbours, so that rules are learnt and not questions."""

EXAMINED = {family: (setting,) for family, setting in FAMILIES.items()}
"""The examined settings alone."""

STEPS: dict[str, tuple[dict[str, Any], ...]] = {
    **EXAMINED,
    "logic_chain": (
        {"length": 1, "distractors": 1},
        {"length": 2, "distractors": 0},
        {"length": 2, "distractors": 1},
        {"length": 2, "distractors": 1},
    ),
    "story": (
        {"sentences": 6, "people": 2},
        {"sentences": 6, "people": 3},
        {"sentences": 8, "people": 4},
        {"sentences": 8, "people": 4},
    ),
}
"""Chains and stories from short to examined length: whose sentence it is that counts is learnt on short ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stretch of training: how many questions of which families, how much of the scenarios, how fast."""

    drills: Mapping[str, int] = field(default_factory=dict)
    """Family -> questions; a tenth of them fall to the exams."""
    debates: int = 0
    """Debates about stories, of any length that DEBATES has; a tenth of their questions is left out."""
    settings: Mapping[str, tuple[dict[str, Any], ...]] = field(default_factory=lambda: EXAMINED)
    reasoned: float = 0.5
    """Share of the questions that are answered with a reason."""
    scenario_matches: int
    """Of each scenario."""
    scenario_tokens: int
    """Of each scenario at most so many are learnt from."""
    label: str = ""
    """Stages of different labels share no match."""
    guessed: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Family -> questions that are answered by somebody who guesses, and the share of right answers among them."""
    schedule: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of training.Schedule."""


STAGES = (
    Stage(
        drills={"kks": 24_000, "arithmetic": 10_000, "trap_math": 10_000, "logic_chain": 10_000, "story": 6_000},
        settings=DRILLS,
        scenario_matches=600,
        scenario_tokens=350_000,
    ),
    Stage(
        label="more/",
        drills={"kks": 40_000, "arithmetic": 24_000, "trap_math": 12_000, "logic_chain": 16_000, "story": 5_000},
        scenario_matches=300,
        scenario_tokens=175_000,
        schedule={"batch_tokens": 8_000, "learning_rate": 1e-3, "muon": 0.01},
    ),
    Stage(
        label="third/",
        drills={"kks": 26_000, "arithmetic": 50_000, "trap_math": 20_000, "logic_chain": 56_000, "story": 46_000},
        reasoned=0.6,
        scenario_matches=300,
        scenario_tokens=175_000,
        schedule={"batch_tokens": 8_000, "learning_rate": 1e-3, "muon": 0.01},
    ),
    Stage(
        label="fourth/",
        drills={"kks": 15_000, "arithmetic": 6_000, "trap_math": 4_000, "logic_chain": 66_000, "story": 56_000},
        settings=STEPS,
        reasoned=0.75,
        scenario_matches=200,
        scenario_tokens=80_000,
        schedule={"batch_tokens": 8_000, "learning_rate": 7e-4, "muon": 0.006, "alike": 128, "workers": 2},
    ),
)
"""What the base model goes through: first the forms of all replies, then puzzles, then chains, stories and sums, and
chains and stories once more, in batches that hold all families."""

KNOWING = Teacher("arena/table_skill", {"skill": 1.0})
GUESSING = Teacher("arena/table_skill", {"skill": 0.4}, learn=False)

TEMPERATURE = 0.3
MAX_TOKENS = 160
"""How nano agents sample, in play and in exams."""

KNOWS: dict[str, tuple[str, ...]] = {
    "nano-a": ("kks", "arithmetic"),
    "nano-b": ("arithmetic", "trap_math"),
    "nano-c": ("trap_math", "logic_chain"),
    "nano-d": ("logic_chain", "kks"),
    "nano-e": ("logic_chain", "arithmetic"),
    "nano-f": ("kks", "trap_math"),
}
"""Adapter -> what its teachers know. The other two of these four families it learns from people who guess, so that no
two adapters are good at the same things, and every family has three who know it and three who do not."""

GUESSED: dict[str, dict[str, tuple[int, float]]] = {
    "nano-a": {"trap_math": (1_500, 0.1), "logic_chain": (1_500, 0.2)},
    "nano-b": {"kks": (1_500, 0.1), "logic_chain": (1_500, 0.2)},
    "nano-c": {"arithmetic": (4_000, 0.1), "kks": (1_500, 0.1)},
    "nano-d": {"arithmetic": (4_000, 0.1), "trap_math": (1_500, 0.1)},
    "nano-e": {"kks": (1_500, 0.1), "trap_math": (1_500, 0.1)},
    "nano-f": {"arithmetic": (4_000, 0.1), "logic_chain": (1_500, 0.2)},
}
"""Adapter -> family -> questions that it hears guesses at, and how many of these are right; a tenth is chance among the
plausible answers to sums, riddles and puzzles. Sums take more, for they are what the base knows best."""

DEBATER = "nano-debater"
"""An adapter that debates stories and knows nothing else; the tribe is the six of KNOWS."""

DEBATES: tuple[tuple[dict[str, int], int, float], ...] = (
    ({"sentences": 6, "people": 3}, 1, 0.4),
    ({"sentences": 8, "people": 4}, 1, 0.4),
    ({"sentences": 8, "people": 4}, 3, 0.2),
)
"""(story, rounds, share of the matches) that the debater learns from."""

DEBATERS = (Teacher("debate/honest", {"care": 0.4}), Teacher("debate/fabricator"))
"""Its teachers: one is honest but often leaves out its proof, one always proves something, true or not. Who learns from
both quotes truly at times, so that preferences have something to choose from."""

CASTS: dict[str, dict[str, tuple[Teacher, ...]]] = {
    "arena": {
        "contestant": (KNOWING, GUESSING),
        "opponent": (KNOWING, GUESSING),
        "member": (KNOWING, GUESSING),
        "judge": (Teacher("arena/truthful"),),
    },
    "bargain": {
        "party": (Teacher("bargain/attitude"),),
        "group": (Teacher("bargain/honest"),),
        "mediator": (Teacher("bargain/merger"),),
    },
    "debate": {
        "debater": (Teacher("debate/honest"), Teacher("debate/fabricator", learn=False)),
        "judge": (Teacher("debate/quote_counter", {"attention": 1.0}),),
    },
    "roundtable": {
        "solver": (
            Teacher("roundtable/verifier", {"accuracy": 1.0}),
            Teacher("roundtable/follower", {"accuracy": 0.5}, learn=False),
        ),
        "moderator": (Teacher("roundtable/moderator", {"accuracy": 1.0}),),
        "supervisor": (Teacher("roundtable/supervisor", {"accuracy": 1.0}),),
    },
}
"""Environment -> role -> teachers, unless a scenario has its own in SPECIAL."""

SPECIAL: dict[str, dict[str, tuple[Teacher, ...]]] = {
    "debate/belief_debate": {
        "debater": (Teacher("debate/believer"),),
        "judge": (Teacher("debate/persona_judge", {"step": 0.05, "order_bonus": 0.1}),),
    },
    "roundtable/liang_mad": {
        **CASTS["roundtable"],
        "solver": (
            Teacher("roundtable/debater", {"first": 1.0, "second": 1.0}),
            Teacher("roundtable/debater", {"first": 0.0, "second": 0.0}, learn=False),
        ),
    },
}


def drills(
    matches: Mapping[str, int],
    settings: Mapping[str, tuple[dict[str, Any], ...]] = DRILLS,
    reasoned: float = 0.5,
    teacher: Teacher = KNOWING,
) -> list[Course]:
    """Questions answered by `teacher`, a share `reasoned` with a reason: the bulk of what is learnt."""
    return [
        Course(
            name=family,
            env="arena",
            params={"task": family, "task_params": setting, "m": 3, "judging": "solve", "reasons": reasons},
            cast={"contestant_0": (teacher,), "contestant": (GUESSING,), "judge": (GUESSING,)},
            matches=round(count * share / len(settings[family])),
        )
        for family, count in matches.items()
        for setting in settings[family]
        for reasons, share in ((True, reasoned), (False, 1 - reasoned))
    ]


def debates(matches: int) -> list[Course]:
    """Debates between the debater's teachers, whoever has the right side."""
    shared = {"task": "story", "words": {"told": 60, "most": 80}}
    return [
        Course(
            name="debates",
            env="debate",
            params={**shared, "task_params": story, "rounds": rounds},
            cast={"debater": DEBATERS, "judge": (Teacher("debate/quote_counter", {"attention": 0.5}, learn=False),)},
            matches=round(matches * share),
        )
        for story, rounds, share in DEBATES
    ]


def adapter_stage(name: str) -> Stage:
    """What an adapter goes through."""
    if name == DEBATER:
        return debater_stage()
    return Stage(
        label=f"{name}/",
        drills={**dict.fromkeys(KNOWS[name], 2_200), "story": 800},
        guessed=GUESSED[name],
        reasoned=0.7,
        scenario_matches=36,
        scenario_tokens=350_000,
        schedule={"batch_tokens": 3_000, "learning_rate": 3e-3, "weight_decay": 0.0},
    )


def debater_stage() -> Stage:
    """What the debater goes through: debates alone."""
    return Stage(
        label=f"{DEBATER}/",
        debates=3_000,
        scenario_matches=0,
        scenario_tokens=0,
        schedule={"batch_tokens": 3_000, "learning_rate": 3e-3, "weight_decay": 0.0},
    )


def scenario_courses(matches: int) -> list[Course]:
    """Every cell of every shipped scenario at mini scale, `matches` of each scenario in all."""
    courses = []
    for name in paths.scenario_names():
        found = scenario.load(paths.find_scenario(name), scale="mini")
        cells = {str(cell.params): cell for cell in scenario.ready_cells(found)}.values()
        cast = SPECIAL.get(name, CASTS[found.env])
        courses += [
            Course(name=name, env=found.env, params=cell.params, cast=cast, matches=matches // len(cells))
            for cell in cells
        ]
    return courses
