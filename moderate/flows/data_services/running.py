"""What every op of a data service does around its work."""

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from dagster import Failure, MetadataValue, OpExecutionContext

from moderate.errors import ModerateError, PermanentError
from moderate.flows.data_services.simpl_log import (
    BUSINESS_EVENT,
    BUSINESS_OPERATION,
)
from moderate.resources import redactor
from moderate.settings import process_settings

Choice = TypeVar("Choice", bound=StrEnum)

TableHandle = Any
"""A ``moderate.dataservices.tables.Table``.

Its module loads pyarrow, so Dagster, which looks at hints, is not told.
"""


@contextmanager
def one_line() -> Iterator[None]:
    """Turn what goes wrong into a failure of one line, without data.

    Our own errors hold no value of a cell. Others may: of those only the
    kind, and where it happened, is shown.
    """
    try:
        yield
    except ModerateError as error:
        text = redactor().redact(str(error))
        raise Failure(text, allow_retries=False) from None
    except Exception as error:  # noqa: BLE001  # see above
        where = "".join(traceback.format_tb(error.__traceback__))
        raise Failure(
            f"unexpected {type(error).__name__}: its text may hold data and"
            " is not shown; `where` says where it was raised",
            metadata={"where": MetadataValue.text(redactor().redact(where))},
            allow_retries=False,
        ) from None


@contextmanager
def service(
    context: OpExecutionContext, metrics: dict[str, Any]
) -> Iterator[None]:
    """Do a service's work: one-line failures, metrics, a business event.

    Args:
        context: Of the op.
        metrics: What the body puts in becomes metadata of the output and
            the event's fields; the time is added.
    """
    began = time.monotonic()
    with one_line():
        yield
    seconds = round(time.monotonic() - began, 3)
    metrics["execution_time_seconds"] = seconds
    context.add_output_metadata(metrics)
    _tell(context, {k: v for k, v in metrics.items() if _is_plain(v)})


def _tell(context: OpExecutionContext, fields: Mapping[str, Any]) -> None:
    name = context.op_handle.name
    context.log.info(
        "%s is done: %s rows",
        name,
        fields.get("rows_processed"),
        extra={
            "event_type": BUSINESS_EVENT,
            BUSINESS_OPERATION: context.run_tags.get(BUSINESS_OPERATION),
            "op_name": name,
            "custom_fields": dict(fields),
        },
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | list)


def choice(kind: type[Choice], value: str, option: str) -> Choice:
    """Return one of a few words.

    Raises:
        PermanentError: It is none; lists them.
    """
    try:
        return kind(value)
    except ValueError:
        words = ", ".join(kind)
        msg = f"{option} is {value!r}; it must be one of {words}"
        raise PermanentError(msg) from None


def ignore_case(*, of_ident: bool = False) -> bool:
    """Say whether a column's name may differ by case.

    Args:
        of_ident: Whether it is a column to mask; see decision 4.
    """
    case = process_settings().data_services.column_case
    return case == "ignore" or (of_ident and case == "ident")


def output_path(
    context: OpExecutionContext, scratch: Path, table: TableHandle
) -> Path:
    """Return where an op writes its table: in the run's scratch folder."""
    name: str = context.op_handle.name
    return scratch / f"{name}.{table.format}"
