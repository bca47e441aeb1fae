"""What judges and critics of a debate found: how far a speech, or a candidate for one, made them believe its side.

Reads turns on record. Knows no builder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simarena.envs.debate.report import softmax
from simarena.preferences.comparing import Marked
from simarena.preferences.lineage import mean
from simarena.preferences.played import Played, usable
from simarena.preferences.rules import dealt
from simarena.records import JSON, Turn

LATER = "half 2"
"""How phases begin once sides were exchanged."""
TURNED = "answers turned"


def marks(played: Played) -> list[Marked]:
    """Every public speech; its score is the judges' mean probability of the speaker's answer, in its half."""
    verdicts = [[turn for turn in played.turns if part(turn) == half and "verdict" in turn.phase] for half in (0, 1)]
    spoken = [turn for turn in played.turns if speech(turn) and (turn.seat, turn.phase) not in played.probes]
    return [_marked(played, turn, verdicts[part(turn)]) for turn in spoken]


def _marked(played: Played, turn: Turn, verdicts: Sequence[Turn]) -> Marked:
    side = sides(played, part(turn)).get(turn.seat, "")
    twice = any(TURNED in verdict.phase for verdict in verdicts)
    by_seat: dict[tuple[str, str], list[float | None]] = {}
    for verdict in verdicts:
        by_seat.setdefault((verdict.seat, verdict.agent), []).append(chances(played, verdict).get(side))
    believed: dict[str, list[float]] = {}
    for (_, agent), asked in by_seat.items():
        if counts := counted(asked, twice):
            believed.setdefault(agent, []).extend(counts)
    everybody = [value for each in believed.values() for value in each]
    return Marked(
        said=played.said(turn),
        score=mean(everybody) if everybody else 0.0,
        scores={agent: mean(each) for agent, each in believed.items()},
        orders={agent: tuple(each) for agent, each in believed.items()} if twice else {},
        ballots=ballots(by_seat, twice),
    )


def counted(asked: Sequence[float | None], twice: bool) -> list[float]:
    """The judgements of one judge that count: of a judge that reads in both orders both or none."""
    given = [chance for chance in asked if chance is not None]
    return given if len(given) == len(asked) or not twice else []


def ballots(by_seat: Mapping[tuple[str, str], Sequence[float | None]], twice: bool) -> dict[str, tuple[int, int, int]]:
    """Agent -> (judgements asked of it, unusable, counted); {} where all were usable."""
    if not any(None in asked for asked in by_seat.values()):
        return {}
    found: dict[str, tuple[int, int, int]] = {}
    for (_, agent), asked in by_seat.items():
        before = found.get(agent, (0, 0, 0))
        here = (len(asked), asked.count(None), len(counted(asked, twice)))
        found[agent] = (before[0] + here[0], before[1] + here[1], before[2] + here[2])
    return found


def candidates(played: Played) -> list[list[Marked]]:
    """The candidates for each speech, marked by the critic: how likely a judge would take the side after each."""
    found: list[list[Marked]] = []
    waiting: dict[str, list[Turn]] = {}
    picks = played.events("picked")
    critic = {turn.phase.split()[-3]: turn.agent for turn in played.turns if "weigh " in turn.phase}
    drafts = [turn for turn in played.turns if " candidate " in turn.phase and "weigh " not in turn.phase]
    for turn in drafts:
        waiting.setdefault(turn.seat, []).append(turn)
    for pick in picks:
        seat, likely = str(pick.data["by"]), pick.data["chances"]
        turns, waiting[seat] = waiting[seat][: len(likely)], waiting[seat][len(likely) :]
        who = critic.get(seat, "")
        found.append(
            [
                Marked(said=played.said(turn), ballots={who: (1, 1, 0)})
                if chance is None
                else Marked(said=played.said(turn), score=float(chance), scores={who: float(chance)})
                for turn, chance in zip(turns, likely, strict=True)
            ]
        )
    return found


def speech(turn: Turn) -> bool:
    """Whether a turn is a public speech, not a draft or a candidate."""
    name = turn.phase
    return "speech" in name and " draft" not in name and " candidate" not in name


def part(turn: Turn) -> int:
    """The half that a turn is of: 0, or 1 after sides were exchanged."""
    return int(turn.phase.startswith(LATER))


def sides(played: Played, half: int) -> dict[str, str]:
    """Debater -> the answer it defends in a half."""
    found: dict[str, str] = {}
    for event in played.events("card"):
        if event.audience and "you defend" in event.data:
            found[event.audience[0]] = str(event.data["you defend"])
    told = [event.data for event in played.events("sides")]
    if told and (half or not found):
        found = {seat: str(answer) for seat, answer in told[-1].items()}
    return found


def chances(played: Played, verdict: Turn) -> Mapping[str, float]:
    """Answer -> probability that a judge gave it; {} where its verdict could not be used."""
    fields: dict[str, JSON] = (verdict.fields or {}) if usable(verdict) else {}
    options = list(dealt(played.match).env.item.options)
    shown = (
        options[::-1]
        if TURNED in verdict.phase or played.match.params.get("swap", {}).get("answers") is True
        else options
    )
    if "logprobs" in fields:
        return dict(zip(shown, softmax(fields["logprobs"]), strict=True))
    if fields.get("probs"):
        total = sum(fields["probs"])
        return {option: p / total for option, p in zip(shown, fields["probs"], strict=True)}
    if "confidence" not in fields or fields.get("answer") not in options:
        return {}
    sure = fields["confidence"] / 100
    return {option: sure if option == fields["answer"] else (1 - sure) / (len(options) - 1) for option in options}
