#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Each allocation that an operation makes fails once, as TAP.

Right answers are the one that would have been given, ENOMEM, and none but the
end of the connection. After each the daemon has to be as it should: what was
refused has not been done, what was answered has, and CONTROL check agrees.
"""
import errno
import os
import random
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
import chaos  # noqa: E402
from cases import Plain  # noqa: E402
from chaos import BUILD, CONNECTION, OP, PATIENCE, Daemon, Vmm, \
    Wrong  # noqa: E402
from xswire import Client, XSError, recv_message  # noqa: E402

ALL_WELL = (1 << 64) - 1
MOST = 300			# allocations of one operation


class Memory:
    """What tests/fault/failing.c does in the daemon."""

    def __init__(self, dir):
        self.file = os.path.join(dir, "failing")
        with open(self.file, "wb") as f:
            f.write(bytes(32))
        self.fd = os.open(self.file, os.O_RDWR)
        self.well()

    def well(self):
        self.fail_after(ALL_WELL)

    def fail_after(self, n, between=ALL_WELL):
        os.pwrite(self.fd, struct.pack("<QQ", n, between), 0)

    def failed(self):
        return struct.unpack("<Q", os.pread(self.fd, 8, 16))[0]


class Gone(Exception):
    """The connection has ended."""


def begin(way):
    answer = way.ask("TRANSACTION_START", b"\0")
    return int(answer[:-1])


def prepared(way, ts):
    """A transaction with a bit of everything."""
    tx = begin(way)
    way.ask("WRITE", b"t/a\0value", tx)
    way.ask("MKDIR", b"t/b/c\0", tx)
    way.ask("READ", b"x\0", tx)
    way.ask("RM", b"many\0", tx)
    way.ask("SET_PERMS", b"t/b\0n1\0r2\0", tx)
    return tx


def overtaken(way, ts):
    """The same, and the tree has moved on since: the commit is a merge."""
    tx = prepared(way, ts)
    for path in (b"other", b"x/other"):
        ts.client.write(HOME + path, b"v")
    return tx


def handed_over(way, ts):
    tx = begin(way)
    way.ask("SET_PERMS", b"many\0n0\0", tx)
    way.ask("WRITE", b"many/new\0value", tx)
    way.ask("SET_PERMS", b"many/3\0n1\0", tx)
    return tx


def missing(*paths):
    def look(ts):
        for path in paths:
            try:
                ts.read(b"/local/domain/1/" + path)
                return False
            except XSError:
                pass
        return True
    return look


def there(path, value=b""):
    def look(ts):
        try:
            return ts.read(b"/local/domain/1/" + path) == value
        except XSError:
            return False
    return look


def any_state(ts):
    return True


HOME = b"/local/domain/1/"
# (op, payload, what prepares the transaction, true if done, true if not done)
OPERATIONS = [
    ("READ", b"x\0", None, any_state, any_state),
    ("READ", b"x\0", prepared, any_state, any_state),
    ("DIRECTORY", b"many\0", None, any_state, any_state),
    ("DIRECTORY_PART", b"many\0000\0", None, any_state, any_state),
    ("GET_PERMS", b"x\0", None, any_state, any_state),
    ("WRITE", b"x\0new", None, there(b"x", b"new"), there(b"x", b"old")),
    ("WRITE", b"x\0" + b"n" * 1500, None, there(b"x", b"n" * 1500),
     there(b"x", b"old")),
    ("WRITE", b"x\0", None, there(b"x"), there(b"x", b"old")),
    ("WRITE", b"n/e/w\0v", None, there(b"n/e/w", b"v"), missing(b"n")),
    ("WRITE", b"w\0v", prepared, any_state, missing(b"w")),
    ("MKDIR", b"many/new\0", None, there(b"many/new"), missing(b"many/new")),
    ("RM", b"many\0", None, missing(b"many"), there(b"many/3")),
    ("RM", b"x\0", None, missing(b"x"), there(b"x", b"old")),
    ("SET_PERMS", b"many\0n1\0r2\0b5\0", None, any_state, any_state),
    ("WATCH", b"many\0token\0", None, any_state, any_state),
    ("UNWATCH", b"many\0fixed\0", None, any_state, any_state),
    ("TRANSACTION_START", b"\0", None, any_state, any_state),
    ("TRANSACTION_END", b"T\0", prepared, there(b"t/a", b"value"),
     missing(b"t", b"t/b")),
    ("TRANSACTION_END", b"T\0", overtaken, there(b"t/a", b"value"),
     missing(b"t/a", b"t/b")),
    ("TRANSACTION_END", b"F\0", prepared, missing(b"t"), missing(b"t")),
    ("RESET_WATCHES", b"\0", None, any_state, any_state),
    ("GET_DOMAIN_PATH", b"1\0", None, any_state, any_state),
]
# A node with children, and one of them, change hands.
FOR_THE_PRIVILEGED = [
    ("SET_PERMS", b"many\0n0\0", None, any_state, any_state),
    ("SET_PERMS", b"many/3\0n1\0r0\0", None, any_state, any_state),
    ("SET_PERMS", b"x\0n0\0b1\0", prepared, any_state, any_state),
    ("TRANSACTION_END", b"T\0", handed_over, any_state, any_state),
]


class OnSocket:
    name = "a socket"
    more = FOR_THE_PRIVILEGED

    def __init__(self, daemon, vmm):
        self.daemon = daemon
        self.guest = Plain(vmm, 1)	# exists
        self.client = Client(daemon.socket, PATIENCE)

    def ask(self, op, payload, tx=0):
        if op not in ("TRANSACTION_START", "TRANSACTION_END", "RESET_WATCHES",
                      "GET_DOMAIN_PATH") and payload[:1] != b"/":
            payload = HOME + payload	# as for a guest
        try:
            return self.client.call(op, payload, tx)
        except XSError as e:
            return e.args[0]
        except (EOFError, ConnectionError):
            raise Gone from None

    def again(self):
        self.client.close()
        self.client = Client(self.daemon.socket, PATIENCE)


class OnRing:
    name = "a ring"
    more = []

    def __init__(self, daemon, vmm):
        self.guest = Plain(vmm, 1)

    def ask(self, op, payload, tx=0):
        self.guest.answers.clear()
        self.guest.submit(op, payload, tx)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            got = self.guest.hear(.02)
            if got and got[0] == OP["ERROR"]:
                return got[1][:-1].decode()
            if got and got[0] == OP[op]:
                return got[1]
            if struct.unpack_from("<I", self.guest.page, CONNECTION + 4)[0]:
                raise Gone
        raise Wrong(f"no answer to {op}")

    def again(self):
        self.guest.reconnect()
        end = time.monotonic() + PATIENCE
        while struct.unpack_from("<I", self.guest.page, CONNECTION)[0]:
            if time.monotonic() > end:
                raise Wrong("a ring cannot be used again")
            time.sleep(.002)
        self.guest.started_afresh()
        self.guest.answers.clear()


def prepare(ts):
    """The same before every try."""
    try:
        ts.call("RM", b"/local/domain/1\0")
    except XSError:
        pass
    ts.write(HOME + b"x", b"old")
    for i in range(20):
        ts.write(HOME + b"many/%d" % i)
    for path in (b"/local/domain/1", HOME + b"x", HOME + b"many"):
        ts.set_perms(path, [b"n1"])


def one(memory, ts, way, operation, n):
    """One try. False: there were not so many allocations."""
    op, payload, before, done, not_done = operation
    way.again()
    prepare(ts.client)
    way.ask("WATCH", HOME + b"many\0fixed\0")
    tx = before(way, ts) if before else 0
    failed = memory.failed()
    memory.fail_after(n)
    try:
        answer = way.ask(op, payload, tx)
    except Gone:
        answer = None
    ts.call("READ", b"/\0")		# the tick is over
    memory.well()
    ts = ts.client
    what = f"{op} {payload[:20]} on {way.name}, allocation {n}: {answer!r}"
    if answer is None:
        if not done(ts) and not not_done(ts):
            raise Wrong(f"{what} and done by half")
    elif isinstance(answer, str):
        if answer != "ENOMEM":
            raise Wrong(f"{what}")
        if not not_done(ts):
            raise Wrong(f"{what} but done")
    elif not done(ts):
        raise Wrong(f"{what} but not done")
    return memory.failed() > failed


def each_allocation(daemon, memory, Way):
    ts = Toolstack(daemon)
    vmm = Vmm(daemon.vmm)
    way = Way(daemon, vmm)
    tries = 0
    for operation in OPERATIONS + Way.more:
        n = 0
        while one(memory, ts, way, operation, n):
            n += 1
            tries += 1
            if n > MOST:
                raise Wrong(f"{operation[0]} allocates without an end")
        if ts.call("CONTROL", b"check\0") != b"OK\0":
            raise Wrong("check")
    print(f"# {tries} failures")


def on_a_socket(daemon, memory):
    """each allocation of each operation on a socket may fail"""
    each_allocation(daemon, memory, OnSocket)


def on_a_ring(daemon, memory):
    """each allocation of each operation on a ring may fail"""
    each_allocation(daemon, memory, OnRing)


class Toolstack:
    def __init__(self, daemon):
        self.daemon = daemon
        self.client = Client(daemon.socket, PATIENCE)

    def call(self, op, payload):
        """The answer, or the name of an error; None: hung up."""
        try:
            return self.client.call(op, payload)
        except XSError as e:
            return e.args[0]
        except (EOFError, ConnectionError):
            self.client.close()
            self.client = Client(self.daemon.socket, PATIENCE)
            return None


def is_born(ts, vmm):
    """A guest, introduced, or None."""
    try:
        guest = Plain(vmm, 1)
    except (OSError, EOFError, struct.error) as e:
        if isinstance(e, OSError) and not isinstance(e, ConnectionError) and \
                e.errno not in (errno.ENOMEM, errno.EMFILE):
            raise
        return None
    answer = ts.call("INTRODUCE", b"1\0001\0001\0")
    if answer not in (b"OK\0", "ENOMEM", None):
        raise Wrong(f"INTRODUCE: {answer}")
    return guest


def dies(ts, vmm, guest, end):
    if end == "RELEASE":
        ts.call("RELEASE", b"1\0")
    elif end == "DETACH":
        vmm.call(chaos.DETACH, 1)
    vmm.close()
    guest.free()
    ts.call("READ", b"/\0")


def events(watcher):
    """How often @releaseDomain was told."""
    n = 0
    watcher.sock.setblocking(False)
    try:
        while True:
            n += recv_message(watcher.sock)[3].startswith(b"@releaseDomain\0")
    except BlockingIOError:
        return n


def one_life(daemon, memory, ts, end, n):
    """Fails the n-th allocation of a birth and of a death. False: neither had
    so many."""
    before = memory.failed()
    vmm = Vmm(daemon.vmm)
    memory.fail_after(n)
    guest = is_born(ts, vmm)
    memory.well()
    watcher = Client(daemon.socket, PATIENCE)
    watcher.call("WATCH", b"@releaseDomain\0t\0")
    introduced = guest and ts.call("IS_DOMAIN_INTRODUCED", b"1\0") == b"T\0"
    if guest:
        prepare(ts.client)
        ts.client.write(b"/theirs", b"")
        ts.client.set_perms(b"/theirs", [b"n1"])
        memory.fail_after(n)
        dies(ts, vmm, guest, end)
        memory.well()
    else:
        vmm.close()
    until = time.monotonic() + PATIENCE
    while ts.call("CONTROL", b"domains\0").count(b"\n") != 1:
        if time.monotonic() > until:
            raise Wrong(f"{end} {n}: the domain stays")
        time.sleep(.02)
    if ts.call("READ", b"/theirs\0") != "ENOENT":
        raise Wrong(f"{end} {n}: a node survives its owner")
    told = events(watcher) - 1	# the first one of each watch
    watcher.close()
    # The event itself may be what there was no memory for.
    if told > 1 or (introduced and not told and memory.failed() == before):
        raise Wrong(f"{end} {n}: its end was told {told} times")
    return memory.failed() > before


def lives(daemon, memory):
    """each allocation at the birth and death of a domain may fail"""
    ts = Toolstack(daemon)
    tries = 0
    for end in ("RELEASE", "DETACH", "the VMM"):
        n = 0
        while one_life(daemon, memory, ts, end, n):
            n += 1
            tries += 1
            if n > MOST:
                raise Wrong(f"{end} allocates without an end")
        if ts.call("CONTROL", b"check\0") != b"OK\0":
            raise Wrong("check")
    print(f"# {tries} lives")


def storm(daemon, memory):
    """in all that is going on allocations fail at random"""
    rng = random.Random(SEED)

    def trouble(rng):
        if rng.random() < .5:
            memory.well()
        else:
            memory.fail_after(rng.choice([0, 5, 50, 500]),
                              rng.choice([0, 1, 5, 50, 500]))

    stage = chaos.Stage(daemon, daemon.dir, rng, trouble)
    try:
        for _ in range(ROUNDS):
            stage.act(1)
            memory.well()
            stage.all_go()
            stage.nothing_is_left()
    finally:
        memory.well()
        stage.end_children()
    print(f"# {stage.deeds} deeds, {memory.failed()} failures")


SEED = int(os.environ.get("SEED", "7"))
ROUNDS = int(os.environ.get("ROUNDS", "4"))
CASES = [on_a_socket, on_a_ring, lives, storm]


def run(case):
    with tempfile.TemporaryDirectory(prefix="xenstore-memory.") as dir:
        memory = Memory(dir)
        os.environ["FAILING"] = memory.file
        daemon = Daemon(dir, preload=os.path.join(BUILD,
                                                  "tests/fault/failing.so"))
        try:
            case(daemon, memory)
            why = "".join(line for line in daemon.complaints()
                          if "failed: Cannot allocate" not in line and
                          "cannot remove" not in line)
        except (Wrong, OSError, EOFError, XSError) as e:
            why = f"{type(e).__name__} {e}"
        memory.well()
        dead = daemon.process.poll()
        status = daemon.stop() if dead is None else dead
        if status:
            why = f"{why or 'good, but'}, status {status}"
        chaos.report(case, why, daemon.log, 60)


if __name__ == "__main__":
    chaos.main(CASES, run, 280)
