#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Debian's tools and ours side by side on one daemon.

For each case both run with the same arguments under the same name, on the
same store. Standard output, standard error, exit status and the store
afterwards must be the same, byte for byte, but for DIFFERENCES, each of which
must really be there.

Environment: XENSTORED_PATH (the daemon), BUILD, PEER_NAME (for the report).
"""
import errno
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

import tap
from xswire import Client

THEIRS = "/usr/bin/"
THEIR_CONTROL = "/usr/lib/xen-4.17/bin/xenstore-control"
OURS = os.environ["BUILD"] + "/"
PEER = os.environ.get("PEER_NAME", "daemon")
TIMEOUT = 20

# A value of every byte, what an attacker would try, and lengths around the
# width of a terminal.
VALUES = {
    b"bytes": bytes(range(256)),
    b"escape": b"\x1b[2J\x1b]0;owned\x07\x9b31m",
    b"utf8": "h\u00e9llo \u2028 \u202e \U0001f600".encode(),
    b"broken": b"\xff\xfe\xc3\x28",
    b"zero": b"a\0b\0",
    b"slashes": b"\\ \\n \\\\ \\x41 \\101",
    b"quotes": b'"\'`$(id)`;\n',
    b"digits": b"\x017\x0779\x00001",
    b"empty": b"",
    b"blank": b" ",
    b"long": b"0123456789" * 300,
    b"tabs": b"\t" * 70,
}
LENGTHS = [1, 30, 45, 50, 52, 55, 59, 60, 62, 63, 64, 65, 66, 67, 68, 69, 70,
           71, 72, 73, 74, 80, 100]


def fill(c, big):
    """The store every case starts from; big is for those that only look."""
    for name in c.directory(b"/"):
        if name != b"tool":
            c.rm(b"/" + name)
    c.set_perms(b"/", [b"n0"])
    c.write(b"/")
    for path, value in [(b"/t/rm/a/b/c", b"v"), (b"/t/rm/full", b"v"),
                        (b"/t/rm/full/kid", b""), (b"/t/rm/x/y", b""),
                        (b"/t/rm/x/z", b""), (b"/t/one", b"1"),
                        (b"/t/two", b"2"), (b"/local/domain/0/rel/x", b"r")]:
        c.write(path, value)
    if big:
        fill_big(c)


def fill_big(c):
    for name, value in VALUES.items():
        c.write(b"/t/v/" + name, value)
    for n in LENGTHS:
        c.write(b"/t/len/%d" % n, b"v" * n)
        c.write(b"/t/esc/%d" % n, b"\x01x" * (n // 2))
        c.write(b"/t/name/" + b"N" * n, b"value")
    path = b"/t/deep"
    for i in range(90):
        path += b"/d%d" % i
    c.write(path, b"bottom")
    for i in range(600):    # more names than one message holds
        c.write(b"/t/wide/child-%d" % i)
    c.write(b"/t/-dash", b"d")
    c.write(b"/t/at@/me", b"m")
    for i, perms in enumerate([[b"n0"], [b"r0"], [b"w0"], [b"b0"],
                               [b"n0", b"r0", b"w0", b"b0"]]):
        c.write(b"/t/perms/p%d" % i, b"v" * (i * 14))
        c.set_perms(b"/t/perms/p%d" % i, perms)


class Result:
    def __init__(self, out, err, status, store=None):
        self.out, self.err, self.status = out, err, status
        self.store = store

    def key(self):
        return self.out, self.err, self.status, self.store

    def __str__(self):
        return "%d\n%.600r\n%.600r" % (self.status, self.out, self.err)


def run_plain(exe, argv, env):
    p = subprocess.run(argv, executable=exe, env=env, timeout=TIMEOUT,
                       stdin=subprocess.DEVNULL, capture_output=True)
    return Result(p.stdout, p.stderr, p.returncode)


def run_on_terminal(exe, argv, env, columns):
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ,
                struct.pack("4H", 24, columns, 0, 0))
    p = subprocess.Popen(argv, executable=exe, env=env, stdout=its,
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    os.close(its)
    out = b""
    while True:
        try:
            got = os.read(ours, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            break
        out += got
    os.close(ours)
    err = p.stderr.read()
    p.stderr.close()
    return Result(out, err, p.wait(TIMEOUT))


# What is meant to differ. Each takes the result of Debian's tool (4.17) and
# makes ours of it.
def newest_usage(r):
    """Newer usage texts do not show -s, nor -p for exists."""
    r.err = r.err.replace(b" [-p] [-s] key [...]", b" key") \
        if b"exists" in r.err else r.err.replace(b" [-s]", b"")


def help_succeeds(r):
    """Asking for help is no failure in newer tools."""
    newest_usage(r)
    r.status = 0


def one_slash(r):
    """list -p of the root: 4.17 prints //child, newer tools /child."""
    r.out = re.sub(rb"^//", b"/", r.out, flags=re.M)


