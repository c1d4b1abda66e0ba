"""What every deployment of deploy/ promises, whichever way it is rendered. A broken promise is `Refused`.

The first is that Kubernetes takes it: every document, strictly, by the schemas of several versions. The others keep the
agent away from what is the daemon's, and keep the daemon, its record and its figures usable.
"""

import posixpath
import re

import kubernetes_validate
import yaml

# Before native sidecars, the first with them, one between, and the newest that there are schemas for.
VERSIONS = ["1.25", "1.29", "1.33", kubernetes_validate.latest_version()]
DAEMON = 65532
# What the restricted Pod Security Standard lets a pod mount.
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
# The keys of the Prometheus Operator's kinds that are used here; there is no schema of theirs to check against.
OPERATOR = {
    "PodMonitor": {"selector", "podMetricsEndpoints"},
    "PrometheusRule": {"groups"},
}
ENDPOINT = {"port", "path", "interval"}


class Refused(Exception):
    """A deployment breaks a promise."""


def require(holds, otherwise):
    if not holds:
        raise Refused(otherwise)


def check(scenario, versions=VERSIONS):
    """All promises; the schemas are those of the versions that the scenario is for."""
    versions = [version for version in versions if number(version) >= number(scenario.since)]
    for document in scenario.documents:
        if document["apiVersion"].startswith("monitoring.coreos.com/"):
            operator(document)
        else:
            schemas(document, versions)
    injected = [workload for workload in scenario.workloads() if aegis(workload) is not None]
    require(injected, "there is no daemon")
    for workload in injected:
        pod = template(workload)["spec"]
        restricted(pod)
        daemon(scenario, workload)
        record(scenario, workload)
        if not scenario.standalone:
            kept_apart(pod)
            sidecar(scenario, workload)
        figures(scenario, workload)
        disruption(scenario, workload)
    left_alone(scenario)


def number(version):
    return tuple(int(part) for part in version.split("."))


def schemas(document, versions):
    """Kubernetes takes it, and knows every key."""
    for version in versions:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(part) for part in error.path)
            raise Refused(f"{document['kind']}, Kubernetes {version}: {path}: {error.message}") from error


def operator(document):
    kind, spec = document["kind"], document["spec"]
    require(document["apiVersion"] == "monitoring.coreos.com/v1", f"{kind} has another version")
    require(set(spec) == OPERATOR[kind], f"{kind} has keys that are not checked: {sorted(spec)}")
    for endpoint in spec.get("podMetricsEndpoints", []):
        require(set(endpoint) <= ENDPOINT, f"{kind} has keys that are not checked: {sorted(endpoint)}")


def template(workload):
    return workload["spec"]["template"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def aegis(workload):
    """The daemon's container, if there is one."""
    found = [container for container in containers(template(workload)["spec"]) if container["name"] == "aegis"]
    require(len(found) <= 1, "there are two daemons")
    return found[0] if found else None


def agent(pod):
    (found,) = [container for container in pod["containers"] if container["name"] == "agent"]
    return found


def mounts(container):
    return {mount["name"]: mount for mount in container.get("volumeMounts", [])}


def flag(container, name):
    """The value of a flag that is given once, or None."""
    arguments = container["args"]
    require(arguments.count(name) <= 1, f"{name} is given twice")
    return arguments[arguments.index(name) + 1] if name in arguments else None


def restricted(pod):
    """The restricted Pod Security Standard, for the daemon and the agent, and a bit more."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        require(not pod.get(key), f"{key} is on")
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        require(kinds <= RESTRICTED_VOLUMES, f"the volume {volume['name']} is a {kinds}")
    for container in containers(pod):
        name, context = container["name"], container.get("securityContext", {})
        if name not in ("aegis", "agent"):
            continue
        require(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, f"{name} may run as root")
        require(context.get("allowPrivilegeEscalation") is False, f"{name} may gain privileges")
        require(not context.get("privileged"), f"{name} is privileged")
        require(context.get("readOnlyRootFilesystem") is True, f"{name} may write to its image")
        require(context.get("capabilities") == {"drop": ["ALL"]}, f"{name} keeps capabilities")
        require(context.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{name} has no seccomp profile")
        require("memory" in container.get("resources", {}).get("limits", {}), f"{name} has no memory limit")


def daemon(scenario, workload):
    """The daemon serves the policy that the deployment brings, says how it is, and has what it needs."""
    pod, container = template(workload)["spec"], aegis(workload)
    require("--dev" not in container["args"], "--dev is on")
    require(container["securityContext"]["runAsUser"] == DAEMON, "the daemon is not the user that its image is for")
    require(pod.get("securityContext", {}).get("fsGroup") == DAEMON, "the daemon may not write to its volumes")
    require("cpu" not in container["resources"]["limits"], "the daemon is throttled, and every action waits for it")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        command = container.get(probe, {}).get("exec", {}).get("command", [])
        require(command[:2] == ["/aegis", "healthcheck"], f"no {probe}")

    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    policies = [argument for argument in container["args"][1:] if re.match(r"/.*\.ya?ml$", argument)]
    policies = [path for path in policies if path != flag(container, "--auth")]
    require(policies, "the daemon has no policy")
    for path in policies:
        directory, file = posixpath.split(path)
        (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == directory]
        require("subPath" not in mount, "a policy mounted by subPath never changes")
        require(mount.get("readOnly") is True, "the daemon can write to its policy")
        require("configMap" in volumes[mount["name"]], "the policy is not from a ConfigMap")
        name = volumes[mount["name"]]["configMap"]["name"]
        maps = [document for document in scenario.of("ConfigMap") if document["metadata"]["name"] == name]
        require(len(maps) == 1, f"there is no ConfigMap {name}")
        require(file in maps[0]["data"], f"the ConfigMap {name} has no {file}")
        require(isinstance(yaml.safe_load(maps[0]["data"][file]), dict), f"{file} is not a policy")


def record(scenario, workload):
    """The record lies on a volume; it survives the pod if the scenario says so, and only then."""
    pod, container = template(workload)["spec"], aegis(workload)
    (directory,) = [entry["value"] for entry in container["env"] if entry["name"] == "AEGIS_DATA_DIR"]
    found = [m for m in container["volumeMounts"] if directory.startswith(m["mountPath"] + "/")]
    require(len(found) == 1, "the record is in the image")
    name = found[0]["name"]
    claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    require((name in claims) != (name in volumes), "the record has no volume, or two")
    durable = name in claims or "persistentVolumeClaim" in volumes[name]
    require(durable == scenario.durable, "the record does not survive the pod" if scenario.durable else "it survives")
    if not durable:
        require("sizeLimit" in volumes[name]["emptyDir"], "the record may fill the node")
    if durable and workload["kind"] != "Job" and "persistentVolumeClaim" in volumes.get(name, {}):
        raise Refused("the replicas share one claim, and one process may open a record")


def kept_apart(pod):
    """No other container of the pod can reach what is the daemon's."""
    (ours,) = [container for container in containers(pod) if container["name"] == "aegis"]
    others = [container for container in containers(pod) if container is not ours]
    socket = socket_mount(ours)
    require(pod.get("shareProcessNamespace") is not True, "the agent sees the daemon's processes")
    require(pod.get("automountServiceAccountToken") is False, "the daemon gets a token of the API server")
    for other in others:
        user = other.get("securityContext", {}).get("runAsUser")
        require(user != DAEMON, f"{other['name']} runs as the daemon's user, who is reviewer and admin")
        for name in set(mounts(other)) & set(mounts(ours)):
            require(name == socket["name"], f"{other['name']} has the daemon's volume {name}")
            require(mounts(other)[name].get("readOnly") is True, f"{other['name']} can replace the socket")
    require(socket["name"] in mounts(agent(pod)), "the agent cannot reach the daemon")


def socket_mount(container):
    """Where the daemon puts the socket of agents: a volume of its own."""
    path = flag(container, "--uds")
    require(path is not None, "the daemon has no socket for agents")
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == posixpath.dirname(path)]
    return mount


