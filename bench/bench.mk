# The benchmark's C programs: the null server it measures against, and the load.

BENCH_CFLAGS ?= -O2 -Wall -Wextra -Werror -std=gnu11

bench-programs: build/bench/null-server build/bench/client build/bench/nvm-client ## build the C programs of the benchmark

build/bench/null-server: bench/null-server.c bench/null-nodes.c bench/null-nodes.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -o $@ bench/null-server.c bench/null-nodes.c

build/bench/client: bench/client.c bench/client-cases.c bench/client.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -o $@ bench/client.c bench/client-cases.c

build/bench/nvm-client: bench/nvm-client.c native/libnvm/nvm.h build/libnvm.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -I native/libnvm -o $@ bench/nvm-client.c build/libnvm.a -pthread

.PHONY: bench-programs
