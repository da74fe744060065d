"""The calls that an item needs, one after the other; each in some thread."""

from dataclasses import dataclass

from moderate.clients.http import HttpTemporaryError
from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import TaskState
from moderate.errors import ModerateError, TemporaryError
from moderate.flows.platform_tasks.errands import Errand
from moderate.flows.platform_tasks.sight import ApiAwayError, answers
from moderate.inbox.model import WorkItem
from moderate.redaction import Redactor

CONFLICT = 409


@dataclass(frozen=True)
class Calls:
    """Makes calls for the items of one errand.

    Args:
        api: The platform API.
        errand: What is asked for.
        redactor: Cleans what errors quote.
    """

    api: PlatformApi
    errand: Errand
    redactor: Redactor

    def ask(self, item: WorkItem) -> object:
        """Ask for what an item is about.

        Raises:
            ApiAwayError: The API answers nothing else either.
            ModerateError: It refused, or failed.
        """
        try:
            return self.errand.ask(item)
        except TemporaryError as error:
            if status_of(error) != CONFLICT and not answers(self.api):
                raise ApiAwayError(self._said(error)) from error
            raise

    def poll(self, task_id: int) -> object:
        """Look at a task; ``None`` if the API has forgotten it.

        Raises:
            ApiAwayError: It can't be read.
        """
        try:
            return self.api.get_task(task_id)
        except ModerateError as error:
            # Whatever it is, it is no fault of the item.
            raise ApiAwayError(self._said(error)) from error

    def find(self, owner: str) -> object:
        """Find the item that an owner is to have, or why there is none."""
        return self.errand.owners and self.errand.owners.find(owner)

    def has_ended(self, task_id: int) -> bool:
        """Say whether the end of somebody's task can be seen."""
        try:
            task = self.api.get_task(task_id)
        except ModerateError:
            return False
        return task is not None and task.state is not TaskState.RUNNING

    def _said(self, error: Exception) -> str:
        return self.redactor.redact(str(error))


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of an error that has one."""
    return error.status if isinstance(error, HttpTemporaryError) else None
