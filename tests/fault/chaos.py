#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Everybody does anything at any time, and then all of it has to be gone
(P6 of README.md).

	chaos.py [SECONDS [SEED]]

Rounds of random deeds by guests over shared rings, by VMMs that are killed, by
clients of the socket and by a toolstack, against a daemon of its own. Printed
as TAP; the seed is printed, too, and gives the same deeds again (though not
the same timing).
"""
import ctypes
import errno
import mmap
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../integration"))
from xswire import HEADER, OP, OPS, Client, XSError  # noqa: E402

BUILD = os.environ.get("BUILD", "build")
PATIENCE = 60			# seconds that nobody ever has to wait
GROWTH = 16 << 20		# bytes that may come with the age
RING = 1024
INDICES = 2 * RING		# req_cons, req_prod, rsp_cons, rsp_prod
CONNECTION = INDICES + 20
ERRORS = """EINVAL EACCES EEXIST EISDIR ENOENT ENOMEM ENOSPC EIO ENOTEMPTY
ENOSYS EROFS EBUSY EAGAIN EISCONN E2BIG EPERM""".split()
VMM = struct.Struct("<8I2Q80s")
ATTACH, STATE, DETACH = 1, 2, 3


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)	# PR_SET_PDEATHSIG


def leave(*_):
    sys.exit("told to end")


signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGALRM, leave)


class Wrong(Exception):
    """The daemon did what it must not."""


# ---- what is asked ----------------------------------------------------------

class Asker:
    """Requests in flight at one client, and whether the answers fit."""

    def __init__(self, rng, domids):
        self.rng = rng
        self.domids = domids
        self.forget()

    def forget(self):
        self.sent = []
        self.txs = []
        self.input = b""
        self.output = b""
        self.req = 1

    def path(self):
        rng = self.rng
        top = rng.choice([b"data", b"dev/%d" % rng.randrange(3),
                          b"/chaos/shared", b"/chaos/%d" % rng.randrange(4),
                          b"/local/domain/%d/data" % rng.choice(self.domids),
                          b"/local/domain", b"/"])
        below = b"".join(b"/%c" % rng.choice(b"abcdef")
                         for _ in range(rng.choice([0, 1, 1, 2, 3, 9])))
        if rng.random() < .01:
            return rng.choice([b"", b"//", b"a/", b"@x", b"x" * 3000, b"\xff",
                               b"/local/domain/", b"/a" * 1500])
        return (below or top) if top == b"/" else top + below

    def perms(self):
        return b"".join(b"%c%d\0" % (self.rng.choice(b"nrwb"),
                                     self.rng.choice(self.domids + [0, 0, 999]))
                        for _ in range(self.rng.choice([1, 1, 2, 3, 7])))

    def special(self):
        return self.rng.choice([b"@introduceDomain", b"@releaseDomain",
                                b"@releaseDomain/%d" %
                                self.rng.choice(self.domids)])

    def request(self):
        """(op, payload)"""
        rng = self.rng
        kind = rng.choices(
            ["WRITE", "READ", "DIRECTORY", "RM", "MKDIR", "WATCH", "UNWATCH",
             "TRANSACTION_START", "TRANSACTION_END", "SET_PERMS", "GET_PERMS",
             "DIRECTORY_PART", "RESET_WATCHES", "GET_DOMAIN_PATH",
             "GET_FEATURE", "any"],
            [30, 12, 6, 8, 6, 8, 3, 8, 9, 6, 4, 4, 1, 1, 1, 1])[0]
        path = self.path() + b"\0"
        if kind == "WRITE":
            size = rng.choice([0, 1, 8, 100, 1000, 1900, 3000])
            return kind, (path + rng.randbytes(size))[:4096]
        if kind in ("WATCH", "UNWATCH"):
            if rng.random() < .1:
                path = self.special() + b"\0"
            return kind, path + b"%d\0" % rng.randrange(4) + rng.choice(
                [b"", b"", b"", b"1\0"] if kind == "WATCH" else [b""])
        if kind == "SET_PERMS":
            return kind, path + self.perms()
        if kind == "TRANSACTION_START":
            return kind, b"\0"
        if kind == "TRANSACTION_END":
            return kind, rng.choice([b"T\0", b"T\0", b"F\0", b"X\0"])
        if kind == "DIRECTORY_PART":
            return kind, path + b"%d\0" % rng.choice([0, 0, 4, 99999])
        if kind == "GET_DOMAIN_PATH":
            return kind, b"%d\0" % rng.randrange(70000)
        if kind in ("RESET_WATCHES", "GET_FEATURE"):
            return kind, b"\0" if kind == "RESET_WATCHES" else b""
        if kind == "any":
            op = rng.choice([o for o in OPS if o not in NOT_AT_RANDOM])
            return op, rng.randbytes(rng.choice([0, 1, 5, 100]))
        return kind, path

    def add(self):
        """Puts a request into the output."""
        op, payload = self.request()
        tx = 0
        if op == "TRANSACTION_END" or self.rng.random() < .5:
            if self.txs:
                tx = self.rng.choice(self.txs)
            elif op == "TRANSACTION_END":
                tx = self.rng.randrange(3)
        if op == "TRANSACTION_START":
            tx = 0
        if op == "TRANSACTION_END" and tx in self.txs and payload != b"X\0":
            self.txs.remove(tx)
        if op == "RESET_WATCHES":
            self.txs.clear()
        self.req += 1
        self.sent.append((OP[op], self.req, tx))
        self.output += HEADER.pack(OP[op], self.req, tx, len(payload)) + payload

    def got(self, data):
        self.input += data
        while len(self.input) >= HEADER.size:
            kind, req, tx, size = HEADER.unpack_from(self.input)
            if size > 4096:
                raise Wrong(f"an answer of {size} bytes")
            if len(self.input) < HEADER.size + size:
                break
            payload = self.input[HEADER.size:HEADER.size + size]
            self.input = self.input[HEADER.size + size:]
            self.answer(kind, req, tx, payload)

    def answer(self, kind, req, tx, payload):
        if kind == OP["WATCH_EVENT"]:
            if (req, tx) != (0, 0) or payload.count(b"\0") != 2 or \
                    payload[-1:] != b"\0":
                raise Wrong(f"an event {payload!r}")
            return
        if not self.sent:
            raise Wrong(f"an answer without a request: {kind} {req}")
        asked = self.sent.pop(0)
        if (req, tx) != asked[1:] or kind not in (asked[0], OP["ERROR"]):
            raise Wrong(f"{(kind, req, tx)} answers {asked}")
        if kind == OP["ERROR"] and payload.decode() not in \
                [e + "\0" for e in ERRORS]:
            raise Wrong(f"error {payload!r}")
        if kind == OP["TRANSACTION_START"]:
            self.txs.append(int(payload[:-1]))


# What would take others along, or is done on purpose elsewhere.
NOT_AT_RANDOM = ("CONTROL", "INTRODUCE", "RELEASE", "SET_QUOTA", "SET_FEATURE",
                 "SET_TARGET")


class SocketClient(Asker):
    def __init__(self, path, rng, domids):
        super().__init__(rng, domids)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.sock.setblocking(False)
        self.reads = True

    def pump(self):
        try:
            if self.output:
                n = self.rng.choice([len(self.output), 1, 7, 100])
                self.output = self.output[self.sock.send(self.output[:n]):]
        except BlockingIOError:
            pass
        if not self.reads:
            return
        try:
            for _ in range(4):
                data = self.sock.recv(65536)
                if not data:
                    raise Wrong("a client was hung up")
                self.got(data)
        except BlockingIOError:
            pass

    def close(self):
        self.sock.close()


# ---- guests -----------------------------------------------------------------

class Vmm:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        self.serial = 0

    def call(self, kind, domid, flags=0, state=0, fds=()):
        self.serial += 1
        msg = VMM.pack(1, kind, self.serial, domid, flags, state, 0, 0, 0, 0,
                       b"")
        socket.send_fds(self.sock, [msg], list(fds))
        answer = self.sock.recv(1000)
        if not answer:
            raise EOFError("the port hung up")
        answer = VMM.unpack(answer)
        if answer[1:4] != (kind, self.serial, domid):
            raise Wrong(f"the port answers {answer}")
        return answer[6]

    def close(self):
        self.sock.close()


class Guest(Asker):
    def __init__(self, vmm, domid, rng, domids, introduce):
        super().__init__(rng, domids)
        self.vmm = vmm
        self.domid = domid
        self.page_fd = os.memfd_create("page", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.page_fd, 4096)
        fcntl_add_seals(self.page_fd, 2)	# F_SEAL_SHRINK
        self.page = mmap.mmap(self.page_fd, 4096)
        self.kick_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.wake, theirs = socket.socketpair()
        self.wake.setblocking(False)
        try:
            err = vmm.call(ATTACH, domid, flags=int(introduce),
                           fds=(self.page_fd, self.kick_fd, theirs.fileno()))
            if err:
                raise OSError(err, os.strerror(err))
        except (OSError, EOFError):
            self.free()
            raise
        finally:
            theirs.close()
        self.introduced = introduce
        self.wild = False		# its ring is in no good state
        self.reads = True
        self.dies = False

    def free(self):
        self.page.close()
        os.close(self.page_fd)
        os.close(self.kick_fd)
        self.wake.close()

    def kick(self):
        try:
            os.eventfd_write(self.kick_fd, 1)
        except BlockingIOError:
            pass

    def load(self, i):
        return struct.unpack_from("<I", self.page, INDICES + 4 * i)[0]

    def store(self, i, value):
        struct.pack_into("<I", self.page, INDICES + 4 * i, value & 0xffffffff)

    def started_afresh(self):
        self.forget()
        self.wild = False

    def send(self):
        cons, prod = self.load(0), self.load(1)
        n = min(RING - ((prod - cons) & 0xffffffff), len(self.output))
        if self.rng.random() < .2:
            n = min(n, self.rng.choice([1, 7, 15, 16, 17]))
        for i in range(n):
            self.page[(prod + i) % RING] = self.output[i]
        self.output = self.output[n:]
        if n:
            self.store(1, prod + n)
            self.kick()

    def receive(self):
        cons, prod = self.load(2), self.load(3)
        n = (prod - cons) & 0xffffffff
        if n > RING:
            raise Wrong(f"{n} bytes in a ring")
        data = bytes(self.page[RING + (cons + i) % RING] for i in range(n))
        if n:
            self.store(2, cons + n)
            self.kick()
            self.got(data)

    def pump(self):
        try:
            self.wake.recv(4096)
        except BlockingIOError:
            pass
        if self.wild:
            if struct.unpack_from("<I", self.page, CONNECTION)[0]:
                return
            if self.asked_afresh:
                self.started_afresh()
            return
        if not self.introduced:
            return
        self.send()
        if self.reads:
            self.receive()

    # ---- what guests should not do

    asked_afresh = False

    def go_wild(self):
        self.wild = True
        self.asked_afresh = False

    def spoil(self):
        rng = self.rng
        self.go_wild()
        deed = rng.randrange(4)
        if deed == 0:			# zeroed, as by firmware
            for i in rng.sample(range(4), rng.choice([4, 4, 3, 2])):
                self.store(i, 0)
                if rng.random() < .3:
                    self.kick()
        elif deed == 1:
            self.store(rng.randrange(4), rng.getrandbits(32))
        elif deed == 2:			# a bad message
            self.output = b""
            prod = self.load(1)
            bad = HEADER.pack(rng.randrange(40), 1, 1,
                              rng.choice([4097, 1 << 31, (1 << 32) - 1]))
            for i, byte in enumerate(bad):
                self.page[(prod + i) % RING] = byte
            self.store(1, prod + len(bad))
        else:
            for i in range(4):
                self.store(i, self.load(i) + rng.choice([0, 1, RING, 1 << 31]))
        self.kick()

    def reconnect(self):
        self.go_wild()
        self.asked_afresh = True
        struct.pack_into("<I", self.page, CONNECTION, 1)
        self.kick()


def fcntl_add_seals(fd, seals):
    import fcntl
    fcntl.fcntl(fd, 1033, seals)		# F_ADD_SEALS


def hostile(path, domid, seed):
    """A VMM with a guest, until it is killed."""
    rng = random.Random(seed)
    try:
        vmm = Vmm(path)
        guest = Guest(vmm, domid, rng, [domid], True)
    except OSError:
        os._exit(0)
    while True:
        deed = rng.random()
        if deed < .01:
            guest.spoil()
        elif deed < .03:
            guest.reconnect()
        elif len(guest.output) < 5000:
            guest.add()
        guest.reads = rng.random() < .9
        try:
            guest.pump()
        except (Wrong, ValueError):
            guest.go_wild()


# ---- the stage --------------------------------------------------------------

class Daemon:
    def __init__(self, dir, preload=None, event_timeout=2):
        self.dir = dir
        self.log = os.path.join(dir, "log")
        self.socket = os.path.join(dir, "socket")
        self.vmm = os.path.join(dir, "vmm")
        # A sanitizer is not to keep much of what was freed.
        env = dict(os.environ, XENSTORED_RUNDIR=dir, ASAN_OPTIONS=
                   os.environ.get("ASAN_OPTIONS", "") +
                   ":quarantine_size_mb=16:verify_asan_link_order=0")
        if preload:
            env["LD_PRELOAD"] = preload
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "xenstored"), "--no-fork", "--no-keeper",
             "--xenport", "vmm", "--ring-scan-interval", "1", "-w",
             f"watch-event={event_timeout}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.log, "wb"), env=env,
            preexec_fn=die_with_parent)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                Client(self.socket).close()
                if os.path.exists(self.vmm):
                    return
            except OSError:
                pass
            time.sleep(.02)
        raise Wrong("does not start")

    def memory(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/statm") as f:
            rss = int(f.read().split()[1]) * mmap.PAGESIZE
        return rss

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def complaints(self):
        with open(self.log, errors="replace") as f:
            return [line for line in f
                    if re.search("check: |ERROR: |runtime error| failed: |"
                                 "cannot remove", line)]

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "it does not end"


class Stage:
    DOMIDS = [1, 2, 3, 4, 5, 300, 0x7fef]
    HOSTILE = [40, 41]

    def __init__(self, daemon, dir, rng, trouble=None):
        self.daemon = daemon
        self.trouble = trouble		# makes some; then much is forgiven
        self.dir = dir
        self.rng = rng
        self.ts = Client(daemon.socket, PATIENCE)
        self.before = self.tree()
        self.fds_before = daemon.fds()
        self.guests = {}
        self.vmms = []
        self.clients = []
        self.children = {}
        self.slowest = (0, None, None)
        self.deeds = 0
        # done more often than others
        self.table = [(self.add_requests, 60), (self.client_comes, 4),
                      (self.client_goes, 3), (self.guest_comes, 6),
                      (self.guest_goes, 3), (self.guest_state, 3),
                      (self.spoil, 2), (self.reconnect, 4),
                      (self.introduce, 4), (self.release, 2),
                      (self.domain_op, 6), (self.quota, 3),
                      (self.control, 5), (self.read_or_not, 4),
                      (self.vmm_dies, 1), (self.hostile_comes, 2),
                      (self.hostile_dies, 1), (self.contend, 3),
                      (self.homes, 4)]

    def tree(self):
        return self.ts.dump()

    def domids(self):
        return self.DOMIDS + self.HOSTILE

    def ask(self, op, *args):
        """A request of the toolstack: its answer, or the error's name."""
        start = time.monotonic()
        try:
            return self.ts.call(op, b"".join(a + b"\0" for a in args))
        except XSError as e:
            return e.args[0]
        except (EOFError, OSError) as e:
            if not self.trouble or isinstance(e, TimeoutError):
                raise Wrong(f"{op} of {args}: {e!r}") from e
            self.ts.close()
            self.ts = Client(self.daemon.socket, PATIENCE)
            return None
        finally:
            self.slowest = max(self.slowest,
                               (time.monotonic() - start, op, args))

    def some_domid(self):
        return self.rng.choice(self.domids() + [0, 999, 0x7ff0, 65535])

    # ---- deeds

    def add_requests(self):
        actor = self.some_actor()
        if actor and len(actor.output) < 20000:
            for _ in range(self.rng.choice([1, 1, 3, 30])):
                actor.add()

    def some_actor(self):
        actors = self.clients + list(self.guests.values())
        return self.rng.choice(actors) if actors else None

    def some_guest(self):
        guests = list(self.guests.values())
        return self.rng.choice(guests) if guests else None

    def client_comes(self):
        if len(self.clients) < 12:
            self.clients.append(SocketClient(self.daemon.socket, self.rng,
                                             self.domids()))

    def client_goes(self):
        if self.clients:
            client = self.clients.pop(self.rng.randrange(len(self.clients)))
            if self.rng.random() < .5:	# in the middle of a message
                client.add()
                try:
                    client.sock.send(client.output[:self.rng.randrange(1, 40)])
                    if self.rng.random() < .3:
                        client.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            client.close()

    def guest_comes(self):
        free = [d for d in self.DOMIDS if d not in self.guests]
        if not free:
            return
        if not self.vmms or self.rng.random() < .3:
            self.vmms.append(Vmm(self.daemon.vmm))
        self.attach(self.rng.choice(self.vmms), self.rng.choice(free),
                    self.rng.random() < .7)

    def attach(self, vmm, domid, introduce):
        try:
            self.guests[domid] = Guest(vmm, domid, self.rng, self.domids(),
                                       introduce)
        except OSError as e:
            # The daemon has yet to see that another VMM of it has gone.
            if e.errno != errno.EBUSY:
                raise

    def homes(self):
        """What toolstacks prepare."""
        domid = self.rng.choice(self.domids())
        home = b"/local/domain/%d" % domid
        for path, perms in ((home, b"n%d" % domid),
                            (home + b"/data", b"n%d" % domid),
                            (b"/chaos/shared", b"b0"),
                            (b"/chaos/%d" % self.rng.randrange(4),
                             self.rng.choice([b"n%d" % domid, b"n0", b"w0"]))):
            self.ask("MKDIR", path)
            self.ask("SET_PERMS", path, perms)

    def guest_goes(self):
        guest = self.some_guest()
        if not guest:
            return
        if self.rng.random() < .3:
            self.dare(lambda: guest.vmm.call(STATE, guest.domid, state=4))
        self.dare(self.detach(guest))
        self.drop(guest)
        if self.rng.random() < .5:	# the domid is used again at once
            self.attach(guest.vmm, guest.domid, True)

    @staticmethod
    def detach(guest):
        def deed():
            if guest.vmm.call(DETACH, guest.domid):
                raise Wrong("cannot detach a domain")
        return deed

    def drop(self, guest):
        del self.guests[guest.domid]
        guest.free()

    def guest_state(self):
        guest = self.some_guest()
        if guest:
            state = self.rng.choice([0, 0, 1, 2, 3, 3, 4])
            guest.vmm.call(STATE, guest.domid, state=state)
            if state == 4:		# its record has gone
                guest.introduced = False
                guest.dies = True

    def spoil(self):
        guest = self.some_guest()
        if guest:
            guest.spoil()

    def reconnect(self):
        guest = self.some_guest()
        if guest and guest.introduced:
            guest.reconnect()

    def introduce(self):
        guest = self.some_guest()
        if not guest:
            return
        if not guest.introduced:	# nothing is left from before
            for i in range(4):
                guest.store(i, 0)
        answer = self.ask("INTRODUCE", b"%d" % guest.domid, b"1",
                          b"%d" % self.rng.choice([0, 1, 1, 1, 7]))
        if answer == b"OK\0":
            # all it sees from now on is new
            self.ask("READ", b"/")
            guest.introduced = True
            struct.pack_into("<I", guest.page, CONNECTION, 0)
            guest.started_afresh()
        elif answer != "EINVAL" and not guest.dies:
            raise Wrong(f"INTRODUCE: {answer}")

    def release(self):
        domid = self.some_domid()
        answer = self.ask("RELEASE", b"%d" % domid)
        guest = self.guests.get(domid)
        if guest and answer == b"OK\0":
            guest.introduced = False
            guest.forget()

    def domain_op(self):
        rng = self.rng
        a, b = (b"%d" % self.some_domid() for _ in range(2))
        self.ask(*rng.choice([
            ("RESUME", a), ("SET_TARGET", a, b), ("SET_TARGET", a, a),
            ("SET_FEATURE", a, b"%d" % rng.randrange(16)),
            ("GET_FEATURE", a), ("IS_DOMAIN_INTRODUCED", a),
            ("GET_DOMAIN_PATH", a), ("GET_QUOTA", a, b"nodes"),
            ("GET_QUOTA",)]))

    def quota(self):
        rng = self.rng
        name, values = rng.choice([
            (b"nodes", [3, 100, 1000]), (b"watches", [1, 128]),
            (b"outstanding", [1, 20, 0]), (b"memory", [5000, 2621440]),
            (b"transactions", [1, 10]), (b"transaction-nodes", [2, 1024]),
            (b"soft-memory", [100, 2097152]), (b"node-size", [100, 2048]),
            (b"node-permissions", [1, 5]), (b"path-max", [30, 2048])])
        args = [name, b"%d" % rng.choice(values)]
        if rng.random() < .8:
            args.insert(0, b"%d" % self.some_domid())
        self.ask("SET_QUOTA", *args)

    def control(self):
        rng = self.rng
        file = os.path.join(self.dir, "trace").encode()
        self.ask("CONTROL", *rng.choice([
            (b"check",), (b"check",), (b"quota",), (b"quota", b"max", b"-r"),
            (b"quota", b"%d" % self.some_domid()), (b"stats",),
            (b"memreport", file), (b"logfile", file), (b"log", b"off"),
            (b"log", b"on"), (b"log", b"+io"), (b"log", b"-io"),
            (b"log", b"+acc"), (b"connections",), (b"domains",),
            (b"watches", b"%d" % rng.randrange(1, 100)), (b"help",),
            (b"print", b"chaos"), (b"nonsense",)]))
        if os.path.exists(file) and os.path.getsize(file) > 10 << 20:
            os.truncate(file, 0)
        # One that goes while its check runs.
        if rng.random() < .3:
            other = Client(self.daemon.socket, PATIENCE)
            other.sock.sendall(HEADER.pack(0, 1, 0, 6) + b"check\0")
            if rng.random() < .5:
                other.sock.sendall(HEADER.pack(2, 1, 0, 2) + b"/\0")
            other.close()

    def read_or_not(self):
        actor = self.some_actor()
        if actor:
            actor.reads = not actor.reads

    def vmm_dies(self):
        if not self.vmms:
            return
        vmm = self.vmms.pop(self.rng.randrange(len(self.vmms)))
        vmm.close()
        for guest in list(self.guests.values()):
            if guest.vmm is vmm:
                self.drop(guest)

    def hostile_comes(self):
        domid = self.rng.choice(self.HOSTILE)
        if domid in self.children:
            return
        seed = self.rng.random()
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            try:
                die_with_parent()
                hostile(self.daemon.vmm, domid, seed)
            finally:
                os._exit(0)
        self.children[domid] = pid

    def hostile_dies(self):
        if self.children:
            domid = self.rng.choice(list(self.children))
            pid = self.children.pop(domid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def end_children(self):
        while self.children:
            self.hostile_dies()

    def contend(self):
        """Two transactions that read and write the same."""
        a, b = (Client(self.daemon.socket, PATIENCE) for _ in range(2))
        path = b"/chaos/%d/counter" % self.rng.randrange(4)
        try:
            ids = [int(c.call("TRANSACTION_START", b"\0")[:-1])
                   for c in (a, b)]
            for c, tx in zip((a, b), ids):
                try:
                    c.call("READ", path + b"\0", tx)
                except XSError:
                    pass
                c.call("WRITE", path + b"\0" + b"%d" % tx, tx)
                c.call("WRITE", path + b"/%d\0" % id(c), tx)
            for c, tx in zip((a, b), ids):
                try:
                    c.call("TRANSACTION_END", b"T\0", tx)
                except XSError as e:
                    if e.args[0] != "EAGAIN":
                        raise Wrong(f"TRANSACTION_END: {e}")
        except (EOFError, OSError) as e:
            raise Wrong(f"contending transactions: {e!r}")
        finally:
            a.close()
            b.close()

    # ---- rounds

    def act(self, seconds):
        deeds, weights = zip(*self.table)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.trouble:
                self.trouble(self.rng)
            for deed in self.rng.choices(deeds, weights, k=10):
                self.dare(deed)
                self.deeds += 1
            for actor in self.clients + list(self.guests.values()):
                self.dare(actor.pump)
            if self.daemon.process.poll() is not None:
                raise Wrong("it is dead")

    def dare(self, deed):
        try:
            deed()
        except (OSError, EOFError, Wrong, XSError) as e:
            if not self.trouble or isinstance(e, TimeoutError):
                raise

    def all_go(self):
        self.end_children()
        self.ask("READ", b"/")		# connects again if need be
        for client in self.clients:
            client.close()
        for guest in list(self.guests.values()):
            if self.rng.random() < .5:
                self.dare(self.detach(guest))
            self.drop(guest)
        for vmm in self.vmms:
            vmm.close()
        self.clients, self.vmms = [], []
        for name, value in ((b"nodes", 1000), (b"watches", 128),
                            (b"outstanding", 20), (b"memory", 2621440),
                            (b"transactions", 10), (b"path-max", 2048),
                            (b"transaction-nodes", 1024),
                            (b"soft-memory", 2097152), (b"node-size", 2048),
                            (b"node-permissions", 5)):
            if self.ask("SET_QUOTA", name, b"%d" % value) != b"OK\0":
                raise Wrong("cannot set a quota")
        for domid in self.domids():
            self.ask("RM", b"/local/domain/%d" % domid)
        for path in (b"/chaos", b"/local"):
            self.ask("RM", path)
        for name in self.ts.directory(b"/"):
            if name != b"tool":
                self.ask("RM", b"/" + name)
        self.ask("CONTROL", b"log", b"off")
        self.ts.write(b"/")
        self.ts.set_perms(b"/", [b"n0"])

    def left_over(self):
        """What is there that should not be, as text."""
        domains = self.ask("CONTROL", b"domains").rstrip(b"\0")
        domains = domains.decode().splitlines()
        connections = self.ask("CONTROL", b"connections").count(b"\n")
        try:
            tree = self.tree()
        except XSError as e:
            return f"{e}, of a node that was listed"
        if len(domains) != 1:
            return f"domains: {domains}"
        if "watches 0 transactions 0" not in domains[0]:
            return domains[0]
        if connections != 1:
            return f"{connections} connections"
        if tree != self.before:
            return f"the tree is {tree}"
        used = self.ask("CONTROL", b"quota", b"0").decode()
        nodes = int(re.search("nodes *: *([0-9]+)", used)[1])
        if nodes != len(tree) + 2:	# the special ones
            return f"{nodes} nodes are charged for {len(tree)}"
        # A journal has a file or two more at times.
        if self.daemon.fds() > self.fds_before + 3:
            return f"{self.daemon.fds()} descriptors, not {self.fds_before}"
        return None

    def nothing_is_left(self):
        end = time.monotonic() + PATIENCE
        while (left := self.left_over()):
            if time.monotonic() > end:
                raise Wrong(left)
            time.sleep(.05)
        if self.ask("CONTROL", b"check") != b"OK\0":
            raise Wrong("check")
        complaints = self.daemon.complaints()
        if complaints and not self.trouble:
            raise Wrong("".join(complaints[:5]))

    def round(self, seconds):
        self.act(seconds)
        self.all_go()
        self.nothing_is_left()


def run(seconds, seed, dir):
    rng = random.Random(seed)
    daemon = Daemon(dir)
    end = time.monotonic() + seconds
    length = max(1.5, min(10, seconds / 8))
    rounds, rss, why = 0, [], None
    try:
        stage = Stage(daemon, dir, rng)
        while time.monotonic() < end and not why:
            stage.round(length)
            rounds += 1
            rss.append(daemon.memory())
    except (Wrong, OSError, EOFError) as e:
        why = f"round {rounds + 1}: {type(e).__name__} {e}"[:500]
    stage.end_children()
    dead = daemon.process.poll()
    rc = daemon.stop() if dead is None else dead
    result("everybody is answered, and nothing is left of anybody", why)
    result("the daemon lives, and ends in order", rc and f"status {rc}")
    # The first rounds fill caches and pools.
    grown = rss[-1] - max(rss[:len(rss) // 2 + 1]) if rss else 0
    if sanitized():
        skip("memory is given back", "sanitizers keep memory")
    else:
        result("memory is given back", grown > GROWTH and
               f"{[r >> 10 for r in rss]} KiB")
    print(f"# {stage.deeds} deeds in {rounds} rounds, slowest answer "
          f"{stage.slowest[0] * 1000:.0f} ms ({stage.slowest[1]}), KiB "
          f"{[r >> 10 for r in rss[-4:]]}")
    if failed:
        with open(daemon.log, errors="replace") as f:
            for line in f.read().splitlines()[-80:]:
                print("#", line)


n, failed = 0, 0


def result(what, why):
    global n, failed
    n += 1
    failed += bool(why)
    print(f"{'not ok' if why else 'ok'} {n} - {what}")
    if why:
        print(f"# {why}")


def report(case, why, log, lines=40):
    """Its result, and if it failed the end of the daemon's log."""
    result(case.__doc__, why)
    if why:
        with open(log, errors="replace") as f:
            print("".join("# " + line for line in f.readlines()[-lines:]))


def main(cases, run, seconds):
    """Those that the command line names, or all; within the time."""
    signal.alarm(seconds)
    for case in cases:
        if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]:
            run(case)
    sys.exit(failed != 0)


def skip(what, why):
    global n
    n += 1
    print(f"ok {n} - {what} # skip {why}")


def sanitized():
    with open(os.path.join(BUILD, "xenstored"), "rb") as f:
        return b"libasan" in f.read()


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(f"# seed {seed}")
    with tempfile.TemporaryDirectory(prefix="xenstore-chaos.") as d:
        run(seconds, seed, d)
    sys.exit(failed != 0)
