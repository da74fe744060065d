"""Faults on the way to a cluster: nothing starts twice, nothing is lost."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import cycle, pairwise

import pytest
from pydantic import SecretStr

from moderate.analyses.kubernetes import KubernetesLauncher
from moderate.analyses.kubernetes_api import JOBS, Json
from moderate.analyses.kubernetes_log import LONGEST_LINE, Excerpt, read_log
from moderate.analyses.kubernetes_objects import condition
from moderate.analyses.kubernetes_watch import LONGEST_SECRET, Stream, Watch
from moderate.analyses.launcher import (
    Absent,
    AttemptId,
    AttemptRunningError,
    Finished,
    Pending,
    RefusedError,
    Running,
    SupersededError,
    UnreachableError,
    stop_earlier,
)
from moderate.analyses.outcomes import Outcome, Reason
from moderate.errors import PermanentError, TemporaryError
from moderate_tests.contract.launchers import programs
from moderate_tests.kubernetes.cluster import NAMESPACE
from moderate_tests.kubernetes.store import ApiError
from moderate_tests.unit.analyses.kubernetes_bench import (
    ATTEMPT,
    IMAGE,
    NAME,
    KubernetesBench,
    outcome,
)

SHORT = timedelta(seconds=0.3)
NEXT = AttemptId(ATTEMPT.kind, ATTEMPT.item_id, ATTEMPT.dispatch + 1)
LINES = 30


# The API server


def test_waiting_goes_on_when_the_api_server_is_back(
    kubernetes: KubernetesBench,
) -> None:
    go = kubernetes.folder / "go"
    launcher = kubernetes.launched(
        "import pathlib, time; print('up', flush=True)\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.05)"
    )
    assert isinstance(launcher.wait(ATTEMPT, SHORT), Running)

    kubernetes.cluster.server.kill()
    status = launcher.wait(ATTEMPT, timedelta(seconds=2))
    assert isinstance(status, Running), "what was seen last"
    with pytest.raises(UnreachableError):
        kubernetes.launcher().status(ATTEMPT)
    go.touch()
    programs.until(lambda: kubernetes.cluster.node.spans)
    kubernetes.cluster.server.start()

    assert outcome(launcher).succeeded
    assert launcher.logs(ATTEMPT, 100) == b"up\n"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_server_that_can_not_answer_now_is_waited_for(
    kubernetes: KubernetesBench, status: int
) -> None:
    launcher = kubernetes.launched()
    kubernetes.cluster.server.failing = status
    fresh = kubernetes.launcher()
    assert isinstance(fresh.wait(ATTEMPT, SHORT), Pending)

    kubernetes.cluster.server.failing = None
    kubernetes.cluster.node.pod_of(NAME).kill()

    assert outcome(fresh).reason is Reason.KILLED
    assert outcome(launcher).reason is Reason.KILLED


def test_a_role_that_lacks_a_verb_is_no_fault_of_the_item(
    kubernetes: KubernetesBench,
) -> None:
    """A person mends it, and the item goes on, of which nothing counts.

    What the flow makes of it is in ``test_kubernetes_outages``.
    """
    kubernetes.cluster.server.failing = 403
    with pytest.raises(RefusedError, match="403"):
        kubernetes.launcher().launch(kubernetes.spec())


def test_answers_that_get_lost_start_nothing_twice(
    kubernetes: KubernetesBench,
) -> None:
    """The Job, its Secret and its start: each was made, and not told."""
    lost = cycle([True, False])
    kubernetes.cluster.server.drops = lambda method: method in (
        "POST",
        "PATCH",
    ) and next(lost)
    launcher = kubernetes.launcher()
    secrets = {"FILE_URL": SecretStr("https://s3.test/x?signature")}
    source = "import os; print(os.environ['FILE_URL'])"

    launcher.launch(kubernetes.spec(source, secrets=secrets))

    assert outcome(launcher).succeeded
    assert kubernetes.cluster.node.starts == [NAME]
    assert kubernetes.cluster.store.created_jobs == [NAME]


def test_what_the_cluster_can_never_accept_is_permanent(
    kubernetes: KubernetesBench,
) -> None:
    base = {"spec": {"template": {"spec": {"nodeSelector": "not a map"}}}}
    with pytest.raises(PermanentError, match="422"):
        kubernetes.launcher(base=base).launch(kubernetes.spec())


# Streams


def test_a_watch_whose_version_is_forgotten_begins_anew(
    kubernetes: KubernetesBench,
) -> None:
    """An answer of status 200, with an event of code 410 in it."""
    told: list[Json | None] = []
    watch = Watch(kubernetes.cluster.client(), JOBS, {}, told.append)
    try:
        programs.until(lambda: told == [None])
        kubernetes.cluster.store.forget_history()
        kubernetes.cluster.store.version += 10
        kubernetes.cluster.server.cut_watches()
        kubernetes.cluster.store.forget_history()

        programs.until(lambda: told == [None, None])
        kubernetes.launcher().prepare(kubernetes.spec())
        programs.until(lambda: len(told) > 2)
    finally:
        watch.close()


def test_the_log_survives_streams_that_break(
    kubernetes: KubernetesBench,
) -> None:
    """Each line once, and in order."""
    source = f"""
