"""What a configuration may add to an analysis' pod, and no more.

The pod passes Pod Security ``restricted`` whatever is configured. So what is
taken is listed here, for the pod and for each container, those of its set-up
(``initContainers``) too; what is not listed is left out, and said in the log.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from moderate.analyses.kubernetes_api import Json

_POD: Json = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
HOST: Mapping[str, bool] = MappingProxyType(
    {"hostIPC": False, "hostNetwork": False, "hostPID": False}
)
"""What a pod has of its machine: nothing."""

_TAKEN_OF_PODS = frozenset(
    {
        "affinity",
        "dnsConfig",
        "dnsPolicy",
        "hostAliases",
        "hostUsers",
        "hostname",
        "imagePullSecrets",
        "nodeName",
        "nodeSelector",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "resourceClaims",
        "resources",
        "runtimeClassName",
        "schedulerName",
        "serviceAccount",
        "serviceAccountName",
        "setHostnameAsFQDN",
        "subdomain",
        "tolerations",
        "topologySpreadConstraints",
    }
)
_TAKEN_OF_CONTAINERS = frozenset(
    {
        "args",
        "command",
        "env",
        "envFrom",
        "image",
        "imagePullPolicy",
        "name",
        "resizePolicy",
        "resources",
        "restartPolicy",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "volumeDevices",
        "volumeMounts",
        "workingDir",
    }
)
_TAKEN_OF_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "name",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_TAKEN_OF_USERS = frozenset(
    {
        "fsGroup",
        "fsGroupChangePolicy",
        "runAsGroup",
        "runAsUser",
        "supplementalGroups",
        "supplementalGroupsPolicy",
    }
)
_NO_NEWS = frozenset(
    {
        # Written by us, whatever is configured; some are Dagster's defaults.
        "activeDeadlineSeconds",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "restartPolicy",
        "terminationGracePeriodSeconds",
        # Taken part by part.
        "containers",
        "initContainers",
        "securityContext",
        "volumes",
    }
)
"""What is left out of a pod or a container without a word."""

_LOG = logging.getLogger(__name__)


def restricted(pod: Json) -> Json:
    """Return what is taken of a configured pod, restricted.

    Args:
        pod: A pod's spec, as it is configured.

    Returns:
        The spec, with one container, and a list of volumes.
    """
    volumes = [
        volume
        for volume in pod.get("volumes") or []
        if _taken("volume", volume, _TAKEN_OF_VOLUMES) == volume
    ]
    names = {volume["name"] for volume in volumes}
    first, *others = pod.get("containers") or [{}]
    if others:
        _LOG.warning("an analysis has one container: others are left out")
    setups = _containers(pod.get("initContainers") or [], names)
    return {
        **_taken("pod", pod, _TAKEN_OF_PODS, HOST),
        **HOST,
        "securityContext": _security(pod, _POD),
        "containers": _containers([first], names),
        **({"initContainers": setups} if setups else {}),
        "volumes": volumes,
    }


def _containers(given: Sequence[Json], volumes: Collection[str]) -> list[Json]:
    return [_container(each, volumes) for each in given]


def _container(given: Json, volumes: Collection[str]) -> Json:
    """Return what is taken of a container, restricted.

    Args:
        given: As it is configured.
        volumes: Names of the volumes that the pod has.
    """
    return {
        **_taken("container", given, _TAKEN_OF_CONTAINERS),
        "securityContext": _security(given, _CONTAINER),
        "volumeMounts": [
            mount
            for mount in given.get("volumeMounts") or []
            if mount["name"] in volumes
        ],
    }


def _security(thing: Json, restriction: Mapping[str, Any]) -> Json:
    """Return a security context: which users, and our restriction.

    Not merged deeply: no capability is added to those dropped.
    """
    given = thing.get("securityContext") or {}
    users = _taken("securityContext", given, _TAKEN_OF_USERS, restriction)
    if users.get("runAsUser") == 0:
        _LOG.warning("analyses don't run as root: runAsUser 0 is left out")
        del users["runAsUser"]
    return {**users, **restriction}


def _taken(
    what: str,
    thing: Json,
    names: frozenset[str],
    written: Mapping[str, Any] = MappingProxyType({}),
) -> Json:
    """Return a thing's parts of these names; say what is left out.

    Args:
        what: Its kind, for the log.
        thing: As it is configured.
        names: What is taken.
        written: What is written over it in any case.
    """
    left = sorted(
        name
        for name, value in thing.items()
        if name not in names | _NO_NEWS
        and value not in (None, written.get(name))
    )
    if left:
        _LOG.warning(
            "an analysis' %s may not have this %s: left out",
            what,
            ", ".join(left),
        )
    return {name: value for name, value in thing.items() if name in names}
