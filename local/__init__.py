"""What belongs to this task: data preparation, the two systems' training, and one thin main a stage."""

import recipe_mtlvae  # noqa: F401  first of all: it readies a process for signals
