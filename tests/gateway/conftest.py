"""A service and an Envoy in front of it, for one run of the tests, and what the tests say to both."""

import json
import os
import pathlib
import re
import secrets
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2, status_pb2

import contract

ROOT = contract.ROOT
PASSWORD = "correct horse battery staple"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, seconds=20):
    """Asks until the answer is yes."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"{what.__name__} did not come true in {seconds} s"
        time.sleep(0.02)


class Answer:
    """What the gateway answered."""

    def __init__(self, code, headers, body):
        self.code, self.headers, self.body = code, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The error, after a look at its shape."""
        assert self.headers["content-type"] == "application/json", (self.code, self.body)
        assert set(self.json) == {"error"}, self.body
        error = self.json["error"]
        assert set(error) == {"code", "status", "message", "details"}, self.body
        assert error["code"] == self.code
        infos = [each for each in error["details"] if each["@type"].endswith("/google.rpc.ErrorInfo")]
        assert len(infos) == 1 and infos[0]["domain"] == "taskwire", self.body
        error["reason"] = infos[0]["reason"]
        return error


class Stack:
    """The two processes."""

    def __init__(self, directory, tls=None):
        # With TLS: a directory of tls.crt, tls.key and ca.crt, as compose.tls.yaml wants it.
        self.directory, self.tls = pathlib.Path(directory), tls
        self.binary = os.environ["TASKWIRE_TEST_BINARY"]
        self.service_port, self.port, self.admin_port = free_port(), free_port(), free_port()
        self.service = self.envoy = None
        self.descriptor = self.directory / "taskwire.binpb"
        self.descriptor.write_bytes(subprocess.run([self.binary, "descriptor"], check=True, capture_output=True).stdout)
        self.descriptor_set = contract.load(self.descriptor)
        self.pool = descriptor_pool.DescriptorPool()
        for file in self.descriptor_set.file:
            self.pool.Add(file)
        address = f"127.0.0.1:{self.service_port}"
        if tls:
            trusted = grpc.ssl_channel_credentials((tls / "ca.crt").read_bytes())
            self.channel = grpc.secure_channel(address, trusted, [("grpc.ssl_target_name_override", "taskwire")])
        else:
            self.channel = grpc.insecure_channel(address)

    def start_service(self, wait=True, tls=None, more=None):
        env = {key: value for key, value in os.environ.items() if not key.startswith("TASKWIRE_")}
        env |= {
            "TASKWIRE_LISTEN": f"127.0.0.1:{self.service_port}",
            "TASKWIRE_DATA_DIR": str(self.directory / "data"),
            "TASKWIRE_TRUSTED_PROXIES": "127.0.0.1/32",
            # A port of its own would be one more to find free: only the tests of TLS look at it.
            "TASKWIRE_ADMIN_LISTEN": "off",
            # The receivers of the tests are on this machine.
            "TASKWIRE_WEBHOOK_HTTP": "true",
            "TASKWIRE_WEBHOOK_NETWORKS": "127.0.0.0/8",
        }
        if tls := tls or self.tls:
            self.operator_port = free_port()
            env["TASKWIRE_ADMIN_LISTEN"] = f"127.0.0.1:{self.operator_port}"
            env |= {"TASKWIRE_TLS_CERT_FILE": str(tls / "tls.crt"), "TASKWIRE_TLS_KEY_FILE": str(tls / "tls.key")}
        env |= more or {}
        log = open(self.directory / "service.log", "ab")
        self.service = subprocess.Popen([self.binary, "serve"], env=env, stdout=log, stderr=log)
        if wait:
            grpc.channel_ready_future(self.channel).result(timeout=30)

    def service_listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.service_port), 1).close()
            return True
        except ConnectionRefusedError:
            return False

    def stop_service(self):
        self.service.send_signal(signal.SIGKILL)
        self.service.wait()

    def start_envoy(self, first_answer=401):
        config = (ROOT / "deploy/envoy/envoy.yaml").read_text()

        def put(mark, pattern, value):
            nonlocal config
            config, count = re.subn(f"{pattern}(?=.*# set: {mark}\n)", value, config)
            assert count == 1, f"the mark {mark} stands in envoy.yaml once"

        put("admin", r"port_value: \d+", f"port_value: {self.admin_port}")
        put("listen", r"port_value: \d+", f"port_value: {self.port}")
        put("service", r"port_value: \d+", f"port_value: {self.service_port}")
        put("descriptor", r"proto_descriptor: \S+", f"proto_descriptor: {self.descriptor}")
        put("script", r"filename: [^ }]+", f"filename: {ROOT / 'deploy/envoy/gateway.lua'}")
        if self.tls:
            config = re.sub("^#tls ", "", config, flags=re.M).replace("/etc/envoy/tls/", f"{self.tls}/")
        path = self.directory / "envoy.yaml"
        path.write_text(config)
        log = open(self.directory / "envoy.log", "ab")
        command = [os.environ["TASKWIRE_TEST_ENVOY"], "-c", str(path), "--log-level", "warning", "--concurrency", "1"]
        command += ["--base-id", str(secrets.randbelow(2**31))]
        self.envoy = subprocess.Popen(command, stdout=log, stderr=log)

        def envoy_answers():
            assert self.envoy.poll() is None, (self.directory / "envoy.log").read_text()
            try:
                return self.http("GET", "/v1/users/me").code == first_answer
            except OSError:
                return False

        wait_for(envoy_answers)

    def stop(self):
        for process in (self.envoy, self.service):
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()

    def http(self, method, path, body=None, token=None, headers=None):
        """One call through the gateway. A body that is not bytes is sent as JSON."""
        headers = dict(headers or {})
        if token:
            headers["authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
            headers.setdefault("content-type", "application/json")
        base, trusted = f"http://127.0.0.1:{self.port}", None
        if self.tls:
            base, trusted = f"https://localhost:{self.port}", ssl.create_default_context(cafile=self.tls / "ca.crt")
        request = urllib.request.Request(f"{base}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20, context=trusted) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def admin(self, path):
        """One of Envoy's own pages."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def grpc(self, method, request, token=None, channel=None):
        """One call, straight to the service unless told otherwise: (code, reason, the answer as JSON or None)."""
        service, name = method.split("/")
        found = self.pool.FindServiceByName(f"taskwire.v1.{service}").methods_by_name[name]
        kind = message_factory.GetMessageClass(found.input_type)
        answer_kind = message_factory.GetMessageClass(found.output_type)
        call = (channel or self.channel).unary_unary(
            f"/taskwire.v1.{method}", request_serializer=kind.SerializeToString, response_deserializer=answer_kind.FromString
        )
        metadata = [("authorization", f"Bearer {token}")] if token else []
        try:
            message = json_format.ParseDict(request, kind(), descriptor_pool=self.pool)
            answer = call(message, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            packed = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            info = error_details_pb2.ErrorInfo()
            for detail in status_pb2.Status.FromString(packed).details:
                detail.Unpack(info)
            return error.code().name, info.reason or error.details(), None
        if answer.DESCRIPTOR.name == "Task" and not answer.name:
            return "OK", "", {}
        return "OK", "", json_format.MessageToDict(
            answer, descriptor_pool=self.pool, always_print_fields_with_no_presence=True
        )

    def account(self, email=None):
        """A new account: its token and its name."""
        email = email or f"{secrets.token_hex(6)}@example.com"
        code, reason, _ = self.grpc("UserService/CreateUser", {"user": {"email": email}, "password": PASSWORD})
        assert code == "OK", reason
        return self.login(email)

    def login(self, email):
        """Somebody's token and name."""
        code, reason, pair = self.grpc("UserService/Login", {"email": email, "password": PASSWORD})
        assert code == "OK", reason
        return pair["accessToken"], pair["user"]["name"]

    def administrator(self):
        """A new administrator, whom only the program makes: token and name."""
        email = f"{secrets.token_hex(6)}@example.com"
        env = {key: value for key, value in os.environ.items() if not key.startswith("TASKWIRE_")}
        env["TASKWIRE_DATA_DIR"] = str(self.directory / "data")
        create = [self.binary, "user", "create", "--admin", "--email", email]
        subprocess.run(create, env=env, input=PASSWORD.encode(), check=True, capture_output=True)
        return self.login(email)


@pytest.fixture(scope="session")
def stack():
    with tempfile.TemporaryDirectory(prefix="taskwire-gateway.") as directory:
        running = Stack(directory)
        try:
            running.start_service()
            running.start_envoy()
            yield running
        finally:
            running.stop()


@pytest.fixture
def token(stack):
    return stack.account()[0]
