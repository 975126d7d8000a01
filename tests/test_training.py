"""Stage 1 on a tiny corpus: what it writes, that it is repeatable, and that it resumes."""

import json
import pickle
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from local.stage import Stage
from local.study.rows import flat, read_study
from local.train import train, training_inputs
from local.training.devices import Processes, processes_of, require_whole_batches
from local.training.divergence import DivergenceWarnings
from local.training.history import read_history
from recipe_mtlvae.conf import CONF_DIR, Conf, load_conf
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inputs.prepared import open_split
from recipe_mtlvae.nets.checkpoint import load_checkpoint, write_decoding
from tests.tiny import SETTINGS, make_tiny_corpus, tiny_conf

REPORT = read_study(CONF_DIR / "study" / "report.yaml")  # six systems


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tiny_conf())


def trained(run_dir: Path, root: Path, conf: Conf | None = None) -> Path:
    train(Stage(1, conf or tiny_conf(), root, run_dir))
    return run_dir


@pytest.fixture(scope="module")
def run(tmp_path_factory, root) -> Path:
    return trained(tmp_path_factory.mktemp("run"), root)


def losses(run_dir: Path) -> list[float]:
    return [row["loss/total"] for row in read_history(run_dir / "history.csv")]


def test_a_run_writes_checkpoints_energy_and_every_loss_term_by_name(run):
    assert (run / "best.ckpt").exists() and (run / "checkpoints" / "last.ckpt").exists()
    assert "training" in json.loads((run / "energy.json").read_text())
    row = read_history(run / "history.csv")[-1]
    assert {
        f"loss/{name}" for name in ("strong_synth", "strong_real", "weak", "reconstruction", "kld", "total")
    } <= set(row)
    assert {"kl/active_dims", "val/selection", "val/intersection_f1", "val/weak_f1"} <= set(row)


def test_the_total_is_the_sum_of_the_terms(run):
    row = read_history(run / "history.csv")[0]
    names = ("strong_synth", "strong_real", "weak", "reconstruction", "kld")
    assert row["loss/total"] == pytest.approx(sum(row[f"loss/{name}"] for name in names), rel=1e-5)


def test_two_runs_with_the_same_seed_have_identical_losses(run, root, tmp_path):
    assert losses(trained(tmp_path, root)) == losses(run)


