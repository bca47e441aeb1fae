"""The running batch computes what one row alone computes, whoever joins and leaves meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simarena import seeds
from simarena.backends.checkpoint import Checkpoint, load
from simarena.backends.prefixes import Prefixes
from simarena.backends.running_batch import Reader, Row, RunningBatch
from simarena.backends.sampling import choose, truncated
from tests.tiny import Tiny

FIXTURE_IS_READ_ONLY = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def found(tiny: Tiny) -> Checkpoint:
    return load(tiny.base, [tiny.red, tiny.blue], "cpu")


def reader(found: Checkpoint) -> Reader:
    return Reader(found.model, found.pad, found.adapters)


def batch(found: Checkpoint, most: int = 8, keep: bool = False) -> RunningBatch:
    return RunningBatch(reader(found), found.ends, lambda _: False, most, keep)


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(5, 320) for _ in range(rng.randint(1, 40))] for _ in range(count)]


def finish(batch: RunningBatch) -> None:
    while batch.rows:
        batch.step()


def alone(model: Any, prompt: Sequence[int], limit: int) -> tuple[list[int], list[float]]:
    """Greedy ids and their log-probabilities by transformers' own `generate`."""
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=limit,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
    new = out.sequences[0, len(prompt) :]
    logits = torch.cat(out.logits).log_softmax(-1)
    return new.tolist(), logits.gather(1, new[:, None])[:, 0].tolist()


def same(row: Row, expected: tuple[list[int], list[float]]) -> None:
    assert row.ids == expected[0]
    assert row.logprobs == pytest.approx(expected[1], abs=1e-4)


def test_greedy_rows_equal_generate_one_at_a_time(tiny: Tiny, found: Checkpoint) -> None:
    rows = [Row(prompt=prompt, limit=12) for prompt in prompts(7)]
    running = batch(found)
    running.admit(rows)
    finish(running)
    model = tiny.model()
    for row in rows:
        same(row, alone(model, row.prompt, 12))


def test_mixed_adapters_answer_as_each_does_alone(tiny: Tiny, found: Checkpoint) -> None:
    names = [None, tiny.red, tiny.blue]
    rows = [Row(prompt=p, limit=10, adapter=names[i % 3]) for i, p in enumerate(prompts(8, seed=1))]
    running = batch(found)
    running.admit(rows[:5])
    running.step()
    running.admit(rows[5:])
    finish(running)
    for name in names:
        model = tiny.adapted(name)
        for row in rows:
            if row.adapter == name:
                same(row, alone(model, row.prompt, 10))
    firsts = {name: alone(tiny.adapted(name), rows[0].prompt, 10)[0] for name in names}
    assert len({tuple(ids) for ids in firsts.values()}) == 3  # else nothing would have been shown


