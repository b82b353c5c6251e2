"""What the gateway does by itself: what it refuses, the earlier program's paths, streams, CORS, and a service that is away."""

import collections
import concurrent.futures
import http.client
import json
import time
import urllib.parse
import uuid

import grpc
import pytest

from conftest import PASSWORD, Stack, wait_for

TASKS = "/v1/users/me/tasks"
JSON = {"content-type": "application/json"}

MALFORMED = {
    "not JSON": b"hello",
    "cut off": b'{"title": "x"',
    "cut off in a string": b'{"title": "x',
    "more after the end": b'{"title": "x"} {}',
    "single quotes": b"{'title': 'x'}",
    "bare key": b'{title: "x"}',
    "comma at the end": b'{"title": "x",}',
    "comma at the end of a list": b'{"title": "x", "labels": ["a",]}',
    "comment": b'{"title": "x" /* y */}',
    "duplicate key": b'{"title": "x", "title": "y"}',
    "duplicate key, escaped": b'{"title": "x", "\\u0074itle": "y"}',
    "duplicate key, both names": b'{"title": "x", "dueTime": null, "due_time": null}',
    "unknown field": b'{"title": "x", "nope": 1}',
    "unknown field, null": b'{"title": "x", "nope": null}',
    "an array": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "a number for a text": b'{"title": 1}',
    "an object for a text": b'{"title": {}}',
    "no time": b'{"title": "x", "dueTime": "tomorrow"}',
    "no priority": b'{"title": "x", "priority": "SOON"}',
    "octal": b'{"title": "x", "priority": 01}',
    "no number": b'{"title": "x", "priority": 1.}',
    "NaN": b'{"title": "x", "priority": NaN}',
    "not UTF-8": b'{"title": "\xff"}',
    "half a surrogate": b'{"title": "\\ud83e"}',
    "broken escape": b'{"title": "\\x"}',
    "raw line feed": b'{"title": "a\nb"}',
    "raw nul": b'{"title": "a\x00b"}',
    "deep": b'{"title": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "byte order mark": b'\xef\xbb\xbf{"title": "x"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_bodies(stack, token, body):
    error = stack.http("POST", TASKS, body, token, JSON).error
    assert (error["code"], error["status"], error["reason"]) == (400, "INVALID_ARGUMENT", "MESSAGE_MALFORMED")
    assert stack.http("GET", TASKS, token=token).json["tasks"] == []


def test_unknown_fields_deep_inside(stack, token):
    for requests in ([{"task": {"title": "x", "nope": 1}}], [{"nope": {}}]):
        error = stack.http("POST", f"{TASKS}:batchCreate", {"requests": requests}, token).error
        assert error["reason"] == "MESSAGE_MALFORMED"
    twice = b'{"requests": [{"task": {"title": "x", "title": "y"}}]}'
    assert "twice" in stack.http("POST", f"{TASKS}:batchCreate", twice, token, JSON).error["message"]


def test_what_is_bound_by_the_path_is_not_taken_from_the_body(stack, token):
    batch = {"parent": "users/me", "requests": [{"task": {"title": "x"}}]}
    assert stack.http("POST", f"{TASKS}:batchCreate", batch, token).error["code"] == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json; charset=latin1", ""])
def test_wrong_content_types(stack, token, kind):
    error = stack.http("POST", TASKS, b'{"title": "x"}', token, {"content-type": kind}).error
    assert (error["code"], error["reason"]) == (415, "CONTENT_TYPE_UNSUPPORTED")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'])
def test_right_content_types(stack, token, kind):
    assert stack.http("POST", TASKS, b'{"title": "x"}', token, {"content-type": kind}).code == 200


def test_oversized(stack, token):
    fits = json.dumps({"title": "x", "description": "y" * 1_000_000}).encode()
    assert stack.http("POST", TASKS, fits, token, JSON).error["reason"] == "FIELD_INVALID"
    error = stack.http("POST", TASKS, fits + b" " * 100_000, token, JSON).error
    assert (error["code"], error["reason"]) == (413, "MESSAGE_TOO_LARGE")
    error = stack.http("GET", TASKS, token=token, headers={"x-long": "y" * 20_000}).error
    assert (error["code"], error["reason"]) == (431, "MESSAGE_TOO_LARGE")


@pytest.mark.parametrize("query", ["nope=1", "pageSize=abc", "pageSize=1&pageSize=2", "pageSize=1&page_size=2", "parent=users/x", "showDeleted=maybe"])
def test_refused_queries(stack, token, query):
    error = stack.http("GET", f"{TASKS}?{query}", token=token).error
    assert error["code"] == 400


@pytest.mark.parametrize(
    "call", ["GET /", "GET /v1", "GET /v1/nope", "PUT /v1/users", "DELETE /v1/users/me", "POST /taskwire.v1.TaskService/ListTasks", "GET /api/me", "PUT /api/me/tasks/"]
)
def test_unknown_methods(stack, token, call):
    error = stack.http(*call.split(), token=token).error
    assert (error["code"], error["status"], error["reason"]) == (404, "UNIMPLEMENTED", "METHOD_UNKNOWN")


@pytest.mark.parametrize("path", ["/v1/users%2Fme/tasks", "/v1/users/me%2ftasks", "/v1/%00"])
def test_paths_with_two_meanings(stack, token, path):
    assert stack.http("GET", path, token=token).error["code"] == 400


def test_a_body_where_none_belongs(stack, token):
    assert stack.http("GET", TASKS, b"{}", token, JSON).error["code"] == 400


def test_the_request_id_comes_back(stack, token):
    assert stack.http("GET", TASKS, token=token, headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert uuid.UUID(stack.http("GET", TASKS, token=token).headers["x-request-id"])


def test_the_address_of_the_caller_reaches_the_service(stack):
    login = stack.http("POST", "/v1/sessions:login", {"email": "nobody@example.com", "password": "wrong wrong"})
    assert login.error["reason"] == "CREDENTIALS_INVALID"
    email = f"{uuid.uuid4()}@example.com"
    stack.http("POST", "/v1/users", {"user": {"email": email}, "password": PASSWORD})
    pair = stack.http(
        "POST", "/v1/sessions:login", {"email": email, "password": PASSWORD}, headers={"x-forwarded-for": "192.0.2.99"}
    ).json
    # What a caller claims is not believed. For a caller on the same machine Envoy names the machine's own address.
    assert pair["session"]["peer"] not in ("", "192.0.2.99")


def test_large_pages(stack):
    token, _ = stack.account()
    # As large as JSON gets: each sign becomes six.
    task = {"title": "<" * 200, "description": "<" * 1000, "labels": [f"{at:<50}" for at in range(20)]}
    for _ in range(3):
        answer = stack.http("POST", f"{TASKS}:batchCreate", {"requests": [{"task": task}] * 170}, token)
        assert answer.code == 200, answer.body[:500]
    page = stack.http("GET", f"{TASKS}?pageSize=500", token=token)
    assert page.code == 200 and len(page.json["tasks"]) == 500
    # In characters of four bytes they are more than an answer holds: the page ends earlier, and the list goes on.
    token, _ = stack.account()
    task = {"title": "🦀" * 200, "description": "🦀" * 1000, "labels": [f"{'🦀' * 48}{at:02}" for at in range(20)]}
    for _ in range(5):
        answer = stack.http("POST", f"{TASKS}:batchCreate", {"requests": [{"task": task}] * 100}, token)
        assert answer.code == 200, answer.body[:500]
    page = stack.http("GET", f"{TASKS}?pageSize=500", token=token).json
    rest = stack.http("GET", f"{TASKS}?pageSize=500&pageToken={page['nextPageToken']}", token=token).json
    assert 300 < len(page["tasks"]) < 500 and len(page["tasks"]) + len(rest["tasks"]) == 500


# The paths of the earlier program


def test_the_paths_of_the_earlier_program(stack):
    token, user = stack.account()
    base = f"/api/{user.removeprefix('users/')}/tasks"
    made = stack.http("POST", f"{base}/", {"title": "Milk", "description": "oat", "priority": "high"}, token)
    assert made.code == 200 and made.json["priority"] == "PRIORITY_HIGH"
    stack.http("POST", base, {"title": "Bread", "priority": "low"}, token)
    one = f"{base}/{made.json['name'].split('/')[-1]}"
    assert stack.http("GET", one, token=token).json == made.json
    # PUT writes the given fields only, a given `false` and null too.
    done = stack.http("PUT", one, {"completed": True, "description": None}, token).json
    assert (done["title"], done["completed"], done["description"]) == ("Milk", True, None)
    titles = lambda query: [task["title"] for task in stack.http("GET", f"{base}/?{query}", token=token).json.get("tasks", [])]
    assert titles("completed=true") == ["Milk"]
    assert titles("completed=false") == ["Bread"]
    assert titles("priority=high") == ["Milk"]
    assert titles("priority=high&completed=false") == []
    assert titles("") == ["Bread", "Milk"]
    assert stack.http("PUT", f"{one}/", {"completed": False}, token).json["completed"] is False
    # What the earlier program always answered is always answered.
    listed = stack.http("GET", f"{base}/", token=token).json["tasks"]
    tricky = stack.http("POST", base, {"title": 'a\\",{"title":"b\\\\', "completed": False}, token).json
    for task in [*listed, tricky, stack.http("GET", one, token=token).json]:
        assert {"title", "description", "completed", "priority"} <= task.keys() and task["description"] is None
    assert tricky["title"] == 'a\\",{"title":"b\\\\'
    stack.http("DELETE", f"{base}/{tricky['name'].split('/')[-1]}", token=token)
    assert stack.http("DELETE", one, token=token).json["deleteTime"]
    assert titles("") == ["Bread"]


@pytest.mark.parametrize("query", ["completed=maybe", "priority=urgent", "filter=x", "nope=1", "completed=true&completed=false"])
def test_refused_queries_of_the_earlier_program(stack, token, query):
    assert stack.http("GET", f"/api/me/tasks/?{query}", token=token).error["reason"] == "MESSAGE_MALFORMED"


def test_refusals_on_the_paths_of_the_earlier_program(stack, token):
    other = stack.account()[1].removeprefix("users/")
    assert stack.http("GET", f"/api/{other}/tasks/", token=token).error["reason"] == "PARENT_ACCESS_DENIED"
    assert stack.http("GET", "/api/me/tasks/7", token=token).error["reason"] == "FIELD_INVALID"
    assert stack.http("GET", "/api/me/tasks/").error["reason"] == "TOKEN_MISSING"
    assert stack.http("POST", "/api/me/tasks/", {"title": "x", "nope": 1}, token).error["reason"] == "MESSAGE_MALFORMED"


# JSON as people write it

FULL = {"title": "Milk", "description": "oat", "completed": True, "priority": "PRIORITY_HIGH",
        "dueTime": "2030-01-02T03:04:05Z", "labels": ["a", "b"]}


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"completed": False}, {"completed": False, "completeTime": None}),
        ({"dueTime": None}, {"dueTime": None}),
        ({"due_time": None}, {"dueTime": None}),
        (b'{"\\u0064ueTime": null}', {"dueTime": None}),
        ({"description": None}, {"description": None}),
        ({"description": ""}, {"description": ""}),
        ({"labels": []}, {"labels": []}),
        ({"labels": None}, {"labels": []}),
        ({"priority": None}, {"priority": "PRIORITY_MEDIUM"}),
        ({"title": "Brot 🍞"}, {"title": "Brot 🍞"}),
        ({"title": "Tea", "completed": False, "labels": ["c"]}, {"title": "Tea", "completed": False, "completeTime": None, "labels": ["c"]}),
        ({}, {}),
        (b"", {}),
        # What is only answered is not written.
        ({"createTime": "2001-01-01T00:00:00Z", "revision": "7"}, {}),
    ],
)
def test_a_patch_writes_what_its_body_holds(stack, token, body, changed):
    made = stack.http("POST", TASKS, FULL, token).json
    answer = stack.http("PATCH", f"/v1/{made['name']}", body, token, JSON)
    assert answer.code == 200, answer.body
    known = lambda task: {key: value for key, value in task.items() if key not in ("etag", "revision", "updateTime")}
    expected = {key: value for key, value in {**made, **changed}.items() if value is not None}
    assert known(answer.json) == known(expected)
    # The etag is a condition, not a field.
    stale = stack.http("PATCH", f"/v1/{made['name']}", {"completed": True, "etag": "stale"}, token)
    assert stale.error["reason"] == "ETAG_MISMATCH"


