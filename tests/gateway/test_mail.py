"""Mail to a real server: with STARTTLS, within TLS, and to none that cannot show who it is."""

import email
import email.policy
import re
import ssl

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from conftest import PASSWORD, Stack, free_port, wait_for

ADDRESS = "ada@example.com"
USER, SECRET = "taskwire@example.org", "canary:of the@server/%"
# As it stands in a URL.
LOGIN = "taskwire%40example.org:canary%3Aof%20the%40server%2F%25"
NEW = "a quite different sentence"


class Mailbox:
    """Keeps what it is handed, and who logged in for it."""

    def __init__(self):
        self.mails, self.logins = [], []

    async def handle_DATA(self, server, session, envelope):
        assert server.transport.get_extra_info("ssl_object") is not None, "in the clear"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, message))
        return "250 kept"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.logins[-1] == (USER, SECRET))


@pytest.fixture
def post(tmp_path):
    """What starts a mail server of a kind, and a service that sends to it."""
    started = []

    def start(kind, trusted=True, name="localhost", starttls=True):
        authority, mailbox = trustme.CA(), Mailbox()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        extra = {"authenticator": mailbox.authenticate, "auth_required": True}
        if kind == "smtps":
            # Within TLS from the first byte, of which the class for STARTTLS knows nothing.
            extra |= {"ssl_context": context, "auth_require_tls": False}
        elif starttls:
            extra |= {"tls_context": context, "require_starttls": True}
        else:
            extra |= {"auth_require_tls": False}
        controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **extra)
        controller.start()
        started.append(controller.stop)
        (authority if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
        stack = Stack(tmp_path)
        started.append(stack.stop)
        stack.start_service(
            more={
                "TASKWIRE_MAIL_URL": f"{kind}://{LOGIN}@localhost:{controller.port}",
                "TASKWIRE_MAIL_FROM": "Taskwire <no-reply@example.org>",
                "TASKWIRE_MAIL_LINK_URL": "https://app.example/mail",
                "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            }
        )
        return stack, mailbox

    yield start
    for stop in reversed(started):
        stop()


def ask(stack):
    user = {"user": {"email": ADDRESS}, "password": PASSWORD}
    assert stack.grpc("UserService/CreateUser", user)[0] == "OK"
    assert stack.grpc("UserService/RequestPasswordReset", {"email": ADDRESS})[0] == "OK"


@pytest.mark.parametrize("kind", ["smtp", "smtps"])
def test_a_password_comes_by_mail(post, kind):
    stack, mailbox = post(kind)
    ask(stack)
    wait_for(lambda: mailbox.mails)
    sender, receivers, message = mailbox.mails[0]
    assert (sender, receivers) == ("no-reply@example.org", [ADDRESS])
    assert mailbox.logins == [(USER, SECRET)]
    assert message["from"] == "Taskwire <no-reply@example.org>" and message["to"] == ADDRESS
    assert message["subject"] == "A new password for your account"
    assert re.fullmatch(r"<[0-9a-f-]{36}@example\.org>", message["message-id"])
    assert message["date"].datetime
    texts = [message.get_body([form]).get_content() for form in ("plain", "html")]
    links = [re.search(r"https://app\.example/mail#password_reset=(twm_[\w-]+)", text) for text in texts]
    token = links[0].group(1)
    assert links[1].group(1) == token
    reset = {"token": token, "new_password": NEW}
    assert stack.grpc("UserService/ResetPassword", reset)[0] == "OK"
    assert stack.grpc("UserService/Login", {"email": ADDRESS, "password": NEW})[0] == "OK"
    # And the warning.
    wait_for(lambda: len(mailbox.mails) == 2)
    assert mailbox.mails[1][2]["subject"] == "Your password was changed"
    log = (stack.directory / "service.log").read_text()
    for secret in (token, SECRET, LOGIN, ADDRESS, NEW):
        assert secret not in log


@pytest.mark.parametrize(
    "case",
    [
        {"kind": "smtp", "trusted": False},
        {"kind": "smtps", "trusted": False},
        {"kind": "smtp", "name": "elsewhere.example"},
        {"kind": "smtps", "name": "elsewhere.example"},
        {"kind": "smtp", "starttls": False},
    ],
    ids=str,
)
def test_a_server_that_cannot_show_who_it_is_gets_nothing(post, case):
    stack, mailbox = post(**case)
    ask(stack)
    wait_for(lambda: "a mail was not sent; it will be tried again" in (stack.directory / "service.log").read_text())
    assert not mailbox.mails and not mailbox.logins
    log = (stack.directory / "service.log").read_text()
    assert "canary" not in log and "twm_" not in log and ADDRESS not in log
