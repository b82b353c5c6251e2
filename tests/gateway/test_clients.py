"""The example clients against the service, the page in a browser through gRPC-Web, and the reference in a browser."""

import base64
import functools
import hmac
import http.server
import json
import os
import pathlib
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

import contract
from conftest import free_port, wait_for

EXAMPLES = contract.ROOT / "examples"
STEPS = [
    "registered",
    "created three",
    "listed 3 in pages of two",
    "watched Straße fegen being completed",
    "completed, and due again on 2030-01-10",
    "in Garden: Plant a tree, - Dig a hole",
    "TASK_NOT_FOUND",
]


def needed(program, variable, *others):
    """The path of a program, under any of its names. Without it the test is left out, or fails where it is required:
    by TASKWIRE_REQUIRE_GATEWAY=1, but for the programs in TASKWIRE_GATEWAY_LEFT_OUT."""
    found = os.environ.get(variable) or next(filter(None, map(shutil.which, (program, *others))), None)
    if not found:
        required = os.environ.get("TASKWIRE_REQUIRE_GATEWAY") == "1"
        assert not required or program in os.environ.get("TASKWIRE_GATEWAY_LEFT_OUT", "").split(), f"{program} is required"
        pytest.skip(f"there is no {program}")
    return found


def run(command, cwd, **env):
    env = {key: str(value) for key, value in env.items()}
    ended = subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def told(output):
    lines = output.splitlines()
    assert len(lines) == len(STEPS), output
    for line, step in zip(lines, STEPS):
        assert step in line


def test_python(stack, tmp_path):
    shutil.copytree(EXAMPLES / "python", tmp_path / "python", ignore=shutil.ignore_patterns("taskwire", ".venv"))
    shutil.copy(EXAMPLES / "service-config.json", tmp_path)
    protos = [f"taskwire/v1/{name}_service.proto" for name in ("task", "user")]
    # `google` comes with the packages.
    generate = [sys.executable, "-m", "grpc_tools.protoc", "-I", contract.ROOT / "proto", "--python_out=.", "--grpc_python_out=."]
    run([*generate, *protos], tmp_path / "python")
    email = f"{secrets.token_hex(6)}@example.com"
    address = f"127.0.0.1:{stack.service_port}"
    told(run([sys.executable, "session.py"], tmp_path / "python", TASKWIRE=address, TASKWIRE_EMAIL=email))


@pytest.fixture(scope="module")
def typescript():
    """The example, built where it stands; its lock file says from what."""
    npm, buf = needed("npm", "TASKWIRE_TEST_NPM"), needed("buf", "TASKWIRE_TEST_BUF")
    directory = EXAMPLES / "typescript"
    path = os.pathsep.join([str(pathlib.Path(buf).parent), os.environ["PATH"]])
    stamp = directory / "node_modules/.complete"
    lock = (directory / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], directory)
        stamp.write_text(lock)
    for script in ("generate", "check", "bundle"):
        run([npm, "run", "--silent", script], directory, PATH=path)
    return directory


def test_typescript(stack, typescript):
    address, email = f"http://127.0.0.1:{stack.service_port}", f"{secrets.token_hex(6)}@example.com"
    told(run(["node", "dist/session.js"], typescript, TASKWIRE=address, TASKWIRE_EMAIL=email))


