#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a death must not cost, one case at a time, as TAP.

crash.c kills under a load; this looks at what it takes luck, or root, to meet.
"""
import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
import chaos  # noqa: E402
from cases import Plain, want  # noqa: E402
from chaos import CONNECTION, OP, PATIENCE, Vmm, Wrong, die_with_parent  # noqa: E402
from xswire import HEADER, Client, XSError, recv_exactly  # noqa: E402

BUILD = os.path.abspath(chaos.BUILD)
FAULT = os.path.join(BUILD, "fault/xenstored")


class Daemon:
    """With its keeper, and a log; `faults`: XENSTORED_DIE_AT; `files`: how
    many it may have open."""

    def __init__(self, dir, *options, faults=None, program="xenstored",
                 files=None):
        self.dir = dir
        self.log = os.path.join(dir, "log")
        self.socket = os.path.join(dir, "socket")
        self.vmm = os.path.join(dir, "vmm")
        self.pid_file = os.path.join(dir, "pid")
        env = dict(os.environ, XENSTORED_RUNDIR=dir)
        self.program = os.path.join(BUILD, program)
        if faults:
            env["XENSTORED_DIE_AT"] = faults
            self.program = FAULT

        def prepare():
            die_with_parent()
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        # Whoever is left over when its parent has died is ours to end.
        ctypes.CDLL(None).prctl(36, 1)	# PR_SET_CHILD_SUBREAPER
        self.process = subprocess.Popen(
            [self.program, "--no-fork", "--xenport", "vmm", "--pid-file",
             self.pid_file, "--ring-scan-interval", "0", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.log, "ab"), env=env, start_new_session=True,
            preexec_fn=prepare)
        self.session = self.process.pid

    def await_ready(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                Client(self.socket, PATIENCE).directory(b"/")
                return
            except (OSError, EOFError):
                time.sleep(.01)
        raise Wrong("does not start")

    def said(self, text):
        with open(self.log, errors="replace") as f:
            return f.read().count(text)

    def await_said(self, text, times=1):
        end = time.monotonic() + PATIENCE
        while self.said(text) < times:
            want(time.monotonic() < end, f"it does not say: {text}")
            time.sleep(.01)

    def processes(self):
        """All of its session that live: {pid: parent}."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    stat = f.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[3]) == self.session and stat[0] not in "ZX":
                found[int(pid)] = int(stat[1])
        return found

    def keeper(self):
        with open(self.pid_file) as f:
            return int(f.read())

    def workers(self):
        """Who has the journal in his memory: one of the daemon's processes."""
        found = []
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/maps") as f:
                    if "/journal." in f.read():
                        found.append(pid)
            except OSError:
                continue
        return found

    def worker(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.workers()
            if len(found) == 1:
                return found[0]
            time.sleep(.005)
        raise Wrong(f"the workers are {found}")

    def idle_worker(self):
        """When it has looked whether there is more to be read, too."""
        end = time.monotonic() + PATIENCE
        worker, asleep = self.worker(), 0
        while asleep < 3:
            want(time.monotonic() < end, "the worker is never idle")
            with open(f"/proc/{worker}/stat") as f:
                asleep += 1
                if f.read().rpartition(")")[2].split()[0] != "S":
                    asleep = 0
            time.sleep(.005)
        return worker

    def heirlooms(self):
        """Descriptors of a worker that a program would inherit."""
        found, dir = [], f"/proc/{self.worker()}/fdinfo"
        for fd in map(int, os.listdir(dir)):
            with open(f"{dir}/{fd}") as f:
                flags = int(f.read().split("flags:")[1].split()[0], 8)
            if fd > 2 and not flags & os.O_CLOEXEC:
                found.append(fd)
        return found

    def kill_worker(self):
        """Not while it reads: who has sent what nobody knows is hung up on."""
        ready = self.said("is ready")
        os.kill(self.idle_worker(), signal.SIGKILL)
        self.await_said("is ready", ready + 1)

    def control(self, *words):
        return Client(self.socket, PATIENCE).call(
            "CONTROL", b"".join(w.encode() + b"\0" for w in words)).decode()

    def end(self):
        """Why it did not end as it should, or None."""
        if not self.session:
            return None
        why = None
        try:
            os.kill(self.keeper(), signal.SIGTERM)
        except (OSError, ValueError) as e:
            why = f"no keeper: {e}"
        end = time.monotonic() + (0 if why else 15)
        while self.processes() and time.monotonic() < end:
            self.reap()
            time.sleep(.01)
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        while self.processes():
            time.sleep(.01)
        self.reap()
        self.session = None
        return why or (f"{len(left)} processes do not end" if left else None)

    @staticmethod
    def reap():
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


class Stage:
    """A private directory, and the daemons in it."""

    def __init__(self, dir):
        self.dir = dir
        self.daemons = []

    def daemon(self, *options, dir=None, **more):
        daemon = Daemon(dir or self.dir, *options, **more)
        self.daemons.append(daemon)
        daemon.await_ready()
        return daemon

    def end(self):
        """Why not all is as it should be at the end, or None."""
        whys = [daemon.end() for daemon in self.daemons]
        return next(filter(None, whys), None)


# ---- the cases --------------------------------------------------------------

def waiting_events(stage):
    """events that wait for room in a ring are as old as they are"""
    daemon = stage.daemon("-w", "watch-event=5")
    ts, guest = Client(daemon.socket, PATIENCE), Plain(Vmm(daemon.vmm), 1)
    ts.call("MKDIR", b"/a\0")
    ts.call("SET_PERMS", b"/a\0r0\0")
    guest.ask("WATCH", b"/a\0t\0")
    guest.hear()
    for i in range(100):
        ts.write(b"/a/" + b"x" * 100 + b"%d" % i)
    daemon.kill_worker()
    time.sleep(2.2)			# housekeeping has looked
    for i in range(100):
        got = guest.hear(5)
        want(got and got[1].endswith(b"x%d\0t\0" % i), f"{i}: {got}")


def above_the_limits(stage):
    """what a domain has is counted, and stays, even if it is too much by now"""
    daemon = stage.daemon()
    ts, guest = Client(daemon.socket, PATIENCE), Plain(Vmm(daemon.vmm), 1)
    ts.call("MKDIR", b"/local/domain/1\0")
    ts.call("SET_PERMS", b"/local/domain/1\0n1\0")
    for i in range(3):
        guest.ask("WATCH", b"w%d\0t\0" % i)
        guest.hear()
        guest.ask("WRITE", b"x%d\0" % i)
        guest.ask("TRANSACTION_START", b"\0")
    counted = daemon.control("quota", "1").split("(max")[:5]
    for quota in (b"watches", b"transactions"):
        ts.call("SET_QUOTA", b"1\0" + quota + b"\0001\0")
    ts.call("SET_QUOTA", b"1\0memory\000100\0")
    daemon.kill_worker()
    now = daemon.control("quota", "1").split("(max")[:5]
    want([x.split()[-1] for x in now] == [x.split()[-1] for x in counted],
         f"{now}, not {counted}")
    ts.call("SET_QUOTA", b"1\0memory\000100000\0")
    for i in range(3):
        got = guest.ask("UNWATCH", b"w%d\0t\0" % i)
        want(got == b"OK\0", f"UNWATCH: {got}")
        got = guest.ask("TRANSACTION_END", b"T\0", i + 1)
        want(got in (b"OK\0", "EAGAIN"), f"the end of a transaction: {got}")
    want(guest.ask("WATCH", b"w0\0t\0") == b"OK\0", "not even one")
    guest.hear()
    want(guest.ask("WATCH", b"w1\0t\0") == "ENOSPC", "the limit is gone")


def asks_for_a_fresh_ring(guest):
    """Its kick was the last thing the worker that died has taken."""
    guest.page[CONNECTION:CONNECTION + 4] = (1).to_bytes(4, "little")


def fresh_ring(stage):
    """who asks for a fresh ring when a worker dies gets one"""
    daemon = stage.daemon()
    guests = [Plain(Vmm(daemon.vmm), domid) for domid in (1, 2)]
    for guest in guests:
        guest.ask("WATCH", b"/a\0t\0")
        guest.hear()
    broken = guests[1]
    broken.store(1, broken.load(0) + 5000)	# more than fits
    broken.kick()
    end = time.monotonic() + PATIENCE
    while "ignored" not in daemon.control("connections"):
        want(time.monotonic() < end, "the ring is still used")
        time.sleep(.01)
    daemon.idle_worker()
    for guest in guests:
        asks_for_a_fresh_ring(guest)
    daemon.kill_worker()
    for guest in guests:
        end = time.monotonic() + 10
        while int.from_bytes(guest.page[CONNECTION:CONNECTION + 4], "little"):
            want(time.monotonic() < end, f"{guest.domid} waits for ever")
            time.sleep(.01)
        guest.started_afresh()
        got = guest.ask("GET_DOMAIN_PATH", b"%d\0" % guest.domid)
        want(got == b"/local/domain/%d\0" % guest.domid, f"then: {got}")


class Watch:
    """A client that hears of a special event."""

    def __init__(self, daemon, path):
        self.sock = Client(daemon.socket, PATIENCE).sock
        self.sock.sendall(HEADER.pack(OP["WATCH"], 1, 0, len(path) + 3) +
                          path + b"\0t\0")
        while self.receive()[0] != OP["WATCH_EVENT"]:
            pass

    def receive(self):
        kind, _, _, size = HEADER.unpack(recv_exactly(self.sock, HEADER.size))
        return kind, recv_exactly(self.sock, size)

    def heard(self):
        """How many events, until something is answered that is asked now."""
        self.sock.sendall(HEADER.pack(OP["READ"], 7, 0, 2) + b"/\0")
        n = 0
        while self.receive()[0] == OP["WATCH_EVENT"]:
            n += 1
        return n


VMM_POINTS = ["vmm_received", "vmm_attached", "vmm_served", "commit_before",
              "commit_after", "vmm_answering", "vmm_answered", "vmm_detached"]


def dying_for_a_vmm(stage, point, passes):
    """Has anybody died?"""
    daemon = stage.daemon(faults=f"{point}:{passes}",
                          dir=tempfile.mkdtemp(dir=stage.dir))
    vmm, ts = Vmm(daemon.vmm), Client(daemon.socket, PATIENCE)
    came = Watch(daemon, b"@introduceDomain")
    went = Watch(daemon, b"@releaseDomain")
    guest = Plain(vmm, 1)
    want(guest.ask("READ", b"/\0") in ("EACCES", b"\0", b""), "no answer")
    want(came.heard() == 1, "it is not introduced once")
    want(ts.call("IS_DOMAIN_INTRODUCED", b"1\0") == b"T\0", "no such domain")
    want(vmm.call(chaos.STATE, 1, state=1) == 0, "STATE")
    want(went.heard() == 1, "its shutdown is not told once")
    want(vmm.call(chaos.DETACH, 1) == 0, "DETACH")
    want(went.heard() == 1, "its end is not told once")
    want(ts.call("IS_DOMAIN_INTRODUCED", b"1\0") == b"F\0", "it is not gone")
    want(vmm.call(chaos.DETACH, 1) == errno.ENOENT, "DETACH, again")
    want(vmm.call(chaos.ATTACH, 1, fds=(0, 0, 0)) == errno.EINVAL, "ATTACH")
    vmm.sock.settimeout(.02)
    try:
        raise Wrong(f"an answer too many, {vmm.sock.recv(1000)}")
    except TimeoutError:
        pass
    died = daemon.said("ended with signal 9")
    want(not daemon.end(), "it does not end")
    return died


def requests_of_vmms(stage):
    """a VMM has what it asks done once, and one answer, whoever dies when"""
    for point in VMM_POINTS if os.path.exists(FAULT) else []:
        passes = 1
        while passes < 40:
            try:
                if not dying_for_a_vmm(stage, point, passes):
                    break
            except (Wrong, OSError, EOFError, XSError) as e:
                raise Wrong(f"{point}:{passes}: {type(e).__name__} {e}")
            passes += 1 if point.startswith("vmm") else 3
        want(passes > 1, f"nobody dies at {point}")


def any_port(stage):
    """guests of a VMM live through a death also where the port is not told"""
    if os.path.exists("/dev/xen/evtchn"):
        return				# it would be Xen's
    daemon = stage.daemon("--xenport", "auto")
    ts, guest = Client(daemon.socket, PATIENCE), Plain(Vmm(daemon.vmm), 1)
    for _ in range(2):
        daemon.kill_worker()
        want(guest.ask("READ", b"/\0") in ("EACCES", b"\0", b""), "no answer")
        want(ts.call("IS_DOMAIN_INTRODUCED", b"1\0") == b"T\0", "it is gone")


def after_a_keeper(stage):
    """who died after his keeper is not said to have ended well"""
    daemon = stage.daemon()
    ts = Client(daemon.socket, PATIENCE)
    os.kill(daemon.keeper(), signal.SIGKILL)
    daemon.await_said("replaces it")
    daemon.kill_worker()
    want(ts.directory(b"/"), "nobody serves")
    want(daemon.said("worker 1 ended, another one is started") == 1,
         "it says something else")


def no_more_descriptors(stage):
    """a death costs nothing also where no more can be opened"""
    daemon = stage.daemon(files=60)
    ts = Client(daemon.socket, PATIENCE)
    ts.write(b"/a", b"1")
    others = []
    while daemon.said("cannot accept clients") == 0:
        others.append(Client(daemon.socket, PATIENCE))
        others[-1].sock.settimeout(.2)
        try:
            others[-1].read(b"/a")
        except TimeoutError:
            pass
        want(len(others) < 100, "there is no limit")
    for _ in range(3):
        daemon.kill_worker()
        want(ts.read(b"/a") == b"1", "no answer")
    others.clear()
    want(Client(daemon.socket, PATIENCE).read(b"/a") == b"1", "nobody new")


# ---- successors that fail ---------------------------------------------------

def successor(stage, deed, ours=True):
    """A program that accepts the state, if it is like ours, and then does
    this."""
    path = os.path.join(stage.dir, "next")
    mark = "xenstored live update, state check 1" if ours else "another one"
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\n# {mark}\n"
                "case \"$*\" in *--check-state*) exit 0;; esac\n"
                f"{deed}\n")
    os.chmod(path, 0o755)
    return path


