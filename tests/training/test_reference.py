"""References: the base to the last bit, another's weights and back, and a cache that knows whose it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from simarena.errors import OutputError, Unwritten
from simarena.training import schedules
from simarena.training.data import Prepared
from simarena.training.policy import load_policy
from simarena.training.reference import Cache, Reference, UnfitReference, adapter_off, key_of, wearing
from simarena.training.schedules import Update
from simarena.training.trie import Sequence
from tests.tiny import Tiny
from tests.training.conftest import same, weights

ONE = Sequence((1, 2, 3), (False, True, True))


def test_adapter_off_is_the_base_bitwise(tiny: Tiny, learner: Callable[..., Any]) -> None:
    policy = load_policy(learner(tiny.red))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        with adapter_off(policy.model):
            off = policy.model(ids).logits
        assert torch.equal(off, tiny.model()(ids).logits)
        assert not torch.equal(off, policy.model(ids).logits), "and on again afterwards"
    assert all(value.requires_grad for value in policy.trained.values())


def test_wearing_other_weights_leaves_no_trace(tiny: Tiny, learner: Callable[..., Any]) -> None:
    policy = load_policy(learner(tiny.red))
    before = weights(policy)
    with wearing(policy.trained, {name: value + 1 for name, value in before.items()}):
        assert not same(before, weights(policy))
    assert same(before, weights(policy))


def test_what_is_known_is_not_computed_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def read(sequences: Any) -> list[Tensor]:
        asked.append(len(sequences))
        return [torch.tensor([-0.1, -0.7]) for _ in sequences]

    cache = Cache(tmp_path / "r.sqlite", "v1", "fp32")
    reference = Reference(torch.no_grad, "v1", cache)
    first = reference.logps([ONE], read)
    cache.close()
    again = Reference(torch.no_grad, "v1", Cache(tmp_path / "r.sqlite", "v1", "fp32"))
    assert torch.equal(again.logps([ONE], read)[0], first[0])
    assert asked == [1]


def test_a_second_epoch_reads_the_cache_and_finds_what_would_be_computed(
    training: Callable[..., Any], tmp_path: Path, pairs: Prepared, learner: Callable[..., Any]
) -> None:
    training(epochs=2)
    cache = Cache(tmp_path / "out" / "reference.sqlite", learner().version, "fp32/lora")
    from simarena.training.distributed import Reader

    sequences = [each for decision in pairs.decisions for each in decision.sequences]
    with torch.no_grad():
        computed = Reader(load_policy(learner()).model, 4096, 64)(sequences)[0]
    for sequence, logps in zip(sequences, computed, strict=True):
        torch.testing.assert_close(cache.find(sequence), logps, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("version", "dtype"), [("v2", "fp32"), ("v1", "bf16")])
def test_a_cache_of_another_version_or_precision_is_refused(tmp_path: Path, version: str, dtype: str) -> None:
    Cache(tmp_path / "r.sqlite", "v1", "fp32").close()
    with pytest.raises(UnfitReference, match="computed under v1 in fp32"):
        Cache(tmp_path / "r.sqlite", version, dtype)


def test_a_cache_of_another_reference_stops_a_training(
    training: Callable[..., Any], tiny: Tiny, tmp_path: Path
) -> None:
    shared = str(tmp_path / "shared.sqlite")
    training(reference_cache=shared)
    training("second", reference_cache=shared, params={"beta": 0.5})
    with pytest.raises(UnfitReference, match="delete the file or name another"):
        training("third", adapter=tiny.red, reference_cache=shared)


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.sqlite").write_text("nothing of the kind, but longer than a header of SQLite would be" * 20)
    with pytest.raises(UnfitReference, match="no cache"):
        Cache(tmp_path / "r.sqlite", "v1", "fp32")


def test_another_program_s_database_and_a_link_are_refused_and_left(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "theirs.sqlite") as theirs:
        theirs.execute("CREATE TABLE theirs (x)")
    theirs.close()
    before = (tmp_path / "theirs.sqlite").read_bytes()
    with pytest.raises(UnfitReference, match="it has a table 'theirs'"):
        Cache(tmp_path / "theirs.sqlite", "v1", "fp32")
    (tmp_path / "link.sqlite").symlink_to("theirs.sqlite")
    with pytest.raises(OutputError, match=r"link\.sqlite is a link"):
        Cache(tmp_path / "link.sqlite", "v1", "fp32")
    assert (tmp_path / "theirs.sqlite").read_bytes() == before


def test_a_folder_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(UnfitReference, match="is a folder; name a file with reference_cache"):
        Cache(tmp_path, "v1", "fp32")


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    cache = Cache(path, "v1", "fp32")
    cache.keep(ONE, torch.tensor([-0.1, -0.7]))
    cache.commit()
    cache._db.execute("PRAGMA max_page_count = 3")  # SQLite then says what it says where the disk is full
    with pytest.raises(Unwritten, match=r"cannot write .*r\.sqlite: .+; make room"):
        cache.keep(Sequence((5, 2, 3), ONE.mask), torch.zeros(10_000))
    cache.close()
    assert Cache(path, "v1", "fp32").find(ONE) is not None


def test_a_poisoned_cache_is_noticed_in_the_first_loss(
    training: Callable[..., Any], tmp_path: Path, learner: Callable[..., Any], pairs: Prepared
) -> None:
    cache = Cache(tmp_path / "out" / "reference.sqlite", learner().version, "fp32/lora")
    for decision in pairs.decisions:
        for n, sequence in enumerate(decision.sequences):
            cache.keep(sequence, torch.full((sum(sequence.mask),), -1.0 - n))
    cache.close()
    with pytest.raises(Exception, match=r"first dpo loss is .* must be 0\.693"):
        training()


def test_a_reference_that_moved_forgets_what_it_said(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "r.sqlite", "v1", "fp32")
    cache.keep(ONE, torch.tensor([-1.0, -2.0]))
    Reference(torch.no_grad, "v1", cache).moved("v1~2")
    assert cache.find(ONE) is None


def test_keys_tell_tokens_and_masks_apart() -> None:
    keys = {key_of(s) for s in (ONE, Sequence(ONE.ids, (False, False, True)), Sequence((1, 2, 4), ONE.mask))}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("update", "expected"), [({"kind": "soft", "mix": 0.25}, 1.0), ({"kind": "hard"}, 4.0), ({"kind": "lagged"}, 4.0)]
)
def test_moves_of_the_reference(update: dict[str, Any], expected: float) -> None:
    reference = {"w": torch.zeros(2)}
    schedules.move(Update(**update), 1, {"w": torch.full((2,), 4.0)}, reference, {})
    assert reference["w"].tolist() == [expected] * 2


def test_bema_is_an_average_with_its_lag_taken_out() -> None:
    """By hand for one step: mean <- theta0 + b (theta - theta0), reference = mean + a (theta - theta0)."""
    update, theta = Update(kind="bema"), {"w": torch.tensor([1.0])}
    averages = schedules.start_averages(update, {"w": torch.tensor([0.0])})
    reference = {"w": torch.tensor([0.0])}
    schedules.average(update, 1, theta, averages)
    schedules.move(update, 1, theta, reference, averages)
    assert reference["w"].item() == pytest.approx(11**-0.5 + 11**-0.2, rel=1e-6)


def test_a_hard_copy_is_what_the_policy_was(training: Callable[..., Any]) -> None:
    _, metrics = training(update={"kind": "hard", "every": 2}, epochs=1)
    assert metrics[2].chosen == pytest.approx(0, abs=1e-5), "step 3 begins where the reference was copied"
    assert metrics[1].chosen != pytest.approx(0, abs=1e-5)
    assert len({m.reference for m in metrics}) == 2


def test_stages_start_with_the_policy_as_reference(training: Callable[..., Any]) -> None:
    _, metrics = training(stages=2, epochs=1)
    assert metrics[2].chosen == pytest.approx(0, abs=1e-5)
    assert metrics[2].reference == f"{metrics[0].reference}>2"
