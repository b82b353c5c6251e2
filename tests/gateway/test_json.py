"""JSON as people write it: what a change without a mask writes, and which fields an answer always holds."""

import http.client
import json
import uuid

import pytest

from conftest import PASSWORD

TASKS = "/v1/users/me/tasks"
JSON = {"content-type": "application/json"}
DUE = "2030-05-01T08:00:00Z"
FULL = {"title": "full", "description": "text", "completed": True, "priority": "PRIORITY_HIGH", "dueTime": DUE, "labels": ["a", "b"]}
WRITABLE = {"title", "description", "completed", "priority", "dueTime", "labels"}

# A body without a mask, and what is written by it; `None` for what is absent afterwards.
WRITES = {
    "false": (b'{"completed": false}', {"completed": False}),
    "null time": (b'{"dueTime": null}', {"dueTime": None}),
    "null time by the other name": (b'{"due_time": null}', {"dueTime": None}),
    "escaped key": (b'{"\\u0064ueTime": null}', {"dueTime": None}),
    "escaped key by the other name": (b'{"due\\u005ftime": null}', {"dueTime": None}),
    "empty list": (b'{"labels": []}', {"labels": []}),
    "null list": (b'{"labels": null}', {"labels": []}),
    "empty text": (b'{"description": ""}', {"description": ""}),
    "null text": (b'{"description": null}', {"description": None}),
    "null flag": (b'{"completed": null}', {"completed": False}),
    "null priority": (b'{"priority": null}', {"priority": "PRIORITY_MEDIUM"}),
    "priority 0": (b'{"priority": 0}', {"priority": "PRIORITY_MEDIUM"}),
    "several": (b' {"completed" :false ,\n"dueTime":null,"title": "new"} ', {"completed": False, "dueTime": None, "title": "new"}),
    "UTF-8": ('{"title": "Straße fegen 🧹", "labels": ["ü"]}'.encode(), {"title": "Straße fegen 🧹", "labels": ["ü"]}),
    "text that looks like JSON": (b'{"description": "\\",\\"completed\\":false}"}', {"description": '","completed":false}'}),
    "nothing": (b"{}", {}),
    "etag null": (b'{"etag": null, "completed": false}', {"completed": False}),
    "etag empty": (b'{"etag": "", "completed": false}', {"completed": False}),
    "what the service sets": (b'{"revision": "7", "createTime": null, "completeTime": "2001-01-01T00:00:00Z", "purge_time": null}', {}),
}

# Refused alike on both kinds of path, and nothing is written.
REFUSED = {
    "no body": (b"", "MESSAGE_MALFORMED"),
    "blanks": (b"  \n", "MESSAGE_MALFORMED"),
    "an array": (b'[{"completed": false}]', "MESSAGE_MALFORMED"),
    "null": (b"null", "MESSAGE_MALFORMED"),
    "false": (b"false", "MESSAGE_MALFORMED"),
    "unknown field": (b'{"completed": false, "done": true}', "MESSAGE_MALFORMED"),
    "the mask in the body": (b'{"completed": false, "updateMask": "completed"}', "MESSAGE_MALFORMED"),
    "twice": (b'{"completed": false, "completed": true}', "MESSAGE_MALFORMED"),
    "twice, escaped": (b'{"dueTime": null, "\\u0064ue_time": null}', "MESSAGE_MALFORMED"),
    "null in a list": (b'{"labels": [null]}', "MESSAGE_MALFORMED"),
    "a list for a flag": (b'{"completed": [false]}', "MESSAGE_MALFORMED"),
    "a number for a flag": (b'{"completed": 0}', "MESSAGE_MALFORMED"),
    "a wrong value of what the service sets": (b'{"createTime": "then", "completed": false}', "MESSAGE_MALFORMED"),
    "deep": (b'{"completed": false, "labels": ' + b"[" * 5000 + b"]" * 5000 + b"}", "MESSAGE_MALFORMED"),
    "too large": (b'{"completed": false, "description": "' + b"x" * 1_048_576 + b'"}', "MESSAGE_TOO_LARGE"),
    "null title": (b'{"title": null, "completed": false}', "FIELD_INVALID"),
    "empty title": (b'{"title": "", "completed": false}', "FIELD_INVALID"),
    "too many labels": (json.dumps({"labels": [str(at) for at in range(21)], "completed": False}).encode(), "FIELD_INVALID"),
    "a stale etag": (b'{"etag": "stale", "completed": false}', "ETAG_MISMATCH"),
    "a stale etag alone": (b'{"etag": "stale"}', "ETAG_MISMATCH"),
    "another task's name": (f'{{"name": "users/me/tasks/{uuid.uuid4()}", "completed": false}}'.encode(), "MESSAGE_MALFORMED"),
    "a number for a name": (b'{"name": 7, "completed": false}', "MESSAGE_MALFORMED"),
}


