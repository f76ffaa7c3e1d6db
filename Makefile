# SPDX-License-Identifier: MIT
# xenstored, libxenstore and the xenstore tools. One Makefile, no recursion
# into directories; sources are listed by name; everything that is made goes
# below $(BUILD). `make help` lists the targets.

BUILD ?= build
# One name for each object: what is known of its headers goes by that.
override BUILD := $(BUILD:$(CURDIR)/%=%)
# ?= does not replace make's own defaults.
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
CFLAGS ?= -O2 -g
DESTDIR ?=

# ---- where things go --------------------------------------------------------

PREFIX ?= /usr/local
multiarch := $(shell $(CC) -print-multiarch 2>/dev/null)
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib$(if $(multiarch),/$(multiarch))
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share
SYSTEMDUNITDIR ?= $(PREFIX)/lib/systemd/system
BASHCOMPDIR ?= $(DATADIR)/bash-completion/completions
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig

# ---- flags ------------------------------------------------------------------

warn := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes \
	-Wshadow -Wpointer-arith -Wwrite-strings
harden := -fstack-protector-strong -fstack-clash-protection -fPIE
ldharden := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack

# SAN=address,undefined or SAN=thread makes a sanitizer build.
SAN ?=
ifneq ($(SAN),)
san := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer \
	-DSANITIZED
else
harden += -D_FORTIFY_SOURCE=2
endif

# FAULT=1 makes a build whose daemon can be told where to die, for tests; see
# xenstored/base/fault.h.
FAULT ?=
ifneq ($(FAULT),)
fault := -DFAULT_POINTS
endif

all_CPPFLAGS := -D_GNU_SOURCE -Iinclude $(fault) $(CPPFLAGS)
all_CFLAGS := -std=gnu11 $(warn) $(harden) $(san) -pthread $(CFLAGS)
all_LDFLAGS := $(ldharden) $(san) -pthread $(LDFLAGS)

# make V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s%s\n' "$(1)" "$(2)")

COMPILE = $(CC) $(all_CPPFLAGS) $(EXTRA_CPPFLAGS) $(all_CFLAGS) \
	$(EXTRA_CFLAGS) -MMD -MP -c $< -o $@
# Objects before archives, whichever rule named them first.
LINK = $(CC) $(all_LDFLAGS) -o $@ $(filter %.o,$^) $(filter-out %.o,$^)

# The Xen libraries are optional; without them only the VMM port is built.
have_xen := $(wildcard /usr/include/xenevtchn.h)
have_xenmanage := $(wildcard /usr/include/xenmanage.h)

all_TARGETS :=
OBJCOPY ?= objcopy

# ---- the library ------------------------------------------------------------

lib_SRC := api handle exchange events rejoin link codec toolcore
lib_SONAME := libxenstore.so.4
lib_REAL := $(lib_SONAME).2
lib_TARGETS := $(BUILD)/$(lib_REAL) $(BUILD)/$(lib_SONAME) \
	$(BUILD)/libxenstore.so $(BUILD)/libxenstore.a
lib_OBJ := $(lib_SRC:%=$(BUILD)/libxenstore/%.o)
# In the archive only the look-up of libxentoolcore differs.
lib_STATIC_OBJ := $(lib_OBJ:%/toolcore.o=%/toolcore.static.o)
all_TARGETS += $(lib_TARGETS)

$(lib_OBJ) $(lib_STATIC_OBJ): EXTRA_CFLAGS = -fPIC -fvisibility=hidden
$(BUILD)/libxenstore/toolcore.static.o: EXTRA_CPPFLAGS = -DXS_STATIC
$(BUILD)/libxenstore/toolcore.static.o: libxenstore/toolcore.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE)

$(BUILD)/$(lib_REAL): $(lib_OBJ) libxenstore/libxenstore.map
	$(call say,LD,$@)
	$(Q)$(CC) -shared -o $@ $(lib_OBJ) $(filter-out -pie,$(all_LDFLAGS)) \
		$(if $(SAN),,-Wl,-z,defs) -Wl,-soname,$(lib_SONAME) \
		-Wl,--version-script,libxenstore/libxenstore.map

