"""The arithmetic of the benchmarks: turns, medians, ratios and goals. Nothing is timed here."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.benchmarks import table, timing
from tests.benchmarks.energy import Energy
from tests.benchmarks.items import ITEMS
from tests.benchmarks.timing import Goal, Line, Way, interleaved, race
from tests.benchmarks.training import step_flop

LINE = Line("steps", "clips/s", (40.0, 10.0, 50.0), (4.0, 2.0, 5.0), (80.0, 40.0, 50.0), "a product")


@pytest.fixture
def clock(monkeypatch):
    """A clock that runs only when something is done: clock.do(seconds)."""
    clock = SimpleNamespace(now=0.0, log=[])

    def do(seconds: float, name: str = ""):
        def run() -> None:
            clock.now += seconds
            clock.log.append(name)

        return run

    clock.do = do
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_ways_take_turns_after_a_round_that_is_not_counted(clock):
    seconds = interleaved({"a": clock.do(2.0, "a"), "b": clock.do(3.0, "b")}, rounds=2)
    assert clock.log == ["a", "b", "a", "b", "a", "b"]
    assert seconds == {"a": (2.0, 2.0), "b": (3.0, 3.0)}


def test_a_race_counts_the_amount_that_a_run_does(clock):
    line = race("x", "clips/s", Way(clock.do(2.0), 32), Way(clock.do(8.0), 16), rounds=2, energy=False)
    assert (line.ours, line.baseline, line.ratio) == ((16.0, 16.0), (2.0, 2.0), 8.0)


def test_where_less_is_better_figures_are_seconds_and_the_ratio_is_inverted(clock):
    line = race("x", "s", Way(clock.do(2.0)), Way(clock.do(8.0)), rounds=1, energy=False, less_is_better=True)
    assert (line.ours, line.baseline, line.ratio) == ((2.0,), (8.0,), 4.0)


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    # Ratios by round: 10, 5, 10. Shares by round: 0.5, 0.25, 1; the medians alone would give a share of 40 / 50.
    assert LINE.ratio == 10.0
    assert LINE.share == 0.5


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal("ratio", 10.0), True),
        (Goal("ratio", 10.1), False),
        (Goal("share", 0.5), True),
        (Goal("share", 0.6), False),
        (Goal("value", 40.0), True),  # the median of ours
        (Goal("value", 41.0), False),
    ],
)
def test_a_goal_is_reached_at_its_limit(goal, reached):
    assert LINE.reached(goal) is reached


def test_a_goal_in_seconds_is_an_upper_limit():
    line = Line("start", "s", (0.4, 0.3, 9.0), less_is_better=True)
    assert line.reached(Goal("value", 0.4)) and not line.reached(Goal("value", 0.39))


def test_a_ratio_without_a_baseline_is_not_measured():
    assert Line("x", "s", (1.0,)).reached(Goal("ratio", 2.0)) is None


def test_the_table_shows_median_range_ratio_share_and_whether_the_goal_is_reached():
    line = Line(**{**vars(LINE), "goals": (Goal("ratio", 20.0), Goal("share", 0.5)), "energy": Energy(2e-6, "guessed")})
    assert table.row(line) == (
        "| steps, clips/s | 40 [10, 50] | 4 | 10 x | 50 (a product) | 50 % | >= 20 x: **no**; >= 50 %: yes "
        "| 2.00e-06 |  |"
    )
    assert "by codecarbon: guessed" in table.notes([line])


def test_json_holds_all_rounds_their_medians_and_the_goals_reached():
    content = json.loads(json.dumps(table.as_dict(Line(**{**vars(LINE), "goals": (Goal("ratio", 20.0),)}))))
    assert content["ours"] == [40.0, 10.0, 50.0]
    assert content["median"] == {"ours": 40.0, "baseline": 4.0, "bound": 50.0}
    assert content["goals"] == [{"kind": "ratio", "limit": 20.0, "reached": False}]


@pytest.mark.parametrize(
    "value, text", [(12345.6, "12,346"), (3.14159, "3.14"), (2e-5, "2.00e-05"), (9.8e9, "9.80e+09")]
)
def test_numbers_have_at_least_three_significant_digits(value, text):
    assert table.number(value) == text


def test_in_place_matrix_products_are_counted():
    a, b, out = torch.rand(2, 3, 4), torch.rand(2, 4, 5), torch.rand(2, 3, 5)
    assert step_flop(lambda: out.baddbmm_(a, b)) == 2 * 2 * 3 * 4 * 5
    assert step_flop(lambda: torch.bmm(a, b, out=out)) == 2 * 2 * 3 * 4 * 5


def test_each_timed_step_runs_and_its_products_are_counted():
    from recipe_mtlvae.conf import CONF_DIR, load_conf
    from tests.benchmarks import training

    for _, conf_file, settings, _ in training.STEPS:
        small = [*settings, "data.clip_seconds=1.0", "train.batch_size=8", "postprocess.median_filter=3"]
        conf = load_conf(CONF_DIR / conf_file, settings=small)
        assert training.step_flop(training.mtlvae_step(conf, training.random_batch(conf))) > 1e8, conf_file


def test_growth_gives_lines_of_what_it_measures(monkeypatch):
    """A small item stands for the long ones, so that the lines are made from the keys of a real measurement."""
    from tests.benchmarks import growth

    def figure(item: growth.Item, folder: str, clips: int) -> dict:
        return growth.measure(growth.ITEMS["metadata"], Path(folder), clips)

    monkeypatch.setattr(growth, "SOURCES", 2)
    monkeypatch.setattr(growth, "_figure", figure)
    lines = list(growth.lines(quick=True))
    assert [line.name.partition(",")[0] for line in lines] == ["features_short", "reading_short"]
    for line in lines:
        assert line.ours[0] > 0 and line.share is not None
        assert "MB with 300 clips" in table.notes([line])


def test_the_benchmark_of_live_detection_runs(made, checkpoint, monkeypatch, capsys):
    from tests.benchmarks import live

    monkeypatch.setattr(live, "LATENCIES", (0.5,))
    monkeypatch.setattr(live, "SPEED", 0.5)
    options = ["--checkpoint", str(checkpoint), "--data_root", str(made), "--clips", "2"]
    monkeypatch.setattr(sys, "argv", ["live", *options])
    live.main()
    *_, one_file, row = capsys.readouterr().out.splitlines()
    assert one_file.startswith("| one file | ") and row.startswith("| 0.51 | ")


@pytest.mark.parametrize("name", ITEMS)
def test_every_item_can_be_imported_and_gives_lines(name):
    from importlib import import_module

    assert callable(import_module(f"tests.benchmarks.{ITEMS[name].module}").lines)


def test_our_figures_from_50_thresholds_equal_those_of_the_baselines_way(tmp_path):
    """The two ways share no code and count the same operating points."""
    from recipe_mtlvae.scoring.metrics import score
    from recipe_mtlvae.scoring.operating_points import read_operating_points, step_scores
    from tests.benchmarks import fifty_thresholds, scoring

    system = scoring.generated(12, seed=3)
    theirs = fifty_thresholds.measured(system.scores, system.truth, system.durations, scoring.FILTER, tmp_path)
    points = read_operating_points(tmp_path)
    detected = points.events[0.5]
    points.events.pop(0.5)
    scores = step_scores(points, scoring.CLASSES, system.durations)
    ours = score(scores, detected, system.truth, system.durations).macro
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-6)
    # From the scores themselves: the same F1, and a PSDS at least as high, because no threshold is left out
    exact = scoring.ours(system).macro
    assert {name: exact[name] for name in theirs if "psds" not in name} == pytest.approx(
        {name: theirs[name] for name in theirs if "psds" not in name}
    )
    for name in ("psds1", "psds2"):
        assert 0.1 < theirs[name] <= exact[name] + 1e-9
