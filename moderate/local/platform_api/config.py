"""Every setting of the emulator, read from ``EMULATOR_*`` variables."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import SettingsConfigDict

from moderate.local.platform_api.faults import Faults
from moderate.local.serving import ListeningSettings

PREFIX = "EMULATOR_"
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/]+(/.*)?$")]
Seconds = Annotated[float, Field(ge=0)]


class EmulatorSettings(ListeningSettings):
    """The emulator's settings; the variable is ``EMULATOR_`` and the name.

    Attributes:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one, which the line that
            says "ready" names.
        state_file: The SQLite file that holds everything; it survives a
            kill, and a start with the same file goes on where it ended.
        keycloak_server_url: Keycloak's base URL. Tokens must have been
            issued under it.
        keycloak_realm: The realm whose users may log in.
        keycloak_client_id: The gateway's client, whose roles count.
        keycloak_client_secret: That client's secret.
        rabbit_url: The broker of job messages. Without it every job post
            is refused with a 500.
        queue: Where job messages go. It is never declared here: a message
            posted while it does not exist is lost.
        s3_endpoint_url: The S3 server that objects are uploaded to.
        s3_region: Its region.
        s3_access_key_id: Its key.
        s3_secret_access_key: Its secret.
        s3_bucket_name: The bucket; created when it does not exist.
        control: Offer ``/_emulator/*``: faults, ledger, seed and reset.
        task_seconds: How long the trust service takes for one call.
        task_failure_fraction: The part of the trust service's calls that
            fails, 0 to 1.
        trust_url: The trust service's address as it shows in error texts;
            nothing is sent there.
        trust_timeout_seconds: How long the API waits for a trust call that
            hangs.
        job_debounce_seconds: The least time between two jobs of one user.
        pool_size: The API's connections to its database. A task holds one
            for as long as its trust call takes.
        pool_timeout_seconds: How long a request waits for a connection
            before it ends with a 500.
        race_seconds: Between looking for a user and inserting it. Two first
            requests for one user within that time: one of them gets a 409.
        max_objects_per_asset: More than that are refused with a 400.
        seed: Of the random numbers that choose which requests fail.
        faults: The faults to begin with, as JSON; see ``faults``.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    state_file: Path
    keycloak_server_url: Url
    keycloak_realm: str = "moderate"
    keycloak_client_id: str = "apisix"
    keycloak_client_secret: SecretStr
    rabbit_url: SecretStr | None = None
    queue: str = "matrix_profile"
    s3_endpoint_url: Url
    s3_region: str = "us-east-1"
    s3_access_key_id: str
    s3_secret_access_key: SecretStr
    s3_bucket_name: str = "moderate"
    control: bool = False
    task_seconds: Seconds = 0.2
    task_failure_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    trust_url: Url = "http://trust"
    trust_timeout_seconds: Seconds = 600.0
    job_debounce_seconds: Seconds = 10.0
    pool_size: Annotated[int, Field(ge=1)] = 15
    pool_timeout_seconds: Seconds = 30.0
    race_seconds: Seconds = 0.002
    max_objects_per_asset: Annotated[int, Field(ge=1)] = 100
    seed: int = 0
    faults: Faults = Faults()

    @property
    def issuer(self) -> str:
        """The ``iss`` that a token must carry."""
        base = self.keycloak_server_url.rstrip("/")
        return f"{base}/realms/{self.keycloak_realm}"