def answered(url, secret, body, message_id=None, sent=None):
    """What a receiver answers to a message that is signed with this secret."""
    message_id, sent = message_id or f"evt_{secrets.token_hex(8)}", sent or int(time.time())
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{message_id}.{sent}.".encode() + body, "sha256")).decode()
    headers = {"webhook-id": message_id, "webhook-timestamp": str(sent), "webhook-signature": f"v1,{signature}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_receivers(stack, language, request):
    """The service sends to an example of a receiver, which takes what is signed, just now, and once."""
    if language == "python":
        command, cwd = [sys.executable, "receiver.py"], EXAMPLES / "python"
    else:
        command, cwd = ["node", "dist/receiver.js"], request.getfixturevalue("typescript")
    token, _ = stack.account()
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    wanted = {"parent": "users/me", "webhook": {"url": url, "event_types": ["task.*", "task_list.*"]}}
    code, reason, made = stack.grpc("EventService/CreateWebhook", wanted, token)
    assert code == "OK", reason
    name, secret = {"name": made["webhook"]["name"]}, made["secret"]
    env = os.environ | {"TASKWIRE_WEBHOOK_SECRET": secret, "TASKWIRE_RECEIVER": f"127.0.0.1:{port}"}
    receiving = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True)
    try:

        def it_takes_a_trial():
            return stack.grpc("EventService/TestWebhook", name, token)[2]["delivered"]

        def call(method, message):
            assert stack.grpc(method, message, token)[0] == "OK"

        wait_for(it_takes_a_trial)
        assert receiving.stdout.readline() == "webhook.test \n"
        call("TaskService/CreateTask", {"parent": "users/me", "task": {"title": "Straße fegen 🧹"}})
        assert receiving.stdout.readline() == "task.created Straße fegen 🧹\n"
        call("TaskService/CreateTaskList", {"parent": "users/me", "task_list": {"title": "Garden"}})
        assert receiving.stdout.readline() == "task_list.created Garden\n"
        # With another secret, deliveries are signed with the one before as well.
        call("EventService/RotateWebhookSecret", name)
        call("TaskService/CreateTask", {"parent": "users/me", "task": {"title": "under both"}})
        assert receiving.stdout.readline() == "task.created under both\n"

        body = json.dumps({"type": "task.created", "timestamp": "2026-01-01T00:00:00Z", "data": {"task": {"title": "by hand"}}}).encode()
        forged = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        now = int(time.time())
        assert answered(url, forged, body) == 401
        assert answered(url, secret, body, sent=now - 301) == 401
        assert answered(url, secret, body, sent=now + 330) == 401
        unsigned = urllib.request.Request(url, body)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(unsigned, timeout=20)
        # What was taken is taken again and not done again.
        assert [answered(url, secret, body, message_id="evt_1") for _ in range(3)] == [204] * 3
        assert answered(url, secret, body.replace(b"by hand", b"the last"), message_id="evt_2") == 204
        assert receiving.stdout.readline() == "task.created by hand\n"
        assert receiving.stdout.readline() == "task.created the last\n"
    finally:
        receiving.kill()
        receiving.wait(20)


class Page(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word, and takes in what the page has become."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.server.told.put(self.rfile.read(int(self.headers["content-length"])).decode())
        self.send_response(204)
        self.end_headers()


# Tells the test what the page has become once an element is there, or the page says that it is through.
REPORT = """<script>
new MutationObserver((_, observer) => {
  if (!document.querySelector(WANTED) && !/^(done|failed)/m.test(document.body.innerText)) return;
  observer.disconnect();
  fetch("/", {method: "POST", body: document.body.innerHTML});
}).observe(document.documentElement, {childList: true, subtree: true});
</script>"""


def rendered(directory, page, query, wanted):
    """What a browser makes of a page, once this element is there."""
    browser = needed("chromium", "TASKWIRE_TEST_CHROMIUM", "chromium-browser", "google-chrome")
    text = (directory / page).read_text() + REPORT.replace("WANTED", json.dumps(wanted))
    (directory / "reported.html").write_text(text)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Page, directory=directory))
    server.told = queue.Queue()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        # A container has little shared memory, and a closed network no place for what a browser asks by itself.
        flags += ["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        url = f"http://127.0.0.1:{server.server_port}/reported.html{query}"
        running = subprocess.Popen([browser, *flags, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return server.told.get(timeout=60)
        finally:
            running.terminate()
            running.wait(20)
            server.shutdown()


def test_a_page_by_grpc_web(stack, typescript, tmp_path):
    shutil.copytree(typescript / "dist", tmp_path / "dist")
    shutil.copy(typescript / "page.html", tmp_path)
    text = rendered(tmp_path, "page.html", f"?gateway=http://127.0.0.1:{stack.port}", "#never")
    for line in ("logged in", "task: Straße fegen 🧹", "watched: Straße fegen 🧹", "told by its reason: FIELD_INVALID", "done"):
        assert f"<li>{line}</li>" in text, text


def test_the_reference(tmp_path):
    needed("npm", "TASKWIRE_TEST_NPM")
    run([contract.ROOT / "scripts/docs", tmp_path / "docs"], contract.ROOT)
    text = rendered(tmp_path / "docs", "index.html", "", 'a[href$="/POST/v1/users/{user}/tasks"]')
    # What the services say of all their calls has pages of its own; calls go by their names, in the order of the contract.
    for page in ("About TaskService", "About UserService", "About EventService", "Authentication", "Revisions", "Deliveries"):
        assert page in text, page
    calls = [text.index(f">{call}<") for call in ("CreateTask", "GetTask", "ListTasks", "UndoChanges")]
    assert calls == sorted(calls), calls
