"""The scorer against plain logits: same log-probs, same gradients, whatever the packing, and nothing leaks."""

import copy
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from simarena.errors import SimArenaError
from simarena.training import attention
from simarena.training.scorer import describe, score, token_scores
from simarena.training.trie import Sequence, pack

SHAPE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}


def tiny(tied=True, seed=0):
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=tied)).eval()


def adapted(model):
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    return get_peft_model(model, lora).eval()


def tree(seed, count=7):
    """Sequences that grow out of one another, as turns and their alternatives do."""
    draw = random.Random(seed)
    made = [(draw.randrange(40), draw.randrange(40))]
    for _ in range(count):
        before = draw.choice(made)
        kept = before[: draw.randrange(1, len(before) + 1)]
        made.append((*kept, *(draw.randrange(40) for _ in range(draw.randrange(1, 8)))))
    return [Sequence(ids, (False, *(draw.random() < 0.6 for _ in ids[2:]), True)) for ids in made]


def plain(model, sequence):
    """From whole logits, one sequence at a time."""
    logits = model(input_ids=torch.tensor([sequence.ids])).logits[0, :-1].float().log_softmax(-1)
    own = [n for n, carries in enumerate(sequence.mask) if carries]
    return torch.stack([logits[n - 1, sequence.ids[n]] for n in own])


def gradients(model, scores):
    """Of an uneven sum of them, by parameter."""
    model.zero_grad()
    sum((each * torch.linspace(-1, 2, len(each))).sum() * (n + 1) for n, each in enumerate(scores)).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_alike(found, expected, within=1e-5):
    assert set(found) == set(expected)
    for name, value in expected.items():
        error = (found[name] - value).norm() / value.norm().clamp_min(1e-6)
        assert error < within, f"{name}: {error}"


def assert_same_scores(found, expected, within=1e-4):
    assert [len(each) for each in found] == [len(each) for each in expected]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=within, rtol=0)


@given(st.integers(0, 10_000), st.integers(4, 60), st.integers(1, 50))
@settings(max_examples=15, deadline=None)
def test_a_trie_scores_as_its_sequences_one_by_one(seed, budget, chunk):
    model, sequences = tiny(), tree(seed)
    expected = [plain(model, s) for s in sequences]
    wanted = gradients(model, expected)
    found = score(model, pack(sequences, budget=budget), chunk=chunk)
    assert_same_scores(found, expected)
    assert_alike(gradients(model, found), wanted)


@pytest.mark.parametrize("window", [None, 3])
def test_blocks_of_queries_change_nothing(window, monkeypatch):
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=window)).eval()
    rows = pack(tree(9, count=12), budget=30)
    whole = score(model, rows)
    wanted = gradients(model, whole)
    monkeypatch.setattr(attention, "BLOCK", 4)
    found = score(model, rows)
    assert_same_scores(found, whole, within=1e-5)
    assert_alike(gradients(model, found), wanted)


def test_nothing_as_large_as_a_whole_mask_is_kept_for_backward(monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", 16)
    length = 64
    ids = tuple(n % 40 for n in range(length))
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        score(tiny(), pack([Sequence(ids, (False,) + (True,) * (length - 1))], budget=length))
    assert max(kept) < length * length


@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_free_heads(tied):
    model, sequences = tiny(tied), tree(1)
    expected = [plain(model, s) for s in sequences]
    wanted = gradients(model, expected)
    found = score(model, pack(sequences, budget=30))
    assert_same_scores(found, expected)
    assert_alike(gradients(model, found), wanted)


def test_scoring_leaves_the_model_able_to_do_what_it_did():
    model = tiny()
    ids, seen = torch.tensor([[0, 0, 5, 6, 7]]), torch.tensor([[0, 0, 1, 1, 1]])
    before = model(input_ids=ids, attention_mask=seen).logits[:, 2:]
    score(model, pack(tree(2), budget=99))
    torch.testing.assert_close(model(input_ids=ids, attention_mask=seen).logits[:, 2:], before)
    assert "forward" not in model.__dict__


def test_changing_a_sibling_or_a_later_token_changes_nothing_before_it():
    model = tiny()
    trunk = (1, 2, 3)
    mine = Sequence((*trunk, 4, 5, 9, 9), (False, False, False, True, True, False, False))
    sibling = Sequence((*trunk, 6, 7), (False, False, False, True, True))
    other = Sequence((*trunk, 8, 30), (False, False, False, True, True))
    later = Sequence((*trunk, 4, 5, 20, 21), mine.mask)

    def first(*sequences):
        return score(model, pack(sequences, budget=99))[0]

    alone = first(mine)
    for company in ((mine, sibling), (mine, other), (later, sibling), (mine, later, sibling, other)):
        torch.testing.assert_close(first(*company), alone, atol=1e-6, rtol=0)
    earlier = Sequence((1, 3, *mine.ids[2:]), mine.mask)
    assert (first(earlier) - alone).abs().max() > 1e-2  # what comes before does count


def test_a_sliding_window_slides_along_the_path():
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=3)).eval()
    sequences = tree(3)
    expected = [plain(model, s) for s in sequences]
    assert_same_scores(score(model, pack(sequences, budget=99)), expected)


