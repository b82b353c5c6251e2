"""A session with Taskwire: register, log in, create, page, watch, and tell errors by their reasons."""

import json
import os
import pathlib
import sys
import time
import uuid

import grpc
from google.protobuf import field_mask_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from taskwire.v1 import task_service_pb2, task_service_pb2_grpc, user_service_pb2, user_service_pb2_grpc

PASSWORD = "correct horse battery staple"
RETRIES = pathlib.Path(__file__).resolve().parents[1] / "service-config.json"


def reason(error):
    """What a program decides by; the text is for people."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return info.reason
    return ""


def log_in(users, email):
    """Registers when need be, and answers an access token."""
    user = user_service_pb2.User(email=email, display_name="Ada")
    try:
        users.CreateUser(user_service_pb2.CreateUserRequest(user=user, password=PASSWORD), timeout=10)
        print("registered", email)
    except grpc.RpcError as error:
        if reason(error) != "USER_ALREADY_EXISTS":
            raise
        print("known already:", email)
    pair = users.Login(user_service_pb2.LoginRequest(email=email, password=PASSWORD, device="example"), timeout=10)
    return pair.access_token


def pages(tasks, auth, **request):
    """Every task of a listing, page by page."""
    page_token = ""
    while True:
        asked = task_service_pb2.ListTasksRequest(parent="users/me", page_token=page_token, **request)
        page = tasks.ListTasks(asked, metadata=auth, timeout=10)
        yield from page.tasks
        page_token = page.next_page_token
        if not page_token:
            return


def watch(tasks, auth, wanted):
    """Follows the changes until so many were seen; goes on where a stream broke off."""
    revision, history, seen = None, "", []
    while len(seen) < wanted:
        if revision is None:
            request = task_service_pb2.WatchTasksRequest(parent="users/me", initial_state=True)
        else:
            request = task_service_pb2.WatchTasksRequest(
                parent="users/me", start_revision=revision, history=history
            )
        stream = tasks.WatchTasks(request, metadata=auth)
        try:
            for message in stream:
                # Revisions of another history mean other changes: one is kept beside the other.
                history = message.history
                kind = message.WhichOneof("event")
                if kind == "initial_state_end":
                    revision = message.initial_state_end.revision
                    yield None
                elif kind == "bookmark":
                    revision = message.bookmark.revision
                elif kind == "change":
                    assert message.change.prev_revision == revision, "a change was missed"
                    revision = message.change.revision
                    seen.append(message.change)
                    yield message.change
                if len(seen) == wanted:
                    break
        except grpc.RpcError as error:
            if reason(error) in ("REVISION_COMPACTED", "HISTORY_CHANGED"):
                revision = None
            elif error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(1)
        finally:
            stream.cancel()


def main():
    # The channel repeats by itself what is safe to repeat.
    options = [("grpc.service_config", json.dumps(json.loads(RETRIES.read_text())))]
    with grpc.insecure_channel(os.environ.get("TASKWIRE", "127.0.0.1:50051"), options=options) as channel:
        users = user_service_pb2_grpc.UserServiceStub(channel)
        tasks = task_service_pb2_grpc.TaskServiceStub(channel)
        token = log_in(users, os.environ.get("TASKWIRE_EMAIL", "ada@example.com"))
        auth = [("authorization", f"Bearer {token}")]

        for title in ("Buy milk", "Water the plants", "Straße fegen"):
            # With a request id the call can be repeated: it makes one task.
            request = task_service_pb2.CreateTaskRequest(parent="users/me", task={"title": title}, request_id=str(uuid.uuid4()))
            first = tasks.CreateTask(request, metadata=auth, timeout=10)
            again = tasks.CreateTask(request, metadata=auth, timeout=10)
            assert first == again
        print("created three")

        titles = [task.title for task in pages(tasks, auth, page_size=2, order_by="title")]
        print("listed", len(titles), "in pages of two")
        assert {"Buy milk", "Water the plants", "Straße fegen"} <= set(titles)

        changes = watch(tasks, auth, wanted=1)
        assert next(changes) is None
        done = task_service_pb2.UpdateTaskRequest(
            task={"name": first.name, "completed": True}, update_mask=field_mask_pb2.FieldMask(paths=["completed"])
        )
        tasks.UpdateTask(done, metadata=auth, timeout=10)
        change = next(changes)
        assert change.task.completed and list(change.changed_fields) == ["completed"]
        changes.close()
        print("watched", change.task.title, "being completed")

        # Completing what comes again makes the next one.
        bins = {
            "title": "Put the bins out",
            "due_date": {"year": 2030, "month": 1, "day": 3},
            "time_zone": "Europe/Berlin",
            "recurrence": {"rrule": "FREQ=WEEKLY"},
        }
        request = task_service_pb2.CreateTaskRequest(parent="users/me", task=bins, request_id=str(uuid.uuid4()))
        bins = tasks.CreateTask(request, metadata=auth, timeout=10)
        done = task_service_pb2.UpdateTaskRequest(task={"name": bins.name, "completed": True})
        done = tasks.UpdateTask(done, metadata=auth, timeout=10)
        following = tasks.GetTask(task_service_pb2.GetTaskRequest(name=done.next_task), metadata=auth, timeout=10)
        due = following.due_date
        print(f"completed, and due again on {due.year}-{due.month:02}-{due.day:02}")

        # Tasks stand in lists, and below one another; a subtask is in the list of its parent.
        garden = task_service_pb2.CreateTaskListRequest(parent="users/me", task_list={"title": "Garden"}, request_id=str(uuid.uuid4()))
        garden = tasks.CreateTaskList(garden, metadata=auth, timeout=10)
        above = ""
        for title in ("Plant a tree", "Dig a hole"):
            task = {"title": title, "task_list": garden.name, "parent_task": above}
            request = task_service_pb2.CreateTaskRequest(parent="users/me", task=task, request_id=str(uuid.uuid4()))
            above = tasks.CreateTask(request, metadata=auth, timeout=10).name
        there = pages(tasks, auth, filter=f'task_list = "{garden.name}"', order_by="position")
        print(f"in {garden.title}:", ", ".join(("- " if task.parent_task else "") + task.title for task in there))

        try:
            tasks.GetTask(task_service_pb2.GetTaskRequest(name=f"users/me/tasks/{uuid.uuid4()}"), metadata=auth, timeout=10)
            sys.exit("a task that does not exist was answered")
        except grpc.RpcError as error:
            assert reason(error) == "TASK_NOT_FOUND", error
            print("told by its reason:", reason(error))


if __name__ == "__main__":
    main()
