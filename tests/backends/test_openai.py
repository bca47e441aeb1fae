"""The openai backend against the loopback fault server: every fault alone, all in a storm, and what it keeps."""

import asyncio
import gc
import logging
import subprocess
import sys
from collections import Counter

import pytest

from simarena.backends.faultserver import Fault, FaultServer, fake_logprob, identity_of, script, storm
from simarena.backends.openai import OpenAIBackend
from simarena.errors import MissingModel, RequestFailed, RunFailed, ScenarioError
from simarena.records import Message, Request

SCHEMA = {"type": "object", "properties": {"vote": {"type": "string"}}, "required": ["vote"]}
RETRYABLE = {
    "429": Fault("status", status=429),
    "429 retry-after": Fault("status", status=429, headers=(("Retry-After", "2"),)),
    "408": Fault("status", status=408),
    "409": Fault("status", status=409),
    "500": Fault("status", status=500),
    "503": Fault("status", status=503),
    "cut": Fault("cut"),
    "half body": Fault("half_body"),
    "malformed": Fault("malformed"),
    "wrong schema": Fault("wrong_schema"),
    "empty choices": Fault("empty_choices"),
    "null content": Fault("null_content"),
}
TYPED = {"length": "length", "refusal": "refusal", "too_long": "too_long"}


class Times:
    """A clock that moves only by sleeping, and keeps each sleep."""

    def __init__(self):
        self.now, self.slept = 1000.0, []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def ask(n=0, seat="pro_0", match="m", **fields):
    messages = (Message("system", "Debate."), Message("user", f"Turn {n} of {seat} in {match}"))
    return Request(key=f"{match}/{seat}/{n}", agent="a", model="double", messages=messages, seed=n, **fields)


def identity(request):
    messages = [{"role": part.role, "content": part.content} for part in request.messages]
    return identity_of({"model": request.model, "messages": messages})


def echo(body):
    return "re: " + body["messages"][-1]["content"]


def play(scene, plan=None, *, server=None, **options):
    """Run `scene(backend, server, times)` and close both; returns what it returns."""

    async def main():
        times = Times()
        async with FaultServer(echo, plan, **server or {}) as double:
            backend = OpenAIBackend(
                **{"base_url": double.url, "timeout": 20.0} | options, clock=times.clock, sleep=times.sleep
            )
            try:
                return await scene(backend, double, times)
            finally:
                await backend.aclose()

    return asyncio.run(main())


async def until(happened):
    """Let others run until it happened."""
    for _ in range(100_000):
        if happened():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


async def one(backend, server, times):
    return await backend.generate(ask()), server, times


# Every fault alone


@pytest.mark.parametrize("fault", RETRYABLE.values(), ids=RETRYABLE)
def test_asks_again_after(fault):
    completion, server, times = play(one, script(fault, fault))
    assert completion.text == "re: Turn 0 of pro_0 in m"
    assert server.seen[identity(ask())] == 3
    assert server.answered[identity(ask())] == 1
    assert len(times.slept) >= 2 or fault.status == 429


def test_a_server_that_hangs_is_timed_out_and_asked_again():
    completion, server, _ = play(one, script(Fault("hang")), timeout=0.2)
    assert completion.text == "re: Turn 0 of pro_0 in m"
    assert server.met["hang"] == 1


def test_a_slow_server_is_waited_for():
    completion, server, times = play(one, script(Fault(delay=0.05)))
    assert completion.finish == "stop"
    assert (sum(server.seen.values()), times.slept) == (1, [])


@pytest.mark.parametrize(("kind", "finish"), TYPED.items())
def test_typed_outcomes_are_not_asked_again(kind, finish):
    completion, server, _ = play(one, script(Fault(kind)))
    assert completion.finish == finish
    assert sum(server.seen.values()) == 1
    assert (
        completion.text
        == {"length": "re: Turn 0 of pro_0 in m", "refusal": "I will not say that.", "too_long": ""}[kind]
    )


