"""Completes a tree of DESED: what is there is kept, what is missing is linked, fetched or generated."""
