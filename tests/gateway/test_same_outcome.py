"""Every call has the same outcome through the gateway as over gRPC: code, reason and answer."""

import http.server
import json
import re
import threading
import uuid
from urllib.parse import quote, urlencode

import pytest

import contract
from conftest import PASSWORD, wait_for

GHOST = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10"
TEXTS = [
    "Buy milk",
    "Straße 12",
    "İstanbul",
    "日本語のタスク",
    "👩‍👩‍👧‍👦 family",
    "é composed, e\u0301 not",
    'quotes " and \\ slashes /',
    "<script>&amp;",
    "\u2028 line separator inside",
    "  trimmed at both ends\u3000",
    "נכתב מימין",
    "a" * 200,
    "🦀" * 200,
]
BAD_TEXTS = ["", "   ", "a" * 201, "🦀" * 201, "line\nfeed", "nul\u0000", "\u0085"]
FILTERS = [
    "completed = false",
    "completed = true",
    "priority >= MEDIUM",
    "priority = HIGH AND completed = false",
    "title:strasse",
    "title:İSTANBUL",
    'title = "Buy milk"',
    "labels:home OR labels:garden",
    "-labels:home",
    "due_time:*",
    'due_time < "2026-03-01T00:00:00Z"',
    "NOT (completed = true priority < HIGH)",
    "日本語",
    '"quotes \\" and"',
    "a+b",
    "100%",
    "#",
]
BAD_FILTERS = ["x&y=z", "completed =", "nope = 1", "(", 'title:"', "a" * 1001, "NOT", "priority = 9"]
ORDERS = ["", "title", "title desc", "due_time", "priority desc, due_time", "create_time asc", "update_time desc"]
BAD_ORDERS = ["nope", "title,title", "title up", ","]
TOKENS = ["AAAA", "not a token", "ü", "%"]


class Both:
    """One account on each side of the comparison: the same calls to each, one way and the other."""

    def __init__(self, stack, account):
        self.stack = stack
        self.bindings = {}
        for method, *binding in contract.services(stack.descriptor_set):
            self.bindings.setdefault(f"{method_service(stack, method.name)}/{method.name}", []).append(binding)
        self.count = 0
        # Which methods were compared, in which of their HTTP forms.
        self.forms = set()
        self.sides = {way: account() for way in ("grpc", "rest")}
        self.names = {way: {"me": user} for way, (_, user) in self.sides.items()}

    def call(self, method, request, anonymous=False, keep=None):
        """The call on both sides; `keep` remembers the name of what it answers."""
        self.count += 1
        outcomes = {}
        for way, (token, _) in self.sides.items():
            told = self.told(request, way)
            run = self.stack.grpc if way == "grpc" else self.rest
            outcomes[way] = run(method, told, None if anonymous else token)
            if keep and outcomes[way][0] == "OK":
                answer = outcomes[way][2]
                self.names[way][keep] = answer.get("webhook", answer)["name"]
        seen = {way: (code, reason, self.plain(body, way)) for way, (code, reason, body) in outcomes.items()}
        assert seen["grpc"] == seen["rest"], f"{method} {request}"
        return outcomes["rest"]

    def told(self, request, way):
        """`{name}` in a request stands for what this side remembers under it."""
        if isinstance(request, dict):
            return {key: self.told(value, way) for key, value in request.items()}
        if isinstance(request, list):
            return [self.told(value, way) for value in request]
        if isinstance(request, str) and request.startswith("{") and request[1:-1] in self.names[way]:
            return self.names[way][request[1:-1]]
        return request

    def plain(self, body, way):
        """An answer without what differs between two accounts and two moments."""
        if isinstance(body, dict):
            return {key: self.plain(value, way) for key, value in sorted(body.items()) if key not in MOMENTS}
        if isinstance(body, list):
            return [self.plain(value, way) for value in body]
        return "{user}" if body in {user for _, user in self.sides.values()} else body

    def rest(self, method, request, token):
        """The call through the gateway, as `Stack.grpc` answers it."""
        request = json.loads(json.dumps(request))
        verb, path, body_field = next(
            (verb, path, body_field)
            for form, (verb, template, body_field) in enumerate(self.bindings[method])
            if (path := self.path(method, form, template, request))
        )
        if body_field == "*":
            body = request
        else:
            body = request.pop(body_field, {}) if body_field else None
            query = [(key, str(value).lower() if isinstance(value, bool) else value) for key, value in request.items()]
            path += "?" + urlencode(query, doseq=True) if query else ""
        answer = self.stack.http(verb, path, body, token)
        if answer.code == 200:
            assert answer.headers["content-type"] == "application/json"
            return "OK", "", answer.json
        error = answer.error
        return error["status"], error["reason"], None

    def path(self, method, form, template, request):
        """The path of this form of the method, with what it takes out of the request; None where another form is meant."""
        forms = self.bindings[method]
        bound = re.search(r"\{(.+?)=", forms[0][1])
        if bound:
            holder, keys = request, bound[1].split(".")
            for key in keys[:-1]:
                holder = holder[key]
            value, pattern = holder.get(keys[-1], ""), re.search(r"\{.+?=(.+?)\}", template)
            fits = pattern[1].replace("*", "[^/]*") if pattern else ""
            if len(forms) > 1 and not re.fullmatch(fits, value):
                return None
            holder.pop(keys[-1], None)
            template = re.sub(r"\{.+?\}", lambda _: quote(value), template)
        self.forms.add((method, form))
        return template



