#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The tools on a daemon that answers what the test says.

What real daemons answer rarely: failures in the middle, EAGAIN, a death, live
update; and what only a hostile one would. Where Debian's tool does the same
thing it runs beside ours and must do the same, request for request.

Environment: BUILD.
"""
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time

import tap
from xswire import OP, Scripted

THEIRS = "/usr/bin/"
THEIR_CONTROL = "/usr/lib/xen-4.17/bin/xenstore-control"
OURS = os.environ["BUILD"] + "/"
STORE = {b"/a": b"1", b"/a/b": b"2", b"/c": b"3"}
OK = b"OK\0"


class Tool:
    """Runs a tool on a scripted daemon."""

    def __init__(self, tmp):
        self.socket = tmp + "/socket"
        self.env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                    "XENSTORED_PATH": self.socket}

    def run(self, exe_dir, argv, rules=(), store=STORE, **popen):
        exe = exe_dir + argv[0]
        if exe == THEIRS + "xenstore-control":
            exe = THEIR_CONTROL
        with Scripted(self.socket, store, rules) as daemon:
            p = subprocess.run(argv, executable=exe, env=self.env, timeout=20,
                               stdin=subprocess.DEVNULL,
                               **{"stdout": subprocess.PIPE,
                                  "stderr": subprocess.PIPE, **popen})
        return (p.returncode, p.stdout, p.stderr), daemon.log

    def same(self, sentence, argv, rules=(), store=STORE):
        """Ours does what Debian's does."""
        theirs = self.run(THEIRS, argv, rules, store)
        ours = self.run(OURS, argv, rules, store)
        # 4.17 leaves it to the connection's end to abort in one place.
        logs = [[r for r in log if r != ("TRANSACTION_END", b"F\0")]
                for log in (theirs[1], ours[1])]
        tap.ok(theirs[0] == ours[0] and logs[0] == logs[1], sentence,
               "theirs: %.1500r\nours: %.1500r" % (theirs, ours))

    def gives(self, sentence, argv, expected, rules=(), store=STORE, **popen):
        """(status, stdout, stderr) of ours are as expected."""
        got, log = self.run(OURS, argv, rules, store, **popen)
        tap.ok(got == expected, sentence,
               "expected: %.1500r\ngot: %.1500r\nlog: %.1500r" %
               (expected, got, log))
        return log


def transactions(t):
    read = ["xenstore-read", "/a", "/c"]
    end = "TRANSACTION_END"
    t.same("a conflict makes read try again and print once", read,
           [(end, None, ["EAGAIN", "EAGAIN"])])
    t.same("a conflict makes write try again with the same bytes",
           ["xenstore-write", "/a", "\\x41\\\\\\n", "/c", "2"],
           [(end, None, ["EAGAIN"])])
    t.same("a conflict makes list try again and print once",
           ["xenstore-list", "/", "/a"], [(end, None, ["EAGAIN"])])
    t.same("a conflict makes chmod try again",
           ["xenstore-chmod", "-r", "/a", "r0"], [(end, None, ["EAGAIN"])])
    t.same("a conflict makes rm try again", ["xenstore-rm", "-t", "/a/b"],
           [(end, None, ["EAGAIN"]), ("RM", None, [OK])])
    t.same("a refused commit prints nothing", read, [(end, None, ["ENOSPC"])])
    t.same("a refused abort is told after the failure",
           ["xenstore-read", "/a", "/nope"], [(end, None, ["EIO"])])
    t.same("a transaction that cannot start is told", read,
           [("TRANSACTION_START", None, ["EBUSY"])])
    t.same("exists with a refused abort", ["xenstore-exists", "/nope"],
           [(end, None, ["EIO"])])
    t.same("exists takes any failure as no", ["xenstore-exists", "/a"],
           [("READ", None, ["EIO"])])


