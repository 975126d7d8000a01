"""Metadata and files on disk: tables, splits, names, coverage, the data check."""
