"""The tasks that a network learns. All code that lists tasks, their heads or their losses reads this table.

To add a task: its entry here and its weight, `loss.<name>`, in conf/base.yaml; a new kind of head also in HEADS of
nets/vae.py, a new kind of loss in LOSSES of nets/losses.py. A task, its weight and its log share one name, which also
seeds the order of the task's clips. The syntax is Python 3.8's, since the adapter for the toolkit imports this file.
"""

from __future__ import annotations

from typing import Collection, NamedTuple  # noqa: UP035  Python 3.8


class Task(NamedTuple):
    """One objective with clips, a head and a loss term of its own."""

    labels: str  # that the splits need from which it learns: strong | weak | none
    head: str  # kind of head, a key of HEADS in nets/vae.py
    loss: str  # kind of loss, a key of LOSSES in nets/losses.py
    real: bool = True  # whether its clips are real recordings, as at inference


# In the order in which heads are built and initialised
TASKS = {
    "strong_synth": Task("strong", "strong", "strong_bce", real=False),
    "weak": Task("weak", "weak", "weak_bce"),
    "reconstruction": Task("none", "reconstruction", "reconstruction_mse"),
    "strong_real": Task("strong", "strong", "strong_bce"),
}
LOSS_TERMS = (*TASKS, "kld", "consistency")  # of each task, KL divergence of the posterior, distance to the average
# Heads of the adapter's own network: the toolkit mixes synthetic and real clips in one strong set, with one head
TOOLKIT_TASKS = tuple(name for name, task in TASKS.items() if task.real)


def with_head(kind: str, among: Collection[str]) -> list[str]:
    """Return the tasks of `among` that have a head of this kind, in the table's order."""
    return [name for name, task in TASKS.items() if task.head == kind and name in among]


def inference_head(kind: str, among: Collection[str]) -> str | None:
    """Return the task whose head of this kind is used at inference; None if `among` has none.

    It is the first one with real clips, or else the first one.
    """
    return min(with_head(kind, among), key=lambda name: not TASKS[name].real, default=None)
