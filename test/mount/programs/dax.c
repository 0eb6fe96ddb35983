/* A program as any other, linked statically: makes a DAX file, maps it, stores to it, and waits for orders on its standard input, one a line.
 *   dax FILE BYTES   ->  "mapped", then per order:
 *   store OFFSET BYTE   stores one byte through the mapping, with no msync
 *   fill BYTE           stores the byte to the whole mapping
 *   load OFFSET         prints the byte that the mapping shows
 *   huge                prints the ShmemPmdMapped of this mapping in KiB
 *   quit
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_BYTES (2UL << 20)

static void die(const char *what) {
  printf("failed %s: %s\n", what, strerror(errno));
  exit(1);
}

static long mapped_huge(const void *base) {
  char line[512];
  long found = -1;
  int inside = 0;
  FILE *smaps = fopen("/proc/self/smaps", "r");
  if (smaps == NULL) die("smaps");
  while (fgets(line, sizeof line, smaps) != NULL) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) inside = (uintptr_t)base >= start && (uintptr_t)base < end;
    if (inside) sscanf(line, "ShmemPmdMapped: %ld", &found);
  }
  fclose(smaps);
  return found;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  const size_t length = strtoul(argv[2], NULL, 0);
  const int fd = open(argv[1], O_RDWR | O_CREAT, 0644);
  if (fd < 0) die("open");
  if (ftruncate(fd, (off_t)length) != 0) die("ftruncate");
  /* At a huge page's boundary. */
  char *room = mmap(NULL, length + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) die("room");
  char *base = (char *)(((uintptr_t)room + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));
  if (mmap(base, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) die("mmap");
  close(fd);
  puts("mapped");
  char order[64];
  while (fgets(order, sizeof order, stdin) != NULL) {
    unsigned long offset;
    int byte;
    if (sscanf(order, "store %lu %d", &offset, &byte) == 2 && offset < length) {
      base[offset] = (char)byte;
      puts("stored");
    } else if (sscanf(order, "fill %d", &byte) == 1) {
      memset(base, byte, length);
      puts("filled");
    } else if (sscanf(order, "load %lu", &offset) == 1 && offset < length) {
      printf("%d\n", (unsigned char)base[offset]);
    } else if (strcmp(order, "huge\n") == 0) {
      printf("%ld\n", mapped_huge(base));
    } else {
      break;
    }
  }
  return 0;
}
