"""`simarena list losses`: every loss in a line, and torch loaded for it alone."""

import subprocess
import sys

from typer.testing import CliRunner

from simarena.cli import app
from simarena.training.losses import LOSSES


def test_every_loss_has_a_line_with_its_source():
    lines = CliRunner().invoke(app, ["list", "losses"]).output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(LOSSES)
    assert "(arXiv:2405.14734)" in next(line for line in lines if line.startswith("simpo "))


def test_listing_everything_else_loads_no_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from simarena.cli import app; "
        "out = CliRunner().invoke(app, ['list']).output; assert 'formats:' in out, out; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