def test_base_rows_are_the_same_to_the_bit_beside_adapters(tiny: Tiny, found: Checkpoint) -> None:
    wide = reader(found)
    row, other = (Row(prompt=p, limit=1) for p in prompts(2, seed=2))
    with torch.inference_mode():
        plain = wide.prefill([row, other])[0][0]
        other.adapter = tiny.red
        assert torch.equal(plain, wide.prefill([row, other])[0][0])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(1, 300)), min_size=1, max_size=9), st.data()
)
@FIXTURE_IS_READ_ONLY
def test_rows_may_join_and_leave_at_any_step(
    found: Checkpoint, arrivals: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """(step of arrival, limit, length of prompt) per row, some of them dropped on the way."""
    rng = random.Random(0)
    rows = [Row(prompt=[rng.randrange(5, 320) for _ in range(n)], limit=limit) for _, limit, n in arrivals]
    dropped = data.draw(st.sets(st.sampled_from(range(len(rows)))))
    running, ended = batch(found, most=2, keep=True), []
    for step in range(20):
        new = [row for row, (at, _, _) in zip(rows, arrivals, strict=True) if at == step]
        ended += running.admit(new) if new else []
        running.drop([row for row in running.rows if rows.index(row) in dropped and len(row.ids) == 2])
        ended += running.step() if running.rows else []
    assert not running.rows
    for row in rows:
        lone = Row(prompt=row.prompt, limit=row.limit)
        single = batch(found, most=1)
        single.admit([lone])
        finish(single)
        assert lone.ids[: len(row.ids)] == row.ids
        assert row in ended or rows.index(row) in dropped
        assert row.past is not None
        assert row.past[0][0].shape[1] == len(row.prompt) + len(row.ids) - 1


def test_a_kept_past_gives_the_same_reply_as_reading_anew(tiny: Tiny, found: Checkpoint) -> None:
    first = [Row(prompt=p, limit=6, adapter=a) for p, a in zip(prompts(3, seed=3), (None, tiny.red, None), strict=True)]
    running, prefixes = batch(found, keep=True), Prefixes(1 << 20)
    running.admit(first)
    finish(running)
    for place, row in enumerate(first):
        assert row.past is not None
        prefixes.keep(place, [*row.prompt, *row.ids[:-1]], row.past)
    longer = [[*row.prompt, *row.ids, *more] for row, more in zip(first, prompts(3, seed=4), strict=True)]
    longer[2] = [*longer[2][:4], 7, 8]  # a conversation that was told otherwise
    pasts = [prefixes.find(place, prompt) for place, prompt in enumerate(longer)]
    assert [past and past[0][0].shape[1] for past in pasts] == [
        len(first[0].prompt) + len(first[0].ids) - 1,
        len(first[1].prompt) + len(first[1].ids) - 1,
        4,
    ]
    pairs = [
        (Row(prompt=p, limit=6, adapter=row.adapter, past=past), Row(prompt=p, limit=6, adapter=row.adapter))
        for p, row, past in zip(longer, first, pasts, strict=True)
    ]
    anew = Row(prompt=[9, 10, 11], limit=6)
    running.admit([*(known for known, _ in pairs), anew])
    running.admit([unknown for _, unknown in pairs])
    finish(running)
    for known, unknown in pairs:
        same(known, (unknown.ids, unknown.logprobs))
    rests = [[[5, 6, 7], [8], []]] * 3
    with_past = [Row(prompt=p, limit=1, past=past) for p, past in zip(longer[::2], pasts[::2], strict=True)]
    without = [Row(prompt=p, limit=1) for p in longer[::2]]
    scores = [running.reader.score(rows, rests[:2]) for rows in (with_past, without)]
    assert scores[0][0] == pytest.approx(scores[1][0], abs=1e-4)
    assert scores[0][1] == pytest.approx(scores[1][1], abs=1e-4)


def test_prefixes_make_room_for_the_latest(found: Checkpoint) -> None:
    row = Row(prompt=[5, 6, 7, 8], limit=1)
    running = batch(found, keep=True)
    running.admit([row])
    assert row.past is not None
    size = sum(t.numel() * t.element_size() for pair in row.past for t in pair)
    prefixes = Prefixes(2 * size)
    for name in ("a", "b", "a", "c"):
        prefixes.keep(name, row.prompt, row.past)
    assert prefixes.find("b", row.prompt) is None
    assert prefixes.size == 2 * size
    assert prefixes.find("a", [9, 9]) is None
    known = prefixes.find("a", row.prompt)
    assert known is not None
    assert known[0][0].shape[1] == 3  # the last token of a prompt is always read


def test_scores_equal_a_direct_forward(tiny: Tiny, found: Checkpoint) -> None:
    asked = prompts(4, seed=5)
    rests = [[[5], [6, 7, 8, 9]], [[10, 11]], [[], [12]], [list(range(20, 40))]]
    adapters = [None, tiny.red, tiny.blue, tiny.red]
    rows = [Row(prompt=p, limit=1, adapter=a) for p, a in zip(asked, adapters, strict=True)]
    got = reader(found).score(rows, rests)
    for row, several, totals in zip(rows, rests, got, strict=True):
        model = tiny.adapted(row.adapter)
        for rest, total in zip(several, totals, strict=True):
            with torch.inference_mode():
                logprobs = model(torch.tensor([[*row.prompt, *rest]])).logits[0].log_softmax(-1)
            steps = [logprobs[len(row.prompt) + i - 1, token].item() for i, token in enumerate(rest)]
            assert total == pytest.approx(sum(steps), abs=1e-4)


def test_a_very_short_row_beside_a_very_long_one_gives_no_nan(found: Checkpoint) -> None:
    rows = [Row(prompt=[5], limit=300), Row(prompt=[6] * 200, limit=3), Row(prompt=[7], limit=300)]
    running = batch(found)
    running.admit(rows)
    for _ in range(3):
        running.step()
    running.admit([Row(prompt=[8] * 150, limit=2)])
    finish(running)  # over the slack at the right, so that the buffers move
    for row in rows:
        assert all(x == x and x <= 0 for x in row.logprobs)
    single = batch(found)
    lone = Row(prompt=[5], limit=300)
    single.admit([lone])
    finish(single)
    assert lone.ids == rows[0].ids


def drawn(found: Checkpoint, beside: int, **how: Any) -> list[int]:
    row = Row(prompt=[5, 6, 7], limit=20, temperature=0.9, chance=seeds.rng(7), **how)
    others = [Row(prompt=p, limit=15, temperature=1.0, chance=seeds.rng(i)) for i, p in enumerate(prompts(beside))]
    running = batch(found, most=9)
    if others:
        running.admit(others[:4])
    running.step() if others else None
    running.admit([*others[4:], row])
    finish(running)
    return row.ids


def test_draws_depend_on_the_seed_and_not_on_the_batch(found: Checkpoint) -> None:
    assert drawn(found, 0) == drawn(found, 3) == drawn(found, 8)
    assert drawn(found, 0, top_p=0.8) == drawn(found, 8, top_p=0.8)
    assert drawn(found, 0, top_k=5) == drawn(found, 8, top_k=5)
    assert len({tuple(drawn(found, 0, top_k=k)) for k in (0, 1, 2)}) == 3


class Draw:
    def __init__(self, temperature: float, top_p: float = 1.0, top_k: int = 0, seed: int = 0) -> None:
        self.temperature, self.top_p, self.top_k, self.chance = temperature, top_p, top_k, random.Random(seed)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -torch.inf])
    rows = [Draw(0.5, seed=seed) for seed in range(20_000)]
    counts = torch.bincount(choose(logits.expand(len(rows), 4), rows), minlength=4) / len(rows)
    assert counts.tolist() == pytest.approx((logits / 0.5).softmax(-1).tolist(), abs=0.01)
    assert counts[3] == 0


