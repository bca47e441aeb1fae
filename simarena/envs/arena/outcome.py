"""What a match of answers came to: standings, payments, and how judges agree with the truth.

Pure: parameters, answers, judgements and truth in, numbers out. A rate that nothing was counted for is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from simarena.envs.arena import judging
from simarena.envs.arena.judging import Judgement, Margins
from simarena.envs.arena.params import ArenaParams


@dataclass(frozen=True)
class Outcome:
    """A judged match."""

    params: ArenaParams
    authors: Sequence[str]
    """Seat that wrote each answer."""
    right: Sequence[bool]
    """Whether each answer is right."""
    given: Mapping[str, Sequence[Judgement]]
    """Judge -> its judgements that count; none where it gave no verdict, or where all answers were the same."""
    settled: bool = False
    """Whether all answers say the same."""

    @property
    def voted(self) -> list[tuple[int, int]]:
        """The comparisons that some judge made, or that need no judge since the answers are the same."""
        agreed = self.settled and self.params.moot
        return [pair for pair in self.params.pairs if agreed or pair in self.pooled]

    @property
    def decided(self) -> bool:
        """Whether no comparison is left without a judge."""
        return len(self.voted) == len(self.params.pairs)

    @cached_property
    def margins(self) -> dict[str, Margins]:
        """Judge -> its margins."""
        read = judging.pair_margins if self.params.judging == "verdict" else judging.point_margins
        return {judge: read(self.given.get(judge, [])) for judge in self.params.graders}

    @cached_property
    def pooled(self) -> Margins:
        """All judges' margins as one."""
        return self._pool(self.margins)

    def _pool(self, margins: Mapping[str, Margins]) -> Margins:
        return judging.pooled(margins, {judge: self.params.weight(judge) for judge in margins})

    @cached_property
    def grades(self) -> dict[str, float]:
        """Seat -> mean margin of its answers over the others; in a duel the margin over the opponent."""
        each: dict[str, list[float]] = {seat: [] for seat in self.params.writers}
        for author, grade in zip(self.authors, judging.grades(self.pooled, len(self.authors)), strict=True):
            each[author].append(grade)
        return {seat: math.fsum(values) / len(values) for seat, values in each.items()}

    @cached_property
    def standing(self) -> dict[str, float]:
        """Seat -> what its answers earned: standard rank in a panel, else its mean of wins (1) and losses (-1).

        0 for everybody where the match is not decided.
        """
        p = self.params
        if not self.decided:
            return dict.fromkeys(p.writers, 0.0)
        if p.mode == "panel":
            ranks = judging.standard_ranks([self.grades[seat] for seat in p.writers], p.margin)
            return dict(zip(p.writers, ranks, strict=True))
        won: dict[str, list[int]] = {seat: [] for seat in p.writers}
        for a, b in p.pairs:
            sign = judging.sign(self.pooled.get((a, b), 0.0), p.margin)
            won[self.authors[a]].append(sign)
            won[self.authors[b]].append(-sign)
        return {seat: sum(signs) / len(signs) for seat, signs in won.items()}

    def grader_pay(self) -> dict[str, float]:
        """Judge -> agreement with the truth, or with the other judges together; {} where judges are not paid."""
        p = self.params
        if p.grader_reward == "none":
            return {}
        if p.grader_reward == "truth":
            truth = {(a, b): float(self.right[a] - self.right[b]) for a, b in p.pairs}
            return {judge: judging.agreement(own, truth, p.pairs) for judge, own in self.margins.items()}
        return {
            judge: judging.agreement(own, self._pool({k: v for k, v in self.margins.items() if k != judge}), p.pairs)
            for judge, own in self.margins.items()
        }

    def returns(self) -> dict[str, float]:
        """Seat -> reward."""
        pay = self.grader_pay()
        return {
            seat: self.standing.get(seat, 0.0) + pay.get(seat, 0.0) for seat in dict.fromkeys([*self.standing, *pay])
        }

    def metrics(self) -> dict[str, float]:
        """Who was right, who won, and how good the labels are."""
        found = {"accuracy": sum(self.right) / len(self.right), **self._correct(), **self._by_label()}
        return found | (self._by_standing(found) if self.decided else {})

    def _by_standing(self, found: Mapping[str, float]) -> dict[str, float]:
        """What rests on who won: grades, wins, and whether the winner is right."""
        won = self._by_writer()
        top = max(self.standing.values())
        best = [seat for seat, earned in self.standing.items() if earned == top]
        won["winner_right"] = sum(found[f"correct/{seat}"] for seat in best) / len(best)
        return won | (self._by_opponent() if self.params.mode == "population" else {})

    def _correct(self) -> dict[str, float]:
        found = {}
        for seat in self.params.writers:
            own = [ok for author, ok in zip(self.authors, self.right, strict=True) if author == seat]
            found[f"correct/{seat}"] = sum(own) / len(own)
        return found

    def _by_writer(self) -> dict[str, float]:
        found = {f"grade/{seat}": grade for seat, grade in self.grades.items()}
        if self.params.mode == "duel":
            found |= {f"win/{seat}": (self.standing[seat] + 1) / 2 for seat in self.params.writers}
        return found

    def _by_label(self) -> dict[str, float]:
        """`labelled`: decisive and exactly one right; of these `label_accuracy` is right, for all and each judge."""
        p = self.params
        one_right = {"exactly_one_right": sum(self.right[a] != self.right[b] for a, b in p.pairs) / len(p.pairs)}
        if not self.voted:
            return one_right
        all_in = judging.labels(self.pooled, self.right, self.voted, p.margin)
        rates = {"label_accuracy": all_in.accuracy}
        for judge, own in self.margins.items():
            rates[f"label_right/{judge}"] = judging.labels(own, self.right, p.pairs, p.margin).accuracy
        return {
            **one_right,
            "decisive": all_in.decisive / all_in.pairs,
            "labelled": all_in.labelled / all_in.pairs,
            **{key: rate for key, rate in rates.items() if rate is not None},
        }

    def _by_opponent(self) -> dict[str, float]:
        """Win rates over the tribe and over history; the samples that would be chosen and rejected."""
        p = self.params
        wins = {seat: (1 - self.standing[seat]) / 2 for seat in p.writers[1:]}
        found = {f"win_over/{seat}": win for seat, win in wins.items()}
        tribe = list(wins.values())[: p.opponents - p.history]
        past = list(wins.values())[p.opponents - p.history :]
        groups = {"win_rate": [*tribe, *past], "win_rate/tribe": tribe, "win_rate/history": past}
        found |= {key: sum(group) / len(group) for key, group in groups.items() if group}
        grade = judging.grades(self.pooled, len(self.authors))
        ranked = sorted(range(p.samples), key=grade.__getitem__)
        best, worst = float(self.right[ranked[-1]]), float(self.right[ranked[0]])
        return found | {"best_right": best, "worst_right": worst, "sample_gain": best - worst}
