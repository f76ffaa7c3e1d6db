# SPDX-License-Identifier: MIT
"""The xenstore protocol over sockets, for tests.

Client talks to a daemon. Scripted is a daemon of its own, with a flat store,
that answers chosen requests as a test says: what real daemons answer rarely,
or never.
"""
import os
import socket
import struct
import threading

OPS = """CONTROL DIRECTORY READ GET_PERMS WATCH UNWATCH TRANSACTION_START
TRANSACTION_END INTRODUCE RELEASE GET_DOMAIN_PATH WRITE MKDIR RM SET_PERMS
WATCH_EVENT ERROR IS_DOMAIN_INTRODUCED RESUME SET_TARGET RESTRICT
RESET_WATCHES DIRECTORY_PART GET_FEATURE SET_FEATURE GET_QUOTA
SET_QUOTA""".split()
OP = {name: n for n, name in enumerate(OPS)}
HEADER = struct.Struct("<4I")


def recv_exactly(sock, n):
    data = b""
    while len(data) < n:
        got = sock.recv(n - len(data))
        if not got:
            raise EOFError("connection closed")
        data += got
    return data


def recv_message(sock):
    kind, req, tx, size = HEADER.unpack(recv_exactly(sock, HEADER.size))
    return kind, req, tx, recv_exactly(sock, size)


class XSError(Exception):
    """The daemon's answer was an error; args[0] is its name."""


class Client:
    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)

    def close(self):
        self.sock.close()

    def call(self, op, payload=b"", tx=0):
        self.sock.sendall(HEADER.pack(OP[op], 0, tx, len(payload)) + payload)
        while True:
            kind, _, _, data = recv_message(self.sock)
            if kind == OP["WATCH_EVENT"]:
                continue
            if kind == OP["ERROR"]:
                raise XSError(data.rstrip(b"\0").decode())
            return data

    def read(self, path):
        return self.call("READ", path + b"\0")

    def write(self, path, value=b""):
        self.call("WRITE", path + b"\0" + value)

    def rm(self, path):
        self.call("RM", path + b"\0")

    def perms(self, path):
        return self.call("GET_PERMS", path + b"\0").split(b"\0")[:-1]

    def set_perms(self, path, perms):
        self.call("SET_PERMS", b"".join(s + b"\0" for s in [path, *perms]))

    def directory(self, path):
        try:
            return self.call("DIRECTORY", path + b"\0").split(b"\0")[:-1]
        except XSError as e:
            if e.args[0] != "E2BIG":
                raise
        names = b""
        while not names.endswith(b"\0\0"):
            part = self.call("DIRECTORY_PART",
                             path + b"\0%d\0" % len(names))
            names += part.split(b"\0", 1)[1]
        return names.split(b"\0")[:-2]

    def dump(self, top=b"/"):
        """Everything below top: [(path, value, permissions)...]."""
        found, todo = [], [top]
        while todo:
            path = todo.pop()
            found.append((path, self.read(path), self.perms(path)))
            base = b"" if path == b"/" else path
            todo += [base + b"/" + n for n in reversed(self.directory(path))]
        return found


class Scripted:
    """A daemon on its own socket, as a context manager.

    rules: [(op, payload prefix or None, [answers])...]; the first rule that
    matches and has answers left gives the next of them. An answer is an errno
    name, b"bytes" (the payload of a good reply), "CLOSE" (the connection),
    "SILENCE" (nothing), "PASS" (as without a rule) or a function of
    (socket, request payload) giving one of these.
    log: [(op, payload)...] of all requests.
    """

    def __init__(self, path, store=(), rules=()):
        self.path = path
        self.store = {b"/": b"", **dict(store)}
        self.perms = {}
        self.rules = [(op, prefix, list(a)) for op, prefix, a in rules]
        self.log = []
        self.socks = []

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()
        os.unlink(self.path)

    def drop(self):
        """Closes all connections, as a dying daemon does."""
        for s in self.socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.socks.append(sock)
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    def serve(self, sock):
        try:
            while True:
                kind, req, tx, data = recv_message(sock)
                self.request(sock, OPS[kind], req, tx, data)
        except (EOFError, OSError):
            sock.close()

    def request(self, sock, op, req, tx, data):
        self.log.append((op, data))
        answer = self.rule(sock, op, data)
        if answer == "CLOSE":
            sock.shutdown(socket.SHUT_RDWR)
            raise EOFError
        if answer == "SILENCE":
            return
        if answer == "PASS":
            answer = self.default(op, data)
        if isinstance(answer, bytes):
            self.send(sock, op, answer, req, tx)
        else:
            self.send(sock, "ERROR", answer.encode() + b"\0", req, tx)
        if op == "WATCH" and isinstance(answer, bytes):
            path, token = data.split(b"\0")[:2]
            self.send(sock, "WATCH_EVENT", path + b"\0" + token + b"\0")

    @staticmethod
    def send(sock, op, payload, req=0, tx=0):
        sock.sendall(HEADER.pack(OP[op], req, tx, len(payload)) + payload)

    def rule(self, sock, op, data):
        for rule_op, prefix, answers in self.rules:
            if rule_op != op or not answers:
                continue
            if prefix is None or data.startswith(prefix):
                answer = answers.pop(0)
                return answer(sock, data) if callable(answer) else answer
        return "PASS"

    def children(self, path):
        base = path if path.endswith(b"/") else path + b"/"
        return [p[len(base):] for p in self.store
                if p.startswith(base) and p != path
                and b"/" not in p[len(base):]]

    def default(self, op, data):
        path, _, rest = data.partition(b"\0")
        if op == "WRITE":
            self.store[path] = rest
        elif op == "TRANSACTION_START":
            return b"1\0"
        elif op in ("READ", "DIRECTORY", "GET_PERMS", "SET_PERMS", "RM"):
            if path not in self.store:
                return "ENOENT"
            if op == "READ":
                return self.store[path]
            if op == "DIRECTORY":
                return b"".join(n + b"\0" for n in self.children(path))
            if op == "GET_PERMS":
                return self.perms.get(path, b"n0\0")
            if op == "SET_PERMS":
                self.perms[path] = rest
            else:
                del self.store[path]
        elif op not in ("WATCH", "UNWATCH", "TRANSACTION_END"):
            return "ENOSYS"
        return b"OK\0"
