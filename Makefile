# One Makefile builds everything: no recursion, so `make -j` sees the whole graph.
#
#   make help            what there is
#   MODE=release|debug|asan|tsan|fuzz   one build folder each, so switching never needs `make clean`
#   V=1                  show commands
#
# A folder named in PROGRAMS is one program: all its .c files and libcommon.a are linked into
# build/$(MODE)/bin/NAME.  A unit test tests/unit/test_X.c is linked with libcommon.a and the files
# that its `/* link: a.c b.c */` line names.

PROGRAMS := gateway user-svc product-svc order-svc notify-svc analytics-svc processor
MODE     ?= debug
BUILD    ?= build
B        := $(BUILD)/$(MODE)

PKGS      = libevent libevent_pthreads evhtp rdkafka libmariadb jansson jose libcrypto libssl libargon2 libcurl
PKGCFG   ?= pkg-config

# The processor's own protection of jumps and returns goes by another name on each.
BRANCHES_x86_64  := -fcf-protection
BRANCHES_aarch64 := -mbranch-protection=standard
HARDEN        := -fstack-protector-strong -fstack-clash-protection \
                 $(BRANCHES_$(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null))))
FLAGS_debug   := -Og -g3
FLAGS_release := -O2 -g -DRELEASE -D_FORTIFY_SOURCE=2 -fPIE $(HARDEN)
# Unsigned as on arm64, so that the tests have both kinds of char.
FLAGS_asan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
                 -funsigned-char
FLAGS_tsan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=thread
FLAGS_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
                 -fno-sanitize-recover=all
LINK_release  := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
ifndef FLAGS_$(MODE)
$(error MODE must be debug, release, asan, tsan or fuzz, not '$(MODE)')
endif
ifeq ($(MODE),fuzz)
CC := clang
# gcc lets a function with a va_list pass its format on; clang calls that non-literal.
FLAGS_fuzz += -Wno-format-nonliteral
endif

WARN      = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings -Wformat=2 -Wundef -Wvla $(if $(CI),-Werror)
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
CPPFLAGS += -D_GNU_SOURCE -Icommon $(patsubst -I%,-isystem %,$(shell $(PKGCFG) --cflags $(PKGS) 2>/dev/null))
CFLAGS   += -std=gnu17 $(WARN) $(FLAGS_$(MODE))
LDFLAGS  += $(FLAGS_$(MODE)) $(LINK_$(MODE)) -pthread
LDLIBS   += $(shell $(PKGCFG) --libs $(PKGS) 2>/dev/null) -lm

ifndef V
Q = @printf '  %-5s %s\n' '$(1)' '$(patsubst $(B)/%,%,$@)';
else
Q =
endif

