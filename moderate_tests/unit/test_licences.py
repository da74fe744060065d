"""The page of licences covers every locked package, and none alarms."""

import pytest

from scripts import licences
from scripts.licences import ALARMING, ELSEWHERE, Package


@pytest.fixture(scope="module")
def locked() -> list[Package]:
    return licences.locked()


def test_every_locked_package_is_on_the_page(locked: list[Package]) -> None:
    """If not: ./scripts/task licences."""
    page = licences.PAGE.read_text()
    absent = [
        each.name
        for each in locked
        if f"\n| {each.name} | {each.version} | " not in page
    ]
    assert len(locked) > 100
    assert not absent


def test_the_page_says_what_the_packages_say(locked: list[Package]) -> None:
    """As far as this machine has them: some are for other ones."""
    page = licences.PAGE.read_text()
    wrong = [
        each.name
        for each in locked
        if each.licence != ELSEWHERE
        and f"\n{licences.stated(each)} | " not in page
    ]
    assert not wrong


def test_no_package_is_under_a_strong_copyleft(locked: list[Package]) -> None:
    """Nor is a licence unknown; what then follows has to be written down."""
    alarming = {
        each.name: each.licence for each in locked if each.kind in ALARMING
    }
    assert not alarming


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        ("MIT", "permissive"),
        ("GPL-3.0-only", "STRONG COPYLEFT"),
        ("GNU Affero General Public License v3", "STRONG COPYLEFT"),
        ("LGPL-3.0-or-later", "weak copyleft"),
        (
            "Artistic License; GNU General Public License (GPL)",
            "permissive or copyleft",
        ),
        ("", "UNKNOWN"),
        ("All rights reserved", "UNKNOWN"),
    ],
)
def test_licences_are_told_apart(licence: str, kind: str) -> None:
    assert Package("a", "1", "", licence).kind == kind
