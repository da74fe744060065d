"""Rules of the analyses: outcomes, names, logs, the process launcher."""