def failures(t):
    for opts in ([], ["-p"], ["-f"], ["-fp"]):
        ls = ["xenstore-ls"] + opts
        name = " ".join(ls)
        t.same(name + ": a value that cannot be read", ls,
               [("READ", b"/a\0", ["EACCES"])])
        t.same(name + ": permissions that cannot be read", ls,
               [("GET_PERMS", b"/a/b\0", ["EACCES"])])
        t.same(name + ": neither can be read", ls,
               [("READ", b"/a\0", ["EACCES"]),
                ("GET_PERMS", b"/a\0", ["ENOENT"])])
        t.same(name + ": a node that vanishes before it is listed", ls,
               [("DIRECTORY", b"/a\0", ["ENOENT"])])
        t.same(name + ": children that cannot be listed", ls,
               [("DIRECTORY", b"/a\0", ["EACCES"])])
        t.same(name + ": the daemon dies in the middle", ls,
               [("READ", b"/a/b\0", ["CLOSE"])])
    t.same("read: the daemon dies", ["xenstore-read", "/a"],
           [("READ", None, ["CLOSE"])])
    t.same("watch: the daemon dies while the watch is set",
           ["xenstore-watch", "/a"], [("WATCH", None, ["CLOSE"])])
    t.same("rm -t: a parent that cannot be read stays",
           ["xenstore-rm", "-t", "/a/b"], [("READ", b"/a\0", ["EIO"])],
           {b"/a": b"", b"/a/b": b""})
    t.same("rm -t: a parent that cannot be listed stays",
           ["xenstore-rm", "-t", "/a/b"], [("DIRECTORY", b"/a\0", ["EIO"])],
           {b"/a": b"", b"/a/b": b""})
    t.same("rm -t: a parent that cannot be removed is an error",
           ["xenstore-rm", "-t", "/a/b"], [("RM", b"/a\0", ["EACCES"])],
           {b"/a": b"", b"/a/b": b""})
    t.same("chmod -r: a descendant that refuses is an error",
           ["xenstore-chmod", "-r", "/a", "n0"],
           [("SET_PERMS", b"/a/b\0", ["EACCES"])])
    t.same("chmod -r: a descendant that vanishes is passed over",
           ["xenstore-chmod", "-r", "/a", "n0"],
           [("DIRECTORY", b"/a/b\0", ["ENOENT"])])
    # Debian's 4.17 commits half the tree and says nothing.
    t.gives("chmod -r: children that cannot be listed are an error",
            ["xenstore-chmod", "-r", "/a", "n0"],
            (1, b"", b"xenstore-chmod: could not list path /a\n"),
            [("DIRECTORY", None, ["EACCES"])])
    for name, argv in [("read", ["xenstore-read", "/a"]),
                       ("ls", ["xenstore-ls"]),
                       ("list", ["xenstore-list", "/"]),
                       ("watch", ["xenstore-watch", "-n", "1", "/a"]),
                       ("control", ["xenstore-control", "x"])]:
        with open("/dev/full", "wb") as full:
            t.gives(name + ": output that cannot be written is an error",
                    argv, (3 if name == "control" else 1, None, b"%s: "
                           b"write error: No space left on device\n" %
                           argv[0].encode()),
                    [("CONTROL", None, [b"text\0"])], stdout=full)


def closed_streams(t):
    """What is printed must not be sent to the daemon as a request."""
    def close(*fds):
        def run():
            for fd in fds:
                os.close(fd)
        return run

    # A request of its own, as a guest may have written it into its nodes.
    request = struct.pack("<4I", OP["RM"], 0, 0, 3) + b"/c\0"
    hostile = {b"/a": request * 200, b"/b": request * 200}
    log = t.gives("read -R: a value does not become a request",
                  ["xenstore-read", "-R", "/a", "/b"],
                  (1, b"", b"xenstore-read: write error: "
                   b"Bad file descriptor\n"), (), hostile,
                  preexec_fn=close(1))
    tap.ok([op for op, _ in log] == ["TRANSACTION_START", "READ", "READ",
                                     "TRANSACTION_END"],
           "read -R: the daemon gets no more than it should", log)
    for fds in [(1,), (0, 1), (0, 1, 2)]:
        said = b"" if 2 in fds else b": write error: Bad file descriptor\n"
        which = " ".join(map(str, fds))
        for name, argv in [("watch", ["xenstore-watch", "-n", "1", "/a"]),
                           ("ls", ["xenstore-ls"]),
                           ("control", ["xenstore-control", "x"])]:
            t.gives("%s without descriptor %s" % (name, which), argv,
                    (3 if name == "control" else 1, b"",
                     said and argv[0].encode() + said),
                    [("CONTROL", None, [b"text\0"])],
                    preexec_fn=close(*fds))
    log = t.gives("read: a message does not become a request",
                  ["xenstore-read", "/nope"], (1, b"", b""),
                  preexec_fn=close(0, 2))
    tap.ok(log == [("READ", b"/nope\0")],
           "read: the daemon gets no message", log)
    t.gives("write needs no streams", ["xenstore-write", "/a", "2"],
            (0, b"", b""), preexec_fn=close(0, 1, 2))


