"""The flow of open datasets."""

import re
from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from moderate.settings.fields import (
    CommaList,
    Group,
    Seconds,
)


def _mirrors(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"\w+=\S+", pair) for pair in value):
        msg = "name=url, comma separated, is expected"
        raise ValueError(msg)
    return value


class DatasetSettings(Group):
    """The flow that brings open datasets to the platform."""

    title: ClassVar[str] = "Datasets"

    work_dir: str = Field(
        "",
        alias="DATASETS_WORK_DIR",
        description="folder of files on their way, with room for three times "
        "what has changed; by default `.local/state/moderate/datasets` in the "
        "user's home",
    )
    mirrors: Annotated[CommaList, AfterValidator(_mirrors)] = Field(
        (),
        alias="DATASETS_MIRRORS",
        description="other repositories to take datasets from, as "
        "`name=url`, comma separated; https, ssh or file, without login",
    )
    git_timeout: Seconds = Field(
        timedelta(hours=1),
        alias="DATASETS_GIT_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that one command of Git may take, for instance "
        "to fetch one file of Git LFS",
    )

    def mirror_of(self, dataset: str) -> str | None:
        """Return the repository that stands in for a dataset's own."""
        pairs = (pair.partition("=") for pair in self.mirrors)
        return next((url for name, _, url in pairs if name == dataset), None)
