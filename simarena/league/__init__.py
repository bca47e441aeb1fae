"""Leagues: rounds of play, preferences, training and exams in which a tribe of agents improves, or does not.

`rounds.play` is the loop; `plan.plan` says before anything is written what is wrong with a league.
"""

ABOUT = "league.json"
"""In a league's folder: what league it is."""
RECORD = "record.json"
"""In a round's folder: all that came of it."""
