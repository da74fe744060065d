"""What the emulator is made of, and how a request gets at it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from moderate.local.platform_api.broker import Broker
from moderate.local.platform_api.config import EmulatorSettings
from moderate.local.platform_api.faults import FaultInjector
from moderate.local.platform_api.ledger import LedgerBook
from moderate.local.platform_api.object_storage import ObjectStorage
from moderate.local.platform_api.pool import ConnectionPool
from moderate.local.platform_api.storage import Storage
from moderate.local.platform_api.tasks import TaskRunner, TrustService
from moderate.local.platform_api.tokens import Keycloak, User


@dataclass(frozen=True)
class Platform:
    """The parts of the emulator."""

    settings: EmulatorSettings
    storage: Storage
    pool: ConnectionPool
    faults: FaultInjector
    ledger: LedgerBook
    trust: TrustService
    tasks: TaskRunner
    keycloak: Keycloak
    objects: ObjectStorage
    broker: Broker | None

    async def close(self) -> None:
        """Drop running tasks and close every connection."""
        await self.tasks.cancel()
        await self.keycloak.close()
        self.objects.close()
        self.storage.close()


def build(settings: EmulatorSettings) -> Platform:
    """Put the parts together; must run in the thread of the event loop."""
    storage = Storage(settings.state_file)
    pool = ConnectionPool(settings.pool_size, settings.pool_timeout_seconds)
    faults = FaultInjector(settings.faults, settings.seed)
    ledger = LedgerBook(storage)
    trust = TrustService(settings, faults, ledger)
    url = settings.rabbit_url
    return Platform(
        settings=settings,
        storage=storage,
        pool=pool,
        faults=faults,
        ledger=ledger,
        trust=trust,
        tasks=TaskRunner(storage, pool, trust, ledger),
        keycloak=Keycloak(settings, faults),
        objects=ObjectStorage(settings),
        broker=Broker(url.get_secret_value(), settings.queue) if url else None,
    )


async def _platform(request: Request) -> Platform:
    found: Platform = request.app.state.platform
    return found


async def _optional_user(request: Request) -> User | None:
    found: User | None = request.state.user
    return found


async def _user(request: Request) -> User:
    # The gateway lets nobody in without.
    found: User = request.state.user
    return found


PlatformDep = Annotated[Platform, Depends(_platform)]
OptionalUserDep = Annotated[User | None, Depends(_optional_user)]
UserDep = Annotated[User, Depends(_user)]