$(BUILD)/$(lib_SONAME) $(BUILD)/libxenstore.so: $(BUILD)/$(lib_REAL)
	$(Q)ln -sf $(lib_REAL) $@

# One object, with no more global names than the shared library has.
$(BUILD)/libxenstore.a: $(lib_STATIC_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(LD) -r -o $(BUILD)/libxenstore/all.o $^
	$(Q)$(OBJCOPY) --localize-hidden $(BUILD)/libxenstore/all.o
	$(Q)$(AR) rcs $@ $(BUILD)/libxenstore/all.o

.PHONY: install-lib
install-lib: $(lib_TARGETS)
	install -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PKGCONFIGDIR) \
		$(DESTDIR)$(INCLUDEDIR)/xen/io \
		$(DESTDIR)$(INCLUDEDIR)/xenstore-compat \
		$(DESTDIR)$(MANDIR)/man3
	install -m 644 libxenstore/libxenstore.3 $(DESTDIR)$(MANDIR)/man3
	install -m 644 $(BUILD)/$(lib_REAL) $(BUILD)/libxenstore.a \
		$(DESTDIR)$(LIBDIR)
	ln -sf $(lib_REAL) $(DESTDIR)$(LIBDIR)/$(lib_SONAME)
	ln -sf $(lib_SONAME) $(DESTDIR)$(LIBDIR)/libxenstore.so
	install -m 644 include/xenstore.h include/xenstore_lib.h \
		$(DESTDIR)$(INCLUDEDIR)
	install -m 644 include/xen/io/xs_wire.h $(DESTDIR)$(INCLUDEDIR)/xen/io
	install -m 644 include/xs.h include/xs_lib.h \
		$(DESTDIR)$(INCLUDEDIR)/xenstore-compat
	ln -sf xenstore-compat/xs.h $(DESTDIR)$(INCLUDEDIR)/xs.h
	ln -sf xenstore-compat/xs_lib.h $(DESTDIR)$(INCLUDEDIR)/xs_lib.h
	sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@LIBDIR@,$(LIBDIR),' \
		-e 's,@INCLUDEDIR@,$(INCLUDEDIR),' \
		libxenstore/libxenstore.pc.in \
		>$(DESTDIR)$(PKGCONFIGDIR)/xenstore.pc

# ---- the tools --------------------------------------------------------------

tools_MODES := chmod exists list ls read rm watch write
tools_SRC := xenstore cmd_node cmd_list cmd_perms cmd_watch cmd_devices \
	cmd_top cmd_dump walk streams text
tools_NAMES := xenstore $(tools_MODES:%=xenstore-%)
tools_TARGETS := $(tools_NAMES:%=$(BUILD)/%) $(BUILD)/xenstore-control
all_TARGETS += $(tools_TARGETS)

# With the archive, so that the tools work wherever the library is, and do
# not meet another libxenstore.so.4 that lacks what they use.
$(BUILD)/xenstore: $(tools_SRC:%=$(BUILD)/xenstore-tools/%.o) \
		$(BUILD)/libxenstore.a
	$(call say,LD,$@)
	$(Q)$(LINK)

$(BUILD)/xenstore-control: $(BUILD)/xenstore-tools/xenstore-control.o \
		$(BUILD)/xenstore-tools/streams.o \
		$(BUILD)/xenstore-tools/text.o $(BUILD)/libxenstore.a
	$(call say,LD,$@)
	$(Q)$(LINK)

$(tools_MODES:%=$(BUILD)/xenstore-%): $(BUILD)/xenstore
	$(Q)ln -f $< $@