@pytest.mark.parametrize("status", [302, 400, 404, 405, 410, 418, 422])
def test_other_statuses_fail_the_request_at_once(status):
    async def scene(backend, server, times):
        with pytest.raises(RequestFailed, match=f"{status}"):
            await backend.generate(ask())
        assert (sum(server.seen.values()), times.slept) == (1, [])
        assert (await backend.generate(ask(1))).finish == "stop"  # the others go on

    play(scene, lambda who, seen: Fault("status", status=status) if who == identity(ask()) else Fault())


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_fails_the_run_and_nothing_more_is_sent(status):
    async def scene(backend, server, times):
        for n in range(3):
            with pytest.raises(RunFailed, match="api_key_env"):
                await backend.generate(ask(n))
        assert sum(server.seen.values()) == 1

    play(scene, lambda who, seen: Fault("status", status=status))


def test_attempts_run_out_with_a_reason():
    async def scene(backend, server, times):
        with pytest.raises(RequestFailed, match=r"5 attempts.*status 500: the server was told to fail"):
            await backend.generate(ask())
        assert sum(server.seen.values()) == 5
        assert all(slept <= 0.5 * 2**n for n, slept in enumerate(times.slept))

    play(scene, lambda who, seen: Fault("status"), attempts=5)


def test_no_server_at_all_is_a_failed_request():
    async def main():
        times = Times()
        async with FaultServer() as server:
            url = server.url
        backend = OpenAIBackend(base_url=url, clock=times.clock, sleep=times.sleep, attempts=3)
        with pytest.raises(RequestFailed, match="cannot connect"):
            await backend.generate(ask())
        await backend.aclose()

    asyncio.run(main())


# All of them at once


@pytest.mark.parametrize("seed", [1, 2])
def test_storm_with_200_in_flight(seed):
    faults = [*RETRYABLE.values(), Fault("hang"), Fault(delay=0.01), *map(Fault, TYPED)]
    plan = storm(seed, faults, share=0.5)
    requests = [ask(n, seat=f"s_{n % 4}", match=f"m{n}") for n in range(200)]

    async def scene(backend, server, times):
        found = await asyncio.gather(*(backend.generate(request) for request in requests))
        return found, server, backend.client.endpoints[0].limiter

    found, server, limiter = play(
        scene, plan, timeout=3.0, start_concurrency=200, max_concurrency=200, attempts=20, deadline=1e9
    )
    for request, completion in zip(requests, found, strict=True):
        who = identity(request)
        last = plan(who, server.seen[who] - 1)
        assert completion.finish == TYPED.get(last.kind, "stop")
        assert server.answered[who] == (completion.finish != "too_long")  # never asked again once answered
        if completion.finish in ("stop", "length"):
            assert completion.text == "re: " + request.messages[-1].content
    assert limiter.in_flight == 0
    kinds = {"status429", "status500", "hang", "cut", "half_body", "malformed", "empty_choices", "refusal", "too_long"}
    assert not kinds - set(server.met)


# Waiting


def test_retry_after_is_honoured():
    _, _, times = play(one, script(Fault("status", status=429, headers=(("Retry-After", "7"),))))
    assert 7 <= sum(times.slept) <= 8
    assert times.slept[0] >= 7


def test_retry_after_as_a_date_is_honoured():
    dates = (("Retry-After", "Sat, 01 Jan 2028 00:00:30 GMT"), ("Date", "Sat, 01 Jan 2028 00:00:00 GMT"))
    _, _, times = play(one, script(Fault("status", status=503, headers=dates)))
    assert times.slept[0] >= 30


def test_a_rate_limit_holds_back_the_other_requests_too():
    async def scene(backend, server, times):
        first = asyncio.create_task(backend.generate(ask(0)))
        await until(lambda: times.slept)
        times.now = 1000.0  # the first one is waiting; its wait has not passed for the second
        before = len(times.slept)
        await backend.generate(ask(1))
        assert times.slept[before] >= 7
        assert (await first).finish == "stop"

    limited = Fault("status", status=429, headers=(("Retry-After", "7"),))
    play(scene, lambda who, seen: limited if who == identity(ask(0)) and not seen else Fault())


