"""A run in a process of its own, to be killed.

Forked from a process that has imported everything, so it begins at once.
"""

import ctypes
import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dagster import DagsterInstance
from kubernetes.config import kube_config

from moderate.definitions import build_defs
from moderate.flows.matrix_profile import analysis
from moderate.resources import redactor
from moderate.settings import process_settings
from moderate_tests.integration.flows.kubernetes_service import COMMAND

PR_SET_PDEATHSIG = 1


def carry_out(
    values: Mapping[str, str],
    job_name: str,
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> None:
    """Execute one run with the settings that are given."""
    # Whatever ends the session ends the runs too.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(values)
    process_settings.cache_clear()
    redactor.cache_clear()
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = values["KUBECONFIG"]
    analysis.IMAGE_COMMAND = COMMAND
    analysis.POLL = timedelta(seconds=0.1)
    analysis.PAUSE = timedelta(seconds=0.1)
    with DagsterInstance.ephemeral() as instance:
        build_defs().resolve_job_def(job_name).execute_in_process(
            instance=instance,
            run_config=dict(run_config),
            tags=dict(tags),
            raise_on_error=False,
        )
