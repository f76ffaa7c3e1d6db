/* SPDX-License-Identifier: MIT */
/*
 * Fault points: places where a test lets the daemon die. Only in builds with
 * FAULT_POINTS defined (`make FAULT=1 BUILD=...`); nothing is left of them in
 * others.
 *
 *	XENSTORED_DIE_AT=commit_before:3,-,send_done:1
 *
 * kills the first worker when it passes commit_before for the third time, lets
 * the second one live ("-"), and kills the third one at its first send_done;
 * workers behind the end of the list live. Death is SIGKILL; with a "!" behind
 * the number it is abort().
 *
 *	XENSTORED_POISON=/poison
 *
 * kills whoever executes a request whose payload begins so.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stddef.h>
#include <stdint.h>

/* X(name): when */
#define FAULT_POINTS_LIST(X)                                                   \
	X(recv_done)		/* bytes were received, not recorded */        \
	X(recv_recorded)	/* ... recorded, not executed */               \
	X(execute_before)	/* marked as being executed */                 \
	X(execute_after)	/* executed, the mark still there */           \
	X(commit_before)	/* the tick is recorded, not committed */      \
	X(commit_after)		/* committed, nothing has left */              \
	X(send_before)		/* marked as being sent */                     \
	X(send_done)		/* sent, or in the ring; not recorded */       \
	X(send_recorded)	/* ... recorded */                             \
	X(ring_bytes)		/* bytes are in the ring, rsp_prod is old */   \
	X(ring_prod)		/* rsp_prod is new, nobody notified */         \
	X(ring_cons)		/* req_cons is new, rsp_prod is old */         \
	X(vmm_received)		/* a request of a VMM is here */                \
	X(vmm_attached)		/* ... its domain exists, nobody knows */       \
	X(vmm_detached)		/* ... its domain is gone, nobody knows */      \
	X(vmm_served)		/* ... it is done, not committed */             \
	X(vmm_answering)	/* ... committed */                            \
	X(vmm_answered)		/* ... answered, which is not noted */          \
	X(accepted)		/* a client was accepted, not recorded */      \
	X(closing)		/* its end is recorded, it is still open */    \
	X(account)		/* the next journal file is half written */    \
	X(file_begun)		/* ... and is the current one now */           \
	X(checkpoint_step)	/* after each step of a slice */               \
	X(deferred)		/* a value is told again, its row stays */     \
	X(checkpoint_commit)	/* all is written, not committed */            \
	X(checkpoint_done)	/* committed, the file is still there */       \
	X(revived)		/* a worker went on, before its account */

enum fault_point {
#define FAULT_ENUM(name) FAULT_##name,
	FAULT_POINTS_LIST(FAULT_ENUM)
#undef FAULT_ENUM
	FAULT_COUNT
};

#ifdef FAULT_POINTS
/* At the start of the worker of this number, from 1. */
void fault_init(uint32_t worker);
void fault_pass(enum fault_point point);
#define fault_at(name) fault_pass(FAULT_##name)
void fault_taste(const void *payload, size_t len);
#else
#define fault_init(worker) ((void)(worker))
#define fault_at(name) ((void)0)
#define fault_taste(payload, len) ((void)(payload), (void)(len))
#endif

#endif