def test_a_wait_past_the_deadline_is_not_begun():
    async def scene(backend, server, times):
        with pytest.raises(RequestFailed, match="asked to wait 3600 s"):
            await backend.generate(ask())
        assert times.slept == []

    play(scene, script(Fault("status", status=429, headers=(("Retry-After", "3600"),))), deadline=600)


def test_rate_limits_end_with_the_deadline_not_with_the_attempts():
    async def scene(backend, server, times):
        with pytest.raises(RequestFailed, match="rate limit"):
            await backend.generate(ask())
        assert sum(server.seen.values()) > 10
        assert times.now - 1000 <= 600

    play(scene, lambda who, seen: Fault("status", status=429), attempts=2, deadline=600, backoff_max=20)


def test_jitter_is_the_requests_own():
    plan = script(*[Fault("status")] * 3)
    slept = [tuple(play(one, plan)[2].slept) for _ in range(2)]
    assert slept[0] == slept[1]
    assert len(set(slept[0])) == 3


# Concurrency


def test_never_more_in_flight_than_allowed():
    async def scene(backend, server, times):
        await asyncio.gather(*(backend.generate(ask(n)) for n in range(60)))
        assert 2 < server.peak <= 5

    play(scene, lambda who, seen: Fault(delay=0.002), max_concurrency=5, start_concurrency=2)


def test_finds_the_capacity_of_a_server_that_limits_its_rate():
    async def scene(backend, server, times):
        found = await asyncio.gather(*(backend.generate(ask(n)) for n in range(150)))
        limiter = backend.client.endpoints[0].limiter
        assert {completion.finish for completion in found} == {"stop"}
        assert 1 <= limiter.cuts < server.met["capacity"]  # whole bursts are refused; each cuts once
        assert set(server.answered.values()) == {1}

    play(scene, lambda who, seen: Fault(delay=0.01), server={"capacity": 8}, start_concurrency=64, deadline=1e9)


def test_one_cut_for_a_burst_of_refusals():
    async def scene(backend, server, times):
        await asyncio.gather(*(backend.generate(ask(n)) for n in range(32)))
        limiter = backend.client.endpoints[0].limiter
        assert (limiter.cuts, server.met["status429"]) == (1, 32)

    plan = script(Fault("status", status=429, delay=0.2))  # all 32 are in flight before the first is refused
    play(scene, plan, start_concurrency=32)


# The circuit breaker


def test_breaker_opens_probes_once_and_closes():
    down = True

    async def scene(backend, server, times):
        nonlocal down
        breaker = backend.client.endpoints[0].breaker
        with pytest.raises(RequestFailed):
            await backend.generate(ask())
        assert (breaker.open, sum(server.seen.values())) == (True, 4)
        with pytest.raises(RequestFailed):  # each of its attempts is one probe, after ever longer pauses
            await backend.generate(ask(1))
        assert breaker.opened == 5
        assert 2 * breaker.first_pause <= breaker.pause <= 60
        down, server.peak = False, 0
        waiting = [asyncio.create_task(backend.generate(ask(n))) for n in range(2, 40)]
        await until(lambda: server.in_flight)
        assert server.peak == 1
        await asyncio.gather(*waiting)
        assert not breaker.open

    plan = lambda who, seen: Fault("status") if down else Fault(delay=0.02)  # noqa: E731 - a plan in a line
    play(scene, plan, attempts=4, breaker_failures=4, deadline=1e9)


def test_a_server_down_for_good_fails_later_requests_without_sending_them():
    async def scene(backend, server, times):
        with pytest.raises(RequestFailed):
            await backend.generate(ask())
        times.now += 50
        with pytest.raises(RequestFailed):
            await backend.generate(ask(1))  # the probe
        sent = sum(server.seen.values())
        with pytest.raises(RequestFailed, match="has failed every request for"):
            await backend.generate(ask(2))
        assert sum(server.seen.values()) == sent

    play(scene, lambda who, seen: Fault("status"), attempts=1, breaker_failures=1, deadline=40)


