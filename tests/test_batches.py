"""The four-task sampler and its batches."""

from collections import Counter

import numpy as np
import pytest
import torch
from lightning_fabric.utilities import move_data_to_device

from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.batches import (
    BatchPlan,
    JoinedData,
    MultiTaskData,
    MultiTaskSampler,
    TaskData,
    evaluation_batches,
    even_shares,
    hold_out,
    train_loader,
)
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.labels import Grid
from tests.tiny import make_tiny_corpus, tiny_conf

FOUR = {"strong_synth": 100, "weak": 40, "reconstruction": 200, "strong_real": 70}


def sampler(sizes=FOUR, **options) -> MultiTaskSampler:
    return MultiTaskSampler(sizes, even_shares(32, list(sizes)), **{"seed": 1, "epoch_steps": None, **options})


def test_four_tasks_share_32_as_eight_each():
    assert even_shares(32, list(FOUR)) == dict.fromkeys(FOUR, 8)


def test_three_tasks_share_32_as_11_11_and_10():
    assert list(even_shares(32, ["a", "b", "c"]).values()) == [11, 11, 10]


def test_an_epoch_ends_when_the_smallest_set_is_exhausted():
    """There are 40 weak clips, 8 in each batch."""
    assert len(list(sampler())) == 5


def test_epoch_steps_sets_the_length_of_an_epoch_instead():
    assert len(list(sampler(epoch_steps=13))) == 13


def test_one_epoch_shows_every_clip_of_the_smallest_set_once():
    seen = [index for batch in sampler() for index in batch["weak"]]
    assert sorted(seen) == list(range(40))


def test_a_larger_set_is_covered_evenly_over_the_epochs():
    """5 epochs of 5 steps of 8 clips show each of the 200 unlabeled clips once."""
    seen, drawn = Counter(), sampler()
    for epoch in range(5):
        drawn.set_epoch(epoch)
        seen.update(index for batch in drawn for index in batch["reconstruction"])
    assert set(seen.values()) == {1} and len(seen) == 200


def test_epochs_differ_and_each_is_repeatable():
    first, again, other = sampler(), sampler(), sampler()
    other.set_epoch(1)
    assert list(first) == list(again)
    assert list(first) != list(other)


def test_another_seed_gives_another_order():
    assert list(sampler()) != list(sampler(seed=2))


def test_two_processes_together_see_the_batches_of_one():
    whole, left, right = sampler(), sampler(rank=0, world=2), sampler(rank=1, world=2)
    for one, a, b in zip(whole, left, right, strict=True):
        for task in FOUR:
            assert len(a[task]) == len(b[task]) == 4  # the same proportions in each process
            assert sorted(a[task] + b[task]) == sorted(one[task])


def test_a_batch_too_small_for_its_processes_is_refused():
    with pytest.raises(RecipeError, match="too small for 9 processes"):
        sampler(world=9)


@pytest.mark.parametrize("epoch_steps", [None, 25])
def test_a_set_smaller_than_its_share_is_refused(epoch_steps):
    with pytest.raises(RecipeError, match="no whole batch"):
        sampler({"strong_synth": 10, "weak": 100}, epoch_steps=epoch_steps)


def recordings(*counts: int) -> list[list[str]]:
    return [[f"{number}.wav" for number in range(count)] for count in counts]


def test_hold_out_parts_are_disjoint_complete_and_seeded():
    ((kept, held),) = hold_out(recordings(1578), 0.1, seed=42)
    assert len(held) == 158 and sorted([*kept, *held]) == list(range(1578))
    assert np.array_equal(held, hold_out(recordings(1578), 0.1, seed=42)[0][1])


def test_the_held_out_share_is_drawn_from_the_clips_of_all_sets_together():
    ((kept, held),) = hold_out(recordings(10), 0.3, seed=42)
    (first, second) = hold_out(recordings(6, 4), 0.3, seed=42)
    assert [*first[1], *(second[1] + 6)] == list(held)
    assert [*first[0], *(second[0] + 6)] == list(kept)


def test_windows_of_one_recording_are_held_out_together_or_not_at_all():
    names = [f"{number}.wav" for number in range(20) for _ in range(3)]
    ((kept, held),) = hold_out([names], 0.1, seed=42)
    ((_, expected),) = hold_out(recordings(20), 0.1, seed=42)
    assert list(held) == [3 * row + window for row in expected for window in range(3)]
    assert sorted([*kept, *held]) == list(range(60))


def test_a_weak_set_of_few_clips_still_holds_one_out():
    ((kept, held),) = hold_out(recordings(4), 0.1, seed=42)
    assert (len(kept), len(held)) == (3, 1)


