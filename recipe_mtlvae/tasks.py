"""The tasks that a network learns: everything that lists tasks, their heads or their losses reads this table.

To add one: its line here and its weight, `loss.<name>`, in conf/base.yaml; where its head or its loss is of a new kind,
that in HEADS of nets/vae.py or in LOSSES of nets/losses.py. A task, its weight and its log share one name. The syntax
is Python 3.8's, since the adapter for the toolkit imports this file; a name also seeds the order of its task's clips.
"""

from __future__ import annotations

from typing import Collection, NamedTuple  # noqa: UP035  Python 3.8


class Task(NamedTuple):
    """One objective with clips, a head and a loss term of its own."""

    labels: str  # of the splits that it learns from, at least: strong | weak | none
    head: str  # kind, a key of nets/vae.py: HEADS
    loss: str  # kind, a key of nets/losses.py: LOSSES
    real: bool = True  # its clips are recordings, as those at inference


# In the order in which heads are built and initialised
TASKS = {
    "strong_synth": Task("strong", "strong", "strong_bce", real=False),
    "weak": Task("weak", "weak", "weak_bce"),
    "reconstruction": Task("none", "reconstruction", "reconstruction_mse"),
    "strong_real": Task("strong", "strong", "strong_bce"),
}
LOSS_TERMS = (*TASKS, "kld", "consistency")  # one a task, the posterior's KL divergence, the distance to the average
# Heads of the adapter's own network: the toolkit mixes synthetic and real clips in one strong set, for one head
TOOLKIT_TASKS = tuple(name for name, task in TASKS.items() if task.real)


def with_head(kind: str, among: Collection[str]) -> list[str]:
    """Those of some tasks that have a head of this kind, in the table's order."""
    return [name for name, task in TASKS.items() if task.head == kind and name in among]


def inference_head(kind: str, among: Collection[str]) -> str | None:
    """Whose head of this kind answers at inference: the first one of real clips, else the first one; None: no such."""
    return min(with_head(kind, among), key=lambda name: not TASKS[name].real, default=None)
