"""The daemon and the agent as two users, on volumes as the kubelet makes them: the agent can propose, and nothing else.

The volumes belong to root and to the group of `fsGroup`, and anybody may write to them. The agent sees what its
container mounts: the socket's volume, read-only. It needs root, for the users and for the mounts.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from daemon import DEADLINE, fail, run, serving
from promises import DAEMON, aegis, agent, template
from rendered import DEPLOY, kustomize

# What an agent tries, each with the exit code that it must get. `$DATA` and `$SOCKET` are the daemon's places.
ATTEMPTS = {
    "propose read_rows crm": 0,
    "propose delete_rows crm": 3,
    "audit": 1,
    "pending": 1,
    "policy show": 1,
    "token create --role admin --name me": 1,
}
COMMANDS = [
    'cat "$DATA/credential"',
    'ls "$DATA"',
    'rm "$SOCKET"',
    'mv "$SOCKET" "$SOCKET.old"',
    'touch "$(dirname "$SOCKET")/new"',
    "kill -TERM $DAEMON",
]
# The agent's own mounts, then its own user, in the groups that the kubelet gives it.
WITHIN = """
mount -t tmpfs none "$RECORD"
mount --bind "$PLACE" "$PLACE"
mount -o remount,ro,bind "$PLACE"
exec setpriv --reuid "$AGENT" --regid "$AGENT" --groups "$GROUP" --no-new-privs --inh-caps=-all sh -c "$0"
"""


def check(binary):
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            fail("the two users of a pod need root")
        print("two users: NOT TESTED: needs root")
        return
    (workload,) = [found for found in kustomize(DEPLOY / "kustomize/overlays/prod") if found["kind"] == "StatefulSet"]
    pod = template(workload)["spec"]
    group, user = pod["securityContext"]["fsGroup"], agent(pod)["securityContext"]["runAsUser"]
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        home.chmod(0o755)
        shutil.copy(binary, home / "aegis")
        record, place = home / "record", home / "socket"
        for volume in (record, place):
            volume.mkdir()
            os.chown(volume, 0, group)
            volume.chmod(0o2777)
        shutil.copy(DEPLOY / "kustomize/agent/policy.yaml", home)
        data, socket = record / "data", place / "agent.sock"
        arguments = ["--reuid", DAEMON, "--regid", DAEMON, "--groups", group, "--no-new-privs", home / "aegis", "serve"]
        arguments += [home / "policy.yaml", "--uds", socket, "--port", "0", "--admin-listen", "127.0.0.1:0"]
        environment = {"PATH": os.environ["PATH"], "AEGIS_DATA_DIR": str(data)}
        if "--uds" not in aegis(workload)["args"]:
            fail("the agent of the deployment has no socket")
        with serving("setpriv", [str(argument) for argument in arguments], environment, directory):
            daemon = run("pgrep", "--uid", DAEMON, "--full", home / "aegis").strip()
            agents = {
                "PATH": os.environ["PATH"],
                "AEGIS_ENDPOINT": f"unix:{socket}",
                "RECORD": str(record),
                "PLACE": str(place),
                "DATA": str(data),
                "SOCKET": str(socket),
                "DAEMON": daemon,
                "AGENT": str(user),
                "GROUP": str(group),
            }

            def tries(command):
                done = subprocess.run(
                    ["unshare", "--mount", "sh", "-ec", WITHIN, command],
                    env=agents,
                    capture_output=True,
                    text=True,
                    timeout=DEADLINE,
                )
                return done.returncode, done.stdout + done.stderr

            for command, expected in ATTEMPTS.items():
                code, said = tries(f"{home}/aegis {command}")
                if code != expected:
                    fail(f"an agent: aegis {command}: {code}, not {expected}\n{said}")
            for command in COMMANDS:
                code, said = tries(command)
                if code == 0:
                    fail(f"an agent can: {command}\n{said}")
            # They failed because they must, not because everything does.
            code, said = tries(f"{home}/aegis propose read_rows crm")
            if code != 0:
                fail(f"the daemon does not answer any more: {said}")
    print(f"two users: the agent proposes; {len(ATTEMPTS) + len(COMMANDS) - 2} attempts at more are refused")
