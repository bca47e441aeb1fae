"""The protocol and the retry rules as pure functions."""

import contextlib
import json
from email.utils import formatdate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena.backends import openai_wire as wire
from simarena.backends.http_errors import classified
from simarena.backends.http_retry import AttemptFailed, full_jitter, retry_after
from simarena.backends.openai_options import OpenAIOptions
from simarena.errors import RequestFailed, RunFailed
from simarena.records import Completion, Message, Request, Sampling, Usage

OPTIONS = OpenAIOptions(base_url="http://x/v1")
SCHEMA = {"type": "object", "properties": {"vote": {"enum": ["a", "b"]}}, "required": ["vote"]}


def request(**fields):
    return Request(key="m/s/0", agent="a", model="m", messages=(Message("user", "hi"),), **fields)


def body(answer) -> bytes:
    return json.dumps(answer).encode()


def chat(content="hello", finish="stop", **message):
    return {"model": "m", "choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}


def test_body_holds_what_was_asked():
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=7, max_tokens=9, stop=("END",))
    sent = wire.chat_body(request(sampling=sampling, seed=5, schema=SCHEMA), wire.Dialect(), OPTIONS)
    assert sent["messages"] == [{"role": "user", "content": "hi"}]
    assert (sent["temperature"], sent["top_p"], sent["top_k"], sent["seed"]) == (0.5, 0.9, 7, 5)
    assert (sent["max_tokens"], sent["stop"], sent["logprobs"], sent["return_token_ids"]) == (9, ["END"], True, True)
    held = sent["response_format"]["json_schema"]
    assert held["strict"] is True
    assert held["schema"] == SCHEMA | {"additionalProperties": False}


def test_adapter_is_asked_for_by_name_and_options_have_the_last_word():
    options = OpenAIOptions(base_url="http://x/v1", omit=("temperature", "seed"), extra={"min_p": 0.1}, logprobs=False)
    sent = wire.chat_body(request(adapter="nano-a"), wire.first_dialect(options), options)
    assert sent["model"] == "nano-a"
    assert sent["min_p"] == 0.1
    assert not {"temperature", "seed", "logprobs"} & set(sent)


def test_schema_with_optional_or_free_keys_is_not_strict():
    optional = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}
    free = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert not wire.is_strict(wire.close(optional))
    assert wire.close(free) == free
    assert not wire.is_strict(free)
    named = {"type": "object", "properties": {"properties": {"type": "string"}}, "required": ["properties"]}
    assert wire.is_strict(wire.close(named))
    nested = {"$defs": {"X": optional}, "type": "array", "items": {"$ref": "#/$defs/X"}}
    assert wire.close(nested)["$defs"]["X"]["additionalProperties"] is False


def test_reads_all_a_server_offers():
    answer = chat() | {
        "prompt_token_ids": [1, 2],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
        "system_fingerprint": "f1",
    }
    answer["choices"][0] |= {"token_ids": [9], "logprobs": {"content": [{"token": "hello", "logprob": -0.5}]}}
    assert wire.read_chat(body(answer), "guided") == Completion(
        text="hello", prompt_ids=(1, 2), ids=(9,), logprobs=(-0.5,), version="m@f1", how="guided",
        usage=Usage(prompt=2, cached=1, completion=1),
    )  # fmt: skip


def test_reads_a_server_that_offers_nothing():
    assert wire.read_chat(body({"choices": [{"message": {"content": "x"}}]}), "") == Completion(text="x")


@pytest.mark.parametrize("ids", [None, 7, "abc", [1, None], [1, 2.5], [1, "2"], [[1]], {"1": 2}])
def test_token_ids_that_are_none_are_left_out(ids):
    answer = chat()
    answer["choices"][0]["token_ids"] = ids
    assert wire.read_chat(body(answer), "").ids is None


def test_log_probs_that_do_not_fit_the_tokens_are_left_out():
    answer = chat()
    answer["choices"][0] |= {"token_ids": [1, 2], "logprobs": {"content": [{"logprob": -0.5}]}}
    assert wire.read_chat(body(answer), "").logprobs is None


