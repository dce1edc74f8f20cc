"""The check of deploy/ finds what is wrong, and says so in one line each."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/check_deploy.py"


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("check_deploy", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of what the check looks at, to be broken."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for project in ROOT.glob("services/*/pyproject.toml"):
        target = tmp_path / project.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        shutil.copy(project, target)
    return tmp_path


def test_deploy_is_right():
    done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0


BROKEN = {
    "Dockerfile": [
        ("lexical vector memory", "lexical vector", "Dockerfile: the parts it names"),
        ("VECTOR_PORT=50052", "VECTOR_PORT=50062", "listens on 50062"),
        ("MEMORY_PORT=", "MEMORY_PROT=", "HONEYGUIDE_MEMORY_PROT is no setting of memory"),
    ],
    "compose.yaml": [
        ("SERVICE: vector", "SERVICE: vektor", "builds SERVICE=vektor"),
        ("LEXICAL_METRICS_PORT", "LEXICAL_METRIC_PORT", "LEXICAL_METRIC_PORT is no setting of lexical"),
        ('LEARNER: "false"', 'LEARNER: "perhaps"', "learner: Input should be a valid boolean"),
        ("[lexical:/data]", "[lexicon:/data]", "volume lexicon is not declared"),
        (":50050:50050", ":50050:50051", "publishes 127.0.0.1:50050:50051"),
        ("command: [learner]", "command: []", "its command is not [learner]"),
    ],
    "retrievers/retrievers.yaml": [
        ("memory:50053", "memory:50052", "memory: port 50052, but it listens on 50053"),
        ("///vector:", "///vectors:", "there is no vectors"),
    ],
    "requirements/lexical.lock": [
        ("tantivy==", "tantivi==", "lexical.lock: tantivy is not locked"),
    ],
    "kubernetes/lexical.yaml": [
        ("lexical-0.lexical:50051", "lexical-0.lexical:50061", "do not follow lexical-0.lexical:50051"),
        ("serviceName:", "servicename:", "lexical.yaml: StatefulSet lexical"),
    ],
    "kubernetes/vector.yaml": [
        ("grpc: {port: 50052}", "grpc: {port: 50051}", "startupProbe does not ask gRPC on"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "may run as root"),
        ("name: data, mountPath", "name: date, mountPath", "there is no volume date"),
    ],
    "kubernetes/memory.yaml": [
        ("kind: Deployment, name: memory", "kind: Deployment, name: memo", "no Deployment memo"),
    ],
    "kubernetes/orchestrator.yaml": [
        ("_LEARNER,", "_LERNER,", "HONEYGUIDE_ORCHESTRATOR_LERNER is no setting"),
        ("clusterIP: None", "clusterIP: 10.0.0.9", "is not headless"),
    ],
    "kubernetes/learner.yaml": [
        ("args: [learner]", "args: []", "its arguments are not [learner]"),
    ],
    "kubernetes/configmap.yaml": [
        ('DRAIN_S: "10"', 'DRAIN_S: "60"', "is killed before it has drained"),
        ("LOG_LEVEL: info", "LOG_LEVEL: loud", "log_level: Input should be"),
        ("name: honeyguide-ret", "name: honeyguide-rat", "no ConfigMap honeyguide-retrievers"),
    ],
    "kubernetes/networkpolicy.yaml": [
        ("name: redis, app", "name: radish, app", "NetworkPolicy redis: selects nothing"),
    ],
    "kubernetes/kustomization.yaml": [
        ("  - redis.yaml\n", "", "redis.yaml is not listed"),
    ],
}


@pytest.mark.parametrize("file", BROKEN)
def test_what_is_wrong_is_said(check, copy, file):
    path = copy / "deploy" / file
    for old, new, _ in BROKEN[file]:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    problems = check(copy)
    for _, _, said in BROKEN[file]:
        assert any(said in problem for problem in problems), (said, problems)
    assert all("\n" not in problem for problem in problems)
