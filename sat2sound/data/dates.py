"""Dates as people and cameras write them: the month and the hour, if they are certain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from dateutil import parser

from sat2sound.preprocessing.metadata import HOURS, MONTHS

_LONGEST = 64  # characters; nothing longer is a date
YEARS = (1900, 2100)  # nobody recorded sound in the field before; what is later is a mistyped or broken clock
# Where the clocks of computers, Macintosh and FAT file systems start counting: a camera whose clock was never set.
_UNSET_CLOCKS = (datetime(1904, 1, 1), datetime(1970, 1, 1), datetime(1980, 1, 1))
# Year first: ISO 8601, EXIF ("2013:05:01 10:22:33"), and either with zeros or question marks for what is not known.
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?:[-:/.](?P<month>\d{1,2}|[?xX]{1,2})(?:[-:/.](?P<day>\d{1,2}|[?xX]{1,2}))?)?"
    r"(?:(?:\s*[Tt]\s*|[\s,]+)(?P<hour>\d{1,2}|[?xX]{1,2})(?P<rest>[:.hH].*)?)?(?:\s*[Zz]|\s*[+-]\d{2}:?\d{2})?"
)
_AFTERNOON = re.compile(r"[ap]\.?m\b", re.IGNORECASE)
# Two days that share no part: what both readings give was in the text, not filled in. Leap years, months of 31 days.
_FILLED_IN = (datetime(2004, 1, 1, 0, 0), datetime(2008, 12, 31, 23, 59))


@dataclass(frozen=True)
class Moment:
    """month: 1 to 12; hour: 0 to 23 as written, whatever its time zone. None: not in the text, or not certain."""

    month: int | None = None
    hour: int | None = None


def read_date(value: object) -> Moment:
    """Month and hour of what a dataset has for a date; anything that is none, or is not certain, counts as missing.

    Never raises. "01/02/2013" has no certain month (January or February); a date without a time has no hour.
    """
    if isinstance(value, datetime):
        return _plausible(value)
    if isinstance(value, date):
        return Moment(value.month) if YEARS[0] <= value.year <= YEARS[1] else Moment()
    if not isinstance(value, str):
        return Moment()
    text = value.strip()
    if not text or len(text) > _LONGEST or not text.isascii():
        return Moment()
    if (match := _YEAR_FIRST.fullmatch(text)) and not _AFTERNOON.search(text):
        return _year_first(match)
    return _any_order(text)


def _plausible(moment: datetime) -> Moment:
    if not YEARS[0] <= moment.year <= YEARS[1] or moment.replace(tzinfo=None) in _UNSET_CLOCKS:
        return Moment()
    return Moment(moment.month, moment.hour)


def _year_first(match: re.Match[str]) -> Moment:
    year, month, day, hour = (_number(match[name]) for name in ("year", "month", "day", "hour"))
    if year is None or not YEARS[0] <= year <= YEARS[1] or (month or 0) > MONTHS[1]:
        return Moment()
    at_midnight = hour == 0 and not (match["rest"] or "").strip(":.hH0 Zz+-")
    try:
        written = datetime(year, month or 1, day or 1)
    except ValueError:  # 31 February
        return Moment()
    if month and day and at_midnight and written in _UNSET_CLOCKS:
        return Moment()
    return Moment(month or None, hour if hour is not None and hour <= HOURS[1] else None)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _any_order(text: str) -> Moment:
    """Month and hour on which all readings agree: with other parts filled in, and with the day before the month."""
    read = []
    orders = (False,) if text[:4].isdigit() else (False, True)  # after the year comes the month, always
    for filled_in in _FILLED_IN:
        for day_first in orders:
            try:
                # The hour is wanted as written; unknown names of time zones are no reason to reject a date.
                read.append(parser.parse(text, default=filled_in, dayfirst=day_first, ignoretz=True))
            except (ValueError, OverflowError, TypeError, ArithmeticError, LookupError, AttributeError):
                return Moment()
    moments = {_plausible(moment) for moment in read}
    months, hours = {moment.month for moment in moments}, {moment.hour for moment in moments}
    return Moment(months.pop() if len(months) == 1 else None, hours.pop() if len(hours) == 1 else None)
