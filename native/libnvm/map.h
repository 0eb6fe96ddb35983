// Mapping, unmapping and protecting: what nvm.h offers and what the preloaded library puts in place of the system's calls.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace nvm {

struct MapRequest {
  int fd;
  off_t offset;
  size_t length;
  int prot;
  bool populate;
  // Where, if that is free (`fixed`: in any case); null: anywhere.
  void* address;
  bool fixed;
  // Fails with EOPNOTSUPP unless stores are durable after a flush and a fence.
  bool must_be_sync;
  // Fails with EOPNOTSUPP unless mapped from the medium.
  bool must_be_direct;
};

// Maps a part of a file; MAP_FAILED and errno. Files that can't be mapped from the medium are mapped by the kernel.
void* map_file(const MapRequest& request);
// As munmap(2), mprotect(2), mremap(2).
int unmap(void* address, size_t length);
int protect(void* address, size_t length, int prot);
void* remap(void* old, size_t old_length, size_t new_length, int flags, void* target);

}  // namespace nvm
