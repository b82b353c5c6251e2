"""Throws cases made from docs/openapi.json at the gateway: no server error, no answer beside the document.

Run by `make test-openapi`. `FUZZ_SECONDS` is the time for most operations, whose cases go on until it is over; `FUZZ_EXAMPLES`
is how many random cases each of the others gets.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import contract
from conftest import Stack

CASES_MIN = 1000
LEFT_OUT = {
    "WatchTasks": "a stream has no end, and schemathesis waits for one; test_gateway.py reads it",
    "ExportUserData": "its answer is a file of lines, and not one JSON value; test_data.py reads it",
}
# Each of these may end the session or the account that the others need, so that each gets one of its own.
ENDING = ["ChangePassword", "DeleteUser", "Logout", "RevokeAllSessions"]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def main():
    with tempfile.TemporaryDirectory(prefix="taskwire-fuzz.") as directory:
        stack = Stack(directory)
        try:
            stack.start_service()
            stack.start_envoy()
            sound = fuzz_all(stack, pathlib.Path(directory))
        finally:
            # Envoy keeps the last lines of its log to itself for some seconds, unless it ends.
            stack.stop()
        operations = {method.name for method, *_ in contract.services(stack.descriptor_set)}
        enough = report(operations, list(calls(pathlib.Path(directory))))
        return int(not (sound and enough))


def fuzz_all(stack, directory):
    """Runs over all operations; whether they found nothing."""
    most = [f"--exclude-operation-id={name}" for name in (*LEFT_OUT, *ENDING)]
    outcomes = [fuzz(stack, directory, [*most, "--max-time", os.environ.get("FUZZ_SECONDS", "60")])]
    outcomes += [fuzz(stack, directory, [f"--include-operation-id={name}"]) for name in ENDING]
    return not any(outcomes)


def fuzz(stack, directory, which):
    """One run with an account of its own; not 0 when it found something."""
    token, _ = stack.account()
    schema = directory / "openapi.json"
    schema.write_text(json.dumps(document_for(stack, token)))
    command = [pathlib.Path(sys.executable).parent / "schemathesis", "run", schema, *which]
    command += ["--url", f"http://127.0.0.1:{stack.port}", "--header", f"Authorization: Bearer {token}"]
    command += ["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--mode", "all", "--warnings", "off"]
    command += ["--max-examples", os.environ.get("FUZZ_EXAMPLES", "40"), "--seed", os.environ.get("FUZZ_SEED", "1")]
    command += ["--request-timeout", "20", "--no-shrink", "--suppress-health-check", "all", "--continue-on-failure"]
    return subprocess.run(command, cwd=directory, check=False).returncode


def document_for(stack, token):
    """The document, with this account's user and tasks in the paths: those made up are refused before anything else is
    looked at, so that every second case would be the same."""
    wanted = {"requests": [{"task": {"title": f"Task {at}"}} for at in range(100)]}
    made = stack.http("POST", "/v1/users/me/tasks:batchCreate", wanted, token).json["tasks"]
    tasks = [task["name"].rsplit("/", 1)[1] for task in made]
    document = json.loads((contract.ROOT / "docs/openapi.json").read_text())
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["name"] == "user":
                    parameter |= {"schema": {"type": "string", "enum": ["me"]}, "example": "me"}
                elif parameter["in"] == "path" and parameter["name"] == "task":
                    parameter |= {"schema": {"anyOf": [{"type": "string", "enum": tasks}, parameter["schema"]]}, "example": tasks[0]}
    return document


def calls(directory):
    """The gateway's log: for each call the method of the service that it became, or what was asked, and the status."""
    for line in (directory / "envoy.log").read_text().splitlines():
        if line.startswith('{"details"'):
            told = json.loads(line)
            yield told["method"] or "", int(told["status"])


def report(operations, made):
    """Says what was exercised; whether that is enough."""
    reached = collections.defaultdict(collections.Counter)
    for method, status in made:
        if method.startswith("/taskwire.v1."):
            reached[method.rsplit("/", 1)[1]][status] += 1
    for name in sorted(reached):
        told = ", ".join(f"{count} × {status}" for status, count in sorted(reached[name].items()))
        print(f"{name:<18} {reached[name].total():>5} cases reached the service: {told}")
    for name, reason in LEFT_OUT.items():
        print(f"{name:<18} left out: {reason}")
    missing = sorted(operations - set(reached) - set(LEFT_OUT))
    print(f"{len(operations & set(reached))} of {len(operations)} operations were exercised, {len(LEFT_OUT)} left out for a reason")
    print(f"{len(made)} cases reached the gateway, at least {CASES_MIN} are wanted")
    if missing:
        print(f"never exercised: {', '.join(missing)}")
    return not missing and len(made) >= CASES_MIN


if __name__ == "__main__":
    sys.exit(main())
