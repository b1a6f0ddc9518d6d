"""A SLURM of Debian's packages on one machine, without systemd or cgroups: munged, slurmctld, slurmd.

The configuration must lie in /etc/slurm (Snakemake's plugin clears SLURM_* from the environment), so a machine that
has one of its own is left alone.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

FOLDER = Path("/etc/slurm")
MARK = "# written by ctstyle's tests/cluster\n"
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "squeue", "sinfo")
CONFIG = """{mark}ClusterName=ctstyle
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
ReturnToService=2
MailProg=/bin/true
KillWait=10
MinJobAge=600
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/d
SlurmctldPidFile={state}/ctld.pid
SlurmdPidFile={state}/d.pid
SlurmctldLogFile={state}/ctld.log
SlurmdLogFile={state}/d.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no SLURM can be started here; empty where it can."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)} here (Debian: apt-get install slurmctld slurmd slurm-client munge)"
    if os.getuid() != 0:
        return "SLURM's daemons are started as root"
    config = FOLDER / "slurm.conf"
    if config.exists() and not config.read_text().startswith(MARK):
        return f"{config} belongs to a cluster"
    return ""


class Slurm:
    """The three daemons, started and stopped; `state` holds their files and logs."""

    def __init__(self, state: Path):
        self.state = state
        self.daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start all and wait until the node is idle."""
        (self.state / "ctld").mkdir(parents=True)
        (self.state / "d").mkdir()
        FOLDER.mkdir(exist_ok=True)
        # more memory than there is: what jobs of the paper's scale ask for is not what the tests' jobs need
        facts = {"host": socket.gethostname().partition(".")[0], "cpus": os.cpu_count(), "memory_mb": 500_000}
        (FOLDER / "slurm.conf").write_text(CONFIG.format(mark=MARK, state=self.state, **facts))
        # a card that is none: jobs are counted and get CUDA_VISIBLE_DEVICES
        (FOLDER / "gres.conf").write_text(f"{MARK}Name=gpu File=/dev/null\n")
        self._start_munge()
        for daemon in ("slurmctld", "slurmd"):
            self._spawn([daemon, "-D"], daemon)
        self._wait_until_idle()

    def stop(self) -> None:
        """Stop all, whatever still runs."""
        subprocess.run(["scancel", "--state=RUNNING", "--user=root"], capture_output=True, check=False)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for name in ("slurm.conf", "gres.conf"):
            (FOLDER / name).unlink(missing_ok=True)

    def jobs(self) -> dict[str, tuple[str, str]]:
        """State and comment (rule and wildcards, as the plugin writes them) of every job by its id."""
        told = subprocess.run(
            ["squeue", "--all", "--noheader", "--states=all", "--Format=JobID:20,State:20,Comment:200"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        rows = [(line[:20].strip(), line[20:40].strip(), line[40:].strip()) for line in told.splitlines()]
        return {job: (state, comment) for job, state, comment in rows}

    def _start_munge(self) -> None:
        key, run = Path("/etc/munge/munge.key"), Path("/run/munge")
        if not key.exists():
            key.parent.mkdir(parents=True, exist_ok=True)
            key.write_bytes(os.urandom(1024))
            key.chmod(0o400)
        for folder in (key.parent, key, Path("/var/log/munge"), Path("/var/lib/munge")):
            if folder.exists():
                shutil.chown(folder, "munge", "munge")
        run.mkdir(exist_ok=True)
        shutil.chown(run, "munge", "munge")
        run.chmod(0o755)
        if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
            return  # it runs already
        command = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--foreground", "--force"]
        self._spawn(command, "munged")
        self._wait(lambda: subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0, "munged")

    def _spawn(self, command: list[str], name: str) -> None:
        output = (self.state / f"{name}.out").open("w")
        self.daemons.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))

    def _wait_until_idle(self) -> None:
        def idle() -> bool:
            told = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False)
            if told.stdout.strip() in ("down", "down*", "drained"):
                node = socket.gethostname().partition(".")[0]
                subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], check=False)
            return told.stdout.strip() == "idle"

        self._wait(idle, "the node")

    def _wait(self, ready, what: str, limit_s: float = 60) -> None:
        until = time.monotonic() + limit_s
        while not ready():
            if time.monotonic() > until:
                logs = "\n".join(path.read_text()[-1500:] for path in sorted(self.state.glob("*.*")) if path.is_file())
                raise RuntimeError(f"{what} did not come up within {limit_s:.0f} s\n{logs}")
            time.sleep(0.5)