def update(daemon, program):
    return subprocess.Popen(
        [os.path.join(BUILD, "xenstore-control"), "live-update", program],
        env=dict(os.environ, XENSTORED_PATH=daemon.socket),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent)


def without_a_journal(stage):
    """a successor that dies leaves the old one serving, also without journal"""
    daemon = stage.daemon("--journal", "off")
    ts, guest = Client(daemon.socket, PATIENCE), Plain(Vmm(daemon.vmm), 1)
    ts.write(b"/a", b"1")
    ts.call("SET_PERMS", b"/a\0r0\0")
    guest.ask("WATCH", b"/a\0t\0")
    guest.hear()
    for i, deed in enumerate(["exit 1", "kill -9 $$"]):
        tool = update(daemon, successor(stage, deed, ours=i))
        daemon.await_said("the new program failed", i + 1)
        want(ts.read(b"/a") == b"1", "the store is not as it was")
        ended(tool)
        want(tool.returncode == 3, "who asked for it is told it was done")
        ts.write(b"/a", b"1")
        want(guest.hear(5) == (OP["WATCH_EVENT"], b"/a\0t\0"), "no event")
        want(guest.ask("READ", b"/a\0") == b"1", "a guest is lost")


def updated_before(stage):
    """one that has come by an update goes on, too, and tells who asked"""
    for options in (), ("--journal", "off"):
        daemon = stage.daemon(*options, dir=tempfile.mkdtemp(dir=stage.dir))
        ts = Client(daemon.socket, PATIENCE)
        ts.write(b"/a", b"1")
        tool = update(daemon, os.path.join(BUILD, "xenstored"))
        ended(tool)
        want(tool.returncode == 0, "the update fails")
        for i in range(2):
            tool = update(daemon, successor(stage, "exit 1"))
            daemon.await_said("the new program failed", i + 1)
            want(ts.read(b"/a") == b"1", "the store is not as it was")
            ended(tool)
            want(tool.returncode == 3, "who asked for it is told it was done")


