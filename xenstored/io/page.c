/* SPDX-License-Identifier: MIT */
#include "io/page.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define LEN 4096

struct page {
	struct page *next;
	struct page *next_bad;
	char *mem;
	bool bad;
};

static struct page *pages;
/* So that one bad page costs the others nothing. */
static struct page *volatile bad_pages;

const char *page_refusal(int fd, uint64_t offset)
{
	int seals = fcntl(fd, F_GET_SEALS), flags = fcntl(fd, F_GETFL);
	struct statfs fs;
	struct stat st;

	if (seals < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return "the page is not a memfd";
	/* Memory of huge pages cannot be mapped by 4096 bytes. */
	if (fs.f_type != TMPFS_MAGIC)
		return "the page is not a memfd of small pages";
	if (!(seals & F_SEAL_SHRINK))
		return "the memfd is not sealed against shrinking";
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) ||
	    (flags & O_ACCMODE) != O_RDWR)
		return "the memfd cannot be written";
	if (offset % LEN)
		return "the offset is not a multiple of 4096";
	if (st.st_size < LEN || offset > (uint64_t)st.st_size - LEN)
		return "the memfd is too short";
	return NULL;
}

static void page_lost(int signo, siginfo_t *info, void *context)
{
	char *at = info->si_addr;
	struct page *page;

	(void)context;
	for (page = pages; page; page = page->next)
		if (at >= page->mem && at < page->mem + LEN)
			break;
	if (!page || mmap(page->mem, LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			  0) == MAP_FAILED) {
		/* Not ours: the access is tried again, and is the end. */
		signal(signo, SIG_DFL);
		return;
	}
	if (page->bad)
		return;
	page->bad = true;
	page->next_bad = bad_pages;
	bad_pages = page;
}

static int page_watch(void)
{
	struct sigaction action = {
		.sa_sigaction = page_lost,
		.sa_flags = SA_SIGINFO | SA_RESTART,
	};

	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int page_map(int fd, uint64_t offset, struct xenstore_domain_interface **out)
{
	struct page *page = malloc(sizeof(*page));
	int err = pages ? 0 : page_watch();

	if (!page)
		return -ENOMEM;
	page->mem = MAP_FAILED;
	if (!err)
		page->mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, offset);
	if (page->mem == MAP_FAILED) {
		err = err ? err : -errno;
		free(page);
		return err;
	}
	page->bad = false;
	page->next_bad = NULL;
	page->next = pages;
	pages = page;
	*out = (struct xenstore_domain_interface *)page->mem;
	return 0;
}

static struct page **page_find(const struct xenstore_domain_interface *mem)
{
	struct page **p = &pages;

	while (*p && (*p)->mem != (const char *)mem)
		p = &(*p)->next;
	return p;
}

static void page_forget_bad(const struct page *page)
{
	struct page *at = bad_pages;

	if (at == page)
		bad_pages = page->next_bad;
	for (; at; at = at->next_bad)
		if (at->next_bad == page)
			at->next_bad = page->next_bad;
}

void page_unmap(struct xenstore_domain_interface *mem)
{
	struct page **p = page_find(mem), *page = *p;

	if (!page)
		return;
	*p = page->next;
	page_forget_bad(page);
	munmap(page->mem, LEN);
	free(page);
}

bool page_ok(const struct xenstore_domain_interface *mem)
{
	const struct page *page = bad_pages;

	while (page && page->mem != (const char *)mem)
		page = page->next_bad;
	return !page;
}
