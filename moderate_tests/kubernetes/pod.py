"""One pod on a node: its command, its log and what the kubelet tells."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

import psutil

from moderate_tests.kubernetes import shim
from moderate_tests.kubernetes.log import Log
from moderate_tests.kubernetes.status import set_state
from moderate_tests.kubernetes.store import (
    ApiError,
    Json,
    Key,
    Store,
    stamp,
)

if TYPE_CHECKING:
    from moderate_tests.kubernetes.node import Node

TICK_SECONDS = 0.05
IMAGE_RETRY_SECONDS = 0.3
VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
MIB = 2**20


class Pod:
    """One pod on this node, in a thread of its own."""

    def __init__(
        self, node: "Node", store: Store, key: Key, thing: Json, folder: Path
    ) -> None:
        self.thing = thing
        self.key = key
        self.log: Log | None = None
        self.end_reason: tuple[str, str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.thread = Thread(target=self._run, daemon=True)
        self._node = node
        self._store = store
        self._scratch = Path(tempfile.mkdtemp(dir=folder))
        self._began = time.monotonic()
        self._told: float | None = None
        self._report = b""
        self._is_oom = False

    def kill(self) -> None:
        """Kill all its processes, as the kernel would."""
        process = self.process
        if process and process.poll() is None:
            process.send_signal(signal.SIGUSR1)

    def _run(self) -> None:
        try:
            self._live()
        except ApiError as error:
            if error.code != 404:
                raise
        finally:
            self.kill()
            if self.process:
                self.process.wait()
                for pipe in (self.process.stdin, self.process.stdout):
                    assert pipe
                    pipe.close()
            if self.log:
                self.log.end()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _live(self) -> None:
        self._tell(lambda pod: pod["status"].update(startTime=stamp()))
        environment = self._wait_for_start()
        if environment is None:
            self._finish(None)
            return
        self._start(environment)
        self._wait_for_end()

    # Before it starts

    def _wait_for_start(self) -> dict[str, str] | None:
        """Return the environment, once image and Secrets are there."""
        tries = 0
        while not self._node.ends:
            if self._is_to_end():
                return None
            image = self._container["image"]
            said = self._node.missing_images.get(image)
            if said:
                tries += 1
                reason = "ErrImagePull" if tries % 2 else "ImagePullBackOff"
                if not re.fullmatch(r"[a-z0-9./:_-]+", image):
                    reason = "InvalidImageName"
                self._wait(reason, said)
            else:
                try:
                    return self._environment()
                except ApiError as error:
                    self._wait("CreateContainerConfigError", str(error))
            time.sleep(IMAGE_RETRY_SECONDS)
        return None

    @property
    def _container(self) -> Json:
        return dict(self.thing["spec"]["containers"][0])

    @property
    def _words(self) -> list[str]:
        """The command and its arguments; images here have none of either."""
        given = (self._container.get(key) for key in ("command", "args"))
        return [word for words in given for word in words or []]

    def _wait(self, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        self._tell(lambda pod: set_state(pod, "Pending", state))

    def _environment(self) -> dict[str, str]:
        values = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        for source in self._container.get("envFrom") or []:
            values.update(self._secret(source["secretRef"]["name"]))
        for variable in self._container.get("env") or []:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                secret = self._secret(reference["name"])
                if reference["key"] not in secret:
                    text = f"couldn't find key {reference['key']} in Secret"
                    raise ApiError(400, "BadRequest", text)
                values[variable["name"]] = secret[reference["key"]]
            else:
                text = _expanded(variable.get("value") or "", values)
                values[variable["name"]] = text
        given = self._container.get("volumeMounts") or []
        mounts = {mount["mountPath"] for mount in given}
        scratch = str(self._scratch)
        return {n: scratch if v in mounts else v for n, v in values.items()}

    def _secret(self, name: str) -> dict[str, str]:
        try:
            thing = self._store.get(("secrets", self.key[1], name))
        except ApiError as error:
            text = f'secret "{name}" not found'
            raise ApiError(400, "NotFound", text) from error
        return {
            key: base64.b64decode(value).decode()
            for key, value in (thing.get("data") or {}).items()
        }

    def _start(self, environment: dict[str, str]) -> None:
        reader, writer = os.pipe()
        command = [_expanded(word, environment) for word in self._words]
        self._node.starts.append(self.thing["metadata"]["labels"]["job-name"])
        program = shutil.which(command[0], path=environment["PATH"])
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                str(shim.__file__),
                str(writer),
                program or command[0],
                *command[1:],
            ],
            env=environment,
            cwd=self._scratch,
            pass_fds=(writer,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.close(writer)
        self.log = Log()
        self._began_at = stamp()
        self._ran = time.monotonic()
        Thread(target=self._keep_log, daemon=True).start()
        self._reporter = Thread(
            target=self._keep_report, args=(reader,), daemon=True
        )
        self._reporter.start()

    def _keep_log(self) -> None:
        assert self.process
        assert self.process.stdout
        assert self.log
        for line in self.process.stdout:
            self.log.add(line)
        self.log.end()

    def _keep_report(self, reader: int) -> None:
        with open(reader, "rb") as file:
            self._report = file.read()

    # While it runs

    def _wait_for_end(self) -> None:
        assert self.process
        # A short pod is never seen Running: what it became is told once.
        time.sleep(TICK_SECONDS)
        if self.process.poll() is None:
            state = {"running": {"startedAt": self._began_at}}
            self._tell(lambda pod: set_state(pod, "Running", state))
        while True:
            try:
                self.process.wait(TICK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                self._look()
        self._reporter.join()
        with self.log.more if self.log else Condition():
            while self.log and not self.log.is_over:
                self.log.more.wait(1)
        job = self.thing["metadata"]["labels"]["job-name"]
        self._node.spans.append((job, self._ran, time.monotonic()))
        while self._node.is_lost and not self._node.ends:
            time.sleep(TICK_SECONDS)
        self._finish(json.loads(self._report or b'{"exit": 137}'))

    def _look(self) -> None:
        if self._is_to_end():
            self._end()
        limit = self._container.get("resources", {}).get("limits", {})
        if "memory" in limit and self._memory() > _bytes(limit["memory"]):
            self._is_oom = True
            self.kill()

    def _is_to_end(self) -> bool:
        """Whether it was deleted, or its own time is up."""
        if not self._node.is_lost:
            try:
                self.thing = self._store.get(self.key)
            except ApiError:
                self._told = self._told or -1e9  # removed by force
                return True
        limit = self.thing["spec"].get("activeDeadlineSeconds")
        if limit and time.monotonic() - self._began >= limit:
            self.end_reason = (
                "DeadlineExceeded",
                "Pod was active longer than the specified deadline",
            )
            return True
        return bool(self.thing["metadata"].get("deletionTimestamp"))

    def _end(self) -> None:
        """Tell it to end, and kill it when the grace has passed."""
        assert self.process
        if self._told is None:
            self._told = time.monotonic()
            self.process.terminate()
        grace = self.thing["spec"].get("terminationGracePeriodSeconds", 30)
        if time.monotonic() - self._told >= grace:
            self.kill()

    def _memory(self) -> int:
        assert self.process
        total = 0
        try:
            for each in psutil.Process(self.process.pid).children(
                recursive=True
            ):
                total += each.memory_info().rss
        except psutil.Error:
            pass
        return total

    # After it has ended

    def _finish(self, report: Json | None) -> None:
        state: Json = {}
        if report is not None:
            state = {"terminated": self._terminated(report)}
        failed = self.end_reason or report is None or report.get("exit") != 0

        def edit(pod: Json) -> None:
            set_state(pod, "Failed" if failed else "Succeeded", state)
            if self.end_reason:
                reason, message = self.end_reason
                pod["status"].update(reason=reason, message=message)

        self._tell(edit)
        while not self._node.ends:
            self.thing = self._store.get(self.key)
            if self.thing["metadata"].get("deletionTimestamp"):
                self._store.delete(self.key, 0)
                return
            time.sleep(TICK_SECONDS)

    def _terminated(self, report: Json) -> Json:
        times = {"startedAt": self._began_at, "finishedAt": stamp()}
        if "error" in report:
            return {
                **times,
                "exitCode": 128,
                "reason": "StartError",
                "message": f"failed to create task: {report['error']}",
            }
        code = report["exit"]
        reason = "Completed" if code == 0 else "Error"
        return {
            **times,
            "exitCode": code,
            "reason": "OOMKilled" if self._is_oom else reason,
        }

    def _tell(self, edit: Any) -> None:
        self.thing = self._store.change(self.key, edit)


def _expanded(text: str, values: dict[str, str]) -> str:
    """Put variables in, as Kubernetes does: ``$(NAME)``; ``$$`` is a ``$``."""

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return values.get(found[1], found[0])

    return VARIABLE.sub(value, text)


def _bytes(amount: str) -> int:
    assert amount.endswith("Mi")
    return int(amount[:-2]) * MIB