@pytest.fixture
def task(stack, token):
    made = stack.http("POST", TASKS, FULL, token)
    assert made.code == 200, made.body
    return made.json


def urls(task):
    """The path of the API and that of the earlier program, each with its method."""
    return [("PATCH", f"/v1/{task['name']}"), ("PUT", "/api/" + task["name"].removeprefix("users/"))]


def written(task):
    """What of a task an update may write, without what is absent."""
    return {key: value for key, value in task.items() if key in WRITABLE and value is not None}


@pytest.mark.parametrize("at", [0, 1], ids=["v1", "earlier"])
@pytest.mark.parametrize("body, changed", WRITES.values(), ids=WRITES.keys())
def test_the_fields_of_the_body_are_written(stack, token, task, at, body, changed):
    answer = stack.http(*urls(task)[at], body, token, JSON)
    assert answer.code == 200, answer.body
    expected = written(FULL | changed)
    assert written(answer.json) == expected
    assert written(stack.http("GET", f"/v1/{task['name']}", token=token).json) == expected
    assert (answer.json["etag"] == task["etag"]) == (not changed)


@pytest.mark.parametrize("at", [0, 1], ids=["v1", "earlier"])
@pytest.mark.parametrize("body, reason", REFUSED.values(), ids=REFUSED.keys())
def test_refused_changes(stack, token, task, at, body, reason):
    assert stack.http(*urls(task)[at], body, token, JSON).error["reason"] == reason
    assert stack.http("GET", f"/v1/{task['name']}", token=token).json == task


def test_the_errors_of_both_kinds_of_path_are_equal(stack, token, task):
    for body, _ in REFUSED.values():
        one, two = (stack.http(*url, body, token, JSON).error for url in urls(task))
        assert one == two
    for body in ({}, {"title": None}, {"title": "x", "nope": 1}, {"title": "x", "priority": "urgent"}, {"title": "x" * 201}):
        one, two = (stack.http("POST", path, body, token).error for path in (TASKS, "/api/me/tasks/"))
        assert one == two
    ghost = str(uuid.uuid4())
    for method in ("GET", "DELETE"):
        one, two = (stack.http(method, f"{path}/{ghost}", token=token).error for path in (TASKS, "/api/me/tasks"))
        assert one == two and one["reason"] == "TASK_NOT_FOUND"
    one, two = (stack.http(method, path, {"completed": True}).error for method, path in urls(task))
    assert one == two and one["reason"] == "TOKEN_MISSING"


@pytest.mark.parametrize(
    "mask, changed",
    [
        ("updateMask=title", {"title": "new"}),
        ("update_mask=dueTime", {"dueTime": None}),
        ("updateMask=title,dueTime", {"title": "new", "dueTime": None}),
        ("updateMask=title%2Cdue_time", {"title": "new", "dueTime": None}),
        ("update%4Dask=title", {"title": "new"}),
        ("updateMask.paths=title", {"title": "new"}),
        ("updateMask=etag", {}),
        # A mask without paths is none.
        ("updateMask=", {"title": "new", "completed": False}),
        ("updateMask", {"title": "new", "completed": False}),
        ("updateMask=,", {"title": "new", "completed": False}),
        ("updateMask=%2c", {"title": "new", "completed": False}),
    ],
)
def test_a_mask_decides(stack, token, task, mask, changed):
    answer = stack.http("PATCH", f"/v1/{task['name']}?{mask}", {"title": "new", "completed": False}, token)
    assert answer.code == 200, answer.body
    assert written(answer.json) == written(FULL | changed)


def test_an_unknown_mask(stack, token, task):
    for mask in ("updateMask=nope", "updateMask=%20", "updateMask.paths=nope"):
        assert stack.http("PATCH", f"/v1/{task['name']}?{mask}", {"title": "x"}, token).error["reason"] == "FIELD_MASK_INVALID"
    for mask in ("updateMask=title&update_mask=title", "updateMask=&updateMask=title", "updateMask=title&update%4Dask=labels"):
        assert stack.http("PATCH", f"/v1/{task['name']}?{mask}", {"title": "x"}, token).error["reason"] == "MESSAGE_MALFORMED"


def test_an_etag_is_a_condition(stack, token, task):
    url = f"/v1/{task['name']}"
    changed = stack.http("PATCH", url, {"etag": task["etag"], "completed": False}, token).json
    assert (changed["completed"], changed["title"]) == (False, "full")
    assert stack.http("PATCH", url, {"etag": task["etag"], "completed": True}, token).error["reason"] == "ETAG_MISMATCH"
    assert stack.http("PATCH", url, {"etag": changed["etag"]}, token).json == changed


