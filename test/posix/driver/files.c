/* System calls on open files: open, read, write, seek, truncate, allocate, copy, lock. */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define GET_MAX ((size_t)8 << 20)
/* In place of an offset: at the descriptor's position. */
#define POSITION LLONG_MIN

static int open_flags(const struct command *command, int from)
{
	static const struct { const char *name; int flag; } known[] = {
		{ "r", O_RDONLY }, { "w", O_WRONLY }, { "rw", O_RDWR }, { "creat", O_CREAT }, { "excl", O_EXCL }, { "trunc", O_TRUNC },
		{ "append", O_APPEND }, { "directory", O_DIRECTORY }, { "nofollow", O_NOFOLLOW }, { "tmpfile", O_TMPFILE },
		{ "path", O_PATH }, { "direct", O_DIRECT }, { "noatime", O_NOATIME }, { "nonblock", O_NONBLOCK }, { "sync", O_SYNC },
		{ "dsync", O_DSYNC },
	};
	int flags = 0;

	for (int i = from; i < command->count; i++) {
		size_t k = 0;

		while (k < sizeof known / sizeof known[0] && strcmp(known[k].name, command->word[i]) != 0)
			k++;
		if (k < sizeof known / sizeof known[0])
			flags |= known[k].flag;
		else if (command->word[i][0] != '0')
			bad("no flag '%s'", command->word[i]);
	}
	return flags;
}

/* open SLOT PATH FLAG… [0MODE] */
static void open_file(const struct command *command)
{
	mode_t mode = 0644;
	int descriptor;

	for (int i = 3; i < command->count; i++)
		if (command->word[i][0] == '0')
			mode = octal(command->word[i]);
	descriptor = open(word(command, 2), open_flags(command, 3), mode);
	say_result(descriptor);
	if (descriptor >= 0)
		set_slot(word(command, 1), descriptor);
}

