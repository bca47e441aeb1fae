"""Commands of training: train an agent on preferences, and trace what it learnt back to where it was said."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.play import AsJson, Quiet, changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simarena.training.run import Trained
    from simarena.training.trainer import Metrics


def train(
    pairs: Annotated[
        list[Path], typer.Argument(metavar="PAIRS...", help="Files of simarena pairs; one, or one for each stage.")
    ],
    agent: Annotated[str, typer.Option(help="Who learns: an agent's name or file.")],
    out: Annotated[Path, typer.Option(help="The folder to write; the same again goes on where it stopped.")],
    recipe: Annotated[str, typer.Option(help="See: simarena list recipes.")] = "",
    loss: Annotated[str, typer.Option(help="See: simarena list losses; dpo where nothing says otherwise.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An argument of the trainer or the loss. Repeats."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the new agent, instead of the old one's.")] = "",
    version: Annotated[str, typer.Option(help="Of the new agent; a hash of all that makes it if none.")] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Drop and count rows that cannot be used.")] = False,
    tensorboard: Annotated[Path | None, typer.Option(help="Also write the metrics for TensorBoard here.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train an agent on preferences: an adapter under a name of its own, ready to be seated."""
    from simarena import paths
    from simarena.errors import MissingExtra
    from simarena.outputs import inside

    if find_spec("torch") is None or find_spec("peft") is None:
        raise MissingExtra("training", "transformers")
    from simarena.training import recipe as recipes
    from simarena.training.distributed import ranks

    for file in pairs:
        if not file.is_file():
            raise typer.BadParameter(f"there is no file {file}", param_hint="PAIRS")
    check_names(name, version)
    read = recipes.read_recipe(paths.find_recipe(recipe)) if recipe else None
    stages: list[dict[str, Any]] = read.stages if read else [{}]
    changes = {**({"loss": loss} if loss else {}), **dict(changed(text) for text in set_ or [])}
    made: list[Trained] = []
    with ranks():  # all stages in one group of processes: a second one could not be joined under the same address
        for point in recipes.points(read) if read else [{}]:
            who, folder = agent, inside(out, recipes.label(point)) if point else out
            for number, stage in enumerate(stages):
                with reporting(f"training {Path(who).stem}", quiet, tensorboard) as report:
                    made.append(
                        one_stage(
                            pairs[min(number, len(pairs) - 1)],
                            who,
                            inside(folder, f"stage-{number + 1}") if len(stages) > 1 else folder,
                            recipes.arguments(stage, {**point, **changes}),
                            report,
                            {"name": name, "version": version, "skip_bad": skip_bad},
                        )
                    )
                who = str(made[-1].agent)
    if not leading():
        return
    if as_json:
        output.say_json([{"name": t.name, "folder": str(t.folder), "agent": str(t.agent), **t.meta} for t in made])
    else:
        for each in made:
            tell(each)


def check_names(name: str, version: str) -> None:
    """ScenarioError for a name or a version that could be no file's; "" is none."""
    from simarena import names

    for option, given in (("--name", name), ("--version", version)):
        if given:
            names.checked(given, option)


def one_stage(
    file: Path,
    agent: str,
    out: Path,
    arguments: Any,
    report: Callable[[Metrics], None],
    options: dict[str, Any],
) -> Trained:
    """Train once."""
    from simarena.training.data import read_records
    from simarena.training.run import train_agent

    source = {"file": str(file.absolute()), "file_sha256": hashed(file)}
    return train_agent(agent, read_records(file), out, arguments, source=source, report=report, **options)


