"""What settings are made of: types of values, and groups of variables."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
)
from pydantic.fields import FieldInfo

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


def _seconds(value: object) -> object:
    """Read a bare number as seconds, as every setting of time is given."""
    if isinstance(value, str) and value.strip():
        try:
            return timedelta(seconds=float(value))
        except (ValueError, OverflowError) as error:
            msg = "a number of seconds is expected"
            raise ValueError(msg) from error
    return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]


def _without_login(value: HttpUrl) -> HttpUrl:
    if value.username or value.password:
        msg = "a URL without user and password is expected: it is shown"
        raise ValueError(msg)
    return value


PeerUrl = Annotated[HttpUrl, AfterValidator(_without_login)]


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]


class Group(BaseModel):
    """Settings that belong together; frozen once read."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True
    )
    title: ClassVar[str]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Build the group from ``environ``; an empty value is absent.

        Raises:
            ValidationError: A value is missing or wrong.
        """
        return cls.model_validate(_present(cls, environ))

    @classmethod
    def is_absent(cls, environ: Mapping[str, str]) -> bool:
        """Say whether none of the group's required variables is given."""
        required = [
            variable
            for variable, field in cls.variables().items()
            if field.is_required()
        ]
        return bool(required) and not any(
            environ.get(name) for name in required
        )

    @classmethod
    def variables(cls) -> dict[str, FieldInfo]:
        """Map each environment variable of the group to its field."""
        return {str(field.alias): field for field in cls.model_fields.values()}


def _present(group: type[Group], environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: environ[name] for name in group.variables() if environ.get(name)
    }
