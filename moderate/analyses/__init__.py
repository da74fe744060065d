"""How an analysis runs: one Launcher protocol, one module per launcher.

This file stays empty of imports: the supervisor of the process launcher is
started for every attempt, and pays for whatever stands here.
"""