def test_a_task_that_was_read_can_be_sent_back(stack, token, task):
    own = f"{TASKS}/{task['name'].rsplit('/', 1)[1]}"
    for url in (f"/v1/{task['name']}", own, own.upper().replace("/V1/USERS/ME/TASKS", TASKS), urls(task)[1][1], own.replace("/v1/users", "/api")):
        method = "PUT" if url.startswith("/api") else "PATCH"
        read = stack.http("GET", url, token=token).json
        assert {key: value for key, value in read.items() if value is not None} == {**task, **read, "description": "text"}
        assert stack.http(method, url, read, token).json == read
        changed = stack.http(method, url, read | {"completed": not read["completed"]}, token).json
        assert changed["completed"] is not read["completed"]


def test_a_change_is_the_same_whatever_the_order_of_its_fields(stack, token, task):
    url = f"/v1/{task['name']}?requestId={uuid.uuid4()}"
    first = stack.http("PATCH", url, b'{"completed": false, "dueTime": null}', token, JSON)
    again = stack.http("PATCH", url, b'{"due_time": null, "completed": false}', token, JSON)
    assert first.code == 200 and first.body == again.body
    assert stack.http("PATCH", url, {"completed": False}, token).error["reason"] == "REQUEST_ID_REUSED"


def test_accounts(stack):
    token, name = stack.account()
    for body, shown in (({"displayName": "Ada ✨"}, "Ada ✨"), ({}, "Ada ✨"), ({"display_name": ""}, ""), ({"displayName": "A"}, "A"), ({"displayName": None}, "")):
        for url in ("/v1/users/me", f"/v1/{name}"):
            user = stack.http("PATCH", url, body, token).json
            assert (user["displayName"], user["name"], user["disabled"]) == (shown, name, False)
    assert stack.http("PATCH", "/v1/users/me", user | {"displayName": "back"}, token).json["displayName"] == "back"
    assert stack.http("PATCH", "/v1/users/me", {"role": "ROLE_ADMIN", "disabled": True}, token).json["role"] == "ROLE_USER"
    for body, reason in (
        ({"email": None}, "FIELD_INVALID"),
        ({"email": ""}, "FIELD_INVALID"),
        ({"etag": "stale", "displayName": None}, "ETAG_MISMATCH"),
        ({"nope": None}, "MESSAGE_MALFORMED"),
        (b"", "MESSAGE_MALFORMED"),
        ([], "MESSAGE_MALFORMED"),
    ):
        assert stack.http("PATCH", "/v1/users/me", body, token, JSON).error["reason"] == reason
    assert stack.http("GET", "/v1/users/me", token=token).json["displayName"] == "back"


@pytest.mark.parametrize("mask", [{}, {"updateMask": ""}, {"update_mask": None}, {"updateMask": ","}], ids=str)
def test_items_of_a_batch(stack, token, mask):
    names = [stack.http("POST", TASKS, FULL, token).json["name"] for _ in range(4)]
    items = [
        {"task": {"name": names[0], "completed": False, "labels": []}} | mask,
        mask | {"task": {"name": names[1], "due_time": None}},
        {"task": {"name": names[2]}} | mask,
        {"task": {"name": names[3], "title": "new", "completed": False}, "updateMask": "title"},
    ]
    tasks = stack.http("POST", f"{TASKS}:batchUpdate", {"requests": items}, token).json["tasks"]
    changes = ({"completed": False, "labels": []}, {"dueTime": None}, {}, {"title": "new"})
    assert [written(task) for task in tasks] == [written(FULL | change) for change in changes]


