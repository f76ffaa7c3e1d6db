# SPDX-License-Identifier: MIT
"""A simple model of the store, as dom0 and guests see it.

Slow and obvious: a dictionary of paths. It parses payloads on its own, after
the protocol's description, and says what a request answers and which events
it causes. Watches and transactions are kept by who uses it; here is only what
they need: Tree.copy(), and for each change the nodes it touched, in order.
Permissions of special nodes are left out.
"""
import re

VALID = re.compile(rb'[A-Za-z0-9/_@-]+\Z')
ANY = b'32757'    # everybody: may be named, but not own
OK = b'OK\0'


class Refused(Exception):
    """args[0] is the name of the error."""


def home(who):
    return b'/local/domain/%d' % who


def canonical(path, who, special=False):
    if not path.startswith((b'/', b'@')):
        path = home(who) + b'/' + path
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


def rights(perms, who):
    """What a domain may do to a node, of 'rwo' (o: as its owner)."""
    if who == 0 or perms[0][1:] == b'%d' % who:
        return 'rwo'
    letter = perms[0][:1]
    for perm in perms[1:]:
        if perm[1:] in (b'%d' % who, ANY):
            letter = perm[:1]
            break
    return {b'n': '', b'r': 'r', b'w': 'w', b'b': 'rw'}[letter]


def parse_perm(text):
    """A letter, and a number as strtol() takes it with base 0."""
    m = re.match(rb'([rwbn])[ \t-\r]*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)\Z',
                 text)
    if not m:
        raise Refused('EINVAL')
    digits = m[3].decode().lower()
    try:
        if digits.startswith('0x'):
            domid = int(digits, 16)
        else:
            domid = int(digits, 8 if digits.startswith('0') else 10)
    except ValueError:
        raise Refused('EINVAL')
    if domid > 65535 or (m[2] == b'-' and domid):
        raise Refused('EINVAL')
    return m[1] + b'%d' % domid


class Tree:
    domains = (b'0',)    # that exist; all others may be named, but not own

    def __init__(self):
        self.nodes = {}    # path: [value, permissions, names of children]
        # Of the last request: path, 'exact' or 'below', and permission lists
        # of which one must allow to read, to be told.
        self.changed = []

    def copy(self):
        new = Tree()
        new.nodes = {p: [v, m, list(k)] for p, (v, m, k) in self.nodes.items()}
        return new

    def same(self, other):
        return self.nodes == other.nodes

    def find(self, path, who, wanted):
        """The node, on which the domain has all rights that are wanted."""
        node = self.nodes.get(path)
        if node:
            if set(wanted) - set(rights(node[1], who)):
                raise Refused('EACCES')
            return node
        while path not in self.nodes:
            path = parent(path)
        if set(wanted) & set(rights(self.nodes[path][1], who)):
            raise Refused('ENOENT')
        raise Refused('EACCES')

    def change(self, path, how='below', also=()):
        lists = [self.nodes[path][1], *also]
        if path != b'/':
            lists.append(self.nodes[parent(path)][1])
        self.changed.append((path, how, lists))

    def make(self, path, who):
        """Makes a node and its ancestors; they belong to who made them."""
        if path in self.nodes:
            return
        up = parent(path)
        self.make(up, who)
        perms = list(self.nodes[up][1])
        if who:
            perms[0] = perms[0][:1] + b'%d' % who
        self.nodes[path] = [b'', perms, []]
        self.nodes[up][2].append(leaf(path))

    def ensure(self, path, who):
        """Whether the node was missing."""
        try:
            self.find(path, who, 'w')
        except Refused as e:
            if e.args[0] != 'ENOENT':
                raise
            self.make(path, who)
            return True
        return False

    def walk(self, top):
        """Leaves before their parents, children in order."""
        for name in self.nodes[top][2]:
            yield from self.walk(join(top, name))
        yield top

    def op_read(self, payload, who):
        return self.find(canonical(one(payload), who), who, 'r')[0]

    def op_directory(self, payload, who):
        node = self.find(canonical(one(payload), who), who, 'r')
        return b''.join(name + b'\0' for name in node[2])

    def op_get_perms(self, payload, who):
        node = self.find(canonical(one(payload), who), who, 'r')
        return b''.join(p + b'\0' for p in node[1])

    def op_write(self, payload, who):
        if b'\0' not in payload:
            raise Refused('EINVAL')
        path, value = payload.split(b'\0', 1)
        path = canonical(path, who)
        self.ensure(path, who)
        self.nodes[path][0] = value
        self.change(path)
        return OK

    def op_mkdir(self, payload, who):
        path = canonical(one(payload), who)
        if self.ensure(path, who):
            self.change(path)
        return OK

    def op_rm(self, payload, who):
        path = canonical(one(payload), who)
        try:
            self.find(path, who, 'w')
        except Refused as e:
            if e.args[0] == 'ENOENT' and parent(path) in self.nodes:
                return OK
            raise
        if path == b'/':
            raise Refused('EINVAL')
        gone = list(self.walk(path))
        for p in gone:
            self.change(p, 'below' if p == path else 'exact')
        for p in gone:
            del self.nodes[p]
        self.nodes[parent(path)][2].remove(leaf(path))
        return OK

    def op_set_perms(self, payload, who):
        args = strings(payload)
        if len(args) < 2:
            raise Refused('EINVAL')
        perms = [parse_perm(a) for a in args[1:]]
        owner = perms[0][1:]
        if owner not in self.domains and owner != ANY:
            raise Refused('ENOENT')
        path = canonical(args[0], who)
        node = self.find(path, who, 'wo')
        if who and owner != node[1][0][1:]:
            raise Refused('EPERM')
        if owner == ANY:
            raise Refused('ENOMEM')
        old, node[1] = node[1], perms
        self.change(path, also=[old])
        return OK

    def execute(self, op, payload, who=0):
        """The reply: bytes, or the name of an error."""
        self.changed = []
        try:
            return getattr(self, 'op_' + op.lower())(payload, who)
        except Refused as e:
            return e.args[0]


class Watches:
    """Those of one client, in the order they were set."""

    def __init__(self, who=0):
        self.who = who
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
        path = canonical(args[0], self.who, special=True)
        if any(w[:2] == (path, args[1]) for w in self.all):
            raise Refused('EEXIST')
        self.all.append((path, args[1], args[0]))
        return OK, [(args[0], args[1])]

    def op_unwatch(self, payload):
        args = self.arguments(payload, 2)
        path = canonical(args[0], self.who, special=True)
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
        for path, how, lists in changed:
            if not any('r' in rights(perms, self.who) for perms in lists):
                continue
            for top, token, spelled in self.all:
                if path == top or (how == 'below' and is_below(path, top)):
                    if not spelled.startswith((b'/', b'@')):
                        told = path[len(home(self.who)) + 1:]
                    else:
                        told = path
                    got.append((told, token))
        return got