def printable(r):
    """4.17 passes unprintable bytes of arguments to the terminal."""
    def form(m):
        c = m.group()[0]
        return {9: b"\\t", 10: b"\\n", 13: b"\\r"}.get(
            c, b"\\%03o" % c if c < 8 else b"\\x%02x" % c)
    end = re.search(rb"\n*$", r.err).start()
    r.err = re.sub(rb"[^ -~]", form, r.err[:end]) + r.err[end:]


def own_words(r):
    """An unprintable option: not getopt's message, which repeats it."""
    r.err = re.sub(rb"unrecognized option '(.*)'\n(?=xenstore-read|$)",
                   rb"invalid option '\1'\n", r.err, flags=re.S)
    printable(r)


def empty_path(r):
    """chmod of an empty path does nothing in 4.17, successfully."""
    r.err = b"xenstore-chmod: Error occurred setting permissions on '': " \
        b"Invalid argument\n"
    r.status = 1


def works(r):
    """4.17 fails where there is no need to; the store is then as asked.

    chmod -r has room for paths of 256 bytes only and says //child for
    children of the root, -u cannot walk up a relative path.
    """
    r.err, r.status, r.store = b"", 0, None


class Compare:
    def __init__(self, path):
        self.client = Client(path)
        self.env = {"PATH": "/usr/bin:/bin", "XENSTORED_PATH": path,
                    "LC_ALL": "C.UTF-8"}
        self.filled = None

    def run(self, argv, exe_dir, columns, changes, env):
        exe = exe_dir + os.path.basename(os.fsdecode(argv[0]))
        if exe == THEIRS + "xenstore-control":
            exe = THEIR_CONTROL
        if self.filled != ("small" if changes else "big"):
            fill(self.client, big=not changes)
        self.filled = None if changes else "big"
        env = {**self.env, **env}
        if columns is None:
            r = run_plain(exe, argv, env)
        else:
            r = run_on_terminal(exe, argv, env, columns)
        if changes:
            r.store = self.client.dump()
        return r

    def __call__(self, *argv, diff=None, columns=None, changes=False,
                 env={}):
        theirs = self.run(argv, THEIRS, columns, changes, env)
        ours = self.run(argv, OURS, columns, changes, env)
        raw = theirs.key()
        if diff:
            diff(theirs)
        if diff is works:
            ours.store = None
        name = b" ".join(os.fsencode(a) for a in argv)
        sentence = "%s: %s%s%s%s" % (
            PEER, re.sub(rb"[^ -~]|#", b"?", name).decode()[:90],
            "" if columns is None else ", %d columns" % columns,
            "".join(" with %s" % k for k in env),
            " (differs: %s)" % diff.__name__ if diff else "")
        if diff and theirs.key() == raw:
            tap.ok(False, sentence, "no such difference:\n%s" % theirs)
        else:
            tap.ok(theirs.key() == ours.key(), sentence,
                   "theirs:\n%s\nours:\n%s" % (theirs, ours))