def test_a_cancelled_probe_does_not_hold_the_others_up():
    async def scene(backend, server, times):
        with pytest.raises(RequestFailed):
            await backend.generate(ask())
        probe = asyncio.create_task(backend.generate(ask(1)))
        await until(lambda: server.in_flight)
        other = asyncio.create_task(backend.generate(ask(2)))
        await asyncio.sleep(0.01)
        assert not other.done()
        probe.cancel()
        assert (await other).finish == "stop"

    kinds = {identity(ask()): Fault("status"), identity(ask(1)): Fault("hang")}
    play(scene, lambda who, seen: kinds.get(who, Fault()), attempts=1, breaker_failures=1)


def test_requests_that_queued_while_it_opened_wait_for_the_probe():
    async def scene(backend, server, times):
        found = await asyncio.gather(*(backend.generate(ask(n)) for n in range(3)), return_exceptions=True)
        assert isinstance(found[0], RequestFailed)
        assert [completion.finish for completion in found[1:]] == ["stop", "stop"]
        assert 2.0 in times.slept

    plan = lambda who, seen: Fault("status") if who == identity(ask()) else Fault()  # noqa: E731 - a plan in a line
    play(scene, plan, attempts=1, breaker_failures=1, breaker_pause=2.0, max_concurrency=1)


def test_a_rate_limit_proves_that_a_server_is_alive():
    async def scene(backend, server, times):
        with pytest.raises(RequestFailed, match="asked to wait"):
            await backend.generate(ask())
        breaker = backend.client.endpoints[0].breaker
        assert (breaker.opened, breaker.open) == (1, False)

    limited = Fault("status", status=429, headers=(("Retry-After", "9999"),))
    play(scene, script(Fault("status"), limited), breaker_failures=1)


def test_a_request_under_way_goes_before_new_ones():
    async def scene(backend, server, times):
        requests = [ask(n) for n in range(6)]
        await asyncio.gather(*map(backend.generate, requests))
        order = [body["messages"][-1]["content"].split()[1] for body in server.bodies]
        assert order.index("0", 1) < 5  # its second sending; those who came later were still waiting

    plan = lambda who, seen: Fault("cut") if who == identity(ask()) and not seen else Fault(delay=0.01)  # noqa: E731 - a plan in a line
    play(scene, plan, max_concurrency=1)


# Replicas


def replicas(scene, count, plans=None, **options):
    async def main():
        times, servers = Times(), [FaultServer(echo, (plans or {}).get(n)) for n in range(count)]
        for server in servers:
            await server.__aenter__()
        urls = [server.url for server in servers]
        backend = OpenAIBackend(base_urls=urls, clock=times.clock, sleep=times.sleep, **options)
        try:
            await scene(backend, servers, times)
        finally:
            await backend.aclose()
            for server in servers:
                await server.__aexit__()

    asyncio.run(main())


def test_a_seat_stays_at_its_replica():
    async def scene(backend, servers, times):
        seats = [(f"m{m}", f"s_{s}") for m in range(12) for s in range(2)]
        for n in range(3):
            await asyncio.gather(*(backend.generate(ask(n, match=match, seat=seat)) for match, seat in seats))
        homes = {}
        for place, server in enumerate(servers):
            for body in server.bodies:
                homes.setdefault(body["messages"][-1]["content"].partition(" of ")[2], Counter())[place] += 1
        assert len(homes) == len(seats)
        assert all(list(places.values()) == [3] for places in homes.values())
        assert all(server.bodies for server in servers)

    replicas(scene, 3)


