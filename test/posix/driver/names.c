/* System calls on names: make, link, remove, rename. */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static mode_t type_of(const char *name)
{
	static const struct { const char *name; mode_t type; } types[] = {
		{ "file", S_IFREG }, { "fifo", S_IFIFO }, { "socket", S_IFSOCK }, { "char", S_IFCHR },
		{ "block", S_IFBLK }, { "dir", S_IFDIR }, { "link", S_IFLNK }, { "none", 0 }, { "bad", 0150000 },
	};

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].type;
	bad("no type '%s'", name);
}

static unsigned rename_flags(const struct command *command)
{
	unsigned flags = 0;

	for (int i = 3; i < command->count; i++) {
		if (strcmp(command->word[i], "noreplace") == 0)
			flags |= 1;
		else if (strcmp(command->word[i], "exchange") == 0)
			flags |= 2;
		else if (strcmp(command->word[i], "whiteout") == 0)
			flags |= 4;
		else
			flags |= (unsigned)number(command->word[i]);
	}
	return flags;
}

static void bind_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
	int error;

	if (descriptor < 0 || strlen(path) >= sizeof address.sun_path)
		bad("no socket for %s", path);
	strcpy(address.sun_path, path);
	say_result(bind(descriptor, (struct sockaddr *)&address, sizeof address));
	error = close(descriptor);
	if (error != 0)
		bad("closing a socket failed");
}

static void read_link(const struct command *command)
{
	char target[4097];
	const char *room = optional(command, 2);
	ssize_t length = readlink(word(command, 1), target, room == NULL ? sizeof target - 1 : (size_t)number(room));

	if (length < 0) {
		say_result(-1);
		return;
	}
	target[length] = 0;
	say("%s", target);
}

int names_command(const struct command *c)
{
	const char *mode = optional(c, 2);

	if (is(c, "mkdir"))
		say_result(mkdir(word(c, 1), mode == NULL ? 0755 : octal(mode)));
	else if (is(c, "mkdirat"))
		say_result(mkdirat(slot(word(c, 1)), word(c, 2), 0755));
	else if (is(c, "mknod"))
		say_result(mknod(word(c, 1), type_of(word(c, 2)) | octal(word(c, 3)),
				 c->count > 5 ? makedev((unsigned)number(word(c, 4)), (unsigned)number(word(c, 5))) : 0));
	else if (is(c, "bind"))
		bind_socket(word(c, 1));
	else if (is(c, "symlink"))
		say_result(symlink(word(c, 1), word(c, 2)));
	else if (is(c, "readlink"))
		read_link(c);
	else if (is(c, "link"))
		say_result(linkat(AT_FDCWD, word(c, 1), AT_FDCWD, word(c, 2), has_flag(c, 3, "follow") ? AT_SYMLINK_FOLLOW : 0));
	else if (is(c, "flink"))
		say_result(linkat(slot(word(c, 1)), "", AT_FDCWD, word(c, 2), AT_EMPTY_PATH));
	else if (is(c, "linkproc")) {
		char path[64];

		snprintf(path, sizeof path, "/proc/self/fd/%d", slot(word(c, 1)));
		say_result(linkat(AT_FDCWD, path, AT_FDCWD, word(c, 2), AT_SYMLINK_FOLLOW));
	} else if (is(c, "unlink"))
		say_result(unlink(word(c, 1)));
	else if (is(c, "unlinkat"))
		say_result(unlinkat(slot(word(c, 1)), word(c, 2), has_flag(c, 3, "dir") ? AT_REMOVEDIR : 0));
	else if (is(c, "rmdir"))
		say_result(rmdir(word(c, 1)));
	else if (is(c, "rename"))
		say_result(renameat2(AT_FDCWD, word(c, 1), AT_FDCWD, word(c, 2), rename_flags(c)));
	else
		return 0;
	return 1;
}
