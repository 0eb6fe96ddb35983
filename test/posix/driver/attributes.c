/* System calls on attributes: stat, chmod, chown, utimensat, access, statfs. */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define MARKS_MAX 32
#define EMPTY_PATH 0x1000

struct mark { char path[128]; struct statx status; };
static struct mark marks[MARKS_MAX];

static const char *type_name(unsigned mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "dir";
	case S_IFLNK: return "link";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	case S_IFCHR: return "char";
	case S_IFBLK: return "block";
	default: return "bad";
	}
}

static void print_time(struct statx_timestamp when)
{
	printf("%lld.%u", (long long)when.tv_sec, when.tv_nsec);
}

static void print_field(const struct statx *s, const char *field)
{
	if (strcmp(field, "type") == 0) printf("%s", type_name(s->stx_mode));
	else if (strcmp(field, "mode") == 0) printf("%04o", s->stx_mode & 07777);
	else if (strcmp(field, "uid") == 0) printf("%u", s->stx_uid);
	else if (strcmp(field, "gid") == 0) printf("%u", s->stx_gid);
	else if (strcmp(field, "nlink") == 0) printf("%u", s->stx_nlink);
	else if (strcmp(field, "size") == 0) printf("%llu", (unsigned long long)s->stx_size);
	else if (strcmp(field, "blocks") == 0) printf("%llu", (unsigned long long)s->stx_blocks);
	else if (strcmp(field, "rdev") == 0) printf("%u:%u", s->stx_rdev_major, s->stx_rdev_minor);
	else if (strcmp(field, "atime") == 0) print_time(s->stx_atime);
	else if (strcmp(field, "mtime") == 0) print_time(s->stx_mtime);
	else if (strcmp(field, "born") == 0) printf("%s", (s->stx_mask & STATX_BTIME) != 0 && s->stx_btime.tv_sec != 0 ? "yes" : "no");
	else bad("no field '%s'", field);
}

/* `from`: the first word that names a field. */
static void say_status(const struct command *command, int from, int result, const struct statx *status)
{
	if (result != 0 || command->count <= from) {
		say_result(result);
		return;
	}
	for (int i = from; i < command->count; i++) {
		if (i > from)
			putchar(' ');
		print_field(status, command->word[i]);
	}
	putchar('\n');
}

static int get_status(const char *path, int follow, struct statx *status)
{
	return statx(AT_FDCWD, path, follow ? 0 : AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, status);
}

static struct mark *find_mark(const char *path)
{
	for (int i = 0; i < MARKS_MAX; i++)
		if (strcmp(marks[i].path, path) == 0)
			return &marks[i];
	return NULL;
}

/* mark PATH: remembers the times; the clock moves on before anything else happens. */
static void set_mark(const char *path)
{
	struct mark *mark = find_mark(path);

	if (mark == NULL)
		mark = find_mark("");
	if (mark == NULL || strlen(path) >= sizeof mark->path)
		bad("no room for a mark of %s", path);
	strcpy(mark->path, path);
	say_result(get_status(path, 0, &mark->status));
	usleep(5000);
}

