/* The program of the emulated machine: keeps records on a mounted volume, acknowledges each when it is durable, and says after a crash whether all are there.
 *   records load VOLUME DIRECTORY SEED STREAM=NUMBER…   goes on behind the numbers until the machine dies
 *   records check VOLUME DIRECTORY SEED STREAM=NUMBER…  prints "@ checked VOLUME.STREAM NUMBER", or what is missing
 *   records probe FILE BYTES                            how libnvm maps a file
 *   records region FILE HOSTFILE                        that a store to a DAX file is in the host's file
 * With `only=VOLUME.STREAM` in the environment the load is of that stream alone.
 * A stream does one thing after the other, so at most one record is under way. What a record holds follows from the seed, its stream and its number.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nvm.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
/* Records of a mapped file: they begin anywhere in a page, and some lie across two. */
#define STRIDE (6 * KIB)
#define SLOTS 4096
#define FILE_BYTES ((STRIDE * SLOTS + MIB - 1) / MIB * MIB)
#define RECORD_MIN ((size_t)32)
#define RECORD_MAX (3 * KIB)
/* So many files with names there are at a time. */
#define NAMES 40
/* QEMU's debugging console: a byte that is put out there is in a file of the host when the instruction ends. */
#define PORT 0xe9

struct stream {
  const char *name;
  /* Does number `n` and returns when it is durable. */
  void (*keep)(const struct stream *stream, uint64_t n);
  /* Dies if one of the records 1 … n is not what it was. */
  void (*check)(const struct stream *stream, uint64_t n);
  /* Opens files; the records up to `n` are there. */
  void (*begin)(const struct stream *stream, uint64_t n);
};

static const char *volume, *directory;
static uint64_t seed;
static const char *current = "";

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...) {
  const int error = errno;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  printf("@ failed %s%s%s: %s (errno: %s; libnvm: %s)\n", volume == NULL ? "" : volume, *current == 0 ? "" : ".", current, text, strerror(error), nvm_error());
  fflush(stdout);
  _exit(1);
}

static void must(int good, const char *what) {
  if (!good) die("%s", what);
}

/* ---- records ---- */