def in_pieces(stack, token, method, path, body, size):
    """The answer to a body that comes in pieces of this size, without its length told beforehand."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
    headers = {"authorization": f"Bearer {token}", **JSON}
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    connection.request(method, path, pieces, headers, encode_chunked=True)
    answer = connection.getresponse()
    told = answer.status, json.loads(answer.read())
    connection.close()
    return told


def test_bodies_in_pieces(stack, token, task):
    code, told = in_pieces(stack, token, "PATCH", f"/v1/{task['name']}", b'{"due\\u0054ime": null}' + b" " * 50, 1)
    assert (code, written(told)) == (200, written(FULL | {"dueTime": None}))
    # As large as a body may be: the masks make it longer still.
    item = json.dumps({"task": {"name": task["name"], "completed": False, "description": "🧹" * 1000}}, ensure_ascii=False).encode()
    names = [stack.http("POST", TASKS, FULL, token).json["name"].encode() for _ in range(200)]
    body = b'{"requests": [' + b",".join(item.replace(task["name"].encode(), name) for name in names) + b"]"
    body += b" " * (1_048_576 - len(body) - 1) + b"}"
    code, told = in_pieces(stack, token, "POST", f"{TASKS}:batchUpdate", body, 65_521)
    assert code == 200, told
    assert {(task["completed"], len(task["description"])) for task in told["tasks"]} == {(False, 1000)}
    code, told = in_pieces(stack, token, "POST", f"{TASKS}:batchUpdate", body + b" ", 65_521)
    assert (code, told["error"]["details"][0]["reason"]) == (413, "MESSAGE_TOO_LARGE")
    many = b'{"requests":[' + b",".join([b'{"task":{"title":1}}'] * 40_000) + b"]}"
    assert in_pieces(stack, token, "POST", f"{TASKS}:batchUpdate", many, 100_000)[0] == 400


# Answers


def test_answers_hold_what_is_false_or_empty(stack, token):
    task = stack.http("POST", TASKS, {"title": "bare"}, token).json
    assert (task["completed"], task["priority"], task["labels"], task["revision"]) == (False, "PRIORITY_MEDIUM", [], "1")
    # What may be absent is absent: a description that was not given is not an empty one.
    assert not {"description", "dueTime", "completeTime", "deleteTime", "purgeTime"} & set(task)
    assert stack.http("GET", f"{TASKS}?filter=nothing", token=token).json == {"tasks": [], "nextPageToken": ""}
    assert stack.http("GET", f"{TASKS}:count?filter=nothing", token=token).json["total"] == "0"
    page = stack.http("GET", "/v1/users/me/taskChanges?startRevision=1", token=token).json
    assert (page["changes"], page["hasMore"]) == ([], False)
    stale = stack.http("PATCH", f"/v1/{task['name']}", {"etag": "stale"}, token).error
    assert next(each for each in stale["details"] if each["@type"].endswith("/taskwire.v1.Task"))["completed"] is False
    missing = stack.http("DELETE", f"{TASKS}/{uuid.uuid4()}?allowMissing=true", token=token).json
    assert (missing["name"], "createTime" in missing) == ("", False)
    assert stack.http("POST", "/v1/sessions:logout", {}, token).json == {}


def test_the_earlier_paths_always_answer_a_description(stack, token):
    tricky = '","completed":true,"description":"'
    for body in ({"title": "none"}, {"title": "empty", "description": ""}, {"title": tricky}, {"title": "x", "description": tricky}):
        made = stack.http("POST", "/api/me/tasks/", body, token)
        assert (made.json["title"], made.json["description"]) == (body["title"], body.get("description"))
        one = "/api/" + made.json["name"].removeprefix("users/")
        assert stack.http("GET", one, token=token).json == made.json
        assert made.json["completed"] is False and made.json["priority"] == "PRIORITY_MEDIUM"
        assert "description" in stack.http("GET", f"/v1/{made.json['name']}", token=token).json or body.get("description") is None
    listed = stack.http("GET", "/api/me/tasks/", token=token).json["tasks"]
    assert [(task["title"], task["description"]) for task in listed] == [("x", tricky), (tricky, None), ("empty", ""), ("none", None)]
    assert stack.http("DELETE", one, token=token).json["description"] == tricky
    assert stack.http("GET", "/api/me/tasks", token=stack.account()[0]).json == {"tasks": [], "nextPageToken": ""}


def test_large_pages_of_the_earlier_paths(stack):
    token, _ = stack.account()
    task = {"title": "<" * 200, "labels": [f"{at:<50}" for at in range(20)]}
    for at in range(3):
        batch = [{"task": task | ({} if (at + item) % 2 else {"description": "<" * 1000})} for item in range(166)]
        assert stack.http("POST", f"{TASKS}:batchCreate", {"requests": batch}, token).code == 200
    answer = stack.http("GET", "/api/me/tasks/", token=token)
    assert answer.code == 200 and len(answer.body) > 1_500_000
    assert sum(task["description"] is None for task in answer.json["tasks"]) == 249


@pytest.mark.parametrize("body", [b'{"title": "x", "priority": "High"}', b'{"title": "x", "\\u0070riority" : "HIGH"}', b'{"title": "x", "priority": 3}'])
def test_short_priorities(stack, token, body):
    assert stack.http("POST", "/api/me/tasks/", body, token, JSON).json["priority"] == "PRIORITY_HIGH"
    text = json.dumps({"title": '"priority": "high"', "description": 'x "priority":"low"', "labels": ["priority", "low"]}).encode()
    made = stack.http("POST", "/api/me/tasks/", text, token, JSON).json
    assert (made["title"], made["description"], made["labels"]) == ('"priority": "high"', 'x "priority":"low"', ["priority", "low"])


def test_over_grpc_nothing_is_added(stack):
    token, _ = stack.account()
    assert stack.http("POST", "/v1/sessions:login", {"email": "nobody@example.com", "password": PASSWORD}).code == 401
    _, _, made = stack.grpc("TaskService/CreateTask", {"parent": "users/me", "task": FULL}, token)
    _, _, same = stack.grpc("TaskService/UpdateTask", {"task": {"name": made["name"], "completed": False}}, token)
    assert same == made
