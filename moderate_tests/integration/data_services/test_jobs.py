"""Every documented job runs, with the configuration that users type."""

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from moderate.clients.object_storage import ObjectStorage
from moderate.dataservices import duplicates
from moderate.definitions import build_defs
from moderate.errors import TemporaryError
from moderate.flows.data_services.simpl_log import BUSINESS_OPERATION
from moderate.local.services.s3 import ASSETS_BUCKET
from moderate_tests.integration.data_services.conftest import (
    Run,
    failure_of,
    metadata_of,
)
from moderate_tests.unit.dataservices.helpers import PEOPLE

ENDS = ("", "_s3", "_minio")
STRUCTURED = (
    "anonymise_pseudonymise_structured_job",
    "anonymize_pseudonymize_structured_job",
)
NAMES = (
    *(
        name + end
        for name in (
            "remove_duplicates_job",
            "fill_missing_values_job",
            "k_anonymity_job",
            "l_diversity_job",
            "t_closeness_job",
            *STRUCTURED,
        )
        for end in ENDS
    ),
    "depseudonymize_structured_job",
    "anonymize_pseudonymize_depseudonymize_structured_job",
    "data_processing_job",
)
ANONYMISE = """
      ident: ["name"]
      quasi_identifiers: ["gender", "age"]
      k: 4
      supp_level: 0.0
      generalisation_hierarchies: {gender: simpl_gender, age: simpl_age}
"""
STEPS = {
    "k_anonymity_job": f"""
  apply_k_anonymity:
    config:
      sensitive_attributes: ["disease"]{ANONYMISE}""",
    "l_diversity_job": f"""
  apply_l_diversity:
    config:
      sensitive_attribute: disease
      l: 3{ANONYMISE}""",
    "t_closeness_job": f"""
  apply_t_closeness:
    config:
      sensitive_attribute: disease
      t: 0.5{ANONYMISE}""",
    "remove_duplicates_job": "",
    "fill_missing_values_job": "",
}
PSEUDONYMISE = """
  anonymize_pseudonymize_structured:
    config:
      used_function:
        - technique: {hash: {columns: ["id"], algorithm: sha256}}
        - technique: {encrypt: {columns: ["Name"], key_name: pii_key}}
        - technique: {redact: {columns: ["disease"]}}
        - technique: {replace: {columns: ["gender"], new_value: "X"}}
"""
DECRYPT = """
  depseudonymize_structured:
    config:
      used_function:
        - technique: {type: decrypt, columns: ["Name"], key_name: pii_key}
"""


@pytest.fixture
def keys(tmp_path: Path, environment: Callable[..., None]) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "pii_key").write_bytes(Fernet.generate_key())
    environment(DATA_KEYS_SOURCE="folder", DATA_KEYS_FOLDER=str(folder))
    return folder


def local(folder: Path, steps: str, text: str = PEOPLE) -> str:
    (folder / "in.csv").write_text(text)
    return f"""
ops:
  read_csv_to_df: {{config: {{input_path: {folder}/in.csv}}}}
  write_df_to_csv: {{config: {{output_path: {folder}/out.csv}}}}{steps}
"""


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_all_documented_jobs_exist_with_their_business_operation() -> None:
    found = build_defs().get_repository_def()
    for name in NAMES:
        assert found.get_job(name).tags[BUSINESS_OPERATION]
    k_anonymity = found.get_job("k_anonymity_job_s3")
    assert k_anonymity.tags[BUSINESS_OPERATION] == "ANONYMISATION"
    assert [node.name for node in k_anonymity.nodes_in_topological_order] == [
        "read_csv_from_minio",
        "preview_dataframe",
        "apply_k_anonymity",
        "preview_dataframe_2",
        "write_csv_to_minio",
    ]


@pytest.mark.parametrize("name", STEPS)
def test_a_documented_configuration_works_on_local_files(
    tmp_path: Path, run: Run, name: str
) -> None:
    result = run(name, local(tmp_path, STEPS[name]))
    assert result.success
    rows = rows_of((tmp_path / "out.csv").read_text())
    assert [row["id"] for row in rows] == [str(n) for n in range(1, 13)]
    if name == "k_anonymity_job":
        assert {row["Name"] for row in rows} == {"*"}
        assert rows[0]["age"] == "[20, 30)"
    assert not list((tmp_path / "scratch").iterdir()), "nothing is left"