def usage_cases(t):
    t("xenstore", )
    t("xenstore", "foo")
    t("xenstore", "-h")
    t("xenstore", "")
    t("xenstore", b"\x1b[31m", diff=printable)
    for mode in ("read", "write", "rm", "exists", "list", "ls", "chmod",
                 "watch"):
        tool = "xenstore-" + mode
        use = None if mode == "watch" else newest_usage
        t(tool, "-h", diff=help_succeeds)
        t("xenstore", mode, "--help", diff=help_succeeds)
        t("/some/where/" + tool, "-h", diff=help_succeeds)
        if mode != "ls":
            t(tool, diff=use)
            t("xenstore", mode, diff=use)
        for opt in "fptunrR":
            if opt not in {"read": "pR", "write": "R", "rm": "t", "list": "p",
                           "ls": "fp", "chmod": "ur",
                           "watch": "n"}.get(mode, ""):
                args = ["-" + opt] + ["3"] * (opt == "n")
                t(tool, *args, "/t", "/t", diff=use)
    t("xenstore-write", "/t", diff=newest_usage)
    t("xenstore-write", "/t", "1", "/u", diff=newest_usage)
    t("xenstore-watch", "-n")
    t("xenstore-watch", "--number")
    t("xenstore-read", "--raw=3", "/t/one")
    t("xenstore-read", "--r", "/t/one")
    t("xenstore-read", "--ra", "/t/one")
    t("xenstore-read", "-Z", "/t/one")
    t("xenstore-read", "--bogus", "/t/one")
    t("xenstore-read", b"--\x1b[31m", "/t/one", diff=own_words)
    t("xenstore-read", "-s", "/t/one")
    t("xenstore-read", "/t/one", "-p")
    t("xenstore-read", "/t/one", "-p", env={"POSIXLY_CORRECT": "1"})
    t("xenstore-read", "-p", "--", "/t/one")
    nowhere = {"XENSTORED_PATH": "/nonexistent/socket"}
    for tool in ("read", "exists", "list", "rm", "watch"):
        t("xenstore-" + tool, "/t", env=nowhere)
    t("xenstore-ls", env=nowhere)
    t("xenstore-write", "/t", "x", env=nowhere)
    t("xenstore-chmod", "/t", "n0", env=nowhere)
    t("xenstore-control", "check", env=nowhere)
    t("xenstore-control", "live-update", env=nowhere)


WRONG_PATHS = ["/nope", "/nope/x", "/t/one/", "/t//one", "", "@", "/t one",
               "rel/nope", "/" + "x" * 3100, "/" + "x" * 5000, "/.."]


def read_cases(t):
    for name in VALUES:
        t("xenstore-read", b"/t/v/" + name)
        t("xenstore-read", "-R", b"/t/v/" + name)
        t("xenstore-read", "-p", b"/t/v/" + name)
    t("xenstore-read", "-p", *[b"/t/v/" + n for n in VALUES])
    t("xenstore-read", "-pR", "/t/one", "/t/two")
    t("xenstore-read", "/")
    t("xenstore-read", "rel/x")
    t("xenstore-read", "-p", "rel/x", "/t/one")
    for path in WRONG_PATHS:
        t("xenstore-read", path)
        t("xenstore-read", "-p", "/t/one", path, "/t/two")
        t("xenstore-exists", path)
    t("xenstore-read", b"/t/\x1b[31m\xc3\xa9\n\x01-", diff=printable)
    t("xenstore-read", "/t/v/bytes", columns=80)
    t("xenstore-exists", "/t/one")
    t("xenstore-exists", "/t/one", "/t/two", "rel/x", "/")
    t("xenstore-exists", "/t/one", "/nope", "/t/two")
    t("xenstore", "exists", "/t/one")
    t("xenstore", "read", "-p", "/t/one")