def test_a_patch_with_a_mask_writes_what_the_mask_names(stack, token):
    made = stack.http("POST", TASKS, FULL, token).json
    for mask in ("updateMask=completed", "update_mask=completed"):
        answer = stack.http("PATCH", f"/v1/{made['name']}?{mask}", {"title": "no", "completed": False}, token)
        assert (answer.json["title"], answer.json["completed"]) == ("Milk", False), answer.body
        stack.http("PATCH", f"/v1/{made['name']}", {"completed": True}, token)
    # An empty one says nothing.
    answer = stack.http("PATCH", f"/v1/{made['name']}?updateMask=", {"completed": False}, token)
    assert (answer.code, answer.json["completed"]) == (200, False), answer.body


def test_a_title_cannot_be_cleared(stack, token):
    made = stack.http("POST", TASKS, FULL, token).json
    refused = stack.http("PATCH", f"/v1/{made['name']}", {"title": None, "completed": False}, token)
    assert refused.error["reason"] == "FIELD_INVALID" and "title" in refused.body.decode()
    assert stack.http("GET", f"/v1/{made['name']}", token=token).json == made


def test_an_account_is_patched_alike(stack):
    token, user = stack.account()
    stack.http("PATCH", f"/v1/{user}", {"displayName": "Ada"}, token)
    named = stack.http("GET", f"/v1/{user}", token=token).json
    for body in ({"displayName": ""}, {"display_name": None}):
        assert stack.http("PATCH", "/v1/users/me", {"displayName": "Ada"}, token).json["displayName"] == "Ada"
        cleared = stack.http("PATCH", "/v1/users/me", body, token).json
        assert (cleared["displayName"], cleared["email"]) == ("", named["email"])