def test_top_k_and_nucleus_keep_what_they_say() -> None:
    p = torch.tensor([[0.05, 0.5, 0.15, 0.3]], dtype=torch.float64)
    assert truncated(p, [Draw(1.0)]) is p
    assert truncated(p, [Draw(1.0, top_k=2)]).nonzero()[:, 1].tolist() == [1, 3]
    assert truncated(p, [Draw(1.0, top_p=0.5)]).nonzero()[:, 1].tolist() == [1]
    assert truncated(p, [Draw(1.0, top_p=0.51)]).nonzero()[:, 1].tolist() == [1, 3]
    assert truncated(p, [Draw(1.0, top_p=0.6, top_k=2)]).nonzero()[:, 1].tolist() == [1]  # .5 of .8 is more than .6
    assert truncated(p, [Draw(1.0, top_p=1e-9)]).nonzero()[:, 1].tolist() == [1]
    both = truncated(p.expand(2, 4), [Draw(1.0, top_k=1), Draw(1.0)])
    assert [row.count_nonzero().item() for row in both] == [1, 4]


def test_a_greedy_row_beside_a_drawing_one_stays_greedy() -> None:
    logits = torch.tensor([[0.0, 0.1], [0.0, 0.1]])
    picks = {tuple(choose(logits, [Draw(0.0), Draw(5.0, seed=seed)]).tolist()) for seed in range(50)}
    assert picks == {(1, 0), (1, 1)}


def test_barred_tokens_are_never_sampled(found: Checkpoint) -> None:
    free = batch(found)
    row = Row(prompt=[5, 6], limit=8)
    free.admit([row])
    finish(free)
    barred = RunningBatch(Reader(found.model, found.pad, found.adapters, row.ids), found.ends, lambda _: False)
    other = Row(prompt=[5, 6], limit=8)
    barred.admit([other])
    finish(barred)
    assert not set(other.ids) & set(row.ids)
