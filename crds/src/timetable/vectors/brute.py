#!/usr/bin/env python3
"""Writes expected.tsv: the next ten instants of each line of expressions.tsv, found by trying every day and every time of day.

Each line is form, time zone, begin, expression. Written from the rules alone; the zones are those of the system. Not needed by the tests.
"""

import datetime as dt
import itertools
import pathlib
from zoneinfo import ZoneInfo

UTC = dt.timezone.utc
SECOND = dt.timedelta(seconds=1)
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()
NICKNAMES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *"}


def values(text, least, most, names=(), first=0, wraps=False, sunday_ends=False):
    """The set of numbers that a field allows."""
    allowed = set()

    def number(word):
        return names.index(word.upper()) + first if word.upper() in names else int(word)

    for item in text.split(","):
        span, _, step = item.partition("/")
        if span in ("*", ""):
            low, high = least, most
        elif "-" in span:
            low, high = map(number, span.split("-"))
            if sunday_ends and span.upper().endswith("-SUN"):
                high = 7
        else:
            low = number(span)
            high = most if step else low
        full = range(low, high + 1) if low <= high else itertools.chain(range(low, most + 1), range(least, high + 1))
        assert low <= high or wraps, text
        allowed.update(list(full)[:: int(step or 1)])
    return allowed


def last_of_month(day):
    return (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)


def nearest_weekday(day):
    """The weekday next to a day, in the same month."""
    for distance in (0, -1, 1, -2, 2):
        other = day + dt.timedelta(days=distance)
        if other.month == day.month and other.weekday() < 5:
            return other


def day_of_month(text):
    if text == "L":
        return lambda day: day == last_of_month(day)
    if text == "LW":
        return lambda day: day == nearest_weekday(last_of_month(day))
    if text.endswith("W"):
        number = int(text[:-1])
        return lambda day: number <= last_of_month(day).day and day == nearest_weekday(day.replace(day=number))
    allowed = values(text, 1, 31, wraps=True)
    return lambda day: day.day in allowed


def day_of_week(text, quartz):
    weekday = lambda day: day.isoweekday() % 7
    one = lambda word: DAYS.index(word.upper()) if word.upper() in DAYS else int(word) - 1
    if quartz and text == "L":
        return lambda day: weekday(day) == 6
    if quartz and text.endswith("L"):
        return lambda day: weekday(day) == one(text[:-1]) and (day + dt.timedelta(days=7)).month != day.month
    if quartz and "#" in text:
        name, nth = text.split("#")
        return lambda day: weekday(day) == one(name) and (day.day + 6) // 7 == int(nth)
    if quartz:
        allowed = {value - 1 for value in values(text, 1, 7, DAYS, 1, wraps=True)}
    else:
        allowed = {value % 7 for value in values(text, 0, 6, DAYS, 0, sunday_ends=True)}
    return lambda day: weekday(day) in allowed


def day_rule(of_month, of_week, quartz):
    free = ("*", "?")
    month_rule = None if of_month in free else day_of_month(of_month.upper())
    week_rule = None if of_week in free else day_of_week(of_week.upper(), quartz)
    rules = [rule for rule in (month_rule, week_rule) if rule]
    return lambda day: not rules or any(rule(day) for rule in rules)


def after_gap(civil, zone):
    """The instant of the change that leaves out a civil time."""
    high = civil.replace(tzinfo=zone, fold=0).astimezone(UTC)
    low = high - dt.timedelta(hours=4)
    old = low.astimezone(zone).utcoffset()
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high


def instants(civil, zone, fixed):
    found = []
    for fold in (0, 1):
        instant = civil.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == civil and instant not in found:
            found.append(instant)
    if fixed:
        return found[:1] or [after_gap(civil, zone)]
    return found


def next_ten(form, zone_name, begin, text):
    quartz = form == "quartz"
    fields = NICKNAMES.get(text, text).split()
    if not quartz:
        fields = ["0", *fields]
    fields = fields + ["*"] * (7 - len(fields))
    second, minute, hour, of_month, month, of_week, year = fields
    fixed = not any(c in "*/" for c in second + minute + hour)
    months = values(month, 1, 12, MONTHS, 1, wraps=True)
    years = values(year, 1970, 2099)
    is_day = day_rule(of_month, of_week, quartz)
    times = [sorted(values(part, 0, most, wraps=True)) for part, most in ((hour, 23), (minute, 59), (second, 59))]
    zone = ZoneInfo(zone_name)
    begin = dt.datetime.fromisoformat(begin.replace("Z", "+00:00"))
    day = begin.astimezone(zone).date() - dt.timedelta(days=1)
    found, days_more = set(), 2
    while day.year < 2100 and days_more:
        if len(found) >= 10:
            days_more -= 1
        if day.year in years and day.month in months and is_day(day):
            for h, m, s in itertools.product(*times):
                civil = dt.datetime(day.year, day.month, day.day, h, m, s)
                found.update(instant for instant in instants(civil, zone, fixed) if instant > begin)
        day += dt.timedelta(days=1)
    return sorted(found)[:10]


def main():
    here = pathlib.Path(__file__).parent
    lines = [line for line in (here / "expressions.tsv").read_text().splitlines() if line and not line.startswith("//")]
    with open(here / "expected.tsv", "w") as out:
        for line in lines:
            form, zone, begin, text = line.split("\t")
            texts = [instant.strftime("%Y-%m-%dT%H:%M:%SZ") for instant in next_ten(form, zone, begin, text)]
            out.write("\t".join([form, zone, begin, text, " ".join(texts)]) + "\n")


main()
