# SPDX-License-Identifier: MIT
"""A simple model of the store, as dom0 sees it over a socket.

Slow and obvious: a dictionary of paths. It parses payloads on its own, after
the protocol's description, and says what a request answers and which events
it causes. Watches and transactions are kept by who uses it; here is only what
they need: Tree.copy(), and for each change the nodes it touched, in order.
Permissions of special nodes are left out.
"""
import re

HOME = b'/local/domain/0'
VALID = re.compile(rb'[A-Za-z0-9/_@-]+\Z')
ANY = b'32757'    # everybody: may be named, but not own
OK = b'OK\0'


class Refused(Exception):
    """args[0] is the name of the error."""


def canonical(path, special=False):
    if not path.startswith((b'/', b'@')):
        path = HOME + b'/' + path
    if (not VALID.match(path) or b'//' in path or len(path) > 3072
            or (path.endswith(b'/') and path != b'/')
            or (path.startswith(b'@') and not special)):
        raise Refused('EINVAL')
    return path


def one(payload):
    """The only string of a payload that must be exactly one."""
    if not payload.endswith(b'\0') or payload.count(b'\0') != 1:
        raise Refused('EINVAL')
    return payload[:-1]


def strings(payload):
    return payload.split(b'\0')[:-1]


def parent(path):
    return path[:path.rindex(b'/')] or b'/'


def leaf(path):
    return path[path.rindex(b'/') + 1:]


def join(base, name):
    return b'/' + name if base == b'/' else base + b'/' + name


def is_below(path, top):
    """Equal counts as below."""
    return path == top or top == b'/' or path.startswith(top + b'/')


def parse_perm(text):
    m = re.match(rb'([rwbn])(0x[0-9a-fA-F]+|[0-9]+)\Z', text)
    if not m:
        raise Refused('EINVAL')
    number = m[2].decode()
    try:
        if number.startswith('0x'):
            domid = int(number, 16)
        elif number.startswith('0') and len(number) > 1:
            domid = int(number, 8)
        else:
            domid = int(number)
    except ValueError:
        raise Refused('EINVAL')
    return m[1] + b'%d' % domid


class Tree:
    def __init__(self):
        self.nodes = {}      # path: [value, permissions, names of children]
        self.changed = []    # of the last request: (path, 'exact' or 'below')

    def copy(self):
        new = Tree()
        new.nodes = {p: [v, m, list(k)] for p, (v, m, k) in self.nodes.items()}
        return new

    def same(self, other):
        return self.nodes == other.nodes

    def find(self, path):
        if path not in self.nodes:
            raise Refused('ENOENT')
        return self.nodes[path]

    def ensure(self, path):
        """Makes a node and its ancestors; whether it was missing."""
        if path in self.nodes:
            return False
        up = parent(path)
        self.ensure(up)
        self.nodes[path] = [b'', self.nodes[up][1], []]
        self.nodes[up][2].append(leaf(path))
        return True

    def walk(self, top):
        """Leaves before their parents, children in order."""
        for name in self.nodes[top][2]:
            yield from self.walk(join(top, name))
        yield top

    def op_read(self, payload):
        return self.find(canonical(one(payload)))[0]

    def op_directory(self, payload):
        node = self.find(canonical(one(payload)))
        return b''.join(name + b'\0' for name in node[2])

    def op_get_perms(self, payload):
        path = canonical(one(payload))
        return b''.join(p + b'\0' for p in self.find(path)[1])

    def op_write(self, payload):
        if b'\0' not in payload:
            raise Refused('EINVAL')
        path, value = payload.split(b'\0', 1)
        path = canonical(path)
        self.ensure(path)
        self.nodes[path][0] = value
        self.changed = [(path, 'below')]
        return OK

    def op_mkdir(self, payload):
        path = canonical(one(payload))
        if self.ensure(path):
            self.changed = [(path, 'below')]
        return OK

    def op_rm(self, payload):
        path = canonical(one(payload))
        if path == b'/':
            raise Refused('EINVAL')
        if path not in self.nodes:
            if parent(path) in self.nodes:
                return OK
            raise Refused('ENOENT')
        gone = list(self.walk(path))
        self.changed = [(p, 'exact') for p in gone[:-1]] + [(path, 'below')]
        for p in gone:
            del self.nodes[p]
        self.nodes[parent(path)][2].remove(leaf(path))
        return OK

    def op_set_perms(self, payload):
        args = strings(payload)
        if len(args) < 2:
            raise Refused('EINVAL')
        perms = [parse_perm(a) for a in args[1:]]
        if perms[0][1:] not in (b'0', ANY):
            raise Refused('ENOENT')    # no other domain exists
        path = canonical(args[0])
        node = self.find(path)
        if perms[0][1:] == ANY:
            raise Refused('ENOMEM')
        node[1] = perms
        self.changed = [(path, 'below')]
        return OK

    def execute(self, op, payload):
        """The reply: bytes, or the name of an error."""
        self.changed = []
        try:
            return getattr(self, 'op_' + op.lower())(payload)
        except Refused as e:
            return e.args[0]


class Watches:
    """Those of one client, in the order they were set."""

    def __init__(self):
        self.all = []    # (canonical path, token, path as it was spelled)

    def execute(self, op, payload):
        """The reply, and the events that follow it."""
        try:
            return getattr(self, 'op_' + op.lower())(payload)
        except Refused as e:
            return e.args[0], []

    @staticmethod
    def arguments(payload, most):
        args = strings(payload)
        if not 2 <= len(args) <= most:
            raise Refused('EINVAL')
        return args

    def op_watch(self, payload):
        args = self.arguments(payload, 2)
        path = canonical(args[0], special=True)
        if any(w[:2] == (path, args[1]) for w in self.all):
            raise Refused('EEXIST')
        self.all.append((path, args[1], args[0]))
        return OK, [(args[0], args[1])]

    def op_unwatch(self, payload):
        args = self.arguments(payload, 2)
        path = canonical(args[0], special=True)
        for w in self.all:
            if w[:2] == (path, args[1]):
                self.all.remove(w)
                return OK, []
        raise Refused('ENOENT')

    def op_reset_watches(self, _payload):
        self.all = []
        return OK, []

    def events(self, changed):
        """Of a change, as (path, token)."""
        got = []
        for path, how in changed:
            for top, token, spelled in self.all:
                if path == top or (how == 'below' and is_below(path, top)):
                    relative = not spelled.startswith((b'/', b'@'))
                    got.append((path[len(HOME) + 1:] if relative else path,
                                token))
        return got