def foreign_since(stage):
    """what another daemon has gone on from is old, and not used any more"""
    daemon = stage.daemon()
    ts = Client(daemon.socket, PATIENCE)
    ts.write(b"/a", b"1")
    nothing = os.path.join(stage.dir, "nothing")
    with open(nothing, "w") as f:
        f.write("#!/no/such/program\n")
    os.chmod(nothing, 0o755)
    ended(update(daemon, nothing))
    want(ts.read(b"/a") == b"1", "what nobody has gone on from is lost")
    taken = os.path.join(stage.dir, "taken")
    update(daemon, successor(stage, f"mv {stage.dir}/state_dump {taken}\n"
                             "exec sleep 100", ours=False))
    end = time.monotonic() + PATIENCE
    while not os.path.exists(taken):
        want(time.monotonic() < end, "it does not begin")
        time.sleep(.01)
    os.unlink(taken)
    time.sleep(.1)
    for pid in daemon.processes():
        os.kill(pid, signal.SIGKILL)
    daemon.session = None
    daemon = stage.daemon()
    want(daemon.said("another daemon has gone on"), "it does not tell")
    ts = Client(daemon.socket, PATIENCE)
    want(b"a" not in ts.directory(b"/"), "it has what is old")
    ts.write(b"/a", b"2")
    daemon.kill_worker()
    want(ts.read(b"/a") == b"2", "what is new is lost")


