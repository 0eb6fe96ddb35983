/*
 * The driver of the conformance table: reads commands, one a line, runs each as a system call in the directory of the case,
 * and prints one line with its result. `as UID[:GID[,GROUP…]] COMMAND` runs it in a forked process of that user.
 */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1 << 20)
#define SECONDS_PER_COMMAND 60

static struct { char name[16]; int descriptor; } slots[SLOTS_MAX];
static const char *base;

static int find_slot(const char *name)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (strcmp(slots[i].name, name) == 0)
			return i;
	return -1;
}

int slot(const char *name)
{
	int index = find_slot(name);

	if (strcmp(name, "cwd") == 0)
		return AT_FDCWD;
	if (strcmp(name, "none") == 0)
		return 9999;
	if (index < 0)
		bad("no descriptor '%s'", name);
	return slots[index].descriptor;
}

void set_slot(const char *name, int descriptor)
{
	int index = find_slot(name);

	if (strcmp(name, "-") == 0) {
		close(descriptor);
		return;
	}
	if (index >= 0)
		close(slots[index].descriptor);
	else
		index = find_slot("");
	if (index < 0 || strlen(name) >= sizeof slots[0].name)
		bad("no room for descriptor '%s'", name);
	strcpy(slots[index].name, name);
	slots[index].descriptor = descriptor;
}

void close_slot(const char *name)
{
	int index = find_slot(name);

	if (index < 0)
		bad("no descriptor '%s'", name);
	slots[index].name[0] = 0;
	say_result(close(slots[index].descriptor));
}

void close_slots(void)
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		if (slots[i].name[0] != 0)
			close(slots[i].descriptor);
		slots[i].name[0] = 0;
	}
}

/* Replaces every {text*n} of a line by n times the text. */
static void expand(const char *from, char *to)
{
	char *end = to + LINE_MAX_BYTES - 1;

	while (*from != 0 && to < end) {
		const char *star, *close;
		long count;

		if (*from != '{') {
			*to++ = *from++;
			continue;
		}
		close = strchr(from, '}');
		star = close == NULL ? NULL : memrchr(from, '*', (size_t)(close - from));
		if (star == NULL)
			bad("unfinished {…}: %s", from);
		count = atol(star + 1);
		for (long i = 0; i < count && to + (star - from) < end; i++) {
			memcpy(to, from + 1, (size_t)(star - from - 1));
			to += star - from - 1;
		}
		from = close + 1;
	}
	*to = 0;
}

static void run(struct command *command);

static void become(const char *user)
{
	gid_t groups[32];
	int count = 0;
	char *at;
	uid_t uid = (uid_t)strtoul(user, &at, 10);
	gid_t gid = uid;

	if (*at == ':')
		gid = (gid_t)strtoul(at + 1, &at, 10);
	while (*at == ',' && count < 32)
		groups[count++] = (gid_t)strtoul(at + 1, &at, 10);
	if (setgroups((size_t)count, groups) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		bad("can't become %s: %s", user, strerror(errno));
}

/* Runs the rest of the line in a child: as another user, or only as another process. */
static void run_in_child(struct command *command, const char *user, int words)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0)
		bad("fork: %s", strerror(errno));
	if (child == 0) {
		alarm(SECONDS_PER_COMMAND);
		if (user != NULL)
			become(user);
		command->count -= words;
		memmove(command->word, command->word + words, (size_t)command->count * sizeof command->word[0]);
		run(command);
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		bad("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		say("SIG%s", sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		bad("the child of '%s' failed", command->word[0]);
}

static int process_command(const struct command *command)
{
	struct rlimit limit;

	if (is(command, "umask")) {
		umask((mode_t)octal(word(command, 1)));
		say("ok");
	} else if (is(command, "chdir")) {
		say_result(chdir(word(command, 1)));
	} else if (is(command, "fchdir")) {
		say_result(fchdir(slot(word(command, 1))));
	} else if (is(command, "limit")) { /* the largest file this process may write */
		getrlimit(RLIMIT_FSIZE, &limit);
		limit.rlim_cur = strcmp(word(command, 1), "none") == 0 ? limit.rlim_max : (rlim_t)number(word(command, 1));
		say_result(setrlimit(RLIMIT_FSIZE, &limit));
	} else if (is(command, "sleep")) { /* milliseconds */
		usleep((useconds_t)number(word(command, 1)) * 1000);
		say("ok");
	} else {
		return 0;
	}
	return 1;
}

/* Between cases nothing is left of the last one in this process. */
static void begin(const char *directory)
{
	struct rlimit limit;

	close_streams();
	unmap_all();
	close_slots();
	umask(0);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	if (strcmp(directory, "/") == 0) {
		say_result(chdir("/"));
		return;
	}
	if (chdir(base) != 0)
		bad("%s: %s", base, strerror(errno));
	if (mkdir(directory, 0777) != 0 && errno != EEXIST)
		bad("mkdir %s/%s: %s", base, directory, strerror(errno));
	say_result(chdir(directory));
	umask(022);
}

static void run(struct command *command)
{
	if (is(command, "as"))
		run_in_child(command, word(command, 1), 2);
	else if (is(command, "fork"))
		run_in_child(command, NULL, 1);
	else if (is(command, "begin"))
		begin(word(command, 1));
	else if (!process_command(command) && !names_command(command) && !files_command(command) && !attributes_command(command) &&
		 !directories_command(command) && !mappings_command(command) && !extended_command(command))
		bad("unknown command '%s'", command->word[0]);
}

int main(int argc, char **argv)
{
	static char line[LINE_MAX_BYTES], expanded[LINE_MAX_BYTES];

	if (argc != 2)
		bad("usage: posix-driver DIRECTORY");
	base = argv[1];
	signal(SIGXFSZ, SIG_IGN);
	while (fgets(line, sizeof line, stdin) != NULL) {
		struct command command = { 0 };

		line[strcspn(line, "\n")] = 0;
		expand(line, expanded);
		for (char *at = strtok(expanded, " "); at != NULL && command.count < WORDS_MAX; at = strtok(NULL, " "))
			command.word[command.count++] = at;
		if (command.count == 0)
			bad("an empty line");
		run(&command);
		fflush(stdout);
	}
	return 0;
}