@pytest.mark.parametrize(
    ("answer", "text", "finish"),
    [
        (chat("cut", "length"), "cut", "length"),
        (chat(None, "length", reasoning="hm"), "", "length"),
        (chat(None, "stop", reasoning_content="hm"), "", "stop"),
        (chat(None, "stop", refusal="No."), "No.", "refusal"),
        (chat(None, "content_filter"), "", "refusal"),
        (chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab", "stop"),
        (chat(""), "", "stop"),
        (chat("\ud800x"), "\ufffdx", "stop"),
    ],
)
def test_finish_and_text(answer, text, finish):
    found = wire.read_chat(body(answer), "")
    assert (found.text, found.finish) == (text, finish)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"not json", b"\xff\xfe", b"[]", b"null", b"{}", b"[" * 100_000, body({"choices": []}),
        body({"choices": "x"}), body({"choices": [7]}), body({"choices": [{}]}), body({"choices": [{"message": 7}]}),
        body(chat(None)), body(chat(5)), body(chat("x", "error")), body({"error": {"message": "late"}}),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_said_to_be_none(raw):
    with pytest.raises(wire.Unreadable):
        wire.read_chat(raw, "")


NAMES = st.sampled_from(["choices", "message", "content", "usage", "logprobs", "token_ids"])
ATOMS = st.none() | st.booleans() | st.floats() | st.text(max_size=5)


@given(st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_no_body_breaks_the_reader(answer):
    with contextlib.suppress(wire.Unreadable):
        assert isinstance(wire.read_chat(body(answer), ""), Completion)


@pytest.mark.parametrize(
    ("message", "fields", "expected"),
    [
        ("Unknown field: return_token_ids", {}, {"dropped": frozenset({"return_token_ids"})}),
        ("You are not allowed to request logprobs from this model", {}, {"dropped": frozenset({"logprobs"})}),
        ("Use 'max_completion_tokens' instead.", {}, {"length_field": "max_completion_tokens"}),
        ("response_format is not supported", {"schema": SCHEMA}, {"held": "guided"}),
        ("extra fields not permitted", {}, {"dropped": frozenset(wire.optional_fields(request()))}),
    ],
)
def test_what_is_refused_is_left_off(message, fields, expected):
    sent = wire.chat_body(request(**fields), wire.Dialect(), OPTIONS)
    lowered = wire.lower(wire.Dialect(), sent, wire.ServerError(400, "", message), proven=False)
    assert lowered == wire.Dialect(**expected)


def test_schema_ladder_ends_and_other_refusals_stand():
    schema_error = wire.ServerError(400, "", "structured_outputs: no such field")
    dialect = wire.Dialect(held="guided")
    sent = wire.chat_body(request(schema=SCHEMA), dialect, OPTIONS)
    assert wire.lower(dialect, sent, schema_error, proven=False) == wire.Dialect(held="")
    plain = wire.chat_body(request(), wire.Dialect(), OPTIONS)
    assert (
        wire.lower(wire.Dialect(), plain, wire.ServerError(400, "", "temperature must be at most 2"), proven=False)
        is None
    )
    assert wire.lower(wire.Dialect(), plain, wire.ServerError(400, "", "unknown role"), proven=True) is None
    wanted = wire.chat_body(request(sampling=Sampling(top_k=5)), wire.Dialect(), OPTIONS)
    assert wire.lower(wire.Dialect(), wanted, wire.ServerError(400, "", "top_k is unknown"), proven=True) is None


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens",
        "You passed 1015 input tokens and requested 10. However, the model's context length is only 1024 tokens",
        "max_tokens must be at least 1, got -186.",
        "the request exceeds the available context size",
        "The decoder prompt (length 3000) is longer than the maximum model length of 2048.",
    ],
)
def test_too_long_is_known_by_its_words(message):
    assert wire.is_too_long(wire.server_error(400, body({"error": {"message": message, "code": 400}})))


def test_other_400s_are_not_too_long():
    assert not wire.is_too_long(wire.ServerError(400, "", "max_tokens is too large: this model supports at most 16384"))


@pytest.mark.parametrize(
    ("status", "code", "after", "kind"),
    [(429, "", 2.0, "rate"), (503, "", 2.0, "rate"), (503, "", None, "server"), (500, "", None, "server"),
     (408, "", None, "server"), (409, "", None, "server"), (599, "", None, "server")],
)  # fmt: skip
def test_retryable(status, code, after, kind):
    found = classified(wire.ServerError(status, code, "x"), "http://x", after)
    assert isinstance(found, AttemptFailed)
    assert (found.kind, found.retry_after) == (kind, after)


@pytest.mark.parametrize("status", [s for s in range(300, 500) if s not in (408, 409, 429, 401, 402, 403)])
def test_no_other_4xx_is_asked_again(status):
    assert type(classified(wire.ServerError(status, "", ""), "http://x", None)) is RequestFailed


@pytest.mark.parametrize(("status", "code"), [(401, ""), (403, ""), (402, ""), (429, "insufficient_quota")])
def test_fatal_for_the_run(status, code):
    assert isinstance(classified(wire.ServerError(status, code, ""), "http://x", 1.0), RunFailed)


def test_errors_in_any_shape_are_read():
    assert wire.server_error(500, b"<html>\n Bad   gateway").message == "<html> Bad gateway"
    assert wire.server_error(400, body({"object": "error", "message": "flat", "code": 400})).message == "flat"
    assert wire.server_error(422, body({"detail": [{"msg": "extra"}]})).message == "[{'msg': 'extra'}]"
    assert wire.server_error(500, b"[1]").message == "[1]"
    assert len(wire.server_error(500, b"x" * 10_000).message) <= 501


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None), ({"Retry-After": "7"}, 7.0), ({"Retry-After": "0.5"}, 0.5), ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None), ({"Retry-After": "inf"}, None), ({"Retry-After": "nan"}, None),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"Retry-After": formatdate(999_000, usegmt=True)}, 0.0),
        ({"Retry-After": formatdate(2_000_030, usegmt=True), "Date": formatdate(2_000_000, usegmt=True)}, 30.0),
    ],
)  # fmt: skip
def test_retry_after_in_seconds_and_as_a_date(headers, seconds):
    assert retry_after(headers, now=1_000_000) == seconds


@given(st.integers(1, 10_000), st.integers(0, 99))
def test_jitter_is_full_and_capped(attempt, seed):
    assert 0 <= full_jitter(attempt, Random(seed), 0.5, 60) <= min(60, 0.5 * 2 ** min(attempt - 1, 20))


def test_jitter_spreads_over_the_whole_width():
    drawn = [full_jitter(4, Random(seed), 1, 60) for seed in range(400)]
    assert min(drawn) < 0.5
    assert max(drawn) > 7.5
    assert 3.6 < sum(drawn) / len(drawn) < 4.4
