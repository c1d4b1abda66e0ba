"""A real Prometheus scrapes a daemon: after a load every panel of the dashboard has data, and no alert rule fails."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import dashboard
import yaml
from rendered import BIN, DEPLOY, IDENTITIES

from daemon import DEADLINE, certificate, fail, run, serving


def check(binary):
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        certificate(home)
        (home / "policy.yaml").write_text((DEPLOY / "kustomize/agent/policy.yaml").read_text())
        (home / "identities.yaml").write_text(yaml.safe_load(IDENTITIES)["identities"]["text"])
        environment = {"PATH": os.environ["PATH"], "HOME": directory, "AEGIS_DATA_DIR": f"{directory}/data"}
        # TLS and a witness: some figures are there with them only.
        arguments = "serve policy.yaml --auth identities.yaml --tls-cert tls.crt --tls-key tls.key --port 0"
        arguments += " --retain 90d --witness file:witness --admin-listen 127.0.0.1:0"
        with serving(binary, arguments.split(), environment, directory) as admin, scraping(home, admin) as url:
            until(lambda: query(url, "up") == 1, "Prometheus does not reach the daemon")
            load(binary, environment, directory)
            panels = list(dashboard.queries("10s"))
            for title, expression in panels:
                until(lambda e=expression: query(url, e) is not None, f"{title}: no data: {expression}")
            least = {"sum(aegis_recorded_decisions)": 3, "aegis_approvals_pending": 1, "sum(aegis_recorded_results)": 1}
            for expression, value in least.items():
                until(lambda e=expression, v=value: (query(url, e) or 0) >= v, f"{expression} stays below {value}")
            rules(url)
    print(f"prometheus: {len(panels)} queries of the dashboard have data, and the alert rules are evaluated")


def load(binary, environment, directory):
    """An allowed action, a blocked one, one that waits, and a wrong credential."""

    def call(*command, code=0, **more):
        run(binary, *command, code=code, env={**environment, **more}, cwd=directory)

    call("propose", "read_rows", "crm", "--", "true")
    call("propose", "delete_rows", "crm", code=3)
    call("propose", "write_rows", "crm", code=4)
    call("audit", code=1, AEGIS_ENDPOINT=f"unix:{directory}/data/agent.sock", AEGIS_TOKEN="wrong")


@contextlib.contextmanager
def scraping(home, admin):
    """A Prometheus that scrapes the daemon every second and evaluates the alert rules; its URL."""
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DEPLOY / "prometheus" / "aegis.rules.yaml")],
        "scrape_configs": [
            {"job_name": "aegis", "static_configs": [{"targets": [urllib.parse.urlparse(admin).netloc]}]}
        ],
    }
    file = home / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    log = home / "prometheus.log"
    command = [BIN / "prometheus", f"--config.file={file}", f"--storage.tsdb.path={home / 'tsdb'}"]
    with log.open("w") as output:
        child = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stdout=output, stderr=output)

    def address():
        found = re.search(r"address=(127\.0\.0\.1:[1-9]\d*)", log.read_text())
        return found and f"http://{found[1]}"

    try:
        until(address, lambda: f"Prometheus does not listen\n{log.read_text()}")
        yield address()
    finally:
        child.terminate()
        child.wait(DEADLINE)


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