static uint64_t mixed(uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

static uint64_t start_of(const struct stream *stream, uint64_t n) {
  uint64_t state = mixed(seed);
  for (const char *letter = stream->name; *letter != 0; letter++) state = mixed(state ^ (uint8_t)*letter);
  return mixed(state ^ n);
}

static size_t length_of(const struct stream *stream, uint64_t n) { return RECORD_MIN + start_of(stream, n) % (RECORD_MAX - RECORD_MIN) / 8 * 8; }

/* Returns its length. No byte of it is zero, as holes are. */
static size_t make_record(const struct stream *stream, uint64_t n, uint8_t *record) {
  const size_t length = length_of(stream, n);
  uint64_t state = start_of(stream, n);
  for (size_t at = 0; at < length; at += 8) {
    state = mixed(state);
    const uint64_t word = state | 0x0101010101010101u;
    memcpy(record + at, &word, 8);
  }
  memcpy(record, &n, sizeof n);
  return length;
}

static void must_be_record(const struct stream *stream, uint64_t n, const void *found) {
  uint8_t wanted[RECORD_MAX];
  const size_t length = make_record(stream, n, wanted);
  const uint8_t *bytes = found;
  for (size_t at = 0; at < length; at++) {
    if (bytes[at] != wanted[at]) die("record %lu is wrong from byte %zu of %zu on: 0x%02x", (unsigned long)n, at, length, bytes[at]);
  }
}

static const char *path_of(const char *format, ...) {
  static char path[4096];
  const int length = snprintf(path, sizeof path, "%s/", directory);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(path + length, sizeof path - (size_t)length, format, arguments);
  va_end(arguments);
  return path;
}

/* ---- names: each record is a file, made, written, renamed; the oldest is removed ---- */

static void names_begin(const struct stream *stream, uint64_t n) {
  (void)stream;
  must(mkdir(path_of("names"), 0755) == 0 || errno == EEXIST, "mkdir");
  unlink(path_of("names/new"));
  unlink(path_of("names/%lu", (unsigned long)n + 1));
}

static void names_keep(const struct stream *stream, uint64_t n) {
  uint8_t record[RECORD_MAX];
  const size_t length = make_record(stream, n, record);
  char made[4096];
  strcpy(made, path_of("names/new"));
  const int fd = open(made, O_WRONLY | O_CREAT | O_EXCL, 0644);
  must(fd >= 0, "create");
  must(write(fd, record, length) == (ssize_t)length, "write");
  must(close(fd) == 0, "close");
  must(rename(made, path_of("names/%lu", (unsigned long)n)) == 0, "rename");
  if (n > NAMES) must(unlink(path_of("names/%lu", (unsigned long)(n - NAMES))) == 0 || errno == ENOENT, "unlink");
}

static void check_named(const struct stream *stream, uint64_t n) {
  uint8_t record[RECORD_MAX + 1];
  const int fd = open(path_of("names/%lu", (unsigned long)n), O_RDONLY);
  if (fd < 0) die("the file of record %lu can't be opened", (unsigned long)n);
  const ssize_t length = read(fd, record, sizeof record);
  if (length != (ssize_t)length_of(stream, n)) die("the file of record %lu has %zd bytes, not %zu", (unsigned long)n, length, length_of(stream, n));
  must_be_record(stream, n, record);
  close(fd);
}

static void names_check(const struct stream *stream, uint64_t n) {
  for (uint64_t known = n > NAMES ? n - NAMES + 1 : 1; known <= n; known++) {
    /* What is under way may have removed the oldest. */
    if (known + NAMES == n + 1 && access(path_of("names/%lu", (unsigned long)known), F_OK) != 0) continue;
    check_named(stream, known);
  }
  DIR *names = opendir(path_of("names"));
  if (names == NULL && n == 0) return;
  must(names != NULL, "opendir");
  const struct dirent *entry;
  while ((entry = readdir(names)) != NULL) {
    if (entry->d_name[0] == '.' || strcmp(entry->d_name, "new") == 0) continue;
    const uint64_t number = strtoull(entry->d_name, NULL, 10);
    if (number + NAMES <= n || number > n + 1) die("there is a name %s", entry->d_name);
    /* A name means that its file had been written. */
    if (number == n + 1) check_named(stream, number);
  }
  closedir(names);
}

/* ---- append: records of all lengths, one behind the other ---- */

static int log_fd = -1;

static uint64_t end_of_log(const struct stream *stream, uint64_t n) {
  uint64_t end = 0;
  for (uint64_t number = 1; number <= n; number++) end += length_of(stream, number);
  return end;
}

static void append_begin(const struct stream *stream, uint64_t n) {
  log_fd = open(path_of("log"), O_RDWR | O_CREAT | O_APPEND, 0644);
  must(log_fd >= 0, "open the log");
  must(ftruncate(log_fd, (off_t)end_of_log(stream, n)) == 0, "cut the log");
}

static void append_keep(const struct stream *stream, uint64_t n) {
  uint8_t record[RECORD_MAX];
  const size_t length = make_record(stream, n, record);
  must(write(log_fd, record, length) == (ssize_t)length, "append");
}

static void append_check(const struct stream *stream, uint64_t n) {
  const int fd = open(path_of("log"), O_RDONLY);
  if (fd < 0 && n == 0) return;
  must(fd >= 0, "open the log");
  uint8_t record[RECORD_MAX];
  uint64_t at = 0;
  for (uint64_t number = 1; number <= n; number++) {
    const size_t length = length_of(stream, number);
    if (pread(fd, record, length, (off_t)at) != (ssize_t)length) die("record %lu of the log is not there", (unsigned long)number);
    must_be_record(stream, number, record);
    at += length;
  }
  struct stat status;
  must(fstat(fd, &status) == 0, "fstat");
  const uint64_t rest = (uint64_t)status.st_size - at;
  /* What is under way may be there in part: the kernel cuts a write into requests at a page's boundary. */
  uint8_t wanted[RECORD_MAX];
  if (rest > make_record(stream, n + 1, wanted)) die("the log ends with %lu bytes that nobody appended", (unsigned long)rest);
  must(pread(fd, record, rest, (off_t)at) == (ssize_t)rest, "read the log");
  if (memcmp(record, wanted, rest) != 0) die("the log ends with bytes that nobody appended");
}

/* ---- mapped files: a record has a slot, which a later one takes over ---- */

static int mapped_fd = -1;
static uint8_t *mapped;
static size_t mapped_bytes;

static size_t slot_of(uint64_t n) { return n % SLOTS * STRIDE + n % SLOTS * 40 % (STRIDE - RECORD_MAX) / 8 * 8; }

/* Steps of many sizes: what a page needs must be there when it is touched. */
static void grow(uint64_t n) {
  const size_t needed = slot_of(n) + RECORD_MAX;
  if (needed <= mapped_bytes) return;
  mapped_bytes = needed + (n % 7) * 50000;
  if (mapped_bytes > FILE_BYTES) mapped_bytes = FILE_BYTES;
  must(ftruncate(mapped_fd, (off_t)mapped_bytes) == 0, "ftruncate");
}

static void open_mapped(const char *name, int is_dax) {
  mapped_fd = open(path_of("%s", name), O_RDWR | O_CREAT, 0644);
  if (mapped_fd < 0) die("open %s", name);
  struct stat status;
  must(fstat(mapped_fd, &status) == 0, "fstat");
  mapped_bytes = (size_t)status.st_size;
  if (!is_dax || mapped_bytes > 0) return;
  struct fsxattr flags = {0};
  must(ioctl(mapped_fd, FS_IOC_FSGETXATTR, &flags) == 0, "FS_IOC_FSGETXATTR");
  flags.fsx_xflags |= FS_XFLAG_DAX;
  must(ioctl(mapped_fd, FS_IOC_FSSETXATTR, &flags) == 0, "FS_IOC_FSSETXATTR");
  /* Where the data lies is decided when it is opened. */
  must(close(mapped_fd) == 0, "close");
  mapped_fd = open(path_of("%s", name), O_RDWR);
  if (mapped_fd < 0) die("open %s again", name);
}

static size_t pages(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

static int is_sync(void) { return strcmp(volume, "disk") != 0; }

/* The library maps the medium; on persistent memory it must be able to say so. */
static void medium_begin(const struct stream *stream, uint64_t n) {
  (void)n;
  open_mapped(stream->name, 0);
  /* A device of large units maps what is made of whole ones. */
  if (strcmp(volume, "dax") == 0) must(ftruncate(mapped_fd, (off_t)(mapped_bytes = FILE_BYTES)) == 0, "ftruncate");
  mapped = nvm_map(mapped_fd, 0, FILE_BYTES, PROT_READ | PROT_WRITE, NVM_DIRECT | (is_sync() ? NVM_SYNC : 0));
  must(mapped != NVM_FAILED, "nvm_map");
}

static void medium_keep(const struct stream *stream, uint64_t n) {
  grow(n);
  uint8_t *slot = mapped + slot_of(n);
  const size_t length = make_record(stream, n, slot);
  if (is_sync() && n % 2 == 0) nvm_persist(slot, length);
  else must(nvm_sync(mapped_fd, slot, length) == 0, "nvm_sync");
}

/* A file of the host, mapped by the kernel; every third record is written. */
static void region_begin(const struct stream *stream, uint64_t n) {
  (void)n;
  open_mapped(stream->name, 1);
  mapped = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, mapped_fd, 0);
  must(mapped != MAP_FAILED, "mmap");
}

static void region_keep(const struct stream *stream, uint64_t n) {
  uint8_t record[RECORD_MAX];
  const size_t length = make_record(stream, n, record);
  if (n % 3 == 0) {
    must(pwrite(mapped_fd, record, length, (off_t)slot_of(n)) == (ssize_t)length, "pwrite");
    must(fdatasync(mapped_fd) == 0, "fdatasync");
    if (mapped_bytes < slot_of(n) + length) mapped_bytes = slot_of(n) + length;
    return;
  }
  grow(n);
  memcpy(mapped + slot_of(n), record, length);
  nvm_persist(mapped + slot_of(n), length);
}

/* The same, mapped by the library: it says that a flush is enough, whatever was written into the file before that nobody made durable. */
static void written_begin(const struct stream *stream, uint64_t n) {
  (void)n;
  open_mapped(stream->name, 1);
  mapped = NULL;
}

static void written_keep(const struct stream *stream, uint64_t n) {
  const size_t needed = slot_of(n) + RECORD_MAX;
  if (mapped == NULL || needed > mapped_bytes) {
    if (mapped != NULL) must(nvm_unmap(mapped, pages(mapped_bytes)) == 0, "nvm_unmap");
    if (needed > mapped_bytes) {
      /* Behind a hole. */
      mapped_bytes = needed + 70000;
      must(pwrite(mapped_fd, "", 1, (off_t)mapped_bytes - 1) == 1, "pwrite");
    }
    mapped = nvm_map(mapped_fd, 0, pages(mapped_bytes), PROT_READ | PROT_WRITE, NVM_SYNC);
    must(mapped != NVM_FAILED, "nvm_map");
  }
  nvm_persist(mapped + slot_of(n), make_record(stream, n, mapped + slot_of(n)));
}

static void mapped_check(const struct stream *stream, uint64_t n) {
  const int fd = open(path_of("%s", stream->name), O_RDONLY);
  if (fd < 0 && n == 0) return;
  must(fd >= 0, "open the mapped file");
  uint8_t record[RECORD_MAX];
  for (uint64_t number = n > SLOTS ? n - SLOTS + 1 : 1; number <= n; number++) {
    /* The slot that is being taken over. */
    if (number + SLOTS == n + 1) continue;
    const size_t length = length_of(stream, number);
    if (pread(fd, record, length, (off_t)slot_of(number)) != (ssize_t)length) die("record %lu is beyond the end of the file", (unsigned long)number);
    must_be_record(stream, number, record);
  }
  close(fd);
}

static const struct stream streams[] = {
    {"names", names_keep, names_check, names_begin},
    {"append", append_keep, append_check, append_begin},
    {"medium", medium_keep, mapped_check, medium_begin},
    {"region", region_keep, mapped_check, region_begin},
    {"written", written_keep, mapped_check, written_begin},
};
#define STREAMS (sizeof streams / sizeof *streams)

/* ---- orders ---- */

static uint64_t number_of(const struct stream *stream, char **words) {
  const size_t length = strlen(stream->name);
  for (; *words != NULL; words++) {
    if (strncmp(*words, stream->name, length) == 0 && (*words)[length] == '=') return strtoull(*words + length + 1, NULL, 10);
  }
  return 0;
}

/* Regions are where the host's files can be. */
static int has_stream(const struct stream *stream) {
  const int is_region = stream->begin == region_begin || stream->begin == written_begin;
  return !is_region || strcmp(volume, "ext4") == 0;
}

/* One line at a time, of all processes. When it returns the record is acknowledged, and not before its line has ended. */
static void acknowledge(int lock, const char *stream, uint64_t n) {
  char line[64];
  const int length = snprintf(line, sizeof line, "%s.%s %lu\n", volume, stream, (unsigned long)n);
  must(flock(lock, LOCK_EX) == 0, "lock the port");
  for (int i = 0; i < length; i++) outb((unsigned char)line[i], PORT);
  must(flock(lock, LOCK_UN) == 0, "unlock the port");
}

/* What others make durable may make a stream's own durable, too. */
static int is_asked_for(const struct stream *stream) {
  const char *only = getenv("only");
  char name[64];
  snprintf(name, sizeof name, "%s.%s", volume, stream->name);
  return only == NULL || strcmp(only, name) == 0;
}

static void run_stream(const struct stream *stream, uint64_t n) {
  current = stream->name;
  must(ioperm(PORT, 1, 1) == 0, "ioperm");
  const int lock = open("/tmp/port", O_RDWR | O_CREAT, 0600);
  must(lock >= 0, "open the lock of the port");
  stream->begin(stream, n);
  for (;;) {
    stream->keep(stream, ++n);
    acknowledge(lock, stream->name, n);
    /* Streams that ask nobody would leave no time to the servers of the others. */
    usleep(1000);
  }
}

static int load(char **words) {
  int begun = 0;
  for (size_t i = 0; i < STREAMS; i++) {
    if (!has_stream(&streams[i]) || !is_asked_for(&streams[i])) continue;
    const pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) run_stream(&streams[i], number_of(&streams[i], words));
    begun++;
  }
  int status;
  if (begun > 0 && wait(&status) > 0) die("a stream ended with status 0x%x", (unsigned)status);
  return 0;
}

