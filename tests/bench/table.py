#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes tables of xsbench's figures (JSON lines).

   table.py FILE...

What disturbs a shared machine only makes figures worse, so of repeated runs
of one scenario the best counts. A ratio below 1 in "ours/best" means that
ours is better than the best other daemon; "on/off" is what the journal costs:
ours beside ours without it.
"""
import json
import sys

OWN = ('floor', 'ours', 'ours-off')
HIGHER = ('ops_s', 'events_s', 'req_s')
best = {}    # (mode, scenario, parameters) -> peer -> figures
peers = []


def read(name):
    for line in open(name):
        d = json.loads(line)
        par = ' '.join(p for p in d['par'].split()
                       if not p.startswith(('secs=', 'warm=')))
        if d['peer'] not in peers:
            peers.append(d['peer'])
        old = best.setdefault((d['mode'], d['scn'], par), {}).setdefault(
            d['peer'], d)
        for k, v in d.items():
            if isinstance(v, (int, float)):
                pick = max if k in HIGHER else min
                old[k] = pick(old.get(k, v), v)


def number(v):
    if v is None:
        return '-'
    return '%.0f' % v if v >= 1000 else '%.3g' % v


def ratio(a, b):
    return '-' if not a or not b else '%.2f' % (a / b)


def row(figures, key):
    """One figure of all peers, then the ratios."""
    v = {p: figures.get(p, {}).get(key) for p in peers}
    others = [x for p, x in v.items() if p not in OWN and x]
    pick = max if key in HIGHER else min
    other = pick(others) if others else None
    cells = [number(v[p]) for p in peers]
    if key in HIGHER:    # turned round, so that low is good everywhere
        cells += [ratio(v.get('floor'), v.get('ours')),
                  ratio(v.get('floor'), other), ratio(other, v.get('ours'))]
    else:
        cells += [ratio(v.get('ours'), v.get('floor')),
                  ratio(other, v.get('floor')), ratio(v.get('ours'), other)]
    if 'ours-off' in peers:
        on, off = v['ours'], v['ours-off']
        cells.append(ratio(off, on) if key in HIGHER else ratio(on, off))
    return cells


def table(title, key, want):
    rows = [(' '.join(k[1:]).strip(), row(f, key)) for k, f in best.items()
            if want(k[0], k[1]) and any(key in d for d in f.values())]
    if not rows:
        return
    head = peers + ['ours/floor', 'best/floor', 'ours/best']
    if 'ours-off' in peers:
        head.append('on/off')
    width = max([len(r[0]) for r in rows] + [len(title)])
    print()
    print(title.ljust(width) + ''.join('%12s' % h for h in head))
    for name, cells in rows:
        print(name.ljust(width) + ''.join('%12s' % c for c in cells))


for arg in sys.argv[1:]:
    read(arg)
SPECIAL = ('tx-eagain', 'populate', 'depopulate', 'bulk-create',
           'bulk-destroy', 'fan')
table('CPU us/op, one core for both', 'cpu_us_op',
      lambda m, s: m == 'one' and s not in SPECIAL)
table('latency p50 us, one core', 'p50',
      lambda m, s: m == 'one' and s not in SPECIAL)
table('ops/s, two cores', 'ops_s',
      lambda m, s: m == 'two' and s not in SPECIAL)
table('CPU us/op, two cores', 'cpu_us_op',
      lambda m, s: m == 'two' and s not in SPECIAL)
table('watch events/s', 'events_s', lambda m, s: s == 'fan')
table('CPU us/event', 'cpu_us_op', lambda m, s: s == 'fan')
table('CPU us to register a watch', 'reg_cpu_us', lambda m, s: s == 'nomatch')
table('attempts that conflict', 'eagain_rate', lambda m, s: s == 'tx-eagain')
table('CPU us/op', 'cpu_us_op', lambda m, s: s in ('populate', 'depopulate'))
table('removal, answer after us', 'p50', lambda m, s: s == 'depopulate')
table('bytes a node', 'bytes_node', lambda m, s: s == 'populate')
table('CPU us/request', 'cpu_us_req', lambda m, s: s.startswith('bulk'))
table('domains/s', 'ops_s', lambda m, s: s.startswith('bulk'))
