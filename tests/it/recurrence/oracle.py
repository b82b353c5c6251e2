"""Says what python-dateutil makes of rules: lines of JSON in, lines of JSON out, in the same order.

In: {"start": "2026-01-31T02:30:00", "rrule": "FREQ=MONTHLY", "count": 12}, after a first line with the zones.
Out: [["2026-01-31T02:30:00", [1769826600, …]], …], for each occurrence its local time and the points in time in each zone.
"""

import datetime as calendar
import json
import sys
import types
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from dateutil import rrule
from dateutil.rrule import rrulestr

LAST_YEAR = 2060

# It looks for what never comes until the calendar ends.
rrule.datetime = types.ModuleType("datetime")
rrule.datetime.__dict__.update({**vars(calendar), "MAXYEAR": LAST_YEAR})

zones = [ZoneInfo(name) for name in json.loads(sys.stdin.readline())]
for line in sys.stdin:
    asked = json.loads(line)
    start = datetime.fromisoformat(asked["start"])
    found = []
    for local in rrulestr("RRULE:" + asked["rrule"], dtstart=start):
        if len(found) == asked["count"]:
            break
        # Of an hour that is there twice the first; one that is not there is counted by the clock before the change.
        seconds = [int(local.replace(tzinfo=zone, fold=0).astimezone(timezone.utc).timestamp()) for zone in zones]
        found.append([local.isoformat(), seconds])
    print(json.dumps(found), flush=True)
