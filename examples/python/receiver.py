"""Receives the webhooks of Taskwire: checks who sent them, and takes each event once. Needs nothing but Python."""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import threading
import time

# The secret of the webhook; while it is being replaced, both with a blank between.
SECRETS = [base64.b64decode(secret.removeprefix("whsec_")) for secret in os.environ["TASKWIRE_WEBHOOK_SECRET"].split()]
# What was sent longer ago was recorded by somebody, and is sent again by them.
AGE_MAX = 5 * 60
BODY_BYTES_MAX = 1 << 20
# A program that must not do anything twice keeps the ids where it keeps what it did, and as long as events may be repeated.
IDS_MAX = 100_000


def is_authentic(headers, body, now):
    """Whether a message was sent by whoever knows the secret, and just now."""
    message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not sent.isascii() or not sent.isdigit() or abs(now - int(sent)) > AGE_MAX:
        return False
    signed = f"{message_id}.{sent}.".encode() + body
    expected = ["v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in SECRETS]
    given = headers.get("webhook-signature", "").split()
    # In constant time: how long it takes must not tell how much of a forged one is right.
    return any([hmac.compare_digest(one.encode(), other.encode()) for one in given for other in expected])


def take(event):
    """What the program does with an event; raising leaves it to be sent again."""
    data = event["data"]
    what = data.get("task") or data.get("taskList") or data
    print(event["type"], what.get("title") or what.get("name", ""), flush=True)


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    taken = collections.OrderedDict()
    lock = threading.Lock()

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))
        if not is_authentic(self.headers, body, time.time()):
            return self.answer(401)
        with self.lock:
            # Every event comes at least once: what was taken already is taken again without doing anything.
            message_id = self.headers["webhook-id"]
            if message_id not in self.taken:
                take(json.loads(body))
                self.taken[message_id] = True
                if len(self.taken) > IDS_MAX:
                    self.taken.popitem(last=False)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    host, _, port = os.environ.get("TASKWIRE_RECEIVER", "127.0.0.1:8000").rpartition(":")
    http.server.ThreadingHTTPServer((host, int(port)), Receiver).serve_forever()
