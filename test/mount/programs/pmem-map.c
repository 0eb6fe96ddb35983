/* Maps a file with libpmem: pmem-map FILE. Prints whether libpmem takes it for persistent memory, and stores to it: what was there before is printed, too. */
#include <libpmem.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **words) {
  size_t length;
  int is_pmem;
  if (count != 2) return 2;
  char *base = pmem_map_file(words[1], 8 << 20, PMEM_FILE_CREATE, 0600, &length, &is_pmem);
  if (base == NULL) {
    fprintf(stderr, "%s\n", pmem_errormsg());
    return 1;
  }
  printf("is_pmem %d, before: %s\n", is_pmem, base + 100);
  strcpy(base + 100, "persistent");
  if (is_pmem) pmem_persist(base + 100, 11);
  else if (pmem_msync(base + 100, 11) != 0) return 1;
  pmem_memset_persist(base + (5 << 20), 7, 1 << 20);
  return pmem_unmap(base, length) == 0 ? 0 : 1;
}
