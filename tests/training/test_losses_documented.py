"""docs/losses.md says what the registry says."""

from pathlib import Path

import pytest

from simarena.training.losses import LOSSES

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
ROWS = {line.split("`")[1]: line.replace("\\|", "|") for line in PAGE.splitlines() if line.startswith("| `")}


def shown(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def test_every_loss_has_its_row_in_order():
    assert list(ROWS) == list(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_is_true(name):
    loss = LOSSES[name]
    fields = loss.Params.model_fields.items()
    params = [f"{key} {shown(field.get_default(call_default_factory=True))}" for key, field in fields]
    assert f"| {', '.join(params) or 'none'} |" in ROWS[name]
    assert f"| {', '.join(sorted(loss.needs)) or 'nothing'} |" in ROWS[name]
    assert loss.formula in ROWS[name]
    assert loss.source in ROWS[name]