.PHONY: install-tools
install-tools: $(tools_TARGETS)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(BASHCOMPDIR) \
		$(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man8
	install $(BUILD)/xenstore $(BUILD)/xenstore-control \
		$(DESTDIR)$(BINDIR)
	install -m 644 xenstore-tools/xenstore.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 xenstore-tools/xenstore-control.8 \
		$(DESTDIR)$(MANDIR)/man8
	install -m 644 xenstore-tools/xenstore.bash \
		$(DESTDIR)$(BASHCOMPDIR)/xenstore
	for m in $(tools_MODES); do \
		ln -f $(DESTDIR)$(BINDIR)/xenstore \
			$(DESTDIR)$(BINDIR)/xenstore-$$m && \
		ln -sf xenstore.1 $(DESTDIR)$(MANDIR)/man1/xenstore-$$m.1 && \
		ln -sf xenstore $(DESTDIR)$(BASHCOMPDIR)/xenstore-$$m || \
			exit 1; \
	done
	ln -sf xenstore $(DESTDIR)$(BASHCOMPDIR)/xenstore-control

# ---- the daemon -------------------------------------------------------------

# One module a line, in the order of the layers.
base_SRC :=
base_SRC += fault
base_SRC += hash
base_SRC += log
base_SRC += quota
base_SRC += trace
base_SRC += slab

store_SRC :=
store_SRC += path
store_SRC += perms
store_SRC += node
store_SRC += kids
store_SRC += slots
store_SRC += names
store_SRC += tree
store_SRC += builder
store_SRC += change
store_SRC += owned
store_SRC += reap
store_SRC += store
store_SRC += edit
store_SRC += purge
store_SRC += check
store_SRC += trail
store_SRC += intents
store_SRC += txn
store_SRC += txn_write
store_SRC += commit
store_SRC += txn_save
store_SRC += trim
store_SRC += turn
store_SRC += view
store_SRC += watch

io_SRC :=
io_SRC += loop
io_SRC += frame
io_SRC += listener
io_SRC += sock
io_SRC += flight
io_SRC += outq
io_SRC += conn
io_SRC += ring
io_SRC += page
io_SRC += vmm_table
io_SRC += vmm_exchange
io_SRC += vmm_conn
io_SRC += xenport_vmm
ifneq ($(have_xen),)
io_SRC += xenport_xen
io_SRC += $(if $(have_xenmanage),domlist_manage,domlist_ctrl)
endif

persist_SRC :=
persist_SRC += stream oxdump stream_print
persist_SRC += record image journal segment fate
persist_SRC += checkpoint checkpoint_load checkpoint_people checkpoint_nodes
persist_SRC += tell recorder revive handover

op_SRC :=
op_SRC += live_update
op_SRC += args op op_node op_watch op_txn op_domain op_control

top_SRC :=
top_SRC += keeper
top_SRC += keeper_verbs
top_SRC += keeper_update
top_SRC += sandbox
top_SRC += session domains domains_start server server_start options

xenstored_SRC := $(base_SRC:%=xenstored/base/%.c) \
	$(store_SRC:%=xenstored/store/%.c) $(io_SRC:%=xenstored/io/%.c) \
	$(persist_SRC:%=xenstored/persist/%.c) $(op_SRC:%=xenstored/op/%.c) \
	$(top_SRC:%=xenstored/%.c)
# Below obj/, for the daemon itself is $(BUILD)/xenstored.
xenstored_OBJ := $(xenstored_SRC:%.c=$(BUILD)/obj/%.o)
xenstored_LIBS := -ltalloc -levent_core -lsqlite3 -lseccomp
ifneq ($(have_xen),)
xenstored_LIBS += -lxenevtchn -lxengnttab \
	$(if $(have_xenmanage),-lxenmanage,-lxenctrl)
endif

$(xenstored_OBJ) $(BUILD)/obj/xenstored/main.o: EXTRA_CPPFLAGS = -Ixenstored \
	$(if $(have_xen),-DHAVE_XEN)

# Everything but main(), so that unit tests link what they need of it.
$(BUILD)/xenstored.a: $(xenstored_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

xenstored_TARGETS := $(BUILD)/xenstored
all_TARGETS += $(xenstored_TARGETS)

$(BUILD)/xenstored: $(BUILD)/obj/xenstored/main.o $(BUILD)/xenstored.a
	$(call say,LD,$@)
	$(Q)$(LINK) $(xenstored_LIBS)

.PHONY: install-daemon
install-daemon: $(xenstored_TARGETS)
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man8 \
		$(DESTDIR)$(SYSTEMDUNITDIR)
	install $(BUILD)/xenstored $(DESTDIR)$(SBINDIR)
	install -m 644 xenstored/xenstored.8 $(DESTDIR)$(MANDIR)/man8
	install -d $(DESTDIR)$(MANDIR)/man7 $(DESTDIR)$(INCLUDEDIR)
	install -m 644 xenstored/xenstored-vmm.7 $(DESTDIR)$(MANDIR)/man7
	install -m 644 include/xenstore_vmm.h $(DESTDIR)$(INCLUDEDIR)
	sed -e 's,@SBINDIR@,$(SBINDIR),' xenstored/xenstored.service.in \
		>$(DESTDIR)$(SYSTEMDUNITDIR)/xenstored.service

# ---- tests ------------------------------------------------------------------

# tests/unit/test_NAME.c, each a cmocka program
unit_TESTS :=
unit_TESTS += quota
unit_TESTS += codec
unit_TESTS += text
unit_TESTS += path
unit_TESTS += view
unit_TESTS += watch
unit_TESTS += txn
unit_TESTS += txn_oracle
unit_TESTS += turn
unit_TESTS += keeper
unit_TESTS += sandbox
unit_TESTS += stream
unit_TESTS += journal checkpoint persist_model
unit_TESTS += slab
unit_TESTS += perms
unit_TESTS += tree
unit_TESTS += kids builder
unit_TESTS += harness
unit_TESTS += loop
unit_TESTS += frame
unit_TESTS += sock
unit_TESTS += conn
unit_TESTS += args
unit_TESTS += session
unit_TESTS += ring
unit_TESTS += vmm


ifneq ($(have_xen),)
unit_TESTS += xenport_xen
unit_TESTS += xenport_manage
# First among the libraries, so that it stands in for the Xen ones.
$(BUILD)/tests/unit/test_xenport_xen $(BUILD)/tests/unit/test_xenport_manage: \
	$(BUILD)/tests/peers/fakexen.so
# The same test, with the domains as newer Xen tells of them.
$(BUILD)/tests/unit/test_xenport_manage: $(BUILD)/obj/xenstored/io/domlist_manage.o
$(BUILD)/obj/xenstored/io/domlist_manage.o: EXTRA_CPPFLAGS = -Ixenstored \
	$(if $(have_xenmanage),,-Itests/peers/manage)
endif

# scripts, run with $(BUILD) in the environment as $$BUILD
check_SCRIPTS := tests/layers.sh
check_SCRIPTS += tests/conformance/selftest.sh
check_SCRIPTS += tests/conformance/conformance.sh
check_SCRIPTS += tests/integration/daemon.sh
check_SCRIPTS += tests/integration/live_update.sh
check_SCRIPTS += tests/integration/journal.sh
check_SCRIPTS += tests/integration/debian_clients.sh
check_SCRIPTS += tests/integration/sockets.sh
check_SCRIPTS += tests/fuzz/socket_fuzz.sh
check_SCRIPTS += tests/integration/tools.sh
check_SCRIPTS += tests/integration/existing_domains.sh
check_SCRIPTS += tests/integration/completion.py
check_SCRIPTS += tests/integration/install.sh
check_SCRIPTS += tests/integration/pages.py
check_SCRIPTS += tests/integration/consumers.sh

# The library, against daemons and against a server that misbehaves.
libtest_DIR := $(BUILD)/tests/integration
libtest_NAMES := test_library test_library_device test_library_fake
libtest_BIN := $(libtest_NAMES:%=$(libtest_DIR)/%) \
	$(libtest_DIR)/library_stress
libtest_ALONE := $(libtest_DIR)/test_library_fake
ifneq ($(have_xen),)
libtest_BIN += $(libtest_DIR)/test_library_restrict
libtest_ALONE += $(libtest_DIR)/test_library_restrict \
	$(libtest_DIR)/test_library_restrict_static
$(libtest_DIR)/test_library_restrict: libtest_LIBS = -lxentoolcore
$(libtest_DIR)/test_library_restrict_static: \
		$(libtest_DIR)/test_library_restrict.o \
		$(libtest_DIR)/fake_server.o $(libtest_DIR)/sanitizers.o \
		$(BUILD)/libxenstore.a
	$(call say,LD,$@)
	$(Q)$(LINK) -lcmocka -lxentoolcore
endif
$(libtest_DIR)/test_library_fake $(libtest_DIR)/test_library_restrict: \
		$(libtest_DIR)/fake_server.o
$(libtest_BIN): %: %.o $(libtest_DIR)/sanitizers.o $(lib_TARGETS)
	$(call say,LD,$@)
	$(Q)$(CC) $(all_LDFLAGS) -o $@ $(filter %.o,$^) -L$(BUILD) -lxenstore \
		-Wl,-rpath,'$$ORIGIN/../..' $(libtest_LIBS) -lcmocka

# The library and its stress in one program.
$(libtest_DIR)/library_stress.tsan: tests/integration/library_stress.c \
		tests/integration/sanitizers.c \
		$(lib_SRC:%=libxenstore/%.c) $(lib_OBJ)
	$(call say,CC,$@)
	$(Q)$(CC) $(all_CPPFLAGS) -DXS_STATIC -std=gnu11 $(warn) -O1 -g \
		-fsanitize=thread -pthread -o $@ $(filter %.c,$^)

check_SCRIPTS += tests/integration/library.sh tests/abi/abi.sh

# A pretended hypervisor for daemons, Debian's included; see tests/peers.
peers_CPPFLAGS := -Itests/peers
peers_BIN := $(BUILD)/tests/peers/fxctl
ifneq ($(have_xen),)
peers_BIN += $(BUILD)/tests/peers/fakexen.so
endif

$(BUILD)/tests/peers/%.o: EXTRA_CPPFLAGS = $(peers_CPPFLAGS)

$(BUILD)/tests/peers/fxctl: %: %.o $(BUILD)/tests/peers/fxstate.o
	$(call say,LD,$@)
	$(Q)$(LINK)

# Preloaded into programs without sanitizers, so built without.
$(BUILD)/tests/peers/fakexen.so: tests/peers/fakexen.c tests/peers/fxstate.c \
		tests/peers/fakexen.h
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -D_GNU_SOURCE -Iinclude $(CPPFLAGS) -std=gnu11 $(warn) \
		$(CFLAGS) -fPIC -shared -o $@ $(filter %.c,$^)

# Wire behaviour as data: scripts that run against any xenstored.
conformance_BIN := $(BUILD)/tests/conformance/run
conformance_SRC := run party expect verbs toolstack script client guest \
	guest_fake guest_vmm

$(BUILD)/tests/conformance/%.o: EXTRA_CPPFLAGS = $(peers_CPPFLAGS)
$(conformance_BIN): $(conformance_SRC:%=$(BUILD)/tests/conformance/%.o) \
		$(BUILD)/tests/peers/fxstate.o \
		$(BUILD)/tests/guest/vmm.o $(BUILD)/tests/guest/gring.o
	$(call say,LD,$@)
	$(Q)$(LINK)

# Load generator, and a daemon that does nothing as the floor.
bench_SRC := xsbench bench conn hist proc scn_simple scn_tree scn_tx scn_watch \
	scn_bulk
bench_BIN := $(BUILD)/tests/bench/xsbench $(BUILD)/tests/bench/floor

$(BUILD)/tests/bench/%.o: EXTRA_CPPFLAGS = $(peers_CPPFLAGS)
$(BUILD)/tests/bench/xsbench: $(bench_SRC:%=$(BUILD)/tests/bench/%.o) \
		$(BUILD)/tests/peers/fxstate.o
	$(call say,LD,$@)
	$(Q)$(LINK)
$(BUILD)/tests/bench/floor: %: %.o $(BUILD)/tests/peers/fxstate.o
	$(call say,LD,$@)
	$(Q)$(LINK)

# Hypercalls for Debian's toolstack programs, preloaded into them.
ifneq ($(have_xen),)
fakecall_LIB := $(BUILD)/tests/integration/fakecall.so
endif
$(BUILD)/tests/integration/fakecall.so: tests/integration/fakecall.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -D_GNU_SOURCE $(CPPFLAGS) -std=gnu11 $(warn) $(CFLAGS) \
		-fPIC -shared -o $@ $<

# One program for either library: the loader's path decides.
$(BUILD)/tests/bench/lib_roundtrip: %: %.o $(lib_TARGETS)
	$(call say,LD,$@)
	$(Q)$(CC) $(all_LDFLAGS) -o $@ $< -L$(BUILD) -lxenstore

unit_BIN := $(unit_TESTS:%=$(BUILD)/tests/unit/test_%)
check_BIN := $(unit_BIN) $(libtest_ALONE)
check_TOOLS := $(peers_BIN) $(conformance_BIN) $(libtest_BIN) $(fakecall_LIB) \
	$(if $(SAN),,$(libtest_DIR)/library_stress.tsan)

# What each process says goes into a file that stays empty if all is well.
valgrind := valgrind -q --error-exitcode=99 --leak-check=full \
	--show-leak-kinds=definite --errors-for-leak-kinds=definite

# What unit tests share; linked where it is used.
harness_OBJ := $(BUILD)/tests/harness/harness.o $(BUILD)/tests/guest/gring.o \
	$(BUILD)/tests/guest/vmm.o
$(BUILD)/tests/harness.a: $(harness_OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/tests/unit/%.o $(harness_OBJ): EXTRA_CPPFLAGS = -Ixenstored -Itests
$(BUILD)/tests/unit/test_codec: $(lib_STATIC_OBJ)
$(BUILD)/tests/unit/test_text: $(BUILD)/xenstore-tools/text.o
$(unit_BIN): %: %.o $(BUILD)/tests/harness.a $(BUILD)/xenstored.a
	$(call say,LD,$@)
	$(Q)$(LINK) $(xenstored_LIBS) -lcmocka

# Simulated guests, and the example for authors of VMMs.
guest_SRC := gring vmm bus frontend guest backend toolstack attack main
guest_BIN := $(BUILD)/tests/guest/guest $(BUILD)/tests/guest/example
$(BUILD)/tests/guest/guest: $(guest_SRC:%=$(BUILD)/tests/guest/%.o) \
		$(BUILD)/libxenstore.a
	$(call say,LD,$@)
	$(Q)$(LINK)

$(BUILD)/tests/guest/example: %: %.o
	$(call say,LD,$@)
	$(Q)$(LINK)

check_TOOLS += $(guest_BIN)
check_SCRIPTS += tests/guest/guests.sh

check_TOOLS += $(BUILD)/tests/fault/failing.so
check_SCRIPTS += tests/fault/cases.py tests/fault/memory.py tests/fault/chaos.py
check_SCRIPTS += tests/fault/deaths.py

$(BUILD)/tests/fault/failing.so: tests/fault/failing.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(all_CPPFLAGS) -std=gnu11 $(warn) -O2 -fPIC -shared -o $@ $<

# Kills the daemon under a load whose answers are known.
crash_SRC := crash daemon link client model actor verify observer toolstack
crash_BIN := $(BUILD)/tests/fault/crash

$(BUILD)/tests/fault/%.o: EXTRA_CPPFLAGS = $(peers_CPPFLAGS)
$(crash_BIN): $(crash_SRC:%=$(BUILD)/tests/fault/%.o) \
		$(BUILD)/tests/guest/vmm.o $(BUILD)/tests/guest/gring.o \
		$(BUILD)/tests/conformance/guest.o \
		$(BUILD)/tests/conformance/guest_fake.o \
		$(BUILD)/tests/conformance/guest_vmm.o \
		$(BUILD)/tests/peers/fxstate.o
	$(call say,LD,$@)
	$(Q)$(LINK)

# A daemon that dies where it is told to. Its own make knows what it needs.
fault_BIN := $(if $(FAULT),,$(BUILD)/fault/xenstored)
.PHONY: $(fault_BIN)
$(fault_BIN):
	@$(MAKE) --no-print-directory FAULT=1 BUILD=$(BUILD)/fault $@

check_TOOLS += $(crash_BIN) $(fault_BIN)
check_SCRIPTS += tests/fault/crash.sh

# tests/fuzz/fuzz_NAME.c, each a libFuzzer target
fuzz_TARGETS :=
fuzz_TARGETS += stream handover records
fuzz_TARGETS += path
fuzz_TARGETS += tree
fuzz_TARGETS += frame
FUZZ_SECONDS ?= 20
fuzz_BIN := $(fuzz_TARGETS:%=$(BUILD)/tests/fuzz/fuzz_%)

$(BUILD)/tests/fuzz/%.o: EXTRA_CPPFLAGS = -Ixenstored
$(fuzz_BIN): %: %.o $(BUILD)/xenstored.a
	$(CC) $(all_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(xenstored_LIBS)

# What make demo shows.
demo_BIN := $(BUILD)/tests/demo/conflict $(BUILD)/tests/guest/guest
$(BUILD)/tests/demo/conflict: %: %.o $(BUILD)/libxenstore.a
	$(call say,LD,$@)
	$(Q)$(LINK)

# ---- targets ----------------------------------------------------------------

.DEFAULT_GOAL := all
.PHONY: all check check-build run-check demo run-demo
.PHONY: asan tsan run-tsan valgrind fuzz run-fuzz chaos check-crash
.PHONY: layers conformance check-xen check-xen-full
.PHONY: bench bench-journal bench-ls bench-library
.PHONY: install uninstall clean help
all: $(all_TARGETS) ## build what install installs

check: ## install what is missing, build, run every test
	@tests/deps.sh check
	@$(MAKE) --no-print-directory run-check

demo: ## install what is missing, build, show the daemon at work
	@tests/deps.sh demo
	@$(MAKE) --no-print-directory run-demo

run-demo: all $(demo_BIN)
	@BUILD=$(abspath $(BUILD)) tests/demo/demo.sh

check-build: all $(check_BIN) $(check_TOOLS) $(demo_BIN) $(bench_BIN) ## build the tests only

run-check: check-build
	@BUILD=$(abspath $(BUILD)) tests/run-tests $(abspath $(check_BIN)) \
		$(check_SCRIPTS)

conformance: all $(peers_BIN) $(conformance_BIN) ## the conformance scripts, ours and Debian's
	@BUILD=$(abspath $(BUILD)) tests/conformance/conformance.sh

asan: ## the tests with the address and undefined-behaviour sanitizers
	@TEST_TIMEOUT=900 $(MAKE) --no-print-directory BUILD=$(BUILD)/asan \
		CFLAGS="-O1 -g" SAN=address,undefined run-check

tsan: ## the library's tests with the thread sanitizer
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan CFLAGS="-O1 -g" \
		SAN=thread run-tsan

run-tsan: $(libtest_BIN) $(libtest_ALONE) $(peers_BIN)
	@BUILD=$(abspath $(BUILD)) tests/run-tests $(abspath $(libtest_ALONE)) \
		tests/integration/library.sh

# Without those that fork with a shared descriptor table, or kill -9 and count
# on the time that takes, or that ask for a filter of system calls: they test
# processes, which are others in valgrind.
valgrind_WITHOUT := keeper persist_model sandbox
valgrind_BIN := $(filter-out $(valgrind_WITHOUT:%=$(BUILD)/tests/unit/test_%), \
	$(unit_BIN))

valgrind: ## the unit tests, and the daemon below its clients, in valgrind
	@$(MAKE) --no-print-directory check-build
	@BUILD=$(abspath $(BUILD)) WRAP="$(valgrind)" TEST_TIMEOUT=1500 \
		ORACLE_ROUNDS=100 tests/run-tests \
		$(abspath $(valgrind_BIN)) tests/integration/valgrind.sh

layers: ## check the direction of the daemon's includes
	@tests/layers.sh

install: install-lib install-tools install-daemon ## install below PREFIX=/usr/local

# What would be installed is what is removed.
uninstall: ## remove what install has put there
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(MAKE) --no-print-directory install DESTDIR="$$dir" >/dev/null && \
	(cd "$$dir" && find . ! -type d -printf '%P\n') | \
	while read -r file; do rm -fv "$(DESTDIR)/$$file"; done
	@cd $(DESTDIR)$(INCLUDEDIR) 2>/dev/null && rmdir \
		--ignore-fail-on-non-empty xenstore-compat xen/io xen || true

bench: all $(peers_BIN) $(bench_BIN) ## compare the speed of ours, with a journal and without, Debian's and a floor
	@BUILD=$(abspath $(BUILD)) tests/bench/bench.sh $(GROUPS)

bench-journal: all $(peers_BIN) $(bench_BIN) ## what the journal costs: CPU, latency, memory, pause after a crash
	@BUILD=$(abspath $(BUILD)) tests/bench/journal.sh

bench-ls: all $(peers_BIN) $(bench_BIN) ## time xenstore-ls of 100 000 nodes beside Debian's
	@BUILD=$(abspath $(BUILD)) tests/bench/ls.sh

bench-library: all $(peers_BIN) $(BUILD)/tests/bench/lib_roundtrip ## compare a round trip through our library and Debian's
	@BUILD=$(abspath $(BUILD)) tests/bench/library.sh

$(BUILD)/tests/xen/dm: %: %.o
	$(Q)$(LINK)
.PHONY: xen-dm
xen-dm: $(BUILD)/tests/xen/dm

# Real Xen in an emulated machine; see tests/xen/run.
check-xen: ## boot Xen with what was built and with C xenstored; compare
	@tests/deps.sh xen
	@$(MAKE) --no-print-directory all
	@BUILD=$(abspath $(BUILD)) TEST_TIMEOUT=2400 tests/run-tests tests/xen/run

check-xen-full: ## the same with oxenstored and a sanitizer build as well
	@tests/deps.sh xen
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan \
		SAN=address,undefined $(BUILD)/asan/xenstored
	@BUILD=$(abspath $(BUILD)) TEST_TIMEOUT=5000 \
		XEN_DAEMONS="ours asan c417 ox417 c417-moves ox417-moves" \
		tests/run-tests tests/xen/run

CHAOS_SECONDS ?= 600
chaos: $(all_TARGETS) ## everybody does anything, for CHAOS_SECONDS=600
	BUILD=$(BUILD) tests/fault/chaos.py $(CHAOS_SECONDS) $(CHAOS_SEED)

CRASH_KILLS ?= 2000
CRASH_SEED ?= $(shell date +%s)
check-crash: all $(crash_BIN) $(fault_BIN) $(peers_BIN) ## kill the daemon more than 7000 times, in 20 minutes; CRASH_KILLS=2000
	@BUILD=$(abspath $(BUILD)) TEST_TIMEOUT=7200 KILLS=$(CRASH_KILLS) \
		SEED=$(CRASH_SEED) tests/run-tests tests/fault/crash.sh
	@grep '^# killed' $(BUILD)/log/fault.crash.sh.log

fuzz: ## feed the parsers random input, for FUZZ_SECONDS=20 each (clang)
	@$(MAKE) --no-print-directory run-fuzz BUILD=$(BUILD)/fuzz CC=clang \
		SAN=address,undefined,fuzzer-no-link

run-fuzz: $(fuzz_BIN)
	@for t in $(fuzz_BIN); do mkdir -p $$t.corpus; \
		$$t -max_total_time=$(FUZZ_SECONDS) -max_len=8192 \
		-artifact_prefix=$$t. $$t.corpus tests/unit/data >$$t.log 2>&1 || \
		{ tail -n 40 $$t.log; exit 1; }; \
		echo "$${t##*/}: $$(tail -n 1 $$t.log)"; done

clean: ## remove everything that was made
	rm -rf $(BUILD)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
