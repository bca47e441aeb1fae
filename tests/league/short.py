"""What makes a league of combat short: three seats, one family of easy questions, no guards, one round."""

from __future__ import annotations

from typing import Any

SHORT: dict[str, Any] = {
    "m": 3,
    "data.params": {"weights": {"trap_math": 1}, "params": {"trap_math": {"size": 1}}},
    "league.rounds": 1,
    "league.judge_weights": "equal",
    "league.exam.questions": 4,
    "league.exam.final": 4,
    "league.guards.label_accuracy": 0,
    "league.guards.roll_back": "never",
    "league.pairs.filters": {},
    "league.expect": [],
}