def test_the_items_of_a_batch_are_patched_alike(stack, token):
    names = [stack.http("POST", TASKS, FULL, token).json["name"] for _ in range(5)]
    requests = [
        {"task": {"name": names[0], "completed": False}},
        {"task": {"name": names[1], "dueTime": None, "labels": []}},
        {"updateMask": "title", "task": {"name": names[2], "title": "Tea", "completed": False}},
        {"task": {"completed": False, "name": names[3]}, "updateMask": None},
        {"updateMask": "", "task": {"name": names[4], "description": None}},
    ]
    answer = stack.http("POST", f"{TASKS}:batchUpdate", {"requests": requests}, token)
    assert answer.code == 200, answer.body
    first, second, third, fourth, fifth = answer.json["tasks"]
    assert (first["completed"], first["title"]) == (False, "Milk")
    assert ("dueTime" in second, second["labels"], second["completed"]) == (False, [], True)
    assert (third["title"], third["completed"]) == ("Tea", True)
    assert fourth["completed"] is False
    assert "description" not in fifth and fifth["completed"] is True


def test_a_large_body_is_patched_alike(stack, token):
    made = stack.http("POST", TASKS, FULL, token).json
    body = json.dumps({"description": "🦀" * 1000, "completed": False, "dueTime": None}) + " " * 500_000
    answer = stack.http("PATCH", f"/v1/{made['name']}", body.encode(), token, JSON).json
    assert (answer["description"], answer["completed"], "dueTime" in answer) == ("🦀" * 1000, False, False)