MOMENTS = {
    "name", "createTime", "updateTime", "completeTime", "deleteTime", "purgeTime", "lastUseTime", "email", "accessToken",
    "refreshToken", "nextPageToken", "otpauthUri", "secret", "etag", "expireTime", "task_name", "requestId", "actor", "target", "session", "peer",
    "nextAttemptTime", "lastSuccessTime", "time",
}  # fmt: skip


def method_service(stack, name):
    for file in stack.descriptor_set.file:
        for service in file.service:
            if any(method.name == name for method in service.method):
                return service.name


@pytest.fixture(scope="module")
def both(stack):
    made = Both(stack, stack.account)
    for at, text in enumerate(TEXTS):
        task = {"title": text, "labels": ["home", "ü"][: at % 3], "priority": at % 4}
        if at % 2:
            task |= {"description": text, "due_time": f"2026-0{1 + at % 9}-01T00:00:00.123456Z"}
        code, reason, _ = made.call("TaskService/CreateTask", {"parent": "users/me", "task": task}, keep=f"task{at}")
        assert code == "OK", reason
    yield made
    assert made.count >= 150, f"{made.count} calls were compared"


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_refused_texts(both, text):
    code, _, _ = both.call("TaskService/CreateTask", {"parent": "users/me", "task": {"title": text}})
    assert code == "INVALID_ARGUMENT"
    both.call("TaskService/UpdateTask", {"task": {"name": "{task0}", "title": text}, "update_mask": "title"})
    both.call("UserService/UpdateUser", {"user": {"name": "users/me", "display_name": text}, "update_mask": "displayName"})


@pytest.mark.parametrize("filter", FILTERS)
def test_filters(both, filter):
    for method in ("ListTasks", "CountTasks"):
        assert both.call(f"TaskService/{method}", {"parent": "users/me", "filter": filter})[0] == "OK"


@pytest.mark.parametrize("filter", BAD_FILTERS)
def test_refused_filters(both, filter):
    for method in ("ListTasks", "CountTasks"):
        answer = both.call(f"TaskService/{method}", {"parent": "users/me", "filter": filter})
        assert answer[:2] == ("INVALID_ARGUMENT", "FILTER_INVALID")


@pytest.mark.parametrize("order", ORDERS)
def test_orders(both, order):
    for size in (0, 3, 500, 501):
        request = {"parent": "users/me", "order_by": order, "page_size": size, "show_deleted": True}
        assert both.call("TaskService/ListTasks", request)[0] == "OK"


@pytest.mark.parametrize("order", BAD_ORDERS)
def test_refused_orders(both, order):
    answer = both.call("TaskService/ListTasks", {"parent": "users/me", "order_by": order})
    assert answer[1] == "ORDER_BY_INVALID"


@pytest.mark.parametrize("token", TOKENS)
def test_refused_page_tokens(both, token):
    assert both.call("TaskService/ListTasks", {"parent": "users/me", "page_token": token})[0] == "INVALID_ARGUMENT"


