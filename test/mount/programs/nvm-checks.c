/* Checks of libnvm on a mounted volume: nvm-checks CHECK DIRECTORY [ARGUMENT]. Prints what is wrong, and ends with 1 then. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <nvm.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)

static char path[4096];
static const char *directory;

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf(" (errno %d: %s; nvm: %s)\n", errno, strerror(errno), nvm_error());
  fflush(stdout);
  _exit(1);
}

#define need(condition) \
  do { \
    if (!(condition)) die("line %d: not so: %s", __LINE__, #condition); \
  } while (0)

static const char *file(const char *name) {
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

static int make(const char *name, off_t size) {
  const int fd = open(file(name), O_RDWR | O_CREAT | O_TRUNC, 0666);
  need(fd >= 0);
  need(ftruncate(fd, size) == 0);
  return fd;
}

static char *map(int fd, off_t start, size_t length, int flags) {
  char *base = nvm_map(fd, start, length, PROT_READ | PROT_WRITE, flags);
  if (base == NVM_FAILED) die("nvm_map");
  return base;
}

static void in_child(void (*body)(void)) {
  const pid_t child = fork();
  need(child >= 0);
  if (child == 0) {
    body();
    _exit(0);
  }
  int status;
  need(waitpid(child, &status, 0) == child);
  need(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int is_all(const char *bytes, size_t length, char value) {
  for (size_t i = 0; i < length; i++)
    if (bytes[i] != value) return 0;
  return 1;
}

/* ---- both directions ---- */

static void other_reads_and_writes(void) {
  char bytes[6] = "";
  const int fd = open(file("coherence"), O_RDWR);
  need(fd >= 0);
  need(pread(fd, bytes, 6, 3 * PAGE + 7) == 6 && memcmp(bytes, "store", 6) == 0);
  need(pwrite(fd, "write", 6, 5 * PAGE + 1) == 6);
  need(pread(fd, bytes, 6, 5 * PAGE + 1) == 6 && memcmp(bytes, "write", 6) == 0);
}

static void coherence(void) {
  const int fd = make("coherence", 8 * MIB);
  need(pwrite(fd, "cached", 6, 100) == 6);
  char *base = map(fd, 0, 8 * MIB, NVM_DIRECT);
  need((uintptr_t)base % (2 * MIB) == 0);
  need(memcmp(base + 100, "cached", 6) == 0);
  for (int round = 0; round < 20; round++) {
    memset(base + 3 * PAGE, 0, PAGE);
    memset(base + 5 * PAGE, 0, PAGE);
    memcpy(base + 3 * PAGE + 7, "store", 6);
    in_child(other_reads_and_writes);
    need(memcmp(base + 5 * PAGE + 1, "write", 6) == 0);
  }
  /* Through the own descriptor, too, and appended past the end. */
  char byte;
  base[77] = 5;
  need(pread(fd, &byte, 1, 77) == 1 && byte == 5);
  need(nvm_write(fd, "x", 1, 9 * MIB) == 1);
  need(nvm_sync(fd, base, 8 * MIB) == 0 && nvm_sync(fd, NULL, 0) == 0);
  need(nvm_unmap(base, 8 * MIB) == 0);
  /* The cache of those who come later is not old. */
  const int later = open(file("coherence"), O_RDONLY);
  need(pread(later, &byte, 1, 77) == 1 && byte == 5);
  char *again = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, later, 0);
  need(again != MAP_FAILED && again[77] == 5);
  /* A part of the file, not from its start; congruent modulo 2 MiB. */
  const int second = open(file("coherence2"), O_RDWR | O_CREAT, 0644);
  need(ftruncate(second, 16 * MIB) == 0);
  char *part = map(second, 3 * MIB, 4 * MIB, NVM_DIRECT);
  need((uintptr_t)part % (2 * MIB) == MIB);
  part[0] = 9;
  need(pread(second, &byte, 1, 3 * MIB) == 1 && byte == 9);
}

/* ---- truncate by another program ---- */

static void cut(void) { need(truncate(file("cut"), 0) == 0); }

