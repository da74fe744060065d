"""The table of datasets: a third one is one more row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from moderate.workloads.csv_conversion.reading import Reading

PLAIN = Reading()


@dataclass(frozen=True)
class Dataset:
    """Files of one repository that become one platform asset.

    Attributes:
        name: Of the Dagster asset, and in our memory of uploads.
        platform_name: Of the platform asset; its slug makes the uuid.
        description: For people, in Dagster and on the platform.
        url: The repository; https, ssh or file, without login.
        ref: Branch, tag or commit.
        globs: Which files; ``**/`` is any number of folders.
        lfs: Whether Git LFS keeps files of the repository.
        readings: How files are read, by pattern of the file's name; the
            first that fits. Others are plain CSV.
        weekly_at: When the schedule runs once switched on, as cron, in UTC.
    """

    name: str
    platform_name: str
    description: str
    url: str
    ref: str
    globs: tuple[str, ...]
    lfs: bool = False
    readings: Mapping[str, Reading] = field(default_factory=dict)
    weekly_at: str = "0 3 * * 1"

    def reading(self, path: str) -> Reading:
        """Return how the file at ``path`` is read."""
        name = PurePosixPath(path).name
        for pattern, reading in self.readings.items():
            if fnmatchcase(name, pattern):
                return reading
        return PLAIN


DATASETS = (
    Dataset(
        name="building_stock",
        platform_name="building_stock",
        description="Static and dynamic analyses of the building stock of"
        " the MODERATE project's case studies.",
        url="https://github.com/MODERATE-Project/building-stock-analysis.git",
        ref="main",
        globs=(
            "T3.1-dynamic-analysis/**/*.csv",
            "T3.2-static-analysis/**/*.csv",
        ),
        readings={
            "v1.0_Data_T3.1_Dynamicanalysis_PVanalysis.csv": Reading(
                separator=";", decimal_point=",", title_lines=1
            ),
        },
    ),
    Dataset(
        name="genome_project_datasets",
        platform_name="genome_project",
        description="The Building Data Genome Project 2: two years of hourly"
        " readings of 3,053 energy meters, with weather and metadata.",
        url="https://github.com/buds-lab/building-data-genome-project-2.git",
        ref="master",
        globs=(
            "data/meters/cleaned/*.csv",
            "data/weather/*.csv",
            "data/metadata/*.csv",
        ),
        lfs=True,
        weekly_at="0 4 * * 1",
    ),
)
"""Every dataset that is brought to the platform."""