def test_names(both):
    for name in (f"users/me/tasks/{GHOST}", f"users/{GHOST}/tasks/{GHOST}", "users/me/tasks/x", "users/ü/tasks/x", "users/me/tasks/a b"):
        for method in ("GetTask", "DeleteTask", "UndeleteTask"):
            assert both.call(f"TaskService/{method}", {"name": name})[0] != "OK"
        both.call("TaskService/UpdateTask", {"task": {"name": name, "title": "x"}})
    for parent in (f"users/{GHOST}", "users/x"):
        for method in ("ListTasks", "CountTasks", "ListTaskChanges"):
            assert both.call(f"TaskService/{method}", {"parent": parent})[0] != "OK"


def test_no_token(both):
    for method in ("GetTask", "DeleteTask"):
        answer = both.call(f"TaskService/{method}", {"name": "{task0}"}, anonymous=True)
        assert answer[:2] == ("UNAUTHENTICATED", "TOKEN_MISSING")
    for method in ("UserService/ListUsers", "UserService/Logout"):
        assert both.call(method, {}, anonymous=True)[1] == "TOKEN_MISSING"


def test_the_life_of_a_task(both):
    one = str(uuid.uuid4())
    request = {"parent": "users/me", "task_id": one, "task": {"title": "life"}, "request_id": str(uuid.uuid4())}
    assert both.call("TaskService/CreateTask", request, keep="life")[0] == "OK"
    assert both.call("TaskService/CreateTask", request)[0] == "OK"
    assert both.call("TaskService/CreateTask", request | {"task": {"title": "other"}})[1] == "REQUEST_ID_REUSED"
    assert both.call("TaskService/CreateTask", request | {"request_id": ""})[1] == "TASK_ALREADY_EXISTS"
    for mask, fields in (
        ("completed", {"completed": True}),
        ("completed,dueTime", {"due_time": "9999-12-31T23:59:59.999999Z"}),
        ("description", {"description": ""}),
        ("description", {}),
        ("labels", {"labels": ["a", "a", "b"]}),
        ("dueDate,dueTime,timeZone", {"due_date": {"year": 2026, "month": 3, "day": 1}, "time_zone": "Europe/Berlin"}),
        ("dueTime", {"due_time": "2026-03-01T00:00:00Z"}),
        ("dueDate", {"due_date": {"year": 2026, "month": 2, "day": 29}}),
        ("timeZone", {"time_zone": "Mars"}),
        ("startTime,annotations", {"start_time": "2026-02-01T00:00:00Z", "annotations": {"crm/ticket": "4711", "a": "é"}}),
        ("annotations", {"annotations": {"k": ""}}),
        ("annotations", {"annotations": {"K": "x"}}),
        ("nope", {}),
        ("title", {}),
        ("", {"title": "named by nothing"}),
    ):
        both.call("TaskService/UpdateTask", {"task": {"name": "{life}"} | fields, "update_mask": mask})
    answer = both.call("TaskService/UpdateTask", {"task": {"name": "{life}", "title": "x", "etag": "stale"}})
    assert answer[:2] == ("ABORTED", "ETAG_MISMATCH")
    assert both.call("TaskService/DeleteTask", {"name": "{life}", "etag": "stale"})[1] == "ETAG_MISMATCH"
    assert both.call("TaskService/UndeleteTask", {"name": "{life}"})[1] == "TASK_NOT_DELETED"
    assert both.call("TaskService/DeleteTask", {"name": "{life}"})[0] == "OK"
    assert both.call("TaskService/DeleteTask", {"name": "{life}"})[1] == "TASK_NOT_FOUND"
    assert both.call("TaskService/DeleteTask", {"name": "{life}", "allow_missing": True})[0] == "OK"
    assert both.call("TaskService/DeleteTask", {"name": f"users/me/tasks/{GHOST}", "allow_missing": True})[2] == {}
    assert both.call("TaskService/UpdateTask", {"task": {"name": "{life}", "title": "x"}})[1] == "TASK_DELETED"
    assert both.call("TaskService/UndeleteTask", {"name": "{life}"})[0] == "OK"