ESCAPED = ["plain", "", " ", "a\\tb\\nc\\rd\\\\e", "\\x41\\x4\\x", "\\xfg",
           "\\101\\1\\01\\001\\0", "\\8\\9", "\\777", "\\1234", "\\q\\\"",
           "end\\", "\\", "\\\\", "\\x00\\0", "\\xFF\\xff\\xfF", "\\e[31m",
           "\\X41", "\\00000", "h\u00e9llo", "\x1b[31m", "x" * 3000]


def write_cases(t):
    for text in ESCAPED:
        t("xenstore-write", "/w", text, changes=True)
        t("xenstore-write", "-R", "/w", text, changes=True)
    t("xenstore-write", "/w/a", "1", "/w/b", "2\\t", "/w/a", "3",
      changes=True)
    t("xenstore-write", "rel/y", "1", changes=True)
    t("xenstore-write", "/", "rootvalue", changes=True)
    t("xenstore-write", "/w/a", "1", "/bad//path", "2", "/w/c", "3",
      changes=True)
    t("xenstore-write", "/w", "-5", diff=newest_usage)
    t("xenstore-write", "--", "/w", "-5", changes=True)
    t("xenstore-write", "/w", "x" * 4090, changes=True)
    t("xenstore-write", "/w", "x" * 5000, changes=True)
    t("xenstore", "write", "/w", "v", changes=True)
    for path in WRONG_PATHS[2:]:
        t("xenstore-write", path, "v", changes=True)
    t("xenstore-write", b"/w\x07", "v", diff=printable)


def rm_cases(t):
    for args in [["/t/one"], ["/t/rm/a"], ["/t/one", "/t/two"], ["/t"],
                 ["/t/one", "/nope/x", "/t/two"], ["/t/nope"], ["/"],
                 ["-t", "/t/rm/a/b/c"], ["-t", "/t/rm/full/kid"],
                 ["-t", "/t/rm/x/y"], ["-t", "/t/rm/x/y", "/t/rm/x/z"],
                 ["-t", "/t/rm/x/z", "/t/rm/x/nope"], ["-t", "/t/one"],
                 ["-t", "rel/x"], ["--tidy", "/t/rm/x/nope"],
                 ["-t", "/nope/x"], ["-t", "/t"], ["rel"]]:
        t("xenstore-rm", *args, changes=True)
    for path in WRONG_PATHS:
        t("xenstore-rm", path, changes=True)
        t("xenstore-rm", "-t", path, changes=True)
    t("xenstore-rm", b"/\x9b", diff=printable)


def list_cases(t):
    for path in ["/t", "/t/name", "/t/wide", "/t/one", "rel", "/t/deep"]:
        t("xenstore-list", path)
        t("xenstore-list", "-p", path)
    t("xenstore-list", "/")
    t("xenstore-list", "-p", "/", diff=one_slash)
    t("xenstore-list", "-p", "/", "/t", diff=one_slash)
    t("xenstore-list", "/", "/t/name", "rel")
    t("xenstore-list", "/t", columns=20)
    for path in WRONG_PATHS:
        t("xenstore-list", path)
        t("xenstore-list", "/t", path)
        t("xenstore-ls", path)
    t("xenstore-list", b"\x1b", diff=printable)
    t("xenstore-ls", b"\x1b", diff=printable)


WIDTHS = [0, 1, 2, 3, 9, 10, 11, 20, 40, 59, 60, 61, 62, 63, 64, 79, 80, 81,
          82, 100, 132, 200, 1000, 65535]


