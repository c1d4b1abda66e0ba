"""What deploy/ gives to Kubernetes, for every way of deploying that it documents: each a `Scenario` with its documents.

Rendered by the kubectl and helm of target/tools/bin, which need no cluster for it.
"""

import dataclasses
import pathlib
import shutil
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
HERE = pathlib.Path(__file__).parent
BIN = ROOT / "target" / "tools" / "bin"


@dataclasses.dataclass
class Scenario:
    """One way of deploying, and what holds of it beside what holds of all."""

    name: str
    documents: list
    # The oldest Kubernetes that it is for.
    since: str = "1.29"
    # Whether the daemon has a pod of its own, without an agent.
    standalone: bool = False
    # Whether the record survives the pod.
    durable: bool = False

    def of(self, *kinds):
        """The documents of these kinds."""
        return [document for document in self.documents if document["kind"] in kinds]

    def workloads(self):
        """The documents with a pod template."""
        return self.of("Deployment", "StatefulSet", "DaemonSet", "Job")


class Failed(Exception):
    """A tool refused what it was given."""


def run(*command):
    """The standard output of a tool."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Failed(f"{pathlib.Path(command[0]).name} {command[1]}: {done.stderr.strip()}")
    return done.stdout


def load(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def kustomize(directory):
    return load(run(BIN / "kubectl", "kustomize", directory))


def helm(chart, values=""):
    """What a chart renders with values, which are YAML."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "values.yaml"
        file.write_text(values, encoding="utf-8")
        return load(run(BIN / "helm", "template", "release", chart, "--namespace", "agents", "--values", file))


def agent_chart(directory):
    """deploy/helm/agent with its dependency beside it, as `helm dependency build` would put it."""
    chart = pathlib.Path(directory) / "agent"
    shutil.copytree(DEPLOY / "helm" / "agent", chart)
    shutil.copytree(DEPLOY / "helm" / "aegis", chart / "charts" / "aegis")
    return chart


def component(directory, *names):
    """Kustomize components on the workloads of workloads.yaml."""
    overlay = pathlib.Path(directory) / "-".join(names)
    overlay.mkdir()
    shutil.copy(HERE / "workloads.yaml", overlay)
    shutil.copy(DEPLOY / "kustomize" / "agent" / "policy.yaml", overlay)
    for name in names:
        shutil.copytree(DEPLOY / "kustomize" / name, overlay / name)
    (overlay / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": ["workloads.yaml"],
                "components": list(names),
                "configMapGenerator": [{"name": "aegis-policy", "files": ["policy.yaml"]}],
            }
        ),
        encoding="utf-8",
    )
    return kustomize(overlay)


IDENTITIES = """
identities:
  text: |
    version: "1"
    tokens:
      - name: ci
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        roles: [agent]
"""
# Every part of the chart that is off by default.
EVERYTHING = (
    IDENTITIES
    + """
policy:
  restartOnChange: true
  files:
    10-base.yaml: "version: '1'\\ndefaults: {approval: approve}\\n"
    20-prod.yaml: "version: '1'\\nrules: [{name: reads, match: {type: 'read*'}, approval: auto}]\\n"
extraArgs: ["--retain", "90d"]
metrics:
  podMonitor: {enabled: true, labels: {release: prometheus}}
  rules: {enabled: true}
  dashboard: {enabled: true}
standalone:
  tls: {secretName: aegis-tls, clientCertificates: true}
  allowedHosts: [aegis.example.com]
  record: {size: 20Gi, storageClassName: fast}
  networkPolicy: {egress: [{ports: [{protocol: TCP, port: 443}]}]}
  nodeSelector: {disk: ssd}
  priorityClassName: system-cluster-critical
"""
)
PLAINTEXT = "standalone: {allowPlaintext: true, allowAnonymous: true, podDisruptionBudget: {enabled: false}}\n"


def scenarios():
    """Every way of deploying."""
    aegis = DEPLOY / "helm" / "aegis"
    old = "aegis: {sidecar: {native: false}}"
    claim = "kind: StatefulSet\naegis: {sidecar: {record: {volumeClaimTemplate: true}}}"
    one_claim = "kind: Job\naegis: {sidecar: {record: {existingClaim: record}}}"
    with tempfile.TemporaryDirectory() as directory:
        agent = agent_chart(directory)
        yield Scenario("kubernetes/sidecar.yaml", load((DEPLOY / "kubernetes/sidecar.yaml").read_text()), durable=True)
        yield Scenario("kustomize/overlays/dev", kustomize(DEPLOY / "kustomize/overlays/dev"))
        yield Scenario("kustomize/overlays/prod", kustomize(DEPLOY / "kustomize/overlays/prod"), durable=True)
        yield Scenario("kustomize/sidecar on every workload", component(directory, "sidecar"))
        yield Scenario("kustomize/sidecar-before-1.29", component(directory, "sidecar-before-1.29"), since="1.25")
        for kind in ("Deployment", "StatefulSet", "Job"):
            yield Scenario(f"helm/agent, {kind}", helm(agent, f"kind: {kind}"))
        yield Scenario("helm/agent, StatefulSet with claims", helm(agent, claim), durable=True)
        yield Scenario("helm/agent, Job with a claim", helm(agent, one_claim), durable=True)
        yield Scenario("helm/agent before 1.29", helm(agent, old), since="1.25")
        yield Scenario("helm/aegis in plaintext", helm(aegis, PLAINTEXT), since="1.25", standalone=True, durable=True)
        yield Scenario(
            "helm/aegis with everything", helm(aegis, EVERYTHING), since="1.25", standalone=True, durable=True
        )
