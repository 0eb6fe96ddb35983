/* Extended attributes, inode flags, handles, and running a program. */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define VALUE_MAX 65536
#define HANDLES_MAX 8

static struct { struct file_handle head; unsigned char bytes[MAX_HANDLE_SZ]; int mount; } handles[HANDLES_MAX];

static void set_attribute(const struct command *command)
{
	size_t length;
	unsigned char *value = parse_bytes(word(command, 3), &length);
	int flags = (has_flag(command, 4, "create") ? XATTR_CREATE : 0) | (has_flag(command, 4, "replace") ? XATTR_REPLACE : 0);
	int (*set)(const char *, const char *, const void *, size_t, int) = is(command, "lsetxattr") ? lsetxattr : setxattr;

	say_result(set(word(command, 1), word(command, 2), value, length, flags));
	free(value);
}

static void get_attribute(const struct command *command)
{
	static unsigned char value[VALUE_MAX];
	const char *room = optional(command, 3);
	size_t size = room == NULL ? sizeof value : (size_t)number(room);
	ssize_t length = is(command, "lgetxattr") ? lgetxattr(word(command, 1), word(command, 2), value, size)
						  : getxattr(word(command, 1), word(command, 2), value, size);

	if (length < 0)
		say_result(-1);
	else if (size == 0)
		say("%zd", length);
	else
		say_bytes(value, (size_t)length);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_attributes(const struct command *command)
{
	static char list[VALUE_MAX];
	static char *names[4096];
	const char *room = optional(command, 2);
	size_t size = room == NULL ? sizeof list : (size_t)number(room);
	ssize_t length = llistxattr(word(command, 1), list, size);
	int count = 0;

	if (length < 0) {
		say_result(-1);
		return;
	}
	if (size == 0) {
		say("%zd", length);
		return;
	}
	for (char *at = list; at < list + length && count < 4096; at += strlen(at) + 1)
		names[count++] = at;
	qsort(names, (size_t)count, sizeof names[0], compare);
	for (int i = 0; i < count; i++)
		printf("%s%s", i > 0 ? " " : "", names[i]);
	puts(count == 0 ? "-" : "");
}

/* flags PATH [+NAME|-NAME …]: chattr; without changes says which of those the table knows are set. */
static void inode_flags(const struct command *command)
{
	static const struct { const char *name; int flag; } known[] = {
		{ "append", FS_APPEND_FL }, { "immutable", FS_IMMUTABLE_FL }, { "noatime", FS_NOATIME_FL }, { "nodump", FS_NODUMP_FL }, { "sync", FS_SYNC_FL },
	};
	int descriptor = open(word(command, 1), O_RDONLY | O_NONBLOCK);
	int flags = 0, result, printed = 0;

	if (descriptor < 0) {
		say_result(-1);
		return;
	}
	result = ioctl(descriptor, FS_IOC_GETFLAGS, &flags);
	for (int i = 2; result == 0 && i < command->count; i++) {
		for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
			if (strcmp(command->word[i] + 1, known[k].name) != 0)
				continue;
			flags = command->word[i][0] == '+' ? flags | known[k].flag : flags & ~known[k].flag;
		}
	}
	if (result == 0 && command->count > 2)
		result = ioctl(descriptor, FS_IOC_SETFLAGS, &flags);
	if (result != 0 || command->count > 2) {
		say_result(result);
	} else {
		for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
			if ((flags & known[k].flag) != 0)
				printf("%s%s", printed++ > 0 ? " " : "", known[k].name);
		puts(printed == 0 ? "-" : "");
	}
	close(descriptor);
}

/* handle N PATH; byhandle N SLOT */
static void take_handle(const struct command *command)
{
	int at = (int)number(word(command, 1)) % HANDLES_MAX;

	handles[at].head.handle_bytes = MAX_HANDLE_SZ;
	say_result(name_to_handle_at(AT_FDCWD, word(command, 2), &handles[at].head, &handles[at].mount, 0));
}

static void open_handle(const struct command *command)
{
	int at = (int)number(word(command, 1)) % HANDLES_MAX;
	int directory = open(".", O_RDONLY | O_DIRECTORY);
	int descriptor = open_by_handle_at(directory, &handles[at].head, O_RDONLY | O_NONBLOCK);

	say_result(descriptor);
	if (descriptor >= 0)
		set_slot(word(command, 2), descriptor);
	close(directory);
}

/* exec PATH: the exit status of the program, or why it did not run. */
static void execute(const struct command *command)
{
	char *const arguments[] = { word(command, 1), NULL };
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		execv(arguments[0], arguments);
		_exit(100 + errno);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		bad("exec: no child");
	if (WEXITSTATUS(status) >= 100)
		say("%s", strerrorname_np(WEXITSTATUS(status) - 100));
	else
		say("%d", WEXITSTATUS(status));
}

/* watch SLOT PATH; events SLOT: which inotify events came. */
static void watch(const struct command *command)
{
	int descriptor = inotify_init1(IN_NONBLOCK);

	say_result(inotify_add_watch(descriptor, word(command, 2), IN_ALL_EVENTS & ~(IN_OPEN | IN_CLOSE | IN_ACCESS)));
	set_slot(word(command, 1), descriptor);
}

static void say_events(const struct command *command)
{
	static const char *const names[] = {
		"access", "modify", "attrib", "close", "close", "open", "from", "to", "create", "delete", "delete-self", "move-self",
	};
	char buffer[8192] __attribute__((aligned(8)));
	ssize_t length = read(slot(word(command, 1)), buffer, sizeof buffer);
	int printed = 0;

	for (char *at = buffer; at < buffer + length;) {
		struct inotify_event *event = (struct inotify_event *)at;

		for (int bit = 0; bit < 12; bit++)
			if ((event->mask & (1u << bit)) != 0)
				printf("%s%s%s%s", printed++ > 0 ? " " : "", names[bit], event->len > 0 ? ":" : "", event->len > 0 ? event->name : "");
		at += sizeof *event + event->len;
	}
	puts(printed == 0 ? "-" : "");
}

int extended_command(const struct command *c)
{
	if (is(c, "setxattr") || is(c, "lsetxattr"))
		set_attribute(c);
	else if (is(c, "getxattr") || is(c, "lgetxattr"))
		get_attribute(c);
	else if (is(c, "listxattr"))
		list_attributes(c);
	else if (is(c, "removexattr"))
		say_result(lremovexattr(word(c, 1), word(c, 2)));
	else if (is(c, "flags"))
		inode_flags(c);
	else if (is(c, "handle"))
		take_handle(c);
	else if (is(c, "byhandle"))
		open_handle(c);
	else if (is(c, "exec"))
		execute(c);
	else if (is(c, "watch"))
		watch(c);
	else if (is(c, "events"))
		say_events(c);
	else
		return 0;
	return 1;
}
