"""Checks deploy/kubernetes against the schemas of Kubernetes itself, and against what the deployment promises.

Strictly: a key that the schema does not know is an error. Every check is shown to bite: for each, a copy of the
manifests with one fault must be refused. Run by tests/gates, with the python of target/tools/venv.
"""

import copy
import pathlib
import sys

import kubernetes_validate
import yaml

MANIFESTS = pathlib.Path(__file__).parent.parent / "deploy" / "kubernetes"
# The first version with native sidecars on by default, and the newest that there are schemas for.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]


class Refused(Exception):
    """A manifest is not what it has to be."""


def schemas(documents):
    """Every document is what Kubernetes takes, and nothing more."""
    for document in documents:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                raise Refused(f"{document['kind']}, Kubernetes {version}: {path}: {error.message}") from error


def sidecar(documents):
    """The sidecar and the agent are kept apart, and neither can do more than it needs."""
    pod = one(documents, "StatefulSet")["spec"]["template"]["spec"]
    aegis = pod["initContainers"][0]
    agent = pod["containers"][0]
    mounts = {container["name"]: {m["name"]: m for m in container["volumeMounts"]} for container in (aegis, agent)}

    for container in (aegis, agent):
        context = container["securityContext"]
        name = container["name"]
        require(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, f"{name} may run as root")
        require(context.get("allowPrivilegeEscalation") is False, f"{name} may gain privileges")
        require(context.get("readOnlyRootFilesystem") is True, f"{name} may write to its image")
        require(context.get("capabilities") == {"drop": ["ALL"]}, f"{name} keeps capabilities")
        require(context.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{name} has no seccomp profile")
        require("memory" in container["resources"]["limits"], f"{name} has no memory limit")

    require(aegis.get("restartPolicy") == "Always", "aegis is not a native sidecar: the pod would wait for it to end")
    require(
        aegis["securityContext"]["runAsUser"] != agent["securityContext"]["runAsUser"],
        "the agent runs as the sidecar's user, who is reviewer and admin",
    )
    require(pod.get("shareProcessNamespace") is not True, "the agent sees the sidecar's processes")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        require(aegis.get(probe, {}).get("exec", {}).get("command", [])[:2] == ["/aegis", "healthcheck"], f"no {probe}")
    require(set(mounts["agent"]) == {"socket"}, "the agent has a volume of the sidecar's besides the socket's")
    require(mounts["agent"]["socket"].get("readOnly") is True, "the agent can replace the socket")
    require("subPath" not in mounts["aegis"]["policy"], "a policy mounted by subPath never changes")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    require("configMap" in volumes["policy"], "the policy is not from a ConfigMap")
    claims = [claim["metadata"]["name"] for claim in one(documents, "StatefulSet")["spec"]["volumeClaimTemplates"]]
    require("record" in claims, "the record does not survive the pod")


def faults():
    """Named faults, each with how it is put into a copy of the documents."""

    def pod(documents):
        return one(documents, "StatefulSet")["spec"]["template"]["spec"]

    def aegis(documents):
        return pod(documents)["initContainers"][0]

    def agent(documents):
        return pod(documents)["containers"][0]

    return {
        "a misspelt key": lambda d: aegis(d)["securityContext"].update(readOnlyRootFilesytem=True),
        "a value of the wrong type": lambda d: pod(d).update(enableServiceLinks="no"),
        "a container without a name": lambda d: aegis(d).pop("name"),
        "a policy that is not text": lambda d: one(d, "ConfigMap")["data"].update({"policy.yaml": {"version": 1}}),
        "no restartPolicy": lambda d: aegis(d).pop("restartPolicy"),
        "the same user": lambda d: agent(d)["securityContext"].update(runAsUser=65532),
        "root": lambda d: aegis(d)["securityContext"].update(runAsUser=0),
        "a writable image": lambda d: aegis(d)["securityContext"].pop("readOnlyRootFilesystem"),
        "a capability": lambda d: aegis(d)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["KILL"]}),
        "no probe": lambda d: aegis(d).pop("startupProbe"),
        "a policy by subPath": lambda d: aegis(d)["volumeMounts"][0].update(subPath="policy.yaml"),
        "a writable socket directory": lambda d: agent(d)["volumeMounts"][0].pop("readOnly"),
        "the record in the agent": lambda d: agent(d)["volumeMounts"].append({"name": "record", "mountPath": "/r"}),
    }


def one(documents, kind):
    """The one document of that kind."""
    (document,) = [document for document in documents if document["kind"] == kind]
    return document


def require(holds, otherwise):
    if not holds:
        raise Refused(otherwise)


def check(documents):
    schemas(documents)
    sidecar(documents)


def main():
    path = MANIFESTS / "sidecar.yaml"
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    try:
        check(documents)
    except Refused as error:
        sys.exit(f"error: {path.name}: {error}")
    print(f"{path.name}: {len(documents)} documents, valid for Kubernetes {' and '.join(VERSIONS)}")

    for name, put in faults().items():
        faulty = copy.deepcopy(documents)
        put(faulty)
        try:
            check(faulty)
        except Refused as error:
            print(f"refused as it must be: {name}: {error}")
        else:
            sys.exit(f"error: the checks accept a manifest with {name}")


if __name__ == "__main__":
    main()