/* put PATH BYTES: the file has these bytes afterwards. */
static void put_file(const struct command *command)
{
	size_t length, done = 0;
	unsigned char *bytes = parse_bytes(word(command, 2), &length);
	int descriptor = open(word(command, 1), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	while (descriptor >= 0 && done < length) {
		ssize_t count = write(descriptor, bytes + done, length - done);

		if (count <= 0)
			break;
		done += (size_t)count;
	}
	free(bytes);
	say_result(descriptor < 0 || done < length ? -1 : 0);
	if (descriptor >= 0)
		close(descriptor);
}

static void say_read(int descriptor, long long offset, size_t length)
{
	unsigned char *bytes;
	ssize_t count;

	if (posix_memalign((void **)&bytes, 4096, length + 4096) != 0)
		bad("no memory");
	count = offset == POSITION ? read(descriptor, bytes, length) : pread(descriptor, bytes, length, offset);
	if (count < 0)
		say_result(-1);
	else
		say_bytes(bytes, (size_t)count);
	free(bytes);
}

static void get_file(const struct command *command)
{
	int descriptor = open(word(command, 1), O_RDONLY);

	if (descriptor < 0) {
		say_result(-1);
		return;
	}
	say_read(descriptor, POSITION, GET_MAX);
	close(descriptor);
}

static void write_file(int descriptor, long long offset, const char *text)
{
	size_t length;
	unsigned char *bytes = parse_bytes(text, &length), *aligned;
	ssize_t count;

	if (posix_memalign((void **)&aligned, 4096, length + 4096) != 0)
		bad("no memory");
	memcpy(aligned, bytes, length);
	count = offset == POSITION ? write(descriptor, aligned, length) : pwrite(descriptor, aligned, length, offset);
	if (count < 0)
		say_result(-1);
	else
		say("%zd", count);
	free(aligned);
	free(bytes);
}

static int allocate_mode(const char *name)
{
	static const struct { const char *name; int mode; } modes[] = {
		{ "plain", 0 }, { "keep", FALLOC_FL_KEEP_SIZE }, { "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ "punch-only", FALLOC_FL_PUNCH_HOLE }, { "zero", FALLOC_FL_ZERO_RANGE },
		{ "zero-keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE }, { "collapse", FALLOC_FL_COLLAPSE_RANGE },
		{ "insert", FALLOC_FL_INSERT_RANGE }, { "unshare", FALLOC_FL_UNSHARE_RANGE },
		{ "punch-zero", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE },
	};

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(modes[i].name, name) == 0)
			return modes[i].mode;
	return (int)number(name);
}

static void seek_file(const struct command *command)
{
	static const char *const names[] = { "set", "cur", "end", "data", "hole" };
	const char *name = word(command, 3);
	int whence = -1;
	off_t result;

	for (int i = 0; i < 5; i++)
		if (strcmp(names[i], name) == 0)
			whence = i;
	result = lseek(slot(word(command, 1)), number(word(command, 2)), whence < 0 ? (int)number(name) : whence);
	if (result < 0)
		say_result(-1);
	else
		say("%lld", (long long)result);
}

/* copy SLOT OFFSET SLOT OFFSET LENGTH */
static void copy_range(const struct command *command)
{
	off_t from = number(word(command, 2)), to = number(word(command, 4));
	ssize_t count = copy_file_range(slot(word(command, 1)), &from, slot(word(command, 3)), &to, (size_t)number(word(command, 5)), 0);

	if (count < 0)
		say_result(-1);
	else
		say("%zd", count);
}

/* flock SLOT shared|exclusive|unlock [wait] */
static void lock_whole(const struct command *command)
{
	const char *kind = word(command, 2);
	int operation = strcmp(kind, "shared") == 0 ? LOCK_SH : strcmp(kind, "exclusive") == 0 ? LOCK_EX : LOCK_UN;

	say_result(flock(slot(word(command, 1)), operation | (has_flag(command, 3, "wait") ? 0 : LOCK_NB)));
}

/* lock SLOT read|write|unlock START LENGTH [owned], getlock SLOT read|write START LENGTH: fcntl locks, never waiting */
static void lock_range(const struct command *command, int test)
{
	const char *kind = word(command, 2);
	struct flock lock = {
		.l_type = strcmp(kind, "read") == 0 ? F_RDLCK : strcmp(kind, "write") == 0 ? F_WRLCK : F_UNLCK,
		.l_whence = SEEK_SET,
		.l_start = number(word(command, 3)),
		.l_len = number(word(command, 4)),
	};
	int owned = has_flag(command, 5, "owned");
	int result = fcntl(slot(word(command, 1)), test ? F_GETLK : owned ? F_OFD_SETLK : F_SETLK, &lock);

	if (result != 0 || !test)
		say_result(result);
	else if (lock.l_type == F_UNLCK)
		say("free");
	else
		say("%s %lld %lld", lock.l_type == F_RDLCK ? "read" : "write", (long long)lock.l_start, (long long)lock.l_len);
}

static int writing_command(const struct command *c)
{
	if (is(c, "write"))
		write_file(slot(word(c, 1)), POSITION, word(c, 2));
	else if (is(c, "pwrite"))
		write_file(slot(word(c, 1)), number(word(c, 2)), word(c, 3));
	else if (is(c, "truncate"))
		say_result(truncate(word(c, 1), number(word(c, 2))));
	else if (is(c, "ftruncate"))
		say_result(ftruncate(slot(word(c, 1)), number(word(c, 2))));
	else if (is(c, "fallocate"))
		say_result(fallocate(slot(word(c, 1)), allocate_mode(word(c, 2)), number(word(c, 3)), number(word(c, 4))));
	else if (is(c, "copy"))
		copy_range(c);
	else
		return 0;
	return 1;
}

int files_command(const struct command *c)
{
	if (is(c, "open"))
		open_file(c);
	else if (is(c, "close"))
		close_slot(word(c, 1));
	else if (is(c, "put"))
		put_file(c);
	else if (is(c, "get"))
		get_file(c);
	else if (is(c, "read"))
		say_read(slot(word(c, 1)), POSITION, (size_t)number(word(c, 2)));
	else if (is(c, "pread"))
		say_read(slot(word(c, 1)), number(word(c, 2)), (size_t)number(word(c, 3)));
	else if (is(c, "lseek"))
		seek_file(c);
	else if (is(c, "fsync"))
		say_result(fsync(slot(word(c, 1))));
	else if (is(c, "fdatasync"))
		say_result(fdatasync(slot(word(c, 1))));
	else if (is(c, "syncfs"))
		say_result(syncfs(slot(word(c, 1))));
	else if (is(c, "flock"))
		lock_whole(c);
	else if (is(c, "lock") || is(c, "getlock"))
		lock_range(c, is(c, "getlock"));
	else
		return writing_command(c);
	return 1;
}
