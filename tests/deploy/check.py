"""Checks deploy/: what it gives to Kubernetes, Prometheus, Grafana and systemd. Run by tests/gates, with the python of
target/tools/venv.

Every way of deploying is rendered and held against promises.py. Every promise is shown to bite: for each, a copy with
one fault must be refused. tests/deploy/start.py runs what is rendered here.
"""

import copy
import pathlib
import re
import shutil
import sys
import tempfile

import dashboard
import yaml
from promises import Refused, aegis, agent, check, require, template
from rendered import BIN, DEPLOY, HERE, Failed, agent_chart, helm, run, scenarios

OPERATING = (DEPLOY / "OPERATING.md").read_text(encoding="utf-8")
RULES = DEPLOY / "prometheus" / "aegis.rules.yaml"


def kubernetes():
    """Every way of deploying keeps every promise, and a fault in any of them is refused."""
    found = {}
    for scenario in scenarios():
        try:
            check(scenario)
        except Refused as error:
            sys.exit(f"error: {scenario.name}: {error}")
        found[scenario.name] = scenario
        print(f"{scenario.name}: {len(scenario.documents)} documents")
    for name, faults in FAULTS.items():
        for fault, put in faults.items():
            faulty = copy.deepcopy(found[name])
            put(faulty)
            try:
                check(faulty, [faulty.since])
            except Refused as error:
                print(f"refused as it must be: {fault}: {error}")
            else:
                sys.exit(f"error: {name}: the checks accept {fault}")
    same_container(found)
    kept(found["kustomize/sidecar on every workload"])
    restart_on_change()


def workload(scenario):
    """The first workload that has a daemon."""
    return next(found for found in scenario.workloads() if aegis(found))


def pod(scenario):
    return template(workload(scenario))["spec"]


def daemon(scenario):
    return aegis(workload(scenario))


def into_job(scenario):
    job = workload(scenario)
    job.update(kind="Job", apiVersion="batch/v1", spec={"template": template(job)})


def one(scenario, kind):
    (document,) = scenario.of(kind)
    return document


def rename(container, old, new):
    container["args"][container["args"].index(old)] = new


PROD = "kustomize/overlays/prod"
STANDALONE = "helm/aegis with everything"
# By scenario: named faults, each with how it is put into a copy.
FAULTS = {
    PROD: {
        "a misspelt key": lambda s: daemon(s)["securityContext"].update(readOnlyRootFilesytem=True),
        "a value of the wrong type": lambda s: pod(s).update(enableServiceLinks="no"),
        "a container without a name": lambda s: agent(pod(s)).pop("name"),
        "a policy that is not text": lambda s: one(s, "ConfigMap")["data"].update({"policy.yaml": {"version": 1}}),
        "a policy file that is not there": lambda s: one(s, "ConfigMap").update(data={"other.yaml": "version: '1'"}),
        "no restartPolicy": lambda s: daemon(s).pop("restartPolicy"),
        "an init container before it": lambda s: pod(s)["initContainers"].insert(0, {"name": "first", "image": "a"}),
        "the same user": lambda s: agent(pod(s))["securityContext"].update(runAsUser=65532),
        "root": lambda s: daemon(s)["securityContext"].update(runAsUser=0),
        "a writable image": lambda s: daemon(s)["securityContext"].pop("readOnlyRootFilesystem"),
        "a capability": lambda s: daemon(s)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["KILL"]}),
        "no memory limit": lambda s: daemon(s)["resources"]["limits"].pop("memory"),
        "a CPU limit": lambda s: daemon(s)["resources"]["limits"].update(cpu="1"),
        "no probe": lambda s: daemon(s).pop("startupProbe"),
        "the host's network": lambda s: pod(s).update(hostNetwork=True),
        "a hostPath": lambda s: pod(s)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "shared processes": lambda s: pod(s).update(shareProcessNamespace=True),
        "a token of the API server": lambda s: pod(s).pop("automountServiceAccountToken"),
        "a policy by subPath": lambda s: daemon(s)["volumeMounts"][0].update(subPath="policy.yaml"),
        "a writable socket directory": lambda s: agent(pod(s))["volumeMounts"][0].pop("readOnly"),
        "the record in the agent": lambda s: agent(pod(s))["volumeMounts"].append(
            {"name": "aegis-record", "mountPath": "/r", "readOnly": True}
        ),
        "the policy in the agent": lambda s: agent(pod(s))["volumeMounts"].append(
            {"name": "aegis-policy", "mountPath": "/p", "readOnly": True}
        ),
        "another socket": lambda s: rename(daemon(s), "/run/aegis/agent.sock", "/run/aegis/other.sock"),
        "--dev": lambda s: daemon(s)["args"].append("--dev"),
        "a record in an emptyDir": lambda s: (
            workload(s)["spec"].pop("volumeClaimTemplates"),
            pod(s)["volumes"].append({"name": "aegis-record", "emptyDir": {"sizeLimit": "1Gi"}}),
        ),
        "a record in the image": lambda s: daemon(s)["env"][0].update(value="/data"),
        "figures on loopback": lambda s: rename(daemon(s), "0.0.0.0:9464", "127.0.0.1:9464"),
        "a monitor of other pods": lambda s: one(s, "PodMonitor")["spec"]["selector"].update(matchLabels={"a": "b"}),
        "a monitor of another port": lambda s: one(s, "PodMonitor")["spec"]["podMetricsEndpoints"][0].update(port="a"),
        "a network that is open inwards": lambda s: one(s, "NetworkPolicy")["spec"]["ingress"][0].pop("from"),
        "a network that is open outwards": lambda s: one(s, "NetworkPolicy")["spec"].update(policyTypes=["Ingress"]),
        "a network without Prometheus": lambda s: one(s, "NetworkPolicy")["spec"].update(ingress=[]),
    },
    "kustomize/overlays/dev": {
        "a record that may fill the node": lambda s: next(
            volume for volume in pod(s)["volumes"] if volume["name"] == "aegis-record"
        ).update(emptyDir={}),
    },
    "helm/agent before 1.29": {
        "a native sidecar": lambda s: daemon(s).update(restartPolicy="Always"),
        "a Job": into_job,
    },
    STANDALONE: {
        "a budget for other pods": lambda s: one(s, "PodDisruptionBudget")["spec"].update(
            selector={"matchLabels": {"a": "b"}}
        ),
        "a network that is open inwards": lambda s: one(s, "NetworkPolicy")["spec"]["ingress"][0].pop("from"),
        "a rule without groups": lambda s: one(s, "PrometheusRule")["spec"].update(group=[]),
    },
}


