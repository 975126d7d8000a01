"""Complete a DESED tree: what is there is kept, what is missing is linked, fetched or generated."""
