"""report.html: a comparison of systems on the same clips, made from files alone."""
