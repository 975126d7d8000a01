"""What prediction stores of the latent space for the report page."""

import numpy as np
import pytest
import torch

from local.prediction.latent_space import POSITIONS, latent_space
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.nets.vae import MTLVAE
from recipe_mtlvae.tasks import TASKS
from tests.tiny import make_tiny_corpus, tiny_conf


@pytest.fixture(scope="module")
def split_and_grid(tmp_path_factory):
    conf = tiny_conf()
    root = make_tiny_corpus(tmp_path_factory.mktemp("corpus"), conf)
    return open_split(Corpus(conf, root), "validation"), Grid.of(conf.features, conf.data.clip_seconds)


def network(**options) -> MTLVAE:
    torch.manual_seed(0)
    return MTLVAE(classes=2, hidden=8, latent=4, **options).eval()


def test_each_point_is_mu_at_a_step_of_its_class(split_and_grid):
    split, grid = split_and_grid
    latents = latent_space(network(), split, grid, ("Beep", "Hum"))
    assert latents.mu.shape == (40, 4)  # 4 clips, 10 steps each
    assert latents.label.tolist() == ["Beep"] * 10 + ["Hum"] * 10 + ["Beep"] * 10 + ["Hum"] * 10


def test_the_traversal_has_one_spectrum_per_position(split_and_grid):
    split, grid = split_and_grid
    latents = latent_space(network(), split, grid, ("Beep", "Hum"))
    assert latents.traversal.shape == (len(POSITIONS), 128)
    assert np.isfinite(latents.traversal).all() and latents.traversal.std(axis=0).max() > 0


def test_without_a_reconstruction_head_there_is_no_traversal(split_and_grid):
    split, grid = split_and_grid
    net = network(tasks=[task for task in TASKS if task != "reconstruction"])
    assert latent_space(net, split, grid, ("Beep", "Hum")).traversal is None
