"""The ablation's table, on metrics written by hand."""

import json

import pytest

from local.ablation_table import ROWS, table_of
from recipe_mtlvae.conf import CONF_DIR
from recipe_mtlvae.errors import RecipeError


def write_runs(folder, seeds):
    for system in ROWS:
        for seed, score in enumerate(seeds, 1):
            run = folder / f"ablation-{system}-{seed}"
            run.mkdir(parents=True)
            for file in ("metrics.json", "metrics_public.json"):
                (run / file).write_text(json.dumps({"event_f1": score, "segment_f1": 2 * score}))


def test_the_rows_are_the_shipped_systems():
    assert set(ROWS) == {file.stem for file in (CONF_DIR / "ablation").glob("*.yaml")}


def test_each_cell_is_ours_beside_the_reports(tmp_path):
    write_runs(tmp_path, [0.25])
    rows = table_of(tmp_path, "ablation").splitlines()
    assert rows[2] == "| strong synthetic only | 25.0 (12.6) | 25.0 (12.4) | 50.0 (31.4) | 50.0 (38.0) |"
    assert rows[5].startswith("| + strong real: all four, variational | 25.0 (32.5) |")


def test_several_seeds_are_shown_as_mean_and_standard_deviation(tmp_path):
    """0.2 and 0.3: 25 % with a sample deviation of 7.1 %."""
    write_runs(tmp_path, [0.2, 0.3])
    assert "| 25.0 ± 7.1 (12.6) |" in table_of(tmp_path, "ablation")


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"no run of ablation-synthetic has metrics\.json"):
        table_of(tmp_path, "ablation")


def test_a_baseline_beside_a_run_is_no_further_seed(tmp_path):
    write_runs(tmp_path, [0.25])
    beside = tmp_path / "ablation-synthetic-1-baseline"
    beside.mkdir()
    (beside / "metrics.json").write_text(json.dumps({"event_f1": 0.9, "segment_f1": 0.9}))
    assert "| strong synthetic only | 25.0 (12.6) |" in table_of(tmp_path, "ablation")
