"""Score sheets: their enumeration, their thresholds and what a file may hold."""

import itertools
import json
import statistics

import numpy as np
import pytest
from pydantic import ValidationError

from simarena.errors import ScenarioError
from simarena.tasks import scoresheets as sheets
from simarena.tasks.scoresheets import ScoreSheets

SMALL = {"parties": 3, "issues": (3, 2), "points": 20}


def test_scores_agree_with_adding_up_the_card_of_every_deal():
    task = ScoreSheets(**SMALL).generate(4)
    table = sheets.score_table(sheets.as_sheets(task.truth["sheets"]))
    deals = [list(deal) for deal in itertools.product(*task.public["issues"].values())]
    assert table.shape == (3, len(deals))
    for place, deal in enumerate(deals):
        assert sheets.write_deal((3, 2), place) == deal
        assert sheets.position((3, 2), deal) == place
        for party in range(3):
            assert sum(task.private[f"party_{party}"]["scores"][name] for name in deal) == table[party, place]


def test_a_partys_best_deal_is_worth_all_its_points():
    for seed in range(20):
        table = sheets.score_table(sheets.as_sheets(ScoreSheets().generate(seed).truth["sheets"]))
        assert table.max(axis=1).tolist() == [100] * 6
        assert table.shape == (6, 720)


def test_minimums_are_quantiles_of_a_partys_own_scores():
    task = ScoreSheets(thresholds=0.5, unanimous=False).generate(0)
    table = sheets.score_table(sheets.as_sheets(task.truth["sheets"]))
    for row, minimum in zip(table, task.truth["minimums"], strict=True):
        assert (row < minimum).mean() <= 0.5 <= (row <= minimum).mean()


def test_difficulty_of_the_published_setting():
    """A hundred random six-party sheets had a median of 49.5 deals passing five-party and 10 unanimous, 9 with none."""
    five, six = [], []
    for seed in range(100):
        truth = ScoreSheets(unanimous=False).generate(seed).truth
        table, minimums = sheets.as_sheets(truth["sheets"]), tuple(truth["minimums"])
        five.append(int(sheets.passing(table, minimums, 5, (0, 1)).sum()))
        six.append(truth["unanimous"])
    assert 30 <= statistics.median(five) <= 80
    assert 5 <= statistics.median(six) <= 20
    assert 3 <= sum(count == 0 for count in six) <= 20


def test_unanimous_draws_again_until_all_can_be_served():
    assert all(ScoreSheets(**SMALL).generate(seed).truth["unanimous"] > 0 for seed in range(40))


def test_hopeless_thresholds_say_what_to_change():
    with pytest.raises(ScenarioError, match="lower thresholds"):
        ScoreSheets(parties=26, issues=(2,), thresholds=0.9).generate(0)


def test_passing_needs_the_number_and_the_veto():
    table = (((5, 0),), ((0, 5),), ((5, 0),))  # one issue, two deals: parties 0 and 2 like the first
    assert sheets.passing(table, (1, 1, 1), 2).tolist() == [True, False]
    assert sheets.passing(table, (1, 1, 1), 2, (1,)).tolist() == [False, False]
    assert sheets.passing(table, (1, 1, 1), 1, (1,)).tolist() == [False, True]


def test_verify_gives_the_share_of_parties_served():
    family = ScoreSheets(**SMALL)
    task = family.generate(0)
    table = sheets.score_table(sheets.as_sheets(task.truth["sheets"]))
    for place in range(table.shape[1]):
        happy = (table[:, place] >= np.array(task.truth["minimums"])).mean()
        assert family.verify(task, sheets.write_deal((3, 2), place)) == pytest.approx(happy)
    for junk in (None, [], ["A1"], ["B1", "A1"], ["A1", "B9"], "A1", {"A": 1}, [["A1"], "B1"]):
        assert family.verify(task, junk) == 0.0


def test_given_weights_set_what_each_issue_is_worth():
    weights = ((3, 1), (0.5, 0.5), (1, 0))
    task = ScoreSheets(**SMALL, weights=weights, unanimous=False).generate(1)
    tops = [[max(issue) for issue in sheet] for sheet in task.truth["sheets"]]
    assert tops == [[15, 5], [10, 10], [20, 0]]


def test_points_are_shared_out_exactly():
    assert sheets.split(100, [1, 1, 1]) == [34, 33, 33]
    assert sum(sheets.split(97, [0.2, 3, 1, 0.7])) == 97


def test_a_sheet_file_takes_the_place_of_drawing(tmp_path):
    path = tmp_path / "sheets.json"
    content = {"sheets": [[[5, 0], [0, 5]], [[0, 4], [6, 0]]], "minimums": [5, 4], "names": {"A": "place"}}
    path.write_text(json.dumps(content), encoding="utf-8")
    family = ScoreSheets(sheet_file=str(path))
    task = family.generate(0)
    assert (family.parties, family.sizes) == (2, (2, 2))
    assert task.public == {"issues": {"A": ["A1", "A2"], "B": ["B1", "B2"]}, "names": {"A": "place"}}
    assert task.truth["minimums"] == [5, 4]
    assert task.private["party_1"]["scores"] == {"A1": 0, "A2": 4, "B1": 6, "B2": 0}
    assert family.generate(9).truth == task.truth


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not a sheet file"),
        ('{"sheets": [[[1, 2]], [[1]]], "minimums": [1, 1]}', "same issues"),
        ('{"sheets": [[[1, 2]], [[1, 2]]], "minimums": [1]}', "2 sheets and 1 minimums"),
        ('{"sheets": [[[1, 2]], [[1, 2]]], "minimums": [1, 1], "sheet": 1}', "sheet"),
    ],
)
def test_a_bad_sheet_file_is_refused_with_its_name(tmp_path, content, says):
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ScenarioError, match=says) as error:
        ScoreSheets(sheet_file=str(path))
    assert "bad.json" in str(error.value)


def test_a_missing_sheet_file_is_named():
    with pytest.raises(ScenarioError, match=r"nowhere\.json"):
        ScoreSheets(sheet_file="nowhere.json")


@pytest.mark.parametrize(
    "params",
    [
        {"parties": 1},
        {"issues": (1, 3)},
        {"issues": ()},
        {"issues": (9,) * 9},
        {"points": 5},
        {"thresholds": 1.0},
        {"thresholds": ()},
        {"weights": ((1, 2),)},
        {"parties": 2, "issues": (2, 2), "weights": ((0, 0), (1, 1))},
        {"theme": "festival", "issues": (6, 2)},
        {"party": 3},
    ],
)
def test_impossible_knobs_are_refused(params):
    with pytest.raises(ValidationError):
        ScoreSheets(**params)
