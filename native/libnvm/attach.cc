// Files by name, and reading and writing to the end.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "error.h"
#include "map.h"
#include "nvm.h"
#include "raw.h"
#include "registry.h"

namespace nvm {

namespace {

// mountinfo writes space, tab, newline and backslash as \ooo.
void unescape(char* text) {
  char* to = text;
  for (const char* from = text; *from != 0; to++) {
    if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != 0 && from[3] != 0) {
      *to = static_cast<char>((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
      from += 4;
    } else {
      *to = *from++;
    }
  }
  *to = 0;
}

// The directory of the first mounted volume.
bool first_volume(char* directory, size_t size) {
  FILE* mounts = fopen("/proc/self/mountinfo", "re");
  if (mounts == nullptr) return false;
  char* line = nullptr;
  size_t capacity = 0;
  bool found = false;
  while (!found && getline(&line, &capacity, mounts) > 0) {
    const char* type = strstr(line, " - ");
    if (type == nullptr || strncmp(type + 3, "fuse.nvmfs ", 11) != 0) continue;
    // ID parent major:minor root DIRECTORY options … - type source options
    char* field = line;
    for (int skip = 0; skip < 4 && field != nullptr; skip++) {
      field = strchr(field, ' ');
      if (field != nullptr) field++;
    }
    char* end = field == nullptr ? nullptr : strchr(field, ' ');
    if (end == nullptr || static_cast<size_t>(end - field) >= size) continue;
    *end = 0;
    unescape(field);
    strcpy(directory, field);
    found = true;
  }
  free(line);
  fclose(mounts);
  return found;
}

int resolve(const char* name, char* path) {
  if (name == nullptr || name[0] == 0) return fail(ENOENT, "a file has a name");
  char directory[PATH_MAX] = "";
  if (name[0] != '/') {
    const char* root = getenv("NVM_ROOT");
    if (root != nullptr && strlen(root) < sizeof directory) strcpy(directory, root);
    else if (!first_volume(directory, sizeof directory)) return fail(ENODEV, "no NVMFS volume is mounted; NVM_ROOT names the directory of one");
    strcat(directory, strlen(directory) + 1 < sizeof directory ? "/" : "");
  }
  if (snprintf(path, PATH_MAX, "%s%s", directory, name) >= PATH_MAX) return fail(ENAMETOOLONG, "%s: the path is too long", name);
  return 0;
}

}  // namespace

}  // namespace nvm

extern "C" {

void* nvm_attach(const char* name, int perms) {
  using namespace nvm;
  char path[PATH_MAX];
  if (resolve(name, path) != 0) return NVM_FAILED;
  const int fd = open(path, ((perms & PROT_WRITE) != 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) {
    fail(errno, "%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return NVM_FAILED;
  }
  void* base = NVM_FAILED;
  if (!S_ISREG(status.st_mode)) {
    fail(ENODEV, "%s: not a regular file", path);
  } else if (status.st_size == 0) {
    fail(EINVAL, "%s: the file is empty", path);
  } else {
    Guard guard;
    base = nvm_map(fd, 0, whole_pages(static_cast<size_t>(status.st_size)), perms, 0);
    if (base != NVM_FAILED) find(number(base), number(base) + 1)->attached = true;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return base;
}

size_t nvm_size(const void* address) {
  using namespace nvm;
  Guard guard;
  const Mapping* mapping = find(number(address), number(address) + 1);
  if (mapping == nullptr || mapping->start != number(address) || !mapping->attached) return 0;
  return mapping->end - mapping->start;
}

int nvm_detach(void* address) {
  using namespace nvm;
  Guard guard;
  const size_t size = nvm_size(address);
  return size == 0 ? fail(EINVAL, "nothing was attached there") : unmap(address, size);
}

ssize_t nvm_read(int fd, void* buffer, size_t length, off_t start) {
  size_t done = 0;
  while (done < length) {
    const ssize_t part = pread(fd, static_cast<char*>(buffer) + done, length - done, start + static_cast<off_t>(done));
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return done > 0 ? static_cast<ssize_t>(done) : nvm::fail(errno, "pread: %s", strerror(errno));
    if (part == 0) break;
    done += static_cast<size_t>(part);
  }
  return static_cast<ssize_t>(done);
}

ssize_t nvm_write(int fd, const void* buffer, size_t length, off_t start) {
  size_t done = 0;
  while (done < length) {
    const ssize_t part = pwrite(fd, static_cast<const char*>(buffer) + done, length - done, start + static_cast<off_t>(done));
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return done > 0 ? static_cast<ssize_t>(done) : nvm::fail(errno, "pwrite: %s", strerror(errno));
    done += static_cast<size_t>(part);
  }
  return static_cast<ssize_t>(done);
}

}  // extern "C"
