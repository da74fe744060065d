"""How the status of a pod is written."""

from datetime import UTC, datetime, timedelta

from moderate_tests.kubernetes.store import Json, stamp


def set_state(pod: Json, phase: str, state: Json) -> None:
    pod["status"]["phase"] = phase
    if state:
        pod["status"]["containerStatuses"] = [
            {"name": "analysis", "state": state, "restartCount": 0}
        ]


def set_condition(
    pod: Json, kind: str, status: str, reason: str = "", message: str = ""
) -> None:
    found = pod["status"].setdefault("conditions", [])
    found[:] = [each for each in found if each["type"] != kind]
    found.append(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
        }
    )


def add_disruption(pod: Json, reason: str) -> None:
    """Mark a pod as one that has to leave."""
    set_condition(pod, "DisruptionTarget", "True", reason)


def later(seconds: float) -> str:
    return stamp(datetime.now(UTC) + timedelta(seconds=seconds))
