"""Variants of a system, trained with several seeds on several corpora, in one table: local/study.sh."""
