"""The Debian package installs, upgrades and goes, in a root of its own; the service starts; the record stays."""

import os
import pathlib
import re
import shutil
import tempfile

from rendered import DEPLOY

from daemon import fail, run, serving


def check(binary):
    for tool, package in {"dpkg-shlibdeps": "dpkg-dev", "strip": "binutils", "systemd-sysusers": "systemd"}.items():
        if shutil.which(tool) is None:
            fail(f"{tool} is not installed: install {package}")
    with tempfile.TemporaryDirectory() as directory:
        home, root = pathlib.Path(directory), pathlib.Path(directory) / "root"
        shutil.copy(binary, home / "aegis")
        # A debug build is several times as large with its symbols.
        run("strip", home / "aegis")
        run(DEPLOY / "debian" / "build", home / "aegis", home, "-Zgzip", "-z1")
        (package,) = home.glob("aegis_*.deb")

        for place in ("etc", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
            (root / place).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        dpkg(root, "--install", package)
        # An upgrade.
        dpkg(root, "--install", package)
        if not re.search(r"^aegis:.*:/usr/sbin/nologin$", (root / "etc/passwd").read_text(), re.M):
            fail("the package does not make the daemon's user")

        record = root / "var/lib/aegis"
        serves(home, root, record)
        dpkg(root, "--purge", "aegis")
        if not (record / "record.redb").exists():
            fail("a purge deletes the record")
        found = [path for path in root.rglob("*aegis*") if "dpkg" not in path.parts]
        left = [path for path in found if not path.is_relative_to(record)]
        if left:
            fail(f"a purge leaves {left}")
    print("debian: installed, upgraded, served and purged; the record stays")


def dpkg(root, *arguments):
    # Nothing that the package depends on is in that root, and the scripts run outside of it.
    forced = ["--force-depends", "--force-script-chrootless", "--force-not-root", "--log=/dev/null"]
    run("dpkg", f"--root={root}", *forced, *arguments)


def serves(home, root, record):
    """The command of the unit starts the daemon, with the directories of here."""
    unit = (root / "lib/systemd/system/aegis.service").read_text()
    command = re.search(r"^ExecStart=(.*)$", unit, re.M)[1].replace("$AEGIS_FLAGS", "")
    (home / "run").mkdir()
    for path, place in {
        "/etc/aegis": root / "etc/aegis",
        "/run/aegis": home / "run",
        "/usr/bin": root / "usr/bin",
    }.items():
        command = command.replace(path, str(place))
    binary, *arguments = command.split()
    arguments += ["--port", "0", "--admin-listen", "127.0.0.1:0"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "AEGIS_DATA_DIR": str(record)}
    with serving(binary, arguments, environment, home):
        run(binary, "healthcheck", env=environment)
