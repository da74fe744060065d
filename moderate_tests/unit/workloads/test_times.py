"""Times are read as people and meters write them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.workloads.matrix_profile.times import (
    NOT_A_TIME,
    parse_times,
    zone_name,
)

MOMENT = datetime(2020, 3, 25, 13, 45, tzinfo=UTC)


def micros(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    "text",
    [
        "2020-03-25 13:45",
        "2020-03-25T13:45:00",
        "2020-03-25 13:45:00.000",
        "2020-03-25T13:45:00Z",
        "2020-03-25T14:45:00+01:00",
        "2020-03-25 08:45:00-0500",
        "2020-03-25 13:45:00 UTC",
        "2020/03/25 13:45",
        "2020-3-25 13:45",
        "25.03.2020 13:45",
        "25/03/2020 13:45:00",
        "25-03-2020 13.45",
        "25.3.20 13:45",
        "3/25/2020 1:45 PM",
        "03/25/2020 01:45:00 pm",
        "25-Mar-2020 13:45",
        "25 March 2020, 13:45",
        " 2020-03-25 13:45 ",
    ],
)
def test_the_same_moment_in_many_spellings(text: str) -> None:
    times = parse_times([text], epochs=False)
    assert times.micros.tolist() == [micros(MOMENT)]


@pytest.mark.parametrize(
    "text",
    [
        "1585143900",
        "1585143900.0",
        "1585143900000",
        "1585143900000000",
        "1585143900000000000",
        "20200325 1345",
        "20200325:1345",
        "20200325T134500",
        "202003251345",
    ],
)
def test_bare_numbers_are_times_only_where_the_name_says_so(
    text: str,
) -> None:
    """A meter's counter may look like an epoch."""
    assert parse_times([text], epochs=True).micros.tolist() == [micros(MOMENT)]
    assert not parse_times([text], epochs=False).readable.any()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n/a",
        "12.5",
        "2020-13-01 00:00",
        "31.02.2020 00:00",
        "25.03.2020 25:00",
        "25.03.2020 13:60",
        "13:45",
        "25-Foo-2020 13:45",
        "25.03.2020 13:45 PM",
        "٣٣.٣.٢٠٢٠",
    ],
)
def test_what_is_no_time_is_no_time(text: str) -> None:
    assert parse_times([text], epochs=False).micros.tolist() == [NOT_A_TIME]


def test_midnight_may_be_the_end_of_a_day() -> None:
    times = parse_times(["31.12.2019 24:00", "01.01.2020 00:00"], epochs=False)
    assert times.micros[0] == times.micros[1]


def test_one_large_number_settles_which_part_is_the_day() -> None:
    texts = ["03/04/2020 00:00", "25/04/2020 00:00"]
    assert parse_times(texts, epochs=False).micros[0] == micros(
        datetime(2020, 4, 3, tzinfo=UTC)
    )
    texts = ["03/04/2020 00:00", "03/25/2020 00:00"]
    assert parse_times(texts, epochs=False).micros[0] == micros(
        datetime(2020, 3, 4, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["03/01/2020", "03/02/2020", "03/03/2020"], (2020, 3, 1)),
        (["01/03/2020", "02/03/2020", "03/03/2020"], (2020, 3, 1)),
        (["03/03/2020"], (2020, 3, 3)),
    ],
)
def test_the_part_that_changes_is_the_day_and_this_is_said(
    texts: list[str], expected: tuple[int, int, int]
) -> None:
    times = parse_times(texts, epochs=False)
    assert times.micros[0] == micros(datetime(*expected, tzinfo=UTC))
    assert "do not tell day from month" in times.notes[0].text


def test_one_offset_is_the_clock_that_is_shown() -> None:
    times = parse_times(["2020-03-25T14:45:00+01:00"], epochs=False)
    assert times.zone == "UTC+01:00"
    assert times.offset_us == 3600 * 10**6


def test_summer_time_is_shown_as_winter_time_and_this_is_said() -> None:
    texts = ["2020-10-25T02:30:00+02:00", "2020-10-25T02:30:00+01:00"]
    times = parse_times(texts, epochs=False)
    assert np.diff(times.micros).tolist() == [3600 * 10**6]
    assert times.zone == "UTC+01:00"
    assert "winter time" in times.notes[0].text


def test_unrelated_offsets_are_shown_in_utc() -> None:
    texts = ["2020-10-25T02:30:00+05:30", "25.10.2020 02:30 -08:00"]
    times = parse_times(texts, epochs=False)
    assert (times.zone, times.offset_us) == ("UTC", 0)


def test_a_missing_offset_among_others_is_said() -> None:
    texts = ["2020-10-25T02:30:00+02:00", "2020-10-25T02:30:00"]
    times = parse_times(texts, epochs=False)
    assert times.notes[-1].level == "warning"


def test_offsets_are_named_as_clocks_are() -> None:
    assert zone_name(330) == "UTC+05:30"
    assert zone_name(-180) == "UTC-03:00"
    assert zone_name(0) == "UTC"


FORMATS = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%d/%m/%Y %I:%M:%S %p",
]
moments = st.datetimes(
    datetime(1980, 1, 1),  # noqa: DTZ001 (hypothesis wants them so)
    datetime(2099, 12, 31),  # noqa: DTZ001
)


@given(st.lists(moments, min_size=1), st.sampled_from(FORMATS))
def test_what_python_writes_is_read_back(
    written: list[datetime], pattern: str
) -> None:
    # The 25th settles that the day comes first.
    written = [datetime(2001, 1, 25, tzinfo=UTC), *written]
    texts = [moment.strftime(pattern) for moment in written]
    expected = [micros(moment.replace(microsecond=0)) for moment in written]
    assert parse_times(texts, epochs=False).micros.tolist() == expected


@pytest.mark.parametrize("epochs", [False, True])
@given(texts=st.lists(st.text(max_size=40), max_size=5))
def test_no_text_breaks_it(texts: list[str], *, epochs: bool) -> None:
    assert parse_times(texts, epochs=epochs).micros.size == len(texts)
