"""What a cluster is asked to run: a Job, and a Secret that it owns.

The Job is made suspended: it is known and listed, and nothing of it runs.
Launching lifts that. The pod passes Pod Security ``restricted`` whatever else
is configured: what a configuration adds goes through ``kubernetes_security``
first, and is merged below what is ours.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from moderate.analyses.kubernetes_api import Json
from moderate.analyses.kubernetes_security import restricted
from moderate.analyses.launcher import AnalysisSpec, AttemptId

CONTAINER = "analysis"
SCRATCH = "scratch"
SCRATCH_PATH = "/tmp"  # noqa: S108  # the pod's own, and no other's
MIB = 2**20

LABELS = "moderate"
"""Prefix of our labels and annotations, which are:"""

SERVICE = f"{LABELS}/service"
KIND = f"{LABELS}/kind"
ITEM = f"{LABELS}/item"
DISPATCH = f"{LABELS}/dispatch"
PUT_AWAY = f"{LABELS}/put-away"
"""Log and outcome are stored: the cluster may remove the Job."""

VERDICT = f"{LABELS}/verdict"
"""Annotation: why we ended an attempt, as JSON."""

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "moderate"
MAX_LABEL_CHARS = 63

_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class KeyOf:
    """A key of a Secret that others keep."""

    secret: str
    key: str


@dataclass(frozen=True)
class Options:
    """How this service's analyses run in its cluster.

    Attributes:
        service: Which service the Jobs belong to, a label's value. Services
            with inboxes of their own count items from 1 each.
        lasting: Secret variables that are in a named Secret already; any
            other is put into a Secret that the Job owns.
        cpu_request: Processors that the scheduler keeps for one.
        scratch_mib: Disk space for temporary files.
        pending_timeout: How long an analysis may find no room.
        start_patience: How long a fault of set-up may last: Secrets,
            service accounts and registries may be just being changed.
        ttl: How long a Job stays to be looked at, once all is stored.
        base: A Job as ``dagster_k8s`` renders it, for what it configures.
    """

    service: str
    lasting: Mapping[str, KeyOf] = field(default_factory=dict)
    cpu_request: str = "1"
    scratch_mib: int = 2048
    pending_timeout: timedelta = timedelta(minutes=10)
    start_patience: timedelta = timedelta(seconds=30)
    ttl: timedelta = timedelta(minutes=10)
    base: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("lasting", "base"):
            copy = MappingProxyType(dict(getattr(self, name)))
            object.__setattr__(self, name, copy)


def service_selector(options: Options) -> str:
    """Return the selector of all objects of this service."""
    return f"{MANAGED_BY}={MANAGER},{SERVICE}={options.service}"


def item_selector(options: Options, kind: str, item_id: int) -> str:
    """Return the selector of one item's objects."""
    return f"{service_selector(options)},{KIND}={kind},{ITEM}={item_id}"


def attempt_selector(options: Options, attempt: AttemptId) -> str:
    """Return the selector of one attempt's objects."""
    item = item_selector(options, attempt.kind, attempt.item_id)
    return f"{item},{DISPATCH}={attempt.dispatch}"


def attempt_of(thing: Json) -> AttemptId | None:
    """Return whose a Job or pod is, by its labels."""
    labels = thing["metadata"].get("labels") or {}
    try:
        return AttemptId(
            labels[KIND], int(labels[ITEM]), int(labels[DISPATCH])
        )
    except (KeyError, ValueError):
        return None


def render_job(spec: AnalysisSpec, options: Options) -> Json:
    """Return an attempt's Job, suspended."""
    base = dict(options.base)
    metadata = base.get("metadata") or {}
    template = base.get("spec", {}).get("template", {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.attempt.name,
            "labels": {
                **(metadata.get("labels") or {}),
                **_labels(spec, options),
            },
            "annotations": {
                **(metadata.get("annotations") or {}),
                **_annotations(spec),
            },
        },
        "spec": {
            "suspend": True,
            # One pod and no other: the inbox alone decides on tries.
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": _seconds(
                spec.timeout
                + options.pending_timeout
                + options.start_patience
                + spec.stop_grace
            ),
            "template": _template(spec, options, template),
        },
    }


def render_secret(spec: AnalysisSpec, options: Options, job: Json) -> Json:
    """Return the Secret of what an attempt alone needs, owned by its Job."""
    values = {
        name: value.get_secret_value()
        for name, value in spec.secrets.items()
        if name not in options.lasting
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": spec.attempt.name,
            "labels": _labels(spec, options),
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": spec.attempt.name,
                    "uid": job["metadata"]["uid"],
                }
            ],
        },
        "stringData": values,
    }