static int check(char **words) {
  for (size_t i = 0; i < STREAMS; i++) {
    if (!has_stream(&streams[i])) continue;
    current = streams[i].name;
    const uint64_t n = number_of(&streams[i], words);
    streams[i].check(&streams[i], n);
    printf("@ checked %s.%s %lu\n", volume, current, (unsigned long)n);
  }
  return 0;
}

/* Whether the kernel vouches for the mapping that has the address: "sf" is MAP_SYNC. */
static int has_sync_flag(const void *address) {
  char line[1024];
  int inside = 0, found = -1;
  FILE *maps = fopen("/proc/self/smaps", "r");
  must(maps != NULL, "smaps");
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) inside = (uintptr_t)address >= start && (uintptr_t)address < end;
    else if (inside && strncmp(line, "VmFlags:", 8) == 0) found = strstr(line, " sf") != NULL;
  }
  fclose(maps);
  return found;
}

/* What is stored is there for those who read. */
static void must_be_shared(int fd, char *base, size_t bytes) {
  base[bytes / 3] = 1;
  must(nvm_sync(fd, base, bytes) == 0, "nvm_sync");
  char byte = 0;
  must(pread(fd, &byte, 1, (off_t)(bytes / 3)) == 1 && byte == 1, "what was stored can be read");
}

