"""Settings: every fault at once, by variable name, and never a secret."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from moderate.errors import PermanentError, SettingsError
from moderate.settings import (
    FLOW_NEEDS,
    GROUPS,
    Group,
    LauncherName,
    LogFormat,
    ServiceSettings,
    is_secret,
    load_settings,
    process_settings,
)

CANARY = "canary-4711"

COMPLETE = {
    "KEYCLOAK_SERVER_URL": "https://keycloak.test",
    "KEYCLOAK_ADMIN_USERNAME": "admin",
    "KEYCLOAK_ADMIN_PASSWORD": CANARY,
    "POSTGRES_HOST": "db",
    "POSTGRES_USERNAME": "moderate",
    "POSTGRES_PASSWORD": CANARY,
    "OPEN_METADATA_HOST": "om",
    "OPEN_METADATA_TOKEN": CANARY,
    "S3_ACCESS_KEY_ID": "id",
    "S3_SECRET_ACCESS_KEY": CANARY,
    "S3_REGION": "eu",
    "S3_BUCKET_NAME": "assets",
    "API_USERNAME": "worker",
    "API_PASSWORD": CANARY,
    "NOTIFY_WEBHOOK_URL": f"https://hooks.test/{CANARY}",
    "RABBIT_URL": f"amqp://user:{CANARY}@mq:5672/",
}

# The names that users of the service know; DESIGN.md lists them.
KNOWN_TO_USERS = {
    *COMPLETE,
    "KEYCLOAK_MAIN_REALM_NAME",
    "POSTGRES_PORT",
    "OPEN_METADATA_PORT",
    "S3_ENDPOINT_URL",
    "S3_JOB_OUTPUTS_BUCKET_NAME",
    "API_BASE_URL",
    "MATRIX_PROFILE_QUEUE",
    "MATRIX_PROFILE_JOB_IMAGE",
    "MATRIX_PROFILE_JOB_TAG",
}

WRONG = {
    "MODERATE_LOG_FORMAT": "xml",
    "MODERATE_LOG_LEVEL": "LOUD",
    "MODERATE_SENSOR_INTERVAL_SECONDS": "6",
    "MODERATE_TICK_BUDGET_SECONDS": "60",
    "INBOX_HEARTBEAT_SECONDS": "0",
    "INBOX_DISPATCH_GRACE_SECONDS": "soon",
    "POSTGRES_PORT": "65536",
    "POSTGRES_SSLMODE": "maybe",
    "INBOX_POOL_SIZE": "0",
    "KEYCLOAK_SERVER_URL": "keycloak.test",
    "OPEN_METADATA_PORT": "http",
    "S3_ENDPOINT_URL": "s3://bucket",
    "API_BASE_URL": "ftp://api",
    "API_MAX_TASKS_IN_FLIGHT": "15",
    "MATRIX_PROFILE_JOB_TAG": "latest",
    "ANALYSIS_LAUNCHER": "hamster",
    "MATRIX_PROFILE_TIMEOUT_SECONDS": "nan",
    "MATRIX_PROFILE_MEMORY_MIB": "1",
    "MATRIX_PROFILE_MAX_CONCURRENT": "-1",
    "MATRIX_PROFILE_RECONCILE_SECONDS": "1e300",
}

ALL_FIELDS = [
    (group, variable, field)
    for group in GROUPS.values()
    for variable, field in group.variables().items()
]
SECRETS = [variable for _, variable, field in ALL_FIELDS if is_secret(field)]


def faults(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_an_empty_environment_is_enough_and_all_flows_are_off() -> None:
    """The code location loads on any machine; the flows say what is off."""
    settings = load_settings({})
    assert [flow.is_on for flow in settings.flows()] == [False] * len(
        FLOW_NEEDS
    )
    assert settings.postgres is None
    assert settings.secrets() == ()
    assert settings.service == ServiceSettings()


def test_a_complete_environment_switches_every_flow_on() -> None:
    settings = load_settings(COMPLETE)
    assert all(flow.is_on for flow in settings.flows())
    assert all(getattr(settings, name) for name in GROUPS)


def test_defaults_are_those_that_users_know() -> None:
    settings = load_settings(COMPLETE)
    assert settings.keycloak is not None
    assert settings.keycloak.realm == "moderate"
    assert settings.s3 is not None
    assert str(settings.s3.endpoint_url) == "https://storage.googleapis.com/"
    assert settings.s3.outputs_bucket == "moderate-output-bucket"
    assert settings.platform_api is not None
    base_url = str(settings.platform_api.base_url)
    assert base_url == "https://api.gw.moderate.cloud/"
    assert settings.matrix_profile.queue == "matrix_profile"
    assert settings.analyses.launcher == LauncherName.PROCESS
    assert settings.service.log_format == LogFormat.CONSOLE


@pytest.mark.parametrize(
    ("given", "launcher"),
    [
        ({}, LauncherName.PROCESS),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, LauncherName.KUBERNETES),
        (
            {
                "KUBERNETES_SERVICE_HOST": "10.0.0.1",
                "ANALYSIS_LAUNCHER": "process",
            },
            LauncherName.PROCESS,
        ),
        ({"ANALYSIS_LAUNCHER": "kubernetes"}, LauncherName.KUBERNETES),
    ],
)
def test_analyses_run_where_the_worker_does_unless_told_otherwise(
    given: dict[str, str], launcher: LauncherName
) -> None:
    assert load_settings(given).analyses.launcher == launcher


def test_every_variable_that_users_know_is_read() -> None:
    known = {variable for _, variable, _ in ALL_FIELDS}
    assert known >= KNOWN_TO_USERS


def test_no_variable_belongs_to_two_groups() -> None:
    names = [variable for _, variable, _ in ALL_FIELDS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("variable", "description"),
    [(variable, field.description) for _, variable, field in ALL_FIELDS],
)
def test_a_variable_says_what_it_is_for(
    variable: str, description: str | None
) -> None:
    assert description
    assert variable == variable.upper()


@pytest.mark.parametrize("name", [n for n in GROUPS if n != "service"])
def test_a_group_that_is_begun_has_to_be_complete(name: str) -> None:
    """Half a group is a mistake, not a wish to be off."""
    group = GROUPS[name]
    required = [
        variable
        for variable, field in group.variables().items()
        if field.is_required()
    ]
    for variable in required[:1] if len(required) > 1 else []:
        text = faults({variable: COMPLETE[variable]})
        for missing in required[1:]:
            assert f"{missing}: found nothing; expected: " in text
        assert f"  - {variable}:" not in text


def test_all_faults_of_all_groups_are_told_at_once_by_name() -> None:
    """A person mends a deployment in one go."""
    text = faults({**COMPLETE, **WRONG})
    assert text.startswith(f"{len(WRONG)} setting(s) missing or wrong:\n")
    for variable, value in WRONG.items():
        (line,) = (line for line in text.splitlines() if variable in line)
        assert f"found {value!r}" in line
        assert "expected: " in line


@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_value_is_a_fault(variable: str) -> None:
    text = faults({**COMPLETE, variable: WRONG[variable]})
    assert text.startswith("1 setting(s)")
    assert variable in text


def test_a_fault_of_the_settings_can_not_be_waited_out() -> None:
    assert issubclass(SettingsError, PermanentError)


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_is_shown_neither_by_repr_nor_by_a_fault(
    variable: str,
) -> None:
    settings = load_settings(COMPLETE)
    assert CANARY not in repr(settings)
    text = faults({variable: f"http://user:{CANARY}@host"} | WRONG)
    assert CANARY not in text


def test_a_wrong_secret_is_told_as_hidden() -> None:
    text = faults({**COMPLETE, "RABBIT_URL": f"http://u:{CANARY}@mq"})
    assert "RABBIT_URL: found a wrong value (hidden); expected:" in text
    assert CANARY not in text


def test_every_secret_is_known_to_the_redaction() -> None:
    found = [
        each.get_secret_value() for each in load_settings(COMPLETE).secrets()
    ]
    assert sorted(found) == sorted(
        COMPLETE[variable] for variable in SECRETS if variable in COMPLETE
    )


def test_what_is_secret_is_told_by_its_type() -> None:
    named = [
        variable
        for _, variable, _ in ALL_FIELDS
        if any(word in variable for word in ("PASSWORD", "TOKEN", "SECRET"))
    ]
    places = {"DATA_KEYS_SECRET", "VAULT_TOKEN_FILE"}
    assert set(named) - places < set(SECRETS)
    assert "RABBIT_URL" in SECRETS


@pytest.mark.parametrize(
    "variable", ["KEYCLOAK_SERVER_URL", "S3_ENDPOINT_URL", "API_BASE_URL"]
)
@pytest.mark.parametrize(
    "url", [f"https://user:{CANARY}@host", f"https://{CANARY}@host"]
)
def test_a_url_that_is_shown_must_not_hold_a_password(
    variable: str, url: str
) -> None:
    text = faults({**COMPLETE, variable: url})
    assert f"{variable}: found a wrong value (hidden)" in text
    assert CANARY not in text


@pytest.mark.parametrize("variable", [v for v in COMPLETE if "URL" not in v])
def test_an_empty_value_is_an_absent_one(variable: str) -> None:
    """As Helm charts and compose files write what is not set."""
    text = faults({**COMPLETE, variable: ""})
    assert text.startswith("1 setting(s)")
    assert f"{variable}: found nothing" in text


def test_a_flow_that_is_off_names_what_switches_it_on() -> None:
    without = {
        name: value
        for name, value in COMPLETE.items()
        if not name.startswith(("RABBIT", "S3"))
    }
    flow = load_settings(without).flow("matrix_profile")
    assert not flow.is_on
    assert set(flow.missing) == {
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
        "S3_REGION",
        "S3_BUCKET_NAME",
        "RABBIT_URL",
    }
    assert flow.why_off().startswith("flow matrix_profile is off: set ")


def test_other_flows_do_not_need_what_a_flow_does_not_name() -> None:
    """Dependencies on the peers are optional one by one."""
    without = {
        name: value
        for name, value in COMPLETE.items()
        if not name.startswith(("KEYCLOAK", "OPEN_METADATA"))
    }
    assert load_settings(without).flow("matrix_profile").is_on


def test_a_flow_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError):
        load_settings({}).flow("unknown")


@pytest.mark.parametrize("needs", FLOW_NEEDS.values())
def test_flows_need_groups_that_exist(needs: tuple[str, ...]) -> None:
    assert set(needs) <= set(GROUPS)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("5", 5.0), ("0.5", 0.5), (" 3 ", 3.0), ("1e0", 1.0), ("2.50", 2.5)],
)
def test_times_are_given_in_seconds(given: str, seconds: float) -> None:
    settings = load_settings({"INBOX_HEARTBEAT_SECONDS": given})
    interval = settings.service.heartbeat_interval
    assert interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "1e300", "-5", "5s", "PT5S", "   ", "٣s"]
)
def test_what_is_no_number_of_seconds_is_a_fault(value: str) -> None:
    text = faults({"INBOX_HEARTBEAT_SECONDS": value})
    assert "INBOX_HEARTBEAT_SECONDS: found " in text


@pytest.mark.parametrize(
    "environ",
    [
        {"INBOX_HEARTBEAT_SECONDS": "30"},
        {"INBOX_HEARTBEAT_TIMEOUT_SECONDS": "14"},
        {
            "INBOX_HEARTBEAT_SECONDS": "2",
            "INBOX_HEARTBEAT_TIMEOUT_SECONDS": "5",
        },
    ],
)
def test_a_run_that_beats_can_not_be_taken_for_silent(
    environ: dict[str, str],
) -> None:
    """Rule 4: settings that would free every run that is alive."""
    text = faults(environ)
    assert "INBOX_HEARTBEAT_TIMEOUT_SECONDS: found " in text
    assert "fewer than 3 heartbeats" in text


def test_a_faulty_heartbeat_is_one_fault_not_two() -> None:
    text = faults({"INBOX_HEARTBEAT_SECONDS": "often"})
    assert text.startswith("1 setting(s)")


def test_lists_are_comma_separated() -> None:
    given = {"MATRIX_PROFILE_ALLOWED_IMAGES": " a:1, b:* ,,"}
    settings = load_settings(given)
    assert settings.matrix_profile.allowed_images == ("a:1", "b:*")
    assert load_settings({}).matrix_profile.allowed_images == ()


def test_variables_of_others_are_ignored() -> None:
    assert load_settings({"PATH": "/bin", "MODERATE_X": "?"}) == load_settings(
        {}
    )


@pytest.mark.parametrize("name", GROUPS)
def test_settings_can_not_be_changed_once_read(name: str) -> None:
    group = getattr(load_settings(COMPLETE), name)
    attribute = next(iter(type(group).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(group, attribute, "x")


def test_the_process_reads_its_environment_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in [variable for _, variable, _ in ALL_FIELDS]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("INBOX_POOL_SIZE", "7")
    process_settings.cache_clear()
    try:
        first = process_settings()
        monkeypatch.setenv("MODERATE_LOG_LEVEL", "DEBUG")
        assert process_settings() is first
    finally:
        process_settings.cache_clear()


@given(
    st.dictionaries(
        st.sampled_from([variable for _, variable, _ in ALL_FIELDS]),
        st.text(max_size=30),
        max_size=12,
    )
)
def test_whatever_the_environment_holds_only_faults_are_raised(
    environ: dict[str, str],
) -> None:
    """Nothing else escapes; no secret is in what is told."""
    try:
        load_settings(environ)
    except SettingsError as error:
        told = str(error).splitlines()
        for variable in set(SECRETS) & set(environ):
            found = [line for line in told if line[4:].startswith(variable)]
            for line in found:
                assert "found a wrong value (hidden)" in line or (
                    "found nothing" in line
                )


def test_the_fields_of_a_secret_are_secret_strings() -> None:
    settings = load_settings(COMPLETE)
    for group, variable, _ in ALL_FIELDS:
        if variable in SECRETS:
            held = value_of(settings, group, variable)
            assert isinstance(held, SecretStr)
            assert held.get_secret_value() == COMPLETE.get(variable, "")


def value_of(settings: Any, group: type[Group], variable: str) -> object:
    (name,) = (name for name, each in GROUPS.items() if each is group)
    values = getattr(settings, name)
    for attribute, field in group.model_fields.items():
        if field.alias == variable:
            return getattr(values, attribute)
    raise KeyError(variable)