def hashed(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def leading() -> bool:
    """Whether this is the process, of many, that speaks."""
    import os

    return os.environ.get("RANK", "0") == "0"


def tell(trained: Trained) -> None:
    """What came of it, and how to go on."""
    meta = trained.meta
    scores = meta["scores"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in meta["pairs"]["dropped"].items())
    output.say(
        f"{trained.name}: {meta['steps']} steps on {meta['pairs']['pairs']} pairs"
        + (f" (dropped: {dropped})" if dropped else "")
        + f"; last loss {scores['loss']:.4f}, prefers the better answer in {output.share(scores['accuracy'])}"
    )
    output.say(f"the new agent is in {trained.folder}")
    output.say(f"seat it with: simarena tournament SCENARIO --agents {meta['parent']} {trained.agent}")


COLUMNS = ("loss", "accuracy", "margin", "chosen", "rejected", "kl", "gradient", "learning_rate", "tokens_per_second")
SHOWN = 20
"""Steps in a table; --json has all."""


def show_training(folder: Path, as_json: bool) -> None:
    """The metrics of a training, as far as it has come."""
    from simarena.training.journal import read_training

    asked, metrics = read_training(folder)
    if as_json:
        output.say_json({**asked, "metrics": metrics})
        return
    last = metrics[-1] if metrics else {"step": 0, "steps": "?"}
    output.say(f"{asked['agent']}, {asked['arguments']['loss']}: step {last['step']} of {last['steps']}")
    rows = [[str(each["step"]), *(figure(each[name]) for name in COLUMNS)] for each in thinned(metrics, SHOWN)]
    output.table(["step", *(name.replace("_", " ") for name in COLUMNS)], rows, left=0)


def show_trainings(folders: list[Path], as_json: bool) -> None:
    """The trainings of a league's round, a line each: how far, from what to what, and how long the steps took."""
    from simarena.training.journal import read_training

    found = [read_training(folder) for folder in folders]
    if as_json:
        output.say_json([{**asked, "metrics": metrics} for asked, metrics in found])
        return
    rows = [[asked["agent"], asked["arguments"]["loss"], *course(metrics)] for asked, metrics in found if metrics]
    output.table(["agent", "loss", "steps", *(name.replace("_", " ") for name in COURSE), "seconds"], rows, left=2)
    output.note(f"step by step: simarena show {folders[0]}")


COURSE = ("loss", "accuracy", "margin", "chosen", "rejected", "kl")


def course(metrics: list[dict[str, Any]]) -> list[str]:
    """Steps done, each number at the first and the last of them, seconds that the steps took together."""
    first, last = metrics[0], metrics[-1]
    seconds = sum(each["tokens"] / each["tokens_per_second"] for each in metrics)
    ways = (f"{figure(first[name])} > {figure(last[name])}" for name in COURSE)
    return [f"{last['step']} of {last['steps']}", *ways, figure(seconds)]


def thinned(metrics: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Every n-th of them and the last, `most` or a few more."""
    return [*metrics[:-1][:: max(1, len(metrics) // most)], *metrics[-1:]]


def figure(value: float | None) -> str:
    """A number of any size."""
    return "-" if value is None else f"{value:.4g}"


@contextmanager
def reporting(what: str, quiet: bool, tensorboard: Path | None) -> Iterator[Callable[[Metrics], None]]:
    """Something that is to hear of each step."""
    from simarena.progress import Progress, stage

    writer = summary_writer(tensorboard) if tensorboard and leading() else None

    def report(metrics: Metrics) -> None:
        if writer:
            for key in ("loss", "accuracy", "margin", "chosen", "rejected", "kl", "gradient", "learning_rate"):
                if (value := getattr(metrics, key)) is not None:
                    writer.add_scalar(key, value, metrics.step)
        shown.say(metrics.line())

    with stage(what, Progress() if leading() and not quiet else None) as shown:
        yield report
    if writer:
        writer.close()


def summary_writer(folder: Path) -> Any:
    """TensorBoard's writer."""
    from simarena.errors import SimArenaError

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SimArenaError("--tensorboard needs: pip install tensorboard") from error
    return SummaryWriter(str(folder))


def trace(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="Folder or file of a trained agent.")],
    pair: Annotated[str, typer.Argument(metavar="[PAIR]", help="Row, or beginning of the id; the first if none.")] = "",
    run: Annotated[list[Path] | None, typer.Option(help="Where the run may be. Repeats.")] = None,
    as_json: AsJson = False,
) -> None:
    """From a trained agent back to the very turn that one of its pairs was made of."""
    from simarena.preferences.record import to_line
    from simarena.training.trace import origin

    found = origin(adapter, pair, run or [])
    if as_json:
        facts = {name: getattr(found, name) for name in ("agent", "pairs", "row", "run", "match", "turn", "words")}
        output.say_json({**facts, "pair": to_line(found.pair)})
        return
    output.say(f"{found.agent} learnt from row {found.row} of {found.pairs} (pair {found.pair.id})")
    output.say(f"run {found.run}, match {found.match}, turn {found.turn}, seat {found.pair.seat}, {found.pair.phase}")
    for place, response in enumerate(found.pair.responses, 1):
        output.say(f"  {place}. {response.agent} ({output.number(response.score)}): {response.messages[0].content}")
    output.say(f"on record: {found.words}")
    output.say(f"read it all with: simarena show {found.run} {found.match}")