def ended(tool):
    try:
        tool.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        tool.kill()
        raise Wrong("who asked for the update is not answered") from None


def caught_successor(stage, daemon, keeper):
    """Updates until the new processes are stopped before they are ready. The
    tool, how many had been ready, and who is stopped."""
    real = os.path.join(BUILD, "xenstored")
    program = successor(stage, f"exec {real} \"$@\"")
    for ready in range(1, 30):
        tool = update(daemon, program)
        daemon.await_said("takes over", ready)
        end = time.monotonic() + PATIENCE
        family = []
        while len(family) != 2 and time.monotonic() < end:
            family = [p for p, parent in daemon.processes().items()
                      if parent == keeper]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        if daemon.said("is ready") == ready:
            return tool, ready, family
        for pid in family:
            os.kill(pid, signal.SIGCONT)
        daemon.await_said("is ready", ready + 1)
        ended(tool)
    raise Wrong("it is always quicker than we")


def stopped_successor(stage):
    """a successor that is slow is not replaced while it lives"""
    daemon = stage.daemon()
    ts = Client(daemon.socket, PATIENCE)
    for i in range(5000):
        ts.write(b"/n/%d/%d" % (i % 50, i), b"x" * 200)
    before = daemon.keeper()
    tool, ready, family = caught_successor(stage, daemon, before)
    os.kill(before, signal.SIGKILL)
    for _ in range(20):
        time.sleep(.1)
        want(daemon.said("goes on") == 0, "there would be two")
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    daemon.await_said("is ready", ready + 1)
    want(len(daemon.workers()) == 1, "who serves?")
    want(ts.read(b"/n/0/0") == b"x" * 200, "the store is not as it was")
    ended(tool)
    want(not daemon.heirlooms(), "others may inherit what it has")