def test_adapters_on_and_off():
    base = tiny()
    sequences = tree(4)
    rows = pack(sequences, budget=40)
    bare = score(copy.deepcopy(base), rows)
    model = adapted(base)
    expected = [plain(model, s) for s in sequences]
    wanted = gradients(model, expected)
    found = score(model, rows)
    assert_same_scores(found, expected)
    assert_alike(gradients(model, found), wanted)
    assert all("lora" in name for name in wanted)
    with model.disable_adapter(), torch.no_grad():
        off = score(model, rows)
    assert all(torch.equal(a, b) for a, b in zip(off, bare, strict=True))
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(found, bare, strict=True))


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_token_scores_against_plain_logits(learns, chunk):
    torch.manual_seed(0)
    hidden, head, bias = (torch.randn(*shape).requires_grad_() for shape in ((7, 5), (11, 5), (11,)))
    head.requires_grad_(learns)
    bias.requires_grad_(learns)
    targets, pull = torch.randint(0, 11, (7,)), torch.randn(7)
    logs = (hidden @ head.T + bias).log_softmax(-1)
    expected = logs[torch.arange(7), targets]
    asked = [each for each in (hidden, head, bias) if each.requires_grad]
    wanted = torch.autograd.grad((expected * pull).sum(), asked)
    found = token_scores(hidden, head, targets, chunk=chunk, entropy=True, lse2=True, bias=bias)
    torch.testing.assert_close(found.logp, expected)
    torch.testing.assert_close(found.entropy, -(logs.exp() * logs).sum(-1))
    torch.testing.assert_close(found.lse2, (2 * logs).logsumexp(-1))
    assert not found.entropy.requires_grad
    assert not found.lse2.requires_grad
    for ours, theirs in zip(torch.autograd.grad((found.logp * pull).sum(), asked), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_is_not_asked_for_is_not_there():
    found = token_scores(torch.randn(2, 3), torch.randn(4, 3), torch.tensor([0, 1]))
    assert found.entropy is None
    assert found.lse2 is None


@pytest.mark.parametrize("learns", [True, False])
def test_half_precision_accumulates_in_single(learns, monkeypatch):
    from simarena.training import scorer

    monkeypatch.setattr(scorer, "TILE", 30)
    torch.manual_seed(0)
    hidden = (torch.randn(6, 64) * 4).bfloat16().requires_grad_()
    head = torch.randn(100, 64).bfloat16().requires_grad_(learns)
    targets = torch.randint(0, 100, (6,))
    exact = (hidden.double() @ head.double().T).log_softmax(-1)[torch.arange(6), targets]
    found = token_scores(hidden, head, targets, chunk=4).logp
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 1e-3
    rounded = (hidden @ head.T).float().log_softmax(-1)[torch.arange(6), targets]
    assert (rounded - exact).abs().max() > 1e-2  # what reading half-precision logits would cost
    (ours,) = torch.autograd.grad(found.sum(), [hidden])
    (theirs,) = torch.autograd.grad(exact.sum(), [hidden])
    torch.testing.assert_close(ours.float(), theirs.float(), atol=0.05, rtol=0.02)


def test_a_half_precision_model():
    model, sequences = tiny().bfloat16(), tree(5)
    found = score(model, pack(sequences, budget=99))
    assert all(each.dtype == torch.float32 for each in found)
    assert_same_scores(found, [plain(model, s) for s in sequences], within=0.3)


def test_a_frozen_head_keeps_no_gradient_of_its_own_size():
    hidden, head = torch.randn(5, 3, requires_grad=True), torch.randn(50, 3)
    logp = token_scores(hidden, head, torch.arange(5)).logp
    kept = [t for t in logp.grad_fn.saved_tensors if t is not None and t is not head]
    assert max(t.numel() for t in kept) <= hidden.numel()


def test_described_scores_come_in_the_order_of_the_sequences():
    model, sequences = tiny(), tree(6)
    found = describe(model, pack(sequences, budget=25), entropy=True, lse2=True)
    for each, s in zip(found, sequences, strict=True):
        logs = model(input_ids=torch.tensor([s.ids])).logits[0, :-1].log_softmax(-1)[list(s.mask[1:])]
        torch.testing.assert_close(each.entropy, -(logs.exp() * logs).sum(-1), atol=1e-4, rtol=0)
        torch.testing.assert_close(each.lse2, (2 * logs).logsumexp(-1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("block", [4, 1024])
def test_gradients_are_the_same_under_checkpointing(block, monkeypatch):
    model, rows = tiny(), pack(tree(7), budget=40)
    wanted = gradients(model, score(model, rows))
    monkeypatch.setattr(attention, "BLOCK", block)
    model.gradient_checkpointing_enable()
    model.train()
    assert_alike(gradients(model, score(model, rows)), wanted)


def test_a_head_that_is_no_linear_layer_is_refused():
    model = get_peft_model(tiny(False), LoraConfig(target_modules=["lm_head"], task_type="CAUSAL_LM"))
    with pytest.raises(SimArenaError, match="leave lm_head out"):
        score(model, pack(tree(8), budget=99))


def test_logits_that_the_head_alone_does_not_give_are_refused():
    model = tiny()
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(SimArenaError, match="final_logit_softcapping"):
        score(model, pack(tree(8), budget=99))
