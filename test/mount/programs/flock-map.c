/* Whether a lock lasts as long as what is mapped: flock-map FILE. Locks and maps the file, closes it, and tries to lock it once more. Prints "held" or "lost". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH ((size_t)1 << 20)

static int lock(const char *path) {
  const int fd = open(path, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, LENGTH) != 0) {
    perror(path);
    _exit(1);
  }
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) {
    perror("flock");
    _exit(1);
  }
  close(fd);
  return -1;
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  const int fd = lock(arguments[1]);
  if (fd < 0) return 1;
  char *base = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  base[0] = 1;
  close(fd);
  /* All but the last page, elsewhere: the lock is that of what is left, too. */
  munmap(base, LENGTH - 4096);
  base = mremap(base + LENGTH - 4096, 4096, 8192, MREMAP_MAYMOVE);
  if (base == MAP_FAILED) {
    perror("mremap");
    return 1;
  }
  const int held = lock(arguments[1]);
  if (held >= 0) close(held);
  munmap(base, 8192);
  if (lock(arguments[1]) < 0) {
    puts("held by nobody");
    return 1;
  }
  puts(held < 0 ? "held" : "lost");
  return 0;
}
