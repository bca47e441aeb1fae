"""The real engine answers as transformers does, whoever else is in its batch."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from simarena.backends.vllm import PROCESSOR_BATCH_TOKENS
from simarena.backends.vllm_lora import add_lora_linear
from simarena.errors import RequestFailed
from simarena.records import Completion, Message, Sampling
from tests.vllm.asking import GREEDY, request
from tests.vllm.conftest import ADAPTERS, Floor

HOT = Sampling(temperature=0.8, top_p=0.9, max_tokens=24)
WHO = [None, *ADAPTERS]


def near(ours: Completion, theirs: Completion, tolerance: float = 1e-4) -> bool:
    pairs = zip(ours.logprobs or (), theirs.logprobs or (), strict=True)
    return all(abs(a - b) <= tolerance for a, b in pairs)


def same(ours: Completion, theirs: Completion) -> bool:
    return (ours.prompt_ids, ours.ids, ours.text, ours.finish) == (
        theirs.prompt_ids,
        theirs.ids,
        theirs.text,
        theirs.finish,
    )


def test_greedy_replies_are_those_of_transformers(nano: Floor, reference: Floor) -> None:
    requests = [request(n, adapter=WHO[n % 5]) for n in range(30)]
    for ours, theirs in zip(nano.ask(*requests), reference.ask(*requests), strict=True):
        assert same(ours, theirs)
        assert near(ours, theirs)
        assert ours.version == theirs.version


def test_scores_are_those_of_transformers(nano: Floor, reference: Floor) -> None:
    texts = ("yes", '{"reason": "it is so", "answer": "42"}', "", "no " * 40)
    requests = [request(n, adapter=WHO[n % 5], score=texts[: 1 + n % 4]) for n in range(12)]
    for _ in range(2):  # the second time the prefix cache knows prompts and continuations
        for ours, theirs in zip(nano.ask(*requests), reference.ask(*requests), strict=True):
            assert [n for _, n in ours.scores] == [n for _, n in theirs.scores]
            assert [s for s, _ in ours.scores] == pytest.approx([s for s, _ in theirs.scores], abs=1e-3)
    assert ours.usage.cached > 0


def test_base_requests_are_unaffected_by_live_adapters(nano: Floor) -> None:
    alone = [nano.ask(request(n))[0] for n in range(4)]
    mixed = nano.ask(*(request(n % 4, turn=n, adapter=WHO[n % 5]) for n in range(20)))
    for n in range(0, 20, 5):
        assert same(mixed[n], alone[n % 4])
        assert near(mixed[n], alone[n % 4])


def test_mixed_adapters_answer_as_they_do_alone(nano: Floor) -> None:
    alone = {who: nano.ask(request(1, adapter=who))[0] for who in WHO}
    assert len({each.logprobs for each in alone.values()}) == len(WHO), "each by weights of its own"
    for n, found in enumerate(nano.ask(*(request(1, turn=n, adapter=WHO[n % 5]) for n in range(25)))):
        assert same(found, alone[WHO[n % 5]])
        assert near(found, alone[WHO[n % 5]])


def test_adapters_are_computed_by_group(nano: Floor) -> None:
    """Else they are eight times as slow; `make setup-vllm-cpu` makes the entry point known."""
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    assert nano.backend.room
    assert PunicaWrapperCPU.add_lora_linear is add_lora_linear


def test_seeds_do_not_depend_on_the_batch(nano: Floor) -> None:
    alone = [nano.ask(request(n, sampling=HOT, seed=n % 3))[0] for n in range(6)]
    many = nano.ask(*(request(n, turn=k, sampling=HOT, seed=n % 3) for n in range(6) for k in range(4)))
    assert all(same(found, alone[n // 4]) for n, found in enumerate(many))
    wild = replace(HOT, temperature=2.0, top_p=1.0)
    other = nano.ask(*(request(0, sampling=wild, seed=seed) for seed in range(8)))
    assert len({each.text for each in other}) > 4


def test_more_prompts_than_one_step_reads_leave_seeds_and_engine_alone(nano: Floor) -> None:
    """vLLM 0.32 on a processor dies of a seeded request whose prompt is read in two parts."""
    long = [(Message("user", f"{n} " + "what is it worth? " * 60),) for n in range(18)]
    requests = [request(n, messages=messages, sampling=HOT, seed=n) for n, messages in enumerate(long)]
    together = nano.ask(*requests)
    assert sum(len(found.prompt_ids or ()) for found in together) > PROCESSOR_BATCH_TOKENS
    assert nano.backend.engines[0].restarts == 0
    nano.go(nano.backend._call(nano.backend.engines[0], lambda engine: engine.reset_prefix_cache(), alone=True))
    for n in (0, 17):
        assert same(nano.ask(requests[n])[0], together[n])


def test_a_stop_text_ends_a_reply_and_is_left_out(nano: Floor) -> None:
    free = nano.ask(request())[0]
    stop = free.text[5:9]
    (found,) = nano.ask(request(sampling=replace(GREEDY, stop=("never said", stop))))
    assert found.text == free.text.partition(stop)[0]
    assert found.finish == "stop"
    assert len(found.ids or ()) < len(free.ids or ())


def test_length_limits_and_prompts_that_do_not_fit_are_outcomes(nano: Floor) -> None:
    (short,) = nano.ask(request(sampling=Sampling(max_tokens=5)))
    assert (short.finish, len(short.ids or ())) == ("length", 5)
    long = (Message("user", "word " * 4000),)
    reply, scored = nano.ask(request(messages=long), request(1, messages=long, score=("yes",)))
    assert (reply.finish, scored.finish) == ("too_long", "too_long")
    assert reply.prompt_ids
    assert len(reply.prompt_ids) > nano.backend.window


SCHEMAS: dict[str, dict[str, Any]] = {
    "object": {
        "type": "object",
        "properties": {"reason": {"type": "string", "maxLength": 30}, "answer": {"enum": ["knight", "spy", 7]}},
        "required": ["reason", "answer"],
    },
    "nested": {
        "type": "object",
        "properties": {
            "votes": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": 9},
                "minItems": 2,
                "maxItems": 3,
            }
        },
        "required": ["votes"],
    },
    "choice": {"enum": ["pro_0", "con_0"]},
    "regex": {"type": "string", "pattern": "^[ab]{3}$"},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_structured_output_always_parses(nano: Floor, name: str) -> None:
    schema, hot = SCHEMAS[name], replace(HOT, temperature=1.5, top_p=1.0, max_tokens=400)
    found = nano.ask(*(request(n, adapter=WHO[n % 5], schema=schema, sampling=hot) for n in range(16)))
    values = [json.loads(each.text) for each in found]
    assert all(each.how == "guided" for each in found)
    for value in values:
        if name == "object":
            assert set(value) == {"reason", "answer"}
            assert value["answer"] in ("knight", "spy", 7)
        elif name == "nested":
            assert len(value["votes"]) in (2, 3)
        elif name == "choice":
            assert value in ("pro_0", "con_0")
        else:
            assert len(value) == 3
            assert set(value) <= {"a", "b"}


def test_a_schema_that_the_engine_cannot_hold_to_costs_nobody_an_answer(nano: Floor) -> None:
    odd = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?<=x)y\\1"}}}
    (found,) = nano.ask(request(schema=odd))
    assert found.text
    assert found.how == ""


def test_role_markers_are_never_sampled(nano: Floor) -> None:
    hot = Sampling(temperature=2.0, max_tokens=60)
    markers = nano.backend.template.markers() - nano.backend.base.ends
    found = nano.ask(*(request(n, sampling=hot) for n in range(16)))
    assert markers
    assert not any(markers & set(each.ids or ()) for each in found)


def test_a_prompt_that_extends_the_last_is_read_from_the_cache(nano: Floor) -> None:
    first = request(50)
    (reply,) = nano.ask(first)
    more = (*first.messages, Message("assistant", reply.text, reply.ids), Message("user", "Are you sure? " * 9))
    (again,) = nano.ask(replace(first, messages=more))
    before = len(reply.prompt_ids or ()) + len(reply.ids or ())
    assert (again.prompt_ids or ())[:before] == (*(reply.prompt_ids or ()), *(reply.ids or ()))
    assert again.usage.cached >= (before - 1) // 32 * 32


def test_what_nobody_waits_for_any_more_leaves_the_engine(nano: Floor) -> None:
    async def work() -> int:
        endless = {"type": "string", "minLength": 1500}
        asked = [
            asyncio.create_task(nano.backend.generate(request(n, schema=endless, sampling=Sampling(max_tokens=1500))))
            for n in range(8)
        ]
        thread = nano.backend.engines[0]
        while thread.live < 8:  # noqa: ASYNC110 - the engine's thread has no event to wait for
            await asyncio.sleep(0.01)
        for each in asked[:7]:
            each.cancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asked[7]
        began = time.monotonic()
        while thread.live or thread.engine.get_num_unfinished_requests():
            assert time.monotonic() - began < 20
            await asyncio.sleep(0.01)
        return len([each for each in asked if each.cancelled()])

    assert nano.go(work()) == 8
    assert nano.ask(request())[0].text


def test_requests_that_cannot_be_asked_fail_alone(nano: Floor) -> None:
    async def work() -> list[Any]:
        odd = [request(adapter="agents/nowhere"), request(1, sampling=Sampling(temperature=4.0)), request(2)]
        return list(await asyncio.gather(*map(nano.backend.generate, odd), return_exceptions=True))

    unknown, hot, fine = nano.go(work())
    assert isinstance(unknown, RequestFailed)
    assert "agents/nowhere is not loaded" in str(unknown)
    assert isinstance(hot, RequestFailed)
    assert "temperature must be in [0, 2]" in str(hot)
    assert fine.text


def test_the_engine_says_what_it_did(nano: Floor) -> None:
    (report,) = nano.backend.reports()
    assert report.cached < report.prompt
    assert report.busy > 0
    assert 0 < report.live <= report.most
    assert "prompt tokens" in report.line()
    events = nano.backend.timeline()
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    assert json.loads(json.dumps(events)) == events
