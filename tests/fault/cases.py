#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What chaos has brought to light, one case at a time, as TAP."""
import os
import random
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
import chaos  # noqa: E402
from chaos import CONNECTION, HEADER, OP, PATIENCE, Daemon, Guest, Vmm, \
    Wrong  # noqa: E402
from xswire import Client, XSError  # noqa: E402


class Plain(Guest):
    """A guest that asks one thing after the other."""

    def __init__(self, vmm, domid):
        super().__init__(vmm, domid, random.Random(1), [domid], True)
        self.answers = []

    def answer(self, kind, req, tx, payload):
        self.answers.append((kind, payload))

    def submit(self, op, payload, tx=0):
        self.output += HEADER.pack(OP[op], 1, tx, len(payload)) + payload

    def hear(self, seconds=PATIENCE):
        """The next answer or event, or None."""
        end = time.monotonic() + seconds
        while not self.answers and time.monotonic() < end:
            self.pump()
            time.sleep(.001)
        return self.answers.pop(0) if self.answers else None

    def ask(self, op, payload, tx=0):
        self.submit(op, payload, tx)
        got = self.hear()
        if not got:
            raise Wrong(f"no answer to {op}")
        kind, answer = got
        return answer[:-1].decode() if kind == OP["ERROR"] else answer


def error(client, op, *args):
    try:
        client.call(op, b"".join(a + b"\0" for a in args))
        return None
    except XSError as e:
        return e.args[0]


def status(client, domid):
    """The line of a ring's connection."""
    for line in client.call("CONTROL", b"connections\0").decode().split("\n"):
        if f" d{domid} " in line and " ring " in line:
            return line
    return ""


def await_status(client, domid, what):
    end = time.monotonic() + PATIENCE
    while what not in status(client, domid):
        want(time.monotonic() < end, status(client, domid))
        time.sleep(.01)


def want(what, why):
    if not what:
        raise Wrong(why)


# ---- the cases --------------------------------------------------------------

def stalled(ts, vmm):
    """who has too much goes on when others remove some of it"""
    guest = Plain(vmm, 1)
    ts.call("MKDIR", b"/local/domain/1\0")
    ts.call("SET_PERMS", b"/local/domain/1\0n1\0")
    for i in range(4):
        guest.ask("WRITE", b"data/%d\0" % i + b"x" * 1000)
    ts.call("SET_QUOTA", b"1\0memory\0002500\0")
    guest.submit("READ", b"data/0\0")
    await_status(ts, 1, "throttled: memory")
    want(guest.hear(.1) is None, "it is not stalled")
    ts.call("RM", b"/local/domain/1/data\0")
    want(guest.hear() == (OP["ERROR"], b"ENOENT\0"), "it is stalled for good")


def at_the_limit(ts, vmm):
    """who has just as much as he may have goes on"""
    guest = Plain(vmm, 1)
    ts.call("MKDIR", b"/local/domain/1\0")
    ts.call("SET_PERMS", b"/local/domain/1\0n1\0")
    guest.ask("WRITE", b"data\0" + b"x" * 1000)
    used = ts.call("CONTROL", b"quota\0001\0").decode()
    line = next(x for x in used.split("\n") if x.startswith("memory"))
    ts.call("SET_QUOTA", b"1\0memory\0%d\0" % int(line.split()[2]))
    want(guest.ask("WRITE", b"data\0x") == b"OK\0", "not even for less")


def broken(ts, vmm):
    """a broken ring is ignored, holds nothing, and can be used again"""
    guest, other = Plain(vmm, 1), Plain(vmm, 2)
    want(guest.ask("WATCH", b"/a\0t\0") == b"OK\0", "WATCH")
    guest.hear()
    want(guest.ask("TRANSACTION_START", b"\0") == b"1\0", "START")
    guest.store(1, guest.load(1) + 5000)
    guest.kick()
    await_status(ts, 1, "watches 0 txns 0 throttled: ignored")
    want(error(ts, "SET_TARGET", b"1", b"2") == "EINVAL", "SET_TARGET")
    ts.write(b"/a")
    guest.reconnect()
    end = time.monotonic() + PATIENCE
    while struct.unpack_from("<I", guest.page, CONNECTION)[0] and \
            time.monotonic() < end:
        time.sleep(.01)
    guest.started_afresh()
    want(guest.ask("READ", b"/b\0") in ("EACCES", "ENOENT"), "not revived")
    want(other.ask("READ", b"/b\0") in ("EACCES", "ENOENT"), "the other one")


def piled_up(ts, vmm):
    """a ring is ended while a change is told that is one too many for it"""
    guest = Plain(vmm, 1)
    ts.call("MKDIR", b"/f\0")
    ts.call("SET_PERMS", b"/f\0r0\0")
    ts.call("SET_QUOTA", b"1\0memory\0000\0")
    for i in range(100):
        answer = guest.ask("WATCH", b"/f\0%d" % i + b"t" * 3500 + b"\0")
        want(answer == b"OK\0", f"WATCH: {answer}")
        guest.hear()
    for i in range(900):
        ts.write(b"/f/%d" % i)
    await_status(ts, 1, "watches 0 txns 0 throttled: ignored")


CASES = [stalled, at_the_limit, broken, piled_up]


def run(case):
    with tempfile.TemporaryDirectory(prefix="xenstore-cases.") as dir:
        daemon = Daemon(dir, event_timeout=0)	# never
        try:
            case(Client(daemon.socket, PATIENCE), Vmm(daemon.vmm))
            why = None
        except (Wrong, OSError, EOFError, XSError) as e:
            why = f"{type(e).__name__} {e}"
        status = daemon.stop()
        if status:
            why = f"{why or 'good, but'} status {status}"
        chaos.report(case, why, daemon.log)


if __name__ == "__main__":
    chaos.main(CASES, run, 200)
