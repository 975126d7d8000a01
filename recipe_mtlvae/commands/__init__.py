"""The commands of `python -m recipe_mtlvae`, one module each."""