def ls_cases(t):
    for opts in [[], ["-p"], ["-f"], ["-fp"]]:
        t("xenstore-ls", *opts)
        t("xenstore-ls", *opts, "/t")
        t("xenstore-ls", *opts, "/t/deep", "/t/len")
        t("xenstore-ls", *opts, "/t/one")
        t("xenstore-ls", *opts, "rel")
        t("xenstore-ls", *opts, "/t/one", "/nope", "/t")
        for w in WIDTHS:
            t("xenstore-ls", *opts, "/t/len", "/t/esc", "/t/name", "/t/deep",
              "/t/v", columns=w)
        t("xenstore-ls", *opts, columns=70)
    t("xenstore-ls", "--flat", "--prefix", "/t/perms")
    t("xenstore", "ls", "-p", "/t/perms")
    t("xenstore-ls", env={"COLUMNS": "20"})


def chmod_cases(t):
    for args in [["/t/one", "n0"], ["/t/one", "r0", "w0", "b0"],
                 ["-r", "/t/rm", "b0"], ["-u", "/t/rm/a/b", "r0"],
                 ["-ur", "/t/rm/a", "w0"],
                 ["/t/one", "n"], ["/t/one", "nxx"], ["/t/one", "n0x"],
                 ["/t/one", "r 0"], ["/t/one", "n0", "r0z"], ["/t/one"],
                 ["/t/one", "q0"], ["/t/one", "N0"], ["/t/one", "n0", "x"],
                 ["/nope", "n0"], ["/nope/x", "n0"], ["-r", "/nope", "n0"],
                 ["-u", "/nope/x", "n0"], ["/", "r0"], ["-u", "/", "r0"],
                 ["/t/one", "n-1"],
                 ["/t/one", "n99999999999"],
                 ["/t/one"] + ["r%d" % i for i in range(30)],
                 ["@releaseDomain", "n0"], ["/t/one", "n0", "r7"]]:
        t("xenstore-chmod", *args, changes=True)
    for path in WRONG_PATHS:
        t("xenstore-chmod", path, "n0", changes=True,
          diff=None if path else empty_path)
    t("xenstore-chmod", "-r", "/", "r0", changes=True, diff=works)
    t("xenstore-chmod", "-u", "rel/x", "r0", changes=True, diff=works)
    t("xenstore-chmod", "-r", "/t/deep", "r0", diff=works)
    t.filled = None
    t("xenstore-chmod", "/t/one", "", diff=printable)
    t("xenstore-chmod", "/t/one", b"\x1b0", diff=printable)
    t("xenstore-chmod", b"/t\xff", "n0", diff=printable)


def watch_cases(t):
    t("xenstore-watch", "-n", "1", "/t/one")
    t("xenstore-watch", "-n", "2", "/t/one", "rel/x")
    t("xenstore-watch", "--number=1", "@introduceDomain")
    t("xenstore-watch", "-n", "1", "/nope")
    for n in ("0", "-3", "x", "0x1", "4294967297", ""):
        t("xenstore-watch", "-n", n, "/t/one")
    t("xenstore-watch", "-n", "2", "/t/one", "/t/one")
    t("xenstore-watch", "-n", "1", "/t/one", "/bad//path")
    t("xenstore-watch", b"/t\x1b", diff=printable)
    t("xenstore", "watch", "-n", "1", "/t/one")


def control_cases(t):
    t("xenstore-control")
    t("/some/where/xenstore-control")
    for args in [["help"], ["check"], ["nonsense"], ["print"],
                 ["print", "hello"], ["log", "sideways"], ["quota"],
                 ["quota", "set", "nodes", "1000"], ["quota", "x", "y", "z"],
                 ["quota", "0"], ["quota-soft"], ["live-update"],
                 ["live-update", "-c"], ["live-update", "-t"],
                 ["live-update", "/nonexistent/binary"],
                 ["live-update", "-F", "-t", "3", "/etc/passwd"],
                 ["check", "x" * 5000]]:
        t("xenstore-control", *args)


def main():
    t = Compare(os.environ["XENSTORED_PATH"])
    usage_cases(t)
    read_cases(t)
    write_cases(t)
    rm_cases(t)
    list_cases(t)
    ls_cases(t)
    chmod_cases(t)
    watch_cases(t)
    control_cases(t)
    t.client.close()
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