import time
for number in range({LINES}):
    print(number, flush=True)
    time.sleep(0.1)
"""
    launcher = kubernetes.launcher()
    launcher.launch(kubernetes.spec(source))
    ends = threading.Event()

    def cut() -> None:
        while not ends.wait(0.7):
            kubernetes.cluster.server.cut_watches()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        assert outcome(launcher).succeeded
    finally:
        ends.set()
        cutter.join()

    wanted = [f"{number}\n".encode() for number in range(LINES)]
    assert kubernetes.lines == wanted


def test_a_container_that_waits_has_no_log_yet(
    kubernetes: KubernetesBench,
) -> None:
    """The API answers 400: it is asked again, and that is no failure."""
    kubernetes.cluster.node.missing_images[IMAGE] = "manifest unknown"
    launcher = kubernetes.launcher(start_patience=timedelta(minutes=5))
    launcher.launch(kubernetes.spec("print('up')"))
    programs.until(lambda: kubernetes.cluster.pods_of(NAME))
    pod = kubernetes.cluster.pod_of(NAME)["metadata"]["name"]

    with pytest.raises(TemporaryError, match="400"):
        read_log(kubernetes.cluster.client(), pod, Excerpt(100))
    assert launcher.logs(ATTEMPT, 100) == b""

    kubernetes.cluster.node.missing_images.clear()
    assert outcome(launcher).succeeded
    assert launcher.logs(ATTEMPT, 100) == b"up\n"


def test_who_is_interrupted_leaves_no_thread_behind(
    kubernetes: KubernetesBench,
) -> None:
    def threads() -> set[str]:
        names = {thread.name for thread in threading.enumerate()}
        return {n for n in names if n.startswith(("watch-", "log-"))}

    launcher: KubernetesLauncher | None = kubernetes.launched()
    assert launcher
    launcher.wait(ATTEMPT, SHORT)
    assert threads()

    kubernetes.launchers.clear()
    launcher = None
    gc.collect()

    programs.until(lambda: not threads())


# Attempts beside each other


def test_attempts_that_race_never_run_beside_each_other(
    kubernetes: KubernetesBench,
) -> None:
    """A worker that was taken for dead launches while its successor does."""
    source = "import time; time.sleep(0.3)"
    old = kubernetes.spec(source)
    new = kubernetes.spec(source, attempt=NEXT)
    barrier = threading.Barrier(2)

    def first(launcher: KubernetesLauncher) -> object:
        barrier.wait()
        return tried(lambda: launcher.launch(old))

    def second(launcher: KubernetesLauncher) -> object:
        barrier.wait()
        launcher.prepare(new)
        stop_earlier(launcher, NEXT)
        return tried(lambda: launcher.launch(new))

    for _ in range(5):
        workers = kubernetes.launcher(), kubernetes.launcher()
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(first, workers[0])
            two = pool.submit(second, workers[1])
            one.result()
            assert two.result() is None
        assert outcome(workers[1], NEXT).succeeded
        with kubernetes.cluster.store.lock:
            ran = sorted(kubernetes.cluster.node.spans, key=lambda s: s[1])
        for before, after in pairwise(ran):
            assert before[2] <= after[1]
        for attempt in (ATTEMPT, NEXT):
            workers[0].stop(attempt)
            workers[0].clean_up(attempt)
        programs.until(lambda: kubernetes.cluster.names("jobs") == [])


def tried(act: Callable[[], object]) -> Exception | None:
    """Do something that may come too late."""
    try:
        act()
    except (SupersededError, AttemptRunningError, TemporaryError) as error:
        return error
    return None


def test_another_services_job_of_the_same_name_is_left_alone(
    kubernetes: KubernetesBench,
) -> None:
    """Two inboxes count their items from 1 each."""
    theirs = kubernetes.launched()
    ours = KubernetesLauncher(
        kubernetes.cluster.client(),
        replace(kubernetes.launcher()._options, service="other"),
    )

    with pytest.raises(TemporaryError, match="another service"):
        ours.launch(kubernetes.spec())
    ours.stop(ATTEMPT)
    ours.clean_up(ATTEMPT)

    assert ours.status(ATTEMPT) == Absent()
    assert ours.all_attempts() == []
    assert isinstance(theirs.status(ATTEMPT), Running)


# Ending and putting away


def test_a_cancelled_one_goes_with_its_pod_and_its_secret(
    kubernetes: KubernetesBench,
) -> None:
    launcher = kubernetes.launched(secrets={"LINK": SecretStr("x")})
    assert kubernetes.cluster.names("secrets") == [NAME]

    launcher.stop(ATTEMPT)
    launcher.clean_up(ATTEMPT)

    assert kubernetes.cluster.names("jobs") == []
    assert kubernetes.cluster.names("secrets") == []
    programs.until(lambda: kubernetes.cluster.names("pods") == [])


def test_nothing_is_removed_before_it_was_put_away(
    kubernetes: KubernetesBench,
) -> None:
    """Log and outcome are stored first; only then has the Job a TTL."""
    launcher = kubernetes.launcher(ttl=timedelta(hours=1))
    secrets = {"LINK": SecretStr("x")}
    launcher.launch(kubernetes.spec("print('done')", secrets=secrets))
    outcome(launcher)
    job = kubernetes.cluster.get("jobs", NAME)
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert kubernetes.cluster.names("secrets") == [NAME]

    launcher.clean_up(ATTEMPT)

    job = kubernetes.cluster.get("jobs", NAME)
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    assert kubernetes.cluster.pods_of(NAME), "for whoever looks at it"
    assert kubernetes.cluster.names("secrets") == []
    assert launcher.all_attempts() == []
    assert launcher.status(ATTEMPT) == Absent()


def test_the_cluster_removes_what_was_put_away(
    kubernetes: KubernetesBench,
) -> None:
    launcher = kubernetes.launcher()
    launcher.launch(kubernetes.spec("print('done')"))
    outcome(launcher)

    launcher.clean_up(ATTEMPT)

    programs.until(lambda: kubernetes.cluster.names("jobs") == [])
    programs.until(lambda: kubernetes.cluster.names("pods") == [])


def test_a_job_that_nobody_owns_takes_its_secret_along(
    kubernetes: KubernetesBench,
) -> None:
    """Also where a worker was killed before it could remove either."""
    launcher = kubernetes.launched(secrets={"LINK": SecretStr("x")})
    launcher.stop(ATTEMPT)
    options: Json = {"propagationPolicy": "Background"}

    kubernetes.cluster.client().delete(JOBS, NAME, options)

    programs.until(lambda: kubernetes.cluster.names("secrets") == [])


def test_stopping_what_finds_no_room_ends_it(
    kubernetes: KubernetesBench,
) -> None:
    kubernetes.cluster.node.is_full = True
    launcher = kubernetes.launcher()
    launcher.launch(kubernetes.spec())

    launcher.stop(ATTEMPT)
    kubernetes.cluster.node.is_full = False

    stopped = Finished(Outcome(Reason.STOPPED))
    assert launcher.status(ATTEMPT) == stopped
    assert kubernetes.cluster.node.starts == []


def test_stopping_what_was_only_prepared_keeps_it_from_starting(
    kubernetes: KubernetesBench,
) -> None:
    """A launch that was under way meets a Job that is another, or none."""
    launcher = kubernetes.launcher()
    launcher.prepare(kubernetes.spec())
    job = kubernetes.cluster.get("jobs", NAME)

    kubernetes.launcher().stop(ATTEMPT)
    kubernetes.launcher().prepare(kubernetes.spec())

    with pytest.raises(TemporaryError):
        launcher._set_going(job)
    spec = kubernetes.cluster.store.get(("jobs", NAMESPACE, NAME))["spec"]
    assert spec["suspend"]


# What changes between two looks


def test_the_secret_of_a_job_that_is_gone_does_not_stand_for_the_new_ones(
    kubernetes: KubernetesBench,
) -> None:
    """The cluster collects it just when it is to be changed."""
    kubernetes.cluster.store.create(
        "secrets", NAMESPACE, {"metadata": {"name": NAME}, "data": {}}
    )

    def collect(method: str, path: str) -> None:
        if method == "PATCH" and "/secrets/" in path:
            kubernetes.cluster.server.before = lambda *_: None
            kubernetes.cluster.store.delete(("secrets", NAMESPACE, NAME))

    kubernetes.cluster.server.before = collect
    source = "import os; print(os.environ['LINK'])"
    spec = kubernetes.spec(source, secrets={"LINK": SecretStr("x")})
    launcher = kubernetes.launcher()
    launcher.prepare(spec)
    # From here on nobody else changes the Job, so it is begun at once.
    programs.until(lambda: is_suspended(kubernetes))

    launcher.launch(spec)

    assert outcome(launcher).succeeded


def is_suspended(kubernetes: KubernetesBench) -> bool:
    job = kubernetes.cluster.get("jobs", NAME)
    return condition(job, "Suspended") is not None


def test_the_pod_of_a_job_that_is_made_between_two_looks_is_left_alone(
    kubernetes: KubernetesBench,
) -> None:
    other = kubernetes.launcher()

    def launch_first(_: str, path: str) -> None:
        if "/pods?" in path:
            kubernetes.cluster.server.before = lambda *_: None
            other.launch(kubernetes.spec())
            programs.until(lambda: kubernetes.cluster.pods_of(NAME))

    kubernetes.cluster.server.before = launch_first

    status = kubernetes.launcher().status(ATTEMPT)

    assert isinstance(status, Pending | Running)
    metadata = kubernetes.cluster.pod_of(NAME)["metadata"]
    assert "deletionTimestamp" not in metadata


# What we may not do


def test_a_log_that_we_may_not_read_is_not_an_empty_one(
    kubernetes: KubernetesBench,
) -> None:
    """It would be stored so, and the Job be put away."""
    launcher = kubernetes.launcher()
    launcher.launch(kubernetes.spec("import sys; sys.exit(65)"))

    def refuse(_: str, path: str) -> None:
        if path.partition("?")[0].endswith("/log"):
            raise ApiError(403, "Forbidden", 'cannot get resource "pods/log"')

    kubernetes.cluster.server.before = refuse

    assert outcome(launcher).reason is Reason.BAD_DATA, "it is known without"
    with pytest.raises(RefusedError):
        kubernetes.launcher().logs(ATTEMPT, 100)


# Lines without an end


class Pieces:
    """An answer that comes in pieces, and looks at what is kept of it."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read1(self, _: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def test_a_line_without_an_end_is_bounded() -> None:
    """A workload that draws its progress into one line, for hours."""
    size = LONGEST_LINE // 2
    answer = Pieces(b"one\ntwo", *[b"x" * size] * 20, b"\nthree\nfo", b"ur")

    one, two, *rest = Stream(LONGEST_LINE).lines(answer)

    assert one == b"one"
    assert len(two) <= LONGEST_LINE
    assert two.startswith(b"twoxx")
    left_out = 20 * size + 3 - (LONGEST_LINE - LONGEST_SECRET)
    assert two.endswith(
        b" [... %d bytes of this line are left out]" % left_out
    )
    assert rest == [b"three", b"four"]


def test_a_secret_at_the_cut_is_not_shown_in_half() -> None:
    secret = b"s" * LONGEST_SECRET
    line = b"x" * (LONGEST_LINE - len(secret) // 2) + secret

    (shown,) = Stream(LONGEST_LINE).lines(Pieces(line))

    assert b"s" not in shown.partition(b" ")[0]