def test_batches(both):
    batch = {"parent": "users/me", "requests": [{"task": {"title": f"batch {at}"}} for at in range(3)]}
    assert both.call("TaskService/BatchCreateTasks", batch)[0] == "OK"
    assert both.call("TaskService/BatchCreateTasks", {"parent": "users/me"})[1] == "FIELD_INVALID"
    many = {"parent": "users/me", "requests": [{"task": {"title": "x"}}] * 201}
    assert both.call("TaskService/BatchCreateTasks", many)[1] == "BATCH_TOO_LARGE"
    bad = {"parent": "users/me", "requests": [{"task": {"title": "fine"}}, {"task": {"title": ""}}]}
    assert both.call("TaskService/BatchCreateTasks", bad)[1] == "FIELD_INVALID"
    assert both.call("TaskService/BatchGetTasks", {"parent": "users/me", "names": ["{task0}", "{task1}", "{task0}"]})[0] == "OK"
    assert both.call("TaskService/BatchGetTasks", {"parent": "users/me"})[0] == "INVALID_ARGUMENT"
    missing = {"parent": "users/me", "names": ["{task0}", f"users/me/tasks/{GHOST}"]}
    assert both.call("TaskService/BatchGetTasks", missing)[1] == "TASK_NOT_FOUND"
    change = {"task": {"name": "{task0}", "completed": True}, "update_mask": "completed"}
    assert both.call("TaskService/BatchUpdateTasks", {"parent": "users/me", "requests": [change]})[0] == "OK"
    assert both.call("TaskService/BatchDeleteTasks", {"parent": "users/me", "requests": [{"name": "{task1}"}]})[0] == "OK"
    assert both.call("TaskService/BatchDeleteTasks", {"parent": "users/me", "requests": [{"name": "{task1}"}]})[1] == "TASK_NOT_FOUND"


def test_changes(both):
    for start in (0, 1, 5, 10**9, -1):
        both.call("TaskService/ListTaskChanges", {"parent": "users/me", "start_revision": start, "page_size": 5})
    undo = {"parent": "users/me", "start_revision": 1, "end_revision": 3}
    assert both.call("TaskService/UndoChanges", undo | {"validate_only": True})[0] == "OK"
    assert both.call("TaskService/UndoChanges", undo)[0] == "OK"
    assert both.call("TaskService/UndoChanges", undo | {"end_revision": 1})[1] == "FIELD_INVALID"
    assert both.call("TaskService/UndoChanges", undo | {"end_revision": 10**9})[0] != "OK"


def test_accounts(both):
    assert both.call("UserService/GetUser", {"name": "users/me"})[0] == "OK"
    assert both.call("UserService/UpdateUser", {"user": {"name": "users/me", "display_name": "Ada ✨"}})[0] == "OK"
    for method in ("ListSessions", "ListApiKeys", "ListAuditEvents"):
        assert both.call(f"UserService/{method}", {"parent": "users/me"})[0] == "OK"
    for method in ("UserService/ListUsers",):
        assert both.call(method, {})[1] == "ADMIN_REQUIRED"
    for method in ("DisableUser", "EnableUser"):
        assert both.call(f"UserService/{method}", {"name": "users/me"})[1] == "ADMIN_REQUIRED"
    for email in ("nobody@example.com", "", "ü@example.com"):
        assert both.call("UserService/Login", {"email": email, "password": PASSWORD}, anonymous=True)[0] != "OK"
    for password in ("", "short", "\u0000" * 10, "p" * 129):
        user = {"user": {"email": f"{uuid.uuid4()}@example.com"}, "password": password}
        assert both.call("UserService/CreateUser", user, anonymous=True)[0] == "INVALID_ARGUMENT"
    for email in ("", "no-at", "a@b@c", "@"):
        assert both.call("UserService/CreateUser", {"user": {"email": email}, "password": PASSWORD})[0] == "INVALID_ARGUMENT"
    key = {"parent": "users/me", "api_key": {"display_name": "nightly", "scopes": ["tasks.read"]}}
    assert both.call("UserService/CreateApiKey", key)[0] == "OK"
    assert both.call("UserService/CreateApiKey", {"parent": "users/me", "api_key": {"scopes": ["nope"]}})[0] != "OK"
    assert both.call("UserService/RevokeApiKey", {"name": f"users/me/apiKeys/{GHOST}"})[1] == "API_KEY_NOT_FOUND"
    assert both.call("UserService/RevokeSession", {"name": f"users/me/sessions/{GHOST}"})[1] == "SESSION_NOT_FOUND"
    assert both.call("UserService/RefreshSession", {"refresh_token": "nope"})[1] == "REFRESH_TOKEN_INVALID"
    change = {"name": "users/me", "current_password": "wrong wrong", "new_password": PASSWORD + "!"}
    assert both.call("UserService/ChangePassword", change)[0] != "OK"
    assert both.call("UserService/ChangePassword", change | {"current_password": PASSWORD})[0] == "OK"