static void fill_volume(void) {
  char *bytes = malloc(MIB);
  memset(bytes, 0xee, MIB);
  const int fd = open(file("filler"), O_WRONLY | O_CREAT, 0644);
  need(fd >= 0);
  for (size_t size = MIB; size >= PAGE;) {
    if (write(fd, bytes, size) < 0) size /= 2;
  }
  need(errno == ENOSPC);
}

static void truncation(void) {
  const int fd = make("cut", 0);
  char *bytes = malloc(16 * MIB);
  memset(bytes, 1, 16 * MIB);
  need(nvm_write(fd, bytes, 16 * MIB, 0) == (ssize_t)(16 * MIB));
  char *base = map(fd, 0, 16 * MIB, NVM_DIRECT);
  need(is_all(base, 16 * MIB, 1));
  in_child(cut);
  in_child(fill_volume);
  memset(base + 8 * MIB, 2, MIB);
  for (size_t i = 0; i < 16 * MIB; i++) need(base[i] != (char)0xee);
  need(unlink(file("filler")) == 0);
  need(nvm_unmap(base, 16 * MIB) == 0);
}

/* ---- holes ---- */

#define THREADS 8
#define HOLES (64 * MIB)
static char *shared;

static void *toucher(void *argument) {
  const size_t thread = (size_t)argument;
  unsigned state = (unsigned)(thread * 2654435761u + 1);
  for (int i = 0; i < 2000; i++) {
    state = state * 1664525 + 1013904223;
    const size_t page = (state >> 8) % (HOLES / PAGE);
    /* Each has bytes of its own in every page. */
    shared[page * PAGE + thread] = (char)(thread + 1);
  }
  return NULL;
}

static void holes(void) {
  const int fd = make("holes", HOLES);
  shared = map(fd, 0, HOLES, NVM_DIRECT);
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++) need(pthread_create(&threads[i], NULL, toucher, (void *)i) == 0);
  for (int i = 0; i < THREADS; i++) need(pthread_join(threads[i], NULL) == 0);
  char *bytes = malloc(HOLES);
  const int other = open(file("holes"), O_RDONLY);
  need(nvm_read(other, bytes, HOLES, 0) == (ssize_t)HOLES);
  size_t found = 0;
  for (size_t thread = 0; thread < THREADS; thread++) {
    unsigned state = (unsigned)(thread * 2654435761u + 1);
    for (int i = 0; i < 2000; i++) {
      state = state * 1664525 + 1013904223;
      const size_t page = (state >> 8) % (HOLES / PAGE);
      need(bytes[page * PAGE + thread] == (char)(thread + 1));
      found++;
    }
  }
  need(found == THREADS * 2000);
  for (size_t page = 0; page < HOLES / PAGE; page++) need(is_all(bytes + page * PAGE + THREADS, PAGE - THREADS, 0));
  need(memcmp(bytes, shared, HOLES) == 0);
}

