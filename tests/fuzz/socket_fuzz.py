#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Random requests of several clients, beside a model of the store.

   socket_fuzz.py SOCKET VMM_SOCKET SECONDS SEED

Valid requests, and such with one thing wrong, alone, in batches, split at any
byte, inside transactions or not, from sockets that come and go and from two
guests, which may do less. Every reply
and every event must be what the model says; what a transaction answered must
be what its requests answer one after the other at its commit. The same seed
does the same, so a failure can be looked at again.
"""
import os
import random
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../integration'))
import tap                                        # noqa: E402
from model import Tree, Watches, home              # noqa: E402
from ring import VMM                               # noqa: E402
from xswire import HEADER, OP, OPS, recv_message   # noqa: E402

NAMES = [b'a', b'b', b'c', b'dd', b'D-d', b'x_1']
VALUES = [b'', b'0', b'1', b'v' * 200, b'\0', b'a\0b\0', b'\xff\n']
GUESTS = [5, 6]
PERMS = [b'n0', b'r0', b'b0', b'w0', b'r5', b'b5', b'n6', b'n7', b'b32757', b'r0x10',
         b'n010', b'q0', b'n', b'r5x', b'n77']
TREE_OPS = ['READ', 'DIRECTORY', 'GET_PERMS', 'WRITE', 'WRITE', 'WRITE',
            'MKDIR', 'RM', 'SET_PERMS']


class Wrong(Exception):
    pass


class Txn:
    def __init__(self, number, now, who):
        self.number = number
        self.who = who
        self.log = []             # (op, payload, reply)
        self.seen = [now.copy()]  # the store at its start, and ever since

    def replies_on(self, tree):
        """Whether its requests would answer on that tree what they did."""
        return all(tree.execute(op, payload, self.who) == reply
                   for op, payload, reply in self.log)

    def reads_first(self):
        """Whether equal answers mean that all they came from is equal: not
        of RM and MKDIR, nor of what was written before."""
        ops = [op for op, _, _ in self.log]
        writes = [op == 'WRITE' for op in ops]
        return writes == sorted(writes) and not {'RM', 'MKDIR'} & set(ops)

    def only_read(self):
        """Whether there was a time at which it would have changed nothing."""
        for seen in self.seen:
            tree, changed = seen.copy(), []
            for op, payload, reply in self.log:
                if tree.execute(op, payload, self.who) != reply:
                    break
                changed += tree.changed
            else:
                if not changed:
                    return True
        return False


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(path)
    return sock


class Party:
    def __init__(self, sock, who=0):
        self.sock = sock
        self.who = who
        self.watches = Watches(who)
        self.txns = []
        self.expected = []    # events since the last look
        self.got = []
        self.ordered = True   # whether their order is certain
        self.any_events = False
        self.last_id = 0

    def send(self, rng, messages):
        data = b''.join(messages)
        if rng.random() < 0.1:
            for n in range(0, len(data), 7):
                self.sock.sendall(data[n:n + 7])
        else:
            self.sock.sendall(data)

    def message(self, op, payload, tx=0):
        self.last_id += 1
        return HEADER.pack(OP[op], self.last_id, tx, len(payload)) + payload

    def reply(self, op, req, tx):
        """The next reply: bytes, or the name of an error."""
        while True:
            kind, got_req, got_tx, data = recv_message(self.sock)
            if kind != OP['WATCH_EVENT']:
                break
            self.got.append(tuple(data.split(b'\0')[:-1]))
            if len(self.got[-1]) != 2 or got_req or got_tx:
                raise Wrong('malformed event %r' % data)
        if (got_req, got_tx) != (req, tx):
            raise Wrong('%s %d tx %d answered as %d tx %d'
                        % (op, req, tx, got_req, got_tx))
        if kind == OP['ERROR']:
            return data[:-1].decode()
        if kind != OP[op]:
            raise Wrong('%s answered as %s' % (op, OPS[kind]))
        return data

    def call(self, op, payload, tx=0):
        self.sock.sendall(self.message(op, payload, tx))
        return self.reply(op, self.last_id, tx)


class Fuzz:
    def __init__(self, path, vmm_path, seed):
        self.path = path
        self.rng = random.Random(seed)
        self.parties = [Party(connect(path)) for _ in range(3)]
        self.vmm = VMM(vmm_path)
        self.tree = Tree()
        Tree.domains = tuple(b'%d' % who for who in [0, *GUESTS])
        for who in GUESTS:
            self.parties.append(Party(self.vmm.attach(who), who))
            self.parties[0].call('MKDIR', home(who) + b'\0')
            self.parties[0].call('SET_PERMS', home(who) + b'\0n%d\0' % who)
        self.requests = self.commits = self.conflicts = self.events = 0
        self.trace = []
        self.dump(self.parties[0], b'/')

    def dump(self, party, path):
        names = party.call('DIRECTORY', path + b'\0').split(b'\0')[:-1]
        self.tree.nodes[path] = [
            party.call('READ', path + b'\0'),
            party.call('GET_PERMS', path + b'\0').split(b'\0')[:-1], names]
        for name in names:
            self.dump(party, b'/' + name if path == b'/'
                      else path + b'/' + name)

    # ---- what to send ------------------------------------------------------

    def some_path(self):
        rng = self.rng
        names = [rng.choice(NAMES) for _ in range(rng.choice([1, 2, 2, 3]))]
        path = b'/'.join(names)
        how = rng.random()
        if how < 0.6:
            return b'/' + path
        if how < 0.9:
            return path
        return rng.choice([b'/', home(0), home(0) + b'/' + path, b'/tool',
                           home(5), home(5) + b'/' + path, b'/nox/y'])

    def some_payload(self, op, who):
        rng = self.rng
        payload = self.some_path() + b'\0'
        if op == 'WRITE':
            payload += rng.choice(VALUES)
        elif op == 'SET_PERMS':
            perms = [rng.choice(PERMS[:7])]
            perms += rng.choices(PERMS[:11], k=rng.randrange(3))
            if rng.random() < 0.1:
                perms.insert(rng.randrange(len(perms)) + 1, rng.choice(PERMS))
            if rng.random() < 0.05:
                perms[0] = b'n77'
            elif who and rng.random() < 0.7:
                perms[0] = rng.choice([b'n', b'r', b'b']) + b'%d' % who
            del perms[5:]    # a guest may set no more
            payload += b''.join(p + b'\0' for p in perms)
        elif op in ('WATCH', 'UNWATCH'):
            payload += rng.choice([b't', b'u', b'']) + b'\0'
        if rng.random() < 0.07:
            payload = self.spoil(payload)
        return payload

    def spoil(self, payload):
        """One thing wrong. What that means the model finds out."""
        rng = self.rng
        at = rng.randrange(len(payload))
        how = rng.randrange(6)
        if how == 0:
            return payload[:at]
        if how == 1:
            return payload[:at] + payload[at + 1:]
        if how == 2:
            return payload[:at] + rng.choice([b'/', b'.', b'\0', b'//']) \
                + payload[at:]
        if how == 3:
            return payload + rng.choice([b'\0', b'x', b'/'])
        if how == 4:
            return b''
        return payload[:at] + bytes([rng.randrange(256)]) + payload[at + 1:]

    # ---- what happens --------------------------------------------------------

    def note(self, *what):
        self.trace.append(what)
        del self.trace[:-60]

    def check(self, got, wanted, *what):
        self.note(*what, got)
        if got != wanted:
            raise Wrong('%r: got %r, expected %r' % (what, got, wanted))

    def changed(self, nodes, ordered=True, known=True):
        """Tells all parties of a change that was made."""
        for party in self.parties:
            party.expected += party.watches.events(nodes)
            party.ordered = party.ordered and ordered
            party.any_events = party.any_events or not known or \
                (party.who and not ordered)
            for txn in party.txns:
                txn.seen.append(self.tree.copy())

    def plain(self, party):
        """Some requests outside transactions, sent together."""
        count = self.rng.choice([1, 1, 1, 2, 5, 20])
        todo, messages = [], []
        for _ in range(count):
            op = self.rng.choice(TREE_OPS)
            payload = self.some_payload(op, party.who)
            messages.append(party.message(op, payload))
            todo.append((op, payload, party.last_id))
        party.send(self.rng, messages)
        for op, payload, req in todo:
            wanted = self.tree.execute(op, payload, party.who)
            self.check(party.reply(op, req, 0), wanted, party.who, op,
                       payload)
            if self.tree.changed:
                self.changed(self.tree.changed)
            self.requests += 1

    def watching(self, party):
        op = self.rng.choice(['WATCH', 'WATCH', 'UNWATCH'])
        if self.rng.random() < 0.05 or len(party.watches.all) > 100:
            op = 'RESET_WATCHES'
        payload = self.some_payload(op, party.who)
        if len(payload.split(b'\0')) == 4:
            return    # a depth, perhaps
        reply, events = party.watches.execute(op, payload)
        self.check(party.call(op, payload), reply, party.who, op, payload)
        party.expected += events
        if op == 'RESET_WATCHES':
            party.txns = []

    def begin(self, party):
        if len(party.txns) < 3:
            number = int(party.call('TRANSACTION_START', b'\0')[:-1])
            party.txns.append(Txn(number, self.tree, party.who))
            self.note('START', number)

    def inside(self, party):
        if not party.txns:
            return self.begin(party)
        txn = self.rng.choice(party.txns)
        for _ in range(self.rng.randrange(1, 4)):
            op = self.rng.choice(TREE_OPS)
            payload = self.some_payload(op, party.who)
            reply = party.call(op, payload, txn.number)
            txn.log.append((op, payload, reply))
            self.note('in', txn.number, op, payload, reply)
            self.requests += 1

    def end(self, party):
        if not party.txns:
            return
        txn = party.txns.pop(self.rng.randrange(len(party.txns)))
        if self.rng.random() < 0.2:
            self.check(party.call('TRANSACTION_END', b'F\0', txn.number),
                       b'OK\0', 'abort', txn.number)
            return
        reply = party.call('TRANSACTION_END', b'T\0', txn.number)
        self.note('commit', txn.number, reply)
        if reply == b'OK\0':
            # RM and MKDIR answer alike whether they did something or not.
            if not txn.only_read() or (self.applied(txn) and
                                       not self.unchanged()):
                self.committed(txn)
        elif reply == 'EAGAIN':
            self.refused(txn)
        else:
            raise Wrong('commit: %r' % reply)

    def applied(self, txn):
        """Whether its requests would change the store as it is."""
        tree = self.tree.copy()
        return txn.replies_on(tree) and not tree.same(self.tree)

    def unchanged(self):
        wanted, self.tree = self.tree, Tree()
        self.dump(self.parties[0], b'/')    # of dom0, always
        self.tree, now = wanted, self.tree
        return now.same(wanted)

    def committed(self, txn):
        after = self.tree.copy()
        touched, removed = {}, False
        for op, payload, reply in txn.log:
            got = after.execute(op, payload, txn.who)
            if got != reply:
                raise Wrong('committed, but %s %r would answer %r, not %r: %r'
                            % (op, payload, got, reply, txn.log))
            removed = removed or (op == 'RM' and after.changed)
            for path, how, lists in after.changed:
                touched[path] = (path, how, lists)
        self.tree = after
        self.commits += 1
        self.changed(list(touched.values()), ordered=False, known=not removed)

    def refused(self, txn):
        self.conflicts += 1
        if all(op in ('READ', 'DIRECTORY', 'GET_PERMS') or got != b'OK\0'
               for op, _, got in txn.log):
            raise Wrong('a transaction that wrote nothing was refused: %r'
                        % txn.log)
        if all(t.same(self.tree) for t in txn.seen):
            raise Wrong('refused, but nothing had changed: %r' % txn.log)
        if not txn.who and txn.reads_first() and txn.replies_on(self.tree.copy()):
            raise Wrong('refused, but everything seen is the same: %r'
                        % txn.log)

    def again(self, party):
        """Hangs up, perhaps amid a message, and comes again."""
        if party.who:
            return
        if self.rng.random() < 0.5:
            message = party.message('WRITE', b'/half\0value')
            party.sock.sendall(message[:self.rng.randrange(len(message))])
        party.sock.close()
        self.parties[self.parties.index(party)] = Party(connect(self.path))
        self.note('reconnect')

    # ---- events ---------------------------------------------------------------

    def look(self, party):
        """All events so far have come, and no others."""
        party.call('GET_DOMAIN_PATH', b'0\0')
        got, wanted = party.got, party.expected
        ordered, unknown = party.ordered, party.any_events
        party.got, party.expected = [], []
        party.ordered, party.any_events = True, False
        self.events += len(got)
        if unknown:
            return
        if not ordered:
            got, wanted = sorted(got), sorted(wanted)
        at = 0
        for event in wanted:
            if at < len(got) and got[at] == event:
                at += 1
            elif event not in got:    # else it was waiting already
                raise Wrong('event %r is missing: got %r, expected %r'
                            % (event, got, wanted))
        if at < len(got):
            raise Wrong('events %r too many: got %r, expected %r'
                        % (got[at:], got, wanted))

    def step(self):
        party = self.rng.choice(self.parties)
        what = self.rng.choices(
            [self.plain, self.watching, self.begin, self.inside, self.end,
             self.again], [40, 15, 8, 40, 12, 1])[0]
        what(party)
        for p in self.parties:
            self.look(p)


def main():
    path, vmm_path = sys.argv[1:3]
    seconds, seed = float(sys.argv[3]), int(sys.argv[4])
    fuzz = Fuzz(path, vmm_path, seed)
    end = time.monotonic() + seconds
    why, steps = None, 0
    try:
        while time.monotonic() < end:
            fuzz.step()
            steps += 1
        checked = fuzz.parties[0].call('CONTROL', b'check\0')
        if checked != b'OK\0':
            raise Wrong('check: %r' % checked)
        left = Tree()
        fuzz.tree, wanted = left, fuzz.tree
        fuzz.dump(fuzz.parties[0], b'/')
        if not left.same(wanted):
            raise Wrong('the store is not the model')
    except (Wrong, OSError, EOFError) as e:
        why = '%s: %s\nstep %d of seed %d; before it:\n' % (
            type(e).__name__, e, steps, seed)
        why += '\n'.join('%r' % (t,) for t in fuzz.trace)
    tap.ok(why is None, 'random requests answer as the model does '
           '(seed %d: %d requests, %d events, %d commits, %d conflicts)' % (
               seed, fuzz.requests, fuzz.events, fuzz.commits,
               fuzz.conflicts), why)
    return tap.end()


sys.exit(main())
