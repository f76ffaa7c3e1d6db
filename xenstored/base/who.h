/* SPDX-License-Identifier: MIT */
/*
 * Who asks: the identity on whose behalf a request is judged.
 */
#ifndef BASE_WHO_H
#define BASE_WHO_H

#include <stdbool.h>
#include <stdint.h>

#define DOMID_FIRST_RESERVED 0x7ff0
#define DOMID_SELF 0x7ff0
#define DOMID_INVALID 0x7ff4
/* In permission lists: every domain. */
#define DOMID_ANY 32757

struct who {
	uint16_t domid;
	uint16_t target;	/* device model's target, else DOMID_INVALID */
	bool privileged;	/* may do everything, has no quotas */
	uint32_t features;	/* XENSTORE_SERVER_FEATURE_* it may use */
};

#endif
