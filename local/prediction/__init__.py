"""Stage 2's parts: one split's scores by one process or several, and what the report shows of a network's inside."""
