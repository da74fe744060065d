"""How a run ends: the exit codes are the contract with the launcher.

The codes are those of BSD ``sysexits.h``:

==== ============= ==================================================
code name          meaning
==== ============= ==================================================
0                  the report was uploaded, and the store confirmed it
1                  a fault of this program
65   EX_DATAERR    the input can never work; trying again is useless
75   EX_TEMPFAIL   a transfer failed in a way that may pass
78   EX_CONFIG     the environment lacks something or is wrong
==== ============= ==================================================

The message of each error is the summary that end users read: plain words, one
line, no URL, no secret.
"""

import os

EXIT_OK = 0
EXIT_BUG = 1


class WorkloadError(Exception):
    """An end that we foresaw; ``exit_code`` tells the launcher which."""

    exit_code: int = EXIT_BUG


class InputError(WorkloadError):
    """The data, as they are, can never give a report."""

    exit_code = os.EX_DATAERR


class TransferError(WorkloadError):
    """A download or an upload failed, and a later try may succeed."""

    exit_code = os.EX_TEMPFAIL


class ConfigError(WorkloadError):
    """The environment is incomplete or wrong; an operator has to look."""

    exit_code = os.EX_CONFIG
