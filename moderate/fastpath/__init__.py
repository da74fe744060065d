"""From a message to the first line of work in a third of a second.

::

    RabbitMQ --> intake --> inbox --NOTIFY--> intake --> run, offered
                                                           | NOTIFY
    Dagster's storage <-- child, forked per run <-- worker-+

``launcher`` offers runs in our Postgres, ``worker`` claims them and has
``template``, a process with the code loaded and nothing else, fork a child
for each; ``intake`` moves messages and creates runs. Off by default; what
Dagster keeps to itself is touched in ``child``, ``launcher`` and
``submitting`` alone, each of which says why.
"""
