"""Checks deploy/ without a container engine or a cluster; prints one line a problem, and then exits with 1.

Manifests are held against Kubernetes' own schemas (bundled with kubernetes-validate), files against each other, and the
environment of every container against the settings that the service in it really reads, names and values.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import kubernetes_validate
import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from honeyguide.config import CommonSettings, ServerSettings, variables_of

ROOT = Path(__file__).resolve().parent.parent
KUBERNETES_VERSION = "1.33"
SERVICES = ("lexical", "vector", "memory", "orchestrator")
IMAGES = (*SERVICES, "standalone")
STATEFUL = ("lexical", "vector")  # each on its own volume, all but the first copies of that
OUR_IMAGE = re.compile(r"honeyguide/([a-z]+):\S+")

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Problems = Iterator[str]
Manifest = dict[str, Any]


# ---------------------------------------------------------------------------------------------------------- settings


def settings_of(service: str) -> type[ServerSettings]:
    """The settings class of a service: the one in its module `settings` with a prefix of its own."""
    module = importlib.import_module(f"honeyguide_{service}.settings")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, ServerSettings) and value.model_config.get("env_prefix"):
            return value
    raise LookupError(f"honeyguide_{service}.settings has no settings class")


def known_to(settings: type[BaseSettings]) -> set[str]:
    """The environment variables that a settings class reads."""
    return {variable for names in variables_of(settings).values() for variable in names}


def check_environment(where: str, service: str, environment: Mapping[str, str], shared: Mapping[str, str]) -> Problems:
    """Every variable is one that the service reads, and every value one that it takes.

    `shared` are variables given to all services alike; each need only be known to one of them.
    """
    known = known_to(CommonSettings) | known_to(settings_of(service))
    for name in environment:
        if name.startswith("HONEYGUIDE_") and name not in known:
            yield f"{where}: {name} is no setting of {service}"
    anywhere = known.union(*(known_to(settings_of(other)) for other in SERVICES))
    for name in shared:
        if name.startswith("HONEYGUIDE_") and name not in anywhere:
            yield f"{where}: {name} is no setting of any service"
    read: tuple[type[BaseSettings], ...] = (CommonSettings, settings_of(service))
    with patch.dict(os.environ, {**shared, **environment}, clear=True):
        for settings in read:
            try:
                settings()
            except ValidationError as error:
                for problem in error.errors():
                    yield f"{where}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            except SettingsError as error:
                yield f"{where}: {error}"


# -------------------------------------------------------------------------------------------------------- Dockerfile


def dockerfile_environment(deploy: Path) -> dict[str, str]:
    """What ENV sets in the Dockerfile."""
    text = re.sub(r"\\\n", " ", (deploy / "Dockerfile").read_text())
    found: dict[str, str] = {}
    for line in re.findall(r"^ENV (.*)$", text, re.MULTILINE):
        found.update(pair.split("=", 1) for pair in line.split())
    return found


def check_dockerfile(root: Path, image: Mapping[str, str]) -> Problems:
    """It names every part that there is, and each has a lock file with what it depends on."""
    text = (root / "deploy/Dockerfile").read_text()
    named = re.search(r"^# SERVICE is one of: (.*)$", text, re.MULTILINE)
    if named is None or tuple(named[1].split()) != IMAGES:
        yield f"Dockerfile: the parts it names are not {' '.join(IMAGES)}"
    for part in IMAGES:
        project = root / "services" / part / "pyproject.toml"
        lock = root / "deploy/requirements" / f"{part}.lock"
        if not project.exists():
            yield f"Dockerfile: services/{part} does not exist"
        elif not lock.exists():
            yield f"deploy/requirements/{part}.lock is missing: run `make lock`"
        else:
            yield from check_lock(lock, [root / "services/common/pyproject.toml", project])
    if not (root / "deploy/requirements/build.lock").exists():
        yield "deploy/requirements/build.lock is missing: run `make lock`"
    for service in SERVICES:
        own = {name: value for name, value in image.items() if name.startswith(f"HONEYGUIDE_{service.upper()}_")}
        yield from check_environment("Dockerfile", service, own, {})


def check_lock(lock: Path, projects: list[Path]) -> Problems:
    """Everything that the projects depend on is locked, with hashes, and from no address of its own."""
    text = lock.read_text()
    locked = {match.lower() for match in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}
    for project in projects:
        for requirement in tomllib.loads(project.read_text())["project"]["dependencies"]:
            name = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()
            if name not in locked and not name.startswith("honeyguide"):
                yield f"{lock.name}: {name} is not locked: run `make lock`"
    for line in text.splitlines():
        if "://" in line or line.startswith("-"):
            yield f"{lock.name}: holds an address or an option: {line[:80]}"
    if text.count("==") and "--hash=sha256:" not in text:
        yield f"{lock.name}: has no hashes"


# ----------------------------------------------------------------------------------------------------------- Compose


def check_compose(root: Path, image: Mapping[str, str]) -> Problems:
    """Compose runs every service and a learner, with right settings, health and volumes."""
    deploy = root / "deploy"
    compose = read_yaml((deploy / "compose.yaml").read_text())
    services: dict[str, Any] = compose.get("services", {})
    for name in (*SERVICES, "learner", "redis"):
        if name not in services:
            yield f"compose.yaml: has no service {name}"
    volumes = set(compose.get("volumes", {}))
    for name, service in services.items():
        where = f"compose.yaml: {name}"
        for other in service.get("depends_on", {}):
            if other not in services:
                yield f"{where}: depends on {other}, which is not there"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (deploy / source).is_dir():
                    yield f"{where}: {source} is not a folder of deploy/"
            elif source not in volumes:
                yield f"{where}: volume {source} is not declared"
        ours = OUR_IMAGE.fullmatch(service.get("image", ""))
        if ours is None:
            if not service.get("healthcheck", {}).get("test"):
                yield f"{where}: has no health check"
            continue
        yield from check_compose_service(where, name, service, ours[1], deploy, image)
    targets = read_yaml((deploy / "retrievers/retrievers.yaml").read_text())
    yield from check_targets("retrievers.yaml", targets, set(services), image)


def check_compose_service(
    where: str, name: str, service: Mapping[str, Any], part: str, deploy: Path, image: Mapping[str, str]
) -> Problems:
    """One service of ours in Compose."""
    if part not in IMAGES:
        yield f"{where}: {part} is not a part of Honeyguide"
        return
    build = service.get("build")
    if build is not None:
        if build.get("args", {}).get("SERVICE") != part:
            yield f"{where}: builds SERVICE={build.get('args', {}).get('SERVICE')} for an image of {part}"
        if not (deploy / build["context"] / build["dockerfile"]).exists():
            yield f"{where}: {build['dockerfile']} does not exist"
    environment = {key: plain(value) for key, value in service.get("environment", {}).items()}
    yield from check_environment(where, part, {**own(image, part), **environment}, {})
    if name == "learner" and service.get("command") != ["learner"]:
        yield f"{where}: its command is not [learner]"
    for mapping in service.get("ports", []):
        wanted = image.get(f"HONEYGUIDE_{part.upper()}_PORT", "no port of its own")
        if mapping.split(":")[-1] != wanted:
            yield f"{where}: publishes {mapping}, but it listens on {wanted}"


def plain(value: object) -> str:
    """A Compose value with its ${VARIABLE:-default} replaced by the default."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))


