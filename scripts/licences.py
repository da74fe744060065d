"""Write the licences of all locked packages: ``docs/licences.md``.

What the packages themselves say, read from the installed ones; where one
offers a choice, all of it. ``./scripts/task licences`` runs it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import cast

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "licences.md"
ELSEWHERE = "not installed here"
DEVELOPMENT = "dev"

_LOCKED = re.compile(
    r"^([a-z0-9][a-z0-9._-]*)==(\S+?)(?: ; (.+?))? \\$", re.MULTILINE
)
_KINDS = (
    ("source available", r"Collate"),
    ("permissive or copyleft", r"Artistic.*GPL|GPL.*Artistic"),
    ("weak copyleft", r"LGPL|Lesser|MPL|Mozilla|EPL|CDDL"),
    ("STRONG COPYLEFT", r"GPL|General Public|EUPL|SSPL|OSL"),
    (
        "permissive",
        r"MIT|BSD|Apache|PSF|Python|ISC|Unlicense|Zlib|CC0|ZPL|Artistic",
    ),
)
UNKNOWN = "UNKNOWN"
ALARMING = ("STRONG COPYLEFT", UNKNOWN)

HEAD = """# Licences

Every package of `requirements.lock`, with the licence that it states. This
page is made by `./scripts/task licences`. What follows from the ones that are
not plainly permissive is in [security](security.md#licences). "In images":
some container image of ours carries it; the others are for development.

"""


@dataclass(frozen=True)
class Package:
    """A locked package.

    Attributes:
        name: Its canonical name.
        version: As it is locked.
        marker: For which machines; empty for all.
        licence: What it states; ``ELSEWHERE`` where it is not installed.
    """

    name: str
    version: str
    marker: str
    licence: str

    @property
    def kind(self) -> str:
        """What sort of licence that is."""
        if self.licence == ELSEWHERE:
            return f"only where {self.marker}" if self.marker else UNKNOWN
        return next(
            (kind for kind, words in _KINDS if re.search(words, self.licence)),
            UNKNOWN,
        )


def locked() -> list[Package]:
    """Return all locked packages, by name."""
    return [
        Package(name, version, marker, _licence(name))
        for name, version, marker in _LOCKED.findall(LOCK.read_text())
    ]


def _licence(name: str) -> str:
    try:
        told = cast("Message", metadata.metadata(name))
    except metadata.PackageNotFoundError:
        return ELSEWHERE
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in told.get_all("Classifier") or []
        if each.startswith("License :: ")
    ]
    text = str(told.get("License") or "").strip().splitlines()
    return "; ".join(classifiers) or (text[0] if text else "")


def in_images() -> set[str]:
    """Return the names of all packages that any image carries."""
    extras = metadata.metadata("moderate").get_all("Provides-Extra") or []
    ours = ",".join(extra for extra in extras if extra != DEVELOPMENT)
    wanted = [Requirement(f"moderate[{ours}]")]
    found: set[tuple[str, str]] = set()
    while wanted:
        asked = wanted.pop()
        name = canonicalize_name(asked.name)
        for extra in ("", *asked.extras):
            if (name, extra) not in found:
                found.add((name, extra))
                wanted += _needs(name, extra)
    return {name for name, _ in found} - {"moderate"}


def _needs(name: str, extra: str) -> Iterator[Requirement]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for need in map(Requirement, lines):
        if need.marker is None or need.marker.evaluate({"extra": extra}):
            yield need


def stated(package: Package) -> str:
    """Return what a package states, as the begin of its line."""
    licence = package.licence.replace("|", "or")[:100]
    cells = (package.name, package.version, licence, package.kind)
    return f"| {' | '.join(cells)}"


def page() -> str:
    """Return the whole page."""
    packages = locked()
    shipped = in_images()
    kinds: Mapping[str, int] = Counter(each.kind for each in packages)
    counted = "\n".join(
        f"| {kind} | {count} |" for kind, count in sorted(kinds.items())
    )
    rows = "\n".join(
        f"{stated(each)} | {'yes' if each.name in shipped else 'no'} |"
        for each in packages
    )
    return (
        f"{HEAD}| kind | packages |\n|---|---|\n{counted}\n\n"
        "| package | version | licence | kind | in images |\n"
        f"|---|---|---|---|---|\n{rows}\n"
    )


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
