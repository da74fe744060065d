"""What a cluster is asked for: valid, restricted, and without a secret."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from kubernetes_validate import validate
from pydantic import SecretStr

from moderate.analyses.kubernetes_api import Json
from moderate.analyses.kubernetes_spec import (
    KeyOf,
    Options,
    attempt_of,
    label_value,
    render_job,
    render_secret,
)
from moderate.analyses.launcher import (
    MAX_NAME_CHARS,
    AnalysisSpec,
    AttemptId,
    Limits,
)

VERSIONS = ("1.29", "1.34")
CANARY = "canary-of-a-signature"
OPTIONS = Options("moderate-1a2b", lasting={"S3_KEY": KeyOf("s3", "key")})
SPEC = AnalysisSpec(
    attempt=AttemptId("matrix-profile", 42, 3),
    command=("python", "-m", "workload", "$(HOME) costs 5$$"),
    image="registry.test/matrix-profile:1.0.0",
    timeout=timedelta(minutes=30),
    env={"PLAIN": "$(PATH)"},
    secrets={"S3_KEY": SecretStr("x"), "FILE_URL": SecretStr(CANARY)},
    limits=Limits(memory_bytes=2**30),
    labels={"workflow-job-id": "7", "run-id": "a run / with odd letters"},
)
UNWANTED = {
    "metadata": {"labels": {"team": "energy"}, "annotations": {"a": "b"}},
    "spec": {
        "backoffLimit": 6,
        "ttlSecondsAfterFinished": 1,
        "template": {
            "metadata": {"labels": {"team": "energy"}},
            "spec": {
                "automountServiceAccountToken": True,
                "restartPolicy": "OnFailure",
                "hostNetwork": True,
                "nodeSelector": {"disk": "fast"},
                "imagePullSecrets": [{"name": "registry"}],
                "securityContext": {"runAsNonRoot": False, "fsGroup": 7},
                "containers": [
                    {
                        "name": "dagster",
                        "args": ["dagster", "api"],
                        "env": [
                            {"name": "PLAIN", "value": "theirs"},
                            {"name": "MORE", "value": "more"},
                        ],
                        "resources": {"limits": {"nvidia.com/gpu": "1"}},
                        "securityContext": {
                            "privileged": True,
                            "runAsUser": 1234,
                            "capabilities": {"add": ["NET_ADMIN"]},
                        },
                    }
                ],
            },
        },
    },
}


def pod_of(job: Json) -> Json:
    return dict(job["spec"]["template"]["spec"])


def container_of(job: Json) -> Json:
    (container,) = pod_of(job)["containers"]
    return dict(container)


def environment_of(job: Json) -> dict[str, Json]:
    return {each["name"]: each for each in container_of(job)["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("base", [{}, UNWANTED])
def test_what_is_asked_for_fits_the_api(version: str, base: Json) -> None:
    job = render_job(SPEC, replace(OPTIONS, base=base))
    made = {**job, "metadata": {**job["metadata"], "uid": "a-b"}}

    validate(job, version, strict=True)
    validate(render_secret(SPEC, OPTIONS, made), version, strict=True)


def test_a_job_has_one_try_and_all_its_bounds() -> None:
    spec = render_job(SPEC, OPTIONS)["spec"]

    assert spec["suspend"] is True, "launching lifts it"
    assert spec["backoffLimit"] == 0, "the inbox alone tries again"
    assert (spec["completions"], spec["parallelism"]) == (1, 1)
    assert "ttlSecondsAfterFinished" not in spec, "not before it is stored"
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["activeDeadlineSeconds"] == 1800
    assert spec["activeDeadlineSeconds"] > 1800, "waiting for room counts"
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["memory"] == "1024Mi"
    assert resources["requests"] == {"cpu": "1", "memory": "1024Mi"}


@pytest.mark.parametrize("base", [{}, UNWANTED])
def test_the_pod_is_restricted_whatever_is_configured(base: Json) -> None:
    """Pod Security ``restricted``, and a little more."""
    job = render_job(SPEC, replace(OPTIONS, base=base))
    pod, container = pod_of(job), container_of(job)

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not any(pod[n] for n in ("hostNetwork", "hostPID", "hostIPC"))
    security = container["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["privileged"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    (mount,) = container["volumeMounts"]
    (volume,) = pod["volumes"]
    assert volume["name"] == mount["name"]
    assert set(volume) == {"name", "emptyDir"}
    assert environment_of(job)["TMPDIR"]["value"] == mount["mountPath"]


WEAKENING = {
    "hostUsers": True,
    "os": {"name": "windows"},
    "shareProcessNamespace": True,
    "securityContext": {
        "runAsUser": 0,
        "seccompProfile": {"type": "Unconfined"},
        "seLinuxOptions": {"type": "spc_t"},
        "sysctls": [{"name": "kernel.msgmax", "value": "1"}],
        "windowsOptions": {"hostProcess": True},
    },
    "volumes": [
        {"name": "host", "hostPath": {"path": "/"}},
        {"name": "share", "nfs": {"server": "s", "path": "/"}},
        {"name": "models", "persistentVolumeClaim": {"claimName": "m"}},
    ],
}
WEAK_CONTAINER = {
    "name": "any",
    "image": "registry.test/any:1",
    "lifecycle": {"preStop": {"httpGet": {"host": "10.0.0.1", "port": 1}}},
    "ports": [{"containerPort": 80, "hostPort": 80}],
    "securityContext": {
        "allowPrivilegeEscalation": True,
        "appArmorProfile": {"type": "Unconfined"},
        "capabilities": {"add": ["SYS_ADMIN"]},
        "privileged": True,
        "procMount": "Unmasked",
        "readOnlyRootFilesystem": False,
        "runAsNonRoot": False,
        "runAsUser": 0,
        "seLinuxOptions": {"type": "spc_t"},
        "seccompProfile": {"type": "Unconfined"},
    },
    "volumeMounts": [
        {"name": "host", "mountPath": "/host"},
        {"name": "models", "mountPath": "/models"},
    ],
}
RESTRICTED_KEYS = {
    "allowPrivilegeEscalation",
    "capabilities",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsNonRoot",
    "seccompProfile",
}


def weak_job() -> Json:
    pod = {
        **WEAKENING,
        "containers": [WEAK_CONTAINER, {**WEAK_CONTAINER, "name": "beside"}],
        "initContainers": [{**WEAK_CONTAINER, "name": "first"}],
        "ephemeralContainers": [{**WEAK_CONTAINER, "name": "debugger"}],
    }
    base = {"spec": {"template": {"spec": pod}}}
    return render_job(SPEC, replace(OPTIONS, base=base))


def test_no_configuration_weakens_any_container_of_the_pod() -> None:
    """Those of its set-up (``initContainers``) too."""
    pod = pod_of(weak_job())
    ours, first = container_of(weak_job()), pod["initContainers"][0]

    assert first["name"] == "first"
    assert first["securityContext"] == ours["securityContext"]
    assert "runAsUser" not in ours["securityContext"]
    assert ours["securityContext"].keys() == RESTRICTED_KEYS
    assert ours["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for container in (ours, first):
        assert "ports" not in container, "of the host"
        assert "lifecycle" not in container
    assert "ephemeralContainers" not in pod
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "os" not in pod, "of Windows, other rules hold"
    assert "shareProcessNamespace" not in pod


def test_a_machines_own_folders_are_no_volumes_of_the_pod() -> None:
    """What they were mounted by goes too, or the Job would be none."""
    pod = pod_of(weak_job())

    assert [each["name"] for each in pod["volumes"]] == ["models", "scratch"]
    for container in (container_of(weak_job()), pod["initContainers"][0]):
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert "models" in mounted
        assert mounted <= {"models", "scratch"}


def test_what_is_left_out_of_a_configuration_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    weak_job()

    for what in ("hostPath", "procMount", "runAsUser 0", "one container"):
        assert what in caplog.text, what
    caplog.clear()
    render_job(SPEC, replace(OPTIONS, base={}))
    assert not caplog.text


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_left_of_a_configuration_fits_the_api(version: str) -> None:
    validate(weak_job(), version, strict=True)


def test_what_is_configured_is_kept_where_it_fits() -> None:
    job = render_job(SPEC, replace(OPTIONS, base=UNWANTED))
    pod, container = pod_of(job), container_of(job)

    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["securityContext"]["fsGroup"] == 7
    assert container["securityContext"]["runAsUser"] == 1234
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["resources"]["limits"]["memory"] == "1024Mi"
    environment = environment_of(job)
    assert environment["MORE"]["value"] == "more"
    assert environment["PLAIN"]["value"] == "$$(PATH)", "ours wins"
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert metadata["labels"]["team"] == "energy"
    assert "args" not in container
    assert job["spec"]["backoffLimit"] == 0


def test_secrets_are_referred_to_and_nowhere_written() -> None:
    job = render_job(SPEC, OPTIONS)
    environment = environment_of(job)

    assert CANARY not in json.dumps(job)
    lasting = environment["S3_KEY"]["valueFrom"]["secretKeyRef"]
    assert lasting == {"name": "s3", "key": "key"}
    own = environment["FILE_URL"]["valueFrom"]["secretKeyRef"]
    assert own == {"name": job["metadata"]["name"], "key": "FILE_URL"}


def test_the_secret_of_a_job_holds_no_more_than_needed_and_goes_with_it() -> (
    None
):
    job = {**render_job(SPEC, OPTIONS)}
    job["metadata"]["uid"] = "1-2-3"

    secret = render_secret(SPEC, OPTIONS, job)

    assert secret["stringData"] == {"FILE_URL": CANARY}
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", "1-2-3")


def test_labels_lead_back_to_item_job_and_run() -> None:
    metadata = render_job(SPEC, OPTIONS)["metadata"]

    assert metadata["name"] == "matrix-profile-42-d3"
    assert attempt_of({"metadata": metadata}) == SPEC.attempt
    assert metadata["labels"]["moderate/workflow-job-id"] == "7"
    assert metadata["labels"]["moderate/run-id"] == "a-run---with-odd-letters"
    told = metadata["annotations"]["moderate/run-id"]
    assert told == "a run / with odd letters"


@pytest.mark.parametrize("text", ["", "-x-", "ü" * 100, "a" * 64, "_.", "a b"])
def test_any_text_makes_a_label(text: str) -> None:
    value = label_value(text)
    assert len(value) <= MAX_NAME_CHARS
    assert value == value.strip("-_.")


def test_things_of_others_are_no_attempts() -> None:
    assert attempt_of({"metadata": {}}) is None
    labels = {"moderate/kind": "x", "moderate/item": "one"}
    assert attempt_of({"metadata": {"labels": labels}}) is None
