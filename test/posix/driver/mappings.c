/* Mappings: mmap, stores and loads through them, msync. */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAPPINGS_MAX 16

static struct { char name[16]; unsigned char *address; size_t length; } mappings[MAPPINGS_MAX];
static sigjmp_buf fault;

static void on_fault(int signal)
{
	siglongjmp(fault, signal);
}

static int find_mapping(const char *name)
{
	for (int i = 0; i < MAPPINGS_MAX; i++)
		if (strcmp(mappings[i].name, name) == 0)
			return i;
	bad("no mapping '%s'", name);
}

void unmap_all(void)
{
	for (int i = 0; i < MAPPINGS_MAX; i++) {
		if (mappings[i].name[0] != 0)
			munmap(mappings[i].address, mappings[i].length);
		mappings[i].name[0] = 0;
	}
}

/* mmap NAME SLOT r|w|rw|x shared|private OFFSET LENGTH */
static void map_file(const struct command *command)
{
	const char *access = word(command, 3);
	int protection = (strchr(access, 'r') != NULL ? PROT_READ : 0) | (strchr(access, 'w') != NULL ? PROT_WRITE : 0) |
			 (strchr(access, 'x') != NULL ? PROT_EXEC : 0);
	int flags = strcmp(word(command, 4), "shared") == 0 ? MAP_SHARED : MAP_PRIVATE;
	size_t length = (size_t)number(word(command, 6));
	void *address = mmap(NULL, length, protection, flags, slot(word(command, 2)), number(word(command, 5)));
	int at;

	if (address == MAP_FAILED) {
		say_result(-1);
		return;
	}
	at = find_mapping("");
	strncpy(mappings[at].name, word(command, 1), sizeof mappings[at].name - 1);
	mappings[at].address = address;
	mappings[at].length = length;
	say("ok");
}

/* Loads or stores; the signal's name where the kernel answers with one. */
static void touch(const struct command *command, int store)
{
	struct sigaction action = { .sa_handler = on_fault }, old_bus, old_segment;
	unsigned char *address = mappings[find_mapping(word(command, 1))].address + number(word(command, 2));
	size_t length;
	unsigned char *bytes;
	int signal;

	if (store) {
		bytes = parse_bytes(word(command, 3), &length);
	} else {
		length = (size_t)number(word(command, 3));
		bytes = malloc(length);
	}
	sigaction(SIGBUS, &action, &old_bus);
	sigaction(SIGSEGV, &action, &old_segment);
	signal = sigsetjmp(fault, 1);
	if (signal != 0)
		say("SIG%s", sigabbrev_np(signal));
	else if (store) {
		memcpy(address, bytes, length);
		say("ok");
	} else {
		memcpy(bytes, address, length);
		say_bytes(bytes, length);
	}
	sigaction(SIGBUS, &old_bus, NULL);
	sigaction(SIGSEGV, &old_segment, NULL);
	free(bytes);
}

int mappings_command(const struct command *c)
{
	if (is(c, "mmap"))
		map_file(c);
	else if (is(c, "load"))
		touch(c, 0);
	else if (is(c, "store"))
		touch(c, 1);
	else if (is(c, "msync")) {
		int at = find_mapping(word(c, 1));

		say_result(msync(mappings[at].address, mappings[at].length, MS_SYNC));
	} else if (is(c, "munmap")) {
		int at = find_mapping(word(c, 1));

		say_result(munmap(mappings[at].address, mappings[at].length));
		mappings[at].name[0] = 0;
	} else
		return 0;
	return 1;
}
