"""The stream of all events over HTTP: a line of JSON for each, which goes on after a cursor."""

import http.client
import json
import secrets

import pytest


@pytest.fixture(scope="module")
def key(stack):
    """The key of a service that is told of all users."""
    administrator, _ = stack.administrator()
    email = f"{secrets.token_hex(6)}@services.example.com"
    code, reason, service = stack.grpc("UserService/CreateServiceAccount", {"user": {"email": email}}, administrator)
    assert code == "OK", reason
    wanted = {"parent": service["name"], "api_key": {"scopes": ["events.read"]}}
    code, reason, made = stack.grpc("UserService/CreateApiKey", wanted, administrator)
    assert code == "OK", reason
    return made["secret"]


def lines(stack, key, query=""):
    """What is streamed, line by line, once it has begun."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("GET", f"/v1/events:watch{query}", headers={"authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    while line := answer.readline():
        yield json.loads(line)


def test_events_are_streamed(stack, key, token):
    def create(title):
        assert stack.grpc("TaskService/CreateTask", {"parent": "users/me", "task": {"title": title}}, token)[0] == "OK"

    # At once, so that Envoy answers before anything happens.
    first = next(lines(stack, key, "?eventTypes=task.created"))
    assert first["cursor"] and not first.get("event")
    create("the first")
    told = []
    for message in lines(stack, key, f"?cursor={first['cursor']}&eventTypes=task.created"):
        if not message.get("event"):
            continue
        told.append(message["event"]["change"]["task"]["title"])
        if told[-1] == "the last":
            break
        # Each once, and what comes while somebody reads as well.
        create("the last")
    assert told[:2] == ["the first", "the last"]


def test_it_is_for_services_alone(stack, token):
    assert stack.http("GET", "/v1/events:watch", token=token).error["reason"] == "SCOPE_INSUFFICIENT"


@pytest.mark.parametrize("query", ["?cursor=made%20up", "?eventTypes=task.made"])
def test_what_is_wrong_is_said(stack, key, query):
    assert stack.http("GET", f"/v1/events:watch{query}", token=key).error["reason"] == "FIELD_INVALID"
