"""The schedule of a training over its planned steps: learning rate, length and moving average."""

from __future__ import annotations

import math

import pytest
import torch

from local.training.schedule import Plan, moving_average, plan_of, rate_factor
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.errors import RecipeError


def train_conf(*settings: str):
    return load_conf(settings=[f"train.{setting}" for setting in settings]).train


def test_the_learning_rate_of_the_report_is_constant():
    assert [rate_factor(train_conf(), Plan(2, 100), step) for step in (0, 99, 199, 500)] == [1.0] * 4


def test_a_cosine_rises_over_a_tenth_of_the_steps_and_ends_at_zero():
    train, plan = train_conf("schedule=cosine"), Plan(2, 100)
    assert [rate_factor(train, plan, step) for step in (0, 9, 19)] == [0.05, 0.5, 1.0]
    assert rate_factor(train, plan, 20) == 1.0
    assert rate_factor(train, plan, 20 + 60) == pytest.approx(0.5 * (1 + math.cos(math.pi / 3)))
    assert rate_factor(train, plan, 200) == pytest.approx(0.0, abs=1e-12)


def test_a_continued_run_keeps_its_first_plan():
    assert plan_of(train_conf("max_epochs=40"), 25, None) == Plan(40, 25)
    assert plan_of(train_conf("max_epochs=200"), 25, Plan(40, 25)) == Plan(40, 25)


@pytest.mark.parametrize("epochs", [20, 80])
def test_a_schedule_that_ends_at_zero_keeps_its_planned_length(epochs):
    with pytest.raises(RecipeError, match=f"expected 40, after which .* reaches zero, got {epochs}; give --tag"):
        plan_of(train_conf(f"max_epochs={epochs}", "schedule=cosine"), 25, Plan(40, 25))


def test_the_moving_average_forgets_its_start_and_averages_integer_buffers_as_floats():
    """The first update copies the weights; update n keeps (1 + n) / (10 + n) of the average, at most the factor."""
    average = moving_average(0.99)._kwargs["avg_fn"]
    assert average(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(1)).item() == pytest.approx(1 - 2 / 11)
    assert average(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(10_000)).item() == pytest.approx(0.01)
    assert average(torch.tensor(4), torch.tensor(5), torch.tensor(10_000)).dtype == torch.float32