def hostile_answers(t):
    """What no correct daemon says must not reach a terminal either (XSA-175,
    XSA-178, XSA-474)."""
    names = b"\x1b[2J\0\xc3\xa9\0new\nline\0back\\slash\0"
    shown = b"\\x1b[2J\n\\xc3\\xa9\nnew\\nline\nback\\slash\n"
    t.gives("list: unprintable names are escaped", ["xenstore-list", "/"],
            (0, shown, b""), [("DIRECTORY", None, [names])])
    t.gives("list -p: unprintable names are escaped",
            ["xenstore-list", "-p", "/a"],
            (0, b"".join(b"/a/" + n + b"\n" for n in shown.split()), b""),
            [("DIRECTORY", None, [names])])
    t.gives("ls: unprintable names are escaped", ["xenstore-ls"],
            (0, b'\\x1b[2J = "v"\n\\xc3\\xa9 = "v"\nnew\\nline = "v"\n'
             b'back\\slash = "v"\n', b""),
            [("DIRECTORY", b"/\0", [names]), ("DIRECTORY", None, [b""] * 4),
             ("READ", None, [b"v"] * 4)])
    t.gives("ls -f: unprintable names are escaped, also in messages",
            ["xenstore-ls", "-fp"],
            (0, b'/\\x1b[2J = "v" \n', b"xenstore-ls: \ncould not access "
             b"permissions for \\x1b[2J: Permission denied\n"),
            [("DIRECTORY", b"/\0", [b"\x1b[2J\0"]),
             ("DIRECTORY", None, [b""]), ("READ", None, [b"v"]),
             ("GET_PERMS", None, ["EACCES"])])
    t.gives("ls: an unprintable path in a message is escaped",
            ["xenstore-ls"], (1, b'\\x9b = ""\n', b"xenstore-ls: "
                              b"xs_directory (/\\x9b): Input/output error\n"),
            [("DIRECTORY", b"/\0", [b"\x9b\0"]), ("READ", None, [b""]),
             ("DIRECTORY", None, ["EIO"])])
    t.gives("ls: a tree without end ends with an error", ["xenstore-ls", "/a"],
            (1, None, b"xenstore-ls: xs_directory (/a%s): Argument list too "
             b"long\n" % (b"/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" * 103)),
            [("DIRECTORY", None, [b"x" * 39 + b"\0"] * 1000),
             ("READ", None, [b""] * 1000)], stdout=subprocess.DEVNULL)
    t.gives("watch: unprintable paths are escaped",
            ["xenstore-watch", "-n", "2", "/a"],
            (0, b"/\\x1b[2J\\n\n/a\n", b""),
            [("WATCH", None, [event_first(b"/\x1b[2J\n")])])
    t.gives("control: unprintable answers are escaped, lines are kept",
            ["xenstore-control", "x"],
            (0, b"one\ttwo\n\\x1b[31m \\xff\\r\n\n", b""),
            [("CONTROL", None, [b"one\ttwo\n\x1b[31m \xff\r\n\0"])])
    t.gives("control: unprintable help is escaped", ["xenstore-control", "x"],
            (3, b"", b"Command not supported. Valid commands are:\n"
             b"\\x1b[31m\n"), [("CONTROL", None, ["EINVAL", b"\x1b[31m\0"])])
    t.gives("control: an unprintable refusal of an update is escaped",
            ["xenstore-control", "live-update", "/f"],
            (3, b"", b"Setting update binary failed:\n\\x1b[31m\n"),
            [("CONTROL", None, [b"\x1b[31m\0"])])
    t.gives("read: an answer longer than allowed is an error",
            ["xenstore-read", "/a"],
            (1, b"", b"xenstore-read: couldn't read path /a\n"),
            [("READ", None, [b"x" * 5000])])


def event_first(path):
    """An answer to WATCH that has an event before it."""
    def answer(sock, request):
        token = request.split(b"\0")[1]
        Scripted.send(sock, "WATCH_EVENT", path + b"\0" + token + b"\0")
        return OK
    return answer