def test_a_weak_set_that_would_be_held_out_completely_is_refused():
    with pytest.raises(RecipeError, match="nothing would be left of 1 weak clips"):
        hold_out(recordings(1), 0.1, seed=42)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> dict[str, TaskData]:
    conf = tiny_conf()
    root = make_tiny_corpus(tmp_path_factory.mktemp("corpus"), conf)
    grid = Grid.of(conf.features, conf.data.clip_seconds)
    names = {"strong_synth": "synthetic_train", "weak": "weak", "reconstruction": "unlabeled"}
    return {
        task: TaskData(open_split(Corpus(conf, root), name), grid, conf.data.classes) for task, name in names.items()
    }


def test_a_batch_holds_its_tasks_side_by_side(tasks):
    batch = MultiTaskData(tasks)[{"strong_synth": [0, 3], "weak": [1], "reconstruction": [2, 4]}]
    assert batch.spans == {"strong_synth": slice(0, 2), "weak": slice(2, 3), "reconstruction": slice(3, 5)}
    assert batch.inputs["log_mel"].shape == (5, 128, 126) and batch.inputs["log_mel"].dtype == torch.float16
    scaled = batch.scaled(tasks["weak"].inputs)["log_mel"]
    assert scaled.amin(dim=(1, 2)).tolist() == pytest.approx([-1.0] * 5)
    assert scaled.amax(dim=(1, 2)).tolist() == pytest.approx([1.0] * 5)


def test_targets_are_those_of_the_clip_and_zero_for_missing_labels(tasks):
    """synthetic_train_0 has Beep from 0.25 s to 1.25 s, which are steps 3 to 19 of 64 ms."""
    batch = MultiTaskData(tasks)[{"strong_synth": [0], "weak": [1], "reconstruction": [0]}]
    assert torch.nonzero(batch.strong[0])[:, 0].tolist() == list(range(3, 20))
    assert batch.strong[0, :, 1].sum() == 0
    assert batch.weak.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]  # a strong clip has a weak label, too
    assert batch.strong[1:].sum() == 0


def test_the_loader_gives_one_batch_per_step(tasks):
    batches = list(train_loader(BatchPlan(tasks, even_shares(6, list(tasks))), seed=1, epoch_steps=None))
    assert [len(batch) for batch in batches] == [6, 6, 6]


def test_joined_sets_keep_each_clips_own_targets(tasks):
    """6 synthetic clips, then 10 weak ones."""
    batch = MultiTaskData({"both": JoinedData(tasks["strong_synth"], tasks["weak"])})[{"both": [7, 0, 6, 5]}]
    log_mel = batch.inputs["log_mel"].numpy()
    np.testing.assert_array_equal(log_mel[0], tasks["weak"].split.store.read([1])[0])
    np.testing.assert_array_equal(log_mel[3], tasks["strong_synth"].split.store.read([5])[0])
    assert batch.weak.tolist() == [[0, 1], [1, 0], [1, 0], [0, 1]]


def test_validation_covers_every_clip_once_over_all_processes(tasks):
    shares = [evaluation_batches(tasks["weak"], "weak", 4, rank, 3) for rank in range(3)]
    assert sorted(len(batch) for share in shares for batch in share) == [3, 3, 4]
    assert torch.cat([batch.weak for share in shares for batch in share]).sum() == len(tasks["weak"])


def test_a_process_without_a_share_of_the_validation_still_has_a_batch(tasks):
    shares = [evaluation_batches(tasks["weak"], "weak", 4, rank, 12) for rank in range(12)]
    assert all(len(list(share)) == 1 for share in shares)


def test_lightning_moves_all_tensors_of_a_batch_to_another_device(tasks):
    batch = MultiTaskData(tasks)[{"strong_synth": [0], "weak": [1]}]
    moved = move_data_to_device(batch, torch.device("meta"))
    assert moved.inputs["log_mel"].device.type == moved.strong.device.type == moved.weak.device.type == "meta"
    assert moved.spans == batch.spans


def test_the_order_of_a_set_is_drawn_once_per_turn_and_not_per_step(monkeypatch):
    drawn = []
    order = MultiTaskSampler._order
    monkeypatch.setattr(
        MultiTaskSampler, "_order", lambda self, task, turn: drawn.append(turn) or order(self, task, turn)
    )
    sampler = MultiTaskSampler({"weak": 10}, {"weak": 4}, seed=1, epoch_steps=5)
    seen = [index for batch in sampler for index in batch["weak"]]
    assert drawn == [0, 1]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
