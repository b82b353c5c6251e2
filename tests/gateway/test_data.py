"""A user's own data over REST: a file of JSON Lines out, an array of messages in."""

import json

import pytest

ITEM = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10"


@pytest.fixture
def account(stack):
    return stack.account()


def lines(answer):
    assert answer.code == 200, answer.body
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.decode().splitlines()]


def item(line, **task):
    return {"line": str(line), "task": {"name": f"users/me/tasks/{ITEM}", "title": "Buy milk"} | task}


def test_an_export_is_a_file_of_lines(stack, account):
    token, user = account
    made = stack.http("POST", "/v1/users/me/tasks", {"title": "während 🦀\u2028"}, token).json
    found = lines(stack.http("GET", "/v1/users/me:exportData", token=token))
    assert all(len(line) == 1 for line in found)
    assert found[0]["export"]["user"] == user
    assert [line["task"] for line in found if "task" in line] == [made]
    assert found[-1]["end"]["tasks"] == "1"


def test_a_long_export_is_whole(stack, account):
    token, _ = account
    for _ in range(5):
        tasks = [{"task": {"title": "one of many", "description": "🦀" * 1000}}] * 100
        assert stack.http("POST", "/v1/users/me/tasks:batchCreate", {"requests": tasks}, token).code == 200
    found = lines(stack.http("GET", "/v1/users/me:exportData", token=token))
    assert sum("task" in line for line in found) == 500
    assert found[-1]["end"]["changes"] == "500"


def test_a_refused_export(stack, account):
    assert stack.http("GET", "/v1/users/me:exportData").error["reason"] == "TOKEN_MISSING"
    other = f"/v1/users/{ITEM}:exportData"
    assert stack.http("GET", other, token=account[0]).error["reason"] == "PARENT_ACCESS_DENIED"


def test_what_was_exported_is_imported_elsewhere(stack, account):
    token, user = account
    stack.http("POST", "/v1/users/me/taskLists", {"title": "Groceries"}, token)
    stack.http("POST", "/v1/users/me/tasks", {"title": "Buy milk", "labels": ["home"]}, token)
    found = lines(stack.http("GET", "/v1/users/me:exportData", token=token))
    items = [{"line": str(at)} | line for at, line in enumerate(found, 1) if "task" in line or "taskList" in line]
    token, other = stack.account()
    path = "/v1/users/me/tasks:import"
    # In two messages, as a client of gRPC may have it too.
    answer = stack.http("POST", path, [{"items": items[:1]}, {"items": items[1:]}], token)
    assert answer.code == 200, answer.body
    assert (answer.json["createdCount"], answer.json["refusedCount"]) == (2, 0)
    assert {result["name"].replace(other, user) for result in answer.json["results"]} == {
        next(iter(line[kind]["name"] for kind in ("task", "taskList") if kind in line)) for line in items
    }
    again = stack.http("POST", path, [{"validateOnly": True, "conflict": "CONFLICT_OVERWRITE", "items": items}], token)
    assert again.json["unchangedCount"] == 2


def test_items_that_break_a_rule(stack, account):
    answer = stack.http("POST", "/v1/users/me/tasks:import", [{"items": [item(1), item(2, title="")]}], account[0])
    outcomes = [result["outcome"] for result in answer.json["results"]]
    assert outcomes == ["OUTCOME_CREATED", "OUTCOME_REFUSED"]
    assert answer.json["results"][1]["violations"][0]["field"] == "task.title"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"items": []}',
        b"[",
        b"[{}",
        b"[{},]",
        b"[1]",
        b"[[]]",
        b"[{}] []",
        b'[{"parent": "users/me"}]',
        b'[{}, {"parent": "users/me"}]',
        b'[{"items": [{"task": {"titel": "x"}}]}]',
        b'[{"items": [{"line": 1, "line": 2}]}]',
        b'[{"items": [{"task": {}, "list": {}}]}]',
        b"null",
    ],
)
def test_bodies_that_are_no_messages(stack, account, body):
    headers = {"content-type": "application/json"}
    answer = stack.http("POST", "/v1/users/me/tasks:import", body, account[0], headers)
    assert (answer.code, answer.error["reason"]) == (400, "MESSAGE_MALFORMED"), answer.body


def test_an_import_of_nothing(stack, account):
    assert stack.http("POST", "/v1/users/me/tasks:import", [{}], account[0]).json["results"] == []
    answer = stack.http("POST", f"/v1/users/{ITEM}/tasks:import", [{"items": [item(1)]}], account[0])
    assert answer.error["reason"] == "PARENT_ACCESS_DENIED"


def test_a_calendar_asks_for_an_address_alone(stack, account):
    token, user = account
    stack.http("POST", "/v1/users/me/tasks", {"title": "Buy milk; now"}, token)
    made = stack.http("POST", "/v1/users/me/apiKeys", {"displayName": "Phone", "scopes": ["calendar.read"]}, token).json
    for who in ("me", user.split("/")[1]):
        answer = stack.http("GET", f"/v1/users/{who}/tasks:ics?token={made['secret']}")
        assert (answer.code, answer.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
        text = answer.body.decode()
        assert text.startswith("BEGIN:VCALENDAR\r\n") and text.endswith("END:VCALENDAR\r\n")
        assert "SUMMARY:Buy milk\\; now\r\n" in text
    filtered = stack.http("GET", f"/v1/users/me/tasks:ics?filter=completed%20%3D%20true&token={made['secret']}")
    assert (filtered.code, filtered.body.count(b"BEGIN:VTODO")) == (200, 0)
    # A header does as well, but not both.
    assert stack.http("GET", "/v1/users/me/tasks:ics", token=token).code == 200
    both = stack.http("GET", f"/v1/users/me/tasks:ics?token={made['secret']}", token=token)
    assert both.error["reason"] == "MESSAGE_MALFORMED"
    assert stack.http("DELETE", f"/v1/{made['apiKey']['name']}", token=token).code == 200
    assert stack.http("GET", f"/v1/users/me/tasks:ics?token={made['secret']}").code == 401


def test_no_other_token_stands_in_an_address(stack, account):
    token, _ = account
    made = stack.http("POST", "/v1/users/me/apiKeys", {"scopes": ["tasks.write"]}, token).json
    refused = stack.http("GET", f"/v1/users/me/tasks:ics?token={made['secret']}")
    assert refused.error["reason"] == "SCOPE_INSUFFICIENT"
    # Neither a session's token, nor anything that is none, nor another path.
    for wrong in (token, "", "x", "twk_%0d%0ax:y", "twk_"):
        assert stack.http("GET", f"/v1/users/me/tasks:ics?token={wrong}").code == 401, wrong
    twice = f"/v1/users/me/tasks:ics?token={made['secret']}&token={made['secret']}"
    assert stack.http("GET", twice).error["reason"] == "MESSAGE_MALFORMED"
    calendar = stack.http("POST", "/v1/users/me/apiKeys", {"scopes": ["calendar.read"]}, token).json["secret"]
    assert stack.http("GET", f"/v1/users/me/tasks?token={calendar}").code >= 400
