"""report.html: systems held against each other on the same clips, from files alone."""
