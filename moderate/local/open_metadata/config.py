"""Every setting of the emulator, read from ``OM_EMULATOR_*`` variables."""

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from moderate.local.open_metadata.faults import Faults
from moderate.local.serving import ListeningSettings

PREFIX = "OM_EMULATOR_"
# 256 bits, the least for HS256.
LEAST_KEY = 32


class EmulatorSettings(ListeningSettings):
    """The emulator's settings; ``OM_EMULATOR_`` and the name.

    Attributes:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one, which the line that
            says "ready" names.
        signing_key: What tokens are signed with; see ``tokens``.
        control: Offer ``/_emulator/*`` (faults, ledger, what arrived, reset)
            and the page at ``/``, to whoever can reach the port.
        version: What ``/v1/system/version`` says.
        href_base: The beginning of ``href`` values. The recorded server
            names its own idea of its address there, so a client that
            follows them is wrong.
        faults: The faults to begin with, as JSON; see ``faults``.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8585
    signing_key: Annotated[SecretStr, Field(min_length=LEAST_KEY)]
    control: bool = False
    version: str = "1.12.6"
    href_base: str = "http://localhost:8585/api"
    faults: Faults = Faults()
