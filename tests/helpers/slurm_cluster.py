"""A throw-away SLURM of two nodes with fake GPUs on this machine's loopback, for tests.

    python tests/helpers/slurm_cluster.py install      as root: what is missing, from Debian

Debian's packages, no systemd. Nodes n1 and n2 are two slurmd on one host; a GPU is a link to
/dev/null, so nothing can compute on it.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

PROGRAMS = (
    "slurmctld",
    "slurmd",
    "munged",
    "sbatch",
    "squeue",
    "srun",
    "scancel",
    "scontrol",
    "sinfo",
)
PACKAGES = ("slurm-wlm", "munge")
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

CONF = """\
ClusterName=bench3r
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={base}/munge.sock
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd-%n.pid
SlurmdSpoolDir={base}/spool/%n
StateSaveLocation={base}/state
SlurmctldLogFile={base}/log/slurmctld.log
SlurmdLogFile={base}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=3600
KillWait=2
OverTimeLimit=0
InactiveLimit=0
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
NodeName=n1 NodeHostName={host} NodeAddr=127.0.0.1 Port={ports[1]}
NodeName=n2 NodeHostName={host} NodeAddr=127.0.0.1 Port={ports[2]}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> list[str]:
    """Programs of SLURM that this machine lacks."""
    return [p for p in PROGRAMS if shutil.which(p, path=SEARCH) is None]


def install() -> None:
    """Install what is missing from Debian, one process at a time.

    Raises CalledProcessError when that is not possible.
    """
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    with Path(tempfile.gettempdir(), "bench3r-slurm-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not missing():
            return
        if subprocess.run(command, capture_output=True).returncode:
            subprocess.run(["apt-get", "update"], check=True, capture_output=True)
            subprocess.run(command, check=True, capture_output=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, so that several clusters can run side by side."""
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


class Cluster:
    """The cluster as a context manager; ``environment`` makes SLURM's commands talk to it."""

    def __init__(self, base: Path, cpus: int = 2, gpus: int = 2, memory: int = 12_000) -> None:
        self.base = base
        self.cpus = cpus
        self.gpus = gpus
        self.memory = memory
        self.conf = base / "etc" / "slurm.conf"
        path = os.pathsep.join([str(base / "bin"), SEARCH])
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": path}

    def __enter__(self) -> Cluster:
        for folder in ("etc", "log", "state", "dev", "bin", "spool/n1", "spool/n2"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        key = self.base / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self._write()
        files = [
            f"--key-file={key}",
            f"--socket={self.base}/munge.sock",
            f"--pid-file={self.base}/munged.pid",
            f"--log-file={self.base}/log/munged.log",
            f"--seed-file={self.base}/munge.seed",
        ]
        self._run("munged", "--force", *files)
        self._run("slurmctld", "-i", "-c")
        for node in ("n1", "n2"):
            self._run("slurmd", "-N", node)
        for _ in range(150):
            command = ("sinfo", "-h", "-N", "-o", "%T")
            states = self._run(*command, check=False).stdout.split()
            if states == ["idle", "idle"]:
                return self
            time.sleep(0.2)
        self.stop()
        log = (self.base / "log" / "slurmctld.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the nodes did not come up: {states}\n{log}")

    def _write(self) -> None:
        values = {
            "host": socket.gethostname().split(".")[0],
            "user": getpass.getuser(),
            "base": self.base,
            "cpus": self.cpus,
            "gpus": self.gpus,
            "memory": self.memory,
            "ports": free_ports(3),
        }
        self.conf.write_text(CONF.format(**values))
        for i in range(self.gpus):
            device = self.base / "dev" / f"fakegpu{i}"
            device.unlink(missing_ok=True)
            device.symlink_to("/dev/null")
        devices = f"{self.base}/dev/fakegpu[0-{self.gpus - 1}]"
        gres = f"AutoDetect=off\nNodeName=n[1-2] Name=gpu File={devices}\n"
        (self.base / "etc" / "gres.conf").write_text(gres)
        # Snakemake's job step drops SLURM_CONF from the environment of its srun
        program = shutil.which("srun", path=SEARCH)
        srun = self.base / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {program} "$@"\n')
        srun.chmod(0o755)

    def _run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        program = shutil.which(command[0], path=SEARCH) or command[0]
        return subprocess.run(
            [program, *command[1:]],
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    def run(self, *command: str) -> str:
        """Output of one of SLURM's commands. Raises CalledProcessError when it fails."""
        return self._run(*command).stdout

    def stop(self) -> None:
        """End all its processes."""
        self._run("scancel", "--user", getpass.getuser(), check=False)
        for name in ("slurmd-n1", "slurmd-n2", "slurmctld", "munged"):
            file = self.base / f"{name}.pid"
            if file.exists():
                try:
                    os.kill(int(file.read_text()), signal.SIGTERM)
                except (ProcessLookupError, ValueError):
                    continue
        time.sleep(1)

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit(__doc__)
    install()
    print("missing:", missing() or "nothing")
