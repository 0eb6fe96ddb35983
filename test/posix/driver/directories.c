/* System calls on directories: listing, positions. */
#define _GNU_SOURCE
#include "driver.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS_MAX 8
#define NAMES_MAX 4096

static struct { char name[16]; DIR *stream; long position[16]; } streams[STREAMS_MAX];

static int find_stream(const char *name)
{
	for (int i = 0; i < STREAMS_MAX; i++)
		if (streams[i].stream != NULL && strcmp(streams[i].name, name) == 0)
			return i;
	bad("no directory stream '%s'", name);
}

void close_streams(void)
{
	for (int i = 0; i < STREAMS_MAX; i++) {
		if (streams[i].stream != NULL)
			closedir(streams[i].stream);
		streams[i].stream = NULL;
	}
}

static int is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *type_letter(unsigned char type)
{
	switch (type) {
	case DT_REG: return "file";
	case DT_DIR: return "dir";
	case DT_LNK: return "link";
	case DT_FIFO: return "fifo";
	case DT_SOCK: return "socket";
	case DT_CHR: return "char";
	case DT_BLK: return "block";
	default: return "unknown";
	}
}

/* Sorted names, `.` and `..` only where asked for; as text when there are few, counted otherwise. */
static void say_names(DIR *stream, long most, int dots, int types, int count_only)
{
	static char *names[NAMES_MAX];
	int count = 0;
	struct dirent *entry;

	errno = 0;
	while (most-- > 0 && (entry = readdir(stream)) != NULL) {
		if (!dots && is_dots(entry->d_name)) {
			most++;
			continue;
		}
		if (count == NAMES_MAX)
			bad("too many names");
		if (asprintf(&names[count++], "%s%s%s", entry->d_name, types ? ":" : "", types ? type_letter(entry->d_type) : "") < 0)
			bad("no memory");
	}
	if (errno != 0) {
		say_result(-1);
		return;
	}
	qsort(names, (size_t)count, sizeof names[0], compare);
	if (count_only)
		printf("%d", count);
	else if (count == 0)
		putchar('-');
	for (int i = 0; i < count; i++) {
		if (!count_only)
			printf("%s%s", i > 0 ? " " : "", names[i]);
		free(names[i]);
	}
	putchar('\n');
}

static void list(const struct command *command)
{
	DIR *stream = opendir(word(command, 1));

	if (stream == NULL) {
		say_result(-1);
		return;
	}
	say_names(stream, NAMES_MAX, has_flag(command, 2, "dots"), has_flag(command, 2, "types"), has_flag(command, 2, "count"));
	closedir(stream);
}

static void open_stream(const struct command *command)
{
	DIR *stream = opendir(word(command, 2));

	if (stream == NULL) {
		say_result(-1);
		return;
	}
	for (int i = 0; i < STREAMS_MAX; i++) {
		if (streams[i].stream != NULL)
			continue;
		if (strlen(word(command, 1)) >= sizeof streams[i].name)
			bad("a name too long for a stream");
		strcpy(streams[i].name, word(command, 1));
		streams[i].stream = stream;
		say("ok");
		return;
	}
	bad("too many directory streams");
}

/* Makes, links or removes N names at once: fill DIRECTORY PREFIX N [unlink]. */
static void fill(const struct command *command)
{
	long count = number(word(command, 3));
	char path[512];

	for (long i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/%s%ld", word(command, 1), word(command, 2), i);
		FILE *file = has_flag(command, 4, "remove") ? NULL : fopen(path, "wx");

		if (file != NULL ? fclose(file) != 0 : !has_flag(command, 4, "remove") || remove(path) != 0) {
			say_result(-1);
			return;
		}
	}
	say("ok");
}

int directories_command(const struct command *c)
{
	if (is(c, "list"))
		list(c);
	else if (is(c, "fill"))
		fill(c);
	else if (is(c, "opendir"))
		open_stream(c);
	else if (is(c, "readdir"))
		say_names(streams[find_stream(word(c, 1))].stream, number(word(c, 2)), has_flag(c, 3, "dots"), 0, has_flag(c, 3, "count"));
	else if (is(c, "rewinddir")) {
		rewinddir(streams[find_stream(word(c, 1))].stream);
		say("ok");
	} else if (is(c, "telldir")) {
		int at = find_stream(word(c, 1));

		streams[at].position[number(word(c, 2)) & 15] = telldir(streams[at].stream);
		say("ok");
	} else if (is(c, "seekdir")) {
		int at = find_stream(word(c, 1));

		seekdir(streams[at].stream, streams[at].position[number(word(c, 2)) & 15]);
		say("ok");
	} else if (is(c, "closedir")) {
		int at = find_stream(word(c, 1));

		say_result(closedir(streams[at].stream));
		streams[at].stream = NULL;
	} else
		return 0;
	return 1;
}
