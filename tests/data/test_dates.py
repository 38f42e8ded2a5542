"""Dates in the wild: what is certain is read, everything else counts as missing, and nothing raises."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sat2sound.data.dates import Moment, read_date


@pytest.mark.parametrize(
    ("written", "month", "hour"),
    [
        ("2013-05-01 10:22:33.0", 5, 10),  # GeoSound
        ("2011-10-09 23:05:00", 10, 23),  # SoundingEarth
        ("2013-05-01T10:22:33Z", 5, 10),
        ("2013-05-01T10:22:33+02:00", 5, 10),
        ("2013:05:01 10:22:33", 5, 10),  # EXIF
        ("2013-05-01", 5, None),
        ("2013/5/1", 5, None),
        ("2013-05", 5, None),
        ("2013", None, None),
        ("2013-00-00", None, None),
        ("2013-??-?? 10:00", None, 10),
        ("2013-05-xx", 5, None),
        ("Thu, 21 Dec 2000 16:01:07 +0200", 12, 16),
        ("May 3, 2013 4:05 PM", 5, 16),
        ("3 May 2013", 5, None),
        ("25/12/2013 7h", 12, 7),
        ("25/12/2013 07:30", 12, 7),
        ("01/02/2013", None, None),  # January or February
        ("01/01/2013 9:00", 1, 9),
        ("2013-05-01 12:00 am", 5, 0),
    ],
)
def test_what_is_certain_is_read(written: str, month: int | None, hour: int | None) -> None:
    assert read_date(f" {written} ") == Moment(month, hour)


@pytest.mark.parametrize(
    "written",
    [
        *("", "unknown", "NaN", "None", "0000-00-00 00:00:00", "2013-02-31", "2013-13-01", "9999-01-01", "1013-05-01"),
        *("summer", "last year", "1970-01-01 00:00:00", "1980:01:01 00:00:00", "12", "2013-05-01" * 20, "٢٠١٣-٠٥-٠١"),
        *(None, float("nan"), 20130501, 1.5e9, b"2013-05-01", [], {}),
    ],
)
def test_what_is_no_date_is_missing(written: object) -> None:
    assert read_date(written) == Moment()


def test_dates_that_are_dates() -> None:
    assert read_date(datetime.datetime(2013, 5, 1, 10, 22, tzinfo=datetime.UTC)) == Moment(5, 10)
    assert read_date(datetime.date(2013, 5, 1)) == Moment(5)
    assert read_date(datetime.datetime(1800, 5, 1)) == Moment()


@given(some.one_of(some.text(max_size=70), some.from_regex(r"[0-9]{1,4}[-/: T.]{1,2}[0-9a-zA-Z:+ ]{0,20}")))
def test_no_text_raises(written: str) -> None:
    found = read_date(written)
    assert found.month is None or 1 <= found.month <= 12
    assert found.hour is None or 0 <= found.hour <= 23