def test_a_task_that_never_was_is_an_empty_message(stack, token):
    name = f"users/me/tasks/{uuid.uuid4()}"
    assert stack.http("DELETE", f"/v1/{name}?allowMissing=true", token=token).json == {}
    made = stack.http("POST", TASKS, {"title": '"title":""'}, token).json
    requests = [{"name": name, "allowMissing": True}, {"name": made["name"]}]
    gone, deleted = stack.http("POST", f"{TASKS}:batchDelete", {"requests": requests}, token).json["tasks"]
    assert gone == {} and deleted["title"] == '"title":""' and deleted["completed"] is False


def test_lists_and_the_order_in_them(stack, token):
    lists = "/v1/users/me/taskLists"
    made = stack.http("POST", lists, {"title": "Groceries"}, token).json
    assert made["title"] == "Groceries" and made["position"]
    first, second = (
        stack.http("POST", TASKS, {"title": title, "taskList": made["name"]}, token).json for title in "ab"
    )
    moved = stack.http("POST", f"/v1/{second['name']}:move", {"before": first["name"]}, token).json
    assert moved["position"] < first["position"]
    query = urllib.parse.urlencode({"filter": f'task_list = "{made["name"]}"', "orderBy": "position"})
    page = stack.http("GET", f"{TASKS}?{query}", token=token).json
    assert [task["title"] for task in page["tasks"]] == ["b", "a"]
    out = stack.http("POST", f"/v1/{first['name']}:move", {"taskList": ""}, token).json
    assert out["taskList"] == ""
    renamed = stack.http("PATCH", f"/v1/{made['name']}", {"title": "Shopping"}, token, JSON).json
    assert (renamed["title"], renamed["name"]) == ("Shopping", made["name"])
    deleted = stack.http("DELETE", f"/v1/{made['name']}?tasks=TASKS_KEEP", token=token).json
    assert deleted["deleteTime"]
    assert stack.http("GET", f"/v1/{second['name']}", token=token).json["taskList"] == ""
    assert stack.http("POST", f"/v1/{made['name']}:undelete", {}, token).json["title"] == "Shopping"
    assert stack.http("GET", f"/v1/{made['name']}", token=token).json["title"] == "Shopping"
    assert made["name"] in [one["name"] for one in stack.http("GET", lists, token=token).json["taskLists"]]
    never = f"/v1/users/me/taskLists/{uuid.uuid4()}"
    assert stack.http("DELETE", f"{never}?allowMissing=true", token=token).json == {}
    assert stack.http("GET", never, token=token).error["reason"] == "TASK_LIST_NOT_FOUND"