def sidecar(scenario, workload):
    """It is ready before the agent and ends after it, and the agent knows where it is."""
    pod, container = template(workload)["spec"], aegis(workload)
    native = number(scenario.since) >= (1, 29)
    if native:
        require(container.get("restartPolicy") == "Always", "not a native sidecar: the pod would wait for it to end")
        require(pod["initContainers"][0] is container, "another init container runs before the daemon")
    else:
        require(container in pod["containers"], "Kubernetes before 1.29 waits for the daemon to end")
        require(workload["kind"] != "Job", "the Job would never end")
    require(flag(container, "--listen") is None, "the agent's neighbours reach the daemon")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    require("emptyDir" in volumes[socket_mount(container)["name"]], "the socket is not in an emptyDir")
    endpoints = [entry["value"] for entry in agent(pod).get("env", []) if entry["name"] == "AEGIS_ENDPOINT"]
    require(endpoints == [f"unix:{flag(container, '--uds')}"], "the agent does not know where the daemon is")
    place = mounts(agent(pod))[socket_mount(container)["name"]]["mountPath"]
    require(place == socket_mount(container)["mountPath"], "the agent has the socket somewhere else")


def figures(scenario, workload):
    """Prometheus reaches the figures, and a monitor and a network policy that are there let it."""
    container, labels = aegis(workload), template(workload)["metadata"]["labels"]
    address, port = flag(container, "--admin-listen").rsplit(":", 1)
    require(address in ("0.0.0.0", "[::]"), "Prometheus cannot reach the pod's loopback")
    ports = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
    require(ports.get("aegis-metrics") == int(port), "the port aegis-metrics is not the listener's")
    for monitor in scenario.of("PodMonitor"):
        require(selects(monitor["spec"]["selector"], labels), "the PodMonitor selects other pods")
        wanted = [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]]
        require(set(wanted) <= set(ports), "the PodMonitor names a port that the pod does not have")
    for policy in scenario.of("NetworkPolicy"):
        spec = policy["spec"]
        require(selects(spec["podSelector"], labels), "the NetworkPolicy selects other pods")
        require(set(spec["policyTypes"]) == {"Ingress", "Egress"}, "the NetworkPolicy leaves a direction open")
        metrics = int(port), "aegis-metrics"
        reach = [rule for rule in spec["ingress"] for entry in rule["ports"] if entry["port"] in metrics]
        require(len(reach) == 1, "the NetworkPolicy keeps Prometheus out")
        for rule in spec["ingress"]:
            require(rule.get("from"), "the NetworkPolicy lets everybody in")
            require(scenario.standalone or rule is reach[0], "the NetworkPolicy lets callers to a sidecar")


def selects(selector, labels):
    return selector["matchLabels"].items() <= labels.items()


def disruption(scenario, workload):
    for budget in scenario.of("PodDisruptionBudget"):
        require(selects(budget["spec"]["selector"], template(workload)["metadata"]["labels"]), "it selects other pods")


def left_alone(scenario):
    """Who did not ask for a daemon gets none."""
    for workload in scenario.workloads():
        asked = template(workload)["metadata"].get("labels", {}).get("aegis/inject") == "true"
        if not asked and not scenario.standalone and scenario.name.startswith("kustomize"):
            require(aegis(workload) is None, f"{workload['metadata']['name']} has a daemon that it did not ask for")