def merged(below: Json, above: Json) -> Json:
    """Merge two objects; where both have a value, ``above`` wins."""
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[name] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _template(spec: AnalysisSpec, options: Options, base: Json) -> Json:
    metadata = base.get("metadata") or {}
    pod = restricted(base.get("spec") or {})
    return {
        "metadata": {
            "labels": {
                **(metadata.get("labels") or {}),
                **_labels(spec, options),
            },
            "annotations": {
                **(metadata.get("annotations") or {}),
                **_annotations(spec),
            },
        },
        "spec": {
            **pod,
            "restartPolicy": "Never",
            # The kubelet's own clock: it leaves pod and log where they are,
            # and it ticks on a machine that the cluster has lost.
            "activeDeadlineSeconds": _seconds(spec.timeout),
            "terminationGracePeriodSeconds": _seconds(spec.stop_grace),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                _container(spec, options, each) for each in pod["containers"]
            ],
            "volumes": [
                *pod["volumes"],
                {
                    "name": SCRATCH,
                    "emptyDir": {"sizeLimit": f"{options.scratch_mib}Mi"},
                },
            ],
        },
    }


def _container(spec: AnalysisSpec, options: Options, base: Json) -> Json:
    own = ("args", "name", "restartPolicy")
    given = {k: v for k, v in base.items() if k not in own}
    return {
        **given,
        "name": CONTAINER,
        "image": spec.image or given.get("image"),
        "imagePullPolicy": given.get("imagePullPolicy") or "IfNotPresent",
        "command": [escaped(word) for word in spec.command],
        "env": _environment(spec, options, given.get("env") or []),
        "resources": merged(
            _resources(spec, options), given.get("resources") or {}
        ),
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            *given["volumeMounts"],
            {"name": SCRATCH, "mountPath": SCRATCH_PATH},
        ],
    }


def _environment(
    spec: AnalysisSpec, options: Options, base: list[Json]
) -> list[Json]:
    plain = {"HOME": SCRATCH_PATH, "TMPDIR": SCRATCH_PATH, **spec.env}
    ours = plain.keys() | spec.secrets.keys()
    own = [
        {"name": name, "value": escaped(value)}
        for name, value in plain.items()
    ]
    secret = [
        _reference(
            name, options.lasting.get(name, KeyOf(spec.attempt.name, name))
        )
        for name in spec.secrets
    ]
    return [*(e for e in base if e["name"] not in ours), *own, *secret]


def _reference(name: str, where: KeyOf) -> Json:
    key = {"name": where.secret, "key": where.key}
    return {"name": name, "valueFrom": {"secretKeyRef": key}}


def _resources(spec: AnalysisSpec, options: Options) -> Json:
    requests = {"cpu": options.cpu_request}
    limits = {"ephemeral-storage": f"{options.scratch_mib + 512}Mi"}
    if spec.limits.cpus:
        requests["cpu"] = limits["cpu"] = str(spec.limits.cpus)
    if spec.limits.memory_bytes:
        # Asked for in full: a machine that is short of memory ends those
        # first that use more than they asked for.
        amount = f"{math.ceil(spec.limits.memory_bytes / MIB)}Mi"
        requests["memory"] = limits["memory"] = amount
    return {"requests": requests, "limits": limits}


def _labels(spec: AnalysisSpec, options: Options) -> Json:
    attempt = spec.attempt
    return {
        **{
            f"{LABELS}/{label_value(n)}": label_value(v)
            for n, v in spec.labels.items()
        },
        MANAGED_BY: MANAGER,
        SERVICE: options.service,
        KIND: attempt.kind,
        ITEM: str(attempt.item_id),
        DISPATCH: str(attempt.dispatch),
    }


def _annotations(spec: AnalysisSpec) -> Json:
    return {
        f"{LABELS}/{label_value(n)}": text for n, text in spec.labels.items()
    }


def label_value(text: str) -> str:
    """Return a text as a label's value may be: short, of plain letters."""
    return _NOT_IN_LABELS.sub("-", text)[:MAX_LABEL_CHARS].strip("-_.")


def escaped(text: str) -> str:
    """Keep dollars as they are: ``$(NAME)`` and ``$$`` mean something."""
    return text.replace("$", "$$")


def _seconds(span: timedelta) -> int:
    return max(1, math.ceil(span.total_seconds()))
