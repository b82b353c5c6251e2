"""What ships: the chart rendered by Helm and held against Kubernetes' schemas, the images' recipe, the unit."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import helm_python
import kubernetes_validate
import pytest
import yaml

import contract

DEPLOY = contract.ROOT / "deploy"
CHART = DEPLOY / "helm/taskwire"
KUBERNETES = "1.37"


def manifests(values=None):
    rendered = helm_python.Chart.load(CHART).render(values=values or {}, name="tw")
    files = [text for text in rendered.values() if text.strip()]
    return [each for text in files for each in yaml.safe_load_all(text) if each]


def test_the_chart_has_no_findings():
    found = helm_python.lint(CHART, strict=True)
    # Of severity 1 is that the chart has no icon.
    assert not [message for message in found["messages"] if message["severity"] > 1] and not found["errors"], found


@pytest.mark.parametrize("values", [{}, {"replicas": 3, "settings": {"TASKWIRE_LOG": "debug"}, "image": {"tag": "1"}}])
def test_the_chart_makes_what_kubernetes_takes(values):
    made = manifests(values)
    for manifest in made:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    kinds = sorted(manifest["kind"] for manifest in made)
    assert kinds == ["Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service"]


def test_the_pods_are_hardened_and_hang_together():
    made = {manifest["kind"]: manifest for manifest in manifests()}
    for kind in ("Deployment", "Job"):
        pod = made[kind]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["resources"]["limits"]
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        made["Service"]["spec"]["selector"],
        made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        made["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        made["Deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    # The migration is no replica: nothing is sent to it.
    migrating = made["Job"]["spec"]["template"]["metadata"]["labels"]
    assert not made["Service"]["spec"]["selector"].items() <= migrating.items()


def test_the_recipe_of_the_images():
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    ended = subprocess.run([hadolint, contract.ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_gateway_of_the_images_starts(stack, tmp_path):
    """The recipe rewrites envoy.yaml; Envoy takes the outcome."""
    recipe = (contract.ROOT / "Dockerfile").read_text()
    (rewrite,) = re.findall(r"^RUN (sed -e .*?) >/out/envoy\.yaml$", recipe, re.M | re.S)
    made = subprocess.run(["sh", "-c", rewrite], cwd=contract.ROOT, check=True, capture_output=True, text=True).stdout
    bootstrap = yaml.safe_load(made)
    (listener,) = bootstrap["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
    (cluster,) = bootstrap["static_resources"]["clusters"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "taskwire", "port_value": 50051}
    # Envoy's own pages stay with the container.
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    shutil.copy(DEPLOY / "envoy/gateway.lua", tmp_path)
    shutil.copy(stack.descriptor, tmp_path / "taskwire.binpb")
    (tmp_path / "envoy.yaml").write_text(made.replace("/etc/envoy/", f"{tmp_path}/"))
    command = [os.environ["TASKWIRE_TEST_ENVOY"], "--mode", "validate", "-c", tmp_path / "envoy.yaml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_compose_hangs_together():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"], name
        if "build" in service:
            assert f" AS {service['build']['target']}\n" in (contract.ROOT / "Dockerfile").read_text(), name
            assert service["read_only"] and service["cap_drop"] == ["ALL"], name


def test_the_unit(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / "taskwire.service"
    text = (DEPLOY / "systemd/taskwire.service").read_text()
    unit.write_text(text.replace("/usr/local/bin/taskwire", os.environ["TASKWIRE_TEST_BINARY"]))
    ended = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    rated = subprocess.run([analyze, "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout[-500:]
