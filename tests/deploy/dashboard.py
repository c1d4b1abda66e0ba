"""The dashboard of deploy/grafana: its panels, and their queries as Grafana sends them."""

import json

from rendered import DEPLOY

FILE = DEPLOY / "grafana" / "aegis.json"


def panels():
    return json.loads(FILE.read_text(encoding="utf-8"))["panels"]


def queries(interval):
    """Each panel's title and query, with Grafana's variables in place."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$instance", ".*").replace("$__rate_interval", interval)
