"""Packing into tries: every token that several share is laid out once, and who sees whom is what a tree says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simarena.errors import SimArenaError
from simarena.training import attention
from simarena.training.attention import block_mask, blocks, outline, seen
from simarena.training.trie import Sequence, pack, saved

TOKENS = st.lists(st.integers(0, 2), min_size=2, max_size=9)  # few tokens, so that beginnings are shared


@st.composite
def forests(draw):
    """Sequences that often begin alike, with masks that ask for something."""
    made = []
    for ids in draw(st.lists(TOKENS, min_size=1, max_size=8)):
        own = draw(st.sets(st.integers(1, len(ids) - 1), min_size=1))
        made.append(Sequence(tuple(ids), tuple(n in own for n in range(len(ids)))))
    return made


def dense(end, position, window):
    """Who sees whom, [B, 1, T, T]."""
    everyone = slice(0, end.shape[1])
    return seen(outline(end, position, window), everyone, everyone)


def prefixes(sequences):
    return {s.ids[:n] for s in sequences for n in range(1, len(s.ids) + 1)}


def path(row, node):
    """Ids from the root to `node`, read from the intervals."""
    above = [k for k in range(node + 1) if node < row.end[k]]
    assert row.position[above].tolist() == list(range(len(above)))
    return tuple(row.ids[above].tolist())


@given(forests())
def test_with_room_enough_every_distinct_prefix_is_one_token(sequences):
    rows = pack(sequences, budget=10_000)
    assert {path(row, n) for row in rows for n in range(row.tokens)} == prefixes(sequences)
    assert saved(rows) == (len(prefixes(sequences)), sum(len(s.ids) for s in sequences))


@given(forests(), st.integers(1, 30))
def test_every_sequence_is_packed_once_and_its_targets_are_its_own(sequences, budget):
    rows = pack(sequences, budget=budget)
    assert sorted(n for row in rows for n in row.members) == list(range(len(sequences)))
    for row in rows:
        assert row.tokens <= budget or len(row.members) == 1
        assert row.flat == sum(len(sequences[n].ids) for n in row.members)
        for member, slots in zip(row.members, row.slots, strict=True):
            s = sequences[member]
            own = [n for n, carries in enumerate(s.mask) if carries]
            assert [path(row, k) for k in row.source[slots].tolist()] == [s.ids[:n] for n in own]
            assert row.target[slots].tolist() == [s.ids[n] for n in own]


@given(forests())
def test_a_token_that_several_share_is_a_target_once(sequences):
    rows = pack(sequences, budget=10_000)
    own = {s.ids[: n + 1] for s in sequences for n, carries in enumerate(s.mask) if carries}
    assert sum(len(row.target) for row in rows) == len(own)


@given(forests(), st.integers(1, 30))
def test_a_token_sees_its_ancestors_and_itself(sequences, budget):
    for row in pack(sequences, budget=budget):
        sees = dense(row.end[None], row.position[None], None)[0, 0]
        paths = [path(row, n) for n in range(row.tokens)]
        roots = [max(k for k in range(n + 1) if row.position[k] == 0) for n in range(row.tokens)]
        for q, there in enumerate(paths):
            expected = [roots[k] == roots[q] and there[: len(up)] == up for k, up in enumerate(paths)]
            assert sees[q].tolist() == expected


def test_a_window_counts_depth_and_not_places_in_the_row():
    ids = [(1, 2, 3), (1, 2, 4), (1, 2, 5)]
    (row,) = pack([Sequence(each, (False, True, True)) for each in ids], budget=99)
    sees = dense(row.end[None], row.position[None], 2)[0, 0]
    assert sees[4].tolist() == [False, True, False, False, True]  # 5 sees 2, its parent, and not 1


def test_turns_with_alternatives_cost_what_the_tree_holds():
    trunk, made = (1,), []
    for turn in range(8):
        trunk += tuple(range(10, 16))
        for branch in (20, 30):
            ids = (*trunk, branch + turn, *range(40, 45))
            made.append(Sequence(ids, (False,) * len(trunk) + (True,) * 6))
        trunk = made[-2].ids
    computed, flat = saved(pack(made, budget=1000))
    assert computed == 1 + 8 * (6 + 12)
    assert flat == sum(len(s.ids) for s in made)
    assert flat > 6 * computed


def test_small_tries_lie_beside_one_another_in_rows_as_long_as_the_largest():
    lengths = [12, 5, 6, 3, 4, 2]
    made = [Sequence((n, *range(1, size)), (False,) * (size - 1) + (True,)) for n, size in enumerate(lengths)]
    rows = pack(made, budget=1000)
    assert sorted(row.tokens for row in rows) == [9, 11, 12]
    assert max(row.tokens for row in rows) == 12


def test_a_trie_is_cut_where_its_branches_have_least_in_common():
    left = [Sequence((1, 2, 3, 4, 5, 6, n), (False,) * 6 + (True,)) for n in (7, 8, 9)]
    right = [Sequence((1, 3, 3, 4, 5, 6, n), (False,) * 6 + (True,)) for n in (7, 8)]
    rows = pack([right[0], *left, right[1]], budget=10)
    assert sorted(sorted(row.members) for row in rows) == [[0, 4], [1, 2, 3]]


@pytest.mark.parametrize(
    ("sequence", "said"),
    [
        (Sequence((1, 2), (False, False)), "mask is empty"),
        (Sequence((1, 2), (True, True)), "first token"),
        (Sequence((1, 2), (False, True, True)), "a mask of 3"),
    ],
)
def test_what_has_no_log_probability_is_refused_by_number(sequence, said):
    good = Sequence((1, 2), (False, True))
    with pytest.raises(SimArenaError, match=f"sequence 1: .*{said}"):
        pack([good, sequence], budget=10)


def test_a_block_mask_says_the_same_as_the_dense_one():
    from torch.nn.attention.flex_attention import create_mask

    (row,) = pack([Sequence((1, 2, n, 3), (False, True, True, True)) for n in (4, 5, 6)], budget=99)
    end, position = row.end[None], row.position[None]
    for window in (None, 2):
        made = block_mask(end, position, window)
        rows, length = end.shape
        assert torch.equal(
            create_mask(made.mask_mod, rows, 1, length, length, device="cpu"), dense(end, position, window)
        )


@given(forests(), st.integers(1, 6), st.sampled_from([None, 2]))
def test_a_block_of_queries_is_given_every_key_that_it_sees(sequences, size, window):
    from simarena.training.scorer import batched

    _, position, end, _ = batched(pack(sequences, budget=12))
    sees, outlined = dense(end, position, window), outline(end, position, window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "BLOCK", size)
        parts = blocks(outlined)
    assert [n for queries, _ in parts for n in range(queries.start, queries.stop)] == list(range(end.shape[1]))
    for queries, keys in parts:
        assert torch.equal(seen(outlined, queries, keys), sees[:, :, queries, keys])
        assert sees[:, :, queries].sum() == sees[:, :, queries, keys].sum()