def test_a_dead_replica_is_replaced_and_the_others_keep_their_seats():
    async def scene(backend, servers, times):
        dead = servers[0]
        await dead.__aexit__()
        for n in range(40):
            assert (await backend.generate(ask(0, match=f"m{n}"))).finish == "stop"
        client = backend.client
        homes = [client.order(ask(0, match=f"m{n}").key)[0].url for n in range(40)]
        assert len(servers[1].bodies) >= homes.count(servers[1].url)
        assert len(servers[1].bodies) + len(servers[2].bodies) == 40
        assert client.endpoints[0].breaker.open
        assert not client.endpoints[1].breaker.open

    replicas(scene, 3, breaker_failures=2)


def test_a_call_that_failed_at_one_replica_goes_to_the_next():
    async def scene(backend, servers, times):
        for n in range(20):
            assert (await backend.generate(ask(0, match=f"m{n}"))).finish == "stop"
        assert len(servers[1].bodies) == 20
        assert 0 < len(servers[0].bodies) < 20

    replicas(scene, 2, {0: lambda who, seen: Fault("malformed")}, attempts=2, breaker_failures=1000)


def test_a_replica_that_came_back_is_tried_again():
    down = True

    async def scene(backend, servers, times):
        nonlocal down
        mine = [n for n in range(40) if backend.client.order(ask(0, match=f"m{n}").key)[0].url == servers[0].url]
        for n in mine[:3]:
            await backend.generate(ask(0, match=f"m{n}"))
        assert backend.client.endpoints[0].breaker.open
        down = False
        times.now += 100
        await backend.generate(ask(0, match=f"m{mine[3]}"))
        assert not backend.client.endpoints[0].breaker.open
        assert sum(servers[0].answered.values()) == 1

    replicas(scene, 2, {0: lambda who, seen: Fault("cut") if down else Fault()}, breaker_failures=2)


# What servers offer and refuse


def test_all_that_vllm_offers_is_recorded():
    completion, _, _ = play(one)
    text = "re: Turn 0 of pro_0 in m"
    assert completion.ids == tuple(text.encode())
    assert completion.logprobs == tuple(map(fake_logprob, text.encode()))
    assert completion.prompt_ids == tuple(b"[system]Debate.[user]Turn 0 of pro_0 in m[assistant]")
    assert (completion.version, completion.usage.cached > 0) == ("double", True)


def test_a_server_that_offers_nothing_is_no_trouble():
    completion, server, _ = play(one, server={"manner": "plain"})
    assert (completion.ids, completion.logprobs, completion.prompt_ids) == (None, None, None)
    assert sum(server.seen.values()) == 1


def test_what_is_refused_is_left_off_and_remembered(caplog):
    async def scene(backend, server, times):
        found = [await backend.generate(ask(n, schema=SCHEMA)) for n in range(4)]
        assert [completion.how for completion in found] == ["json_schema"] * 4
        assert found[0].logprobs is not None
        assert found[0].ids is None
        assert (sum(server.seen.values()), times.slept) == (5, [])
        assert backend.client.endpoints[0].breaker.failures == 0

    play(scene, server={"manner": "openai"})
    assert "left off from now on" in caplog.text


@pytest.mark.parametrize(
    ("refuses", "how", "more"),
    [((), "json_schema", 0), (("response_format",), "guided", 1), (("response_format", "structured_outputs"), "", 2)],
)
def test_schema_goes_down_its_ladder_and_stays(refuses, how, more):
    async def scene(backend, server, times):
        found = [await backend.generate(ask(n, schema=SCHEMA)) for n in range(3)]
        assert [completion.how for completion in found] == [how] * 3
        assert sum(server.seen.values()) == 3 + more
        assert ("structured_outputs" in server.bodies[-1]) == (how == "guided")
        assert (await backend.generate(ask(9))).how == ""  # nothing was held

    play(scene, server={"refuses": refuses})


def test_one_odd_schema_does_not_cost_the_others_theirs():
    async def scene(backend, server, times):
        found = [await backend.generate(ask(n, schema=SCHEMA)) for n in range(3)]
        assert [completion.how for completion in found] == ["json_schema", "", "json_schema"]

    odd = [Fault("refuse_schema"), Fault("refuse_schema"), Fault()]
    play(scene, lambda who, seen: odd[seen] if who == identity(ask(1)) else Fault())


