"""A launcher on the cluster of the tests, with little patience."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from moderate.analyses import kubernetes_api
from moderate.analyses.kubernetes import KubernetesLauncher
from moderate.analyses.kubernetes_spec import KeyOf, Options
from moderate.analyses.launcher import AnalysisSpec, AttemptId, Finished
from moderate.analyses.outcomes import Outcome
from moderate_tests.contract.launchers import programs
from moderate_tests.kubernetes.cluster import TestCluster

IMAGE = "registry.test/matrix-profile:1.0.0"
ATTEMPT = AttemptId("fault", 1, 1)
NAME = ATTEMPT.name
SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@dataclass
class KubernetesBench:
    """One case's cluster, launcher and attempt."""

    cluster: TestCluster
    folder: Path
    lines: list[bytes] = field(default_factory=list)
    launchers: list[KubernetesLauncher] = field(default_factory=list)

    def launcher(
        self, api: kubernetes_api.Cluster | None = None, **options: object
    ) -> KubernetesLauncher:
        """Return a launcher as one more worker would have it."""
        given = Options(
            "unit",
            **{
                "pending_timeout": timedelta(seconds=1),
                "start_patience": timedelta(seconds=1),
                "ttl": timedelta(),
                **options,
            },  # type: ignore[arg-type]
        )
        made = KubernetesLauncher(
            api or self.cluster.client(), given, sink=self.lines.append
        )
        self.launchers.append(made)
        return made

    def spec(self, source: str = SLEEP, **more: object) -> AnalysisSpec:
        """Describe the case's attempt."""
        return AnalysisSpec(
            **{
                "attempt": ATTEMPT,
                "command": ("python", "-I", "-S", "-c", source),
                "image": IMAGE,
                "timeout": timedelta(minutes=2),
                "stop_grace": timedelta(seconds=1),
                **more,
            }  # type: ignore[arg-type]
        )

    def launched(
        self, source: str = SLEEP, **more: object
    ) -> KubernetesLauncher:
        """Return the launcher of an attempt that runs."""
        launcher = self.launcher()
        launcher.launch(self.spec(source, **more))
        programs.until(lambda: launcher.logs(ATTEMPT, 100) == b"up\n")
        return launcher

    def close(self) -> None:
        for launcher in self.launchers:
            launcher.close()
        self.cluster.close()


def outcome(
    launcher: KubernetesLauncher,
    attempt: AttemptId = ATTEMPT,
    within: timedelta = timedelta(seconds=60),
) -> Outcome:
    """Wait for an attempt's outcome."""
    status = launcher.wait(attempt, within)
    assert isinstance(status, Finished), status
    return status.outcome


def meanwhile_seen(
    launcher: KubernetesLauncher, act: Callable[[], object]
) -> Outcome:
    """Wait, have something happen, and see the outcome."""
    launcher.wait(ATTEMPT, timedelta(seconds=0.2))
    act()
    return outcome(launcher)


__all__ = ["KeyOf", "KubernetesBench", "outcome"]