def same_container(found):
    """The daemon's container is the same whichever way it comes, beside how old clusters start it."""

    def plain(scenario):
        container = copy.deepcopy(daemon(scenario))
        container.pop("restartPolicy", None)
        container.pop("imagePullPolicy", None)
        # `--admin-listen` stands elsewhere.
        container["args"].sort()
        container["volumeMounts"].sort(key=lambda mount: mount["mountPath"])
        for mount in container["volumeMounts"]:
            mount["name"] = mount["name"].removeprefix("aegis-")
        return container

    first = plain(found[PROD])
    others = "kubernetes/sidecar.yaml", "kustomize/sidecar-before-1.29", "helm/agent, Job", "helm/agent before 1.29"
    for name in others:
        if plain(found[name]) != first:
            sys.exit(f"error: the daemon's container of {name} is not that of {PROD}")


def kept(scenario):
    """A component takes nothing away from a workload."""
    (web,) = [found for found in scenario.workloads() if found["metadata"]["name"] == "web"]
    container = agent(template(web)["spec"])
    names = [entry["name"] for entry in container["env"]], [mount["name"] for mount in container["volumeMounts"]]
    require({"OWN"} < set(names[0]) and {"own"} < set(names[1]), f"the agent lost what it had: {names}")
    kinds = [found["kind"] for found in scenario.workloads() if aegis(found)]
    require(sorted(kinds) == ["Deployment", "Job", "StatefulSet"], f"the sidecar is in {kinds}")


def restart_on_change():
    """A changed policy changes the pods if that is asked for, and only then."""

    def pods(restart, approval):
        files = f"{{policy.yaml: 'defaults: {{approval: {approval}}}'}}"
        values = f"policy: {{restartOnChange: {restart}, files: {files}}}\n"
        values += "standalone: {allowPlaintext: true, allowAnonymous: true}"
        documents = helm(DEPLOY / "helm/aegis", values)
        return [document["spec"]["template"] for document in documents if document["kind"] == "StatefulSet"]

    require(pods("true", "auto") != pods("true", "block"), "restartOnChange: true does not restart")
    require(pods("false", "auto") == pods("false", "block"), "restartOnChange: false restarts")