objs      = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)/*.c))
COMMON   := $(B)/libcommon.a
BINS     := $(PROGRAMS:%=$(B)/bin/%)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNITS    := $(UNIT_SRC:%.c=$(B)/%)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZERS  := $(FUZZ_SRC:%.c=$(B)/%)
C_SRC    := $(wildcard common/*.c $(PROGRAMS:%=%/*.c))
BENCHERS := $(B)/bench/ordbench $(B)/bench/orderload $(B)/bench/orderevents $(B)/bench/slowsync.so $(BUILD)/streams/shop-streams.jar
C_ALL    := $(C_SRC) $(wildcard common/*.h $(PROGRAMS:%=%/*.h) tests/*/*.[ch] tests/bench/*/*.[ch])

.DEFAULT_GOAL := help
.PHONY: help build clean run images test-containers stack-down unit units fuzz fuzzers test chaos model mutants test-mysql stack-test bench benchers \
        test-argocd test-k8s lint lint-k8s lint-workflows tidy cppcheck scripts format format-check docs docs-check
.SECONDARY:
.DELETE_ON_ERROR:

help: ## this text
	@printf 'make TARGET [MODE=debug|release|asan|tsan] [V=1]\n\n'
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

build: $(BINS) ## compile the seven programs into build/MODE/bin

clean: ## remove everything that was built
	rm -rf $(BUILD)

define program
$(B)/bin/$(1): $(call objs,$(1)) $(COMMON)
$(call objs,$(1)): CPPFLAGS += -I$(1)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

$(COMMON): $(call objs,common)
	@rm -f $@
	$(call Q,AR)$(AR) rcs $@ $^

$(BINS):
	@mkdir -p $(@D)
	$(call Q,LD)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/common/service.o: CPPFLAGS += -DVERSION='"$(VERSION)"'
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

run: ## install what is missing, start the whole shop on loopback, stop it on Ctrl-C
	@tools/install run
	@$(MAKE) --no-print-directory -j$(shell nproc) MODE=release build
	@exec tools/stack run --mode release --nice-ports

stack-down: ## stop the stacks that `make run` and `make stack-test` started
	@tools/stack down
	@tools/stack down --dir build/stack-test

TAG ?= dev
images: ## build and tag the container images (IMAGES="gateway …" TAG=dev; ARCHIVE=DIR: save them, too)
	@tools/install images
	@docker/images --tag $(TAG) $(if $(ARCHIVE),--archive $(ARCHIVE)) $(IMAGES)

test-containers: ## images, and docker-compose from up to an upgrade (minutes; T=… one file)
	@tools/install containers
	@tests/containers/run $(filter tests/containers/%,$(T))

# The extra objects of a unit test or a fuzz target stand on its `link:` line.
links = $(patsubst %.c,$(B)/%.o,$(shell sed -n 's/^.*link: \(.*\) \*\/$$/\1/p' $(1)))
define test_program
$(B)/$(1:%.c=%): $(B)/$(1:%.c=%).o $(call links,$(1)) $(COMMON)
endef
$(foreach t,$(UNIT_SRC) $(FUZZ_SRC),$(eval $(call test_program,$(t))))
$(B)/tests/unit/%.o $(B)/tests/fuzz/%.o: CPPFLAGS += -I. $(addprefix -I,$(PROGRAMS))

$(UNITS):
	$(call Q,LD)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(FUZZERS):
	$(call Q,LD)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

units: $(UNITS)
fuzzers: $(FUZZERS)

unit: $(UNITS) ## unit tests (cmocka) of this MODE
	@tests/unit/with_mariadb.sh tools/run-units $(UNITS)

FUZZ_SECONDS ?= 60
fuzz: ## every fuzz target for FUZZ_SECONDS (60)
	@$(MAKE) --no-print-directory -j$(shell nproc) MODE=fuzz fuzzers
	@tools/run-fuzz $(FUZZ_SECONDS) $(FUZZ_SRC:%.c=$(BUILD)/fuzz/%)

test: ## everything: sanitizers, unit, short fuzz, models, lint, integration, browser
	@tools/install test lint
	@tools/run-tests

chaos: ## faults under load, all invariants after each run (SEED= RUN_SECONDS=30; ends after RUNS= or MINUTES=, else 10)
	@tools/install test
	@$(MAKE) --no-print-directory -j$(shell nproc) MODE=$(MODE) build
	@SEED=$(SEED) RUNS=$(RUNS) MINUTES=$(MINUTES) RUN_SECONDS=$(RUN_SECONDS) MODE=$(MODE) \
	  BROKERS=$(BROKERS) KAFKA=$(KAFKA) tools/run-chaos

mutants: ## break one guarantee after the other: does a test notice? CHAOS=1: does a chaos run?
	@tools/install test
	@tools/run-mutants $(if $(CHAOS),--chaos)

test-mysql: ## the tests that need a database, on MySQL's own server (minutes)
	@tools/install test
	@tools/test-mysql

.PHONY: test-monitoring
test-monitoring: ## rules, alerts, dashboards: as files, and against a Prometheus that scrapes the running stack (minutes)
	@tools/install monitoring
	@$(MAKE) --no-print-directory -j$(shell nproc) MODE=$(MODE) build
	@SHOP_MODE=$(MODE) BUILD=$(BUILD) /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/monitoring

MODEL_SIZE ?= small
model: ## the protocols' models and their mutants (SPIN); MODEL_SIZE=large: minutes, 8 GB
	@tools/install test
	@MODEL_SIZE=$(MODEL_SIZE) tools/run-models

T ?= tests/integration
stack-test: build ## T=tests/integration/test_x.py on a stack that stays up (MODE=debug)
	@SHOP_STACK_DIR=build/stack-test SHOP_MODE=$(MODE) BUILD=$(BUILD) \
	  /usr/bin/python3 -m pytest -q -p no:cacheprovider $(T)

$(B)/bench/ordbench: $(call objs,tests/bench/ordbench)
$(B)/bench/orderload: $(call objs,tests/bench/load)
$(B)/bench/orderevents: $(call objs,tests/bench/events) $(B)/tests/bench/load/hist.o
$(B)/bench/ordbench $(B)/bench/orderload $(B)/bench/orderevents:
	@mkdir -p $(@D)
	$(call Q,LD)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/bench/slowsync.so: tests/bench/slowsync.c
	@mkdir -p $(@D)
	$(call Q,LD)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared -o $@ $<

STREAMS := tests/bench/streams
$(BUILD)/streams/shop-streams.jar: $(STREAMS)/pom.xml $(wildcard $(STREAMS)/src/main/java/shop/*.java)
	@printf '  %-5s %s\n' MVN $(@F)
	@mvn -B -q -f $< -Dshop.build=$(abspath $(@D)) package

benchers: $(BENCHERS)

bench: ## figures of the whole shop beside its peers on this machine (BENCH_SECONDS=3: a quick look)
	@tools/install bench
	@$(MAKE) --no-print-directory -j$(shell nproc) MODE=release build benchers
	@tools/run-bench

lint: format-check tidy cppcheck scripts ## style, static analysis, the fences of docs/STYLE.md

scripts:
	@tools/lint

test-k8s: ## overlays/local on a real cluster: KUBECONFIG's (images by K8S_LOAD), else our own (root, Go; T=… one file)
	@tools/install k8s
	@$(MAKE) --no-print-directory -j$(shell nproc) MODE=$(MODE) build
	@MODE=$(MODE) BUILD=$(BUILD) tests/k8s/run $(filter tests/k8s/%,$(T))

lint-k8s: ## k8s/ rendered: kubeconform, kubernetes-validate, kube-score, checkov (needs Go)
	@tools/install lint-k8s
	@tests/k8s/lint

test-argocd: ## Argo CD's real controllers follow a git repository, on the cluster of test-k8s (T=… one file)
	@tools/install k8s argocd
	@tests/k8s/run $(or $(filter tests/k8s/%,$(T)),$(wildcard tests/k8s/test_argocd*.py))

lint-workflows: ## actionlint over .github/workflows, and does it see broken ones? (needs Go)
	@tools/lint-workflows

# One stamp a file, so that only what changed is looked at again.
TIDY := $(C_SRC:%.c=$(BUILD)/lint/%.tidy)
tidy: $(TIDY)
$(BUILD)/lint/%.tidy: %.c .clang-tidy $(wildcard common/*.h)
	@mkdir -p $(@D)
	@printf '  %-5s %s\n' TIDY $<
	@clang-tidy --quiet --warnings-as-errors='*' $< -- $(CPPFLAGS) -I$(*D) -DVERSION='""' \
	  -std=gnu17 2>$@.err || { cat $@.err; exit 1; }
	@touch $@

cppcheck:
	@printf '  %-5s %s\n' LINT cppcheck
	@cppcheck -q -j2 --std=c11 --enable=warning,performance,portability --inline-suppr \
	  --library=posix,gnu --include=tools/cppcheck.h --suppress=missingIncludeSystem \
	  --suppress=readdirCalled --error-exitcode=1 -Icommon \
	  --template='{file}:{line}: {message} [{id}]' common $(PROGRAMS)

format: ## lay out all C files
	@clang-format -i $(C_ALL)

format-check:
	@clang-format --dry-run -Werror $(C_ALL)

docs: build ## write the settings of every program into docs/OPERATIONS.md
	@tools/docs-settings $(B)/bin

docs-check: build
	@tools/docs-settings --check $(B)/bin

-include $(shell find $(B) -name '*.d' 2>/dev/null)
