#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The modes of xenstore that Debian's has not: follow, devices, top, dump, load.

Environment: XENSTORED_PATH (the daemon), BUILD, PEER_NAME.
"""
import os
import re
import subprocess
import sys
import tempfile

import tap
from xswire import Client, Scripted

TOOL = os.environ["BUILD"] + "/xenstore"
PEER = os.environ.get("PEER_NAME", "daemon")
HOME = b"/local/domain/"
ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def run(*argv, path=os.environ["XENSTORED_PATH"], **kw):
    p = subprocess.run([TOOL, *argv], env={**ENV, "XENSTORED_PATH": path},
                       timeout=30, capture_output=True, **kw)
    return p.returncode, p.stdout, p.stderr


def expect(sentence, got, status, out, err=b""):
    tap.ok(got == (status, out, err), PEER + ": " + sentence,
           "expected: %r\ngot: %r" % ((status, out, err), got))


def device(c, domid, name, front, back, backend=b"0/backend/", typ=None):
    """name is vbd/51712; a state that is None: the side is not there."""
    kind, _, number = name.partition(b"/")
    f = HOME + b"%d/device/" % domid + name
    b = HOME + backend + (typ or kind) + b"/%d/" % domid + number
    if front is not None:
        c.write(f + b"/backend", b)
        c.write(f + b"/state", front)
    if back is not None:
        c.write(b + b"/frontend", f)
        c.write(b + b"/state", back)
    return f, b


TITLES = b"DOMID DEVICE          FRONTEND      BACKEND       WAITS FOR  NAME\n"


def line(domid, name, front, back, waits_for, guest=b""):
    return b"%-5d %-15s %-13s %-13s %-10s %s\n" % (domid, name, front, back,
                                                   waits_for, guest)


def devices(c):
    expect("devices: an empty host has none", run("devices"), 0, b"")
    device(c, 5, b"vbd/51712", b"4", b"4")
    device(c, 5, b"vif/0", b"4", b"4")
    c.write(HOME + b"5/name", b"web")
    c.write(HOME + b"0/backend/console/5/0/frontend", HOME + b"5/console")
    c.write(HOME + b"0/backend/console/5/0/state", b"1")
    c.write(HOME + b"5/device/suspend/event-channel", b"7")
    expect("devices: what is connected is not told", run("devices"), 0, b"")
    expect("devices: unless it is asked for; consoles have no handshake",
           run("devices", "5"), 0, TITLES +
           line(5, b"vbd/51712", b"Connected", b"Connected", b"-", b"web") +
           line(5, b"vif/0", b"Connected", b"Connected", b"-", b"web"))

    # In whatever order they are made: by number.
    f, b = device(c, 100, b"vbd/51712", b"3", b"2")
    c.write(HOME + b"100/error/device/vbd/51712/error", b"22 no \x1b[2J")
    c.write(HOME + b"0/error/backend/vbd/100/51712/error", b"5 on disk")
    _, b = device(c, 20, b"vif/0", b"1", b"2")
    c.write(b + b"/hotplug-status", b"error")
    c.write(b + b"/hotplug-error", b"no bridge")
    device(c, 21, b"vif/0", b"1", b"2")
    device(c, 22, b"vif/0", b"1", b"1")
    device(c, 23, b"vif/0", b"3", b"4")
    device(c, 24, b"vif/0", b"5", b"4")
    device(c, 25, b"vif/0", b"4", b"5")
    device(c, 26, b"vif/0", b"6", b"6")
    device(c, 27, b"vif/0", b"1", b"6")
    device(c, 28, b"vif/0", b"x", b"77")
    device(c, 29, b"vif/0", b"1", None)
    device(c, 30, b"vbd/768", None, b"2", typ=b"qdisk")
    device(c, 31, b"vif/0", b"1", b"2", backend=b"20/backend/")
    told = [
        line(20, b"vif/0", b"Initialising", b"InitWait", b"hotplug"),
        b"\thotplug: no bridge\n",
        line(21, b"vif/0", b"Initialising", b"InitWait", b"frontend"),
        line(22, b"vif/0", b"Initialising", b"Initialising", b"backend"),
        line(23, b"vif/0", b"Initialised", b"Connected", b"frontend"),
        line(24, b"vif/0", b"Closing", b"Connected", b"backend"),
        line(25, b"vif/0", b"Connected", b"Closing", b"frontend"),
        line(26, b"vif/0", b"Closed", b"Closed", b"-"),
        line(27, b"vif/0", b"Initialising", b"Closed", b"backend"),
        line(28, b"vif/0", b"Unknown", b"Unknown", b"frontend"),
        line(29, b"vif/0", b"Initialising", b"missing", b"toolstack"),
        line(30, b"vbd/768", b"missing", b"InitWait", b"toolstack"),
        line(31, b"vif/0", b"Initialising", b"InitWait", b"frontend"),
        line(100, b"vbd/51712", b"Initialised", b"InitWait", b"backend"),
        b"\tfrontend: 22 no \\x1b[2J\n", b"\tbackend: 5 on disk\n"]
    expect("devices: tells whose turn it is, and what drivers complain of",
           run("devices"), 1, TITLES + b"".join(told))
    expect("devices: of some guests", run("devices", "5", "31"), 1, TITLES +
           line(5, b"vbd/51712", b"Connected", b"Connected", b"-", b"web") +
           line(5, b"vif/0", b"Connected", b"Connected", b"-", b"web") +
           told[12])
    expect("devices: of a guest that has none", run("devices", "4"), 0, b"")

    # A guest names a backend that is not its own, or none that exists.
    for name, value in [(b"vif/8", HOME + b"0/backend/vif/5/0"),
                        (b"vif/9", b"/" + b"x" * 1500)]:
        c.write(HOME + b"5/device/" + name + b"/backend", value)
    c.write(HOME + b"0/backend/vif/5/7/frontend", b"/short")
    c.write(HOME + b"0/backend/vif/5/6/frontend", HOME)
    lines = run("devices", "5")[1].split(b"\n")
    tap.ok(any(b"vif/8 " in n and b"missing" in n for n in lines) and
           any(b"vif/9 " in n and b"missing" in n for n in lines) and
           len(lines) == 8,
           PEER + ": devices: a guest's lie about its backend changes nothing",
           lines)


def dump_and_load(c):
    every = bytes(range(256))
    c.write(b"/t/a", every)
    c.write(b"/t/a/b", b" \\x41 ")
    c.write(b"/t/c", b"")
    c.set_perms(b"/t/a", [b"n0", b"r5", b"b70"])
    c.set_perms(b"/t/c", [b"b0"])
    before = c.dump(b"/t")
    status, text, err = run("dump", "/t")
    rows = text.split(b"\n")
    tap.ok(status == 0 and not err and rows[-1] == b"" and
           re.fullmatch(rb"[ -~\n]*", text), PEER + ": dump: is printable",
           (status, text, err))
    tap.ok(sorted(rows)[1:] == sorted(rows[:-1]) and b"n0 /t " in rows and
           b"n0 /t/a/b  \\\\x41 " in rows and b"b0 /t/c " in rows and
           any(r.startswith(b"n0,r5,b70 /t/a ") for r in rows),
           PEER + ": dump: a node on a line", rows)
    c.rm(b"/t")
    expect("load: loads", run("load", input=text), 0, b"")
    tap.ok(c.dump(b"/t") == before,
           PEER + ": load: values and permissions are what they were",
           c.dump(b"/t"))
    c.rm(b"/t")
    run("load", input=b"\n".join(sorted(rows, reverse=True)))
    tap.ok(c.dump(b"/t") == before, PEER + ": load: in whatever order")
    c.write(b"/t/more", b"m")
    run("load", input=text)
    tap.ok(c.read(b"/t/more") == b"m", PEER + ": load: removes nothing")

    for bad, number in [(b"n0 /t/c", 2), (b"x0 /t/c v", 2), (b"n0", 2),
                        (b"n0,, /t/c v", 2), (b" /t/c v", 2)]:
        expect("load: %s is no line of dump" % bad.decode(),
               run("load", input=b"n0 /t/c changed\n" + bad), 1, b"",
               b"xenstore: line %d is not one of dump\n" % number)
    expect("load: what the daemon refuses is told",
           run("load", input=b"n0 /t/c changed\nn0 /t//c v\n"), 1, b"",
           b"xenstore: could not load /t//c: Invalid argument\n")
    expect("load: what is too long is told",
           run("load", input=b"n0 /t/c " + b"x" * 5000), 1, b"",
           b"xenstore: could not load /t/c: Argument list too long\n")
    expect("load: what is no text is no dump",
           run("load", input=b"n0 /t/c changed\n\0n0 /t/c v\n"), 1, b"",
           b"xenstore: standard input is no text\n")
    tap.ok(c.read(b"/t/c") == b"", PEER + ": load: all or nothing")
    expect("load: nothing", run("load", input=b""), 0, b"")
    expect("dump: what is not there", run("dump", "/nope"), 1, b"",
           b"xenstore: could not list /nope: No such file or directory\n")
    expect("dump: several", run("dump", "/t/c", "/t/more"), 0,
           b"b0 /t/c \nn0 /t/more m\n")
    tap.ok(run("dump") == run("dump", "/"), PEER + ": dump: the default is /")


def top(c):
    if not PEER.startswith("ours"):
        expect("top: a daemon that does not tell",
               run("top", "-n", "1", "-d", "1"), 1, b"", b"xenstore: this "
               b"daemon does not tell who is connected\n")
        return
    with subprocess.Popen([TOOL, "top", "-n", "1", "-d", "1"], env={
            **ENV, "XENSTORED_PATH": os.environ["XENSTORED_PATH"]},
            stdout=subprocess.PIPE) as p:
        while p.poll() is None:
            for _ in range(100):
                c.read(b"/")
        rows = p.stdout.read().decode().split("\n")
    tap.ok(re.fullmatch(r"[23] connections, \d+\.\d more/s, [1-9]\d+\.\d "
                        r"requests/s, 0\.0 events/s", rows[0]),
           PEER + ": top: what the daemon does in all", rows[0])
    fields = rows[2].split()
    tap.ok(rows[1].split() == "DOMID REQ/S EV/S QUEUED WATCHES TXNS CONN "
           "KIND WHO".split() and fields[0] == "0" and
           float(fields[1]) > 100 and fields[7] == "socket" and
           fields[8].endswith("[%d]" % os.getpid()),
           PEER + ": top: the busiest comes first, with its process", rows)
    tap.ok(len(rows) in (5, 6) and "xenstore[" in rows[3],
           PEER + ": top: the others follow", rows)
    start = len(run("top", "-n", "2", "-d", "1")[1].split(b"\n"))
    tap.ok(start in (9, 11), PEER + ": top: as often as asked for", start)


def top_of_many(path):
    """More than one answer holds, and a guest that is throttled."""
    first = b"".join(b"%5d ring   d%-5d req %d ev 0 dropped 0 queued 0 "
                     b"watches 0 txns 0\n" % (i, i, 7 * i)
                     for i in range(1, 4)) + b"more: connections 9\n\0"
    then = b"    9 ring   d9     req 5 ev 2 dropped 0 queued 3 watches 4 " \
        b"txns 1 throttled: \x1b memory\n\0"
    stats = b"Requests executed   10\nSocket connections accepted   3\n\0"
    rules = [("CONTROL", b"stats\0", [stats, stats]),
             ("CONTROL", b"connections\0009\0", [then, then]),
             ("CONTROL", b"connections\0",
              [first, first.replace(b"req 14 ", b"req 1014 ")])]
    with Scripted(path, {HOME + b"9/name": b"gu\x9best"}, rules):
        status, out, err = run("top", "-n1", "-d1", path=path)
    rows = out.split(b"\n")
    tap.ok(status == 0 and not err and rows[0].startswith(b"4 connections, "
                                                          b"0.0 more/s") and
           rows[2].split()[0] == b"2" and rows[5].split() ==
           b"9 0.0 0.0 3 4 1 9 ring gu\\x9best \\x1b memory".split(),
           "top: reads on where the list is cut, prints what is printable",
           (status, out, err))
    with Scripted(path, {}, [("CONTROL", None, [stats, first.replace(
            b"more: connections 9\n", b"") , "CLOSE"])]):
        expect("top: the daemon dies", run("top", "-d1", path=path), 1, b"",
               b"xenstore: connections: Bad file descriptor\n")


def follow(c):
    c.write(b"/f/a", b"\x1b[2J")
    with subprocess.Popen([TOOL, "follow", "-n", "5", "/f",
                           "@introduceDomain"], env={
            **ENV, "XENSTORED_PATH": os.environ["XENSTORED_PATH"]},
            stdout=subprocess.PIPE) as p:
        rows = [p.stdout.readline(), p.stdout.readline()]
        c.write(b"/f/a", b"\x1b[3J")
        rows.append(p.stdout.readline())
        c.rm(b"/f/a")
        rows.append(p.stdout.readline())
        c.rm(b"/f")
        rows.append(p.stdout.readline())
        status = p.wait(10)
    tap.ok(all(re.match(rb"\d\d:\d\d:\d\d\.\d\d\d ", r) for r in rows),
           PEER + ": follow: tells the time", rows)
    got = [r[13:] for r in rows]
    tap.ok(got == [b'/f = ""\n', b"@introduceDomain\n",
                   b'/f/a = "\\x1b[3J"\n', b"/f/a: not there\n",
                   b"/f: not there\n"] and status == 0,
           PEER + ": follow: tells the value", (status, got))
    status, out, err = run("follow", "-d0", "-n1")
    tap.ok(PEER[:4] != "ours" or status == 0 and out[13:] == b'/ = ""\n' and
           not err, PEER + ": follow: the root, if nothing is named",
           (status, out, err))


def conflicts(path):
    with Scripted(path, {b"/a": b"1"},
                  [("TRANSACTION_END", None, ["EAGAIN"])]) as daemon:
        expect("load: a conflict makes it try again with the same lines",
               run("load", input=b"n0 /a 2\n", path=path), 0, b"")
        tap.ok([p for op, p in daemon.log if op == "WRITE"] == [b"/a\0002"] * 2,
               "load: all of them", daemon.log)
    with Scripted(path, {b"/a": b"1"}) as daemon:
        expect("dump: is of one moment", run("dump", "/a", path=path), 0,
               b"n0 /a 1\n")
        tap.ok(daemon.log[0][0] == "TRANSACTION_START" and
               daemon.log[-1] == ("TRANSACTION_END", b"F\0"),
               "dump: conflicts with nobody", daemon.log)


def usage():
    for mode, text in [("follow", "[-n NR] [-d levels] [path ...]"),
                       ("devices", "[domid ...]"),
                       ("top", "[-d seconds] [-n NR]"),
                       ("dump", "[path ...]"), ("load", "")]:
        line = ("xenstore: Usage: %s %s [-h] %s" % (TOOL, mode, text)).strip()
        expect(mode + " -h", run(mode, "-h"), 0, b"", line.encode() + b"\n")
        expect(mode + " -R", run(mode, "-R"), 1, b"", line.encode() + b"\n")


def main():
    c = Client(os.environ["XENSTORED_PATH"])
    for name in c.directory(b"/"):
        if name != b"tool":
            c.rm(b"/" + name)
    usage()
    devices(c)
    dump_and_load(c)
    top(c)
    follow(c)
    c.close()
    with tempfile.TemporaryDirectory(prefix="xenstore-tools.") as tmp:
        top_of_many(tmp + "/socket")
        conflicts(tmp + "/socket")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