def test_defaults_are_answered(stack, token):
    made = stack.http("POST", TASKS, {"title": "x"}, token).json
    assert (made["completed"], made["labels"], made["priority"]) == (False, [], "PRIORITY_MEDIUM")
    assert not {"description", "dueTime", "completeTime", "deleteTime"} & made.keys()
    count = stack.http("GET", f"{TASKS}:count?filter=completed%20%3D%20true", token=token).json
    assert count["total"] == 0 or count["total"] == "0"
    page = stack.http("GET", f"{TASKS}?filter=title%20%3D%20%22none%22", token=token).json
    assert page == {"tasks": [], "nextPageToken": ""}
    assert stack.http("GET", "/v1/users/me", token=token).json["disabled"] is False


# Browsers


def test_cors(stack):
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "PATCH"}
    answer = stack.http("OPTIONS", f"{TASKS}/x", headers=asked)
    assert answer.code == 200 and answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    refused = stack.http("GET", TASKS, headers={"origin": "http://localhost:3000"})
    assert refused.error["reason"] == "TOKEN_MISSING"
    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in stack.http("GET", TASKS, headers={"origin": "http://evil.example"}).headers


def test_grpc_web(stack, token):
    request = stack.message("taskwire.v1.CreateTaskRequest")(parent="users/me", task={"title": "from a browser 🦀"})
    packed = request.SerializeToString()
    frame = b"\0" + len(packed).to_bytes(4, "big") + packed
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = stack.http("POST", "/taskwire.v1.TaskService/CreateTask", frame, token, headers)
    size = int.from_bytes(answer.body[1:5], "big")
    task = stack.message("taskwire.v1.Task").FromString(answer.body[5 : 5 + size])
    assert task.title == "from a browser 🦀"
    assert b"grpc-status:0" in answer.body[5 + size :].replace(b" ", b"")


