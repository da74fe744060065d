"""A real repository with real Git LFS, on this machine's disk."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

WHO = {
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Origin:
    """A bare repository, and a clone that commits to it."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "origin.git"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self._git("init", "--quiet", "--bare", "-b", "main", str(self.bare))
        for name in ("allowFilter", "allowAnySHA1InWant"):
            self._git(
                "-C", str(self.bare), "config", f"uploadpack.{name}", "1"
            )
        self._git("clone", "--quiet", str(self.bare), ".")
        self._git("checkout", "--quiet", "-B", "main")
        self._git("lfs", "install", "--local")
        self._git("lfs", "track", "*.lfs.csv")

    @property
    def url(self) -> str:
        return self.bare.as_uri()

    def commit(
        self, files: Mapping[str, str | bytes | None], message: str = "data"
    ) -> str:
        """Commit files; ``None`` removes one."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("push", "--quiet", "--force", "origin", "main")
        return self._git("rev-parse", "HEAD")

    def rewrite(self, files: Mapping[str, str | bytes | None]) -> str:
        """Replace all history by one commit; the old one is gone."""
        self._git("checkout", "--quiet", "--orphan", "fresh")
        self._git("branch", "--quiet", "-D", "main")
        self._git("branch", "--quiet", "-m", "main")
        # With the old one's message, in its second, it would be the old one.
        commit = self.commit(files, message="all anew")
        self._git("-C", str(self.bare), "gc", "--quiet", "--prune=now")
        return commit

    def link(self, name: str, target: str) -> None:
        (self.work / name).symlink_to(target)

    def lose_objects_of_lfs(self) -> None:
        for path in (self.bare / "lfs" / "objects").rglob("*"):
            if path.is_file():
                path.unlink()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.work,
            env={**os.environ, **WHO},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
