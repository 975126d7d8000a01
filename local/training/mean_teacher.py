"""The baseline recipe's system, which the recurrent VAE replaces: the mean-teacher CRNN of DCASE 2022 Task 4."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from local.training.base import SystemTraining
from local.training.schedule import Plan, warm_up
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.inputs.batches import Batch, BatchPlan, JoinedData, TaskData
from recipe_mtlvae.tasks import with_head


class MeanTeacherTraining(SystemTraining):
    """Student: supervised losses and consistency with the teacher. Teacher: the student's moving average."""

    set_labels = {"weak": "weak", "strong": "strong", "unlabeled": "none"}  # noqa: RUF012  the order of mixup's draws

    def __init__(self, conf: Conf, classes: tuple[str, ...]) -> None:
        super().__init__(conf, classes)
        self.teacher = copy.deepcopy(self.net).requires_grad_(False)  # stays in train mode, with its own dropout

    @property
    def warm_up_steps(self) -> int:
        return warm_up_steps(self.conf.mean_teacher.warmup_epochs, self.plan)

    @staticmethod
    def batch_plan(conf: Conf, tasks: dict[str, TaskData]) -> BatchPlan:
        """Return the baseline's batch: one strong set of synthetic and real clips, the weak and the unlabeled set."""
        strong = [tasks[task] for task in with_head("strong", tasks)]
        sets = {"strong": JoinedData(*strong), "weak": tasks["weak"], "unlabeled": tasks["reconstruction"]}
        shares = conf.mean_teacher
        clips = {"strong": shares.strong_clips, "weak": shares.weak_clips, "unlabeled": shares.unlabeled_clips}
        return BatchPlan(sets, clips)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        inputs = batch.scaled(self.inputs)
        strong, weak = self.net(**inputs)
        with torch.no_grad():
            teacher_strong, teacher_weak = self.teacher(**inputs)
        strong_rows, weak_rows = batch.spans["strong"], batch.spans["weak"]
        terms = {
            "strong": functional.binary_cross_entropy(strong[strong_rows], batch.strong[strong_rows].transpose(1, 2)),
            "weak": functional.binary_cross_entropy(weak[weak_rows], batch.weak[weak_rows]),
            "consistency_strong": functional.mse_loss(strong, teacher_strong),
            "consistency_weak": functional.mse_loss(weak, teacher_weak),
        }
        consistency = self.conf.mean_teacher.consistency * self._ramp(self.global_step)
        loss = terms["strong"] + terms["weak"]
        loss = loss + consistency * (terms["consistency_strong"] + terms["consistency_weak"])
        self.log_figures(batch, loss, {f"loss/{name}": term for name, term in terms.items()})
        return loss

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        factor = min(1.0 - 1.0 / (self.global_step + 1), self.conf.mean_teacher.ema)
        for mean, parameter in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
            mean.mul_(factor).add_(parameter, alpha=1.0 - factor)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.conf.train.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._ramp)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _ramp(self, step: int) -> float:
        """Return the factor of the learning rate and of the consistency: an exponential warm-up from exp(-5) to 1."""
        return warm_up(step, self.warm_up_steps)


def warm_up_steps(epochs: int, plan: Plan) -> int:
    """Return the steps of this many epochs, but at most a quarter of the planned steps."""
    return min(epochs * plan.epoch_steps, plan.steps // 4)
