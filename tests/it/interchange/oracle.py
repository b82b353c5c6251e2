"""Says what the Python package icalendar reads in a calendar, and writes one from what it is told: lines of JSON in and out.

In: {"read": "BEGIN:VCALENDAR…"}
Out: {"todos": [{"uid", "summary", "description", "due", "start", "rrule", "priority", "status", "completed", "categories", "parent",
"alarms"}, …]}; a time is seconds, a day is its text.

In: {"write": [{"uid", "summary", …}, …]}
Out: {"text": "BEGIN:VCALENDAR…"}
"""

import json
import sys
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Todo, vRecur


def told(value):
    """A day as its text, a time in seconds, a span in seconds with an s."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        return f"{int(value.total_seconds())}s"
    if isinstance(value, datetime):
        assert value.tzinfo is not None, value
        return int((value - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds())
    return value.isoformat()


def texts(value):
    """The categories, in one property or in several."""
    if value is None:
        return []
    several = value if isinstance(value, list) else [value]
    return [str(one) for each in several for one in each.cats]


def read(todo):
    """What a VTODO says."""
    decoded = lambda name: told(todo[name].dt) if name in todo else None
    return {
        "uid": str(todo["UID"]),
        "summary": str(todo["SUMMARY"]),
        "description": str(todo["DESCRIPTION"]) if "DESCRIPTION" in todo else None,
        "due": decoded("DUE"),
        "start": decoded("DTSTART"),
        "rrule": todo["RRULE"].to_ical().decode() if "RRULE" in todo else None,
        "priority": int(todo["PRIORITY"]) if "PRIORITY" in todo else None,
        "status": str(todo["STATUS"]) if "STATUS" in todo else None,
        "completed": decoded("COMPLETED"),
        "categories": texts(todo.get("CATEGORIES")),
        "parent": str(todo["RELATED-TO"]) if "RELATED-TO" in todo else None,
        "alarms": [told(alarm["TRIGGER"].dt) for alarm in todo.walk("VALARM")],
    }


def moment(value):
    """A day from its text, a time from seconds and a zone."""
    if isinstance(value, str):
        return date.fromisoformat(value)
    seconds, zone = value
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    return at.astimezone(ZoneInfo(zone)) if zone else at


def write(fields):
    """A VTODO that says it."""
    todo = Todo()
    todo.add("uid", fields["uid"])
    todo.add("dtstamp", datetime(2026, 1, 1, tzinfo=timezone.utc))
    todo.add("summary", fields["summary"])
    for name in ["description", "priority", "status"]:
        if fields[name] is not None:
            todo.add(name, fields[name])
    for name, property in [("due", "due"), ("start", "dtstart"), ("completed", "completed")]:
        if fields[name] is not None:
            todo.add(property, moment(fields[name]))
    if fields["rrule"] is not None:
        todo.add("rrule", vRecur.from_ical(fields["rrule"]))
    if fields["categories"]:
        todo.add("categories", fields["categories"])
    if fields["parent"] is not None:
        todo.add("related-to", fields["parent"])
    for seconds in fields["alarms"]:
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", "soon")
        alarm.add("trigger", timedelta(seconds=-seconds), parameters={"RELATED": "END"})
        todo.add_component(alarm)
    return todo


for line in sys.stdin:
    asked = json.loads(line)
    if "read" in asked:
        calendar = Calendar.from_ical(asked["read"])
        print(json.dumps({"todos": [read(todo) for todo in calendar.walk("VTODO")]}), flush=True)
    else:
        calendar = Calendar()
        calendar.add("version", "2.0")
        calendar.add("prodid", "-//oracle//EN")
        for fields in asked["write"]:
            calendar.add_component(write(fields))
        print(json.dumps({"text": calendar.to_ical().decode()}), flush=True)
