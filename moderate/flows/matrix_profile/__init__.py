"""Job messages become matrix profile reports.

::

    RabbitMQ --messages--> plan --> inbox --dispatch--> run --> analysis
                                      ^                  |
    platform API --jobs--> reconcile -+                  v
    platform API <--result-- platform_job_result items --+

``messages`` and ``reconcile`` bring work in, ``analysis`` does it,
``results`` tells the platform, once, and ``leftovers`` ends what nobody waits
for any more.
"""
