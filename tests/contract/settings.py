"""The parameterisations of every registered environment that contract tests run over."""

from importlib import import_module

from simarena.registry import ENVIRONMENTS, POLICIES

OTHERS = {
    "arena": {
        "panel": {"mode": "panel", "judging": "score"},
        "likelihood": {"judging": "likelihood"},
        "verdict": {"judging": "verdict", "task": "arithmetic"},
        "solve": {"judging": "solve"},
        "options": {"judging": "options"},
        "population": {"mode": "population", "m": 5, "samples": 2},
        "matrix": {"mode": "matrix_game"},
    },
    "bargain": {"package": {"kind": "package", "task": "measures"}},
    "debate": {
        "sequential": {"order": "sequential", "task": "kks", "quotes": "off"},
        "consultancy": {"protocol": "consultancy", "judge_mode": "interactive"},
        "open_debate": {"protocol": "open_debate"},
    },
    "roundtable": {
        "moderated": {"structure": "tit_for_tat_with_moderator", "decision": "moderator", "task": "trap_math"},
        "supervised": {"decision": "supervisor", "order": "agent_chosen"},
    },
}

SETTINGS = [(name, "default", {}) for name in sorted(ENVIRONMENTS)] + [
    (name, label, params) for name, each in OTHERS.items() for label, params in each.items()
]

PARALLEL = [
    ("arena", "duel", {}),
    ("arena", "panel", {"mode": "panel"}),
    ("arena", "matrix", {"mode": "matrix_game"}),
    ("roundtable", "default", {}),
    ("debate", "simultaneous", {"order": "simultaneous"}),
]


def cast(name, env):
    """Role -> reference policy, for every role of a match."""
    reference = import_module(POLICIES[name]).REFERENCE
    return {env.role(seat): reference.get(env.role(seat), "any/random") for seat in env.possible_agents}