def test_grpc_passes_through(stack, token):
    with grpc.insecure_channel(f"127.0.0.1:{stack.port}") as channel:
        call = lambda method, request: stack.grpc(f"TaskService/{method}", request, token, channel)
        code, _, task = call("CreateTask", {"parent": "users/me", "task": {"title": "by gRPC"}})
        assert (code, task["title"]) == ("OK", "by gRPC")
        assert call("GetTask", {"name": "users/me/tasks/x"})[:2] == ("INVALID_ARGUMENT", "FIELD_INVALID")
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=10) == b"\x08\x01"
        reflect = channel.unary_unary("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as refused:
            reflect(b"", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


# Streams


def watch(stack, token, query):
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
    connection.request("GET", f"{TASKS}:watch?{query}", headers={"authorization": f"Bearer {token}"})
    return connection, connection.getresponse()


def test_a_watch_comes_as_lines(stack, token):
    stack.http("POST", TASKS, {"title": "before"}, token)
    connection, answer = watch(stack, token, "initialState=true")
    assert answer.status == 200
    assert json.loads(answer.readline())["task"]["title"] == "before"
    end = json.loads(answer.readline())
    assert end["initialStateEnd"] == {"revision": "1"} and end["history"]
    stack.http("POST", TASKS, {"title": "während 🦀"}, token)
    change = json.loads(answer.readline())["change"]
    assert (change["type"], change["task"]["title"], change["prevRevision"]) == ("TYPE_CREATED", "während 🦀", "1")
    connection.close()


def test_a_refused_watch(stack, token):
    assert stack.http("GET", f"{TASKS}:watch?startRevision=99", token=token).error["reason"] == "REVISION_IN_FUTURE"
    assert stack.http("GET", f"{TASKS}:watch").error["reason"] == "TOKEN_MISSING"


def test_a_watch_ends_with_its_session(stack, token):
    connection, answer = watch(stack, token, "initialState=true")
    assert json.loads(answer.readline())["initialStateEnd"] is not None
    stack.http("POST", "/v1/sessions:logout", {}, token)
    assert answer.read() == b""
    connection.close()


# A service that is away


def test_a_service_that_is_away(stack, token):
    stack.stop_service()
    try:
        error = stack.http("GET", TASKS, token=token).error
        assert (error["code"], error["status"], error["reason"]) == (503, "UNAVAILABLE", "SERVICE_UNAVAILABLE")
        assert any(each.get("retryDelay") == "1s" for each in error["details"])
        error = stack.http("POST", TASKS, {"title": "x"}, token).error
        assert error["reason"] == "SERVICE_UNAVAILABLE"
        with grpc.insecure_channel(f"127.0.0.1:{stack.port}") as channel:
            answer = stack.grpc("TaskService/ListTasks", {"parent": "users/me"}, token, channel)
            assert answer[:2] == ("UNAVAILABLE", "The service cannot be reached; try again.")

        def the_gateway_knows():
            return "/failed_active_hc" in stack.admin("/clusters")

        wait_for(the_gateway_knows)
        assert stack.http("GET", TASKS, token=token).error["reason"] == "SERVICE_UNAVAILABLE"
    finally:
        stack.start_service(wait=False)
    # From the moment at which the service takes connections: how long it takes to start is its own affair.
    wait_for(stack.service_listens)
    begin = time.monotonic()
    wait_for(lambda: stack.http("GET", TASKS, token=token).code == 200)
    assert time.monotonic() - begin < 2


class Counting(grpc.GenericRpcHandler):
    """A service that is healthy, says `UNAVAILABLE` to every call, and counts them."""

    def __init__(self):
        self.calls = collections.Counter()

    def service(self, call):
        method = call.method.rsplit("/", 1)[1]
        if method == "Check":
            # `SERVING`, of grpc.health.v1.
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")

        def refuse(request, context):
            self.calls[method] += 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

        return grpc.unary_unary_rpc_method_handler(refuse)


ID = "requestId=5f0c2b1e-8d37-4c0a-9b64-1f2e3d4c5b6a"


@pytest.mark.parametrize(
    "call, body, method, times",
    [
        (f"GET {TASKS}", None, "ListTasks", 3),
        ("GET /v1/users/me/sessions", None, "ListSessions", 3),
        (f"POST {TASKS}", {"title": "x"}, "CreateTask", 1),
        (f"POST {TASKS}?{ID}", {"title": "x"}, "CreateTask", 3),
        (f"POST {TASKS}?requestId=", {"title": "x"}, "CreateTask", 1),
        (f"POST {TASKS}:batchCreate", {"requests": [], "request_id": ID[10:]}, "BatchCreateTasks", 3),
        (f"POST {TASKS}:batchCreate", {"requests": [{"requestId": ID[10:]}]}, "BatchCreateTasks", 1),
        (f"DELETE {TASKS}/x", None, "DeleteTask", 1),
        (f"DELETE {TASKS}/x?{ID}", None, "DeleteTask", 3),
        ("POST /v1/sessions:login", {}, "Login", 1),
    ],
)
def test_what_is_tried_again(refusing, call, body, method, times):
    refused, stack = refusing
    refused.calls.clear()
    # The gateway's own mark is not to be had from outside.
    answer = stack.http(*call.split(), body, headers={"x-taskwire-repeatable": "1"})
    assert answer.error["code"] == 503
    assert refused.calls == {method: times}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    refused, server = Counting(), grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([refused])
    stack = Stack(tmp_path_factory.mktemp("refusing"))
    server.add_insecure_port(f"127.0.0.1:{stack.service_port}")
    server.start()
    try:
        stack.start_envoy(first_answer=503)
        yield refused, stack
    finally:
        stack.stop()
        server.stop(None)
