/* Checks of plain mmap(2) and its kin, run with libnvm-preload.so: mmap-checks DIRECTORY sync|nosync. Knows nothing of libnvm. Prints what is wrong, and ends with 1 then. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

#define need(condition) \
  do { \
    if (!(condition)) { \
      printf("line %d: not so: %s (errno %d: %s)\n", __LINE__, #condition, errno, strerror(errno)); \
      fflush(stdout); \
      _exit(1); \
    } \
  } while (0)

static const char *directory;
static char path[4096];

static int make(const char *name, size_t size) {
  snprintf(path, sizeof path, "%s/%s", directory, name);
  const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  need(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
  return fd;
}

static char in_file(int fd, off_t offset) {
  char byte = -1;
  need(pread(fd, &byte, 1, offset) == 1);
  return byte;
}

/* How many mappings of this process show the image rather than the file. */
static int image_mappings(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[8192];
  int count = 0;
  while (fgets(line, sizeof line, maps) != NULL) count += strstr(line, "/image\n") != NULL;
  fclose(maps);
  return count;
}

static void sync_flag(int expected) {
  const int fd = make("flag", MIB);
  errno = 0;
  char *base = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  if (!expected) {
    need(base == MAP_FAILED && errno == EOPNOTSUPP);
    return;
  }
  need(base != MAP_FAILED);
  base[3] = 4;
  need(in_file(fd, 3) == 4);
  need(mmap(NULL, MIB, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC | 0x4000000, fd, 0) == MAP_FAILED && errno == EOPNOTSUPP);
  need(munmap(base, MIB) == 0);
}

static void remapping(void) {
  const int fd = make("remap", 32 * MIB);
  char *base = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  need(base != MAP_FAILED);
  for (size_t mib = 0; mib < 4; mib++) base[mib * MIB] = (char)(mib + 1);
  need(image_mappings() > 0);
  /* Larger, perhaps elsewhere; holes in the new part. */
  base = mremap(base, 4 * MIB, 16 * MIB, MREMAP_MAYMOVE);
  need(base != MAP_FAILED);
  for (size_t mib = 0; mib < 4; mib++) need(base[mib * MIB] == (char)(mib + 1));
  base[10 * MIB] = 11;
  need(in_file(fd, 10 * MIB) == 11);
  /* Smaller. */
  need(mremap(base, 16 * MIB, 8 * MIB, 0) == base);
  need(msync(base, 9 * MIB, MS_SYNC) == -1 && errno == ENOMEM);
  /* To a place of the caller's. */
  char *place = mmap(NULL, 16 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  need(mremap(base, 8 * MIB, 8 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, place + MIB) == place + MIB);
  base = place + MIB;
  for (size_t mib = 0; mib < 4; mib++) need(base[mib * MIB] == (char)(mib + 1));
  base[7 * MIB] = 8;
  need(in_file(fd, 7 * MIB) == 8);
  /* In place, where something is behind it. */
  need(mremap(base, 8 * MIB, 12 * MIB, 0) == MAP_FAILED && errno == ENOMEM);
  need(munmap(base, 8 * MIB) == 0);
}

static void protection(void) {
  const int fd = make("protect", 4 * MIB);
  char *base = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  need(base != MAP_FAILED);
  base[0] = 1;
  need(mprotect(base + MIB, MIB, PROT_READ) == 0);
  for (int child = 0; child < 3; child++) {
    const pid_t pid = fork();
    if (pid == 0) {
      /* Stored to: nothing forbids it, read-only, read-only and a hole. */
      base[child == 0 ? 5 : MIB + (size_t)child * 100 * PAGE] = 2;
      _exit(0);
    }
    int status;
    need(waitpid(pid, &status, 0) == pid);
    need(child == 0 ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  }
  need(base[5] == 2 && base[MIB + 100 * PAGE] == 0);
  need(mprotect(base, 4 * MIB, PROT_READ | PROT_WRITE) == 0);
  base[MIB + 100 * PAGE] = 3;
  need(in_file(fd, MIB + 100 * PAGE) == 3);
  const int reader = open(path, O_RDONLY);
  char *seen = mmap(NULL, 4 * MIB, PROT_READ, MAP_SHARED, reader, 0);
  need(seen != MAP_FAILED && seen[MIB + 100 * PAGE] == 3);
  need(mprotect(seen, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
  need(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED && errno == EACCES);
}

static void unmapping(void) {
  const int fd = make("unmap", 8 * MIB);
  char *base = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  need(base != MAP_FAILED);
  close(fd);
  memset(base, 1, 8 * MIB);
  need(munmap(base + 2 * MIB, PAGE) == 0 && munmap(base + 4 * MIB, MIB) == 0);
  need(base[2 * MIB - 1] == 1 && base[2 * MIB + PAGE] == 1 && base[5 * MIB] == 1);
  need(msync(base, 2 * MIB, MS_SYNC) == 0 && msync(base, PAGE, MS_ASYNC) == 0);
  need(msync(base + 1, PAGE, MS_SYNC) == -1 && errno == EINVAL);
  need(msync(base, PAGE, MS_SYNC | MS_ASYNC) == -1 && errno == EINVAL);
  /* Something else over a part of it: the rest stays. */
  need(mmap(base + MIB, MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == base + MIB);
  need(base[MIB] == 0 && base[MIB - 1] == 1);
  need(madvise(base, MIB, MADV_REMOVE) == -1 && madvise(base, MIB, MADV_DONTNEED) == 0 && base[5] == 1);
  need(munmap(base, 8 * MIB) == 0);
  need(image_mappings() == 0);
  /* At an address that was asked for, and at one that is taken. */
  const int second = make("placed", MIB);
  char *place = mmap(NULL, 4 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  need(mmap(place + MIB, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, second, 0) == place + MIB);
  place[MIB + 7] = 7;
  need(in_file(second, 7) == 7);
  need(mmap(place, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, second, 0) == MAP_FAILED && errno == EEXIST);
  char *hinted = mmap(place, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, second, 0);
  need(hinted != MAP_FAILED && hinted != place && hinted[7] == 7);
  /* Private mappings are the kernel's. */
  char *own = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, second, 0);
  need(own != MAP_FAILED && own[7] == 7);
  own[7] = 8;
  need(hinted[7] == 7);
}

int main(int count, char **words) {
  if (count < 3) return 2;
  directory = words[1];
  sync_flag(strcmp(words[2], "sync") == 0);
  remapping();
  unmapping();
  protection();
  return 0;
}