# Values that the chart must refuse, with what it must say.
REFUSED = {
    "standalone: {}": "standalone.tls.secretName is empty",
    "standalone: {allowPlaintext: true}": "nobody could call the daemon",
    "standalone: {allowPlaintext: true, allowAnonymous: true, tls: {clientCertificates: true}}": "needs standalone.tls",
    "standalon: {}": "standalon",
    "standalone: {allowPlaintext: 'yes'}": "allowPlaintext",
    "resources: {limits: {memory: null}}": "memory",
    "resources: {limits: {memory: lots}}": "memory",
    "policy: {files: {policy.txt: 'a'}}": "policy.txt",
    "policy: {files: {policy.yaml: {version: '1'}}}": "policy.yaml",
    "extraArgs: ['--dev']": "extraArgs",
    "extraArgs: ['--listen=0.0.0.0:1']": "extraArgs",
    "standalone: {record: {accessMode: ReadWriteMany}}": "accessMode",
    "image: {digest: latest}": "digest",
}


def charts():
    """helm lint has nothing to say, and what cannot work is refused with words."""
    chart = DEPLOY / "helm" / "aegis"
    run(BIN / "helm", "lint", "--strict", "--quiet", chart, "--set", "standalone.enabled=false")
    with tempfile.TemporaryDirectory() as directory:
        run(BIN / "helm", "lint", "--strict", "--quiet", agent_chart(directory))
    for values, says in REFUSED.items():
        try:
            helm(chart, values)
        except Failed as error:
            require(says in str(error), f"{values}: the chart refuses it, but says: {error}")
        else:
            sys.exit(f"error: the chart accepts {values}")
    print(f"helm/aegis: lint is clean, {len(REFUSED)} wrong values are refused")


def alerts():
    """promtool accepts the rules and its tests pass; each alert has a test and a runbook."""
    run(BIN / "promtool", "check", "rules", RULES)
    run(BIN / "promtool", "test", "rules", HERE / "alerts.yaml")
    names = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    tests = yaml.safe_load((HERE / "alerts.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for name in names:
        mine = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == name]
        require(True in mine and False in mine, f"{name} is not tested both ways: firing, and silent")
        require(f"\n### {name}\n" in OPERATING, f"deploy/OPERATING.md has no runbook for {name}")
        link = f"runbook: deploy/OPERATING.md#{name.lower()}\n"
        require(link in RULES.read_text(), f"{name} does not name its runbook")
    runbooks = re.findall(r"^### (Aegis\w+)$", OPERATING, re.M)
    require(runbooks == names, f"runbooks without an alert, or in another order: {set(runbooks) ^ set(names)}")
    known_metrics(RULES.read_text())
    print(f"prometheus: {len(names)} alerts, {len(cases)} cases")


def panels():
    """Every panel's query is PromQL over metrics that there are."""
    found = dashboard.panels()
    require(len({panel["id"] for panel in found}) == len(found), "two panels have one id")
    queries = [query for _, query in dashboard.queries("1m")]
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "panels.yaml"
        rules = [{"record": f"panel:{i}", "expr": query} for i, query in enumerate(queries)]
        file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        run(BIN / "promtool", "check", "rules", file)
    known_metrics("\n".join(queries))
    print(f"grafana: {len(found)} panels, {len(queries)} queries")


def known_metrics(text):
    """Every metric stands in the guide, whose table a test of Rust holds against the daemon."""
    types = dict(re.findall(r"^\| `(aegis_\w+)` \| (\w+) \|", OPERATING, re.M))
    table = {name for name, kind in types.items() if kind != "histogram"}
    # A histogram has no series of its own name.
    for name in types.keys() - table:
        table |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    used = set(re.findall(r"\baegis_\w+", text))
    require(used and used <= table, f"there are no such metrics: {sorted(used - table)}")


def systemd():
    """The unit is exposed as little as systemd can say: below 2.0."""
    unit = DEPLOY / "systemd" / "aegis.service"
    require(shutil.which("systemd-analyze"), "systemd-analyze is not installed: install systemd")
    said = run("systemd-analyze", "security", "--offline=true", unit)
    exposure = float(re.search(r"Overall exposure level for aegis.service: ([\d.]+)", said)[1])
    require(exposure < 2.0, f"systemd: the exposure is {exposure}")
    print(f"systemd: exposure {exposure}")


def main():
    try:
        systemd()
        kubernetes()
        charts()
        alerts()
        panels()
    except (Refused, Failed) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