@pytest.mark.services
@pytest.mark.parametrize("end", ["_s3", "_minio"])
def test_a_documented_configuration_works_on_s3(
    run: Run, storage: Any, end: str
) -> None:
    folder = uuid4().hex
    key = f"{folder}/in.csv"
    storage.put_object(Bucket=ASSETS_BUCKET, Key=key, Body=PEOPLE.encode())
    result = run(
        f"k_anonymity_job{end}",
        f"""
resources: {{s3: {{config: {{resource_name: selfS3}}}}}}
ops:
  read_csv_from_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {key}}}
  write_csv_to_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {folder}/out.csv}}
  {STEPS['k_anonymity_job']}""",
    )
    assert result.success
    found = storage.list_objects_v2(Bucket=ASSETS_BUCKET, Prefix=folder)
    names = {each["Key"] for each in found["Contents"]}
    assert names == {key, f"{folder}/out.csv"}, "no temporary object is left"
    body = storage.get_object(Bucket=ASSETS_BUCKET, Key=f"{folder}/out.csv")
    assert rows_of(body["Body"].read().decode())[4]["age"] == "[30, 40)"


@pytest.mark.services
def test_what_fails_writes_no_object(run: Run, storage: Any) -> None:
    folder = uuid4().hex
    key = f"{folder}/in.csv"
    storage.put_object(Bucket=ASSETS_BUCKET, Key=key, Body=PEOPLE.encode())
    result = run(
        "remove_duplicates_job_s3",
        f"""
ops:
  read_csv_from_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {key}}}
  write_csv_to_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {key}}}
""",
    )
    assert "is the input: set overwrite_input" in failure_of(result)
    found = storage.list_objects_v2(Bucket=ASSETS_BUCKET, Prefix=folder)
    assert [each["Key"] for each in found["Contents"]] == [key]