static int differs(struct statx_timestamp a, struct statx_timestamp b)
{
	return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

/* changed PATH [OLD PATH]: which of a, m, c are other times than at the mark; `-` for none. */
static void say_changed(const struct command *command)
{
	const char *path = word(command, 1);
	struct mark *mark = find_mark(command->count > 2 ? word(command, 2) : path);
	struct statx now;

	if (mark == NULL)
		bad("no mark of %s", path);
	if (get_status(path, 0, &now) != 0) {
		say_result(-1);
		return;
	}
	int a = differs(now.stx_atime, mark->status.stx_atime);
	int m = differs(now.stx_mtime, mark->status.stx_mtime);
	int c = differs(now.stx_ctime, mark->status.stx_ctime);

	say("%s%s%s%s", a ? "a" : "", m ? "m" : "", c ? "c" : "", a || m || c ? "" : "-");
	memset(mark, 0, sizeof *mark);
}

static void say_same(const char *first, const char *second)
{
	struct statx a, b;

	if (get_status(first, 0, &a) != 0 || get_status(second, 0, &b) != 0)
		say_result(-1);
	else
		say(a.stx_ino == b.stx_ino ? "yes" : "no");
}

static struct timespec time_of(const char *text)
{
	struct timespec when = { 0, 0 };
	const char *dot = strchr(text, '.');

	if (strcmp(text, "now") == 0)
		when.tv_nsec = UTIME_NOW;
	else if (strcmp(text, "omit") == 0)
		when.tv_nsec = UTIME_OMIT;
	else {
		when.tv_sec = atoll(text);
		when.tv_nsec = dot == NULL ? 0 : atoll(dot + 1);
	}
	return when;
}

/* Whether a time is within a minute of the present; for `now`. */
static void say_recent(const struct command *command)
{
	struct statx status;
	time_t now = time(NULL);

	if (get_status(word(command, 1), 0, &status) != 0) {
		say_result(-1);
		return;
	}
	int a = llabs(status.stx_atime.tv_sec - now) < 60, m = llabs(status.stx_mtime.tv_sec - now) < 60;

	say("%s%s%s", a ? "a" : "", m ? "m" : "", a || m ? "" : "-");
}

static void say_statfs(const struct command *command)
{
	struct statvfs s;

	if (statvfs(word(command, 1), &s) != 0) {
		say_result(-1);
		return;
	}
	for (int i = 2; i < command->count; i++) {
		const char *field = command->word[i];

		if (i > 2)
			putchar(' ');
		if (strcmp(field, "bsize") == 0) printf("%lu", s.f_bsize);
		else if (strcmp(field, "namemax") == 0) printf("%lu", s.f_namemax);
		else if (strcmp(field, "sane") == 0)
			printf("%s", s.f_blocks >= s.f_bfree && s.f_bfree >= s.f_bavail && s.f_files >= s.f_ffree && s.f_ffree > 0 ? "yes" : "no");
		else bad("no field '%s'", field);
	}
	putchar('\n');
}

static unsigned id_of(const char *text)
{
	return (unsigned)number(text);
}

static int changing_command(const struct command *c)
{
	if (is(c, "chmod"))
		say_result(chmod(word(c, 1), octal(word(c, 2))));
	else if (is(c, "fchmod"))
		say_result(fchmod(slot(word(c, 1)), octal(word(c, 2))));
	else if (is(c, "chown"))
		say_result(chown(word(c, 1), id_of(word(c, 2)), id_of(word(c, 3))));
	else if (is(c, "lchown"))
		say_result(lchown(word(c, 1), id_of(word(c, 2)), id_of(word(c, 3))));
	else if (is(c, "fchown"))
		say_result(fchown(slot(word(c, 1)), id_of(word(c, 2)), id_of(word(c, 3))));
	else if (is(c, "utimens") || is(c, "lutimens")) {
		struct timespec times[2] = { time_of(word(c, 2)), time_of(word(c, 3)) };

		say_result(utimensat(AT_FDCWD, word(c, 1), times, is(c, "lutimens") ? AT_SYMLINK_NOFOLLOW : 0));
	} else if (is(c, "futimens")) {
		struct timespec times[2] = { time_of(word(c, 2)), time_of(word(c, 3)) };

		say_result(futimens(slot(word(c, 1)), times));
	} else
		return 0;
	return 1;
}

int attributes_command(const struct command *c)
{
	struct statx status;

	if (is(c, "stat") || is(c, "lstat"))
		say_status(c, 2, get_status(word(c, 1), is(c, "stat"), &status), &status);
	else if (is(c, "fstat"))
		say_status(c, 2, statx(slot(word(c, 1)), "", EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status), &status);
	else if (is(c, "mark"))
		set_mark(word(c, 1));
	else if (is(c, "changed"))
		say_changed(c);
	else if (is(c, "same"))
		say_same(word(c, 1), word(c, 2));
	else if (is(c, "recent"))
		say_recent(c);
	else if (is(c, "access"))
		say_result(access(word(c, 1), (int)number(word(c, 2))));
	else if (is(c, "statfs"))
		say_statfs(c);
	else
		return changing_command(c);
	return 1;
}
