/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <stddef.h>

#include "toolcore.h"

typedef void registrar(struct toolcore_record *record);

#ifdef XS_STATIC
/*
 * The archive: linked into the program together with libxentoolcore or not.
 * Weak, so that the reference alone does not ask for it.
 */
__attribute__((weak)) registrar xentoolcore__register_active_handle;
__attribute__((weak)) registrar xentoolcore__deregister_active_handle;

static void *library_find(void)
{
	static char present;

	return xentoolcore__register_active_handle &&
	       xentoolcore__deregister_active_handle ? &present : NULL;
}

static void library_release(void *library)
{
	(void)library;
}

static registrar *library_register(void *library)
{
	(void)library;
	return xentoolcore__register_active_handle;
}

static registrar *library_deregister(void *library)
{
	(void)library;
	return xentoolcore__deregister_active_handle;
}
#else
/*
 * The shared library: a look-up finds one that was loaded after this, or in
 * another scope, as is usual with plug-ins. It is kept loaded while it knows
 * of the handle.
 */
static void *library_find(void)
{
	return dlopen("libxentoolcore.so.1", RTLD_LAZY | RTLD_NOLOAD);
}

static void library_release(void *library)
{
	dlclose(library);
}

static registrar *library_register(void *library)
{
	return (registrar *)dlsym(library,
				  "xentoolcore__register_active_handle");
}

static registrar *library_deregister(void *library)
{
	return (registrar *)dlsym(library,
				  "xentoolcore__deregister_active_handle");
}
#endif

void toolcore_register(struct toolcore *tc,
		       int (*callback)(struct toolcore_record *, uint16_t))
{
	registrar *enter;

	tc->record.restrict_callback = callback;
	tc->library = library_find();
	if (!tc->library)
		return;
	enter = library_register(tc->library);
	if (enter && library_deregister(tc->library)) {
		enter(&tc->record);
	} else {
		library_release(tc->library);
		tc->library = NULL;
	}
}

void toolcore_deregister(struct toolcore *tc)
{
	if (!tc->library)
		return;
	library_deregister(tc->library)(&tc->record);
	library_release(tc->library);
	tc->library = NULL;
}