def test_a_schema_refused_once_is_downgraded():
    completion, _, _ = play(lambda b, s, t: one_held(b, s, t), script(Fault("refuse_schema"), Fault("refuse_schema")))
    assert completion.how == ""


async def one_held(backend, server, times):
    return await backend.generate(ask(schema=SCHEMA)), server, times


# Scores


CACHED, ANEW, ECHO = (), ("token_ids",), ("token_ids", "prompt_logprobs")


@pytest.mark.parametrize("refuses", [CACHED, ANEW, ECHO])
def test_continuations_are_scored(refuses):
    parts = ("yes", "no", "")

    async def scene(backend, double, times):
        return [await backend.generate(ask(n, score=parts)) for n in range(2)], double

    found, double = play(scene, server={"refuses": refuses})
    for completion in found:
        expected = tuple((round(float(sum(map(fake_logprob, part.encode()))), 6), len(part)) for part in parts)
        assert completion.scores == expected
        assert completion.finish == "stop"
        assert completion.usage.cached == (32 if refuses == CACHED else 0)
        assert completion.usage.prompt == 3 * len(completion.prompt_ids) + 5
    tokenised = [body["prompt"] for body in double.bodies if isinstance(body.get("prompt"), str)]
    assert sorted(tokenised) == ["", "no", "yes"]  # once, not once a request
    assert any("token_ids" in body for body in double.bodies)


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_takes_no_token_ids_is_asked_once(status):
    def plan(who, seen):
        return Fault("status", status=status) if who in closed else Fault()

    async def scene(backend, double, times):
        found = [await backend.generate(ask(score=("yes",))) for _ in range(3)]
        assert sum("token_ids" in body for body in double.bodies) == 1
        assert len({each.scores for each in found}) == 1

    body = {"model": "double", "token_ids": [*b"[system]Debate.[user]Turn 0 of pro_0 in m[assistant]yes"]}
    closed = {identity_of(body)}
    play(scene, plan)


def test_what_the_cache_hides_is_read_anew():
    """A prompt of ten tokens: sixteen come from the cache, some of them the continuation's."""

    async def scene(backend, double, times):
        short = Request(key="m/a/0", agent="a", model="double", messages=(), seed=0, score=("yes indeed",))
        for _ in range(2):
            found = await backend.generate(short)
            assert found.scores == ((round(sum(map(fake_logprob, b"yes indeed")), 6), 10),)
        assert [("token_ids" in body, isinstance(body.get("prompt"), list)) for body in double.bodies].count(
            (False, True)
        ) == 2

    play(scene)


@pytest.mark.parametrize("server", [{"manner": "plain"}, {"manner": "openai"}, {"refuses": (*ECHO, "echo")}])
def test_a_server_without_scores_says_so(server):
    async def scene(backend, double, times):
        with pytest.raises(RequestFailed, match=r"does not score given continuations.*transformers backend"):
            await backend.generate(ask(score=("yes", "no")))

    play(scene, server=server)


def test_a_prompt_too_long_to_score_is_typed():
    async def scene(backend, server, times):
        assert (await backend.generate(ask(score=("yes",)))).finish == "too_long"

    play(scene, lambda who, seen: Fault("too_long"))


# Secrets, options, endings


