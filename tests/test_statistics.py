"""How the counts of a clip change with the threshold: counted by hand, and compared with sed_scores_eval."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.scenarios import PSDS1, PSDS2, Intersection
from recipe_mtlvae.scoring.scores import ClipScores
from recipe_mtlvae.scoring.statistics import Changes, changes

ANY = Intersection(dtc=0.5, gtc=0.5, cttc=None)


def of_one_clip(scores: list[float], truth: list[Event], criteria: Intersection = ANY) -> Changes:
    """Return the changes of a clip of one class with windows of 1 s."""
    clip = ClipScores(np.arange(len(scores) + 1.0), np.array(scores)[:, None])
    return changes([clip], [truth], {"Cat": 0}, [criteria])[0]["Cat"]


def rows(result: Changes) -> list[tuple[float, int, int]]:
    return list(zip(result.score.tolist(), result.tps.tolist(), result.fps.tolist(), strict=True))


def test_a_false_detection_appears_at_its_highest_score():
    # appears at 0.9; at 0.5 and 0.1 it only grows
    assert rows(of_one_clip([0.1, 0.5, 0.9, 0.5, 0.1], [])) == [(0.9, 0, 1)]


def test_two_detections_merge_at_the_score_between_them():
    assert rows(of_one_clip([0.8, 0.3, 0.6], [])) == [(0.3, 0, -1), (0.6, 0, 1), (0.8, 0, 1)]


def test_a_detection_may_grow_into_a_true_one_and_out_of_it_again():
    # at 0.9: 1 s in 4 s of truth finds nothing, but is relevant; at 0.8: 2 s find it; at 0.1: 4 of 9 s are not enough
    truth = [Event(0.0, 4.0, "Cat")]
    assert rows(of_one_clip([0.9, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1], truth)) == [(0.1, -1, 1), (0.8, 1, 0)]


def test_relevant_detections_find_an_event_together():
    # 1 s each of 4 s: half of it when both are there
    assert rows(of_one_clip([0.9, 0.0, 0.7, 0.0], [Event(0.0, 4.0, "Cat")])) == [(0.7, 1, 0)]


def test_scores_below_every_threshold_are_never_detected():
    inf = np.inf
    assert rows(of_one_clip([-inf, 0.5, -inf], [])) == [(0.5, 0, 1)]
    assert rows(of_one_clip([-inf, -inf, -inf], [])) == []


def test_cross_triggers_name_the_class_whose_truth_they_hit():
    clip = ClipScores(np.arange(5.0), np.array([[0.9, 0.0], [0.9, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    truth = [[Event(0.0, 2.0, "Dog"), Event(3.0, 4.0, "Cat")]]
    criteria = Intersection(dtc=0.1, gtc=0.1, cttc=0.3)
    cat = changes([clip], truth, {"Cat": 0, "Dog": 1}, [criteria])[0]["Cat"]
    above = cat.score == 0.9
    assert (cat.fps[above].tolist(), cat.cts["Dog"][above].tolist()) == ([1], [1])


@pytest.mark.parametrize("scenario", [PSDS1, PSDS2])
@pytest.mark.parametrize("rounded", [False, True])
def test_agrees_with_sed_scores_eval_on_random_clips(scenario, rounded):
    """Compares the change of each count at each score of each clip. Rounded scores have many equal values."""
    from sed_scores_eval.base_modules.scores import create_score_dataframe
    from sed_scores_eval.intersection_based.intermediate_statistics import intermediate_statistics_deltas

    random = np.random.default_rng(1)
    columns = {"Cat": 0, "Dog": 1, "Speech": 2}
    clips, truth = zip(*(random_clip(random, list(columns), rounded) for _ in range(40)), strict=True)
    reference = intermediate_statistics_deltas(
        {f"{i:03}": create_score_dataframe(clip.scores, clip.edges, list(columns)) for i, clip in enumerate(clips)},
        {f"{i:03}": [(event.onset, event.offset, event.label) for event in events] for i, events in enumerate(truth)},
        dtc_threshold=scenario.criteria.dtc,
        gtc_threshold=scenario.criteria.gtc,
        cttc_threshold=scenario.criteria.cttc,
    )
    result = changes(clips, truth, columns, [scenario.criteria])[0]
    compared = 0
    for i in range(len(clips)):
        for label, found in result.items():
            here = found.clip == i
            own = {"tps": found.tps[here], "fps": found.fps[here]}
            own |= {f"cts\\{other}": cts[here] for other, cts in found.cts.items()}
            scores, counts = reference[f"{i:03}"][label]
            for name, own_changes in own.items():
                assert total(found.score[here], own_changes) == total(scores, counts[name])
                compared += len(own_changes)
    assert compared > 1000


def total(scores: np.ndarray, counts: np.ndarray) -> dict[float, int]:
    """Return the non-zero changes by score."""
    sums: dict[float, int] = {}
    for score, count in zip(scores.tolist(), counts.tolist(), strict=True):
        sums[score] = sums.get(score, 0) + int(count)
    return {score: count for score, count in sorted(sums.items()) if count}


def random_clip(random: np.random.Generator, classes: list[str], rounded: bool) -> tuple[ClipScores, list[Event]]:
    """Return windows of unequal length with scores that follow the truth, and truth that may pass the clip's end."""
    windows = int(random.integers(1, 60))
    edges = np.append(0.0, np.cumsum(random.choice([0.064, 0.1, 0.25], windows))).round(6)
    events, scores = [], random.normal(0.4, 0.15, (windows, len(classes)))
    for column, label in enumerate(classes):
        borders = np.sort(random.choice(130, 2 * random.integers(0, 4), replace=False)) * edges[-1] / 120
        for onset, offset in borders.round(3).reshape(-1, 2).tolist():
            if onset < offset:
                events.append(Event(onset, offset, label))
                scores[(edges[:-1] < offset) & (edges[1:] > onset), column] += 0.3
    return ClipScores(edges, scores.round(1) if rounded else scores), events