def test_a_continued_run_equals_an_unbroken_one(run, root, tmp_path):
    """2 epochs and 2 more give the same losses and the same weights as 4 at once."""
    trained(tmp_path / "broken", root)
    trained(tmp_path / "broken", root, tiny_conf("train.max_epochs=4"))
    trained(tmp_path / "whole", root, tiny_conf("train.max_epochs=4"))
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    tuned = [load_checkpoint(tmp_path / name / "best.ckpt").decoding for name in ("broken", "whole")]
    assert tuned[0] is not None and tuned[0] == tuned[1]
    last = [load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt").net for name in ("broken", "whole")]
    for ours, theirs in zip(*(net.state_dict().values() for net in last), strict=True):
        assert torch.equal(ours, theirs)


def test_fewer_epochs_than_a_run_has_are_refused(root, tmp_path):
    trained(tmp_path, root)
    with pytest.raises(RecipeError, match=r"at least the 2 epochs that this run has trained, got 1; set 2 or"):
        trained(tmp_path, root, tiny_conf("train.max_epochs=1"))


def test_a_run_that_broke_within_an_epoch_resumes_from_the_last_complete_one(run, root, tmp_path, monkeypatch):
    from local.training.mtlvae import MTLVAETraining

    def break_in_the_second_epoch(self, batch, batch_index):
        if self.current_epoch == 1 and batch_index == 1:
            raise SystemError("power cut")
        return step(self, batch, batch_index)

    step = MTLVAETraining.training_step
    with monkeypatch.context() as patch, pytest.raises(SystemError):
        patch.setattr(MTLVAETraining, "training_step", break_in_the_second_epoch)
        trained(tmp_path, root)
    assert losses(trained(tmp_path, root)) == losses(run)


@pytest.mark.parametrize("setting", ["vae.reconstructs=all", "vae.masked=0.5", "vae.shared_strong_head=true"])
def test_a_variant_of_the_training_step_changes_its_own_loss_term(setting, root, tmp_path, run):
    """In the first epoch, all clips or only hidden spans are reconstructed, or one classifier gets both gradients."""
    row = read_history(trained(tmp_path, root, tiny_conf(setting, "train.max_epochs=1")) / "history.csv")[0]
    before = read_history(run / "history.csv")[0]
    changed = "loss/strong_real" if "head" in setting else "loss/reconstruction"
    assert row[changed] != before[changed]


@pytest.mark.parametrize("system", REPORT.variants)
def test_each_system_of_the_report_trains_a_step_and_detects(system, root, tmp_path):
    settings = [*SETTINGS, "train.batch_size=6", "train.max_epochs=1", "train.epoch_steps=1"]
    conf = load_conf(settings=[*settings, *flat(REPORT.variants[system].settings)])
    trained(tmp_path, root, conf)
    detection = Detector.load(tmp_path / "best.ckpt").detect(open_split(Corpus(conf, root), "validation").clips[0].path)
    assert detection.scores.shape == (31, 2)  # 2 s: 126 frames, 31 whole steps
    assert len(read_history(tmp_path / "history.csv")) == 1


def test_continuing_a_training_whose_clips_have_changed_is_refused(root, tmp_path, monkeypatch):
    stage = Stage(1, tiny_conf("train.max_epochs=1"), root, tmp_path)
    for _ in range(2):
        train(stage)
    monkeypatch.setattr("local.train.training_inputs", lambda data: training_inputs(data) | {"clips": "another hash"})
    with pytest.raises(RecipeError, match="clips or labels have changed since this run's training began"):
        train(stage)


def test_a_collapsed_posterior_is_reported_once(capsys):
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    warnings = DivergenceWarnings([])
    for active in (3.0, 0.0, 0.0):
        trainer.callback_metrics["kl/active_dims"] = torch.tensor(active)
        warnings.on_train_epoch_end(trainer, None)
    assert capsys.readouterr().err.count("warning: the posterior has collapsed") == 1


def test_a_checkpoint_carries_configuration_classes_and_features(run):
    checkpoint = load_checkpoint(run / "best.ckpt")
    assert checkpoint.classes == ("Beep", "Hum")
    assert checkpoint.conf == tiny_conf()
    assert not checkpoint.net.training


def test_the_best_checkpoint_carries_a_tuned_decoding_of_every_class(run):
    decoding = load_checkpoint(run / "best.ckpt").decoding
    assert {name: len(values) for name, values in decoding.items()} == {"thresholds": 2, "median_filters": 2}
    assert load_checkpoint(run / "checkpoints" / "last.ckpt").decoding is None


def test_a_damaged_decoding_is_refused_and_a_missing_one_is_none(run, tmp_path):
    content = torch.load(run / "best.ckpt", weights_only=True)
    for damaged in ({"net": {"thresholds": [0.5], "median_filters": [7]}}, {"net": [1]}, [1]):
        content["recipe"]["decoding"] = damaged
        torch.save(content, tmp_path / "x.ckpt")
        with pytest.raises(RecipeError, match="not a checkpoint of this recipe"):
            load_checkpoint(tmp_path / "x.ckpt")
    del content["recipe"]["decoding"]
    torch.save(content, tmp_path / "x.ckpt")
    assert load_checkpoint(tmp_path / "x.ckpt").decoding is None


def test_writing_the_same_decoding_again_does_not_change_the_file(run, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes((run / "best.ckpt").read_bytes())
    decoding = {"net": {"thresholds": (0.25, 0.5), "median_filters": (1, 3)}}
    assert write_decoding(path, decoding)
    before = path.stat()
    assert not write_decoding(path, decoding)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert load_checkpoint(path).decoding == {"thresholds": [0.25, 0.5], "median_filters": [1, 3]}
    assert [file.name for file in tmp_path.iterdir()] == ["x.ckpt"]


def test_opening_a_checkpoint_never_runs_code_from_it(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was_run",))

    (tmp_path / "hostile.ckpt").write_bytes(pickle.dumps({"recipe": Hostile()}))
    torch.save({"recipe": Hostile()}, tmp_path / "hostile2.ckpt")
    for name in ("hostile.ckpt", "hostile2.ckpt"):
        with pytest.raises(RecipeError, match="not a checkpoint"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", {"state_dict": {}}, {"recipe": {"format": 99}}, {"recipe": {"format": 1}}, [1]],
    ids=["empty", "text", "other", "version", "hollow", "list"],
)
def test_a_file_of_another_kind_is_refused(content, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(RecipeError, match=r"x.ckpt: not a checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_with_a_missing_weight_names_it(run, tmp_path):
    content = torch.load(run / "best.ckpt", weights_only=True)
    del content["state_dict"]["net.posterior.weight"]
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(RecipeError, match=r"do not fit.*posterior\.weight"):
        load_checkpoint(tmp_path / "x.ckpt")


def test_on_a_cpu_of_several_cores_two_processes_of_one_thread_share_the_work(monkeypatch):
    monkeypatch.setattr("local.training.devices.cores", lambda: 4)
    default = load_conf(settings=["train.accelerator=cpu"])
    assert processes_of(default) == Processes(2, "ddp", 1)
    monkeypatch.setattr("local.training.devices.cores", lambda: 1)
    assert processes_of(default) == Processes(1, "auto", None)


def test_configured_processes_are_used_unchanged():
    settings = ["train.accelerator=cpu", "train.devices=3", "train.strategy=ddp", "train.threads=4"]
    assert processes_of(load_conf(settings=settings)) == Processes(3, "ddp", 4)


@pytest.mark.parametrize("name", ["mean_teacher", "mtlvae_plus"])
def test_a_network_with_batch_norm_trains_in_one_process_on_a_cpu(name, monkeypatch):
    monkeypatch.setattr("local.training.devices.cores", lambda: 4)
    conf = load_conf(CONF_DIR / f"{name}.yaml", settings=["train.accelerator=cpu"])
    assert processes_of(conf) == Processes(1, "auto", None)
    with pytest.raises(RecipeError, match="expected 1 process on a CPU for a network with batch norm, got 2"):
        require_whole_batches(conf, Processes(2, "ddp", 1))


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_a_setting_that_lightning_refuses_is_reported_in_one_line(root, tmp_path):
    with pytest.raises(RecipeError, match=r"train\.accelerator, devices, strategy or precision: .*gpu"):
        trained(tmp_path, root, tiny_conf("train.accelerator=gpu"))
