"""What ships: the chart rendered by Helm and held against Kubernetes' schemas, the images' recipe, the unit."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import compose_spec
import helm_python
import kubernetes_validate
import pytest
import trustme
import yaml

import contract
from test_tls import put_certificate

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


SECURED = {"tls": {"existingSecret": "taskwire-tls", "clientCaKey": "ca.crt"}}
WATCHED = {
    "metrics": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "annotations": True},
    "networkPolicy": {"adminFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]},
}
CHANGED = {"replicas": 3, "settings": {"TASKWIRE_LOG": "debug"}, "image": {"tag": "1"}, "admin": {"port": 9000}}
ALWAYS = ["Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service", "Service"]


@pytest.mark.parametrize("values", [{}, CHANGED, SECURED, WATCHED, SECURED | WATCHED], ids=["default", "changed", "tls", "watched", "both"])
def test_the_chart_makes_what_kubernetes_takes(values):
    made = manifests(values)
    # The operator's own kind is not among Kubernetes' schemas.
    monitors = [manifest for manifest in made if manifest["kind"] == "PodMonitor"]
    for manifest in made:
        if manifest not in monitors:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert sorted(manifest["kind"] for manifest in made if manifest not in monitors) == ALWAYS
    assert len(monitors) == ("metrics" in values)


@pytest.mark.parametrize(
    "values", [{"tls": {"clientCaKey": "ca.crt"}}, {"settings": {"TASKWIRE_ADMIN_LISTEN": "off"}}], ids=["clients", "admin"]
)
def test_values_that_cannot_work_are_refused(values):
    with pytest.raises(Exception, match="tls.existingSecret|admin.port"):
        manifests(values)


def parts(values=None):
    """The manifests by kind and name, and the one container of the service by its parts."""
    made = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests(values)}
    pod = made["Deployment", "tw"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    return made, pod, container, {each["name"]: each.get("value") for each in container["env"]}


@pytest.mark.parametrize("values, port", [({}, 9464), (CHANGED, 9000), (SECURED, 9464)])
def test_the_admin_port(values, port):
    made, pod, container, environment = parts(values)
    assert environment["TASKWIRE_ADMIN_LISTEN"] == f"0.0.0.0:{port}"
    assert {"name": "admin", "containerPort": port} in container["ports"]
    # The kubelet's own gRPC probe does not speak TLS; the admin port is plain always.
    probed = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness", "startup")}
    assert probed == {kind: {"path": path, "port": "admin"} for kind, path in (("liveness", "/livez"), ("readiness", "/readyz"), ("startup", "/livez"))}
    service = made["Service", "tw-admin"]["spec"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert [(each["port"], each["targetPort"]) for each in service["ports"]] == [(port, "admin")]
    assert "annotations" not in pod["metadata"] and ("PodMonitor", "tw") not in made
    # Nobody gets in by network unless named.
    (rule,) = made["NetworkPolicy", "tw"]["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == ["grpc"]


def test_who_reads_the_metrics():
    made, pod, container, _ = parts(WATCHED)
    assert pod["metadata"]["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": "9464", "prometheus.io/path": "/metrics"}
    calls, admin = made["NetworkPolicy", "tw"]["spec"]["ingress"]
    assert (calls["ports"][0]["port"], admin["ports"]) == ("grpc", [{"protocol": "TCP", "port": "admin"}])
    assert admin["from"] == WATCHED["networkPolicy"]["adminFrom"]
    monitor = made["PodMonitor", "tw"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1" and monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "admin", "path": "/metrics", "interval": "15s"}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    # The alerts go by the job's name.
    assert pod["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "taskwire"


def test_tls_of_the_chart():
    made, pod, container, environment = parts(SECURED)
    (mounted,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "tls"]
    (volume,) = [each["secret"] for each in pod["spec"]["volumes"] if each["name"] == "tls"]
    assert volume["secretName"] == "taskwire-tls"
    files = {name: value for name, value in environment.items() if name.startswith("TASKWIRE_TLS_")}
    assert files == {
        "TASKWIRE_TLS_CERT_FILE": f"{mounted}/tls.crt",
        "TASKWIRE_TLS_KEY_FILE": f"{mounted}/tls.key",
        "TASKWIRE_TLS_CLIENT_CA_FILE": f"{mounted}/ca.crt",
    }
    assert [each["appProtocol"] for each in made["Service", "tw"]["spec"]["ports"]] == ["https"]
    _, pod, _, environment = parts()
    assert not [name for name in environment if "TLS" in name] and len(pod["spec"]["volumes"]) == 1


def test_the_pods_are_hardened_and_hang_together():
    made = {manifest["kind"]: manifest for manifest in manifests() if manifest["metadata"]["name"] != "tw-admin"}
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
    (rewrite,) = re.findall(r"^RUN (sed -e .*?) >/out/envoy\.yaml \\$", recipe, re.M | re.S)
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
    # The second command adds TLS to the outcome of the first; its files are not in the image.
    (add_tls,) = re.findall(r"^    && (sed -e '.*') /out/envoy\.yaml >/out/envoy-tls\.yaml$", recipe, re.M)
    secured = subprocess.run(["sh", "-c", add_tls], input=made, check=True, capture_output=True, text=True).stdout
    assert not re.findall("^#tls", secured, re.M)
    resources = yaml.safe_load(secured)["static_resources"]
    for side in (resources["listeners"][0]["filter_chains"][0], resources["clusters"][0]):
        assert side["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    put_certificate(tmp_path / "tls", trustme.CA(), "taskwire")
    for text in (made, secured):
        (tmp_path / "envoy.yaml").write_text(text.replace("/etc/envoy/", f"{tmp_path}/"))
        command = [os.environ["TASKWIRE_TEST_ENVOY"], "--mode", "validate", "-c", tmp_path / "envoy.yaml"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


def compose_file(name):
    """A compose file with its anchors and variables put in, after a look by a parser of the specification."""
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", r"/\1", (DEPLOY / name).read_text())
    read = yaml.safe_load(text)
    compose_spec.PyCompose.from_json(json.dumps(read)).to_spec()
    return read


def test_the_look_at_compose_files_finds_slips():
    for slip in ({"services": {"x": {"portz": []}}}, {"services": {"x": {"volumes": ["${Y}:/y"]}}}, {"service": {}}):
        with pytest.raises(ValueError):
            compose_spec.PyCompose.from_json(json.dumps(slip))


def test_compose_hangs_together():
    compose = compose_file("compose.yaml")
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"], name
        if "build" in service:
            assert f" AS {service['build']['target']}\n" in (contract.ROOT / "Dockerfile").read_text(), name
            assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        # What is published stays on the machine until somebody decides otherwise.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    port = services["taskwire"]["environment"]["TASKWIRE_ADMIN_LISTEN"].split(":")[1]
    assert f"127.0.0.1:9464:{port}" in services["taskwire"]["ports"]


def test_compose_with_tls():
    base, added = compose_file("compose.yaml")["services"], compose_file("compose.tls.yaml")["services"]
    assert set(added) <= set(base)
    (mounted,) = added["taskwire"]["volumes"]
    directory = mounted.split(":")[1]
    files = added["taskwire"]["environment"]
    assert files == {"TASKWIRE_TLS_CERT_FILE": f"{directory}/tls.crt", "TASKWIRE_TLS_KEY_FILE": f"{directory}/tls.key"}
    # The gateway's files are where its configuration looks for them, and that is in the image.
    config = added["gateway"]["command"][1]
    assert f" /out/{pathlib.Path(config).name} " in (contract.ROOT / "Dockerfile").read_text()
    assert [volume.split(":")[1] for volume in added["gateway"]["volumes"]] == ["/etc/envoy/tls"]
    # It asks for the name under which it reaches the service.
    assert "exact: taskwire}" in (DEPLOY / "envoy/envoy.yaml").read_text() and "taskwire" in base


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
