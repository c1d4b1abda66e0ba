"""Starts the daemon as each deployment of deploy/ would, tries to get past it as its agent (users.py), shows its
figures to a real Prometheus (figures.py), and installs the Debian package (debian.py). Run by tests/run, with the
python of target/tools/venv: `start.py AEGIS`.

The arguments, variables and probes are those that rendered.py renders. Three things differ, so that it runs anywhere:
the volumes are directories here, the ports are picked, and the user is ours.
"""

import os
import pathlib
import re
import sys
import tempfile

import debian
import figures
import users
from promises import aegis, template
from rendered import scenarios

from daemon import certificate, run, serving


class Here:
    """The volumes of one pod, as directories below one."""

    def __init__(self, root, scenario, workload):
        self.root = pathlib.Path(root)
        self.scenario = scenario
        self.container = aegis(workload)
        volumes = {volume["name"]: volume for volume in template(workload)["spec"].get("volumes", [])}
        self.places = {}
        for mount in self.container["volumeMounts"]:
            place = self.root / mount["name"]
            place.mkdir()
            self.places[mount["mountPath"]] = place
            self.fill(place, volumes.get(mount["name"], {}))

    def fill(self, place, volume):
        """The files of a ConfigMap or a Secret; certificates are made."""
        name = volume.get("configMap", {}).get("name") or volume.get("secret", {}).get("secretName")
        for document in self.scenario.of("ConfigMap", "Secret"):
            if document["metadata"]["name"] == name:
                for file, text in (document.get("data") or document.get("stringData")).items():
                    (place / file).write_text(text)
                return
        if "secret" in volume:
            certificate(place)

    def adapt(self, text):
        """What the container is given, with the paths and ports of here."""
        for path in sorted(self.places, key=len, reverse=True):
            before, found, after = text.partition(path)
            if found and before in ("", "unix:") and (not after or after.startswith("/")):
                return f"{before}{self.places[path]}{after}"
        return re.sub(r"^(0\.0\.0\.0|\[::\]):\d+$", "127.0.0.1:0", text)

    def arguments(self):
        arguments = [self.adapt(argument) for argument in self.container["args"]]
        # In a network of its own the pod has the default port.
        return arguments if "--listen" in arguments else [*arguments, "--port", "0"]

    def environment(self):
        pod = {entry["name"]: self.adapt(entry["value"]) for entry in self.container["env"]}
        return {"PATH": os.environ["PATH"], "HOME": str(self.root), **pod}

    def probes(self):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            yield [self.adapt(part) for part in self.container[probe]["exec"]["command"][1:]]


def every_deployment(binary):
    """Each starts with its flags, and its probes say so."""
    for scenario in scenarios():
        # The workloads of one scenario have the same container.
        workload = next(found for found in scenario.workloads() if aegis(found))
        with tempfile.TemporaryDirectory() as directory:
            here = Here(directory, scenario, workload)
            with serving(binary, here.arguments(), here.environment(), directory):
                for probe in here.probes():
                    run(binary, *probe, env=here.environment())
        print(f"{scenario.name}: {workload['kind']} {workload['metadata']['name']} starts, its probes succeed")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: start.py AEGIS")
    binary = pathlib.Path(sys.argv[1]).resolve()
    every_deployment(binary)
    users.check(binary)
    figures.check(binary)
    debian.check(binary)


if __name__ == "__main__":
    main()
