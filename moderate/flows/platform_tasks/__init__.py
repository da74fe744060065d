"""Batches of cheap items, each of which is a task of the platform API.

``run`` is what a flow's op calls, ``errands`` the part that differs between
flows. ``batch`` works through the items; ``meanings`` says what the API's
errors mean, ``slots`` bounds the tasks in flight, ``sight`` notices an API
that is away, ``report`` is the table on the run's page.
"""
