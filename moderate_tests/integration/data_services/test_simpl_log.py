"""The lines of the logger ``simpl`` are those of the contract."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from moderate.flows.data_services.simpl_log import SimplFormatter
from moderate_tests.integration.data_services.conftest import Run
from moderate_tests.unit.dataservices.helpers import PEOPLE

HTTP = {
    "status": None,
    "requestSize": None,
    "executionTime": None,
    "responseSize": None,
    "action": None,
    "method": None,
}


def lines_of(tmp_path: Path, run: Run, loggers: str) -> list[dict[str, Any]]:
    (tmp_path / "in.csv").write_text(PEOPLE)
    result = run(
        "remove_duplicates_job",
        f"""
ops:
  read_csv_to_df: {{config: {{input_path: {tmp_path}/in.csv}}}}
  write_df_to_csv: {{config: {{output_path: {tmp_path}/out.csv}}}}
{loggers}""",
    )
    assert result.success
    files = list((tmp_path / "log").glob("*"))
    if not files:
        return []
    (file,) = files
    assert file.name == f"simpl_run_{result.run_id}.json"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_writes_technical_and_business_lines(
    tmp_path: Path, run: Run
) -> None:
    level = "{log_level: DEBUG, log_dir: " + str(tmp_path / "log") + "}"
    lines = lines_of(tmp_path, run, f"loggers: {{simpl: {{config: {level}}}}}")
    for line in lines:
        assert list(line) == [
            "timestamp",
            "level",
            "message",
            "http",
            "thread",
            "customFields",
        ]
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"]
        )
        assert line["http"] == HTTP
        assert line["thread"] == "MainThread"
    events = {line["customFields"]["event_type"] for line in lines}
    assert {"RUN_START", "STEP_START", "RUN_SUCCESS"} <= events
    (business,) = [line for line in lines if line["level"] == "BUSINESS"]
    message = business["message"]
    fields = message.pop("customFields")
    assert message.pop("correlationId") in str(
        list((tmp_path / "log").iterdir())
    )
    assert message == {
        "origin": "dagster",
        "destination": "dagster",
        "businessOperation": "DATA_CLEANING",
        "messageType": "RESPONSE",
        "msg": "remove_duplicates is done: 12 rows",
        "user": None,
        "userIp": None,
    }
    assert fields["event_type"] == "BUSINESS_EVENT"
    assert fields["op_name"] == "remove_duplicates"
    assert fields["rows_processed"] == 12


def test_the_logger_is_off_unless_a_run_asks_for_it(
    tmp_path: Path, run: Run
) -> None:
    assert lines_of(tmp_path, run, "") == []


def business_line(
    formatter: SimplFormatter,
    tags: dict[str, str],
    operation: str | None = None,
) -> str | None:
    record = logging.makeLogRecord(
        {
            "msg": "done",
            "levelname": "INFO",
            "event_type": "BUSINESS_EVENT",
            "business_operation": operation,
            "dagster_meta": {"job_tags": tags, "orig_message": "done"},
        }
    )
    line = json.loads(formatter.format(record))
    found: str | None = line["message"]["businessOperation"]
    return found


def test_the_job_s_tag_goes_before_the_record_before_the_default() -> None:
    tag = {"business_operation": "TAG"}
    assert business_line(SimplFormatter("r", "D"), tag, "RECORD") == "TAG"
    assert business_line(SimplFormatter("r", "D"), {}, "RECORD") == "RECORD"
    assert business_line(SimplFormatter("r", "D"), {}) == "D"
    assert business_line(SimplFormatter("r", None), {}) is None


def test_the_business_operation_sticks_once_it_is_found() -> None:
    formatter = SimplFormatter("r", None)
    assert business_line(formatter, {}, "FIRST") == "FIRST"
    assert business_line(formatter, {}, "SECOND") == "FIRST"


def test_a_warning_is_called_warn() -> None:
    record = logging.makeLogRecord({"msg": "x", "levelname": "WARNING"})
    line = json.loads(SimplFormatter("r", None).format(record))
    assert line["level"] == "WARN"