def own(image: Mapping[str, str], part: str) -> dict[str, str]:
    """What the image itself sets for one service."""
    return {name: value for name, value in image.items() if name.startswith(f"HONEYGUIDE_{part.upper()}_")}


def check_targets(where: str, targets: Mapping[str, str], hosts: set[str], image: Mapping[str, str]) -> Problems:
    """Every retriever has an entry, with a host that exists and the port it listens on."""
    for name in ("lexical", "vector", "memory"):
        if name not in targets:
            yield f"{where}: has no entry for {name}"
    for name, target in targets.items():
        host, _, port = target.rpartition("/")[2].rpartition(":")
        listens = image.get(f"HONEYGUIDE_{host.upper()}_PORT", port)
        if host not in hosts:
            yield f"{where}: {name}: there is no {host}"
        if port != listens:
            yield f"{where}: {name}: port {port}, but it listens on {listens}"


# -------------------------------------------------------------------------------------------------------- Kubernetes


def check_kubernetes(folder: Path, image: Mapping[str, str]) -> Problems:
    """The manifests are valid, complete, and fit each other, the image and the settings."""
    manifests: list[tuple[str, Manifest]] = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name != "kustomization.yaml":
            manifests.extend((path.name, manifest) for manifest in yaml.load_all(path.read_text(), LOADER))
    for file, manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.path)
            yield f"{file}: {title(manifest)}: {where}: {error.message.splitlines()[0]}"
    listed = read_yaml((folder / "kustomization.yaml").read_text())["resources"]
    files = {file for file, _ in manifests}
    for name in sorted(files.symmetric_difference(listed)):
        yield f"kustomization.yaml: {name} is {'not listed' if name in files else 'not there'}"

    by_kind: dict[str, dict[str, Manifest]] = {}
    for file, manifest in manifests:
        same = by_kind.setdefault(manifest["kind"], {})
        if manifest["metadata"]["name"] in same:
            yield f"{file}: {title(manifest)} is there twice"
        same[manifest["metadata"]["name"]] = manifest
    workloads = {**by_kind.get("Deployment", {}), **by_kind.get("StatefulSet", {})}
    maps = {name: manifest["data"] for name, manifest in by_kind.get("ConfigMap", {}).items()}
    for name in (*SERVICES, "learner"):
        if name not in workloads:
            yield f"kubernetes: there is no workload {name}"
    for name, workload in workloads.items():
        yield from check_workload(name, workload, maps, image)
    yield from check_references(by_kind, workloads)
    for kind, wanted in (("PodDisruptionBudget", SERVICES), ("HorizontalPodAutoscaler", ("memory", "orchestrator"))):
        for name in wanted:
            if name not in by_kind.get(kind, {}):
                yield f"kubernetes: {name} has no {kind}"
    targets = read_yaml(maps.get("honeyguide-retrievers", {}).get("retrievers.yaml", "{}"))
    yield from check_targets("configmap.yaml", targets, set(by_kind.get("Service", {})), image)


