"""Real kills of real processes: nothing is lost, told twice or left over."""
