"""The Kubernetes manifests, rendered by kubectl and read without a cluster."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.cli import DEFAULT_CLIENT, KeysRequest
from bot.keys_io import make_keys
from services.executor.settings import ExecutorSettings
from services.feeds.settings import FeedSettings, PolyBoltSettings
from services.hedger.settings import HedgerSettings
from services.simulator.settings import SimulatorSettings
from services.simulator.urls import urls
from shared.bus import Endpoints, Subscriber, check_server
from shared.bus_keys_io import BusKeysError, read_keys
from shared.core import Delivery
from shared.messages import Heartbeat
from shared.settings import ServiceSettings
from shared.wiring import PARTS
from tests.processes import ROOT, free_tcp_bus, running

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("simulated", "live", "pinned", "postgresql")
VERSIONS = ("1.31", "1.34")  # of Kubernetes, oldest and newest that are promised
NOT_IN_PODS = {"files"}  # JSON files of a collector on its own machine
ONLY_IN_LIVE = {"recorder"}
CUSTOM = "monitoring.coreos.com/v1"
OPERATIONS = "".join(each.read_text() for each in sorted((ROOT / "docs").glob("operations*.md")))
LEDGER_URL = "postgresql://user:password@server/paper"
Thing = dict[str, Any]

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed (kubernetes-client)")


def kubectl(*arguments: str) -> str:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return done.stdout


@cache
def rendered(overlay: str) -> list[Thing]:
    return list(yaml.safe_load_all(kubectl("kustomize", str(K8S / "overlays" / overlay))))


def of_kind(overlay: str, *kinds: str) -> list[Thing]:
    return [each for each in rendered(overlay) if each["kind"] in kinds]


def workloads(overlay: str) -> dict[str, Thing]:
    return {each["metadata"]["name"]: each for each in of_kind(overlay, "Deployment", "StatefulSet")}


def container(workload: Thing) -> Thing:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    found: Thing = only
    return found


def labels(workload: Thing) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def settings_of(overlay: str, workload: Thing) -> dict[str, str]:
    """What the environment of a container is: the later wins, and what stands in the workload itself wins over all."""
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(overlay, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container(workload).get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    for each in container(workload).get("env", ()):
        source = each.get("valueFrom", {})
        if "configMapKeyRef" in source:
            found[each["name"]] = maps[source["configMapKeyRef"]["name"]][source["configMapKeyRef"]["key"]]
        elif "secretKeyRef" in source:
            assert source["secretKeyRef"] == {"name": "ledger", "key": "url"}
            found[each["name"]] = LEDGER_URL
        else:
            found[each["name"]] = each["value"]
    return found


def selects(selector: Thing, found: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "Exists" for each in expressions)
    return wanted.items() <= found.items() and all(each["key"] in found for each in expressions)


EVERY_WORKLOAD = [
    pytest.param(overlay, name, id=f"{overlay}-{name}")
    for overlay in OVERLAYS
    if shutil.which("kubectl") is not None
    for name in workloads(overlay)
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_what_kubernetes_takes(overlay: str, version: str) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for each in rendered(overlay):
        if each["apiVersion"] != CUSTOM:
            schemas.validate(each, version, strict=True)


def test_a_misspelt_field_would_be_seen() -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    broken = yaml.safe_load(yaml.safe_dump(workloads("simulated")["quoter"]))
    container(broken)["livenesProbe"] = container(broken).pop("livenessProbe")
    with pytest.raises(schemas.ValidationError, match="livenesProbe"):
        schemas.validate(broken, VERSIONS[0], strict=True)


def test_what_is_applied_without_a_choice_is_the_simulation() -> None:
    assert list(yaml.safe_load_all(kubectl("kustomize", str(K8S)))) == rendered("simulated")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_part_has_a_workload(overlay: str) -> None:
    started = {tuple(container(each)["args"]) for each in workloads(overlay).values()}
    wanted = {
        ("-m", part.module, *part.arguments)
        for part in PARTS
        if part.name not in NOT_IN_PODS and (overlay == "live" or part.name not in ONLY_IN_LIVE)
    }
    assert started == wanted | ({("-m", "services.simulator")} if overlay == "simulated" else set())


@pytest.mark.parametrize(("overlay", "name"), EVERY_WORKLOAD)
def test_every_container_is_confined_probed_and_has_its_room(overlay: str, name: str) -> None:
    pod = workloads(overlay)[name]["spec"]["template"]["spec"]
    part = container(workloads(overlay)[name])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert part["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert part[probe]["exec"]["command"][:3] == ["python", "-I", "/app/deploy/healthcheck.py"]
        assert part[probe]["timeoutSeconds"] >= 5  # a Python has to start
    assert {*part["resources"]["requests"], *part["resources"]["limits"]} == {"cpu", "memory"}
    assert re.fullmatch(r"polymarket-market-maker:\d+\.\d+\.\d+", part["image"])


def test_readiness_is_asked_as_compose_asks_for_health() -> None:
    compose = ROOT / "deploy" / "docker-compose.yml"
    if not compose.exists():
        pytest.skip("there is no compose file")
    asked = yaml.safe_load(compose.read_text())["services"]["quoter"]["healthcheck"]["test"]
    assert ["CMD", *container(workloads("live")["quoter"])["readinessProbe"]["exec"]["command"]] == asked
    assert (ROOT / "deploy" / "healthcheck.py").exists()


@pytest.mark.parametrize(("overlay", "name"), EVERY_WORKLOAD)
def test_every_variable_is_a_setting(overlay: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [each for each in os.environ if each.startswith("MM_")]:
        monkeypatch.delenv(variable)
    for variable, text in settings_of(overlay, workloads(overlay)[name]).items():
        assert variable.startswith("MM_")
        monkeypatch.setenv(variable, text)
    for kind in (ExecutorSettings, FeedSettings, HedgerSettings, PolyBoltSettings, SimulatorSettings, ServiceSettings):
        kind()  # a variable that it does not know stops it
    # Kubernetes adds variables for every Service: named mm-..., they would stop every part.
    assert workloads(overlay)[name]["spec"]["template"]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize(("overlay", "name"), EVERY_WORKLOAD)
def test_what_is_mounted_is_there_and_what_is_written_can_be(overlay: str, name: str) -> None:
    workload = workloads(overlay)[name]
    pod, part = workload["spec"]["template"]["spec"], container(workload)
    claims = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())]
    volumes = [each["name"] for each in pod.get("volumes", ())] + claims
    mounts = {each["mountPath"]: each for each in part["volumeMounts"]}
    assert sorted({each["name"] for each in mounts.values()}) == sorted(volumes)
    made = {each["metadata"]["name"] for each in of_kind(overlay, "PersistentVolumeClaim")}
    assert {
        each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each
    } <= made
    found = settings_of(overlay, workload)
    written = [found[key] for key in ("MM_OUT", "MM_RECORD") if key in found]
    ledger = found.get("MM_HEDGER_LEDGER", "")
    written += [ledger.removeprefix("sqlite:///")] if ledger.startswith("sqlite:") else []
    for path in written:
        assert any(path.startswith(mount) and not each.get("readOnly") for mount, each in mounts.items()), path


@pytest.mark.parametrize(("overlay", "name"), EVERY_WORKLOAD)
def test_keys_are_mounted_read_only_and_the_servers_only_where_others_connect(overlay: str, name: str) -> None:
    workload = workloads(overlay)[name]
    pod, part = workload["spec"]["template"]["spec"], container(workload)
    keys = {each["name"]: each["secret"] for each in pod["volumes"] if "secret" in each and each["name"] != "polybolt"}
    mounted = {each["mountPath"]: each["name"] for each in part["volumeMounts"] if each.get("readOnly")}
    mounted.pop("/run/secrets", None)
    assert all(each["defaultMode"] == 0o400 for each in keys.values())
    if name == "simulator":
        assert keys == {}
    elif name in ("broker", "hedger"):
        assert mounted == {"/mm/keys": "keys", "/mm/keys/clients": "clients"}
        assert [keys[each]["secretName"] for each in ("keys", "clients")] == ["bus-keys-server", "bus-keys-clients"]
    else:
        assert mounted == {"/mm/keys": "keys"}
        assert keys["keys"]["secretName"] == "bus-keys-client"
    if name != "simulator":
        assert settings_of(overlay, workload)["MM_BUS_KEYS"] == "/mm/keys"
        assert pod["securityContext"]["fsGroup"] == 10001  # without it only root reads what is 0400


def test_the_keys_that_mm_bot_makes_are_good_as_these_secrets(tmp_path: Path) -> None:
    made = tmp_path / "keys"
    assert make_keys(KeysRequest(made, (DEFAULT_CLIENT,)), out=io.StringIO(), err=io.StringIO()) == 0
    commands = [line.split() for line in OPERATIONS.splitlines() if "create secret generic bus-keys-" in line]
    secrets: dict[str, dict[str, str]] = {}
    for command in commands:
        start = command.index("create")
        arguments = [each.replace("=keys", f"={made}") for each in command[start:]]
        secret = yaml.safe_load(kubectl(*arguments, "--dry-run=client", "--output=yaml"))
        secrets[secret["metadata"]["name"]] = secret["data"]
    places = {"bus-keys-server": "server", "bus-keys-clients": "server/clients", "bus-keys-client": "client"}
    assert secrets.keys() == places.keys()
    for name, content in secrets.items():
        folder = tmp_path / "mounted" / places[name]
        folder.mkdir(parents=True)
        for file, text in content.items():
            (folder / file).write_bytes(base64.b64decode(text))
            (folder / file).chmod(0o440)  # the kubelet adds the group's right to 0400
    server, client = (read_keys(tmp_path / "mounted" / each) for each in ("server", "client"))
    bus = "tcp://broker:7700?hedger=hedger:7703"
    check_server(Endpoints.of(bus, server).publish)
    assert client.server == server.server
    assert [each.name for each in (tmp_path / "mounted" / "server" / "clients").iterdir()] == [f"{DEFAULT_CLIENT}.key"]
    with pytest.raises(BusKeysError, match="names a client's folder"):
        check_server(Endpoints.of(bus, client).publish)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_address_of_the_bus_leads_to_broker_and_hedger(overlay: str) -> None:
    (address,) = {
        settings_of(overlay, each)["MM_BUS"]
        for name, each in workloads(overlay).items()
        if name not in ("broker", "simulator")
    }
    endpoints = Endpoints.of(address, is_plain_allowed=True)
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "Service")}
    for url in endpoints:
        host, _, port = url.removeprefix("tcp://").partition(":")
        (target,) = [each["targetPort"] for each in services[host]["ports"] if each["port"] == int(port)]
        (pod,) = [
            each
            for each in workloads(overlay).values()
            if selects({"matchLabels": services[host]["selector"]}, labels(each))
        ]
        assert (target, int(port)) in [(each["name"], each["containerPort"]) for each in container(pod)["ports"]]
        # Whoever waits for readiness to connect waits for what comes of connections.
        assert services[host]["publishNotReadyAddresses"] is True


def test_a_broker_that_listens_everywhere_hears_itself() -> None:
    assert settings_of("live", workloads("live")["broker"])["MM_BUS"] == "tcp://0.0.0.0:7700"
    bus = free_tcp_bus()
    own = {"MM_BUS": bus.replace("127.0.0.1", "0.0.0.0"), "MM_BUS_ALLOW_PLAIN": "true"}
    with running("services.broker", bus=bus, variables=own):
        subscriber = Subscriber(Endpoints.of(bus), ["Heartbeat.broker"])
        events = subscriber.join(30)
        while not any(isinstance(each, Delivery) and isinstance(each.message, Heartbeat) for each in events):
            events = subscriber.receive(1000)
        subscriber.close()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_their_pods_and_no_others(overlay: str) -> None:
    pods = {name: labels(each) for name, each in workloads(overlay).items()}
    for name, workload in workloads(overlay).items():
        found = [each for each, own in pods.items() if selects(workload["spec"]["selector"], own)]
        assert found == [name]
        spread = workload["spec"]["template"]["spec"].get("topologySpreadConstraints", ())
        assert all(selects(each["labelSelector"], pods[name]) for each in spread)
    for service in of_kind(overlay, "Service"):
        found = [each for each, own in pods.items() if selects({"matchLabels": service["spec"]["selector"]}, own)]
        assert found == [service["metadata"]["name"]]
    for stateful in of_kind(overlay, "StatefulSet"):
        assert stateful["spec"]["serviceName"] in {each["metadata"]["name"] for each in of_kind(overlay, "Service")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_who_must_be_alone_is_never_two(overlay: str) -> None:
    for name, each in workloads(overlay).items():
        if name.startswith("analyzer-"):
            assert each["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        else:
            assert each["spec"]["replicas"] == 1
            assert each["kind"] == "StatefulSet" or each["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_disruption_budget_holds_up_a_drain(overlay: str) -> None:
    budgets = of_kind(overlay, "PodDisruptionBudget")
    assert len(budgets) == 4
    for budget in budgets:
        (found,) = [each for each in workloads(overlay).values() if selects(budget["spec"]["selector"], labels(each))]
        assert found["spec"]["replicas"] > budget["spec"]["maxUnavailable"] == 1


class Network:
    """The network policies of an overlay: who may speak to whom."""

    def __init__(self, overlay: str) -> None:
        self.pods = {name: labels(each) for name, each in workloads(overlay).items()}
        self._policies = [each["spec"] for each in of_kind(overlay, "NetworkPolicy")]

    def rules(self, pod: str, direction: str) -> Iterator[tuple[list[Thing], list[int]]]:
        """The peers and ports that a pod is open to, rule by rule."""
        for policy in self._policies:
            if selects(policy["podSelector"], self.pods[pod]):
                for rule in policy.get(direction, ()):
                    yield (
                        rule.get("from" if direction == "ingress" else "to", []),
                        [each["port"] for each in rule["ports"]],
                    )

    def is_closed_by_default(self, pod: str) -> bool:
        found = {
            each
            for policy in self._policies
            if selects(policy["podSelector"], self.pods[pod])
            for each in policy["policyTypes"]
        }
        return found == {"Ingress", "Egress"}

    def reaches(self, source: str, target: str, port: int) -> bool:
        return self._names(source, "egress", target, port) and self._names(target, "ingress", source, port)

    def _names(self, pod: str, direction: str, other: str, port: int) -> bool:
        return any(
            port in ports
            and any("podSelector" in peer and selects(peer["podSelector"], self.pods[other]) for peer in peers)
            for peers, ports in self.rules(pod, direction)
        )

    def from_namespaces(self, pod: str) -> set[tuple[str, int]]:
        return {
            (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port)
            for peers, ports in self.rules(pod, "ingress")
            for peer in peers
            if "namespaceSelector" in peer
            for port in ports
        }

    def outside(self, pod: str) -> set[int]:
        return {
            port
            for peers, ports in self.rules(pod, "egress")
            for port in ports
            if not peers or any("ipBlock" in peer for peer in peers)
        }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_parts_reach_the_bus_and_all_of_them_do(overlay: str) -> None:
    network = Network(overlay)
    for name in network.pods:
        assert network.is_closed_by_default(name)
        is_part = name != "simulator"
        assert all(network.reaches(name, "broker", port) is is_part for port in (7700, 7701, 7702))
        assert network.reaches(name, "hedger", 7703) is is_part
        assert not network.reaches(name, "quoter", 9100)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_metrics_are_read_from_the_monitoring_namespace_alone(overlay: str) -> None:
    network = Network(overlay)
    for name, workload in workloads(overlay).items():
        (port,) = [each["containerPort"] for each in container(workload)["ports"] if each["name"] == "metrics"]
        assert network.from_namespaces(name) == {("monitoring", port)}
        assert name == "simulator" or settings_of(overlay, workload)["MM_METRICS_PORT"] == str(port)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_feeds_go_out_and_in_the_simulation_nobody(overlay: str) -> None:
    network = Network(overlay)
    for name in network.pods:
        is_feed = name.startswith("feed-")
        wanted = {443} if is_feed and overlay != "simulated" else set()
        if (overlay, name) == ("postgresql", "hedger"):
            wanted = {5432}
        assert network.outside(name) == wanted
        assert "simulator" not in network.pods or network.reaches(name, "simulator", 8790) is is_feed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_policy_is_for_somebody(overlay: str) -> None:
    pods = Network(overlay).pods.values()
    for each in of_kind(overlay, "NetworkPolicy"):
        selectors = [each["spec"]["podSelector"]]
        for rule in (*each["spec"].get("ingress", ()), *each["spec"].get("egress", ())):
            peers = (*rule.get("from", ()), *rule.get("to", ()))
            selectors += [peer["podSelector"] for peer in peers if "podSelector" in peer]
        for selector in selectors:
            assert any(selects(selector, own) for own in pods), (each["metadata"]["name"], selector)


def test_simulated_feeds_ask_the_simulator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = workloads("simulated")
    for variable, text in settings_of("simulated", simulated["feed-chainlink"]).items():
        monkeypatch.setenv(variable, text)
    settings, venues = FeedSettings(), urls(8790, "simulator")
    found = (settings.bybit_url, settings.coinbase_url, settings.polybolt_url, settings.rtds_url, settings.market_url)
    assert found == (venues.bybit_ws, venues.coinbase_ws, venues.polybolt_ws, venues.rtds_ws, venues.market_ws)
    rest = (settings.coinbase_rest_url, settings.gamma_url, settings.clob_url, settings.website_url)
    assert rest == (venues.coinbase_rest, venues.gamma, venues.clob, venues.website)
    listed = settings_of("simulated", simulated["simulator"])["MM_SIM_SERIES"]
    assert listed == settings_of("simulated", simulated["quoter"])["MM_MARKETS"]
    feeds = [each for name, each in simulated.items() if name.startswith("feed-")]
    assert len({str(settings_of("simulated", each)) for each in feeds}) == 1


def test_simulated_fills_are_never_booked_beside_others() -> None:
    def places(overlay: str) -> tuple[str, str]:
        found = [settings_of(overlay, workloads(overlay)[name]) for name in ("hedger", "executor")]
        return found[0]["MM_HEDGER_LEDGER"], found[1]["MM_OUT"]

    assert places("simulated") == ("sqlite:////mm/ledger/paper-sim.sqlite", "/mm/outbox/paper-sim")
    assert places("live") == ("sqlite:////mm/ledger/paper-live.sqlite", "/mm/outbox/paper-live")
    assert places("postgresql") == (LEDGER_URL, "/mm/outbox/paper-live")


def test_a_pinned_analyzer_has_fewer_markets_than_the_others_of_its_kind() -> None:
    found = {name: settings_of("pinned", each)["MM_MARKETS"].split(",") for name, each in workloads("pinned").items()}
    assert set(found["analyzer-volatility-eth"]) < set(found["analyzer-volatility"])
    pinned, other = (
        container(workloads("pinned")[name]) for name in ("analyzer-volatility-eth", "analyzer-volatility")
    )
    assert pinned["args"] == other["args"]


def test_prometheus_finds_every_pod_under_the_names_of_the_rules() -> None:
    (monitor,) = of_kind("live", "PodMonitor")
    assert monitor["apiVersion"] == CUSTOM
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert re.fullmatch(r"\d+s", endpoint["interval"])
    for workload in workloads("live").values():
        assert selects(monitor["spec"]["selector"], labels(workload))
        assert endpoint["port"] in [each["name"] for each in container(workload)["ports"]]
        assert labels(workload)[monitor["spec"]["jobLabel"]] == "market-maker"
    assert [each["targetLabel"] for each in endpoint["relabelings"]] == ["service", "instance"]
    assert all({"sourceLabels", "targetLabel"} <= each.keys() for each in endpoint["relabelings"])


def test_the_rules_of_prometheus_become_objects() -> None:
    rules = ROOT / "deploy" / "prometheus" / "rules"
    if not rules.exists():
        pytest.skip("there are no rules")
    text = subprocess.run([K8S / "prometheus-rules.sh"], capture_output=True, text=True, timeout=30, check=True).stdout
    objects = list(yaml.safe_load_all(text))
    assert [each["spec"] for each in objects] == [
        yaml.safe_load(each.read_text()) for each in sorted(rules.glob("*.yml"))
    ]
    for each in objects:
        assert (each["apiVersion"], each["kind"]) == (CUSTOM, "PrometheusRule")
        for group in each["spec"]["groups"]:
            assert group["name"]
            assert all(("alert" in rule) != ("record" in rule) and rule["expr"] for rule in group["rules"])