def journal_files(daemon):
    """The numbers of those that are used, sorted."""
    return sorted(int(name.split(".")[1]) for name in os.listdir(daemon.dir)
                  if name.startswith("journal.") and
                  name.split(".")[1:][-1].isdigit())


def another_version(stage):
    """a death after an update from one whose journal cannot be read"""
    daemon = stage.daemon()
    ts, guest = Client(daemon.socket, PATIENCE), Plain(Vmm(daemon.vmm), 1)
    ts.write(b"/a", b"1")
    ts.call("SET_PERMS", b"/a\0r0\0")
    daemon.kill_worker()
    end = time.monotonic() + PATIENCE	# until one is in the checkpoint
    while journal_files(daemon) != [2]:
        want(time.monotonic() < end, f"files: {journal_files(daemon)}")
        time.sleep(.01)
    with open(os.path.join(daemon.dir, "journal.2"), "r+b") as f:
        f.seek(8)
        f.write(b"x")
    ended(update(daemon, os.path.join(BUILD, "xenstored")))
    want(daemon.said("it has another version") == 1, "it can read it?")
    want(ts.read(b"/a") == b"1", "the update has lost something")
    daemon.kill_worker()
    want(ts.read(b"/a") == b"1", "the death has lost something")
    want(guest.ask("READ", b"/a\0") == b"1", "a guest is lost")


