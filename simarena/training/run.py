"""One training as a function: an agent and preferences in, a folder with a new agent that can be seated out.

What the command line and the league call. The same call with the same folder goes on where it stopped, and does nothing
where it had ended. Writes metrics.jsonl, checkpoints and the agent; knows no tournament.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simarena import names, outputs, threads
from simarena.errors import SimArenaError
from simarena.identity import content_hash
from simarena.preferences.record import Preference
from simarena.provenance import provenance
from simarena.threads import Choice
from simarena.training.arguments import Arguments
from simarena.training.data import Prepared, Unfit, prepare, summary
from simarena.training.distributed import Ranks, ranks, whole
from simarena.training.journal import METRICS, TRAINING, Journal, read_metrics
from simarena.training.policy import Learner, Policy, find_learner, load_policy, read_template, refuse_taken, write
from simarena.training.trainer import Metrics, train


class OtherTraining(SimArenaError):
    """A folder that holds another training than the one that is asked for."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of a training."""

    name: str
    """NAME@VERSION, which never stands for anything else."""
    folder: Path
    """Of the adapter (or of the whole model), with meta.json."""
    agent: Path
    """The file that seats it: simarena tournament ... --agents FILE."""
    meta: Mapping[str, Any]
    """Lineage, data, arguments, versions, scores."""
    metrics: tuple[Mapping[str, Any], ...]
    """One record an optimiser step."""


def train_agent(
    agent: str,
    records: Iterable[Preference | Unfit],
    out: Path,
    arguments: Arguments | None = None,
    *,
    name: str = "",
    version: str = "",
    source: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    report: Callable[[Metrics], None] | None = None,
) -> Trained:
    """Train `agent` (a name or an agent file) on `records` and write OUT/NAME@VERSION and OUT/NAME@VERSION.yaml.

    `name` is the agent's own without its version unless given; `version` a hash of parent, data and arguments. `source`
    goes into meta.json as it is: where the records came from. BadPairs before any step for rows that cannot be used.
    """
    arguments = arguments or Arguments()
    learner = find_learner(agent)
    template, window = read_template(learner)
    prepared = prepare(records, template, window=window, skip_bad=skip_bad)
    title = f"{name or learner.member.name.partition('@')[0]}@{version or versioned(learner, prepared, arguments)}"
    folder = outputs.inside(out, names.checked(title, "name of the new agent"))
    with ranks() as among:
        if among.first:
            claim(out, title, learner, prepared, arguments)
        among.wait()
        if not (folder / "meta.json").is_file():
            refuse_taken(folder)
            fulfil(learner, prepared, arguments, out, title, source or {}, report or ignore, among)
        among.wait()
    return found(out, title)


def versioned(learner: Learner, prepared: Prepared, arguments: Arguments) -> str:
    """Eight digits that stand for parent, data and arguments."""
    return content_hash([learner.version, prepared.digest, arguments.model_dump(mode="json")], 8)


def ignore(_: Metrics) -> None:
    """Report to nobody."""


def claim(out: Path, title: str, learner: Learner, prepared: Prepared, arguments: Arguments) -> None:
    """Say in the folder which training it is of; OtherTraining where it is of another, OutputError where of none."""
    asked = {
        "agent": title,
        "parent": learner.version,
        "data": prepared.digest,
        "arguments": arguments.model_dump(mode="json"),
    }
    path = out / TRAINING
    outputs.claim(out, TRAINING)
    if path.is_file():
        known = read_asked(path)
        differing = [key for key in asked if known.get(key) != asked[key]]
        if differing:
            raise OtherTraining(
                f"{out} holds another training ({', '.join(differing)} differ); give another folder with --out"
            )
        return
    outputs.write(path, json.dumps(asked, indent=2) + "\n")


def read_asked(path: Path) -> dict[str, Any]:
    """What a folder's training was asked for; {} where the file is somebody else's."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def threaded(path: Path, policy: Policy, arguments: Arguments, among: Ranks) -> Choice:
    """The number of threads, as the training in `path` was begun with: sums of other parts would be other last bits."""
    about = json.loads(path.read_text(encoding="utf-8"))
    known = about.get("threads", {}).get("count", 0)
    among.wait()  # all have read it before it is written
    choice = threads.choose("training", arguments.tokens, threads.width(policy.model), earlier=known)
    if among.first and choice.count != known:
        outputs.write(path, json.dumps({**about, "threads": asdict(choice)}, indent=2) + "\n", own=True)
    return choice


def fulfil(
    learner: Learner,
    prepared: Prepared,
    arguments: Arguments,
    out: Path,
    title: str,
    source: Mapping[str, Any],
    report: Callable[[Metrics], None],
    among: Ranks,
) -> None:
    """Train to the end and write the agent."""
    policy = load_policy(
        learner,
        tune=arguments.tune,
        rank=arguments.rank,
        alpha=arguments.alpha,
        dtype=arguments.dtype,
        seed=arguments.seed,
    )
    choice = threaded(out / TRAINING, policy, arguments, among)
    choice.apply()
    journal = Journal(out / METRICS)
    for metrics in train(policy, prepared, arguments, out, among):
        if among.first:
            journal.note(metrics)
            report(metrics)
    tensors = {name: whole(value) for name, value in policy.trained.items()}
    if among.first:
        meta = story(learner, prepared, arguments, title, source, read_metrics(out / METRICS), choice)
        write(policy, tensors, out / title, meta)


def story(
    learner: Learner,
    prepared: Prepared,
    arguments: Arguments,
    title: str,
    source: Mapping[str, Any],
    metrics: list[dict[str, Any]],
    choice: Choice,
) -> dict[str, Any]:
    """What made the agent."""
    made = provenance()
    last = metrics[-1]
    return {
        "name": title,
        "parent": learner.member.name,
        "parent_version": learner.version,
        "pairs": {**source, **summary(prepared)},
        "arguments": arguments.model_dump(mode="json"),
        "commit": made["commit"],
        "packages": made["packages"],
        "threads": {"count": choice.count, "by": choice.by},
        "steps": len(metrics),
        "scores": {key: last[key] for key in ("loss", "accuracy", "margin", "chosen", "rejected", "kl")},
    }


def found(out: Path, title: str) -> Trained:
    """The agent that a finished training left."""
    meta = json.loads((out / title / "meta.json").read_text(encoding="utf-8"))
    metrics = tuple(read_metrics(out / METRICS))
    return Trained(name=title, folder=out / title, agent=out / f"{title}.yaml", meta=meta, metrics=metrics)
