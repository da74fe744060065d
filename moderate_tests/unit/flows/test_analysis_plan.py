"""What all analyses of the service have in common."""

from datetime import timedelta

import pytest

from moderate.clients.object_storage import LONGEST_PRESIGNED
from moderate.flows.matrix_profile.analysis import Plan
from moderate.flows.matrix_profile.messages import ImageRule

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("timeout", "life"),
    [(HOUR, HOUR * 1.5), (LONGEST_PRESIGNED, LONGEST_PRESIGNED)],
)
def test_the_datas_link_lives_as_long_as_it_may_be_needed(
    timeout: timedelta, life: timedelta
) -> None:
    """Through the wait for room too, but no longer than can be signed."""
    plan = Plan(
        rule=ImageRule("image", "1"),
        outputs_bucket="outputs",
        env={},
        secrets={},
        timeout=timeout,
        patience=HOUR / 2,
        memory_bytes=1,
    )

    assert plan.link_life == life
