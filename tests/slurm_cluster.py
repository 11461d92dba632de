# SPDX-License-Identifier: Apache-2.0
"""A Slurm of one machine for tests: a controller and node daemons on loopback, without systemd, cgroups or accounting.

slurm = SlurmCluster(folder, nodes=3), slurm.start(), and slurm.end() whatever happens. slurm.environment is what srun and
the like need, slurm.kill_node("n2") is the loss of a machine. MISSING says which of Debian's packages are not there; empty: all are.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

PROGRAMS = {"slurmctld": "slurmctld", "slurmd": "slurmd", "srun": "slurm-client", "munged": "munge"}
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
MISSING = sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None})

CONFIG = """
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=1
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
KillWait=30
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=2 RealMemory=2000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE:4
"""


def free_ports(count):
    """As many free ports in a row."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            begin = first.getsockname()[1]
        try:
            for port in range(begin, begin + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
            return begin
        except OSError:
            continue


class SlurmCluster:
    def __init__(self, folder, nodes):
        self.folder, self.nodes, self.processes, self.killed = folder, nodes, {}, []
        self.environment = {"PATH": PATH, "SLURM_CONF": os.path.join(folder, "slurm.conf")}

    def run(self, *arguments):
        return subprocess.run(arguments, env={**os.environ, **self.environment}, text=True, capture_output=True, timeout=60)

    def jobs(self):
        """That wait or run; a job whose node was lost may take long to be completed."""
        return self.run("squeue", "-h", "-t", "PENDING,RUNNING").stdout

    def daemon(self, name, *arguments):
        with open(os.path.join(self.folder, name + ".out"), "a") as output:
            self.processes[name] = subprocess.Popen(arguments, env={**os.environ, **self.environment}, stdout=output,
                                                    stderr=output, stdin=subprocess.DEVNULL, start_new_session=True)

    def start(self):
        for name in ("state", "spool"):
            os.makedirs(os.path.join(self.folder, name))
        os.chmod(self.folder, 0o755)  # munged looks at who may replace its socket.
        port = free_ports(self.nodes + 1)
        with open(self.environment["SLURM_CONF"], "w") as file:
            file.write(CONFIG.format(host=socket.gethostname().split(".")[0], port=port, first=port + 1, last=port + self.nodes,
                                     nodes=self.nodes, folder=self.folder, user=pwd.getpwuid(os.getuid()).pw_name))
        # From 23.11 on, nodes begin with control groups even if nothing uses them; before, the word was not known.
        if [int(part) for part in self.run("slurmd", "-V").stdout.split()[-1].split(".")[:2]] >= [23, 11]:
            with open(os.path.join(self.folder, "cgroup.conf"), "w") as file:
                file.write("CgroupPlugin=disabled\n")
        key = os.path.join(self.folder, "munge.key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o400), "wb") as file:
            file.write(os.urandom(128))
        munge = os.path.join(self.folder, "munge")
        self.daemon("munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}.sock",
                    f"--pid-file={munge}.pid", f"--log-file={munge}.log", f"--seed-file={munge}.seed")
        self.wait_for("munge", lambda: os.path.exists(munge + ".sock"))
        self.daemon("slurmctld", "slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        for number in range(1, self.nodes + 1):
            self.start_node(f"n{number}")
        self.wait_for("nodes", lambda: self.run("sinfo", "-h", "-t", "idle", "-o", "%D").stdout.strip() == str(self.nodes))

    def start_node(self, name):
        self.daemon(name, "slurmd", "-D", "-N", name, "-f", self.environment["SLURM_CONF"])

    def wait_for(self, what, holds):
        deadline = time.monotonic() + 60
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"Slurm: no {what} within 60 s")
            time.sleep(0.1)

    def kill_node(self, name):
        """The daemon of the node, its step daemons and all that they started, as when a machine is lost."""
        self.killed.append(self.processes.pop(name))
        self.kill_tree([self.killed[-1].pid] + self.step_daemons(name))

    def step_daemons(self, name):
        # A step daemon is its own session; the spool folder of its node is open in it.
        spool = os.path.join(self.folder, "spool", name)
        return [number for number, command in processes() if command.startswith("slurmstepd") and opens(number, spool)]

    def kill_tree(self, roots):
        children = {}
        for number, _ in processes():
            children.setdefault(parent_of(number), []).append(number)
        victims, rest = [], list(roots)
        while rest:
            victims.append(rest.pop())
            rest += children.get(victims[-1], [])
        for number in victims:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def end(self):
        self.run("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name) if "slurmctld" in self.processes else None
        names = [name for name in self.processes if name not in ("munged", "slurmctld")]
        for name in names:
            self.kill_node(name)
        self.kill_tree([process.pid for process in self.processes.values()])
        for process in self.killed + list(self.processes.values()):
            process.wait()


def processes():
    """(number, command line) of each."""
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                yield int(number), file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            pass


def parent_of(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def opens(number, folder):
    try:
        return any(os.readlink(f"/proc/{number}/fd/{name}").startswith(folder)
                   for name in os.listdir(f"/proc/{number}/fd")) or os.readlink(f"/proc/{number}/cwd").startswith(folder)
    except OSError:
        return False