def test_second_factors_and_services(both):
    name = {"name": "users/me"}
    assert both.call("UserService/ConfirmTotpEnrolment", name | {"code": "123456"})[1] == "TOTP_NOT_ENABLED"
    assert both.call("UserService/BeginTotpEnrolment", name)[0] == "OK"
    for code in ("", "12345", "abcdef"):
        assert both.call("UserService/ConfirmTotpEnrolment", name | {"code": code})[1] == "CODE_INVALID"
    for method in ("DisableTotp", "RegenerateRecoveryCodes"):
        assert both.call(f"UserService/{method}", name)[1] == "TOTP_NOT_ENABLED"
    for proof in ({"code": "123456"}, {"recovery_code": "abcd-efgh-ijkl-mnop"}):
        complete = {"challenge": "twc_nope"} | proof
        assert both.call("UserService/CompleteLogin", complete, anonymous=True)[1] == "CHALLENGE_INVALID"
    assert both.call("UserService/CompleteLogin", {"challenge": "twc_nope"}, anonymous=True)[1] == "FIELD_INVALID"
    reset = {"token": "twm_nope", "new_password": "correct horse battery staple"}
    assert both.call("UserService/ResetPassword", reset, anonymous=True)[1] == "MAIL_TOKEN_INVALID"
    ask = {"email": "nobody@example.com"}
    assert both.call("UserService/RequestPasswordReset", ask, anonymous=True)[1] == "MAIL_NOT_CONFIGURED"
    for call in ("VerifyEmail", "ConfirmEmailChange"):
        assert both.call(f"UserService/{call}", {"token": "twm_nope"}, anonymous=True)[1] == "MAIL_TOKEN_INVALID"
    assert both.call("UserService/SendVerification", ask, anonymous=True)[1] == "MAIL_NOT_CONFIGURED"
    change = {"name": "users/me", "new_email": f"{uuid.uuid4()}@example.com"}
    assert both.call("UserService/RequestEmailChange", change)[1] == "MAIL_NOT_CONFIGURED"
    service = {"user": {"email": f"{uuid.uuid4()}@example.com"}}
    assert both.call("UserService/CreateServiceAccount", service)[1] == "ADMIN_REQUIRED"
    assert both.call("UserService/ExchangeToken", {"subject_user": "users/me"})[1] == "SCOPE_INSUFFICIENT"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what is sent to `/take`, and nothing else."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204 if self.path == "/take" else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def administrators(stack):
    return Both(stack, stack.administrator)


