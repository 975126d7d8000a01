"""The recipe: one thin main a stage, and in folders what they are made of: data, training, prediction, studies."""

import recipe_mtlvae  # noqa: F401  first of all: it readies a process for signals