def check_workload(
    name: str, workload: Manifest, maps: Mapping[str, Mapping[str, str]], image: Mapping[str, str]
) -> Problems:
    """One Deployment or StatefulSet: labels, replicas, volumes, security, and its container."""
    where = f"{name}.yaml: {title(workload)}"
    spec, template = workload["spec"], workload["spec"]["template"]
    if not spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items():
        yield f"{where}: its selector does not match its own pods"
    if name in STATEFUL and workload["kind"] != "StatefulSet":
        yield f"{where}: holds its index itself, so it must be a StatefulSet"
    pod = template["spec"]
    if not pod.get("securityContext", {}).get("runAsNonRoot"):
        yield f"{where}: may run as root"
    if pod.get("terminationGracePeriodSeconds", 30) <= float(maps.get("honeyguide", {}).get("HONEYGUIDE_DRAIN_S", 10)):
        yield f"{where}: is killed before it has drained"
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    volumes |= {claim["metadata"]["name"]: claim for claim in spec.get("volumeClaimTemplates", [])}
    for volume in volumes.values():
        if "configMap" in volume and volume["configMap"]["name"] not in maps:
            yield f"{where}: there is no ConfigMap {volume['configMap']['name']}"
    for container in pod["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{where}: there is no volume {mount['name']}"
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield f"{where}: its root file system is writable"
        if not {"requests", "limits"} <= container.get("resources", {}).keys():
            yield f"{where}: has no resources"
        ours = OUR_IMAGE.fullmatch(container["image"])
        if ours is not None:
            yield from check_container(where, name, container, ours[1], maps, image)


def check_container(
    where: str,
    name: str,
    container: Manifest,
    part: str,
    maps: Mapping[str, Mapping[str, str]],
    image: Mapping[str, str],
) -> Problems:
    """A container of ours: its image, settings, ports and probes."""
    if part not in SERVICES:
        yield f"{where}: {part} is not a service"
        return
    shared: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            if source["configMapRef"]["name"] not in maps:
                yield f"{where}: there is no ConfigMap {source['configMapRef']['name']}"
            shared.update(maps.get(source["configMapRef"]["name"], {}))
    environment = {**own(image, part), **{entry["name"]: entry.get("value", "") for entry in container.get("env", [])}}
    yield from check_environment(where, part, environment, shared)
    if name in STATEFUL:
        primary = f"{name}-0.{name}:{environment.get(f'HONEYGUIDE_{part.upper()}_PORT')}"
        if environment.get(f"HONEYGUIDE_{part.upper()}_PRIMARY") != primary:
            yield f"{where}: its replicas do not follow {primary}"
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    prefix = f"HONEYGUIDE_{part.upper()}_"
    if str(ports.get("metrics")) != environment.get(f"{prefix}METRICS_PORT"):
        yield f"{where}: port metrics is {ports.get('metrics')}, not {prefix}METRICS_PORT"
    if name == "learner" and container.get("args") != ["learner"]:
        yield f"{where}: its arguments are not [learner]"
    listens = int(environment.get(f"{prefix}PORT", 0))
    if ports.get("grpc") != listens:
        yield f"{where}: port grpc is {ports.get('grpc')}, but it listens on {listens}"
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        if container.get(kind, {}).get("grpc", {}).get("port") != listens:
            yield f"{where}: its {kind} does not ask gRPC on {listens}"


def check_references(by_kind: Mapping[str, Mapping[str, Manifest]], workloads: Mapping[str, Manifest]) -> Problems:
    """Services, budgets, policies and autoscalers point at workloads that are there, and at ports they have."""
    pods = {name: workload["spec"]["template"] for name, workload in workloads.items()}

    def chosen(labels: Mapping[str, str]) -> list[str]:
        return [name for name, pod in pods.items() if labels.items() <= pod["metadata"]["labels"].items()]

    for service in by_kind.get("Service", {}).values():
        names = chosen(service["spec"]["selector"])
        if not names:
            yield f"{title(service)}: selects nothing"
        for name in names:
            ports = {p["name"]: p["containerPort"] for c in pods[name]["spec"]["containers"] for p in c["ports"]}
            for port in service["spec"]["ports"]:
                if ports.get(port["targetPort"]) != port["port"]:
                    yield f"{title(service)}: port {port['port']} is not port {port['targetPort']} of {name}"
        if service["spec"].get("clusterIP") != "None":
            yield f"{title(service)}: is not headless, so gRPC clients would stay on one replica"
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for manifest in by_kind.get(kind, {}).values():
            if not chosen(manifest["spec"][key]["matchLabels"]):
                yield f"{title(manifest)}: selects nothing"
    for manifest in by_kind.get("HorizontalPodAutoscaler", {}).values():
        target = manifest["spec"]["scaleTargetRef"]
        workload = workloads.get(target["name"])
        if workload is None or workload["kind"] != target["kind"]:
            yield f"{title(manifest)}: there is no {target['kind']} {target['name']}"
        elif "replicas" in workload["spec"]:
            yield f"{title(manifest)}: {target['name']} sets replicas itself"
    for name, workload in workloads.items():
        service_name = workload["spec"].get("serviceName", name)
        if workload["kind"] == "StatefulSet" and service_name not in by_kind.get("Service", {}):
            yield f"{title(workload)}: there is no Service {service_name}"


def read_yaml(text: str) -> Any:
    """One YAML document."""
    return yaml.load(text, LOADER)


def title(manifest: Manifest) -> str:
    """Kind and name."""
    return f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"


def check(root: Path) -> list[str]:
    """All problems of the deploy/ folder under a root."""
    image = dockerfile_environment(root / "deploy")
    return [
        *check_dockerfile(root, image),
        *check_compose(root, image),
        *check_kubernetes(root / "deploy/kubernetes", image),
    ]


def main() -> None:
    """Checks this repository's deploy/."""
    problems = check(ROOT)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
