/* SPDX-License-Identifier: MIT */
/*
 * What a hostile guest may try through its ring, against a running daemon: as
 * TAP, each line with the number of the security advisory (XSA) about it.
 * Nothing kills the daemon, and a neighbour is served all the time (P5, P6 of
 * README.md).
 */
#ifndef GUEST_ATTACK_H
#define GUEST_ATTACK_H

/* `vmm`: path of the daemon's socket for VMMs; `daemon`: its process, for its
 * memory (0: not looked at). Returns how many failed. */
int attack_all(const char *vmm, int daemon);

#endif
