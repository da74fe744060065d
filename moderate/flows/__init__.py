"""The flows: one folder each; no flow imports another.

What they share is here: ``ticks`` is the sensor's side of the inbox, ``work``
the run's side; ``platform_tasks`` works through batches of cheap items that
are tasks of the platform API.
"""
