"""DPO on several turns or segments: what differs is how token log-probabilities become sums (`training/tokens.py`)."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from simarena.training.losses.base import Loss
from simarena.training.losses.common import LN2
from simarena.training.losses.pairwise import REFERENCE_PAIR, Beta, Flipped, dpo, rdpo
from simarena.training.tokens import equal_turns, fading_turns, span_weights


class Fading(Beta):
    """DMPO's parameters."""

    gamma: float = Field(0.7, gt=0, le=1)
    """Discount per turn: later turns count less."""


class Segment(Beta):
    """SDPO's parameters."""

    turns: PositiveInt | None = None
    """Own turns that count from the decision on; None: as many as the shorter response has."""


class Segments(Flipped):
    """Parameters of DPO with worths of segments."""

    flip: float = Field(0.0, ge=0, lt=0.5)
    """Share of labels taken to say the reverse; above 0 the loss is made unbiased as rDPO is."""


TURNS = (
    Loss(
        "dmpo",
        dpo,
        Fading,
        REFERENCE_PAIR | {"turns"},
        "DPO on whole sessions, early turns weighing more",
        "DPO with token weights gamma^j (1 - gamma^(n-j)) / (1 - gamma^n), turn j of n",
        "arXiv:2406.14868",
        fading_turns,
        LN2,
    ),
    Loss(
        "sdpo",
        dpo,
        Segment,
        REFERENCE_PAIR | {"turns"},
        "DPO on equally many turns after a branch",
        "DPO on the sum over turns e ... e+k",
        "arXiv:2501.01821",
        equal_turns,
        LN2,
    ),
    Loss(
        "two_d_dpo",
        rdpo,
        Segments,
        REFERENCE_PAIR | {"spans"},
        "DPO with a worth per segment, robust to flipped labels where flip > 0",
        "rDPO with token weights worth(segment of t)",
        "arXiv:2410.19720",
        span_weights,
        LN2,
    ),
)
