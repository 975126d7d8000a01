"""The recipe: one thin main module per stage, and folders with what the stages are built from."""

import recipe_mtlvae  # noqa: F401  imported first: it prepares the process for signals
