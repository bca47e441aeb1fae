"""The parameterisations of every registered environment that contract tests run over."""

from importlib import import_module

from simarena.registry import ENVIRONMENTS, POLICIES

OTHERS = {
    "arena": {
        "panel": {"mode": "panel", "judging": "score"},
        "likelihood": {"judging": "likelihood"},
        "verdict": {"judging": "verdict", "task": "arithmetic", "orders": "both"},
        "solve": {"judging": "solve"},
        "options": {"judging": "options"},
        "population": {"mode": "population", "m": 5, "samples": 2, "opponent_logprobs": True},
        "matrix": {"mode": "matrix_game", "rounds": 3},
    },
    "bargain": {
        "mediated": {"mediator": True, "turns": 5, "attitude": ["coop", "greedy", "targeted"], "target": "party_0"},
        "package": {"kind": "package", "task": "measures"},
        "open_package": {"kind": "package", "mediator": False, "objections": "all"},
    },
    "debate": {
        "sequential": {"order": "sequential", "task": "kks", "quotes": "off", "thinking": True},
        "consultancy": {"protocol": "consultancy", "judge_mode": "interactive"},
        "open_debate": {"protocol": "open_debate", "order": "first_blind"},
        "beliefs": {
            "task": "beliefs",
            "beliefs": {"elicit": True, "persona": "opposed"},
            "judge_mode": "prior_then_post",
            "thinking": True,
        },
        "drafts": {"best_of": 2, "refine": 1, "rounds": 1, "judging": "likelihood", "judges": 2},
        "halves": {"assignment": "both_sides", "rounds": 1, "judging": "options"},
    },
    "roundtable": {
        "moderated": {
            "structure": "tit_for_tat_with_moderator",
            "decision": "judge_extract",
            "discuss": "answer",
            "task": "trap_math",
            "early_stop": True,
        },
        "supervised": {"decision": "supervisor", "order": "agent_chosen", "probes": ["samples"], "structure": "ring"},
        "star": {"structure": "star", "confidence_visible": True, "discuss": "answer", "reward": "delta"},
    },
}

SETTINGS = [(name, "default", {}) for name in sorted(ENVIRONMENTS)] + [
    (name, label, params) for name, each in OTHERS.items() for label, params in each.items()
]

CUT = [("arena", "cut", {"max_turns": 3}), ("debate", "cut", {"max_turns": 1})]
"""Matches that a limit ends, in the midst of simultaneous phases too."""

PARALLEL = [
    ("arena", "duel", {}),
    ("arena", "panel", {"mode": "panel"}),
    ("arena", "matrix", {"mode": "matrix_game"}),
    ("arena", "cut", {"max_turns": 1}),
    ("roundtable", "default", {}),
    ("debate", "simultaneous", {"order": "simultaneous"}),
]


def cast(name, env):
    """Role -> reference policy, for every role of a match."""
    reference = import_module(POLICIES[name]).REFERENCE
    return {env.role(seat): reference.get(env.role(seat), "any/random") for seat in env.possible_agents}
