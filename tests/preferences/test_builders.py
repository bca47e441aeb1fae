"""Builders over small runs whose outcomes are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simarena import make
from simarena.branch import everywhere, fork, spoken_by
from simarena.errors import ScenarioError, UnknownName
from simarena.preferences.build import build
from simarena.preferences.builders import BUILDERS
from simarena.preferences.filters import Filters
from simarena.preferences.record import Preference
from simarena.records import Request
from simarena.registry import lookup
from simarena.store import Run
from tests.preferences.spelling import END, Spelling, letters, play, seated

SUM = {"mode": "duel", "m": 4, "task": "arithmetic", "task_params": {"shape": "a+b", "high": 9}}
DUEL = {"contestant_0": "ann", "contestant_1": "bob", "judge_0": "cat", "judge_1": "dan"}


def right(task: int) -> str:
    env = make("arena", **SUM)
    env.reset(seed=0, options={"task_seed": task})
    return str(env.task.truth["answer"])


def made(
    run: Run, builder: str, filters: Filters | None = None, **params: object
) -> tuple[list[Preference], dict[str, int]]:
    records, counts = build(run, builder, params, filters)
    found = list(records)
    assert counts.kept == len(found)
    return found, dict(counts.dropped)


def answering(answers: dict[str, str], points: dict[str, list[int]]) -> Spelling:
    """Everybody always answers alike; judges give points to the first and the second answer of a sheet."""

    def reply(request: Request) -> str:
        if "Grade answer" in request.messages[-1].content:
            return json.dumps({"reason": "so", "scores": points[request.agent]})
        return json.dumps({"reason": f"I am {request.agent}", "answer": answers[request.agent]})

    return Spelling(reply)


def own(record: Preference, place: int) -> str:
    response = record.responses[place]
    assert response.ids is not None
    assert response.mask is not None
    return letters(i for i, mine in zip(response.ids, response.mask, strict=True) if mine)


def test_a_duel_is_won_by_whom_the_judges_found_better(tmp_path: Path) -> None:
    backend = answering({"ann": right(1), "bob": "999"}, {"cat": [9, 3], "dan": [6, 5]})
    params = {**SUM, "orders": "given"}
    with play(tmp_path, [seated("arena", params, DUEL, task=1)], backend) as run:
        (record,), dropped = made(run, "duel")
    best, worst = record.responses
    assert dropped == {}
    assert (best.agent, worst.agent) == ("ann", "bob")
    assert record.magnitude == pytest.approx((6 + 1) / 2)
    assert (best.scores, worst.scores) == ({"cat": 9, "dan": 6}, {"cat": 3, "dan": 5})
    assert (best.truth, worst.truth) == (1.0, 0.0)
    assert own(record, 0) == best.messages[0].content
    assert best.ids is not None
    assert best.ids[-1] == END
    assert best.mask == (True,) * len(best.ids)
    assert record.prompt_ids is not None
    assert record.run == "feedbeef"
    assert best.source == (f"{record.match}/contestant_0/0",)


def test_an_order_bias_shows_in_the_marks_by_order_and_can_be_filtered(tmp_path: Path) -> None:
    """A judge that gives 9 to whatever comes first marks both alike over both orders."""
    backend = answering({"ann": right(1), "bob": "999"}, {"cat": [9, 3], "dan": [9, 3]})
    with play(tmp_path, [seated("arena", {**SUM, "orders": "both"}, DUEL, task=1)], backend) as run:
        found, dropped = made(run, "duel")
    assert (found, dropped) == ([], {"tie": 1})
    backend = answering({"ann": right(1), "bob": "999"}, {"cat": [9, 3], "dan": [8, 8]})
    backend.reply = lambda request, before=backend.reply: (  # dan always finds ann's answer better
        json.dumps(
            {
                "reason": "",
                "scores": [9, 1]
                if request.messages[-1].content.find("I am ann") < request.messages[-1].content.find("I am bob")
                else [1, 9],
            }
        )
        if request.agent == "dan"
        else before(request)
    )
    with play(tmp_path / "two", [seated("arena", {**SUM, "orders": "both"}, DUEL, task=1)], backend) as run:
        (record,), _ = made(run, "duel")
        found, dropped = made(run, "duel", Filters(orders=True))
    assert record.responses[0].orders == {"cat": (9, 3), "dan": (9, 9)}
    assert record.responses[1].orders == {"cat": (3, 9), "dan": (1, 1)}
    assert dropped == {"judge orders disagree": 1}


def test_what_was_said_after_a_repair_is_dropped(tmp_path: Path) -> None:
    said: list[str] = []

    def reply(request: Request) -> str:
        if "Grade answer" in request.messages[-1].content:
            return json.dumps({"reason": "so", "scores": [9, 3]})
        said.append(request.agent)
        unusable = request.agent == "ann" and said.count("ann") == 1
        return "no JSON" if unusable else json.dumps({"reason": request.agent, "answer": right(1)})

    with play(tmp_path, [seated("arena", {**SUM, "orders": "given"}, DUEL, task=1)], Spelling(reply)) as run:
        assert made(run, "duel") == ([], {"asked again after an unusable reply": 1})


def test_an_unusable_reply_is_dropped(tmp_path: Path) -> None:
    backend = answering({"ann": right(1), "bob": "1"}, {"cat": [9, 3], "dan": [9, 3]})
    before = backend.reply
    backend.reply = lambda request: "rubbish" if request.agent == "bob" else before(request)
    with play(tmp_path, [seated("arena", {**SUM, "orders": "given"}, DUEL, task=1)], backend, repairs=0) as run:
        assert made(run, "duel")[1] == {"a reply could not be used": 1}
        assert len(made(run, "duel", Filters(valid=False))[0]) == 1


def test_truth_pairs_right_with_wrong_across_a_unit(tmp_path: Path) -> None:
    swapped = {**DUEL, "contestant_0": "bob", "contestant_1": "ann"}
    backend = answering({"ann": right(1), "bob": "999"}, {"cat": [3, 9], "dan": [3, 9]})
    matches = [seated("arena", SUM, seats, task=1, unit="u") for seats in (DUEL, swapped)]
    with play(tmp_path, matches, backend) as run:
        found, dropped = made(run, "truth")
        everything, _ = made(run, "truth", Filters(duplicates=True))
    assert [r.agent for r in found[0].responses] == ["ann", "bob"]
    assert (len(found), dropped) == (1, {"duplicate": 3})
    assert len(everything) == 4


def test_ranking_lists_a_panel_and_self_reward_reads_own_marks_alone(tmp_path: Path) -> None:
    params = {**SUM, "mode": "population", "m": 3, "opponents": 1, "history": 0, "samples": 3, "judging": "likelihood"}
    seats = {"contestant_0": "ann", "opponent_0": "bob", "judge_0": "ann"}
    count = iter(range(100))

    def reply(request: Request) -> str:
        return json.dumps({"reason": request.agent, "answer": str(next(count))})

    backend = Spelling(reply, weigh=lambda request, text: -float(text.split('"')[-2]))
    with play(tmp_path, [seated("arena", params, seats, task=1)], backend) as run:
        (listed,), _ = made(run, "ranking")
        (graded,), dropped = made(run, "self_reward")
    answers = [json.loads(own(listed, i))["answer"] for i in range(4)]
    assert answers == sorted(answers, key=float)
    assert [r.score for r in listed.responses] == sorted((r.score for r in listed.responses), reverse=True)
    assert {r.agent for r in graded.responses} == {"ann"}
    assert dropped == {"not marked by its own author": 1} or dropped == {"no other reply to the same prompt": 1}


DEBATE = {"task": "story", "protocol": "debate", "rounds": 2, "order": "simultaneous", "quotes": "off"}
BENCH = {"debater_0": "ann", "debater_1": "bob", "judge_0": "cat"}


def arguing(request: Request) -> str:
    """Speeches that differ by seed; the judge is the surer of debater_0, the longer its first speech."""
    last = request.messages[-1].content
    if "Which answer" in last:
        first = last.split('debater_0: {"argument": "')[1].split('"')[0]
        options = last.split("Which answer is right: ")[1].split("?")[0].split(" or ")
        card = last.split('"debater_0 defends": "')[1].split('"')[0]
        return json.dumps({"answer": card, "confidence": len(first)}) if options else ""
    return json.dumps({"argument": "x" * (10 + request.seed % 50)})


@pytest.fixture
def forked(tmp_path: Path) -> Run:
    match = seated("debate", DEBATE, BENCH, task=3)
    return play(tmp_path / "forked", [match, *(fork(match, 0, n) for n in range(4))], Spelling(arguing))


def test_branches_of_a_debate_are_worth_what_the_judge_believed(forked: Run) -> None:
    (first, *_), _ = made(forked, "branch", role="debater_0")
    lengths = [len(json.loads(own(first, place))["argument"]) for place in (0, 1)]
    assert lengths[0] > lengths[1]
    assert first.magnitude == pytest.approx((lengths[0] - lengths[1]) / 100)
    listed, _ = made(forked, "branch", role="debater_0", pick="list")
    assert len(listed[0].responses) == 5
    assert made(forked, "branch", role="debater_0", continuations=2)[1]["too few continuations"] >= 5


def test_a_segment_has_equally_many_own_turns_and_masks_nobody_elses(forked: Run) -> None:
    found, _ = made(forked, "segment", role="debater_0")
    record = found[0]
    with forked:
        for response in record.responses:
            said = [m.content for m in response.messages if m.role == "assistant"]
            assert len(said) == 2
            assert response.ids is not None
            assert response.mask is not None
            assert response.turns is not None
            for turn, words in enumerate(said):
                tokens = [i for i, t in zip(response.ids, response.turns, strict=True) if t == turn]
                assert letters(tokens) == words
                assert tokens[-1] == END
            assert response.mask == tuple(t >= 0 for t in response.turns)
            assert response.logprobs is not None
            assert len(response.logprobs) == sum(response.mask)
            heard = letters(i for i, mine in zip(response.ids, response.mask, strict=True) if not mine)
            assert "debater_1" in heard
            answers = forked.answers(response.source[0].split("/")[0])
            last = answers[response.source[-1]].completion
            assert record.prompt_ids is not None
            assert record.prompt_ids + response.ids == (last.prompt_ids or ()) + (last.ids or ())


def test_hindsight_labels_by_what_became_of_the_judge(forked: Run) -> None:
    (record, *_), _ = made(forked, "hindsight", role="debater_0")
    best, worst = record.responses
    assert best.objectives["hindsight"] > worst.objectives["hindsight"]
    runs = {result.match.id: result.returns for result in forked.results()}
    assert best.score == pytest.approx(runs[best.source[0].split("/")[0]]["judge_0"])


def test_outcome_takes_the_whole_own_side(forked: Run) -> None:
    (record, *_), _ = made(forked, "outcome", role="debater_0")
    runs = {result.match.id: result.returns["debater_0"] for result in forked.results()}
    assert record.responses[0].score == max(runs.values())
    assert record.responses[-1].score == min(runs.values())
    assert all(len(response.source) == 2 for response in record.responses)


def test_verdict_compares_speeches_by_their_own_judges(tmp_path: Path) -> None:
    swapped = {"debater_0": "bob", "debater_1": "ann", "judge_0": "cat"}
    matches = [seated("debate", DEBATE, seats, task=3, seed=n, unit="u") for n, seats in enumerate((BENCH, swapped))]
    with play(tmp_path, matches, Spelling(arguing)) as run:
        found, dropped = made(run, "verdict")
    assert all(r.responses[0].score > r.responses[1].score for r in found)
    assert sum(dropped.values()) + len(found) > 0
    assert {each.agent for r in found for each in r.responses} <= {"ann", "bob"}


def test_a_revision_stands_at_the_drafts_prompt(tmp_path: Path) -> None:
    params = {**DEBATE, "rounds": 1, "refine": 1}
    seats = {**BENCH, "critic_0": "dan", "critic_1": "dan"}

    def reply(request: Request) -> str:
        last = request.messages[-1].content
        if "Tell debater" in last:
            return json.dumps({"critique": "say more of the goat"})
        return arguing(request)

    with play(tmp_path, [seated("debate", params, seats, task=3)], Spelling(reply)) as run:
        found, _ = made(run, "revision")
        drafts = {turn.seat: turn for turn in next(run.trajectories()).turns if "draft" in turn.phase}
        prompts = run.requests(found[0].match)
    assert len(found) == 2
    for record in found:
        better, draft = record.responses
        assert "goat" not in "".join(message.content for message in record.prompt)
        assert draft.source == drafts[record.seat].calls
        assert "goat" in "".join(m.content for m in prompts[better.source[0]].messages)
        assert better.logprobs is None


def test_forks_of_a_whole_run_are_at_the_turns_asked_for(forked: Run) -> None:
    wanted = list(everywhere(forked, spoken_by("debater_0", "speech"), 2))
    assert [match.turn for match in wanted] == [0, 0, 2, 2]
    assert len({match.parent for match in wanted}) == 1
    assert [match.turn for match in everywhere(forked, spoken_by("debater"), 1, first=True)] == [0, 1]


def test_an_unknown_builder_or_parameter_is_refused_before_anything_is_read(forked: Run) -> None:
    with pytest.raises(UnknownName, match="did you mean 'duel'"):
        build(forked, "dual")
    with pytest.raises(ScenarioError, match="rule: unknown key; did you mean 'role'"):
        build(forked, "branch", {"rule": 1})


@pytest.mark.parametrize("name", BUILDERS)
def test_every_builder_is_registered_under_its_name_and_finds_nothing_where_nothing_is(
    name: str, tmp_path: Path
) -> None:
    assert lookup(BUILDERS, "builder", name).name == name
    with play(tmp_path, [], Spelling(arguing)) as run:
        assert made(run, name) == ([], {})