KEY = "sk-very/secret+key"


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("kind", ["401", "400", "500", "cut", "hang"])
def test_the_key_is_sent_and_never_shown(kind, monkeypatch, caplog):
    monkeypatch.setenv("DOUBLE_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    faults = {"401": Fault(), "cut": Fault("cut"), "hang": Fault("hang")}
    fault = faults.get(kind) or Fault("status", status=int(kind), message=f"your key {KEY} is odd")

    async def scene(backend, server, times):
        with pytest.raises((RequestFailed, RunFailed)) as caught:
            await backend.generate(ask(schema=SCHEMA))
        shown = [text for error in chain(caught.value) for text in (str(error), repr(error), repr(error.args))]
        shown += [
            repr(backend),
            repr(backend.__dict__),
            repr(backend.client.__dict__),
            str(backend.options),
            caplog.text,
        ]
        assert KEY not in "".join(shown)
        assert not any(type(error).__module__.startswith("aiohttp") for error in chain(caught.value))

    key = "another" if kind == "401" else KEY
    play(scene, lambda who, seen: fault, server={"key": key}, api_key_env="DOUBLE_KEY", attempts=2, timeout=0.2)


def test_the_key_opens_the_door(monkeypatch):
    monkeypatch.setenv("DOUBLE_KEY", KEY)
    completion, _, _ = play(one, server={"key": KEY}, api_key_env="DOUBLE_KEY")
    assert completion.finish == "stop"
    monkeypatch.setenv("DOUBLE_AUTH", f"Bearer {KEY}")
    completion, _, _ = play(one, server={"key": KEY}, headers_env={"Authorization": "DOUBLE_AUTH"})
    assert completion.finish == "stop"


def test_a_missing_key_names_its_variable(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(MissingModel, match=r"NO_SUCH_KEY.*export NO_SUCH_KEY="):
        OpenAIBackend(base_url="http://localhost:1/v1", api_key_env="NO_SUCH_KEY")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either base_url or base_urls"),
        ({"base_url": "localhost:8000"}, "not an http"),
        ({"base_url": "http://me:hunter2@host/v1"}, "headers_env"),
        ({"base_url": "http://host/v1?key=hunter2"}, "query"),
        ({"base_url": "http://h/v1", "tiemout": 3}, "tiemout: "),
        ({"base_url": "http://h/v1", "api_key_env": "sk-hunter2"}, "api_key_env: "),
        ({"base_url": "http://h/v1", "headers": {"Authorization": "hunter2"}}, "headers_env"),
        ({"base_url": "http://h/v1", "extra": {"n": 2}}, "n is set by simarena"),
        ({"base_url": "http://h/v1", "timeout": 0}, "timeout"),
        ({"base_urls": ["http://h/v1", "http://h/v1/"]}, "twice"),
    ],
)
def test_wrong_options_are_refused_without_repeating_secrets(options, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        OpenAIBackend(**options)
    assert not any("hunter2" in str(error) + repr(error) for error in chain(caught.value))


def test_cancelling_frees_the_slot():
    async def scene(backend, server, times):
        task = asyncio.create_task(backend.generate(ask()))
        await until(lambda: server.in_flight)
        queued = asyncio.create_task(backend.generate(ask(1)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await queued).finish == "stop"
        assert backend.client.endpoints[0].limiter.in_flight == 0

    plan = lambda who, seen: Fault("hang") if who == identity(ask()) else Fault()  # noqa: E731 - a plan in a line
    play(scene, plan, max_concurrency=1)


def test_closing_leaks_nothing_and_later_calls_are_refused(recwarn):
    async def scene(backend, server, times):
        before = len(asyncio.all_tasks())
        await asyncio.gather(*(backend.generate(ask(n)) for n in range(20)))
        assert len(asyncio.all_tasks()) > before  # the server has one for each connection
        await backend.aclose()
        await backend.aclose()
        await until(lambda: len(asyncio.all_tasks()) == before)
        with pytest.raises(RunFailed, match="closed"):
            await backend.generate(ask())

    play(scene)
    gc.collect()
    assert not recwarn.list


def test_needs_no_http_library_until_it_is_built():
    code = """
import sys
sys.modules["aiohttp"] = None
from simarena.backends.openai import OpenAIBackend, OpenAIOptions
from simarena.errors import MissingExtra
OpenAIOptions(base_url="http://h/v1")
try:
    OpenAIBackend(base_url="http://h/v1")
except MissingExtra as error:
    assert "pip install -e '.[http]'" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
