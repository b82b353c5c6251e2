"""The gateway with TLS towards the callers and towards the service, as compose.tls.yaml runs it."""

import os
import socket
import ssl
import subprocess
import urllib.request

import pytest
import trustme

from conftest import Stack, wait_for

TASKS = "/v1/users/me/tasks"


def put_certificate(directory, authority, *names):
    """The three files that the service and the gateway read."""
    directory.mkdir(exist_ok=True)
    made = authority.issue_cert(*names)
    (directory / "tls.crt").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    (directory / "tls.key").write_bytes(made.private_key_pem.bytes())
    authority.cert_pem.write_to_path(directory / "ca.crt")
    return directory


@pytest.fixture
def protected(tmp_path):
    tls = put_certificate(tmp_path / "tls", trustme.CA(), "taskwire", "localhost")
    stack = Stack(tmp_path, tls)
    try:
        stack.start_service()
        stack.start_envoy()
        yield stack
    finally:
        stack.stop()


def test_tls_on_both_sides(protected):
    token, _ = protected.account()
    assert protected.http("POST", TASKS, {"title": "Milk"}, token).json["title"] == "Milk"
    # Neither speaks without it.
    for port in (protected.port, protected.service_port):
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            try:
                assert not plain.recv(64).startswith(b"HTTP/")
            except ConnectionResetError:
                pass
    # Callers may speak HTTP/2, as gRPC clients do.
    context = ssl.create_default_context(cafile=protected.tls / "ca.crt")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", protected.port), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
            assert wrapped.selected_alpn_protocol() == "h2"
    # The probes of the chart, which are the kubelet's and speak plain HTTP.
    for path in ("livez", "readyz", "metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{protected.operator_port}/{path}", timeout=10) as answer:
            assert answer.status == 200
    # The probe of the image.
    probe = [protected.binary, "health", "--address", f"127.0.0.1:{protected.service_port}"]
    asked = subprocess.run(probe, env=os.environ | {"TASKWIRE_TLS_CERT_FILE": protected.tls / "tls.crt"}, check=False)
    assert asked.returncode == 0


@pytest.mark.parametrize("case, counted", [("another authority", "fail_verify_error"), ("another name", "fail_verify_san")])
def test_a_service_that_is_another(protected, tmp_path, case, counted):
    """Whoever listens in the service's place must not get the callers' tokens."""
    token, _ = protected.account()
    authority = trustme.CA()
    if case == "another authority":
        other = put_certificate(tmp_path / "other", authority, "taskwire")
    else:
        # By the authority that the gateway trusts, which is set up anew for both.
        put_certificate(protected.tls, authority, "taskwire", "localhost")
        other = put_certificate(tmp_path / "other", authority, "elsewhere")
    protected.stop()
    protected.start_service(wait=False, tls=other)
    wait_for(protected.service_listens)
    protected.start_envoy(first_answer=503)
    wait_for(lambda: int(protected.admin(f"/stats?filter=^cluster.taskwire.ssl.{counted}$").split()[-1]) > 0)
    error = protected.http("GET", TASKS, token=token).error
    assert (error["code"], error["reason"]) == (503, "SERVICE_UNAVAILABLE")