/* From inside system calls: the kernel itself touches the hole. */
static void calls(void) {
  const int fd = make("calls", 16 * MIB);
  char *base = map(fd, 0, 16 * MIB, NVM_DIRECT);
  int ends[2];
  need(pipe(ends) == 0);
  need(write(ends[1], "piped", 6) == 6);
  need(read(ends[0], base + 3 * MIB - 3, 6) == 6);
  need(memcmp(base + 3 * MIB - 3, "piped", 6) == 0);
  /* From a file of the same volume, into a hole that lies across two batches. */
  const int source = open(file("source"), O_RDWR | O_CREAT | O_TRUNC, 0644);
  char *bytes = malloc(MIB);
  memset(bytes, 7, MIB);
  need(nvm_write(source, bytes, MIB, 0) == (ssize_t)MIB);
  need(pread(source, base + 6 * MIB - MIB / 2, MIB, 0) == (ssize_t)MIB);
  need(is_all(base + 6 * MIB - MIB / 2, MIB, 7));
  /* What is written from a hole is zero. */
  need(pwrite(source, base + 10 * MIB, MIB, 0) == (ssize_t)MIB);
  need(pread(source, bytes, MIB, 0) == (ssize_t)MIB && is_all(bytes, MIB, 0));
  struct stat status;
  need(stat(file("calls"), &status) == 0);
  need(fstat(fd, (struct stat *)(base + 14 * MIB)) == 0);
  need(((struct stat *)(base + 14 * MIB))->st_ino == status.st_ino);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void sparse(void) {
  const size_t size = (size_t)1 << 40;
  const int fd = make("sparse", (off_t)size);
  const double before = seconds();
  char *base = map(fd, 0, size, NVM_DIRECT);
  need(seconds() - before < 1);
  struct stat status;
  need(fstat(fd, &status) == 0 && status.st_blocks == 0);
  const size_t places[] = {0, size / 3, size / 2 + 12345, size - 1};
  for (int i = 0; i < 4; i++) base[places[i]] = (char)(i + 1);
  for (int i = 0; i < 4; i++) {
    char byte;
    need(pread(fd, &byte, 1, (off_t)places[i]) == 1 && byte == i + 1);
  }
  need(stat(file("sparse"), &status) == 0 && (size_t)status.st_blocks * 512 <= 5 * 2 * MIB);
  need(nvm_sync(fd, base, size) == 0);
  need(nvm_unmap(base, size) == 0);
}

static void populate(void) {
  const int fd = make("populate", 20 * MIB);
  char *base = map(fd, 0, 24 * MIB, NVM_DIRECT | NVM_POPULATE);
  struct stat status;
  need(stat(file("populate"), &status) == 0 && (size_t)status.st_blocks * 512 >= 20 * MIB);
  need(is_all(base, 20 * MIB, 0));
  base[20 * MIB - 1] = 3;
  char byte;
  need(pread(fd, &byte, 1, 20 * MIB - 1) == 1 && byte == 3);
}

/* ---- processes ---- */

static void forked(void) {
  const int fd = make("fork", 32 * MIB);
  char *base = map(fd, 0, 32 * MIB, NVM_DIRECT);
  base[0] = 1;
  for (int round = 0; round < 8; round++) {
    const pid_t child = fork();
    need(child >= 0);
    if (child == 0) {
      need(base[0] == round + 1);
      /* A hole to both, one to the child only, one filled by the parent after the fork. */
      base[(2 + 3 * round) * MIB] = 7;
      base[0]++;
      for (int i = 0; i < 1000 && base[(3 + 3 * round) * MIB] != 9; i++) usleep(10000);
      need(base[(3 + 3 * round) * MIB] == 9);
      /* And one of a grandchild. */
      const pid_t grandchild = fork();
      if (grandchild == 0) {
        base[(4 + 3 * round) * MIB] = 5;
        _exit(0);
      }
      int status;
      need(waitpid(grandchild, &status, 0) == grandchild && status == 0);
      need(base[(4 + 3 * round) * MIB] == 5);
      _exit(0);
    }
    base[(3 + 3 * round) * MIB] = 9;
    int status;
    need(waitpid(child, &status, 0) == child && status == 0);
    need(base[0] == round + 2 && base[(2 + 3 * round) * MIB] == 7 && base[(4 + 3 * round) * MIB] == 5);
    char byte;
    need(pread(fd, &byte, 1, (2 + 3 * round) * (off_t)MIB) == 1 && byte == 7);
  }
}

/* Maps, closes everything, and waits to be killed. */
static void dying(void) {
  const int fd = open(file("dying"), O_RDWR);
  char *base = map(fd, 0, 16 * MIB, NVM_DIRECT);
  base[0] = 1;
  close_range(3, ~0u, 0);
  printf("mapped\n");
  fflush(stdout);
  for (;;) pause();
}

/* Stores to page after page, holes among them, until a file appears; then compares. */
static void enduring(void) {
  const size_t size = 256 * MIB;
  const int fd = make("enduring", (off_t)size);
  char *base = map(fd, 0, size, NVM_DIRECT);
  printf("mapped\n");
  fflush(stdout);
  size_t pages = 0;
  char stop[4096];
  snprintf(stop, sizeof stop, "%s", file("stop"));
  for (; pages < size / PAGE; pages++) {
    memset(base + pages * PAGE, (int)(pages % 251 + 1), PAGE);
    need(nvm_sync(fd, base + pages * PAGE, PAGE) == 0);
    if (pages % 16 == 0) {
      usleep(300);
      if (access(stop, F_OK) == 0) break;
    }
  }
  const int other = open(file("enduring"), O_RDONLY);
  char bytes[4096];
  for (size_t page = 0; page < pages; page++) {
    need(pread(other, bytes, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE);
    need(is_all(bytes, PAGE, (char)(page % 251 + 1)) && memcmp(bytes, base + page * PAGE, PAGE) == 0);
  }
  /* Blocks are still kept. */
  need(truncate(file("enduring"), 0) == 0);
  unlink(stop);
  in_child(fill_volume);
  for (size_t page = 0; page < pages; page++) need(is_all(base + page * PAGE, PAGE, (char)(page % 251 + 1)));
  need(unlink(file("filler")) == 0);
  printf("%zu pages\n", pages);
}

/* ---- refusals ---- */

static sigjmp_buf bus;
static void on_bus(int signal) {
  (void)signal;
  siglongjmp(bus, 1);
}

static int gives_sigbus(volatile char *address) {
  struct sigaction action = {.sa_handler = on_bus}, before;
  sigaction(SIGBUS, &action, &before);
  int result = 1;
  if (sigsetjmp(bus, 1) == 0) {
    *address = 1;
    result = 0;
  }
  sigaction(SIGBUS, &before, NULL);
  return result;
}

#define refused(call, number) need((errno = 0, (call) == NVM_FAILED && errno == (number)))

static void errors(void) {
  const int fd = make("errors", 4 * MIB);
  const int all = PROT_READ | PROT_WRITE;
  refused(nvm_map(fd, 1, PAGE, all, 0), EINVAL);
  refused(nvm_map(fd, 0, PAGE + 1, all, 0), EINVAL);
  refused(nvm_map(fd, 0, 0, all, 0), EINVAL);
  refused(nvm_map(fd, 0, PAGE, all, 0x1000), EINVAL);
  refused(nvm_map(-1, 0, PAGE, all, 0), EBADF);
  refused(nvm_map(open(directory, O_RDONLY), 0, PAGE, PROT_READ, 0), ENODEV);
  int ends[2];
  need(pipe(ends) == 0);
  refused(nvm_map(ends[0], 0, PAGE, PROT_READ, 0), ENODEV);
  const int reader = open(file("errors"), O_RDONLY);
  refused(nvm_map(reader, 0, PAGE, all, 0), EACCES);
  close(reader);
  char *base = map(fd, 0, 8 * MIB, NVM_DIRECT);
  need(gives_sigbus(base + 6 * MIB));
  need(!gives_sigbus(base + 4 * MIB - 1));
  need(nvm_unmap(base + 1, PAGE) == -1 && errno == EINVAL);
  need(nvm_detach(base) == -1 && errno == EINVAL);
  /* A hole in the middle of the mapping, and what is left on both sides. */
  need(nvm_unmap(base + MIB, MIB) == 0);
  base[MIB - 1] = 4;
  base[2 * MIB] = 5;
  need(nvm_is_direct(base, MIB) == 1 && nvm_is_direct(base, 2 * MIB) == 0);
  need(nvm_protect(base, PAGE, PROT_READ) == 0);
  need(nvm_sync(fd, base, MIB) == 0);
  need(nvm_sync(fd, base, 2 * MIB) == -1 && errno == ENOMEM);
  refused(nvm_attach("no/such/file", PROT_READ), ENOENT);
  /* Memory that was asked for and is not there. */
  in_child(fill_volume);
  const int full = make("full", 4 * MIB);
  char *none = map(full, 0, 4 * MIB, NVM_DIRECT);
  int sick = 0;
  for (size_t page = 0; page < 4 * MIB / PAGE; page++) sick += gives_sigbus(none + page * PAGE);
  need(sick > 0);
  refused(nvm_map(full, 0, 4 * MIB, all, NVM_DIRECT | NVM_POPULATE), ENOSPC);
  need(unlink(file("filler")) == 0);
}

/* Others have the file open through the page cache. */
static void busy(void) {
  const int fd = make("busy", MIB);
  const int other = open(file("busy"), O_RDONLY);
  refused(nvm_map(fd, 0, MIB, PROT_READ | PROT_WRITE, NVM_DIRECT), EOPNOTSUPP);
  char *base = map(fd, 0, MIB, 0);
  need(nvm_is_direct(base, MIB) == 0);
  base[5] = 6;
  need(nvm_sync(fd, base, MIB) == 0);
  char byte;
  need(pread(other, &byte, 1, 5) == 1 && byte == 6);
  need(nvm_unmap(base, MIB) == 0);
  close(other);
  usleep(200000);
  base = map(fd, 0, MIB, NVM_DIRECT);
  /* From now on others open it uncached, and may map it, too. */
  const int second = open(file("busy"), O_RDWR);
  char *twice = map(second, 0, MIB, NVM_DIRECT);
  twice[9] = 8;
  need(base[9] == 8);
}

static void attached(void) {
  need(mkdir(file("kernel"), 0755) == 0);
  const int fd = make("kernel/dmesg", 10000);
  close(fd);
  usleep(200000);
  setenv("NVM_ROOT", directory, 1);
  char *base = nvm_attach("kernel/dmesg", PROT_READ | PROT_WRITE);
  need(base != NVM_FAILED && nvm_size(base) == 12288 && nvm_is_direct(base, 12288));
  strcpy(base, "a line");
  char *again = nvm_attach(file("kernel/dmesg"), PROT_READ);
  need(again != NVM_FAILED && strcmp(again, "a line") == 0);
  need(nvm_detach(base) == 0 && nvm_detach(again) == 0);
  need(nvm_detach(base) == -1 && errno == EINVAL);
  close(make("kernel/empty", 0));
  refused(nvm_attach("kernel/empty", PROT_READ), EINVAL);
}

/* As an ordinary user: `open`, who may open the image, `readable`, who may read it, or `closed`. The medium is declared to be persistent memory. */
static void user(const char *image) {
  const int fd = make("user", 16 * MIB), huge = make("huge", (off_t)1 << 40);
  need(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
  char *base = map(fd, 0, 16 * MIB, 0);
  need(nvm_is_direct(base, 16 * MIB) == (strcmp(image, "open") == 0));
  memset(base, 4, 16 * MIB);
  need(nvm_sync(fd, base, 16 * MIB) == 0);
  char byte;
  need(pread(fd, &byte, 1, 3 * MIB) == 1 && byte == 4);
  need(nvm_is_sync(base, 16 * MIB) == (strcmp(image, "open") == 0));
  if (strcmp(image, "open") != 0) {
    need(nvm_unmap(base, 16 * MIB) == 0);
    /* Nothing less than it is asked for. */
    refused(nvm_map(fd, 0, 16 * MIB, PROT_READ | PROT_WRITE, NVM_SYNC), EOPNOTSUPP);
  }
  if (strcmp(image, "open") == 0) {
    /* Nobody may answer its faults: all at once, or not at all. */
    errno = 0;
    need(nvm_map(huge, 0, (size_t)1 << 40, PROT_READ, NVM_DIRECT) == NVM_FAILED && errno == ENOSPC);
    need(strstr(nvm_error(), "userfaultfd") != NULL);
  }
}

static void elsewhere(void) {
  const int fd = make("elsewhere", MIB);
  char *base = map(fd, 0, MIB, 0);
  need(!nvm_is_direct(base, MIB));
  base[5] = 1;
  need(nvm_sync(fd, base, MIB) == 0 && nvm_unmap(base, MIB) == 0);
}

int main(int count, char **words) {
  if (count < 3) return 2;
  directory = words[2];
  static const struct {
    const char *name;
    void (*body)(void);
  } checks[] = {{"coherence", coherence}, {"truncation", truncation}, {"holes", holes},   {"calls", calls},         {"sparse", sparse},
                {"populate", populate},   {"forked", forked},         {"dying", dying},   {"enduring", enduring},   {"errors", errors},
                {"busy", busy},           {"attached", attached},     {"elsewhere", elsewhere}};
  if (strcmp(words[1], "user") == 0 && count == 4) {
    user(words[3]);
    return 0;
  }
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    if (strcmp(words[1], checks[i].name) != 0) continue;
    checks[i].body();
    return 0;
  }
  return 2;
}
