"""What is checked in beside the contract says the same as the contract."""

import json
import os
import subprocess

import contract


def test_the_filter_knows_the_contract(stack):
    _, inside, _ = contract.split(contract.LUA.read_text())
    assert inside == contract.render(stack.descriptor_set), "run: make contract"


def test_the_openapi_document_is_that_of_the_program():
    printed = subprocess.run([os.environ["TASKWIRE_TEST_BINARY"], "openapi"], check=True, capture_output=True).stdout
    kept = (contract.ROOT / "docs/openapi.json").read_bytes()
    assert kept == printed, "run: make contract"
    assert json.loads(kept)["openapi"] == "3.1.0"


def test_every_form_of_a_method_has_a_path_in_the_document(stack):
    document = json.loads((contract.ROOT / "docs/openapi.json").read_text())
    documented = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    forms, seen = set(), set()
    for method, *_ in contract.services(stack.descriptor_set):
        # The second form of a method is for what belongs to the administrators.
        forms.add(f"{method.name}ForAdministrators" if method.name in seen else method.name)
        seen.add(method.name)
    assert len(documented) == len(set(documented)) and set(documented) == forms