# ---- no room ----------------------------------------------------------------

def fill(path):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(fd, b"x" * 4096):
            pass
    except OSError:
        os.close(fd)


def full_file_system(stage):
    """where the journal cannot be written a worker's death costs nothing"""
    small = os.path.join(stage.dir, "small")
    os.mkdir(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs",
                       small], stderr=subprocess.DEVNULL).returncode:
        return				# not root
    try:
        no_room(stage, small)
    finally:
        stage.end()
        subprocess.run(["umount", small])


def no_room(stage, small):
    daemon = stage.daemon("--journal", small)
    ts, guest = Client(daemon.socket, PATIENCE), Plain(Vmm(daemon.vmm), 1)
    ts.call("MKDIR", b"/local/domain/1\0")
    ts.call("SET_PERMS", b"/local/domain/1\0n1\0")
    want(daemon.control("journal").startswith("written"), "not even at first")
    fill(os.path.join(small, "fill"))
    for i in range(3000):
        guest.ask("WRITE", b"data/%d\0" % (i % 50) + b"y" * 900)
    want("IN MEMORY" in daemon.control("journal"), "it does not tell")
    want(daemon.said("cannot write the journal") == 1, "not in the log")
    for i in range(12):			# longer than a ring
        guest.submit("WRITE", b"late/%d\0" % i + b"z" * 1900)
        end = time.monotonic() + i / 1000
        while time.monotonic() < end:
            guest.pump()
        daemon.kill_worker()
        want(guest.hear() == (OP["WRITE"], b"OK\0"), f"no answer {i}")
    want(len(ts.directory(b"/local/domain/1/late")) == 12, "something is lost")
    os.unlink(os.path.join(small, "fill"))
    daemon.await_said("the journal is whole again")
    want(daemon.control("journal").startswith("written"), "not written again")
    daemon.kill_worker()
    want(len(ts.directory(b"/local/domain/1/late")) == 12, "lost after all")


CASES = [waiting_events, above_the_limits, fresh_ring, any_port,
         after_a_keeper, no_more_descriptors, requests_of_vmms,
         without_a_journal, updated_before, stopped_successor,
         another_version, foreign_since, full_file_system]


def run(case):
    with tempfile.TemporaryDirectory(prefix="xenstore-deaths.") as dir:
        stage = Stage(dir)
        try:
            case(stage)
            why = None
        except (Wrong, OSError, EOFError, XSError) as e:
            why = f"{type(e).__name__} {e}"
        ended = stage.end()
        why = why or ended
        last = stage.daemons[-1] if stage.daemons else None
        chaos.report(case, why, last.log if last else os.devnull)


if __name__ == "__main__":
    chaos.main(CASES, run, 200)
