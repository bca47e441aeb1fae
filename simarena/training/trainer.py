"""The trainer, from first check to last step: a policy, decisions and arguments in, one record of numbers a step out.

It logs nothing, prints nothing and knows no match: the caller writes the metrics down. It can be killed at any moment;
called again with the same folder it goes on from the last checkpoint and computes what it would have computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from simarena.agents.members import member
from simarena.errors import ScenarioError, SimArenaError
from simarena.identity import content_hash
from simarena.outputs import inside
from simarena.training import batches, checkpoint, losses, schedules
from simarena.training.arguments import Arguments
from simarena.training.assemble import Sums, assemble, peak_memory
from simarena.training.data import Decision, Prepared, annotators
from simarena.training.distributed import Ranks, Reader, sharded
from simarena.training.frozen import KINDS, anchored, compared_with, fixed, mismatched
from simarena.training.policy import Policy
from simarena.training.reference import Frozen, put
from simarena.training.reliability import Reliability
from simarena.training.scored import Scored
from simarena.training.trie import Sequence as Tokens
from simarena.yamlfile import complaints, suggestion

START_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}
"""How far the first loss may lie from its closed form where policy = reference."""


class TrainingError(SimArenaError):
    """A training that must not begin or not go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """One optimiser step in numbers, over all processes; means over its decisions unless said otherwise."""

    step: int
    """From 1."""
    steps: int
    epoch: int
    """From 1."""
    loss: float
    accuracy: float
    """Share of decisions whose order the policy already agrees with, by the loss's own margin."""
    margin: float
    chosen: float
    """Log-ratio of the first response to the reference, nats; with no reference its log-probability."""
    rejected: float
    """The same of the last response."""
    kl: float | None
    """Estimate of the policy's divergence from the reference, nats per recorded own token: mean of r - 1 - log r,
    r = reference / policy. None without a reference."""
    chosen_tokens: float
    rejected_tokens: float
    gradient: float
    """Norm before clipping."""
    learning_rate: float
    tokens: int
    """Computed under the policy, common beginnings once a forward."""
    tokens_per_second: float
    memory_mb: float
    """Most that this process ever held: on an accelerator there, else resident."""
    reference: str
    """Version of what the policy was compared with; "" for nothing."""
    trust: Mapping[str, float] = field(default_factory=dict)
    """Annotator -> estimated share of right labels, where the loss estimates it."""
    extras: Mapping[str, float] = field(default_factory=dict)
    """What the loss says of itself."""

    def line(self) -> str:
        """In a few words."""
        return (
            f"step {self.step}/{self.steps}  loss {self.loss:.4f}  accuracy {self.accuracy:.2f}  "
            f"margin {self.margin:.3f}  {self.tokens_per_second:.0f} tokens/s"
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What one optimiser step learns from."""

    indices: tuple[int, ...]
    epoch: int
    opens_stage: int = 0
    """The number of the stage that begins here, from 1; 0: none does."""


def train(  # noqa: C901 - one story, told from beginning to end
    policy: Policy, prepared: Prepared, arguments: Arguments, folder: Path, among: Ranks | None = None
) -> Iterator[Metrics]:
    """Train `policy` in place on the decisions; checkpoints and log-probs of the reference go to `folder`."""
    among = among or Ranks()
    decisions, judges = prepared.decisions, annotators(prepared.decisions)
    loss, params = chosen_loss(arguments)
    needs = check(loss, params, arguments, decisions)

    # ---- who learns, and what it is compared with --------------------------------------------------------------------
    if arguments.recompute:
        policy.model.train()  # transformers recomputes in training mode only; dropout is off by configuration
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    reader = sharded(Reader(policy.model, arguments.tokens, arguments.chunk), among)
    trained: dict[str, Tensor] = dict(policy.trained)
    optimizer = torch.optim.AdamW(trained.values(), lr=arguments.learning_rate, weight_decay=arguments.weight_decay)
    anchor = anchored(policy, trained, arguments)  # the reference's own weights, where it has any

    def read(sequences: Sequence[Tokens]) -> list[Tensor]:
        with torch.no_grad(), precision(arguments):
            return list(reader(sequences)[0])

    with memory(arguments), compared_with(policy, trained, anchor, arguments, decisions, folder, among, read) as frozen:
        plan = planned(decisions, frozen, arguments)
        averages = schedules.start_averages(arguments.update, trained)
        reliability = Reliability(
            **({"start": params.trust0, "pace": params.pace} if "trust" in needs else {}), trust=dict(arguments.trust)
        )
        trust = reliability.of(judges)

        # ---- everything that changes from step to step, by name; a checkpoint is this and three words ----------------
        changing = {
            **{f"policy.{name}": value.detach() for name, value in trained.items()},
            **{f"adam.{key}.{name}": value for name, key, value in moments(optimizer, trained)},
            **({f"anchor.{name}": value for name, value in anchor.items()} if not fixed(arguments) else {}),
            **{f"average.{name}": value for name, value in averages.items()},
            **({"trust": trust} if judges else {}),
        }
        about = {"arguments": content_hash(arguments.model_dump(mode="json")), "data": prepared.digest}
        done = resumed(inside(folder, "checkpoints"), changing, about, frozen, among)

        for number, step in enumerate(plan[done:], done + 1):
            begun = time.perf_counter()
            if step.opens_stage > 1:  # sDPO: the next part of the data, against the policy as it now is
                put(anchor, trained)
                frozen.moved(f"{frozen.version}>{step.opens_stage}")
            rate = arguments.learning_rate * share_of_rate(number, len(plan), arguments)
            for group in optimizer.param_groups:
                group["lr"] = rate

            # ---- one loss over all decisions of the step, in as many forwards as memory asks for ---------------------
            sums = Sums(len(judges))
            mine = [decisions[i] for i in step.indices if i % among.world == among.rank]
            pieces = list(even(mine, decisions[step.indices[0]], arguments.tokens, among))
            others = mismatched(pieces, frozen, read, among) if "mismatched" in needs else None
            for piece, counts in pieces:
                sequences = [each for decision in piece for each in decision.sequences]
                against = frozen.logps(sequences)
                with precision(arguments):
                    own = reader(sequences, lse2="confidence" in needs)
                scored = assemble(piece, own, against, loss, params, arguments, (judges, trust), others)
                if number == 1:
                    check_start(loss, scored, policy, arguments)
                result = loss(scored, params)
                # Sharded gradients are averaged over processes; this makes them a sum over the step's decisions.
                weight = counts * among.world / len(step.indices)
                torch.autograd.backward(result.loss.sum() * weight)
                if counts:
                    sums.add(piece, own, scored, result)
                    if frozen.reference:
                        sums.drift(own, against)
            sums.joined(among)
            check_finite(number, sums, arguments)

            # ---- the step, and what follows it -----------------------------------------------------------------------
            norm = torch.nn.utils.clip_grad_norm_(trained.values(), arguments.clip)
            used = frozen.version
            if arguments.update.kind == "lagged":
                move_reference(arguments, number, trained, anchor, averages, frozen)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedules.average(arguments.update, number, trained, averages)
            if arguments.update.kind != "lagged":
                move_reference(arguments, number, trained, anchor, averages, frozen)
            if "trust" in needs:
                reliability.trust = dict(zip(judges, trust.tolist(), strict=True))
                reliability.update(judges, sums.agreed, sums.counted)
                trust.copy_(reliability.of(judges))

            yield Metrics(
                step=number,
                steps=len(plan),
                epoch=step.epoch,
                loss=sums.mean("loss"),
                accuracy=sums.mean("agreeing"),
                margin=sums.mean("margin"),
                chosen=sums.mean("chosen"),
                rejected=sums.mean("rejected"),
                kl=sums.mean("drift", "own_tokens") if frozen.reference else None,
                chosen_tokens=sums.mean("chosen_tokens"),
                rejected_tokens=sums.mean("rejected_tokens"),
                gradient=float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm),
                learning_rate=rate,
                tokens=round(sums.values["tokens"]),
                tokens_per_second=sums.values["tokens"] / (time.perf_counter() - begun),
                memory_mb=peak_memory(),
                reference=used,
                trust=dict(reliability.trust) if "trust" in needs else {},
                extras={name: value / sums.values["count"] for name, value in sums.extras.items()},
            )
            if number % arguments.checkpoint_every == 0 or number == len(plan):
                frozen.commit()  # before the checkpoint: what it counts as known has to be on disk
                state = {**about, "step": number, "reference": frozen.version}
                checkpoint.save(inside(folder, "checkpoints"), number, changing, state, among)


# ---- before the first step -------------------------------------------------------------------------------------------


def chosen_loss(arguments: Arguments) -> tuple[losses.Loss, Any]:
    """The loss and its parameters. TrainingError names a parameter that it does not have."""
    loss = losses.find(arguments.loss)
    try:
        return loss, loss.Params(**arguments.params)
    except ValidationError as error:
        lines = "; ".join(complaints(loss.Params, error))
        raise TrainingError(f"loss {loss.name!r} does not take these parameters: {lines}") from error


def check(loss: losses.Loss, params: Any, arguments: Arguments, decisions: Sequence[Decision]) -> frozenset[str]:
    """What the loss needs, after refusing what could only fail later."""
    needs = agreed(loss, params, arguments)
    if "trust" in needs and not annotators(decisions):
        raise TrainingError(f"loss {loss.name!r} weighs annotators, and no pair says who marked it")
    for decision in decisions:
        if "pair" in needs and len(decision.sequences) < 2:
            raise TrainingError(f"row {decision.row}: loss {loss.name!r} compares, and it has one response")
        if "spans" in needs and None in decision.spans:
            raise TrainingError(
                f"row {decision.row}: loss {loss.name!r} weighs segments, and not every own turn has a mark; give "
                'each response objectives, e.g. {"turn 0": 1.0, "turn 1": 0.2}'
            )
    return needs


def agreed(loss: losses.Loss, params: Any, arguments: Arguments) -> frozenset[str]:
    """What the loss needs; TrainingError where the arguments cannot give it, whatever the pairs."""
    known_reference(arguments.reference)
    needs = frozenset(loss.required(params))
    if "reference" in needs and arguments.reference == "none":
        raise TrainingError(f"loss {loss.name!r} compares with a reference; set reference to start or base")
    if "opponents" in needs and not arguments.opponents:
        raise TrainingError(f"loss {loss.name!r} plays against others; name them with opponents")
    if not fixed(arguments) and arguments.reference != "start":
        raise TrainingError(
            f"a reference that moves begins where the policy does; set reference to start, not {arguments.reference!r}"
        )
    return needs


def known_reference(name: str) -> None:
    """Refuse a reference that is no word for one and no agent. What weights it has is seen when they are loaded."""
    if name in KINDS:
        return
    try:
        member(name)
    except ScenarioError as error:
        raise TrainingError(f"reference: {error}{suggestion(name, KINDS)}") from error


def planned(decisions: Sequence[Decision], frozen: Frozen, arguments: Arguments) -> list[Step]:
    """Every step of the training. Stages go from what the reference orders rightly by far to what it does not."""
    order = list(range(len(decisions)))
    if arguments.stages > 1:
        ease = [ease_of(decision, frozen) for decision in decisions]
        order.sort(key=lambda index: -ease[index])
    plan: list[Step] = []
    for stage, part in enumerate(batches.stages(order, min(arguments.stages, len(order))), 1):
        first = True
        for number in range(1, arguments.epochs + 1):
            label = (stage - 1) * arguments.epochs + number
            for indices in batches.epoch(decisions, sorted(part), arguments.batch, arguments.seed, label):
                plan.append(Step(tuple(indices), label, stage if first else 0))
                first = False
    return plan


def ease_of(decision: Decision, frozen: Frozen) -> float:
    """Mean log-probability of the first response less that of the last, under the reference."""
    ends = frozen.logps([decision.sequences[0], decision.sequences[-1]])
    return float(ends[0][:, 0].mean() - ends[1][:, 0].mean())


def moments(optimizer: torch.optim.Optimizer, trained: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Tensor]]:
    """(parameter, moment, values) of AdamW, made as its first step would make them: a checkpoint fills them."""
    for name, parameter in trained.items():
        optimizer.state[parameter] = {
            "step": torch.tensor(0.0),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
        for key, value in optimizer.state[parameter].items():
            yield name, key, value


def resumed(root: Path, changing: Mapping[str, Tensor], about: Mapping[str, Any], frozen: Frozen, among: Ranks) -> int:
    """Steps that the last checkpoint has done, after taking its place; 0 where there is none."""
    found = checkpoint.known(root)
    if not found:
        return 0
    state = checkpoint.read_state(found[-1])
    if any(state[key] != value for key, value in about.items()):
        raise TrainingError(f"{found[-1]} is of a training with other pairs or arguments; give another folder")
    checkpoint.load(found[-1], changing, among)
    if state["reference"] != frozen.version:
        frozen.moved(state["reference"])
    return int(state["step"])


# ---- a step ----------------------------------------------------------------------------------------------------------


def even(mine: Sequence[Decision], spare: Decision, budget: int, among: Ranks) -> Iterator[tuple[list[Decision], int]]:
    """Micro-batches, equally many in every process, as sharded weights are gathered together; 0 marks one for show."""
    own = list(batches.micro(mine, budget))
    for number in range(among.most(len(own))):
        yield (own[number], 1) if number < len(own) else ([spare], 0)


def share_of_rate(number: int, steps: int, arguments: Arguments) -> float:
    """Learning rate of step `number` as a share of its peak: linear warm-up, then the decay."""
    rising = max(1, round(arguments.warmup * steps)) if arguments.warmup else 0
    if number <= rising:
        return number / (rising + 1)
    left = (steps - number + 1) / max(1, steps - rising)
    if arguments.decay == "linear":
        return left
    return 0.5 - 0.5 * math.cos(math.pi * left) if arguments.decay == "cosine" else 1.0


def precision(arguments: Arguments) -> AbstractContextManager[Any]:
    """The precision of a forward pass."""
    if arguments.dtype == "fp32":
        return nullcontext()
    return torch.autocast("cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16)


@contextmanager
def memory(arguments: Arguments) -> Iterator[None]:
    """Says which knob to turn where memory does not suffice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not short and not any(words in str(error).lower() for words in ("out of memory", "can't allocate memory")):
            raise
        raise TrainingError(
            f"out of memory; lower tokens (now {arguments.tokens}) or chunk (now {arguments.chunk}), or set "
            f"recompute (now {str(arguments.recompute).lower()})"
        ) from error


def move_reference(
    arguments: Arguments,
    number: int,
    trained: Mapping[str, Tensor],
    anchor: Mapping[str, Tensor],
    averages: Mapping[str, Tensor],
    frozen: Frozen,
) -> None:
    """Move the reference, if it is time."""
    if schedules.moves(arguments.update, number):
        schedules.move(arguments.update, number, trained, anchor, averages)
        frozen.moved(f"{frozen.version.partition('~')[0]}~{number}")


def check_start(loss: losses.Loss, scored: Scored, policy: Policy, arguments: Arguments) -> None:
    """Stop where policy = reference and the loss is not what it must then be: ids, masks or weights are mixed up."""
    same = arguments.reference == "start" or (arguments.reference == "base" and policy.fresh)
    if not same or loss.start is None or arguments.opponents:
        return
    plain = replace(scored, weight=torch.ones_like(scored.weight), margin=torch.zeros_like(scored.margin))
    with torch.no_grad():
        found = loss(plain, loss.Params()).loss.mean().item()
    if not abs(found - loss.start) <= START_TOLERANCE[arguments.dtype] * max(1.0, abs(loss.start)):
        raise TrainingError(
            f"the first {loss.name} loss is {found:.6f} and must be {loss.start:.6f}, as the policy is still its "
            "reference: the reference's log-probabilities are of other weights; delete the reference cache"
        )


def check_finite(number: int, sums: Sums, arguments: Arguments) -> None:
    """Stop where the loss is no number."""
    if not math.isfinite(sums.values["loss"]):
        raise TrainingError(
            f"step {number}: the loss is {sums.mean('loss')}; lower learning_rate (now {arguments.learning_rate:g}), "
            f"or choose a loss that is bounded (now {arguments.loss}); checkpoints that were written before it stay"
        )
