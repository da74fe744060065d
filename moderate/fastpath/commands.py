"""From settings to the fast path's processes."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from dagster import DagsterInstance

from moderate.clients.rabbitmq import Rabbit
from moderate.connections import given, inbox_address, redactor
from moderate.fastpath.intake import Feeder, Intake, run_all
from moderate.fastpath.submitting import Target, on_behalf_of, submitter
from moderate.fastpath.worker import STALE, Options, Worker
from moderate.flows.asset_proofs import sensor as asset_proofs
from moderate.flows.matrix_profile import results
from moderate.flows.matrix_profile import sensor as matrix_profile
from moderate.flows.matrix_profile.intake import follow_messages
from moderate.flows.matrix_profile.kinds import FLOW as MATRIX_PROFILE
from moderate.flows.matrix_profile.wiring import source_of
from moderate.flows.ticks import RunRequestOf
from moderate.flows.user_dids import sensor as user_dids
from moderate.inbox.migrate import require_current_schema
from moderate.inbox.store import Inbox
from moderate.kinds import all_kinds
from moderate.logs import configure_logging
from moderate.settings import (
    PlatformApiSettings,
    RabbitSettings,
    Settings,
    process_settings,
)

__all__ = ["STALE", "take_in", "work"]


def work(module: str, alive_file: Path | None) -> int:
    """Run a worker until it is told to end; return its exit code.

    Args:
        module: The code location's module.
        alive_file: Touched while all is well.

    Raises:
        SettingsError: The settings of Postgres are absent.
        StaleSchemaError: The inbox has to be migrated first.
        WorkerGoneError: It can't go on.
    """
    settings = _prepare()
    with DagsterInstance.get() as instance:
        worker = Worker(
            instance,
            inbox_address(settings),
            Options(
                module=module,
                slots=settings.fast_path.slots,
                drain=settings.fast_path.drain,
                give_sign=_sign(alive_file),
            ),
        )
        return worker.run()


def take_in(target: Target, alive_file: Path | None) -> None:
    """Run an intake until it is told to end.

    Args:
        target: Where the code server is.
        alive_file: Touched while all is well.

    Raises:
        SettingsError: The settings of Postgres or the platform are absent.
        StaleSchemaError: The inbox has to be migrated first.
    """
    settings = _prepare()
    given(settings.platform_api, PlatformApiSettings)  # all flows need it
    inbox = Inbox(inbox_address(settings), all_kinds(settings))
    with (
        DagsterInstance.get() as instance,
        submitter(instance, target) as submits,
    ):
        intake = Intake(
            inbox,
            instance,
            submits,
            _makers(settings),
            _sign(alive_file),
            # The run of an analysis tells its result itself if it can.
            patient={results.KIND},
        )
        _end_on_signal(intake.end)
        run_all(intake, _feeders(settings, inbox, intake))


def _makers(settings: Settings) -> Mapping[str, RunRequestOf]:
    """Return what makes the run requests of the flows that are on."""
    sensors = [
        (user_dids.keycloak_user_sensor, user_dids.MAKERS),
        (
            asset_proofs.platform_api_asset_object_sensor,
            asset_proofs.MAKERS,
        ),
    ]
    if settings.flow(MATRIX_PROFILE).is_on:
        sensors.append(
            (
                matrix_profile.matrix_profile_messages_sensor,
                matrix_profile.MAKERS,
            )
        )
    return {
        kind: make
        for sensor, makers in sensors
        for kind, make in on_behalf_of(sensor, makers).items()
    }


def _feeders(
    settings: Settings, inbox: Inbox, intake: Intake
) -> tuple[Feeder, ...]:
    if not settings.flow(MATRIX_PROFILE).is_on:
        return ()
    rabbit = Rabbit(given(settings.rabbit, RabbitSettings).url)
    source = source_of(settings)

    def follow(is_over: Callable[[], bool]) -> None:
        follow_messages(
            rabbit, inbox, source, is_over=is_over, news=intake.news
        )

    return (Feeder(follow, intake),)


def _sign(alive_file: Path | None) -> Callable[[], None]:
    return alive_file.touch if alive_file else _no_sign


def _no_sign() -> None:
    """Nothing: nobody looks."""


def _end_on_signal(end: Callable[[], None]) -> None:
    def told(_number: int, _frame: FrameType | None) -> None:
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)


def _prepare() -> Settings:
    settings = process_settings()
    service = settings.service
    configure_logging(service.log_format, service.log_level, redactor())
    require_current_schema(inbox_address(settings))
    return settings
