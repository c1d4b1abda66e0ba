"""Starts the daemon as each deployment of deploy/ would, shows its figures to a real Prometheus, and installs the Debian
package. Run by tests/run, with the python of target/tools/venv: `start.py AEGIS`, the binary under test.

The arguments, variables and probes are those that rendered.py renders. Three things differ, so that it runs anywhere: the
volumes are directories here, the ports are picked, and the user is ours.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import yaml
from promises import aegis, template
from rendered import BIN, DEPLOY, IDENTITIES, scenarios
from check import concrete

DEADLINE = 60


def fail(message):
    sys.exit(f"error: {message}")


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

    def path(self, text):
        """An argument with the paths and ports of here."""
        for path, place in sorted(self.places.items(), key=lambda entry: -len(entry[0])):
            text = re.sub(rf"(^|unix:){re.escape(path)}(?=/|$)", lambda found: found[1] + str(place), text)
        return re.sub(r"^(0\.0\.0\.0|\[::\]):\d+$", "127.0.0.1:0", text)

    def arguments(self):
        arguments = [self.path(argument) for argument in self.container["args"]]
        # In a network of its own the pod has the default port.
        return arguments if "--listen" in arguments else [*arguments, "--port", "0"]

    def environment(self):
        pod = {entry["name"]: self.path(entry["value"]) for entry in self.container["env"]}
        return {"PATH": os.environ["PATH"], "HOME": str(self.root), **pod}

    def probes(self):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            yield probe, [self.path(part) for part in self.container[probe]["exec"]["command"][1:]]


def certificate(place):
    """A server certificate that signs itself, and is its own authority of clients."""
    files = {"-keyout": place / "tls.key", "-out": place / "tls.crt"}
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=aegis", "-addext", "subjectAltName=DNS:aegis"]
    for option, path in files.items():
        command += [option, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    (place / "ca.crt").write_bytes((place / "tls.crt").read_bytes())


@contextlib.contextmanager
def serving(binary, arguments, environment, directory):
    """A daemon that runs; what it is given is the line by which it says where its metrics are."""
    log = pathlib.Path(directory) / "serve.log"
    with log.open("w") as stderr:
        child = subprocess.Popen(
            [binary, *arguments], env=environment, cwd=directory, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    # It says where it listens, or ends; should it do neither, it is ended.
    watchdog = threading.Timer(DEADLINE, child.kill)
    watchdog.start()
    try:
        for line in child.stdout:
            if line.startswith("metrics"):
                yield line.split()[1].removesuffix("/metrics")
                break
        else:
            fail(f"aegis {' '.join(arguments)}\n{log.read_text()}")
    finally:
        watchdog.cancel()
        child.send_signal(signal.SIGTERM)
        code = child.wait(DEADLINE)
        child.stdout.close()
    if code != 0:
        fail(f"the daemon ended with {code}\n{log.read_text()}")


def every_deployment(binary):
    """Each starts with its flags, and its probes say so."""
    for scenario in scenarios():
        for workload in scenario.workloads():
            if aegis(workload) is None:
                continue
            with tempfile.TemporaryDirectory() as directory:
                here = Here(directory, scenario, workload)
                with serving(binary, here.arguments(), here.environment(), directory):
                    for probe, command in here.probes():
                        done = subprocess.run([binary, *command], env=here.environment(), capture_output=True, text=True)
                        if done.returncode != 0:
                            fail(f"{scenario.name}: {probe}: {done.stdout}{done.stderr}")
            print(f"{scenario.name}: {workload['kind']} {workload['metadata']['name']} starts, its probes succeed")
            # The replicas of one scenario have the same container.
            break


def prometheus(binary):
    """Every panel of the dashboard has data after a load, and no alert rule fails, in a real Prometheus."""
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        certificate(home)
        (home / "policy.yaml").write_text((DEPLOY / "kustomize/agent/policy.yaml").read_text())
        (home / "identities.yaml").write_text(yaml.safe_load(IDENTITIES)["identities"]["text"])
        environment = {"PATH": os.environ["PATH"], "HOME": directory, "AEGIS_DATA_DIR": f"{directory}/data"}
        arguments = "serve policy.yaml --auth identities.yaml --tls-cert tls.crt --tls-key tls.key --port 0 --retain 90d"
        arguments += " --witness file:witness --admin-listen 127.0.0.1:0"
        with serving(binary, arguments.split(), environment, directory) as admin:

            def call(*command, code=0, **more):
                done = subprocess.run(
                    [binary, *command], env={**environment, **more}, cwd=directory, capture_output=True, text=True
                )
                if done.returncode != code:
                    fail(f"aegis {' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")

            def load():
                call("propose", "read_rows", "crm", "--", "true")
                call("propose", "delete_rows", "crm", code=3)
                call("propose", "write_rows", "crm", code=4)
                call("audit", code=1, AEGIS_ENDPOINT=f"unix:{directory}/data/agent.sock", AEGIS_TOKEN="wrong")

            with scraping(home, admin) as url:
                until(lambda: query(url, "up") == 1, "Prometheus does not reach the daemon")
                load()
                panels = json.loads((DEPLOY / "grafana" / "aegis.json").read_text())["panels"]
                for panel in panels:
                    for target in panel["targets"]:
                        expression = concrete(target["expr"]).replace("[1m]", "[10s]")
                        until(lambda e=expression: query(url, e) is not None, f"{panel['title']}: no data: {expression}")
                for expression, least in {"sum(aegis_decisions)": 3, "aegis_approvals_pending": 1, "aegis_results": 1}.items():
                    value = query(url, expression)
                    if value is None or value < least:
                        fail(f"{expression} is {value} after the load")
                rules(url)
        print(f"prometheus: {len(panels)} panels have data, and the alert rules are evaluated")


@contextlib.contextmanager
def scraping(home, admin):
    """A Prometheus that scrapes the daemon every second and evaluates the alert rules."""
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DEPLOY / "prometheus" / "aegis.rules.yaml")],
        "scrape_configs": [
            {"job_name": "aegis", "static_configs": [{"targets": [urllib.parse.urlparse(admin).netloc]}]}
        ],
    }
    file = home / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    log = (home / "prometheus.log").open("w+")
    command = [BIN / "prometheus", f"--config.file={file}", f"--storage.tsdb.path={home / 'tsdb'}"]
    child = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stdout=log, stderr=log)

    def address():
        found = re.search(r"address=(127\.0\.0\.1:[1-9]\d*)", (home / "prometheus.log").read_text())
        return found and f"http://{found[1]}"

    try:
        until(address, lambda: f"Prometheus does not listen\n{(home / 'prometheus.log').read_text()}")
        yield address()
    finally:
        child.terminate()
        child.wait(DEADLINE)
        log.close()


def until(holds, otherwise):
    """Waits until something holds."""
    end = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > end:
            fail(otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.2)


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def query(url, expression):
    """The first value that a query returns now, or None."""
    try:
        result = ask(url, "query", query=expression)["result"]
    except OSError:
        return None
    return float(result[0]["value"][1]) if result else None


def rules(url):
    """Every rule has been evaluated, without an error."""

    def all_of_them():
        return [rule for group in ask(url, "rules")["groups"] for rule in group["rules"]]

    until(lambda: all(rule["health"] != "unknown" for rule in all_of_them()), "the rules are not evaluated")
    for rule in all_of_them():
        if rule["health"] != "ok":
            fail(f"{rule['name']}: {rule.get('lastError')}")


def debian(binary):
    """The package installs, upgrades and goes, in a root of its own; the service starts; the record stays."""
    if shutil.which("dpkg-shlibdeps") is None:
        print("debian: not checked, there is no dpkg-dev")
        return
    with tempfile.TemporaryDirectory() as directory:
        home, root = pathlib.Path(directory), pathlib.Path(directory) / "root"
        shutil.copy(binary, home / "aegis")
        # A debug build is ten times as large with its symbols.
        subprocess.run(["strip", home / "aegis"], check=True)

        def done(*command):
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode != 0:
                fail(f"{' '.join(str(part) for part in command)}\n{run.stdout}{run.stderr}")
            return run.stdout

        def dpkg(*arguments):
            # Nothing else is in that root, and the scripts run outside of it.
            forced = ["--force-depends", "--force-script-chrootless", "--force-not-root", "--log=/dev/null"]
            return done("dpkg", f"--root={root}", *forced, *arguments)

        for place in ("etc", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
            (root / place).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        done(DEPLOY / "debian" / "build", home / "aegis", home, "-Zgzip", "-z1")
        (package,) = home.glob("aegis_*.deb")
        dpkg("--install", package)
        dpkg("--install", package)
        if not re.search(r"^aegis:.*:/usr/sbin/nologin$", (root / "etc/passwd").read_text(), re.M):
            fail("the package does not make the daemon's user")

        unit = (root / "lib/systemd/system/aegis.service").read_text()
        command = re.search(r"^ExecStart=(.*)$", unit, re.M)[1].replace("$AEGIS_FLAGS", "")
        (home / "run").mkdir()
        paths = {"/etc/aegis": root / "etc/aegis", "/run/aegis": home / "run", "/usr/bin": root / "usr/bin"}
        for path, place in paths.items():
            command = command.replace(path, str(place))
        binary_there, *arguments = command.split()
        record = root / "var/lib/aegis"
        environment = {"PATH": os.environ["PATH"], "HOME": directory, "AEGIS_DATA_DIR": str(record)}
        arguments += ["--port", "0", "--admin-listen", "127.0.0.1:0"]
        with serving(binary_there, arguments, environment, directory):
            subprocess.run([binary_there, "healthcheck"], env=environment, check=True, capture_output=True)

        dpkg("--purge", "aegis")
        if not (record / "record.redb").exists():
            fail("a purge deletes the record")
        left = [path for path in root.rglob("*aegis*") if path != record and "dpkg" not in path.parts]
        left = [path for path in left if not path.is_relative_to(record)]
        if left:
            fail(f"a purge leaves {left}")
    print("debian: installed, upgraded, served and purged; the record stays")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: start.py AEGIS")
    binary = pathlib.Path(sys.argv[1]).resolve()
    every_deployment(binary)
    prometheus(binary)
    debian(binary)


if __name__ == "__main__":
    main()