static int probe(const char *path, size_t bytes) {
  const int fd = open(path, O_RDWR | O_CREAT, 0644);
  must(fd >= 0, "open");
  must(ftruncate(fd, (off_t)bytes) == 0, "ftruncate");
  const int all = PROT_READ | PROT_WRITE;
  char *base = nvm_map(fd, 0, bytes, all, NVM_SYNC);
  const char *error = base == NVM_FAILED ? strerrorname_np(errno) : NULL;
  if (error != NULL) {
    printf("%s\n", nvm_error());
    base = nvm_map(fd, 0, bytes, all, 0);
    if (base == NVM_FAILED) die("nvm_map");
    must(nvm_is_sync(base, bytes) == 0, "it is not synchronous");
  } else {
    base[12345] = 1;
    nvm_persist(base + 12345, 1);
    must(nvm_is_sync(base, bytes) == 1, "nvm_is_sync");
  }
  must_be_shared(fd, base, bytes);
  const char *mapped_by = nvm_is_direct(base, bytes) ? "direct" : "kernel";
  if (error != NULL) printf("@ probe %s refused %s %s\n", path, error, mapped_by);
  else printf("@ probe %s sync %s %s\n", path, mapped_by, has_sync_flag(base + 12345) == 1 ? "MAP_SYNC" : "unmarked");
  return 0;
}

static int region(const char *path, const char *host) {
  const int fd = open(path, O_RDWR), other = open(host, O_RDWR);
  must(fd >= 0 && other >= 0, "open");
  char *ours = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char *theirs = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, other, 0);
  must(ours != MAP_FAILED && theirs != MAP_FAILED, "mmap");
  ours[54321] = 77;
  must(theirs[54321] == 77, "a store is in the file of the host at once");
  theirs[54322] = 78;
  must(ours[54322] == 78, "and the other way round");
  struct statx status;
  must(statx(other, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status) == 0 && (status.stx_attributes & STATX_ATTR_DAX) != 0, "the file of the host is a DAX file");
  printf("@ region %s shared\n", path);
  return 0;
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *order = count > 1 ? words[1] : "";
  if (strcmp(order, "probe") == 0 && count == 4) return probe(words[2], strtoul(words[3], NULL, 0));
  if (strcmp(order, "region") == 0 && count == 4) return region(words[2], words[3]);
  if (count < 5) return 2;
  volume = words[2];
  directory = words[3];
  seed = strtoull(words[4], NULL, 10);
  return strcmp(order, "load") == 0 ? load(words + 5) : strcmp(order, "check") == 0 ? check(words + 5) : 2;
}