def watching(t):
    start = t.env["XENSTORED_PATH"]
    with Scripted(start, STORE) as daemon:
        p = subprocess.Popen(["xenstore-watch", "/a"], env=t.env,
                             executable=OURS + "xenstore-watch",
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = p.stdout.readline()
        tap.ok(first == b"/a\n", "watch: the first event comes at once", first)
        before = time.monotonic()
        daemon.drop()
        try:
            out, err = p.communicate(timeout=20)
            tap.ok(p.returncode == 1 and out == b"" and err ==
                   b"xenstore-watch: connection to xenstore lost\n",
                   "watch: the death of the daemon is an error",
                   (p.returncode, out, err))
            tap.ok(time.monotonic() - before < 10,
                   "watch: the death of the daemon is noticed at once")
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            tap.ok(False, "watch: the death of the daemon is an error",
                   "still running")

    with Scripted(start, STORE) as daemon:
        p = subprocess.Popen(["xenstore-watch", "/a"], env=t.env,
                             executable=OURS + "xenstore-watch",
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.readline()
        p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=20)
        tap.ok((p.returncode, out, err) == (-signal.SIGTERM, b"", b""),
               "watch: a signal ends it as usual", (p.returncode, out, err))

    # The library first sees whether the daemon knows the type.
    depth = [("GET_FEATURE", None, [b"14\0", b"14\0"])]
    log = t.gives("watch -d: the depth goes to the daemon",
                  ["xenstore-watch", "-d", "2", "-n", "1", "/a"],
                  (0, b"/a\n", b""), depth)
    tap.ok(("WATCH", b"/a\0/a\x002\0") in log,
           "watch -d: as the third string of the request", log)
    t.gives("watch --depth 0 is a depth, too",
            ["xenstore-watch", "--depth=0", "-n1", "/a"], (0, b"/a\n", b""),
            depth)
    t.gives("watch -d on a daemon without depths is refused",
            ["xenstore-watch", "-d", "2", "-n", "1", "/a"],
            (1, b"", b"xenstore-watch: Unable to add watch on /a with depth 2"
             b"\n\n"))
    for bad in ("-1", "x", "2x", "", "99999999999"):
        t.gives("watch -d %s is wrong usage" % (bad or "''"),
                ["xenstore-watch", "-d", bad, "/a"],
                (1, b"", b"xenstore-watch: Usage: xenstore-watch [-h] "
                 b"[-n NR] key\n"), depth)
    t.gives("-d is no option of other modes", ["xenstore-ls", "-d", "1"],
            (1, b"", b"xenstore-ls: Usage: xenstore-ls [-h] [-f] [-p] [path]"
             b"\n"))


def control(t):
    tool = "xenstore-control"

    def answers(*a):
        return [("CONTROL", None, a)]

    t.same("control: OK is printed", [tool, "check"], answers(OK))
    t.same("control: parameters are sent one by one",
           [tool, "cmd", "", "a b", "c"], answers(b"text\n\0"))
    t.same("control: an empty answer prints nothing", [tool, "x"],
           answers(b""))
    t.same("control: an empty string prints nothing", [tool, "x"],
           answers(b"\0"))
    t.same("control: an unknown command shows the help", [tool, "x"],
           answers("EINVAL", b"h1\nh2\n\0"))
    t.same("control: empty help", [tool, "x"], answers("EINVAL", b"\0"))
    t.same("control: no help to be had", [tool, "x"],
           answers("EINVAL", "EINVAL"))
    t.same("control: other errors are told by number", [tool, "x"],
           answers("ENOENT"))
    t.same("control: the daemon dies", [tool, "x"], answers("CLOSE"))

    log = t.gives("control: a list is read to its end", [tool, "watches", "7"],
                  (0, b"a\nb\nc\n\n", b""),
                  answers(b"a\nmore: watches 7 1\n\0",
                          b"b\nmore: watches 7 2\n\0", b"c\n\0"))
    tap.ok([p for _, p in log] == [b"watches\x007\0", b"watches\x007\x001\0",
                                   b"watches\x007\x002\0"],
           "control: by the commands that the daemon names", log)
    for text in [b"more: x 1\n", b"a\nmore: xy 1\n", b"a\nmore: x\n",
                 b"a\nmore: x 1", b"more: x 1\nb\n", b"\n", b"\n\n"]:
        t.same("control: %r is an answer like others" % text.decode(),
               [tool, "x"], answers(text + b"\0"))
    t.gives("control: the rest of a list is refused", [tool, "x"],
            (3, b"a\n", b"Error 2 when trying to execute command.\n"),
            answers(b"a\nmore: x 1\n\0", "ENOENT"))

    def update(sentence, args, *a, **kw):
        t.same("live-update: " + sentence, [tool, "live-update", *args],
               answers(*a), **kw)

    update("no file", [])
    update("no file, but options", ["-F", "-t", "5"])
    update("-c without value", ["-c"])
    update("-t without value", ["f", "-t"])
    update("the file, then the start", ["/f"], OK, OK)
    update("all options", ["-c", "a b", "-t", "7", "-F", "/f"], OK, OK, OK)
    update("options after the file", ["/f", "-c", "x", "-F"], OK, OK, OK)
    update("the last of each counts",
           ["f", "-t", "9", "-t", "8", "-c", "a", "-c", "b", "g"], OK, OK, OK)
    update("an unknown option is a file", ["-x"], OK, OK)
    update("a refused file", ["/f"], b"File not accessible.\0")
    update("a file refused with an error", ["/f"], "EINVAL")
    update("a refused command line", ["-c", "x", "/f"], OK, b"no\0", OK)
    update("a refused start is cancelled", ["/f"], OK, b"Overlap\0", OK)
    update("a start refused with an error", ["/f"], OK, "EBUSY", OK)
    update("the daemon dies", ["/f"], OK, "CLOSE")
    update("an empty answer", ["/f"], OK, b"", OK)
    update("BUSY is asked again", ["/f"], OK, b"BUSY\0", b"BUSY\0", OK)
    update("BUSY until the time is over", ["-t", "2", "/f"], OK,
           *[b"BUSY\0"] * 4)
    update("no time at all", ["-t", "0", "/f"], OK, OK)
    # Debian's takes them for no time at all, and says BUSY.
    for bad in ("x", "7x", "", "-1", "+7", " 7", "99999999999"):
        t.gives("live-update: -t %s is wrong usage" % (bad or "''"),
                [tool, "live-update", "-t", bad, "/f"],
                (2, b"", b"Invalid timeout value\n"))
    t.same("live-update: /tool/xenstored/domid is of no concern to others",
           [tool, "help"], answers(OK), {b"/tool/xenstored/domid": b"5"})

    t.gives("live-update: -v without value",
            [tool, "live-update", "f", "-v"],
            (2, b"", b"Missing version value\n"))
    log = t.gives("live-update: -v",
                  [tool, "live-update", "-v", "1", "-F", "/f"],
                  (0, b"", b""), answers(OK, OK))
    tap.ok(log[-1] == ("CONTROL", b"live-update\0-s\0-t\00060\0-F\0-v\0001\0"),
           "live-update: -v is the last parameter of the start", log)


def stub_domain(t, tmp):
    """The daemon in a domain of its own; the transfer as upstream does it."""
    image = tmp + "/kernel"
    data = bytes(range(256)) * 18
    store = {b"/tool/xenstored/domid": b"5"}
    with open(image, "wb") as f:
        f.write(data)
    update = ["xenstore-control", "live-update", "-c", "cmd", "-F", image]
    log = t.gives("live-update of a domain succeeds", update, (0, b"", b""),
                  [("CONTROL", None, [OK] * 9)], store)
    steps = [p[len(b"live-update\0"):] for op, p in log if op == "CONTROL"]
    tap.ok(steps == [b"-b\0" + b"4608\0"] +
           [b"-d\x002048\0" + data[i:i + 2048] + b"\0" for i in (0, 2048)] +
           [b"-d\x00512\0" + data[4096:] + b"\0"] +
           [b"-c\0cmd\0", b"-s\0-t\00060\0-F\0"],
           "live-update of a domain sends the kernel in pieces", steps)
    for n, text in [(0, b"Starting live update failed"),
                    (2, b"Transfer of new binary failed"),
                    (4, b"Setting update binary failed"),
                    (5, b"Starting live update failed")]:
        log = t.gives("live-update of a domain, refused at step %d" % n,
                      update, (3, b"", text + b":\nno\n"),
                      [("CONTROL", None, [OK] * n + [b"no\0", OK])], store)
        tap.ok(log[-1] == ("CONTROL", b"live-update\0-a\0"),
               "live-update of a domain is cancelled at step %d" % n, log)
    with open(image, "wb") as f:
        f.write(b"\x1f\x8b\x08" + data)
    t.gives("live-update of a domain: a compressed kernel is refused", update,
            (1, b"", b"xenstore-control: %s: is compressed, unpack it first\n"
             % image.encode()), (), store)
    with open(image, "wb"):
        pass
    t.gives("live-update of a domain: an empty kernel is refused", update,
            (1, b"", b"xenstore-control: %s: cannot be read or is empty\n"
             % image.encode()), (), store)
    os.unlink(image)
    t.gives("live-update of a domain: a missing kernel is refused", update,
            (1, b"", b"xenstore-control: %s: No such file or directory\n"
             % image.encode()), (), store)


def main():
    with tempfile.TemporaryDirectory(prefix="xenstore-tools.") as tmp:
        t = Tool(tmp)
        transactions(t)
        failures(t)
        closed_streams(t)
        hostile_answers(t)
        watching(t)
        control(t)
        stub_domain(t, tmp)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
