"""Throws cases made from docs/openapi.json at the gateway: no server error, no answer beside the document.

Run by `make test-openapi`. `FUZZ_EXAMPLES` is how many random cases each operation gets, `FUZZ_SECONDS` the time for all.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import contract
from conftest import Stack

CASES_MIN = 1000
# A stream has no end, and these end the session or the account that the others need.
LEFT_OUT = ["WatchTasks", "Logout", "RevokeAllSessions", "RevokeSession", "DeleteUser", "ChangePassword", "RefreshSession"]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def main():
    document = json.loads((contract.ROOT / "docs/openapi.json").read_text())
    # A made-up user is refused before anything else is looked at: every second case would be the same.
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "user" and parameter["in"] == "path":
                    parameter["schema"] = {"type": "string", "enum": ["me"]}
                    parameter["example"] = "me"
    with tempfile.TemporaryDirectory(prefix="taskwire-fuzz.") as directory:
        stack = Stack(directory)
        try:
            stack.start_service()
            stack.start_envoy()
            return fuzz(stack, pathlib.Path(directory), document)
        finally:
            stack.stop()


def fuzz(stack, directory, document):
    token, _ = stack.account()
    schema = directory / "openapi.json"
    schema.write_text(json.dumps(document))
    command = [pathlib.Path(sys.executable).parent / "schemathesis", "run", schema]
    command += ["--url", f"http://127.0.0.1:{stack.port}", "--header", f"Authorization: Bearer {token}"]
    command += ["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--mode", "all", "--warnings", "off"]
    command += ["--max-examples", os.environ.get("FUZZ_EXAMPLES", "40"), "--seed", os.environ.get("FUZZ_SEED", "1")]
    command += ["--max-time", os.environ.get("FUZZ_SECONDS", "120"), "--request-timeout", "20", "--no-shrink"]
    command += ["--suppress-health-check", "all", "--continue-on-failure"]
    for operation in LEFT_OUT:
        command += ["--exclude-operation-id", operation]
    ended = subprocess.run(command, cwd=directory, check=False)
    calls = served(directory)
    print(f"{calls} cases reached the gateway, at least {CASES_MIN} are wanted")
    return ended.returncode or int(calls < CASES_MIN)


def served(directory):
    """How many requests the gateway's log tells of."""
    return sum(line.startswith('{"details"') for line in (directory / "envoy.log").read_text().splitlines())


if __name__ == "__main__":
    sys.exit(main())
