"""The subcommands of ``moderate``, one module each."""
