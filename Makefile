# One Makefile builds everything: no recursion, so `make -j` sees the whole graph.
#
#   make help            what there is
#   MODE=release|debug|asan|tsan   one build folder each, so switching never needs `make clean`
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

HARDEN        := -fstack-protector-strong -fstack-clash-protection -fcf-protection
FLAGS_debug   := -Og -g3
FLAGS_release := -O2 -g -DRELEASE -D_FORTIFY_SOURCE=2 -fPIE $(HARDEN)
FLAGS_asan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=thread
LINK_release  := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
ifndef FLAGS_$(MODE)
$(error MODE must be debug, release, asan or tsan, not '$(MODE)')
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

.DEFAULT_GOAL := help
.PHONY: help build clean unit
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

$(B)/common/service.o $(B)/common/service_admin.o: CPPFLAGS += -DVERSION='"$(VERSION)"'
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The extra objects of a unit test stand on its `link:` line.
links = $(patsubst %.c,$(B)/%.o,$(shell sed -n 's/^.*link: \(.*\) \*\/$$/\1/p' $(1)))
define unit_test
$(B)/$(1:%.c=%): $(B)/$(1:%.c=%).o $(call links,$(1)) $(COMMON)
$(B)/$(1:%.c=%).o: CPPFLAGS += -I. $(addprefix -I,$(PROGRAMS))
endef
$(foreach t,$(UNIT_SRC),$(eval $(call unit_test,$(t))))

$(UNITS):
	$(call Q,LD)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

unit: $(UNITS) ## unit tests (cmocka) of this MODE
	@fail=0; for t in $(UNITS); do \
	  if $$t >$$t.out 2>&1; then printf '  %-5s %s\n' PASS $${t##*/}; \
	  else fail=1; printf '  %-5s %s\n' FAIL $${t##*/}; tail -n 40 $$t.out; fi; done; exit $$fail

-include $(shell find $(B) -name '*.d' 2>/dev/null)