@pytest.mark.parametrize("whose", ["both", "administrators"])
def test_webhooks(whose, receiver, request):
    """Those of users, and those of administrators under paths without a user."""
    both = request.getfixturevalue(whose)
    parent, user = ("", "{me}") if whose == "administrators" else ("users/me", "")
    name = "webhooks/" if whose == "administrators" else "users/me/webhooks/"

    def call(method, message, **options):
        return both.call(f"EventService/{method}", message, **options)

    def create(webhook, **options):
        return call("CreateWebhook", {"parent": parent, "webhook": webhook}, **options)

    wanted = {"url": f"{receiver}/take", "event_types": ["task.*", "reminder.due"]}
    assert create(wanted, keep="hook")[0] == "OK"
    assert create(wanted | {"url": f"{receiver}/refuse", "state": "STATE_DISABLED"}, keep="refused")[0] == "OK"
    for wrong in ({}, {"url": "https://10.0.0.1/"}, {"event_types": []}, {"event_types": ["task.made"]}, {"state": 9}, {"url": "x" * 2001}):
        assert create(wanted | wrong if wrong else {})[:2] == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert create(wanted | {"event_types": ["user.*"]})[0] == ("OK" if whose == "administrators" else "INVALID_ARGUMENT")
    assert call("GetWebhook", {"name": "{hook}"})[2]["eventTypes"][0] == "task.created"
    assert len(call("ListWebhooks", {"parent": parent})[2]["webhooks"]) >= 2
    assert call("TestWebhook", {"name": "{hook}"})[2]["delivered"]
    assert call("TestWebhook", {"name": "{refused}"})[2]["failure"]["code"] == 503
    assert call("RotateWebhookSecret", {"name": "{hook}"})[2]["secret"].startswith("whsec_")
    for mask, fields in (
        ("eventTypes", {"event_types": ["task.deleted"]}),
        ("state", {"state": "STATE_DISABLED"}),
        ("state", {"state": "STATE_ENABLED"}),
        ("state", {}),
        ("secret", {}),
        ("url", {"url": "ftp://receiver.example"}),
    ):
        call("UpdateWebhook", {"webhook": {"name": "{hook}"} | fields, "update_mask": mask})
    # Without a mask, what is in the body.
    assert call("UpdateWebhook", {"webhook": {"name": "{hook}", "event_types": ["task.*"]}})[0] == "OK"
    for start in (0, 1, 10**9, -1):
        call("ReplayWebhook", {"name": "{hook}", "start_revision": start, "user": user})
    call("ReplayWebhook", {"name": "{hook}", "user": f"users/{GHOST}"})
    call("ReplayWebhook", {"name": "{hook}"})

    assert call("UpdateWebhook", {"webhook": {"name": "{refused}", "state": "STATE_ENABLED"}})[0] == "OK"
    assert both.call("TaskService/CreateTask", {"parent": "users/me", "task": {"title": "not taken"}})[0] == "OK"

    # Those of administrators hear of both.
    waiting = 2 if whose == "administrators" else 1

    def each_waits_for_another_attempt():
        lists = []
        for way, (token, _) in both.sides.items():
            request = {"parent": both.names[way]["refused"]}
            _, _, listed = both.stack.grpc("EventService/ListWebhookQueues", request, token)
            lists.append([each["attempts"] for each in listed["queues"]])
        return lists == [[1] * waiting] * 2

    wait_for(each_waits_for_another_attempt)
    queues = call("ListWebhookQueues", {"parent": "{refused}", "page_size": 500})
    assert queues[2]["queues"][0]["attempts"] == 1
    for asked in ({"page_size": -1}, {"page_token": "AAAA"}):
        assert call("ListWebhookQueues", {"parent": "{hook}"} | asked)[0] == "INVALID_ARGUMENT"

    for method in ("GetWebhook", "TestWebhook", "RotateWebhookSecret", "ReplayWebhook", "DeleteWebhook"):
        whom = {"user": user} if method == "ReplayWebhook" else {}
        assert call(method, {"name": f"{name}{GHOST}"} | whom)[1] == "WEBHOOK_NOT_FOUND"
        assert call(method, {"name": f"{name}x"})[1] == "FIELD_INVALID"
    assert call("ListWebhookQueues", {"parent": f"{name}{GHOST}"})[1] == "WEBHOOK_NOT_FOUND"
    for kept in ("{hook}", "{refused}"):
        assert call("DeleteWebhook", {"name": kept})[2] == {}
    assert call("GetWebhook", {"name": "{hook}"})[1] == "WEBHOOK_NOT_FOUND"
    assert call("ListWebhooks", {"parent": parent}, anonymous=True)[1] == "TOKEN_MISSING"

    # Every method was compared in the form that is meant.
    form = 1 if whose == "administrators" else 0
    forms = {method for method, bindings in both.bindings.items() if method.startswith("EventService/") and len(bindings) > form}
    assert {method for method, compared in both.forms if compared == form} >= forms - {"EventService/WatchEvents"}


def test_webhooks_of_others(both):
    """Only administrators reach those of administrators, and nobody those of another user."""
    for method in ("GetWebhook", "TestWebhook", "RotateWebhookSecret", "ReplayWebhook", "DeleteWebhook"):
        assert both.call(f"EventService/{method}", {"name": f"webhooks/{GHOST}"})[1] == "ADMIN_REQUIRED"
        assert both.call(f"EventService/{method}", {"name": f"users/{GHOST}/webhooks/{GHOST}"})[1] == "PARENT_ACCESS_DENIED"
    for parent, reason in (("", "ADMIN_REQUIRED"), (f"users/{GHOST}", "PARENT_ACCESS_DENIED"), ("users/x", "FIELD_INVALID")):
        assert both.call("EventService/ListWebhooks", {"parent": parent})[1] == reason


def test_the_end_of_an_account(both):
    """Last: it ends what the others use."""
    assert both.call("UserService/DeleteUser", {"name": "users/me", "password": "wrong wrong"})[0] != "OK"
    assert both.call("UserService/RevokeAllSessions", {"parent": "users/me"})[0] == "OK"
