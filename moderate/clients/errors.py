"""Errors that every client can meet, beside the three kinds."""

from moderate.errors import TemporaryError


class CredentialsRejected(TemporaryError):  # noqa: N818 - says what happened
    """The peer does not accept our account.

    Temporary on purpose: a wrong password is a fault of the installation,
    not of the work item that met it. Items wait, capped, until somebody has
    mended the setting, instead of going dead all at once.
    """


class UnreadableAnswer(TemporaryError):  # noqa: N818 - says what happened
    """The peer said yes in a form that is not in its contract.

    Temporary: nearly always it is somebody in between who answered (a proxy's
    maintenance page), or a release of the peer that is being rolled back.
    """
