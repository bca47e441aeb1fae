"""Setting up what a policy is compared with: which weights, whose version, which cache; opponents are scored once.

Reads agents and their weights; knows no loss and no optimiser.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from simarena.backends.checkpoint import digest
from simarena.identity import content_hash
from simarena.training import batches
from simarena.training.arguments import Arguments
from simarena.training.data import Decision
from simarena.training.distributed import Ranks, Reader
from simarena.training.policy import Policy, find_learner, load_policy
from simarena.training.reference import Cache, Frozen, Read, Reference, UnfitReference, adapter_off, wearing
from simarena.training.trie import Sequence as Tokens

KINDS = ("start", "base", "none")


def anchored(policy: Policy, trained: Mapping[str, Tensor], arguments: Arguments) -> dict[str, Tensor]:
    """A copy of where the policy starts, for references that are no mere base; empty for the others."""
    base_will_do = policy.tune == "lora" and policy.fresh and fixed(arguments)
    if arguments.reference != "start" or base_will_do:
        return {}
    return {name: value.detach().clone() for name, value in trained.items()}


def fixed(arguments: Arguments) -> bool:
    """Whether the reference stays what it is while the policy learns."""
    return arguments.update.kind == "fixed" and arguments.stages == 1


@contextmanager
def compared_with(
    policy: Policy,
    trained: Mapping[str, Tensor],
    anchor: Mapping[str, Tensor],
    arguments: Arguments,
    decisions: Sequence[Decision],
    folder: Path,
    among: Ranks,
    read: Read,
) -> Iterator[Frozen]:
    """Reference and opponents, open while the training lasts."""
    found = Frozen(None, [], read)
    try:
        if arguments.reference in ("start", "base"):
            found.reference = own_reference(policy, trained, anchor, arguments, folder, among)
        elif arguments.reference != "none":
            found.reference = rival(arguments.reference, policy, decisions, arguments, folder, among)
        for name in arguments.opponents:
            found.opponents.append(rival(name, policy, decisions, arguments, folder, among))
        yield found
    finally:
        found.close()


def own_reference(
    policy: Policy,
    trained: Mapping[str, Tensor],
    anchor: Mapping[str, Tensor],
    arguments: Arguments,
    folder: Path,
    among: Ranks,
) -> Reference:
    """The base, or where the policy starts: the same model with other weights, or with its adapter off."""
    base = policy.learner.base
    if arguments.reference == "base" and policy.tune == "full":
        raise UnfitReference("a whole model that learns has no adapter to turn off; set reference to start")
    version = policy.learner.version if anchor else f"{base.name}@{digest(base)}"
    shared = arguments.reference_cache if fixed(arguments) else ""  # where it moves, nobody else has the same one
    path = Path(shared) if shared else folder / "reference.sqlite"
    cache = Cache(share_of(path, among), version, precision_of(arguments))

    def worn() -> AbstractContextManager[None]:
        return wearing(trained, anchor) if anchor else adapter_off(policy.model)

    return Reference(worn, version, cache, among)


def precision_of(arguments: Arguments) -> str:
    """What log-probabilities were computed in."""
    return f"{arguments.dtype}/{arguments.tune}"


def share_of(path: Path, among: Ranks) -> Path:
    """This process's own file: decisions go to processes by number, so each finds its own again."""
    return path if among.world == 1 else path.with_name(f"{path.stem}-{among.rank}of{among.world}{path.suffix}")


def rival(
    agent: str, policy: Policy, decisions: Sequence[Decision], arguments: Arguments, folder: Path, among: Ranks
) -> Reference:
    """Another agent of the same base: everything that will be asked of it is computed here, and its weights let go."""
    learner = find_learner(agent)
    if digest(learner.base) != digest(policy.learner.base):
        raise UnfitReference(
            f"agent {agent} has another base than {policy.learner.member.name}; compare within one base"
        )
    version = learner.version
    path = folder / f"rival-{content_hash(version, 8)}.sqlite"
    cache = Cache(share_of(path, among), version, precision_of(arguments))
    mine = [each for n, each in enumerate(decisions) if among.world == 1 or n % among.world == among.rank]
    missing = [each for each in mine if any(cache.find(s) is None for s in each.sequences)]
    reference = Reference(nullcontext, version, cache)
    if missing:
        other = load_policy(learner, tune="lora", dtype=arguments.dtype)
        reader = Reader(other.model, arguments.tokens, arguments.chunk)
        for piece in batches.micro(missing, arguments.tokens):
            reference.logps([s for each in piece for s in each.sequences], once(reader))
        cache.commit()
        del other, reader
        gc.collect()
    return reference


def once(reader: Reader) -> Read:
    """A reader for reading alone."""

    def read(sequences: Sequence[Tokens]) -> list[Tensor]:
        return list(reader(sequences)[0])

    return read


def mismatched(
    pieces: Sequence[tuple[Sequence[Decision], int]], frozen: Frozen, read: Callable[..., list[Tensor]], among: Ranks
) -> Tensor:
    """[M] log-ratios of responses put to the prompt of the next decision, of all processes; for KTO's baseline."""
    own = [decision for piece, counts in pieces if counts for decision in piece]
    found: list[float] = []
    for n, (piece, _) in enumerate(pieces):
        sequences = [
            crossed(decision, own[(place + 1) % len(own)] if own else decision)
            for place, decision in enumerate(piece, sum(len(p) for p, _ in pieces[:n]))
        ]
        against, here = frozen.logps(sequences), read(sequences)
        if pieces[n][1]:
            found += [float(p.sum().cpu() - q[:, 0].sum()) for p, q in zip(here, against, strict=True)]
    return torch.tensor(among.joined(found))


def crossed(decision: Decision, other: Decision) -> Tokens:
    """The first response of a decision after the prompt of another."""
    mine, theirs = decision.sequences[0], other.sequences[0]
    start, lead = mine.mask.index(True), theirs.mask.index(True)
    return Tokens(ids=theirs.ids[:lead] + mine.ids[start:], mask=(False,) * lead + mine.mask[start:])
