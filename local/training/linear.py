"""Training of a linear layer on embeddings: cross-entropy of steps and clips with the weights of Eq. 1."""

from __future__ import annotations

import dataclasses

from torch import Tensor
from torch.nn import functional

from local.training.base import SystemTraining
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.tasks import TASKS


class LinearTraining(SystemTraining):
    """Trains with the report's loss terms for labelled clips."""

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        logits = self.net(**batch.scaled(self.inputs))  # (batch, steps, classes)
        terms = {}
        for task, rows in batch.spans.items():
            strong = TASKS[task].labels == "strong"
            scores, targets = (logits, batch.strong) if strong else (logits.amax(dim=1), batch.weak)
            terms[task] = functional.binary_cross_entropy_with_logits(scores[rows], targets[rows])
        weights = dataclasses.asdict(self.conf.loss)
        loss = sum(weights[task] * term for task, term in terms.items())
        self.log_figures(batch, loss, {f"loss/{name}": term for name, term in terms.items()})
        return loss