@pytest.mark.services
def test_an_upload_that_breaks_off_leaves_the_old_object(
    run: Run, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = uuid4().hex
    key, out = f"{folder}/in.csv", f"{folder}/out.csv"
    storage.put_object(Bucket=ASSETS_BUCKET, Key=key, Body=PEOPLE.encode())
    storage.put_object(Bucket=ASSETS_BUCKET, Key=out, Body=b"old")

    def broken(*_: object) -> None:
        msg = "S3: copy: the network is down"
        raise TemporaryError(msg)

    monkeypatch.setattr(ObjectStorage, "copy", broken)
    result = run(
        "remove_duplicates_job_s3",
        f"""
ops:
  read_csv_from_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {key}}}
  write_csv_to_minio:
    config: {{bucket_name: {ASSETS_BUCKET}, file_key: {out}}}
""",
    )
    assert failure_of(result) == "S3: copy: the network is down"
    body = storage.get_object(Bucket=ASSETS_BUCKET, Key=out)["Body"]
    assert body.read() == b"old"
    found = storage.list_objects_v2(Bucket=ASSETS_BUCKET, Prefix=folder)
    assert [each["Key"] for each in found["Contents"]] == [key, out]


def test_only_columns_to_mask_may_differ_by_case(
    tmp_path: Path, run: Run, environment: Callable[..., None]
) -> None:
    """The documents' table says ``Name``, its configuration ``name``."""
    config = local(tmp_path, STEPS["k_anonymity_job"])
    assert '["name"]' in config
    assert ",Name," in PEOPLE
    environment(DATA_SERVICES_COLUMN_CASE="exact")
    said = failure_of(run("k_anonymity_job", config))
    assert said.startswith("there is no column 'name'; 'Name' differs by case")
    environment(DATA_SERVICES_COLUMN_CASE="ident")
    assert run("k_anonymity_job", config).success
    other = config.replace('"age"]', '"Age"]').replace(" age:", " Age:")
    assert "no column 'Age'; 'age'" in failure_of(
        run("k_anonymity_job", other)
    )
    environment(DATA_SERVICES_COLUMN_CASE="ignore")
    assert run("k_anonymity_job", other).success


def test_what_is_not_ours_shows_no_text(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library's error may quote a cell."""

    def broken(*_: object) -> None:
        msg = "cannot parse 'Ann'"
        raise ValueError(msg)

    monkeypatch.setattr(duplicates, "remove_duplicates", broken)
    result = run("remove_duplicates_job", local(tmp_path, ""))
    assert failure_of(result).startswith("unexpected ValueError: its text")
    assert "Ann" not in repr([e for e in result.all_events if e.is_failure])


@pytest.mark.parametrize("name", STRUCTURED)
def test_pseudonyms_are_made_as_documented(
    tmp_path: Path, run: Run, keys: Path, name: str
) -> None:
    result = run(name, local(tmp_path, PSEUDONYMISE))
    assert result.success
    row = rows_of((tmp_path / "out.csv").read_text())[0]
    assert row["id"] == (
        "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )
    key = Fernet((keys / "pii_key").read_bytes())
    assert key.decrypt(row["Name"]) == b"Ann"
    assert (row["disease"], row["gender"]) == ("[REDACTED]", "X")
    assert row["age"] == "25"


def test_the_round_trip_gives_back_every_byte(
    tmp_path: Path, run: Run, keys: Path
) -> None:
    encrypt = """
  anonymize_pseudonymize_structured:
    config:
      used_function:
        - technique: {type: encrypt, columns: ["Name"], key_name: pii_key}
"""
    result = run(
        "anonymize_pseudonymize_depseudonymize_structured_job",
        local(tmp_path, encrypt + DECRYPT),
    )
    assert result.success
    assert (tmp_path / "out.csv").read_text() == PEOPLE


def test_a_wrong_key_says_so_for_the_column_and_shows_no_key(
    tmp_path: Path, run: Run, keys: Path
) -> None:
    run("anonymise_pseudonymise_structured_job", local(tmp_path, PSEUDONYMISE))
    made = (tmp_path / "out.csv").read_text()
    (tmp_path / "out.csv").unlink()
    other = Fernet.generate_key().decode()
    (keys / "pii_key").write_text(other)
    result = run(
        "depseudonymize_structured_job", local(tmp_path, DECRYPT, made)
    )
    said = failure_of(result)
    assert said == "column 'Name', row 1: key 'pii_key' does not fit"
    assert not (tmp_path / "out.csv").exists()
    assert other not in repr(result.all_events)


def test_the_worked_example_counts_two_rows(run: Run) -> None:
    result = run("data_processing_job")
    assert result.output_for_node("process_data") == {
        "count": 2,
        "status": "success",
    }


def test_a_run_shows_previews_metrics_and_risk(
    tmp_path: Path, run: Run
) -> None:
    result = run("k_anonymity_job", local(tmp_path, STEPS["k_anonymity_job"]))
    before = metadata_of(result, "preview_dataframe")["preview"]
    assert "xxx" in before
    assert not any(word in before for word in ("Ann", "flu", "25"))
    after = metadata_of(result, "preview_dataframe_2")["preview"]
    assert "[20, 30)" in after
    assert "flu" not in after
    found = metadata_of(result, "apply_k_anonymity")
    assert found["rows_processed"] == 12
    assert found["k"] == 4
    assert found["suppression_rate"] == 0
    assert found["execution_time_seconds"] >= 0
    assert "| 3 to 4 | 3 | 12 |" in found["class_sizes"]
    risks = {
        record.data["measure"]: record.data["value"]
        for record in found["loss_and_risk"].records
    }
    assert risks["prosecutor risk, highest"] == 0.25


def test_formulas_are_escaped_where_that_is_asked(
    tmp_path: Path, run: Run
) -> None:
    text = "a,b\n=1+1,-3\n@x,-x\n"
    config = local(tmp_path, "", text).replace(
        "out.csv", "out.csv, escape_formulas: true"
    )
    assert run("remove_duplicates_job", config).success
    assert (tmp_path / "out.csv").read_text() == "a,b\n'=1+1,-3\n'@x,'-x\n"


def test_a_csv_becomes_parquet_by_the_name_of_the_output(
    tmp_path: Path, run: Run
) -> None:
    config = local(tmp_path, "").replace("out.csv", "out.parquet")
    assert run("remove_duplicates_job", config).success
    assert (tmp_path / "out.parquet").read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("a,a\n1,2\n", "two columns are named 'a': 1, 2"),
        ("a,b\n1\n", "row 1 (line 2) has 1 fields, the header 2"),
    ],
)
def test_a_broken_file_is_one_line_and_nothing_is_written(
    tmp_path: Path, run: Run, text: str, said: str
) -> None:
    result = run("remove_duplicates_job", local(tmp_path, "", text))
    assert said in failure_of(result)
    assert "\n" not in failure_of(result)
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["in.csv"]
    assert not list((tmp_path / "scratch").iterdir())


def test_what_a_killed_run_left_goes_with_the_next(
    tmp_path: Path, run: Run
) -> None:
    """It may hold personal data; a run that lives keeps its lock."""
    scratch = tmp_path / "scratch"
    (scratch / "moderate-data-dead").mkdir(parents=True)
    (scratch / "moderate-data-dead" / "input").write_text(PEOPLE)
    (scratch / "moderate-data-dead.lock").touch()
    assert run("data_processing_job").success
    assert run("remove_duplicates_job", local(tmp_path, "")).success
    assert not list(scratch.iterdir())
    assert tempfile.gettempdir() != str(scratch)
